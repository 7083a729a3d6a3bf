"""The Python that an environment is made for: found by python-discovery where that is, asked once, kept as values."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from terrastore import _asked
from terrastore.errors import HostError, reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from packaging.tags import Tag

_TIMEOUT: Final = 30
_OLDEST: Final = (3, 9)  # older ones cannot be given pip by virtualenv
_RELEASE: Final = r"(?:cpython@?)?([0-9]+(?:\.[0-9]+){0,2})"


class Interpreter(NamedTuple):
    """Facts of one interpreter.

    ``executable`` is the base interpreter's path even when it was found in a virtual environment or by a link from
    elsewhere, by its versioned name where there is one. ``version`` as ``sys.version_info``; ``magic`` is the number
    that bytecode begins with.
    """

    executable: str
    base_prefix: str
    implementation: str
    version: tuple[int, int, int, str, int]
    soabi: str
    free_threaded: bool
    debug: bool
    pointer_bits: int
    magic: int = 0

    @property
    def version_text(self) -> str:
        """The version as PEP 440 writes it: ``3.11.7``, ``3.14.0rc2``."""
        release, serial = self.version[3], self.version[4]
        letter = {"alpha": "a", "beta": "b", "candidate": "rc"}.get(release)
        return ".".join(map(str, self.version[:3])) + (f"{letter}{serial}" if letter else "")

    @property
    def tag(self) -> str:
        """The interpreter's part of a key: ``cp311``, ``cp313t``, ``cp312d`` (PEP 425, PEP 703)."""
        suffix = ("t" if self.free_threaded else "") + ("d" if self.debug else "")
        return f"cp{self.version[0]}{self.version[1]}{suffix}"

    @property
    def names(self) -> tuple[str, ...]:
        """The names it has in an environment's ``bin``; the first is the link to it."""
        major, minor = self.version[:2]
        return "python", f"python{major}", f"python{major}.{minor}{'t' if self.free_threaded else ''}"

    @property
    def markers(self) -> dict[str, str]:
        """The environment that markers are evaluated in (PEP 508), on this host, without ``extra``."""
        # A release candidate is c1 there.
        level = "" if self.version[3] == "final" else f"{self.version[3][0]}{self.version[4]}"
        return {
            "implementation_name": self.implementation,
            "implementation_version": ".".join(map(str, self.version[:3])) + level,
            "os_name": os.name,
            "platform_machine": platform.machine(),
            "platform_python_implementation": "CPython",
            "platform_release": platform.release(),
            "platform_system": platform.system(),
            "platform_version": platform.version(),
            "python_full_version": self.version_text,
            "python_version": ".".join(map(str, self.version[:2])),
            "sys_platform": sys.platform,
        }

    def tags(self) -> Sequence[Tag]:
        """Return the tags of wheels that fit it on this host, the best first (PEP 425).

        :raises HostError: when it is of another word size than the interpreter that runs this, and nobody can tell
        """
        from packaging.tags import compatible_tags, cpython_tags  # noqa: PLC0415 -- few choose among wheels

        version, platforms = self.version[:2], _platforms(self.pointer_bits)
        plain = f"cp{version[0]}{version[1]}"
        threaded = f"{plain}t" if self.free_threaded else plain
        # A debug build loads what was compiled for a release too, since 3.8.
        abis = [f"{threaded}d", threaded] if self.debug else [threaded]
        return [*cpython_tags(version, abis, platforms), *compatible_tags(version, plain, platforms)]

    def identity(self, *, any_patch: bool = False) -> dict[str, Any]:
        """Return what a key says of it: everything that can change what is resolved or compiled.

        With ``any_patch`` without the patch version, and with what bytecode depends on instead. Only final releases
        have the ABI and the bytecode of their series.
        """
        facts = self._asdict()
        del facts["executable"], facts["base_prefix"]
        facts["version"] = self.version_text
        if any_patch and self.version[3] == "final":
            facts["version"] = ".".join(map(str, self.version[:2]))
        else:
            del facts["magic"]
        return facts


class Fingerprint(NamedTuple):
    """What tells that a file on disk is still the same: real path, inode, size in bytes, mtime in nanoseconds."""

    path: str
    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: str) -> Fingerprint:
        """Take the fingerprint of what ``path`` leads to.

        :raises OSError: when it leads nowhere
        """
        real = os.path.realpath(path)
        facts = os.stat(real)
        return cls(path=real, inode=facts.st_ino, size=facts.st_size, mtime_ns=facts.st_mtime_ns)


def find(request: str | None) -> Interpreter:
    """Return the facts of the interpreter that ``request`` asks for; None means the one terrastore runs on.

    :param request: ``3.12``, ``>=3.11``, ``cpython@3.12``, a command, or a path
    :raises HostError: when there is none, or it is not CPython 3.9 or later
    """
    interpreter = _own(request) or probe(sys.executable if request is None else _discover(request))
    if interpreter.implementation != "cpython" or interpreter.version < _OLDEST:
        raise HostError(
            f"{interpreter.executable}, {interpreter.implementation} {interpreter.version_text}, is not supported",
            hint="choose CPython 3.9 or later with --python",
        )
    return interpreter


def probe(executable: str) -> Interpreter:
    """Ask one interpreter for its facts.

    :raises HostError: when it cannot be run
    """
    import inspect  # noqa: PLC0415 -- most runs are for the interpreter that they run on
    import subprocess  # noqa: PLC0415

    try:
        result = subprocess.run(
            [executable, "-I", "-S", "-c", inspect.getsource(_asked)],
            capture_output=True,
            check=True,
            timeout=_TIMEOUT,
            text=True,
        )
        return _from_facts(json.loads(result.stdout))
    except subprocess.CalledProcessError as error:
        problem = f"it ends with exit code {error.returncode}"
    except subprocess.TimeoutExpired:
        problem = f"it does not answer within {_TIMEOUT} s"
    except OSError as error:
        problem = reason(error)
    except (ValueError, LookupError, TypeError):
        problem = "its answer makes no sense"
    raise HostError(f"{executable} is no Python that works here: {problem}", hint="choose another with --python")


def _own(request: str | None) -> Interpreter | None:
    """Return what :func:`probe` would say of the interpreter that runs this, when that is what is asked for.

    It is looked at first, so a version that it has leads to it. None also when it was told another home than its own,
    which an environment's would not be.
    """
    match = re.fullmatch(_RELEASE, request) if request else None
    if (request is not None and match is None) or os.environ.get("PYTHONHOME"):
        return None
    own = _from_facts(_asked.facts())
    if match is None:
        return own
    is_plain = own.implementation == "cpython" and own.version[3] == "final" and not (own.free_threaded or own.debug)
    return own if is_plain and f"{own.version_text}.".startswith(f"{match[1]}.") else None


def _from_facts(facts: Mapping[str, Any]) -> Interpreter:
    return Interpreter(**{**facts, "version": tuple(facts["version"])})


def _discover(request: str) -> str:
    if os.sep in request:
        from pathlib import Path  # noqa: PLC0415 -- see probe

        if not os.path.exists(request):
            raise HostError(f"there is no {request}", hint="give --python an interpreter's path, or a version")
        return str(Path(request).absolute())
    try:
        from python_discovery import get_interpreter  # noqa: PLC0415 -- 90 ms that most runs do not need
    except ImportError:
        return _on_path(request)
    found = get_interpreter(request.replace("@", ""))
    if found is None:
        raise _none_fits(request)
    return str(found.system_executable or found.executable)


def _on_path(request: str) -> str:
    """Return the first interpreter on ``PATH`` that is of the version ``request``, or has that name.

    For where the standard library must do.

    :raises HostError: when there is none
    """
    import shutil  # noqa: PLC0415 -- see probe

    match = re.fullmatch(r"(?:cpython@?|python@?)?(\d+)(\.\d+)?((?:\.\d+)?(?:(?:a|b|rc)\d+)?t?)", request)
    if match is None:
        if (command := shutil.which(request)) is not None:
            return command
        raise _none_fits(request)
    major, minor, rest = match[1], match[2] or "", match[3]
    wanted = major + minor + rest.removesuffix("t")
    for folder in os.get_exec_path():
        for name in dict.fromkeys(
            (f"python{major}{minor}{'t' if rest.endswith('t') else ''}", f"python{major}", "python")
        ):
            if (found := shutil.which(name, path=folder)) is None:
                continue
            with suppress(HostError):
                if f"{probe(found).version_text}.".startswith(f"{wanted}."):
                    return found
    raise _none_fits(request)


def _platforms(pointer_bits: int) -> list[str]:
    """Return the platforms of this host's wheels for interpreters of a word size, in bits."""
    from packaging.tags import platform_tags  # noqa: PLC0415

    platforms, own = list(platform_tags()), sys.maxsize.bit_length() + 1
    if own == pointer_bits:
        return platforms
    if (own, pointer_bits) == (64, 32) and all(each.endswith("_x86_64") for each in platforms):
        return [f"{each.removesuffix('_x86_64')}_i686" for each in platforms]
    raise HostError(
        f"which wheels fit a Python of {pointer_bits} bits cannot be told by one of {own} bits",
        hint="install terrastore with a Python of the same kind, or choose another with --python",
    )


def _none_fits(request: str) -> HostError:
    return HostError(
        f"no interpreter on this machine fits --python {request}",
        hint="install one, or name another version or an interpreter's path",
    )
