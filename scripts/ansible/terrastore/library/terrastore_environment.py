#!/usr/bin/python
"""Makes sure that a Python environment is there, as ``terrastore ensure`` does."""

from __future__ import annotations

import json
import os
from urllib.parse import urlsplit

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: terrastore_environment
short_description: Make sure that a Python environment is there
description:
  - Keeps the environment that stands there when it is what is asked for, else fetches it from a store; may build it.
  - In check mode says whether anything would change, and what differs, by C(terrastore why).
options:
  requirements:
    description: Requirements files, locks or projects on the machine.
    type: list
    elements: path
    required: true
  store:
    description: URLs, the nearest first; without any the one in the machine's settings. Logins in them are not shown.
    type: list
    elements: str
  target:
    description: Where the environment is to stand.
    type: path
  link:
    description: Symbolic link to the current one of several releases.
    type: path
  releases:
    description: Where releases stand; without it C(releases) beside the link.
    type: path
  python:
    description: Interpreter of the environment, such as C(3.12).
    type: str
  trust:
    description: Trust file on the machine.
    type: path
  realm:
    description: What environments are published for.
    type: str
  build:
    description: Whether to build, and publish, what no store has.
    type: bool
    default: false
  options:
    description: Other options that say what is to be there, one word each, such as C(--extra=web) or C(--any-patch).
    type: list
    elements: str
  ensure_options:
    description: Other options of C(terrastore ensure), such as C(--wheelhouse), which check mode has no use for.
    type: list
    elements: str
  executable:
    description: terrastore on the machine.
    type: path
    default: /opt/terrastore/current/bin/terrastore
  bootstrap:
    description: C(bootstrap.sh) on the machine, which is run instead where terrastore is not there.
    type: path
attributes:
  check_mode:
    support: full
"""

EXAMPLES = r"""
- name: Environment of app
  terrastore_environment:
    requirements: /srv/app/requirements.txt
    store: s3://acme-envs/web
    link: /srv/app/current
  notify: Restart app
"""

RETURN = r"""
outcome:
  description: C(kept), C(fetched) or C(built); in check mode what it would be.
  returned: success, unless terrastore is not there in check mode
  type: str
key:
  description: What names the environment.
  returned: success, unless terrastore is not there in check mode
  type: str
path:
  description: Where the environment stands.
  returned: success, but not in check mode
  type: str
differences:
  description: What is asked for that was not before, for people.
  returned: in check mode
  type: list
"""

ARGUMENTS = {
    "requirements": {"type": "list", "elements": "path", "required": True},
    # Neither the machine's log nor ours gets what may have a login in it.
    "store": {"type": "list", "elements": "str", "no_log": True},
    "target": {"type": "path"},
    "link": {"type": "path"},
    "releases": {"type": "path"},
    "python": {"type": "str"},
    "trust": {"type": "path"},
    "realm": {"type": "str"},
    "build": {"type": "bool", "default": False},
    "options": {"type": "list", "elements": "str"},
    "ensure_options": {"type": "list", "elements": "str"},
    "executable": {"type": "path", "default": "/opt/terrastore/current/bin/terrastore"},
    "bootstrap": {"type": "path"},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        ARGUMENTS,
        supports_check_mode=True,
        mutually_exclusive=[("target", "link")],
        required_one_of=[("target", "link")],
        required_by={"releases": "link"},
    )
    show_harmless_stores(module)
    if module.check_mode:
        module.exit_json(**what_would_be(module))
    module.exit_json(**ensured(module))


def show_harmless_stores(module: AnsibleModule) -> None:
    """Let messages name stores whose URLs have no room for a secret."""
    urls = module.params["store"] or []
    module.no_log_values -= {url for url in urls if not (urlsplit(url).username or urlsplit(url).query)}


def ensured(module: AnsibleModule) -> dict[str, object]:
    """Make sure of the environment; return what is told of that."""
    if os.path.exists(module.params["executable"]) or module.params["bootstrap"] is None:
        command = [module.params["executable"], "ensure"]
    else:
        command = ["/bin/sh", module.params["bootstrap"]]
    building = [] if module.params["build"] else ["--no-build"]
    said = run(module, [*command, *building, *arguments(module), *(module.params["ensure_options"] or [])])
    return {
        "changed": said["outcome"] != "kept" or said["switched"],
        "outcome": said["outcome"],
        "key": said["key"],
        "path": said["target"],
    }


def what_would_be(module: AnsibleModule) -> dict[str, object]:
    """Return what is told of a run that does nothing; it fails where the run would find nothing to fetch."""
    if not os.path.exists(module.params["executable"]) and module.params["bootstrap"] is not None:
        return {"changed": True, "differences": ["terrastore itself is not there"]}
    said = run(module, [module.params["executable"], "why", *arguments(module)])
    differences = [each["phrase"] for each in said["differences"]]
    if said["outcome"] == "built" and not module.params["build"]:
        what = said["misfit"] or f"no store has {said['key']}"
        module.fail_json(msg=f"{what}, and building is off", key=said["key"], differences=differences)
    return {
        "changed": said["outcome"] != "kept",
        "outcome": said["outcome"],
        "key": said["key"],
        "differences": differences,
    }


def arguments(module: AnsibleModule) -> list[str]:
    """Return the options that say what and where."""
    words = ["--json"]
    for path in module.params["requirements"]:
        words += ["--requirement", path]
    for url in module.params["store"] or []:
        words += ["--store", url]
    for name in ("target", "link", "releases", "python", "trust", "realm"):
        if module.params[name] is not None:
            words += [f"--{name}", module.params[name]]
    return [*words, *(module.params["options"] or [])]


def run(module: AnsibleModule, command: list[str]) -> dict[str, object]:
    """Return the object that a command prints; what went wrong is the task's message."""
    code, out, err = module.run_command(command)
    try:
        said = json.loads(out)
    except ValueError:
        said = {}
    if error := said.get("error"):
        module.fail_json(msg=error["message"], hint=error["hint"], rc=code)
    if code != 0 or not said:
        module.fail_json(msg=err.strip() or out.strip() or f"{command[0]} ended with {code}", rc=code)
    for line in said["warnings"]:
        module.warn(line)
    return said


if __name__ == "__main__":
    main()
