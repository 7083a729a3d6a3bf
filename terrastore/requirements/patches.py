"""What is decided otherwise under another patch version of the same Python: markers, and what a project is for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, cast

from packaging.markers import Marker, UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_PATCHES: Final = range(100)
"""No Python ever had as many; versions in between decide like one of these, or never come."""
_OPTIONS: Final = re.compile(r"\s--\w.*$")


def parsed(line: str) -> Requirement | None:
    """Return the requirement (PEP 508) in a line, None for a path, a URL alone, or what cannot be read."""
    try:
        return Requirement(_OPTIONS.sub("", line))
    except InvalidRequirement:
        return None


def extras_asked_for(lines: Iterable[str]) -> dict[str, set[str]]:
    """Return the extras that requirements ask for, by normalised name."""
    found: dict[str, set[str]] = {}
    for requirement in filter(None, map(parsed, lines)):
        found.setdefault(str(canonicalize_name(requirement.name)), set()).update(requirement.extras)
    return found


def dependent_lines(lines: Iterable[str], series: tuple[int, ...], extras: Iterable[str] = ()) -> Iterator[str]:
    """Yield the requirements whose marker some patch versions of ``series`` (major, minor) answer otherwise.

    ``extras`` are those that count besides none.
    """
    for line in lines:
        requirement = parsed(line)
        if requirement is not None and requirement.marker is not None:
            answers = {tuple(_answers(requirement.marker, version, extras)) for version in _versions(series)}
            if len(answers) > 1:
                yield str(requirement)


def is_dependent(requires_python: str, series: tuple[int, ...]) -> bool:
    """Whether a ``Requires-Python`` admits some patch versions of ``series`` alone; what cannot be read admits all."""
    try:
        specifiers = SpecifierSet(requires_python)
    except InvalidSpecifier:
        return False
    return len({specifiers.contains(version, prereleases=True) for version in _versions(series)}) > 1


def _answers(marker: Marker, version: str, extras: Iterable[str]) -> Iterator[bool | None]:
    for extra in ("", *sorted(extras)):
        environment: dict[str, Any] = {
            "extra": extra,
            "implementation_name": "cpython",
            "implementation_version": version,
            "platform_python_implementation": "CPython",
            "python_full_version": version,
            "python_version": version.rpartition(".")[0],
        }
        try:
            yield marker.evaluate(cast("dict[str, str]", environment))
        except (UndefinedComparison, UndefinedEnvironmentName):
            yield None


def _versions(series: tuple[int, ...]) -> Iterator[str]:
    return (".".join(map(str, (*series, patch))) for patch in _PATCHES)
