"""A host's facts name the part of a key that compiled code depends on, and what an environment would miss."""

from __future__ import annotations

import json
import platform
import re
from typing import TYPE_CHECKING, Any

import pytest

from terrastore.host import Host
from tests.archive.compiling import library

if TYPE_CHECKING:
    from pathlib import Path

DEBIAN = Host(system="linux", machine="x86_64", libc=("glibc", (2, 36)), distribution="debian-12")
ALPINE = Host(system="linux", machine="aarch64", libc=("musl", (1, 2)), distribution="alpine-3.20.1")
UNKNOWN = Host(system="plan9", machine="mips", libc=None, distribution="")


def needs(family: object, version: object) -> dict[str, Any]:
    return {"libc": {"family": family, "version": version}}


def test_this_machine() -> None:
    """A look at this machine finds what the platform module knows."""
    host = Host.here()
    assert platform.system().lower() == host.system
    assert platform.machine().lower() == host.machine
    assert re.fullmatch(r"[a-z0-9_]+", host.tag)
    family, version = platform.libc_ver()
    if family == "glibc":
        assert ("glibc", tuple(map(int, version.split(".")[:2]))) == host.libc
    else:
        assert host.libc is None or host.libc[0] == "musl"


def test_this_machine_lacks_nothing_it_has() -> None:
    """What this machine offers is enough for what was made on it."""
    host = Host.here()
    assert "" == host.lacks({"libc": host.facts()["libc"]})


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (DEBIAN, "linux_x86_64"),
        (DEBIAN._replace(machine="aarch64"), "linux_aarch64"),
        (ALPINE, "linux_musl_aarch64"),
        (UNKNOWN, "plan9_mips"),
    ],
    ids=["glibc", "another architecture", "musl", "no libc"],
)
def test_tag(host: Host, expected: str) -> None:
    """The tag says system, libc when it is not the usual one, and architecture."""
    assert expected == host.tag


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (DEBIAN, {"system": "linux", "machine": "x86_64", "libc": "glibc"}),
        (ALPINE, {"system": "linux", "machine": "aarch64", "libc": "musl"}),
        (UNKNOWN, {"system": "plan9", "machine": "mips", "libc": None}),
    ],
    ids=["glibc", "musl", "no libc"],
)
def test_identity(host: Host, expected: dict[str, Any]) -> None:
    """What a key says of a host is neither the libc's version nor the distribution."""
    assert expected == host.identity()


def test_facts() -> None:
    """All facts of a host are JSON."""
    assert {
        "system": "linux",
        "machine": "x86_64",
        "libc": {"family": "glibc", "version": "2.36"},
        "distribution": "debian-12",
    } == json.loads(json.dumps(DEBIAN.facts()))
    assert UNKNOWN.facts()["libc"] is None


@pytest.mark.parametrize(
    ("host", "wanted", "expected"),
    [
        pytest.param(DEBIAN, needs("glibc", "2.36"), "", id="the same"),
        pytest.param(DEBIAN, needs("glibc", "2.17"), "", id="older"),
        pytest.param(DEBIAN, needs("glibc", "2.5"), "", id="older, by number and not by text"),
        pytest.param(DEBIAN, needs("glibc", "1.99"), "", id="much older"),
        pytest.param(DEBIAN, needs("glibc", "2.39"), "glibc 2.39 or later; this host has glibc 2.36", id="newer"),
        pytest.param(
            DEBIAN, needs("glibc", "2.100"), "glibc 2.100 or later; this host has glibc 2.36", id="newer still"
        ),
        pytest.param(DEBIAN, needs("glibc", "3.0"), "glibc 3.0 or later; this host has glibc 2.36", id="next"),
        pytest.param(DEBIAN, needs("musl", "1.1"), "musl 1.1 or later; this host has glibc 2.36", id="other family"),
        pytest.param(ALPINE, needs("glibc", "1.0"), "glibc 1.0 or later; this host has musl 1.2", id="other way round"),
        pytest.param(
            UNKNOWN, needs("glibc", "2.17"), "glibc 2.17 or later; this host has neither glibc nor musl", id="no libc"
        ),
        pytest.param(DEBIAN, {}, "", id="no need"),
        pytest.param(UNKNOWN, {"libc": None}, "", id="needs none"),
        pytest.param(DEBIAN, {"libstdc++": "3.4.99"}, "", id="something else"),
        pytest.param(DEBIAN, needs("glibc", "new"), "a libc of unknown version 'new'", id="no version"),
        pytest.param(DEBIAN, needs("glibc", ""), "a libc of unknown version ''", id="empty version"),
        pytest.param(DEBIAN, needs("glibc", None), "a libc of unknown version 'None'", id="version is missing"),
        pytest.param(DEBIAN, needs("glibc", "2.17.1"), "a libc of unknown version '2.17.1'", id="three numbers"),
        pytest.param(DEBIAN, needs("glibc", "2.17\n"), "a libc of unknown version '2.17\\n'", id="line feed"),
    ],
)
def test_lacks(host: Host, wanted: dict[str, Any], expected: str) -> None:
    """A host lacks what is newer than its own and what is of another family; nonsense never fits."""
    assert expected == host.lacks(wanted)


def test_a_need_without_a_family_never_fits() -> None:
    """A libc that is not named cannot be compared."""
    assert DEBIAN.lacks({"libc": {"version": "2.17"}}) != ""


def library_need(name: str, **more: object) -> dict[str, Any]:
    return {"libc": None, "libraries": [{"name": name, "for": ["thing"], **more}]}


ABSENT = "the shared libraries libnone.so.9 (for thing), which this host does not have"


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        pytest.param(library_need("libc.so.6"), "", id="there"),
        pytest.param(library_need("libc.so.6", versions=["GLIBC_2.2.5"]), "", id="there, with a version"),
        pytest.param(library_need("libnone.so.9"), ABSENT, id="not there"),
        pytest.param(library_need("libnone.so.9", directory="/none"), ABSENT, id="not in its directory"),
        pytest.param(
            library_need("libc.so.6", versions=["GLIBC_9.9"]),
            "later ones than this host's of the shared libraries libc.so.6 with GLIBC_9.9 (for thing)",
            id="too old",
        ),
        pytest.param({"libc": None, "processor": {"features": [], "for": []}}, "", id="any processor"),
        pytest.param(
            {"libc": None, "processor": {"features": ["telepathy", "fpu"], "for": ["thing"]}},
            "a processor with telepathy (for thing)",
            id="a feature that none has",
        ),
        pytest.param(
            library_need("libnone.so.9") | {"processor": {"features": ["telepathy"], "for": ["thing"]}},
            f"{ABSENT}; a processor with telepathy (for thing)",
            id="both",
        ),
        pytest.param(
            library_need("libnone.so.9") | needs("glibc", "2.99"),
            "glibc 2.99 or later; this host has glibc 2.36",
            id="the libc first",
        ),
    ],
)
@pytest.mark.skipif(platform.machine() != "x86_64", reason="names are those of another machine")
def test_lacks_libraries_and_features(wanted: dict[str, Any], expected: str) -> None:
    """Libraries are looked for on this machine, and named with who needs them."""
    assert expected == DEBIAN.lacks(wanted)


def test_a_library_of_the_interpreter_is_looked_for_beside_it(tmp_path: Path) -> None:
    """The interpreter's own library may stand in its lib directory alone."""
    library(tmp_path / "lib/libpython9.so")
    wanted = library_need("libpython9.so", base=True)
    assert "" == DEBIAN.lacks(wanted, str(tmp_path))
    assert "libpython9.so" in DEBIAN.lacks(wanted, "/usr")
    assert "libpython9.so" in DEBIAN.lacks(library_need("libpython9.so"), str(tmp_path))
