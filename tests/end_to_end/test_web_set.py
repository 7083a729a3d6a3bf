"""Django and friends, seventy real packages: built, fetched, kept, released; what worked in one works in the other."""

from __future__ import annotations

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from terrastore.archive.unpack import find_manifest
from tests.conftest import CommandLine, command_line, make_wheel

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.network

REQUIREMENTS = Path(__file__).parents[1] / "data" / "web.txt"

# Runs in an environment; prints what can be imported, what entry points lead to, and which RECORD lines are untrue.
EXAMINE = """
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
for distribution in importlib.metadata.distributions():
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
WITNESS = "import os, sys\nprint(sys.prefix, flush=True)\nos._exit(0)\n"


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Iterator[CommandLine]:
    """Return a command line whose project asks for the set, with ``built`` built and ``fetched`` fetched."""
    with command_line(tmp_path_factory.mktemp("web") / "home", wheels) as command:
        del command.env["PIP_NO_INDEX"], command.env["PIP_FIND_LINKS"]
        command.write("requirements.txt", REQUIREMENTS.read_text())
        told = command.ok("ensure", "--target", "built", "--json").json
        assert ("built", []) == (told["outcome"], told["warnings"])
        assert "fetched" == command.ok("ensure", "--target", "fetched", "--no-build", "--json").json["outcome"]
        yield command


def examine(environment: Path) -> Any:
    done = subprocess.run(
        [environment / "bin/python", "-c", EXAMINE], capture_output=True, text=True, check=True, cwd="/"
    )
    return json.loads(done.stdout)


def test_kept(web: CommandLine) -> None:
    """Run again there is nothing to do."""
    for target in ("built", "fetched"):
        assert "kept" == web.ok("ensure", "--target", target, "--json").json["outcome"]


def test_the_fetched_one_is_as_good_as_the_built_one(web: CommandLine) -> None:
    """The same modules import, every entry point leads to an object, and every line of every RECORD is true."""
    built, fetched = examine(web.cwd / "built"), examine(web.cwd / "fetched")
    assert str(web.cwd / "fetched") == fetched["prefix"]
    assert built["modules"] == fetched["modules"]
    assert len(fetched["modules"]) > 70
    assert built["entries"] == fetched["entries"]
    assert {"ok"} == set(fetched["entries"].values())
    assert ([], []) == (built["untrue"], fetched["untrue"])


def test_pip_is_content(web: CommandLine) -> None:
    """pip check passes."""
    done = subprocess.run(
        [web.cwd / "fetched/bin/python", "-m", "pip", "check"], capture_output=True, text=True, check=False
    )
    assert (0, "No broken requirements found.") == (done.returncode, done.stdout.strip())


def test_every_script_reaches_its_own_interpreter(web: CommandLine, tmp_path: Path) -> None:
    """Whatever script is started, from whatever directory, runs in the environment it stands in."""
    environment = web.cwd / "fetched"
    (tmp_path / "sitecustomize.py").write_text(WITNESS)
    scripts = [
        path
        for path in sorted((environment / "bin").iterdir())
        if os.access(path, os.X_OK) and path.is_file() and path.read_bytes()[:2] == b"#!"
    ]
    assert len(scripts) > 40

    def reached(script: Path) -> str:
        variables = {**os.environ, "PYTHONPATH": str(tmp_path)}
        done = subprocess.run([script], env=variables, cwd="/", capture_output=True, text=True, check=False)
        return done.stdout.strip() or done.stderr

    # aws_bash_completer and the like are scripts for a shell that start no interpreter of ours.
    python = [script for script in scripts if b"python" in script.read_bytes()[:200]]
    with ThreadPoolExecutor(2) as pool:
        found = dict(zip((script.name for script in python), pool.map(reached, python), strict=True))
    assert {name: str(environment) for name in found} == found


def test_no_file_names_another_place(web: CommandLine) -> None:
    """The staging prefix is named where terrastore keeps it for moving, and nowhere else; the built one nowhere."""
    environment = web.cwd / "fetched"
    needles = {"staging": b"terrastore-staging-", "built": str(web.cwd / "built").encode()}
    found = {
        (what, str(path.relative_to(environment)))
        for path in environment.rglob("*")
        if path.is_file() and not path.is_symlink()
        for what, needle in needles.items()
        if needle in path.read_bytes()
    }
    assert {("staging", ".terrastore/manifest.json"), ("staging", ".terrastore/originals.tar")} == found
    links = [path for path in environment.rglob("*") if path.is_symlink() and os.path.isabs(os.readlink(path))]
    assert [environment / "bin/python"] == links


def test_releases(web: CommandLine) -> None:
    """A release is fetched beside the current one, switched to, and switched back from."""
    arguments = ("--link", "current", "--releases", "releases")
    web.write("small.txt", "django==5.2.19\n")
    assert "fetched" == web.ok("ensure", *arguments, "--json").json["outcome"]
    web.ok("ensure", *arguments, "-r", "small.txt")
    assert not list(web.cwd.glob("current/lib/*/site-packages/celery"))
    web.ok("rollback", *arguments)
    assert list(web.cwd.glob("current/lib/*/site-packages/celery"))


def test_two_builds_give_the_same_layers(web: CommandLine, tmp_path: Path) -> None:
    """Built again at another staging prefix, every layer is the same to the last bit."""
    web.ok("build", "--store", str(tmp_path))
    digests = []
    for store in (web.store, tmp_path):
        (archive,) = store.glob(f"v1/archives/{web.ok('key').out.strip()}/*")
        data = archive.read_bytes()
        manifest = find_manifest(lambda offset, size, data=data: data[offset : offset + size], len(data))
        digests.append({layer.name: layer.digest for layer in manifest.layers})
    assert digests[0] == digests[1]
    assert len(digests[0]) > 70


def test_tar_reads_the_archive(web: CommandLine) -> None:
    """GNU tar lists every member, to the manifest at the end, and finds nothing to complain of."""
    (archive,) = web.store.glob(f"v1/archives/{web.ok('key').out.strip()}/*")
    done = subprocess.run(["tar", "--zstd", "-tvf", archive], capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)
    data = archive.read_bytes()
    manifest = find_manifest(lambda offset, size: data[offset : offset + size], len(data))
    assert manifest.totals.members + 1 == len(done.stdout.splitlines())


def test_collectstatic_copies_what_an_upgrade_changed(web: CommandLine, tmp_path: Path) -> None:
    """Django compares times: after an upgrade it copies a changed asset, though its size is the same."""
    for version in ("1.0", "2.0"):
        files = {"assets/__init__.py": "", "assets/static/site.css": f"/* version {version} */\n"}
        make_wheel(tmp_path, "assets", version, files)
    (tmp_path / "settings.py").write_text(
        f"SECRET_KEY = 'x'\nINSTALLED_APPS = ['django.contrib.staticfiles', 'assets']\n"
        f"STATIC_URL = '/static/'\nSTATIC_ROOT = {str(tmp_path / 'root')!r}\n"
    )
    for version in ("1.0", "2.0"):
        web.write("site.txt", f"django==5.2.19\nassets=={version}\n")
        web.ok("ensure", "-r", "site.txt", "-f", str(tmp_path), "--target", "site")
        done = subprocess.run(
            [web.cwd / "site/bin/django-admin", "collectstatic", "--no-input"],
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": str(tmp_path)},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert "1 static file copied" in done.stdout
        assert f"/* version {version} */\n" == (tmp_path / "root/site.css").read_text()
