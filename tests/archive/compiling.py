"""Small programs, made here by the C compiler."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from terrastore.archive.staging import StagingPrefix

if TYPE_CHECKING:
    from pathlib import Path

PREFIX = StagingPrefix.under("/srv/builds", "0f" * 16)


def compiled(place: Path, source: str, *options: str, compiler: str = "gcc") -> Path:
    """Compile ``source``, in which ``<prefix>`` stands for the staging prefix, to a program or library at ``place``."""
    place.parent.mkdir(parents=True, exist_ok=True)
    code = place.with_suffix(".c" if compiler == "gcc" else ".cc")
    code.write_text(source.replace("<prefix>", PREFIX.path))
    told = [option.replace("<prefix>", PREFIX.path) for option in options]
    subprocess.run([compiler, str(code), "-o", str(place), *told], check=True, capture_output=True, cwd=place.parent)
    code.unlink()
    return place


def library(place: Path, source: str = "int answer(void) { return 42; }", *options: str) -> Path:
    """Compile a shared library."""
    return compiled(place, source, "-shared", "-fPIC", *options)
