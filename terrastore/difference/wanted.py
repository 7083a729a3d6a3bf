"""Canonical requirement lines, taken apart."""

from __future__ import annotations

import re
import shlex
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from packaging.utils import canonicalize_name, canonicalize_version

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTENT: Final = "sha256:"
"""What the reference to a content begins with; alone it is to a content that is not known."""
NEEDS: Final = "needs:"
"""What the reference to a project that is to be edited begins with: to what it needs, not to its code."""
_OPAQUE: Final = "opaque: "
_OPTIONS: Final = re.compile(r"\s+(--(?:hash|config-settings|global-option)=.*)$", re.DOTALL)
_NAMED: Final = re.compile(
    r"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:\[([^\]]*)\])?\s*((?:[=<>!~].*)?)", re.DOTALL
)
_PIN: Final = re.compile(r"==([^,*=]+)")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_FILE: Final = re.compile(r"(?P<name>.+?)(?:-\d[^/]*)?(?:\.whl|\.zip|\.tar(?:\.[a-z0-9]+)?|\.t[a-z]z)", re.IGNORECASE)
_SHOWN_COMMIT: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A requirement.

    ``name`` pairs it with what another request says of the same project (PEP 503); ``title`` is what a person calls
    it: a file by its name, a URL by its end. ``reference`` is a URL, ``sha256:<hex>`` or ``needs:<hex>``; ``settings``
    are options of its own but the ``hashes``. ``installed`` is the version that was installed for it, as the package
    spells it.
    """

    text: str
    name: str
    title: str
    extras: tuple[str, ...] = ()
    specifier: str = ""
    reference: str = ""
    marker: str = ""
    hashes: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    editable: bool = False
    installed: str = ""

    @classmethod
    def of(cls, text: str, versions: Mapping[str, str]) -> Wanted:
        """Take a canonical line apart; of what is none, the whole text is the name.

        ``versions`` are those that were installed, by canonical name.
        """
        if text.startswith(_OPAQUE):
            return cls(text=text, name=text, title=text.removeprefix(_OPAQUE))
        match = _OPTIONS.search(text)
        head, options = (text[: match.start()], _words(match[1])) if match else (text, [])
        head, _, marker = head.partition(" ; ")
        editable = head.startswith("-e ")
        what, _, reference = head.removeprefix("-e ").partition(" @ ")
        hashes = tuple(option for option in options if option.startswith("--hash="))
        named = _NAMED.fullmatch(what)
        if named is None:
            reference, (name, title) = reference or what, _of_url(what)
            extras, specifier = "", ""
        else:
            name = title = named[1]
            extras, specifier = named[2] or "", named[3]
            if reference.startswith(CONTENT) and (of_file := _FILE.fullmatch(title)):
                name = of_file["name"]
        name = canonicalize_name(name)
        return cls(
            text=text,
            name=name,
            title=title,
            extras=tuple(filter(None, extras.split(","))),
            specifier=specifier,
            reference=reference,
            marker=marker,
            hashes=hashes,
            settings=tuple(option for option in options if option not in hashes),
            editable=editable,
            installed=versions.get(name, ""),
        )

    @property
    def pin(self) -> str:
        """The one version that will do, as the package spells it where that is known; "" when there are several."""
        match = _PIN.fullmatch(self.specifier)
        if match is None:
            return ""
        is_installed = canonicalize_version(self.installed) == canonicalize_version(match[1])
        return self.installed if is_installed else match[1]

    @property
    def described(self) -> str:
        """What a person would call it where it is not compared: name, extras, and version or place."""
        extras = f"[{','.join(self.extras)}]" if self.extras else ""
        where = self.pin or self.specifier
        if self.reference and not self.is_content and self.reference != self.title:
            where = f"from {shortened(self.reference)}"
        editable = "editable " if self.editable else ""
        return f"{editable}{self.title}{extras} {where}".rstrip() + (f" if {self.marker}" if self.marker else "")

    @property
    def is_content(self) -> bool:
        """Whether it is a local file or directory, known by what is in it."""
        return self.reference.startswith((CONTENT, NEEDS))

    @property
    def inside(self) -> str:
        """What it is known by: a file's content, a directory's files, or what a project that is edited needs."""
        if self.reference.startswith(NEEDS):
            return "what it needs"
        return "its content" if _FILE.fullmatch(self.title) else "its files"

    @property
    def wish(self) -> str:
        """What it asks of the project, for one side of an arrow."""
        if not self.reference:
            return self.pin or self.specifier or "any version"
        if self.is_content:
            return self.title if _FILE.fullmatch(self.title) else "a local directory"
        return shortened(self.reference)


def split_revision(url: str) -> tuple[str, str]:
    """Return a URL of version control without its revision, and the revision."""
    place, mark, fragment = url.partition("#")
    head, _, path = place.partition("://")
    path, at, revision = path.rpartition("@")
    if not at or "/" not in path or not re.match(r"(git|hg|svn|bzr)\+", head):
        return url, ""
    return f"{head}://{path}{mark}{fragment}", revision


def shortened(url: str) -> str:
    """Return a URL of version control with the first digits of its commit, any other as it is."""
    _, revision = split_revision(url)
    return url.replace(f"@{revision}", f"@{commit(revision)}") if revision else url


def commit(revision: str) -> str:
    """Return a revision, of a commit the first digits."""
    return revision[:_SHOWN_COMMIT] if _COMMIT.fullmatch(revision) else revision


def _of_url(text: str) -> tuple[str, str]:
    """Return the name of the project that a bare URL or path leads to, as far as it can be seen, and its title."""
    if match := re.search(r"#(?:.*&)?egg=([A-Za-z0-9._-]+)", text):
        return match[1], match[1]
    with suppress(ValueError):
        last = unquote(urlsplit(split_revision(text)[0]).path).rstrip("/").rpartition("/")[2]
        if match := _FILE.fullmatch(last):
            return match["name"], last
        if last and last != "." and "://" in text:
            return last.removesuffix(".git"), last.removesuffix(".git")
    return text, text


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()
