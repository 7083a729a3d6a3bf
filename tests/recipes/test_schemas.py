"""Files for GitHub and GitLab are what the published schemas of these allow."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.program_environments import program_environment
from tests.recipes.commands import SCRIPTS
from tests.recipes.pages import example

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.network  # the schemas are installed from an index
ACTION = (SCRIPTS / "github-action/action.yml").read_text()
TEMPLATE = (SCRIPTS / "gitlab/environment.yml").read_text()
WORKFLOW = example("github-actions", "workflow")
WITH_ROLE = example("github-actions", "workflow with a role")
PIPELINE = example("gitlab-ci", "pipeline")
GITHUB = SCRIPTS.parent / ".github"
CI, RELEASE = ((GITHUB / f"workflows/{name}.yml").read_text() for name in ("ci", "release"))
DEPENDABOT = (GITHUB / "dependabot.yml").read_text()


@pytest.mark.parametrize(
    ("schema", "text", "expected"),
    [
        pytest.param("github-actions", ACTION, 0, id="action"),
        pytest.param("github-actions", ACTION.replace("shell: sh", "shells: sh"), 1, id="a step without a shell"),
        pytest.param("github-workflows", WORKFLOW, 0, id="workflow"),
        pytest.param("github-workflows", WITH_ROLE, 0, id="workflow with a role"),
        pytest.param("github-workflows", WORKFLOW.replace("runs-on", "runs"), 1, id="a job that runs nowhere"),
        pytest.param("github-workflows", CI, 0, id="own workflow"),
        pytest.param("github-workflows", CI.replace("image:", "images:"), 1, id="a container of nothing"),
        pytest.param("github-workflows", RELEASE, 0, id="release"),
        pytest.param(
            "github-workflows", RELEASE.replace("id-token: write", "id-token: yes"), 1, id="an odd permission"
        ),
        pytest.param("dependabot", DEPENDABOT, 0, id="dependabot"),
        pytest.param("dependabot", DEPENDABOT.replace("interval:", "every:"), 1, id="a schedule without an interval"),
        pytest.param("github-workflows", WITH_ROLE.replace("id-token: w", "id-token: rw"), 1, id="a wrong permission"),
        pytest.param("gitlab-ci", TEMPLATE, 0, id="template"),
        pytest.param("gitlab-ci", PIPELINE, 0, id="pipeline"),
        pytest.param("gitlab-ci", PIPELINE.replace("variables:", "variable:"), 1, id="a job with what there is not"),
    ],
)
def test_schemas(tmp_path: Path, schema: str, text: str, expected: int) -> None:
    """Each is allowed; the same with a mistake in it is not."""
    path = tmp_path / "file.yml"
    path.write_text(text)
    program = program_environment("schemas") / "bin/check-jsonschema"
    command = [str(program), "--builtin-schema", f"vendor.{schema}", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert expected == done.returncode, done.stdout + done.stderr
