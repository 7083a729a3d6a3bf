"""Projects that are installed to be edited: what they need comes from the store, they from where they are."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from terrastore.names import normalised
from tests.conftest import COMMAND, CommandLine, make_wheel
from tests.end_to_end import projects
from tests.end_to_end.examine import contents
from tests.end_to_end.projects import run, write_small
from tests.package_index import PackageIndex

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.network


@pytest.fixture(scope="session")
def backends(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with what builds projects."""
    return projects.download(tmp_path_factory.mktemp("backends"), *projects.BACKENDS)


@pytest.fixture(params=["pip", "uv"])
def shop(cli: CommandLine, wheels: Path, backends: Path, request: pytest.FixtureRequest) -> CommandLine:
    """Return a command line with every installer in turn, small wheels and what builds projects."""
    return by_pip(cli, wheels, backends, installer=request.param)


@pytest.fixture
def pip(cli: CommandLine, wheels: Path, backends: Path) -> CommandLine:
    """Return a command line whose installer is pip, with small wheels and what builds projects."""
    return by_pip(cli, wheels, backends)


def by_pip(cli: CommandLine, wheels: Path, backends: Path, installer: str = "pip") -> CommandLine:
    cli.forget_wheels()
    cli.env |= {
        "TERRASTORE_INSTALLER": installer,
        "TERRASTORE_NO_INDEX": "1",
        "TERRASTORE_FIND_LINKS": f"{wheels} {backends}",
    }
    return cli


def outcome(cli: CommandLine, *arguments: str, **variables: str) -> str:
    told: str = cli.ok("ensure", "--json", *arguments, **variables).json["outcome"]
    return told


def beside(target: Path) -> list[str]:
    """Return what stands beside a target and is of terrastore."""
    return sorted(path.name for path in target.parent.iterdir() if ".terrastore-" in path.name)


def test_every_backend(shop: CommandLine) -> None:
    """Scripts lead to the target, code is where it was written, and the archive has nothing of any project."""
    for name, files in projects.EVERY_KIND.items():
        projects.write(shop.cwd / name, name, files)
    shop.write("requirements.txt", "".join(f"-e ./{name}\n" for name in projects.EVERY_KIND))
    told = shop.ok("ensure", "--json").json
    target = shop.cwd / ".venv"
    assert ("built", 2) == (told["outcome"], told["packages"])
    for name in projects.EVERY_KIND:
        assert f"{name} mark of {name}" == run(target / "bin" / name)
        assert f"#!{target}/bin/python" == (target / "bin" / name).read_text().splitlines()[0]
        (module,) = shop.cwd.glob(f"{name}/**/{name}/__init__.py")
        module.write_text(module.read_text().replace("mark of", "edited"))
        assert f"{name} edited {name}" == run(target / "bin" / name)
        assert str(module) == run(target / "bin/python", "-c", f"import {name}; print({name}.HERE)")
    assert [] == projects.untrue(target)
    shop.ok("verify", str(target))
    (archive,) = (shop.store / "v1/archives").rglob("*.zst")
    stream = projects.unpacked(archive)
    there = projects.members(stream)
    found = [path for path in there for name in projects.EVERY_KIND if re.search(rf"\b_*{name}\b", path)]
    assert [] == found
    assert (-1, -1) == (stream.find(b"mark of"), stream.find(str(shop.cwd).encode()))
    assert {"beta", "pip"} == {each["name"] for each in json.loads(there[".terrastore/manifest.json"])["packages"]}


def test_what_is_made_anew(shop: CommandLine) -> None:
    """Code changes nothing, an entry point has the project installed again, a dependency is another key."""
    web = write_small(shop.cwd / "libs/web", extras={"more": ["clash_a"]})
    shop.write("requirements.txt", "-e ./libs/web[more]\n")
    first = shop.ok("ensure", "--json").json
    assert ("built", 3) == (first["outcome"], first["packages"])
    (web / "web/__init__.py").write_text("def main():\n    print('new')\n")
    assert "kept" == outcome(shop)
    assert "kept" == outcome(shop, "--verify")
    write_small(web, extras={"more": ["clash_a"]}, scripts=["other"])
    again = shop.ok("ensure", "--json").json
    assert ("fetched", first["key"]) == (again["outcome"], again["key"])
    bin_ = shop.cwd / ".venv/bin"
    assert ("web mark of web", False) == (run(bin_ / "other"), (bin_ / "web").exists())
    write_small(web, needs=["beta", "clash_b"], extras={"more": ["clash_a"]})
    other = shop.ok("ensure", "--json").json
    assert ("built", 4) == (other["outcome"], other["packages"])
    assert first["key"] != other["key"]
    write_small(web, extras={"more": ["clash_a"]})
    assert "fetched" == outcome(shop)


def test_another_machine(shop: CommandLine, tmp_path: Path) -> None:
    """`build` publishes what the projects need; a machine that must not build edits a checkout of its own."""
    write_small(shop.cwd / "web")
    write_small(shop.cwd / "api", "api", needs=["web", "alpha==1.0"])
    shop.write("requirements.txt", "-e ./web\n-e ./api\n")
    built = shop.ok("build", "--json").json
    assert ("built", None) == (built["outcome"], built["target"])
    shutil.copytree(shop.cwd, checkout := tmp_path / "an öther $place")
    shutil.rmtree(shop.cwd)
    shop.cwd = checkout
    fetched = shop.ok("ensure", "--no-build", "--json").json
    assert ("fetched", built["key"], 3) == (fetched["outcome"], fetched["key"], fetched["packages"])
    target = checkout / ".venv"
    for name in ("web", "api"):
        assert f"{name} mark of {name}" == run(target / "bin" / name)
        here = run(target / "bin/python", "-X", "utf8", "-c", f"import {name}; print({name}.HERE)")
        assert str(checkout / name / name / "__init__.py") == here
    assert "kept" == outcome(shop, "--no-build")
    shop.ok("verify", str(target))


def test_moved(pip: CommandLine) -> None:
    """`relocate`, as a command and as a file alone, takes scripts along, and leaves what only begins like the place."""
    write_small(pip.cwd / ".venv-web")
    pip.write("requirements.txt", "-e ./.venv-web\n")
    pip.ok("ensure")
    pip.ok("relocate", "--standalone", "relocate.pyz")
    there, moves = pip.cwd / ".venv", (("an öther", [*pip.command, "relocate"]), ("plain", ["python3", "relocate.pyz"]))
    for name, command in moves:
        there.rename(place := pip.cwd / name)
        done = subprocess.run([*command, name], cwd=pip.cwd, env=pip.env, capture_output=True, text=True, check=False)
        assert (0, "") == (done.returncode, done.stderr)
        assert "web mark of web" == run(place / "bin/web")
        here = run(place / "bin/python", "-c", "import web; print(web.HERE)")
        assert str(pip.cwd / ".venv-web/web/__init__.py") == here
        assert [] == projects.untrue(place)
        pip.ok("verify", name)
        assert "kept" == outcome(pip, "--target", name)
        there = place
    assert f"#!{pip.cwd}/plain/bin/python" == (there / "bin/web").read_text().splitlines()[0]
    shutil.rmtree(pip.cwd / ".venv-web")
    there.rename(pip.cwd / "again")
    assert "not there any more: " + str(pip.cwd / ".venv-web") in pip.ok("relocate", "again").err


def test_a_project_that_was_removed(pip: CommandLine) -> None:
    """`verify` names it, and one that somebody added; `ensure --verify` makes the environment anew."""
    write_small(pip.cwd / "web")
    pip.write("requirements.txt", "-e ./web\n")
    pip.ok("ensure")
    python = pip.cwd / ".venv/bin/python"
    run(python, "-m", "pip", "uninstall", "--yes", "web")
    changed = pip("verify", ".venv", "--json")
    assert (8, [str(pip.cwd / "web")]) == (changed.code, changed.json["projects"])
    assert f"drift  .venv: removed: the project at {pip.cwd}/web" in (told := pip.ok("ensure", "--verify")).err
    assert told.out.startswith("fetched")
    assert "web mark of web" == run(pip.cwd / ".venv/bin/web")
    write_small(pip.cwd / "own", "own", needs=())
    folders = [f"--find-links={folder}" for folder in pip.env["TERRASTORE_FIND_LINKS"].split()]
    run(python, "-m", "pip", "install", "--no-deps", "--no-index", *folders, "-e", pip.cwd / "own")
    assert "added: own 1.0\n" == pip("verify", ".venv").out


def test_a_project_that_cannot_be_installed(shop: CommandLine) -> None:
    """It ends with 5 and the project's name, and what was there stays; who does not edit it is not disturbed."""
    shop.write("beta.txt", "beta\n")
    shop.ok("ensure", "-r", "beta.txt")
    before = contents(target := shop.cwd / ".venv")
    web = write_small(shop.cwd / "web")
    shop.write("requirements.txt", "-e ./web\n")
    shop.ok("build")
    shutil.rmtree(web / "web")  # flit looks for it
    failed = shop("ensure", "--json")
    assert (5, "build") == (failed.code, failed.json["error"]["kind"])
    assert failed.json["error"]["message"].startswith(f"{web} cannot be installed to be edited: ")
    assert (before, []) == (contents(target), beside(target))
    assert [] == list((shop.cache / "build").iterdir())


def without_network(cli: CommandLine) -> CommandLine:
    """Give the command line a network namespace of its own, in which not even loopback is up."""
    cli.command = ["unshare", "--user", "--map-root-user", "--net", *COMMAND]
    return cli


def test_without_an_index(shop: CommandLine, wheels: Path, backends: Path) -> None:
    """Where what builds a project is required too, nothing is asked for it; else the error names the project."""
    del shop.env["TERRASTORE_NO_INDEX"], shop.env["TERRASTORE_FIND_LINKS"]
    shop.env |= {"PIP_RETRIES": "0", "UV_HTTP_RETRIES": "0"}
    write_small(shop.cwd / "web")
    shop.write("requirements.txt", "-e ./web\nflit-core\n")
    shop.write("without.txt", "-e ./web\n")
    index = PackageIndex(shop.home)
    for path in (*wheels.iterdir(), *backends.iterdir()):
        shutil.copy(path, index.folder(normalised(path.name.split("-")[0])))
    with index.serving():
        shop.env["TERRASTORE_INDEX_URL"] = index.url
        shop.ok("build")
        shop.ok("build", "-r", "without.txt")
    without_network(shop)
    shutil.rmtree(shop.cache / "uv", ignore_errors=True)
    shutil.rmtree(shop.cache / "pip", ignore_errors=True)
    assert "fetched" == outcome(shop, "--no-build")
    assert "web mark of web" == run(shop.cwd / ".venv/bin/web")
    failed = shop("ensure", "--no-build", "-r", "without.txt", "--target", "other")
    assert (5, False) == (failed.code, (shop.cwd / "other").exists())
    assert f"{shop.cwd}/web cannot be installed to be edited: " in failed.err


def test_with_hashes(shop: CommandLine, wheels: Path) -> None:
    """What a project needs may be fixed by hashes, as --require-locked demands; what they leave out is named."""
    digest = hashlib.sha256((wheels / "beta-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    web = write_small(shop.cwd / "web", extras={"more": ["clash_a"]})
    shop.write("requirements.txt", f"--require-hashes\nbeta==1.0 --hash=sha256:{digest}\n-e ./web\n")
    assert "built" == outcome(shop, "--require-locked")
    assert "web mark of web" == run(shop.cwd / ".venv/bin/web")
    shop.write("requirements.txt", f"--require-hashes\nbeta==1.0 --hash=sha256:{digest}\n-e ./web[more]\n")
    failed = shop("ensure")
    assert 5 == failed.code
    assert f"{web} needs clash_a, and no requirement with a hash brings that\n" in failed.err
    assert "web mark of web" == run(shop.cwd / ".venv/bin/web")


def test_a_project_that_others_need(shop: CommandLine, tmp_path: Path) -> None:
    """A project whose dependencies need the project itself stays out of the archive, and they stay in."""
    folder = tmp_path / "plugins"
    folder.mkdir()
    make_wheel(folder, "plugin", "1.0", {"plugin.py": "import web\n"}, requires=("web",))
    write_small(shop.cwd / "web", needs=["plugin"])
    shop.write("requirements.txt", f"-f {folder}\n-e ./web\n")
    told = shop.ok("ensure", "--json").json
    assert ("built", 2) == (told["outcome"], told["packages"])
    assert str(shop.cwd / "web/web/__init__.py") == run(
        shop.cwd / ".venv/bin/python", "-c", "import plugin, web; print(web.HERE)"
    )


def test_beside_a_repository(pip: CommandLine) -> None:
    """What is to be edited from a repository is in the archive as before, and is not cloned again."""
    write_small(pip.home / "api", "api")
    git = ("git", "-C", str(pip.home / "api"), "-c", "user.name=t", "-c", "user.email=t@t")
    for words in (("init", "-q"), ("add", "."), ("commit", "-qm", "first")):
        subprocess.run([*git, *words], check=True)
    write_small(pip.cwd / "web")
    pip.write("requirements.txt", f"-e git+file://{pip.home}/api#egg=api\n-e ./web\n")
    pip.ok("ensure", "--target", "first")
    shutil.rmtree(pip.home / "api")
    assert "fetched" == outcome(pip, "--no-build")
    target = pip.cwd / ".venv"
    assert str(target / "src/api/api/__init__.py") == run(target / "bin/python", "-c", "import api; print(api.HERE)")
    assert "web mark of web" == run(target / "bin/web")
    pip.ok("verify", ".venv")


def test_any_patch(pip: CommandLine) -> None:
    """One environment for every patch version, in the directory of the project that is edited."""
    write_small(pip.cwd)
    pip.write("requirements.txt", "-e .\n")
    assert "built" == outcome(pip, "--any-patch")
    assert "web mark of web" == run(pip.cwd / ".venv/bin/web")
    assert "kept" == outcome(pip, "--any-patch")


def test_refused(pip: CommandLine) -> None:
    """A directory that is no project ends with 3, an environment without pip that pip is to install it in with 2."""
    (pip.cwd / "web").mkdir()
    pip.write("requirements.txt", "-e ./web\n")
    failed = pip("ensure")
    assert 3 == failed.code
    assert "requirements.txt, line 1: '-e ./web' cannot be used: ./web is no project" in failed.err
    write_small(pip.cwd / "web")
    failed = pip("ensure", "--no-seed")
    assert (2, "hint: leave --no-seed out, or -e" in failed.err) == (failed.code, True)
    failed = pip("ensure", "--target", "web", "--force")
    assert (2, True) == (failed.code, (pip.cwd / "web/pyproject.toml").exists())
