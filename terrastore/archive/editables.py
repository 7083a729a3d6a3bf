"""Editable installs (PEP 660) that run their build on import, which no environment that was moved can do.

Where they were built, the build's tools stood in directories that are gone, and what was made there holds their paths.
"""

from __future__ import annotations

import ast
import re
from typing import Final

HINT: Final = "leave out -e: the package is then installed as it is at that revision"
_CHECKOUT: Final = "src/"  # where pip puts them in an environment
_LOADER: Final = re.compile(r"lib/[^/]+/site-packages/_\w*editable\w*\.py")


def is_part(path: str) -> bool:
    """Whether a file of an environment is there for an editable install alone."""
    return path.startswith(_CHECKOUT) or bool(_LOADER.fullmatch(path))


def refusal(path: str, data: bytes) -> str | None:
    """Return why the loader of an editable install cannot be moved; None when it can, or ``path`` is none."""
    if not _LOADER.fullmatch(path):
        return None
    if b"class MesonpyMetaFinder" in data:
        return "meson-python's editables are built anew on every import, which needs the build's own tools"
    if b"class ScikitBuild" in data and _rebuilds(data):
        return "scikit-build-core builds it anew on import (editable.rebuild), which needs the build's own tools"
    return None


def _rebuilds(data: bytes) -> bool:
    """Whether a loader of scikit-build-core ends with ``install(…, rebuild=True, verbose, …)``.

    How many arguments come before depends on its version; the first that is True or False is always this one.
    """
    last = ast.parse(data).body[-1]
    arguments = last.value.args if isinstance(last, ast.Expr) and isinstance(last.value, ast.Call) else []
    flags = (each.value for each in arguments if isinstance(each, ast.Constant) and isinstance(each.value, bool))
    return next(flags, False)
