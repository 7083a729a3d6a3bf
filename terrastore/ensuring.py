"""The story: the key; is it here already; find it, or build and publish it; unpack, check, swap in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from terrastore.place import Releases, Target
from terrastore.run import Run

if TYPE_CHECKING:
    from pathlib import Path

    from terrastore.inputs import Inputs
    from terrastore.place import Shelf
    from terrastore.report import Report
    from terrastore.run import Outcome, Policy
    from terrastore.store.protocol import Store


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
        from terrastore.obtaining import Obtaining  # noqa: PLC0415 -- what is kept needs none of it

        obtaining = Obtaining(run)
        target.check_replaceable(force=policy.force, needed=run.needed)
        with target.locked(report, wait=run.patience.left):
            # Whoever held the lock may have made what we want.
            outcome = run.kept(target) or obtaining.fetched(target) or obtaining.built_by_one(target)
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
    from terrastore.obtaining import Obtaining  # noqa: PLC0415 -- as above

    obtaining = Obtaining(Run(inputs, store, cache, policy, report))
    return obtaining.in_store() or obtaining.built_by_one(None)
