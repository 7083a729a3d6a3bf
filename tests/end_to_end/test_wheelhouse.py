"""Wheels in the store: an environment is built while no index answers, and nothing is compiled twice."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.conftest import make_wheel
from tests.package_index import PackageIndex

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import CommandLine
    from tests.servers import S3Server


@pytest.fixture
def index(tmp_path: Path) -> PackageIndex:
    """Return an index with wheels of alpha, which needs beta, and an sdist of gamma."""
    index = PackageIndex(tmp_path)
    for version in ("1.0", "2.0"):
        index.add("alpha", version, requires=("beta",))
    index.add("beta", "1.0")
    index.add_sdist("gamma", "1.0")
    return index


@pytest.fixture(params=["directory", "s3"])
def either_house(request: pytest.FixtureRequest, cli: CommandLine) -> CommandLine:
    """Return a command line whose builds keep wheels in a store of either kind."""
    if request.param == "s3":
        server: S3Server = request.getfixturevalue("moto")
        bucket = f"bucket-{uuid4().hex}"
        server.client().create_bucket(Bucket=bucket)
        cli.env |= server.variables() | {"TERRASTORE_STORE": f"s3://{bucket}/envs"}
    return keeping_wheels(cli)


def keeping_wheels(cli: CommandLine) -> CommandLine:
    cli.forget_wheels()
    cli.env |= {"TERRASTORE_WHEELHOUSE": "1", "TERRASTORE_NO_SEED": "1"}
    return cli


@pytest.fixture
def house(cli: CommandLine) -> CommandLine:
    """Return a command line whose builds keep wheels in a directory."""
    return keeping_wheels(cli)


def forget(cli: CommandLine) -> None:
    """Make a machine that has built nothing yet of this one."""
    shutil.rmtree(cli.cache)
    cli.cache.mkdir()


def said_by(python: Path, code: str) -> str:
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def snapshot(store: Path) -> list[Path]:
    """Return what is in a store, but for who built."""
    return [path for path in sorted(store.rglob("*")) if path.relative_to(store).parts[0] != "leases"]


def layers(target: Path) -> dict[str, str]:
    """Return the digests of the layers of packages."""
    manifest = json.loads((target / ".terrastore/manifest.json").read_text())
    return {each["name"]: each["digest"] for each in manifest["layers"] if each["version"]}


def test_a_pin_goes_back_while_no_index_answers(either_house: CommandLine, index: PackageIndex) -> None:
    """What was built before with other pins is built from the wheelhouse; what is open comes as it was then."""
    house = either_house
    with index.serving():
        house.env["PIP_INDEX_URL"] = index.url
        for pins in ("alpha==1.0\ngamma==1.0\n", "alpha==2.0\n"):
            house.write("requirements.txt", pins)
            house.ok("build")
    assert ["gamma"] == index.compiled
    forget(house)
    house.write("requirements.txt", "alpha==2.0\ngamma==1.0\n")
    result = house.ok("ensure")
    assert "wheels  3 of 3 packages from " in result.err
    assert "no requirement fixes these, which are as they were in the wheelhouse: beta" in result.err
    code = "import alpha, beta, gamma; print(alpha.V, beta.V, gamma.V)"
    assert "2.0 1.0 1.0" == said_by(house.cwd / ".venv/bin/python", code)
    assert ["gamma"] == index.compiled


def test_what_is_missing_is_named(house: CommandLine, index: PackageIndex) -> None:
    """Where no index answers and the wheelhouse lacks something, that is said, and nothing is published."""
    with index.serving():
        house.env["PIP_INDEX_URL"] = index.url
        house.write("requirements.txt", "alpha==1.0\n")
        house.ok("build")
    before = snapshot(house.store / "v1")
    house.write("requirements.txt", "alpha==3.0\ndelta\nbeta==1.0\n")
    result = house("build", "--wait", "0")
    assert (5, "") == (result.code, result.out)
    assert f"error: no index can be reached, and {house.store} has no wheel of alpha==3.0, delta\n" in result.err
    assert "hint: build once with --wheelhouse where an index can be reached" in result.err
    assert before == snapshot(house.store / "v1")


def test_nothing_is_compiled_twice_and_no_release_is_lost(house: CommandLine, index: PackageIndex) -> None:
    """Another machine takes what was compiled, and a release that is gone; what is fixed whole asks no index at all."""
    with index.serving():
        house.env["PIP_INDEX_URL"] = index.url
        house.write("requirements.txt", "alpha==1.0\ngamma==1.0\n")
        house.ok("ensure", "--target", "first")
        forget(house)
        (index.folder("alpha") / "alpha-1.0-py3-none-any.whl").unlink()
        house.write("requirements.txt", "alpha==1.0\ngamma==1.0\nbeta\n")
        assert "wheels  2 of 3 packages from " in house.ok("ensure", "--target", "second").err
        assert layers(house.cwd / "first") == layers(house.cwd / "second")
        forget(house)
        index.asked.clear()
        house.write("requirements.txt", "alpha==1.0\ngamma==1.0\nbeta==1.0\n")
        house.ok("ensure", "--target", "third")
        forget(house)
        sdist = index.folder("gamma") / "gamma-1.0.tar.gz"
        digest = hashlib.sha256(sdist.read_bytes()).hexdigest()
        house.write("requirements.txt", f"gamma==1.0 --hash=sha256:{digest}\n")
        house.ok("ensure", "--target", "fourth")
        assert [] == index.asked
    assert ["gamma"] == index.compiled
    manifest = json.loads((house.cwd / "fourth/.terrastore/manifest.json").read_text())
    (package,) = manifest["packages"]
    assert (True, digest) == (package["built"], package["sha256"])


def test_what_nobody_vouches_for_is_not_used(house: CommandLine, index: PackageIndex, tmp_path: Path) -> None:
    """Neither bytes that are not what their name says, nor a wheel that no manifest and no hash names."""
    with index.serving():
        house.env["PIP_INDEX_URL"] = index.url
        house.write("requirements.txt", "alpha==1.0\n")
        house.ok("build")
    forget(house)
    kept = next(house.store.glob("v1/wheels/*/alpha-1.0-py3-none-any.whl"))
    planted = make_wheel(tmp_path, "alpha", "9.0", {"alpha.py": "V = 'planted'\n"})
    kept.write_bytes(planted.read_bytes())
    place = house.store / "v1/wheels" / hashlib.sha256(planted.read_bytes()).hexdigest()
    place.mkdir()
    shutil.copy(planted, place)
    house.write("requirements.txt", "alpha\n")
    result = house("ensure", "--wait", "0")
    assert 5 == result.code
    assert f"{kept.relative_to(house.store)} in {house.store} is not what it is called, and is not used" in result.err
    assert "has no wheel of alpha" in result.err


def test_what_projects_are_built_with_is_kept(house: CommandLine, index: PackageIndex) -> None:
    """A project of one's own is built while no index answers; its wheel stands for nothing but itself."""
    project = index.project(house.cwd / "web", "web", "1.0", built_with=("beta",))
    house.write("requirements.txt", "./web\n")
    with index.serving():
        house.env["PIP_INDEX_URL"] = index.url
        house.ok("build")
    forget(house)
    (project / "backend.py").write_text((project / "backend.py").read_text() + "\n# edited\n")
    house.ok("build")
    assert ["web", "web"] == index.compiled
    house.write("requirements.txt", "web==1.0\n")
    result = house("build")
    assert (5, True) == (result.code, "has no wheel of web==1.0" in result.err)


@pytest.mark.network
def test_layers_are_those_of_an_ordinary_installation(house: CommandLine, index: PackageIndex) -> None:
    """With and without a wheelhouse: a sdist, a real one too, a URL, a repository, a directory."""
    repository = index.project(house.cwd / "repository", "stored", "1.0")
    for command in ("init -q", "add .", "-c user.name=a -c user.email=a@b commit -qm first"):
        subprocess.run(["git", *command.split()], cwd=repository, check=True)
    index.project(house.cwd / "web", "web", "1.0")
    with index.serving():
        house.write(
            "requirements.txt",
            f"--extra-index-url {index.url}\n--no-binary markupsafe\nmarkupsafe==3.0.2\nsix==1.16.0\ngamma==1.0\n"
            f"./web\nstored @ git+file://{repository}\nbeta @ {index.url}/beta/beta-1.0-py3-none-any.whl\n",
        )
        house.ok("ensure", "--target", "with")
        forget(house)
        house.ok("ensure", "--ignore-store", "--target", "without", TERRASTORE_WHEELHOUSE="")
    assert {"beta", "gamma", "markupsafe", "six", "stored", "web"} == layers(house.cwd / "with").keys()
    assert layers(house.cwd / "with") == layers(house.cwd / "without")
    kept = {path.name.partition("-")[0] for path in house.store.glob("v1/wheels/*/*.whl")}
    assert {"beta", "gamma", "markupsafe", "setuptools", "six", "stored", "web"} == kept


def test_uv_has_no_wheels_to_keep(house: CommandLine) -> None:
    """It is said before anything is read."""
    result = house("ensure", "--installer", "uv")
    assert (2, "") == (result.code, result.out)
    assert "error: --wheelhouse cannot be used with --installer uv, which keeps no wheels" in result.err
