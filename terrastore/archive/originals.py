"""The files of an environment that hold paths: their canonical form, and the form they have where they stand.

The canonical form is kept in the environment, so that moving it never has to find an old path in a file: the
same rewriting starts from the same bytes, as often as one likes. That of a compiled file is not kept, for it
is the file itself with the placeholder at the manifest's offsets.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from terrastore.archive import record, relocate, slots, ustar
from terrastore.archive.manifest import Manifest, ManifestError
from terrastore.errors import ArchiveRefusedError, UsageError

if TYPE_CHECKING:
    from terrastore.report import Report

MANIFEST_PATH: Final = ".terrastore/manifest.json"
ORIGINALS_PATH: Final = ".terrastore/originals.tar"


def read_environment_manifest(root: str) -> Manifest:
    """Return the manifest that an environment at ``root`` was unpacked with.

    :raises UsageError: when ``root`` is no such environment
    """
    try:
        with open(os.path.join(root, MANIFEST_PATH), "rb") as file:
            return Manifest.parse(file.read())
    except OSError:
        raise UsageError(
            f"{root} was not made by terrastore: it has no {MANIFEST_PATH}",
            hint="name the directory of an environment that terrastore made",
        ) from None
    except ManifestError as error:
        raise UsageError(f"{root}/{MANIFEST_PATH}: {error}", hint="make the environment anew") from None


def write_relocated(
    root: str, manifest: Manifest, originals: dict[ustar.Member, bytes], prefix: str, report: Report
) -> None:
    """Write the files that hold paths as they must be at ``prefix``, then their lines in every RECORD.

    :raises UsageError: when a file's syntax cannot take ``prefix``, or a compiled one has no room for it
    :raises ArchiveRefusedError: when a RECORD cannot be read
    """
    slots.refuse_too_long(manifest, prefix)
    kinds = {entry.path: entry.kind for entry in manifest.relocations}
    contents = {}
    if relocate.needs_quoting(prefix) and (plain := [path for path, kind in kinds.items() if kind == "text"]):
        report.warn(f"{prefix} needs quoting, which only a reader of these files can know: {', '.join(plain)}")
    for member, canonical in originals.items():
        try:
            contents[member.path] = relocate.rewrite(kinds[member.path], canonical, prefix)
        except relocate.NotRelocatableError as error:
            raise UsageError(
                f"{member.path} cannot be made to work at {prefix}: {error}",
                hint="choose a shorter target without special characters",
            ) from None
    modes = {member.path: member.mode for member in originals}
    # Written once all can be: a file that refuses the prefix leaves the others as they were.
    for path, content in contents.items():
        _write(_inside(root, path), content, modes[path])
    changed: dict[str, bytes | record.Content] = {
        **contents,
        **slots.refill_all(lambda path: _inside(root, path), manifest, prefix, report),
    }
    for path in (path for path, kind in kinds.items() if kind == relocate.RECORD_KIND):
        place = _inside(root, path)
        try:
            with open(place, "rb") as file:
                rows = record.parse(file.read())
        except FileNotFoundError:
            continue  # uninstalled since
        except ValueError as error:
            raise ArchiveRefusedError(f"{path} is no RECORD: {error}", hint="make the environment anew") from None
        _write(place, record.write(record.updated(rows, path, changed)), 0o644)


def read_originals(root: str, manifest: Manifest) -> dict[ustar.Member, bytes]:
    """Return the canonical form of the files that hold paths, kept since the environment was unpacked.

    After a plain ``tar -x`` nothing is kept, and the files themselves are still canonical.

    :raises UsageError: when what is kept is damaged
    """
    try:
        with open(os.path.join(root, ORIGINALS_PATH), "rb") as file:
            raw = file.read()
    except FileNotFoundError:
        originals = {}
        for entry in manifest.relocations:
            place = _inside(root, entry.path)
            if entry.kind not in relocate.NOT_KEPT and os.path.isfile(place):
                with open(place, "rb") as file:
                    data = file.read()
                mode = 0o755 if os.access(place, os.X_OK) else 0o644
                originals[ustar.Member(entry.path, ustar.REGULAR, mode, len(data))] = data
        write_originals(root, originals)
        return originals
    reader = ustar.Reader()
    try:
        pieces = list(reader.feed(raw[: -len(ustar.END)]))
        reader.finish()
    except ustar.MalformedError as error:
        raise UsageError(f"{root}/{ORIGINALS_PATH} is damaged: {error}", hint="make the environment anew") from None
    listed = {entry.path for entry in manifest.relocations}
    return {member: bytes(content) for member, _, content, _ in pieces if member.path in listed}


def write_originals(root: str, originals: dict[ustar.Member, bytes]) -> None:
    """Keep the canonical form of the files that hold paths, so that the environment can move again."""
    parts = [ustar.header(member) + data + bytes(ustar.padding(member.size)) for member, data in originals.items()]
    _write(os.path.join(root, ORIGINALS_PATH), b"".join([*parts, ustar.END]), 0o644)


def _inside(root: str, path: str) -> str:
    """Return the place of a file of the environment at ``root``, which is not reached through a link that leaves it.

    :raises UsageError: when it is
    """
    place = os.path.join(root, path)
    real = os.path.realpath(os.path.dirname(place))
    if os.path.islink(place) or not f"{real}/".startswith(f"{os.path.realpath(root)}/"):
        raise UsageError(f"{place} lies behind a link", hint="make the environment anew")
    return place


def _write(path: str, data: bytes, mode: int) -> None:
    temporary = f"{path}.terrastore-new"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(fd, "wb") as file:
            os.fchmod(fd, mode)
            file.write(data)
        os.rename(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
