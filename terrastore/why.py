"""Why a request would be a miss, or would not: what it differs from, and where it is. Nothing is built or fetched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from terrastore import environment, nearest
from terrastore.archive.originals import read_environment_manifest
from terrastore.environment import State
from terrastore.key import EnvKey
from terrastore.supply import Supply

if TYPE_CHECKING:
    from terrastore.key import Request
    from terrastore.nearest import Nearest
    from terrastore.report import Report
    from terrastore.store.protocol import Store
    from terrastore.trust import Trust

KEPT: Final = "kept"
FETCHED: Final = "fetched"
BUILT: Final = "built"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a run for ``key`` would come to.

    ``outcome`` as it would be: ``kept``, ``fetched`` or ``built``; ``store`` what it would be fetched from; ``nearest``
    what it was compared with, None when there is nothing, or nothing differs. ``moved`` whether what stands there was
    made for the same request, and was moved since, lost its interpreter, or has other projects to be edited;
    ``revoked`` why that must not be kept all the same. ``misfit`` says why this host cannot use what is published;
    ``earlier`` how many of the store's newest environments have keys by the rules of an earlier version, and are not
    found.
    """

    key: EnvKey
    outcome: str
    store: str | None = None
    nearest: Nearest | None = None
    moved: bool = False
    revoked: str = ""
    misfit: str = ""
    earlier: int = 0


def why(request: Request, *, place: str | None, store: Store, trust: Trust, report: Report) -> Answer:
    """Look at the environment at ``place``, then at the stores.

    :raises TerrastoreError: when the last store cannot be asked
    """
    key, revoked = EnvKey.of(request), ""
    if place is not None and (state := environment.holds(place, key, request.requirements.projects)) is not None:
        packages = read_environment_manifest(place).packages if trust.revoked else ()
        if not (revoked := trust.revokes(packages, archive=state.archive)):
            return Answer(key=key, outcome=KEPT)
    before = nearest.on_disk(place, request) if place is not None else None
    state = State.read(place) if place is not None else None
    moved = state is not None and state.key == key.text and not revoked
    supply = Supply(store, key, request.host, replace=False, trust=trust, report=report)
    for layer in supply.layers:
        with supply.passing_over(layer, last=layer is supply.layers[-1], build=True):
            if supply.find(layer, request.interpreter) is not None:
                return Answer(
                    key=key,
                    outcome=FETCHED,
                    store=str(layer.store),
                    nearest=before,
                    moved=moved,
                    revoked=revoked,
                )
    there = nearest.in_store(store, request, trust)
    return Answer(
        key=key,
        outcome=BUILT,
        nearest=before or there.nearest,
        moved=moved,
        revoked=revoked,
        misfit=supply.misfit,
        earlier=there.earlier,
    )
