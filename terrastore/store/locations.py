"""From a URL to a store: the one place that knows every kind."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from terrastore import folders
from terrastore.errors import UsageError
from terrastore.redaction import without_secrets
from terrastore.store.directory import DirectoryStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from terrastore.store.protocol import Store

# A directory of such a name can be written as ./s3:…
_ALMOST_URL: Final = r"(?i)(s3|https?|file)(?::(?!//)|//)"
_KINDS: Final = "name a directory, s3://bucket/prefix, or https:// to read alone"


def open_stores(urls: Sequence[str]) -> Store:
    """Return the stores at ``urls``, nearest first, as one.

    When none is named it is a directory in the user's data folder, made with its parents when it is first written.

    :raises UsageError: for an unknown kind of store
    """
    if not urls:
        return DirectoryStore(f"{folders.user_data()}/store", with_parents=True)
    # One that is named twice, such as with a slash behind, is one.
    stores = list({str(store): store for store in map(open_store, urls)}.values())
    if len(stores) == 1:
        return stores[0]
    from terrastore.store.layered import LayeredStore  # noqa: PLC0415 -- most name one

    return LayeredStore(stores)


def is_same(store: Store, other: Store) -> bool:
    """Whether two stores are in the same place, whatever credentials lead there."""
    if isinstance(store, DirectoryStore) and isinstance(other, DirectoryStore):
        return os.path.realpath(store.root) == os.path.realpath(other.root)
    if str(store) != str(other):
        return False
    from terrastore.store.s3 import S3Store  # noqa: PLC0415 -- see open_store

    if isinstance(store, S3Store) and isinstance(other, S3Store):
        # A bucket of that name may be elsewhere too.
        return store.location.connection.endpoint_url == other.location.connection.endpoint_url
    return True


def open_store(url: str) -> Store:
    """Return the store at ``url``.

    That is a path, ``file://`` with percent-encoding, ``s3://bucket/prefix``, or ``https://`` to be read only.

    :raises UsageError: for an unknown kind of store
    """
    if not url:
        raise UsageError("--store is empty", hint=_KINDS)
    url = url.strip()
    if match := re.match(_ALMOST_URL, url):
        raise UsageError(
            f"--store {without_secrets(url)} is neither a URL nor a path", hint=f"did you mean {match[1].lower()}://…?"
        )
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", url):
        return DirectoryStore(os.path.abspath(os.path.expanduser(url)))
    from urllib.parse import unquote, urlsplit  # noqa: PLC0415 -- a path needs none

    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise UsageError(f"--store is no URL: {error}", hint=_KINDS) from None
    if parts.scheme == "file" and parts.netloc in {"", "localhost"} and parts.path.startswith("/"):
        return DirectoryStore(os.path.normpath(unquote(parts.path)))
    if parts.scheme == "s3":
        from terrastore.store.s3 import S3Store  # noqa: PLC0415 -- each kind for those who use it

        return S3Store(url)
    if parts.scheme in {"https", "http"}:
        from terrastore.store.http import HttpStore  # noqa: PLC0415

        return HttpStore(url)
    raise UsageError(f"{parts.scheme}:// is not a kind of store that terrastore knows", hint=_KINDS)
