"""The stores of one run, nearest first: what they have for a request, and where what is built goes."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

from terrastore import catalogue
from terrastore.errors import (
    ArchiveRefusedError,
    HostError,
    NotInStoreError,
    StoreRefusedError,
    StoreUnreachableError,
    TerrastoreError,
)
from terrastore.host import REMEDY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from terrastore.archive.manifest import Manifest
    from terrastore.catalogue import Published
    from terrastore.host import Host
    from terrastore.interpreter import Interpreter
    from terrastore.key import EnvKey
    from terrastore.nearest import Nearest
    from terrastore.publish import Publication
    from terrastore.report import Report
    from terrastore.store.protocol import Store, WritableStore
    from terrastore.trust import Trust


@dataclass(slots=True)
class Layer:
    """One of the stores: the archive that its pointer named last, and what was wrong with it.

    ``outdated`` says why that archive is sound but no longer wanted, "" when it is.
    """

    store: Store
    archive: str | None = None
    trouble: TerrastoreError | None = None
    outdated: str = ""

    @property
    def heals(self) -> bool:
        """Whether what it has is unsound or outdated, and to be replaced."""
        return bool(self.outdated) or (isinstance(self.trouble, ArchiveRefusedError) and not self.trouble.later)

    @property
    def is_out_of_reach(self) -> bool:
        """Whether it did not answer, so that asking again would only take time."""
        return isinstance(self.trouble, StoreUnreachableError)

    @property
    def is_filled(self) -> bool:
        """Whether it is to have what a farther store has, or what is built."""
        return catalogue.is_writable(self.store) and (self.trouble is None or self.heals)


class Supply:
    """What the stores offer one request on this host, as far as ``trust`` goes.

    ``publish_as`` is the key that a build for this host is published under: the request's own, or that of its
    distribution where the own one's archive does not fit. ``misfit`` says in words what does not. ``outdated`` says why
    what was found will not do, though it fits; with ``replace`` nothing will.
    """

    def __init__(
        self,
        store: Store,
        key: EnvKey,
        host: Host,
        *,
        replace: bool,
        outdated: Callable[[Published, Manifest], str] = lambda _found, _manifest: "",
        trust: Trust,
        report: Report,
    ) -> None:
        self.layers = tuple(map(Layer, catalogue.layers(store)))
        self.publish_as = key
        self._store = store
        self._key = key
        self._host = host
        self._replace = replace
        self._outdated = outdated
        self._trust = trust
        self._report = report
        self.misfit = ""

    @property
    def origin(self) -> Layer:
        """The store where new environments are published."""
        origin = catalogue.origin(self._store)
        return next(layer for layer in self.layers if layer.store is origin)

    @property
    def is_near(self) -> bool:
        """Whether all stores are on disks of this machine."""
        return all(layer.store.is_near for layer in self.layers)

    @property
    def published_to(self) -> WritableStore | None:
        """The store where new environments are published, None when none can be written, or it is out of reach."""
        origin = self.origin
        is_there = catalogue.is_writable(origin.store) and not origin.is_out_of_reach
        return catalogue.writable(origin.store) if is_there else None

    def find(self, layer: Layer, python: Interpreter) -> tuple[Published, Manifest] | None:
        """Return what a store has that fits this host: under the key, else under the key for its distribution.

        Nothing but pointer and manifest is read.

        :raises TerrastoreError: when it cannot be asked, or its pointer or manifest is unsound
        """
        found, lack = self._judged(layer, self._key, python)
        if not lack:
            return found
        self.publish_as = self._key.for_distribution(self._host.distribution)
        special, _ = self._judged(layer, self.publish_as, python)
        if special is not None:
            return special
        self.misfit = f"{self._key.short} in {layer.store} needs {lack}"
        return None

    def _judged(self, layer: Layer, key: EnvKey, python: Interpreter) -> tuple[tuple[Published, Manifest] | None, str]:
        """Return what a store has under ``key``, None when nothing fits, and what this host lacks for it."""
        found = self._look_up(layer, key)
        if found is None:
            return None, ""
        if lack := self._host.lacks(found.pointer.needs):
            return None, lack
        with catalogue.naming(found):
            found, manifest = found.with_manifest()
            self._trust.refuse_revoked(manifest.packages, archive=found.pointer.archive.sha256)
        if not (lack := self._host.lacks(manifest.needs, python.base_prefix)):
            layer.outdated = self._outdated(found, manifest)
            if layer.outdated:
                return None, ""
        return (None if lack else (found, manifest)), lack

    @contextmanager
    def filling(self, layer: Layer, found: Published, *, publish: bool) -> Iterator[Published]:
        """Give ``found`` to be read in the body, which with ``publish`` fills the nearer stores too."""
        from terrastore.filling import filling  # noqa: PLC0415 -- not before the pointer is there

        nearer = filter(lambda each: each.is_filled, takewhile(lambda each: each is not layer, self.layers))
        name = found.pointer.archive.name
        publications = self._publications(nearer, found.key, name, deed="copied nearer") if publish else []
        with catalogue.naming(found), filling(found, publications) as read:
            yield read

    @contextmanager
    def passing_over(self, layer: Layer, *, last: bool, build: bool, build_blindly: bool = False) -> Iterator[None]:
        """Go on to the next store, or to building, when what this one has cannot be used, or it cannot be asked.

        The last store must answer: it is the one that knows what there is. With ``build_blindly`` it need not, where
        ``build`` allows building.
        """
        try:
            yield
            layer.trouble = None
        except (ArchiveRefusedError, NotInStoreError, StoreRefusedError, StoreUnreachableError) as error:
            is_passed_over = _is_refusal(error) or (build_blindly and isinstance(error, StoreUnreachableError))
            if last and not (build and is_passed_over):
                raise
            before, layer.trouble = layer.trouble, error
            going_on = f"it is built {'anew' if layer.heals else 'for this machine alone'}"
            if before is None or before.message != error.message:
                self._report.warn(f"{error.message}; {going_on if last else 'the next store is asked'}")

    def destinations(self, name: str, *, required: bool) -> list[Publication]:
        """Return where a new archive goes: the last store that can be written, then those that are nearer.

        :raises StoreRefusedError: when it is ``required`` there, and none can be written
        """
        origin = self.origin
        if required:
            catalogue.writable(origin.store)
        nearer = filter(lambda each: each.is_filled, takewhile(lambda each: each is not origin, self.layers))
        wanted = () if origin.is_out_of_reach and not required else (origin,)
        return self._publications(
            (*wanted, *nearer), self.publish_as, name, own=True, required=origin if required else None
        )

    def raise_miss(self, nearest: Callable[[], Nearest | None]) -> None:
        """Say why no store has anything that can be used here, and how that differs from what is ``nearest``.

        :raises TerrastoreError: always
        """
        for trouble in (layer.trouble for layer in self.layers):
            if trouble is not None and _is_refusal(trouble):
                raise trouble
        if outdated := next(filter(None, (layer.outdated for layer in self.layers)), ""):
            raise NotInStoreError(
                f"{self._key.short} in {self._store} {outdated}, and building is off",
                hint="publish it anew where building is allowed",
            )
        if self.misfit:
            raise HostError(
                self.misfit,
                hint=f"{REMEDY}; or build on the oldest system of the fleet, or without --no-build on this one",
            )
        there = nearest()
        raise NotInStoreError(
            f"{self._store} has no {self._key.short}, and building is off" + (f": {there.line}" if there else ""),
            hint="publish it with terrastore build where building is allowed; "
            "if that was done, compare terrastore key --explain there and here",
        )

    def why_built(self, nearest: Callable[[], Nearest | None]) -> str:
        """Return in a line why something is built; a miss by how it differs from what is ``nearest``, if anything."""
        if outdated := next(filter(None, (layer.outdated for layer in self.layers)), ""):
            return f"build  {self._key.short} anew: what is there {outdated}"
        if self._replace or any(layer.heals for layer in self.layers):
            return f"build  {self._key.short} anew"
        if self.misfit:
            return f"build  {self.misfit}; this host builds its own"
        if any(layer.is_out_of_reach for layer in self.layers):
            return f"build  {self._key.short}, which may be in a store that does not answer"
        there = nearest()
        return f"miss  {there.line if there else f'no {self._key.short} in {self._store}; building it here'}"

    def _look_up(self, layer: Layer, key: EnvKey) -> Published | None:
        layer.outdated = ""
        found = catalogue.find(layer.store, key, self._trust, self._report)
        if found is not None:
            layer.archive = found.pointer.archive.name
        return found

    def _publications(
        self,
        layers: Iterable[Layer],
        key: EnvKey,
        name: str,
        *,
        own: bool = False,
        required: Layer | None = None,
        deed: str = "published",
    ) -> list[Publication]:
        if not (wanted := list(layers)):
            return []
        from terrastore.publish import Publication  # noqa: PLC0415 -- most hits fill no store

        return [
            Publication(
                layer.store,
                key,
                name,
                replace=self._replace,
                refused=layer.archive if layer.heals else None,
                own=own,
                required=layer is required,
                deed=deed,
                trust=self._trust,
                report=self._report,
            )
            for layer in wanted
        ]


def _is_refusal(error: TerrastoreError) -> bool:
    """Whether something was in a store, and this version cannot use it."""
    return isinstance(error, (ArchiveRefusedError, NotInStoreError))
