"""Why a miss is a miss, told before a build and by a command of its own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from terrastore.key import SCHEMA
from tests.conftest import CommandLine, command_line, command_with
from tests.end_to_end.test_bad_input import archive_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import S3Server


@pytest.fixture(scope="module", params=["directory", "s3"])
def published(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Iterator[Path]:
    """Return a home in whose store the environment of ``alpha==1.0`` is, and where that is in ``store.txt``."""
    home = tmp_path_factory.mktemp("why") / "home"
    with command_line(home, wheels) as command:
        if request.param == "s3":
            moto: S3Server = request.getfixturevalue("moto")
            command.env |= moto.variables() | {"TERRASTORE_STORE": f"s3://{moto.bucket}/why"}
        command.env["TERRASTORE_NO_SEED"] = "1"
        command.write("requirements.txt", "alpha==1.0\nbeta==1.0\n")
        command.ok("build")
        variables = [
            f"{name}={value}" for name, value in command.env.items() if name.startswith(("AWS_", "TERRASTORE_S"))
        ]
        (home / "variables.txt").write_text("\n".join(variables))
        yield home


@pytest.fixture
def changed(published: Path, cli: CommandLine) -> CommandLine:
    """Return a command line with that store, whose requirements are another version of alpha."""
    for line in (published / "variables.txt").read_text().splitlines():
        name, _, value = line.partition("=")
        cli.env[name] = value
    cli.env["TERRASTORE_NO_SEED"] = "1"
    cli.write("requirements.txt", "alpha==2.0\nbeta==1.0\n")
    return cli


def short(cli: CommandLine) -> str:
    """Return the key of what was published, as it is shown."""
    return re.escape(next(iter(cli.ok("list").out.split()))[:27])


def test_a_bumped_pin(changed: CommandLine) -> None:
    """The command says what differs, one per line, and that it would be built; it builds nothing."""
    before, listed = short(changed), changed.ok("list").out
    told = changed.ok("why")
    assert re.fullmatch(
        rf"miss     {re.escape(changed.env['TERRASTORE_STORE'])} does not have it: it would be built  \(\S+\)\n"
        rf"differs  from {before} in {re.escape(changed.env['TERRASTORE_STORE'])}:\n"
        r"  alpha 1\.0 → 2\.0\n"
        rf"         1 of 2 packages as in {before}\n",
        told.out,
    )
    assert "" == told.err
    assert ["requirements.txt"] == [each.name for each in changed.cwd.iterdir()]
    assert listed == changed.ok("list").out


def test_a_bumped_pin_as_json(changed: CommandLine) -> None:
    """The object has the documented fields."""
    told = changed.ok("why", "--json").json
    assert (1, "built", None, False, None, 0, []) == tuple(
        told[name] for name in ("schema", "outcome", "store", "moved", "misfit", "earlier", "warnings")
    )
    assert changed.ok("key").out.strip() == told["key"]
    assert {
        "key": changed.ok("list").out.strip(),
        "environment": None,
        "store": changed.env["TERRASTORE_STORE"],
        "packages": 2,
        "packages_same": 1,
    } == told["compared_with"]
    (difference,) = told["differences"]
    assert ("requirement", "alpha", "alpha 1.0 → 2.0") == tuple(difference[name] for name in ("kind", "name", "phrase"))
    assert {"kind", "name", "before", "after", "phrase"} == difference.keys()


def test_who_must_not_build_is_told(changed: CommandLine) -> None:
    """The error names what was published instead."""
    failed = changed("ensure", "--no-build")
    assert 4 == failed.code
    expected = rf"and building is off: alpha 1\.0 → 2\.0; 1 of 2 packages as in {short(changed)}\n"
    assert re.search(expected, failed.err)


def test_the_miss_line(changed: CommandLine) -> None:
    """Before a build it is said what differs from the nearest; where an environment stands, from that one."""
    miss = changed.ok("ensure", "--no-publish", "--target", "new")
    assert re.match(rf"miss  alpha 1\.0 → 2\.0; 1 of 2 packages as in {short(changed)}\n", miss.err)
    changed.write("pins.txt", "beta<2\n")
    changed.write("requirements.txt", "alpha==1.0\n-c pins.txt\n")
    here = changed.ok("ensure", "--no-publish", "--target", "new", "--salt", "x")
    expected = (
        "miss  pins.txt added; alpha 2.0 → 1.0; beta 1.0 dropped; constraint beta <2 added; and 1 more; "
        "compared with new\n"
    )
    assert here.err.startswith(expected)


def test_kept(stored: CommandLine) -> None:
    """Of an environment that is what was asked for that is said."""
    stored.ok("ensure")
    told = stored.ok("why")
    assert re.fullmatch(r"kept     \.venv is what requirements\.txt asks for  \(\S+\)\n", told.out)
    assert ("kept", None, []) == tuple(
        stored.ok("why", "--json").json[name] for name in ("outcome", "compared_with", "differences")
    )


def test_in_the_store(stored: CommandLine) -> None:
    """What the store has would be fetched; what stands there is compared all the same."""
    asked = stored.ok("why").out
    assert re.fullmatch(rf"fetch    {re.escape(str(stored.store))} has it: it would be fetched  \(\S+\)\n", asked)
    stored.write("beta.txt", "beta==1.0\n")
    stored.ok("ensure", "-r", "beta.txt", "--no-publish")
    told = stored.ok("why").out
    assert re.fullmatch(
        r"fetch    .*\n"
        r"differs  from \.venv \(\S+\):\n"
        r"  beta\.txt dropped\n"
        r"  requirements\.txt added\n"
        r"  alpha 1 added\n"
        r"  beta 1\.0 dropped\n"
        r"         1 of 2 packages as in \.venv\n",
        told,
    )


def test_releases(stored: CommandLine) -> None:
    """What a link leads to is what is compared."""
    places = ("--link", "current", "--releases", "releases")
    stored.ok("ensure", *places)
    assert stored.ok("why", *places).out.startswith("kept     current is what requirements.txt asks for")
    stored.write("requirements.txt", "alpha==2.0\n")
    assert "  alpha 1.0 → 2.0\n         2 of 3 packages as in releases/" in stored.ok("why", *places).out
    miss = stored.ok("ensure", *places, "--no-publish")
    assert re.match(r"miss  alpha 1\.0 → 2\.0; 2 of 3 packages as in releases/\S+\n", miss.err)


def test_a_moved_environment(stored: CommandLine) -> None:
    """An environment that was made for this, elsewhere, differs in nothing but its place."""
    stored.ok("ensure")
    (stored.cwd / ".venv").rename(stored.cwd / "moved")
    told = stored.ok("why", "--target", "moved").out
    assert re.fullmatch(r"fetch    .*\nmoved    moved was made for it; it was moved since, [^\n]+\n", told)


def test_nothing_to_compare_with(cli: CommandLine) -> None:
    """An empty store is no trouble, and the miss is told as before."""
    cli.write("requirements.txt", "beta==1.0\n")
    assert "         there is nothing to compare it with\n" in cli.ok("why").out
    assert re.match(r"miss  no cp3\S+ in \S+; building it here\n", cli.ok("ensure").err)


def test_what_is_not_pinned(cli: CommandLine) -> None:
    """Requirements that may come to something else next time are named."""
    cli.write("requirements.txt", "alpha==1.0\nbeta>=1\n")
    assert "unpinned beta>=1: no version is pinned\n" in cli.ok("why").out
    assert ["beta>=1"] == cli.ok("why", "--json").json["unpinned"]


def test_what_is_damaged_is_passed_over(stored: CommandLine) -> None:
    """An archive that cannot be read is no neighbour, and stops nothing."""
    archive_in(stored.store).write_bytes(b"")
    stored.write("requirements.txt", "alpha==2.0\n")
    assert "         there is nothing to compare it with\n" in stored.ok("why").out
    assert stored.ok("ensure", "--no-publish").err.startswith("miss  no cp3")


def test_a_store_that_does_not_answer(stored: CommandLine) -> None:
    """Why it would be a miss cannot be said then: the store may have it."""
    asked = stored("why", TERRASTORE_STORE="http://127.0.0.1:9/envs")
    assert 6 == asked.code
    assert "terrastore: error: " in asked.err


def test_what_an_earlier_version_published(cli: CommandLine) -> None:
    """A store full of keys by other rules is no riddle: that is told, and what else differs."""
    cli.write("requirements.txt", "alpha==1.0\n")
    now = cli.command
    cli.command = command_with(f"import terrastore.key\nterrastore.key.SCHEMA = {SCHEMA - 1}")
    cli.ok("build")
    cli.command = now
    told = cli.ok("why").out
    assert "earlier  1 environment of the newest in " in told
    assert f"  the key's schema {SCHEMA - 1} → {SCHEMA}\n         3 of 3 packages as in cp3" in told
    built = cli.ok("build")
    assert built.err.startswith(f"miss  the key's schema {SCHEMA - 1} → {SCHEMA}; 3 of 3 packages as in cp3")
