"""scripts/gitlab/environment.yml, what it runs before a job run as a runner does."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.conftest import put_program
from tests.recipes import pages
from tests.recipes.commands import SCRIPTS, calls, require_understood

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import CommandLine

TEMPLATE = yaml.safe_load((SCRIPTS / "gitlab/environment.yml").read_text())
(JOB,) = TEMPLATE.values()
INSTALLATION, BEFORE = JOB["before_script"][:2], JOB["before_script"][2:]
PROTECTED = {"CI_COMMIT_REF_PROTECTED": "true"}
SEEN = 'command -v alpha; echo "$VIRTUAL_ENV"'


def run(cli: CommandLine, lines: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    """Run lines in one shell, as runners do."""
    given = JOB["variables"] | {"CI_PROJECT_DIR": str(cli.cwd)} | variables
    command = ["sh", "-c", "\n".join(["set -eu", *lines])]
    return subprocess.run(command, cwd=cli.cwd, env=cli.env | given, capture_output=True, text=True, check=False)


@pytest.fixture
def project(cli: CommandLine) -> CommandLine:
    """Return a checkout that asks for ``alpha``, in a job that has terrastore."""
    cli.write("requirements.txt", "alpha==1.0\n")
    scripts = cli.cwd.with_name(f"{cli.cwd.name}.tmp") / "terrastore/bin"
    scripts.mkdir(parents=True)
    put_program(scripts / "terrastore")
    return cli


def published(cli: CommandLine) -> list[Path]:
    return list(cli.store.glob("v1/pointers/*.json"))


def test_every_command_is_understood() -> None:
    """The lines run terrastore with options that there are."""
    shown = calls("\n".join(BEFORE))
    assert 3 == len(shown)
    for words in shown:
        require_understood(words)


def test_a_protected_branch_publishes(project: CommandLine) -> None:
    """There what is built goes to the store, and the job's lines run in the environment."""
    done = run(project, [*BEFORE, SEEN], **PROTECTED)
    assert 0 == done.returncode, done.stderr
    place = project.cwd / ".venv"
    assert [f"{place}/bin/alpha", str(place)] == done.stdout.splitlines()[-2:]
    assert 1 == len(published(project))
    places = {project.store: pages.STORE}
    pages.told("gitlab-ci", "miss", pages.result(done.stdout), places)
    place.rename(project.cwd / "aside")
    pages.told("gitlab-ci", "hit", pages.result(run(project, BEFORE, **PROTECTED).stdout), places)


@pytest.mark.parametrize("said", [{}, {"CI_COMMIT_REF_PROTECTED": "false"}], ids=["fork", "branch"])
def test_others_only_read(project: CommandLine, said: dict[str, str]) -> None:
    """Elsewhere it is built for the job alone; no key signs for it."""
    done = run(project, [*BEFORE, SEEN], TERRASTORE_SIGNER="awskms:no-key-is-asked", **said)
    assert 0 == done.returncode, done.stderr
    assert [] == published(project)
    pages.told("gitlab-ci", "miss elsewhere", pages.result(done.stdout), {})


def test_without_credentials(project: CommandLine) -> None:
    """A store that demands a login stops protected branches, and those that may not build; others do without it."""
    bucket = {"TERRASTORE_STORE": "s3://acme-envs/web?region=eu-central-1", "AWS_EC2_METADATA_DISABLED": "true"}
    assert 7 == run(project, BEFORE, **bucket, **PROTECTED).returncode
    assert 7 == run(project, BEFORE, **bucket, TERRASTORE_NO_BUILD="1").returncode
    assert 0 == run(project, BEFORE, **bucket).returncode


def test_a_failure_ends_the_job(project: CommandLine) -> None:
    """Its exit code is terrastore's."""
    done = run(project, BEFORE, TERRASTORE_NO_BUILD="1")
    assert 4 == done.returncode
    pages.told("gitlab-ci", "failure", pages.result(done.stderr), {project.store: pages.STORE})


@pytest.mark.network
def test_an_image_that_has_nothing(cli: CommandLine) -> None:
    """Python is enough: terrastore is installed beside the checkout."""
    del cli.env["PIP_NO_INDEX"]
    lines = [*INSTALLATION, '"$CI_PROJECT_DIR.tmp/terrastore/bin/terrastore" ensure --help']
    done = run(cli, lines, TERRASTORE_PIP=str(SCRIPTS.parent))
    assert 0 == done.returncode, done.stderr
    assert "--no-publish" in done.stdout
