"""Requirements files, and what they name by path, from the disk."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Self

from terrastore.errors import RequirementsError, reason
from terrastore.requirements.lines import is_url
from terrastore.sha256 import sha256

if TYPE_CHECKING:
    from collections.abc import Iterator

    from terrastore.requirements.digests import Digests


class Disk:
    """A :class:`~terrastore.requirements.reader.Reader` of the working directory.

    As a context manager it keeps the digests of files in the directory ``cache`` for the next run, when there is one.

    Content counts, not the place: ``digest`` and ``links`` give the same for a copy elsewhere.
    """

    def __init__(self, cache: str | os.PathLike[str] | None = None) -> None:
        self._cache = cache

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if "_digests" in self.__dict__:
            self._digests.save()

    @cached_property
    def _digests(self) -> Digests:
        from terrastore.requirements.digests import Digests  # noqa: PLC0415 -- who names nothing local needs none

        return Digests(None if self._cache is None else os.path.join(self._cache, "digests"))

    def read(self, path: str) -> bytes:
        """Return the content of a file, or of what an http URL leads to."""
        if is_url(path):
            from terrastore.requirements.remote import fetch  # noqa: PLC0415 -- few files are not here

            return fetch(path)
        with open(path, "rb") as file:
            return file.read()

    def exists(self, path: str) -> bool:
        """Whether there is a file or a directory."""
        return os.path.exists(path)

    def digest(self, path: str) -> str:
        """Return the SHA-256 of a file's content, or of what the files of a project directory are.

        Each file of a project counts by its path in it, its content, and whether its owner may execute it; a link to a
        file as that file; a link to a directory or to nowhere by where it leads, and to a directory outside of the
        project by what is there too. Sockets, pipes and devices are left out. Which files a project has:
        :func:`~terrastore.requirements.project_files.project_files`.

        :raises OSError: when it is not there, or neither a file nor a directory
        :raises RequirementsError: when a file in the directory cannot be read
        """
        facts = os.stat(path)
        if not stat.S_ISDIR(facts.st_mode):
            return self._of_file(path, facts)
        with _naming_what_is_inside(path):
            return self._of_directory(path, (os.path.realpath(path),))

    def links(self, path: str) -> str:
        """Return the SHA-256 of what ``--find-links`` offers at ``path``: a folder, a page or one distribution.

        Each file that an installer looks at counts by its name and content, a page also by the content of the files
        on this machine that it links to. Nothing else in the folder counts.

        :raises OSError: when it is not there, or neither a file nor a directory
        :raises RequirementsError: when a file in the folder cannot be read
        """
        from terrastore.requirements.find_links import offered  # noqa: PLC0415 -- few folders are named

        facts = os.stat(path)
        if not stat.S_ISDIR(facts.st_mode):
            self._of_file(path, facts)
            folder, name = os.path.split(path)
            return self._listing(folder, [(name, facts)])
        with _naming_what_is_inside(path):
            return self._listing(path, offered(path))

    def _listing(self, folder: str, files: list[tuple[str, os.stat_result | None]]) -> str:
        from terrastore.requirements.find_links import is_page, linked  # noqa: PLC0415

        total = sha256()
        for name, facts in files:
            path = os.path.join(folder, name)
            total.update(os.fsencode(f"{name}\0{'nowhere' if facts is None else self._digests.of(path, facts)}\n"))
            if facts is not None and is_page(name):
                for place, found in linked(path, self.read(path)):
                    total.update(os.fsencode(f"{os.path.basename(place)}\0{self._digests.of(place, found)}\n"))
        return total.hexdigest()

    def _of_file(self, path: str, facts: os.stat_result) -> str:
        if not stat.S_ISREG(facts.st_mode):
            raise OSError(errno.EINVAL, "neither a file nor a directory", path)
        return self._digests.of(path, facts)

    def _of_directory(self, path: str, around: tuple[str, ...]) -> str:
        """Return the digest of a directory's files; ``around`` are the directories that are being looked at."""
        from terrastore.requirements.project_files import project_files  # noqa: PLC0415 -- few projects are named

        total = sha256()
        for name, own in project_files(path):
            if (counted := self._counted(os.path.join(path, name), own, around)) is not None:
                total.update(os.fsencode(f"{name}\0{counted}\n"))
        return total.hexdigest()

    def _counted(self, path: str, own: os.stat_result, around: tuple[str, ...]) -> str | None:
        """Return what a file of a project counts by, None when it counts for nothing."""
        facts = own
        if stat.S_ISLNK(own.st_mode):
            target = sha256(os.fsencode(os.readlink(path))).hexdigest()
            try:
                facts = os.stat(path)
            except OSError:  # nowhere, or in a circle
                return f"link\0{target}"
            if stat.S_ISDIR(facts.st_mode):
                real = os.path.realpath(path)
                # What is in one of these counts there; what one of them is in, such as "/", is no part of a project.
                if any(os.path.commonpath((real, each)) in {real, each} for each in around):
                    return f"link\0{target}"
                return f"link\0{target}\0{self._of_directory(real, (*around, real))}"
            if not stat.S_ISREG(facts.st_mode):
                return f"link\0{target}"
        if not stat.S_ISREG(facts.st_mode):
            return None
        kind = "executable" if facts.st_mode & stat.S_IXUSR else "file"
        return f"{kind}\0{self._digests.of(path, facts)}"


@contextmanager
def _naming_what_is_inside(folder: str) -> Iterator[None]:
    """Make an error of what is in ``folder`` one that names it; who asked names the folder."""
    try:
        yield
    except OSError as error:
        if error.filename in {None, folder}:
            raise
        raise RequirementsError(
            f"{os.fsdecode(error.filename)} cannot be read: {reason(error)}",
            hint=f"it is a part of {folder}: make it readable, or move it out",
        ) from None
