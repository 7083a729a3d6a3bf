"""The wheels that the running terrastore consists of, made anew from what is installed.

It needs neither an index nor a cache, and gives what runs here, whoever installed it: pip, pipx, ``uv tool``, or a
checkout that is installed to be edited. Of third parties' distributions the files that their RECORDs name are taken,
once their digests are right; of terrastore the modules that run.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import zipfile
from base64 import urlsafe_b64encode
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from terrastore import __version__
from terrastore.archive import record
from terrastore.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_NAME: Final = "terrastore"
_PACKAGE: Final = Path(__file__).parents[1]
_EARLIEST: Final = (1980, 1, 1, 0, 0, 0)
# Installers' notes on this machine, and what is written anew. A wheel's signature (RECORD.jws) is over another RECORD.
_NOTES: Final = re.compile(r"RECORD(\.jws|\.p7s)?|INSTALLER|REQUESTED|direct_url\.json|uv_(cache|build)\.json")
_EXECUTABLE: Final = 0o755
_PLAIN: Final = 0o644
_HINT: Final = "install terrastore anew, and publish it from there"


class Wheel(NamedTuple):
    """A wheel (the binary distribution format): ``tags`` as in its WHEEL, such as ``py3-none-any``."""

    name: str
    version: str
    tags: tuple[str, ...]
    content: bytes

    @property
    def file(self) -> str:
        """Its file name, with the tags compressed (PEP 425)."""
        parts = zip(*(tag.split("-") for tag in self.tags), strict=True)
        tag = "-".join(".".join(sorted(set(part))) for part in parts)
        return f"{self.name.replace('-', '_')}-{self.version.replace('-', '_')}-{tag}.whl"

    @property
    def platforms(self) -> frozenset[str]:
        """The platforms in its tags."""
        return frozenset(tag.rpartition("-")[2] for tag in self.tags)


def wheels() -> Iterator[Wheel]:
    """Yield the wheels of terrastore and of everything it depends on here, without extras, sorted by name.

    The same installation gives the same bytes.

    :raises UsageError: when something is missing, or not as it was installed; it is named
    """
    for distribution in _needed():
        yield _wheel(distribution)


def _needed() -> list[metadata.Distribution]:
    found: dict[str, metadata.Distribution] = {}
    asked, left = set[tuple[str, str]](), [(_NAME, "")]
    while left:
        name, extra = left.pop()
        if (name, extra) in asked:
            continue
        asked.add((name, extra))
        found[name] = distribution = found.get(name) or _distribution(name)
        for requirement in map(Requirement, distribution.requires or ()):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                left += [(canonicalize_name(requirement.name), each) for each in ("", *requirement.extras)]
    return [found[name] for name in sorted(found)]


def _distribution(name: str) -> metadata.Distribution:
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        raise UsageError(f"{name} is not installed here, as a distribution", hint=_HINT) from None


def _wheel(distribution: metadata.Distribution) -> Wheel:
    name, version = canonicalize_name(distribution.metadata["Name"]), distribution.version
    files = _our_files(distribution) if name == _NAME else _files(distribution)
    contents = dict(sorted((path, (place, data)) for path, place, data in files))
    info = next((path.partition("/")[0] for path in contents if path.endswith(".dist-info/WHEEL")), None)
    if info is None:
        raise UsageError(f"{name} was not installed from a wheel", hint=_HINT)
    tags = re.findall(rb"^Tag: *(\S+)", contents[f"{info}/WHEEL"][1], re.MULTILINE)
    buffer, rows = io.BytesIO(), []
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, (place, data) in contents.items():
            is_program = os.stat(place).st_mode & stat.S_IXUSR
            _add(archive, path, data, mode=_EXECUTABLE if is_program else _PLAIN)
            rows.append(record.Row(path, record.digest_of(data), str(len(data))))
        _add(archive, f"{info}/RECORD", record.write([*rows, record.Row(f"{info}/RECORD", "", "")]), mode=_PLAIN)
    return Wheel(name, version, tuple(tag.decode() for tag in tags), buffer.getvalue())


def _files(distribution: metadata.Distribution) -> Iterator[tuple[str, str, bytes]]:
    """Yield (path in the wheel, place on disk, content) of what RECORD names in site-packages.

    Scripts and whatever else stands outside are left out: terrastore imports what it needs.
    """
    for entry in distribution.files or ():
        if ".." in entry.parts or entry.is_absolute() or entry.suffix == ".pyc" or _is_note(entry.parts):
            continue
        place = str(distribution.locate_file(entry))
        data = _read(place, distribution)
        if entry.hash is not None and _spelled(entry.hash.mode, data) != entry.hash.value:
            raise UsageError(f"{place} was changed since {distribution.name} was installed", hint=_HINT)
        yield entry.as_posix(), place, data


def _our_files(distribution: metadata.Distribution) -> Iterator[tuple[str, str, bytes]]:
    """Yield the same of terrastore: the modules that run, for a checkout's RECORD has none of them."""
    if distribution.version != __version__:
        raise UsageError(f"terrastore {__version__} runs here, and was installed as {distribution.version}", hint=_HINT)
    for folder, folders, names in os.walk(_PACKAGE):
        folders[:] = [each for each in folders if each != "__pycache__"]
        for place in (os.path.join(folder, name) for name in names):
            yield f"{_NAME}/{os.path.relpath(place, _PACKAGE)}", place, _read(place, distribution)
    for path, place, data in _files(distribution):
        if path.partition("/")[0].endswith(".dist-info"):
            yield path, place, data


def _is_note(parts: tuple[str, ...]) -> bool:
    return parts[0].endswith(".dist-info") and _NOTES.fullmatch(parts[-1]) is not None


def _read(place: str, distribution: metadata.Distribution) -> bytes:
    try:
        with open(place, "rb") as file:
            return file.read()
    except OSError:
        raise UsageError(f"{place} of {distribution.name} is missing", hint=_HINT) from None


def _spelled(algorithm: str, data: bytes) -> str:
    """Return a digest by any algorithm as RECORD writes it."""
    return urlsafe_b64encode(hashlib.new(algorithm, data).digest()).rstrip(b"=").decode()


def _add(archive: zipfile.ZipFile, path: str, data: bytes, *, mode: int) -> None:
    entry = zipfile.ZipInfo(path, _EARLIEST)
    entry.external_attr = (stat.S_IFREG | mode) << 16
    archive.writestr(entry, data, zipfile.ZIP_DEFLATED)


def oldest_libc(found: Iterable[Wheel], here: tuple[int, int]) -> tuple[int, int] | None:
    """Return the oldest libc on which all wheels run, by their tags (PEP 600, PEP 656); None when any will do.

    ``here`` is that of this machine, which what was compiled on it needs.
    """
    from terrastore.archive.installed import libc_of  # noqa: PLC0415 -- with what reads environments

    floors = [
        min(filter(None, map(libc_of, wheel.platforms)), default=here) for wheel in found if wheel.platforms - {"any"}
    ]
    return max(floors, default=None)
