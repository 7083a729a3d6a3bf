"""docs/reference/json.md has the fields of every object, as real runs print them, and no others."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from terrastore.cli import terrastore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import CommandLine

PAGE = (Path(__file__).parents[2] / "docs/reference/json.md").read_text()
TABLE = re.compile(r"<!-- json: (.+) -->\n\| field \| value \|\n\| --- \| --- \|\n((?:\| .+\n)+)")
TABLES = {names: set(re.findall(r"^\| `([^`]+)`", rows, re.MULTILINE)) for names, rows in TABLE.findall(PAGE)}
# Commands that have no object: what they run prints.
WITHOUT = {"run"}


def fields(value: Any, name: str = "") -> Iterator[str]:
    """Yield every path into an object, with those above it."""
    if isinstance(value, list):
        for each in value:
            if isinstance(each, dict):
                yield from fields(each, f"{name}[]")
    elif isinstance(value, dict):
        for key, each in value.items():
            path = f"{name}.{key}" if name else key
            yield path
            yield from fields(each, path)


def compare(name: str, *objects: Any) -> None:
    """Require that a table has each field that was seen, or one above it, and that what it has was seen."""
    seen = {path for each in objects for path in fields(each)}
    told = TABLES[name]
    above = {path for path in seen if any(other.startswith((f"{path}.", f"{path}[")) for other in told)}
    untold = {path for path in seen - told - above if not any(path.startswith((f"{t}.", f"{t}[")) for t in told)}
    assert (name, set(), set()) == (name, untold, told - seen)


def test_every_command_is_on_the_page() -> None:
    """Whoever prints an object has a table."""
    told = {word for names in TABLES for word in re.split(r",? ", names)} | {"unpin"}
    assert {name for name, _ in terrastore.all()} - WITHOUT - told == set()


def test_fields(cli: CommandLine) -> None:
    """Each command is run, and its object compared."""
    archives = f"{cli.store}/v1/archives"
    cli.write("requirements.txt", "alpha==1.0\n")
    built = cli.ok("build", "--json").json
    compare("ensure, build", built, cli.ok("ensure", "--json").json)
    key = built["key"]
    compare("error", cli("ensure", "-r", "none.txt", "--json").json)
    compare("key", cli.ok("key", "--explain", "--json").json)
    compare("show", cli.ok("show", key, "--json").json, cli.ok("show", ".venv", "--json").json)
    compare("show --freeze", cli.ok("show", key, "--freeze", "--json").json)
    compare("list", cli.ok("list", "-l", "--json").json)
    cli.write("requirements.txt", "alpha==2.0\n")
    compare("why", cli.ok("why", "--json").json)
    compare("copy", cli.ok("copy", key, "--from", str(cli.store), "--to", str(cli.home / "other"), "--json").json)
    compare("pin", cli.ok("pin", "production", key, "--json").json)
    assert {"schema", "store", "pin"} == set(cli.ok("unpin", "production", "--json").json)
    compare("keygen", made := cli.ok("keygen", "ci", "--json").json)
    compare("sign", cli.ok("sign", key, "--signer", made["file"], "--json").json)
    compare("report", cli.ok("report", "-o", "store.html", "--keep-last", "0", "--json").json)
    compare("prune", cli.ok("prune", "--keep-last", "0", "--dry-run", "--json").json)
    (file,) = Path(archives).glob("*/*.tar.zst")
    compare("unpack", cli.ok("unpack", str(file), "--target", "unpacked", "--json").json)
    compare("relocate", cli.ok("relocate", "unpacked", "--json").json)
    compare("relocate --standalone", cli.ok("relocate", "--standalone", "relocate.pyz", "--json").json)
    (cli.cwd / "unpacked/bin/alpha").write_text("")
    compare("verify", cli("verify", "unpacked", "--json").json)
    assert {"schema", "key", "sound"} == set(cli.ok("verify", key, "--json").json)
    cli.ok("ensure", "--backup")
    compare("rollback", cli.ok("rollback", "--json").json)
    compare("remove", cli.ok("remove", key, "--json").json)
    compare("doctor", cli("doctor", "--json").json)
    compare("cache", *(cli.ok("cache", what, "--json").json for what in ("dir", "size", "prune")))


def test_terrastore_itself() -> None:
    """The object of ``build --self`` is another one; tests/cli/test_itself.py sees the same fields."""
    assert {"schema", "outcome", "tag", "version", "sha256", "relocate", "wheels", "bytes", "stores", "warnings"} == (
        TABLES["build --self"]
    )
