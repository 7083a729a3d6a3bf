"""From a built environment to an archive, in one stream. ``FORMAT.md`` is the specification."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Final

from terrastore.archive import (
    bytecode,
    compiled,
    credentials,
    editables,
    layers,
    record,
    relocate,
    slots,
    staging,
    ustar,
)
from terrastore.archive.frames import compress, trailer
from terrastore.archive.framing import Sink, Source, write_layers
from terrastore.archive.installed import commit, direct_url, installed, read, reference
from terrastore.archive.limits import SIZE_LIMIT
from terrastore.archive.manifest import Manifest, ManifestError, Package, Relocation, Totals
from terrastore.archive.originals import MANIFEST_PATH
from terrastore.archive.packed_layers import PackedLayer, key_of
from terrastore.archive.survey import content_of, drop_stray_bytecode, survey
from terrastore.errors import BuildError
from terrastore.pointer import ArchiveSummary, ManifestLocation

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from terrastore.archive.credentials import IsSecret
    from terrastore.archive.origin import Origin
    from terrastore.archive.packed_layers import PackedLayers
    from terrastore.archive.survey import Survey
    from terrastore.report import Report

_LISTED: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """A finished archive: its size and digest, where its manifest lies, and the manifest."""

    size: int
    sha256: str
    location: ManifestLocation
    manifest: Manifest

    def summary(self, name: str) -> ArchiveSummary:
        """Return what a pointer says of this archive under ``name``."""
        return ArchiveSummary(name=name, size=self.size, sha256=self.sha256)


def pack(
    prefix: staging.StagingPrefix,
    sinks: Sequence[Sink],
    *,
    skeleton: Collection[str],
    python: str,
    origin: Origin,
    workers: int,
    report: Report,
    is_secret: IsSecret = credentials.unknown,
    kept: PackedLayers | None = None,
) -> Packed:
    """Write the environment that stands at ``prefix`` to ``sinks`` as an archive of format version 1.

    ``skeleton`` are the paths that were there before anything was installed; ``python`` compiles the bytecode;
    ``is_secret`` says whether a file's content holds a secret that the build was given. What is ``kept`` of earlier
    packing is not compiled and compressed again, and the rest is kept with it; the archive is the same without.

    :raises BuildError: when something in it holds a secret, or cannot be relocated, packed or, compiled here, loaded
        here; every such file is named
    """
    tree = prefix.path
    distributions = list(installed(tree))
    listed = _listed_bytecode(distributions)
    drop_stray_bytecode(tree, frozenset(path for path, digest in listed.items() if digest))
    with report.phase("scan", unit="files") as phase:
        found = survey(tree, prefix, phase, is_secret)
    _refuse_problems(found.problems)
    for path, strangers in sorted(found.strangers.items()):
        report.warn(f"{path} names a directory of a build, which will not be there: {strangers[0]}")
    if plain := sorted(path for path, kind in found.kinds.items() if kind == "text"):
        report.warn(f"paths in these are replaced without quotes, whatever the target: {', '.join(plain)}")
    if found.settings:
        report.warn(f"settings in these go along, to be in effect wherever this is used: {_listed(found.settings)}")
    modules = _modules(found)
    if early := _told_by_bytecode(modules, distributions, skeleton, listed):
        modules -= early
        for path in _compile(tree, found, early, python=python, workers=workers, report=report).values():
            found.digests[path] = hashlib.sha256(read(tree, path)).digest()
    programs = compiled.look(tree, found, distributions, origin)
    _refuse_problems(found.problems)
    _refuse_missing(programs.missing)
    if programs.naming_base:
        report.warn(
            f"other machines may not have {origin.base_prefix}, which is named by {_listed(programs.naming_base)}"
        )
    if found.offsets:
        report.warn(
            f"a target may have at most {slots.SIZE} bytes, for compiled files hold the path: {_listed(found.offsets)}"
        )
    changed = {path: content_of(tree, path, found) for path in found.patches}
    plans = _divide(tree, found, changed, distributions, skeleton, report)
    _refuse_problems(found.problems)
    output = _Output(sinks)
    with kept.in_use(report) if kept else nullcontext():
        sources = _sources(tree, found, plans, changed, modules, kept, python=python, workers=workers, report=report)
        with report.phase("pack", total=sum(member.size for member in found.members.values())) as phase:
            packed_layers = write_layers(sources, tree, found, output, kept=kept, workers=workers, phase=phase)
    manifest = Manifest(
        key=origin.key,
        layers=tuple(packed_layers),
        relocations=tuple(_relocation(path, found, changed) for path in sorted(found.kinds)),
        packages=tuple(
            _package(tree, each, origin, programs.flags) for each in sorted(distributions, key=lambda each: each.name)
        ),
        totals=Totals(
            members=len(found.members) + sum(each.there.compiled for each in sources if each.there),
            size=sum(layer.size for layer in packed_layers),
            packed=sum(layer.packed for layer in packed_layers),
        ),
        prefix=relocate.PLACEHOLDER.decode(),
        interpreter=origin.interpreter,
        host=origin.host,
        installer=origin.installer,
        request=origin.request,
        needs=programs.needs(tree, distributions, plans, origin),
        tools=origin.tools,
    )
    location = _finish(output, manifest, is_secret)
    return Packed(size=output.size, sha256=output.digest.hexdigest(), location=location, manifest=manifest)


class _Output:
    """Counts and hashes what goes to the sinks."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = sinks
        self.size = 0
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> None:
        for sink in self._sinks:
            sink.write(data)
        self.digest.update(data)
        self.size += len(data)


def _finish(output: _Output, manifest: Manifest, is_secret: IsSecret) -> ManifestLocation:
    """Write the manifest's frame, the end of the tar, and the trailer for readers without a pointer."""
    document = manifest.to_json()
    if is_secret(document):
        raise BuildError(
            "the manifest would hold a password or a token that the build was given",
            hint="name it as a variable, ${TOKEN}, where it stands",
        )
    if len(document) > SIZE_LIMIT:
        raise BuildError(f"the manifest would have {len(document):,} bytes", hint="install fewer packages together")
    try:
        Manifest.parse(document)  # who writes it refuses what readers would
    except ManifestError as error:
        raise BuildError(
            f"the environment cannot be packed: {error}", hint="install other packages, or fewer"
        ) from None
    head = ustar.header(ustar.Member(MANIFEST_PATH, ustar.REGULAR, 0o644, len(document)))
    raw = head + document + bytes(ustar.padding(len(document)))
    packed = compress(raw)
    location = ManifestLocation(
        offset=output.size, packed=len(packed), size=len(raw), sha256=hashlib.sha256(packed).hexdigest()
    )
    output.write(packed)
    output.write(compress(ustar.END))
    output.write(trailer(location.offset, location.packed))
    return location


def _listed_bytecode(distributions: Iterable[layers.Distribution]) -> dict[str, str]:
    """Return the digests, as RECORDs have them, of the bytecode files that RECORDs list, "" for none."""
    return {
        record.location(each.record, row): row.digest
        for each in distributions
        for row in each.rows
        if row.path.endswith(".pyc")
    }


def _modules(found: Survey) -> set[str]:
    """Return the modules that get bytecode: one that holds the prefix would carry old constants in it."""
    present = {source for path in found.members if (source := layers.source_of(path))}
    return {
        path
        for path, member in found.members.items()
        if path.startswith("lib/")
        and path.endswith(".py")
        and member.type == ustar.REGULAR
        and path not in found.contents
        and path not in present
    }


def _compile(
    tree: str, found: Survey, modules: Collection[str], *, python: str, workers: int, report: Report
) -> dict[str, str]:
    """Compile modules, which makes them members; return the bytecode by module."""
    made = {}
    with report.phase("bytecode", total=len(modules), unit="modules") as phase:
        for path in bytecode.compile_modules(tree, sorted(modules), python=python, workers=workers, phase=phase):
            size = os.stat(os.path.join(tree, path)).st_size
            found.members[path] = ustar.Member(path, ustar.REGULAR, 0o644, size)
            made[str(layers.source_of(path))] = path
    return made


def _told_by_bytecode(
    modules: AbstractSet[str],
    distributions: Iterable[layers.Distribution],
    skeleton: Collection[str],
    listed: Mapping[str, str],
) -> set[str]:
    """Return the modules whose bytecode says more than they do of the layer that they are in, or of its RECORD.

    A RECORD lists that bytecode with a digest, or lists it and not the module.
    """
    doubtful = {source: path for path in (*skeleton, *listed) if (source := layers.source_of(path) or "") in modules}
    if not doubtful:
        return set()
    claimed = {record.location(each.record, row) for each in distributions for row in each.rows}
    return {source for source, path in doubtful.items() if listed.get(path) or source not in claimed}


def _sources(
    tree: str,
    found: Survey,
    plans: Sequence[layers.LayerPlan],
    changed: Mapping[str, record.Content],
    modules: AbstractSet[str],
    kept: PackedLayers | None,
    *,
    python: str,
    workers: int,
    report: Report,
) -> list[Source]:
    """Find the layers that are ``kept``, and compile the ``modules`` of the others."""
    keys, there = [""] * len(plans), dict[str, PackedLayer | None]()
    if kept is not None:
        compiler = bytecode.compiler(python)
        keys = [key_of(each.paths, found, changed, modules, compiler) if each.paths else "" for each in plans]
        wanted = [key for key in keys if key]
        with ThreadPoolExecutor(workers) as pool:
            there = dict(zip(wanted, pool.map(kept.get, wanted), strict=True))
    absent = [each.paths for each, key in zip(plans, keys, strict=True) if there.get(key) is None]
    made = _compile(
        tree, found, modules & set(chain.from_iterable(absent)), python=python, workers=workers, report=report
    )
    sources = []
    for plan, key in zip(plans, keys, strict=True):
        new = [made[path] for path in plan.paths if path in made]
        whole = replace(plan, paths=tuple(sorted((*plan.paths, *new))))
        sources.append(Source(plan=whole, key=key, compiled=len(new), there=there.get(key)))
    return sources


def _divide(
    tree: str,
    found: Survey,
    changed: Mapping[str, record.Content],
    distributions: list[layers.Distribution],
    skeleton: Collection[str],
    report: Report,
) -> list[layers.LayerPlan]:
    """Make the RECORDs canonical and assign every member to a layer."""
    for each in distributions:
        requested = f"{each.info}/REQUESTED"
        found.members[requested] = ustar.Member(requested, ustar.REGULAR)
        found.contents[requested] = b""
    for each in distributions:
        rows = layers.canonical_record(each, found.members, {**changed, **found.contents})
        content = record.write(rows)
        found.members[each.record] = ustar.Member(each.record, ustar.REGULAR, 0o644, len(content))
        if relocate.MARKER in content:
            found.problems[each.record] = "a path in it holds the prefix"
        if any(record.location(each.record, row) in found.kinds for row in rows if row.digest):
            found.kinds[each.record] = relocate.RECORD_KIND
        found.contents[each.record] = content
    plans, disputes = layers.plan(
        found.members, distributions, skeleton, lambda path: record.digest_of(read(tree, path))
    )
    for dispute in disputes:
        claimants = ", ".join(dispute.claimants)
        report.warn(f"{dispute.path} belongs to several packages ({claimants}); it is kept with {dispute.owner}")
    return plans


def _relocation(path: str, found: Survey, changed: Mapping[str, record.Content]) -> Relocation:
    if path not in found.offsets:
        return Relocation(path=path, kind=found.kinds[path])
    digest = changed[path].sha256.hex()
    return Relocation(path=path, kind=found.kinds[path], offsets=found.offsets[path], sha256=digest)


def _listed(paths: Collection[str]) -> str:
    more = f" and {len(paths) - _LISTED} more" if len(paths) > _LISTED else ""
    return ", ".join(sorted(paths)[:_LISTED]) + more


def _refuse_problems(problems: Mapping[str, str]) -> None:
    if not problems:
        return
    shown = "; ".join(f"{path}: {reason}" for path, reason in sorted(problems.items())[:_LISTED])
    more = f"; and {len(problems) - _LISTED} more" if len(problems) > _LISTED else ""
    hint = "such a package cannot be kept in a store; install it from a wheel, or leave it out"
    if credentials.OF_THE_BUILD in problems.values():
        hint = "find out what writes it there while it is built, and change the secret if others saw it"
    if any(map(editables.is_part, problems)):
        hint = editables.HINT
    raise BuildError(f"the environment cannot be moved: {shown}{more}", hint=hint)


def _refuse_missing(libraries: Mapping[str, Sequence[str]]) -> None:
    """Refuse what was compiled here and cannot be loaded here: it could be loaded nowhere without luck."""
    if not libraries:
        return
    shown = "; ".join(f"{path} needs {', '.join(names)}" for path, names in sorted(libraries.items())[:_LISTED])
    more = f"; and {len(libraries) - _LISTED} more" if len(libraries) > _LISTED else ""
    raise BuildError(
        f"what was compiled cannot be loaded here, for the loader does not find its shared libraries: {shown}{more}",
        hint="install the library, or set LD_LIBRARY_PATH to the directory that it is in",
    )


def _package(
    tree: str, distribution: layers.Distribution, origin: Origin, flags: Mapping[str, tuple[str, ...]]
) -> Package:
    asked_at = direct_url(tree, distribution)
    return Package(
        name=distribution.name,
        version=distribution.version,
        built=distribution.name in origin.compiled,
        sha256=origin.downloads.get(distribution.name),
        wheel=origin.wheels.get(distribution.name),
        direct=asked_at is not None or distribution.name in origin.direct,
        flags=flags.get(distribution.name, ()),
        commit=commit(asked_at),
        url=reference(asked_at),
    )
