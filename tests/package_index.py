"""A package index of a test's own (PEP 503), and sdists that say when they are compiled."""

from __future__ import annotations

import functools
import http.server
import io
import shutil
import tarfile
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.conftest import make_wheel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BACKEND = """\
import os, shutil

def build_wheel(folder, *_):
    with open({log!r}, "a") as log:
        log.write({name!r} + "\\n")
    shutil.copy({wheel!r}, folder)
    return {wheel!r}
"""
_PROJECT = '[build-system]\nrequires = {requires}\nbuild-backend = "backend"\nbackend-path = ["."]\n'


class _Handler(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *arguments: Any, asked: list[str], **options: Any) -> None:
        self._asked = asked
        super().__init__(*arguments, **options)

    def log_message(self, *_: object) -> None:
        self._asked.append(self.path)


class PackageIndex:
    """Files by project, as directories that a web server lists; ``asked`` are the paths that it was asked for."""

    def __init__(self, root: Path) -> None:
        self._simple = root / "simple"
        self._log = root / "compiled"
        self._log.touch()
        self.url = ""
        self.asked: list[str] = []

    @property
    def compiled(self) -> list[str]:
        """Projects that were made from source, in order, each as often as it was."""
        return self._log.read_text().split()

    def folder(self, name: str) -> Path:
        """Return the directory of a project's files."""
        folder = self._simple / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def add(self, name: str, version: str, *, requires: tuple[str, ...] = (), text: str = "") -> Path:
        """Put up a wheel."""
        files = {f"{name}.py": text or f"V = {version!r}\n"}
        return make_wheel(self.folder(name), name, version, files, requires=requires)

    def add_sdist(
        self, name: str, version: str, *, tag: str = "py3-none-any", built_with: tuple[str, ...] = ()
    ) -> Path:
        """Put up a source distribution."""
        path = self.folder(name) / f"{name}-{version}.tar.gz"
        source = self.project(self._simple.parent / f"{name}-{version}", name, version, tag=tag, built_with=built_with)
        with tarfile.open(path, "w:gz") as archive:
            archive.add(source, f"{name}-{version}")
            info = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
            member = tarfile.TarInfo(f"{name}-{version}/PKG-INFO")
            member.size = len(info)
            archive.addfile(member, io.BytesIO(info))
        shutil.rmtree(source)
        return path

    def project(
        self, folder: Path, name: str, version: str, *, tag: str = "py3-none-any", built_with: tuple[str, ...] = ()
    ) -> Path:
        """Make a project's directory."""
        folder.mkdir()
        wheel = make_wheel(folder, name, version, {f"{name}.py": f"V = {version!r}\n"}, tag=tag)
        (folder / "pyproject.toml").write_text(_PROJECT.format(requires=list(built_with)))
        (folder / "backend.py").write_text(_BACKEND.format(log=str(self._log), name=name, wheel=wheel.name))
        return folder

    @contextmanager
    def serving(self) -> Iterator[PackageIndex]:
        """Serve it by HTTP while the body runs; afterwards nobody answers there."""
        handler = functools.partial(_Handler, asked=self.asked, directory=str(self._simple.parent))
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            self.url = f"http://127.0.0.1:{server.server_port}/simple"
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()
