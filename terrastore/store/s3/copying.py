"""An object that S3 copies by itself: its bytes do not leave the service."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from terrastore.errors import StoreRefusedError, StoreUnreachableError
from terrastore.store.s3.upload import MultipartUpload

if TYPE_CHECKING:
    from terrastore.store.s3.bucket import Bucket, Head

# S3 takes up to 5 GB in one request, but whoever gets no answer in time gives up.
_ONE_REQUEST: Final = 1024 * 1024 * 1024
_PART_SIZE: Final = 256 * 1024 * 1024


def copied(bucket: Bucket, source: Bucket, name: str, size: int) -> bool:
    """Copy an object of ``size`` bytes from another bucket of the same service; return whether it is there now.

    False when the source has no such object, or S3 says no: the credentials of ``bucket`` must be good for both.

    :raises StoreUnreachableError: when S3 does not answer, or what it has then is not the same
    """
    there = bucket.head(name)
    if there is not None and there.size == size:
        return True
    found = source.head(name, checksums=True)
    if found is None or found.size != size:
        return False
    if size > _ONE_REQUEST:
        is_done = _copied_in_parts(bucket, source, name, found)
    else:
        condition = {"IfNoneMatch": "*"} if there is None else {}
        is_done = bucket.copy(name, source, found.etag, secrets.token_hex(16), **condition)
    there = bucket.head(name, checksums=True)
    if there is None or there.size != size:
        if not is_done:
            return False
        raise StoreUnreachableError(f"{bucket.location} copied {name}, and has it not", hint="run again")
    if _differ(found, there):
        raise StoreUnreachableError(
            f"{bucket.location} copied {name}, and its checksum is another one now", hint="run again"
        )
    return True


def _copied_in_parts(bucket: Bucket, source: Bucket, name: str, found: Head) -> bool:
    upload = MultipartUpload(bucket, name)
    try:
        for offset in range(0, found.size, _PART_SIZE):
            upload.copy(source, found.etag, offset, min(_PART_SIZE, found.size - offset))
        upload.complete()
    except StoreRefusedError:
        upload.abort()
        return False
    except BaseException:
        upload.abort()
        raise
    return True


def _differ(one: Head, other: Head) -> bool:
    """Whether S3 tells checksums of both that are of the same kind, and not the same."""
    return any(other.checksums.get(kind, value) != value for kind, value in one.checksums.items())
