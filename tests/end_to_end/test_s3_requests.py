"""What a run asks of S3, counted between the two."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from terrastore.store.s3 import S3Store
from tests.conftest import CommandLine, command_line, make_wheel
from tests.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import S3Server

MEBIBYTE = 1024 * 1024


@pytest.fixture(scope="module")
def wire(moto: S3Server) -> Iterator[Wire]:
    with Wire(moto.endpoint) as wire:
        yield wire


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, moto: S3Server, wire: Wire) -> Iterator[CommandLine]:
    """Return a command line whose store in S3 has what it asks for, in a large archive."""
    wheels = tmp_path_factory.mktemp("large")
    noise = random.Random(4)
    for name in ("large_a", "large_b"):
        files = {f"{name}/{number}.bin": noise.randbytes(4 * MEBIBYTE) for number in range(5)}
        make_wheel(wheels, name, "1.0", files)
    with command_line(tmp_path_factory.mktemp("requests") / "home", wheels) as command:
        command.write("requirements.txt", "large-a\nlarge-b\n")
        command.env |= moto.variables() | {
            "AWS_ENDPOINT_URL": wire.url,
            "TERRASTORE_NO_SEED": "1",
            "TERRASTORE_STORE": f"s3://{moto.bucket}/requests",
        }
        command.ok("build")
        yield command


@pytest.fixture(autouse=True)
def _nothing_yet(published: CommandLine, wire: Wire) -> None:
    """Count from here."""
    wire.clear()


def archive_size(moto: S3Server) -> int:
    """Return the size of the only archive."""
    (archive,) = moto.client().list_objects_v2(Bucket=moto.bucket, Prefix="requests/v1/archives/")["Contents"]
    size: int = archive["Size"]
    return size


def test_a_hit(published: CommandLine, wire: Wire, moto: S3Server) -> None:
    """The pointer, the manifest, and the archive in as many ranges as are read at once; every byte once."""
    size = archive_size(moto)
    assert size > 30_000_000
    result = published.ok("ensure", "--no-build", "--target", "hit", "--json").json
    assert "fetched" == result["outcome"]
    print(f"{len(wire.requests)} requests for {size / MEBIBYTE:.1f} MiB")
    # Whether it is marked already that it is used, beside the rest.
    (mark,) = (request for request in wire.requests if "/v1/uses/" in request.path)
    assert ("HeadObject", 200) == (mark.operation, mark.status)
    rest = [request for request in wire.requests if request is not mark]
    assert {"GetObject"} == {request.operation for request in rest}
    assert rest[0].path.endswith(".json")
    assert rest[0] is wire.requests[0]
    assert len(rest) <= 2 + S3Store.readers
    assert size <= sum(request.bytes_out for request in rest) <= size + 4096


def test_a_miss(published: CommandLine, wire: Wire) -> None:
    """One request, for the pointer; then a listing, and two for each environment that it is compared with."""
    result = published("ensure", "--no-build", "--target", "miss", "--salt", "other")
    assert 4 == result.code
    assert ["GetObject", "ListObjectsV2", "GetObject", "GetObject"] == wire.operations
    assert [True, False, True, False] == [request.path.endswith(".json") for request in wire.requests]


def test_kept(published: CommandLine, wire: Wire) -> None:
    """None at all; what speaks to S3 is not even imported."""
    published.ok("ensure", "--no-build", "--target", "kept")
    wire.clear()
    result = published.ok("ensure", "--no-build", "--target", "kept", "--json", PYTHONPROFILEIMPORTTIME="1")
    assert "kept" == result.json["outcome"]
    assert [] == wire.requests
    imported = {line.rpartition("|")[2].strip() for line in result.err.splitlines()}
    assert "terrastore.store.s3" in imported
    assert set() == {name for name in imported if name.split(".")[0] in {"boto3", "botocore", "urllib3"}}
