"""One logical line of a requirements file: what pip takes it for, and the one way to write that.

The rules are those of pip's own parser: a line is a requirement, with options of its own behind it, or options alone.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from terrastore.names import normalised
from terrastore.redaction import without_path_tokens, without_secrets
from terrastore.requirements.specifiers import canonical_specifiers, canonical_version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from packaging.markers import Marker

_SHORT: Final = {
    "-r": "--requirement",
    "-c": "--constraint",
    "-e": "--editable",
    "-i": "--index-url",
    "-f": "--find-links",
    "-C": "--config-settings",
}
_WITH_VALUE: Final = (
    "--all-releases",
    "--config-settings",
    "--constraint",
    "--editable",
    "--extra-index-url",
    "--find-links",
    "--global-option",
    "--hash",
    "--index-url",
    "--no-binary",
    "--only-binary",
    "--only-final",
    "--requirement",
    "--trusted-host",
    "--use-feature",
)
_FLAGS: Final = ("--no-index", "--no-require-hashes", "--pre", "--prefer-binary", "--require-hashes")
_OTHER_NAMES: Final = {"--pypi-url": "--index-url"}
_NAMES: Final = (*_WITH_VALUE, *_FLAGS, *_OTHER_NAMES)
_PER_REQUIREMENT: Final = frozenset({"--config-settings", "--global-option", "--hash"})
# pip hears these while it takes a line apart, whatever the line is.
_EVERYWHERE: Final = frozenset({"--all-releases", "--no-binary", "--only-binary", "--only-final"})
_INCLUDES: Final = ("--requirement", "--constraint")
_TURNS: Final = {
    "--no-index": 1, "--index-url": 2, "--extra-index-url": 3, "--pre": 4, "--requirement": 5, "--constraint": 5,
}  # fmt: skip
_ARCHIVES: Final = (
    ".whl", ".zip", ".tar.gz", ".tgz", ".tar.bz2", ".tbz", ".tar.xz", ".txz", ".tar.lz", ".tlz", ".tar.lzma", ".tar",
)  # fmt: skip
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
# Most lines of most files are one of these, and need no parser.
_PIN: Final = re.compile(
    r"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)==([0-9]+(?:\.[0-9]+)*(?:\.post[0-9]+)?)", re.ASCII
)
_HASHES: Final = r"(?:--hash=[a-z0-9]+:[0-9a-f]+(?: +|$))+"
_NAMED_URL: Final = r"(?ia)[a-z0-9][a-z0-9._-]*\s*(?:\[([^\]]*)\])?\s*@\s*(?=[a-z+]+:)"
_EXTRAS: Final = r"(.+?)\s*\[([^\]]*)\]"
_EXACT: Final = re.compile(r"===?[^*]+")
_VCS: Final = r"(?i)(?:git|hg|svn|bzr)\+"
_FRAGMENTS: Final = r"(?:sha1|sha224|sha384|sha256|sha512|md5|subdirectory)="


class LineError(ValueError):
    """A line that cannot be used; the text says why, ``hint`` what to do."""

    def __init__(
        self, message: str, hint: str = "write one requirement (PEP 508), path, URL or option on a line"
    ) -> None:
        super().__init__(message)
        self.hint = hint


class Option(NamedTuple):
    """An option: its long name and its value, "" for a flag."""

    name: str
    value: str = ""

    def __str__(self) -> str:
        return f"{self.name} {_quoted(self.value)}" if self.value else self.name


class Wanted(NamedTuple):
    """What a requirement asks for, without secrets.

    ``name`` is normalised (PEP 503), "" when nothing says it; ``extras`` are sorted; ``specifiers`` canonical;
    ``url`` is where it is from, "" for an index; ``local`` the path or ``file:`` URL of something on this machine,
    ``file_name`` that of an archive there; ``options`` its own ones, hashes last and sorted.
    """

    name: str = ""
    extras: tuple[str, ...] = ()
    specifiers: str = ""
    url: str = ""
    local: str | None = None
    marker: Marker | None = None
    options: tuple[str, ...] = ()

    @property
    def has_hash(self) -> bool:
        """Whether it says by hash which files will do."""
        return bool(self.options) and self.options[-1].startswith("--hash=")

    @property
    def is_pinned(self) -> bool:
        """Whether it names one version, one commit, or something by its content."""
        if self.url and self.local is None and re.match(_VCS, self.url):
            return _names_commit(self.url)
        return bool(self.url or self.local) or any(map(_EXACT.fullmatch, self.specifiers.split(",")))

    def applies(self, environment: Mapping[str, str]) -> bool:
        """Whether its marker is true in an environment (PEP 508), as it is without one.

        :raises LineError: when the marker compares what cannot be compared
        """
        if self.marker is None:
            return True
        try:
            return self.marker.evaluate(dict(environment))
        except (ValueError, LookupError) as error:
            msg = f"its marker cannot be evaluated: {str(error).partition(chr(10))[0]}"
            raise LineError(msg, hint="correct what stands behind the semicolon") from None

    def canonical(self, content: str | None = None) -> str:
        """Return the one line that says this, without its marker.

        :param content: the SHA-256 of what ``local`` leads to: it counts, and not where it stands
        """
        extras = f"[{','.join(self.extras)}]" if self.extras else ""
        if self.local is None:
            head = f"{self.name}{extras}" + (f" @ {self.url}" if self.url else self.specifiers)
            head = head.removeprefix(" @ ")
        else:
            head = f"{self.name or _file_name(as_path(self.local)) or 'directory'}{extras} @ {content or self.local}"
        return " ".join((head, *self.options))


class Editable(NamedTuple):
    """What is to be installed so that it can be edited: ``text`` as pip takes it, without secrets.

    ``local`` is the directory of a project on this machine, None for a repository.
    """

    text: str
    local: str | None
    extras: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    @property
    def directory(self) -> str:
        """The project's directory, absolute.

        :raises LineError: when ``local`` is no path
        """
        return os.path.abspath(as_path(self.local or ""))

    @property
    def is_pinned(self) -> bool:
        """Whether it is what is on this machine, or names one commit."""
        return self.local is not None or _names_commit(self.text)


class Line(NamedTuple):
    """What a line says: a requirement or not, and options.

    ``own`` is the requirement as it is written, options of its own included; ``ignored`` are words that pip reads and
    then does nothing with. ``is_opaque``: it has an option that nobody here knows, and ``own`` is the whole line.
    """

    wanted: Wanted | Editable | None = None
    own: str = ""
    options: tuple[Option, ...] = ()
    ignored: tuple[str, ...] = ()
    is_opaque: bool = False


def parse(line: str) -> Line:
    """Return what a logical line says.

    :raises LineError: when it holds neither options that pip allows in a file nor a requirement (PEP 508, path or URL)
    """
    # A shell would have done that; an installer does not.
    line = os.path.expanduser(line) if line.startswith("~") else line
    # As pip has it, what does not begin with a dash is no option, and is not taken apart like a shell's line.
    text, dash, rest = ("", "-", line[1:]) if line.startswith("-") else line.partition(" -")
    if not dash:
        return Line(wanted=_wanted(line), own=line)
    text, behind = text.rstrip(), f"-{rest}"
    if text and re.fullmatch(_HASHES, behind):
        hashes = tuple(sorted(set(behind.split())))
        return Line(wanted=_wanted(text)._replace(options=hashes), own=line)
    try:
        options, ignored = _options(behind)
    except _UnknownOptionError:
        return Line(own=line, is_opaque=True)
    return _requirement(text, options, ignored) if text else _alone(options, ignored)


def is_url(text: str) -> bool:
    """Whether ``text`` is a URL of something that is not on this machine's disk."""
    return bool(_URL.match(text)) and not is_file_url(text)


def is_file_url(text: str) -> bool:
    """Whether ``text`` is a URL of something on this machine's disk (RFC 8089)."""
    return text[:5].lower() == "file:"


def index_identity(url: str) -> str:
    """Return what tells one index from another: its URL without user, password, query and fragment."""
    return without_path_tokens(re.split(r"[?#]", without_secrets(url))[0])


def as_path(local: str) -> str:
    """Return the path that a ``file:`` URL or a path names.

    :raises LineError: when it is neither
    """
    if not is_file_url(local):
        return os.path.expanduser(local)
    from urllib.parse import unquote, urlsplit  # noqa: PLC0415 -- few paths are URLs

    try:
        return unquote(urlsplit(local).path)
    except ValueError:
        msg = f"{without_secrets(local)} is no URL"
        raise LineError(msg) from None


class _UnknownOptionError(Exception):
    pass


def _requirement(text: str, options: list[Option], ignored: list[str]) -> Line:
    """Return a requirement with options of its own."""
    if any(each.name == "--editable" for each in options):
        msg = "pip would take the requirement for what is to be edited, and nothing behind -e"
        raise LineError(msg, hint="write -e and its project on a line of its own")
    own = [each for each in options if each.name in _PER_REQUIREMENT]
    heard = tuple(each for each in options if each.name in _EVERYWHERE)
    ignored = [str(each) for each in options if each not in own and each not in heard] + ignored
    wanted = _wanted(text)._replace(options=_own_options(own))
    return Line(wanted=wanted, own=" ".join((text, *map(_said, own))), options=heard, ignored=tuple(ignored))


def _alone(options: list[Option], ignored: list[str]) -> Line:
    """Return a line of options alone, of which pip hears some once, and others not beside an include or ``-e``."""
    chief = next(
        (each for name in ("--editable", *_INCLUDES) for each in options if each.name == name),
        None,
    )
    heard, seen = list[Option](), set[str]()
    for option in options:
        once = option.name == "--find-links" and option.name in seen
        seen.add(option.name)
        is_heard = option.name in _EVERYWHERE or (chief is None and not once and option.name not in _PER_REQUIREMENT)
        if is_heard or option is chief:
            heard.append(option)
        elif option.name != "--config-settings" or chief is None or chief.name != "--editable":
            ignored.append(str(option))
    # pip does not hear them in the line's order.
    heard.sort(key=lambda each: _TURNS.get(each.name, 0))
    if chief is None or chief.name != "--editable":
        return Line(options=tuple(heard), ignored=tuple(ignored))
    own = [each for each in options if each.name == "--config-settings"]
    heard.remove(chief)
    chief = Option(chief.name, os.path.expanduser(chief.value))
    editable = _editable(chief.value)._replace(options=_own_options(own))
    said = " ".join((f"-e {_quoted(chief.value)}", *map(_said, own)))
    return Line(wanted=editable, own=said, options=tuple(heard), ignored=tuple(ignored))


def _options(text: str) -> tuple[list[Option], list[str]]:
    """Return the options in ``text``, and the words that stand behind ones that take no value.

    An option's name may be cut short, as optparse allows.
    """
    import shlex  # noqa: PLC0415 -- most lines have no options

    try:
        words = iter(shlex.split(text, comments=False))
    except ValueError as error:
        msg = f"the quotes do not match: {error}"
        raise LineError(msg) from None
    found, ignored = list[Option](), list[str]()
    for word in words:
        if not word.startswith("-") or word == "-":
            ignored.append(word)
            continue
        if word == "--":
            ignored += words
            break
        name, equals, value = word.partition("=")
        if not name.startswith("--"):
            name, value, equals = word[:2], word[2:], word[2:]
        name = _full_name(name)
        if name in _FLAGS and equals:
            msg = f"{name} takes no value"
            raise LineError(msg)
        if name in _WITH_VALUE:
            given = value if equals else next(words, None)
            if not given:
                msg = f"{name} lacks its value"
                raise LineError(msg)
            value = given
        found.append(Option(name, value))
    return found, ignored


def _full_name(name: str) -> str:
    if not name.startswith("--"):
        if name in _SHORT:
            return _SHORT[name]
        msg = f"{without_secrets(name)} is not an option of requirements files"
        raise LineError(msg)
    meant = [name] if name in _NAMES else [each for each in _NAMES if each.startswith(name)]
    if len(meant) > 1:
        msg = f"{name} may be any of {', '.join(sorted(meant))}"
        raise LineError(msg, hint="write the option's whole name")
    if not meant:
        raise _UnknownOptionError
    return _OTHER_NAMES.get(meant[0], meant[0])


def _own_options(options: list[Option]) -> tuple[str, ...]:
    """Return a requirement's own options: settings in their order, then hashes, each once and sorted."""
    hashes = {f"--hash={each.value}" for each in options if each.name == "--hash"}
    return (*(_said(each) for each in options if each.name != "--hash"), *sorted(hashes))


def _said(option: Option) -> str:
    return f"{option.name}={_quoted(option.value)}"


def _quoted(value: str) -> str:
    """Return a value as a word of a line; a hash behind white space would begin a comment, quoted or not."""
    import shlex  # noqa: PLC0415 -- see _options

    return re.sub(r"(\s)#", r"\1'\#'", shlex.quote(value))


def _editable(text: str) -> Editable:
    named = re.match(_NAMED_URL, text)
    url = text[named.end() :] if named else text
    if re.match(_VCS, url):
        return Editable(text=without_secrets(text), local=None)
    if named and is_file_url(url):
        place = url.partition(" ;")[0].partition("; ")[0].strip()
        extras = _sorted_extras(named[1] or "")
        return Editable(text=without_secrets(text), local=without_secrets(place), extras=extras)
    match = re.fullmatch(_EXTRAS, text)
    place, extras = (match[1], _sorted_extras(match[2])) if match else (text, ())
    if is_url(place):
        msg = "only a project's directory or a repository can be edited"
        raise LineError(msg, hint="leave out -e")
    return Editable(text=without_secrets(text), local=without_secrets(place), extras=extras)


def _wanted(text: str) -> Wanted:
    """Return what a requirement without options asks for."""
    if match := _PIN.fullmatch(text):
        return Wanted(name=normalised(match[1]), specifiers=f"=={canonical_version(match[2])}")
    head, marker = text, ""
    if is_url(text) or is_file_url(text):
        head, _, marker = text.partition("; ") if "; " in text else text.partition(" ;")
    elif ";" in text:
        head, _, marker = text.partition(";")
    head = head.strip()
    if is_url(head) or is_file_url(head):
        return _from_url(head, _marker(marker))
    match = re.fullmatch(_EXTRAS, head)
    place = match[1] if match else head
    before = place.partition("@")[0]
    if "://" in before:
        return _named(text)
    if before.startswith((".", "~")) or "/" in before or (_is_archive(place) and not re.search(r"[=<>!@]", place)):
        extras = _sorted_extras(match[2]) if match else ()
        return Wanted(local=place, extras=extras, marker=_marker(marker))
    return _named(text if marker.strip() else head)


def _named(text: str) -> Wanted:
    from packaging.requirements import InvalidRequirement, Requirement  # noqa: PLC0415 -- most lines are pins

    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        msg = str(error).splitlines()[0]
        raise LineError(without_secrets(msg)) from None
    wanted = Wanted(
        name=normalised(requirement.name),
        extras=tuple(sorted({normalised(extra) for extra in requirement.extras})),
        specifiers=canonical_specifiers(requirement.specifier),
        marker=requirement.marker,
    )
    if not requirement.url:
        return wanted
    if is_file_url(requirement.url):
        return wanted._replace(local=without_secrets(requirement.url))
    if not is_url(requirement.url):
        msg = "what stands behind @ is no URL"
        raise LineError(msg, hint="write NAME @ file:///…, or the path alone")
    return wanted._replace(url=_identity(requirement.url))


def _from_url(text: str, marker: Marker | None) -> Wanted:
    """Return what a URL alone asks for; ``#egg=`` or a wheel's name says what it is."""
    if is_file_url(text):
        match = re.fullmatch(_EXTRAS, text)
        place, extras = (match[1], _sorted_extras(match[2])) if match else (text, ())
        return Wanted(local=without_secrets(place.partition("#")[0]), extras=extras, marker=marker)
    said = re.search(r"[#&]egg=([^&\[]+)(?:\[([^\]]*)\])?", text)
    file_name = _file_name(index_identity(text))
    name = said[1] if said else file_name.partition("-")[0] if file_name.endswith(".whl") else ""
    extras = _sorted_extras(said[2] or "") if said else ()
    return Wanted(name=normalised(name), extras=extras, url=_identity(text), marker=marker)


def _identity(url: str) -> str:
    """Return a URL without secrets, and of its fragments only those that decide what is installed."""
    place, _, fragments = without_secrets(url).partition("#")
    kept = "&".join(sorted(each for each in fragments.split("&") if re.match(_FRAGMENTS, each)))
    return f"{place}#{kept}" if kept else place


def _marker(text: str) -> Marker | None:
    if not text.strip():
        return None
    from packaging.markers import InvalidMarker, Marker  # noqa: PLC0415 -- few paths and URLs have one

    try:
        return Marker(text)
    except InvalidMarker as error:
        msg = str(error).splitlines()[0]
        raise LineError(msg, hint="correct what stands behind the semicolon") from None


def _names_commit(url: str) -> bool:
    from terrastore.requirements.vcs import commit_of  # noqa: PLC0415 -- few lines are of repositories

    return commit_of(url) is not None


def _sorted_extras(text: str) -> tuple[str, ...]:
    return tuple(sorted({normalised(each.strip()) for each in text.split(",") if each.strip()}))


def _file_name(place: str) -> str:
    """Return the name of the archive that a path or URL leads to, "" when it is none."""
    name = place.rstrip("/").rpartition("/")[2]
    return name if _is_archive(name) else ""


def _is_archive(name: str) -> bool:
    return name.lower().endswith(_ARCHIVES)
