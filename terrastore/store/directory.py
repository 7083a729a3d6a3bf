"""A store in a directory: a local disk, NFS, any filesystem that several machines share.

An object is written under a temporary name beside its place and published by ``link(2)``, the one step that is
atomic over NFS too. Names that begin with a dot are unfinished and nobody's business.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections import deque
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO, Final

from terrastore import atomic
from terrastore.errors import StoreRefusedError, StoreUnreachableError, TerrastoreError, reason
from terrastore.sha256 import sha256

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from terrastore.store.protocol import Listed, Object, Store, Unfinished

_MODE: Final = 0o644
_COPY_SIZE: Final = 256 * 1024 * 1024
_TRIES: Final = 5
_MOST: Final = 1000
"""How much that is unfinished is told of at once."""
_SHARES: Final = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "glusterfs", "gpfs", "lustre", "nfs", "nfs4", "smb3", "virtiofs"}
)
"""Kinds of filesystems that other machines have."""
_ABSENT: Final = (errno.ENOENT, errno.ESTALE)
_UNFINISHED: Final = r"\.(?:tmp-[0-9a-f]{16}|removed)-[0-9a-f]{16}"
_REFUSED: Final = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)


class DirectoryStore:
    """Objects are files below ``root``, an absolute path, which is made when its parent exists, or ``with_parents``.

    Directories get the permissions of ``root``, so that a share that is group-writable stays so; files can be read by
    everybody, whatever the umask.
    """

    # rename(2) cannot help it that of two who replace the last one wins.
    conditional = True
    swaps = False

    def __init__(self, root: str, *, with_parents: bool = False) -> None:
        self.root = root
        self._with_parents = with_parents

    def __str__(self) -> str:
        return self.root

    @property
    def readers(self) -> int:
        return 2 if self.is_near else 12

    @cached_property
    def is_near(self) -> bool:
        from terrastore import mounts  # noqa: PLC0415 -- what is kept reads no store

        kind = mounts.kind(self.root)
        return kind not in _SHARES and not kind.startswith("fuse")

    def read(self, name: str) -> Object | None:
        from terrastore.store.protocol import WHOLE_LIMIT, Object  # noqa: PLC0415 -- what is kept reads no store

        with self._errors("read"), self._open(name) as file:
            if file is None:
                return None
            data = file.read(WHOLE_LIMIT + 1)
            return Object(data, sha256(data).hexdigest())

    def read_range(self, name: str, offset: int, size: int) -> bytes | None:
        with self._errors("read"), self._open(name) as file:
            if file is None:
                return None
            file.seek(offset)
            return file.read(max(0, min(size, os.fstat(file.fileno()).st_size - offset)))

    def file_of(self, name: str) -> str:
        return self._place(name)

    def create(self, name: str, data: bytes) -> bool:
        with self._errors("written"):
            if not data:
                return self._create_empty(name)
            with self._temporary(name) as file:
                file.write(data)
                return atomic.publish_new(file, self._place(name))

    def replace(self, name: str, data: bytes, version: str) -> bool:
        current = self.read(name)
        if current is None or current.version != version:
            return False
        with self._errors("written"):
            atomic.write_file(self._place(name), data, mode=_MODE)
        return True

    @contextmanager
    def upload(self, name: str) -> Iterator[_Upload]:
        with ExitStack() as stack:
            with self._errors("written"):
                file = stack.enter_context(self._temporary(name))
            yield _Upload(self, file)
            with self._errors("written"):
                while not atomic.publish_new(file, self._place(name)):
                    # What is there is the same; but from now on it is no older than what was uploaded.
                    with suppress(FileNotFoundError):
                        with suppress(PermissionError):
                            os.utime(self._place(name))
                        break

    def copy_from(self, other: Store, name: str, size: int) -> bool:
        if not isinstance(other, DirectoryStore):
            return False
        try:
            source = open(other.file_of(name), "rb", buffering=0)  # noqa: SIM115 -- closed below
        except OSError:
            return False
        with source, suppress(_NotCopiedError), self._errors("written"), self._temporary(name) as file:
            _copy(source, file, size)
            if not atomic.publish_new(file, self._place(name)) and os.stat(self._place(name)).st_size != size:
                atomic.publish_over(file, self._place(name))
            return True
        return False

    def list(self, prefix: str) -> Iterator[Listed]:
        with self._errors("listed"):
            self._check_root()
            yield from self._walk(prefix.rpartition("/")[0], prefix)

    def remove(self, name: str) -> bool:
        with self._errors("written"):
            try:
                os.unlink(self._place(name))
            except FileNotFoundError:
                self._check_root()
                return False
            self._remove_folder(name)
            return True

    def remove_listed(self, listed: Listed) -> bool:
        place = self._place(listed.name)
        aside = os.path.join(os.path.dirname(place), f".removed-{os.urandom(8).hex()}")
        with self._errors("written"):
            try:
                if _version(os.stat(place)) != listed.version:
                    return False
                # Whatever has the name at this instant is ours alone from then on.
                os.rename(place, aside)
            except FileNotFoundError:
                self._check_root()
                return False
            is_it = _version(os.stat(aside)) == listed.version
            if not is_it:
                with suppress(FileExistsError):  # what came after it counts
                    os.link(aside, place)
            os.unlink(aside)
            if is_it:
                self._remove_folder(listed.name)
            return is_it

    def abandoned(self, before: float) -> Collection[Unfinished]:
        with self._errors("listed"):
            self._check_root()
            return list(islice(self._unfinished(before), _MOST))

    def discard(self, upload: Unfinished) -> None:
        with self._errors("written"), suppress(FileNotFoundError):
            os.unlink(self._place(upload.name))

    def _unfinished(self, before: float) -> Iterator[Unfinished]:
        from terrastore.store import layout  # noqa: PLC0415 -- see read
        from terrastore.store.protocol import Unfinished  # noqa: PLC0415

        for folder, _, names in os.walk(self._place(layout.VERSION)):
            for name in names:
                with suppress(FileNotFoundError):
                    path = os.path.join(folder, name)
                    if re.fullmatch(_UNFINISHED, name) and (since := os.lstat(path).st_mtime) < before:
                        yield Unfinished(os.path.relpath(path, self.root), "", since)

    def _remove_folder(self, name: str) -> None:
        """Remove what a key, a week or a wheel has to itself, which goes with its last object."""
        if name.count("/") > 2:  # noqa: PLR2004
            with suppress(OSError):
                os.rmdir(os.path.dirname(self._place(name)))

    def _create_empty(self, name: str) -> bool:
        """Create an object without bytes: that is whole as soon as it has its name, and costs a system call or two."""
        for _ in range(_TRIES):
            try:
                fd = os.open(self._place(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
            except FileExistsError:
                return False
            except FileNotFoundError:
                self._make_folders(os.path.dirname(name), deque())
            else:
                with suppress(OSError):
                    os.fchmod(fd, _MODE)
                os.close(fd)
                return True
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self._place(name))

    def _walk(self, folder: str, prefix: str) -> Iterator[Listed]:
        from terrastore.store.protocol import Listed  # noqa: PLC0415 -- see read

        try:
            entries = sorted(os.scandir(self._place(folder)), key=_listing_order)
        except (FileNotFoundError, NotADirectoryError):
            return
        for entry in entries:
            name = f"{folder}/{entry.name}" if folder else entry.name
            if entry.name.startswith(".") or not name.startswith(prefix):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from self._walk(name, prefix)
            elif os.path.isfile(entry.path):
                with suppress(FileNotFoundError):
                    facts = entry.stat()
                    yield Listed(name, facts.st_size, facts.st_mtime, _version(facts))

    def _place(self, name: str) -> str:
        return os.path.join(self.root, name)

    @contextmanager
    def _open(self, name: str) -> Iterator[BinaryIO | None]:
        """Open an object; None when it is not there. A missing store is an error: a share may not be mounted."""
        try:
            # A pipe would be waited for, and a device may never end.
            file = open(self._place(name), "rb", buffering=0, opener=_open_at_once)  # noqa: SIM115 -- closed below
        except OSError as error:
            if error.errno not in {*_ABSENT, errno.ENOTDIR}:
                raise
            self._check_root()
            yield None
            return
        with file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise StoreUnreachableError(f"{self._place(name)} is no file", hint="remove what is there")
            yield file

    def _check_root(self) -> None:
        """Raise unless the store is there, or could be made in an existing directory."""
        try:
            facts = os.stat(self.root)
        except FileNotFoundError:
            if not self._with_parents:
                os.stat(os.path.dirname(self.root))
            return
        if not stat.S_ISDIR(facts.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), self.root)

    @contextmanager
    def _temporary(self, name: str) -> Iterator[BinaryIO]:
        """Yield a new file beside an object's place; when the body fails, no directory stays that was made for it."""
        made: deque[str] = deque()
        try:
            with ExitStack() as stack:
                yield self._opened(name, stack, made)
        except BaseException:
            for folder in made:
                with suppress(OSError):  # somebody else has something in it by now
                    os.rmdir(folder)
            raise

    def _opened(self, name: str, stack: ExitStack, made: deque[str]) -> BinaryIO:
        """Make every directory above an object's place, which ``made`` tells, the last one first, and a file there."""
        for _ in range(_TRIES):
            self._make_folders(os.path.dirname(name), made)
            # Another writer that failed may have taken a directory away that it had made.
            with suppress(FileNotFoundError):
                return stack.enter_context(atomic.temporary_beside(self._place(name), mode=_MODE))
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self._place(name))

    def _make_folders(self, name: str, made: deque[str]) -> None:
        if os.path.isdir(self._place(name)):
            return
        if self._with_parents:
            os.makedirs(os.path.dirname(self.root), exist_ok=True)
        # Whatever the umask: others are to read from it.
        _make_folder(self.root, 0o755, made)
        permissions = stat.S_IMODE(os.stat(self.root).st_mode)
        place = self.root
        for component in name.split("/"):
            place = os.path.join(place, component)
            with suppress(FileNotFoundError):
                _make_folder(place, permissions, made)

    @contextmanager
    def _errors(self, verb: str) -> Iterator[None]:
        try:
            yield
        except TerrastoreError:
            raise
        except OSError as error:
            if error.errno in _ABSENT:
                raise StoreRefusedError(
                    f"the store {self} is not there",
                    hint="check the path, or that the share is mounted; --ignore-store builds without it",
                ) from error
            if error.errno in _REFUSED:
                raise StoreRefusedError(
                    f"the store {self} cannot be {verb}: {reason(error)}",
                    hint="check the path and the permissions of this user",
                ) from error
            from terrastore import room  # noqa: PLC0415 -- most disks have room

            if error.errno in room.FULL:
                raise StoreRefusedError(
                    f"the store {self} cannot be {verb}: {reason(error)} ({room.figures(self.root)})",
                    hint="make room there",
                ) from error
            raise StoreUnreachableError(
                f"the store {self} cannot be {verb}: {reason(error)}", hint="check the disk, or the share"
            ) from error


class _Upload:
    """An unfinished file of a store; what goes wrong while it is written is the store's trouble."""

    def __init__(self, store: DirectoryStore, file: BinaryIO) -> None:
        self._store = store
        self._file = file

    def write(self, data: bytes, /) -> None:
        with self._store._errors("written"):  # noqa: SLF001 -- one class in two parts
            self._file.write(data)


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


class _NotCopiedError(Exception):
    """The kernel does not copy a file, or it is not what it should be."""


def _copy(source: BinaryIO, file: BinaryIO, size: int) -> None:
    """Let the kernel, or the server of a share, copy a file of ``size`` bytes.

    Where the filesystem can, the two then share their blocks until one is changed (copy_file_range(2)): unlike a
    second name of the same file, that lets nobody who may write to one store change what another one has.

    :raises _NotCopiedError: when the file has another size, or must be read and written
    """
    from terrastore import room  # noqa: PLC0415 -- most disks have room

    left = size if os.fstat(source.fileno()).st_size == size else -1
    try:
        while left > 0 and (count := os.copy_file_range(source.fileno(), file.fileno(), min(left, _COPY_SIZE))):
            left -= count
    except OSError as error:
        if error.errno in room.FULL:
            raise
        raise _NotCopiedError from error
    if left:
        raise _NotCopiedError


def _make_folder(path: str, permissions: int, made: deque[str]) -> None:
    with suppress(FileExistsError):
        os.mkdir(path)
        made.appendleft(path)
        os.chmod(path, permissions)


def _version(facts: os.stat_result) -> str:
    """Return what tells a file from those that had its name before, and will have."""
    return f"{facts.st_ino}-{facts.st_mtime_ns}-{facts.st_size}"


def _listing_order(entry: os.DirEntry[str]) -> str:
    """Sort as whole names sort: a directory's children come where its name with ``/`` stands."""
    return entry.name + "/" if entry.is_dir(follow_symlinks=False) else entry.name
