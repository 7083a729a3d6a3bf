"""S3 servers for tests: scripts/s3-server, started and stopped, and clients that look behind the store."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from botocore.config import Config

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPT = Path(__file__).parents[1] / "scripts/s3-server"
NO_FILE = "/nonexistent"
# A server stops when the tests end, however they end.
BOUND = ("setpriv", "--pdeathsig", "TERM", "--")
EX_UNAVAILABLE = 69


class LackingError(Exception):
    """This machine cannot run such a server; the text says what it lacks."""


@dataclass(frozen=True, kw_only=True)
class S3Server:
    """A running S3, its bucket, its owner's keys and, where the kind has users, those of a reader without rights."""

    kind: str
    endpoint: str
    tls_endpoint: str | None
    ca_bundle: str | None
    access_key: str
    secret_key: str = field(repr=False)
    reader_access_key: str | None
    reader_secret_key: str | None = field(repr=False)
    region: str
    bucket: str

    def variables(self, *, tls: bool = False, reader: bool = False) -> dict[str, str]:
        """Return an environment for a process that shall use this server and nothing of the developer's own."""
        access_key, secret_key = self._keys(reader=reader)
        variables = {
            "AWS_ENDPOINT_URL": self._endpoint(tls=tls),
            "AWS_ACCESS_KEY_ID": access_key,
            "AWS_SECRET_ACCESS_KEY": secret_key,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": NO_FILE,
            "AWS_SHARED_CREDENTIALS_FILE": NO_FILE,
        }
        if tls:
            assert self.ca_bundle
            variables["AWS_CA_BUNDLE"] = self.ca_bundle
        return variables

    def client(self, service: str = "s3", *, tls: bool = False, reader: bool = False) -> Any:
        """Return a boto3 client that takes nothing from environment or home; ``service`` may be "iam" too."""
        access_key, secret_key = self._keys(reader=reader)
        nothing = (None, None, None, None)
        no_file = (None, None, NO_FILE, None)
        unconfigured = botocore.session.Session(
            {"profile": nothing, "config_file": no_file, "credentials_file": no_file}
        )
        session = boto3.session.Session(botocore_session=unconfigured)
        return session.client(
            service,
            endpoint_url=self._endpoint(tls=tls),
            verify=self.ca_bundle if tls else None,
            region_name=self.region,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            config=Config(
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def _endpoint(self, *, tls: bool) -> str:
        endpoint = self.tls_endpoint if tls else self.endpoint
        assert endpoint, f"{self.kind} has no TLS"
        return endpoint

    def _keys(self, *, reader: bool) -> tuple[str, str]:
        if not reader:
            return self.access_key, self.secret_key
        assert self.reader_access_key, f"{self.kind} has no users"
        assert self.reader_secret_key
        return self.reader_access_key, self.reader_secret_key


@contextmanager
def running(kind: str, *options: str) -> Iterator[S3Server]:
    """Yield a server that runs until the block ends; LackingError tells why there can be none."""
    process = start(kind, *options)
    try:
        yield when_ready(kind, process)
    finally:
        process.terminate()
        process.communicate()


def start(*arguments: str, **variables: str) -> subprocess.Popen[str]:
    """Start the script without waiting."""
    return subprocess.Popen(
        [*BOUND, sys.executable, str(SCRIPT), *arguments],
        env=os.environ | variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def when_ready(kind: str, process: subprocess.Popen[str]) -> S3Server:
    """Wait until a started script has said everything, and return the server."""
    assert process.stdout
    said = process.stdout.read()
    if not said:
        _, why = process.communicate()
        raise LackingError(why.strip()) if process.returncode == EX_UNAVAILABLE else AssertionError(why)
    variables = dict(assignment.split("=", 1) for assignment in shlex.split(said))
    return S3Server(
        kind=kind,
        endpoint=variables["AWS_ENDPOINT_URL"],
        tls_endpoint=variables.get("S3_TLS_ENDPOINT"),
        ca_bundle=variables.get("S3_CA_BUNDLE"),
        access_key=variables["AWS_ACCESS_KEY_ID"],
        secret_key=variables["AWS_SECRET_ACCESS_KEY"],
        reader_access_key=variables.get("READER_ACCESS_KEY"),
        reader_secret_key=variables.get("READER_SECRET_KEY"),
        region=variables["AWS_DEFAULT_REGION"],
        bucket=variables["S3_BUCKET"],
    )
