"""SHA-256 of files, remembered between runs for as long as a file is the same on disk."""

from __future__ import annotations

import hashlib
import os
import struct
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

# Device, inode, size, mtime and ctime in nanoseconds, each modulo 2**64; then the digest.
_IDENTITY: Final = struct.Struct("<5Q")
_WORD: Final = 2**64 - 1
_SIZE: Final = slice(16, 24)
_RECORD: Final = _IDENTITY.size + hashlib.sha256().digest_size
_MAGIC: Final = b"terrastore digests 1\n"
_HEAD: Final = len(_MAGIC) + 4
_LIMIT: Final = 32_768  # 2.4 MB; those of the largest files stay
# A file may change again within the granularity of its times, which is 2 s on FAT.
_UNSETTLED_NS: Final = 2_000_000_000


class Digests:
    """The digests of files, by what identifies a file: device, inode, size, mtime and ctime.

    ``path`` is the file they are kept in, None for nowhere: the last magic line, a CRC-32 and records of fixed size,
    those that were used last first. It is read when the first digest is asked for. A broken one counts as none, and one
    that cannot be read or written is no error: whoever needs a digest then reads the file.

    ``now`` is the clock, in nanoseconds since the epoch.
    """

    def __init__(self, path: str | os.PathLike[str] | None, *, now: Callable[[], int] = time.time_ns) -> None:
        self._path = path
        self._now = now
        self._known: Mapping[bytes, bytes] | None = None
        self._used: dict[bytes, bytes] = {}
        self._has_news = False

    def of(self, path: str, facts: os.stat_result) -> str:
        """Return the SHA-256 of a regular file, in hex; ``facts`` are what ``stat`` says of it.

        :raises OSError: when it cannot be read
        """
        if self._known is None:
            self._known = _read(self._path)
        identity = _identity(facts)
        digest = self._used.get(identity) or self._known.get(identity)
        if digest is None:
            return self._computed(path).hex()
        self._used[identity] = digest
        return digest.hex()

    def save(self) -> None:
        """Keep what was computed for the next run."""
        if self._path is None or not self._has_news:
            return
        from terrastore import atomic  # noqa: PLC0415 -- most runs compute nothing

        with suppress(OSError):
            os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
            # Another run may have written meanwhile.
            data = _to_bytes(_kept(self._used, _read(self._path)))
            atomic.write_file(os.fspath(self._path), data, mode=0o600)
            self._has_news = False

    def _computed(self, path: str) -> bytes:
        """Return a file's digest, and remember it unless the file may have changed under its times."""
        try:
            with open(path, "rb") as file:
                facts = os.fstat(file.fileno())  # a change from now on gives it another ctime
                digest = hashlib.file_digest(file, "sha256").digest()
        except OSError as error:
            error.filename = path  # reading does not say of what
            raise
        if self._now() - max(facts.st_mtime_ns, facts.st_ctime_ns) > _UNSETTLED_NS:
            self._used[_identity(facts)] = digest
            self._has_news = True
        return digest


def _identity(facts: os.stat_result) -> bytes:
    words = facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns
    return _IDENTITY.pack(*(word & _WORD for word in words))


def _kept(used: Mapping[bytes, bytes], before: Mapping[bytes, bytes]) -> Iterable[tuple[bytes, bytes]]:
    """Return what stays within the limit: what this run used, the largest files first, then what was there."""
    largest_first = sorted(used, key=lambda identity: int.from_bytes(identity[_SIZE], "little"), reverse=True)
    merged = {identity: used[identity] for identity in largest_first}
    for identity, digest in before.items():
        merged.setdefault(identity, digest)
    return list(merged.items())[:_LIMIT]


def _to_bytes(records: Iterable[tuple[bytes, bytes]]) -> bytes:
    import zlib  # noqa: PLC0415 -- see below

    body = b"".join(identity + digest for identity, digest in records)
    return _MAGIC + zlib.crc32(body).to_bytes(4, "little") + body


def _read(path: str | os.PathLike[str] | None) -> Mapping[bytes, bytes]:
    """Return what a file keeps, nothing when it is broken or cannot be read."""
    if path is None:
        return {}
    import zlib  # noqa: PLC0415 -- who names nothing local needs none of this

    try:
        with open(path, "rb") as file:
            data = file.read(_HEAD + _LIMIT * _RECORD + 1)
    except OSError:
        return {}
    body = memoryview(data)[_HEAD:]
    whole = data.startswith(_MAGIC) and not len(body) % _RECORD and len(body) <= _LIMIT * _RECORD
    if not whole or zlib.crc32(body).to_bytes(4, "little") != data[len(_MAGIC) : _HEAD]:
        return {}
    middle = _IDENTITY.size
    return {
        data[start : start + middle]: data[start + middle : start + _RECORD]
        for start in range(_HEAD, len(data), _RECORD)
    }
