"""A git server that demands a login: git http-backend, behind as much of a web server as it needs."""

from __future__ import annotations

import base64
import contextlib
import http.server
import os
import subprocess
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.private_index import LOGINS, METADATA, basic

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BACKEND = """
import zipfile

def build_wheel(folder, *_):
    name = "homemade-1.0-py3-none-any.whl"
    with zipfile.ZipFile(folder + "/" + name, "w") as wheel:
        wheel.writestr("homemade.py", "MADE_WITH = 'git'\\n")
        wheel.writestr("homemade-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: homemade\\nVersion: 1.0\\n")
        wheel.writestr(
            "homemade-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
        )
        wheel.writestr("homemade-1.0.dist-info/RECORD", "")
    return name
"""
PYPROJECT = (
    '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    '[project]\nname = "homemade"\nversion = "1.0"\n'
)
_ALLOWED = {f"Basic {basic(user, password)}" for user, password in LOGINS}


class _Handler(http.server.BaseHTTPRequestHandler):
    """One request, by CGI (RFC 3875), of whoever has a login of the private index."""

    root: Path

    def do_GET(self) -> None:  # the name the class looks for
        if self.headers.get("Authorization") not in _ALLOWED:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        length = int(self.headers.get("Content-Length", 0))
        asked = urlsplit(self.path)
        answer = subprocess.run(
            ["git", "http-backend"],
            input=self.rfile.read(length),
            capture_output=True,
            check=True,
            env=os.environ
            | {
                "GIT_PROJECT_ROOT": str(self.root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "PATH_INFO": asked.path,
                "QUERY_STRING": asked.query,
                "REQUEST_METHOD": self.command,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(length),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "REMOTE_USER": base64.b64decode(self.headers["Authorization"].split()[1]).decode().partition(":")[0],
            },
        ).stdout
        head, _, body = answer.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 # the name the class looks for

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def running_git(folder: Path) -> Iterator[str]:
    """Yield host and port of a server of the repositories below ``folder``: ``team/homemade.git``, with a tag v1."""
    work = folder / "work"
    work.mkdir()
    for name, text in {"pyproject.toml": PYPROJECT, "backend.py": BACKEND, "PKG-INFO": METADATA}.items():
        (work / name).write_text(text)
    bare = folder / "team/homemade.git"
    author = ("-c", "user.name=Tests", "-c", "user.email=tests@a.example")
    for command in (
        ("init", "-q", "-b", "main", "."),
        ("add", "."),
        (*author, "commit", "-q", "-m", "first"),
        ("tag", "v1"),
        ("clone", "-q", "--bare", ".", str(bare)),
        (f"--git-dir={bare}", "config", "uploadpack.allowFilter", "true"),
    ):
        subprocess.run(["git", *command], cwd=work, check=True, capture_output=True)
    handler = type("Handler", (_Handler,), {"root": folder})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
