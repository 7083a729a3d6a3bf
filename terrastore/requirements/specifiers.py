"""Version specifiers in one spelling each (PEP 440): two that admit the same versions by its rules are equal texts."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

_PLAIN: Final = re.compile(
    r"(?P<release>(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))*)(?P<post>(?:\.post(?:0|[1-9][0-9]*))?)", re.ASCII
)
_ZEROS: Final = re.compile(r"(?:\.0)+$")


@lru_cache(maxsize=4096)
def canonical_version(version: str, operator: str = "==") -> str:
    """Return the version behind an operator as every spelling of it is written.

    Zeros at the end count for nothing but in ``~=``, where they say how much is compatible, and before ``.*``.
    ``===`` compares texts, whatever they mean.
    """
    if operator == "===":
        return version
    if operator != "~=" and (plain := _PLAIN.fullmatch(version)):
        return _ZEROS.sub("", plain["release"]) + plain["post"]
    from packaging.utils import canonicalize_version  # noqa: PLC0415 -- most versions are plain

    if version.endswith(".*"):
        return f"{canonicalize_version(version[:-2], strip_trailing_zero=False)}.*"
    if operator == "~=":
        return str(canonicalize_version(version, strip_trailing_zero=False))
    return str(canonicalize_version(version))


def canonical_specifiers(specifiers: SpecifierSet) -> str:
    """Return a set of specifiers, sorted, each once: ``!=1.5,<2,>=1``."""
    return ",".join(sorted({f"{each.operator}{canonical_version(each.version, each.operator)}" for each in specifiers}))
