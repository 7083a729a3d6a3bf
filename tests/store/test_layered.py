"""Several stores as one keep the contract; what is read comes from the nearest, what is written goes to the last."""

import pytest

from terrastore.errors import StoreRefusedError, StoreUnreachableError, UsageError
from terrastore.store.layered import LayeredStore
from terrastore.store.memory import MemoryStore
from terrastore.store.protocol import Layered, ListableStore, Object, WritableStore
from tests.store.contract import NAME, StoreContract, WholeStore


class ReadOnlyStore:
    """A store in memory that can be read, and no more."""

    readers = 1
    is_near = True

    def __init__(self, **objects: bytes) -> None:
        self.objects = objects

    def __str__(self) -> str:
        return "https://store.example/envs"

    def read(self, name: str) -> Object | None:
        return Object(self.objects[name], "version") if name in self.objects else None

    def read_range(self, name: str, offset: int, size: int) -> bytes | None:
        return self.objects[name][offset : offset + size] if name in self.objects else None


class BrokenStore(MemoryStore):
    """A store that cannot be reached."""

    def __str__(self) -> str:
        return "broken:"

    def read(self, name: str) -> Object | None:
        raise StoreUnreachableError(f"{self} cannot be reached")

    def read_range(self, name: str, offset: int, size: int) -> bytes | None:
        raise StoreUnreachableError(f"{self} cannot be reached")


class TestLayeredStore(StoreContract):
    """Two stores, of which the nearer one is empty."""

    @pytest.fixture
    def store(self) -> LayeredStore:
        self.near, self.far = MemoryStore(), MemoryStore()
        return LayeredStore([self.near, self.far])

    def peek(self, name: str) -> bytes | None:
        return self.near._objects.get(name, self.far._objects.get(name))

    def plant(self, name: str, data: bytes) -> None:
        self.far._objects[name] = data

    def everything(self) -> set[str]:
        return {*self.near._objects, *self.far._objects}


class TestFilledLayeredStore(TestLayeredStore):
    """Two stores that both have what is planted, as they are once the nearer one was filled."""

    def plant(self, name: str, data: bytes) -> None:
        super().plant(name, data)
        self.near._objects[name] = data


class TestCachingLayeredStore(TestLayeredStore):
    """Two stores, of which the nearer one alone has what is planted: it is read, listed and removed like any other."""

    def plant(self, name: str, data: bytes) -> None:
        self.near._objects[name] = data

    def test_a_planted_object_is_not_created_over(self, store: WholeStore) -> None:
        """What only a nearer store has is created in the last one, and hidden there by the nearer one's."""
        self.plant(NAME, b"")
        assert store.create(NAME, b"second")
        assert b"second" == self.far._objects[NAME]
        assert b"" == self.peek(NAME)


def layered() -> tuple[MemoryStore, MemoryStore, LayeredStore]:
    """Return a nearer store, a farther one, and the two as one."""
    near, far = MemoryStore(), MemoryStore()
    return near, far, LayeredStore([near, far])


def test_the_nearest_is_read() -> None:
    """Of what several have the nearest one's is given, whole or in ranges; the others are not even asked."""
    near = MemoryStore()
    near.create(NAME, b"near")
    store = LayeredStore([ReadOnlyStore(), near, BrokenStore()])
    found = store.read(NAME)
    assert found is not None
    assert b"near" == found.data
    assert b"ear" == store.read_range(NAME, 1, 3)
    assert b"" == store.read_range(NAME, 4, 1)


def test_what_nearer_ones_lack_is_read_from_the_next() -> None:
    """A miss goes on to the next store, and leaves nothing in the nearer one."""
    near, far, store = layered()
    far.create(NAME, b"far")
    assert far.read(NAME) == store.read(NAME)
    assert b"ar" == store.read_range(NAME, 1, 2)
    assert [] == list(near.list(""))


def test_it_is_read_as_the_layer_that_wants_most() -> None:
    """Whichever has the object: more readers than a store wants are no harm."""
    near, far, store = layered()
    assert near.readers == store.readers
    far.readers = 7
    assert far.readers == store.readers


def test_a_broken_store_is_no_miss() -> None:
    """One that cannot be asked is not passed over here: who knows what for the object is decides that."""
    far = MemoryStore()
    far.create(NAME, b"far")
    with pytest.raises(StoreUnreachableError, match="broken:"):
        LayeredStore([BrokenStore(), far]).read(NAME)
    with pytest.raises(StoreUnreachableError, match="broken:"):
        LayeredStore([BrokenStore(), far]).read_range(NAME, 0, 1)


def test_the_last_is_written() -> None:
    """Objects are created, replaced and uploaded in the last store alone."""
    near, far, store = layered()
    assert store.create(NAME, b"first")
    found = store.read(NAME)
    assert found is not None
    assert store.replace(NAME, b"second", found.version)
    with store.upload("v1/large") as upload:
        upload.write(b"large")
    assert [] == list(near.list(""))
    assert [("v1/large", 5), (NAME, 6)] == [(listed.name, listed.size) for listed in far.list("")]


def test_the_last_that_can_be_written_is_written() -> None:
    """A store that can only be read is passed over, wherever it stands."""
    near, middle = MemoryStore(), MemoryStore()
    store = LayeredStore([near, middle, ReadOnlyStore()])
    assert store.create(NAME, b"data")
    assert [NAME] == [listed.name for listed in middle.list("")]
    assert [] == list(near.list(""))


def test_a_version_of_a_nearer_object_replaces_nothing_farther() -> None:
    """What was read in one store is no reason to replace other bytes in another."""
    near, far, store = layered()
    near.create(NAME, b"near")
    far.create(NAME, b"far")
    found = store.read(NAME)
    assert found is not None
    assert not store.replace(NAME, b"new", found.version)
    assert [b"far"] == [item.data for item in [far.read(NAME)] if item]


def test_where_nothing_can_be_written_that_is_refused() -> None:
    """The error names every store, and says what to do."""
    store = LayeredStore([ReadOnlyStore(), ReadOnlyStore()])
    for write in (
        lambda: store.create(NAME, b""),
        lambda: store.replace(NAME, b"", "version"),
        lambda: store.upload(NAME),
    ):
        with pytest.raises(StoreRefusedError, match=r"none of https://store\.example/envs, https://") as caught:
            write()
        assert "--store" in caught.value.hint


def test_listings_are_merged() -> None:
    """Every name comes once and in order, as the nearest store has it; what cannot be listed is left out."""
    near, far = MemoryStore(), MemoryStore()
    for name in ("b", "d"):
        near.create(name, b"near")
    for name in ("a", "b", "c", "e"):
        far.create(name, b"")
    store = LayeredStore([ReadOnlyStore(x=b""), near, far])
    assert [("a", 0), ("b", 4), ("c", 0), ("d", 4), ("e", 0)] == [
        (listed.name, listed.size) for listed in store.list("")
    ]


def test_where_nothing_can_be_listed_that_is_said() -> None:
    """Stores that tell nobody what they have are not empty: listing and removing is a usage error."""
    store = LayeredStore([ReadOnlyStore(x=b""), ReadOnlyStore()])
    with pytest.raises(UsageError, match=r"none of https://store\.example/envs, https://\S+ can be listed") as caught:
        store.list("")
    assert caught.value.hint
    with pytest.raises(UsageError, match="can be listed"):
        store.remove("x")


def test_removed_is_removed_everywhere() -> None:
    """No nearer store goes on to have it; whether any had it is told."""
    near, far, store = layered()
    for each in (near, far):
        each.create("both", b"")
    near.create("near", b"")
    far.create("far", b"")
    assert [True, True, True, False] == [store.remove(name) for name in ("both", "near", "far", "both")]
    assert [] == [*near.list(""), *far.list("")]


def test_its_name_is_those_of_its_stores() -> None:
    """Nearest first, and its layers are the stores themselves."""
    near, far, store = layered()
    assert "memory:, broken:, https://store.example/envs" == str(
        LayeredStore([MemoryStore(), BrokenStore(), ReadOnlyStore()])
    )
    assert (near, far) == store.layers


def test_it_is_known_for_what_it_is() -> None:
    """Who asks learns that it consists of others, and that a single store does not; asking raises nothing."""
    for store in (LayeredStore([MemoryStore(), ReadOnlyStore()]), LayeredStore([ReadOnlyStore()])):
        assert isinstance(store, Layered)
        assert isinstance(store, WritableStore)
        assert isinstance(store, ListableStore)
    assert not isinstance(MemoryStore(), Layered)


def test_it_is_as_conditional_as_what_is_written() -> None:
    """Whether one of several writers wins is up to the store that is written; where there is none, nobody knows."""
    assert LayeredStore([MemoryStore(), ReadOnlyStore()]).conditional
    assert LayeredStore([ReadOnlyStore()]).conditional is None
