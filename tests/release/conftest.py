"""What a release consists of, built once."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Distributions:
    """The files of a release."""

    wheel: Path
    sdist: Path

    @property
    def paths(self) -> tuple[Path, Path]:
        return self.wheel, self.sdist


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    """Return what is in the folder DISTRIBUTIONS_UNDER_TEST, else what is built of this tree."""
    if named := os.environ.get("DISTRIBUTIONS_UNDER_TEST"):
        folder = ROOT / named
    else:
        folder = tmp_path_factory.mktemp("dist")
        # As .ci/run does it: the wheel is made of the sdist.
        command = [sys.executable, "-m", "build", "--quiet", "--outdir", str(folder), str(ROOT)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    assert {wheel, sdist} == set(folder.iterdir())
    return Distributions(wheel, sdist)
