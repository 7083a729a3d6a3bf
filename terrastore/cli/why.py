"""The command that says what a run would come to, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from terrastore.cli import messages, options
from terrastore.cli.environments import reporting, where
from terrastore.report import listed, number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from terrastore.nearest import Nearest
    from terrastore.store.protocol import Store
    from terrastore.why import Answer


@click.command()
@options.what
@options.place
@options.store
@options.trusting
@options.cache_dir
@options.common
def why(**values: Any) -> None:
    """Say what differs from the environment that is there.

    Else from the nearest of the newest twenty in the store. Also whether a run would keep, fetch or build. Nothing is
    changed.
    """
    from terrastore.place import Releases  # noqa: PLC0415 -- help needs none of it
    from terrastore.why import why  # noqa: PLC0415

    inputs, store = options.inputs(values), options.opened_store(values["store"])
    trust = options.trust(values | {"realm": values["realm"] or ""})
    place, shown = where(values)
    path = place.current() if isinstance(place, Releases) else place.path
    request = inputs.request()
    unpinned = list(request.requirements.unpinned)
    with reporting(values["quiet"]) as report:
        answer = why(request, place=path, store=store, trust=trust, report=report)
    if values["as_json"]:
        messages.print_json(_as_json(answer) | {"unpinned": unpinned, "warnings": report.warnings})
        return
    for line in _lines(answer, store, shown=shown, asked=", ".join(inputs.files)):
        messages.print_line(line)
    if unpinned:
        messages.print_line(f"unpinned {listed(unpinned)}: no version is pinned")


def _lines(answer: Answer, store: Store, *, shown: str, asked: str) -> Iterator[str]:
    """Yield what a person reads; ``shown`` is the target as it was named, ``asked`` the files that ask."""
    short, nearest = answer.key.short, answer.nearest
    if answer.outcome == "kept":
        yield f"kept     {shown} is what {asked} asks for  ({short})"
    elif answer.outcome == "fetched":
        yield f"fetch    {answer.store} has it: it would be fetched  ({short})"
    elif answer.misfit:
        yield f"build    {answer.misfit}; this host would build its own  ({short})"
    else:
        yield f"miss     {store} does not have it: it would be built  ({short})"
    if answer.moved:
        yield f"moved    {shown} was made for it; it was moved since, its Python replaced, or other projects are edited"
    if answer.revoked:
        yield f"revoked  {shown} {answer.revoked}"
    if answer.earlier:
        count = number(answer.earlier, "environment")
        yield f"earlier  {count} of the newest in {store} have keys by an earlier version's rules, and count as misses"
    if nearest is not None:
        yield from _differences(nearest, shown)
    elif answer.outcome == "built" and not answer.moved and not answer.revoked:
        yield "         there is nothing to compare it with"


def _differences(nearest: Nearest, shown: str) -> Iterator[str]:
    it = f"{shown} ({nearest.key.short})" if nearest.place is not None else f"{nearest.key.short} in {nearest.store}"
    yield f"differs  from {it}:"
    yield from (f"  {each.phrase}" for each in nearest.differences)
    if nearest.likeness:
        yield f"         {nearest.likeness}"


def _as_json(answer: Answer) -> dict[str, Any]:
    nearest = answer.nearest
    return {
        "schema": messages.SCHEMA,
        "key": answer.key.text,
        "outcome": answer.outcome,
        "store": answer.store,
        "compared_with": None
        if nearest is None
        else {
            "key": nearest.key.text,
            "environment": nearest.place,
            "store": nearest.store,
            "packages": nearest.packages,
            "packages_same": nearest.same,
        },
        "differences": [
            {
                "kind": each.kind,
                "name": each.name,
                "before": each.before,
                "after": each.after,
                "phrase": each.phrase,
            }
            for each in (nearest.differences if nearest is not None else ())
        ],
        "moved": answer.moved,
        "revoked": answer.revoked or None,
        "misfit": answer.misfit or None,
        "earlier": answer.earlier,
    }


COMMANDS = (why,)
