"""What a request asks of S3, and how it is signed."""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection
    from http.client import HTTPMessage

# The first that fits: method, what is named (an account, its bucket, a key in that), and what the query must have.
OPERATIONS: tuple[tuple[str, str, set[str], str], ...] = (
    ("GET", "key", {"uploadId"}, "ListParts"),
    ("GET", "key", set(), "GetObject"),
    ("HEAD", "key", set(), "HeadObject"),
    ("PUT", "key", {"uploadId", "partNumber"}, "UploadPart"),
    ("PUT", "key", set(), "PutObject"),
    ("POST", "key", {"uploads"}, "CreateMultipartUpload"),
    ("POST", "key", {"uploadId"}, "CompleteMultipartUpload"),
    ("DELETE", "key", {"uploadId"}, "AbortMultipartUpload"),
    ("DELETE", "key", set(), "DeleteObject"),
    ("GET", "bucket", {"list-type"}, "ListObjectsV2"),
    ("GET", "bucket", {"uploads"}, "ListMultipartUploads"),
    ("GET", "bucket", {"versions"}, "ListObjectVersions"),
    ("GET", "bucket", {"location"}, "GetBucketLocation"),
    ("GET", "bucket", set(), "ListObjects"),
    ("HEAD", "bucket", set(), "HeadBucket"),
    ("PUT", "bucket", set(), "CreateBucket"),
    ("POST", "bucket", {"delete"}, "DeleteObjects"),
    ("DELETE", "bucket", set(), "DeleteBucket"),
    ("GET", "account", set(), "ListBuckets"),
)


_COPYING = {"PutObject": "CopyObject", "UploadPart": "UploadPartCopy"}


def operation(method: str, path: str, query: Collection[str], *, copies: bool = False) -> str:
    """Return the operation's name, where the bucket is part of the path: ``GetObject``.

    :param copies: whether a header names another object to be copied
    """
    bucket, _, key = path.lstrip("/").partition("/")
    named = "key" if key else "bucket" if bucket else "account"
    for a_method, what, needed, name in OPERATIONS:
        if (a_method, what) == (method, named) and needed <= set(query):
            return _COPYING.get(name, name) if copies else name
    return f"{method} of {named}"


def signature(method: str, target: str, headers: HTTPMessage, secret: str) -> str:
    """Return the Authorization header for a request with other headers than those it was signed with."""
    was = dict(re.findall(r"(\w+)=([^,\s]+)", headers["Authorization"]))
    names = [name for name in was["SignedHeaders"].split(";") if name in headers]
    path, _, query = target.partition("?")
    parameters = sorted(part if "=" in part else f"{part}=" for part in query.split("&") if part)
    signed = [f"{name}:{' '.join(headers[name].split())}" for name in names]
    digest = headers["X-Amz-Content-SHA256"]
    canonical = "\n".join([method, path, "&".join(parameters), *signed, "", ";".join(names), digest])
    access_key, *scope = was["Credential"].split("/")
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", headers["X-Amz-Date"], "/".join(scope), hashed])
    key = f"AWS4{secret}".encode()
    for part in (*scope, text):
        key = hmac.digest(key, part.encode(), "sha256")
    credential = "/".join((access_key, *scope))
    return f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={';'.join(names)}, Signature={key.hex()}"
