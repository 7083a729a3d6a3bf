"""Pins: names for environments in a store that pruning leaves alone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from terrastore import catalogue
from terrastore.errors import StoreUnreachableError, UsageError
from terrastore.key import EnvKey
from terrastore.store import layout
from terrastore.upkeep import abreast

if TYPE_CHECKING:
    from terrastore.store.protocol import Store, WritableStore

_NAME: Final = r"(?a)\w[\w.@+-]{0,99}"
_TRIES: Final = 5


def put(store: Store, name: str, key: EnvKey) -> EnvKey | None:
    """Let ``name`` hold ``key``, and no other any more; return the one that it held.

    :raises UsageError: when that is no name, or the store has no such environment by now
    """
    _check(name)
    writable = catalogue.writable(store)
    before = _write(writable, name, key)
    # A prune looks at pins before it removes a pointer and after: either it saw this one, or we see what it did.
    if store.read(layout.pointer(key.text)) is None:
        catalogue.listable(store).remove(layout.pin(name))
        raise UsageError(f"{store} has no environment {key.short} any more", hint="see terrastore list")
    return before


def remove(store: Store, name: str) -> None:
    """Let nothing be held by ``name``.

    :raises UsageError: when there is no such pin
    """
    _check(name)
    if not catalogue.listable(store).remove(layout.pin(name)):
        raise UsageError(f"{store} has no pin {name}", hint="see terrastore list -l")


def read(store: Store) -> dict[str, EnvKey | None]:
    """Return what each pin of a store holds, None where that cannot be told."""
    names = [listed.name for listed in catalogue.listable(store).list(layout.PINS)]
    found = abreast.mapped(store.read, names, store.readers)
    return {layout.pin_of(name): _key(pin.data) for name, pin in zip(names, found, strict=True) if pin is not None}


def holding(pins: dict[str, EnvKey | None], key: EnvKey) -> list[str]:
    """Return the names of the pins that hold ``key``."""
    return sorted(name for name, held in pins.items() if held == key)


def _write(store: WritableStore, name: str, key: EnvKey) -> EnvKey | None:
    place, data = layout.pin(name), key.text.encode()
    for _ in range(_TRIES):
        current = store.read(place)
        if current is None:
            if store.create(place, data):
                return None
        elif current.data == data or store.replace(place, data, current.version):
            return _key(current.data)
    raise StoreUnreachableError(f"the pin {name} in {store} changes all the time", hint="run again")


def _check(name: str) -> None:
    if not re.fullmatch(_NAME, name):
        raise UsageError(
            f"{name!r} is no name of a pin",
            hint="write letters, digits and any of . _ - @ + behind the first, a hundred at most",
        )


def _key(data: bytes) -> EnvKey | None:
    try:
        return EnvKey.parse(data.decode().strip())
    except (UnicodeDecodeError, UsageError):
        return None
