"""What was added to an environment since it was made, and still leads to the place that it had then."""

from __future__ import annotations

import json
import mmap
import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from terrastore.archive.originals import EDITED, INVENTORY_PATH

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

# Bytecode says where its module was, and Python puts in where it is; the others are made anew.
_PASSED_OVER: Final = re.compile(rf".*\.pyc|.*{re.escape(EDITED)}|pyvenv\.cfg|\.terrastore/.*|bin/python[\d.]*t?")


def strays(root: str, before: str, relocated: Collection[str]) -> list[str]:
    """Return the files and links below ``root`` that no archive brought, and that name ``before``, the prefix it had.

    ``relocated`` are the paths of those that are rewritten anyway. Where it is not known what else the archive
    brought, all of ``lib`` counts as such.
    """
    known = _brought(root)
    named = _spellings(before)
    found = []
    for path in _below(root, skip_lib=known is None):
        if path in relocated or (known and path in known) or _PASSED_OVER.fullmatch(path):
            continue
        with suppress(FileNotFoundError, PermissionError):
            if _names(os.path.join(root, path), named):
                found.append(path)
    return sorted(found)


def replaced(root: str) -> frozenset[str]:
    """Return the paths of distributions that were brought and are there no more: what has such a path is another's.

    Where it is not known what was brought there are none.
    """
    return frozenset(path for layer in _layers(root) or () if not _is_there(root, layer) for path in layer)


def _brought(root: str) -> frozenset[str] | None:
    layers = _layers(root)
    if layers is None:
        return None
    return frozenset(path for layer in layers if _is_there(root, layer) for path in layer)


def _is_there(root: str, layer: Iterable[str]) -> bool:
    """Whether a distribution has its RECORD yet; what belongs to none is always there."""
    records = [path for path in layer if path.endswith(".dist-info/RECORD")]
    return not records or any(os.path.isfile(os.path.join(root, path)) for path in records)


def _layers(root: str) -> list[list[str]] | None:
    try:
        with open(os.path.join(root, INVENTORY_PATH), "rb") as file:
            return [[str(entry[0]) for entry in layer] for layer in json.loads(file.read())["layers"]]
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _below(root: str, *, skip_lib: bool) -> Iterator[str]:
    for folder, folders, files in os.walk(root):
        inside = os.path.relpath(folder, root)
        if inside == "." and skip_lib:
            folders[:] = [name for name in folders if name != "lib"]
        links = (name for name in folders if os.path.islink(os.path.join(folder, name)))
        for name in (*files, *links):
            yield os.path.normpath(os.path.join(inside, name))


def _spellings(prefix: str) -> re.Pattern[bytes]:
    """Match a path as text, JSON and URLs have it, and none that only begins like it."""
    spelled = {prefix, json.dumps(prefix)[1:-1], quote(prefix)}
    return re.compile(b"(?:" + b"|".join(re.escape(each.encode()) for each in spelled) + rb")(?![\w.\x80-\xff-])")


def _names(place: str, named: re.Pattern[bytes]) -> bool:
    if os.path.islink(place):
        return bool(named.match(os.fsencode(os.readlink(place))))
    if not os.path.isfile(place) or not os.path.getsize(place):
        return False
    with open(place, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return bool(named.search(content))
