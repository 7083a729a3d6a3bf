"""An environment on disk: what it was made from, whether it is what was asked for, the interpreter it is bound to."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from terrastore import __version__
from terrastore.errors import HostError
from terrastore.host import REMEDY
from terrastore.interpreter import Fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from terrastore.interpreter import Interpreter
    from terrastore.key import EnvKey
    from terrastore.requirements.files import Source

STATE_PATH: Final = ".terrastore/state.json"
_NEW_PATH: Final = ".terrastore/new"
_SCHEMA: Final = 1
_CHECK_TIMEOUT: Final = 30
_MISSING: Final = "missing: "
# Facts first: a library may refuse to be loaded alone, and end the process. Only what says that something is not
# there counts.
_PROBE: Final = f"""
import sys
print(sys.version_info[:3], sys.prefix, sys.base_prefix, sep="\\n", flush=True)
if sys.argv[1:]:
    import ctypes
    for name in sys.argv[1:]:
        try:
            ctypes.CDLL(name)
        except OSError as error:
            if "cannot open shared object" in str(error) or "not found" in str(error):
                print({_MISSING!r} + str(error), flush=True)
"""
_FACTS: Final = 3


class State(NamedTuple):
    """What an environment was made from, and for where.

    ``archive`` is the SHA-256 of the archive, ``prefix`` the directory its paths name, ``packages`` how many there
    are, ``inputs`` the files that asked for it, ``interpreter`` the base interpreter as it was on disk, ``created``
    when the archive was made (RFC 3339, "" when that is not known), ``projects``
    the directories that are installed in it to be edited, with what identifies how. While it is relocated ``prefix``
    is empty, and ``moving_from`` the one that it had.
    """

    key: str
    archive: str
    prefix: str
    packages: int
    inputs: tuple[dict[str, Any], ...]
    interpreter: Fingerprint
    created: str = ""
    projects: Mapping[str, str] = MappingProxyType({})
    moving_from: str = ""
    schema: int = _SCHEMA

    @classmethod
    def read(cls, path: str) -> Self | None:
        """Return the state of the environment at ``path``; None when it has none that this version can read."""
        try:
            document = json.loads(_read(f"{path}/{STATE_PATH}"))
            if document["schema"] != _SCHEMA:
                return None
            return cls(
                key=document["key"],
                archive=document["archive"],
                prefix=document["prefix"],
                packages=document["packages"],
                inputs=tuple(document["inputs"]),
                interpreter=Fingerprint(**document["interpreter"]),
                created=str(document.get("created", "")),
                projects={str(path): str(identity) for path, identity in document.get("projects", {}).items()},
                moving_from=str(document.get("moving_from", "")),
            )
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return None

    def write(self, path: str) -> None:
        """Write it into the environment at ``path``, whole or not at all."""
        facts = self._asdict() | {"interpreter": self.interpreter._asdict(), "projects": dict(self.projects)}
        _write(path, STATE_PATH, json.dumps(facts, sort_keys=True, indent=1) + "\n")


def inputs(sources: Sequence[Source]) -> tuple[dict[str, Any], ...]:
    """Return what a state says of the files that were read: path, SHA-256, size, mtime in nanoseconds, inode.

    Of one that was read by http there are URL and SHA-256.
    """
    found: list[dict[str, Any]] = []
    for source in sources:
        if "://" in source.path:
            found.append({"path": source.path, "sha256": source.sha256})
            continue
        facts = os.stat(source.path)
        found.append(
            {
                "path": os.path.abspath(source.path),
                "sha256": source.sha256,
                "size": facts.st_size,
                "mtime_ns": facts.st_mtime_ns,
                "inode": facts.st_ino,
            }
        )
    return tuple(found)


def holds(path: str, key: EnvKey, projects: Mapping[str, str] | None = None) -> State | None:
    """Return the state of the environment at ``path`` when that is what ``key`` names, in place and in order.

    ``projects`` are those that must be installed in it to be edited, as in its state.

    A moved environment does not count, nor one whose interpreter was replaced on disk or is gone.
    """
    state = State.read(path)
    if state is None or (state.key, state.prefix, state.projects) != (key.text, path, projects or {}):
        return None
    try:
        return state if Fingerprint.of(os.path.join(path, "bin", "python")) == state.interpreter else None
    except OSError:
        return None


def bind(path: str, interpreter: Interpreter, needs: Mapping[str, Any] | None = None) -> list[str]:
    """Write ``pyvenv.cfg`` and ``bin/python*`` for the interpreter found here (PEP 405).

    Of the libraries in ``needs``, as in a manifest, the interpreter's own get links in ``lib``, where programs that
    were linked with them look. Return all as they are to be loaded, by name or by the path of such a link.
    """
    names = interpreter.names
    os.makedirs(path, exist_ok=True)
    # Without packages they are no members.
    _make_folders(path, ".terrastore", "bin", "lib", f"lib/{names[-1]}", f"lib/{names[-1]}/site-packages")
    for name, target in zip(names, (interpreter.executable, names[0], names[0]), strict=True):
        place = os.path.join(path, "bin", name)
        if os.path.lexists(place):
            os.unlink(place)
        os.symlink(target, place)
    settings = {
        "home": os.path.dirname(interpreter.executable),
        "implementation": "CPython",
        "version_info": ".".join(map(str, interpreter.version)),
        "version": interpreter.version_text,
        "executable": interpreter.executable,
        "include-system-site-packages": "false",
        "base-prefix": interpreter.base_prefix,
        "base-executable": interpreter.executable,
        "terrastore": __version__,
    }
    _write(path, "pyvenv.cfg", "".join(f"{name} = {value}\n" for name, value in settings.items()))
    return [_linked(path, interpreter, each) for each in (needs or {}).get("libraries") or ()]


def _linked(path: str, interpreter: Interpreter, library: Mapping[str, Any]) -> str:
    """Return how a library is to be loaded, once a link leads to it if it is the interpreter's own."""
    name = str(library["name"])
    link, target = f"{path}/lib/{name}", f"{interpreter.base_prefix}/lib/{name}"
    if not library.get("base"):
        return f"{library['directory']}/{name}" if library.get("directory") else name
    if os.path.islink(link):
        os.unlink(link)  # to the interpreter of before
    if not os.path.exists(target):
        return name  # where the system has it, the loader finds it
    if not os.path.lexists(link):
        os.symlink(target, link)
    return link


def check(path: str, interpreter: Interpreter, libraries: Sequence[str] = ()) -> None:
    """Run the interpreter of the environment at ``path`` once: version, prefix and base prefix must be as they should.

    It loads ``libraries``, names or paths, as dlopen(3) does.

    :raises HostError: when they are not, a library is not found, or it does not run within 30 s
    """
    import subprocess  # noqa: PLC0415 -- what is kept is not checked

    python = os.path.join(path, "bin", "python")
    try:
        result = subprocess.run(
            [python, "-I", "-c", _PROBE, *libraries],
            capture_output=True,
            check=False,
            timeout=_CHECK_TIMEOUT,
            text=True,
        )
        lines = result.stdout.splitlines()
        if len(lines) < _FACTS:
            result.check_returncode()
    except (OSError, subprocess.SubprocessError) as error:
        reason = error.stderr.strip() if isinstance(error, subprocess.CalledProcessError) else str(error)
        raise HostError(
            f"the new environment's interpreter does not run: {reason}", hint="choose another with --python"
        ) from None
    expected = [str(interpreter.version[:3]), path, interpreter.base_prefix]
    missing = [line.removeprefix(_MISSING) for line in lines if line.startswith(_MISSING)]
    if missing:
        raise HostError(
            f"the new environment needs shared libraries that cannot be loaded here: {'; '.join(missing)}",
            hint=REMEDY,
        )
    first = next((number for number, line in enumerate(lines) if line == expected[0]), 0)
    found = lines[first : first + _FACTS]
    # Below 3.13 prefixes come out as they were written, links and all.
    if found[:1] != expected[:1] or any(
        os.path.realpath(one) != os.path.realpath(other) for one, other in zip(found[1:], expected[1:], strict=True)
    ):
        raise HostError(
            f"the new environment's interpreter is not the one it was made for: {found} instead of {expected}",
            hint="choose another with --python",
        )


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _write(root: str, name: str, text: str) -> None:
    """Write a file whole or not at all; as everything in an environment, it is for all to read, whatever the umask."""
    temporary = f"{root}/{_NEW_PATH}"
    try:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        with open(temporary, "x") as file:
            file.write(text)
        os.chmod(temporary, 0o644)
        os.rename(temporary, f"{root}/{name}")
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _make_folders(root: str, *folders: str) -> None:
    for folder in folders:
        with suppress(FileExistsError):
            os.mkdir(f"{root}/{folder}")
            os.chmod(f"{root}/{folder}", 0o755)  # noqa: S103 -- as the archive has them, whatever the umask
