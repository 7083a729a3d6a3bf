"""What decides how a project is installed to be edited: what it needs, and whether that is there already."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion, Version

from terrastore.archive.installed import header_fields, installed, read
from terrastore.names import normalised

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_DEFAULT: Final = ("setuptools>=64",)
"""What builds a project that does not say it: PEP 518's default, of a version that has PEP 660."""


class Installed(NamedTuple):
    """What is installed, by normalised name: versions, and what METADATA says that each needs."""

    versions: Mapping[str, str]
    needs: Mapping[str, list[str]]

    @classmethod
    def of(cls, tree: str) -> Installed:
        """Return what is installed in the environment at ``tree``."""
        found = list(installed(tree, tolerant=True))
        fields = {each.name: header_fields(read(tree, f"{each.info}/METADATA")) for each in found}
        return cls(
            {each.name: each.version for each in found},
            {name: said.get("requires-dist", []) for name, said in fields.items()},
        )

    def lacks(self, requirements: Iterable[str], markers: Mapping[str, str]) -> list[str]:
        """Return which of ``requirements``, and of what these need, are not there; what cannot be judged is not."""
        missing, seen = [], set[tuple[str, str]]()
        queue = [(text, "") for text in requirements]
        while queue:
            if (pair := queue.pop()) in seen:
                continue
            seen.add(pair)
            text, extra = pair
            try:
                requirement = Requirement(text)
            except InvalidRequirement:
                missing.append(text)
                continue
            if requirement.marker is not None and not requirement.marker.evaluate({**markers, "extra": extra}):
                continue
            name = normalised(requirement.name)
            if not self._fits(name, requirement):
                requirement.marker = None
                missing.append(str(requirement))
                continue
            queue += [(need, which) for need in self.needs[name] for which in ("", *requirement.extras)]
        return sorted(missing)

    def _fits(self, name: str, requirement: Requirement) -> bool:
        if name not in self.versions or requirement.url:
            return False
        try:
            return requirement.specifier.contains(Version(self.versions[name]), prereleases=True)
        except InvalidVersion:
            return not requirement.specifier


def build_requirements(project: str) -> list[str] | None:
    """Return what builds the project in a directory (PEP 518), None when that is not said as it should be."""
    try:
        document = tomllib.loads(Path(project, "pyproject.toml").read_text("utf-8"))
    except FileNotFoundError:
        document = {}
    except (OSError, ValueError):
        return None
    system = document.get("build-system", {"requires": list(_DEFAULT)})
    found = system.get("requires") if isinstance(system, dict) else None
    return found if isinstance(found, list) and all(isinstance(each, str) for each in found) else None
