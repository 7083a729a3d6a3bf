"""What became of an environment since it was made: file by file and by package, judged by its manifest.

Each layer's tar stream is made again from what is on disk, canonical as it was packed, and its digest compared with the
manifest's. So every edit is found, whatever size, time and RECORD say. Where a digest differs, the inventory
tells which files do.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from terrastore.archive import originals, projects, record, relocate, slots, ustar
from terrastore.archive.changes import ADDED, EDITED, MISSING, Drift, Package
from terrastore.archive.installed import installed
from terrastore.archive.inventory import LINK, Entry, members, read_inventory
from terrastore.archive.layers import source_of
from terrastore.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from terrastore.archive.layers import Distribution
    from terrastore.archive.manifest import Layer, Manifest, Relocation
    from terrastore.report import Phase, Report

_READ_SIZE: Final = 1024 * 1024
_BYTECODE: Final = "__pycache__"


def find_drift(root: str, *, prefix: str, edited: Collection[str] = (), workers: int, report: Report) -> Drift:
    """Compare the environment at ``root`` with its manifest; ``prefix`` is where it was relocated to.

    ``edited`` are the directories of the projects that were installed in it to be edited.

    Bytecode that Python wrote since is no drift, nor is what binds the environment to its interpreter.

    :raises UsageError: when there is no manifest
    """
    manifest = originals.read_environment_manifest(root)
    made = read_inventory(root, manifest)
    there = dict(members(root, manifest))
    with report.phase("verify", total=sum(entry.size for entry in there.values())) as phase:
        examiner = _Examiner(root, prefix, manifest, there, phase)
        # The largest first, so that no core waits for the other at the end.
        order = sorted(range(len(made)), key=lambda index: -manifest.layers[index].size)
        with ThreadPoolExecutor(workers) as pool:
            results = list(pool.map(lambda index: examiner.layer(manifest.layers[index], made[index]), order))
    by_layer = dict(zip(order, results, strict=True))
    known = {entry.path for layer in made for entry in layer}
    there_now = {os.path.realpath(each.path): each for each in projects.projects(root)}
    ours = {path: there_now.get(os.path.realpath(path)) for path in sorted(edited)}
    known.update(path for project in ours.values() if project for path in projects.files(root, project))
    added = [path for path, entry in there.items() if path not in known and entry.kind != "d"]
    records = {project.record for project in ours.values() if project}
    drift = _by_package(root, manifest, [by_layer[index] for index in range(len(made))], added, records)
    return replace(drift, projects=tuple(path for path, project in ours.items() if project is None))


class _Examiner:
    """Compares layers with what is on disk; safe from several threads."""

    def __init__(self, root: str, prefix: str, manifest: Manifest, there: Mapping[str, Entry], phase: Phase) -> None:
        self._root = root
        self._prefix = prefix
        self._there = there
        self._phase = phase
        self._kinds = {entry.path: entry.kind for entry in manifest.relocations}
        try:
            kept = originals.kept_originals(root, manifest) or {}
        except UsageError:
            kept = {}  # then none of the files is what it should be
        self._canonical = {member.path: data for member, data in kept.items()}
        self._relocated = {path: content for path, content in self._all_relocated() if content is not None}
        self._compiled = {entry.path: entry for entry in manifest.relocations if entry.kind == relocate.BINARY_KIND}
        self._sound = {entry.path: content for entry in self._compiled.values() if (content := self._as_made(entry))}
        # What RECORDs say of all of them, where they stand and in the archive.
        self._relocated_facts: dict[str, bytes | record.Content] = {**self._relocated, **self._sound}
        self._canonical_facts: dict[str, bytes | record.Content] = {
            **self._canonical,
            **{
                path: record.Content(bytes.fromhex(entry.sha256 or ""), there[path].size)
                for path, entry in self._compiled.items()
                if path in there
            },
        }

    def layer(self, layer: Layer, made: Sequence[Entry]) -> dict[str, str] | None:
        """Return which paths of a layer are edited or missing; None when something is, and it cannot be told what."""
        changes = {entry.path: what for entry in made if (what := self._visible(entry))}
        if not changes:
            try:
                if self._digest(made) == layer.digest:
                    return {}
            except ustar.MalformedError:
                pass  # nothing that an archive may hold, where no inventory says what it was
        for entry in made:
            if entry.path not in changes and self._differs(entry):
                changes[entry.path] = EDITED
        unsure = [entry for entry in made if entry.path not in changes and entry.crc is None]
        for path in self._untrue(made, {entry.path for entry in (unsure if changes else made)}):
            changes.setdefault(path, EDITED)
        # Python writes the bytecode of an edited module anew.
        changes = {path: what for path, what in changes.items() if source_of(path) not in changes}
        return changes or None

    def _all_relocated(self) -> Iterator[tuple[str, bytes | None]]:
        for path, canonical in self._canonical.items():
            try:
                yield path, relocate.rewrite(self._kinds[path], canonical, self._prefix)
            except relocate.NotRelocatableError:
                yield path, None

    def _as_made(self, entry: Relocation) -> record.Content | None:
        """Return what a RECORD says of a compiled file where that is what relocation makes of it, else None."""
        try:
            with open(os.path.join(self._root, entry.path), "rb") as file:
                return slots.as_made(file.fileno(), entry, self._prefix)
        except (OSError, slots.ChangedError, relocate.NotRelocatableError):
            return None

    def _visible(self, entry: Entry) -> str:
        """Return what the directory tells of a member already, "" when nothing."""
        found = self._there.get(entry.path)
        if entry.kind == "d" and found is None:
            place = os.path.join(self._root, entry.path)
            return "" if os.path.isdir(place) and not os.path.islink(place) else MISSING
        if found is None:
            return MISSING
        is_same = found.kind == entry.kind and found.target == entry.target
        return "" if is_same and (entry.path in self._kinds or found.size == entry.size) else EDITED

    def _digest(self, made: Iterable[Entry]) -> str:
        digest = hashlib.sha256()
        for entry in made:
            content = self._as_packed(entry)
            size = self._there[entry.path].size if content is None and entry.kind not in {LINK, "d"} else 0
            size = len(content) if content is not None else size
            digest.update(ustar.header(entry._replace(size=size).member()))
            for piece in self._packed_pieces(entry, content) if size else ():
                digest.update(piece)
            digest.update(bytes(ustar.padding(size)))
            self._phase.advance(size)
        return digest.hexdigest()

    def _as_packed(self, entry: Entry) -> bytes | None:
        """Return the canonical content of a text that holds paths, or of a RECORD that states its digest.

        What is on disk instead when that is not what relocation makes of it; None for every other member.
        """
        kind = self._kinds.get(entry.path, relocate.BINARY_KIND)
        if kind == relocate.BINARY_KIND:
            return None
        found = b"".join(self._pieces(entry.path))
        if kind != relocate.RECORD_KIND:
            expected = self._relocated.get(entry.path)
            return self._canonical[entry.path] if found == expected else found
        try:
            rows = record.parse(found)
        except ValueError:
            return found
        if found != record.write(record.updated(rows, entry.path, self._relocated_facts)):
            return found
        return record.write(record.updated(rows, entry.path, self._canonical_facts))

    def _differs(self, entry: Entry) -> bool:
        """Whether the inventory says of a file that it had other bytes."""
        if entry.crc is None or entry.kind in {LINK, "d"}:
            return False
        content = self._as_packed(entry)
        found = 0
        for piece in self._packed_pieces(entry, content):
            found = zlib.crc32(piece, found)
        return found != entry.crc

    def _untrue(self, made: Iterable[Entry], files: Collection[str]) -> Iterator[str]:
        """Yield those of the ``files`` of a layer that its RECORD says something else of."""
        if not files:
            return
        for path in (entry.path for entry in made if entry.path.endswith(".dist-info/RECORD")):
            with open(os.path.join(self._root, path), "rb") as file:
                data = file.read()
            try:
                rows = record.parse(data)
            except ValueError:
                yield path
                continue
            for row in rows:
                place = record.location(path, row)
                if place in files and row.digest.startswith("sha256="):
                    with open(os.path.join(self._root, place), "rb") as file:
                        if record.digest_of(file.read()) != row.digest:
                            yield place

    def _packed_pieces(self, entry: Entry, content: bytes | None) -> Iterator[bytes]:
        """Yield a file as it was packed, where it is what relocation makes of it; ``content`` if that is known."""
        if content is not None:
            yield content
        elif entry.path in self._sound:
            with open(os.path.join(self._root, entry.path), "rb") as file:
                yield from slots.canonical(file.fileno(), self._compiled[entry.path])
        else:
            yield from self._pieces(entry.path)

    def _pieces(self, path: str) -> Iterator[bytes]:
        with open(os.path.join(self._root, path), "rb", buffering=0) as file:
            while piece := file.read(_READ_SIZE):
                yield piece


def _by_package(
    root: str,
    manifest: Manifest,
    layers: Sequence[Mapping[str, str] | None],
    added: Iterable[str],
    edited: Collection[str],
) -> Drift:
    now = {each.name: each for each in installed(root, tolerant=True) if each.record not in edited}
    before = {package.name: package.version for package in manifest.packages}
    files: dict[str, dict[str, str]] = {}
    others: dict[str, str] = {}
    untold = set()
    for layer, changes in zip(manifest.layers, layers, strict=True):
        if changes is None:
            untold.add(layer.name)
        elif layer.version is None:
            others |= changes
        else:
            files.setdefault(layer.name, {}).update(changes)
    owners = _owners(now.values())
    for path in added:
        source = source_of(path)
        if (owner := owners.get(path) or owners.get(source or "") or _holder(path, owners)) is not None:
            is_bytecode = owner in before and source is not None
            if not is_bytecode:
                files.setdefault(owner, {})[path] = ADDED
        elif f"/{_BYTECODE}/" not in f"/{path}":
            others[path] = ADDED
    packages = []
    for name in sorted({*before, *now}):
        then, found = before.get(name), now.get(name)
        after = found.version if found else None
        if then != after or name in untold or files.get(name):
            requested = found is None or os.path.exists(os.path.join(root, found.info, "REQUESTED"))
            package = Package(name=name, before=then, after=after, files=files.get(name, {}), requested=requested)
            packages.append(package)
    return Drift(tuple(packages), dict(sorted(others.items())), tuple(sorted(untold - before.keys())))


def _owners(distributions: Iterable[Distribution]) -> dict[str, str]:
    """Return the names of distributions by the paths that are theirs, and by their ``.dist-info`` directories."""
    owners: dict[str, str] = {}
    for each in distributions:
        owners |= {record.location(each.record, row): each.name for row in each.rows}
        owners[each.info] = each.name
    return owners


def _holder(path: str, owners: Mapping[str, str]) -> str | None:
    info, marker, _ = path.partition(".dist-info/")
    return owners.get(f"{info}.dist-info") if marker else None
