"""build --self, as a person uses it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.bare_machine import Equipped, equipped

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import CommandLine
    from tests.servers import S3Server


def test_published_and_kept(cli: CommandLine) -> None:
    """One line, with what pins it; a second time it says that it is there."""
    first, second = cli.ok("build", "--self"), cli.ok("build", "--self")
    line = r"published terrastore \S+, \d+ wheels, [\d.]+ MB, to (\S+)  \((\S+), sha256 (\w{64})\)\n"
    told = re.fullmatch(line, first.out)
    assert told is not None
    assert str(cli.store) == told[1]
    assert (cli.store / f"v1/self/{told[2]}/{told[3]}.json").exists()
    assert second.out.startswith(f"kept     {cli.store} has terrastore ")
    assert told[3] in second.out


def test_json(cli: CommandLine) -> None:
    """The digests, for who writes them into user data."""
    told = cli.ok("build", "--self", "--json").json
    fields = {"schema", "outcome", "tag", "version", "sha256", "relocate", "wheels", "bytes", "stores", "warnings"}
    assert fields == told.keys()
    assert (1, "published", [str(cli.store)]) == (told["schema"], told["outcome"], told["stores"])
    index = json.loads((cli.store / f"v1/self/{told['tag']}/{told['sha256']}.json").read_bytes())
    assert told["relocate"] == index["relocate"]["sha256"]


def test_in_s3(cli: CommandLine, moto: S3Server) -> None:
    """As in a directory."""
    cli.env |= moto.variables() | {"TERRASTORE_STORE": f"s3://{moto.bucket}/itself"}
    assert "published" == cli.ok("build", "--self", "--json").json["outcome"]
    assert "kept" == cli.ok("build", "--self", "--json").json["outcome"]


@pytest.mark.parametrize("other", [("-r", "requirements.txt"), ("--rebuild",), ("--python", "3.12"), ("--wheelhouse",)])
def test_what_contradicts_it(cli: CommandLine, other: tuple[str, ...]) -> None:
    """What says which environment has no meaning for terrastore itself; settings for builds are no matter."""
    result = cli("build", "--self", *other)
    assert (2, True) == (result.code, f"--self and {other[0]} contradict each other" in result.err)


def test_settings_of_builds_count_for_nothing(cli: CommandLine) -> None:
    """A project that has some publishes it all the same."""
    cli.write("terrastore.toml", 'requirement = ["web.txt"]\nsalt = "x"\n')
    cli.ok("build", "--self", "-q")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Equipped:
    """Return a store that has terrastore itself."""
    return equipped(tmp_path_factory.mktemp("published") / "home", wheels)


@pytest.mark.parametrize("installer", ["pip", "uv tool"])
def test_whoever_installed_it(cli: CommandLine, published: Equipped, tmp_path: Path, installer: str) -> None:
    """What pip, or uv tool, installs from what was published publishes the very same."""
    wanted = ["--no-index", f"--find-links={published.wheels_in(tmp_path / 'wheels')}", "terrastore"]
    place = tmp_path / "installed"
    if installer == "pip":
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        command = [f"{place}/bin/python", "-m", "pip", "install", "--quiet", "--no-compile", *wanted]
        subprocess.run(command, check=True, env=cli.env)
    else:
        uv = shutil.which("uv", path=f"{sys.prefix}/bin")
        assert uv is not None
        folders = {"UV_TOOL_DIR": str(tmp_path / "tools"), "UV_TOOL_BIN_DIR": str(place / "bin")}
        command = [uv, "tool", "install", "--quiet", "--python", sys.executable, *wanted]
        subprocess.run(command, check=True, env=cli.env | folders | {"UV_CACHE_DIR": str(tmp_path / "cache")})
    cli.command = [str(place / "bin/terrastore")]
    told = cli.ok("build", "--self", "--json").json
    assert published.itself["sha256"] == told["sha256"]
