"""A bare machine: Debian with Python and nothing of ours, and no network but what a test serves on its loopback."""

from __future__ import annotations

import ctypes
import hashlib
import importlib.machinery
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from terrastore.report import Report
from terrastore.trust import Trust
from terrastore.trust.envelope import Envelope
from terrastore.trust.signing import Signing
from tests.conftest import Result, command_line
from tests.servers import SCRIPT, LackingError
from tests.wire import Wire

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

SCRIPTS: Final = SCRIPT.parent
SUITES: Final = {(3, 11): "bookworm", (3, 13): "trixie", (3, 14): "forky"}
"""The releases of Debian by their Python: what is published here is for the interpreter that runs the tests."""
PACKAGES: Final = "python3,zstd,openssl,busybox,cloud-init"
_CLONE_NEWNET: Final = 0x40000000
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1
_HOLDER: Final = f"""
import fcntl, socket, struct, sys
with socket.socket() as any_socket:
    request = struct.pack("16sh22x", b"lo", {_IFF_UP})
    fcntl.ioctl(any_socket, {_SIOCSIFFLAGS}, request)
print(flush=True)
sys.stdin.read()
"""
# What is written beside /srv is gone when the command ends.
_WRITABLE: Final = """
set -eu
umask 022
enter=$1 root=$2 folder=$3
shift 3
mount -t tmpfs tmpfs "$folder.root"
cd "$folder.root"
mkdir upper work root
mount -t overlay -o "lowerdir=$root,upperdir=upper,workdir=work" overlay root
WRITABLE=1 exec sh "$enter" "$PWD/root" "$folder" "$@"
"""


@dataclass(frozen=True)
class BareMachine:
    """A machine whose /srv is ``folder``, and whose other folders are not written, but when ``writable`` is asked for.

    Commands run as root.
    """

    root: Path
    folder: Path
    network: int

    def __call__(self, *command: str, writable: bool = False, timeout: float = 300, **variables: str) -> Result:
        """Run a command to its end, or kill it after ``timeout`` seconds."""
        process = self.start(*command, writable=writable, **variables)
        try:
            out, err = process.communicate(timeout=timeout)
        finally:
            process.kill()
        return Result(process.returncode, out, err)

    def start(self, *command: str, writable: bool = False, **variables: str) -> subprocess.Popen[str]:
        """Start a command without waiting; killing that kills all of it."""
        enter = ("sh", "-c", _WRITABLE, "sh") if writable else ("sh",)
        given = [f"{name}={value}" for name, value in variables.items()]
        return subprocess.Popen(
            [
                *("nsenter", f"--net=/proc/{self.network}/ns/net"),
                *("unshare", "--mount", "--pid", "--fork", "--kill-child=KILL"),
                *(*enter, str(SCRIPTS / "s3-server.d/enter-root.sh"), str(self.root), str(self.folder), *given),
                *command,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wire(self, upstream: str, **options: Any) -> Wire:
        """Return a wire to a server, as this machine alone has it on its loopback."""
        return _WireOf(self.network, upstream, **options)


class _WireOf(Wire):
    def __init__(self, network: int, upstream: str, **options: Any) -> None:
        super().__init__(upstream, **options)
        self._network = network

    def listen(self) -> socket.socket:
        """Listen where the machine is, and nowhere else: a socket stays in the namespace that it was made in."""
        here, there = (os.open(f"/proc/{each}/ns/net", os.O_RDONLY) for each in ("thread-self", self._network))
        try:
            _enter(there)
            try:
                return super().listen()
            finally:
                _enter(here)
        finally:
            os.close(here)
            os.close(there)


def _enter(namespace: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(namespace, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


@contextmanager
def bare_machine(name: str = "bare", packages: str = PACKAGES) -> Iterator[BareMachine]:
    """Yield a machine; LackingError tells why there can be none.

    ``packages`` are what Debian's minimum is joined by, with commas between them; what has others has another ``name``.
    """
    root = _root(name, packages)
    with tempfile.TemporaryDirectory(prefix="machine-") as parent:
        folder = Path(parent, "srv")
        # Whatever the umask, and with a place for what is written elsewhere.
        for place in (folder, folder.with_name("srv.root")):
            place.mkdir()
            place.chmod(0o755)
        holder = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", "unshare", "--net", sys.executable, "-c", _HOLDER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            assert holder.stdout
            if not holder.stdout.readline():
                raise LackingError("this user cannot make a network of its own")
            shutil.copy(SCRIPTS / "bootstrap.sh", folder)
            shutil.copy(SCRIPTS / "restore.sh", folder)
            yield BareMachine(root, folder, holder.pid)
        finally:
            holder.communicate()


def _root(name: str, packages: str) -> Path:
    """Return the root directory, which scripts/s3-server knows how to make."""
    suite = SUITES.get(sys.version_info[:2])
    if suite is None:
        raise LackingError(f"no release of Debian has Python {sys.version_info[0]}.{sys.version_info[1]}")
    loader = importlib.machinery.SourceFileLoader("s3_server", str(SCRIPT))
    spec = importlib.util.spec_from_loader("s3_server", loader)
    assert spec is not None
    script = importlib.util.module_from_spec(spec)
    sys.modules["s3_server"] = script  # its dataclasses look there
    loader.exec_module(script)
    try:
        root: Path = script.root_directory("a bare machine", suite, packages, script.CACHE, name=f"{suite}-{name}")
    except script.Refusal as refusal:
        raise LackingError(str(refusal)) from None
    return root


@dataclass(frozen=True)
class Equipped:
    """A store that has terrastore itself and an environment, what asks for that, and what was said of both."""

    store: Path
    requirements: str
    key: str
    itself: dict[str, Any]

    def put_on(self, machine: BareMachine) -> Path:
        """Give a machine the store, as /srv/store, and the requirements; return where the store is for us."""
        place = machine.folder / "store"
        shutil.copytree(self.store, place, copy_function=os.link)
        (machine.folder / "requirements.txt").write_text(self.requirements)
        return place

    def wheels_in(self, folder: Path) -> Path:
        """Put the wheels that terrastore consists of into a new folder, as installers look for them."""
        folder.mkdir()
        for wheel in self.store.glob("v1/self/files/*/*.whl"):
            os.link(wheel, folder / wheel.name)
        return folder

    def sign(self, store: Path, name: str, kind: str, key: str) -> None:
        """Sign an object of a store's copy, a payload of some ``kind``, with the key in a file."""
        envelope = Envelope.parse((store / name).read_bytes(), kind=kind)
        self.replace(store, name, Signing([key], trust=Trust(), report=Report()).signed(envelope))

    def replace(self, store: Path, name: str, content: bytes) -> None:
        """Write an object of a store's copy; the file that it shares with the store itself stays as it is."""
        path = store / name
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def equipped(home: Path, wheels: Path) -> Equipped:
    """Publish terrastore, and an environment that hashes fix, so that no machine's settings count."""
    with command_line(home, wheels) as command:
        digests = {
            name: hashlib.sha256((wheels / f"{name}-1.0-py3-none-any.whl").read_bytes()).hexdigest()
            for name in ("alpha", "beta")
        }
        lines = "".join(f"{name}==1.0 --hash=sha256:{digest}\n" for name, digest in digests.items())
        command.write("requirements.txt", lines)
        itself = command.ok("build", "--self", "--json").json
        # The machine's Python is of the same series, and of whatever patch version Debian has.
        built = command.ok("build", "--any-patch", "--no-seed", "--json", PIP_CONFIG_FILE=os.devnull).json
    return Equipped(home / "store", lines, built["key"], itself)
