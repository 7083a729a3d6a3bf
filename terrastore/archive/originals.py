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
    from collections.abc import Mapping

    from terrastore.report import Report

MANIFEST_PATH: Final = ".terrastore/manifest.json"
ORIGINALS_PATH: Final = ".terrastore/originals.tar"
INVENTORY_PATH: Final = ".terrastore/inventory.json"
NEW_PATH: Final = ".terrastore/new"
"""What is being written: no member, nor anybody else's file, has this name."""
EDITED: Final = ".edited"
_MOST_EDITS: Final = 1000
"""How the name of what somebody edited ends, when it was set aside."""


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


def check_kinds(manifest: Manifest) -> None:
    """Refuse relocations that this version cannot do.

    :raises ArchiveRefusedError: when a kind is not known; all such are named
    """
    unknown = sorted({entry.kind for entry in manifest.relocations} - relocate.KINDS)
    if unknown:
        raise ArchiveRefusedError(
            f"the archive has relocations of a kind this version does not know: {', '.join(unknown)}",
            hint="upgrade terrastore on this machine",
            later=True,
        )


def relocated(
    manifest: Manifest, originals: Mapping[ustar.Member, bytes], prefix: str, report: Report
) -> dict[str, bytes]:
    """Return the files that hold paths, but RECORDs, by path, as they must be at ``prefix``.

    :raises UsageError: when a file's syntax cannot take ``prefix``, or a compiled one has no room for it
    """
    slots.refuse_too_long(manifest, prefix)
    kinds = _kinds(manifest)
    contents = {}
    doubts: dict[str, list[str]] = {}
    for path, kind in kinds.items():
        if doubt := relocate.doubt(kind, prefix):
            doubts.setdefault(doubt, []).append(path)
    for doubt, paths in doubts.items():
        report.warn(f"{prefix} {doubt}: {', '.join(paths)}")
    for member, canonical in originals.items():
        try:
            contents[member.path] = relocate.rewrite(kinds[member.path], canonical, prefix)
        except relocate.NotRelocatableError as error:
            raise UsageError(
                f"{member.path} cannot be made to work at {prefix}: {error}",
                hint="choose a shorter target without special characters",
            ) from None
    return contents


def write_relocated(
    root: str,
    manifest: Manifest,
    originals: Mapping[ustar.Member, bytes],
    contents: Mapping[str, bytes],
    prefix: str,
    report: Report,
) -> None:
    """Write what :func:`relocated` returned for ``prefix``, compiled files too, then their lines in every RECORD.

    What Python compiled of a module that is written goes: in the same second, and of the same size, it would pass for
    current.

    :raises UsageError: when a file lies behind a link
    :raises ArchiveRefusedError: when a RECORD cannot be read
    """
    modes = {member.path: member.mode for member in originals}
    for path, content in contents.items():
        write(root, _inside(root, path), content, modes[path])
        drop_bytecode(root, path)
    write_derived(root, manifest, contents, prefix, report)


def write_derived(root: str, manifest: Manifest, contents: Mapping[str, bytes], prefix: str, report: Report) -> None:
    """Write compiled files for ``prefix``, then what every RECORD says of them and of the files in ``contents``.

    :raises UsageError: when a file lies behind a link
    :raises ArchiveRefusedError: when a RECORD cannot be read
    """
    changed: dict[str, bytes | record.Content] = {
        **contents,
        **slots.refill_all(
            lambda path: _inside(root, path), manifest, prefix, report, temporary=os.path.join(root, NEW_PATH)
        ),
    }
    for path in (path for path, kind in _kinds(manifest).items() if kind == relocate.RECORD_KIND):
        place = _inside(root, path)
        try:
            with open(place, "rb") as file:
                amended = record.amended(file.read(), path, changed)
        except FileNotFoundError:
            continue  # uninstalled since
        except ValueError as error:
            raise ArchiveRefusedError(f"{path} is no RECORD: {error}", hint="make the environment anew") from None
        write(root, place, amended, 0o644)


def keep_edited(
    root: str,
    manifest: Manifest,
    originals: Mapping[ustar.Member, bytes],
    before: str,
    contents: Mapping[str, bytes],
    report: Report,
) -> None:
    """Set aside files that are about to be written and are not as they were made for ``before``, the prefix they had.

    ``contents`` is what will be written. Where ``before`` is not known, "", none is as it was made then.

    :raises UsageError: when a file lies behind a link, or is none
    """
    kinds = _kinds(manifest)
    for member, canonical in originals.items():
        place = _inside(root, member.path)
        if not os.path.isfile(place):
            raise UsageError(f"{place} is no file", hint="remove it, or make the environment anew")
        with open(place, "rb") as file:
            found = file.read()
        made = {canonical, contents[member.path]}
        with suppress(relocate.NotRelocatableError):
            made |= {relocate.rewrite(kinds[member.path], canonical, before)} if before else set()
        if found not in made:
            numbers = ("", *(f".{number}" for number in range(2, _MOST_EDITS)))
            aside = next(name for each in numbers if not os.path.lexists(name := f"{place}{each}{EDITED}"))
            write(root, aside, found, member.mode)
            shown = aside.removeprefix(f"{root}/")
            report.warn(f"{member.path} is not as it was made; what was there is now {shown}")


def read_originals(root: str, manifest: Manifest) -> dict[ustar.Member, bytes]:
    """Return the canonical form of the files that hold paths, kept since the environment was unpacked.

    After a plain ``tar -x`` nothing is kept, and the files themselves are still canonical.

    :raises UsageError: when what is kept is damaged, or is gone from an environment that was relocated before
    """
    kept = kept_originals(root, manifest)
    if kept is not None:
        return kept
    originals = {}
    for entry in manifest.relocations:
        place = _inside(root, entry.path)
        if entry.kind not in relocate.NOT_KEPT and os.path.isfile(place):
            with open(place, "rb") as file:
                data = file.read()
            if relocate.PLACEHOLDER_NAME not in data:
                raise UsageError(
                    f"{root}/{ORIGINALS_PATH} is gone, and {entry.path} is not as it was unpacked",
                    hint="make the environment anew",
                )
            mode = 0o755 if os.access(place, os.X_OK) else 0o644
            originals[ustar.Member(entry.path, ustar.REGULAR, mode, len(data))] = data
    write_originals(root, originals)
    return originals


def kept_originals(root: str, manifest: Manifest) -> dict[ustar.Member, bytes] | None:
    """Return the canonical form of the files that hold paths as it is kept; None when it is not.

    :raises UsageError: when what is kept is damaged
    """
    try:
        with open(os.path.join(root, ORIGINALS_PATH), "rb") as file:
            raw = file.read()
    except FileNotFoundError:
        return None
    reader = ustar.Reader()
    try:
        if not raw.endswith(ustar.END):
            raise ustar.MalformedError("its end is missing")
        pieces = list(reader.feed(raw[: -len(ustar.END)]))
        reader.finish()
    except ustar.MalformedError as error:
        raise UsageError(f"{root}/{ORIGINALS_PATH} is damaged: {error}", hint="make the environment anew") from None
    listed = {entry.path for entry in manifest.relocations}
    return {member: bytes(content) for member, _, content, _ in pieces if member.path in listed}


def write_originals(root: str, originals: dict[ustar.Member, bytes]) -> None:
    """Keep the canonical form of the files that hold paths, so that the environment can move again."""
    parts = [ustar.header(member) + data + bytes(ustar.padding(member.size)) for member, data in originals.items()]
    write(root, os.path.join(root, ORIGINALS_PATH), b"".join([*parts, ustar.END]), 0o644)


def write(root: str, path: str, data: bytes, mode: int) -> None:
    """Write a file of the environment at ``root`` whole or not at all.

    It is a new one: who shares the old one keeps it.
    """
    temporary = os.path.join(root, NEW_PATH)
    with suppress(FileNotFoundError):
        os.unlink(temporary)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(fd, "wb") as file:
            os.fchmod(fd, mode)
            file.write(data)
        os.rename(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def _kinds(manifest: Manifest) -> dict[str, str]:
    return {entry.path: entry.kind for entry in manifest.relocations}


def _inside(root: str, path: str) -> str:
    """Return the place of a file of the environment at ``root``, which is not reached through a link that leaves it.

    :raises UsageError: when it is
    """
    place = os.path.join(root, path)
    real = os.path.realpath(os.path.dirname(place))
    if os.path.islink(place) or not f"{real}/".startswith(f"{os.path.realpath(root)}/"):
        raise UsageError(f"{place} lies behind a link", hint="make the environment anew")
    return place


def drop_bytecode(root: str, path: str) -> None:
    """Remove the bytecode (PEP 3147) of the file at ``path``, if it is a module."""
    if not path.endswith(".py"):
        return
    folder, module = os.path.split(os.path.join(root, path))
    cache = os.path.join(folder, "__pycache__")
    with suppress(FileNotFoundError, NotADirectoryError):
        for name in os.listdir(cache):
            if name.startswith(f"{module[:-3]}.") and name.endswith(".pyc"):
                os.unlink(os.path.join(cache, name))
