"""Says what the installed pip makes of the arguments of ``pip install``, as far as it goes before it looks at an index.

Reads an object (``directory``, ``arguments``, ``variables``) from each line of its input, and answers each with one.
It is a program of its own, so that whoever asks imports nothing of pip.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Any

from pip._internal.cli.cmdoptions import check_release_control_exclusive
from pip._internal.commands import create_command
from pip._vendor.packaging.utils import canonicalize_name


def observed(case: dict[str, Any]) -> dict[str, Any]:
    """Return the requirements in their order, and where and how would be looked for them."""
    os.chdir(case["directory"])
    os.environ.clear()
    os.environ.update(case["variables"])
    command: Any = create_command("install")
    options, arguments = command.parse_args(case["arguments"])
    check_release_control_exclusive(options)
    # pip's default of that is one list for all commands of a process.
    options.features_enabled = [*options.features_enabled]
    with command.main_context():
        session = command.get_default_session(options)
        finder = command._build_package_finder(options, session)
        requirements = command.get_requirements(arguments, options, finder, session)
        return {
            "requirements": [_requirement(each) for each in requirements if not each.constraint],
            # Of what is built as a constraint says pip does not look at the settings.
            "constraints": [_requirement(each) | {"config_settings": {}} for each in requirements if each.constraint],
            "index_urls": finder.index_urls,
            "find_links": finder.find_links,
            "no_index": finder.search_scope.no_index,
            "no_binary": sorted(finder.format_control.no_binary),
            "only_binary": sorted(finder.format_control.only_binary),
            "all_releases": sorted(finder.release_control.all_releases),
            "only_final": sorted(finder.release_control.only_final),
            "prefer_binary": finder._candidate_prefs.prefer_binary,
            "require_hashes": bool(options.require_hashes),
            "features": sorted({*options.features_enabled}),
            "trusted": sorted(map(str, session.pip_trusted_origins)),
        }


def _requirement(found: Any) -> dict[str, Any]:
    asked = found.req
    extras = {canonicalize_name(extra) for extra in (*found.extras, *(asked.extras if asked else ()))}
    return {
        "name": canonicalize_name(asked.name) if asked else "",
        "extras": sorted(extras),
        "specifier": str(asked.specifier) if asked else "",
        "link": found.link.url if found.link else "",
        "applies": found.match_markers(),
        "hashes": {name: sorted(values) for name, values in found.hash_options.items()},
        "config_settings": found.config_settings or {},
        "editable": found.editable,
    }


def answer(case: dict[str, Any]) -> dict[str, Any]:
    """Return what is observed, or why there is nothing."""
    try:
        return observed(case)
    except Exception as error:  # noqa: BLE001 -- where pip ends, however it does, there is nothing
        return {"error": f"{type(error).__name__}: {error}"}
    except SystemExit as error:
        return {"error": f"exit {error.code}"}


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    for line in sys.stdin.read().splitlines():
        sys.stdout.write(json.dumps(answer(json.loads(line))) + "\n")
