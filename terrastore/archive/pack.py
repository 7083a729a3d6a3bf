"""From a built environment to an archive, in one stream. ``FORMAT.md`` is the specification."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

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
from terrastore.archive.frames import compress, describe, trailer
from terrastore.archive.installed import commit, installed, read
from terrastore.archive.limits import FRAME_LIMIT, SIZE_LIMIT
from terrastore.archive.manifest import Frame, Layer, Manifest, Package, Relocation, Totals
from terrastore.archive.originals import MANIFEST_PATH
from terrastore.archive.survey import content_of, drop_stray_bytecode, survey
from terrastore.errors import BuildError
from terrastore.pointer import ArchiveSummary, ManifestLocation

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from terrastore.archive.credentials import IsSecret
    from terrastore.archive.origin import Origin
    from terrastore.archive.survey import Survey
    from terrastore.report import Report

_LISTED: Final = 12
_AHEAD: Final = 8
"""Most frames that are compressed ahead, whatever the processors."""


class Sink(Protocol):
    """Where an archive goes: anything that takes bytes in order."""

    def write(self, data: bytes, /) -> object:
        """Take the next bytes."""


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
) -> Packed:
    """Write the environment that stands at ``prefix`` to ``sinks`` as an archive of format version 1.

    ``skeleton`` are the paths that were there before anything was installed; ``python`` compiles the bytecode;
    ``is_secret`` says whether a file's content holds a secret that the build was given.

    :raises BuildError: when something in it holds a secret, or cannot be relocated, packed or, compiled here, loaded
        here; every such file is named
    """
    tree = prefix.path
    distributions = list(installed(tree))
    drop_stray_bytecode(tree, _hashed_bytecode(distributions))
    with report.phase("scan", unit="files") as phase:
        found = survey(tree, prefix, phase, is_secret)
    _refuse_problems(found.problems)
    for path, strangers in sorted(found.strangers.items()):
        report.warn(f"{path} names a directory of a build, which will not be there: {strangers[0]}")
    if plain := sorted(path for path, kind in found.kinds.items() if kind == "text"):
        report.warn(f"paths in these are replaced without quotes, whatever the target: {', '.join(plain)}")
    if found.settings:
        report.warn(f"settings in these go along, to be in effect wherever this is used: {_listed(found.settings)}")
    _add_bytecode(tree, found, python=python, workers=workers, report=report)
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
    with report.phase("pack", total=sum(member.size for member in found.members.values())) as phase:
        output = _Output(sinks)
        threads = min(workers, _AHEAD)
        with ThreadPoolExecutor(threads) as pool:
            packed_layers = [
                _write_layer(each, _raw_layer(tree, each.paths, found, phase.advance), output, pool, threads + 2)
                for each in plans
            ]
    manifest = Manifest(
        key=origin.key,
        layers=tuple(packed_layers),
        relocations=tuple(_relocation(path, found, changed) for path in sorted(found.kinds)),
        packages=tuple(
            _package(tree, each, origin, programs.flags) for each in sorted(distributions, key=lambda each: each.name)
        ),
        totals=Totals(
            members=len(found.members),
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


def _write_layer(
    plan: layers.LayerPlan, raw: Iterable[bytes], output: _Output, pool: ThreadPoolExecutor, ahead: int
) -> Layer:
    """Write one layer in frames that the pool compresses, at most ``ahead`` of them ahead."""
    digest, frames = hashlib.sha256(), []
    pending: deque[Future[tuple[bytes, Frame]]] = deque()

    def drain(limit: int) -> None:
        while len(pending) > limit:
            packed, frame = pending.popleft().result()
            output.write(packed)
            frames.append(frame)

    for piece in raw:
        digest.update(piece)
        pending.append(pool.submit(_pack_frame, piece))
        drain(ahead)
    drain(0)
    return Layer(name=plan.name, version=plan.version, digest=digest.hexdigest(), frames=tuple(frames))


def _pack_frame(raw: bytes) -> tuple[bytes, Frame]:
    packed = compress(raw)
    return packed, describe(raw, packed)


def _raw_layer(tree: str, paths: Iterable[str], found: Survey, advance: Any) -> Iterator[bytes]:
    """Yield a layer's tar stream in pieces of 8 MiB."""
    buffer = bytearray()
    for path in paths:
        member = found.members[path]
        buffer += ustar.header(member)
        for piece in _content(tree, member, found.contents.get(path), found.patches.get(path, ())):
            buffer += piece
            while len(buffer) >= FRAME_LIMIT:
                yield bytes(buffer[:FRAME_LIMIT])
                del buffer[:FRAME_LIMIT]
        buffer += bytes(ustar.padding(member.size))
        advance(member.size)
    while buffer:
        yield bytes(buffer[:FRAME_LIMIT])
        del buffer[:FRAME_LIMIT]


def _content(
    tree: str, member: ustar.Member, content: bytes | None, patches: Sequence[tuple[int, bytes]]
) -> Iterator[bytes]:
    if member.type != ustar.REGULAR:
        return
    if content is not None:
        yield content
        return
    left = member.size
    with open(os.path.join(tree, member.path), "rb", buffering=0) as file:
        for piece in slots.patched(file.fileno(), member.size, patches):
            left -= len(piece)
            yield piece
    if left:
        raise BuildError(f"{member.path} became shorter while it was packed", hint="run again")


def _hashed_bytecode(distributions: Iterable[layers.Distribution]) -> frozenset[str]:
    return frozenset(
        record.location(each.record, row)
        for each in distributions
        for row in each.rows
        if row.path.endswith(".pyc") and row.digest
    )


def _add_bytecode(tree: str, found: Survey, *, python: str, workers: int, report: Report) -> None:
    """Compile what needs no relocation; a module that does would carry old constants in its bytecode."""
    present = {source for path in found.members if (source := layers.source_of(path))}
    modules = [
        path
        for path, member in found.members.items()
        if path.startswith("lib/")
        and path.endswith(".py")
        and member.type == ustar.REGULAR
        and path not in found.contents
        and path not in present
    ]
    with report.phase("bytecode", total=len(modules), unit="modules") as phase:
        for path in bytecode.compile_modules(tree, modules, python=python, workers=workers, phase=phase):
            size = os.stat(os.path.join(tree, path)).st_size
            found.members[path] = ustar.Member(path, ustar.REGULAR, 0o644, size)


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
    return Package(
        name=distribution.name,
        version=distribution.version,
        built=distribution.name in origin.compiled,
        sha256=origin.downloads.get(distribution.name),
        wheel=origin.wheels.get(distribution.name),
        direct=distribution.name in origin.direct,
        flags=flags.get(distribution.name, ()),
        commit=commit(tree, distribution),
    )
