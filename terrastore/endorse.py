"""Signing what is in a store already: to vouch for it, besides those who did, or for longer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from terrastore import catalogue
from terrastore.envelope import Envelope
from terrastore.errors import ArchiveRefusedError, StoreUnreachableError, UsageError
from terrastore.pointer import UnknownSchemaError
from terrastore.store import layout
from terrastore.trust import ASK_FOR_ANOTHER

if TYPE_CHECKING:
    from terrastore.catalogue import Published
    from terrastore.key import EnvKey
    from terrastore.signing import Signing
    from terrastore.store.protocol import Store
    from terrastore.trust import Trust


def endorse(store: Store, key: EnvKey, signing: Signing, trust: Trust, *, anew: bool) -> Published:
    """Sign the pointer that the store has for ``key``; return what it then stands for.

    Whoever signed it before is not asked about: to vouch for it is what this is for. What it stands for must be there.

    :param anew: issue it anew, with another time at which it expires; signatures that were there are none of that one
    :raises UsageError: when there is none, or no signature of ours would count
    :raises ArchiveRefusedError: when the pointer is malformed or for another realm, or its archive unsound or revoked
    :raises StoreUnreachableError: when somebody else changed it meanwhile
    """
    origin, place = catalogue.writable(catalogue.origin(store)), layout.pointer(key.text)
    current = origin.read(place)
    if current is None:
        raise UsageError(f"{origin} has no {key.short}", hint="see terrastore list")
    try:
        found = catalogue.judged(origin, key, current.data, trust._replace(keys=(), admits_anybody=True))
    except UnknownSchemaError as error:
        raise UsageError(f"{origin} has {key.short}, but {error}", hint="upgrade terrastore here") from None
    with catalogue.naming(found):
        if revoked := trust.revokes(found.manifest().packages, archive=found.pointer.archive.sha256):
            raise ArchiveRefusedError(f"it {revoked}", hint=ASK_FOR_ANOTHER)
    old = Envelope.parse(current.data)
    envelope = signing.sealed(signing.issued(found.pointer)) if anew else signing.signed(old).to_bytes()
    endorsed = catalogue.judged(origin, key, envelope, trust)
    if not origin.replace(place, envelope, current.version):
        raise StoreUnreachableError(f"somebody else changed the pointer of {key.short} in {origin}", hint="run again")
    return endorsed
