"""A manifest says the same after writing and reading, and one with anything wrong in it is not acted upon."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any, Final

import pytest

from terrastore.archive.limits import FRAME_LIMIT, SIZE_LIMIT
from terrastore.archive.manifest import (
    Frame,
    Layer,
    Manifest,
    ManifestError,
    Package,
    Relocation,
    Totals,
    UnknownSchemaError,
    WheelFile,
)

KEY = "cp311-linux_x86_64-" + "0123456789" * 4
PREFIX = "/___________________________________________/terrastore-staging-00000000000000000000000000000000"
DIGEST = "ab" * 32
WHEEL: Final = {"file": "kept-1-py3-none-any.whl", "sha256": DIGEST}
DOCUMENT: Final[dict[str, Any]] = {
    "schema": 1,
    "key": KEY,
    "layers": [
        {
            "name": "base",
            "version": None,
            "digest": DIGEST,
            "frames": [
                {"packed": 100, "size": 512, "sha256": DIGEST},
                {"packed": 7, "size": FRAME_LIMIT, "sha256": DIGEST},
            ],
        },
        {
            "name": "django",
            "version": "5.2",
            "digest": "cd" * 32,
            "frames": [{"packed": 1, "size": 1, "sha256": "ef" * 32}],
        },
        {"name": "rest", "version": None, "digest": DIGEST, "frames": []},
    ],
    "relocations": [
        {"path": "bin/größe", "kind": "script"},
        {"path": "lib/x.pth", "kind": "a kind to come"},
        {"path": "lib/x.so", "kind": "binary", "offsets": [0, 96, 5000], "sha256": DIGEST},
    ],
    "packages": [
        {"name": "django", "version": "5.2", "built": False, "sha256": DIGEST},
        {"name": "local", "version": "1.0+x", "built": True, "sha256": None, "flags": ["-march=native"]},
        {"name": "kept", "version": "1", "built": False, "sha256": DIGEST, "wheel": WHEEL, "direct": True},
    ],
    "totals": {"members": 3, "size": 513 + FRAME_LIMIT, "packed": 108},
    "prefix": PREFIX,
    "interpreter": {"implementation": "cpython", "version": "3.11.7", "debug": False, "pointer_bits": 64},
    "host": {"system": "linux", "libc": None},
    "installer": {"name": "pip", "version": "25.3"},
    "request": {"requirements": [{"name": "django", "extras": ["a"]}], "é": 1.5},
    "tools": [WHEEL],
    "needs": {
        "libc": {"family": "glibc", "version": "2.17"},
        "libraries": [
            {"name": "libssl.so.3", "versions": ["OPENSSL_3.0.0"], "for": ["local"]},
            {"name": "libx-1.so", "directory": "/opt/x/lib"},
        ],
        "processor": {"features": ["avx2"], "for": ["local"]},
    },
    "features": [],
}
MANIFEST = Manifest(
    key=KEY,
    layers=(
        Layer(
            name="base",
            version=None,
            digest=DIGEST,
            frames=(Frame(packed=100, size=512, sha256=DIGEST), Frame(packed=7, size=FRAME_LIMIT, sha256=DIGEST)),
        ),
        Layer(name="django", version="5.2", digest="cd" * 32, frames=(Frame(packed=1, size=1, sha256="ef" * 32),)),
        Layer(name="rest", version=None, digest=DIGEST, frames=()),
    ),
    relocations=(
        Relocation(path="bin/größe", kind="script"),
        Relocation(path="lib/x.pth", kind="a kind to come"),
        Relocation(path="lib/x.so", kind="binary", offsets=(0, 96, 5000), sha256=DIGEST),
    ),
    packages=(
        Package(name="django", version="5.2", sha256=DIGEST),
        Package(name="local", version="1.0+x", built=True, flags=("-march=native",)),
        Package(name="kept", version="1", sha256=DIGEST, wheel=WheelFile(**WHEEL), direct=True),
    ),
    totals=Totals(members=3, size=513 + FRAME_LIMIT, packed=108),
    prefix=PREFIX,
    interpreter=DOCUMENT["interpreter"],
    host=DOCUMENT["host"],
    installer=DOCUMENT["installer"],
    request=DOCUMENT["request"],
    needs=DOCUMENT["needs"],
    tools=(WheelFile(**WHEEL),),
)
ABSENT: Final = object()


def changed(place: str, value: object) -> bytes:
    """Return the document with ``value`` at a dotted ``place``, or without it."""
    document = copy.deepcopy(DOCUMENT)
    *parents, last = [int(step) if step.isdigit() else step for step in place.split(".")]
    holder: Any = document
    for step in parents:
        holder = holder[step]
    if value is ABSENT:
        del holder[last]
    else:
        holder[last] = value
    return json.dumps(document).encode()


def test_a_manifest_is_read() -> None:
    """Every field of the specification arrives where it belongs."""
    assert Manifest.parse(json.dumps(DOCUMENT).encode()) == MANIFEST


def test_a_manifest_is_written() -> None:
    """As the JSON object of the specification, in UTF-8, that reads the same again."""
    written = MANIFEST.to_json()
    assert json.loads(written) == DOCUMENT
    assert "bin/größe".encode() in written
    assert Manifest.parse(written) == MANIFEST


def test_the_bytes_do_not_depend_on_the_order_of_fields() -> None:
    """What is equal is written equally, so that equal archives are equal."""
    turned = json.loads(json.dumps(DOCUMENT), object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    made = replace(Manifest.parse(json.dumps(turned, indent=3).encode()), raw=b"")
    assert made.to_json() == MANIFEST.to_json()


def test_what_was_read_is_written_as_it_was() -> None:
    """Fields of a later version survive in the environment's copy."""
    data = json.dumps(DOCUMENT | {"of_a_later_version": 1}, indent=3).encode()
    assert data == Manifest.parse(data).to_json()


def test_frames_lie_one_after_the_other() -> None:
    """Offsets are sums over the layers before."""
    assert [(offset, frame.packed) for offset, frame in MANIFEST.frames()] == [(0, 100), (100, 7), (107, 1)]
    assert [(layer.packed, layer.size) for layer in MANIFEST.layers] == [(107, 512 + FRAME_LIMIT), (1, 1), (0, 0)]


WRONG_TEXT: Final = [ABSENT, None, "", 5, True, ["x"], {"x": "x"}, "a\x1b[2J", "a\nb", "a\x9bb", "a\u2028b"]
WRONG_DIGEST: Final = [
    5,
    True,
    [],
    "",
    DIGEST[1:],
    DIGEST + "0",
    DIGEST.upper(),
    "g" * 64,
    "\u0660" * 64,
    DIGEST + "\n",
]
WRONG_NUMBER: Final = [ABSENT, None, "1", 1.0, True, [1], -1, 2**63]
WRONG_LIST: Final = [ABSENT, None, "x", 5, {}, {"0": {}}, [None], ["x"], [[]], [{}, 5]]
WRONG_OBJECT: Final = [ABSENT, None, "x", 5, True, [], [{}]]
WRONG: Final[dict[str, list[object]]] = {
    "schema": [ABSENT, None, "1", 1.0, True, [1], {}],
    "key": WRONG_TEXT,
    "prefix": [*WRONG_TEXT, PREFIX + "0", PREFIX.replace("_", "-"), "/srv/env"],
    "layers": [*WRONG_LIST, []],
    "layers.0.name": WRONG_TEXT,
    "layers.1.name": WRONG_TEXT,
    "layers.1.version": [5, True, [], {}],
    "layers.1.digest": [ABSENT, None, *WRONG_DIGEST],
    "layers.1.frames": WRONG_LIST,
    "layers.1.frames.0.packed": [*WRONG_NUMBER, 0, FRAME_LIMIT + FRAME_LIMIT // 128 + 1],
    "layers.1.frames.0.size": [*WRONG_NUMBER, 0, FRAME_LIMIT + 1],
    "layers.1.frames.0.sha256": [ABSENT, None, *WRONG_DIGEST],
    "relocations": WRONG_LIST,
    "relocations.0.path": WRONG_TEXT,
    "relocations.0.kind": WRONG_TEXT,
    "relocations.2.offsets": [*WRONG_LIST, [], [-1], [True], [1.0], [0, 95], [96, 0], [0, 0], [9 * 1024**3]],
    "relocations.2.sha256": [ABSENT, None, *WRONG_DIGEST],
    "packages": WRONG_LIST,
    "packages.0.name": WRONG_TEXT,
    "packages.0.version": WRONG_TEXT,
    "packages.0.built": [None, "no", 1, [], {}],
    "packages.0.sha256": WRONG_DIGEST,
    "totals": WRONG_OBJECT,
    "totals.members": [*WRONG_NUMBER, 1024 * 1024 + 1, DOCUMENT["totals"]["size"] // 512 + 1],
    "totals.size": [*WRONG_NUMBER, 0, DOCUMENT["totals"]["size"] + 1],
    "totals.packed": [*WRONG_NUMBER, 0, DOCUMENT["totals"]["packed"] - 1],
    "interpreter": WRONG_OBJECT,
    "interpreter.version": [*WRONG_TEXT, "/bin/sh", "python", "3.11\n", "3.", "3.11 -c", ">=3"],
    "interpreter.soabi": [5, "", [], "a\nb"],
    "installer.name": WRONG_TEXT,
    "installer.version": WRONG_TEXT,
    "host": WRONG_OBJECT,
    "installer": WRONG_OBJECT,
    "request": WRONG_OBJECT,
    "needs": WRONG_OBJECT,
    "needs.libraries": [True, "x", 5, {"0": {}}, [None], ["x"], [[]]],
    "needs.libraries.0.name": [*WRONG_TEXT, "../libx.so", "/lib/x.so", ".so", "x\n", "a b"],
    "needs.libraries.0.versions": ["x", 5, {}, [5], [None]],
    "needs.libraries.0.for": ["x", 5, {}, [5], [None]],
    "needs.libraries.0.base": [5, None, "x", []],
    "needs.libraries.1.directory": [5, None, True, [], "", "lib", "../lib", "/a\0b"],
    "needs.libraries.1.name": ["libssl.so.3"],
    "needs.libc": [True, "x", 5, []],
    "needs.libc.family": WRONG_TEXT,
    "needs.libc.version": [*WRONG_TEXT, "2", "2.x", "2.17.1", "9" * 5000 + ".0", "\u0662.17"],
    "relocations.1.path": ["bin/größe"],
    "needs.processor": [True, "x", 5, [], [{}]],
    "needs.processor.features": ["x", 5, {}, [5]],
    "needs.processor.for": ["x", 5, {}, [5]],
    "packages.1.flags": [None, "x", 5, {}, [5]],
    "packages.2.wheel": ["x", 5, True, [], {}],
    "packages.2.wheel.file": [*WRONG_TEXT, "../x.whl", "/x.whl", ".x.whl", "a/b.whl", "x.gz", "x.whl\n", "größe.whl"],
    "packages.2.wheel.sha256": [ABSENT, None, *WRONG_DIGEST],
    "packages.2.direct": [None, "no", 1, [], {}],
    "tools": [None, "x", 5, {}, [None], ["x"], [{}]],
    "features": [None, "x", 5, {}, [5], [["x"]], ["telepathy"]],
}
CASES = [
    pytest.param(place, value, id=f"{place}: {'absent' if value is ABSENT else json.dumps(value)}"[:60])
    for place, values in WRONG.items()
    for value in values
]


@pytest.mark.parametrize(("place", "value"), CASES)
def test_a_field_that_is_not_as_specified_is_refused(place: str, value: object) -> None:
    """Missing, of another type, out of range, or in contradiction to another: one such field is enough."""
    with pytest.raises(ManifestError):
        Manifest.parse(changed(place, value))


def test_the_limits_themselves_are_allowed() -> None:
    """The largest frame that a writer makes can be read."""
    document = copy.deepcopy(DOCUMENT)
    largest = {"packed": FRAME_LIMIT + FRAME_LIMIT // 128, "size": FRAME_LIMIT, "sha256": DIGEST}
    document["layers"][2]["frames"].append(largest)
    document["totals"]["packed"] += largest["packed"]
    document["totals"]["size"] += largest["size"]
    manifest = Manifest.parse(json.dumps(document).encode())
    assert manifest.layers[2].frames == (Frame(packed=8454144, size=8388608, sha256=DIGEST),)


OPTIONAL = {
    "features": (),
    "packages.0.sha256": None,
    "packages.1.built": False,
    "packages.1.flags": (),
    "packages.2.wheel": None,
    "packages.2.direct": False,
    "tools": (),
}


@pytest.mark.parametrize("place", OPTIONAL)
def test_a_field_that_may_be_absent_has_its_default(place: str) -> None:
    """No features, no digest, not built, no options known, no wheel, asked for by its name, no tools."""
    manifest = Manifest.parse(changed(place, ABSENT))
    found = {
        "features": manifest.features,
        "packages.0.sha256": manifest.packages[0].sha256,
        "packages.1.built": manifest.packages[1].built,
        "packages.1.flags": manifest.packages[1].flags,
        "packages.2.wheel": manifest.packages[2].wheel,
        "packages.2.direct": manifest.packages[2].direct,
        "tools": manifest.tools,
    }
    assert OPTIONAL[place] == found[place]


def test_an_environment_without_packages_has_a_manifest() -> None:
    """Two layers, neither of which need hold anything, are enough."""
    layers = [DOCUMENT["layers"][2] | {"name": name} for name in ("base", "rest")]
    nothing = {"layers": layers, "relocations": [], "packages": [], "totals": {"members": 0, "size": 0, "packed": 0}}
    manifest = Manifest.parse(json.dumps(DOCUMENT | nothing).encode())
    assert list(manifest.frames()) == []
    assert [layer.name for layer in manifest.layers] == ["base", "rest"]


@pytest.mark.parametrize("order", [[], [0], [2], [1], [0, 1], [1, 2], [1, 0, 2], [2, 1, 0], [0, 2, 1]], ids=str)
def test_layers_begin_with_base_and_end_with_rest(order: list[int]) -> None:
    """Both are always there, and where they are said to be."""
    document = copy.deepcopy(DOCUMENT)
    document["layers"] = [document["layers"][number] for number in order]
    frames = [frame for layer in document["layers"] for frame in layer["frames"]]
    for total in ("packed", "size"):
        document["totals"][total] = sum(frame[total] for frame in frames)
    with pytest.raises(ManifestError, match="base"):
        Manifest.parse(json.dumps(document).encode())


@pytest.mark.parametrize("place", ["", "layers.1.", "layers.1.frames.0.", "relocations.0.", "packages.0.", "totals."])
def test_an_unknown_field_is_ignored(place: str) -> None:
    """A later version may add fields anywhere; what is known of the manifest is what it was."""
    assert Manifest.parse(changed(f"{place}color", {"is": ["new"]})) == MANIFEST


@pytest.mark.parametrize("schema", [0, 2, 3, -1, 10**30])
def test_an_unknown_schema_is_told_apart(schema: int) -> None:
    """It is a miss that names both versions, whatever else the manifest of a later version looks like."""
    data = json.dumps({"schema": schema, "layers": "elsewhere"}).encode()
    with pytest.raises(UnknownSchemaError, match=rf"schema {schema}; .* schema 1"):
        Manifest.parse(data)


def test_an_unknown_feature_is_named() -> None:
    """Who reads the message learns what the archive needs."""
    with pytest.raises(ManifestError, match="telepathy, time travel"):
        Manifest.parse(changed("features", ["telepathy", "time travel"]))


NO_MANIFEST = {
    "empty": b"",
    "text": b"manifest",
    "half of one": MANIFEST.to_json()[:-1],
    "more than one": MANIFEST.to_json() * 2,
    "not UTF-8": b'{"schema": 1, "key": "caf\xe9"}',
    "null": b"null",
    "list": b"[1]",
    "number": b"1",
    "number of 5,000 digits": b'{"schema": ' + b"1" * 5000 + b"}",
    "nested lists": b"[" * 100_000,
    "nested objects": b'{"schema":' * 100_000,
    "nested in a field": MANIFEST.to_json().replace(b'"pip"', b"[" * 100_000 + b"]" * 100_000),
}


@pytest.mark.parametrize("data", NO_MANIFEST.values(), ids=NO_MANIFEST.keys())
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    """Whatever the parser stumbles over, the error is one."""
    with pytest.raises(ManifestError):
        Manifest.parse(data)


@pytest.mark.parametrize("place", ["key", "layers.1.version", "relocations.0.path", "packages.0.name", "request.x"])
def test_text_that_no_utf_8_can_hold_is_refused(place: str) -> None:
    """JSON can escape half a surrogate pair; a manifest that is read can be written."""
    with pytest.raises(ManifestError):
        Manifest.parse(changed(place, "\ud800"))


def test_a_manifest_has_4_mib_at_most() -> None:
    """One byte more is not even parsed."""
    data = MANIFEST.to_json()
    assert SIZE_LIMIT == 4 * 1024 * 1024
    assert Manifest.parse(data + b" " * (SIZE_LIMIT - len(data))) == MANIFEST
    with pytest.raises(ManifestError, match="4194305 bytes"):
        Manifest.parse(data + b" " * (SIZE_LIMIT + 1 - len(data)))
