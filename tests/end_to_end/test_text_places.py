"""Every place where text names the environment, written while a package is built, is right wherever it is fetched.

The first environment still stands, with other content, while those fetched later are looked at.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.archive.places import require
from tests.conftest import CommandLine, command_line, make_project, make_wheel
from tests.end_to_end.examine import contents, examine, files_that_name, reached_by_scripts

if TYPE_CHECKING:
    from collections.abc import Iterator

WRITER = Path(__file__).parents[1] / "data/text_places.py"
PLACES = {
    "plain": "env",
    "begins like another": "env2",
    "odd": "a b'c\"d$e;f%g!h`i(j)[k]{l}<m>*n?o~p#q^r&s|t/é 'x\" $y!",
    "not ASCII": "värld/環境",
    "long": "/".join(["long-directory-name"] * 14),
}
places = pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
PLAIN_TEXT = ["etc/x.conf", "lib/cmake/X/XConfig.cmake", "lib/libx.la", "lib/pkgconfig/x.pc"]


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Iterator[CommandLine]:
    """Return a command line in whose store an environment with such a package is."""
    home = tmp_path_factory.mktemp("places") / "home"
    with command_line(home, wheels) as command:
        # As a wheel that is built here would be: the environment's path in modules, in data and in bytecode.
        wheel = make_wheel(
            home,
            "furniture",
            "1.0",
            {
                "furniture/__init__.py": "PREFIX = '<prefix>'\n\n\ndef main():\n    print(PREFIX)\n",
                "furniture/free.py": "X = 1\n",
                "furniture/__pycache__/__init__.cpython-311.pyc": b"\xa7\r\r\n of <prefix>",
                "furniture-1.0.data/scripts/furniture-old": '#!python\n"""Old."""\nimport sys\nprint(sys.prefix)\n',
                "furniture-1.0.data/data/share/furniture/where.json": '{"where": "<prefix>"}',
            },
            scripts={"furniture": "furniture:main"},
        )
        make_project(
            command.cwd / "furniture",
            f"scope = {{'folder': folder, 'template': {str(wheel)!r}}}\n"
            f"exec(open({str(WRITER)!r}).read(), scope)\n"
            "return scope['wheel']",
        )
        command.write("requirements.txt", "./furniture\nalpha==1.0\n")
        command.env["TCL_LIBRARY"] = "/builder/tcl8.6"
        told = command.ok("ensure", "--json", "--target", "first").json
        assert "built" == told["outcome"]
        (warning,) = told["warnings"]
        assert PLAIN_TEXT == warning.partition(": ")[2].split(", ")
        yield command
    shutil.rmtree(home)


@pytest.fixture(scope="module")
def fetched(cli: CommandLine) -> dict[str, Path]:
    """Return environments at every place; the first is somebody else's by then."""
    for script in (cli.cwd / "first/bin").iterdir():
        if not script.is_symlink():
            script.write_text("#!/bin/sh\necho another\n")
    for place in PLACES.values():
        cli.ok("ensure", "--no-build", "--target", place)
    return {place: cli.cwd / place for place in PLACES.values()}


def said(*command: str | Path) -> str:
    """Return what a command prints; it must end with 0 and complain of nothing."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", env={"PATH": "/usr/bin:/bin"})
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout.strip()


@places
def test_kernels_start_the_environments_python(fetched: dict[str, Path], place: str) -> None:
    """kernel.json is JSON: the path comes out of it as it is, and what else was escaped is as it was."""
    document = json.loads((fetched[place] / "share/jupyter/kernels/x/kernel.json").read_text())
    assert [str(fetched[place] / "bin/python"), "-m", "x"] == document["argv"]
    assert ("Python é", {"X": str(fetched[place])}) == (document["display_name"], document["env"])
    where = json.loads((fetched[place] / "share/furniture/where.json").read_text())
    assert {"where": str(fetched[place])} == where


PROBE = """
import json, sys, from_path_file, from_easy_install, furniture, x__config__, __editable___x_1_0_finder as finder
files = [from_path_file.__file__, from_easy_install.__file__]
config = x__config__.CONFIG["Python Information"]["path"]
print(json.dumps([sys.from_path_file, *files, furniture.PREFIX, finder.MAPPING["x"], config]))
"""


@places
def test_modules_are_found_where_they_are(fetched: dict[str, Path], place: str) -> None:
    """Path files, their lines of code, editable finders and constants lead into the environment."""
    there = str(fetched[place])
    inside = (
        "",
        "/share/x/src/from_path_file.py",
        "/share/x/easy/from_easy_install.py",
        "",
        "/share/x/src",
        "/bin/python",
    )
    assert [f"{there}{path}" for path in inside] == json.loads(said(f"{there}/bin/python", "-X", "utf8", "-c", PROBE))
    (link,) = fetched[place].glob("lib/*/site-packages/x.egg-link")
    assert f"{there}/share/x/src\n." == link.read_text()


@places
def test_scripts_of_every_kind_run(fetched: dict[str, Path], place: str) -> None:
    """Entry points, old-style and development scripts, shims; docstrings, encodings and options are what they were."""
    there = fetched[place]
    assert str(there) == said(there / "bin/furniture")
    assert str(there) == said(there / "bin/furniture-old")
    assert f"-L{there}/lib" == said(there / "bin/x-config")
    assert str(there) == said(there / "bin/x-shim")
    assert f"1 {there}/share/x/src/x" == said(there / "bin/x-develop")
    assert "What it does." == said(there / "bin/x-doc")
    assert r"'\xe9'" == said(there / "bin/x-latin")
    assert 0o755 == (there / "bin/x-latin").stat().st_mode & 0o7777


@places
def test_every_script_reaches_its_interpreter(fetched: dict[str, Path], place: str, tmp_path: Path) -> None:
    """Whichever script of Python is started from elsewhere runs in the environment it stands in."""
    found = reached_by_scripts(fetched[place], tmp_path)
    del found["x-develop"]  # its option hides the witness from it
    assert {"alpha", "furniture", "furniture-old", "pip", "x-doc", "x-latin", "x-shim"} <= found.keys()
    assert dict.fromkeys(found, str(fetched[place])) == found


@places
def test_links_stay_inside(fetched: dict[str, Path], place: str) -> None:
    """Absolute or not, whole or dangling, they lead to where they led."""
    links = {name: os.readlink(fetched[place] / name) for name in ("lib64", "share/absolute", "share/dangling")}
    assert {"lib64": "lib", "share/absolute": "x", "share/dangling": "absent"} == links


@places
def test_plain_text_is_replaced_and_told(cli: CommandLine, fetched: dict[str, Path], place: str) -> None:
    """Files of no known syntax name the new place, and where that needs quotes a warning names them."""
    there = fetched[place]
    assert f"root = {there}\n" == (there / "etc/x.conf").read_text()
    assert f'set(X_ROOT "{there}")\n' == (there / "lib/cmake/X/XConfig.cmake").read_text()
    warnings = cli.ok("relocate", place).err
    needs_quotes = place in {PLACES["odd"], PLACES["not ASCII"]}
    assert needs_quotes == (f"which only a reader of these files can know: {', '.join(PLAIN_TEXT)}\n" in warnings)
    assert (place == PLACES["odd"]) == ("xonsh expands in PATH: bin/activate.xsh\n" in warnings)


@places
def test_no_other_place_is_named(cli: CommandLine, fetched: dict[str, Path], place: str) -> None:
    """Neither where it was built, nor the first one, nor any other; and nothing of the builder's Tcl."""
    others = [f"{path}/".encode() for name, path in fetched.items() if name != place]
    assert set() == files_that_name(fetched[place], f"{cli.cwd}/first".encode(), b"/builder/tcl8.6", *others)
    assert {".terrastore/manifest.json", ".terrastore/originals.tar"} == files_that_name(fetched[place], b"-staging-")
    assert set() == {path.name for path in fetched[place].rglob("*")} & {"CACHEDIR.TAG", "dropin.cache"}


@places
def test_records_are_true(fetched: dict[str, Path], place: str) -> None:
    """Every line of every RECORD, rewritten files among them."""
    found = examine(fetched[place])
    assert ([], str(fetched[place])) == (found["untrue"], found["prefix"])
    assert {"ok"} == set(found["modules"].values())


@places
def test_nothing_is_compiled_on_import(fetched: dict[str, Path], place: str) -> None:
    """Bytecode is there for every module and valid; importing all of them writes nothing."""
    there = fetched[place]
    before = contents(there)
    modules = "alpha, beta, furniture.free, x__config__, __editable___x_1_0_finder, pip._internal.cli.main"
    done = subprocess.run(
        [there / "bin/python", "-X", "utf8", "-v", "-c", f"import {modules}; print(furniture.PREFIX)"],
        capture_output=True, text=True, check=True, cwd="/", env={},
    )  # fmt: skip
    assert str(there) == done.stdout.strip()
    assert f"matches {there}/" in done.stderr
    assert [] == re.findall(r"^# code object from .*\.py['\"]$", done.stderr, re.MULTILINE)
    assert before == contents(there)


@places
def test_uninstalling_everything_leaves_the_skeleton(cli: CommandLine, fetched: dict[str, Path], place: str) -> None:
    """pip finds every file of every package by its RECORD; what is left is what an empty environment has."""
    copy = cli.cwd / "copies" / place
    shutil.copytree(fetched[place], copy, symlinks=True)
    cli.ok("relocate", f"copies/{place}")
    python, packages = copy / "bin/python", ("alpha", "beta", "furniture")
    said(python, "-m", "pip", "uninstall", "-y", "-q", "--root-user-action=ignore", *packages)
    cli.write("nothing.txt", "# nothing\n")
    cli.ok("ensure", "-r", "nothing.txt", "--target", "empty")
    skeleton = {name for name in contents(cli.cwd / "empty") if not name.startswith(".terrastore/")}
    left = {name for name in contents(copy) if not name.startswith(".terrastore/")}
    # What the backend wrote is in no RECORD, and nobody's to remove.
    aside = re.compile(
        r"lib64|bin/x-.*|etc/x\.conf|share/(jupyter|x|absolute|dangling)\b.*|lib/(cmake|pkgconfig|libx)\b.*"
        r"|.*/(x\.(pth|egg-link)|easy-install\.pth|(__pycache__/)?(x__config__|__editable___x_1_0_finder)\.(.*\.)?pyc?)"
    )
    assert skeleton == {name for name in left if not aside.fullmatch(name)}
    assert [] == [name for name in left for package in packages if package in name]


@pytest.mark.parametrize("way", ["through a link", "relative", "relative, with dots"])
def test_however_a_target_is_named(cli: CommandLine, way: str) -> None:
    """The environment is bound to the real directory; by the link it is reached all the same."""
    (cli.cwd / "real place").mkdir(exist_ok=True)
    if not (cli.cwd / "link").exists():
        (cli.cwd / "link").symlink_to("real place")
    named = {
        "through a link": "link/env",
        "relative": "real place/env",
        "relative, with dots": "./link/../real place/env",
    }
    shutil.rmtree(cli.cwd / "real place/env", ignore_errors=True)
    cli.ok("ensure", "--no-build", "--target", named[way])
    real = cli.cwd / "real place/env"
    for path in (real, cli.cwd / "link/env"):
        assert str(real) == said(path / "bin/furniture")
        assert str(real) == said("bash", "-c", '. "$1/bin/activate" && echo "$VIRTUAL_ENV"', "bash", path)


ACTIVATED = {
    "bash": ("activate", '. "$SCRIPT"; echo "$VIRTUAL_ENV"; furniture'),
    "dash": ("activate", '. "$SCRIPT"; echo "$VIRTUAL_ENV"; furniture'),
    "zsh": ("activate", '. "$SCRIPT"; echo "$VIRTUAL_ENV"; furniture'),
    "fish": ("activate.fish", 'source "$SCRIPT"; echo "$VIRTUAL_ENV"; furniture'),
    "tcsh": ("activate.csh", "source $SCRIPT:q; echo $VIRTUAL_ENV:q; furniture"),
}


@places
def test_a_copy_is_activated_where_it_stands(cli: CommandLine, fetched: dict[str, Path], place: str) -> None:
    """After relocate a copy is an environment of its own in every shell, though the one it was made of still stands."""
    copy = cli.cwd / "copied" / place
    shutil.copytree(fetched[place], copy, symlinks=True)
    cli.ok("relocate", f"copied/{place}")
    for shell, (script, line) in ACTIVATED.items():
        require(shell)
        for there in (copy, fetched[place]):
            variables = {
                "PATH": "/usr/bin:/bin",
                "HOME": str(cli.home),
                "SCRIPT": f"{there}/bin/{script}",
                "LC_ALL": "C.UTF-8",
            }
            done = subprocess.run(
                [shell, "-c", line], env=variables, capture_output=True, text=True, check=True, cwd="/"
            )
            assert [str(there), str(there)] == done.stdout.splitlines()


def test_what_cannot_move_is_told_when_it_is_built(cli: CommandLine) -> None:
    """Every such file by name, with the reason; nothing is published."""
    program = (
        "import os, sys\n"
        "os.symlink('/etc/hostname', sys.prefix + '/outward')\n"
        "open(sys.prefix + '/wide.txt', 'w', encoding='utf-16').write(sys.prefix)\n"
        "open(sys.prefix + '/lib/old.pyc', 'w').write(sys.prefix)\n"
    )
    wheel = make_wheel(cli.home, "stuck", "1.0", {"stuck.py": ""})
    make_project(
        cli.cwd / "stuck", f"{program}import shutil\nshutil.copy({str(wheel)!r}, folder)\nreturn {wheel.name!r}"
    )
    cli.write("stuck.txt", "./stuck\n")
    before = set(cli.store.glob("v1/[ap]*/**/*"))
    failed = cli("ensure", "-r", "stuck.txt", "--target", "stuck-env")
    assert 5 == failed.code
    for name, reason in (
        ("outward", "leaves the environment: '/etc/hostname'"),
        ("wide.txt", "in UTF-16"),
        ("lib/old.pyc", "it is bytecode"),
    ):
        assert re.search(rf"{re.escape(name)}: [^;]*{re.escape(reason)}", failed.err)
    assert not (cli.cwd / "stuck-env").exists()
    assert before == set(cli.store.glob("v1/[ap]*/**/*"))
