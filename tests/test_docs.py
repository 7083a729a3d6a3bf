"""What the documentation says of the repository is so."""

import ast
import fnmatch
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import pytest

from terrastore.cli import terrastore
from tests import documented, private_ways
from tests.end_to_end import (
    test_disk_faults,
    test_disk_full,
    test_private_indexes_pip,
    test_private_indexes_uv,
    test_shared_store,
    test_trust,
    test_trust_files,
    test_trust_poison,
    test_trust_revoked,
    test_trust_stores,
    test_vanishing_store,
)
from tests.end_to_end.attacker import Attack
from tests.end_to_end.disk import Row
from tests.hostile import attacks as hostile

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("**/*.md")])
NAMED_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")
RELOCATION = (ROOT / "docs/relocation.md").read_text()
SECURITY = (ROOT / "docs/security.md").read_text()
NUMBERED = re.compile(r"^\| (\d+) \|[^|]+\|(?P<done>[^|]+)\|(?P<tests>[^|]+)\|$", re.MULTILINE)


def defined(path: Path) -> set[str]:
    """Return the functions at the top of a module."""
    return {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_named_tests_exist(page: Path) -> None:
    """Who wants to see how something is shown finds it."""
    named = NAMED_TEST.findall(page.read_text())
    assert [] == [(file, test) for file, test in named if test not in defined(ROOT / file)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Links to files of the repository."""
    assert [] == [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]


def commands() -> Iterator[tuple[str, str]]:
    """Yield the lines that call terrastore with options, and their pages; alternatives and remarks are taken off."""
    for page in PAGES:
        for line in re.findall(r"^    (?:.*&& \S*/|\w+=\S+ )?terrastore ([^>].*)$", page.read_text(), re.MULTILINE):
            yield str(page.relative_to(ROOT)), re.split(r"\s+#|\s+\|\|? |\s+> ", line)[0]


@pytest.mark.parametrize(("page", "line"), [*commands()])
def test_every_command_shown_is_understood(page: str, line: str) -> None:
    """A command that README or docs show has a name and options that there are."""
    name, *arguments = shlex.split(line)
    known = {"-V", "--version", "-h", "--help"}
    if name not in known:
        command = terrastore.get_command(click.Context(terrastore), name)
        assert command is not None, page
        known |= {option for each in command.params if isinstance(each, click.Option) for option in each.opts}
    ours = arguments[: arguments.index("--")] if "--" in arguments else arguments
    assert set() == {each.partition("=")[0] for each in ours if each.startswith("-")} - known, page


def test_every_place_is_documented_once() -> None:
    """docs/relocation.md has the forty places in order, each with a test that shows what is done."""
    rows = list(NUMBERED.finditer(RELOCATION))
    assert list(range(1, 41)) == [int(row[1]) for row in rows]
    assert [] == [row[1] for row in rows if not NAMED_TEST.search(row["tests"])]


def test_places_are_counted() -> None:
    """As many are said to be handled as do not begin with a word to the contrary."""
    partly = [row for row in NUMBERED.finditer(RELOCATION) if row["done"].startswith(" **In part.**")]
    assert f"Of these forty rows {40 - len(partly)} are handled and tested" in RELOCATION


@pytest.mark.parametrize("heading", ["What a host must have", "What cannot move"])
def test_every_row_of_relocation_names_a_test(heading: str) -> None:
    """The other tables of docs/relocation.md too: whatever has no test is not claimed."""
    section = RELOCATION.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ") and not line.endswith("| shown by |")]
    assert [] == [row for row in rows if not NAMED_TEST.search(row) and not row.startswith("| --- ")]
    assert len(rows) > 1


DISKS: dict[str, tuple[Row, ...]] = {
    "a full disk": test_disk_full.ROWS,
    "a store that vanishes": test_vanishing_store.ROWS,
    "surroundings": tuple(case.row for case in test_disk_faults.CASES),
    "two users": test_shared_store.ROWS,
}


@pytest.mark.parametrize("table", DISKS)
def test_faults_on_disk_are_documented(table: str) -> None:
    """docs/reliability.md lists them with when they strike, how that ends and what is left."""
    header = ("what is wrong", "when", "exit", "the message says", "what is left")
    said = {row: f"`{row.message}`" if row.message else "" for row in DISKS[table]}
    rows = [(row.fault, row.phase, str(row.code), said[row], row.left) for row in DISKS[table]]
    documented.check("reliability.md", table, header, rows)


def test_ways_to_tell_a_login_are_documented() -> None:
    """docs/private-indexes.md lists them, and which installers have them."""
    ways = dict.fromkeys([*private_ways.OF_BOTH, *test_private_indexes_pip.WAYS, *test_private_indexes_uv.WAYS])
    tables = (test_private_indexes_pip.WAYS, test_private_indexes_uv.WAYS)
    rows = [(way, *("yes" if way in table else "" for table in tables)) for way in ways]
    documented.check("private-indexes.md", "ways", ("way", "pip", "uv"), rows)


ATTACKS: Mapping[str, Mapping[str, tuple[Attack, ...]]] = {
    "test_trust": test_trust.ATTACKS,
    "test_trust_files": test_trust_files.ATTACKS,
    "test_trust_revoked": test_trust_revoked.ATTACKS,
    "test_trust_poison": test_trust_poison.ATTACKS,
    "test_trust_stores": test_trust_stores.ATTACKS,
}


def test_attacks_are_documented() -> None:
    """docs/security.md lists those that are tried, with what happens."""
    rows = [
        (attack.attack, attack.told, f"`tests/end_to_end/{module}.py::{test}`")
        for module, tests in ATTACKS.items()
        for test, attacks in tests.items()
        for attack in attacks
    ]
    documented.check("security.md", "attacks", ("attack", "what happens", "test"), rows)


def test_hostile_archives_are_documented() -> None:
    """Each row names rows of the tests, or tests; each row of the tests is in one of them."""
    section = SECURITY.split("| attack | what happens | rows, tests |\n")[1].split("\n\n")[0]
    cells = [re.split(r"(?<!\\)\|", line)[3] for line in section.splitlines()[1:]]
    named = [re.findall(r"`([^`]+)`", cell) for cell in cells]
    assert len(named) > 30
    assert [] == [row for row in named if not row]
    patterns = [name for row in named for name in row if not name.startswith("tests/")]
    assert [] == [pattern for pattern in patterns if not fnmatch.filter(hostile.ATTACKS, pattern)]
    assert [] == [name for name in hostile.ATTACKS if not any(fnmatch.fnmatch(name, each) for each in patterns)]


def test_the_policy_of_a_signing_key() -> None:
    """docs/iam/signing-key.json allows builders what terrastore asks KMS for, and nothing that manages the key."""
    statements = json.loads((ROOT / "docs/iam/signing-key.json").read_text())["Statement"]
    allowed: dict[str, set[str]] = {}
    for each in statements:
        assert "Allow" == each["Effect"]
        principals, actions = (
            [found] if isinstance(found, str) else found for found in (each["Principal"]["AWS"], each["Action"])
        )
        for principal in principals:
            allowed.setdefault(principal.rpartition("/")[2], set()).update(actions)
    source = (ROOT / "terrastore/trust/kms.py").read_text()
    asked = {"".join(map(str.capitalize, name.split("_"))) for name in re.findall(r'_ask\("(\w+)"', source)}
    assert {f"kms:{action}" for action in asked} == allowed["BUILDERS"]
    assert "kms:Sign" not in allowed["KEEPERS"]
    (signing,) = [each for each in statements if each["Action"] == "kms:Sign"]
    condition = signing["Condition"]["StringEquals"]
    assert f'"{condition["kms:SigningAlgorithm"]}"' in source
    assert f'MessageType="{condition["kms:MessageType"]}"' in source
    spec = re.search(r"--key-spec (\w+)", SECURITY)
    assert spec is not None
    assert f'"{spec[1]}"' in source


def test_who_comes_from_terrarium_finds_options() -> None:
    """What docs/from-terrarium.md names instead of Terrarium's options and commands is there."""
    page = (ROOT / "docs/from-terrarium.md").read_text()
    instead = [row.split(" | ")[1] for row in re.findall(r"^\| (.+) \|$", page, re.MULTILINE)]
    options = {name for _, command in terrastore.all() for each in command.params for name in each.opts}
    said = [word for cell in instead for word in re.findall(r"(?<=[` ])--?[a-z][a-z-]*", cell)]
    assert len(said) > 15
    assert [] == [word for word in said if word not in options]
    commands = [name for cell in instead for name in re.findall(r"`terrastore (\w+)", cell)]
    assert {"ensure", "build", "key", "rollback"} == set(commands)
