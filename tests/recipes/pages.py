"""The pages of docs/recipes, the examples on them, and what they say that a run says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from tests import documented

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER: Final = documented.DOCS / "recipes"
NAMES: Final = sorted(path.stem for path in FOLDER.glob("*.md") if path.stem != "index")
STORE: Final = "s3://acme-envs/web"
"""What every page calls the store."""
_EXAMPLE: Final = re.compile(r"<!-- example: ([\w ]+) -->\n\n```\w+\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def text(name: str) -> str:
    """Return a page."""
    return (FOLDER / f"{name}.md").read_text()


def examples(name: str) -> dict[str, str]:
    """Return what a page shows to be copied that is no file of the repository, by title."""
    return dict(_EXAMPLE.findall(text(name)))


def example(name: str, title: str) -> str:
    """Return an example of a page."""
    return examples(name)[title]


def told(name: str, title: str, said: str, places: Mapping[Any, str]) -> None:
    """Require that a page shows what was said; ``places`` has what it calls paths and names of here."""
    documented.told(f"recipes/{name}.md", title, said, places)


def result(said: str) -> str:
    """Return terrastore's own lines of what was said: the result, or message and hint."""
    ours = ("built ", "fetched ", "kept ", "terrastore: error: ", "terrastore: hint: ")
    return "\n".join(line for line in said.splitlines() if line.startswith(ours))
