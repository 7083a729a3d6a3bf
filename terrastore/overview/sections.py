"""The sections of the page: what each says of the figures, as markup."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from terrastore import times
from terrastore.overview.markup import NOTHING, Markup, element, joined, shortened
from terrastore.overview.tables import Head, bar, figure, percent, table, unlisted
from terrastore.overview.weights import heaviest
from terrastore.report import number, size

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from terrastore.key import EnvKey
    from terrastore.overview import Overview
    from terrastore.overview.markup import Content
    from terrastore.overview.weights import Layer
    from terrastore.upkeep.holdings import Environment
    from terrastore.upkeep.known import Contents

ROWS: Final = 1000
"""Environments that are listed; a page of more is of use to nobody."""
PACKAGES: Final = 100
REPEATED: Final = 25
_WEEK: Final = 7 * 86400
_SHADES: Final = 5
_TEN_THOUSAND: Final = 10_000
_NAMED: Final = 3


def summary(overview: Overview) -> Markup:
    """Return the figures of the whole store."""
    told, total = len(overview.known), len(overview.environments)
    share = percent(overview.again, overview.once + overview.again)
    packaged = sum(each.layers[0].version is not None for each in overview.packages)
    idle = next(step for step in overview.steps if step.days == 30)  # noqa: PLR2004 -- a month
    figures = [
        ("environments", f"{total:,}", f"{total - told:,} cannot be read" if told < total else ""),
        ("archives", size(overview.size), ""),
        ("layers, each once", size(overview.once), f"of {number(packaged, 'package')}"),
        ("stored again", size(overview.again), f"{share} of what layers take"),
        ("not used for 30 days", f"{idle.environments:,}", size(idle.size)),
    ]
    return element(
        "dl",
        *(
            element("div", element("dt", name), element("dd", value, element("small", note) if note else NOTHING))
            for name, value, note in figures
        ),
        class_="sums",
    )


def environments(overview: Overview) -> Markup:
    """Return the table of environments by age, last use and size."""
    shown = overview.environments[:ROWS]
    goes = _reasons(overview)
    heads = [Head("environment"), Head("packages", "n spare"), Head("Python", "spare"), Head("size", "n")]
    heads += [Head("only here", "n spare"), Head("made", "n", "ascending"), Head("last used", "n"), Head("prune")]
    largest = max((each.size for each in shown), default=0)
    rows = [_environment(each, overview, goes.get(each.key, ""), largest) for each in shown]
    note = (
        "The newest first. Size is that of the archive; only here is what of it no other environment has. "
        "When one was used last is known by weeks."
    )
    filter_ = element(
        "p",
        element("label", "filter", for_="filter"),
        element("input", type="search", id="filter", aria_controls="environments", autocomplete="off"),
        element("output", for_="filter"),
        class_="filter",
        hidden=True,
    )
    return joined(
        element("p", note),
        filter_,
        table("environments in the store", heads, rows, id_="environments", is_sortable=True),
        unlisted(len(overview.environments) - len(shown), "older one"),
    )


def _environment(environment: Environment, overview: Overview, reason: str, largest: int) -> Markup:
    contents = overview.contents.get(environment.key)
    pins = joined(*(joined(" ", element("span", shortened(pin), class_="pin")) for pin in environment.pins))
    layers = contents.layers if contents is not None else ()
    count = len(contents.packages) if contents is not None else 0
    age = max(0.0, overview.at - environment.made)
    own = overview.alone.get(environment.key)
    digits = environment.key.short.split("-", 2)[2]
    return element(
        "tr",
        element(
            "th",
            element("code", element("span", environment.key.short.removesuffix(digits), class_="tag"), digits),
            pins,
            element("small", _holds(contents)),
            scope="row",
        ),
        figure(f"{count:,}" if layers else "", count, is_spare=True),
        element("td", shortened(contents.python) if contents is not None else "", class_="w spare"),
        element("td", size(environment.size), bar(environment.size, largest), class_="n", data_v=environment.size),
        figure(size(own) if own is not None else "", own or 0, is_spare=True),
        figure(f"{times.about(age)} ago", int(age), title=times.at(environment.made)),
        figure(_used(environment, overview.at), int(overview.at - environment.used)),
        element("td", _unbroken(reason), class_="goes" if reason else None),
    )


def _holds(contents: Contents | None) -> str:
    if contents is None or not contents.layers:
        return "what it holds cannot be told"
    names = [shortened(name) for name in heaviest(contents.layers, _NAMED)]
    more = len(contents.packages) - len(names)
    return ", ".join(names) + (f" and {more:,} more" if more > 0 else "")


def _used(environment: Environment, now: float) -> str:
    if environment.marked is None:
        return "never"
    weeks = int(max(0.0, now - environment.marked) // _WEEK)
    return f"{number(weeks, 'week')} ago" if weeks else "this week"


def _unbroken(text: str) -> str:
    """Return a text whose figures keep their units on the line."""
    return re.sub(r"(?<=\d) (?=\w+$)", "\u00a0", text)


def _size(count: int) -> str:
    return _unbroken(size(count))


def _reasons(overview: Overview) -> Mapping[EnvKey, str]:
    removed = overview.pruned.removed if overview.pruned is not None else ()
    return {each.environment.key: each.reason for each in removed}


def packages(overview: Overview, treemap: Markup) -> Markup:
    """Return what packages weigh: the treemap, and the same as a table."""
    shown = overview.packages[:PACKAGES]
    heads = [Head("package"), Head("versions"), Head("environments", "n")]
    heads += [Head("each layer once", "n", "descending"), Head("all copies", "n")]
    rows = [
        element(
            "tr",
            element("th", _name(each.layers[0]), scope="row"),
            element("td", _versions(each.versions)),
            figure(f"{(most := max(layer.environments for layer in each.layers)):,}", most),
            figure(size(each.packed), each.packed),
            figure(size(each.stored), each.stored),
        )
        for each in shown
    ]
    total = len(overview.known)
    legend = element(
        "ul", *(element("li", _shade(shade, total), class_=f"l{shade}") for shade in range(_SHADES)), class_="legend"
    )
    return joined(
        element(
            "p",
            "Each layer is counted once, however many environments have it; areas are bytes as stored. The colour says "
            "how many environments have it:",
        ),
        legend,
        treemap,
        element(
            "details",
            element("summary", "the same as a table"),
            table("packages by weight", heads, rows, is_sortable=True, is_slim=True),
            unlisted(len(overview.packages) - len(shown), "lighter one"),
        ),
    )


def shade(environments: int, total: int) -> int:
    """Return how dark a layer is that so many environments of ``total`` have: 0 for one, 4 for nearly all."""
    if environments <= 1:
        return 0
    return min(_SHADES - 1, 1 + int((_SHADES - 1) * environments / (total + 1)))


def _shade(shade: int, total: int) -> str:
    if shade == 0:
        return "one environment"
    low, high = (total + 1) * (shade - 1) / (_SHADES - 1), (total + 1) * shade / (_SHADES - 1)
    return f"to {percent(high, total + 1)}" if shade < _SHADES - 1 else f"more than {percent(low, total + 1)}"


def _name(layer: Layer) -> Content:
    """Return what a layer is called; one that is no package cannot be taken for one of its name."""
    if layer.version is not None:
        return shortened(layer.name)
    said = {"base": "what was there before packages", "rest": "what no package owns"}
    return element("i", said.get(layer.name, layer.name))


def _versions(versions: Sequence[str]) -> str:
    more = f" and {len(versions) - _NAMED:,} more" if len(versions) > _NAMED else ""
    return ", ".join(map(shortened, versions[:_NAMED])) + more


def common(overview: Overview) -> Markup:
    """Return which environments have how much in common, and which layers are stored more than once."""
    if not overview.known:
        return element("p", "There is nothing to compare.")
    shown = overview.repeated[:REPEATED]
    heads = [Head("layer"), Head("environments", "n"), Head("size", "n"), Head("stored again", "n", "descending")]
    largest = max((each.again for each in shown), default=0)
    rows = [
        element(
            "tr",
            element("th", joined(_name(each), f" {shortened(each.version)}" if each.version else ""), scope="row"),
            figure(f"{each.environments:,}", each.environments),
            figure(size(each.packed), each.packed),
            element("td", size(each.again), bar(each.again, largest), class_="n", data_v=each.again),
        )
        for each in shown
    ]
    share = percent(overview.again, overview.once + overview.again)
    return joined(
        element(
            "p",
            f"An archive has all its layers in itself, so one that several environments have is stored with each: "
            f"{_size(overview.again)}, {share} of what layers take, are stored again. A machine that keeps layers "
            "fetches each of them once.",
        ),
        _matrix(overview),
        element("h3", "What is stored most often"),
        table("layers that are stored more than once", heads, rows, is_sortable=True, is_slim=True),
        unlisted(len(overview.repeated) - len(shown), "other layer"),
    )


def _matrix(overview: Overview) -> Markup:
    sharing = overview.sharing
    largest = max((sharing.common[place][place] for place in range(len(sharing.keys))), default=0)
    unit, name = next(
        ((scale, name) for scale, name in ((1e3, "kB"), (1e6, "MB")) if largest < scale * _TEN_THOUSAND), (1e9, "GB")
    )
    rows = []
    for place, key in enumerate(sharing.keys):
        cells = [_cell(sharing.common, place, other, unit) for other in range(len(sharing.keys))]
        contents = overview.contents[key]
        names = ", ".join(map(shortened, heaviest(contents.layers, _NAMED))) if contents is not None else ""
        label = joined(f"{place + 1} ", element("code", key.digits[:8]), " ", element("small", names))
        rows.append(element("tr", element("th", label, scope="row"), *cells))
    heads = [Head("environment"), *(Head(str(place + 1)) for place in range(len(sharing.keys)))]
    left = len(overview.known) - len(sharing.keys)
    which = f"the {len(sharing.keys)} that were used last" if left > 0 else "environments"
    note = (
        f"Each two of {which}, those beside each other that are alike. Outlined is what one has in all. The stronger "
        "the colour, the larger the part of the smaller one."
    )
    return joined(element("p", note), table(f"{name} in common", heads, rows, class_="matrix"))


def _cell(common: Sequence[Sequence[int]], place: int, other: int, unit: float) -> Markup:
    shared, smaller = common[place][other], min(common[place][place], common[other][other])
    strength = min(_SHADES - 1, int(_SHADES * shared / smaller)) if smaller else 0
    same = " same" if place == other else ""
    return element("td", f"{shared / unit:.0f}", class_=f"l{strength}{same}")


def pruning(overview: Overview) -> Markup:
    """Return what pruning would free: by the criteria that were said, and by others."""
    heads = [Head("unused for"), Head("environments", "n"), Head("size", "n"), Head("of all", "n")]
    rows = [
        element(
            "tr",
            element("th", element("code", f"--unused-for {each.days}d"), scope="row"),
            figure(f"{each.environments:,}", each.environments),
            figure(size(each.size), each.size),
            figure(percent(each.size, overview.size), each.size),
        )
        for each in overview.steps
    ]
    return joined(
        *(element("p", *each) for each in _verdict(overview)),
        table("what goes by how long it was not used; pinned environments stay", heads, rows, is_slim=True),
    )


def _verdict(overview: Overview) -> Iterable[Sequence[Content]]:
    pruned, criteria = overview.pruned, overview.criteria
    said = []
    if criteria.unused_for is not None:
        days = criteria.unused_for / 86400
        said.append(f"--unused-for {f'{days:.0f}d' if days.is_integer() else f'{criteria.unused_for:g}s'}")
    if criteria.keep_last is not None:
        said.append(f"--keep-last {criteria.keep_last}")
    if criteria.max_size is not None:
        said.append(f"--max-size {criteria.max_size}")
    command = element("code", " ".join(["terrastore prune", *said]))
    if pruned is None:
        yield ["What prune would do is not told: ", overview.unprunable, "."]
        return
    if said:
        told = (
            f" would remove {len(pruned.removed):,} of {number(pruned.total, 'environment')}, {_size(pruned.later)}, "
            f"and leave {_size(pruned.left)}. The table of environments says which, and why."
        )
        yield [command, told]
    else:
        yield ["No criteria were given: ", command, " would remove no environment."]
    left = ", ".join(f"{count:,} {kind}" for kind, count in pruned.tidied.items() if count)
    if left:
        yield [f"Besides, {_size(pruned.freed)} were left behind and go with any prune: {left}."]
