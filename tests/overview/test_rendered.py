"""The page in a real browser: that its policy holds, that it sorts and filters, that nothing sticks out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from terrastore.overview import markup
from terrastore.overview.page import page
from tests import browser
from tests.overview.figures import fifty
from tests.overview.test_page import HOSTILE, hostile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIZES = [
    pytest.param(1280, False, id="wide"),
    pytest.param(390, False, id="narrow"),
    pytest.param(1280, True, id="dark"),
]
SIZES_SHOWN = "[...document.querySelectorAll('#environments tbody tr')].map(each => +each.cells[3].dataset.v)"
CLEAR = "(it => { it.value = ''; it.dispatchEvent(new Event('input')); })(document.querySelector('#filter'))"


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Page]:
    with browser.opened(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "store.html"
    path.write_bytes(page(fifty()))
    return path


@pytest.mark.parametrize(("width", "dark"), SIZES)
def test_it_looks_as_it_should(window: browser.Page, file: Path, width: int, *, dark: bool) -> None:
    """Only tables, which scroll, are wider than the window; areas stay in the treemap; the scheme is the user's."""
    window.open(file, width=width, dark=dark)
    assert window.run("document.documentElement.scrollWidth") <= width
    outside = """(() => { const map = document.querySelector('.map').getBoundingClientRect();
        return [...document.querySelectorAll('.map li')].filter(each => { const is = each.getBoundingClientRect();
        return is.right > map.right + 1 || is.bottom > map.bottom + 1 || !is.width || !is.height; }).length })()"""
    assert 0 == window.run(outside)
    ground = "rgb(18, 24, 30)" if dark else "rgb(255, 255, 255)"
    assert ground == window.run("getComputedStyle(document.body).backgroundColor")
    assert [] == window.told
    assert [file.as_uri()] == [*window.requests.values()]
    window.photograph(file.with_name(f"{width}-{dark}.png"))
    assert file.with_name(f"{width}-{dark}.png").stat().st_size > 50_000


def test_it_sorts_by_keyboard(window: browser.Page, file: Path) -> None:
    """Figures begin with the largest, the next time with the smallest, and who does not see the order is told."""
    window.open(file)
    window.run("document.querySelector('#environments thead th:nth-child(4) button').focus()")
    for order, best in (("descending", "max"), ("ascending", "min")):
        window.press("Enter", 13, "\r")
        assert order == window.run("document.querySelector('#environments th:nth-child(4)').ariaSort")
        sizes = window.run(SIZES_SHOWN)
        assert 50 == len(sizes)
        assert sizes == sorted(sizes, reverse=best == "max")
    assert 1 == window.run("document.querySelectorAll('#environments [aria-sort]').length")


def test_it_filters(window: browser.Page, file: Path) -> None:
    """Rows that have all the words stay, and their number is told."""
    window.open(file)
    shown = "[...document.querySelectorAll('#environments tbody tr')].filter(each => each.offsetHeight).length"
    assert 50 == window.run(shown)
    window.run("document.querySelector('#filter').focus()")
    window.call("Input.insertText", text="staging 44")
    assert (1, "1 of 50") == (window.run(shown), window.run("document.querySelector('output').value"))
    window.run(CLEAR)
    assert (50, "") == (window.run(shown), window.run("document.querySelector('output').value"))


def test_without_scripts_it_is_whole(window: browser.Page, file: Path) -> None:
    """Everything is there to be read; what would do nothing is not shown."""
    window.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        window.open(file)
    finally:
        window.call("Emulation.setScriptExecutionDisabled", value=False)
    assert 0 == window.run("document.querySelector('.filter').offsetHeight")
    assert 50 == window.run("document.querySelectorAll('#environments tbody tr').length")


def test_a_store_cannot_act(window: browser.Page, tmp_path: Path) -> None:
    """Names that would run, load or draw do nothing but stand there."""
    path = tmp_path / "hostile.html"
    path.write_bytes(page(hostile(HOSTILE)))
    window.open(path)
    assert "undefined" == window.run("typeof window.attacked")
    assert 0 == window.run("document.querySelectorAll('img, svg, iframe, body script ~ script').length")
    assert HOSTILE[0] == window.run("document.title.split(', by')[0]")
    assert ([], [path.as_uri()]) == (window.told, [*window.requests.values()])


def test_the_policy_holds_where_escaping_would_fail(
    window: browser.Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The browser runs nothing that the page brings from a store, and says so."""
    monkeypatch.setattr(markup, "_escaped", str)
    path = tmp_path / "broken.html"
    path.write_bytes(page(hostile(HOSTILE)))
    window.open(path)
    assert "undefined" == window.run("typeof window.attacked")
    assert [] != [each for each in window.told if "Content Security Policy" in each]
    assert [path.as_uri()] == [*window.requests.values()]
