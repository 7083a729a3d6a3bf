"""Members are plain tar for everybody else, and what differs from the format by one byte is refused."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from terrastore.archive.ustar import (
    BLOCK,
    DIRECTORY,
    END,
    REGULAR,
    SYMLINK,
    MalformedError,
    Member,
    Reader,
    check_member,
    header,
    padding,
)

SITE = "lib/python3.11/site-packages"


def file(path: str, size: int = 0, mode: int = 0o644) -> Member:
    return Member(path, REGULAR, mode, size)


def link(path: str, target: str) -> Member:
    return Member(path, SYMLINK, 0o777, 0, target)


def content_of(member: Member) -> bytes:
    """Return bytes in which every position can be told from its neighbours."""
    return bytes(index % 251 + 1 for index in range(member.size))


def stream(*members: Member) -> bytes:
    parts = (header(each) + content_of(each) + bytes(padding(each.size)) for each in members)
    return b"".join(parts)


def read(raw: bytes, frame: int | None = None) -> list[tuple[Member, bytes]]:
    """Return the members of a stream that comes in frames of ``frame`` bytes, with what each of them holds."""
    step = frame or max(len(raw), BLOCK)
    return read_frames([raw[start : start + step] for start in range(0, len(raw), step)])


def read_frames(frames: list[bytes]) -> list[tuple[Member, bytes]]:
    reader = Reader()
    found: list[tuple[Member, bytearray]] = []
    complete = True
    for frame in frames:
        for member, offset, piece, last in reader.feed(frame):
            if complete:
                found.append((member, bytearray()))
            assert member == found[-1][0]
            assert offset == len(found[-1][1])
            found[-1][1].extend(piece)
            complete = last
    reader.finish()
    assert complete
    return [(member, bytes(content)) for member, content in found]


MEMBERS = {
    "empty file": file("a"),
    "one byte": file("a", 1),
    "a byte less than a block": file("a", BLOCK - 1),
    "a block": file("a", BLOCK),
    "a byte more than a block": file("a", BLOCK + 1),
    "several blocks": file("a", 5 * BLOCK + 7),
    "executable": file("bin/tool", 3, 0o755),
    "directory": Member("include", DIRECTORY, 0o755),
    "link": link("lib64", "lib"),
    "link upwards": link(f"{SITE}/a/b.so", "../../../../share/b.so"),
    "name of 100 bytes": file("n" * 100, 1),
    "name of 101 bytes without a folder": file("n" * 101, 1),
    "name that just fits both fields": file("p" * 155 + "/" + "n" * 100, 1),
    "folder a byte too long": file("p" * 156 + "/" + "n" * 100, 1),
    "last component a byte too long": file("p" * 155 + "/" + "n" * 101, 1),
    "name of more than 255 bytes": file("/".join(["folder"] * 60), 1),
    "name of 4,000 bytes": file("/".join(["n" * 99] * 40) + "n", 1),
    "path of 128 components": file("/".join(["n"] * 128), 1),
    "target of 4,095 bytes": link("a", "t" * 4095),
    "long directory": Member("/".join(["folder"] * 60), DIRECTORY, 0o755),
    "target of 100 bytes": link("a", "t" * 100),
    "target of 101 bytes": link("a", "t" * 101),
    "long name and long target": link("/".join(["folder"] * 60), "/".join(["other"] * 60)),
    "pax record whose length grows by its own digits": file("n" * 989, 1),
    "non-ASCII name": file("größe/環境.py", 2),
    "non-ASCII target": link("a", "größe/環境"),
    "names with spaces and quotes": file('My Data/it\'s "here" \\ $(x)', 2),
    "dots that are no steps": file("..a/b../.../.c", 2),
    "long non-ASCII name": file("x" + "環" * 80, 2),
    # The first 100 bytes, which ustar's own field holds, end inside a character.
    "long name whose 100th byte is inside a character": file("x" + "é" * 60, 2),
    "long target whose 100th byte is inside a character": link("a", "x" + "é" * 60),
}


@pytest.mark.parametrize("member", MEMBERS.values(), ids=MEMBERS.keys())
def test_others_read_what_is_written(member: Member) -> None:
    """The standard library's tarfile finds the same member, owned by nobody, of 1980."""
    raw = stream(member, file("after", 3)) + END
    with tarfile.open(fileobj=io.BytesIO(raw), mode="r:", encoding="utf-8") as archive:
        found, after = archive.getmembers()
        content = archive.extractfile(found) if found.isreg() else None
        assert content_of(member) == (content.read() if content else b"")
    assert (member.path, member.type, member.mode, member.size, member.target) == (
        found.name,
        found.type,
        found.mode,
        found.size,
        found.linkname,
    )
    assert (found.mtime, found.uid, found.gid, found.uname, found.gname) == (315532800, 0, 0, "", "")
    assert after.name == "after"


FIELDS = {
    "name of 100 bytes": (file("n" * 100), "n" * 100, "", 512),
    "name of 101 bytes without a folder": (file("n" * 101), "n" * 100, "", 1536),
    "shortest name in two fields": (file("a/" + "n" * 99), "n" * 99, "a", 512),
    "cut at the last slash that fits": (file("p" * 149 + "/q/r/s/t/u"), "t/u", "p" * 149 + "/q/r/s", 512),
    "both fields full": (file("p" * 155 + "/" + "n" * 100), "n" * 100, "p" * 155, 512),
    "prefix a byte too long": (file("p" * 156 + "/" + "n" * 99), "p" * 100, "", 1536),
    "name a byte too long": (file("p" * 154 + "/" + "n" * 101), "p" * 100, "", 1536),
    "target of 100 bytes": (link("a", "t" * 100), "a", "", 512),
    "target of 101 bytes": (link("a", "t" * 101), "a", "", 1536),
}


@pytest.mark.parametrize(("member", "name", "prefix", "size"), FIELDS.values(), ids=FIELDS.keys())
def test_names_are_written_in_one_way_only(member: Member, name: str, prefix: str, size: int) -> None:
    """Layers are named by the digest of these bytes: pax only for what does not fit, the longest prefix that does."""
    raw = header(member)
    own = raw[-BLOCK:]
    assert (name, prefix, size) == (own[:100].rstrip(b"\0").decode(), own[345:500].rstrip(b"\0").decode(), len(raw))
    if size > BLOCK:
        assert raw[:108] == b"././@PaxHeader".ljust(100, b"\0") + b"0000644\0"


@pytest.mark.parametrize("frame", [None, BLOCK, 3 * BLOCK], ids=["in one frame", "by blocks", "by three blocks"])
@pytest.mark.parametrize("member", MEMBERS.values(), ids=MEMBERS.keys())
def test_the_reader_reads_what_is_written(member: Member, frame: int | None) -> None:
    """Whatever fits a header comes back, between its neighbours, however the stream is cut."""
    members = [file("before", 600), member, file("zz/after", 3)]
    assert [(each, content_of(each)) for each in members] == read(stream(*members), frame)


COMPONENTS = st.text(
    st.characters(codec="utf-8", min_codepoint=0x20, exclude_characters="/\x7f"), min_size=1, max_size=140
).filter(lambda text: text not in {".", ".."})
PATHS = st.lists(COMPONENTS, min_size=1, max_size=6).map("/".join)


@st.composite
def links(draw: st.DrawFn) -> Member:
    path = draw(PATHS)
    ups = draw(st.integers(0, path.count("/")))
    return link(path, "../" * ups + draw(PATHS))


FILES = st.builds(file, PATHS, st.integers(0, 3 * BLOCK), st.sampled_from([0o644, 0o755]))
DIRECTORIES = PATHS.map(lambda path: Member(path, DIRECTORY, 0o755))


@settings(deadline=None)
@given(st.lists(FILES | DIRECTORIES | links(), max_size=5), st.lists(st.integers(1, 9), min_size=1))
@example(members=list(MEMBERS.values()), blocks=[1])
def test_any_members_come_back_from_frames_of_any_size(members: list[Member], blocks: list[int]) -> None:
    """Writing and reading are inverse for all names, targets and contents, wherever frames end."""
    raw = stream(*members)
    frames: list[bytes] = []
    start = 0
    while start < len(raw):
        size = blocks[len(frames) % len(blocks)] * BLOCK
        frames.append(raw[start : start + size])
        start += size
    assert [(each, content_of(each)) for each in members] == read_frames(frames)


def test_pieces_of_a_file_say_where_they_belong() -> None:
    """A file that ends frames later is yielded piece by piece, and only the last piece says so."""
    raw = stream(file("big", 3 * BLOCK + 1))
    reader = Reader()
    pieces = [
        (member.path, offset, len(piece), last)
        for start in range(0, len(raw), 2 * BLOCK)
        for member, offset, piece, last in reader.feed(raw[start : start + 2 * BLOCK])
    ]
    assert pieces == [("big", 0, 512, False), ("big", 512, 1024, False), ("big", 1536, 1, True)]


NAMES = {
    "empty": "",
    "absolute": "/etc/passwd",
    "dot": ".",
    "dot dot": "..",
    "traversal": "../../etc/passwd",
    "traversal inside": "lib/../../etc/passwd",
    "dot inside": "lib/./a",
    "dot at the end": "lib/.",
    "dot dot at the end": "lib/..",
    "empty component": "lib//a",
    "trailing slash": "lib/",
    "newline": "lib/a\nb",
    "newline at the end": "lib/a\n",
    "escape": "lib/\x1b[2J",
    "delete": "lib/\x7f",
    "NUL": "lib/a\0b",
}
LONG = {
    "path of 4,001 bytes": file("/".join(["n" * 99] * 40) + "nn"),
    "path of 4,001 bytes, fewer characters": file("/".join(["é" * 49 + "n"] * 40) + "é"),
    "path of 129 components": file("/".join(["n"] * 129)),
    "target of 4,096 bytes": link("a", "t" * 4096),
}
TARGETS = {
    "empty": ("bin/a", ""),
    "absolute": ("bin/a", "/usr/bin/a"),
    "one step too many": ("bin/a", "../../a"),
    "a step from the top": ("a", "../a"),
    "above, alone": ("a", ".."),
    "steps after a component": ("bin/a", "x/../../../etc"),
    "steps after a component, though they would stay inside": ("bin/a", "x/../b"),
    "a step at the end": ("bin/a", "x/.."),
    "steps after a dot": ("a", "./../x"),
    "steps after an empty component": ("bin/a", "..//../x"),
    "newline": ("a", "b\nc"),
    "NUL": ("a", "b\0c"),
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_a_name_that_is_no_plain_path_is_not_written(name: str) -> None:
    """The writer holds itself to what it would refuse to read."""
    with pytest.raises(MalformedError, match="not a plain relative path"):
        header(file(name))


@pytest.mark.parametrize("member", LONG.values(), ids=LONG.keys())
def test_names_that_no_system_would_take_are_not_written(member: Member) -> None:
    """Nor those that are deeper than what walks them can go."""
    with pytest.raises(MalformedError, match=r"is too (long|deep)"):
        header(member)


@pytest.mark.parametrize(("path", "target"), TARGETS.values(), ids=TARGETS.keys())
def test_a_link_that_leaves_is_not_written(path: str, target: str) -> None:
    """The writer refuses targets that lead out, or could through another link."""
    with pytest.raises(MalformedError, match="leaves the environment"):
        header(link(path, target))


@pytest.mark.parametrize(
    ("path", "target"),
    [("a", "b"), ("a/b", ".."), ("a/b", "../c"), ("a/b/c", "../../d/e"), ("a/b", "./c"), ("a", "..b/c.."), ("a", "b/")],
)
def test_a_link_that_stays_is_written(path: str, target: str) -> None:
    """As many steps up as there are folders above lead to the environment at most."""
    check_member(link(path, target))


@pytest.mark.parametrize(
    "member",
    [
        Member("a", REGULAR, 0o4755),
        Member("a", REGULAR, 0o600),
        Member("a", DIRECTORY, 0o644),
        Member("a", SYMLINK, 0o755, 0, "b"),
        Member("a", b"1", 0o644, 0, "b"),
        Member("a", b"6", 0o644),
        Member("a", b"x", 0o644, 12),
        Member("a", REGULAR, 0o644, -1),
        Member("a", REGULAR, 0o644, 8**11),
    ],
    ids=["setuid", "private", "directory", "link", "hard link", "fifo", "pax", "less than nothing", "8 GiB"],
)
def test_other_kinds_modes_and_sizes_are_not_written(member: Member) -> None:
    """There is one mode for links and folders, two for files, and a size that eleven digits hold."""
    with pytest.raises(MalformedError):
        header(member)


@pytest.mark.parametrize(
    "member", [file("caf\udce9.txt"), link("a", "caf\udce9.txt")], ids=["in a name", "in a target"]
)
def test_bytes_that_are_no_utf_8_are_not_written(member: Member) -> None:
    """A file name of another encoding, as os.scandir returns it, is refused like every other bad name."""
    with pytest.raises(MalformedError):
        header(member)


PLAIN = header(file("bin/tool", 700, 0o755))
LINK = header(link("bin/python-config", "tool"))
FOLDER = header(Member("include", DIRECTORY, 0o755))


def sealed(block: bytes) -> bytes:
    """Return ``block`` with the checksum that fits it."""
    return block[:148] + b"%06o\0 " % sum(block[:148] + b" " * 8 + block[156:]) + block[156:]


def patched(offset: int, value: bytes, base: bytes = PLAIN) -> bytes:
    """Return a header that differs at ``offset``, and whose checksum is right."""
    return sealed(base[:offset] + value + base[offset + len(value) :])


def signed(block: bytes) -> bytes:
    """Return ``block`` with the checksum that some old tars computed, of signed bytes."""
    counted = block[:148] + b" " * 8 + block[156:]
    return block[:148] + b"%06o\0 " % sum(byte - 256 * (byte > 127) for byte in counted) + block[156:]


def named(name: str | bytes, base: bytes = PLAIN) -> bytes:
    return patched(0, (name if isinstance(name, bytes) else name.encode()).ljust(100, b"\0"), base)


def leading(path: str, target: str) -> bytes:
    return patched(157, target.encode().ljust(100, b"\0"), named(path, LINK))


def pax(body: bytes, *, size: int | None = None, after: bytes = PLAIN + bytes(1024)) -> bytes:
    """Return an extended header with ``body``, and what it is about."""
    own = named("././@PaxHeader", patched(156, b"x", header(file("x", len(body) if size is None else size))))
    return own + body + bytes(padding(len(body))) + after


def record(key: str, value: str) -> bytes:
    """Return a pax record, whose length counts its own digits."""
    body = f" {key}={value}\n".encode()
    length = next(size for size in range(len(body), len(body) + 9) if size == len(body) + len(str(size)))
    return str(length).encode() + body


ACCEPTED = {
    "file": (PLAIN + content_of(file("", 700)) + bytes(324), file("bin/tool", 700, 0o755)),
    "link": (LINK, link("bin/python-config", "tool")),
    "folder": (FOLDER, Member("include", DIRECTORY, 0o755)),
    "name in two fields": (patched(345, b"opt/x") + bytes(1024), file("opt/x/bin/tool", 700, 0o755)),
    "name in pax": (pax(record("path", "x/y")), file("x/y", 700, 0o755)),
    "target in pax": (pax(record("linkpath", "other"), after=LINK), link("bin/python-config", "other")),
    "both in pax": (pax(record("path", "l") + record("linkpath", "o"), after=LINK), link("l", "o")),
}


@pytest.mark.parametrize(("raw", "member"), ACCEPTED.values(), ids=ACCEPTED.keys())
def test_the_headers_that_the_next_test_spoils_are_sound(raw: bytes, member: Member) -> None:
    """Without their fault they are read, so what is refused is the fault."""
    assert [member] == [found for found, _ in read(raw)]


FAULTS = {
    **{f"name: {case}": named(name) for case, name in NAMES.items()},
    **{f"link: {case}": leading(*pair) for case, pair in TARGETS.items()},
    **{f"name in pax: {case}": pax(record("path", name)) for case, name in NAMES.items()},
    **{
        f"link in pax: {case}": pax(record("linkpath", target), after=named(path, LINK))
        for case, (path, target) in TARGETS.items()
    },
    "name in pax: 4,001 bytes": pax(record("path", "n" * 4001)),
    "name in pax: 129 components": pax(record("path", "/".join(["n"] * 129))),
    "link in pax: 4,096 bytes": pax(record("linkpath", "t" * 4096), after=LINK),
    "name: not UTF-8": named(b"caf\xe9"),
    "prefix: dot dot": patched(345, b".."),
    "prefix: absolute": patched(345, b"/etc"),
    "prefix: not UTF-8": patched(345, b"caf\xe9"),
    "prefix: NUL inside": patched(345, b"a\0b"),
    "prefix before an empty name": patched(345, b"bin", named("")),
    "type: old file": patched(156, b"\0"),
    "type: hard link": patched(156, b"1"),
    "type: character device": patched(156, b"3"),
    "type: block device": patched(156, b"4"),
    "type: fifo": patched(156, b"6"),
    "type: contiguous file": patched(156, b"7"),
    "type: GNU dump": patched(156, b"D"),
    "type: GNU long target": patched(156, b"K"),
    "type: GNU long name": patched(156, b"L"),
    "type: GNU sparse": patched(156, b"S"),
    "type: Solaris pax": patched(156, b"X"),
    "type: pax for all": patched(156, b"g"),
    "mode: setuid": patched(100, b"0004755\0"),
    "mode: setgid": patched(100, b"0002755\0"),
    "mode: sticky": patched(100, b"0001755\0"),
    "mode: private": patched(100, b"0000600\0"),
    "mode: for all to write": patched(100, b"0000777\0"),
    "mode: none": patched(100, b"0000000\0"),
    "mode: with the file's type": patched(100, b"0100755\0"),
    "mode: a digit more": patched(100, b"1000755\0"),
    "mode: with spaces": patched(100, b"   755 \0"),
    "mode of a folder": patched(100, b"0000644\0", FOLDER),
    "mode of a link": patched(100, b"0000755\0", LINK),
    "uid": patched(108, b"0001750\0"),
    "gid": patched(116, b"0001750\0"),
    "uid: base 256": patched(108, b"\x80" + bytes(7)),
    "owner: name": patched(265, b"root"),
    "group: name": patched(297, b"root"),
    "device: major": patched(329, b"0000001\0"),
    "device: minor": patched(337, b"0000001\0"),
    "mtime: the epoch": patched(136, b"00000000000\0"),
    "mtime: a second later": patched(136, b"02263523001\0"),
    "size: base 256": patched(124, b"\x80" + bytes(9) + b"\x02\xbc"),
    "size: negative in base 256": patched(124, b"\xff" * 12),
    "size: no octal": patched(124, b"00000001289\0"),
    "size: with spaces": patched(124, b"       1274\0"),
    "size: signed": patched(124, b"-0000001274\0"),
    "size: twelve digits": patched(124, b"000000001274"),
    "size: empty": patched(124, bytes(12)),
    "size of a link": patched(124, b"00000000005\0", LINK) + bytes(512),
    "size of a folder": patched(124, b"00000000005\0", FOLDER) + bytes(512),
    "target of a file": patched(157, b"tool"),
    "target of a folder": patched(157, b"tool", FOLDER),
    "target of a file, in pax": pax(record("linkpath", "x")),
    "magic: GNU": patched(257, b"ustar  \0"),
    "magic: none": patched(257, bytes(8)),
    "version": patched(263, b"01"),
    "something behind the prefix": patched(500, b"\x01"),
    "something at the end": patched(511, b"\x01"),
    "checksum: another": PLAIN[:148] + b"000000\0 " + PLAIN[156:],
    "checksum: of signed bytes": signed(named("é")),
    "checksum: with space first": PLAIN[:148] + b" " + PLAIN[149:154] + b" \0" + PLAIN[156:],
    "a byte that the checksum does not count": b"d" + PLAIN[1:],
    "end of archive": END,
    "text": b"\n" * BLOCK,
    "pax: size": pax(record("size", "5")),
    "pax: mtime": pax(record("mtime", "1700000000.5")),
    "pax: uid": pax(record("uid", "1000")),
    "pax: uname": pax(record("uname", "root")),
    "pax: comment": pax(record("comment", "hello")),
    "pax: charset": pax(record("hdrcharset", "BINARY")),
    "pax: sparse": pax(record("GNU.sparse.name", "x")),
    "pax: attribute": pax(record("SCHILY.xattr.security.capability", "x")),
    "pax: another after the path": pax(record("path", "x") + record("mtime", "1")),
    "pax: path twice": pax(record("path", "x") + record("path", "y")),
    "pax: length too small": pax(b"9 path=xyz\n"),
    "pax: length too great": pax(b"99 path=xyz\n"),
    "pax: length zero": pax(b"0 path=xyz\n"),
    "pax: length of no digits": pax(b" path=xyz\n"),
    "pax: length of a million digits": pax(b"1" * 60000 + b" path=x\n"),
    "pax: length in other digits": pax("1² path=xyz\n".encode()),
    "pax: no space": pax(b"11"),
    "pax: no value": pax(b"8 path\n\n"),
    "pax: no newline": pax(b"11 path=xyz"),
    "pax: not UTF-8": pax(b"13 path=caf\xe9\n"),
    "pax: padding within": pax(record("path", "x") + bytes(5)),
    "pax: empty": pax(b""),
    "pax: more than 64 KiB": pax(b"", size=64 * 1024 + 1, after=b""),
    "pax: 8 GiB": pax(b"", size=8**11 - 1, after=b""),
    "pax: after another": pax(record("path", "x"), after=pax(record("path", "y"))),
    "pax: with another name": named("PaxHeaders/x", pax(record("path", "x"))[:BLOCK])
    + pax(record("path", "x"))[BLOCK:],
    "pax: with another mode": patched(100, b"0000777\0", pax(record("path", "x"))[:BLOCK])
    + pax(record("path", "x"))[BLOCK:],
    "padding": PLAIN + bytes(700) + b"\x01" + bytes(323),
    "padding: its last byte": PLAIN + bytes(1023) + b"\x01",
    "padding of a pax header": pax(record("path", "x") + b"\x01", size=len(record("path", "x"))),
    "half a block": PLAIN + bytes(700),
    "half a header": PLAIN[:256],
}


@pytest.mark.parametrize("raw", FAULTS.values(), ids=FAULTS.keys())
def test_whatever_the_format_does_not_have_is_refused(raw: bytes) -> None:
    """One fault, in a stream that is sound but for it, is enough; nothing of the member is handed out."""
    reader = Reader()
    with pytest.raises(MalformedError):
        list(reader.feed(raw))


@pytest.mark.parametrize("cut", range(BLOCK, len(pax(record("path", "x"))), BLOCK))
def test_a_stream_that_ends_early_is_refused(cut: int) -> None:
    """Wherever a member with an extended header is cut off, the end is noticed."""
    reader = Reader()
    list(reader.feed(pax(record("path", "x"))[:cut]))
    with pytest.raises(MalformedError, match="ends inside a member"):
        reader.finish()


def test_an_empty_stream_is_complete() -> None:
    """A layer without members is no truncated one."""
    assert read(b"") == []


def test_a_size_beyond_the_stream_allocates_nothing() -> None:
    """A header may claim 8 GiB; only what arrives is handed out."""
    reader = Reader()
    pieces = list(reader.feed(patched(124, b"77777777777\0") + bytes(BLOCK)))
    assert [len(piece) for _, _, piece, _ in pieces] == [BLOCK]
    with pytest.raises(MalformedError, match="ends inside a member"):
        reader.finish()
