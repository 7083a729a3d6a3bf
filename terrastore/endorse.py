"""Signing what is in a store already: to vouch for it, besides those who did, or for longer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from terrastore import catalogue
from terrastore.errors import StoreUnreachableError, UsageError
from terrastore.pointer import UnknownSchemaError
from terrastore.store import layout

if TYPE_CHECKING:
    from terrastore.catalogue import Published
    from terrastore.key import EnvKey
    from terrastore.store.protocol import Store
    from terrastore.trust import Trust
    from terrastore.trust.signing import Signing


def endorse(store: Store, key: EnvKey, signing: Signing, trust: Trust, *, unsigned: bool = False) -> Published:
    """Sign the pointer that the store has for ``key``; return what it then stands for, which must be there.

    :param unsigned: sign also what nobody who is trusted has signed: what anybody may have put there
    :raises UsageError: when there is none, or no signature of ours would count
    :raises ArchiveRefusedError: when the pointer is malformed, for another realm or not trusted; when its archive is
        unsound or revoked
    :raises StoreUnreachableError: when somebody else changed it meanwhile
    """
    origin, place = catalogue.writable(catalogue.origin(store)), layout.pointer(key.text)
    current = origin.read(place)
    if current is None:
        raise UsageError(f"{origin} has no {key.short}", hint="see terrastore list")
    try:
        asked = trust._replace(keys=(), admits_anybody=True) if unsigned else trust
        found = catalogue.judged(origin, key, current.data, asked)
    except UnknownSchemaError as error:
        raise UsageError(f"{origin} has {key.short}, but {error}", hint="upgrade terrastore here") from None
    with catalogue.naming(found):
        trust.refuse_revoked(found.manifest().packages, archive=found.pointer.archive.sha256)
    envelope = signing.vouched(found.pointer, current.data)
    endorsed = catalogue.judged(origin, key, envelope, trust)
    if not origin.replace(place, envelope, current.version):
        raise StoreUnreachableError(f"somebody else changed the pointer of {key.short} in {origin}", hint="run again")
    return endorsed
