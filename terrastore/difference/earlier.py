"""Documents by the rules of schema 1, as far as they can be compared with later ones.

Schema 1 kept markers and spellings of versions, named local files by path, and had ``local``, ``options`` and
``machine`` for their digests and for what shapes resolution.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from packaging.markers import InvalidMarker, Marker, UndefinedComparison, UndefinedEnvironmentName
from packaging.utils import canonicalize_version

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Document = Mapping[str, Any]

_CURRENT: Final = 2
_VERSION: Final = re.compile(r"(?<![=<>!~])(==|!=|<=|>=|<|>)([^,*;\s=]+)(?=,|$)")
_OPTIONS: Final = re.compile(r"\s--(?:hash|config-settings|global-option)=")
_ARCHIVE: Final = re.compile(r".*\.(whl|zip|tar(\.[a-z0-9]+)?|t[a-z]z)", re.IGNORECASE)


def comparable(document: Document) -> Document:
    """Return a document whose requirements and constraints are as those of the current schema are."""
    schema = document.get("schema")
    if not isinstance(schema, int) or schema >= _CURRENT:
        return document
    environment = _environment(document)
    local = document.get("local")
    digests = local if isinstance(local, dict) else {}
    return {
        **document,
        **{
            name: sorted({each for line in _texts(document, name) for each in _line(line, environment, digests)})
            for name in ("requirements", "constraints")
        },
    }


def _texts(document: Document, name: str) -> list[str]:
    value = document.get(name)
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _line(line: str, environment: dict[str, str], digests: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a line is now: nothing where its marker is false."""
    match = _OPTIONS.search(line)
    head, options = (line[: match.start()], line[match.start() :]) if match else (line, "")
    head, separator, marker = head.partition(" ; ")
    if separator and (holds := _evaluated(marker, environment)) is not None:
        if not holds:
            return
        separator = marker = ""
    yield _place(head, digests) + separator + marker + options


def _evaluated(marker: str, environment: dict[str, str]) -> bool | None:
    try:
        return Marker(marker).evaluate(environment)
    except (InvalidMarker, UndefinedComparison, UndefinedEnvironmentName, ValueError):
        return None


def _place(head: str, digests: Mapping[str, Any]) -> str:
    """Return a requirement with its versions canonical; what a path names, by its content where that was a file's."""
    name, at, reference = head.partition(" @ ")
    path = reference if at else head
    if path[:5].lower() == "file:":
        path = unquote(urlsplit(path).path)
    digest = digests.get(path)
    if isinstance(digest, str):
        file = posixpath.basename(path.rstrip("/"))
        if _ARCHIVE.fullmatch(file):
            return f"{file} @ sha256:{digest}"
        # The digest of a directory is made by other rules now.
        return f"{name if at else file} @ sha256:"
    return head if at else _VERSION.sub(lambda found: found[1] + canonicalize_version(found[2]), head)


def _environment(document: Document) -> dict[str, str]:
    """Return what markers are judged by (PEP 508), as far as a document knows it."""
    parts: list[Mapping[str, Any]] = []
    for name in ("interpreter", "host"):
        value = document.get(name)
        parts.append(value if isinstance(value, dict) else {})
    interpreter, host = parts
    version = str(interpreter.get("version", ""))
    known = {
        "python_full_version": version,
        "python_version": ".".join(re.findall(r"\d+", version)[:2]),
        "implementation_version": version,
        "implementation_name": str(interpreter.get("implementation", "")),
        "platform_machine": str(host.get("machine", "")),
        "sys_platform": str(host.get("system", "")),
        "platform_system": str(host.get("system", "")).capitalize(),
    }
    return {name: value for name, value in known.items() if value}
