"""A person reads one line and a program one object; both say what came of a run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from terrastore.cli.messages import near, outcome_json, outcome_line, print_error, print_json
from terrastore.cli.progress import TerminalReport
from terrastore.errors import HostError, TerrastoreError
from terrastore.key import EnvKey
from terrastore.report import Report
from terrastore.run import BUILT, FETCHED, KEPT, Outcome

if TYPE_CHECKING:
    from pathlib import Path

KEY = EnvKey("cp311-linux_x86_64-3f9c0a71" + "0" * 32)
SHORT = "(cp311-linux_x86_64-3f9c0a71)"
STORE = "s3://acme-envs/web"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("{here}/.venv", ".venv"),
        ("{here}/deploy/env", "deploy/env"),
        ("{here}", "."),
        ("{here}/deploy/../.venv", ".venv"),
        (".venv", ".venv"),
        ("{above}", "{above}"),
        ("{above}/beside", "{above}/beside"),
        ("{here}2/.venv", "{here}2/.venv"),
        ("/srv/env", "/srv/env"),
        ("{here}/..env", "..env"),
    ],
)
def test_near(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, expected: str) -> None:
    """A path below the working directory is told from there, any other as it is."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    assert expected.format(here=here, above=tmp_path) == near(path.format(here=here, above=tmp_path))


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        pytest.param(
            Outcome(outcome=KEPT, key=KEY, target="/srv/.venv"),
            f"kept     .venv is what requirements.txt asks for  {SHORT}",
            id="kept",
        ),
        pytest.param(
            Outcome(outcome=KEPT, key=KEY, target=None, store=STORE),
            f"kept     {STORE} has what requirements.txt asks for  {SHORT}",
            id="kept in the store",
        ),
        pytest.param(
            Outcome(outcome=FETCHED, key=KEY, target="/srv/.venv", store=STORE, packages=74, bytes_fetched=68_600_000),
            f"fetched  74 packages, 68.6 MB from {STORE} in 14.2 s → .venv  {SHORT}",
            id="fetched",
        ),
        pytest.param(
            Outcome(outcome=FETCHED, key=KEY, target="/srv/.venv", store=STORE, packages=1, bytes_fetched=999),
            f"fetched  1 package, 999 bytes from {STORE} in 14.2 s → .venv  {SHORT}",
            id="fetched one",
        ),
        pytest.param(
            Outcome(outcome=FETCHED, key=KEY, target=None, store=STORE, packages=2, bytes_fetched=2_000),
            f"fetched  2 packages, 2.0 kB from {STORE} in 14.2 s  {SHORT}",
            id="fetched to nowhere",
        ),
        pytest.param(
            Outcome(outcome=BUILT, key=KEY, target="/srv/.venv", store=STORE, packages=74),
            f"built    74 packages in 14.2 s → .venv, published to {STORE}  {SHORT}",
            id="built",
        ),
        pytest.param(
            Outcome(outcome=BUILT, key=KEY, target="/srv/.venv", packages=1),
            f"built    1 package in 14.2 s → .venv, not published  {SHORT}",
            id="built and not published",
        ),
        pytest.param(
            Outcome(outcome=BUILT, key=KEY, target=None, store=STORE, packages=74),
            f"built    74 packages in 14.2 s, published to {STORE}  {SHORT}",
            id="built for the store",
        ),
        pytest.param(
            Outcome(outcome=BUILT, key=KEY, target=None, packages=0),
            f"built    0 packages in 14.2 s, not published  {SHORT}",
            id="built for nothing",
        ),
    ],
)
def test_outcome_line(outcome: Outcome, expected: str) -> None:
    """One line says what was done, with how much, from or to where, in what time, and under which key."""
    assert expected == outcome_line(outcome, shown=".venv", asked="requirements.txt", seconds=14.24)


def test_outcome_json() -> None:
    """A program gets everything under the names it was promised, times in seconds by phase."""
    report = Report()
    report.seconds = {"fetch": 0.123456, "unpack": 2.0}
    report.warn("a lease could not be taken")
    outcome = Outcome(
        outcome=FETCHED,
        key=KEY,
        target="/srv/.venv",
        store=STORE,
        packages=74,
        bytes_fetched=68_600_000,
        layers_fetched=3,
        layers_total=76,
        retired="/srv/.venv.old",
    )
    assert {
        "schema": 1,
        "outcome": "fetched",
        "key": KEY.text,
        "target": "/srv/.venv",
        "store": STORE,
        "packages": 74,
        "bytes_fetched": 68_600_000,
        "layers_fetched": 3,
        "layers_total": 76,
        "switched": False,
        "seconds": {"fetch": 0.123, "unpack": 2.0},
        "warnings": ["a lease could not be taken"],
    } == json.loads(json.dumps(outcome_json(outcome, report)))


@pytest.mark.parametrize("outcome", [KEPT, FETCHED, BUILT])
def test_outcome_json_has_every_key_every_time(outcome: str) -> None:
    """No key is left out because there is nothing to say."""
    promised = (
        "schema outcome key target store packages bytes_fetched layers_fetched layers_total switched seconds warnings"
    )
    found = outcome_json(Outcome(outcome=outcome, key=KEY, target=None), Report())
    assert promised.split() == list(found)
    assert (outcome, None, None) == (found["outcome"], found["target"], found["store"])


def test_print_json(capsys: pytest.CaptureFixture[str]) -> None:
    """An object is one line of standard output, and text stays readable."""
    print_json({"target": "/srv/café"})
    assert ('{"target": "/srv/café"}\n', "") == capsys.readouterr()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(
            HostError("there is no 3.99", hint="install one"),
            "terrastore: error: there is no 3.99\nterrastore: hint: install one\n",
            id="with a hint",
        ),
        pytest.param(TerrastoreError("broken"), "terrastore: error: broken\n", id="without"),
    ],
)
def test_print_error(capsys: pytest.CaptureFixture[str], error: TerrastoreError, expected: str) -> None:
    """What went wrong and what to do about it go to standard error, nothing to standard output."""
    print_error(error, as_json=False, verbose=False)
    assert ("", expected) == capsys.readouterr()


def test_what_a_store_says_draws_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever can write to a store has no hand on the terminals of those who read it."""
    said = "one\x1b]0;title\x07\rtwo\x9b31m"
    print_error(TerrastoreError(f"first {said}\nsecond {said}", hint=said), as_json=False, verbose=False)
    report = TerminalReport(quiet=0)
    report.warn(said)
    report.remark(said)
    report.close()
    lines = capsys.readouterr().err.splitlines()
    assert 5 == len(lines)
    assert all(line.isprintable() for line in lines)


def test_print_error_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """A program gets the error as an object besides."""
    print_error(HostError("there is no 3.99", hint="install one"), as_json=True, verbose=False)
    out, err = capsys.readouterr()
    assert {
        "schema": 1,
        "error": {"kind": "host", "message": "there is no 3.99", "hint": "install one"},
    } == json.loads(out)
    assert "terrastore: error: there is no 3.99\nterrastore: hint: install one\n" == err


def test_print_error_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    """Who asks for more gets the traceback first, the message last."""
    try:
        raise HostError("there is no 3.99")
    except HostError as error:
        print_error(error, as_json=False, verbose=True)
    out, err = capsys.readouterr()
    assert "" == out
    assert err.startswith("Traceback")
    assert "test_print_error_with_its_traceback" in err
    assert err.endswith("terrastore: error: there is no 3.99\n")
