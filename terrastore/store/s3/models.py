"""botocore's descriptions of services, of which as much is parsed as S3 needs.

They are three megabytes of JSON: parsed whole they take longer than the first request. What is not needed is cut out
of their text by its layout, lines that are indented by so much; a text that is laid out otherwise is parsed whole.
"""

from __future__ import annotations

import gzip
import json
import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from botocore.loaders import JSONFileLoader, Loader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

SERVICES: Final = ("s3", "signin", "sso", "sso-oidc", "sts")
"""S3, and where credentials can come from."""
OPERATIONS: Final = (
    b"AbortMultipartUpload",
    b"CompleteMultipartUpload",
    b"CopyObject",
    b"CreateMultipartUpload",
    b"CreateSession",  # botocore's own, for directory buckets
    b"DeleteObject",
    b"GetObject",
    b"HeadBucket",  # botocore's own, when a bucket is in another region
    b"HeadObject",
    b"ListMultipartUploads",
    b"ListObjectsV2",
    b"PutObject",
    b"UploadPart",
    b"UploadPartCopy",
)
_S3: Final = os.path.join("s3", "2006-03-01", "service-2")
_MEMBER: Final = re.compile(rb'\n    "(\w+)":\{')
_REFERENCE: Final = re.compile(rb'"shape":"(\w+)"')
_SERVICES: Final = b'\n    "services" : {'
# Where endpoints are listed, services go by the names of their hosts.
_SERVICE: Final = re.compile(rb'\n      "(?:s3|oidc|portal\.sso|signin|sso|sts)" : \{.*?\n      \}', re.DOTALL)
_FORMS: Final[Mapping[str, Callable[[bytes], bytes]]] = {".json": bytes, ".json.gz": gzip.decompress}


def restrict(loader: Loader) -> None:
    """Let a session's loader know the services that are needed, and read of them what is needed."""
    # Looking for all four hundred services on disk takes longer than the first request.
    loader.list_available_services = lambda _type_name: list(SERVICES)
    loader.file_loader = _Files()


class _Files(JSONFileLoader):  # type: ignore[misc]  # botocore has no types
    """Reads descriptions, those that come with botocore in part; what an administrator puts in their place, whole."""

    def load_file(self, file_path: str) -> Any:
        """Return what is in the file of a name without its suffix, None when there is none."""
        for suffix, unpacked in _FORMS.items():
            with suppress(FileNotFoundError, NotADirectoryError), open(file_path + suffix, "rb") as file:
                return _parsed(unpacked(file.read()), os.path.relpath(file_path, Loader.BUILTIN_DATA_PATH))
        return None


def _parsed(text: bytes, name: str) -> Any:
    cut = _CUTS.get(name)
    if cut is not None:
        with suppress(LookupError, ValueError):
            return json.loads(cut(text))
    return json.loads(text)


def _without_operations(text: bytes) -> bytes:
    """Return a service's description with the operations that are needed, and their shapes."""
    start, operations, end = _members(text, b'\n  "operations":{', 0)
    shapes_start, shapes, shapes_end = _members(text, b'\n  "shapes":{', end)
    wanted = [text[operations[name]] for name in OPERATIONS]
    needed: dict[bytes, bytes] = {}
    missing = _shapes_of(wanted)
    while missing := missing - needed.keys():
        found = {name: text[shapes[name]] for name in missing}
        needed |= found
        missing = _shapes_of(found.values())
    kept = (text[:start], b",".join(wanted), text[end:shapes_start], b",".join(needed.values()), text[shapes_end:])
    return b"".join(kept)


def _members(text: bytes, opening: bytes, after: int) -> tuple[int, dict[bytes, slice], int]:
    """Return (where they start, where each one is, where they end) of the members of the object that ``opening`` opens.

    :raises ValueError: when it is not there, or does not end where a line is indented as its own first one
    """
    start = text.index(opening, after) + len(opening)
    end = text.index(b"\n  }", start)
    found = list(_MEMBER.finditer(text, start, end))
    # Each ends before the comma that the next one follows.
    ends = [*(each.start() - 1 for each in found[1:]), end]
    return start, {each[1]: slice(each.start(), stop) for each, stop in zip(found, ends, strict=True)}, end


def _shapes_of(descriptions: Iterable[bytes]) -> set[bytes]:
    return {name for each in descriptions for name in _REFERENCE.findall(each)}


def _without_services(text: bytes) -> bytes:
    """Return the endpoints of all services without those of services that are not needed."""
    head, *partitions = text.split(_SERVICES)
    kept = [head]
    for each in partitions:
        end = each.index(b"\n    }")
        kept.append(b",".join(_SERVICE.findall(each, 0, end)) + each[end:])
    if not all(b'"s3" : {' in each for each in kept[1:]) or not partitions:
        msg = "it is not laid out as is thought"
        raise ValueError(msg)
    return _SERVICES.join(kept)


_CUTS: Final[Mapping[str, Callable[[bytes], bytes]]] = {"endpoints": _without_services, _S3: _without_operations}
