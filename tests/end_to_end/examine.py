"""What an environment can do, asked of itself: which modules import, where scripts lead, which records are true."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

# Runs in an environment; prints what can be imported, what entry points lead to, and which RECORD lines are untrue.
_EXAMINE = """
import base64, hashlib, importlib, importlib.metadata, io, json, os, sys, contextlib, warnings
warnings.simplefilter("ignore")
modules, entries, untrue = {}, {}, []
def attempt(action):
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            action()
    except BaseException as error:
        return type(error).__name__
    return "ok"
for distribution in list(importlib.metadata.distributions()):  # before modules change the path
    for name in sorted({file.parts[0].split(".")[0] for file in distribution.files if file.suffix == ".py"
                        and file.parts[0] != ".." and ".dist-info" not in file.parts[0]}):
        modules[name] = attempt(lambda: importlib.import_module(name))
    for entry in distribution.entry_points:
        if entry.group in ("console_scripts", "gui_scripts"):
            entries[entry.name] = attempt(entry.load)
    for file in distribution.files:
        path = file.locate()
        if file.hash is None:
            if not os.path.exists(path):
                untrue.append(str(file))
            continue
        digest = base64.urlsafe_b64encode(hashlib.sha256(open(path, "rb").read()).digest()).rstrip(b"=").decode()
        if digest != file.hash.value or os.path.getsize(path) != file.size:
            untrue.append(str(file))
print(json.dumps({"modules": modules, "entries": entries, "untrue": untrue, "prefix": sys.prefix}))
"""

# Put before everything else on a script's path: says which interpreter it reached, and ends.
_WITNESS = "import os, sys\nprint(sys.prefix, flush=True)\nos._exit(0)\n"


def examine(environment: Path) -> Any:
    """Return what can be imported, what entry points lead to, which lines of a RECORD are untrue, and the prefix."""
    done = subprocess.run(
        [environment / "bin/python", "-c", _EXAMINE], capture_output=True, text=True, check=True, cwd="/"
    )
    return json.loads(done.stdout)


def reached_by_scripts(environment: Path, folder: Path) -> dict[str, str]:
    """Return for every Python script in ``bin`` the prefix it runs in when it is started from elsewhere."""
    (folder / "sitecustomize.py").write_text(_WITNESS)
    variables = {**os.environ, "PYTHONPATH": str(folder)}

    def reached(script: Path) -> str:
        done = subprocess.run([script], env=variables, cwd="/", capture_output=True, text=True, check=False)
        return done.stdout.strip() or done.stderr

    # aws_bash_completer and the like are scripts for a shell that start no interpreter of ours.
    scripts = [
        path
        for path in sorted((environment / "bin").iterdir())
        if os.access(path, os.X_OK) and path.is_file() and path.read_bytes()[:2] == b"#!"
        if any(b"python" in line for line in path.read_bytes().split(b"\n")[:20])
    ]
    with ThreadPoolExecutor(2) as pool:
        return dict(zip((script.name for script in scripts), pool.map(reached, scripts), strict=True))


def files_that_name(environment: Path, *needles: bytes) -> set[str]:
    """Return the files that hold one of ``needles``, relative to ``environment``."""
    return {
        str(path.relative_to(environment))
        for path in environment.rglob("*")
        if path.is_file() and not path.is_symlink()
        if any(needle in path.read_bytes() for needle in needles)
    }


def contents(environment: Path) -> dict[str, str]:
    """Return a digest of every file, and where every link leads, by path."""
    return {
        str(path.relative_to(environment)): os.readlink(path)
        if path.is_symlink()
        else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in environment.rglob("*")
        if path.is_symlink() or path.is_file()
    }
