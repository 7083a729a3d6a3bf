"""tar members with anything in them: every header's checksum is right, whatever else is not."""

from __future__ import annotations

BLOCK = 512
END = bytes(2 * BLOCK)
FILE, HARD_LINK, LINK, CHARACTERS, BLOCKS, DIRECTORY, FIFO, CONTIGUOUS = (b"%d" % kind for kind in range(8))


def member(
    name: str | bytes, content: bytes = b"", *, kind: bytes = FILE, target: str | bytes = b"", **fields: bytes
) -> bytes:
    """Return a header and content; ``fields`` are raw bytes by :func:`header`'s names."""
    fields = {"size": b"%011o\0" % len(content), **fields}
    long = {"path": as_bytes(name), "linkpath": as_bytes(target)}
    records = b"".join(record(key, value) for key, value in long.items() if len(value) > 100)
    extended = pax(records) if records else b""
    mode = {LINK: 0o777, DIRECTORY: 0o755}.get(kind, 0o644)
    head = header(name, **{"kind": kind, "link": as_bytes(target)[:100], "mode": b"%07o\0" % mode, **fields})
    return extended + head + content + bytes(-len(content) % BLOCK)


def link(name: str, target: str) -> bytes:
    """Return a symbolic link."""
    return member(name, kind=LINK, target=target)


def header(name: str | bytes, **fields: bytes) -> bytes:
    """Return a header as the format has it, but for ``fields``."""
    parts = {
        "name": as_bytes(name)[:100].ljust(100, b"\0"),
        "mode": b"0000644\0",
        "uid": b"0000000\0",
        "gid": b"0000000\0",
        "size": b"00000000000\0",
        "time": b"02263523000\0",
        "checksum": b" " * 8,
        "kind": FILE,
        "link": b"",
        "magic": b"ustar\x0000",
        "owners": bytes(64),
        "devices": b"0000000\0" * 2,
        "prefix": b"",
        "rest": bytes(12),
    } | fields
    widths = {"link": 100, "prefix": 155}
    block = b"".join(value.ljust(widths.get(name, 0), b"\0") for name, value in parts.items())
    assert len(block) == BLOCK
    return block if "checksum" in fields else block[:148] + b"%06o\0 " % sum(block) + block[156:]


def pax(records: bytes, *, kind: bytes = b"x") -> bytes:
    """Return an extended header."""
    size = b"%011o\0" % len(records)
    return header("././@PaxHeader", kind=kind, size=size) + records + bytes(-len(records) % BLOCK)


def record(key: str, value: str | bytes) -> bytes:
    """Return a record of an extended header, whose length counts its own digits."""
    body = b" " + key.encode() + b"=" + as_bytes(value) + b"\n"
    length = next(size for size in range(len(body), len(body) + 9) if size == len(body) + len(str(size)))
    return str(length).encode() + body


def as_bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()
