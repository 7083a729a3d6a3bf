"""Publishers to S3 that are killed while they upload: nothing wrong is there, and the next one tidies up."""

from __future__ import annotations

import json
import os
import random
import shutil
import tempfile
import threading
import time
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from tests import faults
from tests.conftest import CommandLine, command_line, make_wheel
from tests.processes import PATIENCE, until
from tests.wire import FOREVER, Exchange, Wire

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from tests.servers import S3Server

MEBIBYTE = 1024 * 1024
KILLS = int(os.environ.get("KILLS", "4"))
"""How many of each kind are killed: 40 before a release."""


@dataclass
class Site:
    """A command line that builds something of three parts, a bucket behind a wire, and a directory that has it."""

    cli: CommandLine
    server: S3Server
    wire: Wire
    full: Path

    def __post_init__(self) -> None:
        self.bucket = f"bucket-{uuid4().hex}"
        self.client = self.server.client()
        self.client.create_bucket(Bucket=self.bucket)
        self.url = f"s3://{self.bucket}/envs"
        self.cli.env |= self.server.variables() | {"TERRASTORE_NO_SEED": "1", "TERRASTORE_STORE": self.url}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a run through the wire, and return it when its upload has begun, or it has ended."""
        self.wire.requests.clear()
        self.cli.env["AWS_ENDPOINT_URL"] = self.wire.url
        process = self.cli.start(*arguments)
        until(lambda: "CreateMultipartUpload" in self.wire.operations or process.poll() is not None)
        return process

    def uploads(self) -> list[Any]:
        """Return what is unfinished."""
        return list(self.client.list_multipart_uploads(Bucket=self.bucket).get("Uploads", ()))

    def objects(self, kind: str) -> list[str]:
        """Return the names of all objects of a kind."""
        found = self.client.list_objects_v2(Bucket=self.bucket, Prefix=f"envs/v1/{kind}/")
        return [each["Key"] for each in found.get("Contents", ())]

    def forget(self) -> None:
        """Remove every pointer and archive."""
        for name in (*self.objects("pointers"), *self.objects("archives")):
            self.client.delete_object(Bucket=self.bucket, Key=name)

    def verify(self) -> None:
        """Check that the environment is there and whole."""
        (pointer,) = self.objects("pointers")
        variables = {"AWS_ENDPOINT_URL": self.server.endpoint, "TERRASTORE_STORE": self.url}
        self.cli.ok("verify", Path(pointer).stem, **variables)

    def check(self) -> None:
        """Check that the store has what was asked for, whole, and nothing else."""
        self.verify()
        assert 1 == len(self.objects("archives"))
        assert [] == self.uploads()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """Return a command line whose store in a directory has something large."""
    folder = tmp_path_factory.mktemp("large")
    noise = random.Random(6)
    make_wheel(folder, "large", "1.0", {f"large/{number}.bin": noise.randbytes(12 * MEBIBYTE) for number in range(3)})
    with command_line(tmp_path_factory.mktemp("killed") / "home", folder) as cli:
        cli.write("requirements.txt", "large\n")
        cli.ok("build", "--no-seed")
        yield cli


@pytest.fixture(params=["moto", "radosgw"])
def site(filled: CommandLine, request: pytest.FixtureRequest) -> Iterator[Site]:
    """Return an empty bucket, on each server."""
    env = dict(filled.env)
    server: S3Server = request.getfixturevalue(request.param)
    with Wire(server.endpoint) as wire:
        yield Site(filled, server, wire, filled.store)
    filled.env = env


@pytest.mark.parametrize("kind", ["builders", "those who fill a nearer store"])
def test_killed_at_random_while_uploading(site: Site, kind: str) -> None:
    """The store has it whole or has it not; whoever publishes next discards the parts of all that were killed."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    print(f"seed {seed}")
    arguments: tuple[str, ...] = ("build",)
    if kind != "builders":
        site.cli.env["TERRASTORE_STORE"] = f"{site.url} {site.full}"
        arguments = ("ensure", "--no-build", "--target", "env")
    site.wire.fault(faults.Late(0.3), operation="UploadPart", times=FOREVER)
    left = 0
    kills = KILLS if kind != "builders" else KILLS // 2
    for _ in range(kills):
        process = site.start(*arguments)
        time.sleep(chance.uniform(0, 1))
        process.kill()
        process.communicate()
        shutil.rmtree(site.cli.cwd / "env", ignore_errors=True)
        if site.objects("pointers"):
            site.verify()
            site.forget()
        left = max(left, len(site.uploads()))
    print(f"{left} uploads were left of {kills} that were killed")
    time.sleep(1)  # what was on its way when they were killed still arrives
    site.forget()
    told = site.start(*arguments, "--json")
    out, errors = told.communicate(timeout=PATIENCE)
    assert (0, []) == (told.returncode, json.loads(out)["warnings"]), errors
    site.check()


@pytest.mark.parametrize("rebuild", [False, True], ids=["", "rebuild"])
@pytest.mark.parametrize("site", ["radosgw"], indirect=True)
def test_who_lives_and_is_late_takes_what_was_published(site: Site, rebuild: bool) -> None:
    """The upload of one who hangs is discarded by the quicker one; once it goes on it ends well, and leaves nothing."""
    go_on = threading.Event()

    def hang(exchange: Exchange) -> None:
        go_on.wait(PATIENCE)
        exchange.forward()

    site.wire.fault(hang, operation="UploadPart", times=FOREVER)
    options = ("--wait", "0", "--json", *(("--rebuild",) if rebuild else ()))
    if rebuild:
        site.cli.ok("build")
    slow = site.start("build", *options)
    cache = tempfile.mkdtemp(prefix="ts-")
    try:
        site.cli.ok("build", *options, AWS_ENDPOINT_URL=site.server.endpoint, TERRASTORE_CACHE_DIR=cache)
    finally:
        go_on.set()
        shutil.rmtree(cache)
    (pointer,) = site.objects("pointers")
    published = site.client.get_object(Bucket=site.bucket, Key=pointer)["Body"].read()
    out, errors = slow.communicate(timeout=PATIENCE)
    assert (0, []) == (slow.returncode, json.loads(out)["warnings"]), errors
    refused = [each.operation for each in site.wire.requests if each.status == HTTPStatus.NOT_FOUND]
    assert {"UploadPart", "CompleteMultipartUpload"} & set(refused)
    assert published == site.client.get_object(Bucket=site.bucket, Key=pointer)["Body"].read()
    assert [] == site.uploads()
    assert (2 if rebuild else 1) == len(site.objects("archives"))
