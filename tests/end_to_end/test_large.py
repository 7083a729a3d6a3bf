"""A gigabyte: what is in memory does not grow with the archive."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tempfile
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
                sink,
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


def test_a_gigabyte_is_unpacked_in_little_memory(archive: Path) -> None:
    """Fetching and unpacking more than 1 GB stays below 250 MB of memory, and every byte arrives."""
    target = archive.parent / "env"
    child = os.posix_spawnp(COMMAND[0], [*COMMAND, "unpack", "-q", str(archive), "--target", str(target)], os.environ)
    _, status, usage = os.wait4(child, 0)
    peak = usage.ru_maxrss * 1024
    unpacked = sum(path.stat().st_size for path in target.rglob("*.bin"))
    print(f"{unpacked / 1e6:.0f} MB unpacked, peak memory {peak / 1e6:.0f} MB")
    assert 0 == os.waitstatus_to_exitcode(status)
    assert SIZE == unpacked > 1_000_000_000
    assert peak < 250_000_000
