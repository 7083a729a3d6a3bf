"""scripts/systemd: what systemd makes of the unit, and what its command does on a machine's disk."""

from __future__ import annotations

import configparser
import os
import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.conftest import put_program
from tests.recipes import pages
from tests.recipes.commands import SCRIPTS, require_understood

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import CommandLine

UNIT = SCRIPTS / "systemd/terrastore@.service"
OWN = SCRIPTS / "systemd/app-environment.service"
PROGRAM = "/opt/terrastore/current/bin/terrastore"
BOOTSTRAP = "/usr/local/sbin/terrastore-bootstrap"


def installed(unit: str, folder: Path) -> str:
    """Return a unit for a machine whose ``/opt``, ``/srv`` and ``/usr/local`` are in a folder; terrastore is there."""
    for path in (PROGRAM, BOOTSTRAP):
        program = folder / path.lstrip("/")
        program.parent.mkdir(parents=True)
        put_program(program)
    (folder / "srv/app").mkdir(parents=True)
    for place in ("/opt/", "/srv/", "/usr/local/"):
        unit = unit.replace(place, f"{folder}{place}")
    return unit


def parsed(unit: str) -> configparser.ConfigParser:
    sections = configparser.ConfigParser(interpolation=None, delimiters=("=",), comment_prefixes=("#",))
    sections.optionxform = str  # type: ignore[assignment,method-assign] # directives have capitals
    sections.read_string(unit)
    return sections


@pytest.mark.parametrize(
    ("file", "unit"),
    [
        pytest.param(UNIT, "terrastore@app.service", id="one of several"),
        pytest.param(OWN, OWN.name, id="one of its own"),
    ],
)
def test_systemd_has_nothing_to_say(tmp_path: Path, file: Path, unit: str) -> None:
    """systemd-analyze knows every directive and value, and finds no circle with the service that needs it."""
    if shutil.which("systemd-analyze") is None and "CI" not in os.environ:
        pytest.skip("there is no systemd-analyze")
    units = tmp_path / "units"
    units.mkdir()
    (units / file.name).write_text(installed(file.read_text(), tmp_path))
    (units / "app.service").write_text(
        f"[Unit]\nRequires={unit}\n[Service]\nExecStart=/bin/true\n"  # as enabling has it
    )
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=one", "app.service", unit]
    done = subprocess.run(
        command,
        cwd=units,
        env={"PATH": os.environ["PATH"], "SYSTEMD_UNIT_PATH": f"{units}:", "SYSTEMD_LOG_LEVEL": "warning"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stdout + done.stderr)


def test_a_unit_that_is_wrong_is_found(tmp_path: Path) -> None:
    """What says so of a directive that there is not would say so of ours."""
    if shutil.which("systemd-analyze") is None and "CI" not in os.environ:
        pytest.skip("there is no systemd-analyze")
    wrong = tmp_path / UNIT.name.replace("@", "@app")
    wrong.write_text(installed(UNIT.read_text(), tmp_path).replace("PrivateTmp=", "PrivateTemp="))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", wrong], capture_output=True, text=True, check=False)
    assert "PrivateTemp" in done.stderr


def test_the_command_is_understood() -> None:
    """It starts the terrastore that bootstrap.sh leaves, with options that there are."""
    program, *words = shlex.split(parsed(UNIT.read_text())["Service"]["ExecStart"])
    assert program == PROGRAM
    assert f"`{PROGRAM}`" in (SCRIPTS.parent / "docs/boot.md").read_text()
    require_understood(words)
    program, *words = shlex.split(parsed(OWN.read_text())["Service"]["ExecStart"])
    assert program == BOOTSTRAP
    require_understood(["ensure", *words])


def test_boots(cli: CommandLine, tmp_path: Path) -> None:
    """The first boot brings a release, the next keeps it, also while the store is away; a miss leaves it as it is."""
    folder = tmp_path / "machine"
    unit = parsed(installed(UNIT.read_text(), folder).replace("%i", "app").replace("%C", str(cli.cache)))["Service"]
    app = folder / "srv/app"
    assert str(app) == unit["WorkingDirectory"] == unit["ReadWritePaths"]
    (app / "requirements.txt").write_text("alpha==1.0\n")
    settings = pages.example("systemd", "settings")
    assert 1 == settings.count(pages.STORE)
    (app / "terrastore.toml").write_text(settings.replace(pages.STORE, str(cli.store)))
    del cli.env["TERRASTORE_STORE"]
    name, value = unit["Environment"].split("=")

    def boot(told: str) -> int:
        done = subprocess.run(
            shlex.split(unit["ExecStart"]),
            cwd=app,
            env=cli.env | {name: value},
            capture_output=True,
            text=True,
            check=False,
        )
        said = pages.result(done.stdout + done.stderr)
        places = {cli.store: pages.STORE, app: "/srv/app", "alpha 1.0 → 2.0": "numpy 2.1.0 → 2.1.1"}
        pages.told("systemd", told, said, places)
        return done.returncode

    assert 4 == boot("failure")
    cli.cwd = app
    cli.ok("build")
    assert 0 == boot("hit")
    release = (app / "current").resolve()
    assert app / "releases" == release.parent
    assert b"alpha 1.0\n" == subprocess.run([app / "current/bin/alpha"], capture_output=True, check=True).stdout
    cli.store.rename(cli.store.with_name("away"))
    assert 0 == boot("kept")
    cli.store.with_name("away").rename(cli.store)
    (app / "requirements.txt").write_text("alpha==2.0\n")
    assert 4 == boot("new release")
    assert release == (app / "current").resolve()
