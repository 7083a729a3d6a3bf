"""Layers become frames side by side, and the archive is as if they were made one after the other."""

from __future__ import annotations

import random
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING

import pytest
import zstandard

from terrastore.archive import framing
from terrastore.archive.frames import compress
from terrastore.archive.limits import FRAME_LIMIT
from terrastore.archive.manifest import Frame
from terrastore.errors import BuildError
from tests.archive.packing import SITE, alone, distribution, layers, packed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MANY = 60


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return an environment of many small distributions, and one of 20 MiB that hardly compresses among them."""
    noise = random.Random(7)
    for number in range(MANY):
        body = "".join(f"def f{each}():\n    return {noise.random()}\n\n\n" for each in range(number))
        distribution(tmp_path, f"small{number:02}", __init___py=body.encode(), data_bin=noise.randbytes(number * 100))
    distribution(tmp_path, "small30large", large_bin=noise.randbytes(20 * 1024 * 1024 + 123), less_bin=b"less")
    return tmp_path


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_frames_are_those_of_each_layer_alone(tree: Path, workers: int) -> None:
    """However many are made at once: the same frames in the same order, cut every 8 MiB, and the same digests."""
    archive = packed(tree, workers=workers)
    assert [layer.name for layer in archive.manifest.layers] == [
        "base",
        *sorted([*(f"small{number:02}" for number in range(MANY)), "small30large"]),
        "rest",
    ]
    for layer, data in layers(archive):
        reader = zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True)
        raw = reader.read()
        assert (data, (layer.digest, layer.frames)) == alone(raw)
    sizes = {layer.name: [frame.size for frame in layer.frames] for layer in archive.manifest.layers}
    assert [FRAME_LIMIT, FRAME_LIMIT] == sizes["small30large"][:2]
    assert 3 == len(sizes["small30large"])


def test_the_next_layer_begins_before_the_last_one_ends(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer's one frame is compressed while that of the layer before is, so that no core waits at its end."""
    another, begun = threading.Event(), []

    def watched(raw: bytes) -> bytes:
        begun.append(len(raw))
        if len(begun) > 1:
            another.set()
        assert another.wait(60), "nothing else was begun"
        return compress(raw)

    monkeypatch.setattr(framing, "compress", watched)
    assert MANY + 3 == sum(len(layer.frames) for layer in packed(tree).manifest.layers) == len(begun)


class Slow(Future[tuple[bytes, Frame]]):
    """A frame that is not made before somebody waits for it."""

    def done(self) -> bool:
        return False

    def result(self, timeout: float | None = None) -> tuple[bytes, Frame]:
        return b"", Frame(packed=0, size=0, sha256="")


def test_what_is_begun_ahead_is_bounded() -> None:
    """When frames come slower than files are read, reading waits; the bound is passed by one frame at most."""
    begun = 0

    def frames() -> Iterator[tuple[int, Slow]]:
        nonlocal begun
        for _ in range(1000):
            begun += 1
            yield 10, Slow()

    finished = 0
    for _ in framing._ahead(frames(), 55):
        finished += 1
        assert begun - finished <= 5
    assert (1000, 1000) == (begun, finished)


def test_many_small_frames_may_wait() -> None:
    """The bound is of bytes: behind one slow frame a hundred small ones are begun."""
    begun = 0

    def frames() -> Iterator[tuple[int, Slow]]:
        nonlocal begun
        for _ in range(100):
            begun += 1
            yield 1, Slow()

    next(framing._ahead(frames(), 1000))
    assert 100 == begun


def test_a_file_that_became_shorter_is_refused(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else is being compressed: its name is told, and nothing is made up for what is missing."""
    write_layers, place = framing.write_layers, tree / SITE / "small30large/large.bin"

    def shortened(*arguments: object, **named: object) -> object:
        with place.open("r+b") as file:
            file.truncate(9 * 1024 * 1024)
        return write_layers(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr("terrastore.archive.pack.write_layers", shortened)
    with pytest.raises(BuildError, match=r"small30large/large\.bin became shorter"):
        packed(tree)
