"""relocate as one file: what is in it, and that it needs nothing else."""

import ast
import io
import subprocess
import sys
import zipfile
from pathlib import Path

from terrastore import standalone

PACKAGE = Path(standalone.__file__).parent


def imported(module: str) -> set[str]:
    """Return the modules of terrastore that one imports when it runs, late ones too."""
    tree = ast.parse((PACKAGE / f"{module}.py").read_text())
    for node in list(ast.walk(tree)):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
    paths = {name.removeprefix("terrastore").replace(".", "/").lstrip("/") for name in found if "terrastore" in name}
    return {
        place
        for path in paths
        for place in (path, f"{path}/__init__".lstrip("/"))
        if (PACKAGE / f"{place}.py").is_file()
    }


def test_it_holds_what_it_imports() -> None:
    """The modules that it lists are those that it needs, no fewer and no more."""
    found, left = {"standalone", "__init__"}, ["standalone"]
    while left:
        new = imported(left.pop()) - found
        found |= new
        left += new
    assert sorted(found) == sorted(standalone.MODULES)


def test_it_needs_the_standard_library_alone() -> None:
    """Without site-packages or anything else on the path, nothing is imported that Python does not bring."""
    program = (
        "import sys\n"
        f"sys.path.insert(0, {str(PACKAGE.parent)!r})\n"
        "import terrastore.relocation, terrastore.standalone\n"
        "names = {name.partition('.')[0] for name in sys.modules}\n"
        "print(sorted(names - sys.stdlib_module_names - {'__main__', 'terrastore'}))\n"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True)
    assert "[]\n" == done.stdout


def test_it_is_the_same_every_time() -> None:
    """The same bytes, which begin with a line that names Python, and are a zip."""
    content = standalone.content()
    assert content == standalone.content()
    assert content.startswith(b"#!/usr/bin/env python3\nPK")
    assert zipfile.ZipFile(io.BytesIO(content)).testzip() is None
