"""The trees that are measured: sets of requirements, and made ones of any size."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.conftest import make_wheel

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA: Final = Path(__file__).parents[2] / "tests/data"
NAMED: Final = {"web": DATA / "web.txt", "scientific": DATA / "scientific.txt"}
SYNTHETIC: Final = "synthetic"
SYNTHETIC_BYTES: Final = 4_000_000_000
PIECE: Final = 1_000_000
LARGEST_WHEEL: Final = 200 * PIECE
MODULES_IN_WHEEL: Final = 2_500
CROWD: Final = {"django", "requests", "sqlalchemy", "pydantic"}
"""Of the web set: what fifty clients at once can take."""
BUMPED: Final = ("idna", "six", "packaging", "certifi")
"""A pin of one of them is changed; nothing depends on which of two neighbouring versions is there."""


@dataclass(frozen=True)
class Requirements:
    """What an environment is made from."""

    name: str
    text: str
    wheels: Path | None = None
    """Where they are, if they are made; else they come from the index."""
    options: tuple[str, ...] = ()
    """For terrastore, always."""
    building: tuple[str, ...] = ()
    """For terrastore, to build it: every wheel is fixed by its hash, so that where it is does not shape the key."""


def named(name: str) -> Requirements:
    """Return a set by its name or file."""
    path = NAMED.get(name, Path(name))
    return Requirements(path.stem, path.read_text())


def crowd() -> Requirements:
    """Return a part of the web set."""
    pins = NAMED["web"].read_text().splitlines()
    return Requirements("crowd", "\n".join(pin for pin in pins if pin.partition("==")[0].lower() in CROWD) + "\n")


def of_bytes(size: int, folder: Path) -> Requirements:
    """Make wheels of data: files of a megabyte, half noise and half text, at most 200 MB a wheel."""
    noise = random.Random(size)
    text = b"".join(b"%d: the quick brown fox jumps over the lazy dog\n" % number for number in range(20_000))
    half = PIECE // 2
    wheels: list[Path] = []
    for start in range(0, size, LARGEST_WHEEL):
        name = f"data_{len(wheels)}"
        files = {
            f"{name}/{number}.bin": noise.randbytes(half) + text[number : number + half]
            for number in range(min(size - start, LARGEST_WHEEL) // PIECE)
        }
        wheels.append(make_wheel(folder, name, "1.0", files))
    return _made(f"{size} bytes", wheels)


def of_files(count: int, folder: Path) -> Requirements:
    """Make wheels of small modules; with their bytecode they are so many files."""
    wheels: list[Path] = []
    for start in range(0, count // 2, MODULES_IN_WHEEL):
        name = f"code_{len(wheels)}"
        modules = dict(_modules(name, start, min(start + MODULES_IN_WHEEL, count // 2)))
        wheels.append(make_wheel(folder, name, "1.0", modules))
    return _made(f"{count} files", wheels)


def _modules(package: str, start: int, stop: int) -> Iterator[tuple[str, str]]:
    """Yield paths and texts of about four kilobytes."""
    noise = random.Random(start)
    for number in range(start, stop):
        lines = [
            f"NAME_{line} = {noise.getrandbits(128):#x}, 'some of the text of module {number}'" for line in range(40)
        ]
        yield f"{package}/part_{number // 100}/module_{number}.py", "\n".join(lines) + "\n"


def _made(name: str, wheels: list[Path]) -> Requirements:
    lines = []
    for wheel in wheels:
        distribution, version, _ = wheel.name.split("-", 2)
        with wheel.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        lines.append(f"{distribution}=={version} --hash=sha256:{digest}\n")
    folder = wheels[0].parent
    building = ("--no-index", "-f", str(folder))
    return Requirements(name, "".join(lines), folder, ("--installer", "uv", "--no-seed", "--require-hashes"), building)
