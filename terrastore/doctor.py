"""What a run would need, looked at one by one: interpreter, disk, stores, clock."""

from __future__ import annotations

import itertools
import secrets
import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from terrastore import catalogue, interpreter
from terrastore.build import staging
from terrastore.errors import TerrastoreError, UsageError, reason
from terrastore.host import Host
from terrastore.place import Target
from terrastore.store import layout
from terrastore.store.protocol import ListableStore, WritableStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from terrastore.store.protocol import Store

OK: Final = "ok"
WARNING: Final = "warning"
FAILURE: Final = "failure"
_ROOM: Final = 2_000_000_000
_SKEW_SECONDS: Final = 60
_LISTED: Final = 1000
_FIRST, _SECOND = b"written by terrastore doctor\n", b"written by terrastore doctor, again\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What is so: ``level`` is ``ok``, ``warning`` or ``failure``; ``hint`` says what to do.

    ``exit_code`` is what a run would end with because of it.
    """

    level: str
    subject: str
    message: str
    hint: str = ""
    exit_code: int = 0


def examine(*, store: Store, python: str | None, target: str, cache: Path) -> Iterator[Finding]:
    """Yield what is found, as it is found. What is written to a store for this is removed again."""
    yield from _until_failure("python", _python(python))
    yield from _until_failure("target", _target(target))
    yield from _until_failure("builds", _builds(cache))
    for layer in catalogue.layers(store):
        yield from _until_failure("store", _store(layer))


def _until_failure(subject: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    try:
        yield from findings
    except TerrastoreError as error:
        yield Finding(level=FAILURE, subject=subject, message=error.message, hint=error.hint, exit_code=error.exit_code)


def _ok(subject: str, message: str) -> Finding:
    return Finding(level=OK, subject=subject, message=message)


def _warning(subject: str, message: str, hint: str) -> Finding:
    return Finding(level=WARNING, subject=subject, message=message, hint=hint)


def _python(spec: str | None) -> Iterator[Finding]:
    found, host = interpreter.find(spec), Host.here()
    libc = f", {host.libc[0]} {'.'.join(map(str, host.libc[1]))}" if host.libc else ""
    yield _ok("python", f"{found.executable}: {found.version_text} for {host.tag}{libc}")


def _target(path: str) -> Iterator[Finding]:
    target = Target.at(path)
    target.check_usable()
    yield _room("target", target.parent)


def _builds(cache: Path) -> Iterator[Finding]:
    yield _room("builds", staging.staging_root(cache))


def _room(subject: str, directory: str) -> Finding:
    try:
        with tempfile.TemporaryDirectory(prefix=".terrastore-doctor-", dir=directory):
            free = shutil.disk_usage(directory).free
    except OSError as error:
        raise UsageError(
            f"{directory} cannot be written: {reason(error)}", hint="choose another directory, or another user"
        ) from error
    message = f"{directory} can be written and has {free / 1e9:.1f} GB free"
    if free < _ROOM:
        return _warning(subject, message, "make room: a scientific environment takes more")
    return _ok(subject, message)


def _store(store: Store) -> Iterator[Finding]:
    store.read(layout.probe(secrets.token_hex(16)))  # the first request pays for the client too
    started = time.perf_counter()
    store.read(layout.probe(secrets.token_hex(16)))
    yield _ok("store", f"{store} answers, in {1000 * (time.perf_counter() - started):.0f} ms")
    if isinstance(store, ListableStore):
        count = sum(1 for _ in itertools.islice(store.list(layout.POINTERS), _LISTED))
        yield _ok("store", f"{store} can be listed; environments: {count if count < _LISTED else f'{count} or more'}")
    if not isinstance(store, WritableStore):
        yield _ok("store", f"{store} is there to be read; nothing is published to it")
        return
    name = layout.probe(secrets.token_hex(16))
    try:
        yield from _writing(store, name)
    except TerrastoreError as error:
        yield _warning("store", f"{error.message}; this machine can fetch from it, and publishes nothing", error.hint)
    finally:
        if isinstance(store, ListableStore):
            with suppress(TerrastoreError):
                store.remove(name)


def _writing(store: WritableStore, name: str) -> Iterator[Finding]:
    """Write an object and see what becomes of it."""
    now = time.time()
    first, second = store.create(name, _FIRST), store.create(name, _SECOND)
    found = store.read(name)
    yield _ok("store", f"{store} can be written")
    if store.conditional and first and not second:
        yield _ok("store", f"{store} decides who is first")
    else:
        yield _warning(
            "store",
            f"{store} ignores conditions on writing: of builders at once several may publish",
            "nothing breaks by that; a newer version of the service may know If-None-Match",
        )
    if found is None or store.read_range(name, 1, 5) != found.data[1:6]:
        yield Finding(
            level=FAILURE,
            subject="store",
            message=f"{store} does not give back what was written",
            hint="something in between answers for it; look for a proxy",
            exit_code=6,
        )
    else:
        yield _ok("store", f"{store} gives back ranges of what was written")
    yield from _clock(store, name, now)
    if isinstance(store, ListableStore):
        store.remove(name)


def _clock(store: WritableStore, name: str, now: float) -> Iterator[Finding]:
    written = [listed.modified for listed in store.list(name)] if isinstance(store, ListableStore) else []
    for modified in written:
        skew = abs(modified - now)
        if skew > _SKEW_SECONDS:
            yield _warning("clock", f"this machine's clock and that of {store} differ by {skew:.0f} s", "set the clock")
        else:
            yield _ok("clock", f"agrees with that of {store}")
