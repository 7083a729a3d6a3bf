"""A digest is remembered for as long as the file is the same on disk, and never when that is in doubt."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from terrastore.requirements import digests
from terrastore.requirements.digests import Digests

if TYPE_CHECKING:
    from collections.abc import Callable

SECOND = 10**9


class Run:
    """Runs that remember in one file, long after everything was written unless ``age`` says so."""

    def __init__(self, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kept = kept
        self.opened: list[str] = []
        real: Any = open

        def counted(path: Any, *arguments: Any) -> Any:
            self.opened.append(str(path))
            return real(path, *arguments)

        monkeypatch.setattr(digests, "open", counted, raising=False)

    def __call__(self, *paths: Path, age: int = 3600 * SECOND) -> list[str]:
        """Return the digests of files; those of them that were opened are in ``opened``."""
        changed = max(max(os.stat(path).st_mtime_ns, os.stat(path).st_ctime_ns) for path in paths)
        remembered = Digests(self.kept, now=lambda: changed + age)
        self.opened.clear()
        found = [remembered.of(str(path), os.stat(path)) for path in paths]
        remembered.save()
        self.opened = [path for path in self.opened if path != str(self.kept)]
        return found


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return Run(tmp_path / "cache/digests", monkeypatch)


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "one.whl"
    path.write_bytes(b"wheel")
    return path


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_file_is_read_once(run: Run, wheel: Path) -> None:
    """The next run knows the digest without opening the file."""
    assert [sha256(b"wheel")] == run(wheel)
    assert [str(wheel)] == run.opened
    assert [sha256(b"wheel")] == run(wheel)
    assert [] == run.opened


def test_another_name_of_the_file(run: Run, wheel: Path, tmp_path: Path) -> None:
    """A digest is the file's, not the name's: a hard link is known."""
    os.link(wheel, tmp_path / "two.whl")
    run(wheel)
    assert [sha256(b"wheel")] == run(tmp_path / "two.whl")
    assert [] == run.opened


def _rewritten(path: Path) -> None:
    path.write_bytes(b"WHEEL")


def _with_old_times(path: Path) -> None:
    facts = path.stat()
    path.write_bytes(b"WHEEL")
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def _another_file(path: Path) -> None:
    facts = path.stat()
    other = path.with_name("other")
    other.write_bytes(b"WHEEL")
    os.utime(other, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    other.rename(path)


@pytest.mark.parametrize("change", [_rewritten, _with_old_times, _another_file])
def test_a_changed_file_is_read_again(run: Run, wheel: Path, change: Callable[[Path], None]) -> None:
    """A file of the same size is read again, even when it has its old mtime: its ctime or its inode is another."""
    run(wheel)
    change(wheel)
    assert [sha256(b"WHEEL")] == run(wheel)
    assert [str(wheel)] == run.opened


@pytest.mark.parametrize(
    ("age", "is_remembered"),
    [(2 * SECOND, False), (2 * SECOND + 1, True), (0, False), (-3600 * SECOND, False)],
    ids=["two seconds", "just more", "none", "from the future"],
)
def test_a_fresh_file_is_not_remembered(run: Run, wheel: Path, age: int, is_remembered: bool) -> None:
    """Within two seconds of its last change a file may change again and keep its times."""
    run(wheel, age=age)
    run(wheel, age=age)
    assert ([] if is_remembered else [str(wheel)]) == run.opened


def test_a_file_that_changes_while_it_is_read(run: Run, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The digest of a file that changed meanwhile is not remembered."""
    real = hashlib.file_digest

    def overtaken(file: Any, name: str) -> Any:
        found = real(file, name)
        wheel.write_bytes(b"longer than before")
        return found

    with monkeypatch.context() as patched:
        patched.setattr(hashlib, "file_digest", overtaken)
        assert [sha256(b"wheel")] == run(wheel)
    assert [sha256(b"longer than before")] == run(wheel)


@pytest.mark.parametrize("time", [-5 * SECOND, 2**40 * SECOND], ids=["before 1970", "beyond 64 bits"])
def test_strange_times(run: Run, wheel: Path, time: int) -> None:
    """A time that no file should have does no harm."""
    try:
        os.utime(wheel, ns=(time, time))
    except OSError:
        pytest.skip("this filesystem has no such time")
    assert [sha256(b"wheel")] == run(wheel) == run(wheel)


def _flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "other": lambda _: b"{}\n",
    "cut": lambda data: data[:-1],
    "cut by a record": lambda data: data[:-72],
    "longer": lambda data: data + b"\0" * 72,
    "a digest altered": _flipped,
    "of another version": lambda data: data.replace(b"digests 1", b"digests 2"),
}


@pytest.mark.parametrize("damage", BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_made_anew(run: Run, wheel: Path, damage: Callable[[bytes], bytes]) -> None:
    """What is broken is not used: the file is read, and remembered again."""
    run(wheel)
    whole = run.kept.read_bytes()
    assert whole != damage(whole)
    run.kept.write_bytes(damage(whole))
    assert [sha256(b"wheel")] == run(wheel)
    assert ([str(wheel)], whole) == (run.opened, run.kept.read_bytes())


@pytest.mark.parametrize("place", ["cache/digests/x", "cache"], ids=["a directory", "a file above"])
def test_where_nothing_can_be_written(run: Run, wheel: Path, tmp_path: Path, place: str) -> None:
    """When it cannot be remembered nothing is wrong, and nothing is left behind."""
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    before = sorted(tmp_path.rglob("*"))
    assert [sha256(b"wheel")] == run(wheel) == run(wheel)
    assert before == sorted(tmp_path.rglob("*"))


def test_nothing_asked_for(tmp_path: Path) -> None:
    """Who asks for no digest reads and writes nothing."""
    Digests(tmp_path / "cache/digests").save()
    assert not (tmp_path / "cache").exists()


def test_what_is_known_is_not_written_again(run: Run, wheel: Path) -> None:
    """A run that computed nothing leaves the file alone."""
    run(wheel)
    before = run.kept.stat()
    run(wheel)
    assert before == run.kept.stat()


def test_two_runs_at_once(run: Run, wheel: Path, tmp_path: Path) -> None:
    """What two runs computed side by side is all remembered when one writes after the other."""
    other = tmp_path / "two.whl"
    other.write_bytes(b"two")
    late = other.stat().st_ctime_ns + 3600 * SECOND
    first, second = (Digests(run.kept, now=lambda: late) for _ in range(2))
    first.of(str(wheel), wheel.stat())
    second.of(str(other), other.stat())
    first.save()
    second.save()
    assert [sha256(b"wheel"), sha256(b"two")] == run(wheel, other)
    assert [] == run.opened


def test_who_reads_meanwhile(run: Run, wheel: Path, tmp_path: Path) -> None:
    """Whoever has the file open while it is made anew reads the old one to its end."""
    run(wheel)
    before = run.kept.read_bytes()
    with run.kept.open("rb") as reading:
        other = tmp_path / "two.whl"
        other.write_bytes(b"two")
        run(other)
        assert before == reading.read() != run.kept.read_bytes()


WRITER = """
import os, sys
from pathlib import Path
from terrastore.requirements.digests import Digests
for name in sys.argv[2:]:
    facts = os.stat(name)
    remembered = Digests(Path(sys.argv[1]), now=lambda: facts.st_ctime_ns + 10**13)
    remembered.of(name, facts)
    remembered.save()
"""


def test_many_writers(run: Run, tmp_path: Path) -> None:
    """While processes write all the time, whoever reads finds a whole file."""
    names = [str(tmp_path / f"{number}.whl") for number in range(40)]
    for name in names:
        Path(name).write_text(name)
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(run.kept), *names[start::4]]) for start in range(4)]
    read = []
    while any(writer.poll() is None for writer in writers):
        if run.kept.exists():
            read.append(len(digests._read(run.kept)))
    read.append(len(digests._read(run.kept)))
    assert [0] * 4 == [writer.returncode for writer in writers]
    assert 0 not in read
    assert [run.kept] == list(run.kept.parent.iterdir())
    assert [sha256(name.encode()) for name in names] == run(*map(Path, names))


def test_the_largest_stay(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file has a largest size: the digests of large files stay, then those that were used before."""
    monkeypatch.setattr(digests, "_LIMIT", 4)
    files = [tmp_path / f"{size}.whl" for size in (3, 1, 5, 2, 4, 6)]
    for path in files:
        path.write_bytes(b"x" * int(path.stem))
    run(*files)
    assert len(b"terrastore digests 1\n") + 4 + 4 * 72 == run.kept.stat().st_size
    run(*files)
    assert ["1.whl", "2.whl"] == sorted(os.path.basename(path) for path in run.opened)
    other = tmp_path / "0.whl"
    other.write_bytes(b"")
    run(other)
    run(*files)
    assert ["1.whl", "2.whl", "3.whl"] == sorted(os.path.basename(path) for path in run.opened)
