"""S3 on this machine: a server near by, and its objects once more behind one that is shaped like a bucket."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from scripts.benchmark.results import Traffic
from scripts.benchmark.tools import REPOSITORY
from tests.servers import running
from tests.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.servers import S3Server

BIND: Final = ("setpriv", "--pdeathsig", "TERM", "--")


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """Where a bucket is, and what a process needs in its environment to get there."""

    name: str
    endpoint: str
    variables: Mapping[str, str]
    certificate: str | None = None
    """Of who vouches for a server by TLS."""
    answers: Path | None = None
    """Where the server notes when it answered."""
    presigned: Mapping[str, str] | None = None
    """URLs of objects for clients that cannot sign; None when any will do."""

    def url(self, prefix: str) -> str:
        """Return the URL of a store in it."""
        return f"s3://{self.name}/{prefix}"

    def address(self, key: str) -> str:
        """Return where curl finds an object."""
        return self.presigned[key] if self.presigned else f"{self.endpoint}/{self.name}/{key}"


@dataclass(frozen=True)
class Server:
    """A running S3."""

    real: S3Server

    def put(self, key: str, path: Path) -> None:
        """Upload a file."""
        self.real.client().upload_file(str(path), self.real.bucket, key)

    def bucket(self, *keys: str) -> Bucket:
        """Return its bucket; curl can get the objects that are named."""
        client = self.real.client()
        return Bucket(
            name=self.real.bucket,
            endpoint=self.real.endpoint,
            variables=self.real.variables(),
            presigned={
                key: client.generate_presigned_url("get_object", {"Bucket": self.real.bucket, "Key": key})
                for key in keys
            },
        )

    @contextmanager
    def shaped(self, folder: Path) -> Iterator[Bucket]:
        """Copy all objects to a folder, and serve them as shaped.py does."""
        client = self.real.client()
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=self.real.bucket):
            for item in page.get("Contents", ()):
                path = folder / self.real.bucket / item["Key"]
                path.parent.mkdir(parents=True, exist_ok=True)
                client.download_file(self.real.bucket, item["Key"], str(path))
        answers = folder / "answers"
        command = [*BIND, sys.executable, "-m", "scripts.benchmark.shaped", str(folder), "--answers", str(answers)]
        with subprocess.Popen(
            command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdin
            assert process.stdout
            endpoint, certificate = (process.stdout.readline().strip() for _ in range(2))
            yield Bucket(
                name=self.real.bucket,
                endpoint=endpoint,
                variables=self.real.variables() | {"AWS_ENDPOINT_URL": endpoint, "AWS_CA_BUNDLE": certificate},
                certificate=certificate,
                answers=answers,
            )
            process.stdin.close()

    @contextmanager
    def counted(self) -> Iterator[tuple[Bucket, Wire]]:
        """Yield the bucket behind a wire that counts."""
        with Wire(self.real.endpoint) as wire:
            plain = self.bucket()
            variables = {**plain.variables, "AWS_ENDPOINT_URL": wire.url}
            yield replace(plain, endpoint=wire.url, variables=variables), wire


@contextmanager
def server(kind: str) -> Iterator[Server]:
    """Run a server of scripts/s3-server."""
    with ExitStack() as stack:
        yield Server(stack.enter_context(running(kind)))


def traffic(wire: Wire) -> Traffic:
    """Return what passed a wire, and forget it."""
    requests: dict[str, int] = {}
    for request in wire.requests:
        requests[request.operation] = requests.get(request.operation, 0) + 1
    received, sent = (sum(getattr(each, name) for each in wire.requests) for name in ("bytes_out", "bytes_in"))
    wire.clear()
    return Traffic(requests=requests, received=received, sent=sent)
