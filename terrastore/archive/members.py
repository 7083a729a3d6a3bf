"""The members of an archive that is read and not unpacked: whatever unpacking would refuse of them is refused.

What only a disk can tell, such as names that it folds, is not.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from terrastore.archive import pieces, record, ustar
from terrastore.archive.limits import NAMES_LIMIT
from terrastore.archive.relocate import BINARY_KIND, PLACEHOLDER, RECORD_KIND

if TYPE_CHECKING:
    from collections.abc import Iterable

    from terrastore.archive.manifest import Manifest, Relocation
    from terrastore.archive.ustar import Member, Piece


class Members:
    """The members of all layers, taken piece by piece.

    >>> members = Members(manifest)
    >>> members.take(reader.feed(raw))
    >>> members.end()
    """

    def __init__(self, manifest: Manifest) -> None:
        self._total = manifest.totals.members
        self._entries = {entry.path: entry for entry in manifest.relocations}
        self._seen: dict[str, bytes] = {}
        self._names_size = 0
        self._content: _Compiled | _Text | None = None

    def take(self, found: Iterable[Piece]) -> None:
        """Take what comes next.

        :raises MalformedError: when a member must not be there, is there twice, or is not as the manifest says
        """
        for member, offset, content, is_last in found:
            if not offset:
                self._begin(member)
            if self._content is not None:
                self._content.read(content)
                if is_last:
                    self._content.end()

    def end(self) -> None:
        """Declare that nothing comes any more.

        :raises MalformedError: when something is missing, or in another's way
        """
        if missing := self._entries.keys() - self._seen.keys():
            raise ustar.MalformedError(f"{min(missing)} is to be relocated and is not there")
        if len(self._seen) != self._total:
            raise ustar.MalformedError(f"it has {len(self._seen)} members; the manifest says {self._total}")
        for path in self._seen:
            above = path.rpartition("/")[0]
            while above:
                if self._seen.get(above, ustar.DIRECTORY) != ustar.DIRECTORY:
                    raise pieces.collision(path)
                above = above.rpartition("/")[0]

    def _begin(self, member: Member) -> None:
        path = member.path
        pieces.check(member, self._entries)
        if path in self._seen:
            raise ustar.MalformedError(f"{path} is there twice")
        self._seen[path] = member.type
        self._names_size += len(path) + len(member.target)
        if len(self._seen) > self._total or self._names_size > NAMES_LIMIT:
            raise ustar.MalformedError(f"it has more members than the {self._total} of the manifest, or longer names")
        entry = self._entries.get(path)
        kind = entry.kind if entry is not None else None
        self._content = None
        if entry is not None and kind == BINARY_KIND:
            self._content = _Compiled(entry)
        elif kind == RECORD_KIND:
            self._content = _Text(path)


class _Compiled:
    """A compiled file that is to be relocated, which is never in memory as a whole."""

    def __init__(self, entry: Relocation) -> None:
        self._entry = entry
        self._digest = hashlib.sha256()
        self._places = list(reversed(entry.offsets))
        self._tail = b""
        self._position = 0  # of the tail's end

    def read(self, content: memoryview) -> None:
        self._digest.update(content)
        data, start = self._tail + bytes(content), self._position - len(self._tail)
        self._position += len(content)
        while self._places and self._places[-1] + len(PLACEHOLDER) <= self._position:
            at = self._places.pop() - start
            if data[at : at + len(PLACEHOLDER)] != PLACEHOLDER:
                self._refuse()
        self._tail = data[-len(PLACEHOLDER) :]

    def end(self) -> None:
        if self._places or self._digest.hexdigest() != self._entry.sha256:
            self._refuse()

    def _refuse(self) -> None:
        raise ustar.MalformedError(f"{self._entry.path} does not hold the placeholder where the manifest says")


class _Text:
    """A RECORD."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._data = bytearray()

    def read(self, content: memoryview) -> None:
        self._data += content

    def end(self) -> None:
        try:
            record.parse(bytes(self._data))
        except ValueError as error:
            raise ustar.MalformedError(f"{self._path} is no RECORD: {error}") from None
