"""docs/recipes.md shows workflows that there could be, with inputs and files that there are."""

from __future__ import annotations

import re
import textwrap
from typing import Any

import yaml

from tests.recipes.commands import SCRIPTS

PAGE = (SCRIPTS.parent / "docs/recipes.md").read_text()


def shown(heading: str) -> Any:
    """Return the first example of a section, as YAML."""
    section = "\n" + PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    block = re.search(r"\n\n((?:    .*\n|\n)+)", section)
    assert block is not None
    return yaml.safe_load(textwrap.dedent(block[1]))


def test_the_workflow() -> None:
    """It uses the action where it is, with inputs that it has; the page tells all of them, and the outputs."""
    action = yaml.safe_load((SCRIPTS / "github-action/action.yml").read_text())
    (step,) = [
        each for each in shown("GitHub Actions")["jobs"]["test"]["steps"] if "terrastore" in each.get("uses", "")
    ]
    owner, repository, folder = step["uses"].split("@")[0].split("/", 2)
    assert ("OWNER", "terrastore") == (owner, repository)
    assert (SCRIPTS.parent / folder / "action.yml").exists()
    assert step["with"].keys() <= action["inputs"].keys()
    rows = re.findall(r"^\| (`[a-z`, -]+`) \|", PAGE.split("| input | value |")[1].split("\n\n")[0], re.MULTILINE)
    assert sorted(action["inputs"]) == sorted(name for row in rows for name in re.findall(r"[a-z-]+", row))
    assert [] == [name for name in action["outputs"] if f"`{name}`" not in PAGE]


def test_the_pipeline() -> None:
    """It includes the template where it is, and extends what is in it."""
    pipeline = shown("GitLab CI")
    (include,) = pipeline["include"]
    template = yaml.safe_load((SCRIPTS.parent / include["file"].lstrip("/")).read_text())
    assert pipeline["test"]["extends"] in template
