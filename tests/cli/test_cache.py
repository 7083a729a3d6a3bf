"""terrastore cache: where layers are, how much of them, and fewer."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import CommandLine

NAMES = ["a" * 64 + ".tar", "b" * 64 + ".tar", "c" * 64 + ".d"]


@pytest.fixture
def layers(cli: CommandLine) -> Path:
    """Return a cache of three layers of 1000 bytes, of which the first was used last, and 500 bytes of a build's."""
    layers = cli.cache / "layers"
    layers.mkdir(mode=0o700)
    for age, name in enumerate(NAMES):
        place = layers / name
        if name.endswith(".d"):
            (place / "files").mkdir(parents=True)
            (place / "files/module.py").write_bytes(b"0" * 900)
            (place / "index.json").write_bytes(b"0" * 100)
        else:
            place.write_bytes(b"0" * 1000)
        os.utime(place, (time.time() - 3600 * age,) * 2)
    (cli.cache / "pip").mkdir()
    (cli.cache / "pip/wheel").write_bytes(b"0" * 500)
    return layers


def test_where_it_is(cli: CommandLine) -> None:
    """The directory, there or not, as it was asked for."""
    assert f"{cli.cache}\n" == cli.ok("cache", "dir").out
    assert {"schema": 1, "directory": str(cli.cache)} == cli.ok("cache", "dir", "--json").json
    assert f"{cli.cwd}/mine\n" == cli.ok("cache", "dir", "--cache-dir", "mine").out
    assert not (cli.cwd / "mine").exists()


def test_where_it_is_without_a_word(cli: CommandLine) -> None:
    """In the user's cache folder."""
    del cli.env["TERRASTORE_CACHE_DIR"]
    assert f"{cli.home}/.cache/terrastore\n" == cli.ok("cache", "dir").out
    assert f"{cli.home}/caches/terrastore\n" == cli.ok("cache", "dir", XDG_CACHE_HOME=f"{cli.home}/caches").out


def test_how_much_there_is(cli: CommandLine, layers: Path) -> None:
    """By kind, and together."""
    assert {"schema": 1, "sizes": {"layers": 3000, "pip": 500}} == cli.ok("cache", "size", "--json").json
    lines = [line.split(maxsplit=1) for line in cli.ok("cache", "size").out.splitlines()]
    assert [["layers", "3.0 kB"], ["pip", "500 bytes"], ["together", "3.5 kB"]] == lines


def test_nothing_is_there(cli: CommandLine) -> None:
    """A cache that was never used has no size, nothing to remove, and is not made."""
    cli.env["TERRASTORE_CACHE_DIR"] = str(cli.home / "none")
    assert {"schema": 1, "sizes": {}} == cli.ok("cache", "size", "--json").json
    assert ["together", "0", "bytes"] == cli.ok("cache", "size").out.split()
    assert {"schema": 1, "removed": 0} == cli.ok("cache", "prune", "--cache-limit", "0", "--json").json
    assert not (cli.home / "none").exists()


@pytest.mark.parametrize(
    ("limit", "count"),
    [("0", 0), ("999", 0), ("1000", 1), ("1kB", 1), ("2k", 2), ("1.99kB", 1), ("2KiB", 2), ("3 kb", 3), ("1GB", 3)],
)
def test_prune_keeps_what_was_used_last(cli: CommandLine, layers: Path, limit: str, count: int) -> None:
    """As many layers as the limit has room for; what installers downloaded stays."""
    result = cli.ok("cache", "prune", "--cache-limit", limit, "--json").json
    assert {"schema": 1, "removed": 3000 - 1000 * count} == result
    assert NAMES[:count] == sorted(path.name for path in layers.iterdir())
    assert (cli.cache / "pip/wheel").exists()


def test_prune_says_what_it_did(cli: CommandLine, layers: Path) -> None:
    """To a person; the limit may be a variable or a setting, as every option."""
    assert (
        f"removed 2.0 kB of layers and wheels from {cli.cache}\n"
        == cli.ok("cache", "prune", TERRASTORE_CACHE_LIMIT="1kB").out
    )
    cli.write("terrastore.toml", 'cache-limit = "0"\n')
    assert f"removed 1.0 kB of layers and wheels from {cli.cache}\n" == cli.ok("cache", "prune").out


def test_a_limit_in_a_file_is_a_number_too(cli: CommandLine, layers: Path) -> None:
    """A TOML integer is bytes."""
    cli.write("terrastore.toml", "cache-limit = 1000\n")
    assert 2000 == cli.ok("cache", "prune", "--json").json["removed"]


def test_without_a_limit_there_is_one(cli: CommandLine, layers: Path) -> None:
    """10 GB, so that little is not removed."""
    assert 0 == cli.ok("cache", "prune", "--json").json["removed"]


@pytest.mark.parametrize("size", ["much", "", "-1", "1XB", "1e9", "9" * 400])
def test_a_bad_size(cli: CommandLine, layers: Path, size: str) -> None:
    """Named, and nothing is removed."""
    result = cli("cache", "prune", f"--cache-limit={size}")
    assert 2 == result.code
    assert f"{size!r} is no size, such as 10GB" in result.err
    assert "Traceback" not in result.err
    assert NAMES == sorted(path.name for path in layers.iterdir())


@pytest.mark.parametrize("value", ["-1", "true", '"much"'])
def test_a_bad_size_in_a_file(cli: CommandLine, layers: Path, value: str) -> None:
    """The same for settings, of which some are no text."""
    cli.write("terrastore.toml", f"cache-limit = {value}\n")
    result = cli("cache", "prune")
    assert (2, True) == (result.code, "is no size" in result.err)


@pytest.mark.parametrize("arguments", [(), ("empty",), ("dir", "size")], ids=repr)
def test_a_bad_command(cli: CommandLine, arguments: tuple[str, ...]) -> None:
    """One of three words."""
    result = cli("cache", *arguments)
    assert (2, "") == (result.code, result.out)
    assert result.err.startswith("terrastore: error: ")


def test_what_cannot_be_read_is_named(cli: CommandLine) -> None:
    """A file where the layers should be."""
    (cli.cache / "layers").write_text("mine\n")
    result = cli("cache", "prune", "--cache-limit", "0")
    assert 9 == result.code
    assert f"terrastore: error: {cli.cache}/layers: not a directory\n" in result.err
    assert "mine\n" == (cli.cache / "layers").read_text()


def test_prune_keeps_the_wheels_that_were_used_last(cli: CommandLine) -> None:
    """Those that were fetched from a store, each in a directory of its own."""
    for age, digest in enumerate(("a" * 64, "b" * 64)):
        folder = cli.cache / "wheels" / digest
        folder.mkdir(parents=True)
        (folder / "six-1.0-py3-none-any.whl").write_bytes(b"0" * 1000)
        os.utime(folder, (time.time() - 3600 * age,) * 2)
    assert {"schema": 1, "removed": 1000} == cli.ok("cache", "prune", "--cache-limit", "1kB", "--json").json
    assert ["a" * 64] == os.listdir(cli.cache / "wheels")
