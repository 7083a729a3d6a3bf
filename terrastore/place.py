"""Where an environment stands, a target or one of several releases, and how a new one takes its place.

A new environment is staged beside its place, on the same filesystem, complete and checked; then it is exchanged with
the old one in a single step. Killed at any instruction, the place holds the old environment or the new one.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from terrastore import atomic
from terrastore.errors import UsageError, WaitError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import AbstractContextManager

    from terrastore import room
    from terrastore.key import EnvKey
    from terrastore.report import Report

WAIT: Final = 600.0
"""Seconds that a run waits for another one unless told otherwise."""
_LINK_HINT: Final = "use --link PATH --releases DIR: it needs no rename of the directory itself"


class Target(NamedTuple):
    """The directory that an environment is to stand in; ``path`` is absolute, with no link left in it."""

    path: str

    @classmethod
    def at(cls, path: str) -> Target:
        """Return the target at ``path``, following links."""
        return cls(os.path.realpath(path))

    @property
    def parent(self) -> str:
        """The directory it is in."""
        return os.path.dirname(self.path)

    def check_usable(self) -> None:
        """Refuse a path that no script or ``PATH`` could name.

        :raises UsageError: when it holds such a character
        """
        from terrastore.archive.relocate import NotRelocatableError, check_prefix  # noqa: PLC0415 -- a kept one needs none

        try:
            check_prefix(self.path)
        except NotRelocatableError as error:
            raise UsageError(
                f"the target {self.path!r} cannot hold an environment: {error}", hint="name another"
            ) from None

    def check_replaceable(self, *, force: bool, needed: Iterable[str] = ()) -> None:
        """Refuse what must not or cannot be replaced, before any work is done; ``needed`` are paths that must survive.

        :raises UsageError: for a file, a foreign directory (unless ``force``), what holds anything that is needed or
            this very process, a mount point, an unwritable parent
        """
        self.check_usable()
        if os.path.lexists(self.path) and not os.path.isdir(self.path):
            raise UsageError(f"the target {self.path} is a file", hint="name a directory, or remove it")
        if _is_mount_point(self.path):
            raise UsageError(f"the target {self.path} is a mount point and cannot be exchanged", hint=_LINK_HINT)
        if any(map(self._holds, _ours())):
            raise UsageError(
                f"the target {self.path} cannot be replaced: terrastore itself runs from it",
                hint="install terrastore elsewhere, or name another; with --link PATH --releases DIR this one stays",
            )
        for path in map(os.path.realpath, needed):
            if self._holds(path):
                gone = "it is needed itself" if path == self.path else f"{path} in it would be gone"
                raise UsageError(f"the target {self.path} cannot be replaced: {gone}", hint="name another")
        if not force and not self._is_environment():
            raise UsageError(
                f"the target {self.path} is a directory that is no environment",
                hint="name another, or --force to delete what is there",
            )
        self._check_parent()

    @contextmanager
    def locked(self, report: Report, *, wait: float = WAIT) -> Iterator[None]:
        """Keep other runs away from this target, and remove what killed ones left.

        :raises UsageError: when the directory that it is in cannot be written
        :raises HostError: when that has no room
        :raises WaitError: when another run has it for more than ``wait`` seconds
        """
        self._check_parent()
        waiting = f"waiting for another run to finish with {self.path}"
        with ExitStack() as stack:
            with self.writing():
                os.makedirs(self.parent, exist_ok=True)
                lock = atomic.locked(self._lock, waiting=lambda: report.remark(waiting), patience=wait)
                _enter(lock, stack, self.path, wait)
                self._recover()
            yield

    def writing(self, needed: room.Files | None = None) -> AbstractContextManager[None]:
        """Name the directory that this is in when the body cannot write there what is ``needed``."""
        from terrastore import room  # noqa: PLC0415 -- what is kept writes nothing

        return room.writing(self.parent, what="the environment", otherwise="name another --target", needed=needed)

    @contextmanager
    def stage(self) -> Iterator[str]:
        """Yield a new empty directory beside the target; what is left of it when the body ends is removed."""
        staged = f"{self._stages}{_drawn()}"
        os.mkdir(staged, 0o755)
        os.chmod(staged, 0o755)  # noqa: S103 -- whatever the umask, as pip's own directories are
        try:
            yield staged
        finally:
            if os.path.lexists(staged):
                discard(staged)

    def swap(self, staged: str, *, backup: bool) -> str | None:
        """Put ``staged`` in the target's place; return where the old environment is now, to be removed, if anywhere.

        With ``backup`` it becomes ``<target>.bak``, replacing an older one.

        :raises UsageError: when the target cannot be renamed
        """
        if not os.path.lexists(self.path):
            os.rename(staged, self.path)
            atomic.sync_directory(self.parent)
            return None
        retired = self._aside(staged, backup=backup)
        os.rename(staged, retired)
        try:
            self._exchange(retired, backup=backup)
        except OSError as error:
            os.rename(retired, staged)
            if error.errno not in {errno.EBUSY, errno.EXDEV, errno.EPERM, errno.EACCES}:
                raise
            raise UsageError(f"the target {self.path} cannot be renamed: {error.strerror}", hint=_LINK_HINT) from error
        return self._keep(retired) if backup else retired

    @property
    def backup(self) -> str:
        """Where ``--backup`` keeps the environment that was replaced."""
        return f"{self.path}.bak"

    def rollback(self) -> None:
        """Exchange the target with its backup; doing it twice changes nothing.

        :raises UsageError: when there is no backup
        """
        if not os.path.isdir(self.backup):
            raise UsageError(f"there is no {self.backup} to go back to", hint="run ensure with --backup to keep one")
        if not os.path.lexists(self.path):
            os.rename(self.backup, self.path)
        else:
            self._exchange(self.backup, backup=True)

    def tidy(self) -> None:
        """Remove what killed runs left, unless another run is at work, or this user may not."""
        with suppress(OSError):
            names = os.listdir(self.parent)
            if os.path.basename(self._lock) in names or any(map(self._left.fullmatch, names)):
                with atomic.locked(self._lock, patience=0):
                    self._recover()

    def _holds(self, path: str) -> bool:
        """Whether a path without links is this or in it."""
        return f"{path}/".startswith(f"{self.path}/")

    def _check_parent(self) -> None:
        if (above := _unwritable(self.parent)) is not None:
            if not os.path.isdir(above):
                raise UsageError(f"the target's parent {above} is no directory", hint="name another")
            raise UsageError(f"the target's parent {above} cannot be written", hint=_LINK_HINT)

    @property
    def _stages(self) -> str:
        return os.path.join(self.parent, f".{os.path.basename(self.path)}.terrastore-")

    @property
    def _lock(self) -> str:
        return f"{self._stages}lock"

    @property
    def _left(self) -> re.Pattern[str]:
        """What a killed run may leave: a stage, or what :meth:`_aside` names."""
        return re.compile(re.escape(os.path.basename(self._stages)) + "([0-9a-f]{16})(-backup)?(-swapping)?")

    def _aside(self, new: str, *, backup: bool) -> str:
        """Name the place of what ``new`` replaces, and before that of ``new`` itself.

        It tells a later run the inode of ``new``, thus which of the two is there, and whether to keep the old one.
        """
        return f"{self._stages}{os.stat(new).st_ino:016x}{'-backup' if backup else ''}"

    def _exchange(self, new: str, *, backup: bool) -> None:
        """Let ``new`` and the target change places."""
        if not atomic.exchange(new, self.path):
            # Here the target is absent for an instant; whoever comes next puts it back.
            aside = f"{self._aside(new, backup=backup)}-swapping"
            os.rename(self.path, aside)
            try:
                os.rename(new, self.path)
            except OSError:
                os.rename(aside, self.path)
                raise
            os.rename(aside, new)
        atomic.sync_directory(self.parent)

    def _keep(self, replaced: str) -> str | None:
        """Make ``replaced`` the backup; return where an older one is now, to be removed."""
        older = f"{self._stages}{_drawn()}" if os.path.lexists(self.backup) else None
        if older is not None:
            os.rename(self.backup, older)
        os.rename(replaced, self.backup)
        atomic.sync_directory(self.parent)
        return older

    @property
    def foreign(self) -> bool:
        """Whether an environment stands here that terrastore did not make."""
        return os.path.exists(f"{self.path}/pyvenv.cfg") and not os.path.isdir(f"{self.path}/.terrastore")

    def _is_environment(self) -> bool:
        try:
            names = set(os.listdir(self.path))
        except (FileNotFoundError, NotADirectoryError):
            return True
        except PermissionError as error:
            raise UsageError(
                f"the target {self.path} cannot be read: permission denied", hint="name another"
            ) from error
        return not names or bool({"pyvenv.cfg", ".terrastore"} & names)

    def _recover(self) -> None:
        """Finish or undo what a killed run had begun, and remove stages: nobody else holds the lock."""
        left = [match for name in os.listdir(self.parent) if (match := self._left.fullmatch(name))]
        for match in left:
            if match[3] and not os.path.lexists(self.path):
                os.rename(os.path.join(self.parent, match[0]), self.path)
        for match in left:
            place = os.path.join(self.parent, match[0])
            if match[2] and os.path.lexists(place) and self._has_inode(int(match[1], 16)):
                discard(self._keep(place) or "")
            else:
                discard(place)

    def _has_inode(self, inode: int) -> bool:
        return os.path.lexists(self.path) and os.stat(self.path).st_ino == inode


class Shelf(NamedTuple):
    """Environments side by side in ``directory``, named by key: each is for whoever asks for the same."""

    directory: str

    def target(self, key: EnvKey) -> Target:
        """Return where the environment of ``key`` belongs."""
        return Target(os.path.join(os.path.realpath(self.directory), key.text))

    def current(self) -> None:
        """Return None: none of them stands in another one's place."""


class Releases(NamedTuple):
    """Environments side by side in ``directory``, named by key, and a symbolic link to the current one."""

    link: str
    directory: str

    @classmethod
    def at(cls, link: str, directory: str | None = None) -> Releases:
        """Return the releases that ``link`` points into; links in their parents are followed.

        :param directory: where they stand; ``releases`` beside the link when none is named
        """
        parent, name = os.path.split(os.path.abspath(link))
        directory = directory or os.path.join(parent, "releases")
        return cls(os.path.join(os.path.realpath(parent), name), os.path.realpath(directory))

    def target(self, key: EnvKey) -> Target:
        """Return where the environment of ``key`` belongs."""
        return Target(os.path.join(self.directory, key.text))

    def check_switchable(self) -> None:
        """Refuse a link that is something else, before any work is done.

        :raises UsageError: when it is no link, or its directory cannot be written
        """
        if os.path.lexists(self.link) and not os.path.islink(self.link):
            raise UsageError(f"{self.link} is not a symbolic link", hint="move it away, or name another --link")
        if (above := _unwritable(os.path.dirname(self.link))) is not None:
            raise UsageError(f"{above} cannot be written", hint="name a --link in a directory that can")

    def current(self) -> str | None:
        """Return the environment that the link points to; None when there is no link."""
        return os.path.realpath(self.link) if os.path.islink(self.link) else None

    def leads_to(self, path: str) -> bool:
        """Whether the link points to ``path`` already, and no other run is at work there, or was killed."""
        return self.current() == path and not any(map(os.path.lexists, (self._lock, self._next)))

    def switch(self, path: str) -> bool:
        """Point the link to ``path`` in one step, and remember what it pointed to; return whether it changed."""
        if self.leads_to(path):
            return False
        with self._locked():
            if self.current() == path:
                return False
            # From here on whoever comes next finishes what we began.
            os.symlink(path, self._next)
            try:
                self._finish()
            except BaseException:
                self._recover()
                raise
            return True

    def rollback(self) -> str:
        """Point the link to what it pointed to before; doing it twice changes nothing.

        :raises UsageError: when that is not known, or is gone, or the link is something else by now
        """
        self.check_switchable()
        if os.path.lexists(self._next):
            with self._locked():
                pass
        before = self._before()
        if before is not None and not os.path.isdir(before):
            raise UsageError(f"the release before, {before}, was removed", hint="ensure what it was made from")
        if before is None:
            raise UsageError(
                f"there is no release before the one that {self.link} points to",
                hint="a release to go back to is there once --link was switched from one to another",
            )
        self.switch(before)
        return before

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other runs away from the link, and undo or finish what a killed one had begun."""
        from terrastore import room  # noqa: PLC0415 -- see Target.writing

        folder = os.path.dirname(self.link)
        with room.writing(folder, what="the link", otherwise="name another --link"), ExitStack() as stack:
            os.makedirs(folder, exist_ok=True)
            _enter(atomic.locked(self._lock, patience=WAIT), stack, self.link, WAIT)
            self._recover()
            yield

    def _finish(self) -> None:
        if (before := self.current()) is not None:
            atomic.switch_link(self._previous, before)
        os.rename(self._next, self.link)
        atomic.sync_directory(os.path.dirname(self.link))

    def _recover(self) -> None:
        """Undo a switch that a killed run had begun, or finish it once the link before is forgotten."""
        if os.path.isdir(self._next) and self.current() == self._before():
            self._finish()
        for left in (self._next, atomic.unfinished(self._previous)):
            with suppress(FileNotFoundError):
                os.unlink(left)

    def _before(self) -> str | None:
        """Return the environment that the link pointed to before."""
        return os.path.realpath(self._previous) if os.path.islink(self._previous) else None

    @property
    def _previous(self) -> str:
        return self._beside("previous")

    @property
    def _next(self) -> str:
        return atomic.unfinished(self.link)

    @property
    def _lock(self) -> str:
        return self._beside("terrastore-lock")

    def _beside(self, what: str) -> str:
        parent, name = os.path.split(self.link)
        return os.path.join(parent, f".{name}.{what}")


def _enter(lock: AbstractContextManager[None], stack: ExitStack, place: str, wait: float) -> None:
    """Hold a lock as long as ``stack``.

    :raises WaitError: when it could not be had in time
    """
    try:
        stack.enter_context(lock)
    except TimeoutError:
        raise WaitError(
            f"waited {wait:.0f} s for another run to finish with {place}",
            hint="wait longer with --wait SECONDS, or end the run that is at work there",
        ) from None


def discard(path: str) -> bool:
    """Remove an environment that was replaced; return whether all of it is gone, else the next run tries again."""
    import shutil  # noqa: PLC0415 -- what is kept replaces nothing

    shutil.rmtree(path, ignore_errors=True)
    return not os.path.lexists(path)


def _drawn() -> str:
    """Return a name that nobody else has: 16 hexadecimal digits drawn at random."""
    return os.urandom(8).hex()


def _ours() -> Iterator[str]:
    """Yield where this process runs from: its environment, its interpreter, this package."""
    yield from map(os.path.realpath, (sys.prefix, sys.base_prefix, os.path.dirname(__file__)))


def _is_mount_point(path: str) -> bool:
    """Whether something is mounted at ``path``; a bind mount of the same filesystem only shows in proc(5)."""
    if os.path.ismount(path):
        return True
    with suppress(OSError):
        with open("/proc/self/mountinfo", "rb") as file:
            mounts = file.read().splitlines()
        escaped = os.fsencode(re.sub(r"[ \t\n\\]", lambda match: f"\\{ord(match.group()):03o}", path))
        return any(line.split(b" ")[4] == escaped for line in mounts)
    return False


def _unwritable(folder: str) -> str | None:
    """Return what keeps ``folder`` from being made or written in, None when nothing does."""
    while not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    return None if os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK) else folder
