"""Changes to a directory are seen whole or not at all, and a lock leaves no file behind."""

import errno
import fcntl
import multiprocessing
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from terrastore import atomic

SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def private_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


@pytest.mark.parametrize("data", [b"", b"\0", b"a\r\nb", b"x" * 1_000_000], ids=["empty", "zero", "lines", "large"])
def test_write_file_writes_the_bytes(data: bytes, tmp_path: Path) -> None:
    """The file holds what was given, and nothing else is left."""
    path = tmp_path / "file"
    atomic.write_file(str(path), data)
    assert data == path.read_bytes()
    assert ["file"] == names(tmp_path)


@pytest.mark.usefixtures("private_umask")
@pytest.mark.parametrize("mode", [0o644, 0o600, 0o755], ids=oct)
def test_write_file_sets_the_mode(mode: int, tmp_path: Path) -> None:
    """Neither the umask nor the mode of the file that was there counts."""
    path = tmp_path / "file"
    path.touch(0o640)
    atomic.write_file(str(path), b"data", mode=mode)
    assert mode == path.stat().st_mode & 0o7777


def test_write_file_replaces_the_name(tmp_path: Path) -> None:
    """Who has the old file open keeps it, and what a link led to stays as it was."""
    path, linked = tmp_path / "file", tmp_path / "linked"
    linked.write_bytes(b"linked")
    path.symlink_to("linked")
    atomic.write_file(str(path), b"first")
    with path.open("rb") as file:
        atomic.write_file(str(path), b"second")
        assert (b"first", b"second") == (file.read(), path.read_bytes())
    assert b"linked" == linked.read_bytes()


def test_readers_of_a_written_file_see_it_whole(tmp_path: Path) -> None:
    """While a file is written over and over, it is always there with one content."""
    path = tmp_path / "file"
    bodies = [letter * 100_000 for letter in (b"a", b"b", b"c")]
    atomic.write_file(str(path), bodies[0])
    done = threading.Event()

    def torn() -> int:
        found = 0
        while not done.is_set():
            found += path.read_bytes() not in bodies
        return found

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(torn) for _ in range(2)]
        try:
            for turn in range(50):
                atomic.write_file(str(path), bodies[turn % 3])
        finally:
            done.set()
        assert [0, 0] == [reader.result() for reader in readers]


@pytest.mark.parametrize(
    ("path", "error"),
    [("absent/file", FileNotFoundError), ("file/below", NotADirectoryError), ("folder", IsADirectoryError)],
)
def test_write_file_that_fails_leaves_nothing(path: str, error: type[OSError], tmp_path: Path) -> None:
    """Where no file can be, what was there stays, and no temporary file does."""
    (tmp_path / "file").write_bytes(b"data")
    (tmp_path / "folder").mkdir()
    with pytest.raises(error):
        atomic.write_file(str(tmp_path / path), b"new")
    assert ["file", "folder"] == names(tmp_path)
    assert b"data" == (tmp_path / "file").read_bytes()
    assert [] == names(tmp_path / "folder")


def publish(path: Path, data: bytes) -> bool:
    with atomic.temporary_beside(str(path), mode=0o644) as file:
        file.write(data)
        return atomic.publish_new(file, str(path))


def test_publish_new_takes_a_free_name(tmp_path: Path) -> None:
    """A free name is ours, with every byte, and the temporary name is gone."""
    assert publish(tmp_path / "file", b"data")
    assert b"data" == (tmp_path / "file").read_bytes()
    assert ["file"] == names(tmp_path)
    assert 1 == (tmp_path / "file").stat().st_nlink


@pytest.mark.parametrize("taken", ["file", "folder", "dangling"])
def test_publish_new_leaves_a_taken_name(taken: str, tmp_path: Path) -> None:
    """A name that anything has, even a link to nowhere, is not ours, and is left as it is."""
    (tmp_path / "file").write_bytes(b"first")
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling").symlink_to("nowhere")
    assert not publish(tmp_path / taken, b"second")
    assert ["dangling", "file", "folder"] == names(tmp_path)
    assert b"first" == (tmp_path / "file").read_bytes()


def test_publish_new_has_one_winner(tmp_path: Path) -> None:
    """Of twenty that publish one name at once, one is told it won, and its bytes are there."""
    barrier = threading.Barrier(20)

    def race(number: int) -> bool:
        barrier.wait()
        return publish(tmp_path / "file", b"%d" % number)

    with ThreadPoolExecutor(20) as pool:
        won = list(pool.map(race, range(20)))
    assert [b"%d" % number for number in range(20) if won[number]] == [(tmp_path / "file").read_bytes()]


def test_publish_new_knows_its_own_work_when_the_reply_was_lost(tmp_path: Path) -> None:
    """When NFS asks again and hears that the name is taken, by our own file, then we won."""
    path = tmp_path / "file"
    with atomic.temporary_beside(str(path), mode=0o644) as file:
        file.write(b"data")
        os.link(file.name, path)
        assert atomic.publish_new(file, str(path))
    assert b"data" == path.read_bytes()
    assert ["file"] == names(tmp_path)


def test_a_temporary_file_goes_when_its_body_fails(tmp_path: Path) -> None:
    """What was not published is gone, whatever happened."""
    with pytest.raises(KeyboardInterrupt), atomic.temporary_beside(str(tmp_path / "file"), mode=0o644):
        raise KeyboardInterrupt
    assert [] == names(tmp_path)


def test_a_temporary_name_is_hidden(tmp_path: Path) -> None:
    """Who lists the directory can tell what is unfinished by its dot."""
    with atomic.temporary_beside(str(tmp_path / "file"), mode=0o644):
        assert [True] == [name.startswith(".") for name in names(tmp_path)]


def test_temporary_files_of_killed_runs_are_removed(tmp_path: Path) -> None:
    """Whoever makes one removes those that nobody holds; one that somebody writes and every other file stay."""
    dead, stranger = tmp_path / f".tmp-{atomic.lock_domain()}-{'0' * 16}", tmp_path / ".tmp-mine"
    for path in (dead, stranger):
        path.touch()
    with atomic.temporary_beside(str(tmp_path / "one"), mode=0o644) as first:
        assert not dead.exists()
        atomic.write_file(str(tmp_path / "two"), b"")
        assert os.path.exists(first.name)
    assert [".tmp-mine", "two"] == sorted(os.listdir(tmp_path))


@pytest.mark.parametrize(("hours", "stays"), [(0, True), (23, True), (25, False)])
def test_temporary_files_of_other_machines_are_removed_after_a_day(hours: int, stays: bool, tmp_path: Path) -> None:
    """Their locks may not reach here, so one that was not written to for a day counts as dead."""
    theirs = tmp_path / f".tmp-{'f' * 16}-{'0' * 16}"
    theirs.touch()
    then = theirs.stat().st_mtime - hours * 3600
    os.utime(theirs, (then, then))
    atomic.write_file(str(tmp_path / "file"), b"")
    assert stays == theirs.exists()


def test_a_link_that_was_begun_is_made_anew(tmp_path: Path) -> None:
    """What a killed caller left does not keep the next from switching."""
    link = str(tmp_path / "link")
    os.symlink("old", atomic.unfinished(link))
    atomic.switch_link(link, "new")
    assert ("new", ["link"]) == (os.readlink(link), os.listdir(tmp_path))


@pytest.mark.parametrize("before", [None, "old", "nowhere"])
def test_switch_link_makes_or_moves_a_link(before: str | None, tmp_path: Path) -> None:
    """A link that was not there, led elsewhere or led nowhere leads to the target afterwards, which stays as it was."""
    link = tmp_path / "link"
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    if before is not None:
        link.symlink_to(before)
    atomic.switch_link(str(link), "new")
    assert "new" == os.readlink(link)
    assert ["link", "new", "old"] == names(tmp_path)
    assert [] == names(tmp_path / "old")


def test_switch_link_does_not_replace_a_directory(tmp_path: Path) -> None:
    """A directory in the link's place is an error that leaves nothing behind."""
    (tmp_path / "link/inside").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        atomic.switch_link(str(tmp_path / "link"), "new")
    assert ["link"] == names(tmp_path)
    assert ["inside"] == names(tmp_path / "link")


def test_a_switched_link_is_always_there(tmp_path: Path) -> None:
    """While a link is switched back and forth, a file below it can be opened at any time."""
    link = tmp_path / "link"
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    atomic.switch_link(str(link), "one")
    done = threading.Event()

    def read() -> set[str]:
        found = set()
        while not done.is_set():
            found.add((link / "file").read_text())
        return found

    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(read)
        try:
            for turn in range(100):
                atomic.switch_link(str(link), ("one", "two")[turn % 2])
        finally:
            done.set()
        assert reader.result() <= {"one", "two"}
    assert "two" == (link / "file").read_text()


def make_folder(path: Path) -> None:
    path.mkdir()
    (path / "inside").write_text(path.name)


def make_file(path: Path) -> None:
    path.write_text(path.name)


def make_link(path: Path) -> None:
    path.symlink_to(f"to-{path.name}")


MAKERS = [make_folder, make_file, make_link]


@pytest.mark.parametrize("first", MAKERS)
@pytest.mark.parametrize("second", MAKERS)
def test_exchange_swaps_any_two_names(
    first: Callable[[Path], None], second: Callable[[Path], None], tmp_path: Path
) -> None:
    """Directories with content, files and links change places, each as it is; nothing else appears."""
    first(tmp_path / "first")
    second(tmp_path / "second")
    before = [(tmp_path / name).lstat().st_ino for name in ("first", "second")]
    assert atomic.exchange(str(tmp_path / "first"), str(tmp_path / "second"))
    assert before == [(tmp_path / name).lstat().st_ino for name in ("second", "first")]
    assert ["first", "second"] == names(tmp_path)


@pytest.mark.parametrize("there", ["first", "second"])
def test_exchange_wants_both_names(there: str, tmp_path: Path) -> None:
    """One name that is not there is an error, and the other stays."""
    make_folder(tmp_path / there)
    with pytest.raises(FileNotFoundError):
        atomic.exchange(str(tmp_path / "first"), str(tmp_path / "second"))
    assert [there] == names(tmp_path)


def test_exchange_takes_names_that_are_no_text(tmp_path: Path) -> None:
    """Names are bytes to the kernel, so any name will do."""
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/\xff \xc3\xbc\n")
    make_folder(tmp_path / "first")
    os.mkdir(odd)
    assert atomic.exchange(str(tmp_path / "first"), odd)
    assert ["inside"] == os.listdir(odd)


def test_exchange_between_filesystems_is_an_error(tmp_path: Path) -> None:
    """Two filesystems cannot swap names: EXDEV, with both names, and both are as they were."""
    here = tmp_path.stat().st_dev
    others = [place for place in ("/dev/shm", "/var/tmp") if os.path.isdir(place) and os.stat(place).st_dev != here]
    if not others:
        pytest.skip("neither /dev/shm nor /var/tmp is on a second filesystem")
    make_folder(tmp_path / "here")
    with tempfile.TemporaryDirectory(dir=others[0]) as there:
        with pytest.raises(OSError, match="cross-device") as caught:
            atomic.exchange(str(tmp_path / "here"), there)
        assert (errno.EXDEV, str(tmp_path / "here"), there) == (
            caught.value.errno,
            caught.value.filename,
            caught.value.filename2,
        )
        assert [] == os.listdir(there)
    assert ["inside"] == names(tmp_path / "here")


def test_exchange_of_what_cannot_be_renamed_is_an_error(tmp_path: Path) -> None:
    """EBUSY, as for a mount point, is raised; a caller must not try two renames instead."""
    make_folder(tmp_path / "first")
    make_folder(tmp_path / "second")
    with pytest.raises(OSError, match="busy") as caught:
        atomic.exchange(f"{tmp_path}/first/.", str(tmp_path / "second"))
    assert errno.EBUSY == caught.value.errno


def test_exchange_that_makes_no_sense_is_not_done(tmp_path: Path) -> None:
    """A directory cannot change places with what it holds (EINVAL), which the kernel refuses as what it cannot do."""
    make_folder(tmp_path / "first")
    assert not atomic.exchange(str(tmp_path / "first"), str(tmp_path / "first/inside"))
    assert ["inside"] == names(tmp_path / "first")


def count_up(folder: str, times: int) -> None:
    """Add ``times`` to the number in a file, one at a time, which loses some unless nobody else does."""
    counter = Path(folder, "counter")
    for _ in range(times):
        with atomic.locked(f"{folder}/lock"):
            counter.write_text(str(int(counter.read_text()) + 1))


def test_a_lock_excludes_other_processes(tmp_path: Path) -> None:
    """Three processes count to nine hundred together, and the lock's file is gone afterwards."""
    (tmp_path / "counter").write_text("0")
    with ProcessPoolExecutor(3, mp_context=SPAWN) as pool:
        list(pool.map(count_up, [str(tmp_path)] * 3, [300] * 3))
    assert "900" == (tmp_path / "counter").read_text()
    assert ["counter"] == names(tmp_path)


def test_a_lock_excludes_other_threads(tmp_path: Path) -> None:
    """Threads of one process do not share it."""
    (tmp_path / "counter").write_text("0")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count_up, [str(tmp_path)] * 8, [50] * 8))
    assert "400" == (tmp_path / "counter").read_text()
    assert ["counter"] == names(tmp_path)


@pytest.mark.parametrize("remove", [False, True], ids=["as it was", "file removed meanwhile"])
def test_a_lock_is_gone_when_its_body_fails(remove: bool, tmp_path: Path) -> None:
    """A failure passes through, the lock's file is gone, and the lock is free."""
    path = tmp_path / "lock"
    with pytest.raises(KeyboardInterrupt):
        fail_locked(path, remove)
    assert [] == names(tmp_path)
    with atomic.locked(str(path)):
        assert ["lock"] == names(tmp_path)


def fail_locked(path: Path, remove: bool) -> None:
    with atomic.locked(str(path)):
        if remove:
            path.unlink()
        raise KeyboardInterrupt


def test_a_free_lock_makes_nobody_wait(tmp_path: Path) -> None:
    """Who gets the lock at once is not told of a wait, even when a dead holder's file is there."""
    told: list[int] = []
    (tmp_path / "lock").touch()
    with atomic.locked(str(tmp_path / "lock"), waiting=lambda: told.append(1)):
        pass
    assert ([], []) == (told, names(tmp_path))


def start_waiter(pool: ThreadPoolExecutor, path: Path) -> tuple[Future[bool], list[int]]:
    """Let a thread wait for a lock; return whether it came to hold the file of that name, and what it was told."""
    told: list[int] = []
    begun = threading.Event()

    def waiting() -> None:
        told.append(1)
        begun.set()

    def wait() -> bool:
        with atomic.locked(str(path), waiting=waiting), path.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    future = pool.submit(wait)
    assert begun.wait(10)
    return future, told


def test_a_waiter_is_told_once_and_gets_the_lock(tmp_path: Path) -> None:
    """It waits while another holds the lock, and holds the file of that name when it is its turn."""
    path = tmp_path / "lock"
    with ThreadPoolExecutor(1) as pool:
        with atomic.locked(str(path)):
            future, told = start_waiter(pool, path)
            assert not future.done()
        assert future.result(10)
    assert [1] == told
    assert [] == names(tmp_path)


def test_a_lock_whose_file_was_removed_is_taken_again(tmp_path: Path) -> None:
    """A waiter that wakes with a removed file waits for the new one's holder as well, and is told of one wait."""
    path = tmp_path / "lock"
    with ThreadPoolExecutor(1) as pool:
        with path.open("w") as first:
            fcntl.flock(first, fcntl.LOCK_EX)
            future, told = start_waiter(pool, path)
            path.unlink()
            second = path.open("w")
            fcntl.flock(second, fcntl.LOCK_EX)
        with second, pytest.raises(TimeoutError):
            future.result(0.2)
        assert future.result(10)
    assert [1] == told
    assert [] == names(tmp_path)


def test_a_lock_that_is_a_link_is_no_endless_loop(tmp_path: Path) -> None:
    """A link that somebody put in the lock's place, who may write there, does not keep us busy for ever."""
    (tmp_path / "counter").write_text("0")
    (tmp_path / "lock").symlink_to("elsewhere")
    with ThreadPoolExecutor(1) as pool:
        counting = pool.submit(count_up, str(tmp_path), 1)
        ended = wait([counting], 1).done
        (tmp_path / "lock").unlink(missing_ok=True)
    assert {counting} == ended


def hold_and_say(path: str) -> bool:
    fd = atomic.hold_directory(path)
    if fd is not None:
        os.close(fd)
    return fd is not None


def test_a_directory_is_held_by_one(tmp_path: Path) -> None:
    """While it is held nobody else gets it, in this process or another; closing lets it go and removes nothing."""
    (tmp_path / "inside").touch()
    fd = atomic.hold_directory(str(tmp_path))
    assert fd is not None
    assert not hold_and_say(str(tmp_path))
    with ProcessPoolExecutor(1, mp_context=SPAWN) as pool:
        assert not pool.submit(hold_and_say, str(tmp_path)).result()
        os.close(fd)
        assert pool.submit(hold_and_say, str(tmp_path)).result()
    assert ["inside"] == names(tmp_path)


@pytest.mark.parametrize("name", ["absent", "file", "link", "file/below"])
def test_only_a_directory_is_held(name: str, tmp_path: Path) -> None:
    """What is gone, a file or a link cannot be held, and is left as it is."""
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    assert atomic.hold_directory(str(tmp_path / name)) is None
    assert ["file", "folder", "link"] == names(tmp_path)


def test_a_held_directory_may_be_removed(tmp_path: Path) -> None:
    """A new directory of the same name is another one, which is free."""
    path = tmp_path / "folder"
    path.mkdir()
    fd = atomic.hold_directory(str(path))
    assert fd is not None
    path.rmdir()
    path.mkdir()
    assert hold_and_say(str(path))
    os.close(fd)


def test_sync_directory_wants_a_directory(tmp_path: Path) -> None:
    """A directory is synced; anything else is an error."""
    atomic.sync_directory(str(tmp_path))
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        atomic.sync_directory(str(tmp_path / "file"))
