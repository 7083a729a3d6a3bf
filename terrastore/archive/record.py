"""RECORD, the list of an installed distribution's files (PyPA: recording installed projects; PEP 376, PEP 627)."""

from __future__ import annotations

import csv
import hashlib
import io
import posixpath
import re
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


_IS_NORMAL: Final = re.compile(r"(?:[^./][^/]*/)*[^./][^/]*").fullmatch
"""Whether a path has no component that is empty or begins with a dot: most have none, and need no closer look."""


class Row(NamedTuple):
    """One line: a path as written, ``sha256=<urlsafe base64>`` or "", and the size in bytes or ""."""

    path: str
    digest: str
    size: str


def parse(data: bytes) -> tuple[Row, ...]:
    """Return the rows of a RECORD file.

    :raises ValueError: when it is not UTF-8 CSV of three columns
    """
    rows = []
    try:
        lines = list(csv.reader(io.StringIO(data.decode(), newline="")))
    except csv.Error as error:
        raise ValueError(str(error)) from None
    for fields in lines:
        if not fields:
            continue
        if len(fields) > len(Row._fields):
            msg = f"a line has {len(fields)} columns"
            raise ValueError(msg)
        rows.append(Row(*[*fields, "", ""][: len(Row._fields)]))
    return tuple(rows)


def write(rows: Iterable[Row]) -> bytes:
    """Return the bytes of a RECORD file with these rows, in this order."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def location(record: str, row: Row) -> str:
    """Return where ``row`` of the RECORD at ``record`` points, relative to the environment; both are posix paths."""
    site_packages = record.rpartition("/")[0].rpartition("/")[0]
    if _IS_NORMAL(row.path) and site_packages:
        return f"{site_packages}/{row.path}"
    return posixpath.normpath(posixpath.join(site_packages, row.path))


def digest_of(data: bytes) -> str:
    """Return ``data``'s digest in RECORD's spelling."""
    return _spelled(hashlib.sha256(data).digest())


class Content(NamedTuple):
    """What a RECORD says of a file that is too large to be in memory: its SHA-256, and its size in bytes."""

    sha256: bytes
    size: int


def updated(rows: Iterable[Row], record: str, contents: Mapping[str, bytes | Content]) -> list[Row]:
    """Return ``rows`` with digest and size taken anew for the files in ``contents``, by path in the environment."""
    fresh = []
    for row in rows:
        data = contents.get(location(record, row))
        if data is None or not row.digest:
            fresh.append(row)
            continue
        content = data if isinstance(data, Content) else Content(hashlib.sha256(data).digest(), len(data))
        fresh.append(Row(row.path, _spelled(content.sha256), str(content.size)))
    return fresh


def amended(data: bytes, record: str, contents: Mapping[str, bytes | Content]) -> bytes:
    """Return a RECORD file with what :func:`updated` says of its rows.

    :raises ValueError: when it is not UTF-8 CSV of three columns
    """
    names = {posixpath.basename(path) for path in contents}
    lines = data.decode().split("\n")
    # Most rows of most files are of nothing that changed; taking all apart would cost more than the rest of a move.
    if b'"' in data or b"\r" in data or any(line and line.count(",") != 2 for line in lines):  # noqa: PLR2004
        return write(updated(parse(data), record, contents))
    for number, line in enumerate(lines):
        if line.partition(",")[0].rpartition("/")[2] in names:
            lines[number] = write(updated(parse(line.encode()), record, contents)).decode().removesuffix("\n")
    return "\n".join(lines).encode()


def _spelled(sha256: bytes) -> str:
    return "sha256=" + urlsafe_b64encode(sha256).rstrip(b"=").decode()
