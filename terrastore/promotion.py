"""Promotion: an environment that one store has is published in another, the same archive byte for byte.

The pointer is judged as a fetch judges it, and the archive is what it says, or nothing is published. Where the stores
can do it among themselves, no archive passes through this machine.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from terrastore import catalogue
from terrastore.archive.stream import packed_frames
from terrastore.errors import ArchiveRefusedError, TerrastoreError, UsageError
from terrastore.publish import Publication

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from terrastore.archive.manifest import Manifest
    from terrastore.catalogue import Published
    from terrastore.key import EnvKey
    from terrastore.report import Phase, Report
    from terrastore.store.protocol import Store
    from terrastore.trust import Trust

COPIED: Final = "copied"
KEPT: Final = "kept"
RENEWED: Final = "renewed"
_SOUND_HINT: Final = "check it there with terrastore verify, and build it anew with --rebuild"


@dataclass(frozen=True, slots=True, kw_only=True)
class Promoted:
    """What came of it: ``copied``, ``kept``, or ``renewed``, when the archive was there and the pointer is new.

    ``size`` is that of the archive in bytes; ``server_side`` whether it was copied without passing through here.
    """

    outcome: str
    key: EnvKey
    size: int
    server_side: bool = False


def unchanged(found: Published) -> bytes:
    """Return the pointer to be published: the one that was found, byte for byte, with its signatures."""
    return found.envelope


def promote(
    source: Store,
    destination: Store,
    key: EnvKey,
    *,
    trust: Trust,
    envelope: Callable[[Published], bytes] = unchanged,
    replace: bool = False,
    verify: bool = False,
    report: Report,
) -> Promoted:
    """Publish in ``destination`` what ``source`` has under ``key``.

    :param trust: who may have published it, and the realm that it is published for; the source's may be another
    :param envelope: makes the pointer to be published from what was found and verified
    :param replace: put it in the place of another sound one too
    :param verify: read the whole archive where it is now, also when the stores copied it by themselves, or it is kept
    :raises UsageError: when the source has it not, or the destination has another one
    :raises ArchiveRefusedError: when what the source has is refused; nothing is published then
    """
    found, manifest = _found(source, key, trust._replace(realm=None), report)
    catalogue.writable(destination)
    wanted = envelope(found)
    there, refused = _there(destination, key, trust, verify=verify, report=report)
    if there is not None and there.pointer.archive == found.pointer.archive:
        if there.envelope == wanted or (envelope is unchanged and not replace):
            return Promoted(outcome=KEPT, key=key, size=found.pointer.archive.size)
    elif there is not None and not replace:
        raise _another(there)
    is_new = there is None or there.pointer.archive != found.pointer.archive
    publication = Publication(
        destination,
        key,
        found.pointer.archive.name,
        replace=there is not None,
        refused=refused,
        required=True,
        trust=trust,
        report=report,
    )
    with publication:
        if is_new:
            server_side = _copy(found, manifest, publication, heal=refused is not None, verify=verify, report=report)
        else:
            publication.keep()
            server_side = False
        published = publication.end(wanted)
    if published is not None and published.pointer.archive != found.pointer.archive:
        raise _another(published)
    outcome = COPIED if is_new else RENEWED
    return Promoted(outcome=outcome, key=key, size=found.pointer.archive.size, server_side=server_side)


def _found(source: Store, key: EnvKey, trust: Trust, report: Report) -> tuple[Published, Manifest]:
    found = catalogue.find(source, key, trust, report)
    if found is None:
        raise UsageError(f"{source} has no {key.short} that this version can read", hint="see terrastore list")
    with catalogue.naming(found):
        found, manifest = found.with_manifest()
        trust.refuse_revoked(manifest.packages, archive=found.pointer.archive.sha256)
        return found, manifest


def _there(
    destination: Store, key: EnvKey, trust: Trust, *, verify: bool, report: Report
) -> tuple[Published | None, str | None]:
    """Return what the destination has that is sound, else None and the name of the archive that is not.

    What is there is read as a fetch would read it before the first layer; with ``verify`` whole.
    """
    there = None
    try:
        there = catalogue.find(destination, key, trust, report)
        if there is not None:
            there, manifest = there.with_manifest()
            if verify:
                _check_whole(there, manifest, report)
    except ArchiveRefusedError as error:
        if error.later:
            raise
        report.warn(f"{error.message}; it is replaced")
        return None, there.pointer.archive.name if there is not None else None
    return there, None


def _copy(
    found: Published, manifest: Manifest, publication: Publication, *, heal: bool, verify: bool, report: Report
) -> bool:
    """Bring the archive to where it is published; return whether the stores did that by themselves.

    What is to ``heal`` is written anew, byte for byte.
    """

    def check(there: Published) -> None:
        """Refuse a copy whose end is not that with the manifest; it is read whole where it is a file, or if wanted."""
        there, its_manifest = there.with_manifest()
        if verify or there.is_near or there.file is not None:
            _check_whole(there, its_manifest, report)

    size = found.pointer.archive.size
    with report.phase("copy", total=size) as phase:
        if not heal and publication.take(found, check):
            phase.advance(size)
            return True
        digest = hashlib.sha256()
        for piece in _pieces(found, manifest, phase):
            digest.update(piece)
            publication.write(piece)
    _compare(found, digest.hexdigest())
    return False


def _check_whole(there: Published, manifest: Manifest, report: Report) -> None:
    digest = hashlib.sha256()
    with report.phase("verify", total=there.pointer.archive.size) as phase:
        for piece in _pieces(there, manifest, phase):
            digest.update(piece)
    _compare(there, digest.hexdigest())


def _pieces(found: Published, manifest: Manifest, phase: Phase) -> Iterator[bytes]:
    """Yield an archive from its beginning to its end, read by as many threads as is best where it is."""
    with packed_frames(found, list(manifest.frames()), phase) as frames:
        for frame, data, _, offset in frames:
            yield bytes(data) if data is not None else found.read(offset, frame.packed)
    archive, position = found.pointer.archive, manifest.totals.packed
    phase.advance(archive.size - position)
    yield found.read(position, archive.size - position)


def _compare(found: Published, sha256: str) -> None:
    if sha256 != found.pointer.archive.sha256:
        raise ArchiveRefusedError(
            f"the archive of {found.key.short} in {found.store} is not what its pointer says", hint=_SOUND_HINT
        )


def _another(there: Published) -> TerrastoreError:
    return UsageError(
        f"{there.store} has another {there.key.short}, made {there.pointer.created} by {there.pointer.builder}",
        hint="--replace puts this one in its place",
    )
