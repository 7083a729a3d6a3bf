"""The story: the key; is it here already; find it, or build and publish it; unpack, check, swap in."""

from __future__ import annotations

import os
from contextlib import nullcontext
from functools import cached_property, partial
from typing import TYPE_CHECKING, Final, NamedTuple

from terrastore import environment
from terrastore.environment import State
from terrastore.errors import (
    StoreRefusedError,
    StoreUnreachableError,
    UsageError,
)
from terrastore.interpreter import Fingerprint
from terrastore.key import EnvKey
from terrastore.patience import Patience
from terrastore.place import Releases, Target

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from terrastore.archive.manifest import Manifest, Package
    from terrastore.archive.reading import Archive
    from terrastore.build.resolved import Resolved
    from terrastore.cache import LayerCache
    from terrastore.catalogue import Published
    from terrastore.inputs import Inputs
    from terrastore.install import Installed
    from terrastore.nearest import Nearest
    from terrastore.place import Shelf
    from terrastore.report import Report
    from terrastore.signing import Signing
    from terrastore.store.protocol import Store
    from terrastore.supply import Supply
    from terrastore.trust import Trust
    from terrastore.wheelhouse import Wheelhouse

KEPT: Final = "kept"
FETCHED: Final = "fetched"
BUILT: Final = "built"
_TOLD: Final = 6


class Policy(NamedTuple):
    """What ``ensure`` may do, and what it must.

    ``expect`` is the only key that will do, as far as it is written; ``refresh`` whether versions that no requirement
    pins are looked up again; ``max_age`` how many seconds old the environment may be, None for any age;
    ``verify`` whether what would be kept is compared with how it was made; ``wait`` is the most seconds to wait for
    other runs, all together; ``build_blindly`` whether to build when the store does not answer; ``wheelhouse`` whether
    builds take wheels from the store, and leave theirs there. ``cache`` is whether layers may be kept on this machine,
    at most ``cache_limit`` bytes of them, and ``link_mode`` how environments come by their files, ``copy``, ``clone``
    or ``hardlink``: None for copies, and nothing is kept of what comes from a disk of this machine. ``trust`` is the
    file that says who may publish, None for anybody; ``realm`` what pointers must be for; ``signers`` are the keys that
    sign what is published, which then counts for ``lasts`` seconds, None for ever.
    """

    build: bool = True
    expect: str | None = None
    refresh: bool = False
    max_age: float | None = None
    verify: bool = False
    rebuild: bool = False
    publish: bool = True
    require_publish: bool = False
    backup: bool = False
    force: bool = False
    wait: float = 600.0
    build_blindly: bool = False
    wheelhouse: bool = False
    cache: bool = True
    link_mode: str | None = None
    cache_limit: int = 10_000_000_000
    trust: str | None = None
    realm: str = ""
    signers: tuple[str, ...] = ()
    lasts: float | None = None


class Outcome(NamedTuple):
    """What came of it.

    ``outcome`` is ``kept``, ``fetched`` or ``built``; ``target`` None when no environment was asked for; ``store``
    where it came from or went to, None when neither; ``bytes_fetched`` packed bytes read from the store;
    ``switched`` whether a link of releases now leads to another environment; ``retired`` the environment that was
    replaced, which the caller removes once the result is told.
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
    place: Target | Releases | Shelf,
    *,
    store: Store | None,
    cache: str | Path,
    policy: Policy,
    report: Report,
) -> Outcome:
    """Make sure that ``place`` holds the environment that ``inputs`` ask for.

    :raises TerrastoreError: when it does not; the old environment is then as it was
    """
    before = place.path if isinstance(place, Target) else place.current()
    run = Run(inputs, store, cache, policy, report, before=before)
    target = place if isinstance(place, Target) else place.target(run.key)
    if isinstance(place, Releases) and not place.leads_to(target.path):
        place.check_switchable()
    outcome = run.kept(target)
    if outcome is None:
        target.check_replaceable(force=policy.force, needed=run.needed)
        with target.locked(report, wait=run.patience.left):
            # Whoever held the lock may have made what we want.
            outcome = run.kept(target) or run.fetched(target) or run.built_by_one(target)
    else:
        target.tidy()
    if isinstance(place, Releases):
        # A release that drifted was replaced where it stood: what runs from it is to be started again all the same.
        outcome = outcome._replace(switched=place.switch(target.path) or outcome.retired is not None)
    return outcome


def build(inputs: Inputs, *, store: Store, cache: str | Path, policy: Policy, report: Report) -> Outcome:
    """Make sure that ``store`` has the environment that ``inputs`` ask for, without making it here.

    :raises TerrastoreError: when it has not
    """
    run = Run(inputs, store, cache, policy, report)
    return run.in_store() or run.built_by_one(None)


class Run:
    """One run for one request: the steps that :func:`ensure` is told in.

    ``before`` is where the environment stands, if any, that what is asked for takes the place of.
    """

    def __init__(
        self,
        inputs: Inputs,
        store: Store | None,
        cache: str | Path,
        policy: Policy,
        report: Report,
        *,
        before: str | None = None,
    ) -> None:
        self._inputs = inputs
        self._store = store
        self._cache_directory = cache
        self._policy = policy
        self._report = report
        self._before = before
        self._request, self._said = inputs.read()
        self._drifted: int | None = None
        self.key = EnvKey.of(self._request)
        if policy.expect is not None:
            self._require_key(policy.expect)
        if policy.require_publish and policy.trust is not None and not self._signing.may_publish:
            raise UsageError(
                f"{policy.trust} demands signatures, and there is no key here to sign with",
                hint="name one with --signer; who has none only fetches",
            )
        self.patience = Patience(policy.wait)

    def _require_key(self, expected: str) -> None:
        if self.key.matches(expected, self._request.host.distribution):
            return
        if self.key.text.startswith(expected) or self.key.digits.startswith(expected):
            raise UsageError(f"{expected!r} is too little of a key", hint="write its first eight digits at least")
        raise UsageError(
            f"the key is {self.key}, and {expected} is expected",
            hint="compare terrastore key --explain here and where that was written down",
        )

    @cached_property
    def _supply(self) -> Supply | None:
        """Return what the stores offer; a run that keeps what is there asks none, and imports nothing of them."""
        if self._store is None:
            return None
        from terrastore.supply import Supply  # noqa: PLC0415

        return Supply(
            self._store,
            self.key,
            self._request.host,
            replace=self._policy.rebuild,
            outdated=lambda found, manifest: self._outdated(found.pointer.created, manifest.packages),
            trust=self._trust,
            report=self._report,
        )

    @cached_property
    def _trust(self) -> Trust:
        """Return who may publish."""
        from terrastore.trust import Trust  # noqa: PLC0415 -- see _supply

        return Trust.of(self._policy.trust, realm=self._policy.realm)

    @property
    def _revokes(self) -> bool:
        """Whether anything is revoked."""
        return self._policy.trust is not None and bool(self._trust.revoked)

    @cached_property
    def _signing(self) -> Signing:
        """Return how what is published here is signed."""
        from terrastore.signing import Signing  # noqa: PLC0415 -- see _supply

        return Signing(self._policy.signers, trust=self._trust, lasts=self._policy.lasts, report=self._report)

    @property
    def _publishes(self) -> bool:
        """Whether what is built here is published."""
        return self._policy.publish and self._signing.may_publish

    @cached_property
    def _cache(self) -> Path:
        from pathlib import Path  # noqa: PLC0415 -- see _supply

        return Path(self._cache_directory)

    @property
    def needed(self) -> tuple[str, ...]:
        """What must not be in a directory that is replaced."""
        from terrastore.catalogue import layers  # noqa: PLC0415 -- see _supply

        stores = map(str, layers(self._store)) if self._store is not None else ()
        inputs, interpreter = self._inputs, self._request.interpreter
        read = (*inputs.files, *inputs.constraints, *self._request.requirements.projects)
        return (
            os.getcwd(),
            os.path.expanduser("~"),
            *read,
            interpreter.executable,
            str(self._cache_directory),
            *stores,
        )

    def kept(self, target: Target) -> Outcome | None:
        """Return the outcome when ``target`` is what was asked for already."""
        state = (
            None
            if self._policy.rebuild
            else environment.holds(target.path, self.key, self._request.requirements.projects)
        )
        if state is None or (self._policy.verify and self._has_drifted(target, state)):
            return None
        if self._policy.refresh or self._policy.max_age is not None or self._revokes:
            from terrastore.archive.originals import read_environment_manifest  # noqa: PLC0415 -- see _supply

            try:
                packages = read_environment_manifest(target.path).packages
            except UsageError as error:
                self._warn_once(error.message)  # nobody can say what is in it
                return None
            if self._is_revoked(target, packages, state) or self._outdated(state.created, packages):
                return None
        return Outcome(outcome=KEPT, key=self.key, target=target.path, packages=state.packages)

    def _is_revoked(self, target: Target, packages: Iterable[Package], state: State) -> bool:
        """Whether the environment at ``target`` must not be kept; that is told."""
        if not (revoked := self._trust.revokes(packages, archive=state.archive) if self._revokes else ""):
            return False
        from terrastore.messages import near  # noqa: PLC0415 -- see _supply

        self._warn_once(f"{near(target.path)} {revoked}")
        return True

    def _warn_once(self, message: str) -> None:
        """Warn of what is seen again once the target is locked."""
        if message not in self._report.warnings:
            self._report.warn(message)

    def _outdated(self, created: str, packages: Iterable[Package]) -> str:
        """Say why an environment of these packages, made when ``created`` says, will not do; "" when it will."""
        if (most := self._policy.max_age) is not None:
            from terrastore import times  # noqa: PLC0415 -- see _supply

            if times.seconds_since(created) > most:
                return f"is older than {times.duration(most)}"
        # Where hashes fix everything there is nothing to look up.
        if self._policy.refresh and not self._said.demands_hashes and (moved := self._resolution.moved(packages)):
            return f"has other versions than are found now: {moved}"
        return ""

    @cached_property
    def _resolution(self) -> Resolved:
        """Return what the installer would install now."""
        from terrastore.build import resolve  # noqa: PLC0415 -- see _supply

        return resolve(self._inputs.recipe(self._request, self._said), cache=self._cache, report=self._report)

    def _has_drifted(self, target: Target, state: State) -> bool:
        """Whether the environment at ``target`` is not as it was made; what differs is told once."""
        from terrastore.archive.drift import find_drift  # noqa: PLC0415 -- see _supply
        from terrastore.install import cores  # noqa: PLC0415
        from terrastore.messages import near  # noqa: PLC0415

        inode = os.stat(target.path).st_ino
        if inode != self._drifted:
            try:
                drift = find_drift(
                    target.path, prefix=target.path, edited=state.projects, workers=cores(), report=self._report
                )
                phrases = drift.phrases()
            except UsageError as error:
                phrases = [error.message]
            if not phrases:
                return False
            self._drifted = inode
            more = f"; and {len(phrases) - _TOLD} more" if len(phrases) > _TOLD else ""
            self._report.remark(f"drift  {near(target.path)}: {'; '.join(phrases[:_TOLD])}{more}")
        return True

    def in_store(self) -> Outcome | None:
        """Return the outcome when the store has what was asked for; None when it has not, or nothing sound."""
        supply = self._supply
        if supply is None or self._policy.rebuild:
            return None
        with supply.passing_over(supply.origin, last=True, build=True):
            if (offer := supply.find(supply.origin, self._request.interpreter)) is not None:
                found, manifest = offer
                with self._marked(found):
                    return self._outcome(KEPT, manifest, None, found, None)
        return None

    def _marked(self, found: Published | None) -> AbstractContextManager[None]:
        """Mark that the environment in a store is used, while the body runs."""
        from terrastore.uses import marked  # noqa: PLC0415 -- see _supply

        return marked(found.store, found.key, self._report) if found is not None else nullcontext()

    def fetched(self, target: Target) -> Outcome | None:
        """Install what the nearest store has; None when no store has anything sound, and building is allowed."""
        supply, policy = self._supply, self._policy
        if supply is None or policy.rebuild:
            return None
        if not supply.is_near:
            _load_ahead()
        for layer in supply.layers:
            last = layer is supply.layers[-1]
            with supply.passing_over(layer, last=last, build=policy.build, build_blindly=policy.build_blindly):
                if (offer := supply.find(layer, self._request.interpreter)) is not None:
                    found, manifest = offer
                    with self._marked(found), supply.filling(layer, found, publish=policy.publish) as read:
                        installed = self._install(
                            manifest,
                            read,
                            target,
                            digest=found.pointer.archive.sha256,
                            created=found.pointer.created,
                            # Who fills a nearer store reads all of it, in order; the next one has that store.
                            layers=self._layers(is_near=found.is_near) if read is found else None,
                        )
                    return self._outcome(FETCHED, manifest, target, found, installed)
        if not policy.build:
            supply.raise_miss(partial(self._nearest, published_first=True))
        return None

    def built_by_one(self, target: Target | None) -> Outcome:
        """Build, unless somebody else does: then take what comes of that, but not when it is to be built anew."""
        policy, supply = self._policy, self._supply
        store = supply.published_to if supply and self._publishes else None
        if store is None:
            return self.built(target)
        from terrastore.flight import Flight  # noqa: PLC0415 -- see _supply

        flight = Flight(
            store,
            self._publish_as,
            locks=self._cache / "locks",
            patience=Patience(0) if policy.rebuild else self.patience,
            required=policy.require_publish,
            report=self._report,
        )
        while True:
            with flight.turn() as ours:
                if ours:
                    # It may have been published since we looked.
                    return self._there(target) or self.built(target)
            if (outcome := self._there(target)) is not None:
                return outcome

    def _there(self, target: Target | None) -> Outcome | None:
        return self.in_store() if target is None else self.fetched(target)

    def built(self, target: Target | None) -> Outcome:
        """Build, pack and publish what was asked for, and install it by the same road as what is fetched."""
        from terrastore import times  # noqa: PLC0415 -- see _supply
        from terrastore.install import ArchiveFile  # noqa: PLC0415
        from terrastore.production import Production  # noqa: PLC0415

        supply = self._supply
        self._report.remark(supply.why_built(self._nearest) if supply else f"build  {self.key.short}, without a store")
        if supply and self._policy.publish and not self._publishes:
            demanding = f"{self._policy.trust} demands signatures, and no --signer is named"
            self._report.remark(f"unsigned  {demanding}: what is built stays here")
        production = Production(
            self._inputs,
            self._request,
            self._said,
            key=self._publish_as,
            supply=supply if self._publishes else None,
            trust=self._trust,
            signing=self._signing,
            required=self._policy.require_publish,
            wheelhouse=self._wheelhouse,
            anew=self._policy.rebuild,
            keeps=self._policy.cache,
            cache=self._cache,
            report=self._report,
        )
        with production.packed() as (packed, archive, published):
            is_late = published is not None and published.pointer.archive.sha256 != packed.sha256
            if is_late and (theirs := self._theirs(target)) is not None:
                return theirs
            installed = None
            with self._marked(None if is_late else published):
                if target is not None:
                    installed = self._install(
                        packed.manifest,
                        ArchiveFile(archive),
                        target,
                        digest=packed.sha256,
                        created=times.now(),
                        layers=self._layers(is_near=supply is None or supply.origin.store.is_near),
                    )
        return self._outcome(BUILT, packed.manifest, target, None if is_late else published, installed)

    def _theirs(self, target: Target | None) -> Outcome | None:
        """Take what somebody else published while this was built; None when that cannot be had."""
        try:
            return self._there(target)
        except (StoreRefusedError, StoreUnreachableError) as error:
            self._report.warn(f"{error.message}; what was built here is used, not what was published before it")
            return None

    def _install(
        self,
        manifest: Manifest,
        archive: Archive,
        target: Target,
        *,
        digest: str,
        created: str,
        layers: LayerCache | None,
    ) -> Installed:
        """Install the archive's environment."""
        from terrastore.install import install  # noqa: PLC0415 -- see _supply

        python = self._request.interpreter
        state = State(
            key=self.key.text,
            archive=digest,
            created=created,
            prefix=target.path,
            packages=len(manifest.packages),
            inputs=environment.inputs(self._request.requirements.sources),
            interpreter=Fingerprint.of(python.executable),
            projects=self._request.requirements.projects,
        )
        installed = install(
            manifest,
            archive,
            target,
            python=python,
            state=state,
            backup=self._policy.backup,
            report=self._report,
            finish=self._add_projects if state.projects else None,
            layers=layers,
        )
        if layers is not None:
            layers.trim()
        return installed

    def _layers(self, *, is_near: bool) -> LayerCache | None:
        """Return what this machine keeps of layers; None where that is not wanted, or would save little."""
        mode = self._policy.link_mode
        if not self._policy.cache or (mode is None and is_near):
            return None
        from terrastore.cache import LayerCache  # noqa: PLC0415 -- see _supply

        sharing = None if mode == "copy" else mode
        return LayerCache(self._cache / "layers", self._report, sharing=sharing, limit=self._policy.cache_limit)

    def _add_projects(self, staged: str) -> None:
        """Install the projects that are to be edited, which no archive holds."""
        from terrastore.build import edit  # noqa: PLC0415 -- see _supply

        edit(self._inputs.recipe(self._request, self._said), staged, cache=self._cache, report=self._report)

    @property
    def _publish_as(self) -> EnvKey:
        return self._supply.publish_as if self._supply else self.key

    @property
    def _wheelhouse(self) -> Wheelhouse | None:
        if self._store is None or not self._policy.wheelhouse:
            return None
        from terrastore.wheelhouse import Wheelhouse  # noqa: PLC0415 -- see _supply

        return Wheelhouse(self._store, self._cache, self._trust, self._report)

    def _nearest(self, *, published_first: bool = False) -> Nearest | None:
        """Return what the request is to be compared with, the environment before or one that the store has."""
        from terrastore.nearest import find  # noqa: PLC0415 -- see _supply

        return find(
            self._request,
            place=self._before,
            store=self._store,
            trust=self._trust,
            published_first=published_first,
        )

    def _outcome(
        self,
        outcome: str,
        manifest: Manifest,
        target: Target | None,
        found: Published | None,
        installed: Installed | None,
    ) -> Outcome:
        fetched = installed.taken if installed is not None and outcome == FETCHED else None
        return Outcome(
            outcome=outcome,
            key=self._publish_as if target is None else self.key,
            target=target.path if target else None,
            store=str(found.store) if found else None,
            packages=len(manifest.packages),
            bytes_fetched=fetched.size if fetched else 0,
            layers_fetched=fetched.layers if fetched else 0,
            layers_total=len(manifest.layers),
            retired=installed.retired if installed else None,
        )


def _load_ahead() -> None:
    """Load what installs while a store that is far away is asked: its answers take longer than that."""
    import threading  # noqa: PLC0415 -- see _supply
    from importlib import import_module  # noqa: PLC0415

    threading.Thread(target=import_module, args=("terrastore.install",), daemon=True).start()
