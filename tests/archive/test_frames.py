"""A frame says what it holds, and nothing is decompressed that is not what the table says."""

from __future__ import annotations

import hashlib
import random
import struct
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from terrastore.archive.frames import (
    TRAILER_SIZE,
    compress,
    decompress,
    describe,
    parse_trailer,
    trailer,
    verified,
)
from terrastore.archive.limits import FRAME_LIMIT
from terrastore.archive.manifest import Frame
from terrastore.archive.ustar import MalformedError

RAW = bytes(random.Random(0).choices(b"some bytes of a layer", k=5000))
PACKED = compress(RAW)
FRAME = describe(RAW, PACKED)
SIZES = {"empty": 0, "one byte": 1, "a block": 512, "256 KiB": 256 * 1024, "the most there may be": FRAME_LIMIT}


def sealed(packed: bytes, size: int) -> Frame:
    """Return a table's entry whose digest fits ``packed``, whatever that is."""
    return Frame(packed=len(packed), size=size, sha256=hashlib.sha256(packed).hexdigest())


def hand_made(content: bytes, size: int, *, window_log: int = 17, dictionary: int = 0) -> bytes:
    """Return a zstd frame (RFC 8878, section 3.1.1) that holds ``content`` uncompressed and claims ``size`` bytes."""
    head = struct.pack("<IBB", 0xFD2FB528, 0x80 | bool(dictionary), (window_log - 10) << 3)
    number = struct.pack("<B", dictionary) if dictionary else b""
    block = struct.pack("<I", len(content) << 3 | 1)[:3]
    return head + number + struct.pack("<I", size) + block + content


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
def test_a_frame_states_its_size_and_gives_back_its_bytes(size: int) -> None:
    """Readers know before they decompress how much will come, and that 8 MiB of window are enough."""
    raw = random.Random(size).randbytes(size // 2).ljust(size, b"x")
    packed = compress(raw)
    header = zstandard.get_frame_parameters(packed)
    assert header.content_size == size
    assert header.window_size <= 8 * 1024 * 1024
    assert header.dict_id == 0
    assert describe(raw, packed) == sealed(packed, size)
    assert verified(packed, describe(raw, packed)) == raw


def test_the_most_that_a_frame_may_hold_fits_the_table() -> None:
    """Bytes that cannot be compressed become few more than they were."""
    raw = random.Random(1).randbytes(FRAME_LIMIT)
    packed = compress(raw)
    assert FRAME_LIMIT < len(packed) <= FRAME_LIMIT + FRAME_LIMIT // 128


@settings(deadline=None)
@given(st.lists(st.binary(max_size=2000), min_size=1, max_size=6))
def test_frames_together_are_one_stream(pieces: list[bytes]) -> None:
    """Whoever reads concatenated frames gets the layers one after the other, and sees nothing of the trailer."""
    archive = b"".join(map(compress, pieces)) + trailer(1, 2)
    reader = zstandard.ZstdDecompressor().stream_reader(archive, read_across_frames=True)
    assert reader.read() == b"".join(pieces)


def test_the_same_bytes_make_the_same_frame() -> None:
    """In any thread, after whatever else, from bytes or a view of them."""
    raws = [random.Random(number).randbytes(5000) * 20 for number in range(8)]
    alone = [compress(raw) for raw in raws]
    with ThreadPoolExecutor(4) as pool:
        assert alone * 4 == list(pool.map(compress, raws * 4))
    assert alone[::-1] == [compress(memoryview(raw)) for raw in reversed(raws)]


def test_a_level_is_what_it_says() -> None:
    """A higher one packs tighter, and asking for it does not change what follows."""
    assert len(compress(RAW, level=1)) > len(compress(RAW, level=19))
    assert compress(RAW) == PACKED


@pytest.mark.parametrize("position", [0, 4, 9, len(PACKED) // 2, len(PACKED) - 1])
def test_a_flipped_bit_is_found_by_the_digest(position: int) -> None:
    """Before zstd sees a byte: the message is that of the digest wherever the damage is."""
    damaged = bytearray(PACKED)
    damaged[position] ^= 1
    with pytest.raises(MalformedError, match="SHA-256"):
        verified(bytes(damaged), FRAME)


def test_a_frame_of_another_layer_is_found_by_the_digest() -> None:
    """A sound frame in the wrong place is refused."""
    with pytest.raises(MalformedError, match="SHA-256"):
        verified(compress(RAW[::-1]), FRAME)


BAD = {
    "table says less": (PACKED, len(RAW) - 1),
    "table says more": (PACKED, len(RAW) + 1),
    "table says nothing": (PACKED, 0),
    "header says more than there is": (hand_made(b"x" * 100, 101), 101),
    "header says less than there is": (hand_made(b"x" * 100, 99), 99),
    "header says nothing": (zstandard.ZstdCompressor(write_content_size=False).compress(RAW), len(RAW)),
    "another frame behind it": (PACKED + compress(b"more"), len(RAW)),
    "an empty frame behind it": (PACKED + compress(b""), len(RAW)),
    "a skippable frame behind it": (PACKED + trailer(0, 0), len(RAW)),
    "bytes behind it": (PACKED + b"\0", len(RAW)),
    "a byte before it": (b"\0" + PACKED, len(RAW)),
    "a skippable frame before it": (trailer(0, 0) + PACKED, len(RAW)),
    "a skippable frame alone": (trailer(0, 0), 16),
    "last byte missing": (PACKED[:-1], len(RAW)),
    "half of it": (PACKED[: len(PACKED) // 2], len(RAW)),
    "header alone": (PACKED[:8], len(RAW)),
    "nothing": (b"", 0),
    "no zstd": (b"\x1f\x8b\x08\0" * 9, 36),
    "a window of 16 MiB": (hand_made(b"x" * 100, 100, window_log=24), 100),
    "a dictionary": (hand_made(b"x" * 100, 100, dictionary=7), 100),
    "a block of the reserved type": (hand_made(b"x" * 100, 100).replace(b"\x21\x03\0x", b"\x27\x03\0x"), 100),
}


@pytest.mark.parametrize("window_log", [10, 17, 23])
def test_the_frames_made_by_hand_are_sound(window_log: int) -> None:
    """What the next test refuses is their one fault; a window of 8 MiB is none."""
    packed = hand_made(b"x" * 100, 100, window_log=window_log)
    assert verified(packed, sealed(packed, 100)) == b"x" * 100


@pytest.mark.parametrize(("packed", "size"), BAD.values(), ids=BAD.keys())
def test_what_is_no_such_frame_is_refused(packed: bytes, size: int) -> None:
    """One frame of the stated size and nothing else, even when the digest is that of the table."""
    with pytest.raises(MalformedError):
        verified(packed, sealed(packed, size))


def test_a_frame_after_a_bad_one_is_read() -> None:
    """Nothing of a failure stays with the thread."""
    with pytest.raises(MalformedError):
        verified(PACKED[:-1], sealed(PACKED[:-1], len(RAW)))
    assert verified(PACKED, FRAME) == RAW


BOMB = zstandard.ZstdCompressor(level=1).compress(bytes(64 * 1024 * 1024))


@pytest.mark.parametrize("size", [4096, FRAME_LIMIT, 64 * 1024 * 1024])
def test_a_bomb_is_refused_before_it_takes_memory(size: int) -> None:
    """Neither the size that the table states nor the one that the frame states is allocated when they are wrong."""
    tracemalloc.start()
    try:
        with pytest.raises(MalformedError):
            verified(BOMB, sealed(BOMB, size))
        assert tracemalloc.get_traced_memory()[1] < 1024 * 1024
    finally:
        tracemalloc.stop()


def test_the_check_for_bombs_would_see_one() -> None:
    """What a frame takes shows in the measure that the last test uses."""
    packed = compress(bytes(FRAME_LIMIT))
    tracemalloc.start()
    try:
        assert len(verified(packed, sealed(packed, FRAME_LIMIT))) == FRAME_LIMIT
        assert tracemalloc.get_traced_memory()[1] >= FRAME_LIMIT
    finally:
        tracemalloc.stop()


def test_without_a_table_the_frame_says_its_size() -> None:
    """A reader that has no pointer takes what the header states, up to what a frame may hold."""
    assert decompress(PACKED) == RAW
    with pytest.raises(MalformedError):
        decompress(BOMB)


def test_digest_and_size_both_count() -> None:
    """Each of the two alone is not enough."""
    for wrong in (replace(FRAME, size=FRAME.size + 1), replace(FRAME, sha256="0" * 64)):
        with pytest.raises(MalformedError):
            verified(PACKED, wrong)


@pytest.mark.parametrize(("offset", "packed"), [(0, 1), (1143, 941), (2**40, 2**33), (2**64 - 1, 2**64 - 1)])
def test_a_trailer_leads_to_the_manifest(offset: int, packed: int) -> None:
    """The last 24 bytes of an archive say where to read on; for zstd they are nothing."""
    data = trailer(offset, packed)
    assert len(data) == TRAILER_SIZE == 24
    assert (offset, packed) == parse_trailer(data)
    assert data == bytes.fromhex("502a4d18 10000000") + offset.to_bytes(8, "little") + packed.to_bytes(8, "little")


TRAILERS = {
    "empty": b"",
    "too short": trailer(1, 2)[:-1],
    "too long": trailer(1, 2) + b"\0",
    "another magic number": b"\x51" + trailer(1, 2)[1:],
    "another size": trailer(1, 2)[:4] + b"\x11" + trailer(1, 2)[5:],
    "big-endian": struct.pack(">IIQQ", 0x184D2A50, 16, 1, 2),
    "end of a frame": PACKED[-24:],
}


@pytest.mark.parametrize("data", TRAILERS.values(), ids=TRAILERS.keys())
def test_what_is_no_trailer_is_refused(data: bytes) -> None:
    """A file that was cut off does not end as an archive does."""
    with pytest.raises(MalformedError, match="does not end as"):
        parse_trailer(data)
