"""S3 fails while an environment is built and published: this machine has its environment, and the store stays whole."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from tests import documented, faults
from tests.conftest import CommandLine, command_line
from tests.wire import FOREVER, Wire

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import S3Server
    from tests.wire import Fault

LEASE, ARCHIVE, POINTER = "/leases/", "/archives/", "/pointers/"
AT_ONCE = 4

ALL = ("archives", "leases", "pointers")
WITHOUT_LEASE = ("archives", "pointers")
WITHOUT_POINTER = ("archives", "leases")
NOT_TOLD = "other machines cannot be told of this build, and may build too"
NOT_PUBLISHED = "not published"


@dataclass(frozen=True)
class Case:
    """A fault that befalls a request; what the user is told, "" for nothing, and what is in the store then."""

    fault: Fault
    path: str
    times: float = FOREVER
    told: str = ""
    left: tuple[str, ...] = ALL
    operation: str = "PutObject"


WRITING = {
    "a lease whose reply is lost": Case(faults.lose_reply, LEASE, 1),
    "a lease whose every reply is lost": Case(faults.lose_reply, LEASE, told=NOT_TOLD),
    "a lease that collides": Case(faults.CONFLICT, LEASE, 2),
    "a lease that fails twice": Case(faults.SLOW_DOWN, LEASE, 2),
    "a lease that fails for ever": Case(faults.INTERNAL_ERROR, LEASE, told=NOT_TOLD, left=WITHOUT_LEASE),
    "a lease that is refused": Case(faults.ACCESS_DENIED, LEASE, told=NOT_TOLD, left=WITHOUT_LEASE),
    "a lease that is never answered": Case(faults.silence, LEASE, told=NOT_TOLD, left=WITHOUT_LEASE),
    "a lease that cannot be read": Case(
        faults.INTERNAL_ERROR, LEASE, told=NOT_TOLD, left=WITHOUT_LEASE, operation="GetObject"
    ),
    "a lease that is a page": Case(faults.page(200), LEASE, told=NOT_TOLD, left=WITHOUT_LEASE, operation="GetObject"),
    "an archive whose reply is lost": Case(faults.lose_reply, ARCHIVE, 1),
    "an archive that collides": Case(faults.CONFLICT, ARCHIVE, 1),
    "an archive that fails twice": Case(faults.SLOW_DOWN, ARCHIVE, 2),
    "an archive that fails for ever": Case(faults.SLOW_DOWN, ARCHIVE, told=NOT_PUBLISHED, left=("leases",)),
    "an archive that is refused": Case(faults.ACCESS_DENIED, ARCHIVE, told=NOT_PUBLISHED, left=("leases",)),
    "an archive whose connection breaks": Case(faults.Reset(100), ARCHIVE, 2),
    "an archive that is never answered": Case(faults.silence, ARCHIVE, told=NOT_PUBLISHED, left=("leases",)),
    "a pointer whose reply is lost": Case(faults.lose_reply, POINTER, 1),
    "a pointer that collides": Case(faults.CONFLICT, POINTER, 1),
    "a pointer that fails twice": Case(faults.INTERNAL_ERROR, POINTER, 2),
    "a pointer that fails for ever": Case(faults.INTERNAL_ERROR, POINTER, told=NOT_PUBLISHED, left=WITHOUT_POINTER),
    "a pointer that is refused": Case(faults.ACCESS_DENIED, POINTER, told=NOT_PUBLISHED, left=("leases",)),
    "a pointer that is redirected": Case(
        faults.redirect("http://127.0.0.1:9/"), POINTER, told=NOT_PUBLISHED, left=("leases",)
    ),
}


@dataclass(frozen=True)
class Outcome:
    """What --json and people were told, what was in the store then, and what the next machine did."""

    told: Any
    errors: str
    left: tuple[str, ...]
    next: str


def perform(project: CommandLine, server: S3Server, case: Case) -> Outcome:
    """Ensure with a fault what is nowhere, and then on another machine without one."""
    prefix = uuid4().hex
    store = f"s3://{server.bucket}/{prefix}"
    arguments = ("ensure", "--json", "--store", store, "--salt", prefix)
    with Wire(server.endpoint) as wire:
        wire.fault(case.fault, operation=case.operation, path=case.path, times=case.times)
        variables = server.variables() | {
            "AWS_ENDPOINT_URL": wire.url,
            "TERRASTORE_CACHE_DIR": f"{project.home}/{prefix}",
        }
        result = project.ok(*arguments, "--target", f"{prefix}-first", **variables)
    objects = server.client().list_objects_v2(Bucket=server.bucket, Prefix=prefix).get("Contents", ())
    left = tuple(sorted({each["Key"].split("/")[2] for each in objects} - {"uses"}))
    then = project.ok(*arguments, "--target", f"{prefix}-next", **server.variables())
    return Outcome(result.json, result.err, left, then.json["outcome"])


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Iterator[CommandLine]:
    with command_line(tmp_path_factory.mktemp("writing") / "home", wheels) as command:
        command.write("requirements.txt", "alpha==1.0\n")
        command.env["TERRASTORE_NO_SEED"] = "1"
        yield command


@pytest.fixture(scope="module")
def outcomes(project: CommandLine, moto: S3Server) -> Iterator[dict[str, Future[Outcome]]]:
    """Return what came of all cases; they run in the shadow of those who wait."""
    slowest_first = sorted(WRITING.items(), key=lambda item: item[1].fault is not faults.silence)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {name: pool.submit(perform, project, moto, case) for name, case in slowest_first}


@pytest.mark.parametrize("case", WRITING)
def test_a_fault_while_writing(outcomes: dict[str, Future[Outcome]], case: str) -> None:
    """It is built here whatever the store does; the next machine fetches what was published, or builds."""
    expected, outcome = WRITING[case], outcomes[case].result()
    published = "pointers" in expected.left
    assert ("built", published) == (outcome.told["outcome"], outcome.told["store"] is not None)
    said = [line for line in outcome.errors.splitlines() if line.startswith((NOT_TOLD, "terrastore: "))]
    assert bool(expected.told) == len(said)
    assert all(expected.told in line for line in said)
    assert (expected.told == NOT_PUBLISHED) == bool(outcome.told["warnings"])
    assert expected.left == outcome.left
    assert ("fetched" if published else "built") == outcome.next


def test_the_faults_are_documented() -> None:
    """docs/reliability.md lists them with what is told and what is in the store."""
    rows = [(name, f"`{case.told}`" if case.told else "", ", ".join(case.left)) for name, case in WRITING.items()]
    header = ("what goes wrong", "the user is told", "what the store has then")
    documented.check("reliability.md", "writing S3", header, rows)
