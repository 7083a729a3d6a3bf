"""``terrastore show --freeze``: installers take what it prints, and install the same."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import CommandLine, command_line, make_wheel
from tests.planted import found_in
from tests.private_index import READER, TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

UV = Path(sys.executable).with_name("uv")
ASKED = "--no-binary docopt\nrequests[socks]==2.32.3\ndocopt==0.6.2\ncolorama<0.4.7\n"


class Fresh:
    """An environment that nothing is installed in, and what installs into it."""

    def __init__(self, cli: CommandLine, installer: str) -> None:
        self.cli = cli
        self.place = cli.home / f"fresh-{installer}"
        self.python = self.place / "bin/python"
        self.installer = installer
        self.run(sys.executable, "-m", "venv", str(self.place))

    def run(self, *command: str, **variables: str) -> str:
        env = self.cli.env | variables
        done = subprocess.run(command, cwd=self.cli.cwd, env=env, capture_output=True, text=True, check=False)
        assert 0 == done.returncode, done.stdout + done.stderr
        return done.stdout

    def install(self, *arguments: str, **variables: str) -> None:
        if self.installer == "uv":
            self.run(str(UV), "pip", "install", "--python", str(self.python), *arguments, **variables)
        else:
            self.run(str(self.python), "-m", "pip", "install", *arguments, **variables)

    def versions(self) -> dict[str, str]:
        """Return what is installed but for pip and what came with it."""
        return versions(self.place, besides={"pip", "setuptools"})


def versions(environment: Path, *, besides: set[str]) -> dict[str, str]:
    names = (info.name for info in environment.glob("lib/*/site-packages/*.dist-info"))
    found = (name.removesuffix(".dist-info").rpartition("-")[::2] for name in names)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found if name not in besides}


@pytest.fixture(scope="module", params=["pip", "pip with a wheelhouse"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """Return a command line with an environment of wheels, an sdist and an extra."""
    with command_line(tmp_path_factory.mktemp("frozen") / "home", Path()) as cli:
        del cli.env["PIP_NO_INDEX"], cli.env["PIP_FIND_LINKS"]
        if request.param != "pip":
            cli.env["TERRASTORE_WHEELHOUSE"] = "1"
        cli.write("requirements.txt", ASKED)
        cli.ok("ensure")
        yield cli


@pytest.mark.network
@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_installers_take_it_and_demand_every_hash(made: CommandLine, installer: str) -> None:
    """What was open, an extra's packages and an sdist, by version and hash: the same is installed."""
    key = made.ok("key").out.strip()
    frozen = made.write("frozen.txt", made.ok("show", key, "--freeze").out)
    title, *lines = frozen.read_text().splitlines()
    assert title.startswith(f"# {key}: Python 3.")
    names = ["certifi", "charset-normalizer", "colorama", "docopt", "idna", "pysocks", "requests", "urllib3"]
    assert names == [re.fullmatch(r"([a-z0-9-]+)==\S+ --hash=sha256:[0-9a-f]{64}", line)[1] for line in lines]  # type: ignore[index]
    fresh = Fresh(made, installer)
    fresh.install("--require-hashes", "-r", str(frozen))
    assert versions(made.cwd / ".venv", besides={"pip"}) == fresh.versions()


@pytest.mark.network
def test_the_environment_says_the_same(made: CommandLine) -> None:
    """Its directory will do, without a store, wherever one is; so will it as JSON."""
    key = made.ok("key").out.strip()
    lines = made.ok("show", key, "--freeze").out
    assert lines == made.ok("show", ".venv", "--freeze", "--store", "/nowhere/at/all").out
    told = made.ok("show", ".venv", "--freeze", "--json").json
    assert (1, key, []) == (told["schema"], told["key"], told["left_out"])
    assert lines.splitlines()[1:] == [
        f"{each['requirement']} --hash={each['hashes'][0]}" for each in told["requirements"]
    ]
    assert {"name": "docopt", "version": "0.6.2"}.items() <= told["requirements"][3].items()


@pytest.mark.parametrize("builder", ["pip", "uv"])
def test_what_has_no_hash(online: CommandLine, private_git: str, wheels: Path, builder: str) -> None:
    """A repository is named with its commit and without a login; uv takes it with the others, pip apart."""
    offline = ("--no-index", "--find-links", str(wheels))
    login = f"{READER}:{TOKEN}@"
    online.write("requirements.txt", f"alpha==1.0\nhomemade @ git+http://{login}{private_git}/team/homemade.git@v1\n")
    online.ok("ensure", "--installer", builder, *offline)
    said = online.ok("show", ".venv", "--freeze").out
    frozen = online.write("frozen.txt", said)
    assert [] == found_in(said.encode())
    _, apart, *lines = said.splitlines()
    assert re.fullmatch(rf"homemade @ git\+http://{private_git}/team/homemade\.git@[0-9a-f]{{40}}", lines[2])
    assert ["alpha==1.0", "beta==1.0", "homemade"] == [line.split(" ")[0] for line in lines]
    unhashed = "homemade" if builder == "pip" else "alpha, beta, homemade"
    assert apart.endswith(f" by pip: {unhashed}")
    git = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.http://{login}{private_git}/.insteadOf",
        "GIT_CONFIG_VALUE_0": f"http://{private_git}/",
    }
    uv = Fresh(online, "uv")
    uv.install("-r", str(frozen), *offline, **git)
    pip = Fresh(online, "pip")
    for part in parts(online, frozen):
        pip.install("--no-deps", "-r", part, *offline, **git)
    expected = {"alpha": "1.0", "beta": "1.0", "homemade": "1.0"}
    assert [expected, expected] == [uv.versions(), pip.versions()]


def parts(cli: CommandLine, frozen: Path) -> list[str]:
    """Return the files that docs/promotion.md makes of one, as it makes them."""
    docs = (Path(__file__).parents[2] / "docs/promotion.md").read_text()
    commands = re.findall(r"^    (grep .+ frozen\.txt > \S+)", docs, re.MULTILINE)
    assert 2 == len(commands)
    for command in commands:
        subprocess.run(command, shell=True, check=False, cwd=frozen.parent)
    made = [command.rpartition(" ")[2] for command in commands]
    return [name for name in made if (cli.cwd / name).stat().st_size]


def test_what_is_from_this_machine(cli: CommandLine, wheels: Path) -> None:
    """A file by its hash, to be found by whoever has it; a project and what is edited is named, and left out."""
    make_wheel(cli.cwd, "local", "1.0", {"local.py": ""})
    for name in ("project", "edited"):
        (cli.cwd / name).mkdir()
        (cli.cwd / name / "pyproject.toml").write_text(
            '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
            f'[project]\nname = "{name}"\nversion = "1.0"\n'
        )
        (cli.cwd / name / "backend.py").write_text(backend(name))
    cli.write("requirements.txt", "./local-1.0-py3-none-any.whl\n./project\n-e ./edited\nbeta\n")
    cli.ok("ensure")
    _, files, *lines = cli.ok("show", ".venv", "--freeze").out.splitlines()
    assert "# from files of the machine that built it, which -f must find: local" == files
    assert "# left out: project 1.0, from the disk of the machine that built it" == lines[0]
    assert lines[1].startswith("# left out: edited")
    assert ["beta==1.0", "local==1.0"] == [line.split(" ")[0] for line in lines[2:]]
    assert str(cli.home) not in "\n".join(lines)
    frozen = cli.write("frozen.txt", cli.ok("show", ".venv", "--freeze").out)
    fresh = Fresh(cli, "pip")
    fresh.install("--require-hashes", "-r", str(frozen), "-f", str(cli.cwd), "-f", str(wheels))
    assert {"beta": "1.0", "local": "1.0"} == fresh.versions()


def backend(name: str) -> str:
    """Return a build backend (PEP 517, PEP 660) of a project that needs nothing."""
    return f"""
import zipfile

def build_wheel(folder, *_):
    file = "{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(folder + "/" + file, "w") as wheel:
        info = "{name}-1.0.dist-info"
        wheel.writestr("{name}.py", "")
        wheel.writestr(info + "/METADATA", "Metadata-Version: 2.1\\nName: {name}\\nVersion: 1.0\\n")
        wheel.writestr(info + "/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(info + "/RECORD", "")
    return file

build_editable = build_wheel
"""


@pytest.mark.parametrize(
    ("told", "files"),
    [
        pytest.param("was not made by terrastore", {}, id="a stranger's"),
        pytest.param("manifest.json: the manifest is not JSON", {"manifest.json": b"{"}, id="damaged"),
        pytest.param("manifest.json: the manifest has schema 9", {"manifest.json": b'{"schema":9}'}, id="later"),
    ],
)
def test_directories_that_say_nothing(cli: CommandLine, told: str, files: Mapping[str, bytes]) -> None:
    """They are named, and what to do."""
    place = cli.cwd / "env/.terrastore"
    place.mkdir(parents=True)
    for name, content in files.items():
        (place / name).write_bytes(content)
    result = cli("show", "env", "--freeze")
    assert (2, "") == (result.code, result.out)
    assert told in result.err
    assert "terrastore: hint: " in result.err


def test_an_environment_is_shown(stored: CommandLine) -> None:
    """By its directory as by its key."""
    stored.ok("ensure")
    key = stored.ok("key").out.strip()
    by_key, by_place = (stored.ok("show", each).out.splitlines() for each in (key, ".venv"))
    assert key == by_key[0] == by_place[0]
    assert f"  stands     {stored.cwd / '.venv'}" == by_place[1]
    assert by_key[by_key.index(by_place[2]) :] == by_place[2:]
    told = stored.ok("show", ".venv", "--json").json
    assert (str(stored.cwd / ".venv"), key) == (told["target"], told["manifest"]["key"])
    missing = stored("show", "elsewhere/env")
    assert (2, True) == (missing.code, "there is no environment elsewhere/env" in missing.err)
