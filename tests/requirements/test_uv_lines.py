"""Every option and line that a requirements file may hold is said to uv in its own words, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from terrastore.errors import RequirementsError
from terrastore.requirements import Disk, read_requirements
from terrastore.requirements.lines import _FLAGS, _PER_REQUIREMENT, _WITH_VALUE, LineError, Option
from terrastore.requirements.uv import Settings
from terrastore.requirements.uv_lines import ARGUMENTS, FOLLOWED, PLACES, REFUSED, ForUv
from tests.requirements.shelf import target

if TYPE_CHECKING:
    from collections.abc import Mapping


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in an empty directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(
    text: str, *, constraints: str = "", variables: Mapping[str, str] | None = None, sources: bool = True
) -> ForUv:
    """Return what uv is told of a requirements file with this text."""
    Path("requirements.txt").write_text(text)
    Path("constraints.txt").write_text(constraints)
    uv = ForUv(Disk(), Settings(document={"no-sources": not sources}))
    read_requirements(
        ["requirements.txt"],
        ["constraints.txt"],
        reader=Disk(),
        target=target(),
        variables=variables or {},
        hear=uv.hear,
    )
    return uv


def test_the_tables_hold_every_option() -> None:
    """What the reader of requirements files lets through stands in exactly one table."""
    tables = [ARGUMENTS.keys(), PLACES.keys(), REFUSED.keys(), FOLLOWED]
    assert sorted({*_WITH_VALUE, *_FLAGS} - _PER_REQUIREMENT) == sorted(option for table in tables for option in table)


BECOMES: dict[str, tuple[str, list[str], dict[str, list[str]]]] = {
    "--index-url": ("-i https://u:p@a.example/simple", [], {"UV_INDEX_URL": ["https://u:p@a.example/simple"]}),
    "--extra-index-url": (
        "--extra-index-url https://a.example/#x",
        [],
        {"UV_EXTRA_INDEX_URL": ["https://a.example/"]},
    ),
    "--find-links": ("-f https://a.example/links", [], {"UV_FIND_LINKS": ["https://a.example/links"]}),
    "--no-index": ("--no-index", ["--no-index"], {}),
    "--no-binary": ("--no-binary one,two", ["--no-binary=one", "--no-binary=two"], {}),
    "--only-binary": ("--only-binary=:all:", ["--only-binary=:all:"], {}),
    "--pre": ("--pre", ["--prerelease=allow"], {}),
    "--require-hashes": ("--require-hashes", ["--require-hashes"], {}),
    "--no-require-hashes": ("--no-require-hashes", ["--no-require-hashes"], {}),
    "--trusted-host": ("--trusted-host a.example:80", ["--allow-insecure-host=a.example:80"], {}),
}


@pytest.mark.parametrize("option", [*ARGUMENTS, *PLACES])
def test_what_an_option_becomes(option: str) -> None:
    """An option that uv knows becomes an argument, or a variable where it may hold credentials; once, said twice."""
    line, arguments, places = BECOMES[option]
    uv = said(f"one\n{line}\n{line}\n")
    assert (["one"], arguments, places) == (uv.requirements, uv.arguments, uv.places)


@pytest.mark.parametrize("option", REFUSED)
def test_what_uv_lacks_is_refused(option: str) -> None:
    """An option that uv would ignore is an error that names file and line, and says what to do."""
    value = {"--editable": " git+https://a.example/one", "--use-feature": " x"}.get(option, " :all:")
    Path("more.txt").write_text(f"one\n{option}{'' if option == '--prefer-binary' else value}\n")
    with pytest.raises(RequirementsError, match=r"^more\.txt, line 2: ") as raised:
        said("-r more.txt\n")
    assert raised.value.hint


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("one --config-settings=x=y", "--config-settings"),
        ("one -C x=y", "--config-settings"),
        ("one --global-option=x", "--global-option"),
        ("one @ hg+https://a.example/one", "hg"),
        ("one @ ./one", "what stands behind @ is no URL"),
        ("svn+https://a.example/one#egg=one", "svn"),
        ("--no-binary :none:", ":none: takes back"),
        ("--only-binary one,:none:", ":none: takes back"),
        ("--require-hashes --no-require-hashes", "contradict"),
        ("-i https://a.example/\n-i https://b.example/", "one --index-url"),
    ],
)
def test_lines_that_are_refused(line: str, message: str) -> None:
    """What uv would not understand, or in another way than pip, is refused before anything is built."""
    with pytest.raises(RequirementsError, match=message) as raised:
        said(f"{line}\n")
    assert raised.value.hint


@pytest.mark.parametrize(
    ("constraints", "message"),
    [
        ("-r requirements.txt\n", "for constraints"),
        ("https://a.example/one-1-py3-none-any.whl\n", "needs a name"),
    ],
)
def test_constraints_that_are_refused(constraints: str, message: str) -> None:
    """A file of constraints holds what is one for uv and for pip alike."""
    with pytest.raises(RequirementsError, match=message):
        said("one\n", constraints=constraints)


def test_constraints() -> None:
    """Constraints go into a file of their own, wherever they were named, with their hashes."""
    Path("more.txt").write_text("two==2 --hash=sha256:ab\n")
    uv = said("one\n-c more.txt\n", constraints="one<2\n--pre\n")
    assert (["one"], ["one<2", "two==2 --hash=sha256:ab"]) == (uv.requirements, uv.constraints)
    assert ["--prerelease=allow"] == uv.arguments


def test_lines_as_pip_reads_them() -> None:
    """Continuations, comments, variables, byte order marks and order are pip's, whatever uv makes of such a file."""
    uv = said(
        "\ufefftwo \\\n  >=1  # why\none==1 ; python_version > '3' \\\n  --hash=sha256:${HASH}\n"
        "https://u:${TOKEN}@a.example/x-1.zip#sha256=ab\nthree==${UNSET}1\n".replace("${UNSET}", ""),
        variables={"HASH": "ab", "TOKEN": "secret"},
    )
    assert [
        "two   >=1",
        "one==1 ; python_version > '3'   --hash=sha256:ab",
        "https://u:secret@a.example/x-1.zip#sha256=ab",
        "three==1",
    ] == uv.requirements


def test_folders_of_distributions(project: Path) -> None:
    """A folder is where pip looks for it, beside the file that names it, and its URL holds no separator."""
    folder = project / "more, and more" / "links"
    folder.mkdir(parents=True)
    (folder.parent / "more.txt").write_text("-f links\n")
    uv = said("-r 'more, and more/more.txt'\n")
    assert {"UV_FIND_LINKS": [f"file://{project}/more%2C%20and%20more/links"]} == uv.places


def test_a_home(monkeypatch: pytest.MonkeyPatch, project: Path) -> None:
    """A path from the home is one for uv too."""
    monkeypatch.setenv("HOME", str(project))
    Path("one-1-py3-none-any.whl").touch()
    assert [f"{project}/one-1-py3-none-any.whl"] == said("~/one-1-py3-none-any.whl\n").requirements


def write_project(folder: str, text: str) -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    Path(folder, "pyproject.toml").write_text(text)


def test_projects_are_known_by_name() -> None:
    """A project to build has the name of its line, else that of its metadata; an archive is none."""
    write_project("a", '[project]\nname = "A"\n')
    write_project("b", "[build-system]\nrequires = []\n")
    Path("x-1-py3-none-any.whl").touch()
    uv = said(f"./a\n./b\nx[y] @ file://{Path.cwd()}/b\n./x-1-py3-none-any.whl\n")
    assert ["A", None, "x"] == uv.directories


@pytest.mark.parametrize("source", ['{ path = "../two" }', "{ workspace = true }", '[{ path = "../two" }]'])
def test_sources_on_this_machine_are_refused(source: str) -> None:
    """What a project takes from elsewhere on this machine would be in no key."""
    write_project("a", f'[project]\nname = "a"\n[tool.uv.sources]\ntwo = {source}\n')
    with pytest.raises(RequirementsError, match=r"line 1: .*two in its tool\.uv\.sources"):
        said("./a\n")
    assert ["./a"] == said("./a\n", sources=False).requirements


def test_sources_elsewhere_are_the_projects() -> None:
    """What a project takes from a repository or an index stands in the project, which the key knows."""
    write_project("a", '[tool.uv.sources]\ntwo = { git = "https://a.example/two" }\nthree = { index = "x" }\n')
    assert ["./a"] == said("./a\n").requirements


@pytest.mark.parametrize(("members", "refused"), [('["packages/*"]', True), ('["other/*"]', False)])
def test_sources_of_a_workspace_are_refused(members: str, *, refused: bool) -> None:
    """Sources that a workspace has for its members stand outside of them."""
    write_project(".", f'[tool.uv.workspace]\nmembers = {members}\n[tool.uv.sources]\ntwo = {{ index = "x" }}\n')
    write_project("packages/a", '[project]\nname = "a"\n')
    if refused:
        with pytest.raises(RequirementsError, match="workspace"):
            said("./packages/a\n")
    else:
        assert ["a"] == said("./packages/a\n").directories


def test_an_option_of_the_command_line_and_a_file() -> None:
    """An index of the command line and another one of a file contradict each other."""
    uv = ForUv(Disk(), Settings())
    uv.option(Option("--index-url", "https://a.example/"))
    uv.option(Option("--index-url", "https://a.example/"))
    with pytest.raises(LineError, match="another one"):
        uv.option(Option("--index-url", "https://b.example/"))
