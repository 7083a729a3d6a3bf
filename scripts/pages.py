"""What the site has besides docs: README, the formats and the changes; and what its Markdown needs otherwise."""

from __future__ import annotations

import os
import posixpath
import re
from typing import TYPE_CHECKING, Final

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ELSEWHERE: Final = {
    "index.md": "README.md",
    "reference/format.md": "terrastore/archive/FORMAT.md",
    "reference/changelog.md": "CHANGELOG.md",
}
"""Pages of the site, and the files of the repository that they are."""

ALONE: Final = ("index.md", "tutorial.md")
"""Pages that have no neighbours: beside them the navigation would be their own name."""

_PLACES: Final = {file: page for page, file in ELSEWHERE.items()}
_LINK: Final = re.compile(r"\[(?P<text>[^\]]*)\]\((?!https?:|#)(?P<path>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")
_ROW: Final = re.compile(r"^\|.*\|$", re.MULTILINE)
_CODE: Final = re.compile(r"`[^`]+`")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are no files of docs."""
    root = os.path.dirname(config.config_file_path)
    for page, file in ELSEWHERE.items():
        with open(os.path.join(root, file), encoding="utf-8") as source:
            files.append(File.generated(config, page, content=source.read()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages.

    What leads to a file that the site has not, such as a test, is its text alone; what leads nowhere stays, and is
    told. Bars in code in tables are bars: GitHub wants them escaped, Python-Markdown shows what escapes them.
    """
    root = os.path.dirname(config.config_file_path)
    here = page.file.src_uri
    if here in ALONE:
        page.meta["hide"] = ["navigation"]
    source = ELSEWHERE.get(here, f"docs/{here}")

    def placed(link: re.Match[str]) -> str:
        file = posixpath.normpath(posixpath.join(posixpath.dirname(source), link["path"]))
        on_site = _PLACES.get(file, file.removeprefix("docs/") if file.startswith("docs/") else None)
        if on_site is not None and files.get_file_from_path(on_site) is not None:
            there = posixpath.relpath(on_site, posixpath.dirname(here) or ".")
            return f"[{link['text']}]({there}{link['anchor'] or ''})"
        return link["text"] if os.path.exists(os.path.join(root, file)) else link[0]

    return _ROW.sub(
        lambda row: _CODE.sub(lambda code: code[0].replace(r"\|", "|"), row[0]), _LINK.sub(placed, markdown)
    )
