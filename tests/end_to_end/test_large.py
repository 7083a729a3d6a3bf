"""A gigabyte: what is in memory does not grow with the archive."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from terrastore import interpreter
from terrastore.archive.pack import Origin, pack
from terrastore.archive.staging import StagingPrefix
from terrastore.report import Report
from tests.conftest import COMMAND

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1024 * 1024
BIG, SMALL = 4, 6000
SIZE = BIG * 128 * MIB + SMALL * 90_000


@pytest.fixture(scope="module")
def archive() -> Iterator[Path]:
    """Return an archive of four files of 128 MiB and six thousand of 90 kB, which compress to about a half."""
    root = tempfile.mkdtemp(prefix="ts-")  # short enough for a staging prefix
    try:
        prefix = StagingPrefix.under(os.path.realpath(root), secrets.token_hex(16))
        packages = Path(prefix.path, "lib/python3/site-packages")
        packages.mkdir(parents=True)
        noise = secrets.token_bytes(MIB)
        for number in range(BIG):
            with (packages / f"big{number}.bin").open("wb") as file:
                for _ in range(64):
                    file.write(os.urandom(MIB) + noise)
        for number in range(SMALL):
            folder = packages / str(number % 100)
            folder.mkdir(exist_ok=True)
            (folder / f"{number}.bin").write_bytes(os.urandom(45_000) + noise[:45_000])
        path = Path(root, "large.tar.zst")
        with path.open("wb") as sink:
            pack(
                prefix,
                [sink],
                skeleton=(),
                python=sys.executable,
                origin=Origin(
                    key="cp311-linux_x86_64-" + "0" * 40,
                    interpreter=interpreter.find(None).identity(),
                    host={"system": "linux"},
                    installer={"name": "pip", "version": "0"},
                    request={"schema": 1},
                    libc=None,
                    compiled=frozenset(),
                    downloads={},
                ),
                workers=2,
                report=Report(),
            )
        shutil.rmtree(prefix.path)
        yield path
    finally:
        shutil.rmtree(root)


def peak_memory(process: subprocess.Popen[bytes]) -> int:
    """Return the most bytes that a process had resident, watched until it ends.

    Not from getrusage(2): that counts what the process that started it had before exec.
    """
    peak = 0
    while process.poll() is None:
        with suppress(OSError, StopIteration):
            status = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            peak = max(peak, next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:")))
        time.sleep(0.005)
    return peak


def test_a_gigabyte_is_unpacked_in_little_memory(archive: Path) -> None:
    """Fetching and unpacking more than 1 GB stays below 250 MB of memory, and every byte arrives."""
    target = archive.parent / "env"
    process = subprocess.Popen([*COMMAND, "unpack", "-q", str(archive), "--target", str(target)])
    peak = peak_memory(process)
    unpacked = sum(path.stat().st_size for path in target.rglob("*.bin"))
    print(f"{unpacked / 1e6:.0f} MB unpacked, peak memory {peak / 1e6:.0f} MB")
    assert 0 == process.returncode
    assert SIZE == unpacked > 1_000_000_000
    assert 20_000_000 < peak < 250_000_000
