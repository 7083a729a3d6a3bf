"""The whole road with uv as the installer: real uv, small real wheels."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tarfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from terrastore.archive.reading import find_manifest
from tests.archive.memory import InMemory
from tests.conftest import CommandLine, make_project

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "s3cr3t-of-uv"  # of this file alone: others name theirs on command lines meanwhile


@pytest.fixture
def uv(cli: CommandLine, wheels: Path) -> CommandLine:
    """Return a command line whose installer is uv, with the same wheels."""
    cli.forget_wheels()
    cli.env |= {"TERRASTORE_INSTALLER": "uv", "TERRASTORE_NO_INDEX": "1", "TERRASTORE_FIND_LINKS": str(wheels)}
    return cli


def run(*command: str | Path) -> str:
    """Return what a command prints; it must end with 0."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def manifest_of(target: Path) -> Any:
    return json.loads((target / ".terrastore/manifest.json").read_text())


def packages(target: Path) -> Path:
    return next(target.glob("lib/*/site-packages"))


def write_backend(folder: Path, name: str, body: str) -> Path:
    """Write a project whose wheel has one module, with what ``module.txt`` says."""
    make_project(
        folder,
        "import zipfile\n"
        f"info = '{name}-1.0.dist-info'\n"
        f"with zipfile.ZipFile(folder + '/{name}-1.0-py3-none-any.whl', 'w') as wheel:\n"
        f"    wheel.writestr('{name}.py', open('module.txt').read())\n"
        f"    wheel.writestr(info + '/METADATA', 'Metadata-Version: 2.1\\nName: {name}\\nVersion: 1.0\\n')\n"
        "    wheel.writestr(info + '/WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n"
        "    wheel.writestr(info + '/RECORD', '')\n"
        f"return '{name}-1.0-py3-none-any.whl'\n",
    )
    (folder / "module.txt").write_text(body)
    return folder


def test_built_then_kept_then_fetched(uv: CommandLine) -> None:
    """uv's environments take the same road; the manifest says who made them, and none of uv's notes is left."""
    uv.write("requirements.txt", "alpha==1.0\n")
    assert uv.ok("ensure").out.startswith("built    3 packages")
    assert uv.ok("ensure").out.startswith("kept ")
    assert uv.ok("ensure", "--target", "other", "--no-build").out.startswith("fetched  3 packages")
    for name in (".venv", "other"):
        target = uv.cwd / name
        assert "alpha 1.0" == run(target / "bin/alpha")
        assert "uv" == (packages(target) / "alpha-1.0.dist-info/INSTALLER").read_text()
        assert [] == [*target.rglob("uv_*.json"), *target.rglob(".lock")]
        assert "uv_" not in (packages(target) / "alpha-1.0.dist-info/RECORD").read_text()
        uv.ok("verify", name)
        assert "" == run(target / "bin/python", "-m", "pip", "uninstall", "-y", "-q", "alpha")
    version = run(Path(sysconfig.get_path("scripts"), "uv"), "--version").split()[1]
    assert {"name": "uv", "version": version} == manifest_of(uv.cwd / ".venv")["installer"]


def test_the_installer_is_part_of_the_key(uv: CommandLine) -> None:
    """pip's environment is another one, and its settings do not matter to uv, nor uv's to pip."""
    uv.write("requirements.txt", "alpha\n")
    keys = {
        installer: [
            uv.ok("key", "--installer", installer, **variables).out
            for variables in ({}, {"PIP_PRE": "1"}, {"UV_PRERELEASE": "allow"})
        ]
        for installer in ("pip", "uv")
    }
    plain, by_pip, by_uv = keys["pip"]
    assert (plain == by_uv, plain == by_pip) == (True, False)
    plain, by_pip, by_uv = keys["uv"]
    assert (plain == by_pip, plain == by_uv) == (True, False)
    assert not set(keys["pip"]) & set(keys["uv"])
    explained = json.loads(uv.ok("key", "--explain", UV_RESOLUTION="lowest").out)
    assert ("uv", "lowest") == (explained["installer"], explained["resolution"]["uv.resolution"])


def test_the_installer_is_a_setting(uv: CommandLine) -> None:
    """It is chosen by a flag, a variable or a file, like every option."""
    uv.write("requirements.txt", "alpha\n")
    by_variable = uv.ok("key").out
    del uv.env["TERRASTORE_INSTALLER"]
    assert by_variable == uv.ok("key", "--installer", "uv").out != uv.ok("key").out
    uv.write("terrastore.toml", 'installer = "uv"\n')
    assert by_variable == uv.ok("key").out


def test_settings_reach_uv(uv: CommandLine) -> None:
    """What a variable, a file and a requirements file say is obeyed; a project's file is, where uv looks for it."""
    uv.write("requirements.txt", "alpha\n")
    uv.ok("ensure", UV_RESOLUTION="lowest")
    assert "alpha 1.0" == run(uv.cwd / ".venv/bin/alpha")
    uv.ok("ensure")
    assert "alpha 2.0" == run(uv.cwd / ".venv/bin/alpha")
    uv.write("pyproject.toml", '[tool.uv]\nconstraint-dependencies = ["alpha<2"]\n')
    uv.ok("ensure")
    assert "alpha 1.0" == run(uv.cwd / ".venv/bin/alpha")
    (uv.cwd / "pyproject.toml").unlink()
    uv.write("limits.txt", "alpha<2\n")
    uv.ok("ensure", "-c", "limits.txt", "--target", "limited")
    assert "alpha 1.0" == run(uv.cwd / "limited/bin/alpha")
    uv.ok(
        "ensure", "--target", "limits-of-both", "-c", uv.write("beta.txt", "beta<2\n").name, UV_CONSTRAINT="limits.txt"
    )
    assert "alpha 1.0" == run(uv.cwd / "limits-of-both/bin/alpha")


def test_uv_is_not_led_elsewhere(uv: CommandLine, tmp_path: Path) -> None:
    """What of uv's settings is terrastore's to say changes nothing."""
    config = uv.home / ".config/uv"
    config.mkdir(parents=True)
    (config / "uv.toml").write_text('link-mode = "symlink"\ncompile-bytecode = true\n[pip]\nsystem = true\n')
    uv.write("requirements.txt", "beta\n")
    elsewhere = str(tmp_path / "elsewhere")
    uv.ok(
        "ensure",
        UV_CACHE_DIR=elsewhere,
        UV_SYSTEM_PYTHON="1",
        UV_LINK_MODE="hardlink",
        UV_PYTHON="3.1",
        UV_NO_CACHE="1",
    )
    (module,) = (uv.cwd / ".venv").glob("lib/*/site-packages/beta.py")
    assert (1, False) == (module.stat().st_nlink, module.is_symlink())
    assert not Path(elsewhere).exists()
    assert {".venv", "requirements.txt"} == set(os.listdir(uv.cwd))


def test_requirements_as_pip_reads_them(uv: CommandLine, wheels: Path) -> None:
    """One requirements file means the same to both installers, though uv would read it in another way."""
    (uv.cwd / "some links").mkdir()
    shutil.copy(wheels / "beta-1.0-py3-none-any.whl", uv.cwd / "some links")
    digest = hashlib.sha256((wheels / "alpha-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    uv.write(
        "requirements.txt",
        f"--no-index --pre\n-f 'some links'\n-f {wheels} # more\nalpha=={'${VERSION}'} \\\n  --hash=sha256:{digest}\n"
        "--only-binary clash-a,clash-b\nclash-a ; python_version < '3'\n",
    )
    del uv.env["TERRASTORE_FIND_LINKS"], uv.env["TERRASTORE_NO_INDEX"]
    uv.ok("ensure", VERSION="1.0")
    names = {package["name"] for package in manifest_of(uv.cwd / ".venv")["packages"]}
    assert {"alpha", "beta", "pip"} == names


def test_two_builds_give_the_same_layers(uv: CommandLine, tmp_path: Path) -> None:
    """Two builds with two caches are the same layer by layer; who wins of two that clash is told, as ever."""
    uv.write("requirements.txt", "alpha\nclash-a\n./project\n")
    write_backend(uv.cwd / "project", "mine", "import sys\n")
    digests = []
    for number in range(2):
        store, cache = tmp_path / str(number), tmp_path / f"cache-{number}"
        uv.ok("build", "--store", str(store), "--cache-dir", str(cache))
        (archive,) = store.glob("v1/archives/*/*")
        data = archive.read_bytes()
        manifest = find_manifest(InMemory(data).read, len(data))
        digests.append({layer.name: layer.digest for layer in manifest.layers})
    assert digests[0] == digests[1]


def test_no_seed(uv: CommandLine) -> None:
    """uv needs no pip in the environment."""
    uv.write("requirements.txt", "beta\n")
    uv.ok("ensure", "--no-seed")
    assert [] == list((uv.cwd / ".venv").glob("**/pip*"))
    uv.write("requirements.txt", "# nothing yet\n")
    assert 0 == uv.ok("ensure", "--no-seed", "--json").json["packages"]


def test_what_was_built_from_source_is_told(uv: CommandLine) -> None:
    """A project and an sdist are marked as built here, also when uv still has what it made of them."""
    write_backend(uv.cwd / "project", "mine", "")
    source = write_backend(uv.home / "other-1.0", "other", "")
    (source / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    with tarfile.open(uv.cwd / "other-1.0.tar.gz", "w:gz") as archive:
        archive.add(source, "other-1.0")
    uv.write("requirements.txt", "beta\n./project\n./other-1.0.tar.gz\n")
    for _ in range(2):
        uv.ok("ensure", "--rebuild")
        listed = manifest_of(uv.cwd / ".venv")["packages"]
        assert {"mine": True, "other": True, "beta": False, "pip": False} == {
            package["name"]: package["built"] for package in listed
        }
    assert [None] == list({package["sha256"] for package in listed})


@pytest.mark.parametrize("line", ["./project", "mine @ file://{cwd}/project"])
def test_a_changed_project_is_built_anew(uv: CommandLine, line: str) -> None:
    """uv takes a project for unchanged while its metadata is; the key knows better, and what is installed is new."""
    uv.write("requirements.txt", line.format(cwd=uv.cwd) + "\n")
    for text in ("VALUE = 1\n", "VALUE = 2\n"):
        shutil.rmtree(uv.cwd / "project", ignore_errors=True)
        write_backend(uv.cwd / "project", "mine", text)
        os.utime(uv.cwd / "project/pyproject.toml", (1_700_000_000, 1_700_000_000))
        uv.ok("ensure")
        assert text == (packages(uv.cwd / ".venv") / "mine.py").read_text()


def test_a_project_beside_its_environment(uv: CommandLine) -> None:
    """The directory one is in can be asked for, and holds the environment."""
    shutil.rmtree(uv.cwd)
    write_backend(uv.cwd, "mine", "")
    uv.write("requirements.txt", ".\n")
    assert "built" == uv.ok("ensure", "--json").json["outcome"]
    assert "kept" == uv.ok("ensure", "--json").json["outcome"]


def test_conflicting_packages_are_told(uv: CommandLine) -> None:
    """A file that two packages claim is named in a warning, and goes to the one that wrote it."""
    uv.write("requirements.txt", "clash-a\nclash-b\n")
    (warning,) = uv.ok("ensure", "--json").json["warnings"]
    assert "shared/__init__.py belongs to several packages (clash-a, clash-b)" in warning
    kept = (packages(uv.cwd / ".venv") / "shared/__init__.py").read_text()
    assert f"kept with clash-{kept.strip()[-1]}" in warning


def test_what_notes_where_it_was_made_is_told(uv: CommandLine) -> None:
    """A path of uv's cache in what was installed will lead nowhere, and is named in a warning."""
    project = write_backend(uv.home / "noting-1.0", "noting", "")
    backend = (project / "backend.py").read_text()
    (project / "backend.py").write_text(backend.replace("open('module.txt').read()", "repr(__file__)"))
    (project / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: noting\nVersion: 1.0\n")
    with tarfile.open(uv.cwd / "noting-1.0.tar.gz", "w:gz") as archive:
        archive.add(project, "noting-1.0")
    uv.write("requirements.txt", "./noting-1.0.tar.gz\n")
    (warning,) = uv.ok("ensure", "--json").json["warnings"]
    assert "noting.py names a directory of a build, which will not be there" in warning


BAD = {
    "missing package": (
        "not-a-package-here\n",
        [],
        5,
        "not-a-package-here was not found in the provided package locations",
    ),
    "conflict": ("alpha==1.0\nalpha==2.0\n", [], 5, "Because you require alpha==1.0 and alpha==2.0"),
    "failing build": ("./failing\n", [], 5, "this cannot be built"),
    "unreachable index": ("beta\n", ["-i", f"https://user:{SECRET}@127.0.0.1:1/simple"], 5, "Failed to fetch"),
    "option of a file": (
        "beta\n--prefer-binary\n",
        [],
        3,
        "requirements.txt, line 2: '--prefer-binary' cannot be used",
    ),
    "editable": ("-e git+https://a.example/x\n", [], 3, "requirements.txt, line 1"),
    "option": ("beta\n", ["--no-binary", ":none:"], 2, "--no-binary :none: cannot be used"),
    "installer": ("beta\n", ["--installer", "conda"], 2, "'conda' is not one of"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_requests(uv: CommandLine, case: str) -> None:
    """The message names the thing in uv's words, without its chatter, and nothing is left behind."""
    text, arguments, code, message = BAD[case]
    make_project(uv.cwd / "failing", "raise SystemExit('this cannot be built')")
    uv.write("requirements.txt", text)
    if case == "unreachable index":
        del uv.env["TERRASTORE_NO_INDEX"]
    result = uv("ensure", *arguments, UV_HTTP_RETRIES="0")
    assert (code, "") == (result.code, result.out)
    assert message in result.err
    assert SECRET not in result.err
    assert "Using Python" not in result.err
    assert "terrastore: hint:" in result.err
    assert {"leases"} >= {path.name for path in uv.store.glob("v1/*")}
    assert [] == list(uv.cache.glob("build/terrastore-*"))


def test_no_uv(uv: CommandLine) -> None:
    """Without uv the error says how to get it; who fetches needs none."""
    uv.write("requirements.txt", "beta\n")
    uv.ok("build")
    (uv.home / "bin").mkdir()
    program = "import sysconfig; sysconfig.get_path = lambda name: '/nowhere'\nfrom terrastore.cli import main; main()"
    command = [sys.executable, "-P", "-c", program, "ensure"]
    env = uv.env | {"PATH": str(uv.home / "bin")}
    fetched = subprocess.run([*command, "--no-build"], cwd=uv.cwd, env=env, capture_output=True, text=True, check=False)
    assert fetched.returncode == 0, fetched.stderr
    refused = subprocess.run([*command, "--rebuild"], cwd=uv.cwd, env=env, capture_output=True, text=True, check=False)
    assert 2 == refused.returncode
    assert "uv is not installed" in refused.stderr
    assert "install 'terrastore[uv]' in place of terrastore" in refused.stderr
    old = uv.home / "bin/uv"
    old.write_text("#!/bin/sh\necho uv 0.4.0\n")
    old.chmod(0o755)
    env["PATH"] += ":/bin:/usr/bin"
    refused = subprocess.run([*command, "--rebuild"], cwd=uv.cwd, env=env, capture_output=True, text=True, check=False)
    assert (2, True) == (refused.returncode, "is uv 0.4.0, and 0.8.13 or later is needed" in refused.stderr)


class Index(http.server.SimpleHTTPRequestHandler):
    """A package index that asks for a password."""

    wheels: Path
    asked: list[str]
    hold: threading.Event

    def do_GET(self) -> None:
        self.asked.append(self.path)
        expected = "Basic " + base64.b64encode(f"user:{SECRET}".encode()).decode()
        if self.headers.get("Authorization") != expected:
            self.send_response(401)
            self.send_header("WWW-Authenticate", "Basic")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        name = urlsplit(self.path).path.strip("/").split("/")[-1]
        self.hold.wait(30)
        if name.endswith(".whl"):
            data, kind = (self.wheels / name).read_bytes(), "application/octet-stream"
        else:
            files = sorted(each.name for each in self.wheels.glob(f"{name.replace('-', '_')}-*.whl"))
            data, kind = "".join(f'<a href="/files/{each}">{each}</a>' for each in files).encode(), "text/html"
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_HEAD(self) -> None:
        self.send_response(405)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def index(wheels: Path) -> Iterator[tuple[str, type[Index]]]:
    """Yield (host and port, the handler) of an index of the wheels."""
    released = threading.Event()
    released.set()
    handler = type("Handler", (Index,), {"wheels": wheels, "asked": [], "hold": released})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}", handler
        released.set()
        server.shutdown()


def listed_processes() -> str:
    """Return the command lines of all processes."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_text(errors="replace").replace("\0", " "))
        except OSError:
            continue
    return "\n".join(lines)


@pytest.mark.parametrize("way", ["variable", "file of uv", "requirements file", "requirement", "named index"])
def test_secrets_reach_nothing(uv: CommandLine, index: tuple[str, type[Index]], way: str) -> None:
    """Credentials are used wherever they stand, and found in no list of processes, file, key or message."""
    host, handler = index
    del uv.env["TERRASTORE_NO_INDEX"], uv.env["TERRASTORE_FIND_LINKS"]
    url = f"http://user:{SECRET}@{host}/simple"
    uv.write("requirements.txt", "beta\n")
    config = uv.home / ".config/uv"
    variables = {}
    if way == "variable":
        variables = {"TERRASTORE_INDEX_URL": url}
    elif way == "file of uv":
        config.mkdir(parents=True)
        (config / "uv.toml").write_text(f'index-url = "{url}"\n')
    elif way == "requirements file":
        uv.write("requirements.txt", "beta\n-i " + url.replace(SECRET, "${TOKEN}") + "\n")
        variables = {"TOKEN": SECRET}
    elif way == "requirement":
        uv.write(
            "requirements.txt", f"beta @ http://user:${{TOKEN}}@{host}/files/beta-1.0-py3-none-any.whl?token={SECRET}\n"
        )
        variables = {"TOKEN": SECRET}
    else:
        uv.write("uv.toml", f'[[index]]\nname = "own"\nurl = "http://{host}/simple"\ndefault = true\n')
        variables = {"UV_INDEX_OWN_USERNAME": "user", "UV_INDEX_OWN_PASSWORD": SECRET}
    handler.hold.clear()
    uv.env |= variables
    process = uv.start("ensure")
    deadline = time.monotonic() + 30
    while len(handler.asked) < 1 and time.monotonic() < deadline:
        time.sleep(0.05)
    processes = listed_processes()
    handler.hold.set()
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "uv pip install" in processes
    assert SECRET not in processes
    assert SECRET not in out + errors + uv.ok("key", "--explain").out
    (config / "uv.toml").unlink(missing_ok=True)
    (uv.cwd / "requirements.txt").unlink()
    written = [path for folder in (uv.home, uv.cache / "logs") for path in folder.rglob("*") if path.is_file()]
    assert [] == [path for path in written if SECRET.encode() in path.read_bytes()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted(uv: CommandLine, number: signal.Signals) -> None:
    """Ctrl-C, SIGTERM and a closed terminal end uv and the build backend that it started; nothing is left behind."""
    note = uv.home / "backend"
    make_project(uv.cwd / "slow", f"import os, time\nopen({str(note)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)")
    uv.write("requirements.txt", "./slow\n")
    process = uv.start("ensure")
    deadline = time.monotonic() + 60
    while not (note.exists() and note.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    out, errors = process.communicate(timeout=30)
    assert (130, "") == (process.returncode, out)
    assert "Traceback" not in errors
    assert not Path(f"/proc/{note.read_text()}/root").exists()
    assert str(uv.cache) not in listed_processes()
    assert [] == list((uv.cache / "build").iterdir())


REAL = "--no-binary markupsafe\nmarkupsafe==3.0.2\nclick==8.1.8\nrich==13.9.4\nnumpy==2.2.6\njinja2==3.1.6\n"


@pytest.fixture
def online(uv: CommandLine) -> CommandLine:
    """Return a command line with the index that this machine uses."""
    for name in ("TERRASTORE_NO_INDEX", "TERRASTORE_FIND_LINKS"):
        del uv.env[name]
    uv.env |= {name: value for name, value in os.environ.items() if name.startswith("UV_")}
    asked = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.index-url"], capture_output=True, text=True, check=False
    )
    if asked.returncode == 0:
        uv.env.setdefault("UV_INDEX_URL", asked.stdout.strip())
    return uv


@pytest.mark.network
def test_real_packages(online: CommandLine, tmp_path: Path) -> None:
    """Real packages, one of them compiled here, are those that uv alone installs, and the same layers every time."""
    online.write("requirements.txt", REAL)
    digests = []
    for number in range(2):
        store, cache = tmp_path / str(number), tmp_path / f"cache-{number}"
        target = f"target-{number}"
        online.ok("ensure", "--store", str(store), "--cache-dir", str(cache), "--target", target)
        manifest = manifest_of(online.cwd / target)
        digests.append({layer["name"]: layer["digest"] for layer in manifest["layers"]})
    assert digests[0] == digests[1]
    assert ["markupsafe"] == [package["name"] for package in manifest["packages"] if package["built"]]
    escape = "import numpy, markupsafe._speedups, markupsafe; print(markupsafe.escape('<'))"
    assert "&lt;" == run(online.cwd / "target-1/bin/python", "-c", escape)
    online.ok("verify", "target-1")
    program = Path(sysconfig.get_path("scripts"), "uv")
    alone = tmp_path / "alone"
    run(sys.executable, "-m", "virtualenv", "-q", "--no-setuptools", alone)
    requirements = online.cwd / "requirements.txt"
    done = subprocess.run(
        [program, "pip", "install", "-q", "--python", alone, "--cache-dir", tmp_path / "cache", "-r", requirements],
        env=online.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    freeze = [
        run(program, "pip", "freeze", "--python", place / "bin/python") for place in (alone, online.cwd / "target-1")
    ]
    assert freeze[0] == freeze[1]
