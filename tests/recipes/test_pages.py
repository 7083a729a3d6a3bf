"""What docs/recipes shows can be, with inputs, variables, options and files that there are; each page has its parts."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

import terrastore
from tests import documented
from tests.recipes import pages
from tests.recipes.commands import SCRIPTS, calls, require_understood

ROOT = SCRIPTS.parent
INDEX = pages.text("index")
PARTS = [
    "What it needs",
    "The file",
    "What comes of it",
    "When it fails",
    "Secrets and permissions",
    "Variations",
    "What was tried",
]
PLACEHOLDERS = ("OWNER", "GROUP", pages.STORE, f"v{terrastore.__version__}", f"terrastore=={terrastore.__version__}")
TESTS = [path.read_text() for path in ROOT.glob("tests/**/test_*.py")]
every_page = pytest.mark.parametrize("name", pages.NAMES)


def files_of(name: str) -> str:
    """Return what a page shows to be copied: files, examples and commands."""
    text = pages.text(name)
    fenced = re.findall(r"^```\w+\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return "".join(fenced) + "".join(re.findall(r"^ {4}terrastore run .*\n|^ {4}docker .*\n", text, re.MULTILINE))


@every_page
def test_a_page_has_its_parts(name: str) -> None:
    """Whoever knows one finds everything on another; before them stands when to use it."""
    text = pages.text(name)
    before, *parts = re.split(r"^## ", text, flags=re.MULTILINE)
    assert re.match(r"# .+\n\nFor \w", before)
    assert PARTS == [part.partition("\n")[0] for part in parts]
    assert "`tests/" in parts[-1]


def test_every_page_is_in_the_table() -> None:
    """It tells of each whether the tests run the real program; a page that says what was not tried is there in part."""
    rows = re.findall(r"^\| \[[^\]]+\]\(([\w-]+)\.md\) \|.*\| (whole|in part) \|$", INDEX, re.MULTILINE)
    assert pages.NAMES == sorted(name for name, _ in rows)
    partly = {name for name in pages.NAMES if "\n**Not tried:** " in pages.text(name)}
    assert partly == {name for name, tried in rows if tried == "in part"}


@every_page
def test_files_are_whole(name: str) -> None:
    """What a page shows of the repository is the file, and whatever else is there to be copied is an example."""
    shown = documented.files(f"recipes/{name}.md")
    fences = re.findall(r"^```\w+$", pages.text(name), re.MULTILINE)
    assert len(fences) == len(shown) + len(pages.examples(name))


def test_every_file_is_on_a_page() -> None:
    """Whoever looks for what is in scripts finds it told."""
    used_in_place = {"scripts/ansible", "scripts/github-action"}
    names = ("docker", "gitlab", "nox", "slurm", "systemd", "tox", "virtualenvwrapper")
    folders = [f"scripts/{name}" for name in names]
    files = {str(path.relative_to(ROOT)) for folder in folders for path in (ROOT / folder).iterdir() if path.is_file()}
    assert files == {path for name in pages.NAMES for path in documented.files(f"recipes/{name}.md")}
    assert [] == [path for path in used_in_place if not any(path in pages.text(name) for name in pages.NAMES)]


@every_page
def test_examples_are_tested(name: str) -> None:
    """Each example is used by a test, and whatever a page says that a run says is compared with one."""
    titles = [*pages.examples(name), *re.findall(r"<!-- told: ([\w ]+) -->", pages.text(name))]
    assert titles
    tests = "".join(text for text in TESTS if f'("{name}", ' in text)
    assert [] == [title for title in titles if f'"{title}"' not in tests]


@every_page
def test_placeholders_are_explained(name: str) -> None:
    """What is somebody else's in a file stands in the table of what to replace, here and in the overview."""
    table = pages.text(name).split("| replace | by |")[-1].split("\n\n")[0]
    used = [word for word in PLACEHOLDERS if word in files_of(name)]
    assert [] == [word for word in used if f"`{word}`" not in table]
    assert [] == [word for word in PLACEHOLDERS if f"`{word}`" not in INDEX]


@pytest.mark.parametrize("title", ["workflow", "workflow with a role"])
def test_the_workflow(title: str) -> None:
    """It uses the action where it is, with inputs that it has."""
    action = yaml.safe_load((SCRIPTS / "github-action/action.yml").read_text())
    steps: list[dict[str, Any]] = yaml.safe_load(pages.example("github-actions", title))["jobs"]["test"]["steps"]
    (step,) = [each for each in steps if "terrastore" in each.get("uses", "")]
    owner, repository, folder = step["uses"].split("@")[0].split("/", 2)
    assert ("OWNER", "terrastore") == (owner, repository)
    assert (ROOT / folder / "action.yml").exists()
    assert step["with"].keys() <= action["inputs"].keys()


def test_every_input_is_told() -> None:
    """The page of GitHub Actions has all of them, and the outputs."""
    action = yaml.safe_load((SCRIPTS / "github-action/action.yml").read_text())
    page = pages.text("github-actions")
    rows = re.findall(r"^\| (`[a-z`, -]+`) \|", page.split("| input | value |")[1].split("\n\n")[0], re.MULTILINE)
    assert sorted(action["inputs"]) == sorted(name for row in rows for name in re.findall(r"[a-z-]+", row))
    assert [] == [name for name in action["outputs"] if f"`{name}`" not in page]


def test_the_pipeline() -> None:
    """It includes the template where it is, and extends what is in it."""
    pipeline = yaml.safe_load(pages.example("gitlab-ci", "pipeline"))
    (include,) = pipeline["include"]
    template = yaml.safe_load((ROOT / include["file"].lstrip("/")).read_text())
    assert pipeline["test"]["extends"] in template


def test_the_playbook() -> None:
    """It gives the role variables, and the module parameters, that they have."""
    role = SCRIPTS / "ansible/terrastore"
    (play,) = yaml.safe_load(pages.example("ansible", "playbook"))
    (task,) = yaml.safe_load(pages.example("ansible", "task"))
    options = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    (used,) = play["roles"]
    assert role.name == used.pop("role")
    assert used.keys() <= options.keys()
    assert task["terrastore_environment"].keys() <= {name.removeprefix("terrastore_") for name in options}


def test_every_command_is_understood() -> None:
    """Lines that run terrastore do so with options that there are."""
    lines = [line for name in ["index", *pages.NAMES] for line in pages.text(name).splitlines()]
    found = calls("\n".join(line for line in lines if line.startswith("    terrastore ")))
    assert {"build", "doctor", "run"} <= {words[0] for words in found}
    for words in found:
        require_understood(words)


def test_every_script_named_is_there() -> None:
    """Files and folders of scripts have these names."""
    text = "".join(map(pages.text, ["index", *pages.NAMES]))
    names = {name.split("@v")[0] for name in re.findall(r"scripts/[\w./@-]*\w", text)}
    assert "scripts/slurm/job.sh" in names
    assert [] == [name for name in names if not (ROOT / name).exists()]


def test_versions_are_those_of_the_project() -> None:
    """Who copies an example gets the release that it came with."""
    files = [*map(pages.text, ["index", *pages.NAMES]), (SCRIPTS / "github-action/action.yml").read_text()]
    said = [version for text in files for version in re.findall(r"(?:terrastore==|v)(\d+\.\d+\.\d+)\b", text)]
    assert [terrastore.__version__] * 11 == said
