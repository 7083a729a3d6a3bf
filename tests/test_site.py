"""The documentation as a site: every page is reached, every link leads somewhere, and nothing comes from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import browser

ROOT = Path(__file__).parents[1]
ADDRESS = re.compile(r"""<(?:script|link|img|iframe)\b[^>]*?\b(?:src|href)=["']?((?:https?:)?//[^"'\s>]+)""")
FIRST_FOUND = """\
new Promise((found) => {
  const look = () => {
    const link = document.querySelector(".md-search-result__link");
    link ? found(link.href) : requestAnimationFrame(look);
  };
  setTimeout(() => found("nothing"), 30000);
  look();
})
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a site that was built without a warning."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    return folder


def test_every_page_is_there(site: Path) -> None:
    """Those of docs, README as the first, the specification and the changes."""
    pages = {str(path.relative_to(ROOT / "docs").with_suffix(".html")) for path in (ROOT / "docs").glob("**/*.md")}
    made = {str(path.relative_to(site)) for path in site.glob("**/*.html")} - {"404.html"}
    assert made == pages | {"index.html", "reference/format.html", "reference/changelog.html"}


def test_links_from_the_repository_lead_to_pages(site: Path) -> None:
    """What README and docs call by its path has another one on the site; a file that is not there is text alone."""
    first = (site / "index.html").read_text()
    assert 'href="relocation.html"' in first
    assert 'href="reference/format.html"' in first
    assert "tests/test_layers.py</a>" not in first
    assert 'href="index.html#exit-codes"' in (site / "boot.html").read_text()


def test_bars_in_tables(site: Path) -> None:
    """What is escaped for GitHub is no backslash here, and ends no cell."""
    assert "<code>pip|uv</code></td>" in (site / "reference/cli.html").read_text()
    pages = {path: path.read_text() for path in site.glob("**/*.html")}
    assert [] == [path.name for path, text in pages.items() if re.search(r"<td>[^\n]*<code>[^<]*\\\|", text)]


def test_nothing_comes_from_elsewhere(site: Path) -> None:
    """Neither scripts nor fonts nor pictures are named that another server has."""
    pages = sorted(site.glob("**/*.html"))
    assert [] == [(page.name, address) for page in pages for address in ADDRESS.findall(page.read_text())]


def foreign(page: browser.Page) -> list[str]:
    """Return the addresses outside of the folder that a page asked for."""
    return [address for address in page.requests.values() if not address.startswith(("file:", "data:", "about:"))]


def test_a_browser_asks_nobody(site: Path, tmp_path: Path) -> None:
    """Opened as a file, a page with tables and pictures loads from the folder alone."""
    with browser.opened(tmp_path / "profile") as page:
        page.open(site / "performance.html")
        page.photograph(tmp_path / "page.png")
        assert [address for address in page.requests.values() if address.endswith(".svg")]
        assert [] == foreign(page)


def test_search_in_a_folder(site: Path, tmp_path: Path) -> None:
    """A page that was opened as a file is searched too; what is found is there, and nobody is asked."""
    with browser.opened(tmp_path / "profile") as page:
        page.open(site / "recipes/index.html")
        page.run("document.querySelector('.md-search__input').focus()")
        page.call("Input.insertText", text="postmkvirtualenv")
        found = page.run(FIRST_FOUND)
        assert "recipes/virtualenvwrapper.html" == found.split("?")[0].removeprefix(f"{site.as_uri()}/")
        assert [] == page.told
        assert [] == foreign(page)
