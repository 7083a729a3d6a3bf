"""What a build knows of logins: which texts are secret, and how git gets what must not stand among its arguments."""

from __future__ import annotations

import netrc
import os
import re
import shlex
import subprocess
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

from terrastore.redaction import Redactor, logins, path_tokens, without_secrets
from terrastore.requirements.remote import fetch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

_GIT_URL: Final = re.compile(
    r"\bgit\+(?P<scheme>https?://)(?P<login>[^/?#\s]+)@(?P<host>[^/?#\s@]+)/?(?P<path>[^?#\s;]*)", re.IGNORECASE
)
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s\"',]+")
_GIT_VERSION: Final = re.compile(r"git version (\d+)\.(\d+)")
_WITH_COUNTED_SETTINGS: Final = (2, 31)
_DEMANDING: Final = (
    re.compile(r"\b401\b.*?\b(?P<url>https?://[^\s\"'`)>,]+)"),
    re.compile(r"(?P<url>https?://[^\s\"'`)>,]+).*\b401\b"),
    re.compile(r"could not read (?:Username|Password) for '(?P<url>https?://[^\s']+)'"),
    re.compile(r"Authentication failed for '(?P<url>https?://[^\s']+)'"),
)
HINT: Final = (
    "name user and password in netrc, in a keyring (PIP_KEYRING_PROVIDER or UV_KEYRING_PROVIDER=subprocess), or as "
    "variables in the URL, https://${LOGIN}:${PASSWORD}@…"
)


def redactor_for(
    texts: Iterable[str],
    *,
    places: Iterable[str] = (),
    secrets: Iterable[str] = (),
    doubtful: Iterable[str] = (),
    variables: Mapping[str, str],
) -> Redactor:
    """Return what hides the secrets of ``texts``, ``places`` and netrc.

    ``texts`` are what an installer is told, in which a URL may hold a login; ``places`` those that say where to look,
    in which its path may. ``secrets`` and ``doubtful`` are as for :class:`~terrastore.redaction.Redactor`.
    """
    told, looked_at = [*texts], [*places]
    tokens = (token for place in looked_at for url in _URL.findall(place) for token in path_tokens(url))
    found = (login for text in (*told, *looked_at) for login in logins(text))
    return Redactor((*secrets, *tokens), (*found, *of_netrc(variables)), doubtful)


def of_netrc(variables: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return every login of the file that tools look into: what ``NETRC`` names, else ``~/.netrc``."""
    named = variables.get("NETRC")
    for path in (named,) if named else ("~/.netrc", "~/_netrc"):
        try:
            hosts = netrc.netrc(os.path.expanduser(path)).hosts
        except (OSError, ValueError, netrc.NetrcParseError):
            continue
        return tuple((quote(user), quote(password)) for user, _, password in hosts.values() if password)
    return ()


def demanded(output: Sequence[str]) -> str | None:
    """Return the URL, without secrets, that an installer's ``output`` says it was refused for want of a login."""
    for line in output:
        for pattern in _DEMANDING:
            if match := pattern.search(line):
                return without_secrets(match["url"]).rstrip(":")
    return None


def demands_login(url: str) -> bool:
    """Whether a server answers a request for ``url``, with the login there or in netrc, that it wants another one."""
    try:
        fetch(url)
    except OSError as error:
        return getattr(error, "code", None) == HTTPStatus.UNAUTHORIZED
    return False


def without_git_logins(
    files: Sequence[Sequence[str]], work: Path, variables: Mapping[str, str]
) -> tuple[list[list[str]], dict[str, str]]:
    """Return lines of requirements files without the logins of git's URLs, and the variables by which git gets them.

    Installers and git name a URL among the arguments of processes, where everybody on the machine can read it. So git
    is given the logins by a file below ``work`` (gitcredentials(7)). It cannot be told before git 2.31; then the lines
    stay as they are.
    """
    matches = [match for lines in files for line in lines for match in _GIT_URL.finditer(line)]
    if not matches or not _git_takes_counted_settings():
        return [list(lines) for lines in files], {}
    logins_of: dict[str, dict[str, str]] = {}
    for match in matches:
        # A reference stands behind the path.
        path = match["path"].rpartition("@")[0] or match["path"]
        logins_of.setdefault(match["scheme"] + match["host"], {})[path] = match["login"]
    store, settings, known = work / "git-credentials", list[tuple[str, str]](), list[str]()
    for base, by_path in logins_of.items():
        settings += _helpers(base, by_path, f"store --file={shlex.quote(str(store))}")
        for path, login in by_path.items():
            user, _, password = login.partition(":")
            place = base.replace("://", f"://{user}:{password}@", 1)
            known.append(f"{place}/{path}" if _are_several(by_path) else place)
    store.touch(mode=0o600)
    store.write_text("".join(f"{url}\n" for url in known))
    return [[_GIT_URL.sub(_without_login, line) for line in lines] for lines in files], _counted(settings, variables)


def _helpers(base: str, by_path: Mapping[str, str], ours: str) -> Iterator[tuple[str, str]]:
    """Yield git's settings for a server, by which it knows the logins ``by_path``."""
    if _are_several(by_path):
        yield f"credential.{base}.useHttpPath", "true"
    for path, login in by_path.items():
        if ":" not in login:
            # The password may be known to a helper of the user's own, which is asked first.
            yield f"credential.{base}/{path}.username", unquote(login)
    if all(":" in login for login in by_path.values()):
        yield f"credential.{base}.helper", ""
    yield f"credential.{base}.helper", ours


def _are_several(by_path: Mapping[str, str]) -> bool:
    return len({*by_path.values()}) > 1


def _without_login(match: re.Match[str]) -> str:
    return match[0].replace(f"{match['login']}@", "", 1)


def _counted(settings: Sequence[tuple[str, str]], variables: Mapping[str, str]) -> dict[str, str]:
    """Return settings as git takes them from the environment, behind those that are there already (git-config(1))."""
    said = variables.get("GIT_CONFIG_COUNT", "")
    first = int(said) if said.isdecimal() else 0
    found = {"GIT_CONFIG_COUNT": str(first + len(settings))}
    for number, (name, value) in enumerate(settings, start=first):
        found |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return found


def _git_takes_counted_settings() -> bool:
    try:
        said = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True, timeout=30)  # noqa: S607
    except (OSError, subprocess.SubprocessError):
        return False
    match = _GIT_VERSION.search(said.stdout)
    return match is not None and (int(match[1]), int(match[2])) >= _WITH_COUNTED_SETTINGS
