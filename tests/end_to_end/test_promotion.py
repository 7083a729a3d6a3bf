"""``terrastore copy`` between directories, from web servers, and what makes no sense, as a process."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.mounts import Disk, own_mounts_or_skip
from tests.static_server import nginx

if TYPE_CHECKING:
    from tests.conftest import CommandLine


def test_a_build_is_promoted(stored: CommandLine, tmp_path: Path) -> None:
    """Under its key or as it begins, and again; what was promoted is fetched."""
    production = str(tmp_path / "production")
    key = stored.ok("key").out.strip()
    copied = stored.ok("copy", key, "--from", str(stored.store), "--to", production)
    said = rf"copied   [\d.]+ [kM]B from {stored.store} to {production} in \d\.\d s  \({key[:-32]}\)\n"
    assert re.fullmatch(said, copied.out)
    kept = stored.ok("copy", key[:30], "--from", str(stored.store), "--to", production)
    assert f"kept     {production} has it already  ({key[:-32]})\n" == kept.out
    assert "" == copied.err + kept.err
    assert "fetched" == stored.ok("ensure", "--no-build", "--store", production, "--json").json["outcome"]
    stored.ok("verify", key, "--store", production)


def test_several_are_promoted(cli: CommandLine, tmp_path: Path) -> None:
    """In the order they are named, each once; that of a distribution only when it is named itself."""
    keys = []
    for salt in ("1", "2"):
        cli.write("requirements.txt", "beta\n")
        keys.append(cli.ok("build", "--no-seed", "--salt", salt, "--json").json["key"])
    special = f"{keys[0]}-debian-12"
    for kind in ("pointers", "archives"):
        for path in (cli.store / "v1" / kind).glob(f"{keys[0]}*"):
            plain = shutil.copytree if path.is_dir() else shutil.copyfile
            plain(path, path.with_name(path.name.replace(keys[0], special)))
    production = str(tmp_path / "production")
    stores = ("--from", str(cli.store), "--to", production)
    told = cli.ok("copy", keys[1], keys[0], keys[1], *stores, "--json").json
    assert (1, str(cli.store), production) == (told["schema"], told["from"], told["to"])
    assert [(keys[1], "copied"), (keys[0], "copied")] == [
        (each["key"], each["outcome"]) for each in told["environments"]
    ]
    assert {True} == {each["server_side"] for each in told["environments"]}
    assert [[], []] == [each["warnings"] for each in told["environments"]]
    assert set(keys) == {path.stem for path in Path(production).glob("v1/pointers/*")}
    # The pointer that was put there for the test is for another key.
    refused = cli("copy", special, *stores)
    assert (8, True) == (refused.code, "another key" in refused.err)
    ambiguous = cli("copy", keys[0].rpartition("-")[2], *stores)
    assert (2, True) == (ambiguous.code, "could be any of" in ambiguous.err)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param(["KEY", "--from", "STAGING"], "copy needs --to URL", id="no destination"),
        pytest.param(["KEY", "--to", "STAGING"], "copy needs --from URL", id="no source"),
        pytest.param(["--from", "STAGING", "--to", "x"], "missing argument 'KEY...'", id="no key"),
        pytest.param(["", "--from", "STAGING", "--to", "x"], "the key is empty", id="an empty key"),
        pytest.param(["cp39-x", "--from", "STAGING", "--to", "x"], "has no environment cp39-x", id="no such key"),
        pytest.param(["KEY", "--from", "STAGING", "--to", "STAGING/"], "are the same store", id="the same"),
        pytest.param(["KEY", "--from", "STAGING", "--to", "file://STAGING"], "are the same store", id="the same URL"),
        pytest.param(
            ["KEY", "--from", "s3://envs/b", "--to", "s3://envs/b/"], "are the same store", id="the same bucket"
        ),
        pytest.param(["KEY", "--from", "STAGING", "--to", "ftp://x"], "ftp:// is not a kind of store", id="no store"),
        pytest.param(["KEY", "--from", "s3//x", "--to", "x"], "--from s3//x is neither a URL nor", id="no URL"),
        pytest.param(["KEY", "--from", "STAGING", "--to", "s3://u:p@envs"], "--to s3:// must not hold", id="a login"),
    ],
)
def test_what_makes_no_sense(stored: CommandLine, arguments: list[str], told: str) -> None:
    """One error, with a hint, and nothing is done."""
    key = stored.ok("key").out.strip()
    words = [word.replace("STAGING", str(stored.store)).replace("KEY", key) for word in arguments]
    result = stored("copy", *words)
    assert (2, "") == (result.code, result.out)
    error, hint = result.err.splitlines()
    assert told in error
    assert hint.startswith("terrastore: hint: ")
    assert not (stored.cwd / "x").exists()


def test_another_build_stays(cli: CommandLine, tmp_path: Path) -> None:
    """Who built it when is told; with ``--replace`` it is replaced."""
    production = str(tmp_path / "production")
    cli.write("requirements.txt", "beta\n")
    key = cli.ok("build", "--no-seed", "--json").json["key"]
    cli.ok("build", "--no-seed", "--store", production)
    stores = ("--from", str(cli.store), "--to", production)
    refused = cli("copy", key, *stores, "--json")
    assert 2 == refused.code
    assert refused.json["error"]["message"].startswith(f"{production} has another {key[:-32]}, made 20")
    assert "copied" == cli.ok("copy", key, *stores, "--replace", "--json").json["environments"][0]["outcome"]
    pointers = {(Path(store) / f"v1/pointers/{key}.json").read_bytes() for store in (cli.store, production)}
    assert 1 == len(pointers)


def test_from_a_web_server(stored: CommandLine, tmp_path: Path) -> None:
    """A store that is only read can be copied from, by the whole key, and not to."""
    key = stored.ok("key").out.strip()
    with nginx(stored.store) as url:
        told = stored.ok("copy", key, "--from", url, "--to", str(tmp_path / "production"), "--json").json
        assert ("copied", False) == (told["environments"][0]["outcome"], told["environments"][0]["server_side"])
        begun = stored("copy", key[:30], "--from", url, "--to", str(tmp_path / "production"))
        assert (2, True) == (begun.code, "cannot be listed" in begun.err)
        refused = stored("copy", key, "--from", str(stored.store), "--to", f"{url}/below")
        assert (7, True) == (refused.code, "is read-only" in refused.err)
    stored.ok("verify", key, "--store", str(tmp_path / "production"))


def test_a_full_disk(stored: CommandLine, tmp_path: Path) -> None:
    """It is named, with how much is left; nothing of what did not fit stays, and with room it is copied."""
    (key,) = (path.stem for path in stored.store.glob("v1/pointers/*"))
    (tmp_path / "disk").mkdir()
    with own_mounts_or_skip():
        disk = Disk(tmp_path / "disk")
        production = disk.place / "production"
        for way in ("by itself", "through this machine"):
            source = str(stored.store)
            disk.leave(pages=100)
            if way != "by itself":
                with nginx(stored.store) as source:
                    full = stored("copy", key, "--from", source, "--to", str(production))
            else:
                full = stored("copy", key, "--from", source, "--to", str(production))
            assert 7 == full.code, full.err
            assert f"the store {production} cannot be written: no space left on device" in full.err
            assert [] == [path for path in disk.place.rglob("*") if path.is_file() and "production" in str(path)]
        disk.give()
        stored.ok("copy", key, "--from", str(stored.store), "--to", str(production))
        stored.ok("verify", key, "--store", str(production))
