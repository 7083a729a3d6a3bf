"""The store in memory keeps the contract, and is the judge of what a compare-and-swap is."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from terrastore.store.memory import MemoryStore
from tests.store.contract import NAME, THREADS, CopyingContract


class TestMemoryStore(CopyingContract):
    @pytest.fixture
    def store(self) -> MemoryStore:
        self.made = MemoryStore()
        return self.made

    @pytest.fixture
    def other(self) -> MemoryStore:
        return MemoryStore()

    def peek(self, name: str) -> bytes | None:
        return self.made._objects.get(name)

    def plant(self, name: str, data: bytes) -> None:
        self.made._objects[name] = data

    def everything(self) -> set[str]:
        return set(self.made._objects)

    def test_a_race_to_replace_has_one_winner(self, store: MemoryStore) -> None:
        """Of twenty that replace the same version at once, one is told it won, and its bytes are there."""
        store.create(NAME, b"first")
        first = store.read(NAME)
        assert first is not None
        barrier = threading.Barrier(THREADS)

        def replace(body: bytes) -> bool:
            barrier.wait()
            return store.replace(NAME, body, first.version)

        bodies = [b"%d" % number for number in range(THREADS)]
        with ThreadPoolExecutor(THREADS) as pool:
            won = list(pool.map(replace, bodies))
        assert [self.peek(NAME)] == [body for body, winner in zip(bodies, won, strict=True) if winner]

    def test_stores_are_apart(self, store: MemoryStore) -> None:
        """What is in one is not in another."""
        store.create(NAME, b"data")
        assert MemoryStore().read(NAME) is None
