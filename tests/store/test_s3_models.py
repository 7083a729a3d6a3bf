"""What is read of botocore's descriptions says the same as the whole, and is much less; a new botocore shows here."""

import gc
import gzip
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import botocore
import pytest
from botocore import loaders
from botocore.config import Config
from botocore.session import Session

from terrastore.store.s3 import client, collector, models
from terrastore.store.s3.location import Connection

DATA = Path(botocore.__file__).parent / "data"
S3 = "s3/2006-03-01/service-2"
OPERATIONS = [name.decode() for name in models.OPERATIONS]


@pytest.fixture(scope="module")
def loader() -> loaders.Loader:
    loader = loaders.Loader()
    models.restrict(loader)
    return loader


@pytest.fixture(scope="module")
def whole() -> loaders.Loader:
    return loaders.Loader()


def references(said: Any) -> Iterator[str]:
    """Yield the shapes that a description names."""
    if isinstance(said, dict):
        if isinstance(said.get("shape"), str):
            yield said["shape"]
        for each in said.values():
            yield from references(each)
    elif isinstance(said, list):
        for each in said:
            yield from references(each)


def test_operations_are_described_as_by_botocore(loader: loaders.Loader, whole: loaders.Loader) -> None:
    """Those that are needed, with every shape that they lead to, and everything that is said of the service."""
    read, plain = loader.load_data(S3), whole.load_data(S3)
    assert {name: plain["operations"][name] for name in OPERATIONS} == read["operations"]
    needed, following = set(), set(references(read["operations"]))
    while following:
        needed |= following
        following = set(references([plain["shapes"][name] for name in following])) - needed
    assert {name: plain["shapes"][name] for name in needed} == read["shapes"]
    assert {key: value for key, value in plain.items() if key not in {"operations", "shapes"}} == {
        key: value for key, value in read.items() if key not in {"operations", "shapes"}
    }


def test_endpoints_are_as_in_botocore(loader: loaders.Loader, whole: loaders.Loader) -> None:
    """Those of S3, and of where credentials come from, in every partition; those of no other service."""
    read, plain = loader.load_data("endpoints"), whole.load_data("endpoints")
    needed = {"oidc", "portal.sso", "s3", "signin", "sso", "sts"}
    for partition in plain["partitions"]:
        partition["services"] = {name: each for name, each in partition["services"].items() if name in needed}
    assert plain == read
    assert all("s3" in each["services"] for each in read["partitions"])


@pytest.mark.parametrize("name", ["partitions", "sdk-default-configuration", "s3/2006-03-01/endpoint-rule-set-1"])
def test_the_rest_is_read_whole(loader: loaders.Loader, whole: loaders.Loader, name: str) -> None:
    """Nothing is left out of what is small."""
    assert whole.load_data(name) == loader.load_data(name)


def test_where_a_description_is_from(loader: loaders.Loader) -> None:
    """The endpoints are known to be botocore's own; what nobody describes is missing as ever."""
    assert loader.is_builtin_path(loader.load_data_with_path("endpoints")[1])
    with pytest.raises(botocore.exceptions.DataNotFoundError):
        loader.load_data("s3/2006-03-01/no-such-thing")


def described(name: str) -> tuple[bytes, Any]:
    """Return the text of one of botocore's own descriptions, and what it says."""
    path = DATA / f"{name}.json"
    text = path.read_bytes() if path.exists() else gzip.decompress(path.with_suffix(".json.gz").read_bytes())
    return text, json.loads(text)


@pytest.mark.parametrize("name", ["endpoints", S3])
@pytest.mark.parametrize(
    "change",
    [
        lambda text: json.dumps(json.loads(text)).encode(),
        lambda text: json.dumps(json.loads(text), indent=3).encode(),
        lambda text: json.dumps(json.loads(text), indent=4).encode(),
        lambda text: text.replace(b"\n    ", b"\n\t"),
        lambda text: text.replace(b'"services" :', b'"services":').replace(b":{", b": {"),
    ],
    ids=["one line", "by three", "by four", "tabs", "other spaces"],
)
def test_another_layout_is_read_whole(name: str, change: Any) -> None:
    """Then nothing is won, and nothing is lost."""
    text, plain = described(name)
    assert plain == models._parsed(change(text), name)


def test_an_operation_that_is_gone_is_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is needed and not found is no reason to fail before it is used."""
    monkeypatch.setattr(models, "OPERATIONS", (*models.OPERATIONS, b"GetTorrents"))
    text, plain = described(S3)
    assert plain == models._parsed(text, S3)


def test_descriptions_of_an_administrator_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What AWS_DATA_PATH has is taken in place of botocore's own, whole, whatever its layout."""
    found = json.loads((DATA / "endpoints.json").read_text())
    found["partitions"][0]["services"]["s3"]["endpoints"]["us-west-2"] = {"hostname": "s3.inside.example"}
    (tmp_path / "endpoints.json").write_text(json.dumps(found, indent=2, separators=(",", " : ")))
    monkeypatch.setenv("AWS_DATA_PATH", str(tmp_path))
    made = client._session.__wrapped__(None).create_client("s3", region_name="us-west-2")
    assert "https://s3.inside.example" == made.meta.endpoint_url


@pytest.mark.parametrize(
    ("connection", "bucket"),
    [
        (Connection(region="us-east-1"), "bucket"),
        (Connection(region="eu-west-1"), "bucket"),
        (Connection(region="eu-west-1"), "bucket.with.dots"),
        (Connection(region="eu-west-1", addressing_style="path"), "bucket"),
        (Connection(region="eu-west-1", addressing_style="virtual"), "bucket"),
        (Connection(region="aws-global"), "bucket"),
        (Connection(region="cn-north-1"), "bucket"),
        (Connection(region="us-gov-west-1"), "bucket"),
        (Connection(region="us-iso-east-1"), "bucket"),
        (Connection(region="eu-isoe-west-1"), "bucket"),
        (Connection(region="fips-us-east-1"), "bucket"),
        (Connection(region="eusc-de-east-1"), "bucket"),
        (Connection(region="mars-north-1"), "bucket"),
        (Connection(), "bucket"),
        (Connection(endpoint_url="https://minio.example:9000"), "bucket"),
        (Connection(endpoint_url="https://minio.example", addressing_style="virtual"), "bucket"),
        (Connection(endpoint_url="http://127.0.0.1:9000", region="us-east-1", addressing_style="path"), "bucket"),
        (Connection(region="eu-west-1"), "arn:aws:s3:eu-west-1:123456789012:accesspoint/envs"),
    ],
    ids=str,
)
@pytest.mark.parametrize("variables", [{}, {"AWS_USE_DUALSTACK_ENDPOINT": "true"}, {"AWS_USE_FIPS_ENDPOINT": "true"}])
def test_requests_are_those_of_a_plain_client(
    monkeypatch: pytest.MonkeyPatch, connection: Connection, bucket: str, variables: dict[str, str]
) -> None:
    """Where a request goes, and for which region it is signed, is what botocore alone says, or what it refuses."""
    for name, value in variables.items() | {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "any"}.items():
        monkeypatch.setenv(name, value)
    style = {"addressing_style": connection.addressing_style} if connection.addressing_style else None

    def sent(session: Session) -> str:
        found = []

        def take(request: Any, **_: object) -> None:
            scope = re.search(r"Credential=\w+/\d+/([^,]*)", request.headers["Authorization"].decode())
            assert scope
            found.append(f"{request.method} {request.url} signed for {scope[1]}")
            raise LookupError

        try:
            made = session.create_client(
                "s3", region_name=connection.region, endpoint_url=connection.endpoint_url, config=Config(s3=style)
            )
            made.meta.events.register("before-send.s3.GetObject", take)
            made.get_object(Bucket=bucket, Key="a key")
        except LookupError:
            return found[0]
        except (botocore.exceptions.BotoCoreError, ValueError) as error:
            return repr(error)
        return ""

    plain = sent(Session())
    assert plain
    assert plain == sent(client._session.__wrapped__(None))


def test_the_collector_is_left_as_it_was() -> None:
    """Paused for as long as the body takes, one in another too, and not started where somebody stopped it."""
    assert gc.isenabled()
    with suppress(LookupError), collector.paused():
        with collector.paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
        raise LookupError
    assert gc.isenabled()
    gc.disable()
    try:
        with collector.paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
