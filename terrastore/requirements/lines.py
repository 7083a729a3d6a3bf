"""Requirements files as text: logical lines, comments, options (pip's "Requirements File Format")."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterator

_COMMENT: Final = re.compile(r"(^|\s+)#.*$")
_PER_REQUIREMENT: Final = re.compile(r"\s+(--(?:hash|config-settings?|global-option)\b.*)$")
_ALIASES: Final = {
    "-r": "--requirement",
    "-c": "--constraint",
    "-e": "--editable",
    "-i": "--index-url",
    "--pypi-url": "--index-url",
    "-f": "--find-links",
}
_WITH_VALUE: Final = frozenset(
    {
        "--requirement", "--constraint", "--editable", "--index-url", "--extra-index-url", "--find-links",
        "--no-binary", "--only-binary", "--trusted-host", "--use-feature", "--all-releases", "--only-final",
    }
)  # fmt: skip
_FLAGS: Final = frozenset({"--no-index", "--pre", "--prefer-binary", "--require-hashes", "--no-require-hashes"})
_USERINFO: Final = re.compile(r"(?<=://)[^/@\s]*@")
_PATHLIKE: Final = re.compile(r"(\.{0,2}/|file:|~)|[^\s=<>!~;]*\.(whl|zip|tar\.gz|tgz|tar\.bz2|tar\.xz)(\[|\s|;|$)")


class LineError(ValueError):
    """A line pip could not use either; the text says why."""


@dataclass(frozen=True, slots=True)
class Option:
    """An option line: its long name and its value, "" for a flag."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """A requirement line: canonical text, and the local path or ``file:`` URL it names, if any."""

    text: str
    local: str | None = None


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield (number of the first physical line, text) with continuations joined, comments and blank lines gone."""
    pending, started = "", 0
    for number, line in enumerate(text.splitlines(), start=1):
        comment = bool(_COMMENT.match(line))
        started = started if pending else number
        if line.endswith("\\") and not comment:
            pending += line[:-1]
            continue
        # A comment ends a continued line, as pip has it.
        whole, pending = pending + (" " + line if comment and pending else line), ""
        if stripped := _COMMENT.sub("", whole).strip():
            yield started, stripped
    if stripped := _COMMENT.sub("", pending).strip():
        yield started, stripped


def parse(line: str) -> Option | Wanted:
    """Return what a logical line says.

    :raises LineError: when it is neither an option pip allows in a file nor a requirement (PEP 508, path or URL)
    """
    return _option(line) if line.startswith("-") else _wanted(line)


def without_userinfo(text: str) -> str:
    """Return ``text`` with user and password taken out of every URL: a secret never leaves the process."""
    return _USERINFO.sub("", text)


def _option(line: str) -> Option:
    try:
        words = shlex.split(line, comments=False)
    except ValueError as error:
        msg = f"the quotes do not match: {error}"
        raise LineError(msg) from None
    name, equals, value = words[0].partition("=")
    if not name.startswith("--") and len(name) > 2:  # noqa: PLR2004
        name, value, equals = name[:2], name[2:] + equals + value, "="
    name = _ALIASES.get(name, name)
    rest = words[1:]
    if name in _FLAGS:
        return Option(name, "")
    if name not in _WITH_VALUE:
        msg = f"{name} is not an option of requirements files"
        raise LineError(msg)
    if not equals:
        if not rest:
            msg = f"{name} lacks its value"
            raise LineError(msg)
        value = rest[0]
    return Option(name, value)


def _wanted(line: str) -> Wanted:
    match = _PER_REQUIREMENT.search(line)
    options = " " + " ".join(sorted(set(match[1].split()))) if match else ""
    text = line[: match.start()] if match else line
    if _PATHLIKE.match(text) and "://" not in text.removeprefix("file://"):
        return Wanted(text + options, re.split(r"\s*;\s|\[|\s", text)[0])
    if re.match(r"[a-z0-9+.-]+://", text, re.IGNORECASE):
        return Wanted(without_userinfo(text) + options)
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        msg = str(error).splitlines()[0]
        raise LineError(without_userinfo(msg)) from None
    name = str(canonicalize_name(requirement.name))
    if requirement.extras:
        name += "[" + ",".join(sorted(canonicalize_name(extra) for extra in requirement.extras)) + "]"
    where = f" @ {without_userinfo(requirement.url)}" if requirement.url else str(requirement.specifier)
    marker = f" ; {requirement.marker}" if requirement.marker else ""
    local = requirement.url if requirement.url and requirement.url.startswith("file:") else None
    return Wanted(name + where + marker + options, local)
