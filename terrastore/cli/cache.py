"""The command that looks after what this machine keeps."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from terrastore.cli import messages, options
from terrastore.report import size

if TYPE_CHECKING:
    from collections.abc import Mapping


@click.command()
@click.argument("what", metavar="dir|size|prune", type=click.Choice(["dir", "size", "prune"]))
@options.cache_dir
@options.cache_limit
@options.common
def cache(**values: Any) -> None:
    """Say where and how much this machine keeps, or remove some of it.

    prune removes what was not used for the longest time, of the layers that were unpacked here, of those that were
    packed here and of the wheels that were fetched, until each keep to --cache-limit; other runs may be at work.
    Installers' own downloads stay.
    """
    folder = str(options.cache_path(values["cache_dir"]))
    if values["what"] == "dir":
        _tell(values, {"directory": folder}, folder)
    elif values["what"] == "size":
        _tell_sizes(values, folder)
    else:
        removed = _prune(folder, values["cache_limit"])
        _tell(
            values, {"removed": removed}, f"removed {size(removed)} of layers and wheels from {messages.near(folder)}"
        )


def _prune(folder: str, limit: int) -> int:
    """Keep each to the limit, what was unpacked, packed and fetched here; return how many bytes were removed."""
    from terrastore.archive.packed_layers import PackedLayers  # noqa: PLC0415 -- see options.opened_store
    from terrastore.cache import prune  # noqa: PLC0415

    packed = os.path.join(folder, "packed")
    removed = PackedLayers(packed).prune(limit) if os.path.isdir(packed) else 0
    return removed + sum(prune(os.path.join(folder, name), limit) for name in ("layers", "wheels"))


def _tell_sizes(values: dict[str, Any], folder: str) -> None:
    from terrastore.cache import size_of  # noqa: PLC0415 -- see options.opened_store

    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    sizes = {name: size_of(os.path.join(folder, name)) for name in names}
    lines = [f"{name:12}{size(count):>10}" for name, count in sizes.items()]
    _tell(values, {"sizes": sizes}, "\n".join([*lines, f"{'together':12}{size(sum(sizes.values())):>10}"]))


def _tell(values: dict[str, Any], document: Mapping[str, Any], text: str) -> None:
    if values["as_json"]:
        messages.print_json({"schema": messages.SCHEMA, **document})
    else:
        messages.print_line(text)


COMMANDS = (cache,)
