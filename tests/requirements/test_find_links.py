"""A folder of distributions is what an installer finds in it: files by name and content, and pages with their links."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from terrastore.requirements import Disk
from tests.requirements.repositories import write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WHEEL = "one-1.0-py3-none-any.whl"


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """Return a folder with a wheel, an sdist, a page that links to a third distribution, and other files."""
    folder = tmp_path / "packages"
    write(folder, WHEEL, "wheel")
    write(folder, "two-1.0.tar.gz", "sdist")
    write(folder, "index.html", '<!doctype html><a href="more/three-1.0.zip#sha256=0">three</a>')
    write(folder, "more/three-1.0.zip", "three")
    write(folder, "README.md", "what this is\n")
    return folder


def links(path: Path) -> str:
    return Disk().links(str(path))


UNCHANGING: dict[str, Callable[[Path], object]] = {
    "another text": lambda folder: write(folder, "README.md", "more\n"),
    "a new file": lambda folder: write(folder, "SHA256SUMS", "0\n"),
    "a hidden file": lambda folder: write(folder, ".DS_Store"),
    "an unfinished download": lambda folder: write(folder, f"{WHEEL}.part"),
    "a wheel further down": lambda folder: write(folder, f"old/{WHEEL}"),
    "a directory named as a wheel": lambda folder: (folder / "four-1.0-py3-none-any.whl").mkdir(),
    "times": lambda folder: (folder / WHEEL).touch(),
    "permissions": lambda folder: (folder / WHEEL).chmod(0o755),
}


@pytest.mark.parametrize("change", UNCHANGING.values(), ids=UNCHANGING)
def test_what_no_installer_looks_at(packages: Path, change: Callable[[Path], object]) -> None:
    """What is no distribution, and what is further down, does not count."""
    before = links(packages)
    change(packages)
    assert before == links(packages)


CHANGING: dict[str, Callable[[Path], object]] = {
    "content": lambda folder: write(folder, WHEEL, "WHEEL"),
    "a new wheel": lambda folder: write(folder, "one-1.1-py3-none-any.whl"),
    "a new sdist": lambda folder: write(folder, "one-1.1.TAR.GZ"),
    "a removed wheel": lambda folder: (folder / WHEEL).unlink(),
    "a renamed wheel": lambda folder: (folder / WHEEL).rename(folder / "one-2.0-py3-none-any.whl"),
    "a link to nowhere": lambda folder: (folder / "one-1.1-py3-none-any.whl").symlink_to("nowhere"),
    "a page": lambda folder: write(folder, "index.html", "<p>nothing"),
    "what a page links to": lambda folder: write(folder, "more/three-1.0.zip", "THREE"),
    "another page": lambda folder: write(folder, "old.htm", "<p>nothing"),
}


@pytest.mark.parametrize("change", CHANGING.values(), ids=CHANGING)
def test_what_installers_look_at(packages: Path, change: Callable[[Path], object]) -> None:
    """Every distribution counts by its name and its content, every page also by what it links to on this machine."""
    before = links(packages)
    change(packages)
    assert before != links(packages)


def test_a_copy_elsewhere(packages: Path, tmp_path: Path) -> None:
    """The place does not count, and a link to a file is that file."""
    shutil.copytree(packages, tmp_path / "copy", copy_function=shutil.copyfile)
    (tmp_path / "copy" / WHEEL).unlink()
    (tmp_path / "copy" / WHEEL).symlink_to(packages / WHEEL)
    assert links(packages) == links(tmp_path / "copy") == links(tmp_path / "copy/")


def test_it_stays_what_it_is(packages: Path) -> None:
    """The digest enters keys, so it is the same in every version."""
    assert "2519ebdc00019e5f9c0be25d520a12dc004a46d92d46733d0a48e7682d501f1d" == links(packages)


def test_one_distribution(packages: Path) -> None:
    """A file by itself counts by its name and content, as it does in a folder of its own."""
    before = links(packages / WHEEL)
    shutil.copytree(packages, packages.parent / "copy")
    assert before == links(packages.parent / "copy" / WHEEL) != links(packages / "two-1.0.tar.gz")
    write(packages, WHEEL, "WHEEL")
    assert before != links(packages / WHEEL)


def test_one_page(packages: Path) -> None:
    """A page by itself counts by its content and by the distributions here that it links to."""
    before = links(packages / "index.html")
    write(packages, WHEEL, "WHEEL")
    assert before == links(packages / "index.html")
    write(packages, "more/three-1.0.zip", "THREE")
    assert before != links(packages / "index.html")


PAGES = {
    "relative": '<a href="more/three-1.0.zip">',
    "upper case": '<A HREF="more/three-1.0.zip">',
    "unquoted": "<a data-x=1 href=more/three-1.0.zip>",
    "a base": '<base href="more/"><a href="three-1.0.zip">',
    "quoted": '<a href="more/thr%65e-1.0.zip">',
    "an entity": '<a href="more/three-1.0&period;zip">',
    "absolute": '<a href="file://{folder}/more/three-1.0.zip">',
    "this host": '<a href="file://localhost{folder}/more/three-1.0.zip">',
    "only the path": '<a href="{folder}/more/three-1.0.zip">',
    "behind others": '<a><a href=""><a href="http://["><a href="%00"><a href="https://h/x.whl">'
    '<a href="more/three-1.0.zip">',
}


@pytest.mark.parametrize("html", PAGES.values(), ids=PAGES)
def test_links_of_a_page(packages: Path, html: str) -> None:
    """However a page links to a file on this machine, its content counts."""
    write(packages, "index.html", html.format(folder=packages))
    before = links(packages)
    write(packages, "more/three-1.0.zip", "THREE")
    assert before != links(packages)


@pytest.mark.parametrize(
    "html", [b"\xff\xfe<a href='\xe9'>", b"<![spam[x]]><a href='x'>", b"<base href='//['><a href='//['>", b"\0"]
)
def test_pages_that_are_none(packages: Path, html: bytes) -> None:
    """What is not HTML counts by its bytes."""
    before = links(packages)
    (packages / "index.html").write_bytes(html)
    assert before != links(packages)


# pip's own look into a folder, as it is installed for these tests.
PIP = """
import json, os, sys
from pip._internal.index.sources import _FlatDirectoryToUrls
found = _FlatDirectoryToUrls(sys.argv[1])
names = [url for urls in found.project_name_to_urls.values() for url in urls] + found.page_candidates
print(json.dumps(sorted(os.path.basename(name) for name in names)))
"""
NAMES = (
    *(f"one-1.0-py3-none-any{suffix}" for suffix in (".whl", ".WHL", ".whl.metadata", ".whl.asc", "")),
    *(f"one-1.0{end}" for end in (".tar.gz", ".zip", ".tar.bz2", ".tar.xz", ".tgz", ".tar", ".egg", ".exe", ".rpm")),
    *("index.html", "INDEX.HTML", "index.htm", "index.xhtml", "index.json", "README", ".hidden-1.0.tar.gz"),
)


@pytest.mark.parametrize("name", NAMES)
def test_pip_sees_no_more(tmp_path: Path, name: str) -> None:
    """Whatever pip looks at in a folder counts."""
    (tmp_path / "links").mkdir()
    empty = links(tmp_path / "links")
    write(tmp_path, f"links/{name}")
    done = subprocess.run(
        [sys.executable, "-c", PIP, str(tmp_path / "links")], capture_output=True, text=True, check=True
    )
    assert not json.loads(done.stdout) or empty != links(tmp_path / "links")
