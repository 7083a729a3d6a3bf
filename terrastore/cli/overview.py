"""The command that makes a page of a store."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from terrastore.cli import messages, options
from terrastore.cli.environments import reporting
from terrastore.errors import UsageError
from terrastore.report import number, size

if TYPE_CHECKING:
    from terrastore.overview import Overview


@click.command()
@options.store
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    shell_complete=options.paths("file"),
    help="Where the page goes; default: standard output.",
)
@options.criteria
@options.cache_dir
@options.common
def report(**values: Any) -> None:
    """Make a page of a store: environments, weights, layers in common, what prune would free.

    It is one HTML file that needs no network. With --unused-for, --keep-last and --max-size it tells what prune would
    do with the same; nothing is removed. With --json the figures are printed.
    """
    from terrastore import overview  # noqa: PLC0415 -- help needs none of it
    from terrastore.overview.page import page  # noqa: PLC0415
    from terrastore.upkeep.known import Known  # noqa: PLC0415

    output, as_json = values["output"], values["as_json"]
    if output is None and not as_json and sys.stdout.isatty():
        raise UsageError("a page is nothing to read on a terminal", hint="name a file: terrastore report -o store.html")
    if output is not None:
        output = _place(output)
    store = options.opened_store(values["store"])
    with reporting(values["quiet"]) as watching:
        known = Known(store, Path(options.cache_path(values["cache_dir"]), "known"), watching)
        found = overview.look(store, options.criteria_of(values), known=known, report=watching)
    content = page(found) if output is not None or not as_json else b""
    if output is not None:
        _write(output, content)
    elif not as_json:
        sys.stdout.buffer.write(content)
    if as_json:
        where = {} if output is None else {"file": output, "file_bytes": len(content)}
        messages.print_json({"schema": messages.SCHEMA, **where, **_document(found)})
    elif output is not None:
        count = number(len(found.environments), "environment")
        messages.print_line(f"written  {messages.near(output)}, {size(len(content))}: {count} of {found.store}")


def _place(path: str) -> str:
    """Return the absolute path of a page, before any work is done for it.

    :raises UsageError: when it cannot be a file's
    """
    absolute = os.path.abspath(path)
    if os.path.isdir(absolute) or not os.path.isdir(os.path.dirname(absolute)):
        problem = "is a directory" if os.path.isdir(absolute) else "is in no directory"
        raise UsageError(f"{path} {problem}", hint="name a file, such as store.html")
    if os.path.lexists(absolute) and not os.path.isfile(absolute):
        raise UsageError(f"{path} is a device or a pipe", hint="name a file, such as store.html")
    return os.path.realpath(absolute)


def _write(path: str, content: bytes) -> None:
    from terrastore import atomic, room  # noqa: PLC0415 -- see report

    with room.writing(os.path.dirname(path), what="the page", otherwise="name another file"):
        atomic.write_file(path, content, mode=0o644)


def _document(found: Overview) -> dict[str, Any]:
    from terrastore.cli.listing import described  # noqa: PLC0415 -- see report

    pruned = found.pruned
    return {
        "store": found.store,
        "bytes": found.size,
        "bytes_of_layers": found.once,
        "bytes_stored_again": found.again,
        "environments": [
            {**described(each), "bytes_only_here": found.alone.get(each.key)} for each in found.environments
        ],
        "packages": [
            {"name": each.name, "versions": list(each.versions), "bytes": each.packed, "bytes_stored": each.stored}
            for each in found.packages
        ],
        "prune": None
        if pruned is None
        else {
            "removed": [
                {"key": each.environment.key.text, "bytes": each.environment.size, "reason": each.reason}
                for each in pruned.removed
            ],
            "bytes": pruned.later,
            "freed": pruned.freed,
            "left": pruned.left,
        },
        "unused": [{"days": each.days, "environments": each.environments, "bytes": each.size} for each in found.steps],
    }


COMMANDS = (report,)
