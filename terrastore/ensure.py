"""The story: the key; is it here already; find it, or build and publish it; unpack, check, swap in."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING, BinaryIO, Final

from terrastore import environment
from terrastore.environment import State
from terrastore.errors import (
    ArchiveRefusedError,
    HostError,
    NotInStoreError,
    RequirementsError,
    StoreRefusedError,
    StoreUnreachableError,
    TerrastoreError,
)
from terrastore.interpreter import Fingerprint
from terrastore.key import EnvKey
from terrastore.place import Releases

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from terrastore.archive.manifest import Manifest
    from terrastore.archive.pack import Packed
    from terrastore.archive.unpack import ReadRange
    from terrastore.catalogue import Published
    from terrastore.inputs import Inputs
    from terrastore.place import Target
    from terrastore.publish import Publication
    from terrastore.report import Report
    from terrastore.store.protocol import Store

KEPT: Final = "kept"
FETCHED: Final = "fetched"
BUILT: Final = "built"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What ``ensure`` may do, and what it must."""

    build: bool = True
    rebuild: bool = False
    publish: bool = True
    require_publish: bool = False
    backup: bool = False
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of it.

    ``outcome`` is ``kept``, ``fetched`` or ``built``; ``target`` None when no environment was asked for; ``store``
    where it came from or went to, None when neither; ``bytes_fetched`` packed bytes read from the store;
    ``switched`` whether a link of releases now leads somewhere else; ``retired`` the environment that was replaced,
    which the caller removes once the result is told.
    """

    outcome: str
    key: EnvKey
    target: str | None
    store: str | None = None
    packages: int = 0
    bytes_fetched: int = 0
    layers_fetched: int = 0
    layers_total: int = 0
    switched: bool = False
    retired: str | None = None


def ensure(
    inputs: Inputs,
    place: Target | Releases,
    *,
    store: Store | None,
    cache: Path,
    policy: Policy,
    report: Report,
) -> Outcome:
    """Make sure that ``place`` holds the environment that ``inputs`` ask for.

    :raises TerrastoreError: when it does not; the old environment is then as it was
    """
    run = Run(inputs, store, cache, policy, report)
    target = place.target(run.key) if isinstance(place, Releases) else place
    if isinstance(place, Releases):
        place.check_switchable()
    outcome = run.kept(target)
    if outcome is None:
        target.check_replaceable(force=policy.force, needed=_needed(inputs, store, cache))
        with target.locked(report):
            # Whoever held the lock may have made what we want.
            outcome = run.kept(target) or run.fetched(target) or run.built(target)
    if isinstance(place, Releases):
        outcome = replace(outcome, switched=place.switch(target.path))
    return outcome


def build(inputs: Inputs, *, store: Store, cache: Path, policy: Policy, report: Report) -> Outcome:
    """Make sure that ``store`` has the environment that ``inputs`` ask for, without making it here.

    :raises TerrastoreError: when it has not
    """
    run = Run(inputs, store, cache, policy, report)
    return run.in_store() or run.built(None)


class Run:
    """One run for one request: the steps that :func:`ensure` is told in."""

    def __init__(self, inputs: Inputs, store: Store | None, cache: Path, policy: Policy, report: Report) -> None:
        self._inputs = inputs
        self._store = store
        self._cache = cache
        self._policy = policy
        self._report = report
        self._request = inputs.request()
        self.key = EnvKey.of(self._request)
        self._publish_as = self.key
        self._troubles: dict[Store, TerrastoreError] = {}
        self._names: dict[Store, str] = {}
        self._misfit = ""

    def kept(self, target: Target) -> Outcome | None:
        """Return the outcome when ``target`` is what was asked for already."""
        state = None if self._policy.rebuild else environment.holds(target.path, self.key)
        if state is None:
            return None
        return Outcome(outcome=KEPT, key=self.key, target=target.path, packages=state.packages)

    def in_store(self) -> Outcome | None:
        """Return the outcome when the store has what was asked for; None when it has not, or nothing sound."""
        from terrastore.catalogue import origin  # noqa: PLC0415 -- see fetched

        if self._store is not None and not self._policy.rebuild:
            with self._passing_over(store := origin(self._store), last=True):
                if (found := self._find(store)) is not None:
                    return self._outcome(KEPT, found.manifest(), None, found, None)
        return None

    def fetched(self, target: Target) -> Outcome | None:
        """Install what the nearest store has; None when no store has anything sound, and building is allowed."""
        from terrastore.publish import filling  # noqa: PLC0415 -- a run that keeps what is there needs no store

        stores = self._stores()
        for store in stores:
            with self._passing_over(store, last=store is stores[-1]):
                if (found := self._find(store)) is not None:
                    with filling(found, self._nearer(found)) as read:
                        manifest = read.manifest()
                        retired = self._install(manifest, read.read, found.pointer.archive.sha256, target)
                    return self._outcome(FETCHED, manifest, target, found, retired)
        if not self._policy.build:
            for trouble in filter(_is_refusal, self._troubles.values()):
                raise trouble
            if self._misfit:
                raise HostError(
                    self._misfit,
                    hint="build it on the oldest system of the fleet, or run without --no-build on this one",
                )
            raise NotInStoreError(
                f"{self._store or 'no store'} has no {self.key.short}, and building is off",
                hint="publish it with terrastore build where building is allowed; "
                "if that was done, compare terrastore key --explain there and here",
            )
        return None

    def built(self, target: Target | None) -> Outcome:
        """Build, pack and publish what was asked for, and install it by the same road as what is fetched."""
        from terrastore.install import read_file  # noqa: PLC0415 -- see fetched

        with self._packed() as (packed, archive, published):
            retired = None
            if target is not None:
                retired = self._install(packed.manifest, read_file(archive), packed.sha256, target)
        return self._outcome(BUILT, packed.manifest, target, published, retired)

    def _stores(self) -> tuple[Store, ...]:
        """Return the stores to ask, nearest first."""
        from terrastore.catalogue import layers  # noqa: PLC0415 -- see fetched

        return () if self._store is None or self._policy.rebuild else layers(self._store)

    @contextmanager
    def _passing_over(self, store: Store, *, last: bool) -> Iterator[None]:
        """Go on to the next store, or to building, when what ``store`` has cannot be used, or it cannot be asked.

        The last store must answer: it is the one that knows what there is.
        """
        try:
            yield
        except (ArchiveRefusedError, NotInStoreError, StoreRefusedError, StoreUnreachableError) as error:
            if last and not (self._policy.build and _is_refusal(error)):
                raise
            self._troubles[store] = error
            going_on = f"it is built {'anew' if self._heals(store) else 'for this machine alone'}"
            self._report.warn(f"{error.message}; {going_on if last else 'the next store is asked'}")

    def _heals(self, store: Store) -> bool:
        """Whether what ``store`` has is unsound and to be replaced."""
        trouble = self._troubles.get(store)
        return isinstance(trouble, ArchiveRefusedError) and not trouble.later

    def _find(self, store: Store) -> Published | None:
        """Return what a store has that fits this host: under the key, else under the key for its distribution."""
        found = self._look_up(store, self.key)
        if found is None or not (lack := self._request.host.lacks(found.pointer.needs)):
            return found
        self._publish_as = self.key.for_distribution(self._request.host.distribution)
        special = self._look_up(store, self._publish_as)
        if special is not None and not self._request.host.lacks(special.pointer.needs):
            return special
        self._misfit = f"{self.key.short} in {store} needs {lack}"
        return None

    def _look_up(self, store: Store, key: EnvKey) -> Published | None:
        from terrastore import catalogue  # noqa: PLC0415 -- see fetched

        found = catalogue.find(store, key, self._report)
        if found is not None:
            self._names[store] = found.pointer.archive.name
        return found

    def _nearer(self, found: Published) -> list[Publication]:
        """Return what fills the stores that are nearer than the one that has what was asked for."""
        if not self._policy.publish:
            return []
        nearer = takewhile(lambda store: store is not found.store, self._stores())
        name = found.pointer.archive.name
        return self._publications(filter(self._fills, nearer), found.key, name, deed="copied nearer")

    def _fills(self, store: Store) -> bool:
        """Whether a store that is nearer than another is to have what that one has."""
        from terrastore.catalogue import is_writable  # noqa: PLC0415 -- see fetched

        return is_writable(store) and (store not in self._troubles or self._heals(store))

    def _publications(
        self,
        stores: Iterable[Store],
        key: EnvKey,
        name: str,
        *,
        required: Store | None = None,
        deed: str = "published",
    ) -> list[Publication]:
        from terrastore.publish import Publication  # noqa: PLC0415 -- see fetched

        return [
            Publication(
                store,
                key,
                name,
                replace=self._policy.rebuild,
                refused=self._names.get(store) if self._heals(store) else None,
                required=store is required,
                deed=deed,
                report=self._report,
            )
            for store in stores
        ]

    def _install(self, manifest: Manifest, read: ReadRange, digest: str, target: Target) -> str | None:
        """Install the archive's environment; return what it replaced."""
        from terrastore.install import install  # noqa: PLC0415 -- see _find

        python = self._request.interpreter
        state = State(
            key=self.key.text,
            archive=digest,
            prefix=target.path,
            packages=len(manifest.packages),
            inputs=environment.inputs(self._request.requirements.sources),
            interpreter=Fingerprint.of(python.executable),
        )
        return install(
            manifest,
            read,
            target,
            python=python,
            state=state,
            backup=self._policy.backup,
            report=self._report,
        )

    @contextmanager
    def _packed(self) -> Iterator[tuple[Packed, BinaryIO, Published | None]]:
        """Build the environment and publish it while it is packed; its archive's file lasts as long as the body."""
        from terrastore import publish  # noqa: PLC0415 -- see fetched
        from terrastore.archive.pack import Origin, pack  # noqa: PLC0415
        from terrastore.build import built  # noqa: PLC0415
        from terrastore.install import cores  # noqa: PLC0415

        self._report.remark(self._why_built())
        request, name = self._request, publish.archive_name()
        destinations = self._destinations(name)
        with built(self._inputs.recipe(request), cache=self._cache, report=self._report) as made:
            self._refuse_changed_inputs()
            origin = Origin(
                key=self._publish_as.text,
                interpreter=request.interpreter.identity(),
                host=request.host.facts(),
                installer=made.installer,
                request=request.canonical(),
                libc=request.host.libc,
                compiled=made.compiled,
                downloads=made.downloads,
            )
            with ExitStack() as stack:
                archive = stack.enter_context(open(f"{made.work}/archive.tar.zst", "x+b"))
                publications = [stack.enter_context(each) for each in destinations]
                packed = pack(
                    made.prefix,
                    [archive, *publications],
                    skeleton=made.skeleton,
                    python=made.python,
                    origin=origin,
                    workers=cores(),
                    report=self._report,
                )
                archive.flush()
                envelope = publish.envelope(packed, self._publish_as, name)
                published = [each.end(envelope) for each in publications]
                yield packed, archive, next(filter(None, published), None)

    def _destinations(self, name: str) -> list[Publication]:
        """Return where a new archive goes: the last store that can be written, then those that are nearer.

        :raises StoreRefusedError: when it must be published, and there is none that can be written
        """
        from terrastore.catalogue import layers, origin, writable  # noqa: PLC0415 -- see fetched

        if self._store is None or not self._policy.publish:
            return []
        last = origin(self._store)
        nearer = takewhile(lambda store: store is not last, layers(self._store))
        required = writable(last) if self._policy.require_publish else None
        return self._publications((last, *filter(self._fills, nearer)), self._publish_as, name, required=required)

    def _why_built(self) -> str:
        if self._store is None:
            return f"build  {self.key.short}, without a store"
        if self._policy.rebuild or any(map(self._heals, self._troubles)):
            return f"build  {self.key.short} anew"
        if self._misfit:
            return f"build  {self._misfit}; this host builds its own"
        return f"miss  no {self.key.short} in {self._store}; building it here"

    def _refuse_changed_inputs(self) -> None:
        """Refuse a result whose key no longer says what the installer read."""
        before, after = self._request.canonical(), self._inputs.request().canonical()
        # A build may write into the project that it builds, such as a file with its version.
        if before | {"local": None} != after | {"local": None}:
            raise RequirementsError(
                "the requirements changed while they were installed",
                hint="run again once they are as they should be",
            )

    def _outcome(
        self, outcome: str, manifest: Manifest, target: Target | None, found: Published | None, retired: str | None
    ) -> Outcome:
        fetched = outcome == FETCHED
        return Outcome(
            outcome=outcome,
            key=self._publish_as if target is None else self.key,
            target=target.path if target else None,
            store=str(found.store) if found else None,
            packages=len(manifest.packages),
            bytes_fetched=manifest.totals.packed if fetched else 0,
            layers_fetched=len(manifest.layers) if fetched else 0,
            layers_total=len(manifest.layers),
            retired=retired,
        )


def _is_refusal(error: TerrastoreError) -> bool:
    """Whether something was in a store, and this version cannot use it."""
    return isinstance(error, (ArchiveRefusedError, NotInStoreError))


def _needed(inputs: Inputs, store: Store | None, cache: Path) -> tuple[str, ...]:
    """Return what must not be in a directory that is replaced."""
    from terrastore.catalogue import layers  # noqa: PLC0415 -- see Run.fetched

    stores = map(str, layers(store)) if store is not None else ()
    return (os.getcwd(), os.path.expanduser("~"), *inputs.files, *inputs.constraints, str(cache), *stores)
