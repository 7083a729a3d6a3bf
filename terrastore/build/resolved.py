"""What an installer would install now, and how that differs from what was installed once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from packaging.utils import canonicalize_version

from terrastore.report import listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from terrastore.archive.manifest import Package

_SEED: Final = "pip"
_TOLD: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """Versions by normalised name, "" for one that is not known before it is built.

    ``commits`` are those of what is in repositories; ``edited`` is what no archive holds.
    """

    versions: Mapping[str, str]
    commits: Mapping[str, str]
    edited: frozenset[str]

    def moved(self, packages: Iterable[Package]) -> str:
        """Say how an environment's packages differ from these, "" when in nothing."""
        had = {package.name: package for package in packages if package.name != _SEED or _SEED in self.versions}
        wanted = {name: version for name, version in self.versions.items() if name not in self.edited}
        told = []
        for name in sorted({*had, *wanted}):
            before, after = had.get(name), wanted.get(name)
            if before is None:
                told.append(f"{name} {after} added")
            elif after is None:
                told.append(f"{name} {before.version} dropped")
            elif after and canonicalize_version(before.version) != canonicalize_version(after):
                told.append(f"{name} {before.version} → {after}")
            elif before.commit and before.commit != self.commits.get(name, before.commit):
                told.append(f"{name} {before.commit[:8]} → {self.commits[name][:8]}")
        return listed(told, _TOLD)
