"""Wheels that a build takes from a store and those that it leaves: pip's side of a wheelhouse."""

from __future__ import annotations

import hashlib
import os
import re
import zipfile
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from terrastore.archive.manifest import WheelFile
from terrastore.archive.relocate import MARKER
from terrastore.errors import BuildError
from terrastore.names import normalised
from terrastore.requirements.lines import Wanted, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

_NONE_FOUND: Final = re.compile(r"(?:No matching distribution found for|satisfies the requirement) ([^\s(;]+)")
_ASKED: Final = re.compile(r"\s*Getting page (\S+)")
_FAILED: Final = re.compile(r"\s*Could not fetch URL (\S+?): (.*)")
_ANSWERED: Final = re.compile(r"4\d\d Client Error")
_NO_INDEX: Final = "--no-index"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """A wheel of a project (PEP 503) and version.

    ``built``: made from source, that is, from the file with the SHA-256 ``source`` where that is known.
    """

    file: str
    sha256: str
    name: str
    version: str
    built: bool = False
    source: str | None = None

    @property
    def as_kept(self) -> WheelFile:
        """How a manifest names it."""
        return WheelFile(file=self.file, sha256=self.sha256)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """What a wheelhouse has for a build.

    ``pinned``: wheels that the requirements fix, by version or hash. ``others``: wheels of projects that they leave
    open, which serve where no index can be reached. ``wanted``: the versions that requirements name by project, ""
    where they leave it open. ``is_closed``: whether nothing but pinned projects is asked for, and from no other place.
    ``may_be_offline``: whether others may stand in for an index. ``fetch`` puts wheels into a directory and returns
    those that came.
    """

    place: str
    pinned: Sequence[Wheel]
    others: Sequence[Wheel]
    wanted: Mapping[str, str]
    is_closed: bool
    may_be_offline: bool
    fetch: Callable[[Iterable[Wheel], str], Sequence[Wheel]] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The wheels of a build: of what was installed, by project, and of what that was built with.

    ``paths``: where the wheel with a SHA-256 stands. ``direct`` are projects that were asked for by where they are.
    ``taken`` are those that came from the wheelhouse, of ``total`` that were installed; ``frozen`` those of them that
    no requirement fixes, and no index was asked for.
    """

    installed: Mapping[str, Wheel]
    tools: Sequence[Wheel]
    paths: Mapping[str, str]
    direct: frozenset[str]
    taken: frozenset[str]
    total: int
    frozen: Sequence[str]


class WithShelf:
    """``pip install`` with a wheelhouse beside its indexes, or in their place when none can be reached."""

    def __init__(self, shelf: Shelf, work: str) -> None:
        self._shelf = shelf
        self._folder = f"{work}/wheelhouse"
        self._there: list[Wheel] = []
        self._is_offline = False

    def install(self, pip: Callable[[Sequence[str]], str], probe: Callable[[str], str]) -> None:
        """Install by ``pip``, which runs it with arguments more; ``probe`` asks the indexes for one project.

        :raises BuildError: when pip fails; without an index what the wheelhouse lacks is named
        """
        os.mkdir(self._folder)
        links, pinned = (f"--find-links={self._folder}",), self._shelf.pinned
        if self._shelf.is_closed and {each.name for each in pinned} >= self._shelf.wanted.keys():
            # Nothing but what is fixed can be found, so no index would give anything else.
            self._fetch(pinned)
            with suppress(BuildError):
                pip((*links, _NO_INDEX))
                return
        if self._shelf.may_be_offline and _is_out_of_reach(probe(next(iter(self._shelf.wanted), "pip"))):
            self._is_offline = True
            self._fetch((*pinned, *self._shelf.others))
            self._install_offline(pip, (*links, _NO_INDEX))
            return
        self._fetch(each for each in pinned if each.built)
        try:
            pip(links if self._there else ())
        except BuildError as error:
            # A release that the index does not have any more; what it has, pip takes from there.
            if _lacking(error).keys().isdisjoint(each.name for each in pinned):
                raise
            self._fetch(pinned)
            pip(links)

    def admitting(self, line: str) -> str:
        """Return a requirement line that admits wheels that were made from a file that its hashes admit."""
        made = {each.name: each.sha256 for each in self._there if each.built}
        wanted = parse(line).wanted
        if isinstance(wanted, Wanted) and wanted.has_hash and wanted.name in made:
            return f"{line} --hash=sha256:{made[wanted.name]}"
        return line

    def kept(self, folder: str, items: Sequence[Mapping[str, Any]]) -> Kept:
        """Return the wheels that pip opened and were kept in ``folder``; ``items`` are those of its report."""
        opened = _opened(folder)
        offered = {each.sha256: each for each in self._there}
        fixed = {each.sha256 for each in self._shelf.pinned}
        installed, direct, taken = {}, set(), {}
        for item in items:
            if item["download_info"].get("dir_info", {}).get("editable"):
                continue
            name, origin = normalised(item["metadata"]["name"]), item["download_info"]
            wheel = next(filter(None, (_as_installed(each, item) for each in opened)), None)
            if item["is_direct"]:
                direct.add(name)
            if wheel is not None:
                installed[name] = offered.get(wheel.sha256, wheel)
                if f"{self._folder}/" in unquote(origin["url"]):
                    taken[name] = wheel
        paths = {each.sha256: path for each, path in opened.items()}
        ours = {each.sha256 for each in installed.values()}
        is_built = any(each.built for each in installed.values())
        return Kept(
            installed={name: each for name, each in installed.items() if not _names_a_build(each, paths)},
            tools=[each for each in opened if is_built and not each.built and each.sha256 not in ours],
            paths=paths,
            direct=frozenset(direct),
            taken=frozenset(taken),
            total=len(items),
            frozen=sorted(name for name, each in taken.items() if self._is_offline and each.sha256 not in fixed),
        )

    def _fetch(self, wheels: Iterable[Wheel]) -> None:
        self._there += self._shelf.fetch([each for each in wheels if each not in self._there], self._folder)

    def _lacks(self) -> list[str]:
        """Return the requirements for which nothing is there, as they would be written."""
        there = {each.name for each in self._there}
        return [
            f"{name}=={version}" if version else name
            for name, version in self._shelf.wanted.items()
            if name not in there
        ]

    def _install_offline(self, pip: Callable[[Sequence[str]], str], arguments: Sequence[str]) -> None:
        try:
            pip(arguments)
        except BuildError as error:
            # As pip has it, as somebody wrote it.
            lacking = {_project(each): each for each in self._lacks()} | _lacking(error)
            if not lacking:
                raise
            raise BuildError(
                f"no index can be reached, and {self._shelf.place} has no wheel of {', '.join(lacking.values())}",
                hint=f"build once with --wheelhouse where an index can be reached; {error.hint}",
            ) from error


def _lacking(error: BuildError) -> dict[str, str]:
    """Return the requirements that pip says it found nothing for, by project."""
    return {_project(each): each for each in _NONE_FOUND.findall(error.message)}


def _project(requirement: str) -> str:
    return normalised(re.split(r"[^A-Za-z0-9._-]", requirement)[0])


def _is_out_of_reach(said: str) -> bool:
    """Whether pip, which was told to say all, could get a page from none of its indexes; one that refuses is there."""
    asked = {url for url in _ASKED.findall(said) if not url.startswith("file:")}
    failed = {url for url, why in _FAILED.findall(said) if not _ANSWERED.match(why)}
    return bool(asked) and asked <= failed


def _opened(folder: str) -> dict[Wheel, str]:
    """Return the wheels below a directory, and where each stands; the last that was opened first."""
    found: dict[Wheel, str] = {}
    for path in sorted(Path(folder).glob("*/*/*.whl"), key=lambda path: path.parent.name, reverse=True):
        try:
            name, version, _, _ = parse_wheel_filename(path.name)
        except InvalidWheelFilename:
            continue
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        is_built = path.parent.parent.name == "made"
        wheel = Wheel(file=path.name, sha256=digest, name=str(name), version=str(version), built=is_built)
        found.setdefault(wheel, str(path))
    return found


def _as_installed(wheel: Wheel, item: Mapping[str, Any]) -> Wheel | None:
    """Return a wheel that was opened as what an item of pip's report says of it; None when it is another's.

    The report tells the digest of what was downloaded; of what was made of that it says name and version.
    """
    origin, metadata = item["download_info"], item["metadata"]
    digest = origin.get("archive_info", {}).get("hashes", {}).get("sha256")
    if origin["url"].partition("#")[0].endswith(".whl"):
        return wheel if wheel.sha256 == digest else None
    is_it = wheel.built and wheel.name == normalised(metadata["name"]) and _equal(wheel.version, metadata["version"])
    return replace(wheel, source=digest) if is_it else None


def _equal(version: str, other: str) -> bool:
    try:
        return Version(version) == Version(other)
    except InvalidVersion:
        return False


def _names_a_build(wheel: Wheel, paths: Mapping[str, str]) -> bool:
    """Whether a wheel that was made here names a directory of the build, which nobody else could map."""
    return wheel.built and any(MARKER in content for content in _contents(paths[wheel.sha256]))


def _contents(path: str) -> Iterator[bytes]:
    with zipfile.ZipFile(path) as archive:
        for each in archive.infolist():
            yield archive.read(each)
