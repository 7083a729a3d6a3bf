"""scripts/github-action, its step run as a runner does, with the files that a runner gives."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.conftest import put_program
from tests.recipes import pages
from tests.recipes.commands import SCRIPTS, options_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import CommandLine

FOLDER = SCRIPTS / "github-action"
ACTION = yaml.safe_load((FOLDER / "action.yml").read_text())
(STEP,) = ACTION["runs"]["steps"]
HERE = "acme/web"


def pull_request(repository: str | None) -> dict[str, Any]:
    """Return the event of a pull request, from a repository or from a fork that was deleted."""
    return {"pull_request": {"head": {"repo": repository and {"full_name": repository}}}}


@dataclass
class Job:
    """A job of a workflow, which may use the action several times."""

    cli: CommandLine
    folder: Path
    event: dict[str, Any] = field(default_factory=dict)
    actor: str = "somebody"
    action: Path = FOLDER

    def __post_init__(self) -> None:
        for name in ("temp", "files"):
            (self.folder / name).mkdir(parents=True)

    def equip(self) -> Job:
        """Install the terrastore under test, as the first use in a job does."""
        home = self.folder / "temp/terrastore"
        (home / "bin").mkdir(parents=True)
        (home / "bin/python").symlink_to(sys.executable)
        put_program(home / "bin/terrastore")
        (home / "ready").touch()
        return self

    def file(self, name: str) -> Path:
        return self.folder / "files" / name

    def use(self, **given: str) -> subprocess.CompletedProcess[str]:
        """Run the step with inputs, ``no_build`` for ``no-build``, as ``shell: sh`` has it."""
        inputs = {name: said.get("default", "") for name, said in ACTION["inputs"].items()}
        given = {name.replace("_", "-"): value for name, value in given.items()}
        assert given.keys() <= inputs.keys()
        inputs |= given
        variables = {
            name: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda found: inputs[found[1]], value)
            for name, value in STEP["env"].items()
        }
        assert [] == [value for value in variables.values() if "${{" in value]
        for name in ("GITHUB_OUTPUT", "GITHUB_PATH", "GITHUB_ENV"):
            self.file(name).write_text("")
        self.file("event.json").write_text(json.dumps(self.event))
        runner = {name: str(self.file(name)) for name in ("GITHUB_OUTPUT", "GITHUB_PATH", "GITHUB_ENV")} | {
            "GITHUB_EVENT_PATH": str(self.file("event.json")),
            "GITHUB_ACTION_PATH": str(self.action),
            "GITHUB_REPOSITORY": HERE,
            "GITHUB_ACTOR": self.actor,
            "RUNNER_TEMP": str(self.folder / "temp"),
        }
        self.file("step.sh").write_text(STEP["run"])
        return subprocess.run(
            ["sh", "-e", str(self.file("step.sh"))],
            cwd=self.cli.cwd,
            env=self.cli.env | variables | runner,
            capture_output=True,
            text=True,
            check=False,
        )

    def outputs(self, **given: str) -> dict[str, str]:
        """Run it, which must succeed; return the outputs of the action."""
        done = self.use(**given)
        assert 0 == done.returncode, done.stdout + done.stderr
        said = dict(line.split("=", 1) for line in self.file("GITHUB_OUTPUT").read_text().splitlines())
        values = {name: output["value"] for name, output in ACTION["outputs"].items()}
        return {
            name: re.sub(rf"\$\{{\{{ steps\.{STEP['id']}\.outputs\.(\w+) \}}\}}", lambda found: said[found[1]], value)
            for name, value in values.items()
        }


@pytest.fixture
def job(cli: CommandLine, tmp_path: Path) -> Job:
    """Return a job that has terrastore, whose checkout asks for ``alpha``."""
    cli.write("requirements.txt", "alpha==1.0\n")
    return Job(cli, tmp_path / "runner").equip()


def published(cli: CommandLine) -> list[str]:
    """Return the keys of what the store has."""
    return [each.stem for each in cli.store.glob("v1/pointers/*.json")]


def test_every_input_is_handed_on() -> None:
    """No input is forgotten on its way to the script, and the script reads no other."""
    handed = {f"INPUT_{name.upper().replace('-', '_')}": f"${{{{ inputs.{name} }}}}" for name in ACTION["inputs"]}
    assert handed == STEP["env"]
    assert handed.keys() == set(re.findall(r"INPUT_\w+", (FOLDER / "action.sh").read_text()))


def test_nothing_of_a_workflow_is_code() -> None:
    """Inputs reach the script as variables; an expression in a line that a shell runs could be anything."""
    assert "${{" not in STEP["run"]


def test_every_option_is_one_of_ensure() -> None:
    """The script gives terrastore options that it has."""
    lines = re.findall(r'(?:set --|\bensure) .*|"\$home/bin/terrastore" ensure.*', (FOLDER / "action.sh").read_text())
    options = {option for line in lines for option in re.findall(r"(?<= )--[a-z-]+", line)}
    assert {"--requirement", "--no-publish", "--json", "--ignore-store"} <= options
    assert set() == options - options_of("ensure")


def test_posix_shell() -> None:
    """shellcheck has nothing to say, in the dialect that every machine has."""
    command = [f"{sys.prefix}/bin/shellcheck", "--shell=sh", str(FOLDER / "action.sh")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stdout)


def test_built_then_fetched_then_kept(job: Job) -> None:
    """A miss builds and publishes; another target is fetched, and what is there is kept: both are hits."""
    built = job.outputs(store=str(job.cli.store))
    assert "false" == built["hit"]
    assert str(job.cli.cwd / ".venv") == built["path"]
    assert [built["key"]] == published(job.cli)
    fetched = job.outputs(store=str(job.cli.store), target="another place")
    assert {"hit": "true", "key": built["key"], "path": str(job.cli.cwd / "another place")} == fetched
    assert fetched == job.outputs(store=str(job.cli.store), target="another place", no_build="true")


def test_what_follows_runs_in_the_environment(job: Job) -> None:
    """Its commands come first on the path of later steps, and VIRTUAL_ENV names it."""
    path = job.outputs()["path"]
    assert f"{path}/bin\n" == job.file("GITHUB_PATH").read_text()
    assert f"VIRTUAL_ENV={path}\n" == job.file("GITHUB_ENV").read_text()
    assert "alpha 1.0\n" == subprocess.run([f"{path}/bin/alpha"], capture_output=True, text=True, check=True).stdout


def test_the_log_says_what_came_of_it(job: Job) -> None:
    """A line on standard output, where warnings and progress are on standard error."""
    done = job.use(store=str(job.cli.store))
    key, path = (job.file("GITHUB_OUTPUT").read_text().splitlines()[at].partition("=")[2] for at in (1, 2))
    assert f"built {key} → {path}\n" == done.stdout
    places = {job.cli.cwd: "/home/runner/work/web/web"}
    pages.told("github-actions", "miss", done.stdout, places)
    (job.cli.cwd / ".venv").rename(job.cli.cwd / "aside")
    pages.told("github-actions", "hit", job.use(store=str(job.cli.store)).stdout, places)


def test_not_activated(job: Job) -> None:
    """Who wants the outputs alone gets nothing else."""
    job.outputs(activate="false")
    assert ("", "") == (job.file("GITHUB_PATH").read_text(), job.file("GITHUB_ENV").read_text())


def test_lines_are_words(job: Job) -> None:
    """Names of files with spaces, stars and dollars are what they are; several stand one a line."""
    job.cli.write("all * of $them.txt", "alpha==1.0\n")
    job.cli.write("pins.txt", "beta==1.0\n")
    stores = [str(job.cli.home / name) for name in ("near", "far")]
    said = job.outputs(
        requirements="all * of $them.txt\nrequirements.txt\n",
        constraints="pins.txt",
        store="\n".join(stores),
        python=sys.executable,
        options="--no-seed\n--salt=one two",
    )
    assert [[said["key"]]] * 2 == [
        [each.stem for each in (job.cli.home / name).glob("v1/pointers/*.json")] for name in ("near", "far")
    ]
    assert not list((job.cli.cwd / ".venv").glob("lib/*/site-packages/pip"))


@pytest.mark.parametrize(
    ("event", "actor"),
    [
        pytest.param(pull_request("stranger/web"), "stranger", id="fork"),
        pytest.param(pull_request(None), "stranger", id="deleted fork"),
        pytest.param({"workflow_run": {"head_repository": {"full_name": "stranger/web"}}}, "stranger", id="its run"),
        pytest.param(pull_request(HERE), "dependabot[bot]", id="dependabot"),
    ],
)
def test_strangers_only_read(job: Job, event: dict[str, Any], actor: str) -> None:
    """What a fork asks for is built for it alone, whatever the inputs say; no key signs for it."""
    job.event, job.actor = event, actor
    said = job.outputs(store=str(job.cli.store), publish="true", signer="awskms:no-key-is-asked")
    assert "false" == said["hit"]
    assert [] == published(job.cli)


def test_strangers_are_served(job: Job) -> None:
    """A fork fetches what was published before."""
    job.outputs(store=str(job.cli.store))
    job.event = pull_request("stranger/web")
    assert "true" == job.outputs(store=str(job.cli.store), target="other")["hit"]


@pytest.mark.parametrize(
    "event",
    [pytest.param({}, id="push"), pytest.param(pull_request(HERE), id="own branch")],
)
def test_the_repository_itself_publishes(job: Job, event: dict[str, Any]) -> None:
    """A branch of the repository writes to the store, unless it is said that it should not."""
    job.event = event
    job.outputs(store=str(job.cli.store), publish="false")
    assert [] == published(job.cli)
    key = job.outputs(store=str(job.cli.store), target="other")["key"]
    assert [key] == published(job.cli)


def test_a_fork_without_credentials_builds(job: Job) -> None:
    """Where the store demands a login, a fork has none, and does without; a branch of the repository fails."""
    job.cli.env["AWS_EC2_METADATA_DISABLED"] = "true"
    store = "s3://acme-envs/web?region=eu-central-1"
    assert 7 == job.use(store=store).returncode
    job.event = pull_request("stranger/web")
    assert "false" == job.outputs(store=store)["hit"]
    assert 7 == job.use(store=store, target="other", no_build="true").returncode


def test_what_fails_is_an_annotation(job: Job) -> None:
    """The exit code is terrastore's; message and hint are told where GitHub shows them; there are no outputs."""
    done = job.use(store=str(job.cli.store), no_build="true")
    assert 4 == done.returncode
    (line,) = done.stdout.splitlines()
    assert re.fullmatch(r"::error title=terrastore::.* and building is off%0Apublish it with .*", line)
    assert "" == job.file("GITHUB_OUTPUT").read_text()
    pages.told("github-actions", "failure", line, {job.cli.store: pages.STORE})


@pytest.mark.parametrize("name", ["no-build", "publish", "activate"])
def test_neither_true_nor_false(job: Job, name: str) -> None:
    """A word that says neither is an error that names the input; nothing is published by mistake."""
    done = job.use(**{name: "yes"})
    assert 2 == done.returncode
    assert f"::error title=terrastore::the input {name} is true or false, not 'yes'\n" == done.stdout
    assert not job.cli.store.exists()


@pytest.mark.network
def test_a_runner_that_has_nothing(cli: CommandLine, tmp_path: Path) -> None:
    """terrastore is installed from where the action stands, at the version that the workflow names, once a job."""
    cli.write("requirements.txt", "alpha==1.0\n")
    del cli.env["PIP_NO_INDEX"]
    job = Job(cli, tmp_path / "runner")
    assert "false" == job.outputs(options="--no-index")["hit"]
    cli.env["PIP_NO_INDEX"] = "1"
    assert "true" == job.outputs(target="other", options="--no-index")["hit"]
