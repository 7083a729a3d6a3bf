"""What a trust file revokes is neither fetched nor kept, built, signed or called sound."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import pytest

from tests.end_to_end.attacker import Attack, Files, Site, payload_of, refused, snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.conftest import CommandLine

PACKAGE, ARCHIVE = "package", "archive"
WHY: Final = "what it holds, and which trust file revokes that"
KEPT: Final = "the same, in a warning too; it stays, but is not `kept`"
BUILD: Final = "the same reason, before anything is published or installed"
IN_STORE: Final[Mapping[Attack, str]] = {
    Attack("an environment in a store holds a revoked package", 8, "it holds alpha 2.0, which ", WHY): PACKAGE,
    Attack("an archive in a store is revoked by its digest", 8, "it is of an archive that ", WHY): ARCHIVE,
}
ON_DISK: Final[Mapping[Attack, str]] = {
    Attack("an environment that stands holds a revoked package", 8, ".venv holds alpha 2.0, which ", KEPT): PACKAGE,
    Attack("an environment that stands is of a revoked archive", 8, ".venv is of an archive that ", KEPT): ARCHIVE,
}
BUILT: Final[Mapping[Attack, str]] = {
    Attack("who may build asks for what is revoked", 5, "what was built holds alpha 2.0, which ", BUILD): PACKAGE,
    Attack("what a revoked archive held is built again", 5, "what was built is of an archive that ", BUILD): ARCHIVE,
}
ATTACKS: Final[Mapping[str, tuple[Attack, ...]]] = {
    "test_what_is_revoked_in_a_store": tuple(IN_STORE),
    "test_what_is_revoked_and_stands": tuple(ON_DISK),
    "test_what_is_revoked_is_not_built": tuple(BUILT),
}


class Fleet:
    """A machine that fetches, and one that builds and signs, with one store, and a trust file for both."""

    def __init__(self, site: Site, command: CommandLine) -> None:
        self.site = site
        self.command = site.machine(command)
        self.trust = command.home / "trust"
        self.signing = ("--signer", str(site.ci.file))
        self.what = {
            PACKAGE: "'alpha == 2.0'",
            ARCHIVE: f"sha256:{json.loads(payload_of(site.current))['archive']['sha256']}",
        }
        site.fill(Files(command.store))
        self.trust.write_text(f"{site.ci.line}\n")
        command.env["TERRASTORE_TRUST"] = str(self.trust)

    def revoke(self, what: str) -> None:
        with self.trust.open("a") as file:
            file.write(f"revoke {self.what[what]}  # has a hole\n")

    def published(self) -> dict[str, bytes]:
        """Return what is in the store, but for who builds and what is used."""
        objects = Files(self.command.store).all()
        return {name: data for name, data in objects.items() if not name.startswith(("v1/leases/", "v1/uses/"))}


@pytest.fixture
def fleet(site: Site, cli: CommandLine) -> Fleet:
    return Fleet(site, cli)


@pytest.mark.parametrize("attack", IN_STORE, ids=str)
def test_what_is_revoked_in_a_store(fleet: Fleet, attack: Attack) -> None:
    """It is no hit; nobody signs it or calls it sound; the environment before stays."""
    fleet.command.ok("ensure", "--no-build", "-r", "other.txt")
    fleet.revoke(IN_STORE[attack])
    before = snapshot(fleet.command.home, fleet.command.cache)
    refused(fleet.command("ensure", "--no-build"), attack)
    refused(fleet.command("verify", fleet.site.key), attack)
    refused(fleet.command("sign", fleet.site.key, *fleet.signing), attack)
    assert attack.message in fleet.command.ok("why").err
    assert before == snapshot(fleet.command.home, fleet.command.cache)
    assert "kept" in fleet.command.ok("ensure", "--no-build", "-r", "other.txt").out


@pytest.mark.parametrize("attack", ON_DISK, ids=str)
def test_what_is_revoked_and_stands(fleet: Fleet, attack: Attack) -> None:
    """It is not kept, and why is told; where nothing else may be had it stays as it is, and the run fails."""
    fleet.command.ok("ensure", "--no-build")
    assert "kept" in fleet.command.ok("ensure", "--no-build").out
    fleet.revoke(ON_DISK[attack])
    before = snapshot(fleet.command.home, fleet.command.cache)
    result = fleet.command("ensure", "--no-build")
    refused(result, attack)
    assert 1 == result.err.count(f"terrastore: warning: {attack.message}")
    why = fleet.command.ok("why", "--json").json
    assert ("built", True) == (why["outcome"], f".venv {why['revoked']}".startswith(attack.message))
    assert before == snapshot(fleet.command.home, fleet.command.cache)


@pytest.mark.parametrize("attack", BUILT, ids=str)
def test_what_is_revoked_is_not_built(fleet: Fleet, attack: Attack) -> None:
    """The installer's choice is looked at before anything is published or installed."""
    fleet.command.ok("ensure", "--no-build", "-r", "other.txt")
    fleet.revoke(BUILT[attack])
    environment, published = snapshot(fleet.command.cwd), fleet.published()
    refused(fleet.command("ensure", *fleet.signing), attack)
    refused(fleet.command("build", *fleet.signing), attack)
    assert (environment, published) == (snapshot(fleet.command.cwd), fleet.published())


def test_another_version_heals(fleet: Fleet) -> None:
    """Who may build gets what the requirements allow besides; the revoked archive is led to no more."""
    fleet.command.write("requirements.txt", "alpha\n")
    fleet.command.ok("ensure", "--no-build")
    fleet.revoke(PACKAGE)
    fleet.command.write("constraints.txt", "alpha != 2.0\n")
    assert "built    2 packages" in fleet.command.ok("ensure", "-c", "constraints.txt", *fleet.signing).out
    assert list((fleet.command.cwd / ".venv").glob("lib/*/site-packages/alpha-1.0.dist-info"))
    assert "kept" in fleet.command.ok("ensure", "-c", "constraints.txt", "--no-build").out


def test_revoking_needs_no_signatures(fleet: Fleet) -> None:
    """With the line ``anybody`` everything counts but what is revoked."""
    fleet.trust.write_text("anybody\n")
    fleet.command.ok("ensure", "--no-build", "-r", "other.txt")
    fleet.revoke(PACKAGE)
    assert "kept" in fleet.command.ok("ensure", "--no-build", "-r", "other.txt").out
    assert 8 == fleet.command("ensure", "--no-build").code


def test_nobody_knows_what_an_environment_holds(fleet: Fleet) -> None:
    """One whose manifest is gone is not kept once anything is revoked: it is made anew."""
    fleet.command.ok("ensure", "--no-build", "-r", "other.txt")
    (fleet.command.cwd / ".venv/.terrastore/manifest.json").unlink()
    assert "kept" in fleet.command.ok("ensure", "--no-build", "-r", "other.txt").out
    fleet.revoke(PACKAGE)
    result = fleet.command.ok("ensure", "--no-build", "-r", "other.txt")
    assert "fetched" in result.out
    assert "it has no .terrastore/manifest.json" in result.err
    assert "kept" in fleet.command.ok("ensure", "--no-build", "-r", "other.txt").out
