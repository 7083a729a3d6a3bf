"""An environment that was built goes to S3 whole or not at all, and what hinders that is told."""

from __future__ import annotations

import json
import random
import signal
import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from tests import faults
from tests.conftest import CommandLine, make_wheel
from tests.end_to_end.test_bad_input import snapshot
from tests.wire import FOREVER, Wire

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import S3Server

MEBIBYTE = 1024 * 1024
PARTS = 3


@pytest.fixture(scope="module")
def large_wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a distribution that takes an upload of several parts."""
    folder = tmp_path_factory.mktemp("large")
    noise = random.Random(5)
    make_wheel(folder, "large", "1.0", {f"large/{number}.bin": noise.randbytes(10 * MEBIBYTE) for number in range(4)})
    return folder


@pytest.fixture
def wire(moto: S3Server) -> Iterator[Wire]:
    with Wire(moto.endpoint) as wire:
        yield wire


@pytest.fixture
def builder(cli: CommandLine, moto: S3Server, wire: Wire, large_wheels: Path) -> CommandLine:
    """Return a command line that builds something large for an empty bucket behind the wire."""
    bucket = empty_bucket(moto.client())
    cli.env |= moto.variables() | {
        "AWS_ENDPOINT_URL": wire.url,
        "PIP_FIND_LINKS": str(large_wheels),
        "TERRASTORE_NO_SEED": "1",
        "TERRASTORE_STORE": f"s3://{bucket}/envs",
    }
    cli.write("requirements.txt", "large\n")
    return cli


def empty_bucket(client: Any) -> str:
    bucket = f"bucket-{uuid4().hex}"
    client.create_bucket(Bucket=bucket)
    return bucket


def everything(server: S3Server, store: str) -> list[str]:
    """Return what is in a store's bucket but leases and marks of use, and which uploads are unfinished there."""
    client, bucket = server.client(), store.split("/")[2]
    objects = client.list_objects_v2(Bucket=bucket).get("Contents", ())
    uploads = client.list_multipart_uploads(Bucket=bucket).get("Uploads", ())
    kinds = (each["Key"].removeprefix("envs/v1/").split("/")[0] for each in (*objects, *uploads))
    return sorted(kind for kind in kinds if kind not in {"leases", "uses"})


def test_who_may_only_read_builds_for_themselves(cli: CommandLine, radosgw: S3Server) -> None:
    """That the store takes nothing is a warning; with --require-publish it is an error, and nothing is exchanged."""
    client = radosgw.client()
    bucket = empty_bucket(client)
    grant = {
        "Effect": "Allow",
        "Principal": {"AWS": ["arn:aws:iam:::user/reader"]},
        "Action": ["s3:GetObject", "s3:ListBucket"],
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
    }
    client.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [grant]}))
    store = f"s3://{bucket}/envs"
    cli.env |= radosgw.variables(reader=True) | {"TERRASTORE_STORE": store, "TERRASTORE_NO_SEED": "1"}
    cli.write("requirements.txt", "beta\n")
    built = cli.ok("ensure", "--json").json
    assert ("built", None) == (built["outcome"], built["store"])
    (warning,) = built["warnings"]
    assert warning.startswith(f"not published: {store} refuses to write v1/archives/")
    before = snapshot(cli.cwd)
    required = cli("ensure", "--require-publish", "--rebuild")
    assert 7 == required.code
    assert f"terrastore: error: {store} refuses to write v1/leases/" in required.err
    assert "terrastore: hint: allow it to these credentials; docs/iam has policies" in required.err
    assert before == snapshot(cli.cwd)
    assert [] == everything(radosgw, store)


def test_an_upload_that_breaks_half_way(builder: CommandLine, moto: S3Server, wire: Wire) -> None:
    """The environment is there all the same; in the store nothing is left of it."""
    wire.fault(faults.ACCESS_DENIED, operation="UploadPart", after=1, times=FOREVER)
    built = builder.ok("ensure", "--json").json
    assert ("built", None) == (built["outcome"], built["store"])
    assert [True] == ["refuses to write v1/archives/" in warning for warning in built["warnings"]]
    assert (builder.cwd / ".venv/bin/python").exists()
    assert [] == everything(moto, builder.env["TERRASTORE_STORE"])


def test_a_pointer_that_cannot_be_written(builder: CommandLine, moto: S3Server, wire: Wire) -> None:
    """build fails then; the archive is there, unfinished is nothing."""
    wire.fault(faults.INTERNAL_ERROR, operation="PutObject", path="/pointers/", times=FOREVER)
    failed = builder("build")
    assert 6 == failed.code
    assert "failed to write v1/pointers/" in failed.err
    assert ["archives"] == everything(moto, builder.env["TERRASTORE_STORE"])


def test_an_upload_that_is_interrupted(builder: CommandLine, moto: S3Server, wire: Wire) -> None:
    """Whoever stops it in the middle leaves nothing in the store."""
    wire.fault(faults.Late(1), operation="UploadPart", times=FOREVER)
    process = builder.start("build")
    while "UploadPart" not in wire.operations:
        assert process.poll() is None
        time.sleep(0.01)
    process.terminate()
    _, told = process.communicate(timeout=30)
    assert 130 == process.returncode
    assert "Traceback" not in told
    assert [] == everything(moto, builder.env["TERRASTORE_STORE"])


def test_who_interrupts_does_not_wait_for_a_silent_store(builder: CommandLine, wire: Wire) -> None:
    """A store that takes parts and says nothing keeps nobody: the process ends within seconds."""
    wire.fault(faults.silence, operation="UploadPart", times=FOREVER)
    process = builder.start("build")
    while "UploadPart" not in wire.operations:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=15)
    assert (130, "terrastore: interrupted") == (process.returncode, told.strip().splitlines()[-1])


def test_replies_that_are_lost(builder: CommandLine, moto: S3Server, wire: Wire) -> None:
    """What the store did without our hearing of it counts: one archive, one pointer, and no word of it."""
    for operation in ("UploadPart", "CompleteMultipartUpload", "PutObject"):
        wire.fault(faults.lose_reply, operation=operation)
    built = builder.ok("build", "--json").json
    assert ("built", []) == (built["outcome"], built["warnings"])
    assert PARTS < wire.operations.count("UploadPart")
    assert ["archives", "pointers"] == everything(moto, builder.env["TERRASTORE_STORE"])
    assert "fetched" == builder.ok("ensure", "--no-build", "--json").json["outcome"]
