"""One HTML page of a store: it needs nothing but itself, and what a store says in it cannot act.

Every text is escaped (:mod:`terrastore.overview.markup`). Should that fail, the page's Content-Security-Policy allows
nothing but its own style and its own script, which it names by their SHA-256, and no address to load anything from.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Final, NamedTuple

from terrastore import times
from terrastore.overview import sections, tables
from terrastore.overview.markup import Markup, element, joined, shortened
from terrastore.overview.treemap import Rectangle, squarified
from terrastore.report import number, size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from terrastore.overview import Overview
    from terrastore.overview.weights import Package

_CELLS: Final = 200
"""Layers that the treemap shows, the heaviest ones; the rest is one area."""
_WIDE: Final = Rectangle(0.0, 0.0, 1200.0, 500.0)
_NARROW: Final = Rectangle(0.0, 0.0, 350.0, 580.0)
_NARROW_IS: Final = "40rem"
_GAP: Final = 1.5
"""Between packages, in the units of these."""
_SECTIONS: Final = (
    ("stored", "Environments"),
    ("packages", "What packages weigh"),
    ("common", "What environments have in common"),
    ("prune", "What prune would free"),
)


class _Cell(NamedTuple):
    """An area of the treemap: how a person calls it, its bytes and how many environments have it, 0 for several."""

    name: str
    version: str
    packed: int
    environments: int


def page(overview: Overview) -> bytes:
    """Return the page; the same figures give the same bytes."""
    cells, style = _treemap(overview)
    contents = {
        "stored": sections.environments(overview),
        "packages": sections.packages(overview, cells),
        "common": sections.common(overview),
        "prune": sections.pruning(overview),
    }
    parts = (
        element("section", element("h2", title, id=name), contents[name], aria_labelledby=name)
        for name, title in _SECTIONS
    )
    body = joined(_header(overview), element("main", *parts))
    style, script = f"\n{_file('page.css')}{_bars()}{style}", f"\n{_file('page.js')}"
    text = Template(_file("page.html")).substitute(
        policy=_policy(style, script),
        title=joined(f"{shortened(overview.store)}, by terrastore").html,
        style=style,
        script=script,
        body=body.html,
    )
    return text.encode()


def _header(overview: Overview) -> Markup:
    moment = times.at(overview.at)
    shown = moment.replace("T", " ").replace("Z", " UTC")
    return element(
        "header",
        element("h1", shortened(overview.store)),
        element("p", "What this store held at ", element("time", shown, datetime=moment), class_="faint"),
        element("nav", *(element("a", title, href=f"#{name}") for name, title in _SECTIONS), aria_label="sections"),
        sections.summary(overview),
    )


def _policy(style: str, script: str) -> str:
    """Return a policy (Content Security Policy Level 3) that allows this style and this script, and nothing else."""
    digests = (b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script))
    sources = "style-src 'sha256-{}'; script-src 'sha256-{}'".format(*digests)
    return f"default-src 'none'; {sources}; base-uri 'none'; form-action 'none'"


def _treemap(overview: Overview) -> tuple[Markup, str]:
    """Return the treemap, and the rules that place its areas: a style attribute would be against the policy."""
    groups = list(_groups(overview))
    total = len(overview.known)
    items, number_ = [], 0
    for group in groups:
        for cell in group:
            told = f"{cell.name} {cell.version}".strip()
            who = f", in {number(cell.environments, 'environment')}" if cell.environments else ""
            items.append(
                element(
                    "li",
                    element("span", cell.name),
                    element("span", f"{cell.version} {size(cell.packed)}".strip()),
                    id=f"t{number_}",
                    class_=f"l{sections.shade(cell.environments, total)}" if cell.environments else "rest",
                    title=f"{told}: {size(cell.packed)}{who}",
                )
            )
            number_ += 1
    rules = _rules(groups, _WIDE) + f"@media (max-width: {_NARROW_IS}) {{\n{_rules(groups, _NARROW)}}}\n"
    return element("ul", *items, class_="map"), rules


def _groups(overview: Overview) -> Iterator[list[_Cell]]:
    """Yield the areas of each package that is shown, and last the one of all that are not."""
    left = _CELLS
    rest: list[Package] = []
    for package in overview.packages:
        if package.packed and len(package.layers) <= left:
            left -= len(package.layers)
            yield [
                _Cell(
                    shortened(layer.name if layer.version is not None else f"({layer.name})"),
                    shortened(layer.version or ""),
                    layer.packed,
                    layer.environments,
                )
                for layer in package.layers
                if layer.packed
            ]
        elif package.packed:
            left = 0
            rest.append(package)
    if rest:
        yield [_Cell(number(len(rest), "lighter package"), "", sum(package.packed for package in rest), 0)]


def _rules(groups: list[list[_Cell]], within: Rectangle) -> str:
    """Return a rule for the place of each area, in parts of the whole."""
    rules, number_ = [], 0
    places = squarified([sum(cell.packed for cell in group) for group in groups], within)
    for group, place in zip(groups, places, strict=True):
        width, height = max(0.0, place.width - _GAP), max(0.0, place.height - _GAP)
        inner = Rectangle(place.x, place.y, width, height)
        for x, y, width, height in squarified([cell.packed for cell in group], inner):
            sides = {"left": x / within.width, "top": y / within.height}
            sides |= {"width": width / within.width, "height": height / within.height}
            rules.append(f"#t{number_}{{{';'.join(f'{side}:{100 * part:.2f}%' for side, part in sides.items())}}}\n")
            number_ += 1
    return "".join(rules)


def _bars() -> str:
    return "".join(f".b{step}{{width:{100 * step / tables.BARS:g}%}}\n" for step in range(1, tables.BARS + 1))


def _file(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")
