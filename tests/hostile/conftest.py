"""A store with a sound environment, which attacks are made from."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.conftest import command_line
from tests.hostile.draft import Draft

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import CommandLine


@dataclass(frozen=True)
class Victim:
    """A project whose environment has ``alpha`` 1.0 and that asks for 2.0; a pointer and an archive of that in a store.

    ``outside`` is a directory with a file that nobody may change.
    """

    cli: CommandLine
    key: str
    pointer: Path
    archive: Path
    outside: Path
    sound: tuple[bytes, bytes]

    def draft(self) -> Draft:
        """Take the sound archive apart."""
        return Draft.of(*self.sound, key=self.key, outside=str(self.outside))

    def plant(self, archive: bytes, envelope: bytes) -> None:
        """Put an archive and its pointer into the store."""
        self.archive.write_bytes(archive)
        self.pointer.write_bytes(envelope)

    def heal(self) -> None:
        """Put the sound ones back."""
        self.plant(*self.sound)


@pytest.fixture(scope="session")
def victim(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Iterator[Victim]:
    """Return a project with a store of its own."""
    with command_line(tmp_path_factory.mktemp("hostile") / "home", wheels) as cli:
        cli.env |= {"TERRASTORE_NO_SEED": "1", "TERRASTORE_NO_INDEX": "1", "TERRASTORE_INSTALLER": "uv"}
        cli.env |= {"UV_FIND_LINKS": str(wheels)}
        outside = cli.home / "outside"
        outside.mkdir()
        (outside / "precious").write_text("precious\n")
        cli.write("requirements.txt", "alpha==1.0\n")
        cli.ok("ensure", "--no-publish")
        cli.write("requirements.txt", "alpha==2.0\n")
        cli.ok("build")
        shutil.rmtree(cli.store / "v1/leases")
        (pointer,) = (cli.store / "v1/pointers").iterdir()
        (archive,) = (cli.store / "v1/archives" / pointer.stem).iterdir()
        sound = archive.read_bytes(), pointer.read_bytes()
        yield Victim(cli, pointer.stem, pointer, archive, outside, sound)
