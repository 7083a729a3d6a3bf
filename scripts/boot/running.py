"""How a program ends, what it is told, where it works."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from glob import escape, glob
from itertools import pairwise
from typing import NoReturn

# The script hands on what it is called before its arguments.
PROGRAM, *ARGUMENTS = sys.argv[1:] or [""]
# As terrastore's own, which README lists.
USAGE, ABSENT, BUILD, UNREACHABLE, DENIED, UNTRUSTED, UNFIT, INTERRUPTED = 2, 4, 5, 6, 7, 8, 9, 130


class Failure(Exception):
    """What ends a run: an exit code, and the line that says why."""

    def __init__(self, code: int, line: str) -> None:
        super().__init__(line)
        self.code = code


def tell(line: str) -> None:
    print(f"{PROGRAM}: {line}", file=sys.stderr, flush=True)


def variable(name: str) -> str:
    return os.environ.get(name) or ""


def settings(name: str) -> list[str]:
    """Return what flags say of an option, else its variable, else the user's settings, else the machine's."""
    flag = f"--{name}"
    said = [after for word, after in pairwise(ARGUMENTS) if word == flag]
    said += [word.partition("=")[2] for word in ARGUMENTS if word.startswith(f"{flag}=")]
    if said:
        return said
    if f"TERRASTORE_{name.upper()}" in os.environ:
        return variable(f"TERRASTORE_{name.upper()}").split() or [""]
    folders = [variable("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")]
    for folder in [*folders, (variable("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")[0]]:
        path = f"{folder}/terrastore/terrastore.toml"
        try:
            with open(path, "rb") as file:
                value = tomllib.load(file).get(name, [])
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError) as error:
            raise Failure(USAGE, f"{path} cannot be read: {error}") from None
        if value:
            return [str(each) for each in (value if isinstance(value, list) else [value])]
    return []


@contextmanager
def workspace(folder: str, prefix: str) -> Iterator[str]:
    """Yield a new directory that is removed afterwards; of those by that prefix, those that killed runs left go too."""
    os.makedirs(folder, exist_ok=True)
    while True:
        path = tempfile.mkdtemp(prefix=prefix, dir=folder)
        lock = os.open(path, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(path):  # nobody took it for left in between
            break
        os.close(lock)
    # As long as a program that was started is at work there, it is held, whatever becomes of this one.
    os.set_inheritable(lock, True)
    try:
        for left in glob(f"{escape(f'{folder}/{prefix}')}*"):
            remove_left(left)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def remove_left(path: str) -> None:
    try:
        lock = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path, ignore_errors=True)
    except BlockingIOError:
        pass
    finally:
        os.close(lock)


def run(main: Callable[[], int]) -> NoReturn:
    """Run a program to its end; one line says what went wrong."""
    try:
        os.umask(0o022)
        sys.exit(main())
    except Failure as failure:
        tell(f"error: {failure}")
        sys.exit(failure.code)
    except OSError as error:
        tell(f"error: {error.filename or 'the disk'}: {(error.strerror or str(error)).lower()}")
        sys.exit(UNFIT if error.errno in {errno.ENOSPC, errno.EDQUOT} else USAGE)
    except (LookupError, TypeError, ValueError) as error:
        tell(f"error: what the store has is not what it should be: {error!r}")
        sys.exit(UNTRUSTED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
