"""What installers keep between builds, without the logins that they keep with it.

A server whose answers vary by ``Authorization`` (RFC 9110, section 12.5.5) makes a cache note that header as it was
sent; uv and pip do. Such a note is removed, and its page is asked for again.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from terrastore import atomic
from terrastore.archive.credentials import OF_THE_BUILD
from terrastore.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from terrastore.redaction import Redactor

_AUTHORIZATION: Final = re.compile(rb"\b(Basic|Bearer) [A-Za-z0-9+/=._~-]{4,}")
_UNPACKED: Final = re.compile(r"archive-v\d+")
_GRANULE: Final = 1_000_000_000


@contextmanager
def kept_clean(cache: Path, notes: re.Pattern[str], redactor: Redactor) -> Iterator[None]:
    """Leave no login in the ``notes`` of a ``cache`` that is used meanwhile, nor what a killed run left there.

    When a secret is found in what was made, that does not stay either, for it holds it too.
    """
    since = time.time_ns()
    try:
        yield
    except BuildError as error:
        if OF_THE_BUILD in error.message:
            _forget(cache, since)
        raise
    finally:
        for path in _files(cache):
            if notes.fullmatch(path[len(str(cache)) + 1 :]):
                # Another run may have removed it.
                with suppress(FileNotFoundError):
                    _clean(path, redactor)


def _forget(cache: Path, since: int) -> None:
    if cache.name != "pip":
        # What uv unpacked is named by what it noted elsewhere: it is there whole, or not at all.
        shutil.rmtree(cache, ignore_errors=True)
        return
    for path in _files(cache / "wheels"):
        with suppress(FileNotFoundError):
            # Some filesystems round times.
            if os.stat(path).st_mtime_ns >= since - _GRANULE:
                os.unlink(path)


def _clean(path: str, redactor: Redactor) -> None:
    with open(path, "rb") as file:
        data = file.read()
    if path.endswith(".json"):
        text = data.decode(errors="surrogateescape")
        if (after := redactor.redacted(text)) != text:
            atomic.write_file(path, after.encode(errors="surrogateescape"))
    elif _AUTHORIZATION.search(data) or redactor.is_in(data):
        os.unlink(path)


def _files(folder: Path) -> Iterator[str]:
    """Yield the files below a cache, but those that uv unpacked: these are packages, and most of it."""
    for place, folders, names in os.walk(folder):
        folders[:] = (name for name in folders if not _UNPACKED.fullmatch(name) or place != str(folder))
        for name in names:
            path = f"{place}/{name}"
            if not os.path.islink(path):
                yield path
