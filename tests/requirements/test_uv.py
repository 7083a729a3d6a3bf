"""uv's settings on a machine count as uv reads them; what cannot be obeyed is refused, nothing is dropped."""

from __future__ import annotations

import os
import re
import subprocess
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import tomli_w

from terrastore.errors import UsageError
from terrastore.requirements import Disk, uv
from terrastore.requirements.uv import configuration_files, effective_settings, uv_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

UV = os.path.join(sysconfig.get_path("scripts"), "uv")
TABLES = [uv.SHAPING, uv.WITHOUT_EFFECT, uv.OURS, uv.OF_OTHER_COMMANDS, uv.REFUSED.keys()]
VARIABLES = [
    uv.SHAPING_VARIABLES,
    uv.VARIABLES_WITHOUT_EFFECT,
    uv.VARIABLES_OF_OURS,
    uv.VARIABLES_OF_OTHER_COMMANDS,
    uv.REFUSED_VARIABLES.keys(),
]


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a project on a machine whose configuration is in a folder of the test."""
    for name in [name for name in os.environ if name.startswith(("UV_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path


def write(path: str, text: str) -> Path:
    place = Path(path).expanduser().absolute()
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    return place


def effective(**variables: str) -> uv.Settings:
    """Return the settings of the current directory, where nothing is read from outside of the test."""
    home = str(Path("~").expanduser())
    return effective_settings({"XDG_CONFIG_DIRS": home + "/xdg"} | variables, os.getcwd(), reader=Disk())


def key(**variables: str) -> dict[str, str]:
    """Return what of the settings is part of a key."""
    return uv_settings(effective(**variables), reader=Disk())


def fields(text: str) -> set[str]:
    """Return the settings that uv knows, from its message about one that it does not."""
    path = write("unknown.toml", text)
    command = [UV, "pip", "list", "--config-file", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return set(re.findall(r"`([a-z-]+)`", done.stderr.partition("expected one of")[2]))


def test_every_setting_has_its_place() -> None:
    """Each setting that this uv knows stands in exactly one table, and so does each variable."""
    known = fields("frobnicate = 1\n") | fields("[pip]\nfrobnicate = 1\n")
    assert len(known) > 60
    assert known - {"pip"} <= set().union(*TABLES)
    assert sum(map(len, TABLES)) == len(set().union(*TABLES))
    assert sum(map(len, VARIABLES)) == len(set().union(*VARIABLES))


@pytest.mark.parametrize("name", sorted(uv.REFUSED))
@pytest.mark.parametrize("table", ["", "[pip]\n"])
def test_settings_that_are_refused(name: str, table: str) -> None:
    """What would lead uv elsewhere is an error that names file and setting."""
    path = write("uv.toml", f'{table}{name} = "x"\n')
    with pytest.raises(UsageError, match=f"^{path}: .*{name}") as raised:
        effective()
    assert raised.value.hint


@pytest.mark.parametrize("text", ["frobnicate = 1\n", "[pip]\nfrobnicate = 1\n", "pip = 1\n"])
def test_settings_that_nobody_knows_are_refused(text: str) -> None:
    """A setting that terrastore does not know is never dropped."""
    write("uv.toml", text)
    with pytest.raises(UsageError, match=r"uv\.toml: "):
        effective()


@pytest.mark.parametrize("name", [*uv.REFUSED_VARIABLES, "UV_FROBNICATE"])
def test_variables_that_are_refused(name: str) -> None:
    """A variable that would lead uv elsewhere, or that nobody knows, is an error; an empty one is none."""
    with pytest.raises(UsageError, match=name) as raised:
        effective(**{name: "1"})
    assert name in raised.value.hint
    assert {} == key(**{name: ""})


@pytest.mark.parametrize("name", sorted(uv.SHAPING_VARIABLES - uv._REQUIREMENTS_FILES - {"UV_FIND_LINKS"}))
def test_variables_that_count(name: str) -> None:
    """What shapes a resolution reaches uv and the key."""
    assert {name: "1"} == effective(**{name: "1"}).variables
    assert ["1"] == list(key(**{name: "1"}).values())


@pytest.mark.parametrize("name", [*sorted(uv.VARIABLES_WITHOUT_EFFECT), "UV_INDEX_A_PASSWORD", "UV_INDEX_A_USERNAME"])
def test_variables_without_effect(name: str) -> None:
    """How uv works is no part of the key, and reaches it."""
    assert ({name: "1"}, {}) == (effective(**{name: "1"}).variables, key(**{name: "1"}))


@pytest.mark.parametrize(
    "name",
    [
        *sorted((uv.VARIABLES_OF_OURS | uv.VARIABLES_OF_OTHER_COMMANDS) - {"UV_CONFIG_FILE"}),
        "UV_RUN_RECURSION_DEPTH",
        "UV_PYTHON_INSTALL_DIR",
        "PIP_INDEX_URL",
        "NOT_UV_INDEX_URL",
    ],
)
def test_variables_that_uv_does_not_get(name: str) -> None:
    """What terrastore decides, what is of other commands and what is not uv's reaches neither uv nor the key."""
    assert ({}, {}) == (effective(**{name: "1"}).variables, key(**{name: "1"}))


def test_settings_by_kind() -> None:
    """What shapes a resolution is kept and counts, what does not is kept, the rest is left out."""
    write("uv.toml", 'resolution = "lowest"\nconcurrent-builds = 1\nlink-mode = "hardlink"\n[pip]\nno-deps = true\n')
    assert {"resolution": "lowest", "concurrent-builds": 1, "pip": {"no-deps": True}} == effective().document
    assert {"resolution": "lowest", "pip.no-deps": "true"} == key()


def test_who_says_it_does_not_matter() -> None:
    """A choice is the same by file, by table and by variable; a variable beats [pip], and that the rest."""
    expected = {"index-strategy": "unsafe-best-match"}
    assert expected == key(UV_INDEX_STRATEGY="unsafe-best-match")
    write("uv.toml", 'index-strategy = "unsafe-best-match"\n')
    assert expected == key()
    write("uv.toml", 'index-strategy = "first-index"\n[pip]\nindex-strategy = "unsafe-best-match"\n')
    assert expected == key()
    assert {"index-strategy": "first-index"} == key(UV_INDEX_STRATEGY="first-index")


def test_credentials_are_dropped() -> None:
    """No URL keeps its user, its password and its query in a key; uv gets them."""
    write(
        "uv.toml",
        'index-url = "https://u:secret@a.example/simple?token=secret"\nfind-links = ["https://secret@b.example/"]\n'
        '[[index]]\nname = "c"\nurl = "https://u:secret@c.example/"\nexplicit = true\nauthenticate = "always"\n'
        '[extra-build-variables]\none = { API = "secret" }\n',
    )
    found = key(
        UV_INDEX="d=https://u:secret@d.example/ https://secret@e.example/", UV_DEFAULT_INDEX="https://s@f.example/"
    )
    assert "secret" not in str(found)
    assert "https://a.example/simple" == found["index-url"]
    assert '["https://b.example/"]' == found["find-links"]
    assert '[{"explicit":true,"name":"c","url":"https://c.example/"}]' == found["index"]
    assert ("d=https://d.example/ https://e.example/", "https://f.example/") == (
        found["UV_INDEX"],
        found["UV_DEFAULT_INDEX"],
    )
    assert found["extra-build-variables"].startswith("sha256:")
    assert "secret" in str(effective().document)


def test_secrets_are_known() -> None:
    """Values of variables that hold credentials are never to be written."""
    settings = effective(UV_INDEX_A_PASSWORD="one", UV_INDEX_A_USERNAME="two", UV_AUTH_TOKEN="x", UV_HTTP_TIMEOUT="3")
    assert ("x", "one") == settings.secrets


def test_paths_in_files_are_relative_to_them(machine: Path) -> None:
    """A relative path means the same wherever uv is started, and a folder counts by content."""
    write("../wheels/one-1-py3-none-any.whl", "one")
    write("~/.config/uv/uv.toml", 'find-links = ["../../../wheels"]\n')
    (link,) = effective().document["find-links"]
    assert machine / "wheels" == Path(os.path.normpath(link))
    before = key()
    assert re.fullmatch(r'\["sha256:[0-9a-f]{64}"\]', before["find-links"])
    write("../wheels/one-1-py3-none-any.whl", "two")
    assert before != key()
    write("uv.toml", '[[index]]\nurl = "flat"\nformat = "flat"\ndefault = true\n')
    assert str(machine / "project/flat") == effective().document["index"][0]["url"]
    with pytest.raises(UsageError, match="flat cannot be read"):
        key()


def test_requirements_in_settings() -> None:
    """Constraints and overrides count in their canonical form, and what they name by file by content."""
    wheel = write("one-1-py3-none-any.whl", "one")
    write("uv.toml", f'constraint-dependencies = ["Two >= 1"]\noverride-dependencies = ["one @ file://{wheel}"]\n')
    found = key()
    assert '["two>=1"]' == found["constraint-dependencies"]
    wheel.write_text("two")
    assert found["override-dependencies"] != key()["override-dependencies"]
    write("uv.toml", 'override-dependencies = ["one @ ./one-1-py3-none-any.whl"]\n')
    with pytest.raises(UsageError, match="by a path"):
        key()


@pytest.mark.parametrize("name", sorted(uv._REQUIREMENTS_FILES))
def test_files_of_variables_count_by_content(name: str) -> None:
    """Files of constraints and overrides count by what they say; what they include is refused, and so are URLs."""
    path = write("limits.txt", "Two>=1\none  # why\n")
    before = key(**{name: "limits.txt"})
    path.write_text("one\n\ntwo >=1\n")
    assert before == key(**{name: str(path)})
    path.write_text("one\ntwo>=2\n")
    assert before != key(**{name: "limits.txt"})
    path.write_text("one\n-r more.txt\n")
    for value in ("limits.txt", "nowhere.txt", "https://a.example/limits.txt"):
        with pytest.raises(UsageError, match=name):
            key(**{name: value})


def test_a_backend_that_depends_on_the_machine_is_refused() -> None:
    """What uv would find out about a GPU is in no key."""
    write("uv.toml", '[pip]\ntorch-backend = "auto"\n')
    with pytest.raises(UsageError, match="auto"):
        effective()
    assert {"torch-backend": "cpu"} == key(UV_TORCH_BACKEND="cpu", UV_NO_CONFIG="1")


@pytest.mark.parametrize("text", ["not toml", 'index-url = "https://u:secret@a.example/\n'])
def test_a_file_that_cannot_be_read(text: str) -> None:
    """A file that uv could not use either is a usage error that names it, without what is in it."""
    path = write("uv.toml", text)
    with pytest.raises(UsageError, match=str(path)) as raised:
        effective()
    assert "secret" not in raised.value.message
    with pytest.raises(UsageError, match="nowhere"):
        effective(UV_CONFIG_FILE="nowhere.toml")


def test_sources_can_be_switched_off() -> None:
    """A variable beats files."""
    assert effective().sources
    assert not effective(UV_NO_SOURCES="1").sources
    write("uv.toml", "no-sources = true\n")
    assert not effective().sources
    assert effective(UV_NO_SOURCES="false").sources
    write("uv.toml", "no-sources = true\n[pip]\nno-sources = false\n")
    assert effective().sources


def found(*expected: str, **variables: str) -> None:
    """Check which files are read."""
    home = str(Path("~").expanduser())
    files = configuration_files({"XDG_CONFIG_DIRS": home + "/xdg"} | variables, os.getcwd(), reader=Disk())
    assert [os.path.abspath(Path(path).expanduser()) for path in expected] == [
        os.path.normpath(path) for path, _ in files
    ]


def test_where_uv_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The project's nearest file, the user's, and one of the machine's; one that is named replaces all."""
    found()
    for path in ("../uv.toml", "~/.config/uv/uv.toml", "~/xdg/uv/uv.toml", "~/other/uv/uv.toml"):
        write(path, "")
    found("../uv.toml", "~/.config/uv/uv.toml", "~/xdg/uv/uv.toml")
    write("pyproject.toml", "[tool.uv]\n")
    found("pyproject.toml", "~/.config/uv/uv.toml", "~/xdg/uv/uv.toml")
    write("uv.toml", "")
    found("uv.toml", "~/.config/uv/uv.toml", "~/xdg/uv/uv.toml")
    found("uv.toml", "~/other/uv/uv.toml", XDG_CONFIG_HOME=str(Path("~/other").expanduser()), UV_NO_SYSTEM_CONFIG="1")
    found("../uv.toml", UV_CONFIG_FILE="../uv.toml")
    found(UV_NO_CONFIG="1")
    found(UV_ISOLATED="true")
    found("uv.toml", "~/.config/uv/uv.toml", "~/xdg/uv/uv.toml", UV_NO_CONFIG="0")


PROJECT = '[project]\nname = "a"\nversion = "1"\n'
TREES: dict[str, dict[str, str]] = {
    "nothing": {},
    "user": {"~/.config/uv/uv.toml": 'resolution = "lowest"\nextra-index-url = ["https://a.example/"]\n'},
    "all three": {
        "uv.toml": 'extra-index-url = ["https://p.example/"]\nindex-url = "https://p.example/"\n'
        'find-links = ["w"]\n[config-settings]\na = "1"\n[pip]\nno-binary = ["one"]\nextra-index-url = ["sub"]\n',
        "~/.config/uv/uv.toml": 'index-url = "https://u.example/"\nfind-links = ["w"]\nprerelease = "allow"\n'
        '[config-settings]\na = ["2", "3"]\nb = "4"\n[pip]\nno-binary = ["two"]\nprerelease = "disallow"\n',
        "~/xdg/uv/uv.toml": 'find-links = ["/w"]\nconstraint-dependencies = ["one<2"]\n[config-settings]\na = "5"\n'
        '[[index]]\nname = "x"\nurl = "https://x.example/"\ndefault = true\n'
        '[exclude-newer-package]\none = "2024-01-01T00:00:00Z"\n[extra-build-variables]\none = { A = "1" }\n',
    },
    "two of everything": {
        "uv.toml": 'no-build = true\noverride-dependencies = ["one==1"]\nno-sources-package = ["one"]\n'
        '[extra-build-variables]\none = { A = "1" }\n[extra-build-dependencies]\none = ["two"]\n'
        '[exclude-newer-package]\none = "2024-01-01T00:00:00Z"\n[config-settings-package]\none = { a = "1" }\n'
        '[[dependency-metadata]]\nname = "one"\nversion = "1"\n[[index]]\nname = "x"\nurl = "./x"\n',
        "~/.config/uv/uv.toml": 'no-build-package = ["two"]\noverride-dependencies = ["two==1"]\nno-sources = true\n'
        '[extra-build-variables]\none = { A = "2", B = "3" }\n[extra-build-dependencies]\none = ["three"]\n'
        '[exclude-newer-package]\none = "2025-01-01T00:00:00Z"\ntwo = "2025-01-01T00:00:00Z"\n'
        '[config-settings-package]\none = { a = "2" }\n[[index]]\nname = "x"\nurl = "https://y.example/"\n',
    },
    "workspace": {
        "../pyproject.toml": '[tool.uv]\nresolution = "lowest"\n[tool.uv.workspace]\nmembers = ["pro*"]\n',
        "pyproject.toml": PROJECT + '[tool.uv]\nresolution = "lowest-direct"\n',
        "uv.toml": 'resolution = "lowest-direct"\n',
    },
    "not in the workspace": {
        "../pyproject.toml": '[tool.uv]\nresolution = "lowest"\n[tool.uv.workspace]\nmembers = ["x/*"]\n',
        "pyproject.toml": PROJECT + '[tool.uv]\nresolution = "lowest-direct"\n',
    },
    "excluded from the workspace": {
        "../pyproject.toml": '[tool.uv]\nresolution = "lowest"\n'
        '[tool.uv.workspace]\nmembers = ["*"]\nexclude = ["project"]\n',
        "pyproject.toml": PROJECT,
    },
    "below a project": {
        "../pyproject.toml": PROJECT + '[tool.uv]\nresolution = "lowest"\n',
        "uv.toml": 'resolution = "lowest-direct"\n',
    },
    "below no project": {
        "../pyproject.toml": '[tool.uv]\nresolution = "lowest"\n',
        "uv.toml": 'resolution = "lowest-direct"\n',
    },
    "an empty table": {"../uv.toml": 'resolution = "lowest"\n', "pyproject.toml": "[tool.uv]\n"},
    "no table": {"../uv.toml": 'resolution = "lowest"\n', "pyproject.toml": PROJECT},
    "unmanaged": {
        "../pyproject.toml": PROJECT + '[tool.uv]\nmanaged = false\nresolution = "lowest"\n',
        "uv.toml": 'resolution = "lowest-direct"\n',
    },
}
ENVIRONMENTS: dict[str, dict[str, str]] = {
    "bare": {},
    "variables": {
        "UV_INDEX_URL": "https://v.example/",
        "UV_EXTRA_INDEX_URL": "https://v.example/1 https://v.example/2",
        "UV_FIND_LINKS": "a,b",
        "UV_PRERELEASE": "if-necessary",
        "UV_NO_SOURCES_PACKAGE": "x",
        "UV_BREAK_SYSTEM_PACKAGES": "0",
    },
}


def shown(folder: Path, variables: Mapping[str, str], *arguments: str) -> str:
    """Return the settings that uv itself comes to, without when, where and in what words they were found."""
    clean = {name: value for name, value in os.environ.items() if name not in {"SSL_CERT_FILE", "SSL_CERT_DIR"}}
    command = [UV, "pip", "install", "--show-settings", *arguments, "one"]
    done = subprocess.run(command, cwd=folder, env=clean | dict(variables), capture_output=True, text=True, check=True)
    return re.sub(r"origin: (None|Some\(\s*\w+,\s*\)),|given: Some\([^)]*\),|tv_n?sec: \d+", "", done.stdout)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("tree", TREES)
def test_uv_comes_to_the_same(tree: str, environment: str) -> None:
    """What uv makes of its own files and what it makes of the one that it gets is the same."""
    for path, text in TREES[tree].items():
        write(path, text)
    variables = {"XDG_CONFIG_DIRS": str(Path("~/xdg").expanduser())} | ENVIRONMENTS[environment]
    settings = effective_settings(variables, os.getcwd(), reader=Disk())
    document: dict[str, Any] = dict(settings.document)
    handed = write("~/handed/uv.toml", tomli_w.dumps(document))
    theirs = shown(Path.cwd(), variables)
    assert theirs == shown(Path.cwd(), settings.variables, "--config-file", str(handed))
    assert (tree in {"nothing", "an empty table"}) == (
        theirs == shown(Path.cwd(), ENVIRONMENTS[environment], "--no-config")
    )
