"""Whom to trust is said by whoever runs a machine: neither by a project nor by a file that cannot be read as it is."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest

from tests.conftest import command_line
from tests.end_to_end.attacker import Attack, Files, Site, pointer, refused, snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.conftest import CommandLine


@dataclass(frozen=True)
class Said:
    """A text and the file that it is in, a project's or a user's; ``trust`` is what --trust names, None for nothing.

    In texts ``CI`` and ``MALLORY`` stand for lines of trust files.
    """

    text: str
    file: str = "home/trust"
    trust: str | None = "home/trust"


OF_A_USER: Final = "home/.config/terrastore/terrastore.toml"
OF_A_PROJECT: Final = "a project cannot set "
SAID: Final[Mapping[Attack, Said]] = {
    Attack("a project's `pyproject.toml` names a trust file", 2, f"{OF_A_PROJECT}trust"): Said(
        "[tool.terrastore]\ntrust = '/mallory'\n", "home/project/pyproject.toml", None
    ),
    Attack("a project's `terrastore.toml` names a trust file", 2, f"{OF_A_PROJECT}trust"): Said(
        "trust = 'mallory'\n", "home/project/terrastore.toml", None
    ),
    Attack("a project names its realm", 2, f"{OF_A_PROJECT}realm"): Said(
        "[tool.terrastore]\nrealm = 'staging'\n", "home/project/pyproject.toml"
    ),
    Attack("a project names its signer", 2, f"{OF_A_PROJECT}signer"): Said(
        "signer = ['awskms:arn:aws:kms:eu-west-1:123456789012:alias/mallory']\n", "home/project/terrastore.toml"
    ),
    Attack("a user's settings name a trust file from the working directory on", 2, "is a relative path"): Said(
        "trust = 'trust'\n", OF_A_USER, None
    ),
    Attack("`--trust` with an empty variable of a script", 2, "--trust names no file"): Said("CI", trust=""),
    Attack("a trust file that is not there", 2, "cannot be read: no such file or directory"): Said(
        "CI", trust="home/nowhere"
    ),
    Attack("a trust file that cannot be read", 2, "cannot be read: is a directory"): Said("CI", trust="home"),
    Attack("a trust file that is no text", 2, "cannot be read: 'utf-8' codec"): Said("CI\n\udcff"),
    Attack("a line that nobody understands", 2, "line 2: that is no line of a trust file"): Said(
        "CI\ntrust everybody\n"
    ),
    Attack("a key for something else", 2, "line 1: that is no line of a trust file"): Said(
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHl9 me\n"
    ),
    Attack("half a key", 2, "line 2: the key new is not the base64 of 32 bytes"): Said(
        "CI\ned25519 new VBRdzPobpC53ElnPhiIgPqcY\n"
    ),
    Attack("a key that is there twice, so that one line lifts what the other one limits", 2, "is there twice"): Said(
        "CI not-after=2020-01-01\nCI\n"
    ),
    Attack("a period that is none", 2, "line 1: until=2999-01-01 is neither not-before=TIME nor"): Said(
        "CI until=2999-01-01\n"
    ),
    Attack("a revocation of nothing", 2, "line 2: alpha;python_version>'3 is neither a project with"): Said(
        "CI\nrevoke alpha; python_version>'3'\n"
    ),
    Attack("an empty trust file", 8, "names has signed it", "nobody whom it names has signed it"): Said(""),
    Attack("a remark that hides a line from who reads it", 8, "names has signed it", "it is a remark to its end"): Said(
        "MALLORY # our CI\u2028anybody\n"
    ),
}
ATTACKS: Final[Mapping[str, tuple[Attack, ...]]] = {"test_nobody_else_says_whom_to_trust": tuple(SAID)}


@pytest.fixture(scope="module")
def machine(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """Return a machine with an environment, whose store has another one."""
    folder = tmp_path_factory.mktemp("machine")
    with command_line(folder / "home", folder) as command:
        site.machine(command)
        site.fill(Files(command.store))
        command.ok("ensure", "--no-build", "-r", "other.txt")
        yield command


@contextmanager
def written(command: CommandLine, site: Site, said: Said) -> Iterator[None]:
    place = command.home.parent / said.file
    place.parent.mkdir(parents=True, exist_ok=True)
    text = said.text.replace("CI", site.ci.line).replace("MALLORY", site.mallory.line)
    place.write_bytes(text.encode(errors="surrogateescape"))
    yield
    place.unlink()


@pytest.mark.parametrize("attack", SAID, ids=str)
def test_nobody_else_says_whom_to_trust(machine: CommandLine, site: Site, attack: Attack) -> None:
    """The run ends before anything is asked for or written; the environment that was there stays."""
    said = SAID[attack]
    trust = None if said.trust is None else said.trust and str(machine.home.parent / said.trust)
    options = () if trust is None else ("--trust", trust)
    with written(machine, site, said):
        before = snapshot(machine.home, machine.cache)
        refused(machine("ensure", "--no-build", *options), attack)
        refused(machine("verify", site.key, *options), attack)
        assert before == snapshot(machine.home, machine.cache)


@pytest.mark.parametrize("command", ["build", "why", "sign KEY --signer FILE", "show KEY", "doctor"])
def test_every_command_reads_the_trust_file(machine: CommandLine, site: Site, command: str) -> None:
    """A file that cannot be read as it is ends each of them with 2, and the store stays as it is."""
    arguments = command.replace("KEY", site.key).replace("FILE", str(site.ci.file)).split()
    with written(machine, site, Said("trust everybody\n")):
        before = Files(machine.store).all()
        result = machine(*arguments, "--trust", str(machine.home / "trust"))
        assert 2 == result.code
        assert "trust, line 1: that is no line of a trust file" in result.err + result.out
        assert before == Files(machine.store).all()


USELESS: Final[Mapping[str, tuple[str, tuple[str, ...], str]]] = {
    "a key that lapsed": ("CI not-after=2020-01-01\n", (), "nothing signed here would count by "),
    "a key that does not count yet": ("CI not-before=2999-01-01\n", (), "the key ci counts from 2999-01-01"),
    "a key that is not named": ("MALLORY\n", (), "does not name the key "),
    "a time that no calendar has": ("CI\n", ("--expires", "99999999d"), "--expires names a time after the year 9999"),
    "a realm that draws on terminals": ("CI\n", ("--realm", "a\x1b[31mb"), "is no name for a realm"),
    "a realm that has no room in a pointer": ("CI\n", ("--realm", "x" * 4000), "is no name for a realm"),
}


@pytest.mark.parametrize("what", USELESS)
def test_nothing_is_built_that_could_not_count(machine: CommandLine, site: Site, what: str) -> None:
    """Who could not vouch for it is told before it is built."""
    text, options, message = USELESS[what]
    with written(machine, site, Said(text)):
        before = Files(machine.store).all()
        signing = ("--trust", str(machine.home / "trust"), "--signer", str(site.ci.file))
        result = machine("build", "--rebuild", *signing, *options)
        assert (2, True) == (result.code, message in result.err), result.err
        assert "\x1b" not in result.err
        now = {name: data for name, data in Files(machine.store).all().items() if not name.startswith("v1/leases/")}
        assert now == {name: data for name, data in before.items() if not name.startswith("v1/leases/")}


def test_a_new_key_may_sign_before_it_counts(machine: CommandLine, site: Site) -> None:
    """Beside one that does: so keys are rotated."""
    keys = ("--signer", str(site.ci.file), "--signer", str(site.mallory.file))
    with written(machine, site, Said("CI\nMALLORY not-before=2999-01-01\n")):
        signed = machine.ok("sign", site.key, *keys, "--trust", str(machine.home / "trust"), "--json").json
    assert ["ci", "mallory"] == signed["environments"][0]["signers"]
    Files(machine.store).write(pointer(site.key), site.current)


def test_a_trust_file_of_the_user_counts_in_every_project(machine: CommandLine, site: Site) -> None:
    """It is what a project cannot take away, neither by a setting of its own nor by another store."""
    with (
        written(machine, site, Said("MALLORY\n")),
        written(machine, site, Said(f"trust = '{machine.home}/trust'\n", OF_A_USER)),
        written(machine, site, Said(f"store = '{machine.store}'\n", "home/project/terrastore.toml")),
    ):
        result = machine("ensure", "--no-build", TERRASTORE_STORE="")
        assert 8 == result.code
        assert "names has signed it" in result.err
