"""The store in a directory: the contract, and what becomes of permissions, broken shares and killed writers."""

import errno
import multiprocessing
import os
import random
import resource
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

import pytest

from terrastore import atomic
from terrastore.errors import StoreRefusedError, StoreUnreachableError, TerrastoreError
from terrastore.store.directory import DirectoryStore
from tests.mounts import cloning_or_skip
from tests.store.contract import NAME, CopyingContract, WholeStore

NOBODY = 65534
SPAWN = multiprocessing.get_context("spawn")


class TestDirectoryStore(CopyingContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> DirectoryStore:
        self.root = tmp_path / "store"
        return DirectoryStore(str(self.root))

    @pytest.fixture
    def other(self, tmp_path: Path) -> DirectoryStore:
        return DirectoryStore(str(tmp_path / "other"))

    def peek(self, name: str) -> bytes | None:
        path = self.root / name
        return path.read_bytes() if path.exists() else None

    def plant(self, name: str, data: bytes) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def everything(self) -> set[str]:
        return {str(path.relative_to(self.root)) for path in self.root.rglob("*") if not path.is_dir()}


def read(store: WholeStore) -> object:
    return store.read(NAME)


def read_range(store: WholeStore) -> object:
    return store.read_range(NAME, 0, 1)


def list_(store: WholeStore) -> object:
    return list(store.list("v1/pointers/"))


def create(store: WholeStore) -> object:
    return store.create(NAME, b"new")


def replace(store: WholeStore) -> object:
    found = store.read(NAME)
    return store.replace(NAME, b"new", found.version if found else "none")


def upload(store: WholeStore) -> object:
    with store.upload("v1/archives/key/new") as taken:
        return taken.write(b"new")


def remove(store: WholeStore) -> object:
    return store.remove(NAME)


READERS = (read, read_range, list_)
WRITERS = (create, replace, upload, remove)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return the root of a store that holds one object."""
    DirectoryStore(str(tmp_path / "store")).create(NAME, b"data")
    return tmp_path / "store"


@pytest.fixture
def private_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("ask", [*READERS, remove])
def test_asking_does_not_make_the_root(ask: Callable[[WholeStore], object], tmp_path: Path) -> None:
    """A store that nobody wrote to is no directory yet."""
    ask(DirectoryStore(str(tmp_path / "store")))
    assert [] == list(tmp_path.iterdir())


@pytest.mark.usefixtures("private_umask")
@pytest.mark.parametrize("write", [create, upload, replace])
def test_files_are_for_everybody(write: Callable[[WholeStore], object], root: Path) -> None:
    """Whatever the umask of who writes, others can read what is written."""
    if write is create:
        (root / NAME).unlink()
    write(DirectoryStore(str(root)))
    assert {0o644} == {path.stat().st_mode & 0o7777 for path in root.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("private_umask")
@pytest.mark.parametrize("permissions", [0o700, 0o755, 0o775, 0o777, 0o2775], ids=oct)
def test_new_directories_are_as_the_root(permissions: int, tmp_path: Path) -> None:
    """A share that its group may write to stays so, whatever the umask of who adds to it."""
    root = tmp_path / "store"
    root.mkdir()
    root.chmod(permissions)
    upload(DirectoryStore(str(root)))
    folders = [path for path in (root, *root.rglob("*")) if path.is_dir()]
    assert 4 == len(folders)
    assert {permissions} == {path.stat().st_mode & 0o7777 for path in folders}


def test_directories_that_are_there_stay_as_they_are(root: Path) -> None:
    """Whoever narrowed a directory's permissions finds them so afterwards."""
    (root / "v1").chmod(0o711)
    upload(DirectoryStore(str(root)))
    assert 0o711 == (root / "v1").stat().st_mode & 0o7777


@pytest.mark.parametrize("use", [*READERS, *WRITERS])
def test_a_missing_share_is_no_miss(use: Callable[[WholeStore], object], tmp_path: Path) -> None:
    """When the root's parent is not there either, a share is not mounted: that is refused, and nothing is made."""
    store = DirectoryStore(str(tmp_path / "not-mounted" / "store"))
    with pytest.raises(StoreRefusedError, match=r"not-mounted/store is not there") as caught:
        use(store)
    assert 7 == caught.value.exit_code
    assert caught.value.hint
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("use", [*READERS, *WRITERS])
def test_a_root_that_is_a_file_is_refused(use: Callable[[WholeStore], object], tmp_path: Path) -> None:
    """A file where the store should be is an error that names it, and stays as it is."""
    path = tmp_path / "file"
    path.write_bytes(b"mine")
    with pytest.raises(StoreRefusedError, match="file cannot be"):
        use(DirectoryStore(str(path)))
    assert {"file": b"mine"} == files(tmp_path)


@pytest.mark.parametrize("use", [create, upload])
def test_the_root_may_be_a_link(use: Callable[[WholeStore], object], root: Path, tmp_path: Path) -> None:
    """A link to the share stands for the share."""
    (tmp_path / "link").symlink_to(root)
    (root / NAME).unlink()
    use(DirectoryStore(str(tmp_path / "link")))
    assert [b"new"] == list(files(root).values())


@pytest.mark.parametrize(("prefix", "expected"), [("", [NAME]), ("v1/pointers/", [NAME]), ("v1/pointers/s", [])])
def test_strangers_are_not_listed(prefix: str, expected: list[str], root: Path) -> None:
    """Unfinished files, hidden folders, dangling links and empty folders are no objects."""
    folder = root / "v1/pointers"
    (folder / ".tmp-0123456789abcdef").write_bytes(b"unfinished")
    (folder / ".nfs000000000000000100000001").write_bytes(b"removed while open")
    (folder / ".snapshot").mkdir()
    (folder / ".snapshot/s.json").write_bytes(b"older")
    (folder / "stranger").symlink_to("nowhere")
    (folder / "sub").mkdir()
    assert expected == [listed.name for listed in DirectoryStore(str(root)).list(prefix)]


def test_a_link_upwards_does_not_break_a_listing(root: Path) -> None:
    """A stranger's link to a folder above does not list everything over and over."""
    (root / "v1/pointers/up").symlink_to("..")
    assert [NAME] == [listed.name for listed in DirectoryStore(str(root)).list("v1/pointers/")]


def die_uploading(root: str) -> None:
    with DirectoryStore(root).upload(NAME) as upload:
        upload.write(b"unfinished" * 10_000)
        os._exit(0)


def test_a_killed_writer_is_not_in_the_way(tmp_path: Path) -> None:
    """What a writer that died left behind is not seen, and the next one publishes."""
    root = tmp_path / "store"
    process = SPAWN.Process(target=die_uploading, args=(str(root),))
    process.start()
    process.join()
    store = DirectoryStore(str(root))
    assert 1 == len(files(root))
    assert [] == list(store.list(""))
    assert store.create(NAME, b"data")
    assert [NAME] == [listed.name for listed in store.list("")]


def test_an_upload_to_a_taken_name_leaves_what_is_there(root: Path) -> None:
    """Names of uploads are unique, so what is there is the same: somebody else filled this store too."""
    with DirectoryStore(str(root)).upload(NAME) as taken:
        taken.write(b"new")
    assert {NAME: b"data"} == files(root)


def write_more_than_fits(root: str) -> list[TerrastoreError]:
    """Write in every way with files limited to 1,000 bytes; return what was raised."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    store, raised = DirectoryStore(root), []
    found = store.read(NAME)
    assert found is not None
    large = b"x" * 100_000
    for write in (
        lambda: store.create("v1/large", large),
        lambda: store.replace(NAME, large, found.version),
        lambda: upload_pieces(store, [large]),
        lambda: upload_pieces(store, [b"x" * 600] * 100),
        lambda: upload_pieces(store, [b"x" * 1001]),
    ):
        try:
            write()
        except TerrastoreError as error:
            raised.append(error)
    return raised


def upload_pieces(store: DirectoryStore, pieces: Iterable[bytes]) -> None:
    with store.upload("v1/large") as taken:
        for piece in pieces:
            taken.write(piece)


def test_a_write_that_fails_halfway_leaves_nothing(root: Path) -> None:
    """When the disk takes no more, the store is out of order, and everything is as it was."""
    with ProcessPoolExecutor(1, mp_context=SPAWN) as pool:
        raised = pool.submit(write_more_than_fits, str(root)).result()
    assert [StoreUnreachableError] * 5 == [type(error) for error in raised]
    assert {"check the disk, or the share"} == {error.hint for error in raised}
    assert {NAME: b"data"} == files(root)


def folders(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_dir()}


@pytest.mark.parametrize("write", [create, upload])
def test_a_write_that_fails_leaves_no_directory(
    write: Callable[[WholeStore], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that it made go again, and those that were there stay, empty or not."""

    def full(file: BinaryIO, path: str) -> bool:
        raise OSError(errno.ENOSPC, "No space left on device")

    root = tmp_path / "store"
    (root / "v1/pointers").mkdir(parents=True)
    monkeypatch.setattr(atomic, "publish_new", full)
    with pytest.raises(StoreRefusedError, match=r"cannot be written: no space left on device \(.* left\)$") as caught:
        write(DirectoryStore(str(root)))
    assert "make room there" == caught.value.hint
    assert {"v1", "v1/pointers"} == folders(root)
    with pytest.raises(StoreRefusedError):
        write(DirectoryStore(str(tmp_path / "other")))
    assert ["store"] == os.listdir(tmp_path)


@pytest.mark.parametrize("lost", ["v1/archives/key", "v1/archives"])
def test_a_directory_that_another_writer_takes_away_is_made_again(
    lost: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that failed removes what it made, at whatever moment."""
    temporary_beside = atomic.temporary_beside
    takings = iter([True, True, False])

    def meddling(path: str, *, mode: int) -> AbstractContextManager[BinaryIO]:
        if next(takings):
            shutil.rmtree(root / lost)
        return temporary_beside(path, mode=mode)

    monkeypatch.setattr(atomic, "temporary_beside", meddling)
    upload(DirectoryStore(str(root)))
    assert {NAME: b"data", "v1/archives/key/new": b"new"} == files(root)


def test_what_a_key_has_to_itself_goes_with_its_last_object(root: Path) -> None:
    """An empty directory for each key that there was would be left; those of all keys stay."""
    store = DirectoryStore(str(root))
    for name in ("v1/archives/key/one", "v1/archives/key/two", "v1/probes/one"):
        store.create(name, b"data")
    kept = folders(root)
    assert store.remove("v1/archives/key/one")
    assert kept == folders(root)
    assert store.remove("v1/archives/key/two")
    assert store.remove("v1/probes/one")
    assert {"v1/archives/key"} == kept - folders(root)


def become_nobody() -> None:
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


@pytest.fixture
def nobody() -> Iterator[ProcessPoolExecutor]:
    """Yield a process of a user without rights."""
    if os.getuid():
        pytest.skip("only root can become another user")
    with ProcessPoolExecutor(1, mp_context=SPAWN, initializer=become_nobody) as pool:
        yield pool


@pytest.fixture
def share() -> Iterator[Path]:
    """Yield the root of a store with one object, below directories that everybody may enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        root = Path(folder, "store")
        root.mkdir()
        root.chmod(0o755)
        DirectoryStore(str(root)).create(NAME, b"data")
        yield root


@pytest.mark.usefixtures("private_umask")
def test_another_user_reads_what_was_written(nobody: ProcessPoolExecutor, share: Path) -> None:
    """Who may only read gets every object, whatever the umask of who wrote it."""
    store = DirectoryStore(str(share))
    upload(store)
    found = nobody.submit(store.read, "v1/archives/key/new").result()
    assert found is not None
    assert b"new" == found.data
    listed = nobody.submit(list_, store).result()
    assert list_(store) == listed


def test_a_read_only_store_refuses_to_be_written(nobody: ProcessPoolExecutor, share: Path) -> None:
    """Every way to write is refused with the store's name and a hint, and nothing is changed."""
    store = DirectoryStore(str(share))
    raised = [nobody.submit(write, store).exception() for write in WRITERS]
    for error in raised:
        assert isinstance(error, StoreRefusedError)
        assert f"the store {share} cannot be written: permission denied" == error.message
        assert error.hint
    assert {NAME: b"data"} == files(share)


@pytest.mark.parametrize("place", [".", "v1/pointers", NAME])
def test_denied_is_no_miss(place: str, nobody: ProcessPoolExecutor, share: Path) -> None:
    """Whoever may not look is told so, and not that nothing is there."""
    (share / place).chmod(0)
    store = DirectoryStore(str(share))
    readers = [read, read_range] if place == NAME else READERS
    assert [StoreRefusedError] * len(readers) == [type(nobody.submit(ask, store).exception()) for ask in readers]


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_is_no_file_is_not_read(tmp_path: Path, kind: str) -> None:
    """Somebody who may write to the directory can neither hold up who reads it nor fill its memory."""
    store, place = DirectoryStore(str(tmp_path)), tmp_path / NAME
    place.parent.mkdir(parents=True)
    if kind == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to("/dev/zero")
    with pytest.raises(StoreUnreachableError, match="is no file"):
        store.read(NAME)
    with pytest.raises(StoreUnreachableError, match="is no file"):
        store.read_range(NAME, 0, 10)


def test_a_copy_shares_its_blocks(tmp_path: Path) -> None:
    """Where the filesystem can: it takes no room, is no second name of the file, and stays when the other changes."""
    data, name = random.Random(8).randbytes(20_000_001), "v1/archives/key/a"
    with cloning_or_skip(tmp_path / "xfs"):
        source, copy = (DirectoryStore(str(tmp_path / "xfs" / each)) for each in ("source", "copy"))
        with source.upload(name) as upload:
            upload.write(data)
        before = os.statvfs(tmp_path / "xfs")
        assert copy.copy_from(source, name, len(data))
        after = os.statvfs(tmp_path / "xfs")
        assert (before.f_bfree - after.f_bfree) * after.f_frsize < 1_000_000
        assert 1 == os.stat(copy.file_of(name)).st_nlink
        with open(source.file_of(name), "r+b") as file:
            file.write(b"edited")
        assert data == copy.read_range(name, 0, len(data))


def test_what_the_kernel_does_not_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is not copied, such as between filesystems of some kinds: nothing is left, and whoever wants it reads it."""
    source, copy = (DirectoryStore(str(tmp_path / each)) for each in ("source", "copy"))
    source.create(NAME, b"data")

    def refuse(*_: object) -> int:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "copy_file_range", refuse)
    assert not copy.copy_from(source, NAME, 4)
    assert not (tmp_path / "copy").exists()
