"""A gigabyte: what is in memory does not grow with the archive."""

from __future__ import annotations

import filecmp
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
from terrastore.archive.origin import Origin
from terrastore.archive.pack import pack
from terrastore.archive.staging import StagingPrefix
from terrastore.key import EnvKey
from terrastore.publish import Publication, archive_name
from terrastore.report import Report
from terrastore.store.directory import DirectoryStore
from terrastore.trust import Trust
from tests.conftest import COMMAND
from tests.published import pointer_to

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1024 * 1024
BIG, SMALL = 4, 6000
SIZE = BIG * 128 * MIB + SMALL * 90_000
KEY = EnvKey(f"cp311-linux_x86_64-{'0' * 40}")

FILL = f"""
import sys
from terrastore.archive.unpack import unpack
from terrastore.catalogue import find
from terrastore.key import EnvKey
from terrastore.filling import filling
from terrastore.publish import Publication
from terrastore.report import Report
from terrastore.store.locations import open_store
from terrastore.trust import Trust
near, far, staged = sys.argv[1:]
found = find(open_store(far), EnvKey("{KEY}"), Trust(), report := Report())
nearer = Publication(open_store(near), found.key, found.pointer.archive.name, trust=Trust(), report=report)
with filling(found, [nearer]) as read:
    unpack(read, read.manifest(), staged, prefix=staged, workers=2, report=report)
assert not report.warnings, report.warnings
"""


@pytest.fixture(scope="module")
def store() -> Iterator[Path]:
    """Return a store with an archive of four files of 128 MiB and six thousand of 90 kB, compressed to about a half."""
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
        store, name = DirectoryStore(f"{root}/far"), archive_name()
        with Publication(store, KEY, name, required=True, trust=Trust(), report=Report()) as publication:
            packed = pack(
                prefix,
                [publication],
                skeleton=(),
                python=sys.executable,
                origin=Origin(
                    key=KEY.text,
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
            publication.end(pointer_to(packed, KEY, name))
        shutil.rmtree(prefix.path)
        yield Path(store.root)
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


def assert_little_memory(command: list[str], target: Path) -> None:
    """Assert that a process writes the environment to ``target``, whole, and stays small."""
    process = subprocess.Popen(command)
    peak = peak_memory(process)
    unpacked = sum(path.stat().st_size for path in target.rglob("*.bin"))
    print(f"{unpacked / 1e6:.0f} MB unpacked, peak memory {peak / 1e6:.0f} MB")
    assert 0 == process.returncode
    assert SIZE == unpacked > 1_000_000_000
    assert 20_000_000 < peak < 250_000_000
    shutil.rmtree(target)


def test_a_gigabyte_is_unpacked_in_little_memory(store: Path) -> None:
    """Unpacking more than 1 GB stays below 250 MB of memory, and every byte arrives."""
    (archive,) = store.glob("v1/archives/*/*")
    target = store.parent / "env"
    assert_little_memory([*COMMAND, "unpack", "-q", str(archive), "--target", str(target)], target)


def test_a_gigabyte_fills_a_nearer_store_in_little_memory(store: Path) -> None:
    """Nor does filling a nearer store on the way take more; it has the same bytes afterwards."""
    near, target = store.parent / "near", store.parent / "filled"
    target.mkdir()
    assert_little_memory([sys.executable, "-c", FILL, str(near), str(store), str(target)], target)
    names = sorted(str(path.relative_to(store)) for path in store.rglob("*") if path.is_file())
    assert 2 == len(names)
    assert (names, [], []) == filecmp.cmpfiles(store, near, names, shallow=False)
