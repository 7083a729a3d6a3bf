"""What an environment was unpacked from, layer by layer and file by file; kept in it, so that drift can be named.

It comes from the verified headers and contents of the archive's members, and is a help, not a judge: whether
anything changed is decided by the layers' digests in the manifest. An environment that was unpacked by plain tar has
none, and :func:`derived` finds which file belongs to which layer as packing did.
"""

from __future__ import annotations

import json
import os
import re
import stat
from typing import TYPE_CHECKING, Final, NamedTuple

from terrastore.archive import ustar
from terrastore.archive.originals import INVENTORY_PATH
from terrastore.archive.pieces import MEMBER_OF
from terrastore.archive.reserved import INTERPRETERS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from terrastore.archive.manifest import Manifest
    from terrastore.archive.pieces import Row

_SCHEMA: Final = 1
LINK: Final = "l"
_CHECKED_HASH: Final = b"\x03\0\0\0"  # PEP 552
# What virtualenv makes before anything is installed.
_SKELETON: Final = re.compile(
    r"\.gitignore|CACHEDIR\.TAG|include|lib64|bin/([Aa]ctivate|deactivate|pydoc)[^/]*|lib/[^/]+/site-packages/_virtualenv\.(py|pth)"
)

# What is made where an environment stands, or is left there by uv.
_OURS: Final = re.compile(r"pyvenv\.cfg|\.lock|\.terrastore|" + INTERPRETERS.pattern)


class Entry(NamedTuple):
    """A member: ``kind`` is ``-`` for a file, ``x`` for one that its owner may execute, ``d`` or ``l``.

    ``size`` in bytes and ``crc`` (CRC-32) are those of the file in the archive, ``crc`` None where that is not known;
    ``target`` is that of a link.
    """

    path: str
    kind: str
    size: int = 0
    crc: int | None = None
    target: str = ""

    def member(self) -> ustar.Member:
        """Return it as an archive has it."""
        return ustar.Member(self.path, *MEMBER_OF[self.kind], self.size, self.target)


def to_json(entries: Iterable[Iterable[Row]]) -> bytes:
    """Return the file that keeps the entries of each layer, in the archive's order."""
    table = list(map(list, entries))
    return json.dumps({"schema": _SCHEMA, "layers": table}, separators=(",", ":"), ensure_ascii=False).encode()


def read_inventory(root: str, manifest: Manifest) -> list[list[Entry]]:
    """Return the entries of each of the manifest's layers; derived, when what is kept is of no use."""
    try:
        with open(os.path.join(root, INVENTORY_PATH), "rb") as file:
            document = json.loads(file.read())
        found = [[Entry(*each) for each in layer] for layer in document["layers"]]
        if document["schema"] == _SCHEMA and len(found) == len(manifest.layers) and all(map(_is_sound, found)):
            return found
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        pass
    return derived(root, manifest)


def derived(root: str, manifest: Manifest) -> list[list[Entry]]:
    """Return the entries of each layer as what is there was divided when it was packed; no ``crc`` is known."""
    from terrastore.archive import layers, record  # noqa: PLC0415 -- what is unpacked needs none of it
    from terrastore.archive.installed import installed, read  # noqa: PLC0415

    distributions = list(installed(root, tolerant=True))
    listed = {record.location(each.record, row) for each in distributions for row in each.rows if row.digest}
    there = {
        path: entry
        for path, entry in members(root, manifest)
        if entry.kind in MEMBER_OF and (path in listed or not layers.source_of(path) or _is_packed(root, path))
    }
    skeleton = {path for path in there if _SKELETON.fullmatch(path)}
    plans, _ = layers.plan(there, distributions, skeleton, lambda path: record.digest_of(read(root, path)))
    paths = {(plan.name, plan.version): plan.paths for plan in plans}
    return [
        # What is where an archive had nothing was added.
        [there[path] for path in paths.get((layer.name, layer.version), ())] if layer.frames else []
        for layer in manifest.layers
    ]


def _is_packed(root: str, path: str) -> bool:
    """Whether bytecode is valid by its source's hash, as archives have it, and not by its time, as Python writes it."""
    with open(os.path.join(root, path), "rb") as file:
        flags = file.read(8)[4:]
    return flags == _CHECKED_HASH


def members(root: str, manifest: Manifest) -> Iterable[tuple[str, Entry]]:
    """Yield what :func:`walk` does, but for the links that lead to the interpreter's own libraries."""
    libraries = manifest.needs.get("libraries") or ()
    bound = {f"lib/{library['name']}" for library in libraries if library.get("base")}
    return ((path, entry) for path, entry in walk(root) if entry.kind != LINK or path not in bound)


def walk(root: str, folder: str = "") -> Iterable[tuple[str, Entry]]:
    """Yield what is below ``root``, by path, but for what is made where an environment stands.

    Files, links, which are not followed, and empty directories; anything else has the kind ``?``.
    """
    with os.scandir(os.path.join(root, folder)) as entries:
        for entry in sorted(entries, key=lambda each: each.name):
            path = folder + entry.name
            if _OURS.fullmatch(path):
                continue
            if entry.is_symlink():
                yield path, Entry(path, LINK, target=os.readlink(entry.path))
            elif entry.is_dir():
                empty = True
                for below in walk(root, f"{path}/"):
                    empty = False
                    yield below
                if empty:
                    yield path, Entry(path, "d")
            else:
                facts = entry.stat(follow_symlinks=False)
                kind = ("x" if facts.st_mode & stat.S_IXUSR else "-") if stat.S_ISREG(facts.st_mode) else "?"
                yield path, Entry(path, kind, facts.st_size)


def _is_sound(layer: list[Entry]) -> bool:
    return all(
        isinstance(each.path, str)
        and each.kind in MEMBER_OF
        and isinstance(each.size, int)
        and isinstance(each.target, str)
        for each in layer
    )
