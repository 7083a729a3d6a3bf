"""The folder list is the architecture: imports go one way."""

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "terrastore"

# A unit may import those in lower rows, and itself.
ROWS = (
    ("cli",),
    ("api",),
    ("boot",),
    ("standalone",),
    ("ensuring", "doctor", "overview", "promotion", "settings", "why"),
    ("obtaining",),
    ("production", "flight"),
    ("run", "supply"),
    ("endorse", "filling", "nearest", "upkeep"),
    ("cache", "inputs", "install", "publish", "wheelhouse"),
    ("freeze", "relocation", "vouched"),
    ("build", "environment", "place", "catalogue"),
    ("trust",),
    ("archive", "store"),
    ("key", "pointer", "difference"),
    ("requirements", "interpreter", "host", "room"),
    ("messages",),
    ("atomic", "mounts", "patience", "sizes", "report", "errors", "loader", "processor", "redaction", "times", "names"),
    ("folders", "sha256", "terminal", "_asked"),
    ("__init__",),
)
RANK = {unit: rank for rank, row in enumerate(ROWS) for unit in row}


def unit_of(path: Path) -> str:
    """Return the module or package directly below terrastore that ``path`` is part of."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Return the units of terrastore that a module imports anywhere, as well as other packages' names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{name.name}" for name in node.names}
    return found


def units_imported(path: Path) -> set[str]:
    names = (name.split(".") for name in imports(path) if name.split(".")[0] == "terrastore")
    return {parts[1] if len(parts) > 1 and parts[1] in RANK else "__init__" for parts in names}


MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(path: Path) -> None:
    """A module imports only from rows below its own."""
    unit = unit_of(path)
    if unit in {"__main__", "__init__"}:  # the latter names what is public, and imports it when that is asked for
        return
    wrong = {other for other in units_imported(path) if other != unit and RANK[other] <= RANK[unit]}
    assert wrong == set()


def test_every_module_has_a_row() -> None:
    """A new module must be given its place."""
    assert {unit_of(path) for path in MODULES} - {"__main__"} == set(RANK)


PURE = [
    PACKAGE / "archive" / f"{name}.py"
    for name in (
        "placeholder",
        "credentials",
        "editables",
        "literals",
        "relocate",
        "shells",
        "scripts",
        "staging",
        "ustar",
        "manifest",
        "layers",
        "record",
    )
] + sorted((PACKAGE / "difference").glob("*.py"))


@pytest.mark.parametrize("path", PURE, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_pure_modules_touch_nothing(path: Path) -> None:
    """The modules that decide have no disk, process, network or clock."""
    forbidden = {"os", "subprocess", "socket", "time", "pathlib", "shutil", "threading", "random", "secrets"}
    assert {module.split(".")[0] for module in imports(path)} & forbidden == set()


@pytest.mark.parametrize("path", [path for path in MODULES if unit_of(path) != "store"], ids=str)
def test_only_locations_knows_the_kinds_of_store(path: Path) -> None:
    """Who uses a store sees its protocol, never a kind."""
    kinds = {"directory", "memory", "s3", "http", "layered"}
    used = {name.split(".")[2] for name in imports(path) if name.startswith("terrastore.store.")}
    assert used & kinds == set()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_command_line_prints_or_exits(path: Path) -> None:
    """Everything below the command lines returns or raises."""
    calls = {
        node.func.id
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    printing = {"cli", "standalone", "messages", "__main__", "_asked"}  # that last one is a program by itself
    assert unit_of(path) in printing or not calls & {"print", "exit", "input"}


def test_only_builds_read_elf_files_by_a_library() -> None:
    """Who fetches imports nothing of pyelftools: it is named in one module, inside of functions alone."""
    users = {path.name: path for path in MODULES if any(name.startswith("elftools") for name in imports(path))}
    assert {"elf.py"} == users.keys()
    top = [
        node for node in ast.parse(users["elf.py"].read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert not any("elftools" in ast.dump(node) for node in top)


@pytest.mark.parametrize("name", ["slots", "relocate", "originals", "record", "manifest", "strays", "ustar"])
def test_what_moves_an_environment_needs_the_standard_library_alone(name: str) -> None:
    """Moving needs no package that is installed."""
    used = {each.split(".")[0] for each in imports(PACKAGE / "archive" / f"{name}.py")}
    assert used <= {*sys.stdlib_module_names, "terrastore"}
