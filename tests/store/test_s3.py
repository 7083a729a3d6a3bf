"""The contract over the wire on every S3 server there is here; on those that break promises what is promised then."""

import functools
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar
from uuid import uuid4

import pytest

from terrastore.errors import StoreRefusedError, StoreUnreachableError, TerrastoreError
from terrastore.store.protocol import MultipartStore
from terrastore.store.s3 import S3Store, client, copying
from terrastore.store.s3.bucket import Head
from terrastore.store.s3.upload import PART_SIZE
from tests.servers import S3Server
from tests.store.contract import CopyingContract, WholeStore

MEBIBYTE = 1024 * 1024
RACERS = 20
ROUNDS = 50


@functools.cache
def behind(server: S3Server) -> Any:
    """Return boto3's own client, which is slow to make."""
    return server.client()


class OnServer:
    """Gives every test an empty store on one server, and boto3 to look behind it."""

    kind: ClassVar[str]
    tls: ClassVar[bool] = False
    _made_for: ClassVar[object] = None

    @pytest.fixture
    def server(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> S3Server:
        server: S3Server = request.getfixturevalue(self.kind)
        for name, value in server.variables(tls=self.tls).items():
            monkeypatch.setenv(name, value)
        if OnServer._made_for != (server, self.tls):  # a process has one environment, and keeps what it made from it
            client._client.cache_clear()
            client._session.cache_clear()
            OnServer._made_for = (server, self.tls)
        return server

    @pytest.fixture
    def parameters(self) -> str:
        """Return what follows the URL of the store."""
        return ""

    @pytest.fixture
    def store(self, server: S3Server, parameters: str) -> S3Store:
        store = S3Store(f"s3://{server.bucket}/tests/{uuid4().hex}{parameters}")
        self.behind = behind(server)
        self.place = {"Bucket": server.bucket, "Prefix": store.location.prefix}
        return store

    @pytest.fixture
    def other(self, server: S3Server, store: S3Store) -> S3Store:
        """Return an empty store in another bucket."""
        bucket = f"other-{uuid4().hex}"
        self.behind.create_bucket(Bucket=bucket)
        return S3Store(f"s3://{bucket}/tests")

    def peek(self, name: str) -> bytes | None:
        try:
            answer = self.behind.get_object(Bucket=self.place["Bucket"], Key=self.place["Prefix"] + name)
        except self.behind.exceptions.NoSuchKey:
            return None
        data: bytes = answer["Body"].read()
        return data

    def plant(self, name: str, data: bytes) -> None:
        self.behind.put_object(Bucket=self.place["Bucket"], Key=self.place["Prefix"] + name, Body=data)

    def everything(self) -> set[str]:
        found = set()
        for operation, item in (("list_objects_v2", "Contents"), ("list_multipart_uploads", "Uploads")):
            for page in self.behind.get_paginator(operation).paginate(**self.place):
                found |= {each["Key"].removeprefix(self.place["Prefix"]) for each in page.get(item, ())}
        return found

    def race(self, store: S3Store, name: str) -> list[bytes]:
        """Create one object from many threads at once; return what those wrote who were told that it is there."""
        barrier = threading.Barrier(RACERS)

        def create(number: int) -> bool:
            barrier.wait()
            return store.create(name, b"%d" % number * 500)

        with ThreadPoolExecutor(RACERS) as pool:
            won = list(pool.map(create, range(RACERS)))
        return [b"%d" % number * 500 for number, winner in enumerate(won) if winner]


class S3Contract(OnServer, CopyingContract):
    """The contract, and what real conditions make possible."""

    secrets = ("testsecretkeytestsecretkey",)
    discarded: ClassVar[tuple[type[TerrastoreError], str]] = (
        StoreRefusedError,
        "refuses to write v1/archives/key/a: 404 NoSuchUpload",
    )

    tells_missing_sources: ClassVar[bool] = True

    def test_fifty_races_have_one_winner_each(self, store: S3Store) -> None:
        """Of twenty threads one is told that it won, every time, and the object is its."""
        for turn in range(ROUNDS):
            assert self.race(store, f"v1/races/{turn}") == [self.peek(f"v1/races/{turn}")]
        assert store.conditional

    def begin(self, name: str) -> None:
        """Begin an upload behind the store, as who is then killed."""
        place = {"Bucket": self.place["Bucket"], "Key": self.place["Prefix"] + name}
        begun = self.behind.create_multipart_upload(**place)
        self.behind.upload_part(**place, UploadId=begun["UploadId"], PartNumber=1, Body=b"part")

    def test_unfinished_uploads_are_discarded(self, store: S3Store) -> None:
        """They are told by name, those below the prefix alone; discarded, they are gone; twice is no trouble."""
        assert isinstance(store, MultipartStore)
        assert [] == store.unfinished("v1/archives/key/")
        for name in ("v1/archives/key/a", "v1/archives/key/b", "v1/archives/key2/a"):
            self.begin(name)
        found = store.unfinished("v1/archives/key/")
        assert ["v1/archives/key/a", "v1/archives/key/b"] == sorted(upload.name for upload in found)
        for upload in (*found, *found):
            store.discard(upload)
        assert [] == store.unfinished("v1/archives/key/")
        assert {"v1/archives/key2/a"} == self.everything()

    def test_who_goes_on_with_a_discarded_upload_is_refused(self, store: S3Store) -> None:
        """Somebody else published in the meantime; nothing is left of what was sent."""

        def upload_parts() -> None:
            with store.upload("v1/archives/key/a") as upload:
                upload.write(bytes(PART_SIZE))
                for each in store.unfinished("v1/archives/key/"):
                    store.discard(each)
                for _ in range(8):
                    upload.write(bytes(PART_SIZE))

        kind, told = self.discarded
        with pytest.raises(kind, match=told):
            upload_parts()
        assert set() == self.everything()

    def test_a_large_object_is_copied_in_parts(
        self, store: S3Store, other: S3Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As many as it takes, with a smaller one at the end."""
        monkeypatch.setattr(copying, "_ONE_REQUEST", 5 * MEBIBYTE)
        monkeypatch.setattr(copying, "_PART_SIZE", 5 * MEBIBYTE)
        whole = random.Random(5).randbytes(11 * MEBIBYTE)
        with other.upload("v1/archives/key/a") as upload:
            upload.write(whole)
        assert store.copy_from(other, "v1/archives/key/a", len(whole))
        assert whole == self.peek("v1/archives/key/a")
        etag = self.behind.head_object(Bucket=self.place["Bucket"], Key=f"{self.place['Prefix']}v1/archives/key/a")[
            "ETag"
        ]
        assert etag.endswith('-3"')

    def test_parts_that_are_refused_are_discarded(
        self, store: S3Store, other: S3Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is not copied, which is no error, and nobody pays for what was."""
        monkeypatch.setattr(copying, "_ONE_REQUEST", 5 * MEBIBYTE)
        monkeypatch.setattr(copying, "_PART_SIZE", 5 * MEBIBYTE)
        other.create("v1/archives/key/a", bytes(11 * MEBIBYTE))
        head = other._bucket.head

        def vanishing(name: str, *, checksums: bool = False) -> Head | None:
            found = head(name, checksums=checksums)
            other.remove(name) if checksums else None
            return found

        monkeypatch.setattr(other._bucket, "head", vanishing)
        if self.tells_missing_sources:
            assert not store.copy_from(other, "v1/archives/key/a", 11 * MEBIBYTE)
        else:
            with pytest.raises(StoreUnreachableError, match="404"):
                store.copy_from(other, "v1/archives/key/a", 11 * MEBIBYTE)
        assert set() == self.everything()

    def test_a_copy_says_of_itself_what_every_new_object_says(self, store: S3Store, other: S3Store) -> None:
        """Its type, and which request wrote it, not what the source's says."""
        name = "v1/archives/key/a.tar.zst"
        place = {"Bucket": other.location.bucket, "Key": f"{other.location.prefix}{name}"}
        self.behind.put_object(**place, Body=b"data", ContentType="text/plain", Metadata={"whose": "theirs"})
        assert store.copy_from(other, name, 4)
        head = self.behind.head_object(Bucket=self.place["Bucket"], Key=self.place["Prefix"] + name)
        assert "application/zstd" == head["ContentType"]
        assert {"writeid"} == {key.lower() for key in head["Metadata"]}

    def test_another_service_is_not_copied_from(self, store: S3Store, server: S3Server) -> None:
        """One that has an endpoint or a region of its own: nobody asks it, or for it."""
        for parameter in ("endpoint_url=http://127.0.0.1:9", "region=mars-north-1"):
            other = S3Store(f"s3://{server.bucket}/other?{parameter}")
            assert not store.copy_from(other, "v1/archives/key/a", 4)


class TestMoto(S3Contract):
    """The emulator."""

    kind = "moto"
    # It trips over a part of an upload that it does not know.
    discarded = (StoreUnreachableError, "failed to write v1/archives/key/a: 500")
    # Of a part whose source is gone it says so in no words of S3.
    tells_missing_sources = False


class TestRadosgw(S3Contract):
    """Ceph's gateway, the real thing."""

    kind = "radosgw"


class TestRadosgwTls(S3Contract):
    """Over TLS, where botocore sends what it sends to AWS."""

    kind = "radosgw"
    tls = True


class TestOld(S3Contract):
    """A gateway of 2021, over TLS: it refuses what newer clients send by themselves, and matches no versions."""

    kind = "radosgw_16"
    tls = True


class TestCareless(OnServer, CopyingContract):
    """A store that ignores conditions. Only what cannot be had without them is given up."""

    kind = "rclone"

    def everything(self) -> set[str]:
        """Return what is there; this store cannot list what is unfinished."""
        pages = self.behind.get_paginator("list_objects_v2").paginate(**self.place)
        return {each["Key"].removeprefix(self.place["Prefix"]) for page in pages for each in page.get("Contents", ())}

    def test_a_race_to_create_has_one_winner(self, store: WholeStore) -> None:
        """Several may be told that they won; but what stays is of one of these, and who lost knows it."""
        assert isinstance(store, S3Store)
        for turn in range(ROUNDS):
            won = self.race(store, f"v1/races/{turn}")
            assert self.peek(f"v1/races/{turn}") in won

    def test_that_conditions_are_ignored_is_noticed(self, store: S3Store) -> None:
        """After the first object was created the store knows, and can say so."""
        assert store.conditional is None
        store.create("v1/object", b"data")
        assert store.conditional is False

    def test_it_tells_of_no_uploads(self, store: S3Store) -> None:
        """As if there were none."""
        assert [] == store.unfinished("v1/")
