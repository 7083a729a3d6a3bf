"""Archives and pointers that somebody might put into a store, by name: what each is, and what is told of it.

An attack changes a draft of a sound archive, whose digests are then made to fit, so that it comes as far as it is
aimed at: to the pointer, the manifest, the frames or the members.
"""

from __future__ import annotations

import json
import sys
from base64 import b64decode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from terrastore.archive.frames import compress
from terrastore.archive.limits import FRAME_LIMIT
from tests.hostile import tar, zstd
from tests.hostile.draft import MANIFEST, Draft, envelope_of, packed, sha256
from tests.hostile.tar import member

if TYPE_CHECKING:
    from collections.abc import Callable

SITE: Final = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
RECORD: Final = f"{SITE}/alpha-2.0.dist-info/RECORD"
SCRIPT: Final = "bin/alpha"
PREFIX: Final = b"/" + b"_" * 43 + b"/terrastore-staging-" + b"0" * 32
POINTER, META, FRAMES, MEMBERS = "pointer", "manifest", "frames", "members"


@dataclass(frozen=True)
class Attack:
    """What is done to a draft, what of the message says what is wrong, and which part of the archive that is in."""

    apply: Callable[[Draft], object]
    message: str
    part: str = MEMBERS


def adds(*members: bytes, layer: str = "rest") -> Callable[[Draft], None]:
    """Put members behind those of a layer."""
    return lambda draft: draft.add(*members, layer=layer)


def adds_outside(made: Callable[[str], bytes]) -> Callable[[Draft], None]:
    """Put a member behind the others that names the directory which nobody may write to."""
    return lambda draft: draft.add(made(draft.outside))


NOT_PLAIN = "is not a plain relative path"
LEAVES = "leaves the environment"
COLLIDES = "collides with another member"
NO_MEMBER = "must not be a member"
NOT_OURS = "is not as this format writes it"

NAMES = {
    "traversal": Attack(adds(member("../evil", b"x")), NOT_PLAIN),
    "traversal-far": Attack(adds(member("../../../../../../../../tmp/evil", b"x")), NOT_PLAIN),
    "traversal-inside": Attack(adds(member("lib/../../evil", b"x")), NOT_PLAIN),
    "traversal-at-the-end": Attack(adds(member("lib/..", kind=tar.DIRECTORY)), NOT_PLAIN),
    "traversal-in-prefix": Attack(adds(member("evil", prefix=b"..")), NOT_PLAIN),
    "traversal-in-pax": Attack(adds(tar.pax(tar.record("path", "../evil")) + member("lib/x")), NOT_PLAIN),
    "absolute": Attack(adds_outside(lambda outside: member(f"{outside}/evil", b"x")), NOT_PLAIN),
    "absolute-in-prefix": Attack(adds(member("evil", prefix=b"/tmp")), NOT_PLAIN),
    "absolute-in-pax": Attack(
        adds_outside(lambda outside: tar.pax(tar.record("path", f"{outside}/evil")) + member("lib/x")), NOT_PLAIN
    ),
    "name-empty": Attack(adds(member("")), NOT_PLAIN),
    "name-dot": Attack(adds(member("./x")), NOT_PLAIN),
    "name-double-slash": Attack(adds(member("lib//x")), NOT_PLAIN),
    "name-slash-at-the-end": Attack(adds(member("lib/x/", kind=tar.DIRECTORY)), NOT_PLAIN),
    "name-newline": Attack(adds(member("lib/a\nterrastore: hint: run this")), NOT_PLAIN),
    "name-escape": Attack(adds(member("lib/\x1b[2J")), NOT_PLAIN),
    "name-nul": Attack(adds(member("lib/a\0b")), "a name holds NUL"),
    "name-nul-in-pax": Attack(adds(tar.pax(tar.record("path", "lib/a\0b")) + member("lib/x")), NOT_PLAIN),
    "name-not-utf-8": Attack(adds(member(b"lib/caf\xe9")), "cannot be read"),
    "name-too-long": Attack(adds(member("/".join(["n" * 99] * 41))), "is too long"),
    "name-too-deep": Attack(adds(member("/".join(["n"] * 1900))), "is too deep"),
    "pax-size": Attack(adds(tar.pax(tar.record("size", "7")) + member("lib/x")), "a pax record sets b'size'"),
    "pax-owner": Attack(adds(tar.pax(tar.record("uid", "0")) + member("lib/x")), "a pax record sets b'uid'"),
    "pax-sparse": Attack(
        adds(tar.pax(tar.record("GNU.sparse.realsize", "9")) + member("lib/x")), "a pax record sets b'GNU.sparse"
    ),
    "pax-attribute": Attack(
        adds(tar.pax(tar.record("SCHILY.xattr.security.capability", "x")) + member("lib/x")), "a pax record sets"
    ),
    "pax-path-twice": Attack(
        adds(tar.pax(tar.record("path", "lib/a") + tar.record("path", "lib/b")) + member("lib/x")), "a pax record sets"
    ),
    "pax-length": Attack(adds(tar.pax(b"99999 path=lib/x\n") + member("lib/x")), "no fitting length"),
    "pax-for-all": Attack(adds(tar.pax(tar.record("path", "lib/x"), kind=b"g") + member("lib/x")), NOT_OURS),
    "pax-huge": Attack(
        adds(tar.header("././@PaxHeader", kind=b"x", size=b"77777777777\0") + member("lib/x")), "an extended header has"
    ),
    "gnu-long-name": Attack(adds(member("././@LongLink", b"lib/x\0", kind=b"L") + member("lib/x")), NOT_OURS),
    "gnu-long-target": Attack(adds(member("././@LongLink", b"lib/x\0", kind=b"K") + member("lib/x")), NOT_OURS),
}
TYPES = {
    "hard-link": Attack(adds(member("lib/evil", kind=tar.HARD_LINK, target="bin/alpha")), NOT_OURS),
    "hard-link-outside": Attack(
        adds_outside(lambda outside: member("lib/evil", kind=tar.HARD_LINK, target=f"{outside}/precious")[-512:]),
        NOT_OURS,
    ),
    "character-device": Attack(adds(member("lib/evil", kind=tar.CHARACTERS)), NOT_OURS),
    "block-device": Attack(adds(member("lib/evil", kind=tar.BLOCKS)), NOT_OURS),
    "fifo": Attack(adds(member("lib/evil", kind=tar.FIFO)), NOT_OURS),
    "contiguous": Attack(adds(member("lib/evil", kind=tar.CONTIGUOUS)), NOT_OURS),
    "sparse": Attack(adds(member("lib/evil", kind=b"S")), NOT_OURS),
    "setuid": Attack(adds(member("lib/evil", mode=b"0004755\0")), "has mode 4755"),
    "setgid": Attack(adds(member("lib/evil", mode=b"0002755\0")), "has mode 2755"),
    "sticky": Attack(adds(member("lib/evil", kind=tar.DIRECTORY, mode=b"0001755\0")), "has mode 1755"),
    "writable-by-all": Attack(adds(member("lib/evil", mode=b"0000666\0")), "has mode 666"),
    "owner": Attack(adds(member("lib/evil", uid=b"0001750\0")), NOT_OURS),
    "time": Attack(adds(member("lib/evil", time=b"00000000000\0")), NOT_OURS),
    "size-in-base-256": Attack(adds(member("lib/evil", size=b"\x80" + bytes(11))), "is not an octal number"),
    "size-negative": Attack(adds(member("lib/evil", size=b"\xff" * 12)), "is not an octal number"),
    "size-of-8-gib": Attack(adds(member("lib/evil", size=b"77777777777\0")), "the stream ends inside a member"),
    "size-of-a-link": Attack(adds(member("lib/evil", b"x", kind=tar.LINK, target="x")), "has content or a target"),
    "target-of-a-file": Attack(adds(member("lib/evil", target="x")), "has content or a target"),
    "checksum": Attack(adds(member("lib/evil", checksum=b"000000\0 ")), "checksum is wrong"),
    "magic": Attack(adds(member("lib/evil", magic=b"ustar  \0")), NOT_OURS),
    "padding": Attack(adds(member("lib/evil", b"x")[:-1] + b"x"), "is not zero"),
    "end-in-between": Attack(adds(tar.END + member("lib/evil")), "checksum is wrong"),
}
LINKS = {
    "link-absolute": Attack(adds_outside(lambda outside: tar.link("lib/evil", outside)), LEAVES),
    "link-up": Attack(adds(tar.link("evil", "..")), LEAVES),
    "link-up-from-a-directory": Attack(adds(tar.link("share/evil", "../../evil")), LEAVES),
    "link-up-behind-a-component": Attack(adds(tar.link("share/evil", "x/../../../evil")), LEAVES),
    "link-to-nothing": Attack(adds(tar.link("lib/evil", "")), LEAVES),
    "link-newline": Attack(adds(tar.link("lib/evil", "a\nb")), LEAVES),
    "link-in-pax": Attack(adds(tar.pax(tar.record("linkpath", "/etc")) + tar.link("lib/evil", "x")), LEAVES),
    "link-chain-up": Attack(adds(tar.link("a/one", "two/../.."), tar.link("a/two", "../lib")), LEAVES),
    "link-through-a-link": Attack(adds(tar.link("here", "lib"), tar.link("here/up", "..")), COLLIDES),
    "file-through-a-link": Attack(adds(tar.link("here", "lib"), member("here/evil", b"x")), COLLIDES),
    "file-through-a-link-later": Attack(adds(member("here/evil", b"x"), tar.link("here", "lib")), COLLIDES),
    "file-through-a-chain": Attack(
        adds(tar.link("one", "two"), tar.link("two", "lib"), member("one/evil", b"x")), COLLIDES
    ),
    "directory-becomes-a-link": Attack(
        adds(member("share", kind=tar.DIRECTORY), tar.link("share", "lib")), "is there twice"
    ),
    "file-becomes-a-link": Attack(adds(member("share", b"x"), tar.link("share", "lib")), "is there twice"),
    "link-becomes-a-file": Attack(adds(tar.link("share", "lib"), member("share", b"x")), "is there twice"),
    "site-packages-is-a-link": Attack(adds(tar.link(SITE, "../../share")), COLLIDES),
}


def twice_in_two_layers(draft: Draft) -> None:
    draft.add(member("share/x", b"1"), layer="base")
    draft.add(member("share/x", b"2"))


def held_twice(draft: Draft) -> None:
    draft.add(member(SCRIPT, b"#!/bin/sh\n"))


TAKEN = f"({COLLIDES}|is there twice)"
COLLISIONS = {
    "duplicate": Attack(adds(member("share/x", b"1"), member("share/x", b"2")), TAKEN),
    "duplicate-in-two-layers": Attack(twice_in_two_layers, TAKEN),
    "duplicate-of-a-relocated-file": Attack(held_twice, TAKEN),
    "duplicate-directory": Attack(adds(*[member("share/x", kind=tar.DIRECTORY)] * 2), TAKEN),
    "duplicate-large": Attack(adds(*[member("share/x", bytes(FRAME_LIMIT))] * 2), TAKEN),
    "below-a-file": Attack(adds(member("share/x", b"1"), member("share/x/y", b"2")), COLLIDES),
    "below-a-file-later": Attack(adds(member("share/x/y", b"2"), member("share/x", b"1")), COLLIDES),
    "below-a-relocated-file": Attack(adds(member(f"{SCRIPT}/y", b"2")), COLLIDES),
    "below-a-record": Attack(adds(member(f"{RECORD}/y", b"2")), COLLIDES),
}
RESERVED = {
    "shadow-state": Attack(adds(member(".terrastore/state.json", b"{}")), NO_MEMBER),
    "shadow-manifest": Attack(adds(member(MANIFEST, b"{}")), NO_MEMBER),
    "shadow-terrastore": Attack(adds(tar.link(".terrastore", "lib")), NO_MEMBER),
    "shadow-terrastore-folded": Attack(adds(member(".TerraStore/state.json", b"{}")), NO_MEMBER),
    "shadow-terrastore-ignorable": Attack(adds(member(".terra\u200cstore/state.json", b"{}")), NO_MEMBER),
    "shadow-pyvenv": Attack(adds(member("pyvenv.cfg", b"home = /evil\n")), NO_MEMBER),
    "shadow-pyvenv-folded": Attack(adds(member("PYVENV.CFG", b"home = /evil\n")), NO_MEMBER),
    "shadow-pyvenv-kelvin": Attack(adds(member("pyvenv.cf\u200dg", b"home = /evil\n")), NO_MEMBER),
    "shadow-python": Attack(adds(member("bin/python", b"#!/bin/sh\n")), NO_MEMBER),
    "shadow-python-version": Attack(adds(tar.link("bin/python3.11", "alpha")), NO_MEMBER),
    "shadow-python-directory": Attack(adds(member("bin/python3/x", b"")), NO_MEMBER),
    "shadow-python-folded": Attack(adds(member("bin/Python", b"")), NO_MEMBER),
    "shadow-bin-file": Attack(adds(member("bin", b"x")), NO_MEMBER),
    "shadow-bin-link": Attack(adds(tar.link("bin", "lib")), NO_MEMBER),
    "shadow-bin-link-folded": Attack(adds(tar.link("BIN", "lib")), NO_MEMBER),
}


def relocates(path: str, kind: str, *members: bytes, **more: Any) -> Callable[[Draft], None]:
    """Let the manifest say that a path is to be relocated, and put members behind the others."""

    def apply(draft: Draft) -> None:
        draft.add(*members)
        draft.relocate(path, kind, **more)

    return apply


COMPILED = b"!<arch>\n" + PREFIX + b"/lib\0"
SLOTS = {"offsets": [8], "sha256": sha256(COMPILED)}
NO_SLOT = "does not hold the placeholder where the manifest says"
NOT_THERE = "is to be relocated and is not there"
NO_FILE = "is to be relocated and is no file"
RELOCATIONS = {
    "relocation-outside": Attack(relocates("../evil", "text"), NOT_PLAIN, META),
    "relocation-absolute": Attack(relocates("/etc/passwd", "text"), NOT_PLAIN, META),
    "relocation-twice": Attack(relocates(SCRIPT, "binary", **SLOTS), "to be relocated twice", META),
    "relocation-of-a-kind-to-come": Attack(
        relocates(SCRIPT + "x", "telepathy"), "a kind this version does not know", META
    ),
    "relocation-of-nothing": Attack(relocates("share/x", "text"), NOT_THERE),
    "relocation-through-a-link": Attack(relocates("here/x", "text", tar.link("here", "lib")), NOT_THERE),
    "relocation-of-state": Attack(relocates(".terrastore/state.json", "text"), NOT_THERE),
    "relocation-of-a-link": Attack(relocates("share/x", "text", tar.link("share/x", "y")), NO_FILE),
    "relocation-of-a-directory": Attack(relocates("share/x", "text", member("share/x", kind=tar.DIRECTORY)), NO_FILE),
    "compiled-link": Attack(relocates("share/x", "binary", tar.link("share/x", "y"), **SLOTS), NO_FILE),
    "compiled-directory": Attack(
        relocates("share/x", "binary", member("share/x", kind=tar.DIRECTORY), **SLOTS), NO_FILE
    ),
    "compiled-nothing": Attack(relocates("share/x", "binary", **SLOTS), NOT_THERE),
    "compiled-offset-beyond-the-file": Attack(
        relocates("share/x", "binary", member("share/x", COMPILED), **{**SLOTS, "offsets": [4096]}), NO_SLOT
    ),
    "compiled-offset-elsewhere": Attack(
        relocates("share/x", "binary", member("share/x", COMPILED), **{**SLOTS, "offsets": [9]}), NO_SLOT
    ),
    "compiled-digest": Attack(
        relocates("share/x", "binary", member("share/x", COMPILED), **{**SLOTS, "sha256": "0" * 64}), NO_SLOT
    ),
    "compiled-offsets-overlap": Attack(relocates("share/x", "binary", **{**SLOTS, "offsets": [8, 9]}), "order", META),
    "compiled-offset-negative": Attack(relocates("share/x", "binary", **{**SLOTS, "offsets": [-1]}), "order", META),
    "compiled-offset-huge": Attack(relocates("share/x", "binary", **{**SLOTS, "offsets": [2**62]}), "order", META),
    "record-of-binary": Attack(relocates("share/x", "record", member("share/x", b"\xff,\n")), "is no RECORD"),
    "record-of-many-columns": Attack(relocates("share/x", "record", member("share/x", b"1,2,3,4\n")), "is no RECORD"),
    "record-of-a-huge-field": Attack(
        relocates("share/x", "record", member("share/x", b'"' + b"x" * 200_000 + b'",,\n')), "is no RECORD"
    ),
}


def packs(layer: str, made: Callable[[bytes], list[tuple[bytes, int]]]) -> Callable[[Draft], None]:
    """Make the frames of one layer in another way."""

    def apply(draft: Draft) -> None:
        draft.pack = lambda name, raw: made(raw) if name == layer else packed(raw)

    return apply


def with_frame(made: Callable[[bytes], bytes]) -> Callable[[Draft], None]:
    return packs("alpha", lambda raw: [(made(raw), len(raw))])


def edits(change: Callable[[Any], object]) -> Callable[[Draft], None]:
    """Change the manifest, and nothing that follows from it."""
    return lambda draft: draft.edits.append(change)


def first_two_exchanged(document: Any) -> None:
    one, other = (layer["frames"] for layer in document["layers"][:2])
    one[0], other[0] = other[0], one[0]


def overlapping(document: Any) -> None:
    one, other = (layer["frames"][0] for layer in document["layers"][:2])
    one["packed"] += 10
    other["packed"] -= 10


def boundary_moved(draft: Draft) -> None:
    """Let a layer end within a member, and the next one begin there."""
    draft.layers["beta"] = draft.layers["alpha"][512:] + draft.layers["beta"]
    draft.layers["alpha"] = draft.layers["alpha"][:512]


def layers_exchanged(draft: Draft) -> None:
    names = list(draft.layers)
    draft.layers = {name: draft.layers[name] for name in (*names[1:], names[0])}


HEADER = "a frame's header is not as it should be"
CORRUPT = "a frame cannot be decompressed"
STREAM = {
    "frame-size-too-small": Attack(edits(lambda each: size_changed(each, -512)), HEADER, FRAMES),
    "frame-size-too-great": Attack(edits(lambda each: size_changed(each, 512)), HEADER, FRAMES),
    "frame-size-a-lie": Attack(
        with_frame(lambda raw: zstd.frame(raw[:-512], content_size=len(raw))), "a frame", FRAMES
    ),
    "frame-without-size": Attack(with_frame(lambda raw: zstd.frame(raw, content_size=None)), HEADER, FRAMES),
    "frame-window": Attack(with_frame(lambda raw: zstd.frame(raw, window=30)), HEADER, FRAMES),
    "frame-dictionary": Attack(with_frame(lambda raw: zstd.frame(raw, dictionary=b"dict")), HEADER, FRAMES),
    "frame-checksum": Attack(with_frame(lambda raw: zstd.frame(raw, checksum=b"none")), CORRUPT, FRAMES),
    "frame-truncated": Attack(with_frame(lambda raw: compress(raw)[:-1]), CORRUPT, FRAMES),
    "frame-of-nonsense": Attack(with_frame(lambda raw: b"\0" * 100), CORRUPT, FRAMES),
    "frame-skippable": Attack(with_frame(lambda raw: b"\x50\x2a\x4d\x18\x04\0\0\0abcd"), "a frame", FRAMES),
    "frame-behind-a-frame": Attack(with_frame(lambda raw: compress(raw) + compress(b"more")), CORRUPT, FRAMES),
    "frame-of-half-a-block": Attack(
        packs("alpha", lambda raw: [(compress(raw + b"x"), len(raw) + 1)]), "number of blocks", FRAMES
    ),
    "frame-digest": Attack(
        edits(lambda each: each["layers"][0]["frames"][0].update(sha256="0" * 64)), "SHA-256", FRAMES
    ),
    "frames-exchanged": Attack(edits(first_two_exchanged), "SHA-256", FRAMES),
    "frames-overlap": Attack(edits(overlapping), "SHA-256", FRAMES),
    "bomb-content-size": Attack(
        packs("alpha", lambda raw: [(zstd.zeros(FRAME_LIMIT, content_size=2**40), FRAME_LIMIT)]), HEADER, FRAMES
    ),
    "bomb-behind-the-size": Attack(
        packs("alpha", lambda raw: [(zstd.zeros(2**30, content_size=len(raw)), len(raw))]), "a frame", FRAMES
    ),
    "bomb-ratio": Attack(
        packs("alpha", lambda raw: [(zstd.zeros(FRAME_LIMIT), FRAME_LIMIT)] * 140), "cannot become", META
    ),
    "layer-ends-in-a-member": Attack(boundary_moved, "ends inside a member", MEMBERS),
    "layers-exchanged": Attack(layers_exchanged, "do not begin with base and end with rest", META),
    "layer-missing": Attack(lambda draft: draft.layers.pop("beta"), "members; the manifest says", MEMBERS),
    "members-more": Attack(lambda draft: draft.add(member("share/x"), count=0), "it has more members than", MEMBERS),
    "members-fewer": Attack(lambda draft: draft.add(count=1), "members; the manifest says", MEMBERS),
}


def size_changed(document: Any, by: int) -> None:
    document["layers"][0]["frames"][0]["size"] += by
    document["totals"]["size"] += by


def manifest_is(data: Callable[[bytes], bytes]) -> Callable[[Draft], None]:
    return lambda draft: setattr(draft, "manifest_bytes", data)


def manifest_member_is(made: Callable[[bytes], bytes]) -> Callable[[Draft], None]:
    return lambda draft: setattr(draft, "manifest_member", made)


def sets(**fields: Any) -> Callable[[Draft], None]:
    """Let the manifest say something else."""
    return edits(lambda document: document.update(fields))


def needs(**fields: Any) -> Callable[[Draft], None]:
    return edits(lambda document: document["needs"].update(fields))


def frame_field(**fields: Any) -> Callable[[Draft], None]:
    return edits(lambda document: document["layers"][0]["frames"][0].update(fields))


def totals(**fields: Any) -> Callable[[Draft], None]:
    return edits(lambda document: document["totals"].update(fields))


LIBRARY = {"name": "libx.so.1"}
NOT_JSON = "the manifest is not JSON"
META_ONES = {
    "manifest-not-json": Attack(manifest_is(lambda _: b"{"), NOT_JSON, META),
    "manifest-not-utf-8": Attack(
        manifest_is(lambda data: data.replace(b'"schema"', b'"\xff": 1, "schema"')), NOT_JSON, META
    ),
    "manifest-surrogate": Attack(
        manifest_is(lambda data: data.replace(b'"schema"', rb'"x": "\udc00", "schema"')), NOT_JSON, META
    ),
    "manifest-depth": Attack(manifest_is(lambda _: b"[" * 500_000 + b"]" * 500_000), NOT_JSON, META),
    "manifest-depth-of-objects": Attack(
        manifest_is(lambda _: b'{"":' * 300_000 + b"1" + b"}" * 300_000), NOT_JSON, META
    ),
    "manifest-number": Attack(
        manifest_is(lambda data: data.replace(b'"schema": 1', b'"schema": ' + b"9" * 5000)), NOT_JSON, META
    ),
    "manifest-size": Attack(manifest_is(lambda data: data + b" " * 4 * 1024 * 1024), "more than 4194304", META),
    "manifest-elsewhere": Attack(manifest_member_is(lambda data: member("evil.json", data)), "does not hold", META),
    "manifest-among-others": Attack(
        manifest_member_is(lambda data: member(MANIFEST, data) + member("lib/x", b"1")), "does not hold", META
    ),
    "manifest-is-a-link": Attack(manifest_member_is(lambda _: tar.link(MANIFEST, "../lib")), "is not JSON", META),
    "manifest-traversal": Attack(manifest_member_is(lambda data: member(f"../{MANIFEST}", data)), NOT_PLAIN, META),
    "manifest-no-object": Attack(manifest_is(lambda _: b"[]"), "has no schema number", META),
    "manifest-of-another-key": Attack(sets(key="cp311-linux_x86_64-" + "0" * 40), "is for another key", META),
    "manifest-placeholder": Attack(sets(prefix="/"), "the placeholder is another one", META),
    "manifest-feature": Attack(sets(features=["telepathy"]), "features this version does not have: telepathy", META),
    "manifest-without-rest": Attack(edits(lambda each: each["layers"].pop()), "do not begin with base", META),
    "manifest-line-in-a-name": Attack(sets(features=["x\nterrastore: hint: run this"]), "no list of texts", META),
    "frame-packed-negative": Attack(frame_field(packed=-1), "no number from", META),
    "frame-size-absurd": Attack(frame_field(size=2**62), "no number from", META),
    "frame-size-true": Attack(frame_field(size=True), "no number from", META),
    "frames-beyond-the-archive": Attack(
        edits(
            lambda each: (
                each["layers"][0]["frames"][0].update(packed=4_000_000),
                each["totals"].update(packed=sums(each)),
            )
        ),
        "has gaps",
        META,
    ),
    "totals-differ": Attack(totals(packed=1), "differ from the sums", META),
    "members-absurd": Attack(totals(members=2**60), "no number from", META),
    "members-without-room": Attack(totals(members=1_000_000), "have no room for", META),
    "layers-absurd": Attack(sets(layers=[{}] * 100_000), "frames are no list of objects", META),
    "interpreter-is-a-command": Attack(
        edits(lambda each: each["interpreter"].update(version="/bin/sh")), "version of the interpreter is none", META
    ),
    "needs-libc-nonsense": Attack(needs(libc={"family": "glibc", "version": "9" * 5000 + ".0"}), "libc is none", META),
    "needs-libc-a-list": Attack(needs(libc=[1]), "libc is no object", META),
    "needs-library-elsewhere": Attack(needs(libraries=[{"name": "../../libx.so"}]), "name of a library is none", META),
    "needs-library-nul": Attack(needs(libraries=[{**LIBRARY, "directory": "/x\0y"}]), "directory is no text", META),
    "needs-library-relative": Attack(needs(libraries=[{**LIBRARY, "directory": "here"}]), "is not absolute", META),
    "needs-library-twice": Attack(needs(libraries=[LIBRARY, LIBRARY]), "a library is needed twice", META),
    "needs-library-a-number": Attack(needs(libraries=[5]), "no list of objects", META),
    "needs-versions-nonsense": Attack(needs(libraries=[{**LIBRARY, "versions": [{}]}]), "no list of texts", META),
    "needs-processor-nonsense": Attack(needs(processor=["avx"]), "processor is no object", META),
    "installer-nonsense": Attack(sets(installer={"name": ["pip"]}), "name is no text", META),
}


def sums(document: Any) -> int:
    return sum(frame["packed"] for layer in document["layers"] for frame in layer["frames"])


def points(change: Callable[[Any], object]) -> Callable[[Draft], None]:
    """Change the pointer's payload."""
    return lambda draft: draft.pointer_edits.append(change)


def envelope_is(made: Callable[[bytes], bytes]) -> Callable[[Draft], None]:
    return lambda draft: setattr(draft, "envelope_bytes", made)


def payload_of(envelope: bytes) -> bytes:
    return b64decode(json.loads(envelope)["payload"])


def location(**fields: Any) -> Callable[[Draft], None]:
    return points(lambda payload: payload["manifest"].update(fields))


def summary(**fields: Any) -> Callable[[Draft], None]:
    return points(lambda payload: payload["archive"].update(fields))


POINTERS = {
    "pointer-empty": Attack(envelope_is(lambda _: b""), "not a DSSE envelope", POINTER),
    "pointer-depth": Attack(envelope_is(lambda _: b"[" * 60_000), "not a DSSE envelope", POINTER),
    "pointer-depth-of-the-payload": Attack(
        envelope_is(lambda _: envelope_of(b"[" * 3000)), "payload is not JSON", POINTER
    ),
    "pointer-size": Attack(envelope_is(lambda each: each + b" " * 70_000), "the pointer has", POINTER),
    "pointer-huge": Attack(
        envelope_is(lambda each: each + bytes(30_000_000)), "the pointer has 1048577 bytes", POINTER
    ),
    "pointer-payload-size": Attack(
        envelope_is(lambda each: envelope_of(payload_of(each) + b" " * 3072)), "at most 3,072 bytes", POINTER
    ),
    "pointer-type": Attack(
        envelope_is(lambda each: envelope_of(payload_of(each), "text/plain")), "does not hold a pointer", POINTER
    ),
    "pointer-base64": Attack(
        envelope_is(lambda each: each.replace(b'"payload": "', b'"payload": "!')), "not a DSSE", POINTER
    ),
    "pointer-of-another-key": Attack(
        points(lambda each: each.update(key="cp311-linux_x86_64-" + "0" * 40)), "another key", POINTER
    ),
    "pointer-archive-elsewhere": Attack(
        summary(name="../../" + "0" * 32 + ".tar.zst"), "name is not as it should", POINTER
    ),
    "pointer-archive-size": Attack(summary(size=1), "outside its archive", POINTER),
    "pointer-archive-size-absurd": Attack(summary(size=2**62), "no number from", POINTER),
    "pointer-archive-larger": Attack(points(lambda each: each["archive"].update(size=2**52)), "has gaps", META),
    "pointer-digest": Attack(summary(sha256="A" * 64), "sha256 is not as it should", POINTER),
    "pointer-manifest-offset": Attack(location(offset=2**53), "outside its archive", POINTER),
    "pointer-manifest-negative": Attack(location(offset=-1), "no number from", POINTER),
    "pointer-manifest-packed": Attack(location(packed=2**40), "no number from", POINTER),
    "pointer-manifest-none": Attack(location(packed=0), "SHA-256 differs", META),
    "pointer-manifest-size": Attack(location(size=4096), HEADER, META),
    "pointer-manifest-digest": Attack(location(sha256="0" * 64), "SHA-256 differs", META),
    "pointer-manifest-earlier": Attack(points(lambda each: each["manifest"].update(offset=0)), "has gaps", META),
    "pointer-needs-nonsense": Attack(points(lambda each: each.update(needs=[])), "needs is no object", POINTER),
    "pointer-needs-libc": Attack(
        points(lambda each: each.update(needs={"libc": {"family": "glibc", "version": "x"}})), "version is not", POINTER
    ),
    "pointer-time": Attack(
        points(lambda each: each.update(created="2026-99-99T00:00:00Z")), "created is no time", POINTER
    ),
    "pointer-expiry": Attack(points(lambda each: each.update(expires=5)), "expires is not", POINTER),
    "pointer-escape": Attack(points(lambda each: each.update(builder="\x1b]0;evil\x07")), "builder is not", POINTER),
    "pointer-packages": Attack(points(lambda each: each.update(packages=-1)), "no number from", POINTER),
}

ATTACKS: Final = NAMES | TYPES | LINKS | COLLISIONS | RESERVED | RELOCATIONS | STREAM | META_ONES | POINTERS
