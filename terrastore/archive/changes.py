"""What is not as it was made in an environment, as values and in words."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from terrastore.report import number, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

EDITED: Final = "edited"
MISSING: Final = "missing"
ADDED: Final = "added"


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A distribution that is not as it was made.

    ``before`` and ``after`` are its versions then and now, None when it was not or is not there; ``files`` are its
    paths with ``edited``, ``missing`` or ``added``. No files, and the same version: which file differs cannot be told.
    ``requested`` is false for one that came as a dependency (PEP 376's REQUESTED).
    """

    name: str
    before: str | None
    after: str | None
    files: Mapping[str, str]
    requested: bool = True


@dataclass(frozen=True, slots=True)
class Drift:
    """What is not as it was made: by package, sorted by name; and the paths of no package.

    ``untold`` are layers without a package, ``base`` or ``rest``, where something differs and it cannot be told what;
    ``projects`` the directories of those that were installed to be edited, and are no more.
    """

    packages: tuple[Package, ...] = ()
    others: Mapping[str, str] = field(default_factory=dict)
    untold: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.packages or self.others or self.untold or self.projects)

    def files(self) -> dict[str, str]:
        """Return every path that differs, with how."""
        found = dict(self.others)
        for package in self.packages:
            found |= package.files
        return dict(sorted(found.items()))

    def phrases(self) -> list[str]:
        """Return it in words: one phrase for each package and for what is of none, all that was added together."""
        gone = (f"removed: the project at {path}" for path in self.projects)
        return [plain(phrase) for phrase in (*self._changed(), *self._added(), *self._of_no_package(), *gone)]

    def _changed(self) -> Iterator[str]:
        for each in self.packages:
            if each.before is None:
                continue
            if each.after is None:
                yield f"removed: {each.name} {each.before}"
            elif each.after != each.before:
                yield f"{_direction(each.before, each.after)}: {each.name} {each.before} → {each.after}"
            else:
                yield f"{each.name} {each.before}: {_counted(each.files) or 'edited, where cannot be told'}"

    def _added(self) -> Iterator[str]:
        added = [each for each in self.packages if each.before is None]
        wanted = [each for each in added if each.requested] or added
        if added:
            brought = len(added) - len(wanted)
            dependencies = "" if not brought else f" with {brought} {'dependency' if brought == 1 else 'dependencies'}"
            yield f"added: {', '.join(f'{each.name} {each.after}' for each in wanted)}{dependencies}"

    def _of_no_package(self) -> Iterator[str]:
        if self.others:
            first = next(iter(self.others))
            yield f"no package: {_counted(self.others)}, {'such as ' if len(self.others) > 1 else ''}{first}"
        for layer in self.untold:
            yield f"no package: edited in {layer}, where cannot be told"


def _counted(files: Mapping[str, str]) -> str:
    """Return how many files are edited, missing and added: ``2 files edited, 1 missing``."""
    counts = Counter(files.values())
    (first, *more) = [(counts[what], what) for what in (EDITED, MISSING, ADDED) if counts[what]] or [(0, "")]
    return ", ".join([f"{number(first[0], 'file')} {first[1]}", *(f"{n} {what}" for n, what in more)]) if files else ""


def _direction(before: str, after: str) -> str:
    from packaging.version import InvalidVersion, Version  # noqa: PLC0415 -- only for who tells of a change

    try:
        return "upgraded" if Version(before) < Version(after) else "downgraded"
    except InvalidVersion:
        return "replaced"
