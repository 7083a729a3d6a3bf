"""What a person reads, and what ``--json`` prints. Results go to standard output, everything else to standard error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from terrastore.messages import SCHEMA, error_json, near, print_error, print_interrupted, print_json, print_line
from terrastore.report import number, size

if TYPE_CHECKING:
    from terrastore.boot.publishing import Published
    from terrastore.report import Report
    from terrastore.run import Outcome

__all__ = [
    "SCHEMA",
    "error_json",
    "itself_json",
    "itself_line",
    "near",
    "outcome_json",
    "outcome_line",
    "print_error",
    "print_interrupted",
    "print_json",
    "print_line",
]


def outcome_line(outcome: Outcome, *, shown: str, asked: str, seconds: float) -> str:
    """Return the one line that says what came of a run.

    ``shown`` is the target as a person named it, ``asked`` the files that were asked for.
    """
    short = outcome.key.short
    if outcome.outcome == "kept":
        if outcome.target is None:
            return f"kept     {outcome.store} has what {asked} asks for  ({short})"
        is_it = "now leads to" if outcome.switched else "is"
        return f"kept     {shown} {is_it} what {asked} asks for  ({short})"
    packages, place = number(outcome.packages, "package"), f" → {shown}" if outcome.target else ""
    if outcome.outcome == "fetched":
        amount = size(outcome.bytes_fetched)
        return f"fetched  {packages}, {amount} from {outcome.store} in {seconds:.1f} s{place}  ({short})"
    published = f"published to {outcome.store}" if outcome.store else "not published"
    return f"built    {packages} in {seconds:.1f} s{place}, {published}  ({short})"


def outcome_json(outcome: Outcome, report: Report) -> dict[str, Any]:
    """Return the object of ``--json``."""
    return {
        "schema": SCHEMA,
        "outcome": outcome.outcome,
        "key": outcome.key.text,
        "target": outcome.target,
        "store": outcome.store,
        "packages": outcome.packages,
        "bytes_fetched": outcome.bytes_fetched,
        "layers_fetched": outcome.layers_fetched,
        "layers_total": outcome.layers_total,
        "switched": outcome.switched,
        "seconds": {phase: round(value, 3) for phase, value in report.seconds.items()},
        "warnings": report.warnings,
    }


def itself_line(published: Published) -> str:
    """Return the one line that says what came of publishing terrastore itself."""
    offer, stores = published.offer, ", ".join(map(str, published.stores))
    what = f"terrastore {offer.listing.version}, {number(len(offer.listing.wheels), 'wheel')}, {size(offer.size)}"
    done = f"published {what}, to {stores}" if published.changed else f"kept     {stores} has {what}"
    return f"{done}  ({offer.listing.tag}, sha256 {offer.sha256})"


def itself_json(published: Published, report: Report) -> dict[str, Any]:
    """Return the object of ``--json`` for that."""
    offer = published.offer
    return {
        "schema": SCHEMA,
        "outcome": "published" if published.changed else "kept",
        "tag": offer.listing.tag,
        "version": offer.listing.version,
        "sha256": offer.sha256,
        "relocate": offer.listing.relocate.sha256,
        "wheels": len(offer.listing.wheels),
        "bytes": offer.size,
        "stores": [str(store) for store in published.stores],
        "warnings": report.warnings,
    }
