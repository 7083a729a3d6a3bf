"""What reads bytes that somebody else wrote, each as a function of bytes, with a source of bytes that come far.

The property is the same for all: a value that keeps its promises, or the documented error; nothing else, and soon.
"""

from __future__ import annotations

import copy
import errno
import json
import tempfile
from base64 import b64decode
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from terrastore.archive import record, relocate, ustar
from terrastore.archive.frames import compress, decompress, parse_trailer
from terrastore.archive.limits import FRAME_LIMIT, MEMBERS_LIMIT
from terrastore.archive.manifest import Manifest, ManifestError
from terrastore.archive.members import Members
from terrastore.archive.placeholder import PLACEHOLDER, PLACEHOLDER_NAME, NotRelocatableError
from terrastore.archive.reading import find_manifest
from terrastore.archive.unpack import unpack
from terrastore.difference import differences, told
from terrastore.errors import ArchiveRefusedError, UsageError
from terrastore.host import Host
from terrastore.pointer import PointerError
from terrastore.report import Report
from terrastore.trust import ANYTHING
from tests.archive.memory import InMemory
from tests.hostile import tar
from tests.hostile.draft import Draft, envelope_of
from tests.published import sealed

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

VECTORS: Final = Path(__file__).parents[1] / "vectors"
ARCHIVE: Final = (VECTORS / "tiny.tar.zst").read_bytes()
ENVELOPE: Final = (VECTORS / "tiny.json").read_bytes()
KEY: Final = "cp311-linux_x86_64-" + "0123456789" * 4
MANIFEST: Final = find_manifest(lambda offset, size: ARCHIVE[offset : offset + size], len(ARCHIVE))
HOST: Final = Host(system="linux", machine="x86_64", libc=("glibc", (2, 36)), distribution="debian-12")
REQUEST: Final = {"schema": 2, "requirements": ["alpha==1"], "resolution": {"index-url": ["https://x"]}}


class Target(NamedTuple):
    """A reader: ``check`` takes bytes and raises what must not be; ``make`` returns bytes for it."""

    check: Callable[[bytes], None]
    make: Callable[[Random], bytes]


# What is in the place of something else.
ODD: Final[tuple[Any, ...]] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    511,
    2**31,
    2**53,
    2**64,
    10**400,
    0.5,
    "",
    "x",
    "..",
    "/etc/passwd",
    "../x",
    "a/b",
    "a\0b",
    "a\nb",
    "\x1b[2J",
    "\u202e",
    "é",
    "1.0",
    "2.17",
    "9" * 5000,
    "0" * 64,
    "base",
    "binary",
    "record",
    [],
    [[]],
    [{}],
    ["x"],
    {},
    {"": {}},
    {"name": "x"},
)


def mutated(document: Any, chance: Random) -> Any:
    """Return a document with something else in some places."""
    made = json.loads(json.dumps(document))
    for _ in range(chance.randint(1, 3)):
        holder: Any = None
        key: Any = None
        value = made
        while isinstance(value, dict | list) and value and (holder is None or chance.randint(0, 3)):
            keys = list(value) if isinstance(value, dict) else list(range(len(value)))
            holder, key = value, chance.choice(keys)
            value = holder[key]
        if holder is None:
            continue
        what = chance.randint(0, 9)
        if what == 0:
            del holder[key]
        elif what == 1 and isinstance(holder, list):
            holder.append(copy.deepcopy(value))
        elif what == 2 and isinstance(value, str) and value:
            at = chance.randint(0, len(value) - 1)
            holder[key] = value[:at] + chance.choice("\0/.\n\\x0é%") + value[at + chance.randint(0, 1) :]
        elif what == 3 and isinstance(value, int):
            holder[key] = value + chance.choice((-1, 1, 512, -512, 2**40))
        else:
            holder[key] = copy.deepcopy(chance.choice(ODD))
    return made


def damaged(data: bytes, chance: Random) -> bytes:
    """Return bytes with some of them changed, dropped or doubled."""
    made = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randint(0, max(0, len(made) - 1))
        what = chance.randint(0, 3)
        if what == 0 and made:
            made[at] = chance.randint(0, 255)
        elif what == 1:
            del made[at : at + chance.randint(0, 40)]
        elif what == 2:
            made[at:at] = bytes(chance.randint(0, 255) for _ in range(chance.randint(1, 8)))
        else:
            made[at:at] = made[at : at + chance.randint(0, 600)]
    return bytes(made)


def mostly(sound: bytes, changed: Callable[[Random], bytes]) -> Callable[[Random], bytes]:
    """Return what makes changed bytes, and sometimes damages them besides."""

    def make(chance: Random) -> bytes:
        return damaged(sound, chance) if chance.randint(0, 9) == 0 else changed(chance)

    return make


def as_json(document: Any) -> bytes:
    return json.dumps(document).encode()


def check_pointer(data: bytes) -> None:
    """Read an envelope: its pointer is for the key, its manifest inside the archive, and it says the same again."""
    with suppress(PointerError):
        pointer = ANYTHING.judge(data, key=KEY).pointer
        assert pointer.key == KEY
        assert 0 <= pointer.manifest.offset + pointer.manifest.packed <= pointer.archive.size
        assert "/" not in pointer.archive.name
        assert (pointer.python + pointer.builder).isprintable() or "\x1b" not in pointer.python + pointer.builder
        assert isinstance(HOST.lacks(pointer.needs), str)
        assert ANYTHING.judge(sealed(pointer), key=KEY).pointer == pointer


def check_manifest(data: bytes) -> None:
    """Read a manifest: paths are inside and once each, sums are sums, and everybody who reads on can."""
    with suppress(ManifestError):
        manifest = Manifest.parse(data)
        paths = [entry.path for entry in manifest.relocations]
        assert len(paths) == len(set(paths))
        assert not any(path.startswith("/") or ".." in path.split("/") for path in paths)
        assert manifest.totals.members <= MEMBERS_LIMIT
        assert manifest.totals.packed == sum(frame.packed for _, frame in manifest.frames())
        assert data == manifest.to_json()
        assert isinstance(HOST.lacks(manifest.needs, "/usr"), str)
        check_request(as_json(manifest.request))


def check_request(data: bytes) -> None:
    """Compare what was asked for, as a manifest has it, with another request."""
    request = json.loads(data)
    if isinstance(request, dict):
        assert isinstance(told(differences(request, REQUEST, versions={"alpha": "1"})), str)
        assert isinstance(told(differences(REQUEST, request)), str)


def check_members(data: bytes) -> None:
    """Read a tar stream: members have plain names, and no more content than there are bytes."""
    reader, size = ustar.Reader(), 0
    with suppress(ustar.MalformedError):
        for member, offset, content, _ in reader.feed(data[: len(data) // 512 * 512]):
            ustar.check_member(member)
            assert offset + len(content) <= member.size
            size += len(content)
        reader.finish()
    assert size <= len(data)


def check_header(data: bytes) -> None:
    """Read a header, once its checksum is right."""
    block = data[:512].ljust(512, b"\0")
    total = sum(block[:148] + b" " * 8 + block[156:])
    check_members(block[:148] + b"%06o\0 " % total + block[156:] + data[512:].ljust(1024, b"\0"))


def check_frame(data: bytes) -> None:
    """Decompress a frame: no more than it may hold comes out."""
    with suppress(ustar.MalformedError):
        assert len(decompress(data)) <= FRAME_LIMIT
    with suppress(ustar.MalformedError):
        assert len(decompress(data, 512)) == 512
    with suppress(ustar.MalformedError):
        parse_trailer(data[-24:])


def check_record(data: bytes) -> None:
    """Read a RECORD: written again it says the same."""
    with suppress(ValueError):
        rows = record.parse(data)
        assert rows == record.parse(record.write(rows)) or any("\r" in "".join(row) or row[0] == "" for row in rows)
        record.amended(data, "lib/x/site-packages/a.dist-info/RECORD", {"bin/alpha": b"x"})


def check_text(data: bytes) -> None:
    """Relocate a file, which stands behind its kind and the prefix, each with NUL."""
    kind, _, rest = data.partition(b"\0")
    prefix, _, canonical = rest.partition(b"\0")
    try:
        place = prefix.decode()
        relocate.check_prefix(place)
    except (UnicodeDecodeError, NotRelocatableError):
        return
    if kind.decode("latin-1") in relocate.KINDS - relocate.NOT_KEPT:
        with suppress(NotRelocatableError):
            assert PLACEHOLDER not in relocate.rewrite(kind.decode(), canonical, place) or PLACEHOLDER in prefix


def check_layer(data: bytes) -> None:
    """Put members behind those of a sound archive: unpacking writes inside alone, and verifying agrees with it."""
    draft = Draft.of(ARCHIVE, ENVELOPE, key=KEY)
    raw = data[: len(data) // 512 * 512]
    reader, count = ustar.Reader(), 0
    with suppress(ustar.MalformedError):
        count = sum(last for *_, last in reader.feed(raw))
    draft.add(raw, count=count)
    archive, _ = draft.seal()
    manifest = find_manifest(lambda offset, size: archive[offset : offset + size], len(archive))
    with tempfile.TemporaryDirectory() as folder:
        staged = Path(folder, "outside", "staged")
        staged.mkdir(parents=True)
        try:
            unpack(InMemory(archive), manifest, str(staged), prefix="/srv/env", workers=1, report=Report())
            is_taken = True
        except (ArchiveRefusedError, UsageError):
            is_taken = False
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            return
        assert [staged] == list(Path(folder, "outside").iterdir())
        assert [staged.parent] == list(Path(folder).iterdir())
        root = staged.resolve()
        assert all(path.resolve().is_relative_to(root) for path in staged.rglob("*") if path.exists())
    assert is_taken == _verifies(draft, manifest)


def _verifies(draft: Draft, manifest: Manifest) -> bool:
    members = Members(manifest)
    try:
        for raw in draft.layers.values():
            reader = ustar.Reader()
            members.take(reader.feed(raw))
            reader.finish()
        members.end()
    except ustar.MalformedError:
        return False
    return True


_PARTS: Final = ("a", "b", "A", "bin", "lib", "share", "python", "alpha", "tiny", "é", "e\u0301", "..", ".", "", "x\n")
_KINDS: Final = (tar.FILE, tar.FILE, tar.LINK, tar.LINK, tar.DIRECTORY, tar.HARD_LINK, tar.FIFO, b"x", b"L")


def make_layer(chance: Random) -> bytes:
    """Return a few members with names that get in each other's way."""
    return b"".join(_member(chance) for _ in range(chance.randint(1, 5)))


def _member(chance: Random) -> bytes:
    odd = 0 if chance.randint(0, 4) else 3
    parts = _PARTS[: len(_PARTS) - 4 + odd]
    name = "/".join(chance.choice(parts) for _ in range(chance.randint(1, 4)))
    kind = chance.choice(_KINDS[: 5 + odd])
    target = ""
    if kind == tar.LINK:
        ups = chance.randint(0, name.count("/") + (odd > 0))
        target = "../" * ups + "/".join(chance.choice(parts) for _ in range(chance.randint(1, 3)))
    content = b"x" * chance.choice((0, 1, 511, 512, 513)) if kind == tar.FILE else b""
    return tar.member(name, content, kind=kind, target=target)


def make_header(chance: Random) -> bytes:
    """Return a sound header with something else in some fields."""
    raw = bytearray(_member(chance)[:512])
    for _ in range(chance.randint(1, 3)):
        start, width = chance.choice(
            ((0, 100), (100, 8), (108, 8), (124, 12), (136, 12), (156, 1), (157, 100), (257, 8), (345, 155), (500, 12))
        )
        value = chance.choice((b"\0", b"\xff" * 12, b"\x80", b"7" * 12, b"../x", b"/x", b"a\0b", b"0000644\0", b" 1"))
        raw[start : start + width] = value[:width].ljust(width, chance.choice((b"\0", b"0", b"7")))
    return bytes(raw)


def make_text(chance: Random) -> bytes:
    """Return a file of some kind with the placeholder in all sorts of company, and a prefix."""
    pieces = (
        PLACEHOLDER,
        PLACEHOLDER_NAME,
        b"#!" + PLACEHOLDER + b"/bin/python -s\n",
        b"#!/bin/sh\n'''exec' " + PLACEHOLDER + b"/bin/python \"$0\" \"$@\"\n' '''\n",
        b"# coding: " + chance.choice((b"zlib", b"undefined", b"punycode", b"utf-16", b"latin-1", b"hz", b"x")) + b"\n",
        b"from __future__ import annotations\n",
        b'"""doc"""\n',
        *(
            each.encode()
            for each in ("'", '"', "`", "\\", "$", "${", "$(", ")", "}", "\n", "<<EOF\n", "EOF\n", "r'", 'f"')
        ),
        b"r#'",
        b"'#",
        b"\xff",
        b"\0",
        b"import x\n",
        b"x" * 200,
    )
    kind = chance.choice(sorted(relocate.KINDS - relocate.NOT_KEPT))
    prefix = chance.choice(
        ("/srv/env", "/srv/it's here", '/a "b" $c `d`', "/größe/環境", "/x/" + "long" * 40, "/a{b}%c!")
    )
    body = b"".join(chance.choice(pieces) for _ in range(chance.randint(1, 12)))
    return kind.encode() + b"\0" + prefix.encode() + b"\0" + body


def make_request(chance: Random) -> bytes:
    """Return what was asked for, with something else in it."""
    sound = {
        "schema": chance.choice((1, 2)),
        "layout": 1,
        "salt": "",
        "interpreter": {"version": "3.11.7", "implementation": "cpython", "soabi": "x", "debug": False, "magic": 1},
        "host": {"system": "linux", "machine": "x86_64", "libc": "glibc"},
        "installer": "pip",
        "requirements": ["alpha==1", "x @ sha256:" + "0" * 64, "y[z]>=1,<2 ; python_version > '3'", "git+https://x@1"],
        "constraints": ["beta<2"],
        "resolution": {"index-url": ["https://y"], "pre": True, "find-links": ["sha256:0"]},
        "variables": {"CFLAGS": None},
        "local": {"x": "0" * 64},
    }
    return as_json(mutated(sound, chance))


_RAW_MANIFEST: Final = MANIFEST.to_json()
_PAYLOAD: Final = json.loads(b64decode(json.loads(ENVELOPE)["payload"]))
_RICH: Final = json.loads(_RAW_MANIFEST) | {
    "needs": {
        "libc": {"family": "glibc", "version": "2.17"},
        "libraries": [{"name": "libx.so.1", "versions": ["X_1"], "base": True, "directory": "/opt", "for": ["x"]}],
        "processor": {"features": ["avx2"], "for": ["x"]},
    },
    "tools": [{"file": "x-1-py3-none-any.whl", "sha256": "0" * 64}],
}
_RECORD: Final = b'a.py,sha256=AAAA,1\n"b, c.py",,\n../../../bin/alpha,sha256=AAAA,2\nx.dist-info/RECORD,,\n'

TARGETS: Final = {
    "pointer": Target(check_pointer, mostly(ENVELOPE, lambda chance: envelope_of(as_json(mutated(_PAYLOAD, chance))))),
    "envelope": Target(check_pointer, lambda chance: as_json(mutated(json.loads(ENVELOPE), chance))),
    "manifest": Target(check_manifest, mostly(_RAW_MANIFEST, lambda chance: as_json(mutated(_RICH, chance)))),
    "request": Target(check_request, make_request),
    "members": Target(check_members, mostly(tar.member("lib/x", b"x"), make_layer)),
    "header": Target(check_header, make_header),
    "frame": Target(check_frame, lambda chance: damaged(compress(bytes(512)), chance)),
    "record": Target(check_record, lambda chance: damaged(_RECORD, chance)),
    "text": Target(check_text, make_text),
    "layer": Target(check_layer, make_layer),
}
