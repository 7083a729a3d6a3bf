"""TOML documents that ask for something."""

from __future__ import annotations

import tomllib
from typing import Any

from terrastore.errors import RequirementsError, reason
from terrastore.redaction import without_secrets


def parsed(path: str, data: bytes) -> dict[str, Any]:
    """Return the document in a file.

    :raises RequirementsError: when it is no TOML; ``path`` is named
    """
    try:
        return tomllib.loads(data.decode())
    except ValueError as error:
        problem = without_secrets(reason(error).splitlines()[0])
        raise RequirementsError(f"{path} is not TOML: {problem}", hint="mend it, or write it anew") from None


def table(path: str, document: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return a table inside of tables, empty when it is not there.

    :raises RequirementsError: when it is no table; ``path`` is named
    """
    found: Any = document
    for depth, name in enumerate(names, start=1):
        found = found.get(name, {})
        if not isinstance(found, dict):
            raise RequirementsError(f"{path}: {'.'.join(names[:depth])} is no table", hint="mend it")
    return dict(found)
