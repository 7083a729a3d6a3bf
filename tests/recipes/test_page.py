"""docs/recipes.md shows workflows that there could be, with inputs and files that there are."""

from __future__ import annotations

import re
import textwrap
from typing import Any

import yaml

from tests.recipes.commands import SCRIPTS

PAGE = (SCRIPTS.parent / "docs/recipes.md").read_text()


def shown(heading: str, number: int = 0) -> Any:
    """Return an example of a section, as YAML."""
    section = "\n" + PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    block = re.findall(r"\n\n((?:    .*\n|\n)+)", section)[number]
    return yaml.safe_load(textwrap.dedent(block))


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


def test_the_playbook() -> None:
    """It gives the role variables, and the module parameters, that they have."""
    role = SCRIPTS / "ansible/terrastore"
    (play,), (task,) = shown("Ansible"), shown("Ansible", 1)
    options = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    (used,) = play["roles"]
    assert role.name == used.pop("role")
    assert used.keys() <= options.keys()
    assert task["terrastore_environment"].keys() <= {name.removeprefix("terrastore_") for name in options}
