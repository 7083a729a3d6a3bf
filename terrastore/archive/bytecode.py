"""Bytecode made before it is needed, by the interpreter that will use it, on all cores."""

from __future__ import annotations

import os
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from typing import IO, TYPE_CHECKING, Final

from terrastore import room
from terrastore.archive import _compile
from terrastore.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from terrastore.report import Phase

# The directory it is run in is on the path of a program that is given as text, and no place to import from.
_RUN: Final = "import sys; del sys.path[0]; exec(sys.argv[1])"
# -S, for .pth files must not run.
_OPTIONS: Final = ("-s", "-S", "-B", "-W", "ignore", "-c", _RUN)
# Which build of it, too: its text has the day and the compiler.
_COMPILER: Final = (
    "import sys; print([sys.implementation.name, sys.implementation.cache_tag, sys.version, sys.maxsize, "
    "sys.byteorder, hasattr(sys, 'gettotalrefcount'), getattr(sys, 'abiflags', '')])"
)


def compiler(python: str) -> str:
    """Return a text that two interpreters share only when they compile a module to the same bytecode.

    :raises BuildError: when ``python`` does not run
    """
    import inspect  # noqa: PLC0415 -- see below

    told = subprocess.run([python, "-I", "-S", "-c", _COMPILER], capture_output=True, text=True, check=False)
    if told.returncode:
        raise _failed(python, told.stderr.strip())
    return told.stdout + inspect.getsource(_compile)


def compile_modules(tree: str, modules: Sequence[str], *, python: str, workers: int, phase: Phase) -> list[str]:
    """Compile ``modules``, paths relative to ``tree``, and return the paths of the bytecode files.

    A module that does not compile has none. ``phase`` advances by one a module.

    :raises BuildError: when the interpreter itself fails
    :raises OSError: when it fails for lack of room
    """
    import inspect  # noqa: PLC0415 -- most hits compile nothing

    program = inspect.getsource(_compile)
    shares = [modules[start::workers] for start in range(min(workers, len(modules)))]
    with ThreadPoolExecutor(max(1, len(shares))) as pool:
        made = pool.map(lambda share: _compile_share(tree, share, [python, *_OPTIONS, program], phase), shares)
        return sorted(path for share in made for path in share)


def _compile_share(tree: str, share: Sequence[str], command: Sequence[str], phase: Phase) -> list[str]:
    # No PYTHON* variables, for PYTHONPYCACHEPREFIX and others redirect the output.
    # A fixed hash seed makes the order of sets in bytecode the same below 3.11.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment["PYTHONHASHSEED"] = "0"
    # In the tree: one disk less that could be full, or not be ours.
    with tempfile.TemporaryFile(dir=tree) as names, ThreadPoolExecutor(1) as listener:
        names.write(b"".join(os.fsencode(name) + b"\n" for name in share))
        names.seek(0)
        made = []
        with subprocess.Popen(
            command, cwd=tree, env=environment, stdin=names, stdout=subprocess.PIPE, stderr=subprocess.PIPE, umask=0o022
        ) as process:
            errors = listener.submit(_all, process.stderr)
            for line in process.stdout or ():
                phase.advance(1)
                if line != b"\n":
                    made.append(os.fsdecode(line[:-1]))
            problem = errors.result().decode(errors="replace").strip()
        if process.returncode:
            room.heed(problem)
            raise _failed(command[0], problem)
    return made


def _failed(python: str, said: str) -> BuildError:
    last = said.rpartition("\n")[2]
    return BuildError(f"{python} cannot compile bytecode: {last}", hint="choose another interpreter with --python")


def _all(pipe: IO[bytes] | None) -> bytes:
    return pipe.read() if pipe else b""
