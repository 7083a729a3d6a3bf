"""What compilers were told to make use of, and what a processor must have for that."""

from __future__ import annotations

import pytest

from terrastore import processor
from terrastore.processor import demanded, options

HERE = frozenset({"lm", "fpu", "sse2", "pni", "avx", "avx2", "avx512f", "hypervisor", "constant_tsc", "abm"})
CODE = {"sse2", "pni", "avx", "avx2", "avx512f", "abm"}


def test_this_processor_has_features() -> None:
    """The kernel tells what the processor can do."""
    assert {"fpu", "sse2"} <= processor.features() or "asimd" in processor.features()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param("'-O2' '-march=native' '-o' 'x'", ["-march=native"], id="as GCC tells the assembler"),
        pytest.param("GNU C17 12.2.0 -mavx2 -march=haswell -g", ["-march=haswell"], id="as in debug information"),
        pytest.param("-O3 -mtune=native -mavx2 -ffast-math", [], id="tuned, and a part"),
        pytest.param("-march=x86-64 '-march=x86-64'", [], id="the least"),
        pytest.param("-march=x86-64-v3", ["-march=x86-64-v3"], id="a level"),
        pytest.param("-mcpu=native", ["-mcpu=native"], id="for ARM"),
        pytest.param("-C target-cpu=native -Ctarget-cpu=x86-64-v2", ["-C target-cpu=native", "-Ctarget-cpu=x86-64-v2"],
                     id="Rust"),
        pytest.param("file-march=native", [], id="part of a name"),
    ],
)  # fmt: skip
def test_options(line: str, expected: list[str]) -> None:
    """Options that choose a processor are found in a command line, and nothing else."""
    assert expected == options(line)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        pytest.param([], set(), id="nothing"),
        pytest.param(["-march=native"], CODE, id="this processor"),
        pytest.param(["-C target-cpu=native"], CODE, id="this processor, in Rust"),
        pytest.param(["-march=haswell"], set(), id="one by its name, as for a part"),
        pytest.param(["-march=x86-64-v2"], processor.LEVELS["x86-64-v2"], id="a level"),
        pytest.param(["-Ctarget-cpu=x86-64-v3"], processor.LEVELS["x86-64-v3"], id="a level, in Rust"),
        pytest.param(["-march=native", "-march=x86-64-v2"], CODE | processor.LEVELS["x86-64-v2"], id="both"),
    ],
)
def test_demanded(flags: list[str], expected: set[str]) -> None:
    """Code for this processor needs what code can make use of, a level what that is made of."""
    assert expected == demanded(flags, HERE)


def test_other_architectures() -> None:
    """Where names are others, all of them count."""
    assert {"asimd", "sve"} == demanded(["-mcpu=native"], frozenset({"asimd", "sve"}))


def test_levels_include_those_before() -> None:
    """Each level of the psABI needs more."""
    assert processor.LEVELS["x86-64-v2"] < processor.LEVELS["x86-64-v3"] < processor.LEVELS["x86-64-v4"]
