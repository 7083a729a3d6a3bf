"""Which installed packages others need, as METADATA says (core metadata specification, Requires-Dist)."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from packaging.markers import UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement

from terrastore.archive.installed import header_fields, names, read
from terrastore.names import normalised

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence


def needed_by(tree: str, python: str, asked: Iterable[str] = ()) -> dict[str, list[str]]:
    """Return for each package in the environment at ``tree`` those there that need it, by normalised name.

    Markers are judged for version ``python`` on this machine; of extras those count that somebody asks for: a package,
    or a requirement of ``asked``.
    """
    says = {
        each.name: header_fields(read(tree, f"{each.info}/METADATA")).get("requires-dist", []) for each in names(tree)
    }
    return users(says, python, asked)


def users(says: Mapping[str, Sequence[str]], python: str, asked: Iterable[str]) -> dict[str, list[str]]:
    """Return who needs each package, where ``says`` has the requirements of each, as METADATA writes them."""
    markers = {"python_version": ".".join(python.split(".")[:2]), "python_full_version": python}
    found: defaultdict[str, set[str]] = defaultdict(set)
    seen = set[tuple[str, str]]()
    queue = [(name, "") for name in says] + list(_named(asked))
    while queue:
        if (pair := queue.pop()) in seen or pair[0] not in says:
            continue
        seen.add(pair)
        name, extra = pair
        for needed, which in _named(says[name], {**markers, "extra": extra}):
            if needed != name:
                found[needed].add(name)
            queue.append((needed, which))
    return {name: sorted(found[name]) for name in sorted(found)}


def _named(requirements: Iterable[str], markers: Mapping[str, str] | None = None) -> Iterator[tuple[str, str]]:
    """Yield (name, extra) of the requirements that hold, once without an extra; what cannot be read is passed over."""
    for text in requirements:
        try:
            requirement = Requirement(text)
            holds = markers is None or requirement.marker is None or requirement.marker.evaluate(dict(markers))
        except (InvalidRequirement, UndefinedEnvironmentName):
            continue
        if holds:
            yield from ((normalised(requirement.name), extra) for extra in ("", *sorted(requirement.extras)))
