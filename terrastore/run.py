"""One run: what it is asked and may do, what comes of it, and whether what is there already is kept."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

from terrastore import environment
from terrastore.errors import UsageError
from terrastore.key import EnvKey
from terrastore.patience import Patience

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from terrastore.archive.manifest import Package
    from terrastore.build import Recipe
    from terrastore.build.resolved import Resolved
    from terrastore.environment import State
    from terrastore.inputs import Inputs
    from terrastore.place import Target
    from terrastore.report import Report
    from terrastore.store.protocol import Store
    from terrastore.trust import Trust
    from terrastore.trust.signing import Signing

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


class Run:
    """One run for one request, and whether what is there already will do.

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
        self.inputs = inputs
        self.store = store
        self._cache_directory = cache
        self.policy = policy
        self.report = report
        self.before = before
        self.request, self.said = inputs.read()
        self._drifted: int | None = None
        self.key = EnvKey.of(self.request)
        if policy.expect is not None:
            self._require_key(policy.expect)
        if policy.require_publish and policy.trust is not None and not self.signing.may_publish:
            raise UsageError(
                f"{policy.trust} demands signatures, and there is no key here to sign with",
                hint="name one with --signer; who has none only fetches",
            )
        self.patience = Patience(policy.wait)

    def _require_key(self, expected: str) -> None:
        if self.key.matches(expected, self.request.host.distribution):
            return
        if self.key.text.startswith(expected) or self.key.digits.startswith(expected):
            raise UsageError(f"{expected!r} is too little of a key", hint="write its first eight digits at least")
        raise UsageError(
            f"the key is {self.key}, and {expected} is expected",
            hint="compare terrastore key --explain here and where that was written down",
        )

    @cached_property
    def trust(self) -> Trust:
        """Return who may publish."""
        from terrastore.trust import Trust  # noqa: PLC0415 -- who keeps what is there imports nothing of this

        return Trust.of(self.policy.trust, realm=self.policy.realm)

    @property
    def _revokes(self) -> bool:
        """Whether anything is revoked."""
        return self.policy.trust is not None and bool(self.trust.revoked)

    @cached_property
    def signing(self) -> Signing:
        """Return how what is published here is signed."""
        from terrastore.trust.signing import Signing  # noqa: PLC0415 -- see trust

        return Signing(self.policy.signers, trust=self.trust, lasts=self.policy.lasts, report=self.report)

    @cached_property
    def cache(self) -> Path:
        """Return what this machine keeps for the next runs."""
        from pathlib import Path  # noqa: PLC0415 -- see trust

        return Path(self._cache_directory)

    @property
    def needed(self) -> tuple[str, ...]:
        """What must not be in a directory that is replaced."""
        from terrastore.catalogue import layers  # noqa: PLC0415 -- see trust

        stores = map(str, layers(self.store)) if self.store is not None else ()
        inputs, interpreter = self.inputs, self.request.interpreter
        read = (*inputs.files, *inputs.constraints, *self.request.requirements.projects)
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
        if self.policy.rebuild:
            return None
        state = environment.holds(target.path, self.key, self.request.requirements.projects)
        if state is None or (self.policy.verify and self._has_drifted(target, state)):
            return None
        if self.policy.refresh or self.policy.max_age is not None or self._revokes:
            from terrastore.archive.originals import read_environment_manifest  # noqa: PLC0415 -- see trust

            try:
                packages = read_environment_manifest(target.path).packages
            except UsageError as error:
                self._warn_once(error.message)  # nobody can say what is in it
                return None
            if self._is_revoked(target, packages, state) or self.outdated(state.created, packages):
                return None
        return Outcome(outcome=KEPT, key=self.key, target=target.path, packages=state.packages)

    def _is_revoked(self, target: Target, packages: Iterable[Package], state: State) -> bool:
        """Whether the environment at ``target`` must not be kept; that is told."""
        if not (revoked := self.trust.revokes(packages, archive=state.archive) if self._revokes else ""):
            return False
        from terrastore.messages import near  # noqa: PLC0415 -- see trust

        self._warn_once(f"{near(target.path)} {revoked}")
        return True

    def _warn_once(self, message: str) -> None:
        """Warn of what is seen again once the target is locked."""
        if message not in self.report.warnings:
            self.report.warn(message)

    def outdated(self, created: str, packages: Iterable[Package]) -> str:
        """Say why an environment of these packages, made when ``created`` says, will not do; "" when it will."""
        if (most := self.policy.max_age) is not None:
            from terrastore import times  # noqa: PLC0415 -- see trust

            if times.seconds_since(created) > most:
                return f"is older than {times.duration(most)}"
        # Where hashes fix everything there is nothing to look up.
        if self.policy.refresh and not self.said.demands_hashes and (moved := self._resolution.moved(packages)):
            return f"has other versions than are found now: {moved}"
        return ""

    @property
    def recipe(self) -> Recipe:
        """Return what is asked for, as an installer is told."""
        return self.inputs.recipe(self.request, self.said)

    @cached_property
    def _resolution(self) -> Resolved:
        """Return what the installer would install now."""
        from terrastore.build import resolve  # noqa: PLC0415 -- see trust

        return resolve(self.recipe, cache=self.cache, report=self.report)

    def _has_drifted(self, target: Target, state: State) -> bool:
        """Whether the environment at ``target`` is not as it was made; what differs is told once."""
        from terrastore.archive.drift import find_drift  # noqa: PLC0415 -- see trust
        from terrastore.install import cores  # noqa: PLC0415
        from terrastore.messages import near  # noqa: PLC0415

        inode = os.stat(target.path).st_ino
        if inode != self._drifted:
            try:
                drift = find_drift(
                    target.path, prefix=target.path, edited=state.projects, workers=cores(), report=self.report
                )
                phrases = drift.phrases()
            except UsageError as error:
                phrases = [error.message]
            if not phrases:
                return False
            self._drifted = inode
            more = f"; and {len(phrases) - _TOLD} more" if len(phrases) > _TOLD else ""
            self.report.remark(f"drift  {near(target.path)}: {'; '.join(phrases[:_TOLD])}{more}")
        return True
