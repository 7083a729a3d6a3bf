"""Which shared libraries a program finds on this machine, where the dynamic loader looks (ld.so(8)): nothing is run."""

from __future__ import annotations

import mmap
import os
import platform
import re
import struct
import sys
from dataclasses import dataclass, field
from functools import cache
from glob import glob
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_CACHE: Final = "/etc/ld.so.cache"
_CACHE_MAGIC: Final = b"glibc-ld.so.cache1.1"
_CACHE_HEADER: Final = 48
_CACHE_ENTRY: Final = struct.Struct("=iIIIQ")
_HEADER_SIZE: Final = 20


@dataclass(frozen=True, slots=True)
class Loader:
    """Where libraries are looked for: ``directories``, those of ``LD_LIBRARY_PATH`` first, and ldconfig's ``cache``.

    ``abi`` are the parts of an ELF header that must be equal in a program and its libraries.
    """

    directories: tuple[str, ...]
    cache: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    abi: bytes | None = None

    @classmethod
    def here(cls) -> Loader:
        """Look at this machine, once."""
        return _here()

    def find(self, name: str, directories: Iterable[str] = ()) -> str | None:
        """Return where the library ``name`` is, None when it is nowhere; ``directories`` come before all others."""
        places = [f"{folder}/{name}" for folder in (*directories, *self.directories)]
        return next(filter(self._fits, (*places, *self.cache.get(name, ()))), None)

    def find_in(self, directory: str, name: str) -> str | None:
        """Return where the library ``name`` is in ``directory``, None when it is not there."""
        return next(filter(self._fits, (f"{directory}/{name}",)), None)

    def _fits(self, place: str) -> bool:
        found = _abi(place)
        return found is not None and self.abi in {None, found}


def offers(place: str, versions: Sequence[str]) -> bool:
    """Whether the library at ``place`` has symbols of all these ``versions``, such as ``GLIBCXX_3.4.30``.

    It is looked through once, however many there are.

    Each definition of a version (LSB Core, Symbol Versioning) holds its hash, and begins with the number 1 in two
    bytes. Names would not do: ``OMP_1.0`` may be the end of ``GOMP_1.0`` in the table of strings.
    """
    with open(place, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        order: Literal["little", "big"] = "little" if content[5] == 1 else "big"
        begin = re.escape((1).to_bytes(2, order))
        missing = {_hash(version).to_bytes(4, order) for version in versions}
        for match in re.finditer(b"(?=" + begin + b".{6}(.{4}))", content, re.DOTALL) if missing else ():
            missing.discard(match[1])
            if not missing:
                break
        return not missing


def _hash(name: str) -> int:
    """Return the hash of a symbol's name (System V ABI, Hash Table)."""
    value = 0
    for byte in name.encode():
        value = ((value << 4) + byte) & 0xFFFFFFFF
        value ^= (value & 0xF0000000) >> 24
        value &= 0x0FFFFFFF
    return value


@cache
def _here() -> Loader:
    asked = tuple(filter(None, os.environ.get("LD_LIBRARY_PATH", "").replace(";", ":").split(":")))
    return Loader((*asked, *_standard_directories()), _read_cache(_CACHE), _abi(sys.executable))


def _standard_directories() -> tuple[str, ...]:
    for path in glob("/etc/ld-musl-*.path"):
        with open(path) as file:
            return tuple(file.read().replace(":", "\n").split())
    if glob("/lib/ld-musl-*.so.1"):
        return ("/lib", "/usr/local/lib", "/usr/lib")
    return tuple(
        f"{root}/{folder}"
        for folder in (f"lib/{platform.machine()}-linux-gnu", "lib64", "lib")
        for root in ("", "/usr")
    )


def _abi(place: str) -> bytes | None:
    """Return what tells for which machine an ELF file is: class, byte order, architecture; None for any other file."""
    try:
        with open(place, "rb") as file:
            header = file.read(_HEADER_SIZE)
    except OSError:
        return None
    return header[4:6] + header[18:20] if header.startswith(b"\x7fELF") and len(header) == _HEADER_SIZE else None


def _read_cache(path: str) -> dict[str, tuple[str, ...]]:
    """Return what ldconfig found, by name (sysdeps/generic/dl-cache.h of glibc); nothing where there is no cache."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError:
        return {}
    start, found = data.find(_CACHE_MAGIC), dict[str, tuple[str, ...]]()
    if start < 0:
        return {}
    data = data[start:]
    try:
        (count,) = struct.unpack_from("=I", data, len(_CACHE_MAGIC))
        for number in range(count):
            _, key, value, *_ = _CACHE_ENTRY.unpack_from(data, _CACHE_HEADER + number * _CACHE_ENTRY.size)
            name, place = (data[at : data.index(b"\0", at)].decode() for at in (key, value))
            found[name] = (*found.get(name, ()), place)
    except (struct.error, ValueError):
        return {}
    return found
