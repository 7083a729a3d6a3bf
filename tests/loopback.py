"""A server on loopback, in threads of this process, which is gone within a second whatever its connections wait for."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, NamedTuple, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

PATIENCE = 60
"""Seconds after which a connection on which nothing happens is given up."""


class Certificate(NamedTuple):
    """A certificate and its key, as files; who is to trust it is given the first."""

    crt: str
    key: str


def certificate(folder: Path) -> Certificate:
    """Write a certificate for localhost and 127.0.0.1 that vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    now = dt.datetime.now(dt.UTC)
    day = dt.timedelta(days=1)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - day, now + day)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    crt_file, key_file = folder / "localhost.crt", folder / "localhost.key"
    crt_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return Certificate(str(crt_file), str(key_file))


class Server:
    """Listens from ``with`` on, at :attr:`url`; a subclass serves one connection, in a thread of its own.

    What goes wrong in there is in :attr:`errors`, and raised when the ``with`` ends; a client that goes away is
    nothing wrong.
    """

    def __init__(self, *, certificate: Certificate | None = None) -> None:
        self.errors: list[Exception] = []
        self._certificate = certificate
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    def serve(self, client: socket.socket, number: int) -> None:
        """Serve a connection, the how-manieth is told, until it ends."""
        raise NotImplementedError

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        return f"{'https' if self._certificate else 'http'}://127.0.0.1:{self._listener.getsockname()[1]}"

    def listen(self) -> socket.socket:
        """Return where connections come in."""
        return socket.create_server(("127.0.0.1", 0), backlog=128)

    def pause(self, seconds: float) -> None:
        """Sleep, but not beyond the end."""
        if seconds > 0:
            self._closing.wait(seconds)

    @contextlib.contextmanager
    def watched(self, sock: socket.socket) -> Iterator[None]:
        """Close a socket afterwards, and wake who waits for it when all ends."""
        sock.settimeout(PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with sock:
            with self._lock:
                self._sockets.add(sock)
            if self._closing.is_set():
                shut(sock)
            try:
                yield
            finally:
                with self._lock:
                    self._sockets.discard(sock)

    def __enter__(self) -> Self:
        self._tls = None
        if self._certificate:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(*self._certificate)
        self._listener = self.listen()
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()
        if not self.errors:
            return
        failure = ExceptionGroup(f"inside {type(self).__name__}", self.errors)
        if error is None:
            raise failure
        error.add_note(f"{failure}: {self.errors}")

    def _close(self) -> None:
        self._closing.set()
        shut(self._listener)
        self._accepting.join(timeout=1)
        self._listener.close()
        with self._lock:
            for sock in self._sockets:
                shut(sock)
        deadline = time.monotonic() + 1
        for thread in self._threads:
            thread.join(max(0, deadline - time.monotonic()))
            if thread.is_alive():
                self.errors.append(RuntimeError(f"{thread.name} did not end"))

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError as error:
                if not self._closing.is_set():
                    self.errors.append(error)
                return
            number = len(self._threads)
            thread = threading.Thread(
                target=self._serve, args=(sock, number), name=f"connection {number} of {self.url}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        if self._tls:
            sock = self._tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        with self.watched(sock):
            try:
                if isinstance(sock, ssl.SSLSocket):
                    sock.do_handshake()
                self.serve(sock, number)
            except (ConnectionError, TimeoutError, ssl.SSLError):
                pass  # The client's affair: it went away, fell asleep, or does not trust us.
            except Exception as error:  # noqa: BLE001 # whatever it is, the test is to see it
                if not (self._closing.is_set() and isinstance(error, OSError)):
                    self.errors.append(error)


def shut(sock: socket.socket) -> None:
    """End a connection under whoever waits for it in another thread."""
    with contextlib.suppress(OSError):
        # Not SSLSocket's, which takes the encryption away from under the other thread first.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
