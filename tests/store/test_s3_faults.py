"""What becomes of writing when replies are lost, conditions fail and uploads break: seen at the wire and behind it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, ClassVar

import pytest

from terrastore.errors import StoreRefusedError, StoreUnreachableError, TerrastoreError
from terrastore.store.s3.upload import PART_SIZE
from tests import faults
from tests.store.contract import NAME
from tests.store.test_s3 import OnServer
from tests.wire import FOREVER, Wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from terrastore.store.s3 import S3Store
    from tests.servers import S3Server
    from tests.wire import Request

ARCHIVE = "v1/archives/key/0.tar.zst"
LARGE = random.Random(3).randbytes(2 * PART_SIZE + 5)
PAGES = {
    "a page": faults.page(200),
    "a page that is XML": faults.Answer(200, b"<html><body>Log in</body></html>", {"Content-Type": "text/html"}),
    "nothing": faults.Answer(200),
}


def has_condition(request: Request) -> bool:
    return "If-None-Match" in request.headers or "If-Match" in request.headers


def upload(store: S3Store, data: bytes = LARGE) -> None:
    with store.upload(ARCHIVE) as taken:
        taken.write(data)


class OnWire(OnServer):
    """Puts a wire between the store and its server."""

    kind: ClassVar[str] = "moto"

    @pytest.fixture
    def wire(self, server: S3Server) -> Iterator[Wire]:
        with Wire(server.endpoint) as wire:
            yield wire

    @pytest.fixture
    def parameters(self, wire: Wire) -> str:
        return f"?endpoint_url={wire.url}"


class LostReplies(OnWire):
    """The store did what it was asked, and we were not told."""

    def test_an_object_was_created(self, store: S3Store, wire: Wire) -> None:
        """Asking again meets our own object: it is ours, and nothing else is there."""
        wire.fault(faults.lose_reply, operation="PutObject")
        assert store.create(NAME, b"ours")
        assert b"ours" == self.peek(NAME)
        assert {NAME} == self.everything()

    def test_an_object_of_others_was_there(self, store: S3Store, wire: Wire) -> None:
        """Asking again meets theirs, which is not ours, even with the same bytes."""
        store.create("v1/other", b"")  # from now on the store knows that conditions count
        self.plant(NAME, b"same")
        wire.fault(faults.lose_reply, operation="PutObject")
        assert not store.create(NAME, b"same")

    def test_an_object_was_replaced(self, store: S3Store, wire: Wire) -> None:
        """Asking again finds another version: our own."""
        store.create(NAME, b"first")
        found = store.read(NAME)
        assert found is not None
        wire.fault(faults.lose_reply, operation="PutObject")
        assert store.replace(NAME, b"second", found.version)
        assert b"second" == self.peek(NAME)

    def test_an_upload_was_completed(self, store: S3Store, wire: Wire) -> None:
        """Asking again finds that the upload has ended: well, for the object is ours."""
        wire.fault(faults.lose_reply, operation="CompleteMultipartUpload")
        upload(store)
        assert LARGE == self.peek(ARCHIVE)
        assert {ARCHIVE} == self.everything()

    def test_a_part_was_taken(self, store: S3Store, wire: Wire) -> None:
        """It is sent again."""
        wire.fault(faults.lose_reply, operation="UploadPart")
        upload(store)
        assert LARGE == self.peek(ARCHIVE)

    def test_an_object_was_removed(self, store: S3Store, wire: Wire) -> None:
        """Removing what is gone is no trouble."""
        self.plant(NAME, b"data")
        wire.fault(faults.lose_reply, operation="DeleteObject")
        assert store.remove(NAME)
        assert set() == self.everything()


class TestLostRepliesOfMoto(LostReplies):
    kind = "moto"


class TestLostRepliesOfRadosgw(LostReplies):
    kind = "radosgw"


class TestConditions(OnWire):
    """Answers to conditions, as not every store gives them."""

    def test_a_conflict_passes(self, store: S3Store, wire: Wire) -> None:
        """409 means that somebody else is just writing: it is tried again."""
        wire.fault(faults.CONFLICT, operation="PutObject", times=2)
        assert store.create(NAME, b"ours")
        assert b"ours" == self.peek(NAME)
        assert store.conditional

    def test_a_conflict_with_who_won(self, store: S3Store, wire: Wire) -> None:
        """Who won is there by the time it is tried again."""
        store.create("v1/other", b"")
        self.plant(NAME, b"theirs")
        wire.fault(faults.CONFLICT, operation="PutObject", times=2)
        assert not store.create(NAME, b"ours")
        assert b"theirs" == self.peek(NAME)

    def test_a_store_that_has_no_conditions(self, store: S3Store, wire: Wire) -> None:
        """501 for the header is survived: by looking first, as far as that goes."""
        wire.fault(faults.NOT_IMPLEMENTED, operation="PutObject", where=has_condition, times=FOREVER)
        assert store.create(NAME, b"first")
        assert store.conditional is False
        assert not store.create(NAME, b"second")
        found = store.read(NAME)
        assert found is not None
        assert store.replace(NAME, b"third", found.version)
        assert not store.replace(NAME, b"fourth", found.version)
        assert b"third" == self.peek(NAME)

    def test_a_store_that_ignores_conditions(self, store: S3Store, wire: Wire) -> None:
        """It writes whatever is there; that is noticed at the first object."""
        wire.fault(faults.IGNORE_CONDITIONS, operation="PutObject", times=FOREVER)
        assert store.create(NAME, b"first")
        assert store.conditional is False
        assert not store.create(NAME, b"second")
        assert b"first" == self.peek(NAME)

    def test_conditions_are_tried_once(self, store: S3Store, wire: Wire) -> None:
        """Whether conditions count is found out with the first object; the next takes one request."""
        store.create(NAME, b"first")
        wire.clear()
        store.create("v1/second", b"second")
        assert ["PutObject"] == wire.operations

    def test_who_may_not_look_may_create(self, store: S3Store, wire: Wire) -> None:
        """Without s3:ListBucket looking first is refused; the condition is what counts."""
        wire.fault(faults.ACCESS_DENIED, operation="HeadObject", times=FOREVER)
        assert store.create(NAME, b"ours")


class TestUploads(OnWire):
    """Uploads in parts that break."""

    @pytest.mark.parametrize("operation", ["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"])
    def test_one_that_is_refused_leaves_nothing(self, store: S3Store, wire: Wire, operation: str) -> None:
        """Wherever the store says no, the parts so far are discarded."""
        wire.fault(faults.ACCESS_DENIED, operation=operation, times=FOREVER)
        with pytest.raises(StoreRefusedError, match="refuses to write"):
            upload(store)
        assert set() == self.everything()

    def test_one_that_breaks_leaves_nothing(self, store: S3Store, wire: Wire) -> None:
        """A part that cannot be sent ends the upload, and what was sent is discarded."""
        wire.fault(faults.Reset(after=1_000_000), operation="UploadPart", after=1, times=FOREVER)
        with pytest.raises(StoreUnreachableError, match="closes the connection"):
            upload(store)
        assert set() == self.everything()

    def test_one_of_a_single_request_that_is_refused(self, store: S3Store, wire: Wire) -> None:
        """What is smaller than a part is there whole or not at all."""
        wire.fault(faults.ACCESS_DENIED, operation="PutObject", times=FOREVER)
        with pytest.raises(StoreRefusedError, match="refuses to write"):
            upload(store, b"small")
        assert set() == self.everything()

    def test_that_parts_cannot_be_discarded_is_not_what_is_told(self, store: S3Store, wire: Wire) -> None:
        """What went wrong first is what the user can mend."""
        wire.fault(faults.ACCESS_DENIED, operation="UploadPart", times=FOREVER)
        wire.fault(faults.INTERNAL_ERROR, operation="AbortMultipartUpload", times=FOREVER)
        with pytest.raises(TerrastoreError, match="403 AccessDenied"):
            upload(store)

    def test_what_passes_is_survived(self, store: S3Store, wire: Wire) -> None:
        """Parts are tried again, each on its own: three times, should all of this befall one."""
        wire.fault(faults.SLOW_DOWN, operation="CreateMultipartUpload")
        wire.fault(faults.INTERNAL_ERROR, operation="UploadPart")
        wire.fault(faults.Reset(after=1_000_000), operation="UploadPart")
        wire.fault(faults.INTERNAL_ERROR, operation="CompleteMultipartUpload")
        upload(store)
        assert LARGE == self.peek(ARCHIVE)
        assert {ARCHIVE} == self.everything()


class TestReading(OnWire):
    """What is read while others write."""

    def test_an_object_that_is_replaced_while_it_is_read(self, store: S3Store) -> None:
        """Ranges of two versions are never taken for one object."""
        self.plant(ARCHIVE, b"a" * 100)
        assert b"aaa" == store.read_range(ARCHIVE, 0, 3)
        self.plant(ARCHIVE, b"b" * 100)
        with pytest.raises(StoreUnreachableError, match="was replaced while it was read"):
            store.read_range(ARCHIVE, 3, 3)

    @pytest.mark.parametrize("page", PAGES)
    def test_a_page_is_no_listing(self, store: S3Store, wire: Wire, page: str) -> None:
        """What a proxy says instead of a listing is not an empty one."""
        self.plant(NAME, b"data")
        wire.fault(PAGES[page], operation="ListObjectsV2", times=FOREVER)
        with pytest.raises(StoreUnreachableError):
            list(store.list(""))

    @pytest.mark.parametrize(
        "operation", ["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "PutObject"]
    )
    @pytest.mark.parametrize("page", PAGES)
    def test_a_page_is_no_success(self, store: S3Store, wire: Wire, page: str, operation: str) -> None:
        """What a proxy answers with a page was not written."""
        wire.fault(PAGES[page], operation=operation, times=FOREVER)
        with pytest.raises(StoreUnreachableError, match=r"is that a proxy|failed to write"):
            upload(store, b"small" if operation == "PutObject" else LARGE)
        assert set() == self.everything()
