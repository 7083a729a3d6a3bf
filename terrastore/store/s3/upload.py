"""A large object on its way to S3: parts go up while later ones are still made, or S3 copies them."""

from __future__ import annotations

import secrets
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from terrastore.errors import TerrastoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from terrastore.store.s3.bucket import Bucket

    Put = Callable[[str, int], str]

PART_SIZE: Final = 16 * 1024 * 1024
_PARALLEL: Final = 4
"""Most parts that are on their way at once; as many are in memory, and one that is being filled."""
_PARTING_SECONDS: Final = 4.0
"""How long what is on its way, and then the store, is waited for when an upload is given up."""


class MultipartUpload:
    """An object written in pieces of any size. One that is smaller than a part takes a single request.

    Threads that a process does not wait for at its end send the parts: a store that does not answer must not keep
    somebody who interrupts.
    """

    def __init__(self, bucket: Bucket, name: str) -> None:
        self._bucket = bucket
        self._name = name
        self._write_id = secrets.token_hex(16)
        self._upload_id: str | None = None
        self._part = bytearray()
        self._room = threading.Semaphore(_PARALLEL)
        self._sending: list[threading.Thread] = []
        self._etags: dict[int, str] = {}
        self._trouble: list[Exception] = []

    def write(self, data: bytes, /) -> None:
        """Take the next bytes; waits while enough parts are on their way."""
        view = memoryview(data)
        while view:
            room = PART_SIZE - len(self._part)
            self._part += view[:room]
            view = view[room:]
            if len(self._part) == PART_SIZE:
                self._send_part()

    def copy(self, source: Bucket, etag: str, offset: int, size: int) -> None:
        """Let S3 take ``size`` bytes from ``offset`` of another bucket's object by that name; not to be mixed."""

        def copy(upload_id: str, number: int) -> str:
            return self._bucket.copy_part(self._name, upload_id, number, source, etag, offset, size)

        self._send(copy)

    def complete(self) -> None:
        """Publish the object."""
        if self._upload_id is None:
            self._bucket.put(self._name, bytes(self._part), self._write_id, is_large=True)
            return
        if self._part:
            self._send_part()
        for thread in self._sending:
            thread.join()
        self._raise_trouble()
        etags = [self._etags[number] for number in sorted(self._etags)]
        self._bucket.end_upload(self._name, self._upload_id, etags, self._write_id)

    def abort(self) -> None:
        """Discard what was sent, as far as the store helps; what hinders that is not worth more than what led here."""
        if self._upload_id is not None:
            # A part that arrives after its upload was discarded could stay.
            _join(self._sending)
            discarding = threading.Thread(target=self._discard, args=(self._upload_id,), daemon=True)
            discarding.start()
            _join([discarding])

    def _discard(self, upload_id: str) -> None:
        with suppress(TerrastoreError):
            self._bucket.abort_upload(self._name, upload_id)

    def _send_part(self) -> None:
        part, self._part = bytes(self._part), bytearray()

        def put(upload_id: str, number: int) -> str:
            return self._bucket.put_part(self._name, upload_id, number, part)

        self._send(put)

    def _send(self, put: Put) -> None:
        """Let ``put`` make the next part, given the upload and the part's number, from which it gets the ETag."""
        if self._upload_id is None:
            self._upload_id = self._bucket.begin_upload(self._name, self._write_id)
        self._room.acquire()
        self._raise_trouble()
        number = len(self._sending) + 1
        thread = threading.Thread(target=self._put, args=(self._upload_id, number, put), daemon=True)
        self._sending.append(thread)
        thread.start()

    def _put(self, upload_id: str, number: int, put: Put) -> None:
        try:
            self._etags[number] = put(upload_id, number)
        except Exception as error:  # noqa: BLE001 -- raised where it is waited for
            self._trouble.append(error)
        finally:
            self._room.release()

    def _raise_trouble(self) -> None:
        if self._trouble:
            raise self._trouble[0]


def _join(threads: list[threading.Thread]) -> None:
    until = time.monotonic() + _PARTING_SECONDS
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
