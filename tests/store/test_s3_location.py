"""From a URL to what is sent: every parameter arrives where it is meant, and nowhere else."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from terrastore.errors import StoreRefusedError, UsageError
from terrastore.store.s3 import S3Store, client
from terrastore.store.s3.location import Connection, Location
from terrastore.store.s3.upload import PART_SIZE
from tests import faults
from tests.store.contract import NAME
from tests.store.test_s3_faults import OnWire
from tests.wire import FOREVER, Wire

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import S3Server
    from tests.wire import Request

ARCHIVE = "v1/archives/key/0.tar.zst"
CONFIG = """
[profile plain]
aws_access_key_id = PLAINKEY
aws_secret_access_key = any
region = eu-central-1
endpoint_url = {url}

[profile other]
aws_access_key_id = OTHERKEY
aws_secret_access_key = any
region = eu-central-1
endpoint_url = {url}

[profile role]
role_arn = arn:aws:iam::123456789012:role/deploy
source_profile = plain
region = eu-central-1
endpoint_url = {url}
"""


@pytest.mark.parametrize(
    ("url", "bucket", "prefix", "text"),
    [
        ("s3://bucket", "bucket", "", "s3://bucket"),
        ("s3://bucket/", "bucket", "", "s3://bucket"),
        ("s3://bucket/envs", "bucket", "envs/", "s3://bucket/envs"),
        ("s3://bucket/team//envs/", "bucket", "team/envs/", "s3://bucket/team/envs"),
        ("s3://my.bucket-1_A/100%/a b", "my.bucket-1_A", "100%/a b/", "s3://my.bucket-1_A/100%/a b"),
        ("s3://bucket?region=eu-west-1", "bucket", "", "s3://bucket"),
        ("S3://bucket/envs", "bucket", "envs/", "s3://bucket/envs"),
    ],
)
def test_where_it_is(url: str, bucket: str, prefix: str, text: str) -> None:
    """A prefix is taken as it stands, without slashes that mean nothing; what is shown has no parameters."""
    location = Location.parse(url)
    assert (bucket, prefix, text) == (location.bucket, location.prefix, str(location))
    assert Location.parse(text) == Location(bucket=bucket, prefix=prefix)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("region=eu-west-1", Connection(region="eu-west-1")),
        ("profile=deploy", Connection(profile="deploy")),
        ("endpoint_url=https://minio.example:9000", Connection(endpoint_url="https://minio.example:9000")),
        ("endpoint_url=https%3A%2F%2Fminio.example", Connection(endpoint_url="https://minio.example")),
        ("addressing_style=auto", Connection(addressing_style="auto")),
        ("addressing_style=path", Connection(addressing_style="path")),
        ("addressing_style=virtual", Connection(addressing_style="virtual")),
        ("anonymous=true", Connection(anonymous=True)),
        ("anonymous=false", Connection()),
        ("header=X-Team:web", Connection(headers=(("X-Team", "web"),))),
        ("header=a:1&header=b:%202%20&header=c:", Connection(headers=(("a", "1"), ("b", "2 "), ("c", "")))),
        ("", Connection()),
    ],
)
def test_how_it_is_spoken_to(query: str, expected: Connection) -> None:
    """What is left out is left to the configuration of whoever runs it."""
    location = Location.parse(f"s3://bucket/envs?{query}")
    assert expected == location.connection
    assert {} == location.writing


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("acl=bucket-owner-full-control", {"ACL": "bucket-owner-full-control"}),
        ("sse=AES256", {"ServerSideEncryption": "AES256"}),
        ("sse_kms_key_id=alias/envs", {"SSEKMSKeyId": "alias/envs"}),
        ("storage_class=STANDARD_IA", {"StorageClass": "STANDARD_IA"}),
    ],
)
def test_what_is_said_of_new_objects(query: str, expected: dict[str, str]) -> None:
    """Parameters of writing go by the names that the API has for them."""
    location = Location.parse(f"s3://bucket/envs?{query}&region=eu-west-1")
    assert expected == location.writing
    assert Connection(region="eu-west-1") == location.connection


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://", "is no bucket's name"),
        ("s3:///envs", "is no bucket's name"),
        ("s3://b/envs", "'b' is no bucket's name"),
        ("s3://bucket:443/envs", "'bucket:443' is no bucket's name"),
        ("s3://bücket/envs", "'bücket' is no bucket's name"),
        ("s3://key:hunter2@bucket/envs", "must not hold credentials"),
        ("s3://hunter2@bucket", "must not hold credentials"),
        ("s3://bucket/a#b", "no '#'"),
        ("s3://bucket?unknown=1", "'unknown'"),
        ("s3://bucket?secret_key=hunter2", "'secret_key'"),
        ("s3://bucket?Region=eu", "'Region'"),
        ("s3://bucket?region=", "no value for the parameter region"),
        ("s3://bucket?region", "no value for the parameter region"),
        ("s3://bucket?region=a&region=b", "two values for the parameter region"),
        ("s3://bucket?addressing_style=dns", "addressing_style=dns"),
        ("s3://bucket?anonymous=yes", "anonymous=yes"),
        ("s3://bucket?header=hunter2", "a header that is none"),
        ("s3://bucket?header=X Y:hunter2", "a header that is none"),
        ("s3://bucket?header=X-Y:1%0d%0aX-Z:hunter2", "a header that is none"),
    ],
)
def test_what_cannot_be_meant_is_refused(url: str, message: str) -> None:
    """A parameter that is misspelt is no default, and no secret is repeated."""
    with pytest.raises(UsageError) as caught:
        Location.parse(url)
    assert message in caught.value.message
    assert caught.value.hint
    assert "hunter2" not in caught.value.message + caught.value.hint


class TestParameters(OnWire):
    """What is sent with the parameters that a URL has."""

    def sent(self, wire: Wire, store: S3Store) -> dict[str, list[Request]]:
        """Use a store for everything there is, and return what was sent, by operation."""
        store.create(NAME, b"data")
        with store.upload(ARCHIVE) as upload:
            upload.write(b"x" * (PART_SIZE + 1))
        store.read(NAME)
        store.read_range(ARCHIVE, 0, 10)
        list(store.list(""))
        store.remove(NAME)
        by_operation: dict[str, list[Request]] = {}
        for request in wire.requests:
            by_operation.setdefault(request.operation, []).append(request)
        return by_operation

    @pytest.fixture
    def url(self, store: S3Store, parameters: str) -> str:
        """Return the URL of the store, to which parameters can be added."""
        return f"{store}{parameters}"

    @pytest.mark.parametrize(
        ("parameter", "header", "value"),
        [
            ("sse=aws:kms&sse_kms_key_id=alias/envs", "x-amz-server-side-encryption-aws-kms-key-id", "alias/envs"),
            ("sse=AES256", "x-amz-server-side-encryption", "AES256"),
            ("acl=bucket-owner-full-control", "x-amz-acl", "bucket-owner-full-control"),
            ("storage_class=STANDARD_IA", "x-amz-storage-class", "STANDARD_IA"),
            ("header=x-amz-tagging:team%3Dweb", "x-amz-tagging", "team=web"),
            ("header=X-Team:web%20and%20more", "x-team", "web and more"),
        ],
    )
    def test_what_is_written_is_sent_with_it(
        self, wire: Wire, url: str, parameter: str, header: str, value: str
    ) -> None:
        """New objects are made as the URL says, however they are made; nothing else is told of it."""
        found = self.sent(wire, S3Store(f"{url}&{parameter}"))
        told = {name for name, requests in found.items() if any(header in each.headers for each in requests)}
        assert {"PutObject", "CreateMultipartUpload"} == told
        everywhere = [each for name in told for each in found[name]]
        assert {value} == {each.headers[header] for each in everywhere}
        signed = [each.headers["Authorization"] for each in everywhere]
        assert [] == [each for each in signed if header not in each]

    def test_everything_else_is_sent_too(self, wire: Wire, url: str) -> None:
        """Several parameters hold at once, and what an object is, is said besides."""
        self.sent(wire, S3Store(f"{url}&sse=AES256&storage_class=STANDARD_IA&header=a:1&header=b:2"))
        pointer = next(each for each in wire.requests if each.operation == "PutObject")
        expected = {"x-amz-server-side-encryption": "AES256", "x-amz-storage-class": "STANDARD_IA", "a": "1", "b": "2"}
        assert expected == {name: pointer.headers[name] for name in expected}
        assert "application/json" == pointer.headers["Content-Type"]
        begun = next(each for each in wire.requests if each.operation == "CreateMultipartUpload")
        assert "application/zstd" == begun.headers["Content-Type"]

    def test_what_it_becomes(self, url: str, store: S3Store) -> None:
        """The store itself says of the object what the URL said."""
        S3Store(f"{url}&storage_class=STANDARD_IA&header=x-amz-meta-team:web").create(NAME, b"data")
        head = self.behind.head_object(Bucket=self.place["Bucket"], Key=self.place["Prefix"] + NAME)
        assert ("STANDARD_IA", "web") == (head["StorageClass"], head["Metadata"]["team"])

    def test_anonymous(self, wire: Wire, url: str) -> None:
        """No credentials are used, not even those that are there."""
        S3Store(f"{url}&anonymous=true").read(NAME)
        S3Store(url).read(NAME)
        assert [False, True] == ["Authorization" in request.headers for request in wire.requests]
        assert [] == [request for request in wire.requests[:1] if "X-Amz-Signature" in request.query]

    @pytest.mark.parametrize(
        ("style", "expected"),
        [
            ("", "http://s3.example/bucket/envs/"),
            ("&addressing_style=auto", "http://s3.example/bucket/envs/"),
            ("&addressing_style=path", "http://s3.example/bucket/envs/"),
            ("&addressing_style=virtual", "http://bucket.s3.example/envs/"),
        ],
    )
    @pytest.mark.usefixtures("store")
    def test_addressing_styles(self, wire: Wire, monkeypatch: pytest.MonkeyPatch, style: str, expected: str) -> None:
        """With one's own endpoint the bucket is in the path, and in the host's name for who asks for that."""
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, wire.url)  # a proxy is told the host, and nobody needs to know its address
        wire.fault(faults.s3_error(404, "NoSuchKey"))
        assert S3Store(f"s3://bucket/envs?endpoint_url=http://s3.example{style}").read(NAME) is None
        assert [expected + NAME] == [request.target for request in wire.requests]

    def test_one_client_for_many_requests(self, wire: Wire, url: str) -> None:
        """Requests one after another take one connection; another store of the same place takes it too."""
        for turn in range(5):
            S3Store(f"{url.replace('?', f'/{turn}?')}").read(NAME)
        assert {0} == {request.connection for request in wire.requests}

    def test_readers_keep_their_connections(self, wire: Wire, store: S3Store) -> None:
        """As many connections as it says readers are opened at most, however many ranges are read."""
        store.create(ARCHIVE, bytes(1000))
        with ThreadPoolExecutor(store.readers) as pool:
            found = list(pool.map(lambda offset: store.read_range(ARCHIVE, offset, 10), [*range(0, 1000, 10)] * 3))
        assert [bytes(10)] * 300 == found
        assert len({request.connection for request in wire.requests}) <= store.readers


class TestConfiguration(OnWire):
    """What the files and variables of AWS say; nothing else has credentials here."""

    @pytest.fixture(autouse=True)
    def _config(self, server: S3Server, wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        (tmp_path / "config").write_text(CONFIG.format(url=wire.url))
        (tmp_path / "token").write_text("header.claims.signature")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        forget()
        yield
        forget()

    def signed_by(self, wire: Wire) -> list[str]:
        """Return who signed the last request, and for which region."""
        found = re.search(r"Credential=(\w+)/\d+/([\w-]+)/s3/", wire.requests[-1].headers["Authorization"])
        assert found
        return [found[1], found[2]]

    def test_a_profile(self, server: S3Server, wire: Wire) -> None:
        """Keys, region and endpoint are those of the profile that the URL names."""
        S3Store(f"s3://{server.bucket}?profile=plain").read(NAME)
        assert ["PLAINKEY", "eu-central-1"] == self.signed_by(wire)

    def test_a_profile_by_variable(self, server: S3Server, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
        """AWS_PROFILE does the same, and the URL beats the file."""
        monkeypatch.setenv("AWS_PROFILE", "plain")
        S3Store(f"s3://{server.bucket}?region=eu-west-3").read(NAME)
        assert ["PLAINKEY", "eu-west-3"] == self.signed_by(wire)

    def test_two_profiles_at_once(self, server: S3Server, wire: Wire) -> None:
        """Two stores are spoken to by different people."""
        for name, key in (("plain", "PLAINKEY"), ("other", "OTHERKEY"), ("plain", "PLAINKEY")):
            S3Store(f"s3://{server.bucket}?profile={name}").read(NAME)
            assert key == self.signed_by(wire)[0]

    def test_a_role(self, server: S3Server, wire: Wire) -> None:
        """A role is assumed with the keys of another profile, once for many requests."""
        store = S3Store(f"s3://{server.bucket}?profile=role")
        for _ in range(3):
            assert store.read(NAME) is None
        assert ["POST", "GET", "GET", "GET"] == [request.method for request in wire.requests]
        assert self.signed_by(wire)[0].startswith("ASIA")
        assert wire.requests[-1].headers["X-Amz-Security-Token"]

    def test_a_role_by_web_identity(self, server: S3Server, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
        """So does a container, with the token that its orchestrator put there."""
        token = os.environ["AWS_CONFIG_FILE"].replace("config", "token")
        for name, value in {
            "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/deploy",
            "AWS_WEB_IDENTITY_TOKEN_FILE": token,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": wire.url,
        }.items():
            monkeypatch.setenv(name, value)
        assert S3Store(f"s3://{server.bucket}").read(NAME) is None
        assert self.signed_by(wire)[0].startswith("ASIA")

    def test_a_role_that_is_refused(self, server: S3Server, wire: Wire) -> None:
        """That the role is not given is told as what it is."""
        refusal = (
            b'<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>'
            b"<Code>AccessDenied</Code><Message>not authorized to perform: sts:AssumeRole</Message></Error>"
            b"</ErrorResponse>"
        )
        wire.fault(faults.Answer(403, refusal, {"Content-Type": "text/xml"}), method="POST", times=FOREVER)
        with pytest.raises(StoreRefusedError, match="sts:AssumeRole"):
            S3Store(f"s3://{server.bucket}?profile=role").read(NAME)

    def test_nobody(self, server: S3Server) -> None:
        """Without any credentials it is told where they could be."""
        with pytest.raises(StoreRefusedError, match="no credentials") as caught:
            S3Store(f"s3://{server.bucket}?region=eu-west-1").read(NAME)
        assert "AWS_ACCESS_KEY_ID" in caught.value.hint

    @pytest.mark.parametrize("service", ["sso", "sso-oidc", "signin", "sts"])
    def test_services_that_credentials_come_from(self, service: str) -> None:
        """What is left of botocore's services is enough for every way to log in."""
        assert client._session(None).create_client(service, region_name="us-east-1")


def forget() -> None:
    """Let clients be made anew, from other variables."""
    client._client.cache_clear()
    client._session.cache_clear()
