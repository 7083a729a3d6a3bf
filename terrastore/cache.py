"""Layers that this machine keeps, by digest, so that what did not change is neither fetched nor unpacked again.

A layer is kept as one file of its raw bytes, which environments are copied from, or as a directory of its files, which
they share by hard links or clones. A name is there whole or not at all, so any number of processes may use the cache
at once; what is removed while somebody takes it is fetched again.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import time
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, Final

from terrastore.archive.ustar import MalformedError
from terrastore.errors import reason

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from terrastore.archive.manifest import Layer
    from terrastore.report import Report

LIMIT: Final = 10_000_000_000
"""How many bytes of layers are kept unless something else is said."""
_RAW: Final = ".tar"
_TREE: Final = ".d"
_NEW: Final = ".new-"
_DAY: Final = 86400.0  # seconds


class LayerCache:
    """The layers in the directory ``root``, which only this user may read; more than ``limit`` bytes do not stay.

    Trouble with the disk is told once, and then nothing more is kept.
    """

    def __init__(self, root: Path, report: Report, *, limit: int = LIMIT) -> None:
        self._root = str(root)
        self._report = report
        self._limit = limit
        self._is_usable = True
        self._grew = False

    def open(self, layer: Layer) -> BinaryIO | None:
        """Return an open file with the raw bytes of a layer, None when they are not kept."""
        place = self._place(layer.digest, _RAW)
        try:
            file = open(place, "rb")  # noqa: SIM115 -- closed by the caller
        except OSError:
            return None
        # Whoever lost power may have the name and not all the bytes.
        if os.fstat(file.fileno()).st_size != layer.size:
            file.close()
            self.drop(layer)
            return None
        _touch(place)
        return file

    def tree(self, layer: Layer) -> str | None:
        """Return the directory that a layer's files are kept in, None when they are not."""
        place = self._place(layer.digest, _TREE)
        if not os.path.isdir(place):
            return None
        _touch(place)
        return place

    def new(self, layer: Layer) -> NewLayer:
        """Return what keeps the raw bytes of a layer as they come."""
        return NewLayer(self, layer, self._unfinished(), self._place(layer.digest, _RAW))

    def new_tree(self) -> str:
        """Make an empty directory for a layer's files; :meth:`keep_tree` gives it its name.

        :raises OSError: when that cannot be
        """
        place = self._unfinished()
        self.make_folder()
        os.mkdir(place, 0o700)
        return place

    def keep_tree(self, place: str, layer: Layer) -> str:
        """Keep what :meth:`new_tree` made as the files of a layer; return where they are."""
        kept = self._place(layer.digest, _TREE)
        try:
            os.rename(place, kept)
        except OSError:
            shutil.rmtree(place, ignore_errors=True)  # somebody was faster
            if not os.path.isdir(kept):
                raise
        self._grew = True
        return kept

    def drop(self, layer: Layer) -> None:
        """Forget a layer, because it is not as it was."""
        _remove(self._place(layer.digest, _RAW))
        _remove(self._place(layer.digest, _TREE))

    def make_folder(self) -> None:
        """Make the directory, for nobody else."""
        os.makedirs(os.path.dirname(self._root), exist_ok=True)
        with suppress(FileExistsError):
            os.mkdir(self._root, 0o700)

    @property
    def is_usable(self) -> bool:
        """Whether something can still be kept."""
        return self._is_usable

    def fail(self, error: OSError) -> None:
        """Keep nothing any more, and say why."""
        if self._is_usable:
            self._is_usable = False
            self._report.warn(f"layers are not kept in {self._root}: {reason(error)}")

    def grew(self) -> None:
        """Take note that a layer was added."""
        self._grew = True

    def trim(self) -> None:
        """Keep to the limit, if this run added something."""
        if self._grew:
            prune(self._root, self._limit)

    def _place(self, digest: str, form: str) -> str:
        return os.path.join(self._root, digest + form)

    def _unfinished(self) -> str:
        return os.path.join(self._root, _NEW + secrets.token_hex(8))


class NewLayer:
    """A layer on its way into the cache; it is there once :meth:`end` found that it is the one its digest names."""

    def __init__(self, cache: LayerCache, layer: Layer, temporary: str, place: str) -> None:
        self._cache = cache
        self._layer = layer
        self._temporary = temporary
        self._place = place
        self._file: BinaryIO | None = None
        self._digest = hashlib.sha256()

    def write(self, raw: bytes) -> None:
        """Take the next bytes."""
        self._digest.update(raw)
        if not self._cache.is_usable:
            return
        try:
            if self._file is None:
                self._cache.make_folder()
                self._file = open(self._temporary, "xb", buffering=0)  # noqa: SIM115 -- closed by end or abandon
            view = memoryview(raw)
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            self._cache.fail(error)

    def end(self) -> None:
        """Keep what was taken.

        :raises MalformedError: when it is not what the digest names
        """
        if self._digest.hexdigest() != self._layer.digest:
            msg = f"the layer {self._layer.name} is not the one that its digest names"
            raise MalformedError(msg)
        if self._file is not None and self._cache.is_usable:
            self._file.close()
            try:
                os.rename(self._temporary, self._place)
            except OSError as error:
                self._cache.fail(error)
            self._file = None
            self._cache.grew()

    def abandon(self) -> None:
        """Leave nothing behind of what was not ended."""
        if self._file is not None:
            self._file.close()
            self._file = None
            _remove(self._temporary)


def prune(root: str, limit: int) -> int:
    """Remove layers, those first that were not used for the longest time, until ``limit`` bytes are left.

    What killed runs left goes too, once it is a day old. Return how many bytes were removed.
    """
    there = sorted(_layers(root), key=lambda each: each[0], reverse=True)
    removed = left = 0
    for used, size, place in there:
        is_leftover = os.path.basename(place).startswith(_NEW)
        if is_leftover:
            gone = time.time() - used > _DAY
        else:
            gone = left + size > limit
            left += 0 if gone else size
        if gone and _remove(place):
            removed += size
    return removed


def size(root: str) -> int:
    """Return how many bytes the layers in ``root`` have."""
    return sum(size for _, size, _ in _layers(root))


def _layers(root: str) -> Iterator[tuple[float, int, str]]:
    """Yield (time of last use, bytes, place) of everything that is kept in ``root``."""
    with suppress(FileNotFoundError), os.scandir(root) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                facts = entry.stat(follow_symlinks=False)
                yield facts.st_mtime, _size(entry, facts.st_size), entry.path


def _size(entry: os.DirEntry[str], own: int) -> int:
    if not entry.is_dir(follow_symlinks=False):
        return own
    return sum(_size(below, below.stat(follow_symlinks=False).st_size) for below in os.scandir(entry.path))


def _touch(place: str) -> None:
    """Note that a layer was used."""
    with suppress(OSError):
        os.utime(place)


def _remove(place: str) -> bool:
    """Remove what is kept at ``place``, of which nobody sees a part; return whether it is gone."""
    if not os.path.isdir(place):
        with suppress(FileNotFoundError):
            os.unlink(place)
        return True
    aside = os.path.join(os.path.dirname(place), _NEW + secrets.token_hex(8))
    with suppress(OSError):
        os.rename(place, aside)
        shutil.rmtree(aside, ignore_errors=True)
    return not os.path.lexists(place)
