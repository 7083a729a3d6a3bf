"""Places where environments may stand, canonical files, and what takes them there and asks them what they say."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# FORMAT.md section 7 writes these out.
NAME = "terrastore-staging-00000000000000000000000000000000"
PLACEHOLDER = f"/___________________________________________/{NAME}"
TOKEN = "0123456789abcdef" * 2

TARGETS = {
    "plain": "/srv/app/env",
    "every plain character": "/srv/aZ09_@+=,.-/env",
    "one character": "/e",
    "space": "/srv/my app/my env",
    "single quote": "/srv/o'brien's/it's",
    "two single quotes": "/srv/''/''",
    "double quote": '/srv/6" disk/an "env"',
    "dollar": "/srv/$HOME/${x}$(id)$",
    "backquote": "/srv/`id`/`",
    "semicolon": "/srv/a;b&c|d/;",
    "percent": "/srv/100%s%20/%d",
    "exclamation": "/srv/wow!/!! !$ !x",
    "brackets": "/srv/(a)[b]{c}<d>/*?",
    "hash and tilde": "/srv/#1'#/~root",
    "non-ASCII": "/srv/größe/環境 ñ",
    "300 characters": "/srv/" + "/".join(["0123456789" * 7] * 4) + "/env" * 3,
    "everything": "/srv/a b'c\"d$e;f%g!h`i(j)[k]{l}<m>*n?o~p#q^r&s|t/é 'x\" $y!",
}
SHORT_PLAIN = {"plain", "every plain character", "one character"}


def canonical(text: str) -> bytes:
    """Return a file's canonical form; ``<prefix>`` and ``<name>`` stand for the spellings of the placeholder."""
    return text.replace("<prefix>", PLACEHOLDER).replace("<name>", NAME).encode()


def meant(text: str, target: str) -> str:
    """Return what ``text`` says to whoever reads it in an environment at ``target``."""
    return text.replace("<prefix>", target).replace("<name>", target.rpartition("/")[2])


targets = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())


def require(program: str) -> None:
    """Skip a test that needs a program which is not here, but not in continuous integration."""
    if "CI" not in os.environ and not shutil.which(program):
        pytest.skip(f"there is no {program} here")


def said_by(command: list[str], script: bytes, folder: Path) -> list[str]:
    """Return the texts that a shell's script writes, each with a unit separator behind it."""
    path = folder / "script"
    path.write_bytes(script)
    done = subprocess.run([*command, str(path)], capture_output=True, check=True, timeout=30)
    assert done.stderr == b""
    return done.stdout.decode().split("\x1f")[:-1]


def environment(folder: Path, target: str) -> str:
    """Make what scripts need of an environment whose path ends in ``target``; return its prefix."""
    prefix = f"{folder}{target}"
    Path(prefix, "bin").mkdir(parents=True)
    os.symlink(os.path.realpath(sys.executable), f"{prefix}/bin/python")
    return prefix
