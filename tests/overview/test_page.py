"""The page as its bytes tell: what it says, that a store cannot act in it, its size, its colours."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from terrastore.overview.page import page
from terrastore.upkeep.prune import Criteria
from tests.overview.figures import DAY, NOW, environment, fifty, overview, weight

if TYPE_CHECKING:
    from collections.abc import Sequence

    from terrastore.overview import Overview
    from terrastore.upkeep.known import Weight

HOSTILE = (
    "<script>window.attacked=1</script>",
    '"><img src=x onerror=window.attacked=1>',
    "' onmouseover='window.attacked=1",
    "</title></style></script><script>window.attacked=1</script>",
    "<!--<svg onload=window.attacked=1>",
    "javascript:window.attacked=1",
    "${script}$style$$",
    "&lt;b&gt;&#60;",
    "\x1b]0;title\x07\u2028line",
    "\u202egnp.exe",
    "x" * 10_000,
)


class Parsed(HTMLParser):
    """What a page consists of: elements with their attributes, the text of cells by row, everything between tags."""

    def __init__(self, content: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.captions: list[str] = []
        self.text = ""
        self.raw: dict[str, str] = {}
        self._open: list[str] = []
        self.feed(content.decode())
        self.close()
        assert [] == self._open, "not every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(attrs) == len(dict(attrs)), f"an attribute of {tag} comes twice"
        self.elements.append((tag, dict(attrs)))
        if tag not in {"meta", "input"}:
            self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert tag == self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open[-1:] and self._open[-1] in {"style", "script"}:
            self.raw[self._open[-1]] = data
            return
        self.text += data
        if {"td", "th"} & set(self._open):
            self.rows[-1][-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of each element of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]

    def row(self, *beginning: str) -> list[str]:
        """Return the row whose cells begin with these texts."""
        return next(row for row in self.rows if all(map(str.startswith, row, beginning)))


def small(criteria: Criteria | None = None) -> Overview:
    """Return a store of three environments, one of which is pinned, and one idle for long."""
    numpy, pandas = weight("numpy", "2.1.0", 16_000_000), weight("pandas", "2.2.3", 17_000_000)
    base = weight("base", None, 3_000_000)
    newest = environment(1, 36_000_000, made=NOW - 3 * DAY, marked=NOW - DAY)
    pinned = environment(2, 19_000_000, made=NOW - 200 * DAY, marked=NOW - 100 * DAY, pins=["production"])
    idle = environment(3, 3_000_000, made=NOW - 90 * DAY)
    return overview([newest, idle, pinned], [(base, numpy, pandas), (base,), (base, numpy)], criteria)


@pytest.fixture(scope="module")
def parsed() -> Parsed:
    return Parsed(page(small(Criteria(unused_for=30 * DAY))))


def test_environments_by_age_use_and_size(parsed: Parsed) -> None:
    """A row says what one holds, its size, what of it is nowhere else, its age, its last use, and why it would go."""
    environments = small().environments
    rows = [row for row in parsed.rows if row[0].startswith("cp311")]
    assert [each.key.short for each in environments] == [row[0][: len("cp311-linux_x86_64-12345678")] for row in rows]
    assert [
        ["2", "3.11.7", "36.0 MB", "17.0 MB", "3 d ago", "this week", ""],
        ["0", "3.11.7", "3.0 MB", "0 bytes", "90 d ago", "never", "not used for 90\u00a0d"],
        ["1", "3.11.7", "19.0 MB", "0 bytes", "200 d ago", "14 weeks ago", ""],
    ] == [row[1:] for row in rows]
    assert "pandas, numpy" in rows[0][0]
    assert "production" in rows[2][0]


def test_packages_each_layer_once(parsed: Parsed) -> None:
    """A package that two environments have weighs what one of them has; all copies are told besides."""
    assert ["numpy", "2.1.0", "2", "16.0 MB", "32.0 MB"] == parsed.row("numpy", "2.1.0")
    assert ["pandas", "2.2.3", "1", "17.0 MB", "17.0 MB"] == parsed.row("pandas", "2.2.3")
    cells = [each["title"] for each in parsed.all("li") if "title" in each]
    assert [
        "pandas 2.2.3: 17.0 MB, in 1 environment",
        "numpy 2.1.0: 16.0 MB, in 2 environments",
        "(base): 3.0 MB, in 3 environments",
    ] == cells


def test_what_environments_have_in_common(parsed: Parsed) -> None:
    """How much each two share, and what is stored more than once because archives do not share."""
    assert ["36", "19", "3"] == parsed.row("1 ")[1:]
    assert ["19", "19", "3"] == parsed.row("2 ")[1:]
    assert ["3", "3", "3"] == parsed.row("3 ")[1:]
    assert ["numpy 2.1.0", "2", "16.0 MB", "16.0 MB"] == parsed.row("numpy 2.1.0")
    assert "22.0\u00a0MB, 38 % of what layers take, are stored again" in parsed.text


def test_what_prune_would_free(parsed: Parsed) -> None:
    """By what was asked, word by word as it is asked of prune, and by other times."""
    told = "terrastore prune --unused-for 30d would remove 1 of 3 environments, 3.0\u00a0MB, and leave 55.0\u00a0MB"
    assert told in parsed.text
    assert "Besides, 28.4\u00a0MB were left behind" in parsed.text
    assert ["--unused-for 30d", "1", "3.0 MB", "5 %"] == parsed.row("--unused-for 30d")
    assert ["--unused-for 180d", "0", "0 bytes", "0 %"] == parsed.row("--unused-for 180d")


@pytest.mark.parametrize(
    ("criteria", "command"),
    [
        (Criteria(), "terrastore prune would remove no environment"),
        (Criteria(unused_for=5400.0), "terrastore prune --unused-for 5400s would"),
        (Criteria(keep_last=1, max_size=50_000_000), "terrastore prune --keep-last 1 --max-size 50000000 would"),
    ],
    ids=["none", "no whole days", "others"],
)
def test_the_command_that_does_it(criteria: Criteria, command: str) -> None:
    """It can be copied."""
    assert command in Parsed(page(small(criteria))).text


def test_an_empty_store() -> None:
    """It has a page that says so, and no figure fails."""
    found = Parsed(page(overview([], [])))
    assert "There is nothing to compare." in found.text
    assert "0 %" in found.text


def hostile(names: Sequence[str]) -> Overview:
    """Return a store in which every text that others can choose is one of ``names``, in turn."""
    layers: list[list[Weight]] = []
    environments = []
    for number, name in enumerate(names):
        version = names[(number + 1) % len(names)]
        own = weight(name, version, 10**6 + number)
        layers.append([weight("base", None, 1000), own, weight("shared", version, 500)])
        environments.append(environment(number, 10**6, pins=[name, version]))
    found = overview(environments, layers, store=names[0])
    contents = {
        key: each._replace(python=names[number % len(names)])
        for number, (key, each) in enumerate(found.contents.items())
        if each is not None
    }
    return replace(found, contents=contents, pruned=None, unprunable=names[1])


def test_a_store_adds_no_markup() -> None:
    """Whatever it says, the elements and the names of their attributes are those of a page of harmless names."""
    harmless = hostile([f"name-{number}" for number in range(len(HOSTILE))])
    shape = [
        Counter((tag, *sorted(attributes)) for tag, attributes in Parsed(page(each)).elements)
        for each in (harmless, hostile(HOSTILE))
    ]
    assert shape[0] == shape[1]


def test_what_a_store_says_is_shown() -> None:
    """Escaped it is what it was, but for what a terminal would obey and what is too long."""
    text = Parsed(page(hostile(HOSTILE))).text
    for name in HOSTILE[:8]:
        assert name in text
    assert "\x1b" not in text
    assert "\u2028" not in text
    assert "x" * 121 not in text


def test_the_page_is_small() -> None:
    """Fifty environments of the packages of the web set take less than 200 kB, and ten times as many less than six."""
    few, many = len(page(fifty())), len(page(fifty(500)))
    print(f"{few:,} and {many:,} bytes")
    assert few < 200_000
    assert many < 6 * few


def test_the_page_is_the_same_again() -> None:
    """The same figures give the same bytes."""
    assert page(fifty()) == page(fifty())


def test_the_page_needs_nothing_but_itself() -> None:
    """Nothing in it has an address but its own parts."""
    found = Parsed(page(fifty()))
    addresses = [
        value
        for _, attributes in found.elements
        for name, value in attributes.items()
        if name in {"src", "href", "srcset", "data", "action", "poster", "background"}
    ]
    assert ["#stored", "#packages", "#common", "#prune"] == addresses
    assert not re.search(r"url\(|@import|fetch\(|XMLHttp|import\(", "".join(found.raw.values()))
    assert not [attributes for _, attributes in found.elements if "style" in attributes]


def test_the_policy_names_this_style_and_this_script() -> None:
    """And allows nothing else; it stands before anything that it is for."""
    found = Parsed(page(fifty()))
    tags = [tag for tag, _ in found.elements]
    (policy,) = (each["content"] for each in found.all("meta") if each.get("http-equiv") == "Content-Security-Policy")
    digest = {
        name: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for name, text in found.raw.items()
    }
    assert (
        f"default-src 'none'; style-src 'sha256-{digest['style']}'; script-src 'sha256-{digest['script']}'; "
        "base-uri 'none'; form-action 'none'"
    ) == policy
    assert ["html", "head", "meta", "meta"] == tags[:4]


def test_every_table_says_what_it_is() -> None:
    """Captions, heads of columns and rows, one name for each part, and regions that keys can scroll."""
    found = Parsed(page(fifty()))
    assert len(found.all("table")) == len(found.all("caption")) == 5
    assert all(each.get("scope") in {"col", "row"} for each in found.all("th"))
    ids = [each["id"] for _, each in found.elements if "id" in each]
    assert len(ids) == len(set(ids))
    assert {each["aria-labelledby"] for each in found.all("section")} <= set(ids)
    assert all(each["tabindex"] == "0" for each in found.all("div") if each.get("role") == "region")
    assert [{"lang": "en"}] == found.all("html")


def colours(style: str) -> list[dict[str, str]]:
    """Return the colours of each scheme: light, dark, print."""
    blocks = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    found = [dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block)) for block in blocks]
    return [found[0] | each for each in found]


def contrast(one: str, other: str) -> float:
    """Return the ratio of WCAG 2.2."""

    def luminance(colour: str) -> float:
        parts = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1, 2], ids=["light", "dark", "print"])
def test_text_can_be_read(scheme: int) -> None:
    """Every text has a contrast of 4.5 at least (WCAG 2.2, 1.4.3)."""
    found = colours(Parsed(page(small())).raw["style"])[scheme]
    pairs = [(name, ground) for name in ("ink", "faint", "accent", "warm") for ground in ("paper", "wash")]
    pairs += [(f"t{shade}", f"l{shade}") for shade in range(5)]
    ratios = {pair: contrast(found[pair[0]], found[pair[1]]) for pair in pairs}
    assert {} == {pair: ratio for pair, ratio in ratios.items() if ratio < 4.5}
