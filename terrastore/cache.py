"""Layers that this machine keeps, by digest, so that what did not change is neither fetched nor unpacked again.

A layer is kept as one file of its raw bytes, which environments get copies from, or as a directory of its files, which
they share by hard links or clones. Every name is there whole or not at all, so any number of processes may use the
cache at once; what is removed while somebody takes it is fetched again.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import time
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Final

from terrastore.archive.pieces import FILES
from terrastore.archive.ustar import MalformedError
from terrastore.errors import reason

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from terrastore.archive.manifest import Layer
    from terrastore.report import Report

_LEAST_LEFT: Final = 1_000_000_000
_RAW: Final = ".tar"
_TREE: Final = ".d"
_NEW: Final = ".new-"
_DAY: Final = 86400.0  # seconds


class LayerCache:
    """The layers in the directory ``root``, which only this user may read; at most ``limit`` bytes of them stay.

    ``sharing`` is how files are shared, None for copies. Trouble with the disk is told once, and then nothing more is
    kept.
    """

    def __init__(self, root: Path, report: Report, *, sharing: str | None = None, limit: int) -> None:
        self.sharing = sharing
        self._root = str(root)
        self._report = report
        self._limit = limit
        self._is_usable = True
        self._grew = False
        self._there: dict[str, bool] = {}

    def has(self, layer: Layer) -> bool:
        """Whether a layer is kept, or has nothing to keep; asked again, it is what it was."""
        if not layer.frames:
            return True
        if layer.digest not in self._there:
            self._there[layer.digest] = self._is_private and self._is_there(layer)
        return self._there[layer.digest]

    def place(self, layer: Layer) -> str:
        """Return the file of a layer's raw bytes, or the directory of its tree."""
        return os.path.join(self._root, layer.digest + (_TREE if self.sharing else _RAW))

    def new(self, layer: Layer) -> NewLayer | None:
        """Begin to keep a layer; None when nothing more can be kept."""
        if not self._is_private or not self._is_usable:
            return None
        new = NewLayer(self, layer, os.path.join(self._root, _NEW + secrets.token_hex(8)))
        try:
            if not self._has_room(layer):
                return None
            os.makedirs(os.path.dirname(self._root), exist_ok=True)
            with suppress(FileExistsError):
                os.mkdir(self._root, 0o700)
            os.close(os.open(new.raw, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            if new.tree is not None:
                os.makedirs(os.path.join(new.tree, FILES), 0o700)
        except OSError as error:
            new.fail(error)
            return None
        return new

    @cached_property
    def _is_private(self) -> bool:
        """Whether nobody else can have put anything here: what is kept is not compared with its digest again."""
        try:
            facts = os.stat(self._root)
        except OSError:
            return True
        if facts.st_uid != os.getuid():
            self.fail(OSError("it is another user's"))
        elif facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            self.fail(OSError("others may write to it"))
        else:
            return True
        return False

    def drop(self, layer: Layer) -> None:
        """Forget a layer, because it is not as it was."""
        # Even where it cannot be removed.
        self._there[layer.digest] = False
        _remove(self.place(layer))

    def fail(self, error: OSError) -> None:
        """Keep nothing more, and say why."""
        if self._is_usable:
            self._is_usable = False
            self._report.warn(f"layers are not kept in {self._root}: {reason(error)}")

    def add(self, layer: Layer, temporary: str) -> None:
        """Give what was written at ``temporary`` the layer's name."""
        try:
            os.rename(temporary, self.place(layer))
        except OSError as error:
            _remove(temporary)
            if not os.path.lexists(self.place(layer)):  # else somebody was faster
                self.fail(error)
        self._grew = True

    def trim(self) -> None:
        """Keep to the limit, when something was added."""
        if self._grew:
            with suppress(OSError):
                prune(self._root, self._limit)

    def _has_room(self, layer: Layer) -> bool:
        """Whether enough is left on the disk; what is kept must not take the place of environments."""
        folder = self._root
        while not os.path.isdir(folder):
            folder = os.path.dirname(folder)
        facts = os.statvfs(folder)
        return facts.f_bavail * facts.f_frsize - 2 * layer.size > _LEAST_LEFT

    def _is_there(self, layer: Layer) -> bool:
        place = self.place(layer)
        try:
            size = os.stat(place).st_size
        except OSError:
            return False
        if not self.sharing and size != layer.size:
            # Whoever lost power may have the name and not all the bytes.
            _remove(place)
            return False
        with suppress(OSError):
            os.utime(place)  # so that what is used stays
        return True


class NewLayer:
    """A layer on its way into the cache."""

    def __init__(self, cache: LayerCache, layer: Layer, temporary: str) -> None:
        self._cache = cache
        self._layer = layer
        self._temporary = temporary
        self._is_open = True

    @property
    def raw(self) -> str:
        """The file that its raw bytes are written to."""
        return f"{self._temporary}{_RAW}"

    @property
    def tree(self) -> str | None:
        """The directory that becomes its tree, None when environments get copies."""
        return self._temporary if self._cache.sharing else None

    def fail(self, error: OSError) -> None:
        """Take note that it could not be written."""
        self._cache.fail(error)
        self.abandon()

    @property
    def is_open(self) -> bool:
        """Whether it can still be kept."""
        return self._is_open

    def end(self, digest: str) -> None:
        """Keep what was written, whose raw bytes have this digest.

        :raises MalformedError: when it is not the layer's
        """
        if digest != self._layer.digest:
            msg = f"the layer {self._layer.name} is not the one that its digest names"
            raise MalformedError(msg)
        self._is_open = False
        if self.tree is not None:
            _remove(self.raw)
        self._cache.add(self._layer, self.tree or self.raw)

    def abandon(self) -> None:
        """Leave nothing behind of what was not ended."""
        if self._is_open:
            self._is_open = False
            _remove(self.raw)
            _remove(self._temporary)


def prune(root: str, limit: int) -> int:
    """Keep the layers that were used last, as many as ``limit`` bytes have room for, and remove the others.

    One that alone is larger than what is left goes, and smaller ones that were not used for longer may stay. What
    killed runs left goes too, once it is a day old. Return how many bytes were removed.
    """
    left = removed = 0
    for used, size, place in sorted(_kept(root), reverse=True):
        if os.path.basename(place).startswith(_NEW):
            goes = time.time() - used > _DAY
        else:
            goes = left + size > limit
            left += 0 if goes else size
        if goes and _remove(place):
            removed += size
    return removed


def size_of(path: str) -> int:
    """Return how many bytes the files at or below ``path`` have."""
    if os.path.isdir(path) and not os.path.islink(path):
        return sum(size for _, size, _ in _kept(path))
    with suppress(FileNotFoundError):
        return os.lstat(path).st_size
    return 0  # others may be at work


def _kept(root: str) -> Iterator[tuple[float, int, str]]:
    """Yield (time of last use, bytes, place) of everything in ``root``."""
    with suppress(FileNotFoundError), os.scandir(root) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                facts = entry.stat(follow_symlinks=False)
                yield facts.st_mtime, _size(entry), entry.path


def _size(entry: os.DirEntry[str]) -> int:
    """Return how many bytes are there, as far as that can be seen."""
    with suppress(OSError):
        if not entry.is_dir(follow_symlinks=False):
            return entry.stat(follow_symlinks=False).st_size
        with os.scandir(entry.path) as entries:
            return sum(map(_size, entries))
    return 0


def _remove(place: str) -> bool:
    """Remove what is at ``place``, of which nobody ever sees a part; return whether it is gone."""
    if os.path.isdir(place) and not os.path.islink(place):
        aside = os.path.join(os.path.dirname(place), _NEW + secrets.token_hex(8))
        with suppress(OSError):
            os.rename(place, aside)
            shutil.rmtree(aside, ignore_errors=True)
    else:
        with suppress(OSError):
            os.unlink(place)
    return not os.path.lexists(place)
