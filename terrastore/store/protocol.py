"""What a store is: named objects, of which a few may be replaced.

Names are relative, with ``/``; :mod:`terrastore.store.layout` makes them. Making a store touches neither network nor
disk. "Not there" is ``None`` or ``False``; every other answer raises
:class:`~terrastore.errors.StoreRefusedError` when the store says no and
:class:`~terrastore.errors.StoreUnreachableError` when it does not answer or makes no sense. ``str(store)`` is its
URL without credentials.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from contextlib import AbstractContextManager


WHOLE_LIMIT: Final = 1024 * 1024
"""Most bytes of an object that is read whole."""


class Object(NamedTuple):
    """An object's bytes, and a version to :meth:`WritableStore.replace` it by, which differs whenever the bytes do."""

    data: bytes
    version: str


class Listed(NamedTuple):
    """An object's name, its size in bytes, and when it was written, in seconds since the epoch by the store's clock.

    ``version`` tells it from others of its name, for :meth:`PrunableStore.remove_listed`; no other version is like it.
    """

    name: str
    size: int
    modified: float
    version: str = ""


class Unfinished(NamedTuple):
    """An upload that was begun: the name of what is to become an object, and what tells it from others to that name.

    ``begun`` is when, in seconds since the epoch by the store's clock, or when something came last.
    """

    name: str
    token: str
    begun: float = 0.0


class Upload(Protocol):
    """An object on its way; nobody sees it before it is whole."""

    def write(self, data: bytes, /) -> object:
        """Take the next bytes."""


class Store(Protocol):
    """A store that can be read."""

    @property
    def readers(self) -> int:
        """How many threads get the most out of it that read ranges of one object at once; more are no harm.

        It is many where each request waits for an answer, and a connection is slower than the store.
        """

    @property
    def is_near(self) -> bool:
        """Whether it is on a disk of this machine: reading it again then costs little more than a copy would."""

    def read(self, name: str) -> Object | None:
        """Return a whole object, None when it is not there; only for small ones.

        Of one that has more than ``WHOLE_LIMIT`` bytes no more than the first of them and one are returned.
        """

    def read_range(self, name: str, offset: int, size: int) -> bytes | None:
        """Return ``size`` bytes from ``offset``, fewer when the object ends before, None when it is not there.

        Safe from several threads at once.
        """


@runtime_checkable
class WritableStore(Store, Protocol):
    """A store that can also be written. A name is published whole or not at all, and stays published.

    ``conditional``: whether :meth:`create` and :meth:`replace` look and write in one step, so that of several at once
    one wins; None until something was created. ``swaps``: whether that holds of :meth:`replace` where it holds at all.
    """

    @property
    def swaps(self) -> bool:
        """Whether of several who replace one version one wins."""

    @property
    def conditional(self) -> bool | None:
        """Whether of several writers at once one wins."""

    def create(self, name: str, data: bytes) -> bool:
        """Put an object where none is; return whether it was ours that came to be there."""

    def replace(self, name: str, data: bytes, version: str) -> bool:
        """Put an object in place of the one with ``version``.

        Return False when another is there by now, where the store can tell; a store that cannot lets the last one win.
        """

    def upload(self, name: str) -> AbstractContextManager[Upload]:
        """Take a large object piece by piece; it is published when the body ends, and discarded when that raises.

        Names of uploads are unique: what is there by that name already is the same, and may stay.
        """


@runtime_checkable
class ListableStore(Store, Protocol):
    """A store whose objects can be listed and removed."""

    def list(self, prefix: str) -> Iterator[Listed]:
        """Yield the objects whose names begin with ``prefix``, by name; unfinished ones are not there."""

    def remove(self, name: str) -> bool:
        """Remove an object; return whether it was there."""


@runtime_checkable
class PrunableStore(WritableStore, ListableStore, Protocol):
    """A store that can be pruned while others write."""

    def remove_listed(self, listed: Listed) -> bool:
        """Remove an object unless another is there by now than was listed; return whether it went.

        Where a store cannot look and remove in one step, one that is written in between may go too. One that somebody
        else removed may count.
        """

    def abandoned(self, before: float) -> Collection[Unfinished]:
        """Return what is unfinished, of archives and wheels, since before a time by the store's clock.

        A thousand at most: who discarded these asks again.
        """

    def discard(self, upload: Unfinished) -> None:
        """Discard what was uploaded; one that has ended is no trouble. Whoever goes on with it is refused."""


@runtime_checkable
class LocalStore(Protocol):
    """A store whose objects are files, which any process of this user can read."""

    def file_of(self, name: str) -> str:
        """Return the path of an object's file, whether it is there or not."""


@runtime_checkable
class MultipartStore(Store, Protocol):
    """A store that keeps what was uploaded of an object until somebody ends the upload, or discards it."""

    def unfinished(self, prefix: str) -> Collection[Unfinished]:
        """Return uploads that were begun and not ended, to names that begin with ``prefix``: a thousand at most."""

    def discard(self, upload: Unfinished) -> None:
        """Discard what was uploaded; one that has ended is no trouble. Whoever goes on with it is refused."""


@runtime_checkable
class CopyingStore(WritableStore, Protocol):
    """A store that can take an object from some other stores without its bytes passing through this process."""

    def copy_from(self, other: Store, name: str, size: int) -> bool:
        """Put an object of ``size`` bytes that ``other`` has by that name; return whether it is there now.

        False when that cannot be done, for whatever is on the side of ``other``: it is another kind or out of reach,
        or has no such object; nothing was done then, and who reads the object is told why. As with
        :meth:`WritableStore.upload`, what is there already is the same, and stays; of another size it is replaced.
        The bytes are as good as they are in ``other``: nobody has looked at them.
        """


@runtime_checkable
class Layered(Store, Protocol):
    """A store that consists of others."""

    @property
    def layers(self) -> tuple[Store, ...]:
        """The stores, nearest first."""
