"""``terrastore copy`` from bucket to bucket, as a process: what passes, what fails, and who is killed."""

from __future__ import annotations

import json
import os
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from tests import documented, faults
from tests.conftest import CommandLine, command_line, make_wheel
from tests.processes import PATIENCE, until
from tests.wire import FOREVER, Wire

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from tests.conftest import Result
    from tests.servers import S3Server
    from tests.wire import Fault

MEBIBYTE = 1024 * 1024
KILLS = int(os.environ.get("KILLS", "4"))
"""How many copies are killed: 40 before a release."""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """Return a command line whose store in a directory has something of several parts."""
    folder = tmp_path_factory.mktemp("large")
    noise = random.Random(7)
    make_wheel(folder, "large", "1.0", {f"large/{number}.bin": noise.randbytes(12 * MEBIBYTE) for number in range(3)})
    with command_line(tmp_path_factory.mktemp("promoted") / "home", folder) as cli:
        cli.env["TERRASTORE_NO_SEED"] = "1"
        cli.write("requirements.txt", "large\n")
        cli.ok("build")
        yield cli


class Buckets:
    """Two buckets of a server behind a wire, of which ``staging`` has what a store in a directory has."""

    def __init__(self, cli: CommandLine, server: S3Server, wire: Wire) -> None:
        self.cli = cli
        self.wire = wire
        self.client = server.client()
        (self.key,) = (path.stem for path in cli.store.glob("v1/pointers/*"))
        self.staging, self.production = (f"{name}-{uuid4().hex}" for name in ("staging", "production"))
        for name in (self.staging, self.production):
            self.client.create_bucket(Bucket=name)
        cli.env |= server.variables() | {"AWS_ENDPOINT_URL": wire.url}
        self.stores = ("--from", f"s3://{self.staging}/web", "--to", f"s3://{self.production}/web")
        self.copied = self.cli.ok("copy", self.key, "--from", str(cli.store), "--to", self.stores[1], "--json").json
        wire.clear()

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a copy, and return it when it has asked for something."""
        self.wire.requests.clear()
        process = self.cli.start("copy", self.key, *self.stores, *arguments)
        until(lambda: bool(self.wire.requests) or process.poll() is not None)
        return process

    def run(self, *arguments: str) -> Result:
        return self.cli("copy", self.key, *self.stores, *arguments)

    def objects(self, bucket: str) -> dict[str, bytes]:
        found = self.client.list_objects_v2(Bucket=bucket).get("Contents", ())
        return {each["Key"]: self.client.get_object(Bucket=bucket, Key=each["Key"])["Body"].read() for each in found}

    def left(self) -> tuple[str, ...]:
        """Return of which kinds there is something in production."""
        return tuple(sorted({name.split("/")[2] for name in self.objects(self.production)}))

    def uploads(self) -> list[Any]:
        return list(self.client.list_multipart_uploads(Bucket=self.production).get("Uploads", ()))

    def check(self) -> None:
        """Check that production has what staging has, and nothing else."""
        assert self.objects(self.staging) == self.objects(self.production)
        assert [] == self.uploads()

    def damage(self) -> None:
        """Change a byte in the middle of staging's archive."""
        (name,) = (name for name in self.objects(self.staging) if "/archives/" in name)
        data = bytearray(self.objects(self.staging)[name])
        data[len(data) // 2] ^= 1
        self.client.put_object(Bucket=self.staging, Key=name, Body=bytes(data))


@pytest.fixture(params=["moto", "radosgw"])
def buckets(large: CommandLine, request: pytest.FixtureRequest) -> Iterator[Buckets]:
    env = dict(large.env)
    server: S3Server = request.getfixturevalue(request.param)
    with Wire(server.endpoint) as wire:
        yield Buckets(large, server, wire)
    large.env = env


def amount(wire: Wire) -> int:
    """Return how many bytes of bodies passed, both ways."""
    return sum(request.bytes_in + request.bytes_out for request in wire.requests)


def test_from_a_directory_to_s3_and_back(buckets: Buckets, tmp_path: Path) -> None:
    """What no store can do by itself goes through this machine, once, and is the same byte for byte."""
    size = buckets.copied["environments"][0]["bytes"]
    assert ("copied", False) == tuple(buckets.copied["environments"][0][name] for name in ("outcome", "server_side"))
    back = str(tmp_path / "back")
    told = buckets.cli.ok("copy", buckets.key, "--from", buckets.stores[1], "--to", back, "--json").json
    assert ("copied", False) == (told["environments"][0]["outcome"], told["environments"][0]["server_side"])
    assert size < amount(buckets.wire) < size + 200_000
    for kind in ("pointers", "archives"):
        (mine,) = (path for path in (Path(back) / "v1" / kind).rglob("*") if path.is_file())
        assert mine.read_bytes() == (buckets.cli.store / mine.relative_to(back)).read_bytes()


def test_s3_copies_by_itself(buckets: Buckets) -> None:
    """Of the archive nothing passes but its end, with the manifest; that is read on both sides."""
    told = buckets.cli.ok("copy", buckets.key, *buckets.stores, "--json").json["environments"][0]
    assert ("copied", True) == (told["outcome"], told["server_side"])
    assert told["bytes"] > 30_000_000
    assert amount(buckets.wire) < 200_000
    print(f"{len(buckets.wire.requests)} requests, {amount(buckets.wire):,} bytes: {buckets.wire.operations}")
    assert 1 == buckets.wire.operations.count("CopyObject")
    assert not {"UploadPart", "CreateMultipartUpload"} & set(buckets.wire.operations)
    assert len(buckets.wire.requests) <= 15
    buckets.check()
    buckets.wire.clear()
    assert buckets.run().out.startswith("kept ")
    assert {"GetObject"} == set(buckets.wire.operations)
    assert 5 == len(buckets.wire.requests)


def test_with_verify_it_is_read_once(buckets: Buckets) -> None:
    """Where it is then; so is what is kept."""
    size = buckets.copied["environments"][0]["bytes"]
    for outcome in ("copied", "kept"):
        buckets.wire.clear()
        assert buckets.run("--verify").out.startswith(outcome)
        assert size < amount(buckets.wire) < size + 200_000
    buckets.check()


@pytest.mark.parametrize("buckets", ["moto"], indirect=True)
def test_what_is_written_is_as_the_url_says(buckets: Buckets) -> None:
    """Parameters and headers for new objects hold for what S3 copies too."""
    destination = f"{buckets.stores[3]}?storage_class=STANDARD_IA&header=x-amz-meta-team:web"
    buckets.cli.ok("copy", buckets.key, "--from", buckets.stores[1], "--to", destination)
    assert "CopyObject" in buckets.wire.operations
    (name,) = (name for name in buckets.objects(buckets.production) if "/archives/" in name)
    head = buckets.client.head_object(Bucket=buckets.production, Key=name)
    assert ("STANDARD_IA", "application/zstd", "web") == (
        head["StorageClass"],
        head["ContentType"],
        head["Metadata"]["team"],
    )


@dataclass(frozen=True)
class Case:
    """A fault that befalls a request while S3 copies; how that ends, and what is in production then."""

    fault: Fault
    operation: str = "CopyObject"
    path: str = ""
    times: float = FOREVER
    code: int = 0
    told: str = ""
    left: tuple[str, ...] = ("archives", "pointers")

    @property
    def row(self) -> tuple[str, str, str, str]:
        times = "for ever" if self.times == FOREVER else f"{self.times} times" if self.times > 1 else "once"
        return (
            f"{self.operation}{' of the pointer' if 'pointers' in self.path else ''}, {times}",
            str(self.code),
            f"`{self.told}`" if self.told else "",
            " and ".join(self.left),
        )


POINTER = "production.*/pointers/"
FAULTS = {
    "its reply is lost": Case(faults.lose_reply, times=1),
    "it fails twice": Case(faults.SLOW_DOWN, times=2),
    "it fails for ever": Case(faults.SLOW_DOWN, code=6, told="failed to copy v1/archives/", left=()),
    "it collides": Case(faults.CONFLICT, times=1),
    "it is refused: the bytes go through this machine": Case(faults.ACCESS_DENIED),
    "it is not known: the bytes go through this machine": Case(faults.NOT_IMPLEMENTED),
    "a proxy answers": Case(faults.page(200), code=6, told="failed to copy v1/archives/", left=()),
    "the pointer is refused": Case(
        faults.ACCESS_DENIED, "PutObject", POINTER, code=7, told="refuses to write v1/pointers/", left=("archives",)
    ),
    "the pointer fails for ever": Case(
        faults.SLOW_DOWN, "PutObject", POINTER, code=6, told="failed to write v1/pointers/", left=("archives",)
    ),
    "the pointer's reply is lost": Case(faults.lose_reply, "PutObject", POINTER, times=1),
}


def test_the_faults_are_documented() -> None:
    """docs/reliability.md lists them."""
    header = ("what goes wrong", "where", "exit", "the message says", "what production has then")
    documented.check("reliability.md", "copying in S3", header, [(name, *case.row) for name, case in FAULTS.items()])


@pytest.mark.parametrize("buckets", ["moto"], indirect=True)
@pytest.mark.parametrize("fault", FAULTS)
def test_s3_fails_while_it_copies(buckets: Buckets, fault: str) -> None:
    """It ends with a code and a message, never with half a copy; and the next one does what is left."""
    case = FAULTS[fault]
    buckets.wire.fault(case.fault, operation=case.operation, path=case.path, times=case.times)
    result = buckets.run("--json")
    assert case.code == result.code, result.err
    assert case.told in result.err
    assert case.left == buckets.left()
    assert [] == buckets.uploads()
    buckets.wire.clear()
    assert 0 == buckets.run().code
    buckets.check()


@pytest.mark.parametrize("way", ["by itself", "through this machine"])
def test_what_is_corrupt_is_refused(buckets: Buckets, way: str) -> None:
    """Exit code 8, with where it is and what to do, and production has nothing of it."""
    buckets.damage()
    if way != "by itself":
        buckets.wire.fault(faults.ACCESS_DENIED, operation="CopyObject", times=FOREVER)
    refused = buckets.run("--verify")
    assert (8, "") == (refused.code, refused.out)
    assert "is not what its pointer says" in refused.err
    assert {} == buckets.objects(buckets.production)
    assert [] == buckets.uploads()


def test_two_at_once(buckets: Buckets) -> None:
    """Both end well, and production has it once."""
    processes = [buckets.start("--json") for _ in range(3)]
    ended = [(process.communicate(timeout=PATIENCE), process.returncode) for process in processes]
    assert [0] * 3 == [code for _, code in ended], ended
    outcomes = {json.loads(out)["environments"][0]["outcome"] for (out, _), _ in ended}
    assert outcomes <= {"copied", "kept"}
    buckets.check()


@pytest.mark.parametrize("way", ["by itself", "through this machine"])
def test_killed_at_random(buckets: Buckets, way: str) -> None:
    """Production has it whole or has no pointer to it; the next copy does the rest, and leaves nothing else."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    print(f"seed {seed}")
    if way != "by itself":
        buckets.wire.fault(faults.ACCESS_DENIED, operation="CopyObject", times=FOREVER)
        buckets.wire.fault(faults.Late(0.2), operation="UploadPart", times=FOREVER)
    else:
        buckets.wire.fault(faults.Late(0.2), times=FOREVER)
    for _ in range(KILLS):
        process = buckets.start()
        time.sleep(chance.uniform(0, 2))
        process.kill()
        process.communicate()
        there = buckets.objects(buckets.production)
        assert all(buckets.objects(buckets.staging)[name] == data for name, data in there.items())
        kinds = buckets.left()
        assert "pointers" not in kinds or "archives" in kinds
        for name in there:
            if "/pointers/" in name:
                buckets.client.delete_object(Bucket=buckets.production, Key=name)
    time.sleep(0.5)  # what was on its way when they were killed still arrives
    buckets.wire.clear()
    assert 0 == buckets.run().code
    if way == "by itself":
        buckets.check()
    else:
        assert buckets.objects(buckets.staging) == buckets.objects(buckets.production)
        # Whoever publishes next with parts discards what is left.
        assert all(each["Key"] in buckets.objects(buckets.production) for each in buckets.uploads())
