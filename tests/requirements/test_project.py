"""Projects: what pyproject.toml says that it needs."""

from __future__ import annotations

import os

import pytest

from terrastore.errors import RequirementsError
from terrastore.requirements.project import line_of, project_lines
from tests.requirements.test_pylock import TARGET

PROJECT = """
[project]
name = "Web.App"
requires-python = ">=3.9"
dependencies = ["Click>=8.1", "tomli ; python_version < '3.11'"]

[project.optional-dependencies]
fast = ["orjson"]
old = ["web-app[fast,older] ; python_version < '3.10'"]
older = ["six"]
All_Of_It = ["web_app[fast]", "web-app[docs]", "rich"]
docs = ["sphinx", "web-app[all-of-it]"]

[dependency-groups]
dev = ["pytest", {include-group = "Lint.Tools"}]
lint_tools = ["ruff"]
loop = [{include-group = "pool"}]
pool = [{include-group = "loop"}]
gone = [{include-group = "nowhere"}]
odd = [{include = "dev"}]
text = "pytest"
"""
BASE = ["Click>=8.1", 'tomli; python_version < "3.11"']


def lines(text: str, **selected: list[str]) -> list[str]:
    return project_lines("web/pyproject.toml", text.encode(), target=TARGET, **selected)


@pytest.mark.parametrize(
    ("selected", "expected"),
    [
        pytest.param({}, [], id="dependencies alone"),
        pytest.param({"extras": ["Fast"]}, ["orjson"], id="an extra by any spelling"),
        pytest.param({"extras": ["old"]}, [], id="an extra of others whose marker is false"),
        pytest.param({"extras": ["all.of.it"]}, ["rich", "orjson", "sphinx"], id="extras of extras in a circle"),
        pytest.param({"groups": ["dev"]}, ["pytest", "ruff"], id="a group with another"),
        pytest.param({"groups": ["lint-tools", "dev"]}, ["ruff", "pytest"], id="groups in their order, once"),
        pytest.param({"extras": ["fast"], "groups": ["lint_tools"]}, ["orjson", "ruff"], id="both"),
    ],
)
def test_what_is_needed(selected: dict[str, list[str]], expected: list[str]) -> None:
    """The dependencies, and what extras and groups list, with what they include."""
    assert BASE + expected == lines(PROJECT, **selected)


def test_groups_need_no_project() -> None:
    """A file may hold groups alone (PEP 735)."""
    assert ["pytest"] == lines('[dependency-groups]\ndev = ["pytest"]', groups=["dev"])


SOURCES = '[project]\nname = "a"\ndependencies = ["core-lib"]\n[tool.uv.sources]\nCore_Lib = { workspace = true }\n'
POETRY = "poetry export"

WRONG = {
    "no TOML": ("[project", {}, "web/pyproject.toml is not TOML", "mend it"),
    "no project": ("[build-system]\nrequires = []\n", {}, "has no [project]", "name a requirements file"),
    "a project of poetry": ('[tool.poetry]\nname = "a"\n', {}, "has no [project]", POETRY),
    "dynamic": ('[project]\nname = "a"\ndynamic = ["dependencies"]\n', {}, "dependencies is dynamic", "a line ."),
    "dynamic, of poetry": (
        '[project]\ndynamic = ["dependencies"]\n[tool.poetry.dependencies]\na = "1"\n',
        {},
        "dependencies is dynamic",
        POETRY,
    ),
    "dynamic extras": (
        '[project]\ndynamic = ["optional-dependencies"]\n',
        {"extras": ["a"]},
        "optional-dependencies is dynamic",
        "a line .",
    ),
    "another Python": (
        '[project]\nrequires-python = ">=3.12"\n',
        {},
        "is for Python >=3.12, and this is 3.11.7",
        "--python",
    ),
    "no specifier": (
        '[project]\nrequires-python = "new"\n',
        {},
        "requires-python is no version specifier: 'new'",
        "mend",
    ),
    "no text for a specifier": (
        "[project]\nrequires-python = 3\n",
        {},
        "requires-python is no version specifier: 3",
        "",
    ),
    "no table": ("project = 1", {}, "project is no table", "mend it"),
    "no list": ('[project]\ndependencies = "a"\n', {}, "dependencies is no list", "mend it"),
    "no requirement": ('[project]\ndependencies = ["a b"]\n', {}, "'a b' in dependencies is no requirement", "mend it"),
    "no text": ("[project]\ndependencies = [1]\n", {}, "1 in dependencies is no requirement: it is no text", "mend it"),
    "no such extra": (PROJECT, {"extras": ["x"]}, "has no extra x", "it has all-of-it, docs, fast, old, older"),
    "an extra of none": (
        '[project]\nname = "a"\n[project.optional-dependencies]\nall = ["a[fast]"]\n',
        {"extras": ["all"]},
        "has no extra fast",
        "it has all",
    ),
    "no extras": ("[project]\nname = 'a'\n", {"extras": ["x"]}, "has no extras", "leave --extra out"),
    "extras of one name": (
        "[project.optional-dependencies]\na-b = []\na_b = []\n",
        {"extras": ["a-b"]},
        "two of its extras have one name",
        "rename one",
    ),
    "no such group": (
        PROJECT,
        {"groups": ["x"]},
        "has no group x",
        "it has dev, gone, lint-tools, loop, odd, pool, text",
    ),
    "groups in a circle": (PROJECT, {"groups": ["loop"]}, "dependency groups are broken: cyclic", "mend it"),
    "a group of none": (PROJECT, {"groups": ["gone"]}, "dependency group 'nowhere' not found", "mend it"),
    "an odd group": (PROJECT, {"groups": ["odd"]}, "invalid dependency group item", "mend it"),
    "a text for a group": (PROJECT, {"groups": ["text"]}, "contained a string rather than a list", "mend it"),
    "groups of one name": (
        "[dependency-groups]\na-b = []\na_b = []\n",
        {"groups": ["a-b"]},
        "dependency groups are broken: duplicate",
        "mend it",
    ),
    "from elsewhere": (SOURCES, {}, "where core-lib comes from is said in tool.uv.sources", "uv.lock"),
}


@pytest.mark.parametrize("case", WRONG)
def test_refused(case: str) -> None:
    """The error names the file and what is wrong in it, and says what to do."""
    text, selected, message, hint = WRONG[case]
    with pytest.raises(RequirementsError) as raised:
        lines(text, **selected)
    assert raised.value.message.startswith("web/pyproject.toml")
    assert message in raised.value.message
    assert hint in raised.value.hint
    assert "\n" not in raised.value.message


def test_secrets_are_not_shown() -> None:
    """A requirement that cannot be read is told without its password."""
    with pytest.raises(RequirementsError) as raised:
        lines('[project]\ndependencies = ["a b @ https://user:secret@a.example/x"]\n')
    assert "secret" not in raised.value.message


@pytest.mark.parametrize(
    ("path", "text", "extras", "expected"),
    [
        pytest.param(
            "pyproject.toml", '[project]\nname = "Web.App"\n', (), f"web-app @ file://{os.getcwd()}", id="here"
        ),
        pytest.param(
            "a b/pyproject.toml",
            '[project]\nname = "a"\n',
            ("Two", "one"),
            f"a[one,two] @ file://{os.getcwd()}/a%20b",
            id="elsewhere",
        ),
        pytest.param("pyproject.toml", "[build-system]\n", ("x",), "./[x]", id="without a name here"),
        pytest.param("lib/pyproject.toml", "", (), "./lib", id="without a name"),
    ],
)
def test_the_project_itself(path: str, text: str, extras: tuple[str, ...], expected: str) -> None:
    """It is a line with its directory, by its name where the file says it."""
    assert expected == line_of(path, text.encode(), extras)
