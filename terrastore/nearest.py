"""What is nearest to a request: the environment on disk, else one of the newest in a store; and how it differs.

This only explains: whatever cannot be read, or not in time, is not compared with.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from heapq import nlargest
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final, Self

from terrastore import catalogue
from terrastore.archive.originals import read_environment_manifest
from terrastore.difference import differences, distance, file_differences, same_packages, told
from terrastore.difference.values import HOST, INSTALLER
from terrastore.environment import State
from terrastore.errors import UsageError
from terrastore.key import SCHEMA, EnvKey
from terrastore.messages import near
from terrastore.report import Report
from terrastore.requirements.lines import is_url
from terrastore.store import layout
from terrastore.store.protocol import ListableStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from terrastore.archive.manifest import Manifest
    from terrastore.difference import Difference
    from terrastore.key import Request
    from terrastore.store.protocol import Store
    from terrastore.trust import Trust

_MOST: Final = 20
_READERS: Final = 10
SECONDS: Final = 2.0
"""Longest to look through a store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearest:
    """An environment that a request differs from.

    ``place`` is the directory it stands in, None for one in ``store``. ``packages`` is how many it holds, ``same`` how
    many of them no difference is about, as :func:`~terrastore.difference.same_packages` counts.
    """

    key: EnvKey
    place: str | None
    store: str | None
    differences: tuple[Difference, ...]
    same: int
    packages: int

    @classmethod
    def of(
        cls,
        manifest: Manifest,
        request: Mapping[str, Any],
        *,
        key: str,
        place: str | None = None,
        store: str | None = None,
        files: tuple[Difference, ...] = (),
    ) -> Self:
        """Compare what a manifest says was asked for with a canonical ``request``."""
        versions = {package.name: package.version for package in manifest.packages}
        found = differences(manifest.request, request, files=files, versions=versions)
        return cls(
            key=EnvKey.parse(key),
            place=place,
            store=store,
            differences=found,
            same=same_packages(found, versions),
            packages=len(manifest.packages),
        )

    @property
    def name(self) -> str:
        """The environment as a person would name it: its directory, or its key."""
        return near(self.place) if self.place is not None else self.key.short

    @property
    def likeness(self) -> str:
        """What it has in common: packages, if any, unless all are for another machine or by another installer."""
        if not self.same or any(each.kind in {HOST, INSTALLER} for each in self.differences):
            return ""
        return f"{self.same} of {self.packages} package{'' if self.packages == 1 else 's'} as in {self.name}"

    @property
    def line(self) -> str:
        """The first differences, and what it has in common."""
        return f"{told(self.differences)}; {self.likeness or f'compared with {self.name}'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """What was seen of a store: the nearest, and how many have keys by the rules of an earlier version."""

    nearest: Nearest | None = None
    earlier: int = 0


def find(
    request: Request, *, place: str | None, store: Store | None, trust: Trust, published_first: bool = False
) -> Nearest | None:
    """Return what is to be compared with a request that is a miss: the environment at ``place``, else the store's.

    For who must not build it is the other way round: somebody else published what may have been meant.
    """
    disk = partial(on_disk, place, request) if place is not None else lambda: None
    published = partial(_published, store, request, trust) if store is not None else lambda: None
    first, second = (published, disk) if published_first else (disk, published)
    return first() or second()


def on_disk(path: str, request: Request) -> Nearest | None:
    """Return how the environment at ``path`` differs; None when there is none, or it is what is asked for."""
    state = State.read(path)
    try:
        manifest = read_environment_manifest(path)
        nearest = Nearest.of(
            manifest,
            request.canonical(),
            key=state.key if state else manifest.key,
            place=path,
            files=_file_differences(state, request) if state else (),
        )
    except UsageError:
        return None
    return nearest if nearest.differences else None


def in_store(store: Store, request: Request, trust: Trust, *, seconds: float = SECONDS) -> Neighbours:
    """Return what is nearest of the newest twenty environments for the request's interpreter and platform.

    Of several stores the farthest that can be listed is looked through, for ``seconds`` at most.
    """
    listable = [each for each in catalogue.layers(store) if isinstance(each, ListableStore)]
    if not listable:
        return Neighbours()
    canonical, earlier = request.canonical(), 0
    nearest: Nearest | None = None
    begins = f"{request.interpreter.tag}-{request.host.tag}-"
    for manifest in _Search(listable[-1], begins, trust, seconds).newest_first():
        schema = manifest.request.get("schema")
        earlier += isinstance(schema, int) and schema < SCHEMA
        found = Nearest.of(manifest, canonical, key=manifest.key, store=str(listable[-1]))
        is_nearer = nearest is None or distance(found.differences) < distance(nearest.differences)
        nearest = found if found.differences and is_nearer else nearest
    return Neighbours(nearest=nearest, earlier=earlier)


def _published(store: Store, request: Request, trust: Trust) -> Nearest | None:
    return in_store(store, request, trust).nearest


def _file_differences(state: State, request: Request) -> tuple[Difference, ...]:
    before = {str(each["path"]): str(each["sha256"]) for each in state.inputs if {"path", "sha256"} <= each.keys()}
    sources = request.requirements.sources
    after = {each.path if is_url(each.path) else os.path.abspath(each.path): each.sha256 for each in sources}
    return file_differences(before, after, lambda path: path if is_url(path) else near(path))


class _Search:
    """Reads the manifests of a store's newest environments, several at once, as far as they come in time.

    The threads are daemons: a store that does not answer holds up neither the run nor its end.
    """

    def __init__(self, store: ListableStore, prefix: str, trust: Trust, seconds: float) -> None:
        self._store = store
        self._trust = trust
        self._prefix = layout.POINTERS + prefix
        self._deadline = time.monotonic() + seconds
        self._listing = seconds / 2
        self._wanted: SimpleQueue[tuple[int, EnvKey]] = SimpleQueue()
        self._read: SimpleQueue[tuple[int, Manifest | None]] = SimpleQueue()
        self._listed: SimpleQueue[int] = SimpleQueue()

    def newest_first(self) -> list[Manifest]:
        """Return what there is, the newest first; nothing when the store cannot be asked."""
        threading.Thread(target=self._list, daemon=True).start()
        found: dict[int, Manifest] = {}
        with suppress(Empty):
            for _ in range(self._listed.get(timeout=self._left)):
                number, manifest = self._read.get(timeout=self._left)
                if manifest is not None:
                    found[number] = manifest
        return [found[number] for number in sorted(found)]

    @property
    def _left(self) -> float:
        return max(0.0, self._deadline - time.monotonic())

    def _list(self) -> None:
        newest: list[tuple[float, EnvKey]] = []
        with suppress(Exception):  # what cannot be listed has no neighbours
            newest = nlargest(_MOST, self._keys(), key=lambda each: each[0])
        for number, (_, key) in enumerate(newest):
            self._wanted.put((number, key))
        for _ in range(min(_READERS, len(newest))):
            threading.Thread(target=self._read_manifests, daemon=True).start()
        self._listed.put(len(newest))

    def _keys(self) -> Iterator[tuple[float, EnvKey]]:
        """Yield when a pointer was written, and its key.

        Half of the time is left for reading what was listed by then: keys are digests, so any part of them will do.
        """
        for listed in self._store.list(self._prefix):
            if self._left < self._listing:
                return
            with suppress(UsageError):  # a stranger's file
                yield listed.modified, EnvKey.parse(layout.key_of(listed.name) or "")

    def _read_manifests(self) -> None:
        with suppress(Empty):
            while self._left:
                number, key = self._wanted.get_nowait()
                manifest = None
                with suppress(Exception):  # an unsound one is not compared with
                    found = catalogue.find(self._store, key, self._trust, Report())
                    manifest = found.manifest() if found is not None else None
                self._read.put((number, manifest))
