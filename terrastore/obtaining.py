"""How an environment that is not there comes: it is found in a store, or built and published by one of many."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING

from terrastore import environment
from terrastore.environment import State
from terrastore.errors import StoreRefusedError, StoreUnreachableError
from terrastore.interpreter import Fingerprint
from terrastore.patience import Patience
from terrastore.run import BUILT, FETCHED, KEPT, Outcome
from terrastore.supply import Supply
from terrastore.upkeep.uses import marked

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from terrastore.archive.manifest import Manifest
    from terrastore.archive.reading import Archive
    from terrastore.cache import LayerCache
    from terrastore.catalogue import Published
    from terrastore.install import Installed
    from terrastore.key import EnvKey
    from terrastore.nearest import Nearest
    from terrastore.place import Target
    from terrastore.run import Run
    from terrastore.store.protocol import Store
    from terrastore.wheelhouse import Wheelhouse


class Obtaining:
    """The ways of one run to an environment that is not there yet."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._request = run.request
        self._policy = run.policy
        self._report = run.report
        self._supply = self._supplied(run.store) if run.store is not None else None

    def _supplied(self, store: Store) -> Supply:
        run = self._run
        return Supply(
            store,
            run.key,
            run.request.host,
            replace=run.policy.rebuild,
            outdated=lambda found, manifest: run.outdated(found.pointer.created, manifest.packages),
            trust=run.trust,
            report=run.report,
        )

    @property
    def _publishes(self) -> bool:
        """Whether what is built here is published."""
        return self._policy.publish and self._run.signing.may_publish

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
        from terrastore.flight import Flight  # noqa: PLC0415 -- each way imports what it needs alone

        flight = Flight(
            store,
            self._publish_as,
            locks=self._run.cache / "locks",
            patience=Patience(0) if policy.rebuild else self._run.patience,
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
        from terrastore import times  # noqa: PLC0415 -- see built_by_one
        from terrastore.install import ArchiveFile  # noqa: PLC0415
        from terrastore.production import Production  # noqa: PLC0415

        supply = self._supply
        storeless = f"build  {self._run.key.short}, without a store"
        self._report.remark(supply.why_built(self._nearest) if supply else storeless)
        if supply and self._policy.publish and not self._publishes:
            demanding = f"{self._policy.trust} demands signatures, and no --signer is named"
            self._report.remark(f"unsigned  {demanding}: what is built stays here")
        production = Production(
            self._run.inputs,
            self._request,
            self._run.said,
            key=self._publish_as,
            supply=supply if self._publishes else None,
            trust=self._run.trust,
            signing=self._run.signing,
            required=self._policy.require_publish,
            wheelhouse=self._wheelhouse,
            anew=self._policy.rebuild,
            keeps=self._policy.cache,
            cache=self._run.cache,
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
        from terrastore.install import install  # noqa: PLC0415 -- see built_by_one

        python = self._request.interpreter
        state = State(
            key=self._run.key.text,
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
        from terrastore.cache import LayerCache  # noqa: PLC0415 -- see built_by_one

        sharing = None if mode == "copy" else mode
        return LayerCache(self._run.cache / "layers", self._report, sharing=sharing, limit=self._policy.cache_limit)

    def _add_projects(self, staged: str) -> None:
        """Install the projects that are to be edited, which no archive holds."""
        from terrastore.build import edit  # noqa: PLC0415 -- see built_by_one

        edit(self._run.recipe, staged, cache=self._run.cache, report=self._report)

    @property
    def _publish_as(self) -> EnvKey:
        return self._supply.publish_as if self._supply else self._run.key

    @property
    def _wheelhouse(self) -> Wheelhouse | None:
        if self._run.store is None or not self._policy.wheelhouse:
            return None
        from terrastore.wheelhouse import Wheelhouse  # noqa: PLC0415 -- see built_by_one

        return Wheelhouse(self._run.store, self._run.cache, self._run.trust, self._report)

    def _nearest(self, *, published_first: bool = False) -> Nearest | None:
        """Return what the request is to be compared with, the environment before or one that the store has."""
        from terrastore.nearest import find  # noqa: PLC0415 -- see built_by_one

        return find(
            self._request,
            place=self._run.before,
            store=self._run.store,
            trust=self._run.trust,
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
            key=self._publish_as if target is None else self._run.key,
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
    import threading  # noqa: PLC0415 -- few stores are far away
    from importlib import import_module  # noqa: PLC0415

    threading.Thread(target=import_module, args=("terrastore.install",), daemon=True).start()
