"""Putting terrastore itself into a store: its files, the index of them, then what leads to that."""

from __future__ import annotations

import hashlib
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from terrastore import __version__, catalogue, interpreter, standalone, times
from terrastore.boot.documents import PAYLOAD_TYPE, File, Index, Lead, Part
from terrastore.boot.wheels import oldest_libc, wheels
from terrastore.errors import StoreRefusedError, StoreUnreachableError
from terrastore.host import Host
from terrastore.store import layout
from terrastore.store.protocol import ListableStore, WritableStore
from terrastore.trust import UntrustedError
from terrastore.trust.envelope import Envelope, EnvelopeError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from terrastore.boot.wheels import Wheel
    from terrastore.report import Report
    from terrastore.store.protocol import Store
    from terrastore.trust import Trust
    from terrastore.trust.signing import Signing

_TRIES: Final = 5
_PIECE: Final = 8 * 1024 * 1024
RELOCATE: Final = "relocate.pyz"


class Offer(NamedTuple):
    """What is published: the index, as it is stored too, and the files that it names, with their contents."""

    listing: Index
    data: bytes
    files: tuple[tuple[File, bytes], ...]

    @property
    def sha256(self) -> str:
        """The digest of the index, which fixes everything."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file, _ in self.files)


class Published(NamedTuple):
    """What came of it: ``stores`` have it, and in those of ``changed`` it was not what counted before."""

    offer: Offer
    stores: Sequence[Store]
    changed: Sequence[Store]


def publish(store: Store, *, trust: Trust, signing: Signing, lasts: float | None, report: Report) -> Published:
    """Publish the terrastore that runs, for its interpreter and platform, wherever ``store`` can be written.

    What is there already stays, once it was read and is what it is called.

    :raises UsageError: when it is not installed as it was released, or a signer cannot be used
    :raises StoreRefusedError: when the store says no, or is none that can be written
    :raises StoreUnreachableError: when it does not answer
    """
    signing.prepare()
    if not signing.may_publish:
        raise StoreRefusedError(
            f"what is published without a key would not count here: {trust.file} demands signatures",
            hint="name a key with --signer",
        )
    places = _writable(store)
    with report.phase("wheels", unit="wheels") as phase:
        offer = offered(phase.advance)
    lead = Lead(
        tag=offer.listing.tag,
        version=__version__,
        sha256=offer.sha256,
        size=len(offer.data),
        created=times.now(),
        builder=f"terrastore {__version__} on {socket.gethostname()}",
        realm=trust.realm or "",
        expires=times.after(lasts) if lasts is not None else None,
    )
    changed = []
    with report.phase("publish", unit="files") as phase:
        # The farthest first: it is the one that all others are filled from.
        for place in reversed(places):
            for file, content in offer.files:
                _put(place, layout.itself_file(file.sha256, file.file), content, file.sha256)
                phase.advance(1)
            _put(place, layout.itself_index(lead.tag, lead.sha256), offer.data, lead.sha256)
            if _lead(place, lead, trust, signing):
                changed.append(place)
    return Published(offer, places, changed)


def offered(made: Callable[[int], None] = lambda _: None) -> Offer:
    """Return the terrastore that runs, as it is published; ``made`` is called with 1 for each wheel."""
    found: list[Wheel] = []
    for wheel in wheels():
        found.append(wheel)
        made(1)
    host = Host.here()
    parts = [Part(name=each.name, version=each.version, wheel=File.of(each.file, each.content)) for each in found]
    program = standalone.content()
    libc = oldest_libc(found, host.libc[1]) if host.libc is not None else None
    index = Index(
        tag=f"{interpreter.find(None).tag}-{host.tag}",
        version=__version__,
        needs={"libc": {"family": host.libc[0], "version": ".".join(map(str, libc))} if host.libc and libc else None},
        wheels=tuple(parts),
        relocate=File.of(RELOCATE, program),
    )
    contents = [(part.wheel, wheel.content) for part, wheel in zip(parts, found, strict=True)]
    return Offer(index, index.to_json(), (*contents, (index.relocate, program)))


def _writable(store: Store) -> list[WritableStore]:
    found = [each for each in catalogue.layers(store) if isinstance(each, WritableStore)]
    return found or [catalogue.writable(catalogue.origin(store))]


def _put(store: WritableStore, name: str, content: bytes, sha256: str) -> None:
    """Have an object in a store; one that is there and is not what its name says is replaced."""
    there = _digest_of(store, name)
    if there == sha256:
        return
    if there is not None and isinstance(store, ListableStore):
        with suppress(StoreRefusedError):
            store.remove(name)
    with store.upload(name) as upload:
        upload.write(content)


def _digest_of(store: Store, name: str) -> str | None:
    digest, offset = hashlib.sha256(), 0
    while piece := store.read_range(name, offset, _PIECE):
        digest.update(piece)
        offset += len(piece)
        if len(piece) < _PIECE:
            break
    return None if piece is None else digest.hexdigest()


def _lead(store: WritableStore, lead: Lead, trust: Trust, signing: Signing) -> bool:
    """Let the tag lead to the index; return whether it did not before."""
    name, envelope = layout.itself(lead.tag), signing.signed(Envelope(lead.to_payload(), kind=PAYLOAD_TYPE))
    for _ in range(_TRIES):
        if store.create(name, envelope):
            return True
        current = store.read(name)
        if current is not None and _is_as_good(current.data, lead, trust, signing):
            return False
        if current is not None and store.replace(name, envelope, current.version):
            return True
    raise StoreUnreachableError(f"{name} in {store} changes all the time", hint="run again")


def _is_as_good(data: bytes, lead: Lead, trust: Trust, signing: Signing) -> bool:
    """Whether what is there says the same, for those who trust whom we do, and is signed by all who sign here."""
    try:
        envelope = Envelope.parse(data, kind=PAYLOAD_TYPE)
        trust.signers_of(envelope)
    except (EnvelopeError, UntrustedError):
        return False
    return lead.is_in(envelope.payload) and all(
        any(key.keyid == each.keyid and key.verifies(each.value, envelope.signed) for each in envelope.signatures)
        for key, _ in signing.signers
    )
