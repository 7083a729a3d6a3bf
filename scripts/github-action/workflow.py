"""What action.sh asks of the workflow that runs it, and what it tells that.

``is-of-strangers`` ends with 0 when what runs was written by somebody who may not write to the repository; ``tell
FILE ACTIVATE`` hands on what ``terrastore ensure --json`` printed.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def is_of_strangers() -> bool:
    """Say whether code of a fork, or of Dependabot, runs; secrets may be there all the same (pull_request_target)."""
    if os.environ.get("GITHUB_ACTOR") == "dependabot[bot]":
        return True
    with open(os.environ["GITHUB_EVENT_PATH"], encoding="utf-8") as file:
        event = json.load(file)
    if pull_request := event.get("pull_request"):
        origin = pull_request["head"]["repo"]
    elif run := event.get("workflow_run"):
        origin = run["head_repository"]
    else:
        return False
    # A fork that was deleted has no name.
    return origin is None or origin["full_name"] != os.environ["GITHUB_REPOSITORY"]


def tell(said: dict[str, Any], *, activate: bool) -> None:
    """Write outputs of the step, and what the steps that follow run in; or one annotation that says what failed."""
    if error := said.get("error"):
        text = "\n".join(filter(None, (error["message"], error["hint"])))
        print(f"::error title=terrastore::{escaped(text)}")
        return
    path = said["target"]
    print(f"{said['outcome']} {said['key']} → {path}")
    add("GITHUB_OUTPUT", f"hit={str(said['outcome'] != 'built').lower()}", f"key={said['key']}", f"path={path}")
    if activate:
        add("GITHUB_PATH", f"{path}/bin")
        add("GITHUB_ENV", f"VIRTUAL_ENV={path}")


def escaped(text: str) -> str:
    """Return what a message of a workflow command may hold."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def add(variable: str, *lines: str) -> None:
    """Append lines to a file that a variable names."""
    with open(os.environ[variable], "a", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)


def main(question: str, *arguments: str) -> int:
    """Do what is asked; return the exit code."""
    # Whatever the locale: a runner reads UTF-8.
    sys.stdout.reconfigure(encoding="utf-8")
    if question == "is-of-strangers":
        return not is_of_strangers()
    with open(arguments[0], encoding="utf-8") as file:
        text = file.read()
    # Nothing stands there when a run was killed.
    if text:
        tell(json.loads(text), activate=arguments[1] == "true")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
