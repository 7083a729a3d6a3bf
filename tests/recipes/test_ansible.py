"""scripts/ansible: the role and its module, run by ansible-playbook against this machine."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests import documented
from tests.conftest import COMMAND
from tests.program_environments import program_environment
from tests.recipes import pages
from tests.recipes.commands import SCRIPTS, options_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.bare_machine import Equipped
    from tests.conftest import CommandLine

pytestmark = pytest.mark.network  # ansible-core is installed from an index
ROLE = SCRIPTS / "ansible/terrastore"
RESULT = re.compile(r"^(ok|changed|fatal): \[localhost\](?:: FAILED!)? => (\{.*\})$", re.MULTILINE)


@dataclass
class Played:
    """What became of a playbook: its exit code, the figures of the recap, what the last task told, and all of it."""

    code: int
    recap: dict[str, int]
    told: dict[str, Any]
    text: str


@dataclass
class Machine:
    """This machine, as a playbook that uses the role sees it; paths of the role's variables are in ``app``."""

    cli: CommandLine
    app: Path
    ansible: Path

    def play(self, *flags: str, **variables: Any) -> Played:
        """Run a playbook of the role with variables."""
        given = {f"terrastore_{name}": value for name, value in variables.items()}
        play = {"hosts": "localhost", "gather_facts": False, "roles": [{"role": "terrastore"} | given]}
        playbook = self.cli.write("playbook.yml", yaml.safe_dump([play]))
        interpreter = f"ansible_python_interpreter={sys.executable}"
        command = [f"{self.ansible}/bin/ansible-playbook", "-v", "-i", "localhost,", "-c", "local", "-e", interpreter]
        env = self.cli.env | {
            "ANSIBLE_ROLES_PATH": str(ROLE.parent),
            "ANSIBLE_HOME": str(self.cli.home / "ansible"),
            "ANSIBLE_NOCOLOR": "1",
            "LC_ALL": "C.UTF-8",
        }
        done = subprocess.run(
            [*command, *flags, str(playbook)],
            cwd=self.cli.cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        text = done.stdout + done.stderr
        recap = {name: int(count) for name, count in re.findall(r"(\w+)=(\d+)", done.stdout.split("PLAY RECAP")[-1])}
        assert recap, text
        results = RESULT.findall(text)
        return Played(done.returncode, recap, json.loads(results[-1][1]) if results else {}, text)

    def ok(self, *flags: str, changed: int, **variables: Any) -> dict[str, Any]:
        """Run it, which must succeed with so many changes; return what the last task told."""
        played = self.play(*flags, **variables)
        assert (0, changed) == (played.code, played.recap["changed"]), played.text
        return played.told


@pytest.fixture
def machine(cli: CommandLine, tmp_path: Path) -> Machine:
    """Return a machine whose store has the environment of ``alpha==1.0``, which it asks for."""
    app = tmp_path / "app"
    app.mkdir()
    (app / "requirements.txt").write_text("alpha==1.0\n")
    program = tmp_path / "terrastore"
    program.write_text(f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n')
    program.chmod(0o755)
    return Machine(cli, app, program_environment("ansible"))


def common(machine: Machine) -> dict[str, Any]:
    """Return the variables that every play here has."""
    return {
        "requirements": [str(machine.app / "requirements.txt")],
        "store": [str(machine.cli.store)],
        "executable": str(machine.app.with_name("terrastore")),
    }


def test_every_option_is_one_of_ensure() -> None:
    """The module gives terrastore options that it has; those of check mode ``why`` has too."""
    source = (ROLE / "library/terrastore_environment.py").read_text().split("def ensured")[1]
    (names,) = re.findall(r"for name in \(([^)]+)\)", source)
    both = {f"--{name}" for name in re.findall(r'"(\w+)"', names)} | {"--json", "--requirement", "--store"}
    assert set(re.findall(r'"(--[a-z-]+)"', source)) <= both | {"--no-build"}
    assert both | {"--no-build"} <= options_of("ensure")
    assert both <= options_of("why")


def test_the_role_hands_on_what_it_takes() -> None:
    """Its variables are those it documents, and each parameter of the module is one of them."""
    options = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    tasks = (ROLE / "tasks/main.yml").read_text()
    used = set(re.findall(r"terrastore_\w+", tasks)) - {"terrastore_environment", "terrastore_result"}
    assert set(options) == used
    rows = [
        (f"`{name}`", each["description"] + (f"; default: `{each['default']}`" if "default" in each else ""))
        for name, each in options.items()
    ]
    documented.check("recipes/ansible.md", "variables", ("variable", "what it says"), rows)
    given = yaml.safe_load(tasks)[-1]["terrastore_environment"]
    source = (ROLE / "library/terrastore_environment.py").read_text()
    parameters = yaml.safe_load(re.findall(r'DOCUMENTATION = r"""(.*?)"""', source, re.DOTALL)[0])["options"]
    assert parameters.keys() == given.keys()


def test_idempotent(machine: Machine) -> None:
    """The first run builds and publishes, the second changes nothing; another target fetches."""
    known = common(machine) | {"build": True}
    built = machine.ok(changed=1, target=str(machine.app / "env"), **known)
    assert ("built", str(machine.app / "env")) == (built["outcome"], built["path"])
    kept = machine.ok(changed=0, target=str(machine.app / "env"), **known)
    assert ("kept", built["key"]) == (kept["outcome"], kept["key"])
    fetched = machine.ok(changed=1, target=str(machine.app / "other"), **(known | {"build": False}))
    assert "fetched" == fetched["outcome"]


def test_check_mode(machine: Machine) -> None:
    """It says what would be, and what differs, and does nothing; what would fail fails."""
    known = common(machine) | {"target": str(machine.app / "env")}
    missing = machine.play("--check", **known)
    assert (2, 1) == (missing.code, missing.recap["failed"])
    assert missing.told["msg"].endswith(", and building is off")
    told = machine.ok("--check", changed=1, build=True, **known)
    assert "built" == told["outcome"]
    assert not (machine.app / "env").exists()
    machine.ok(changed=1, build=True, **known)
    assert "kept" == machine.ok("--check", changed=0, **known)["outcome"]
    (machine.app / "requirements.txt").write_text("alpha==2.0\n")
    told = machine.ok("--check", changed=1, build=True, **known)
    assert ["alpha 1.0 → 2.0"] == told["differences"]


def test_releases(machine: Machine) -> None:
    """``current`` leads to a release by its key; going back to one that stands there is a change, which restarts."""
    known = common(machine) | {"link": str(machine.app / "current"), "build": True}
    first = machine.ok(changed=1, **known)
    assert str((machine.app / "current").resolve()) == first["path"] == str(machine.app / "releases" / first["key"])
    machine.ok(changed=0, **known)
    (machine.app / "requirements.txt").write_text("alpha==2.0\n")
    second = machine.ok(changed=1, **known)
    (machine.app / "requirements.txt").write_text("alpha==1.0\n")
    assert "kept" != machine.ok("--check", changed=1, **known)["outcome"]
    back = machine.ok(changed=1, **known)
    assert (first["path"], "kept") == (back["path"], back["outcome"])
    assert second["path"] != back["path"]


def test_options_count_in_check_mode(machine: Machine) -> None:
    """What says which environment says so in both."""
    known = common(machine) | {"target": str(machine.app / "env"), "options": ["--no-seed"]}
    machine.ok(changed=1, build=True, ensure_options=["--no-publish"], **known)
    machine.ok("--check", changed=0, ensure_options=["--no-publish"], **known)
    assert not machine.cli.store.exists()


def test_what_fails_is_told(machine: Machine) -> None:
    """terrastore's message and hint are the task's, and nothing changed."""
    played = machine.play(target=str(machine.app / "env"), **common(machine))
    assert (2, 1, 0) == (played.code, played.recap["failed"], played.recap["changed"])
    assert 4 == played.told["rc"]
    assert str(machine.cli.store) in played.told["msg"]
    said = "".join(f"{name}: {played.told[name]}\n" for name in ("msg", "hint", "rc"))
    pages.told("ansible", "failure", said, {machine.cli.store: pages.STORE})


def test_a_login_is_not_shown(machine: Machine) -> None:
    """A password in a store's URL is in nothing that Ansible says, however much it is asked to."""
    store = ["https://reader:hunter2@127.0.0.1:9/envs"]
    played = machine.play("-vvv", target=str(machine.app / "env"), **(common(machine) | {"store": store}))
    assert 2 == played.code
    assert 6 == json.loads(re.findall(r'"rc": (\d+)', played.text)[-1])
    assert "hunter2" not in played.text


def test_a_machine_that_has_nothing(machine: Machine, offered: Equipped) -> None:
    """With bootstrap.sh terrastore comes out of the store too; check mode before that only says so."""
    boot = machine.app.with_name("opt")
    machine.cli.env |= {"BOOT_DIR": str(boot), "PIP_CONFIG_FILE": "/dev/null", "BOOT_PYTHON": sys.executable}
    (machine.app / "requirements.txt").write_text(offered.requirements)
    known = common(machine) | {
        "store": [str(offered.store)],
        "executable": str(boot / "current/bin/terrastore"),
        "bootstrap": str(SCRIPTS / "bootstrap.sh"),
        "bootstrap_place": str(machine.app.with_name("terrastore-bootstrap")),
        "target": str(machine.app / "env"),
        "options": ["--any-patch", "--no-seed"],
    }
    told = machine.ok("--check", changed=2, **known)
    assert ["terrastore itself is not there"] == told["differences"]
    told = machine.ok(changed=2, **known)
    assert ("fetched", offered.key) == (told["outcome"], told["key"])
    machine.ok(changed=0, **known)
