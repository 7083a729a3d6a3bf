"""Wheels in a store: finding those that a build may use, fetching them, and putting up those that it used or made.

A store is believed nothing. What a wheel is called there says what its digest must be, and one is used only when that
digest stands in the requirements, or in a verified manifest of an environment that was looked for in the same places
(FORMAT.md section 12).
"""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Final

from terrastore import atomic, catalogue
from terrastore.build.wheels import Shelf
from terrastore.errors import (
    ArchiveRefusedError,
    NotInStoreError,
    StoreRefusedError,
    StoreUnreachableError,
    UsageError,
)
from terrastore.key import EnvKey
from terrastore.report import number
from terrastore.store import layout
from terrastore.store.protocol import ListableStore
from terrastore.vouched import Asked, parsed, places, vouched_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from terrastore.archive.manifest import Manifest
    from terrastore.build.wheels import Kept, Wheel
    from terrastore.interpreter import Interpreter
    from terrastore.key import Request
    from terrastore.report import Report
    from terrastore.store.protocol import Store, WritableStore
    from terrastore.trust import Trust

RECENT: Final = 20
"""How many environments are looked at, those that were published last."""
_PIECE: Final = 8 * 1024 * 1024


class Wheelhouse:
    """The wheels of a store, and those of them that were fetched to this machine, below ``cache``."""

    def __init__(self, store: Store, cache: Path, trust: Trust, report: Report) -> None:
        self._layers = catalogue.layers(store)
        self._origin = catalogue.origin(store)
        self._name = str(self._origin)
        self._cache = cache / "wheels"
        self._trust = trust
        self._report = report
        self._there: set[str] = set()
        self._refused: set[str] = set()

    def shelf(self, request: Request) -> Shelf:
        """Return what may be used for a build of ``request``; what cannot be looked at is told and passed over."""
        asked = Asked(request)
        known: dict[str, Wheel] = {}
        with self._report.phase("wheels", unit="environments") as phase:
            for manifest in self._manifests(request):
                phase.advance(1)
                for wheel in vouched_for(manifest, request, asked):
                    known.setdefault(wheel.file, wheel)
            known |= self._named(asked, known, request.interpreter)
        resolution = places(request.canonical())
        return Shelf(
            place=self._name,
            pinned=[each for each in known.values() if asked.fixes(each)],
            others=[each for each in known.values() if asked.leaves_open(each)],
            wanted=asked.wanted,
            is_closed=asked.is_plain and not resolution.get("find-links"),
            may_be_offline=not resolution.get("no-index"),
            fetch=self._fetch,
        )

    def tell(self, kept: Kept) -> None:
        """Tell what came from here."""
        if kept.taken:
            self._report.remark(f"wheels  {len(kept.taken)} of {number(kept.total, 'package')} from {self._name}")
        if kept.frozen:
            self._report.warn(
                "no index can be reached, and no requirement fixes these, "
                f"which are as they were in the wheelhouse: {', '.join(kept.frozen)}"
            )

    def publish(self, kept: Kept, *, required: bool) -> None:
        """Put up the wheels of a build; trouble is a warning, unless it is ``required``.

        :raises StoreRefusedError: when the store says no, and it is ``required``
        :raises StoreUnreachableError: when it does not answer, and it is ``required``
        """
        wheels = [*kept.installed.values(), *kept.tools]
        with self._report.phase("wheels", unit="wheels") as phase:
            try:
                store = catalogue.writable(self._origin)
                for wheel in wheels:
                    self._put(wheel, kept.paths[wheel.sha256], store)
                    phase.advance(1)
            except (StoreRefusedError, StoreUnreachableError) as error:
                if required:
                    raise
                self._report.warn(f"wheels are not kept: {error.message}")

    def _put(self, wheel: Wheel, path: str, store: WritableStore) -> None:
        name = layout.wheel(wheel.sha256, wheel.file)
        if wheel.sha256 in self._refused and isinstance(store, ListableStore):
            # What is there is not what it is called. Who may not remove it leaves it, and nobody will use it.
            with suppress(StoreRefusedError):
                store.remove(name)
        elif f"{store} {name}" in self._there or store.read_range(name, 0, 1) is not None:
            return
        with open(path, "rb") as file, store.upload(name) as upload:
            while piece := file.read(_PIECE):
                upload.write(piece)

    def _manifests(self, request: Request) -> Iterator[Manifest]:
        """Yield the manifests of the newest environments for the same interpreter and platform, in any store."""
        begins = f"{layout.POINTERS}{request.interpreter.tag}-{request.host.tag}-"
        for store in self._layers:
            if not isinstance(store, ListableStore):
                self._report.warn(f"{store} cannot be listed, so its wheels are not used")
                continue
            with self._passing_over(store):
                newest = sorted(store.list(begins), key=lambda listed: listed.modified, reverse=True)
                names = filter(None, (layout.key_of(listed.name) for listed in newest))
                for name in islice(names, RECENT):
                    with suppress(ArchiveRefusedError, NotInStoreError, UsageError):
                        found = catalogue.find(store, EnvKey.parse(name), self._trust, self._report)
                        # Who revokes an archive does not believe what it says of wheels either.
                        if found is not None and not self._trust.revokes((), archive=found.pointer.archive.sha256):
                            yield found.manifest()

    def _named(self, asked: Asked, known: Mapping[str, Wheel], python: Interpreter) -> dict[str, Wheel]:
        """Return wheels that requirements name by digest and no manifest does, of those that this Python can use."""
        wanted = {digest: name for name, digests in asked.digests.items() for digest in digests}
        if not wanted or {each.name for each in known.values() if asked.fixes(each)} >= asked.wanted.keys():
            return {}
        tags, found = frozenset(python.tags()), {}
        for store in self._layers:
            if not isinstance(store, ListableStore):
                continue
            with self._passing_over(store):
                for listed in store.list(layout.WHEELS):
                    digest, file = layout.wheel_of(listed.name) or ("", "")
                    if digest in wanted and (wheel := parsed(file, digest, tags)) and wheel.name == wanted[digest]:
                        found[file] = wheel
        return found

    def _fetch(self, wheels: Iterable[Wheel], folder: str) -> Sequence[Wheel]:
        """Put wheels into ``folder``, each once its digest is what it must be; return those that could be had."""
        with self._report.phase("wheels", unit="wheels") as phase:
            found = []
            for wheel in wheels:
                # One that somebody prunes in this instant is not at hand: an index may have it.
                with suppress(FileNotFoundError):
                    if (path := self._at_hand(wheel)) is not None:
                        _copy(path, os.path.join(folder, wheel.file))
                        found.append(wheel)
                phase.advance(1)
            return found

    def _at_hand(self, wheel: Wheel) -> str | None:
        """Return where a wheel stands on this machine, fetched if need be; None when it cannot be had."""
        path = str(self._cache / wheel.sha256 / wheel.file)
        with suppress(OSError):
            if _digest(path) == wheel.sha256:
                os.utime(os.path.dirname(path))  # so that what is used stays
                return path
        name = layout.wheel(wheel.sha256, wheel.file)
        for store in self._layers:
            with self._passing_over(store):
                if self._download(store, name, path, wheel.sha256):
                    self._there.add(f"{store} {name}")
                    return path
        return None

    def _download(self, store: Store, name: str, path: str, sha256: str) -> bool:
        """Fetch an object to ``path``; return whether it was there, with the digest it must have."""
        piece = store.read_range(name, 0, _PIECE)
        if piece is None:
            return False
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        with atomic.temporary_beside(path, mode=0o600) as file:
            digest, offset = hashlib.sha256(), 0
            while piece:
                file.write(piece)
                digest.update(piece)
                offset += len(piece)
                piece = store.read_range(name, offset, _PIECE) if len(piece) == _PIECE else b""
            if digest.hexdigest() != sha256:
                self._refused.add(sha256)
                self._report.warn(f"{name} in {store} is not what it is called, and is not used")
                return False
            atomic.publish_over(file, path)
        return True

    def _passing_over(self, store: Store) -> _PassingOver:
        return _PassingOver(store, self._report)


class _PassingOver:
    """Goes on without a store that refuses or does not answer: an index may have everything."""

    def __init__(self, store: Store, report: Report) -> None:
        self._store = store
        self._report = report

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> bool:
        if not isinstance(error, (StoreRefusedError, StoreUnreachableError)):
            return False
        message = f"wheels in {self._store} are not used: {error.message}"
        if message not in self._report.warnings:
            self._report.warn(message)
        return True


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copy(path: str, place: str) -> None:
    try:
        os.link(path, place)
    except OSError:
        shutil.copyfile(path, place)
