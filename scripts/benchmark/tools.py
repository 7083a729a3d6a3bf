"""Gets what is measured, each in a virtual environment of its own that stays in .bench, and says which versions."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scripts.benchmark.measuring import clean_variables, filesystem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scripts.benchmark.results import Results

REPOSITORY: Final = Path(__file__).parents[2]
KEPT: Final = REPOSITORY / ".bench"
OF_THE_INDEX: Final = {"aws": "awscli", "s5cmd": "s5cmd", "pex": "pex", "venv-pack": "venv-pack"}
"""By program: the package that brings it."""
OF_THE_SYSTEM: Final = ("zstd", "tar", "gzip", "curl", "cp")


@dataclass(frozen=True)
class Tools:
    """Where programs are. A rival that cannot be had is not among them."""

    terrastore: Path
    python: Path
    """The one that terrastore is installed for, with boto3 and click."""
    uv: Path
    programs: dict[str, Path]

    def ensure_knows(self, option: str) -> bool:
        """Return whether ``terrastore ensure`` has an option."""
        return option in said([self.terrastore, "ensure", "--help"])


def get(results: Results) -> Tools:
    """Install terrastore as it is in this checkout, and its rivals, and note versions and what cannot be had."""
    own = environment("terrastore")
    install(own, "--force-reinstall", "--no-deps", str(REPOSITORY))  # the version does not tell that it changed
    install(own, f"{REPOSITORY}[uv]")
    programs = {name: Path(found) for name in OF_THE_SYSTEM if (found := shutil.which(name))}
    for name, package in OF_THE_INDEX.items():
        place = environment(name)
        try:
            install(place, package)
        except subprocess.CalledProcessError as error:
            results.left_out[name] = f"{package} cannot be installed: {(error.stderr.splitlines() or [''])[-1]}"
        else:
            programs[name] = place / "bin" / name
    tools = Tools(own / "bin/terrastore", own / "bin/python", own / "bin/uv", programs)
    results.tools = versions(tools)
    results.machine = machine()
    return tools


def plot(saved: Path, folder: Path) -> None:
    """Draw results, with matplotlib in an environment of its own."""
    place = environment("plots")
    install(place, "--group", f"{REPOSITORY / 'pyproject.toml'}:bench")
    command = [
        str(place / "bin/python"),
        "-m",
        "scripts.benchmark.plots",
        str(saved.absolute()),
        str(folder.absolute()),
    ]
    subprocess.run(command, check=True, cwd=REPOSITORY)


def environment(name: str) -> Path:
    """Return a virtual environment that is there from now on."""
    place = KEPT / name
    if not (place / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True)
        install(place, "--upgrade", "pip>=25.1")
        (place / "ready").touch()
    return place


def install(place: Path, *arguments: str) -> None:
    """Let pip install something."""
    command = [str(place / "bin/python"), "-m", "pip", "install", "--quiet", *arguments]
    subprocess.run(command, check=True, capture_output=True, text=True, env=clean_variables())


def versions(tools: Tools) -> dict[str, str]:
    """Return what each tool says it is."""
    asked: dict[str, Sequence[str | Path]] = {
        "terrastore": [tools.terrastore, "--version"],
        "uv": [tools.uv, "--version"],
        "pip": [tools.python, "-m", "pip", "--version"],
        "boto3": [tools.python, "-c", "import boto3; print(boto3.__version__)"],
    }
    asked |= {
        name: [program, "version" if name == "s5cmd" else "--version"] for name, program in tools.programs.items()
    }
    found = {"Python": platform.python_version()}
    for name, command in asked.items():
        number = re.search(r"\d+(\.\d+)+", said(command))
        found[name] = number[0] if number else "of an unknown version"
    commit = said(["git", "-C", REPOSITORY, "rev-parse", "--short", "HEAD"]).strip()
    found["terrastore"] += f" ({commit})" if commit else ""
    return found


def machine() -> dict[str, str]:
    """Return what was measured on."""
    described = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.partition(":")[2].strip() for line in described if line.startswith("model name")), "")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": cpu or platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory / 2**30:.0f} GiB",
    }


def described(work: Path) -> dict[str, str]:
    """Return what the machine is like now: where the work is done, and who else works."""
    return {"filesystem": filesystem(work), "load at the start": f"{os.getloadavg()[0]:.1f}"}


def said(command: Sequence[str | Path]) -> str:
    """Return what a command prints, nothing when it fails."""
    return subprocess.run(command, capture_output=True, text=True, check=False, env=clean_variables()).stdout
