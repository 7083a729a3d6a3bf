"""Projects, ``pyproject.toml``, as lines of a requirements file (PEP 621 and PEP 735)."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any, Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from terrastore.errors import RequirementsError
from terrastore.redaction import without_secrets
from terrastore.requirements.file_urls import file_url
from terrastore.requirements.pylock import check_python, named, told
from terrastore.requirements.toml import parsed, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from terrastore.requirements.target import Target

_MEND: Final = "mend it"
_NO_PROJECT: Final = "name a requirements file, or say what it needs in [project]"
_POETRY: Final = "run poetry export -f requirements.txt -o requirements.txt, of poetry-plugin-export"
_DYNAMIC: Final = "install the project itself with a line . in a requirements file: its build says what it needs"
_SOURCES: Final = "run uv lock and name uv.lock, or name its requirements in a requirements file"


def project_lines(
    path: str, data: bytes, *, target: Target, extras: Sequence[str] = (), groups: Sequence[str] = ()
) -> list[str]:
    """Return what a project needs: its dependencies, those of ``extras`` and those of dependency ``groups``.

    :raises RequirementsError: for a file that is broken or is for another Python, and where only a build or another
        tool knows what is needed
    """
    document = parsed(path, data)
    project = table(path, document, "project")
    if not project and not groups:
        poetry = "poetry" in table(path, document, "tool")
        raise RequirementsError(f"{path} has no [project]", hint=_POETRY if poetry else _NO_PROJECT)
    if project:
        _check_static(path, document, extras)
        check_python(path, _wanted_python(path, project), target)
    found = [*_dependencies(path, project, extras, target), *group_requirements(path, document, groups)]
    _check_sources(path, document, found)
    return [str(each) for each in dict.fromkeys(found)]


def line_of(path: str, data: bytes, extras: Sequence[str] = ()) -> str:
    """Return the line that installs the project of a ``pyproject.toml`` itself.

    :raises RequirementsError: when that is no TOML
    """
    name = table(path, parsed(path, data), "project").get("name")
    chosen = ",".join(sorted(set(map(canonicalize_name, extras))))
    behind = f"[{chosen}]" if chosen else ""
    if isinstance(name, str):
        return f"{canonicalize_name(name)}{behind} @ {file_url(path, '.')}"
    return f"{posixpath.join('.', posixpath.dirname(path))}{behind}"


def group_requirements(path: str, document: dict[str, Any], groups: Sequence[str]) -> list[Requirement]:
    """Return what dependency groups list, with those that they include (PEP 735).

    :raises RequirementsError: for a group that is not there, is broken, or includes itself
    """
    if not groups:
        return []
    from packaging.dependency_groups import DependencyGroupResolver  # noqa: PLC0415 -- few name groups

    said = table(path, document, "dependency-groups")
    names = named(path, "group", groups, said)
    try:
        resolver = DependencyGroupResolver(said)
        return [each for name in names for each in resolver.resolve(name)]
    except ExceptionGroup as error:
        raise RequirementsError(
            f"{path}: dependency groups are broken: {told(error.exceptions[0])}", hint=_MEND
        ) from None


def declared(path: str, project: Mapping[str, Any], field: str = "dependencies") -> list[Requirement]:
    """Return a list of requirements of ``[project]`` or of ``[project.optional-dependencies]``.

    :raises RequirementsError: when it is no list, or not of requirements
    """
    said = project.get(field, [])
    if not isinstance(said, list):
        raise RequirementsError(f"{path}: {field} is no list of requirements", hint=_MEND)
    return [_requirement(path, field, each) for each in said]


def optional(path: str, project: dict[str, Any]) -> dict[str, list[Requirement]]:
    """Return what each extra needs, by its normalised name.

    :raises RequirementsError: when that is no table of lists of requirements, or two names are one (PEP 685)
    """
    said = table(path, {"project": project}, "project", "optional-dependencies")
    found = {str(canonicalize_name(extra)): declared(path, said, extra) for extra in said}
    if len(found) < len(said):
        raise RequirementsError(f"{path}: two of its extras have one name when it is normalised", hint="rename one")
    return found


def _check_static(path: str, document: dict[str, Any], extras: Sequence[str]) -> None:
    """See that the file itself says what is asked of it."""
    project = table(path, document, "project")
    dynamic = project.get("dynamic", ())
    asked = ("dependencies", "optional-dependencies") if extras else ("dependencies",)
    for field in asked:
        if field in dynamic:
            poetry = "dependencies" in table(path, document, "tool", "poetry")
            raise RequirementsError(
                f"{path} does not say what it needs: {field} is dynamic", hint=_POETRY if poetry else _DYNAMIC
            )


def _check_sources(path: str, document: dict[str, Any], found: Iterable[Requirement]) -> None:
    """See that nothing comes from elsewhere than its line says: an index may have another project of that name."""
    sources = {canonicalize_name(name) for name in table(path, document, "tool", "uv", "sources")}
    for each in found:
        if canonicalize_name(each.name) in sources:
            raise RequirementsError(
                f"{path}: where {each.name} comes from is said in tool.uv.sources, which is for uv alone", hint=_SOURCES
            )


def _wanted_python(path: str, project: Mapping[str, Any]) -> SpecifierSet | None:
    said = project.get("requires-python")
    if said is None:
        return None
    try:
        return SpecifierSet(said)
    except (InvalidSpecifier, TypeError, AttributeError):
        raise RequirementsError(f"{path}: requires-python is no version specifier: {said!r}", hint=_MEND) from None


def _dependencies(path: str, project: dict[str, Any], extras: Sequence[str], target: Target) -> Iterator[Requirement]:
    """Yield the dependencies, and those of extras; an extra may name others of the same project."""
    own = project.get("name")
    own = canonicalize_name(own) if isinstance(own, str) else None
    known = optional(path, project) if extras else {}
    wanted = named(path, "extra", extras, known)
    yield from declared(path, project)
    for extra in wanted:  # grows while it is gone through
        for each in known[extra]:
            if canonicalize_name(each.name) != own:
                yield each
            elif each.marker is None or each.marker.evaluate(dict(target.markers) | {"extra": extra}):
                wanted += [name for name in named(path, "extra", sorted(each.extras), known) if name not in wanted]


def _requirement(path: str, field: str, said: Any) -> Requirement:
    try:
        return Requirement(said)
    except (InvalidRequirement, TypeError, AttributeError) as error:
        shown, problem = without_secrets(repr(said)), told(error) if isinstance(said, str) else "it is no text"
        raise RequirementsError(f"{path}: {shown} in {field} is no requirement: {problem}", hint=_MEND) from None
