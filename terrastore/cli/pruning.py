"""Commands that remove from a store what nobody needs, and that say what is needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from terrastore.cli import messages, options
from terrastore.cli.environments import reporting
from terrastore.report import number, size

if TYPE_CHECKING:
    from terrastore.upkeep.prune import Pruned, Removed

_KINDS: Final = {
    "archives": "archive",
    "wheels": "wheel",
    "leases": "note of a lease",
    "marks": "mark of use",
    "probes": "probe",
    "records": "record",
    "uploads": "unfinished upload",
}


_ROOMY: Final = 90
"""Columns in which there is room for more than digits of a key."""


@click.command()
@options.store
@options.criteria
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and change nothing.")
@options.cache_dir
@options.common
def prune(**values: Any) -> None:
    """Remove from a store what nobody needs.

    Environments that any of the options names go, but never a pinned one; the last archives of those follow with the
    first prune after a day, for somebody may be reading them. Without options nothing goes but what was left behind:
    archives and wheels that no environment has, notes, old marks of use, uploads that nobody finished.
    """
    from terrastore.upkeep import prune as pruning  # noqa: PLC0415 -- help needs none of it
    from terrastore.upkeep.known import Known  # noqa: PLC0415

    store = options.opened_store(values["store"])
    criteria = options.criteria_of(values)
    with reporting(values["quiet"]) as report:
        known = Known(store, Path(options.cache_path(values["cache_dir"]), "known"), report)
        pruned = pruning.prune(store, criteria, known=known, report=report, dry_run=values["dry_run"])
    if values["as_json"]:
        messages.print_json({"schema": messages.SCHEMA, "store": str(store), **_document(pruned, values["dry_run"])})
        return
    if values["verbose"] or values["dry_run"]:
        for each in pruned.removed:
            messages.print_line(_line(each))
    messages.print_line(_summary(pruned, str(store), dry_run=values["dry_run"]))


@click.command()
@click.argument("name", metavar="NAME")
@click.argument("key", metavar="KEY")
@options.store
@options.common
def pin(**values: Any) -> None:
    """Let a name hold an environment in a store, so that it is never pruned.

    A name that holds another one lets that go.
    """
    from terrastore import catalogue  # noqa: PLC0415 -- see prune
    from terrastore.upkeep import pins  # noqa: PLC0415 -- see prune

    store = options.opened_store(values["store"])
    key = catalogue.resolve(store, values["key"])
    before = pins.put(store, values["name"], key)
    if values["as_json"]:
        document = {"pin": values["name"], "key": key.text, "before": before.text if before is not None else None}
        messages.print_json({"schema": messages.SCHEMA, "store": str(store), **document})
        return
    instead = f", no longer {before.short}" if before is not None and before != key else ""
    messages.print_line(f"pinned   {values['name']} holds {key.short}{instead}, in {store}")


@click.command()
@click.argument("name", metavar="NAME")
@options.store
@options.common
def unpin(**values: Any) -> None:
    """Let a name hold no environment any more."""
    from terrastore.upkeep import pins  # noqa: PLC0415 -- see prune

    store = options.opened_store(values["store"])
    pins.remove(store, values["name"])
    if values["as_json"]:
        messages.print_json({"schema": messages.SCHEMA, "store": str(store), "pin": values["name"]})
    else:
        messages.print_line(f"unpinned {values['name']}, in {store}")


def _line(removed: Removed) -> str:
    from terrastore import terminal  # noqa: PLC0415 -- see prune
    from terrastore.cli.listing import digits, used  # noqa: PLC0415

    environment = removed.environment
    name = environment.key.short if terminal.columns() >= _ROOMY else digits(environment)
    last = used(environment) or "never used"
    return f"{name}  {size(environment.size):>9}  {last:17}  {removed.reason}"


def _summary(pruned: Pruned, store: str, *, dry_run: bool) -> str:
    notes = [f"{size(pruned.left)} left"]
    if pruned.later:
        notes.append("what they have is freed by the first prune after a day")
    if tidied := {kind: count for kind, count in pruned.tidied.items() if count}:
        counted = ", ".join(_counted(count, _KINDS[kind]) for kind, count in tidied.items())
        notes.append(f"{'to be freed' if dry_run else 'freed'} {size(pruned.freed)}: {counted}")
    verb = "would prune" if dry_run else "pruned  "
    what = f"{len(pruned.removed):,} of {number(pruned.total, 'environment')}, {size(pruned.later)}"
    return f"{verb} {what} from {store}  ({'; '.join(notes)})"


def _counted(count: int, noun: str) -> str:
    """Return a count and its noun, whose first word alone may be more than one."""
    first, _, rest = noun.partition(" of ")
    return f"{number(count, first)}{f' of {rest}' if rest else ''}"


def _document(pruned: Pruned, dry_run: bool) -> dict[str, Any]:
    from terrastore.cli.listing import described  # noqa: PLC0415 -- see prune

    return {
        "dry_run": dry_run,
        "environments": pruned.total,
        "removed": [{**described(each.environment), "reason": each.reason} for each in pruned.removed],
        "bytes": pruned.later,
        "freed": pruned.freed,
        "left": pruned.left,
        "tidied": {kind: pruned.tidied.get(kind, 0) for kind in _KINDS},
    }


COMMANDS = (prune, pin, unpin)
