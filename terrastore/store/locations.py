"""From a URL to a store: the one place that knows every kind."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from terrastore.errors import UsageError
from terrastore.store.directory import DirectoryStore

if TYPE_CHECKING:
    from terrastore.store.protocol import Store


def default_store(path: str) -> Store:
    """Return the store that is used when none is named: a directory, made with its parents when it is first written."""
    return DirectoryStore(path, with_parents=True)


def open_store(url: str) -> Store:
    """Return the store at ``url``: a path, or ``file://`` with percent-encoding.

    :raises UsageError: for an unknown kind of store
    """
    if not url:
        raise UsageError("--store is empty", hint="name a directory, by its path or by file:///path")
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", url):
        return DirectoryStore(os.path.abspath(os.path.expanduser(url)))
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise UsageError(
            f"--store is no URL: {error}", hint="name a directory, by its path or by file:///path"
        ) from None
    if parts.scheme == "file" and parts.netloc in {"", "localhost"} and parts.path.startswith("/"):
        return DirectoryStore(os.path.normpath(unquote(parts.path)))
    raise UsageError(
        f"{parts.scheme}:// is not a kind of store that terrastore knows",
        hint="name a directory, by its path or by file:///path",
    )
