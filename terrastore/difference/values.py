"""What differs between two requests, as values and as phrases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

SCHEMA: Final = "schema"
LAYOUT: Final = "layout"
INTERPRETER: Final = "interpreter"
HOST: Final = "host"
INSTALLER: Final = "installer"
SEED: Final = "seed"
SALT: Final = "salt"
FILE: Final = "file"
REQUIREMENT: Final = "requirement"
CONSTRAINT: Final = "constraint"
RESOLUTION: Final = "resolution"
VARIABLE: Final = "variable"

# What makes every package another one weighs most. A file is told for its name; what it says has lines of its own.
_WEIGHTS: Final = {
    HOST: 100,
    INTERPRETER: 25,
    SCHEMA: 20,
    INSTALLER: 20,
    LAYOUT: 5,
    RESOLUTION: 3,
    VARIABLE: 3,
    SALT: 3,
    SEED: 2,
    FILE: 0,
}
_LONGEST: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One part that is not the same.

    ``kind`` is one of this module's; ``name`` the package, option, variable, file or fact; ``before`` and ``after``
    are its canonical values, None where it is not there; ``phrase`` says it to a person.
    """

    kind: str
    name: str
    before: Any
    after: Any
    phrase: str

    @property
    def weight(self) -> int:
        """How far it moves two requests apart: 1 for a line, more than ten of them for another interpreter."""
        return _WEIGHTS.get(self.kind, 1)


def distance(found: Sequence[Difference]) -> int:
    """Return how far apart two requests are that differ in this; 0 for none."""
    return sum(each.weight for each in found)


def told(found: Sequence[Difference], most: int = 4) -> str:
    """Return the first phrases in a line, and how many more there are; one that is very long is cut."""
    phrases = [
        each.phrase if len(each.phrase) <= _LONGEST else f"{each.phrase[: _LONGEST - 1]}…" for each in found[:most]
    ]
    more = len(found) - len(phrases)
    return "; ".join([*phrases, *([f"and {more} more"] if more else [])])
