"""What a run would need, looked at one by one: interpreter, disk, stores, clock."""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from typing import TYPE_CHECKING, Final

from terrastore import atomic, catalogue, interpreter
from terrastore.build import staging, uv
from terrastore.errors import (
    BuildError,
    HostError,
    StoreRefusedError,
    StoreUnreachableError,
    TerrastoreError,
    UsageError,
    reason,
)
from terrastore.host import Host
from terrastore.place import Target
from terrastore.report import Report, number
from terrastore.requirements.uv_program import found
from terrastore.store import layout
from terrastore.store.protocol import ListableStore, MultipartStore, WritableStore
from terrastore.trust import Trust
from terrastore.trust.signing import Signing

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterator, Sequence
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


def examine(
    *,
    store: Store,
    python: str | None,
    installer: str,
    target: str,
    cache: Path,
    trust: str | None = None,
    signers: Sequence[str] = (),
) -> Generator[Finding, None, None]:
    """Yield what is found, as it is found. What is written to a store for this is removed when the iterator ends."""
    yield from _until_failure("python", _python(python))
    yield from _until_failure("target", _target(target))
    yield from _until_failure("builds", _installer(installer))
    yield from _until_failure("builds", _builds(cache))
    yield from _until_failure("trust", _trust(trust))
    yield from _until_failure("signer", _signers(trust, signers))
    *nearer, last = catalogue.layers(store)
    for layer in nearer:
        for finding in _until_failure("store", _store(layer)):
            yield _passed_over(finding)
    yield from _until_failure("store", _store(last))


def _until_failure(subject: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    try:
        yield from findings
    except TerrastoreError as error:
        yield _failure(subject, error)
    except OSError as error:
        yield _failure(
            subject,
            HostError(f"{error.filename or subject}: {reason(error)}", hint="check the disk and the permissions"),
        )


def _passed_over(finding: Finding) -> Finding:
    """Return what is found of a store that is not the last: a run goes on without it."""
    if finding.exit_code not in {StoreRefusedError.exit_code, StoreUnreachableError.exit_code}:
        return finding
    return replace(finding, level=WARNING, message=f"{finding.message}; the next store is asked instead", exit_code=0)


def _ok(subject: str, message: str) -> Finding:
    return Finding(level=OK, subject=subject, message=message)


def _warning(subject: str, message: str, hint: str) -> Finding:
    return Finding(level=WARNING, subject=subject, message=message, hint=hint)


def _failure(subject: str, error: TerrastoreError) -> Finding:
    return Finding(level=FAILURE, subject=subject, message=error.message, hint=error.hint, exit_code=error.exit_code)


def _trust(file: str | None) -> Iterator[Finding]:
    """Look at the trust file, if one is named."""
    if file is None:
        return
    trust, now = Trust.of(file), datetime.now(UTC)
    lapsed = [f"; {key.name} {lapse}" for key in trust.keys if (lapse := key.lapse(now))]
    whom = number(len(trust.keys), "key") if trust.demands_signatures else "anybody"
    revoked = f", and revokes {len(trust.revoked)}" if trust.revoked else ""
    told = f"{file} trusts {whom}{revoked}{''.join(lapsed)}"
    if trust.demands_signatures and len(lapsed) == len(trust.keys):
        yield _warning("trust", f"{told}: nothing counts", "add the line of a key; terrastore keygen prints it")
    else:
        yield _ok("trust", told)


def _signers(file: str | None, named: Sequence[str]) -> Iterator[Finding]:
    """Look at the keys that sign, if any are named, and whether what they sign would count here."""
    report = Report()
    signing = Signing(named, trust=Trust.of(file), report=report)
    signing.prepare()
    for key, signer in signing.signers:
        signer.sign(b"terrastore doctor")
        known = f", as {key.name}" if key.name != str(signer) else ""
        yield _ok("signer", f"{signer} can sign{known}")
    for warning in report.warnings:
        yield _warning("signer", warning, "whoever can read it can sign with it")
    if not signing.may_publish:
        yield _ok("signer", "none is named, so nothing that is built here is published")


def _python(spec: str | None) -> Iterator[Finding]:
    found, host = interpreter.find(spec), Host.here()
    libc = f", {host.libc[0]} {'.'.join(map(str, host.libc[1]))}" if host.libc else ""
    yield _ok("python", f"{found.executable}: {found.version_text} for {host.tag}{libc}")


def _target(path: str) -> Iterator[Finding]:
    target = Target.at(path)
    target.check_replaceable(force=False)
    folder = target.parent
    while not os.path.isdir(folder):  # a run makes those that are not there
        folder = os.path.dirname(folder)
    with _scratch(folder, UsageError, "name another --target, or run as another user") as scratch:
        yield _room("target", folder, "make room, or name a --target elsewhere")
        one, other = os.path.join(scratch, "one"), os.path.join(scratch, "other")
        os.mkdir(one)
        os.mkdir(other)
        if atomic.exchange(one, other):
            yield _ok("target", f"{target.path} can be replaced in one step")
        else:
            yield _warning(
                "target",
                f"the filesystem of {folder} cannot exchange directories: "
                f"while {target.path} is replaced, it is absent for an instant",
                "use --link PATH --releases DIR: a link is switched in one step",
            )


def _installer(name: str) -> Iterator[Finding]:
    try:
        yield _ok("builds", f"virtualenv {metadata.version('virtualenv')} makes environments")
    except metadata.PackageNotFoundError:
        raise BuildError("virtualenv is not installed beside terrastore", hint="install terrastore anew") from None
    if name == uv.Uv.name:
        binary, version = found()
        yield _ok("builds", f"{binary} is uv {version}")


def _builds(cache: Path) -> Iterator[Finding]:
    root = staging.staging_root(cache)
    # Where the path is too long or nothing may be executed, downloads and logs go there all the same.
    for place in (root,) if root == os.path.realpath(cache / "build") else (root, str(cache)):
        with _scratch(place, HostError, "name another directory with --cache-dir, or run as another user"):
            yield _room("builds", place, "make room, or name a short path elsewhere with --cache-dir")


@contextmanager
def _scratch(folder: str, kind: type[TerrastoreError], hint: str) -> Iterator[str]:
    """Yield a new directory in one that must be written to, else raise an error of that kind."""
    try:
        scratch = tempfile.mkdtemp(prefix=".terrastore-doctor-", dir=folder)
    except OSError as error:
        raise kind(f"{folder} cannot be written: {reason(error)}", hint=hint) from error
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _room(subject: str, folder: str, hint: str) -> Finding:
    free = shutil.disk_usage(folder).free
    message = f"{folder} can be written and has {free / 1e9:.1f} GB free"
    if free < _ROOM:
        return _warning(subject, message, f"{hint}: a scientific environment takes more")
    return _ok(subject, message)


def _store(store: Store) -> Iterator[Finding]:
    name = layout.probe(secrets.token_hex(16))
    store.read(name)  # the first request pays for the client too
    started = time.perf_counter()
    if store.read(name) is not None:
        raise StoreUnreachableError(
            f"{store} has something by any name: that is no store", hint="check the URL, and for a proxy in between"
        )
    yield _ok("store", f"{store} answers, in {1000 * (time.perf_counter() - started):.0f} ms")
    pointers: list[str] = []
    if isinstance(store, ListableStore):
        yield _listing(store, pointers)
    if not isinstance(store, WritableStore):
        yield _ok(
            "store",
            f"{store} is only read: a wrong path in it looks like an empty store, and that it knows ranges "
            "shows with the first environment",
        )
        return
    try:
        yield from _writing(store, name, pointers)
    finally:
        if isinstance(store, ListableStore):
            with suppress(TerrastoreError):
                store.remove(name)


def _listing(store: ListableStore, pointers: list[str]) -> Finding:
    """List the pointers, and add their names to ``pointers``."""
    try:
        pointers += (listed.name for listed in itertools.islice(store.list(layout.POINTERS), _LISTED))
    except StoreRefusedError as error:
        return _warning("store", f"{error.message}; terrastore list, and keys cut short, need that", error.hint)
    count = len(pointers)
    return _ok("store", f"{store} can be listed; environments: {count if count < _LISTED else f'{count} or more'}")


def _writing(store: WritableStore, name: str, pointers: Sequence[str]) -> Iterator[Finding]:
    """Write an object and see what becomes of it; where nothing can be written a pointer does for reading."""
    now = time.time()
    try:
        first, second = store.create(name, _FIRST), store.create(name, _SECOND)
    except TerrastoreError as error:
        hint = error.hint
        if isinstance(error, StoreRefusedError):
            hint = f"where nothing is built leave it so, else {hint}"
        yield _warning("store", f"{error.message}; this machine can fetch from it, and publishes nothing", hint)
        for pointer in pointers[:1]:
            yield _reading(store, pointer, None)
        return
    yield _ok("store", f"{store} can be written")
    if store.conditional and first and not second:
        yield _ok("store", f"{store} knows conditional writes: of several builders at once one publishes")
    else:
        yield _warning(
            "store",
            f"{store} ignores conditions on writing: of builders at once several may publish",
            "nothing breaks by that; a newer version of the service may know If-None-Match",
        )
    yield _reading(store, name, {_FIRST, _SECOND})
    yield from _clock(store, name, now)
    if isinstance(store, ListableStore):
        yield from _removing(store, name)
    if isinstance(store, MultipartStore):
        yield _uploads(store)


def _uploads(store: MultipartStore) -> Finding:
    """See whether a publication could discard what builders that were killed left."""
    try:
        count = len(store.unfinished(layout.ARCHIVES))
    except TerrastoreError as error:
        return _warning(
            "store",
            f"{error.message}; parts of what killed builders uploaded stay there",
            "allow s3:ListBucketMultipartUploads on the bucket, or let a rule discard them; docs/iam has both",
        )
    return _ok("store", f"{store} tells of unfinished uploads, which the next publication discards; now: {count}")


def _reading(store: Store, name: str, expected: Collection[bytes] | None) -> Finding:
    """Read an object as environments are read: whole, and ranges of it; ``expected`` is what it may be."""
    found = store.read(name)
    try:
        part = store.read_range(name, 1, 5)
    except StoreUnreachableError as error:
        hint = "environments are read by ranges: the service and what stands before it must honour the Range header"
        return _failure("store", StoreUnreachableError(error.message, hint=hint))
    if found is None or part != found.data[1:6] or (expected is not None and found.data not in expected):
        return _failure(
            "store",
            StoreUnreachableError(
                f"{store} does not give back what was written", hint="look for a proxy or a cache that answers for it"
            ),
        )
    return _ok("store", f"{store} gives back what was written, whole and in ranges")


def _clock(store: Store, name: str, now: float) -> Iterator[Finding]:
    written = []
    if isinstance(store, ListableStore):
        with suppress(StoreRefusedError):  # which was told
            written = [listed.modified for listed in store.list(name)]
    for modified in written:
        ahead = now - modified
        if abs(ahead) > _SKEW_SECONDS:
            yield _warning(
                "clock",
                f"this machine's clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} that of {store}",
                "set the one that is wrong; at a quarter of an hour S3 refuses to answer",
            )
        else:
            yield _ok("clock", f"agrees with that of {store}")


def _removing(store: ListableStore, name: str) -> Iterator[Finding]:
    """Remove what was written; who builds need not have the right to."""
    try:
        store.remove(name)
    except StoreRefusedError:
        yield _ok("store", f"{store} lets this machine remove nothing: {name} stays there, {len(_FIRST)} bytes")
