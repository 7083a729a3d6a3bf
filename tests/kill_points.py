"""Kills a command just before any chosen one of its disk-changing system calls, which strace(1) counts."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

_CHANGES: Final = (
    "open,openat,creat,mkdir,mkdirat,rmdir,unlink,unlinkat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,"
    "chmod,fchmod,fchmodat,chown,fchown,lchown,fchownat,truncate,ftruncate,fallocate,write,writev,pwrite64,pwritev,"
    "copy_file_range,sendfile,fsync,fdatasync,utime,utimes,utimensat,setxattr,fsetxattr"
)
_NAMED: Final = {"mkdir", "rmdir", "unlink", "unlinkat", "rename", "renameat2", "link", "linkat", "symlink"}
_BEGUN: Final = re.compile(r"(\d+) +(\w+)\((.*)")
_RANDOM: Final = re.compile(r"[0-9a-f]{16,}")
_KEY: Final = re.compile(r"cp\d+t?-\w+-\*")
_PATHS: Final = re.compile(r"""\d+<([^>]*)>|"([^"]*)\"""")
_END: Final = re.compile(r"( <unfinished \.\.\.>|\) += .*)$")


@dataclass(frozen=True)
class Call:
    """The ``number``-th call of a system call by the first thread of a command, and what it was given."""

    name: str
    number: int
    given: str
    failed: bool = field(default=False, compare=False)

    def described(self, root: Path) -> str:
        """Return what it does in words, with paths below ``root``, and stars for what is random."""
        given = self.given.replace(f"AT_FDCWD<{root}>", "").replace(f"{root}/", "").replace(str(root), ".")
        given = _KEY.sub("KEY", given)
        paths = [quoted or opened for opened, quoted in _PATHS.findall(given)]
        match self.name:
            case "renameat2":
                return f"exchange `{paths[0]}` and `{paths[1]}`"
            case "rename" | "link":
                return f"{self.name} `{paths[0]}` to `{paths[1]}`"
            case "symlink":
                return f"symlink `{paths[1]}`"
            case "openat":
                return f"{'create' if 'O_CREAT' in given else 'open'} `{paths[0]}`"
            case _:
                return f"{self.name} `{paths[0]}`"


class Killer:
    """Runs a command under strace; without ``exchange`` as on a filesystem that cannot exchange two names."""

    def __init__(self, command: Sequence[str], *, cwd: Path, env: Mapping[str, str], exchange: bool = True) -> None:
        self._command = command
        self._cwd = cwd
        self._env = env
        self._faults = () if exchange else ("-e", "inject=renameat2:error=EINVAL")

    def calls(self, *folders: Path) -> list[Call]:
        """Run to the end, and return what changed anything in ``folders``."""
        code, calls = self._run()
        assert 0 == code
        return [
            call
            for call in calls
            if any(str(folder) in call.given.removeprefix(f"AT_FDCWD<{self._cwd}>") for folder in folders)
            if "O_RDONLY" not in call.given and not call.failed and not (self._faults and call.name == "renameat2")
        ]

    def kill_before(self, call: Call) -> None:
        """Run until that call, which is not made any more."""
        code, calls = self._run("-e", f"inject={call.name}:signal=SIGKILL:when={call.number}")
        assert -9 == code, f"survived {call}"
        if call.name in _NAMED:
            assert call == calls[-1]

    def _run(self, *options: str) -> tuple[int, list[Call]]:
        with tempfile.NamedTemporaryFile("r", prefix="strace-") as log:
            tracer = ["strace", "-f", "-y", "-s", "200", "-e", "signal=none", "-o", log.name]
            done = subprocess.run(
                [*tracer, "-e", f"trace={_CHANGES}", *self._faults, *options, *self._command],
                cwd=self._cwd,
                env=self._env,
                stdout=subprocess.DEVNULL,
                check=False,
                timeout=60,
            )
            return done.returncode, list(_of_first_thread(log))


def tracer_lacks() -> str:
    """Return why commands cannot be traced here, nothing when they can."""
    if shutil.which("strace") is None:
        return "there is no strace"
    done = subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, text=True, check=False)
    return done.stderr if done.returncode else ""


def _of_first_thread(log: Iterable[str]) -> Iterator[Call]:
    counts: Counter[str] = Counter()
    first = None
    for line in log:
        if (begun := _BEGUN.match(line)) is not None:
            thread, name, given = begun.groups()
            first = first or thread
            if thread == first:
                counts[name] += 1
                yield Call(name, counts[name], _RANDOM.sub("*", _END.sub("", given)), failed=" = -1 E" in given)
