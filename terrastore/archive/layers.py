"""Which file belongs to which layer: the skeleton, one layer per distribution, the rest."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from terrastore.archive import record as records

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

BASE: Final = "base"
REST: Final = "rest"
_PYC: Final = re.compile(r"(?P<folder>.*/)?__pycache__/(?P<module>[^/]+)\.(cpython|pypy)[^./]*(\.opt-\d)?\.pyc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """An installed distribution: its ``.dist-info`` directory, name (PEP 503), version, and the rows of its RECORD."""

    info: str
    name: str
    version: str
    rows: tuple[records.Row, ...]

    @property
    def record(self) -> str:
        """Path of its RECORD."""
        return f"{self.info}/RECORD"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPlan:
    """A layer and the paths of its members, sorted."""

    name: str
    version: str | None
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Dispute:
    """A path that several distributions claim, and the one it went to."""

    path: str
    claimants: tuple[str, ...]
    owner: str


def source_of(path: str) -> str | None:
    """Return the module that a bytecode file in ``__pycache__`` was compiled from (PEP 3147); None for other files."""
    match = _PYC.fullmatch(path)
    return f"{match['folder'] or ''}{match['module']}.py" if match else None


def plan(
    paths: Collection[str],
    distributions: Collection[Distribution],
    skeleton: Collection[str],
    digest: Callable[[str], str],
) -> tuple[list[LayerPlan], list[Dispute]]:
    """Divide ``paths`` into ``base``, the distributions by name, and ``rest``.

    A path that several RECORDs name goes to the one whose hash fits, then to the first by name.
    ``digest`` returns a file's digest in RECORD's spelling and is asked for such paths only.
    """
    ordered = sorted(distributions, key=lambda each: (each.name, each.version, each.info))
    claims: dict[str, list[tuple[Distribution, str]]] = {}
    for distribution in ordered:
        for row in distribution.rows:
            claims.setdefault(records.location(distribution.record, row), []).append((distribution, row.digest))
    by_info = {distribution.info: distribution for distribution in ordered}
    disputes = []
    # By name of the layer, or by .dist-info: a distribution itself is too large to be hashed for every file.
    members: dict[str, list[str]] = {name: [] for name in (BASE, REST, *(each.info for each in ordered))}
    for path in sorted(paths):
        claimed = source_of(path) or path
        claimants = claims.get(claimed) or claims.get(path, [])
        if len({each.info for each, _ in claimants}) > 1:
            owner = _rightful(claimants, digest(claimed) if claimed in paths else "")
            members[owner.info].append(path)
            if claimed == path:
                disputes.append(Dispute(path, tuple(each.name for each, _ in claimants), owner.name))
        elif claimants:
            members[claimants[0][0].info].append(path)
        elif (holder := _holder(path, by_info)) is not None:
            members[holder.info].append(path)
        else:
            members[BASE if path in skeleton or claimed in skeleton else REST].append(path)
    plans = [LayerPlan(name=BASE, version=None, paths=tuple(members[BASE]))]
    plans += [LayerPlan(name=each.name, version=each.version, paths=tuple(members[each.info])) for each in ordered]
    plans += [LayerPlan(name=REST, version=None, paths=tuple(members[REST]))]
    return plans, disputes


def canonical_record(
    distribution: Distribution, present: Collection[str], contents: Mapping[str, bytes | records.Content]
) -> tuple[records.Row, ...]:
    """Return the rows that do not depend on how and where the distribution was installed.

    Sorted; nothing for absent files, directories and unhashed bytecode; REQUESTED always there; digests of the
    canonical ``contents`` (path → bytes, or what a RECORD says of them) where the installed file held the prefix.
    """
    rows = {
        row
        for row in distribution.rows
        if records.location(distribution.record, row) in present and not (row.path.endswith(".pyc") and not row.digest)
    }
    requested = f"{posixpath.basename(distribution.info)}/REQUESTED"
    rows = {row for row in rows if row.path != requested}
    rows.add(records.Row(requested, records.digest_of(b""), "0"))
    return tuple(sorted(records.updated(rows, distribution.record, contents)))


def _rightful(claimants: list[tuple[Distribution, str]], digest: str) -> Distribution:
    fitting = [distribution for distribution, claimed in claimants if claimed == digest]
    return (fitting or [distribution for distribution, _ in claimants])[0]


def _holder(path: str, by_info: Mapping[str, Distribution]) -> Distribution | None:
    """Return the distribution whose ``.dist-info`` holds ``path``, listed in its RECORD or not."""
    match = re.match(r".*?\.dist-info(?=/)", path)
    return by_info.get(match.group()) if match else None
