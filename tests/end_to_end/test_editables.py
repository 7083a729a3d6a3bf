"""Editable installs from version control, by real build backends: they move, or are refused by name."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import CommandLine, command_line
from tests.end_to_end.examine import files_that_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

pytestmark = pytest.mark.network

# A cargo of rustup looks for its toolchain in the user's home, which is another one here.
RUST = {
    "CARGO_HOME": os.environ.get("CARGO_HOME", str(Path.home() / ".cargo")),
    "RUSTUP_HOME": os.environ.get("RUSTUP_HOME", str(Path.home() / ".rustup")),
}
HERE = "HERE = __file__\n"
EXTENSION = """\
#include <Python.h>
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_fast", 0, -1, 0};
PyMODINIT_FUNC PyInit__fast(void) { return PyModule_Create(&module); }
"""
CMAKE = """\
cmake_minimum_required(VERSION 3.15...3.30)
project(x LANGUAGES C)
find_package(Python COMPONENTS Interpreter Development.Module REQUIRED)
Python_add_library(_fast MODULE fast.c WITH_SOABI)
install(TARGETS _fast DESTINATION <name>)
"""
CARGO = (
    '[package]\nname = "in_rust"\nversion = "1.0.0"\nedition = "2021"\n[lib]\nname = "_fast"\ncrate-type = ["cdylib"]\n'
)
MESON = """\
project('x', 'c')
python = import('python').find_installation(pure: false)
python.install_sources('<name>/__init__.py', subdir: '<name>')
python.extension_module('_fast', 'fast.c', install: true, subdir: '<name>')
"""


def pyproject(requires: str, backend: str, more: str = "") -> str:
    return (
        f"[build-system]\nrequires = {requires}\nbuild-backend = '{backend}'\n"
        f"[project]\nname = '<name>'\nversion = '1.0'\ndescription = 'x'\n{more}"
    )


# By name: the files of a project, and where below its checkout the module is.
MOVING: dict[str, tuple[dict[str, str], str]] = {
    "by_path": (
        {"pyproject.toml": pyproject("['setuptools']", "setuptools.build_meta"), "src/by_path/__init__.py": HERE},
        "src/by_path",
    ),
    "by_finder": (
        {
            "pyproject.toml": pyproject(
                "['setuptools']",
                "setuptools.build_meta",
                "[tool.setuptools]\npackages = ['by_finder']\npackage-dir = {by_finder = 'code'}\n",
            ),
            "code/__init__.py": HERE,
        },
        "code",
    ),
    "by_hatch": (
        {"pyproject.toml": pyproject("['hatchling']", "hatchling.build"), "src/by_hatch/__init__.py": HERE},
        "src/by_hatch",
    ),
    "by_flit": (
        {"pyproject.toml": pyproject("['flit_core']", "flit_core.buildapi"), "src/by_flit/__init__.py": HERE},
        "src/by_flit",
    ),
    "in_c": (
        {
            "pyproject.toml": pyproject("['scikit-build-core']", "scikit_build_core.build"),
            "CMakeLists.txt": CMAKE,
            "fast.c": EXTENSION,
            "src/in_c/__init__.py": f"from in_c import _fast\n{HERE}",
        },
        "src/in_c",
    ),
    "in_rust": (
        {
            "pyproject.toml": pyproject(
                "['maturin', 'cffi']",
                "maturin",
                "[tool.maturin]\npython-source = 'python'\nmodule-name = 'in_rust._fast'\nbindings = 'cffi'\n",
            ),
            "Cargo.toml": CARGO,
            "src/lib.rs": '#[no_mangle]\npub extern "C" fn fast() -> i32 { 42 }\n',
            "python/in_rust/__init__.py": (
                "import ctypes, pathlib\n"
                "(library,) = (pathlib.Path(__file__).parent / '_fast').glob('*.so')\n"
                f"assert 42 == ctypes.CDLL(library).fast()\n{HERE}"
            ),
        },
        "python/in_rust",
    ),
}  # fmt: skip
STUCK: dict[str, dict[str, str]] = {
    "by_meson": {
        "pyproject.toml": pyproject("['meson-python']", "mesonpy"),
        "meson.build": MESON,
        "fast.c": EXTENSION,
        "by_meson/__init__.py": HERE,
    },
    "rebuilt": {
        "pyproject.toml": pyproject(
            "['scikit-build-core']",
            "scikit_build_core.build",
            "[tool.scikit-build]\nbuild-dir = 'build'\neditable.rebuild = true\n",
        ),
        "CMakeLists.txt": CMAKE,
        "fast.c": EXTENSION,
        "src/rebuilt/__init__.py": HERE,
    },
}


def repository(folder: Path, name: str, files: Mapping[str, str]) -> str:
    """Make a repository of a project; return the line that asks for what is in it."""
    for path, text in files.items():
        place = folder / name / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text.replace("<name>", name))
    git = ("git", "-C", folder / name, "-c", "user.name=t", "-c", "user.email=t@t")
    for words in (("init", "-q"), ("add", "."), ("commit", "-qm", "first")):
        subprocess.run([*git, *words], check=True)
    return f"git+file://{folder / name}#egg={name}\n"


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Iterator[CommandLine]:
    """Return a command line that has the index."""
    with command_line(tmp_path_factory.mktemp("editables") / "home", wheels) as command:
        del command.env["PIP_NO_INDEX"], command.env["PIP_FIND_LINKS"]
        yield command


def test_editables_move(cli: CommandLine) -> None:
    """Of setuptools, hatchling, flit, scikit-build-core and maturin: imported from the checkout, wherever that is."""
    if not shutil.which("cargo"):
        assert "CI" not in os.environ, "maturin needs cargo"
        pytest.skip("maturin needs cargo")
    cli.write("requirements.txt", "".join(f"-e {repository(cli.home, name, MOVING[name][0])}" for name in MOVING))
    first, second = cli.cwd / "first", cli.cwd / "an öther place"
    told = cli.ok("ensure", "--target", "first", "--json", **RUST).json
    assert "built" == told["outcome"]
    cli.ok("ensure", "--no-build", "--target", second.name)
    assert set() == files_that_name(second, f"{first}/".encode())
    first.rename(cli.cwd / "gone")
    program = f"import json, {', '.join(MOVING)}; print(json.dumps([m.HERE for m in ({', '.join(MOVING)})]))"
    done = subprocess.run(
        [second / "bin/python", "-X", "utf8", "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
        env={},
    )
    expected = [f"{second}/src/{name.replace('_', '-')}/{inside}/__init__.py" for name, (_, inside) in MOVING.items()]
    assert expected == json.loads(done.stdout)


def test_editables_that_are_built_on_import_are_refused(cli: CommandLine) -> None:
    """meson-python's, and scikit-build-core's to be rebuilt: by file and reason, with what to write instead."""
    lines = {name: repository(cli.home, name, files) for name, files in STUCK.items()}
    cli.write("stuck.txt", "".join(f"-e {line}" for line in lines.values()))
    failed = cli("ensure", "-r", "stuck.txt", "--target", "stuck")
    assert (5, False) == (failed.code, (cli.cwd / "stuck").exists())
    assert "_by_meson_editable_loader.py: meson-python's editables are built anew on every import" in failed.err
    assert re.search(
        r"/_\w*_?rebuilt\w*\.py: scikit-build-core builds it anew on import \(editable\.rebuild\)", failed.err
    )
    assert "hint: leave out -e: " in failed.err
    cli.write("stuck.txt", "".join(lines.values()))
    cli.ok("ensure", "-r", "stuck.txt", "--target", "installed")
    program = "import by_meson._fast, rebuilt._fast; print(by_meson.HERE)"
    done = subprocess.run(
        [cli.cwd / "installed/bin/python", "-c", program], capture_output=True, text=True, check=True, cwd="/"
    )
    assert done.stdout.startswith(f"{cli.cwd}/installed/lib/")


def test_a_checkout_keeps_no_secret(cli: CommandLine) -> None:
    """git notes the URL that it cloned; it was told that without credentials, so none are in the archive."""
    line = repository(cli.home, "private", {**MOVING["by_flit"][0], "src/private/__init__.py": HERE})
    base = line.removeprefix("git+").partition("private#")[0]
    (cli.home / ".gitconfig").write_text(f'[url "{base}"]\n\tinsteadOf = https://git.example/\n')
    cli.write("private.txt", "-e git+https://user:hunter2@git.example/private#egg=private\n")
    cli.ok("ensure", "-r", "private.txt", "--target", "private")
    configuration = (cli.cwd / "private/src/private/.git/config").read_text()
    assert "url = https://git.example/private\n" in configuration
    assert set() == files_that_name(cli.cwd / "private", b"hunter2")
