"""Compiles modules to bytecode that is the same wherever and whenever it is made.

Run by the environment's own interpreter as ``python -s -S -B _compile.py``, in the environment's directory; reads
paths relative to it from standard input, one a line, and writes their checked-hash pycs (PEP 552) into
``__pycache__`` (PEP 3147), whose paths it prints. A file that does not compile is passed over, as installers do.

Two things make the stock compiler's output differ from run to run: the absolute path in ``co_filename`` and equal
frozensets that are shared or not, depending on which strings the process interned before. The path is relative
here, and equal frozensets of one module always become one object. Must run on every supported interpreter, so
its syntax is old.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib._bootstrap_external import _code_to_hash_pyc  # type: ignore[attr-defined]
from types import CodeType
from typing import Any


def unify(code: CodeType, seen: dict[Any, Any]) -> tuple[CodeType, bool]:
    """Return (code with shared frozensets, whether it held any)."""
    constants, touched = [], False
    for value in code.co_consts:
        new, hit = unify_one(value, seen)
        constants.append(new)
        touched |= hit
    # replace() itself changes what is shared, so it is called for every code object that holds a set, or for none.
    return (code.replace(co_consts=tuple(constants)), True) if touched else (code, False)


def unify_one(value: Any, seen: dict[Any, Any]) -> tuple[Any, bool]:
    """Return (value with shared frozensets, whether it held any)."""
    if type(value) is CodeType:
        return unify(value, seen)
    if type(value) is frozenset:
        return seen.setdefault(signature(value), value), True
    if type(value) is tuple:
        items = [unify_one(item, seen) for item in value]
        if any(hit for _, hit in items):
            return tuple(item for item, _ in items), True
    return value, False


def signature(value: Any) -> tuple[Any, ...]:
    """Return what makes two constants equal for the compiler: types and values, 1 and True and -0.0 apart."""
    if type(value) in (frozenset, tuple):
        items = [signature(item) for item in value]
        return (type(value).__name__, *(sorted(items, key=repr) if type(value) is frozenset else items))
    return (type(value).__name__, repr(value))


def references(code: CodeType, kept: list[Any]) -> None:
    """Keep every object of ``code`` alive twice: below 3.11 marshal flags an object by its reference count."""
    kept.append(code)
    fields = (name for name in dir(code) if name.startswith("co_") and name not in ("co_lines", "co_lnotab"))
    kept.extend(getattr(code, name) for name in fields)
    for value in code.co_consts:
        kept.append(value)
        if type(value) is CodeType:
            references(value, kept)


def compile_one(name: str) -> str:
    """Write the pyc of the module at the relative path ``name`` and return its path."""
    with open(name, "rb") as file:
        source = file.read()
    code = unify(compile(source, name, "exec", dont_inherit=True), {})[0]
    kept: list[Any] = []
    if sys.version_info < (3, 11):  # noqa: UP036 -- the environment's interpreter, not ours
        references(code, kept)
    pyc = _code_to_hash_pyc(code, importlib.util.source_hash(source), True)
    folder, module = os.path.split(name)
    target = os.path.join(folder, "__pycache__", module[:-3] + "." + sys.implementation.cache_tag + ".pyc")
    os.makedirs(os.path.dirname(target), exist_ok=True)
    # What is there may be shared with other environments.
    if os.path.lexists(target):
        os.unlink(target)
    with open(target, "xb") as file:
        file.write(pyc)
    return target


def main() -> None:
    """Compile what standard input names."""
    sys.setrecursionlimit(10000)
    for line in sys.stdin.buffer:
        name = os.fsdecode(line[:-1])
        try:
            target = compile_one(name)
        except (SyntaxError, ValueError, UnicodeError, RecursionError, MemoryError):
            target = ""
        sys.stdout.buffer.write(os.fsencode(target) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
