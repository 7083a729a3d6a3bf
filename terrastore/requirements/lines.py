"""Requirements files as text: logical lines, comments, options (pip's "Requirements File Format")."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from terrastore.redaction import without_path_tokens
from terrastore.redaction import without_secrets as without_secrets  # noqa: PLC0414 -- for who reads lines

if TYPE_CHECKING:
    from collections.abc import Iterator

_COMMENT: Final = re.compile(r"(^|\s+)#.*$")
_PER_REQUIREMENT: Final = re.compile(r"\s+((?:--(?:hash|config-settings?|global-option)\b|-C).*)$")
_ALIASES: Final = {
    "-r": "--requirement",
    "-c": "--constraint",
    "-e": "--editable",
    "-i": "--index-url",
    "--pypi-url": "--index-url",
    "-f": "--find-links",
}
_PER_REQUIREMENT_ALIASES: Final = {"--config-setting": "--config-settings"}
_WITH_VALUE: Final = frozenset(
    {
        "--requirement",
        "--constraint",
        "--editable",
        "--index-url",
        "--extra-index-url",
        "--find-links",
        "--no-binary",
        "--only-binary",
        "--trusted-host",
        "--use-feature",
        "--all-releases",
        "--only-final",
    }
)
_FLAGS: Final = frozenset({"--no-index", "--pre", "--prefer-binary", "--require-hashes", "--no-require-hashes"})
_ARCHIVES: Final = (".whl", ".zip", ".tar.gz", ".tgz", ".tar.bz2", ".tbz", ".tar.xz", ".txz", ".tar.lzma", ".tar")
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


class LineError(ValueError):
    """A line that cannot be used; the text says why, ``hint`` what to do."""

    def __init__(
        self, message: str, hint: str = "write one requirement (PEP 508), path, URL or option on a line"
    ) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Option:
    """An option: its long name and its value, "" for a flag."""

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


def parse(line: str) -> tuple[Option, ...] | Wanted:
    """Return what a logical line says: options, or one requirement.

    :raises LineError: when it holds neither options that pip allows in a file nor a requirement (PEP 508, path or URL)
    """
    return tuple(_options(line)) if line.startswith("-") else _wanted(line)


def is_url(text: str) -> bool:
    """Whether ``text`` is a URL of something that is not on this machine's disk."""
    return bool(_URL.match(text)) and not is_file_url(text)


def is_file_url(text: str) -> bool:
    """Whether ``text`` is a URL of something on this machine's disk (RFC 8089)."""
    return text[:5].lower() == "file:"


def index_identity(url: str) -> str:
    """Return what tells one index from another: its URL without user, password, query and fragment."""
    return without_path_tokens(re.split(r"[?#]", without_secrets(url))[0])


def _options(line: str) -> Iterator[Option]:
    try:
        words = iter(shlex.split(line, comments=False))
    except ValueError as error:
        msg = f"the quotes do not match: {error}"
        raise LineError(msg) from None
    for word in words:
        if not word.startswith("-"):
            msg = f"{without_secrets(word)} stands behind an option that takes no value"
            raise LineError(msg)
        name, equals, value = word.partition("=")
        if not name.startswith("--") and len(name) > 2:  # noqa: PLR2004 -- a value glued to a short option
            name, value, equals = word[:2], word[2:], "="
        name = _ALIASES.get(name, name)
        if name in _FLAGS:
            yield Option(name, "")
        elif name in _WITH_VALUE:
            found = value if equals else next(words, None)
            if found is None:
                msg = f"{name} lacks its value"
                raise LineError(msg)
            yield Option(name, found)
        else:
            msg = f"{without_secrets(name)} is not an option of requirements files"
            raise LineError(msg)


def _wanted(line: str) -> Wanted:
    match = _PER_REQUIREMENT.search(line)
    text = line[: match.start()] if match else line
    options = "".join(f" {option}" for option in _per_requirement(match[1])) if match else ""
    head = re.split(r"[\s;\[]", text)[0]
    if is_file_url(head):
        return Wanted(without_secrets(text) + options, without_secrets(head))
    if not is_url(head) and (head.startswith((".", "~")) or "/" in head.partition("@")[0] or _is_archive(head)):
        return Wanted(text + options, head)
    if is_url(head):
        return Wanted(without_secrets(text) + options)
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        msg = str(error).splitlines()[0]
        raise LineError(without_secrets(msg)) from None
    name = str(canonicalize_name(requirement.name))
    if requirement.extras:
        name += "[" + ",".join(sorted({canonicalize_name(extra) for extra in requirement.extras})) + "]"
    where = f" @ {without_secrets(requirement.url)}" if requirement.url else str(requirement.specifier)
    marker = f" ; {requirement.marker}" if requirement.marker else ""
    local = requirement.url if requirement.url and is_file_url(requirement.url) else None
    return Wanted(name + where + marker + options, local and without_secrets(local))


def _is_archive(head: str) -> bool:
    return head.lower().endswith(_ARCHIVES) and not re.search(r"[=<>!~@]", head)


def _per_requirement(text: str) -> list[str]:
    """Return a requirement's own options, each as ``--name=value``: settings in their order, then hashes sorted.

    :raises LineError: when quotes do not match
    """
    try:
        words = iter(shlex.split(text))
    except ValueError as error:
        msg = f"the quotes do not match: {error}"
        raise LineError(msg) from None
    found = []
    for word in words:
        name, equals, value = word.partition("=")
        if word.startswith("-C"):
            name, equals, value = "--config-settings", word[2:], word[2:].removeprefix("=")
        value = value if equals else next(words, "")
        found.append(f"{_PER_REQUIREMENT_ALIASES.get(name, name)}={shlex.quote(value)}")
    hashes = {option for option in found if option.startswith("--hash=")}
    return [*(option for option in found if option not in hashes), *sorted(hashes)]
