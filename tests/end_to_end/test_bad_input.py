"""Bad input: one clear message, a documented exit code, nothing lost."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from terrastore.archive import ustar
from terrastore.archive.frames import compress, decompress
from tests.conftest import CommandLine, make_project

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def snapshot(*folders: Path) -> dict[str, object]:
    """Return every file below ``folders`` with its content, so that any change shows; but not who built what."""
    return {
        str(path): os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if "leases" not in path.parts
    }


@pytest.fixture
def standing(stored: CommandLine) -> CommandLine:
    """Return a command line whose project has its environment already."""
    stored.ok("ensure")
    return stored


REQUIREMENTS = {
    "missing file": (["-r", "nowhere.txt"], 3, "nowhere.txt cannot be read: no such file or directory"),
    "unparsable line": (["-r", "bad.txt"], 3, "bad.txt, line 2: 'alpha=>1' cannot be used"),
    "unknown package": (["-r", "unknown.txt"], 5, "No matching distribution found for not-a-package-here"),
    "failing build": (["-r", "failing.txt"], 5, "this cannot be built"),
    "absent interpreter": (["--python", "3.99"], 9, "no interpreter on this machine fits --python 3.99"),
    "interpreter that is no file": (["--python", "/nowhere/python"], 9, "there is no /nowhere/python"),
    "unknown kind of store": (["--store", "gopher://x"], 2, "gopher:// is not a kind of store"),
    "store below nothing": (
        ["--store", "/nowhere/at/all", "--target", "other"],
        7,
        "the store /nowhere/at/all is not there",
    ),
    "unknown option": (["--frobnicate"], 2, "no such option"),
    "contradiction": (["--no-build", "--rebuild"], 2, "--no-build and --rebuild contradict each other"),
    "editable": (["-r", "editable.txt"], 3, "is no project: it has neither pyproject.toml, setup.py nor setup.cfg"),
}


@pytest.mark.parametrize("case", REQUIREMENTS)
def test_a_bad_request_changes_nothing(standing: CommandLine, case: str) -> None:
    """The message names the thing, the old environment and the store are as they were."""
    arguments, code, message = REQUIREMENTS[case]
    standing.write("bad.txt", "alpha\nalpha=>1\n")
    standing.write("unknown.txt", "not-a-package-here\n")
    standing.write("editable.txt", "-e .\n")
    make_project(standing.cwd / "failing", "raise SystemExit('this cannot be built')")
    standing.write("failing.txt", "./failing\n")
    before = snapshot(standing.cwd / ".venv", standing.store)
    result = standing("ensure", *arguments)
    assert (code, "") == (result.code, result.out)
    assert message in result.err
    assert "Traceback" not in result.err
    assert result.err.count("terrastore: error:") == 1
    assert "terrastore: hint:" in result.err
    assert before == snapshot(standing.cwd / ".venv", standing.store)
    assert [] == [name for name in os.listdir(standing.cwd) if "terrastore" in name]


def test_an_error_is_also_json(cli: CommandLine) -> None:
    """With --json the error is an object on standard output."""
    result = cli("ensure", "-r", "nowhere.txt", "--json")
    assert {"schema", "error"} == set(result.json)
    assert ("requirements", 3) == (result.json["error"]["kind"], result.code)
    assert "nowhere.txt" in result.json["error"]["message"]


def test_a_traceback_is_there_for_who_asks(cli: CommandLine) -> None:
    """-v shows where an error came from."""
    assert "Traceback" in cli("ensure", "-r", "nowhere.txt", "-v").err


def archive_in(store: Path) -> Path:
    """Return the only archive in ``store``."""
    (archive,) = store.glob("v1/archives/*/*.tar.zst")
    return archive


def flip(store: Path, offset: int) -> None:
    path = archive_in(store)
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def truncate(store: Path) -> None:
    os.truncate(archive_in(store), 1000)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "flipped bit in a frame": (lambda store: flip(store, 2000), "SHA-256 differs"),
    "flipped bit in the manifest": (
        lambda store: flip(store, archive_in(store).stat().st_size - 600),
        "manifest is refused",
    ),
    "truncated archive": (truncate, "is truncated"),
    "missing archive": (lambda store: archive_in(store).unlink(), "is missing"),
    "pointer that is no JSON": (lambda store: next(store.glob("v1/pointers/*")).write_text("{"), "pointer of"),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_a_damaged_store_is_refused(standing: CommandLine, case: str) -> None:
    """With --no-build what does not verify ends with 8, and the environment that stands stays."""
    damage, message = DAMAGES[case]
    damage(standing.store)
    before = snapshot(standing.cwd / ".venv", standing.store)
    (standing.cwd / ".venv/.terrastore/state.json").unlink()  # so that it is not kept
    del before[str(standing.cwd / ".venv/.terrastore/state.json")]
    result = standing("ensure", "--no-build")
    assert 8 == result.code
    assert message in result.err
    assert before == snapshot(standing.cwd / ".venv", standing.store)


@pytest.mark.parametrize("case", DAMAGES)
def test_a_damaged_store_heals(stored: CommandLine, case: str) -> None:
    """Where building is allowed the archive is built anew and replaces the bad one, and the next machine fetches it."""
    damage, message = DAMAGES[case]
    damage(stored.store)
    result = stored.ok("ensure", "--json")
    assert "built" == result.json["outcome"]
    assert [True] == [message in warning for warning in result.json["warnings"]]
    assert "fetched" == stored.ok("ensure", "--no-build", "--target", "second", "--json").json["outcome"]


def test_nothing_in_the_store_and_no_building(cli: CommandLine) -> None:
    """A miss with --no-build ends with 4 and makes nothing."""
    cli.write("requirements.txt", "alpha\n")
    result = cli("ensure", "--no-build")
    assert 4 == result.code
    assert "has no cp3" in result.err
    assert ["requirements.txt"] == os.listdir(cli.cwd)


def test_a_target_that_is_a_file(stored: CommandLine) -> None:
    """A file is not replaced, not even with --force."""
    target = stored.write("taken", "mine\n")
    for arguments in ([], ["--force"]):
        result = stored("ensure", "--target", "taken", *arguments)
        assert (2, True) == (result.code, "is a file" in result.err)
    assert "mine\n" == target.read_text()


def test_a_foreign_directory_needs_force(stored: CommandLine) -> None:
    """A directory that is no environment is replaced only at the user's word."""
    folder = stored.cwd / "photos"
    folder.mkdir()
    (folder / "1.jpg").touch()
    result = stored("ensure", "--target", "photos")
    assert (2, True) == (result.code, "--force" in result.err)
    assert (folder / "1.jpg").exists()
    stored.ok("ensure", "--target", "photos", "--force")
    assert not (folder / "1.jpg").exists()


def test_an_empty_directory_is_taken(stored: CommandLine) -> None:
    """An empty directory holds nothing that could be lost."""
    (stored.cwd / "empty").mkdir()
    stored.ok("ensure", "--target", "empty")


def test_a_mount_point_is_refused(stored: CommandLine) -> None:
    """What cannot be renamed is refused before any work, and --link is named."""
    result = stored("ensure", "--target", "/proc")
    assert (2, True, True) == (result.code, "mount point" in result.err, "--link" in result.err)


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become somebody else")
def test_an_unwritable_parent_is_refused(stored: CommandLine, tmp_path: Path) -> None:
    """A target that cannot be replaced is refused before any work, and --link is named."""
    script = (
        "import os, terrastore.archive.relocate; from terrastore.place import Target; "
        "os.setgroups([]); os.setgid(65534); os.setuid(65534); "
        f"Target({str(tmp_path / 'env')!r}).check_replaceable(force=False)"
    )
    for folder in (tmp_path, *tmp_path.parents):
        folder.chmod(folder.stat().st_mode | 0o055)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "cannot be written" in done.stderr


def test_a_store_that_cannot_be_written_is_a_warning(cli: CommandLine) -> None:
    """The environment is built all the same; only --require-publish makes it an error."""
    cli.write("requirements.txt", "beta\n")
    (cli.store / "v1").mkdir(parents=True)
    (cli.store / "v1/archives").write_text("in the way")
    built = cli.ok("ensure", "--json").json
    assert ("built", None) == (built["outcome"], built["store"])
    assert "not published" in built["warnings"][0]
    required = cli("ensure", "--require-publish", "--rebuild")
    assert 7 == required.code
    assert "cannot be written" in required.err


def test_what_cannot_be_relocated_is_named(cli: CommandLine) -> None:
    """A binary file that holds the prefix is refused when it is built, by name, and nothing is published."""
    make_project(
        cli.cwd / "binary",
        "import sys, zipfile\n"
        "info = 'binary-1.0.dist-info'\n"
        "with zipfile.ZipFile(folder + '/binary-1.0-py3-none-any.whl', 'w') as wheel:\n"
        "    wheel.writestr('binary.bin', b'\\0' + sys.prefix.encode())\n"
        "    wheel.writestr(info + '/METADATA', 'Metadata-Version: 2.1\\nName: binary\\nVersion: 1.0\\n')\n"
        "    wheel.writestr(info + '/WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n"
        "    wheel.writestr(info + '/RECORD', '')\n"
        "return 'binary-1.0-py3-none-any.whl'\n",
    )
    cli.write("requirements.txt", "./binary\n")
    result = cli("ensure")
    assert 5 == result.code
    assert "site-packages/binary.bin: it is a binary file" in result.err
    assert ["leases"] == [path.name for path in cli.store.glob("v1/*")]
    assert not (cli.cwd / ".venv").exists()


def test_an_archive_file_that_is_none(cli: CommandLine) -> None:
    """unpack says what is wrong with a file."""
    cli.write("not.tar.zst", "nothing")
    result = cli("unpack", "not.tar.zst", "--target", "env")
    assert (8, True) == (result.code, "does not end as a terrastore archive does" in result.err)
    result = cli("unpack", "nowhere.tar.zst", "--target", "env")
    assert (2, True) == (result.code, "nowhere.tar.zst cannot be read" in result.err)
    assert not (cli.cwd / "env").exists()


def test_a_newer_pointer_is_a_miss_that_says_so(stored: CommandLine) -> None:
    """A schema from the future is no error: there is nothing for this version, and it is told why."""
    (path,) = stored.store.glob("v1/pointers/*.json")
    envelope = json.loads(path.read_text())
    payload = json.loads(base64.b64decode(envelope["payload"])) | {"schema": 2}
    envelope["payload"] = base64.b64encode(json.dumps(payload).encode()).decode()
    path.write_text(json.dumps(envelope))
    result = stored("ensure", "--no-build")
    assert (4, True) == (result.code, "schema 2" in result.err)


def test_conflicting_packages_are_told(cli: CommandLine) -> None:
    """A file that two packages claim is named in a warning."""
    cli.write("requirements.txt", "clash-a\nclash-b\n")
    (warning,) = cli.ok("ensure", "--json").json["warnings"]
    assert "shared/__init__.py belongs to several packages (clash-a, clash-b)" in warning


def test_secrets_reach_nothing(cli: CommandLine) -> None:
    """Credentials in a URL are used, and found in no file, key or message afterwards."""
    cli.write("requirements.txt", "beta\n")
    secret = "s3cr3t-t0ken"
    url = f"https://user:{secret}@127.0.0.1:1/simple"
    cli.env |= {"PIP_RETRIES": "0", "PIP_TIMEOUT": "1"}
    for arguments in (["ensure"], ["ensure", "--json"], ["key", "--explain"], ["ensure", "-r", "bad.txt"]):
        cli.write("bad.txt", f"beta @ {url}/beta-1.0.whl\nthis is wrong {url}\n")
        result = cli(*arguments, "--extra-index-url", url)
        assert secret not in result.out + result.err
    (cli.cwd / "bad.txt").unlink()
    written = [path for folder in (cli.home, cli.cache) for path in folder.rglob("*") if path.is_file()]
    leaks = [path for path in written if secret.encode() in path.read_bytes()]
    assert [] == leaks


def test_an_archive_for_another_libc_is_told(cli: CommandLine) -> None:
    """An archive that needs a later libc than this host has ends with 9 when building is off."""
    cli.write("requirements.txt", "beta\n")
    cli.ok("build")
    (path,) = cli.store.glob("v1/pointers/*.json")
    envelope = json.loads(path.read_text())
    payload = json.loads(base64.b64decode(envelope["payload"]))
    payload["needs"] = {"libc": {"family": "glibc", "version": "2.99"}}
    envelope["payload"] = base64.b64encode(json.dumps(payload).encode()).decode()
    path.write_text(json.dumps(envelope))
    refused = cli("ensure", "--no-build")
    assert (9, True) == (refused.code, "glibc 2.99 or later" in refused.err)
    assert "built" == cli.ok("ensure", "--json").json["outcome"]
    assert 2 == len(list(cli.store.glob("v1/pointers/*.json")))
    assert "fetched" == cli.ok("ensure", "--no-build", "--target", "second", "--json").json["outcome"]


def test_pip_is_not_led_elsewhere(cli: CommandLine, tmp_path: Path) -> None:
    """Settings of pip that would install somewhere else, or not at all, do not reach it."""
    (tmp_path / "pip.conf").write_text(
        f"[install]\ntarget = {tmp_path}/x\ndry-run = true\nquiet = 3\n[global]\nroot = /y\n"
    )
    cli.write("requirements.txt", "beta\n")
    cli.ok("ensure", PIP_CONFIG_FILE=str(tmp_path / "pip.conf"), PIP_PREFIX="/z", PIP_SRC="/w")
    assert list(cli.cwd.glob(".venv/lib/*/site-packages/beta.py"))
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("case", ["truncated archive", "missing archive", "pointer that is no JSON"])
def test_build_heals_the_store(stored: CommandLine, case: str) -> None:
    """build replaces what is not sound, as ensure does."""
    DAMAGES[case][0](stored.store)
    assert "built" == stored.ok("build", "--json").json["outcome"]
    assert "fetched" == stored.ok("ensure", "--no-build", "--json").json["outcome"]


def rewrite_manifest(store: Path, change: dict[str, object]) -> None:
    """Change fields of the only archive's manifest, and make the pointer fit."""
    archive = archive_in(store)
    data = archive.read_bytes()
    (path,) = store.glob("v1/pointers/*.json")
    envelope = json.loads(path.read_text())
    payload = json.loads(base64.b64decode(envelope["payload"]))
    place = payload["manifest"]
    raw = decompress(data[place["offset"] : place["offset"] + place["packed"]], place["size"])
    document = json.dumps(json.loads(raw[512:].rstrip(b"\0")) | change).encode()
    member = ustar.Member(".terrastore/manifest.json", ustar.REGULAR, 0o644, len(document))
    raw = ustar.header(member) + document + bytes(ustar.padding(len(document)))
    packed = compress(raw)
    archive.write_bytes(data[: place["offset"]] + packed + data[place["offset"] + place["packed"] :])
    place |= {"packed": len(packed), "size": len(raw), "sha256": hashlib.sha256(packed).hexdigest()}
    payload["archive"]["size"] = archive.stat().st_size
    envelope["payload"] = base64.b64encode(json.dumps(payload).encode()).decode()
    path.write_text(json.dumps(envelope))


LATER: dict[str, tuple[dict[str, object], int, str]] = {
    "schema": ({"schema": 2}, 4, "schema 2"),
    "feature": ({"features": ["holograms"]}, 8, "holograms"),
    "kind": ({"relocations": [{"path": "bin/activate", "kind": "hologram"}]}, 8, "hologram"),
}


@pytest.mark.parametrize("case", LATER)
def test_an_archive_of_a_later_version_is_left_alone(stored: CommandLine, case: str) -> None:
    """What a later version made is not for this one: said with --no-build, else built here and not replaced there."""
    change, code, message = LATER[case]
    rewrite_manifest(stored.store, change)
    before = snapshot(stored.store / "v1/pointers")
    refused = stored("ensure", "--no-build")
    assert (code, True, True) == (refused.code, message in refused.err, "upgrade terrastore" in refused.err)
    assert "built" == stored.ok("ensure", "--json").json["outcome"]
    assert before == snapshot(stored.store / "v1/pointers")


@pytest.mark.parametrize("kind", ["record", "text"])
@pytest.mark.parametrize("way", ["absolute", "upwards", "through a link"])
def test_relocate_writes_nothing_outside(stored: CommandLine, kind: str, way: str) -> None:
    """A manifest that lists files outside of the environment, directly or through a link, is refused."""
    stored.ok("ensure")
    victim = stored.write("victim", "root:x:0:0:root:/root:/bin/bash\n")
    (stored.cwd / ".venv/link").symlink_to(stored.cwd)
    path = {"absolute": str(victim), "upwards": "../victim", "through a link": "link/victim"}[way]
    place = stored.cwd / ".venv/.terrastore/manifest.json"
    manifest = json.loads(place.read_text())
    manifest["relocations"].append({"path": path, "kind": kind})
    place.write_text(json.dumps(manifest))
    (stored.cwd / ".venv/.terrastore/originals.tar").unlink()
    result = stored("relocate", ".venv")
    assert (2, "root:x:0:0:root:/root:/bin/bash\n") == (result.code, victim.read_text())


@pytest.mark.parametrize("damage", ["a RECORD", "the originals", "a stranger among the originals"])
def test_relocate_of_a_damaged_environment(stored: CommandLine, damage: str) -> None:
    """What relocate cannot read it names, and what is not listed it leaves alone."""
    stored.ok("ensure")
    kept = stored.cwd / ".venv/.terrastore/originals.tar"
    if damage == "a RECORD":
        next(stored.cwd.glob(".venv/lib/*/site-packages/alpha-1.0.dist-info/RECORD")).write_text("a,b,c,d\n")
        assert 8 == stored("relocate", ".venv").code
    elif damage == "the originals":
        kept.write_bytes(b"x" * 2048)
        assert 2 == stored("relocate", ".venv").code
    else:
        member = ustar.Member("bin/stranger", ustar.REGULAR, 0o755, 1)
        kept.write_bytes(
            kept.read_bytes()[: -len(ustar.END)] + ustar.header(member) + b"x".ljust(512, b"\0") + ustar.END
        )
        stored.ok("relocate", ".venv")
        assert not (stored.cwd / ".venv/bin/stranger").exists()
