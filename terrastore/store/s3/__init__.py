"""A store in S3, or in one of the many services that speak its protocol.

Objects are created by conditional writes. A store may ignore the conditions; that is noticed at the first object that
is created, and then costs nothing worse than a build that somebody else made too.
"""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from terrastore.errors import StoreRefusedError
from terrastore.store import layout
from terrastore.store.protocol import Object
from terrastore.store.s3 import collector
from terrastore.store.s3.location import Location

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from terrastore.store.protocol import Listed, Store, Unfinished
    from terrastore.store.s3.bucket import Bucket
    from terrastore.store.s3.upload import MultipartUpload


class S3Store:
    """Objects below a prefix of a bucket; versions are ETags."""

    swaps = True
    # A connection gives about 90 MB/s; on two processors more than these give little more.
    readers = 12
    is_near = False

    def __init__(self, url: str) -> None:
        """Take where the store is from ``url``.

        :raises UsageError: when that is not of the form in :mod:`terrastore.store.s3.location`
        """
        self.location = Location.parse(url)
        self.conditional: bool | None = None
        self._etags: dict[str, str] = {}

    def __str__(self) -> str:
        return str(self.location)

    def read(self, name: str) -> Object | None:
        got = self._bucket.get(name)
        return None if got is None else Object(got.data, got.etag)

    def read_range(self, name: str, offset: int, size: int) -> bytes | None:
        if size == 0:
            return None if self._bucket.head(name) is None else b""
        # That an object is replaced while it is read is noticed at no request's cost.
        got = self._bucket.get_range(name, offset, size, etag=self._etags.get(name))
        if got is None:
            return None
        if got.etag:
            self._etags[name] = got.etag
        return got.data

    def create(self, name: str, data: bytes) -> bool:
        write_id = secrets.token_hex(16)
        # Where conditions are ignored, looking first is all that can be done.
        if not self.conditional and self._is_there(name):
            return False
        if not self._bucket.put(name, data, write_id, IfNoneMatch="*"):
            # When a reply was lost, asking again met our own object.
            return self._is_ours(name, write_id)
        if self.conditional is None:
            written_over = self._bucket.put(name, data, write_id, IfNoneMatch="*")
            self.conditional = not (written_over or self._bucket.refuses_conditions)
        if self.conditional:
            return True
        # What a careless store has of several at once is anybody's; not even body and metadata need be of one.
        found = self._bucket.get(name)
        return found is not None and found.data == data

    def replace(self, name: str, data: bytes, version: str) -> bool:
        write_id = secrets.token_hex(16)
        if not self.conditional and not self._is_still(name, version):
            return False
        if self._bucket.put(name, data, write_id, IfMatch=version) or self._is_ours(name, write_id):
            return True
        # Some older stores never find that a version matches.
        return self._is_still(name, version) and self._bucket.put(name, data, write_id)

    @contextmanager
    def upload(self, name: str) -> Iterator[MultipartUpload]:
        from terrastore.store.s3.upload import MultipartUpload  # noqa: PLC0415 -- only who publishes needs it

        upload = MultipartUpload(self._bucket, name)
        try:
            yield upload
            upload.complete()
        except BaseException:
            upload.abort()
            raise

    def copy_from(self, other: Store, name: str, size: int) -> bool:
        if not isinstance(other, S3Store):
            return False
        from terrastore.store.s3.copying import copied  # noqa: PLC0415 -- only who copies needs it

        bucket, source = self._bucket, other._bucket  # noqa: SLF001 -- another of the same class
        return bucket.service == source.service and copied(bucket, source, name, size)

    def list(self, prefix: str) -> Iterator[Listed]:
        return self._bucket.list(prefix)

    def remove(self, name: str) -> bool:
        there = self._bucket.head(name) is not None
        if there:
            self._bucket.delete(name)
        return there

    def remove_listed(self, listed: Listed) -> bool:
        if self._removes_by_version:
            return self._bucket.delete_version(listed.name, listed.version)
        if not self._is_still(listed.name, listed.version):
            return False
        self._bucket.delete(listed.name)
        return True

    def unfinished(self, prefix: str) -> Collection[Unfinished]:
        return self._bucket.uploads(prefix)

    def abandoned(self, before: float) -> Collection[Unfinished]:
        uploads = (*self.unfinished(layout.ARCHIVES), *self.unfinished(layout.WHEELS))
        return [upload for upload in uploads if upload.begun < before]

    def discard(self, upload: Unfinished) -> None:
        self._bucket.abort_upload(upload.name, upload.token)

    @cached_property
    def _bucket(self) -> Bucket:
        with collector.paused():
            from terrastore.store.s3.bucket import Bucket  # noqa: PLC0415 -- botocore takes 90 ms; a kept run spares it

        return Bucket(self.location)

    @cached_property
    def _removes_by_version(self) -> bool:
        """Whether the store heeds the condition of a removal: an object that is there tells, by one that is wrong."""
        name = layout.probe(secrets.token_hex(16))
        self._bucket.put(name, b"", secrets.token_hex(16))
        heeds = not self._bucket.delete_version(name, '"no such version"')
        if heeds:
            self._bucket.delete(name)
        return heeds

    def _is_there(self, name: str) -> bool:
        try:
            return self._bucket.head(name) is not None
        except StoreRefusedError:
            return False  # who may not list is not told; writing will tell

    def _is_ours(self, name: str, write_id: str) -> bool:
        head = self._bucket.head(name)
        return head is not None and head.write_id == write_id

    def _is_still(self, name: str, version: str) -> bool:
        head = self._bucket.head(name)
        return head is not None and head.etag == version
