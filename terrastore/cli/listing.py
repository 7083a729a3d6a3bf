"""The command that lists what a store has: from its listings alone, unless packages are asked for."""

from __future__ import annotations

import shutil
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from terrastore.cli import messages, options
from terrastore.cli.environments import reporting
from terrastore.errors import ArchiveRefusedError, UsageError
from terrastore.report import number, size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from packaging.requirements import Requirement

    from terrastore.key import EnvKey
    from terrastore.pointer import Pointer
    from terrastore.report import Report
    from terrastore.store.protocol import Store
    from terrastore.upkeep.holdings import Environment
    from terrastore.upkeep.known import Contents

_FEW: Final = 100
"""Pointers that are read also from a store that is far away."""
_WEEK: Final = 7 * 86400
_PLENTY: Final = 200
"""Columns that are taken where nobody says how many there are."""


@click.command("list")
@options.store
@click.option("-l", "--long", "detailed", is_flag=True, help="Say when each was made and used, and how large it is.")
@options.option(
    "--with", "holding", multiple=True, metavar="REQUIREMENT", help="Only those that hold it, such as 'numpy==2.1.0'."
)
@options.cache_dir
@options.common
def list_(**values: Any) -> None:
    """List the environments in a store, the newest first.

    With -l their Python and packages are told too, where the store is on this machine or has at most a hundred.
    """
    from terrastore.upkeep import holdings  # noqa: PLC0415 -- help needs none of it

    wanted = [_requirement(text) for text in values["holding"]]
    store = options.opened_store(values["store"])
    with reporting(values["quiet"]) as report:
        with report.phase("list", unit="steps"):
            found: Sequence[Environment] = holdings.read(store).environments
        if wanted:
            found = _with(store, found, wanted, cache=options.cache_path(values["cache_dir"]), report=report)
        is_read = values["detailed"] and (store.is_near or len(found) <= _FEW)
        pointers = _pointers(store, found, report) if is_read else {}
    if values["as_json"]:
        described = [_described(each, pointers.get(each.key)) for each in found]
        messages.print_json({"schema": messages.SCHEMA, "store": str(store), "environments": described})
        return
    if values["detailed"]:
        for line in _lines(found, pointers, columns=shutil.get_terminal_size((_PLENTY, 0)).columns):
            print(line)
    else:
        for each in found:
            print(each.key)
    if not found:
        messages.print_line(f"{store} has no {'such ' if wanted else ''}environments", sys.stderr)


def _requirement(text: str) -> Requirement:
    from packaging.requirements import InvalidRequirement, Requirement  # noqa: PLC0415 -- see list_

    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        raise UsageError(f"--with {text} is no requirement", hint="write a name and versions: 'numpy==2.1.0'") from None
    if requirement.url or requirement.marker or requirement.extras:
        raise UsageError(f"--with {text} says more than a name and versions", hint="write it like 'numpy==2.1.0'")
    return requirement


def _with(
    store: Store, environments: Sequence[Environment], wanted: Sequence[Requirement], *, cache: str, report: Report
) -> list[Environment]:
    """Return the environments that hold everything that is wanted."""
    from terrastore.upkeep.known import Known  # noqa: PLC0415 -- see list_

    contents = Known(store, Path(cache, "known"), report).contents(environments)
    return [each for each in environments if all(_holds(contents[each.key], requirement) for requirement in wanted)]


def _holds(contents: Contents | None, wanted: Requirement) -> bool:
    from packaging.version import InvalidVersion, Version  # noqa: PLC0415 -- see list_

    from terrastore.names import normalised  # noqa: PLC0415

    name = normalised(wanted.name)
    for package, version in contents.packages if contents is not None else ():
        if normalised(package) == name:
            try:
                return wanted.specifier.contains(Version(version), prereleases=True)
            except InvalidVersion:
                return not wanted.specifier
    return False


def _pointers(store: Store, environments: Sequence[Environment], report: Report) -> dict[EnvKey, Pointer]:
    from terrastore import catalogue  # noqa: PLC0415 -- see list_
    from terrastore.trust import ANYTHING  # noqa: PLC0415
    from terrastore.upkeep import abreast  # noqa: PLC0415 -- see list_

    def read(environment: Environment) -> Pointer | None:
        try:
            found = catalogue.find(store, environment.key, ANYTHING, report)
        except ArchiveRefusedError as error:
            report.warn(error.message)
            return None
        return found.pointer if found is not None else None

    read_pointers = abreast.mapped(read, environments, store.readers)
    return {each.key: pointer for each, pointer in zip(environments, read_pointers, strict=True) if pointer is not None}


def _described(environment: Environment, pointer: Pointer | None) -> dict[str, Any]:
    from dataclasses import asdict  # noqa: PLC0415 -- see list_

    return {**described(environment), "pointer": asdict(pointer) if pointer is not None else None}


def described(environment: Environment) -> dict[str, Any]:
    """Return what ``--json`` says of an environment."""
    from terrastore import times  # noqa: PLC0415 -- see list_
    from terrastore.upkeep import uses  # noqa: PLC0415 -- see list_

    marked = environment.marked
    return {
        "key": environment.key.text,
        "made": times.at(environment.made),
        "used": uses.week(datetime.fromtimestamp(marked, UTC)) if marked is not None else None,
        "size": environment.size,
        "pins": list(environment.pins),
    }


def digits(environment: Environment) -> str:
    """Return the first digits of a key, which ``show`` takes too."""
    return environment.key.short.split("-", 2)[2]


def used(environment: Environment) -> str:
    """Return when an environment was used last, as far as that is known: in weeks."""
    if environment.marked is None:
        return ""
    weeks = int(max(0.0, time.time() - environment.marked) // _WEEK)
    return f"used {number(weeks, 'week')} ago" if weeks else "used this week"


def _lines(environments: Sequence[Environment], pointers: Mapping[EnvKey, Pointer], *, columns: int) -> list[str]:
    """Return a line for each environment; what there is no room for is left out, the least important first."""
    cells = [_cells(each, pointers.get(each.key)) for each in environments]
    widths = {name: max((len(cell[name]) for cell in cells), default=0) for name in _ORDER}
    shown = {name for name in _ORDER if widths[name] and name not in _SHORTER.values()}
    for name in _DISPENSABLE:
        if sum(widths[each] + 2 for each in shown) - 2 > columns:
            shown.discard(name)
            shown |= {_SHORTER[name]} if name in _SHORTER else set()
    return [_line(cell, [name for name in _ORDER if name in shown], widths, columns) for cell in cells]


_ORDER: Final = ("key", "short", "digits", "age", "used", "size", "packages", "python", "pins")
_DISPENSABLE: Final = ("key", "python", "packages", "short")
_SHORTER: Final = {"key": "short", "short": "digits"}
_TO_THE_RIGHT: Final = frozenset({"age", "size", "packages"})


def _cells(environment: Environment, pointer: Pointer | None) -> dict[str, str]:
    from terrastore import times  # noqa: PLC0415 -- see list_

    return {
        "key": environment.key.text,
        "short": environment.key.short,
        "digits": digits(environment),
        "age": f"{times.about(time.time() - environment.made)} ago",
        "used": used(environment),
        "size": size(environment.size),
        "packages": number(pointer.packages, "package") if pointer is not None else "",
        "python": f"Python {pointer.python}" if pointer is not None else "",
        "pins": f"pinned as {', '.join(environment.pins)}" if environment.pins else "",
    }


def _line(cell: Mapping[str, str], shown: Sequence[str], widths: Mapping[str, int], columns: int) -> str:
    padded = [
        cell[name].rjust(widths[name]) if name in _TO_THE_RIGHT else cell[name].ljust(widths[name]) for name in shown
    ]
    line = "  ".join(padded).rstrip()
    return line if len(line) <= columns else f"{line[: columns - 1]}…"


COMMANDS = (list_,)
