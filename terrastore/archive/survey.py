"""One look at every file of a built environment: what there is, and what holds the staging prefix."""

from __future__ import annotations

import hashlib
import mmap
import os
import posixpath
import re
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from terrastore.archive import binaries, credentials, editables, elf, relocate, slots, staging, ustar
from terrastore.archive.layers import source_of
from terrastore.archive.reserved import INTERPRETERS

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import FileIO

    from terrastore.archive import record
    from terrastore.archive.credentials import IsSecret
    from terrastore.report import Phase

_MAP_FROM: Final = 1024 * 1024
_LEFTOVERS: Final = re.compile(
    r"pyvenv\.cfg|\.lock|CACHEDIR\.TAG|\.terrastore(/.*)?|bin/__pycache__|.*\.dist-info/uv_(build|cache)\.json"
    r"|\.project|pipx_metadata\.json|uv-receipt\.toml|.*/__pycache__/[^/]*\.nb[ci]|.*/plugins/dropin\.cache"
)


@dataclass(slots=True)
class Survey:
    """What an environment under a staging prefix consists of. Paths are relative, with ``/``.

    ``members`` by path; ``contents`` of the files that hold the prefix, canonical; ``patches`` (offset, bytes) of those
    that are not text; ``digests``, SHA-256, of files as they are on disk, but for empty ones; ``kinds`` of relocations;
    ``offsets`` where those that are not text hold the placeholder; ``programs``: ELF files, but for damaged ones;
    ``strangers``: files that name a path of another build, with the paths; ``settings``: files of settings of known
    tools; ``problems``: what cannot be packed, why.
    """

    members: dict[str, ustar.Member] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    patches: dict[str, tuple[tuple[int, bytes], ...]] = field(default_factory=dict)
    digests: dict[str, bytes] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    offsets: dict[str, tuple[int, ...]] = field(default_factory=dict)
    programs: dict[str, elf.Elf] = field(default_factory=dict)
    strangers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    settings: list[str] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)


def survey(tree: str, prefix: staging.StagingPrefix, phase: Phase, is_secret: IsSecret = credentials.unknown) -> Survey:
    """Look at every file below ``tree``, which was built under ``prefix``; ``phase`` advances by one each.

    ``is_secret`` says whether a file's content holds a secret that the build was given.
    """
    found = Survey()
    with ThreadPoolExecutor(1) as hasher:
        for path, entry in _walk(tree):
            phase.advance(1)
            try:
                member = _member(path, entry, prefix)
                if member.size:
                    member = _look(entry.path, member, prefix, found, is_secret, hasher)
                ustar.check_member(member)
            except (relocate.NotRelocatableError, ustar.MalformedError) as error:
                found.problems[path] = str(error)
            else:
                found.members[path] = member
    return found


def _member(path: str, entry: os.DirEntry[str], prefix: staging.StagingPrefix) -> ustar.Member:
    """Return what an archive has of a file that it holds as it is.

    :raises NotRelocatableError: when it is of another kind
    """
    facts = entry.stat(follow_symlinks=False)
    if stat.S_ISLNK(facts.st_mode):
        return ustar.Member(path, ustar.SYMLINK, 0o777, 0, _inward(path, os.readlink(entry.path), prefix))
    if stat.S_ISDIR(facts.st_mode):
        return ustar.Member(path, ustar.DIRECTORY, 0o755)
    if stat.S_ISREG(facts.st_mode):
        return ustar.Member(path, ustar.REGULAR, 0o755 if facts.st_mode & stat.S_IXUSR else 0o644, facts.st_size)
    reason = "it is neither a file nor a directory nor a symbolic link"
    raise relocate.NotRelocatableError(reason)


def drop_stray_bytecode(tree: str, listed: frozenset[str]) -> None:
    """Remove every ``.pyc`` below ``__pycache__`` that is not ``listed``: somebody's run left it there.

    A listed one goes as well when it, or the module that it is made from, holds the prefix: it is compiled anew, or
    is not true anywhere else. A ``__pycache__`` that is empty then goes too, for an empty directory would be a member.
    """
    for path, entry in _walk(tree):
        source = source_of(path) if path.endswith(".pyc") else None
        if source and (path not in listed or _is_bound(entry.path, os.path.join(tree, source))):
            os.unlink(entry.path)
            with suppress(OSError):
                os.rmdir(os.path.dirname(entry.path))


def _walk(tree: str) -> list[tuple[str, os.DirEntry[str]]]:
    """Return files, links and empty directories below ``tree`` with their relative paths."""
    found: list[tuple[str, os.DirEntry[str]]] = []
    _walk_folder(_listed(tree), "", found)
    return found


def _walk_folder(entries: list[os.DirEntry[str]], folder: str, found: list[tuple[str, os.DirEntry[str]]]) -> None:
    for entry in entries:
        path = folder + entry.name
        if _LEFTOVERS.fullmatch(path) or INTERPRETERS.fullmatch(path):
            continue
        if entry.is_dir(follow_symlinks=False) and (below := _listed(entry.path)):
            _walk_folder(below, path + "/", found)
        else:
            found.append((path, entry))


def _listed(folder: str) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda each: each.name)


def _is_bound(bytecode: str, source: str) -> bool:
    """Whether a module that is there, or its bytecode, holds the prefix."""

    def holds(content: bytes | mmap.mmap) -> bool:
        return content.find(relocate.MARKER) >= 0

    return os.path.isfile(source) and any(_within(path, os.path.getsize(path), holds) for path in (bytecode, source))


def _within(path: str, size: int, look: Callable[[bytes | mmap.mmap], bool]) -> bool:
    """Return what ``look`` says of a file's content."""
    with open(path, "rb") as file:
        if size < _MAP_FROM:
            return look(file.read())
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return look(content)


def _look(
    place: str,
    member: ustar.Member,
    prefix: staging.StagingPrefix,
    found: Survey,
    is_secret: IsSecret,
    hasher: ThreadPoolExecutor,
) -> ustar.Member:
    """Look at a file that is not empty, which the ``hasher`` does too; return its member once it is canonical."""
    with open(place, "rb", buffering=0) as file:
        content = os.read(file.fileno(), member.size) if member.size < _MAP_FROM else mapped(file)
        # Beside the rest where that takes long enough.
        hashing = hasher.submit(_sha256, content) if member.size >= _MAP_FROM else None
        if content[:4] == elf.MAGIC and (program := elf.read(mapped(file))) is not None:
            found.programs[member.path] = program
        is_text = content.find(b"\0") < 0
        _refuse_secrets(content, member.path, is_secret, found)
        if not is_text and (encoding := staging.wide_spelling(content)):
            reason = f"it names the environment in {encoding}, which cannot be changed"
            raise relocate.NotRelocatableError(reason)
        found.digests[member.path] = hashing.result() if hashing else _sha256(content)
        if content.find(relocate.MARKER) < 0:
            return member
        if member.path.endswith((".pyc", ".pyo")):
            reason = "it is bytecode, in which no path can be changed"
            raise relocate.NotRelocatableError(reason)
        if is_text:
            return _canonicalise(content[:], member, prefix, found)
        changed = binaries.canonicalise(member.path, mapped(file), prefix)
    if changed.strangers:
        found.strangers[member.path] = changed.strangers
    if changed.patches:
        found.patches[member.path] = changed.patches
    if changed.offsets:
        found.kinds[member.path] = relocate.BINARY_KIND
        found.offsets[member.path] = changed.offsets
    return member


def _sha256(content: bytes | mmap.mmap) -> bytes:
    return hashlib.sha256(content).digest()


def _refuse_secrets(content: bytes | mmap.mmap, path: str, is_secret: IsSecret, found: Survey) -> None:
    if is_secret(content):
        raise relocate.NotRelocatableError(credentials.OF_THE_BUILD)
    if not credentials.is_settings(path):
        return
    if credentials.holds_secret(content[:]):
        reason = "it holds a password or a token, which whoever reads the store would get"
        raise relocate.NotRelocatableError(reason)
    found.settings.append(path)


def mapped(file: FileIO) -> mmap.mmap:
    """Return a file's content without reading it whole."""
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def content_of(tree: str, path: str, found: Survey) -> record.Content:
    """Return size and digest of a patched file in the archive."""
    size = found.members[path].size
    with open(f"{tree}/{path}", "rb") as file:
        return slots.content(file.fileno(), size, found.patches[path])


def _canonicalise(data: bytes, member: ustar.Member, prefix: staging.StagingPrefix, found: Survey) -> ustar.Member:
    if reason := editables.refusal(member.path, data):
        raise relocate.NotRelocatableError(reason)
    canonical = staging.canonicalise(data, prefix)
    if canonical.strangers:
        found.strangers[member.path] = canonical.strangers
    if not canonical.hits:
        return member
    found.kinds[member.path] = staging.classify(member.path, canonical.data)
    found.contents[member.path] = canonical.data
    return ustar.Member(member.path, member.type, member.mode, len(canonical.data))


def _inward(path: str, target: str, prefix: staging.StagingPrefix) -> str:
    """Return the relative form of a symbolic link's target; one that leaves stays as it is, to be refused."""
    folder = posixpath.dirname(path)
    if f"{target}/".startswith(prefix.path + "/"):
        return posixpath.relpath(target[len(prefix.path) + 1 :] or ".", folder or ".")
    if not target.startswith("/") and ".." in target.lstrip("./").split("/"):
        return posixpath.relpath(posixpath.normpath(posixpath.join(folder, target)), folder or ".")
    return target
