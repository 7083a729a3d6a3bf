"""What is said on the command line becomes a request without secrets, and a recipe with them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from terrastore import interpreter
from terrastore.errors import HostError, RequirementsError, UsageError
from terrastore.host import Host
from terrastore.inputs import Inputs
from terrastore.key import EnvKey
from terrastore.requirements.pip_lines import ForPip
from terrastore.requirements.uv_lines import ForUv

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET_URL = "https://user:secret@index.example/simple"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a project with one requirements file, on a machine without settings of pip."""
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    Path("requirements.txt").write_text("one==1\n")
    return folder


def wheels(folder: str, content: str = "wheel") -> str:
    """Make a folder of distributions and return its name."""
    Path(folder).mkdir(parents=True)
    Path(folder, "one-1-py3-none-any.whl").write_text(content)
    return folder


def key(inputs: Inputs) -> EnvKey:
    return EnvKey.of(inputs.request())


def pip_options(inputs: Inputs) -> list[str]:
    """Return the lines of options that pip is to read."""
    _, said = inputs.read()
    assert isinstance(said, ForPip)
    return said.options()


def test_requirements_txt_is_taken() -> None:
    """Without a named file requirements.txt is what is asked for."""
    assert ("requirements.txt",) == Inputs().files
    assert ("one==1",) == Inputs().request().requirements.requirements


def test_named_files_are_taken_instead() -> None:
    """Named files replace requirements.txt."""
    Path("other.txt").write_text("two\n")
    Path("limits.txt").write_text("two<3\n")
    found = Inputs(requirements=("other.txt",), constraints=("limits.txt",)).request().requirements
    assert (("two",), ("two<3",)) == (found.requirements, found.constraints)


def test_nothing_to_read() -> None:
    """Without a named file and without requirements.txt there is nothing to do; the error says what to type."""
    Path("requirements.txt").unlink()
    with pytest.raises(RequirementsError, match=r"requirements\.txt") as raised:
        Inputs().request()
    assert "-r" in raised.value.hint


def test_a_named_file_that_is_not_there() -> None:
    """A named file that is not there is an error of the requirements."""
    with pytest.raises(RequirementsError, match=r"^nowhere\.txt"):
        Inputs(requirements=("nowhere.txt",)).request()


def test_the_request_is_for_this_machine() -> None:
    """Interpreter and host are those found here."""
    request = Inputs().request()
    assert (interpreter.find(None), Host.here()) == (request.interpreter, request.host)


def test_an_interpreter_that_is_not_there() -> None:
    """An interpreter that this machine lacks is an error of the host."""
    with pytest.raises(HostError):
        Inputs(python="99.99").request()


OPTIONS: dict[str, tuple[Inputs, dict[str, Any], list[str]]] = {
    "none": (Inputs(), {}, []),
    "index URL": (
        Inputs(index_url="https://i.example/s"),
        {"index-url": ["https://i.example/s"]},
        ["--index-url https://i.example/s"],
    ),
    "extra index URLs": (
        Inputs(extra_index_url=("https://a.example/", "https://b.example/")),
        {"index-url": ["", "https://a.example", "https://b.example"]},
        ["--extra-index-url https://a.example/", "--extra-index-url https://b.example/"],
    ),
    "find-links": (
        Inputs(find_links=("https://f.example/links",)),
        {"find-links": ["https://f.example/links"]},
        ["--find-links https://f.example/links"],
    ),
    "no index": (Inputs(no_index=True), {"no-index": True}, ["--no-index"]),
    "no index and one": (Inputs(no_index=True, index_url="https://i.example/s"), {"no-index": True}, ["--no-index"]),
    "pre": (Inputs(pre=True), {"pre": True}, ["--pre"]),
    "only binary": (Inputs(only_binary=(":all:",)), {"only-binary": [":all:"]}, ["--only-binary :all:"]),
    "no binary": (Inputs(no_binary=("two", "one")), {"no-binary": ["one", "two"]}, ["--no-binary one,two"]),
    "hashes": (Inputs(require_hashes=True), {"require-hashes": True}, ["--require-hashes"]),
}


@pytest.mark.parametrize(("inputs", "canonical", "lines"), OPTIONS.values(), ids=OPTIONS)
def test_options(inputs: Inputs, canonical: dict[str, Any], lines: list[str]) -> None:
    """Options count, and become lines of the file that pip reads."""
    assert canonical == inputs.request().resolution
    assert lines == pip_options(inputs)


def test_credentials_stay_in_the_recipe() -> None:
    """The installer gets the URL as it was said; the request and its key do not."""
    inputs = Inputs(
        index_url=SECRET_URL,
        extra_index_url=("https://secret@b.example/?token=secret",),
        find_links=("https://u:secret@c.example/#secret",),
    )
    request = inputs.request()
    assert {
        "index-url": ["https://index.example/simple", "https://b.example"],
        "find-links": ["https://c.example"],
    } == request.resolution
    assert [
        f"--index-url {SECRET_URL}",
        "--extra-index-url 'https://secret@b.example/?token=secret'",
        "--find-links 'https://u:secret@c.example/#secret'",
    ] == pip_options(inputs)
    assert "secret" not in json.dumps(request.canonical())


def test_credentials_do_not_change_the_key() -> None:
    """Who asks does not matter."""
    assert key(Inputs(index_url=SECRET_URL)) == key(Inputs(index_url="https://index.example/simple"))
    assert key(Inputs(index_url=SECRET_URL)) != key(Inputs(index_url="https://other.example/simple"))


def test_find_links_by_content() -> None:
    """A folder of distributions counts by its content, wherever it stands and whatever it is called."""
    here, there = wheels("wheels"), wheels("elsewhere/links")
    assert key(Inputs(find_links=(here,))) == key(Inputs(find_links=(there,)))
    before = key(Inputs(find_links=(here,)))
    Path(here, "two-1-py3-none-any.whl").touch()
    assert before != key(Inputs(find_links=(here,)))


def test_find_links_are_absolute_in_the_recipe(project: Path) -> None:
    """The installer finds the folder from wherever it runs."""
    assert [f"--find-links {project}/wheels"] == pip_options(Inputs(find_links=(wheels("wheels"),)))


@pytest.mark.parametrize("spelling", ["~/wheels", "file:{home}/wheels", "file://{home}/wheels", "{home}/wheels"])
def test_find_links_in_every_spelling(spelling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder is the same whether it is named from the home, by a URL or by its path, and pip is led to it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels/one.whl").write_text("one")
    inputs = Inputs(requirements=("/dev/null",), find_links=(spelling.format(home=tmp_path),))
    plain = Inputs(requirements=("/dev/null",), find_links=(str(tmp_path / "wheels"),))
    assert plain.request().resolution == inputs.request().resolution
    assert "absent" not in str(inputs.request().resolution)
    (line,) = pip_options(inputs)
    assert line.endswith(f"{tmp_path}/wheels")


def test_missing_find_links_are_absent() -> None:
    """A folder that is not there is none, as pip has it, and is another thing than an empty one."""
    Path("empty").mkdir()
    keys = {key(Inputs(find_links=(place,))) for place in ("nowhere", "elsewhere", "empty")}
    assert 2 == len(keys - {key(Inputs())})


def test_malformed_find_links_are_named() -> None:
    """A file URL that is none is an error that names it."""
    with pytest.raises(UsageError, match=r"^--find-links .*file://\[.* cannot be used: file://\[ is no URL"):
        Inputs(find_links=("file://[",)).request()


def test_find_links_by_file_url_by_content(project: Path) -> None:
    """A folder by its file URL counts by its content too."""
    wheels("wheels")
    inputs = Inputs(find_links=(f"file://{project}/wheels",))
    before = key(inputs)
    Path("wheels/two-1-py3-none-any.whl").touch()
    assert before != key(inputs)


def test_pips_settings_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """What pip's own settings say about a resolution enters the request, without credentials."""
    before = key(Inputs())
    monkeypatch.setenv("PIP_INDEX_URL", SECRET_URL)
    monkeypatch.setenv("PIP_RETRIES", "9")
    assert {"index-url": ["https://index.example/simple"]} == Inputs().request().resolution
    assert before != key(Inputs())


@pytest.mark.parametrize(
    ("variable", "change"),
    [
        pytest.param("PIP_CONSTRAINT", lambda: Path("limits.txt").write_text("one<2\n"), id="constraints"),
        pytest.param("PIP_FIND_LINKS", lambda: Path("wheels/two.whl").touch(), id="find-links"),
    ],
)
def test_files_that_pips_settings_name_count(
    monkeypatch: pytest.MonkeyPatch, variable: str, change: Callable[[], Any]
) -> None:
    """A constraint or a folder of distributions counts by its content, whoever names it."""
    Path("limits.txt").write_text("one<3\n")
    wheels("wheels")
    monkeypatch.setenv(variable, "limits.txt" if variable == "PIP_CONSTRAINT" else "wheels")
    before = key(Inputs())
    change()
    assert before != key(Inputs())


def test_variables_of_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables count when they are named; one that is not set is not an empty one."""
    monkeypatch.setenv("CFLAGS", "-O3")
    monkeypatch.delenv("CMAKE_ARGS", raising=False)
    inputs = Inputs(key_env=("CMAKE_ARGS", "CFLAGS"))
    assert {"CFLAGS": "-O3", "CMAKE_ARGS": None} == inputs.request().variables
    before, without = key(inputs), key(Inputs())
    monkeypatch.setenv("CFLAGS", "-O2")
    assert 3 == len({before, key(inputs), without})
    assert without == key(Inputs())


def test_variables_in_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """${NAME} in a requirements file takes its value from the surroundings."""
    Path("requirements.txt").write_text("one==${VERSION}\n")
    monkeypatch.setenv("VERSION", "7")
    assert ("one==7",) == Inputs().request().requirements.requirements


def test_salt_and_seed_count() -> None:
    """Each makes another key, and whether pip stays is the recipe's too."""
    assert 3 == len({key(Inputs()), key(Inputs(salt="pinch")), key(Inputs(seed=False))})
    assert [False, True] == [each.recipe(*each.read()).seed for each in (Inputs(seed=False), Inputs())]


def test_the_recipe_takes_lines_as_they_are() -> None:
    """The installer gets the lines that were read, as they are written, with the interpreter that was found."""
    Path("requirements.txt").write_text("One == 1.0\n-r more.txt\n")
    Path("more.txt").write_text("two ; os_name == 'nt'\n")
    Path("limits.txt").write_text("one<2\n")
    inputs = Inputs(constraints=("limits.txt",))
    request, said = inputs.read()
    recipe = inputs.recipe(request, said)
    assert (["One == 1.0", "two ; os_name == 'nt'"], ["one<2"]) == (
        recipe.said.requirements,
        recipe.said.constraints,
    )
    assert request.interpreter == recipe.interpreter


def test_secrets_of_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """The values of variables in URLs are secrets of the recipe, and no part of the request."""
    Path("requirements.txt").write_text("one @ https://${TOKEN}@f.example/one.zip\ntwo==${VERSION}\n")
    monkeypatch.setenv("TOKEN", "hunter2")
    monkeypatch.setenv("VERSION", "7")
    inputs = Inputs()
    request, said = inputs.read()
    assert ("hunter2",) == inputs.recipe(request, said).secrets
    assert ["one @ https://hunter2@f.example/one.zip", "two==7"] == said.requirements
    assert "hunter2" not in json.dumps(request.canonical())


def test_nothing_is_installed_when_nothing_is_wanted() -> None:
    """Files without requirements say nothing to the installer."""
    Path("requirements.txt").write_text("# nothing yet\n")
    assert [] == Inputs().recipe(*Inputs().read()).said.requirements


def test_the_same_project_elsewhere(tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of a project has the same key: where it stands does not matter."""
    Path("requirements.txt").write_text("./one-1-py3-none-any.whl\n-f wheels\n-r more/two.txt\n")
    Path("one-1-py3-none-any.whl").write_text("wheel")
    Path("more").mkdir()
    Path("more/two.txt").write_text("two\n")
    wheels("wheels")
    before = key(Inputs())
    shutil.copytree(project, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    assert before == key(Inputs())


def test_settings_of_the_installer_that_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip's settings count for pip and uv's for uv."""
    monkeypatch.setenv("PIP_PRE", "1")
    monkeypatch.setenv("UV_RESOLUTION", "lowest")
    by_pip, by_uv = Inputs().request(), Inputs(installer="uv").request()
    assert ("pip", {"pre": True}) == (by_pip.installer, by_pip.resolution)
    assert ("uv", {"uv.resolution": "lowest"}) == (by_uv.installer, by_uv.resolution)
    recipe = Inputs(installer="uv").recipe(*Inputs(installer="uv").read())
    assert "uv" == recipe.installer
    assert isinstance(recipe.said, ForUv)


def test_every_option_can_be_said_to_uv() -> None:
    """What uv has in its own words is said to it; what it has not is a usage error that names the option."""
    said = Inputs(
        installer="uv",
        index_url="https://a.example/",
        extra_index_url=("https://b.example/",),
        find_links=(wheels("wheels"),),
        pre=True,
        only_binary=(":all:",),
        no_binary=("one",),
    )
    assert said.request().resolution == said._replace(installer="pip").request().resolution
    locked = said._replace(no_index=True, require_hashes=True)
    assert locked.request().resolution == locked._replace(installer="pip").request().resolution
    for inputs in (Inputs(installer="uv", only_binary=(":none:",)), Inputs(installer="uv", no_binary=("one,:none:",))):
        with pytest.raises(UsageError, match=r"^--\w+-binary \S+ cannot be used"):
            inputs.request()


def test_lines_that_only_pip_knows() -> None:
    """A line that uv would ignore is refused for uv and taken for pip."""
    Path("requirements.txt").write_text("one==1\n--prefer-binary\n")
    assert {"prefer-binary": True} == Inputs().request().resolution
    with pytest.raises(RequirementsError, match=r"requirements\.txt, line 2"):
        Inputs(installer="uv").request()


def test_files_that_the_machine_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """What pip's settings name to be read is read to its end, as what the command line names."""
    Path("limits.txt").write_text("one<2\n-c more.txt\n")
    Path("more.txt").write_text("# nothing else\ntwo<3\n")
    Path("besides.txt").write_text("three\n")
    expected = Inputs(requirements=("besides.txt", "requirements.txt"), constraints=("limits.txt",)).request()
    monkeypatch.setenv("PIP_CONSTRAINT", "limits.txt")
    monkeypatch.setenv("PIP_REQUIREMENT", "besides.txt")
    request, said = Inputs().read()
    assert expected.canonical() == request.canonical()
    assert (["three", "one==1"], ["one<2", "two<3"]) == (said.requirements, said.constraints)
    monkeypatch.setenv("PIP_CONSTRAINT", "nowhere.txt")
    with pytest.raises(UsageError, match=r"^pip's setting constraint: nowhere\.txt is not there$"):
        Inputs().read()


@pytest.mark.parametrize("option", ["-i", "--extra-index-url", "-f"])
def test_a_variable_in_the_url_of_an_index_counts_by_its_name(option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token may stand anywhere in a URL: another one is no other key, and is shown to nobody but the installer."""
    Path("requirements.txt").write_text(f"{option} https://index.example/${{TOKEN}}/simple\none==1\n")
    keys = set()
    for token in ("secret-one", "secret-two"):
        monkeypatch.setenv("TOKEN", token)
        request, said = Inputs().read()
        assert isinstance(said, ForPip)
        assert token in " ".join(said.options())
        assert token not in json.dumps(request.canonical())
        assert "${TOKEN}" in json.dumps(request.canonical())
        keys.add(EnvKey.of(request))
    assert 1 == len(keys)


@pytest.mark.parametrize(
    ("text", "unlocked"),
    [
        ("one==1 --hash=sha256:aa\n", None),
        ("one @ https://files.example/one-1-py3-none-any.whl#sha256=aa\n--require-hashes\n", None),
        ("one==1 --hash=sha256:aa\ntwo\n", "no hash fixes two"),
        ("one==1 --hash=sha256:aa\ntwo @ git+https://git.example/two@v1\n", "no hash fixes two @ git"),
        ("one @ https://files.example/one-1-py3-none-any.whl#sha256=aa\n", "what else"),
        ("one==1\n", "no hash fixes one==1"),
    ],
)
def test_what_is_locked(text: str, unlocked: str | None) -> None:
    """Each requirement must be fixed, and all that they need."""
    Path("requirements.txt").write_text(text)
    if unlocked is None:
        Inputs(require_locked=True).read()
        return
    with pytest.raises(RequirementsError, match=unlocked):
        Inputs(require_locked=True).read()


@pytest.mark.parametrize("url", ["https://INDEX.example/simple", "HTTPS://index.example:443/simple/"])
def test_spellings_of_an_index(url: str) -> None:
    """Scheme and host have no case, and a port that goes without saying need not be said."""
    assert key(Inputs(index_url=url)) == key(Inputs(index_url="https://index.example/simple"))
