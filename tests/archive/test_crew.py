"""Other processes that do the work: what they do, and what comes of their trouble."""

from __future__ import annotations

import hashlib
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from terrastore.archive import crew as crews
from terrastore.archive.crew import Crew
from terrastore.archive.frames import compress
from terrastore.archive.pieces import LostError
from terrastore.archive.ustar import REGULAR, MalformedError, Member, header, padding
from terrastore.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from terrastore.archive.crew import Job

SIZES = pytest.mark.parametrize("size", [1000, 64 * 1024 * 1024], ids=["here", "other processes"])


def raw(*names: str) -> bytes:
    content = b"abc"
    return b"".join(
        header(Member(name, REGULAR, 0o644, len(content))) + content + bytes(padding(len(content))) for name in names
    )


def write(crew: Crew, root: Path, data: bytes, *, is_last: bool = True, keep: str | None = None) -> Job:
    packed = compress(data)
    sha256 = hashlib.sha256(packed).hexdigest()
    return crew.write("frame", len(data), sha256, str(root), True, is_last, keep, 0, data=packed)


@SIZES
def test_pieces_are_written(tmp_path: Path, size: int) -> None:
    """Many, by few, and each says what was in it."""
    with Crew(str(tmp_path), (), size=size, most=2) as crew:
        jobs = [write(crew, tmp_path, raw(f"a/{number}", f"b/{number}")) for number in range(40)]
        names = [[row[0] for row in job.written.result()[0]] for job in jobs]
    assert names == [[f"a/{number}", f"b/{number}"] for number in range(40)]
    assert 80 == sum(path.is_file() for path in tmp_path.rglob("*"))


@SIZES
def test_the_end_is_told_before_the_rest(tmp_path: Path, size: int) -> None:
    """The next piece can begin where this one ends."""
    data = raw("a", "b")
    with Crew(str(tmp_path), (), size=size, most=2) as crew:
        first = write(crew, tmp_path, data[:1536], is_last=False)
        packed = compress(data[1536:])
        digest = hashlib.sha256(packed).hexdigest()
        second = crew.write("frame", 512, digest, str(tmp_path), False, True, None, 0, data=packed, start=first.end)
        assert [["a"], ["b"]] == [[row[0] for row in job.written.result(10)[0]] for job in (first, second)]
    assert b"abc" == (tmp_path / "b").read_bytes()


@SIZES
def test_raw_bytes_are_kept_too(tmp_path: Path, size: int) -> None:
    """A cache gets what was unpacked; where it cannot be written that is told, and the environment is there."""
    root, kept = tmp_path / "root", tmp_path / "kept"
    root.mkdir()
    kept.touch()
    with Crew(str(root), (), size=size, most=2) as crew:
        assert write(crew, root, raw("a"), keep=str(kept)).written.result()[2] is None
        trouble = write(crew, root, raw("b"), keep=str(tmp_path / "no/such")).written.result()[2]
        assert hashlib.sha256(raw("a")).hexdigest() == crew.do("digest", str(kept)).result()
    assert raw("a") == kept.read_bytes()
    assert trouble[0] == 2
    assert {"a", "b"} == {path.name for path in root.iterdir()}


def broken_frame(crew: Crew, root: Path) -> Job:
    return crew.write("frame", 10, "0" * 64, str(root), True, True, None, 0, data=b"x")


def no_tar(crew: Crew, root: Path) -> Job:
    return write(crew, root, b"\1" * 512)


def no_folder(crew: Crew, root: Path) -> Job:
    return write(crew, root / "gone", raw("a"))


def nothing_kept(crew: Crew, root: Path) -> Job:
    return crew.write("kept", str(root / "gone"), 0, 512, str(root), True, True, None, 0)


TROUBLE: dict[str, tuple[Callable[[Crew, Path], Job], type[Exception], str]] = {
    "another frame": (broken_frame, MalformedError, "SHA-256"),
    "no tar": (no_tar, MalformedError, "checksum"),
    "no directory": (no_folder, FileNotFoundError, "gone"),
    "not kept any more": (nothing_kept, LostError, "gone|None"),
}


@SIZES
@pytest.mark.parametrize(("begin", "kind", "message"), TROUBLE.values(), ids=TROUBLE.keys())
def test_trouble_is_that_of_who_asked(
    tmp_path: Path, size: int, begin: Callable[[Crew, Path], Job], kind: type[Exception], message: str
) -> None:
    """What a process cannot do is raised where its work is waited for, as if it had been done here."""
    with Crew(str(tmp_path), (), size=size, most=2) as crew:
        job = begin(crew, tmp_path)
        with pytest.raises(kind, match=message):
            job.written.result(10)
        with pytest.raises(kind):
            job.end.result(10)
        assert write(crew, tmp_path, raw("later")).written.result(10)[0]


def test_a_process_that_is_ended_is_told(tmp_path: Path) -> None:
    """Such as by the kernel, when memory runs out."""
    with Crew(str(tmp_path), (), size=64 * 1024 * 1024, most=1) as crew:
        write(crew, tmp_path, raw("a")).written.result(10)
        os.kill(pids(crew)[0], signal.SIGKILL)
        with pytest.raises(HostError, match="was ended by signal 9"):
            write(crew, tmp_path, raw("b")).written.result(10)


def test_a_failure_ends_them(tmp_path: Path) -> None:
    """Nobody goes on to write into what is about to be removed."""
    crew = Crew(str(tmp_path), (), size=64 * 1024 * 1024, most=2)
    running = pids(crew)
    assert len(running) == 2
    with pytest.raises(ZeroDivisionError), crew:
        raise ZeroDivisionError
    for pid in running:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.parametrize(
    ("size", "most", "expected"),
    [(0, 4, 0), (15 << 20, 4, 0), (16 << 20, 4, 1), (100 << 20, 4, 4), (100 << 20, 1, 1), (10 << 30, 64, 8)],
)
def test_there_are_as_many_as_pay(tmp_path: Path, size: int, most: int, expected: int) -> None:
    """None for what is small, and never more than there are processors, or than a disk has use for."""
    with Crew(str(tmp_path), (), size=size, most=most) as crew:
        assert expected == len(pids(crew))


def pids(crew: Any) -> list[int]:
    return [hand._process.pid for hand in crew._hands if isinstance(hand, crews._Other)]
