"""Refuses what was built for every patch version of a Python and would be another environment under some of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from terrastore.archive.installed import header_fields, installed, read
from terrastore.errors import BuildError
from terrastore.requirements.patches import dependent_lines, extras_asked_for, is_dependent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from terrastore.interpreter import Interpreter


def refuse_patch_dependent(tree: str, asked: Iterable[str], python: Interpreter) -> None:
    """Look at the metadata of every distribution installed below ``tree``; ``asked`` are the requirements.

    :raises BuildError: when a marker or a ``Requires-Python`` decides otherwise under another patch version of
        ``python``; each is named
    """
    series = python.version[:2]
    if found := list(_dependent(tree, asked, series)):
        raise BuildError(
            f"not every patch version of Python {'.'.join(map(str, series))} would get this: {'; '.join(found)}",
            hint="leave --any-patch out: such an environment is for one patch version",
        )


def _dependent(tree: str, asked: Iterable[str], series: tuple[int, ...]) -> Iterator[str]:
    metadata = [(each, header_fields(read(tree, f"{each.info}/METADATA"))) for each in installed(tree)]
    needed = [line for _, fields in metadata for line in fields.get("requires-dist", [])]
    extras = extras_asked_for([*asked, *needed])
    for each, fields in metadata:
        name = f"{each.name} {each.version}"
        for line in dependent_lines(fields.get("requires-dist", []), series, extras.get(each.name, ())):
            yield f"{name} requires {line}"
        for specifiers in fields.get("requires-python", []):
            if is_dependent(specifiers, series):
                yield f"{name} is for Python {specifiers}"
