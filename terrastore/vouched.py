"""What may be used of wheels in a store: what requirements fix and what manifests vouch for (FORMAT.md section 12)."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from terrastore.build.wheels import Wheel

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from packaging.tags import Tag

    from terrastore.archive.manifest import Manifest, Package
    from terrastore.key import Request

_PLACES: Final = ("index-url", "extra-index-url", "find-links", "no-index", "require-hashes")
_SETTINGS: Final = re.compile(r"\s--(?:config-settings|global-option)\b")


class Asked:
    """What requirements say of wheels, by project: the versions they fix, and the digests they admit."""

    def __init__(self, request: Request) -> None:
        self.demands_digests = bool(request.resolution.get("require-hashes"))
        """Whether nothing is installed that no digest fixes (pip's hash-checking mode)."""
        self.versions: dict[str, Version] = {}
        self.digests: dict[str, set[str]] = {}
        self.wanted: dict[str, str] = {}
        self.is_plain = True
        """Whether everything is asked for by name."""
        self.with_settings: set[str] = set()
        for line in request.requirements.constraints:
            self._take(line, is_wanted=False)
        for line in request.requirements.requirements:
            self._take(line, is_wanted=True)
        self.wanted = {name: str(self.versions.get(name, "")) for name in self.wanted}

    def _take(self, line: str, *, is_wanted: bool) -> None:
        text, *options = line.split(" --")
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            self.is_plain = False
            return
        if requirement.url is not None:
            self.is_plain = False
            return
        name = str(canonicalize_name(requirement.name))
        for specifier in requirement.specifier:
            if specifier.operator in {"==", "==="} and not specifier.version.endswith(".*"):
                with suppress(InvalidVersion):
                    self.versions[name] = Version(specifier.version)
        for option in options:
            kind, _, value = option.partition("=")
            if kind == "hash" and is_wanted:
                self.digests.setdefault(name, set()).add(value.strip("'\"").removeprefix("sha256:"))
            elif kind != "hash":
                self.with_settings.add(name)
        if is_wanted:
            self.wanted[name] = ""

    def fixes(self, wheel: Wheel) -> bool:
        """Whether ``wheel`` is what is asked for, and nothing else can be."""
        if self.demands_digests:
            return self.admits(wheel)
        return self.versions.get(wheel.name) == Version(wheel.version)

    def admits(self, wheel: Wheel) -> bool:
        """Whether a digest in the requirements is that of ``wheel``, or of what it was made from."""
        return bool({wheel.sha256, wheel.source} & self.digests.get(wheel.name, set()))

    def leaves_open(self, wheel: Wheel) -> bool:
        """Whether ``wheel`` may be what is asked for, among others."""
        is_fixed = wheel.name in (self.wanted if self.demands_digests else self.versions)
        return not is_fixed and not self.fixes(wheel)


def vouched_for(manifest: Manifest, request: Request, asked: Asked) -> Iterator[Wheel]:
    """Yield the wheels that a verified manifest says stand for their project and version, for this request too."""
    is_alike = places(request.canonical()) == places(manifest.request)
    # What a project needs that is asked for by where it is stands in no requirement.
    if asked.is_plain and not any(each.name in asked.wanted for each in manifest.packages):
        return
    for package in manifest.packages:
        if package.wheel is None or package.direct:
            continue
        wheel = parsed(package.wheel.file, package.wheel.sha256)
        if wheel is None or wheel.name != package.name:
            continue
        if package.built:
            if not _is_made_alike(package, manifest, request, asked):
                continue
            wheel = replace(wheel, built=True, source=package.sha256)
        if is_alike or asked.admits(wheel):
            yield wheel
    if is_alike:
        yield from filter(None, (parsed(tool.file, tool.sha256) for tool in manifest.tools))


def _is_made_alike(package: Package, manifest: Manifest, request: Request, asked: Asked) -> bool:
    """Whether making a package here would give the same as it gave there."""
    ours, theirs, here = request.canonical(), manifest.request, request.host.facts()
    with_settings = filter(_SETTINGS.search, _lines(theirs))
    is_pure = package.wheel is not None and package.wheel.file.endswith("-none-any.whl")
    return (
        not package.flags
        and package.name not in asked.with_settings
        and package.name not in map(_project, with_settings)
        and ours["variables"] == theirs.get("variables")
        and ours["salt"] == theirs.get("salt")
        and (is_pure or all(manifest.host.get(each) == here[each] for each in ("libc", "distribution")))
    )


def _lines(document: Mapping[str, Any]) -> list[str]:
    """Return the requirements in a request that a manifest holds, where it may have any form."""
    found = document.get("requirements")
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []


def _project(line: str) -> str:
    return str(canonicalize_name(re.split(r"[^A-Za-z0-9._-]", line)[0]))


def places(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return where a request, as its canonical document has it, looks for distributions."""
    resolution = document.get("resolution")
    if not isinstance(resolution, dict):
        return {"": "unknown"}
    return {name: resolution[name] for name in _PLACES if resolution.get(name)}


def parsed(file: str, sha256: str, tags: frozenset[Tag] | None = None) -> Wheel | None:
    """Return the wheel that a file name tells of; None when it is none, or fits none of ``tags``."""
    try:
        name, version, _, own = parse_wheel_filename(file)
    except InvalidWheelFilename:
        return None
    if tags is not None and not own & tags:
        return None
    return Wheel(file=file, sha256=sha256, name=str(name), version=str(version))
