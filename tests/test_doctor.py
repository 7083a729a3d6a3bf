"""terrastore doctor looks at everything, says what is so and what to do, and leaves nothing behind."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from terrastore import atomic, doctor
from terrastore.doctor import FAILURE, OK, WARNING, Finding, examine
from terrastore.errors import StoreRefusedError, StoreUnreachableError
from terrastore.store.directory import DirectoryStore
from terrastore.store.layered import LayeredStore
from terrastore.store.memory import MemoryStore
from terrastore.store.protocol import Listed, Object, Store, Unfinished
from terrastore.trust import PublicKey, signing

Look = Callable[..., list[Finding]]


@pytest.fixture
def cache() -> Iterator[Path]:
    """Return a directory whose path is short enough to hold a build, as a person's is."""
    with tempfile.TemporaryDirectory(prefix="ts-") as folder:
        yield Path(folder)


@pytest.fixture
def look(tmp_path: Path, cache: Path) -> Look:
    """Return what looks at a store, and at a machine that is in order unless told otherwise."""

    def look(
        store: Store | None = None,
        *,
        python: str | None = None,
        installer: str = "pip",
        target: object = None,
        cache: Path = cache,
    ) -> list[Finding]:
        where = str(target or tmp_path / "env")
        return list(
            examine(store=store or MemoryStore(), python=python, installer=installer, target=where, cache=cache)
        )

    return look


def wrong(findings: Sequence[Finding]) -> list[Finding]:
    """Return what is not well. It always says what to do, and only a failure changes how a run ends."""
    found = [finding for finding in findings if finding.level != OK]
    for finding in findings:
        assert (finding.level != OK) == bool(finding.hint)
        assert (finding.level == FAILURE) == bool(finding.exit_code)
        assert finding.message == finding.message.strip(".\n ")
        assert "\n" not in finding.message + finding.hint
    return found


def the_one(findings: Sequence[Finding], level: str, subject: str, exit_code: int = 0) -> Finding:
    """Return the only thing that is not well, which is as told."""
    (found,) = wrong(findings)
    assert (level, subject, exit_code) == (found.level, found.subject, found.exit_code)
    return found


def test_all_is_well(look: Look) -> None:
    """Each thing that a run needs has a line, in the order in which a run needs it."""
    store = MemoryStore()
    found = look(store)
    assert [] == wrong(found)
    assert ["python", "target", "target", "builds", "builds", *["store"] * 5, "clock"] == [
        finding.subject for finding in found
    ]
    assert {} == store._objects


def test_a_directory(look: Look, tmp_path: Path) -> None:
    """A store in a directory is all that a store can be, and no file stays in it, nor anywhere else."""
    assert [] == wrong(look(DirectoryStore(str(tmp_path / "store"))))
    assert [] == [path for path in tmp_path.rglob("*") if path.is_file()]
    assert ["store"] == [path.name for path in tmp_path.iterdir()]


# ---- stores that are not well


class NotThere(MemoryStore):
    def read(self, name: str) -> Object | None:
        raise StoreRefusedError("the store memory: is not there", hint="mount it")


class Silent(MemoryStore):
    def read(self, name: str) -> Object | None:
        raise StoreUnreachableError("memory: does not answer", hint="check the network")


class Anything(MemoryStore):
    def read(self, name: str) -> Object | None:
        return Object(b"welcome", "1")


class ReadOnly(MemoryStore):
    def create(self, name: str, data: bytes) -> bool:
        raise StoreRefusedError("memory: cannot be written", hint="allow it")


class Full(MemoryStore):
    def create(self, name: str, data: bytes) -> bool:
        raise StoreUnreachableError("memory: cannot be written: no space left on device", hint="check the disk")


class FullAtOnce(MemoryStore):
    def create(self, name: str, data: bytes) -> bool:
        super().create(name, data)
        raise StoreUnreachableError("memory: failed to write", hint="try again later")


class Unlistable(MemoryStore):
    def list(self, prefix: str) -> Iterator[Listed]:
        raise StoreRefusedError("memory: refuses to list what it has", hint="allow it")
        yield


class Careless(MemoryStore):
    conditional = False

    def create(self, name: str, data: bytes) -> bool:
        self._put(name, data)
        return True


class Rangeless(MemoryStore):
    def read_range(self, name: str, offset: int, size: int) -> bytes | None:
        raise StoreUnreachableError("memory: sent the whole object for a range", hint="check the network")


class OtherRange(MemoryStore):
    def read_range(self, name: str, offset: int, size: int) -> bytes | None:
        return super().read_range(name, 0, size)


class Forgetful(MemoryStore):
    def read(self, name: str) -> Object | None:
        return None


class Proxied(MemoryStore):
    def read(self, name: str) -> Object | None:
        found = super().read(name)
        return found and Object(b"<html>", found.version)


STORES: dict[str, tuple[type[MemoryStore], str, int, str, str]] = {
    "not there": (NotThere, FAILURE, 7, "is not there", "mount it"),
    "no answer": (Silent, FAILURE, 6, "does not answer", "network"),
    "anything by any name": (Anything, FAILURE, 6, "memory: has something by any name", "URL"),
    "not to be written": (ReadOnly, WARNING, 0, "this machine can fetch from it, and publishes nothing", "allow it"),
    "full": (Full, WARNING, 0, "no space left on device; this machine can fetch from it", "disk"),
    "full after it was written": (FullAtOnce, WARNING, 0, "failed to write; this machine can fetch", "try again"),
    "not to be listed": (Unlistable, WARNING, 0, "terrastore list, and keys cut short, need that", "allow it"),
    "no conditions": (Careless, WARNING, 0, "several may publish", "nothing breaks"),
    "no ranges": (Rangeless, FAILURE, 6, "sent the whole object for a range", "Range header"),
    "another range": (OtherRange, FAILURE, 6, "does not give back what was written", "proxy"),
    "nothing comes back": (Forgetful, FAILURE, 6, "does not give back what was written", "proxy"),
    "something else comes back": (Proxied, FAILURE, 6, "does not give back what was written", "proxy"),
}


@pytest.mark.parametrize("case", STORES)
def test_a_store_that_is_not_well(look: Look, case: str) -> None:
    """One line says so and what to do, with the code that a run would end with; nothing stays in the store."""
    kind, level, code, message, hint = STORES[case]
    store = kind()
    found = the_one(look(store), level, "store", code)
    assert message in found.message
    assert hint in found.hint
    assert "memory:" in found.message
    assert {} == store._objects


class ToBeRead:
    readers = 1
    is_near = True

    def __init__(self) -> None:
        self._store = MemoryStore()

    def read(self, name: str) -> Object | None:
        return self._store.read(name)

    def read_range(self, name: str, offset: int, size: int) -> bytes | None:
        return self._store.read_range(name, offset, size)

    def __str__(self) -> str:
        return "reading:"


def test_a_store_to_be_read(look: Look) -> None:
    """That it cannot be seen whether a store to be read has anything is said."""
    found = look(ToBeRead())
    assert [] == wrong(found)
    assert "a wrong path in it looks like an empty store" in found[-1].message


class Unremovable(MemoryStore):
    def remove(self, name: str) -> bool:
        raise StoreRefusedError("memory: refuses to remove", hint="allow it")


def test_who_builds_need_not_remove(look: Look) -> None:
    """Where nothing may be removed all is well, and what stays is named: one small object."""
    store = Unremovable()
    found = look(store)
    assert [] == wrong(found)
    ((name, data),) = store._objects.items()
    assert f"{name} stays there, {len(data)} bytes" in found[-1].message


class InParts(MemoryStore):
    """A store that keeps the parts of uploads, and may not tell of them."""

    def __init__(self, *, tells: bool) -> None:
        super().__init__()
        self.tells = tells

    def unfinished(self, prefix: str) -> list[Unfinished]:
        if not self.tells:
            raise StoreRefusedError("memory: refuses to list unfinished uploads")
        return [Unfinished(f"{prefix}key/archive", "1")]

    def discard(self, upload: Unfinished) -> None:
        raise AssertionError(upload)


def test_unfinished_uploads_are_counted(look: Look) -> None:
    """They may be of builders that are at work: none is touched."""
    found = look(InParts(tells=True))
    assert [] == wrong(found)
    assert found[-1].message.endswith("tells of unfinished uploads, which the next publication discards; now: 1")


def test_that_unfinished_uploads_are_not_told_is_a_warning(look: Look) -> None:
    """What it means, and both ways out."""
    warning = the_one(look(InParts(tells=False)), WARNING, "store")
    assert "parts of what killed builders uploaded stay there" in warning.message
    assert "allow s3:ListBucketMultipartUploads on the bucket, or let a rule discard them" in warning.hint


class Clock(MemoryStore):
    def __init__(self, shift: float) -> None:
        super().__init__()
        self.shift = shift

    def list(self, prefix: str) -> Iterator[Listed]:
        return (listed._replace(modified=listed.modified + self.shift) for listed in super().list(prefix))


@pytest.mark.parametrize(("shift", "which"), [(3600, "behind"), (-90, "ahead of")])
def test_clocks_that_differ(look: Look, shift: int, which: str) -> None:
    """By how much and which way is told."""
    found = the_one(look(Clock(shift)), WARNING, "clock")
    begin, seconds, end = found.message.partition(f"{abs(shift)} s {which}")
    assert ("this machine's clock is ", True, " that of memory:") == (begin, bool(seconds), end)


@pytest.mark.parametrize("shift", [-30, 50])
def test_clocks_that_differ_a_little(look: Look, shift: int) -> None:
    """Less than a minute is nothing."""
    assert [] == wrong(look(Clock(shift)))


# ---- several stores


@pytest.mark.parametrize("kind", [NotThere, Silent, Rangeless])
def test_a_nearer_store_that_is_not_well(look: Look, kind: type[MemoryStore]) -> None:
    """A run passes it over, so it is no failure."""
    found = the_one(look(LayeredStore([kind(), MemoryStore()])), WARNING, "store")
    assert found.message.endswith("; the next store is asked instead")


def test_the_last_store_must_be_well(look: Look) -> None:
    """Whatever the nearer ones are, and each is looked at."""
    found = look(LayeredStore([MemoryStore(), ToBeRead(), NotThere()]))
    assert 7 == the_one(found, FAILURE, "store", 7).exit_code
    assert ["memory:", "reading:"] == [each.message.split()[0] for each in found if "answers" in each.message]


# ---- nothing stays


class Failing(MemoryStore):
    """A store that once fails: at the request numbered ``at``, before or after that had its effect."""

    def __init__(self, at: int, error: Exception, *, after: bool) -> None:
        super().__init__()
        self.left = at
        self._error = error
        self._after = after

    def fail(self, *, after: bool) -> None:
        if after == self._after:
            self.left -= 1
            if self.left == 0:
                raise self._error

    def read(self, name: str) -> Object | None:
        self.fail(after=False)
        found = super().read(name)
        self.fail(after=True)
        return found

    def read_range(self, name: str, offset: int, size: int) -> bytes | None:
        self.fail(after=False)
        found = super().read_range(name, offset, size)
        self.fail(after=True)
        return found

    def create(self, name: str, data: bytes) -> bool:
        self.fail(after=False)
        created = super().create(name, data)
        self.fail(after=True)
        return created

    def list(self, prefix: str) -> Iterator[Listed]:
        self.fail(after=False)
        found = super().list(prefix)
        self.fail(after=True)
        return found

    def remove(self, name: str) -> bool:
        self.fail(after=False)
        removed = super().remove(name)
        self.fail(after=True)
        return removed


ERRORS = (StoreUnreachableError("broken", hint="mend it"), StoreRefusedError("no", hint="allow it"), RuntimeError())


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("after", [False, True])
def test_nothing_stays_wherever_it_fails(look: Look, *, after: bool, error: Exception) -> None:
    """Whichever request fails and however, before it or after it took effect: what was written is gone."""
    at = 0
    store = Failing(at, error, after=after)
    while store.left <= 0:
        at += 1
        store = Failing(at, error, after=after)
        with suppress(RuntimeError):
            look(store)
        assert {} == store._objects
    assert at > 8


def test_nothing_stays_when_nobody_listens_any_more(tmp_path: Path, cache: Path) -> None:
    """Whoever stops after any line leaves nothing."""
    lines = 20
    for stop in range(lines):
        store = MemoryStore()
        findings = examine(store=store, python=None, installer="pip", target=str(tmp_path / "env"), cache=cache)
        for _ in range(stop):
            next(findings, None)
        findings.close()
        assert {} == store._objects
    assert [[], ["build"], []] == [os.listdir(folder) for folder in (tmp_path, cache, cache / "build")]


# ---- the machine


def test_no_interpreter(look: Look) -> None:
    """It is named, and everything else is looked at all the same."""
    found = look(python="3.99")
    assert "no interpreter on this machine fits --python 3.99" in the_one(found, FAILURE, "python", 9).message
    assert "clock" == found[-1].subject


def test_virtualenv_is_not_there(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    """What makes environments is missed before it is needed."""
    monkeypatch.setattr(sys, "path", [])
    assert "virtualenv is not installed" in the_one(look(), FAILURE, "builds", 5).message


def test_uv(look: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who installs by uv is told which one, and when there is none or it is too old."""
    assert [] == wrong(look(installer="uv"))
    assert any(" is uv 0." in finding.message for finding in look(installer="uv"))
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "uv is not installed" in the_one(look(installer="uv"), FAILURE, "builds", 2).message
    old = tmp_path / "uv"
    old.write_text("#!/bin/sh\necho uv 0.4.0\n")
    old.chmod(0o755)
    assert "is uv 0.4.0, and 0." in the_one(look(installer="uv"), FAILURE, "builds", 2).message


def test_a_target_below_what_is_not_there(look: Look, tmp_path: Path) -> None:
    """A run makes the directories that are missing, so it is the first that is there that counts; none is made."""
    found = look(target=tmp_path / "srv/app/env")
    assert [] == wrong(found)
    assert f"{tmp_path} can be written and has " in found[1].message
    assert not (tmp_path / "srv").exists()


def in_the_way(path: Path) -> str:
    (path / "file").write_text("")
    return str(path / "file")


def below_a_file(path: Path) -> str:
    return in_the_way(path) + "/env"


def foreign(path: Path) -> str:
    (path / "mine").mkdir()
    (path / "mine/thesis.txt").write_text("")
    return str(path / "mine")


TARGETS: dict[str, tuple[Callable[[Path], str], int, str]] = {
    "file": (in_the_way, 2, "is a file"),
    "below a file": (below_a_file, 2, "is no directory"),
    "somebody's directory": (foreign, 2, "is a directory that is no environment"),
    "mount point": (lambda _: "/proc", 2, "is a mount point"),
    "where nothing can be made": (lambda _: "/proc/env", 2, "/proc cannot be written"),
    "name that no script can hold": (lambda path: f"{path}/a\nb", 2, "cannot hold an environment"),
    "name that is too long": (lambda path: f"{path}/{'x' * 300}", 9, "file name too long"),
}


@pytest.mark.parametrize("case", TARGETS)
def test_a_target_that_cannot_be(look: Look, tmp_path: Path, case: str) -> None:
    """It is named with the reason, and nothing there is touched."""
    make, code, message = TARGETS[case]
    target = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    found = the_one(look(target=target), FAILURE, "target", code)
    assert message in found.message
    assert target.partition("\n")[0].removesuffix("/env") in found.message
    assert before == sorted(tmp_path.rglob("*"))


def test_directories_that_cannot_be_exchanged(look: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a filesystem cannot, as NFS, the instant without an environment is told, and what does without it."""
    monkeypatch.setattr(atomic, "exchange", lambda _first, _second: False)  # no such filesystem can be had here
    found = the_one(look(), WARNING, "target")
    assert f"while {tmp_path}/env is replaced, it is absent for an instant" in found.message
    assert "--link" in found.hint


def test_little_disk(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both places are told of, each with the option that names another."""
    monkeypatch.setattr(doctor, "_ROOM", 1e18)
    target, builds = wrong(look())
    assert ("target", "builds") == (target.subject, builds.subject)
    assert ("--target" in target.hint, "--cache-dir" in builds.hint) == (True, True)


def test_a_cache_that_is_too_deep(look: Look, tmp_path: Path) -> None:
    """Builds stand elsewhere then; both places are looked at."""
    cache = tmp_path / ("d" * 200)
    found = look(cache=cache)
    assert [] == wrong(found)
    elsewhere, own = (each.message for each in found if each.subject == "builds" and "can be written" in each.message)
    assert "/tmp/terrastore-" in elsewhere
    assert own.startswith(f"{cache} ")


def test_a_cache_that_cannot_be_written(look: Look, tmp_path: Path) -> None:
    """No build would have a log: a failure, though builds could stand elsewhere."""
    cache = Path(below_a_file(tmp_path))
    found = the_one(look(cache=cache), FAILURE, "builds", 9)
    assert f"{cache} cannot be written" in found.message
    assert "--cache-dir" in found.hint


@pytest.fixture
def key(tmp_path: Path) -> tuple[str, str]:
    """Make a key; return its file and its line."""
    path = str(tmp_path / "ci.key")
    return path, PublicKey("ci", signing.generate(path)).line


def trusting(tmp_path: Path, key: tuple[str, str], *lines: str, signed: bool = False) -> list[tuple[str, str]]:
    """Return level and message of what is found of a trust file with these lines, and of a key."""
    trust = tmp_path / "trust"
    trust.write_text("\n".join(lines))
    examination = examine(
        store=MemoryStore(),
        python=None,
        installer="pip",
        target=str(tmp_path / "env"),
        cache=tmp_path,
        trust=str(trust) if lines else None,
        signers=[key[0]] if signed else [],
    )
    return [(each.level, each.message) for each in examination if each.subject in {"trust", "signer"}]


def test_a_trust_file(tmp_path: Path, key: tuple[str, str]) -> None:
    """How many it trusts, whom no more; and that nothing is published without a key."""
    unsigned = ("ok", "none is named, so nothing that is built here is published")
    file = tmp_path / "trust"
    assert [] == trusting(tmp_path, key)
    assert [("ok", f"{file} trusts 1 key"), unsigned] == trusting(tmp_path, key, key[1])
    assert [("ok", f"{file} trusts anybody, and revokes 1")] == trusting(tmp_path, key, "anybody", "revoke six")
    over = f"{key[1]} not-after=2020-01-01"
    told = f"{file} trusts 1 key; ci counted until 2020-01-01T00:00:00Z: nothing counts"
    assert [("warning", told), unsigned] == trusting(tmp_path, key, over)
    (failure, *_) = trusting(tmp_path, key, "nonsense")
    assert ("failure", f"{file}, line 1: that is no line of a trust file") == failure


def test_a_signer(tmp_path: Path, key: tuple[str, str]) -> None:
    """Whether it can sign, who it is, and whether that counts here."""
    assert [("ok", f"{key[0]} can sign")] == trusting(tmp_path, key, signed=True)
    assert ("ok", f"{key[0]} can sign, as ci") in trusting(tmp_path, key, key[1], signed=True)
    os.chmod(key[0], 0o644)
    assert ("warning", f"the key {key[0]} can be read by others: chmod 600 {key[0]}") in trusting(
        tmp_path, key, signed=True
    )
    other = PublicKey("other", b"x" * 32).line
    assert "failure" in dict(trusting(tmp_path, key, other, signed=True))
