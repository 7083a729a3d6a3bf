"""What was resolved, as a requirements file: from a manifest alone, in the way of ``pip freeze``, with hashes.

A manifest may be anybody's, and the file is for an installer: what does not have the form that it must have becomes no
line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from terrastore.names import normalised
from terrastore.redaction import HIDDEN
from terrastore.report import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from terrastore.archive.manifest import Manifest, Package

_SEED: Final = "pip"
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.!+_-]*")
_URL: Final = re.compile(r"(?:[a-z]+\+)?[a-z]+://[!-~]+")
_COMMIT: Final = re.compile(r"@[0-9a-f]{40,}(?:#|$)")
_HASH: Final = re.compile(r"--hash=(\S+)")
_ANY_HASH: Final = re.compile(r"[a-z0-9]+:[0-9a-f]+")
_REQUIREMENT: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*(?:@\s*(\S+))?")
_EDITABLE: Final = "-e "
_NEEDS: Final = " @ needs:"
_EGG: Final = "#egg="


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """A package as an installer would be asked for it: ``name==version``, or ``name @ URL``.

    ``hashes`` are ``algorithm:digits`` of the files of which any will do, none when no file's is known; ``is_local``
    when the file is from no index, but from the disk of the machine that built it.
    """

    name: str
    version: str
    asked: str
    hashes: Sequence[str] = ()
    is_local: bool = False

    def __str__(self) -> str:
        return " ".join((self.asked, *(f"--hash={each}" for each in self.hashes)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """What an environment holds, by name; ``left_out`` are (what, why) of it that no line can ask for."""

    title: str
    requirements: Sequence[Requirement]
    left_out: Sequence[tuple[str, str]]

    @property
    def without_hash(self) -> list[str]:
        """The names of requirements of which no file's hash is known."""
        return [each.name for each in self.requirements if not each.hashes]

    def lines(self) -> Iterator[str]:
        """Yield the lines of the file."""
        yield f"# {plain(self.title)}"
        if self.without_hash:
            yield f"# without a hash, to be installed apart from those with one by pip: {', '.join(self.without_hash)}"
        if local := [each.name for each in self.requirements if each.is_local]:
            yield f"# from files of the machine that built it, which -f must find: {', '.join(local)}"
        for what, why in self.left_out:
            yield f"# left out: {plain(what)}, {plain(why)}"
        yield from map(str, self.requirements)


def freeze(manifest: Manifest) -> Frozen:
    """Return what would be installed again to get the same packages."""
    asked = _Asked(manifest)
    requirements, left_out = [], []
    for package in sorted(manifest.packages, key=lambda package: package.name):
        if package.name == _SEED and package.sha256 is None and _SEED not in asked.names:
            continue
        try:
            requirements.append(_requirement(package, asked))
        except _NoLineError as error:
            left_out.append((f"{package.name} {package.version}", str(error)))
    left_out += ((project, "a project to be edited") for project in asked.projects)
    python, installer = manifest.interpreter.get("version"), manifest.installer
    title = f"{manifest.key}: Python {python}, installed by {installer.get('name')} {installer.get('version')}"
    return Frozen(title=title, requirements=requirements, left_out=left_out)


class _NoLineError(Exception):
    """Nothing asks for a package; the text says why."""


class _Asked:
    """What the requirements in a manifest say, by name; they may have any form.

    ``projects`` are those on the machine that asks, ``editables`` those of repositories, which are to be edited.
    """

    def __init__(self, manifest: Manifest) -> None:
        self.names: set[str] = set()
        self.urls: dict[str, str] = {}
        self.hashes: dict[str, list[str]] = {}
        self.projects: list[str] = []
        self.editables: dict[str, str] = {}
        found = manifest.request.get("requirements")
        for line in found if isinstance(found, list) else ():
            if isinstance(line, str):
                self._take(line)

    def _take(self, line: str) -> None:
        if line.startswith(_EDITABLE):
            text, _, needs = line.removeprefix(_EDITABLE).partition(_NEEDS)
            if needs:
                self.projects.append(text)
            else:
                self.editables[normalised(text.rpartition(_EGG)[2])] = text
        elif match := _REQUIREMENT.match(line):
            name = normalised(match[1])
            self.names.add(name)
            self.hashes.setdefault(name, []).extend(filter(_ANY_HASH.fullmatch, _HASH.findall(line)))
            if match[2]:
                self.urls[name] = match[2]


def _requirement(package: Package, asked: _Asked) -> Requirement:
    """Return how a package is asked for.

    :raises _NoLineError: when it cannot be
    """
    if not _NAME.fullmatch(package.name) or not _VERSION.fullmatch(package.version):
        raise _NoLineError("whose name or version is none")
    if package.name in asked.editables:
        raise _NoLineError(f"to be edited: -e {asked.editables[package.name]}")
    hashes = [f"sha256:{package.sha256}"] if package.sha256 else sorted({*asked.hashes.get(package.name, ())})
    named = asked.urls.get(package.name, "")
    # Archives of before say no URL of what was asked for by one.
    url = package.url or (named if _URL.fullmatch(named) else "")
    text = f"{package.name} @ {url}" if url else f"{package.name}=={package.version}"
    if HIDDEN in url:
        raise _NoLineError("whose URL holds a secret")
    if url and not _URL.fullmatch(url):
        raise _NoLineError("whose URL is none")
    if package.commit and not _COMMIT.search(url):
        raise _NoLineError(f"from a repository that is not known, commit {package.commit}")
    is_local = not url and (package.direct or bool(named))
    if is_local and not hashes:
        raise _NoLineError("from the disk of the machine that built it")
    return Requirement(name=package.name, version=package.version, asked=text, hashes=hashes, is_local=is_local)
