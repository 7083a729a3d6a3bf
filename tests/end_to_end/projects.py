"""Projects of several build backends, to be installed so that they can be edited."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING

import zstandard

from terrastore.archive import record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

BACKENDS = ("setuptools", "hatchling", "editables", "poetry-core", "flit-core")
CODE = "HERE = __file__\nMARK = 'mark of <name>'\n\n\ndef main():\n    print('<name>', MARK)\n"
_PROJECT = (
    "[build-system]\nrequires = ['{requires}']\nbuild-backend = '{backend}'\n"
    "[project]\nname = '<name>'\nversion = '1.0'\ndescription = 'x'\ndependencies = ['beta']\n"
    "[project.scripts]\n<name> = '<name>:main'\n"
)
_SETUPTOOLS = {"requires": "setuptools", "backend": "setuptools.build_meta"}
_CFG = (
    "[metadata]\nname = <name>\nversion = 1.0\n[options]\npackages = <name>\ninstall_requires = beta\n"
    "[options.entry_points]\nconsole_scripts =\n    <name> = <name>:main\n"
)
_SETUP = (
    "from setuptools import setup\n"
    "setup(name='<name>', version='1.0', packages=['<name>'], install_requires=['beta'],\n"
    "      entry_points={'console_scripts': ['<name> = <name>:main']})\n"
)
_POETRY = (
    "[build-system]\nrequires = ['poetry-core']\nbuild-backend = 'poetry.core.masonry.api'\n"
    "[tool.poetry]\nname = '<name>'\nversion = '1.0'\ndescription = 'x'\nauthors = []\n"
    "[tool.poetry.dependencies]\npython = '>=3.8'\nbeta = '*'\n"
    "[tool.poetry.scripts]\n<name> = '<name>:main'\n"
)
_IN_SRC, _FLAT = "src/<name>/__init__.py", "<name>/__init__.py"

EVERY_KIND: Mapping[str, Mapping[str, str]] = {
    "in_src": {"pyproject.toml": _PROJECT.format(**_SETUPTOOLS), _IN_SRC: CODE},
    "flat": {"pyproject.toml": _PROJECT.format(**_SETUPTOOLS), _FLAT: CODE},
    "in_cfg": {
        "pyproject.toml": "[build-system]\nrequires = ['setuptools']\nbuild-backend = 'setuptools.build_meta'\n",
        "setup.cfg": _CFG,
        _FLAT: CODE,
    },
    "in_setup": {"setup.py": _SETUP, _FLAT: CODE},
    "hatched": {"pyproject.toml": _PROJECT.format(requires="hatchling", backend="hatchling.build"), _IN_SRC: CODE},
    "poetic": {"pyproject.toml": _POETRY, _IN_SRC: CODE},
    "flitting": {"pyproject.toml": _PROJECT.format(requires="flit-core", backend="flit_core.buildapi"), _FLAT: CODE},
}
"""By name: the files of a project that needs ``beta`` and has a console script of its name."""


def download(folder: Path, *names: str) -> Path:
    """Fetch distributions from the index, and all that they need."""
    subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--dest", folder, *names], check=True)
    return folder


def write(folder: Path, name: str, files: Mapping[str, str]) -> Path:
    """Write the files of a project of that name; return its directory."""
    for path, text in files.items():
        place = folder / path.replace("<name>", name)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text.replace("<name>", name))
    return folder


def write_small(
    folder: Path,
    name: str = "web",
    *,
    needs: Iterable[str] = ("beta",),
    extras: Mapping[str, list[str]] | None = None,
    scripts: Iterable[str] | None = None,
) -> Path:
    """Write a project that flit builds in no time; ``scripts`` all run its ``main``."""
    said = "".join(f"{script} = '{name}:main'\n" for script in ([name] if scripts is None else scripts))
    pyproject = (
        "[build-system]\nrequires = ['flit-core']\nbuild-backend = 'flit_core.buildapi'\n"
        f"[project]\nname = '{name}'\nversion = '1.0'\ndescription = 'x'\ndependencies = {list(needs)}\n"
        f"[project.scripts]\n{said}[project.optional-dependencies]\n"
        + "".join(f"{extra} = {wanted}\n" for extra, wanted in (extras or {}).items())
    )
    return write(folder, name, {"pyproject.toml": pyproject, _FLAT: CODE})


def run(*command: str | Path, **variables: str) -> str:
    """Return what a command prints, started from elsewhere; it must end with 0."""
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, cwd="/", env={**os.environ, **variables}
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout.strip()


def unpacked(archive: Path) -> bytes:
    """Return the tar stream of an archive."""
    with archive.open("rb") as file:
        return zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True).read()


def members(stream: bytes) -> dict[str, bytes]:
    """Return the members of a tar stream that are files, by path."""
    with tarfile.open(fileobj=io.BytesIO(stream)) as tar:
        return {each.name: tar.extractfile(each).read() for each in tar if each.isfile()}  # type: ignore[union-attr] # a file


def untrue(environment: Path) -> list[str]:
    """Return what the RECORDs of an environment say and is not so."""
    found = []
    for listing in environment.glob("lib/*/site-packages/*.dist-info/RECORD"):
        for row in record.parse(listing.read_bytes()):
            place = listing.parent.parent / row.path
            if row.digest and record.digest_of(place.read_bytes()) != row.digest:
                found.append(row.path)
    return found
