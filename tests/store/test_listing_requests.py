"""How many requests it takes to see what a large store has, counted between the two."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from terrastore.publish import archive_name
from terrastore.store import layout
from tests.pruning import key, this_week
from tests.published import pointer_for, sealed
from tests.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import CommandLine
    from tests.servers import S3Server

KEYS = 2500
PAGES = math.ceil(KEYS / 1000)
LISTED = ("pointers/", "archives/", "uses/")


@pytest.fixture(scope="module")
def wire(radosgw: S3Server) -> Iterator[Wire]:
    with Wire(radosgw.endpoint) as wire:
        yield wire


@pytest.fixture(scope="module")
def prefix(radosgw: S3Server) -> str:
    """Return where a store has thousands of environments: pointers, archives that are none, and a mark each."""
    prefix, client = f"large-{uuid4().hex}", radosgw.client()

    def put(number: int) -> None:
        pointer = pointer_for(b"x", name=archive_name(), key=key(number))
        for name, data in (
            (layout.pointer(pointer.key), sealed(pointer)),
            (layout.archive(pointer.key, pointer.archive.name), b"x"),
            (layout.use(this_week(), pointer.key), b""),
        ):
            client.put_object(Bucket=radosgw.bucket, Key=f"{prefix}/{name}", Body=data)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, range(KEYS)))
    return prefix


@pytest.fixture
def large(cli: CommandLine, radosgw: S3Server, wire: Wire, prefix: str) -> CommandLine:
    """Return a command line with that store, past the wire."""
    cli.env |= radosgw.variables() | {
        "AWS_ENDPOINT_URL": wire.url,
        "TERRASTORE_STORE": f"s3://{radosgw.bucket}/{prefix}",
    }
    wire.clear()
    return cli


def listings(wire: Wire) -> dict[str, int]:
    """Return how many requests listed what; there must have been no others."""
    assert {"ListObjectsV2", "ListMultipartUploads"} >= set(wire.operations)
    asked = [request.query["prefix"].partition("/v1/")[2] for request in wire.requests if "list-type" in request.query]
    return {what: asked.count(what) for what in asked}


def test_a_list(large: CommandLine, wire: Wire) -> None:
    """A request for a thousand pointers, archives and marks each, one for pins, and nothing is read."""
    assert KEYS == len(large.ok("list").out.splitlines())
    assert dict.fromkeys(LISTED, PAGES) | {"pins/": 1} == listings(wire)


def test_a_long_list(large: CommandLine, wire: Wire) -> None:
    """No more than that."""
    lines = large.ok("list", "-l").out.splitlines()
    assert KEYS == len(lines)
    assert all("used this week" in line for line in lines)
    assert dict.fromkeys(LISTED, PAGES) | {"pins/": 1} == listings(wire)


def test_a_dry_run_of_a_prune(large: CommandLine, wire: Wire) -> None:
    """What else there may be is listed too; nothing is read, written or removed."""
    assert f"would prune 2,400 of {KEYS:,} environments" in large.ok("prune", "--keep-last=100", "--dry-run").out
    others = dict.fromkeys(("pins/", "leases/", "wheels/", "probes/"), 1) | {"pruned/": 2}
    assert dict.fromkeys(LISTED, PAGES) | others == listings(wire)
    assert 2 == wire.operations.count("ListMultipartUploads")
