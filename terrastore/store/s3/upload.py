"""A large object on its way to S3: parts go up while later ones are still made."""

from __future__ import annotations

import secrets
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from terrastore.errors import TerrastoreError

if TYPE_CHECKING:
    from terrastore.store.s3.bucket import Bucket

PART_SIZE: Final = 16 * 1024 * 1024
_PARALLEL: Final = 4
"""Most parts that are on their way at once; as many are in memory, and one that is being filled."""


class MultipartUpload:
    """An object written in pieces of any size. One that is smaller than a part takes a single request."""

    def __init__(self, bucket: Bucket, name: str) -> None:
        self._bucket = bucket
        self._name = name
        self._write_id = secrets.token_hex(16)
        self._upload_id: str | None = None
        self._part = bytearray()
        self._pool = ThreadPoolExecutor(_PARALLEL)
        self._sending: deque[Future[str]] = deque()
        self._etags: list[str] = []

    def write(self, data: bytes, /) -> None:
        """Take the next bytes; waits while enough parts are on their way."""
        view = memoryview(data)
        while view:
            room = PART_SIZE - len(self._part)
            self._part += view[:room]
            view = view[room:]
            if len(self._part) == PART_SIZE:
                self._send()

    def complete(self) -> None:
        """Publish the object."""
        if self._upload_id is None:
            self._bucket.put(self._name, bytes(self._part), self._write_id)
        else:
            if self._part:
                self._send()
            while self._sending:
                self._etags.append(self._sending.popleft().result())
            self._bucket.end_upload(self._name, self._upload_id, self._etags, self._write_id)
        self._pool.shutdown()

    def abort(self) -> None:
        """Discard what was sent; what hinders that is not worth more than what led here."""
        # A part that arrives after its upload was discarded would stay.
        self._pool.shutdown(cancel_futures=True)
        if self._upload_id is not None:
            with suppress(TerrastoreError):
                self._bucket.abort_upload(self._name, self._upload_id)

    def _send(self) -> None:
        if self._upload_id is None:
            self._upload_id = self._bucket.begin_upload(self._name, self._write_id)
        if len(self._sending) == _PARALLEL:
            self._etags.append(self._sending.popleft().result())
        number = len(self._etags) + len(self._sending) + 1
        part, self._part = bytes(self._part), bytearray()
        self._sending.append(self._pool.submit(self._bucket.put_part, self._name, self._upload_id, number, part))
