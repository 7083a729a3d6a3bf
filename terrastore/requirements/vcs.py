"""VCS references: ``git+https://host/path@ref#subdirectory=…`` and the like (pip's "VCS Support")."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

from terrastore.redaction import without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator

# The URL may stand alone, or behind "name @ ", "-e " or "--editable=".
_REFERENCE: Final = re.compile(r"(?:^|[\s=@])((?:git|hg|svn|bzr)\+\S+)", re.IGNORECASE)
_URL: Final = re.compile(
    r"(?P<system>git|hg|svn|bzr)\+(?P<transport>[a-z][a-z-]*)://"
    r"(?P<place>[^/?#]*)(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?:#(?P<fragment>.*))?",
    re.IGNORECASE | re.DOTALL,
)
_SCP: Final = re.compile(r"git\+(?P<place>[^/:@\s]+@[^/:\s]+):(?P<path>.*)", re.IGNORECASE | re.DOTALL)
# SHA-1 and SHA-256 of git; Mercurial's node; a number is never another revision in Subversion, but may be in Bazaar.
_FIXED: Final = {
    "git": re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}"),
    "hg": re.compile(r"[0-9a-f]{40}"),
    "svn": re.compile(r"r?[0-9]+"),
    "bzr": re.compile(r"revid:.+"),
}
_HEXADECIMAL: Final = frozenset({"git", "hg"})
_PORTS: Final = {"https": "443", "http": "80", "ssh": "22", "git": "9418", "svn": "3690"}
_IN_A_REF: Final = "/:~!$&'()*+,;={}"
# The last is uv's: whether files of Git LFS are fetched.
_FRAGMENTS: Final = ("egg", "subdirectory", "lfs")


def commit_of(line: str) -> str | None:
    """Return the commit that a VCS URL, or a requirement line with one, is fixed to; None when it may move.

    That is a full commit of git (40 or 64 hexadecimal digits) or Mercurial (40), lower case; a revision number of
    Subversion; ``revid:…`` of Bazaar, where a number may come to mean another revision. Branches, tags and short
    commits may move. A line without a VCS URL has none.
    """
    if (match := _parsed(line)) is None:
        return None
    system = match["system"].lower()
    _, ref = _path_and_ref(match["path"])
    commit = _canonical(system, ref)
    return commit if _FIXED[system].fullmatch(commit) else None


def identity(line: str) -> str:
    """Return the VCS URL in ``line`` as what tells one project from another, without credentials.

    Scheme and host in lower case, a default port gone, path, ref, and of the fragments ``egg``, ``subdirectory`` and
    ``lfs``. No user either: ``git@`` too decides who reads, not what. A query stays without its tokens.

    :raises ValueError: when there is no VCS URL in it
    """
    if (match := _parsed(line)) is None:
        raise ValueError(f"{without_secrets(line)} is no VCS URL")
    system, transport = match["system"].lower(), match["transport"].lower()
    host, colon, port = match["place"].rpartition("@")[2].lower().partition(":")
    if colon and port and port != _PORTS.get(transport):
        host += f":{port}"
    path, ref = _path_and_ref(match["path"])
    at = f"@{quote(_canonical(system, ref), safe=_IN_A_REF)}" if ref else ""
    query = "&".join(_without_tokens(match["query"] or ""))
    fragment = "&".join(_fragments(match["fragment"] or ""))
    return f"{system}+{transport}://{host}{path}{at}{query and '?' + query}{fragment and '#' + fragment}"


def _parsed(line: str) -> re.Match[str] | None:
    if (found := _REFERENCE.search(line)) is None:
        return None
    # A marker may follow (PEP 508: behind a space).
    url = found[1].removesuffix(";")
    if scp := _SCP.fullmatch(url):
        url = f"git+ssh://{scp['place']}/{scp['path']}"
    return _URL.fullmatch(url)


def _path_and_ref(path: str) -> tuple[str, str]:
    before, at, ref = path.rpartition("@")
    return (before, unquote(ref)) if at else (path, "")


def _canonical(system: str, ref: str) -> str:
    lower = ref.lower()
    return lower if system in _HEXADECIMAL and _FIXED[system].fullmatch(lower) else ref


def _without_tokens(query: str) -> Iterator[str]:
    return (part for part in query.split("&") if part and without_secrets(f"?{part}") == f"?{part}")


def _fragments(fragment: str) -> Iterator[str]:
    said = dict(part.partition("=")[::2] for part in reversed(fragment.split("&")))
    return (f"{name}={said[name]}" for name in _FRAGMENTS if name in said)
