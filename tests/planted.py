"""Searching for secrets in every byte that a run left behind, however it is packed."""

from __future__ import annotations

import base64
import bz2
import contextlib
import gzip
import io
import lzma
import threading
import time
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import quote, quote_plus

import zstandard

from tests.private_index import LOGINS, TOKEN_IN_PATH, basic

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_DEPTH = 4
_MAGICS = {
    b"\x1f\x8b": gzip.decompress,
    b"BZh": bz2.decompress,
    b"\xfd7zXZ\x00": lzma.decompress,
}


def spellings() -> dict[bytes, str]:
    """Return every secret in every spelling, and what it is."""
    found: dict[bytes, str] = {}
    for user, password in LOGINS:
        secret = user if password in {"", "x-oauth-basic"} else password
        texts = {secret, quote(secret, safe=""), quote_plus(secret), quote(secret), quote(secret, safe="").lower()}
        login = basic(user, password)
        # At any place in what is encoded, but for the ends.
        texts |= {login.rstrip("="), base64.b64encode(secret.encode()).decode().rstrip("=")}
        texts |= {base64.urlsafe_b64encode(f"{user}:{password}".encode()).decode().rstrip("=")}
        found |= {text.encode(): f"{secret!r} as {text!r}" for text in texts}
        found[secret.encode("utf-16-le")] = f"{secret!r} in UTF-16"
    found[TOKEN_IN_PATH.encode()] = "the token in the path"
    return found


_SPELLINGS = spellings()


def found_in(data: bytes) -> list[str]:
    """Return the secrets that are in ``data``, or in what it is the packed form of."""
    return sorted({what for each in _unpacked(data, 0) for spelling, what in _SPELLINGS.items() if spelling in each})


def found_below(*folders: Path, besides: Iterable[Path] = ()) -> dict[str, list[str]]:
    """Return the secrets in the names and contents of files, by path; ``besides`` are where they were planted."""
    found = {}
    for path in (each for folder in folders for each in sorted(folder.rglob("*"))):
        if path in set(besides):
            continue
        hits = found_in(str(path).encode())
        if path.is_symlink():
            hits += found_in(str(path.readlink()).encode())
        elif path.is_file():
            hits += found_in(path.read_bytes())
        if hits:
            found[str(path)] = hits
    return found


def _unpacked(data: bytes, depth: int) -> Iterator[bytes]:
    yield data
    if depth == _DEPTH:
        return
    for inner in _members(data):
        yield from _unpacked(inner, depth + 1)


def _members(data: bytes) -> Iterator[bytes]:
    for magic, decompress in _MAGICS.items():
        if data.startswith(magic):
            with contextlib.suppress(OSError, EOFError, lzma.LZMAError, zlib.error):
                yield decompress(data)
    if data.startswith((b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18")):
        with contextlib.suppress(zstandard.ZstdError):
            yield zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True).read()
    if b"PK\x03\x04" in data[:4096]:
        with contextlib.suppress(zipfile.BadZipFile), zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                yield archive.read(name)


class ProcessList:
    """What any user of the machine saw of other processes while the ``with`` lasted; ``besides`` are their numbers."""

    def __init__(self) -> None:
        self.seen: dict[bytes, int] = {}
        self.besides: set[int] = set()
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.is_set():
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError, ProcessLookupError):
                    self.seen.setdefault(path.read_bytes(), int(path.parent.name))
            time.sleep(0.002)

    def showing(self) -> list[str]:
        """Return the command lines that show a secret."""
        return [
            line.replace(b"\0", b" ").decode()
            for line, pid in self.seen.items()
            if pid not in self.besides and found_in(line)
        ]

    def saw(self, *words: str) -> bool:
        """Whether a command line had all these words."""
        return any(all(word.encode() in line for word in words) for line in self.seen)
