"""What tests of layers that are kept share: an archive with every kind of file, and how install takes it."""

from __future__ import annotations

import json
import os
import random
import shutil
import stat
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from terrastore.archive.pieces import LostError
from terrastore.archive.staging import StagingPrefix
from terrastore.archive.unpack import unpack
from terrastore.cache import LayerCache
from terrastore.report import Report
from tests.archive.memory import InMemory
from tests.archive.packing import SITE, Archive, distribution, packed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from terrastore.archive.unpack import Taken

PREFIX = "/srv/env"
MEBIBYTE = 1024 * 1024
MODES = (None, "hardlink", "clone")
"""How environments come by their files; None is copies."""


def make_archive(*, large: bool) -> Archive:
    """Pack an environment of two distributions and other files, of every kind; a large one is written by processes."""
    # Of pytest's directories some have names too long for a staging prefix.
    with tempfile.TemporaryDirectory(prefix="ts-") as folder:
        tree = Path(StagingPrefix.under(os.path.realpath(folder), "0f" * 16).path)
        _write(tree, large=large)
        return packed(tree)


def _write(tree: Path, *, large: bool) -> None:
    prefix = str(tree)
    distribution(tree, "alpha", __init___py=b"NUMBERS = {1, 2, 3}\n", data_txt=b"data\n" * 1000)
    noise = random.Random(7)
    files = {"noise_bin": noise.randbytes(33 * MEBIBYTE)} if large else {}
    distribution(tree, "bravo", __init___py=f"PLACE = {prefix!r}\n".encode(), empty_txt=b"", **files)
    texts = {
        "bin/alpha": f"#!{prefix}/bin/python -s\nprint('alpha')\n",
        "etc/x.conf": f"root = {prefix}/share\n",
        "lib/libtiny.a": f"!<arch>\n\0{prefix}/share\0:{prefix}:\0",
        "share/kernel.json": json.dumps({"argv": [f"{prefix}/bin/python"]}),
        "share/plain.txt": "plain\n",
        f"share/{'long-name-' * 12}.txt": "a path of more than 100 bytes\n",
        f"{SITE}/umlaut-ä.txt": "names are UTF-8\n",
    }
    if large:
        texts["share/large.txt"] = f"{prefix}\n{'line' * 1000}\n" * (9 * MEBIBYTE // 4100)
    for path, text in texts.items():
        place = tree / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    (tree / "bin/alpha").chmod(0o755)
    (tree / SITE / "alpha/data.txt").chmod(0o755)
    (tree / "share/empty").mkdir()
    (tree / "share/link").symlink_to("plain.txt")
    (tree / "lib64").symlink_to(f"{prefix}/lib")
    with (tree / SITE / "alpha-1.0.dist-info/RECORD").open("a") as record:
        record.write("../../../bin/alpha,sha256=AAAA,1\n")


class Found(NamedTuple):
    """What is at a path: type and mode, and content or target."""

    mode: int
    content: bytes


def contents(tree: Path) -> dict[str, Found]:
    """Return everything below ``tree``."""
    found = {}
    for path in sorted(tree.rglob("*")):
        mode = path.lstat().st_mode
        content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(tree))] = Found(0 if stat.S_ISLNK(mode) else mode, content)
    return found


class Machine:
    """A machine with an archive within reach, and a cache; ``kind`` is what caches are made of."""

    def __init__(
        self, folder: Path, archive: Archive, sharing: str | None, *, kind: type[LayerCache] = LayerCache
    ) -> None:
        self.archive = archive
        self.sharing = sharing
        self.kind = kind
        self.root = folder / "cache/layers"
        self.report = Report()
        self.asked = 0
        self.tries = 0
        self._folder = folder

    def cache(self) -> LayerCache:
        """Return the cache, as another run has it."""
        return self.kind(self.root, self.report, sharing=self.sharing, limit=10**12)

    def unpack(self, cache: LayerCache | None) -> tuple[Path, Taken]:
        """Make an environment as :mod:`terrastore.install` does; ``asked`` is how many bytes were read for it."""
        self.asked = self.tries = 0
        for layers in (cache, cache, None):
            reader = InMemory(self.archive.data)
            staged = Path(tempfile.mkdtemp(prefix="staged-", dir=self._folder))
            self.tries += 1
            try:
                taken = unpack(
                    reader,
                    self.archive.manifest,
                    str(staged),
                    prefix=PREFIX,
                    workers=2,
                    report=self.report,
                    layers=layers,
                )
            except LostError:
                shutil.rmtree(staged)
            else:
                return staged, taken
            finally:
                self.asked += sum(size for _, size in reader.asked)
        raise AssertionError("what is lost without a cache?")

    def kept(self) -> set[str]:
        """Return the names in the cache."""
        return {path.name for path in self.root.iterdir()} if self.root.is_dir() else set()

    def whole(self) -> set[str]:
        """Return the names that there are once every layer is kept, and nothing else."""
        end = ".d" if self.sharing else ".tar"
        return {f"{layer.digest}{end}" for layer in self.archive.manifest.layers if layer.frames}


class Expected:
    """An archive, and the environment that it is without any cache."""

    def __init__(self, folder: Path, *, large: bool) -> None:
        self.archive = make_archive(large=large)
        staged, taken = Machine(folder / "plain", self.archive, None).unpack(None)
        self.contents: dict[str, Found] = contents(staged)
        self.layers = {layer.name: layer for layer in self.archive.manifest.layers if layer.frames}
        assert sum(layer.packed for layer in self.layers.values()) == taken.size
        shutil.rmtree(staged)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    """Let the body's files be made under another mask."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)
