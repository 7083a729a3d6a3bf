"""What differs between two canonical documents: what keys are digests of, shown and kept in manifests.

A document may come from a store: whatever it holds, it is compared as far as it can be.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name

from terrastore.difference import earlier, facts
from terrastore.difference.lines import line_differences
from terrastore.difference.values import CONSTRAINT, REQUIREMENT, Difference
from terrastore.report import plain

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    Document = Mapping[str, Any]


def differences(
    before: Document, after: Document, *, files: Sequence[Difference] = (), versions: Mapping[str, str] | None = None
) -> tuple[Difference, ...]:
    """Return in what ``after`` is another request than ``before``, what weighs most first.

    ``files`` are differences of files that ask for them, told where the request differs at all; ``versions`` what was
    installed for ``before``, by name, for canonical versions lack the zeros that people write. Of a document by the
    rules of another schema, what has no counterpart is not compared; that the rules are others is a difference.
    """
    installed: dict[str, str] = {canonicalize_name(name): version for name, version in (versions or {}).items()}
    found = tuple(_found(before, after, files, installed))
    return tuple(replace(each, phrase=plain(each.phrase)) for each in found) if found != tuple(files) else ()


def same_packages(found: Sequence[Difference], packages: Collection[str]) -> int:
    """Return how many of an environment's ``packages``, by name, no difference is about.

    That is all but those that a changed, added or dropped requirement or constraint names, and those that come of a
    requirement without a name, such as a directory. What nothing pins may be resolved anew all the same: that is seen
    after the build alone.
    """
    names = set(map(canonicalize_name, packages))
    lines = [each for each in found if each.kind in {REQUIREMENT, CONSTRAINT}]
    nameless = [each for each in lines if each.kind == REQUIREMENT and each.before and each.name not in names]
    return max(0, len(names - {each.name for each in lines}) - len(nameless))


def _found(
    before: Document, after: Document, files: Sequence[Difference], versions: Mapping[str, str]
) -> Iterator[Difference]:
    is_same_schema = before.get("schema") == after.get("schema")
    yield from facts.schema(before, after)
    yield from facts.host(before, after)
    yield from facts.interpreter(before, after)
    yield from facts.installer(before, after)
    yield from files
    one, other = earlier.comparable(before), earlier.comparable(after)
    for kind, name in ((REQUIREMENT, "requirements"), (CONSTRAINT, "constraints")):
        yield from line_differences(kind, _lines(one, name), _lines(other, name), versions)
    if is_same_schema:
        yield from facts.resolution(before, after)
    yield from facts.variables(before, after)
    yield from facts.surroundings(before, after)


def _lines(document: Document, name: str) -> list[str]:
    value = document.get(name)
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []
