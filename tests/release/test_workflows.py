""".github/workflows: what runs, with which rights, and what is published."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

ROOT: Final = Path(__file__).parents[2]
FILES: Final = sorted((ROOT / ".github/workflows").glob("*.yml"))
WORKFLOWS: Final[dict[str, Any]] = {path.stem: yaml.safe_load(path.read_text()) for path in FILES}
JOBS: Final[dict[str, Any]] = {
    f"{workflow}: {job}": said for workflow, whole in WORKFLOWS.items() for job, said in whole["jobs"].items()
}
STEPS: Final[list[Any]] = [step for job in JOBS.values() for step in job.get("steps", [])]
# YAML 1.1 reads the word as a truth value.
ON: Final = True


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_secret_and_no_code_from_elsewhere(path: Path) -> None:
    """Nobody's token is needed, and no expression is part of what a shell runs: a branch's name could be anything."""
    assert "secrets" not in path.read_text()
    assert [] == [step["run"] for step in STEPS if "${{" in step.get("run", "")]


def test_actions_are_pinned() -> None:
    """GitHub's own by their major version, those of others by commit; what is called of this repository is there."""
    used = [
        *(step["uses"] for step in STEPS if "uses" in step),
        *(job["uses"] for job in JOBS.values() if "uses" in job),
    ]
    assert len(used) > 5
    own = re.compile(r"actions/[\w-]+@v\d+|[\w-]+/[\w-]+@[0-9a-f]{40}")
    assert [] == [name for name in used if not own.fullmatch(name) and not (ROOT / name).is_file()]


def test_rights() -> None:
    """Workflows may read the repository; the job that publishes may ask for an identity, and not even that."""
    assert [{"contents": "read"}] * len(FILES) == [whole["permissions"] for whole in WORKFLOWS.values()]
    given = {name: job["permissions"] for name, job in JOBS.items() if "permissions" in job}
    assert {"release: publish": {"id-token": "write"}} == given
    assert [] == [
        step
        for step in STEPS
        if "/checkout@" in step.get("uses", "") and step["with"]["persist-credentials"] is not False
    ]


def test_what_runs_is_there() -> None:
    """Steps run programs of this repository, with paths that it has, and nothing else."""
    runs = [shlex.split(step["run"]) for step in STEPS if "run" in step]
    assert [[".ci/run"], ["scripts/releasable", "$GITHUB_REF_NAME"]] == runs[:2]
    assert [] == [words for words in runs if not (ROOT / words[0]).stat().st_mode & 0o111]
    assert [] == [word for words in runs for word in words if word.startswith("tests/") and not (ROOT / word).exists()]


def test_when() -> None:
    """Pushes and pull requests are tested; a tag of a version is released."""
    assert {"push": {"branches": ["**"]}, "pull_request": None, "workflow_call": None} == WORKFLOWS["ci"][ON]
    assert {"push": {"tags": ["v*"]}} == WORKFLOWS["release"][ON]


def test_only_what_was_tested_is_published() -> None:
    """Publishing waits for every other job, and takes the files that were checked; it runs nothing of its own."""
    jobs = WORKFLOWS["release"]["jobs"]
    assert jobs.keys() - {"publish"} == set(jobs["publish"]["needs"])
    assert "./.github/workflows/ci.yml" == jobs["tests"]["uses"]
    *_, checked, handed = jobs["distributions"]["steps"]
    fetched, published = jobs["publish"]["steps"]
    folder = checked["env"]["DISTRIBUTIONS_UNDER_TEST"]
    assert {f"{folder}/"} == {handed["with"]["path"], fetched["with"]["path"]}
    assert handed["with"]["name"] == fetched["with"]["name"]
    assert {"attestations": True} == published["with"]
    assert "release" == jobs["publish"]["environment"]
