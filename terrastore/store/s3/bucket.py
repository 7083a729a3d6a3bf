"""Requests to S3, each with what can come back: an answer, "not there", or an error of ours."""

from __future__ import annotations

import base64
import hashlib
import random
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from terrastore.errors import StoreUnreachableError
from terrastore.store import ranges
from terrastore.store.protocol import WHOLE_LIMIT, Listed, Unfinished
from terrastore.store.s3 import trouble
from terrastore.store.s3.client import client

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from terrastore.store.s3.location import Location

_TRIES: Final = 4
_WRITE_ID: Final = "writeid"
_TYPES: Final = {".json": "application/json", ".zst": "application/zstd"}
_OTHER_VERSION: Final = frozenset({HTTPStatus.PRECONDITION_FAILED, HTTPStatus.CONFLICT})
_CHECKSUMS: Final = frozenset(f"Checksum{kind}" for kind in ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"))
_ABOUT_CONDITIONS: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.PRECONDITION_FAILED, HTTPStatus.NOT_IMPLEMENTED})


@dataclass(frozen=True, slots=True)
class Got:
    """What GetObject gave."""

    data: bytes
    etag: str


@dataclass(frozen=True, slots=True)
class Head:
    """What HeadObject gave; ``write_id`` names the request that wrote the object, "" when nobody said.

    ``checksums`` of the whole object, by kind, as far as S3 has them.
    """

    etag: str
    write_id: str
    size: int
    checksums: Mapping[str, str]


class Bucket:
    """The objects below a location's prefix. Any number of threads may use it.

    Every method raises StoreRefusedError when S3 says no, StoreUnreachableError when it does not answer or makes no
    sense, and UsageError when it cannot be asked with the configuration there is. ``refuses_conditions`` is set when
    it says that it has no conditional writes.
    """

    def __init__(self, location: Location) -> None:
        self.location = location
        self.refuses_conditions = False

    def get(self, name: str) -> Got | None:
        """Return a whole object, None when it is not there."""
        with self._speaking(f"read {name}"):
            return self._get(name, {}, lambda _answer: None)

    def get_range(self, name: str, offset: int, size: int, *, etag: str | None) -> Got | None:
        """Return what of ``size`` bytes from ``offset`` the object has, None when it is not there.

        :param etag: refuse an object that is another by now
        """
        parameters = {"Range": ranges.wanted(offset, size)} | ({"IfMatch": etag} if etag else {})
        with self._speaking(f"read {name}"):
            try:
                return self._get(
                    name, parameters, lambda answer: ranges.announced(answer.get("ContentRange"), offset, size)
                )
            except ClientError as error:
                if trouble.status(error) == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                    return Got(b"", "")
                if trouble.status(error) == HTTPStatus.PRECONDITION_FAILED:
                    raise StoreUnreachableError(
                        f"{name} in {self.location} was replaced while it was read", hint="run again"
                    ) from error
                raise

    def head(self, name: str, *, checksums: bool = False) -> Head | None:
        """Return what is known of an object, ``checksums`` too when they are wanted; None when it is not there."""
        with self._speaking(f"read {name}"):
            try:
                answer = self._client().head_object(
                    **self._place(name), **({"ChecksumMode": "ENABLED"} if checksums else {})
                )
            except ClientError as error:
                if trouble.is_missing(error):
                    return None
                raise
            _check(answer)
            # Some stores change the case of names.
            metadata = {key.lower(): value for key, value in answer.get("Metadata", {}).items()}
            # Of an object in parts it may be one of the parts' checksums, with their number behind.
            told = {kind: str(each) for kind, each in answer.items() if kind in _CHECKSUMS and "-" not in each}
            return Head(answer["ETag"], metadata.get(_WRITE_ID, ""), int(answer["ContentLength"]), told)

    def put(self, name: str, data: bytes, write_id: str, *, is_large: bool = False, **condition: str) -> bool:
        """Write an object; return False when ``condition``, IfMatch or IfNoneMatch, does not hold."""
        parameters = self._place(name) | self._new(name, write_id) | {"Body": data, "ContentMD5": _md5(data)}
        with self._speaking(f"write {name}"):
            for attempt in range(_TRIES):
                try:
                    answer = self._client(patient=is_large).put_object(**parameters, **condition)
                except ClientError as error:
                    number = trouble.status(error)
                    if number == HTTPStatus.CONFLICT and (condition or attempt < _TRIES - 1):
                        _pause(attempt)
                    elif not condition or number not in _ABOUT_CONDITIONS:
                        raise
                    elif number == HTTPStatus.NOT_IMPLEMENTED:
                        self.refuses_conditions, condition = True, {}
                    elif number == HTTPStatus.PRECONDITION_FAILED or trouble.is_missing(error):
                        return False
                    else:
                        raise
                else:
                    _check(answer)
                    return True
            return False

    @property
    def service(self) -> tuple[str, str]:
        """The endpoint and the region; a service copies between the buckets that it has there."""
        with self._speaking("find out where it is"):
            made = self._client().meta
            return made.endpoint_url, made.region_name

    def copy(self, name: str, source: Bucket, etag: str, write_id: str, **condition: str) -> bool:
        """Copy an object of another bucket by that name, the one with ``etag``; return False when S3 says no."""
        parameters = self._place(name) | self._new(name, write_id) | self._source(source, name, etag)
        # What is new says of itself what every new object does, and not what the source's said.
        parameters |= {"MetadataDirective": "REPLACE", "TaggingDirective": "REPLACE"}
        with self._speaking(f"copy {name}"):
            try:
                answer = self._client(patient=True).copy_object(**parameters, **condition)
            except ClientError as error:
                if trouble.is_refusal(error):
                    return False
                raise
            _check(answer, "CopyObjectResult")
            return True

    def copy_part(
        self, name: str, upload_id: str, number: int, source: Bucket, etag: str, offset: int, size: int
    ) -> str:
        """Copy ``size`` bytes from ``offset`` of another bucket's object as a part; return its ETag."""
        parameters = self._place(name) | self._source(source, name, etag)
        parameters |= {"UploadId": upload_id, "PartNumber": number, "CopySourceRange": ranges.wanted(offset, size)}
        with self._speaking(f"copy {name}"):
            answer = self._client(patient=True).upload_part_copy(**parameters)
            _check(answer, "CopyPartResult")
            return str(answer["CopyPartResult"]["ETag"])

    def delete(self, name: str) -> None:
        """Remove an object; one that is not there is no trouble."""
        with self._speaking(f"remove {name}"):
            self._client().delete_object(**self._place(name))

    def delete_version(self, name: str, etag: str) -> bool:
        """Remove an object unless its ETag is another; return whether it was removed, as far as the store can tell.

        One that ignores the condition removes it, and one that knows no such condition is told as if it did.
        """
        with self._speaking(f"remove {name}"):
            try:
                self._client().delete_object(**self._place(name), IfMatch=etag)
            except ClientError as error:
                if trouble.status(error) == HTTPStatus.NOT_IMPLEMENTED:
                    self._client().delete_object(**self._place(name))
                elif trouble.status(error) in _OTHER_VERSION or trouble.is_missing(error):
                    return False
                else:
                    raise
            return True

    def list(self, prefix: str) -> Iterator[Listed]:
        """Yield the objects whose names begin with ``prefix``, page by page."""
        own = self.location.prefix
        with self._speaking("list what it has"):
            pages = self._client().get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self.location.bucket, Prefix=own + prefix):
                _check(page, "Name")
                for item in page.get("Contents", ()):
                    yield Listed(
                        item["Key"].removeprefix(own),
                        item["Size"],
                        item["LastModified"].timestamp(),
                        _quoted(item.get("ETag", "")),
                    )

    def begin_upload(self, name: str, write_id: str) -> str:
        """Begin a multipart upload; return its id."""
        with self._speaking(f"write {name}"):
            answer = self._client().create_multipart_upload(**self._place(name), **self._new(name, write_id))
            _check(answer, "UploadId")
            return str(answer["UploadId"])

    def put_part(self, name: str, upload_id: str, number: int, data: bytes) -> str:
        """Upload a part; return its ETag."""
        with self._speaking(f"write {name}"):
            answer = self._client(patient=True).upload_part(
                **self._place(name), UploadId=upload_id, PartNumber=number, Body=data, ContentMD5=_md5(data)
            )
            _check(answer)
            return str(answer["ETag"])

    def end_upload(self, name: str, upload_id: str, etags: Sequence[str], write_id: str) -> None:
        """Make the parts one object."""
        parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, start=1)]
        with self._speaking(f"write {name}"):
            try:
                answer = self._client(patient=True).complete_multipart_upload(
                    **self._place(name), UploadId=upload_id, MultipartUpload={"Parts": parts}
                )
            except ClientError:
                # When the reply was lost, asking again finds that the upload has ended.
                head = self.head(name)
                if head is None or head.write_id != write_id:
                    raise
            else:
                _check(answer)

    def abort_upload(self, name: str, upload_id: str) -> None:
        """Discard the parts; an upload that is over is no trouble."""
        with self._speaking(f"discard {name}"):
            try:
                self._client().abort_multipart_upload(**self._place(name), UploadId=upload_id)
            except ClientError as error:
                if not trouble.is_over(error):
                    raise

    def uploads(self, prefix: str) -> Collection[Unfinished]:
        """Return the first thousand uploads that are under way to names that begin with ``prefix``."""
        own = self.location.prefix
        with self._speaking("list unfinished uploads"):
            try:
                answer = self._client().list_multipart_uploads(Bucket=self.location.bucket, Prefix=own + prefix)
            except ClientError as error:
                if trouble.is_over(error):  # so some say that there are none
                    return []
                raise
            _check(answer, "Bucket")
            # A service that does not heed the prefix must not lead us to what is somebody else's.
            return [
                Unfinished(item["Key"].removeprefix(own), item["UploadId"], item["Initiated"].timestamp())
                for item in answer.get("Uploads", ())
                if item["Key"].startswith(own + prefix)
            ]

    def _get(self, name: str, parameters: Mapping[str, str], announced: Callable[[Any], int | None]) -> Got | None:
        """Get an object or a range; botocore tries again to get an answer, and this to get its body."""
        problem: Exception
        for attempt in range(_TRIES):
            try:
                answer = self._client().get_object(**self._place(name), **parameters)
            except ClientError as error:
                if trouble.is_missing(error):
                    return None
                raise
            _check(answer)
            size = announced(answer)
            try:
                data = answer["Body"].read() if size is not None else _whole(answer["Body"])
            except BotoCoreError as error:
                problem = error
            else:
                if size is None or len(data) == size:
                    return Got(data, answer["ETag"])
                problem = trouble.NonsenseError(f"it announced {size:,} bytes and sent {len(data):,}")
            _pause(attempt)
        raise problem

    def _client(self, *, patient: bool = False) -> Any:
        return client(self.location.connection, patient=patient)

    def _place(self, name: str) -> dict[str, str]:
        return {"Bucket": self.location.bucket, "Key": self.location.prefix + name}

    @staticmethod
    def _source(source: Bucket, name: str, etag: str) -> dict[str, Any]:
        return {"CopySource": source._place(name), "CopySourceIfMatch": etag}

    def _new(self, name: str, write_id: str) -> dict[str, Any]:
        """Return what is said of a new object."""
        kind = next((kind for suffix, kind in _TYPES.items() if name.endswith(suffix)), "application/octet-stream")
        return {"ContentType": kind, "Metadata": {_WRITE_ID: write_id}, **self.location.writing}

    def _speaking(self, doing: str) -> AbstractContextManager[None]:
        return trouble.speaking(self.location, self.location.bucket, doing)


def _whole(body: Any) -> bytes:
    """Return an object's bytes, of a large one a byte more than is read whole."""
    data: bytes = body.read(WHOLE_LIMIT + 1)
    if len(data) > WHOLE_LIMIT or body.read(1):  # which notices one that was broken off
        body.close()
    return data


def _check(answer: Mapping[str, Any], needed: str = "ETag") -> None:
    """Refuse an answer of success that S3 cannot have given: it always says what is ``needed``."""
    kind = answer.get("ContentType", "")
    if needed not in answer or kind.startswith("text/html"):
        msg = f"the answer is none of S3's{f' but {kind}' if kind else ''}: is that a proxy?"
        raise trouble.NonsenseError(msg)


def _quoted(etag: str) -> str:
    """Return an ETag as answers for objects have it; listings of some stores leave the quotes out."""
    return '"' + etag.strip('"') + '"'


def _md5(data: bytes) -> str:
    """Return what the store compares the body with that arrives (RFC 1864)."""
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def _pause(attempt: int) -> None:
    time.sleep(random.uniform(0, 0.1 * 2**attempt))  # noqa: S311 -- spreads those who try at once
