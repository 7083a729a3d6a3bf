"""What tests of faults on disk share: the rows of their tables, a project, what is left of a run."""

from __future__ import annotations

import os
import random
import re
import shutil
from collections import Counter
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from terrastore.archive.changes import Drift
from terrastore.archive.drift import find_drift
from terrastore.environment import State
from terrastore.report import Report
from tests.conftest import command_line, make_wheel
from tests.mounts import own_mounts_or_skip

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    import pytest

    from tests.conftest import CommandLine, Result

OLD, NEW = "1.0", "2.0"
NOTHING: Final = "nothing"
_FRAME: Final = re.compile(r'File "[^"]*/(\w+)\.py", line \d+, in (\w+)')


@dataclass(frozen=True)
class Row:
    """A line of the table of faults: what is wrong, when a run meets it, how that ends.

    ``message`` is a part of the error, or of the warnings where the exit code is 0: then the new environment stands,
    else the old one. ``left`` is what is there beside it afterwards that was not there before.
    """

    fault: str
    phase: str
    code: int
    message: str
    left: str = NOTHING

    def __str__(self) -> str:
        return f"{self.fault}, {self.phase}"


class Project:
    """A project that asks for the one or the other version of ``alpha``, and its command line."""

    def __init__(self, cli: CommandLine, wheels: Path) -> None:
        self.cli = cli
        # uv takes a fraction of the time.
        cli.env |= {"TERRASTORE_NO_SEED": "1", "TERRASTORE_NO_INDEX": "1"}
        cli.env |= {"TERRASTORE_INSTALLER": "uv", "UV_FIND_LINKS": str(wheels)}

    def elsewhere(self, name: str) -> Project:
        """Return the same in a directory of its own, so that several can be at work at once."""
        other = copy(self)
        other.cli = copy(self.cli)
        other.cli.env, other.cli.options = dict(self.cli.env), dict(self.cli.options)
        other.cli.cwd = self.cli.home / name
        other.cli.cwd.mkdir()
        return other

    @property
    def old_store(self) -> Path:
        """A store that has the old version alone."""
        return self.cli.home / "old-store"

    def ask_for(self, version: str) -> None:
        self.cli.write("requirements.txt", f"alpha=={version}\n")

    def build(self) -> None:
        """Build both versions for the store."""
        for version in (OLD, NEW):
            self.ask_for(version)
            self.cli.ok("build")
            if version == OLD:
                shutil.copytree(self.cli.store, self.old_store)

    def stand(self, target: Path, version: str = OLD) -> None:
        """Let an environment of a version stand at ``target``."""
        self.ask_for(version)
        self.cli.ok("ensure", "--no-build", "--target", str(target))


@contextmanager
def own_project(folders: pytest.TempPathFactory) -> Iterator[Project]:
    """Yield a project with a store that has both versions, and mounts that nobody else sees."""
    wheels = make_wheels(folders.mktemp("wheels"))
    with own_mounts_or_skip(), command_line(folders.mktemp("disk") / "home", wheels) as cli:
        project = Project(cli, wheels)
        project.build()
        yield project


def make_wheels(folder: Path) -> Path:
    """Write two versions of ``alpha`` which take their room: in a file, and again in bytecode."""
    chance = random.Random(7)
    for version in (OLD, NEW):
        table = f"VERSION = {version!r}\nTABLE = {chance.randbytes(100_000)!r}\n\n\ndef main():\n    print(VERSION)\n"
        files: dict[str, str | bytes] = {"alpha/__init__.py": table, "alpha/data.bin": chance.randbytes(200_000)}
        make_wheel(folder, "alpha", version, files, scripts={"alpha": "alpha:main"})
    return folder


def version(environment: Path) -> str | None:
    """Return which version of ``alpha`` is in an environment that is whole, None when there is none at all."""
    if not environment.exists():
        return None
    root = os.path.realpath(environment)
    state = State.read(root)
    assert state is not None
    assert (root, Drift()) == (state.prefix, find_drift(root, prefix=root, workers=1, report=Report()))
    (info,) = environment.glob("lib/*/site-packages/alpha-*.dist-info")
    return info.name.removeprefix("alpha-").removesuffix(".dist-info")


def said(result: Result) -> tuple[str, str]:
    """Return the one error and its hint that a run ended with, or its warnings and nothing."""
    lines = [line for line in result.err.splitlines() if line.startswith("terrastore: ")]
    if not result.code:
        return "\n".join(line.removeprefix("terrastore: warning: ") for line in lines), ""
    error, hint = (line for line in lines if not line.startswith("terrastore: warning: "))
    assert (True, True) == (error.startswith("terrastore: error: "), hint.startswith("terrastore: hint: "))
    return error.removeprefix("terrastore: error: "), hint.removeprefix("terrastore: hint: ")


def steps(result: Result) -> list[str]:
    """Return the functions, as ``module.function``, that were at work when a run with ``-v`` met an error."""
    return [f"{module}.{function}" for module, function in _FRAME.findall(result.err)]


def listed(things: Collection[str]) -> str:
    """Return what there is in words: ``an archive, 2 leases``."""
    articles = {thing: "an" if thing[0] in "aeiou" else "a" for thing in things}
    counts = sorted(Counter(things).items())
    words = (f"{count} {thing}s" if count > 1 else f"{articles[thing]} {thing}" for thing, count in counts)
    return ", ".join(words) or NOTHING


def in_store(root: Path) -> list[str]:
    """Return what is in a store, by kind: whatever is unfinished, and directories that hold nothing, too."""
    kinds = {"archives": "archive", "leases": "lease", "pointers": "pointer"}
    found = []
    for folder, folders, files in os.walk(root / "v1"):
        kind = os.path.relpath(folder, root / "v1").split("/")[0]
        if kind == "uses":  # marks of use, which nothing depends on
            continue
        found += ["unfinished file" if name.startswith(".") else kinds.get(kind, "stranger") for name in files]
        found += [] if folders or files else ["empty directory"]
    return found
