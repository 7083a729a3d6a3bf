"""What this machine's processor can do, by the names of /proc/cpuinfo, and what compilers are told to make use of."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Levels of the x86-64 psABI; each includes those before.
_V2: Final = frozenset({"cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"})
_V3: Final = _V2 | {"abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave"}
_V4: Final = _V3 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
LEVELS: Final[Mapping[str, frozenset[str]]] = {"x86-64-v2": _V2, "x86-64-v3": _V3, "x86-64-v4": _V4}

# What code that was compiled for "native" may make use of; other names tell of the kernel and of the machine.
_X86_CODE: Final = re.compile(
    r"avx.*|amx_.*|sse.*|ssse3|fma4?|f16c|bmi[12]|abm|popcnt|pni|movbe|cx16|lahf_lm|xsave|adx|aes|vaes|pclmulqdq"
    r"|vpclmulqdq|gfni|sha_ni|sha512|sm[34]|xop|tbm|rdrand|rdseed|fsgsbase|clflushopt|clwb|clzero|rdpid|movdir.*"
)
_OPTION: Final = re.compile(
    r"(?<![^\s'])(-m(?:arch|cpu)=(?!(?:x86-64|i[3-6]86|armv8-a|generic)(?:[\s']|$))[^\s']+"
    r"|(?:-C\s*|--codegen[= ])?target-cpu=[^\s']+)"
)
_NATIVE: Final = re.compile(r"-m(arch|cpu)=native|.*target-cpu=native")
_LEVEL: Final = re.compile(r"(-march=|.*target-cpu=)(?P<level>x86-64-v[234])")


def features() -> frozenset[str]:
    """Return what this processor can do; nothing where the kernel does not say."""
    try:
        with open("/proc/cpuinfo") as file:
            text = file.read()
    except OSError:
        return frozenset()
    match = re.search(r"^(flags|Features)\s*:(?P<names>.*)$", text, re.MULTILINE)
    return frozenset(match["names"].split()) if match else frozenset()


def options(text: str) -> list[str]:
    """Return the options in a compiler's command line that choose a processor, but for the least that a system has."""
    return _OPTION.findall(text)


def demanded(flags: Iterable[str], here: frozenset[str]) -> frozenset[str]:
    """Return what code needs that was compiled here with ``flags``; ``here`` is what this processor can do.

    An option for one feature alone, or for a processor by its name, demands nothing: mostly it is for parts that are
    used only where they can be.
    """
    found: set[str] = set()
    for flag in flags:
        if _NATIVE.fullmatch(flag):
            x86 = {name for name in here if _X86_CODE.fullmatch(name)}
            found |= x86 if "lm" in here else here
        elif match := _LEVEL.fullmatch(flag):
            found |= LEVELS[match["level"]]
    return frozenset(found)
