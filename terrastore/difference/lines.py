"""In what two lists of requirement lines differ."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from terrastore.difference.values import CONSTRAINT, Difference
from terrastore.difference.wanted import CONTENT, Wanted, commit, split_revision

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_RELEASE: Final = re.compile(r"((?:\d+!)?)(\d+(?:\.\d+)*)(.*)", re.DOTALL)


def line_differences(
    kind: str, before: Iterable[str], after: Iterable[str], versions: Mapping[str, str]
) -> Iterator[Difference]:
    """Yield in what two lists of canonical requirement lines differ, sorted by name.

    Of several lines for one project those are paired that say nearly the same. ``versions`` are what was installed
    before, by canonical name.
    """
    old, new = Counter(before), Counter(after)
    groups: defaultdict[str, tuple[list[Wanted], list[Wanted]]] = defaultdict(lambda: ([], []))
    for side, lines in enumerate((old - new, new - old)):
        for line in lines:
            wanted = Wanted.of(line, {} if side else versions)
            groups[wanted.name][side].append(wanted)
    for _, (gone, come) in sorted(groups.items()):
        for one, other in _pairs(gone, come):
            if one is None or other is None or not _is_same(one, other):
                yield _difference(kind, one, other)


def _pairs(gone: list[Wanted], come: list[Wanted]) -> Iterator[tuple[Wanted | None, Wanted | None]]:
    gone, come = sorted(gone, key=lambda each: each.text), sorted(come, key=lambda each: each.text)
    ranked = sorted(
        ((_likeness(one, other), -i, -j) for i, one in enumerate(gone) for j, other in enumerate(come)), reverse=True
    )
    paired: dict[int, int] = {}
    for _, i, j in ranked:
        if -i not in paired and -j not in paired.values():
            paired[-i] = -j
    for i, one in enumerate(gone):
        yield one, (come[paired[i]] if i in paired else None)
    for j, other in enumerate(come):
        if j not in paired.values():
            yield None, other


def _is_same(one: Wanted, other: Wanted) -> bool:
    """Whether nothing is known to differ: of one of the two the content is not known."""
    bare = [replace(each, text="", reference="", installed="") for each in (one, other)]
    return CONTENT in {one.reference, other.reference} and bare[0] == bare[1]


def _likeness(one: Wanted, other: Wanted) -> tuple[bool, int]:
    """Return how much two lines for one project share; what they are for says most."""
    parts = ("extras", "specifier", "reference", "title", "editable")
    return one.marker == other.marker, sum(getattr(one, part) == getattr(other, part) for part in parts)


def _difference(kind: str, one: Wanted | None, other: Wanted | None) -> Difference:
    prefix = "constraint " if kind == CONSTRAINT else ""
    if one is not None and other is not None:
        phrase = ", ".join(_phrases(prefix, one, other)) or f"{prefix}{other.title}: its options are in another order"
    else:
        phrase = "".join(
            f"{prefix}{each.described} {said}" for each, said in ((one, "dropped"), (other, "added")) if each
        )
    return Difference(
        kind=kind,
        name=next(each.name for each in (other, one) if each),
        before=one.text if one else None,
        after=other.text if other else None,
        phrase=phrase,
    )


def _phrases(prefix: str, one: Wanted, other: Wanted) -> Iterator[str]:
    """Say how a requirement became another one. New hashes go without saying when what they are of is another."""
    title = prefix + other.title
    moved = _moved(one, other)
    if moved:
        yield prefix + moved
    elif one.hashes and other.hashes and one.hashes != other.hashes:
        yield f"other hashes for {title}"
    elif one.hashes != other.hashes:
        yield f"hashes for {title} {'dropped' if one.hashes else 'added'}"
    if one.editable != other.editable:
        yield f"{title} is {'' if other.editable else 'no longer '}editable"
    if one.marker != other.marker:
        was, now = (f"if {each.marker}" if each.marker else "always" for each in (one, other))
        yield f"{title} {was} → {now}"
    yield from (f"{title} {option} dropped" for option in one.settings if option not in other.settings)
    yield from (f"{title} {option} added" for option in other.settings if option not in one.settings)


def _moved(one: Wanted, other: Wanted) -> str:
    """Say what is taken instead, "" when extras, version, place and content are the same."""
    extras = [f"[{','.join(each.extras)}]" if each.extras else "" for each in (one, other)]
    name = other.title if one.title == other.title else other.name
    names = (name, "") if one.extras == other.extras else (name + extras[0], f"{name}{extras[1]} ")
    if (one.specifier, one.reference) == (other.specifier, other.reference):
        return " → ".join(names).rstrip() if one.extras != other.extras else ""
    if one.is_content and other.is_content:
        changed = f"{one.title} → {other.title}" if one.title != other.title else f"{name}: {other.inside} changed"
        return changed if one.extras == other.extras else f"{' → '.join(names).rstrip()}, {changed}"
    sides = _places(one, other) or _padded(one.pin, other.pin) or (one.wish, other.wish)
    return f"{names[0]} {sides[0]} → {names[1]}{sides[1]}"


def _padded(one: str, other: str) -> tuple[str, str] | None:
    """Return two versions with as many numbers: ``2.1`` before ``2.1.1`` is ``2.1.0``, the same by PEP 440."""
    matches = [_RELEASE.fullmatch(each) for each in (one, other)]
    found = [(match[1], match[2].split("."), match[3]) for match in matches if match]
    if len(found) != len(matches):
        return (one, other) if one and other else None
    length = max(len(numbers) for _, numbers, _ in found)
    first, second = (
        epoch + ".".join(numbers + ["0"] * (length - len(numbers))) + rest for epoch, numbers, rest in found
    )
    return first, second


def _places(one: Wanted, other: Wanted) -> tuple[str, str] | None:
    """Return two revisions of one place under version control; None when it is something else that differs."""
    (place, revision), (other_place, other_revision) = map(split_revision, (one.reference, other.reference))
    if place != other_place or not revision or not other_revision:
        return None
    return f"@{commit(revision)}", f"@{commit(other_revision)}"
