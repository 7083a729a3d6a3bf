"""Flipped bits, truncations and splices of a pointer and its archive: what was packed is installed, or nothing."""

from __future__ import annotations

import json
import random
import shutil
from base64 import b64decode
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from terrastore import catalogue
from terrastore.archive.frames import TRAILER_SIZE
from terrastore.archive.reading import read_manifest
from terrastore.archive.unpack import unpack
from terrastore.errors import ArchiveRefusedError, NotInStoreError
from terrastore.key import EnvKey
from terrastore.report import Report
from terrastore.store import layout
from terrastore.store.memory import MemoryStore
from terrastore.trust import Trust
from tests.archive.shared_layers import Found, contents
from tests.hostile.draft import envelope_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FOLDER = Path(__file__).parents[1] / "vectors"
ARCHIVE = (FOLDER / "tiny.tar.zst").read_bytes()
ENVELOPE = (FOLDER / "tiny.json").read_bytes()
KEY = EnvKey.parse("cp311-linux_x86_64-" + "0123456789" * 4)
POINTER = Trust().judge(ENVELOPE, key=KEY.text).pointer
MANIFEST = read_manifest(lambda offset, size: ARCHIVE[offset : offset + size], POINTER.manifest)
BOUNDARIES = [
    *(offset for offset, _ in MANIFEST.frames()),
    POINTER.manifest.offset,
    POINTER.manifest.offset + POINTER.manifest.packed,
    len(ARCHIVE) - TRAILER_SIZE,
    len(ARCHIVE),
]
RANDOM, CHUNK = 2000, 100


class Stored(NamedTuple):
    """What a store has."""

    archive: bytes = ARCHIVE
    envelope: bytes = ENVELOPE


class Machine:
    """A machine that installs what a store has."""

    def __init__(self, folder: Path) -> None:
        self._staged = folder / "staged"
        self.sound = self.installed(Stored())
        assert self.sound

    def installed(self, stored: Stored) -> dict[str, Found] | None:
        """Return the files that are installed, None when it is refused, or passes for absent."""
        store = MemoryStore()
        store.create(layout.pointer(KEY.text), stored.envelope)
        store.create(layout.archive(KEY.text, POINTER.archive.name), stored.archive)
        self._staged.mkdir()
        try:
            found = catalogue.find(store, KEY, Trust(), Report())
            if found is None:
                return None
            found, manifest = found.with_manifest()
            unpack(found, manifest, str(self._staged), prefix="/srv/env", workers=1, report=Report())
            return contents(self._staged)
        except (ArchiveRefusedError, NotInStoreError):
            return None
        finally:
            shutil.rmtree(self._staged)

    def refuses(self, stored: Stored) -> bool:
        """Whether something that is not the sound one is refused; what is installed all the same must be that."""
        installed = self.installed(stored)
        assert installed in (None, self.sound)
        return installed is None


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def flipped(data: bytes, place: int, bit: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]


def test_a_flip_of_any_bit_of_the_pointer(machine: Machine) -> None:
    """Each byte of the envelope once, and each of what is in it: so every field, name and value, is hit."""
    payload = b64decode(json.loads(ENVELOPE)["payload"])
    envelopes = [flipped(ENVELOPE, place, place % 8) for place in range(len(ENVELOPE))]
    envelopes += [envelope_of(flipped(payload, place, place % 7)) for place in range(len(payload))]
    refused = sum(machine.refuses(Stored(envelope=each)) for each in envelopes)
    # The rest are in what is for people, or in the digest of the whole, which is not read for a fetch.
    assert refused > len(envelopes) * 0.6


def test_a_flip_of_any_bit_of_what_is_read(machine: Machine) -> None:
    """Each byte of layers and manifest once: none passes."""
    end = POINTER.manifest.offset + POINTER.manifest.packed
    assert all(machine.refuses(Stored(flipped(ARCHIVE, place, place % 8))) for place in range(end))


def test_a_flip_behind_the_manifest_changes_nothing(machine: Machine) -> None:
    """End of the tar and trailer are for others: whatever they are, the same is installed."""
    end = POINTER.manifest.offset + POINTER.manifest.packed
    for place in range(end, len(ARCHIVE)):
        assert not machine.refuses(Stored(flipped(ARCHIVE, place, place % 8)))


@pytest.mark.parametrize("place", BOUNDARIES)
def test_truncations_and_splices_at_every_boundary(machine: Machine, place: int) -> None:
    """A byte less, more or twice where one frame ends and the next begins."""
    for at in {max(0, place - 1), place, min(len(ARCHIVE), place + 1)}:
        if at < len(ARCHIVE):
            assert machine.refuses(Stored(ARCHIVE[:at]))
        machine.refuses(Stored(ARCHIVE[:at] + b"\0" + ARCHIVE[at:]))
        machine.refuses(Stored(ARCHIVE[:at] + ARCHIVE[max(0, at - 1) :]))
        machine.refuses(Stored(ARCHIVE[:at] + ARCHIVE[at + 1 :]))


def test_frames_that_change_places(machine: Machine) -> None:
    """Any two pieces between boundaries, exchanged, doubled or dropped."""
    starts = sorted(set(BOUNDARIES))
    pieces = [ARCHIVE[start:end] for start, end in pairwise(starts)]
    for one in range(len(pieces)):
        for other in range(len(pieces)):
            changed = list(pieces)
            changed[one], changed[other] = changed[other], changed[one]
            machine.refuses(Stored(b"".join(changed)))
        machine.refuses(Stored(b"".join([*pieces[: one + 1], *pieces[one:]])))
        machine.refuses(Stored(b"".join([*pieces[:one], *pieces[one + 1 :]])))


def damages(chance: random.Random) -> Iterator[Callable[[bytes], bytes]]:
    """Yield ways to damage some bytes, without end."""
    while True:
        yield chance.choice(
            (
                lambda data: flipped(data, chance.randrange(len(data)), chance.randrange(8)),
                lambda data: data[: chance.randrange(len(data))],
                lambda data: spliced(data, chance, b""),
                lambda data: spliced(data, chance, chance.randbytes(chance.randrange(1, 40))),
                lambda data: spliced(data, chance, data[chance.randrange(len(data)) :][: chance.randrange(600)]),
                lambda data: spliced(data, chance, bytes(chance.randrange(600))),
            )
        )


def spliced(data: bytes, chance: random.Random, other: bytes) -> bytes:
    start = chance.randrange(len(data))
    return data[:start] + other + data[start + chance.randrange(600) :]


@pytest.mark.parametrize("seed", range(RANDOM // CHUNK))
def test_random_damage(machine: Machine, seed: int) -> None:
    """Flips, truncations, pieces that are cut out, overwritten or brought from elsewhere, in archive and pointer."""
    chance = random.Random(seed)
    for damage, _ in zip(damages(chance), range(CHUNK), strict=False):
        is_archive = chance.random() < 0.7
        machine.refuses(Stored(damage(ARCHIVE)) if is_archive else Stored(envelope=damage(ENVELOPE)))
