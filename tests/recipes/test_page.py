"""What docs/recipes.md shows can be, with inputs, variables, options and files that there are."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Any

import pytest
import yaml

import terrastore
from tests.recipes.commands import SCRIPTS, calls, require_understood

if TYPE_CHECKING:
    from tests.conftest import CommandLine

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


def test_every_command_is_understood() -> None:
    """Lines that run terrastore do so with options that there are."""
    found = calls("\n".join(line for line in PAGE.splitlines() if line.startswith("    ")))
    assert {"build", "run"} == {words[0] for words in found}
    for words in found:
        require_understood(words)


def test_every_script_named_is_there() -> None:
    """Files and folders of scripts have these names."""
    names = {name.split("@v")[0] for name in re.findall(r"scripts/[\w./@-]*\w", PAGE)}
    assert "scripts/slurm/job.sh" in names
    assert [] == [name for name in names if not (SCRIPTS.parent / name).exists()]


def test_the_task(stored: CommandLine, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """A function that a scheduler runs brings the environment and runs a program there; without one it raises."""
    block = re.search(r"<!-- test: task -->\n\n((?:    .*\n|\n)+)", PAGE)
    assert block is not None
    source = textwrap.dedent(block[1])
    assert 1 == source.count('"s3://acme-envs/web"')
    names: dict[str, Any] = {}
    exec(source.replace('"s3://acme-envs/web"', repr(str(stored.store))), names)
    # Not a part of the function: it is run by this process, whose pip has other settings.
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS"):
        monkeypatch.setenv(name, stored.env[name])
    monkeypatch.setenv("HOME", stored.env["HOME"])
    program = stored.write("job.py", "import alpha, sys\nprint('ran', alpha.VERSION, sys.prefix)\n")
    target = str(stored.cwd / "env")
    names["run_in_environment"](str(program), str(stored.cwd / "requirements.txt"), target)
    assert f"ran 1.0 {target}\n" == capfd.readouterr().out
    other = stored.write("other.txt", "alpha==2.0\n")
    with pytest.raises(terrastore.TerrastoreError):
        names["run_in_environment"](str(program), str(other), target)


def test_versions_are_those_of_the_project() -> None:
    """Who copies an example gets the release that it came with."""
    files = [PAGE, *((SCRIPTS / name).read_text() for name in ("github-action/action.yml", "gitlab/environment.yml"))]
    said = [version for text in files for version in re.findall(r"(?:terrastore==|@v|ref: v)(\d+\.\d+\.\d+)", text)]
    assert [terrastore.__version__] * 5 == said
