"""AWS KMS over the wire, with one Ed25519 key: moto's has none of these."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

if TYPE_CHECKING:
    from collections.abc import Iterator

ARN = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"


class Kms:
    """AWS KMS over the wire with one key: GetPublicKey and Sign of its JSON protocol; or an answer of its own."""

    def __init__(self) -> None:
        self.key: Any = Ed25519PrivateKey.generate()
        self.spec = "ECC_NIST_EDWARDS25519"
        self.refusal: tuple[int, dict[str, str]] | None = None
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def answer(self, operation: str, said: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.asked.append((operation, said))
        if self.refusal is not None:
            return self.refusal
        if operation == "GetPublicKey":
            form = serialization.PublicFormat.SubjectPublicKeyInfo
            public = self.key.public_key().public_bytes(serialization.Encoding.DER, form)
            return 200, {"KeyId": ARN, "KeySpec": self.spec, "PublicKey": b64encode(public).decode()}
        return 200, {"KeyId": ARN, "Signature": b64encode(self.key.sign(b64decode(said["Message"]))).decode()}


@contextmanager
def served(kms: Kms) -> Iterator[dict[str, str]]:
    """Serve it; yield the environment variables by which it is found."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, document = kms.answer(self.headers["X-Amz-Target"].removeprefix("TrentService."), said)
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield {
                "AWS_ENDPOINT_URL_KMS": f"http://127.0.0.1:{server.server_port}",
                "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
                "AWS_SECRET_ACCESS_KEY": "hidden",
            }
        finally:
            server.shutdown()
            thread.join()
