"""Pins: names that hold environments."""

from __future__ import annotations

import pytest

from terrastore.errors import UsageError
from terrastore.key import EnvKey
from terrastore.store import layout
from terrastore.store.memory import MemoryStore
from terrastore.upkeep import pins
from tests.published import KEY, OTHER_KEY, objects, pointer_for, sealed


@pytest.fixture
def store() -> MemoryStore:
    """Return a store with two environments."""
    store = MemoryStore()
    for key in (KEY, OTHER_KEY):
        store.create(layout.pointer(key.text), sealed(pointer_for(b"", key=key)))
    return store


def test_a_name_holds_one_environment(store: MemoryStore) -> None:
    """Putting it again lets the one before go, which is told."""
    assert pins.put(store, "production", KEY) is None
    assert KEY == pins.put(store, "production", KEY)
    assert KEY == pins.put(store, "production", OTHER_KEY)
    assert {"production": OTHER_KEY} == pins.read(store)


def test_an_environment_may_have_several_names(store: MemoryStore) -> None:
    """All of them are told."""
    for name in ("staging", "production"):
        pins.put(store, name, KEY)
    pins.put(store, "other", OTHER_KEY)
    assert ["production", "staging"] == pins.holding(pins.read(store), KEY)


def test_what_was_unpinned_is_held_by_nothing(store: MemoryStore) -> None:
    """Twice is an error: the name may be misspelt."""
    pins.put(store, "production", KEY)
    pins.remove(store, "production")
    assert {} == pins.read(store)
    with pytest.raises(UsageError, match="memory: has no pin production"):
        pins.remove(store, "production")


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "-x", "a/b", "a b", "ä", "a\n", "a" * 101, "../pointers/x"])
def test_names_are_simple(store: MemoryStore, name: str) -> None:
    """They are parts of names of objects, on every kind of store."""
    with pytest.raises(UsageError, match="is no name of a pin"):
        pins.put(store, name, KEY)
    with pytest.raises(UsageError, match="is no name of a pin"):
        pins.remove(store, name)


@pytest.mark.parametrize("name", ["production", "web-2026.1", "team@host", "a", "_", "v1.0+local", "a" * 100])
def test_these_are_names(store: MemoryStore, name: str) -> None:
    """What people call things."""
    pins.put(store, name, KEY)
    assert {name: KEY} == pins.read(store)


def test_what_is_gone_cannot_be_pinned(store: MemoryStore) -> None:
    """A prune may have been faster: then there is no pin either."""
    gone = EnvKey(f"cp311-linux_x86_64-{'f' * 40}")
    before = objects(store)
    with pytest.raises(UsageError, match="has no environment"):
        pins.put(store, "production", gone)
    assert before == objects(store)


@pytest.mark.parametrize("data", [b"", b"scribble", b"\xff", KEY.text.encode() * 2], ids=repr)
def test_what_names_no_key_is_told_as_that(store: MemoryStore, data: bytes) -> None:
    """It is there, and holds nothing; putting it anew mends it."""
    store.create(layout.pin("odd"), data)
    assert {"odd": None} == pins.read(store)
    assert pins.put(store, "odd", KEY) is None
    assert {"odd": KEY} == pins.read(store)
