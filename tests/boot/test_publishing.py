"""terrastore itself in stores: what is there stays, what is not what it is called is replaced, who may sign signs."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest

from terrastore.boot import publishing
from terrastore.boot.documents import PAYLOAD_TYPE, File, Index, Lead, Part
from terrastore.boot.publishing import Offer, publish
from terrastore.errors import StoreRefusedError, StoreUnreachableError
from terrastore.report import Report
from terrastore.store import layout
from terrastore.store.http import HttpStore
from terrastore.store.layered import LayeredStore
from terrastore.store.memory import MemoryStore
from terrastore.trust import PublicKey, Trust
from terrastore.trust.envelope import Envelope
from terrastore.trust.signing import Signing, generate

if TYPE_CHECKING:
    from pathlib import Path

    from terrastore.store.protocol import Store

TAG = "cp311-linux_x86_64"
WHEEL, PROGRAM = b"a wheel", b"a program"


def offer(version: str = "1.0") -> Offer:
    files = File.of("one-1.0-py3-none-any.whl", WHEEL), File.of("relocate.pyz", PROGRAM)
    part = Part(name="one", version="1.0", wheel=files[0])
    index = Index(tag=TAG, version=version, needs={"libc": None}, wheels=(part,), relocate=files[1])
    return Offer(index, index.to_json(), ((files[0], WHEEL), (files[1], PROGRAM)))


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "offered", lambda _: offer())


def published(store: Store, *keys: str, trust: Trust | None = None, lasts: float | None = None) -> publishing.Published:
    trust = trust or Trust()
    signing = Signing(keys, trust=trust, lasts=lasts, report=Report())
    return publish(store, trust=trust, signing=signing, lasts=lasts, report=Report())


def names(store: MemoryStore) -> set[str]:
    return {listed.name for listed in store.list("")}


def lead_in(store: MemoryStore) -> Envelope:
    found = store.read(layout.itself(TAG))
    assert found is not None
    return Envelope.parse(found.data, kind=PAYLOAD_TYPE)


def test_what_is_put_where() -> None:
    """Files by content, the index by its own, and what leads to it, which says as much as it must."""
    store = MemoryStore()
    done = published(store)
    assert ([store], [store]) == (done.stores, done.changed)
    index = json.loads(done.offer.data)
    files = {layout.itself_file(each["sha256"], each["file"]) for each in (*index["wheels"], index["relocate"])}
    assert files | {layout.itself(TAG), layout.itself_index(TAG, done.offer.sha256)} == names(store)
    assert {"schema", "tag", "version", "needs", "wheels", "relocate"} == index.keys()
    said = json.loads(lead_in(store).payload)
    assert {"sha256": done.offer.sha256, "size": len(done.offer.data)} == said["index"]
    assert (1, TAG, "", None) == (said["schema"], said["tag"], said["realm"], said["expires"])


def test_what_is_there_stays() -> None:
    """Published again nothing is written."""
    store = MemoryStore()
    published(store)
    before = {name: store.read(name) for name in names(store)}
    assert [] == published(store).changed
    assert before == {name: store.read(name) for name in names(store)}


def test_another_version_takes_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """The index of before stays, for those who pin it."""
    store = MemoryStore()
    before = published(store).offer
    monkeypatch.setattr(publishing, "offered", lambda _: offer("2.0"))
    after = published(store)
    assert [store] == after.changed
    assert after.offer.sha256 == json.loads(lead_in(store).payload)["index"]["sha256"]
    assert layout.itself_index(TAG, before.sha256) in names(store)


def test_what_is_not_what_it_is_called_is_replaced() -> None:
    """Nobody could use it, and nobody would put it there again."""
    store = MemoryStore()
    name = layout.itself_file(hashlib.sha256(WHEEL).hexdigest(), "one-1.0-py3-none-any.whl")
    store.create(name, b"something else")
    store.create(layout.itself(TAG), b"nonsense")
    published(store)
    found = store.read(name)
    assert found is not None
    assert WHEEL == found.data
    assert b"" != lead_in(store).payload


def test_signed(tmp_path: Path) -> None:
    """By whom the trust file names; what was there unsigned, or signed by one alone, is signed by all then."""
    store, paths = MemoryStore(), [str(tmp_path / "one"), str(tmp_path / "two")]
    keys = tuple(PublicKey(f"key{number}", generate(path)) for number, path in enumerate(paths))
    trust = Trust("", "/etc/trust", keys, (), admits_anybody=False)
    published(store)
    assert [store] == published(store, paths[0], trust=trust).changed
    assert ("key0",) == trust.signers_of(lead_in(store))
    assert [store] == published(store, *paths, trust=trust).changed
    assert ("key0", "key1") == trust.signers_of(lead_in(store))
    assert [] == published(store, *paths, trust=trust).changed
    with pytest.raises(StoreRefusedError, match="would not count here"):
        published(store, trust=trust)


def test_a_signature_is_for_this_alone(tmp_path: Path) -> None:
    """Taken for a pointer's it is wrong."""
    store, path = MemoryStore(), str(tmp_path / "key")
    key = PublicKey("ci", generate(path))
    published(store, path)
    envelope = lead_in(store)
    assert key.verifies(envelope.signatures[0].value, envelope.signed)
    assert not key.verifies(envelope.signatures[0].value, Envelope(envelope.payload).signed)


def test_for_a_realm_and_for_a_time() -> None:
    """As pointers; with a time it is renewed."""
    store = MemoryStore()
    published(store, trust=Trust("web"))
    assert "web" == json.loads(lead_in(store).payload)["realm"]
    assert [store] == published(store, trust=Trust("web"), lasts=86400).changed
    assert json.loads(lead_in(store).payload)["expires"] is not None


def test_several_stores() -> None:
    """All that can be written get it, what is only read is passed over; where nothing else is named, it is refused."""
    near, far, web = MemoryStore(), MemoryStore(), HttpStore("https://127.0.0.1:1")
    assert [near, far] == published(LayeredStore([near, web, far])).stores
    assert names(near) == names(far)
    with pytest.raises(StoreRefusedError, match="read-only"):
        published(web)


def test_one_that_changes_all_the_time() -> None:
    """It is given up."""

    class Busy(MemoryStore):
        def replace(self, name: str, data: bytes, version: str) -> bool:
            return False

    store = Busy()
    store.create(layout.itself(TAG), b"nonsense")
    with pytest.raises(StoreUnreachableError, match="changes all the time"):
        published(store)


def test_whether_a_payload_says_the_same() -> None:
    """Whoever made it, and when; what is none says nothing."""
    lead = Lead(tag=TAG, version="1.0", sha256="0" * 64, size=1, created="2026-01-01T00:00:00Z", builder="here")
    document = json.loads(lead.to_payload())
    assert lead.is_in(json.dumps(document | {"created": "", "builder": ""}).encode())
    assert not lead.is_in(json.dumps(document | {"realm": "web"}).encode())
    assert not lead.is_in(b"[]")
    assert not lead.is_in(b"{")
