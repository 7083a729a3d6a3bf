"""A package index on loopback (PEP 503): the distributions in some folders, as they are there now."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import threading
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def package_index(*folders: Path) -> Iterator[str]:
    """Serve the distributions in ``folders``; yield the URL of the index."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name the class looks for
            kind, _, name = self.path.strip("/").partition("/")
            files = {path.name: path for folder in folders for path in folder.iterdir()}
            if kind == "simple":
                of_name = [path for path in files.values() if canonicalize_name(path.name.split("-")[0]) == name]
                digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in of_name}
                links = "".join(f'<a href="/files/{each}#sha256={digests[each]}">{each}</a>' for each in digests)
                self.answer(f"<!DOCTYPE html><html><body>{links}</body></html>".encode() if links else None)
            else:
                self.answer(files[name].read_bytes() if name in files else None)

        def answer(self, data: bytes | None) -> None:
            self.send_response(200 if data is not None else 404)
            self.send_header("Content-Type", "text/html" if "/simple/" in self.path else "application/octet-stream")
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            self.wfile.write(data or b"")

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 -- its name in the class
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/simple"
        finally:
            server.shutdown()
            thread.join()
