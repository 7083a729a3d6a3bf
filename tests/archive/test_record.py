"""RECORDs are read as installers write them, and written so that installers and the standard library read them."""

import csv
import hashlib
import io
from base64 import urlsafe_b64decode
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terrastore.archive.record import Row, amended, digest_of, location, parse, updated, write

SITE = "lib/python3.11/site-packages"
RECORD = f"{SITE}/x-1.0.dist-info/RECORD"

LINES = {
    "three columns": (b"x/a.py,sha256=abc,12\n", Row("x/a.py", "sha256=abc", "12")),
    "no digest": (b"x-1.0.dist-info/RECORD,,\n", Row("x-1.0.dist-info/RECORD", "", "")),
    "Windows line": (b"x/a.py,sha256=abc,12\r\n", Row("x/a.py", "sha256=abc", "12")),
    "no newline": (b"x/a.py,sha256=abc,12", Row("x/a.py", "sha256=abc", "12")),
    "path alone": (b"x/a.py\n", Row("x/a.py", "", "")),
    "comma": (b'"x/a,b.py",sha256=abc,12\n', Row("x/a,b.py", "sha256=abc", "12")),
    "quote": (b'"x/a""b"".py",,\n', Row('x/a"b".py', "", "")),
    "newline in a name": (b'"x/a\nb.py",,\n', Row("x/a\nb.py", "", "")),
    "non-ASCII": ("x/größe.py,,\n".encode(), Row("x/größe.py", "", "")),
    "spaces": (b" x/a b.py ,,\n", Row(" x/a b.py ", "", "")),
}


@pytest.mark.parametrize(("data", "row"), LINES.values(), ids=LINES.keys())
def test_a_line_is_read(data: bytes, row: Row) -> None:
    """Quoting, line ends and missing columns are those that installers are known to write."""
    assert parse(data) == (row,)


def test_empty_lines_are_no_files() -> None:
    """A file that somebody edited may have some, and an empty one has no rows."""
    assert parse(b"\na,,\n\r\n\nb,,\n\n") == (Row("a", "", ""), Row("b", "", ""))
    assert parse(b"") == ()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"caf\xe9.py,,\n", id="not UTF-8"),
        pytest.param(b"a.py,sha256=abc,12,more\n", id="four columns"),
        pytest.param(b"a, b.py,sha256=abc,12\n", id="a comma without quotes"),
        pytest.param(b'"' + b"a" * 200_000, id="a quote that never ends"),
    ],
)
def test_what_is_no_record_is_refused(data: bytes) -> None:
    """Whatever is wrong with it, the error is one that the caller names the file in."""
    with pytest.raises(ValueError):  # noqa: PT011 -- the codec's message is not ours
        parse(data)


# Names in an archive hold no control characters.
TEXT = st.text(st.characters(codec="utf-8", min_codepoint=0x20), max_size=20)
ROWS = st.lists(st.builds(Row, TEXT.filter(bool), TEXT, TEXT), max_size=6)


@settings(deadline=None)
@given(ROWS)
def test_what_is_written_is_read_again(rows: list[Row]) -> None:
    """No comma, quote or other character in a name changes the rows, for us and for other CSV readers."""
    data = write(rows)
    assert parse(data) == tuple(rows)
    assert list(csv.reader(io.StringIO(data.decode(), newline=""))) == [list(row) for row in rows]


def test_the_standard_library_finds_the_files(tmp_path: Path) -> None:
    """importlib.metadata names each file, its digest and its size, be there commas and quotes in its name."""
    contents = {"x/a.py": b"a", "x/a, b.py": b"", 'x/"c".py': b"ccc", "x/größe.py": b"dd"}
    info = tmp_path / "x-1.0.dist-info"
    info.mkdir()
    (tmp_path / "x").mkdir()
    for path, data in contents.items():
        (tmp_path / path).write_bytes(data)
    rows = [Row(path, digest_of(data), str(len(data))) for path, data in contents.items()]
    (info / "RECORD").write_bytes(write([*rows, Row("x-1.0.dist-info/RECORD", "", "")]))
    files = PathDistribution(info).files or []
    found = {str(file): (file.size, urlsafe_b64decode(file.hash.value + "=")) for file in files if file.hash}
    assert {path: (len(data), hashlib.sha256(data).digest()) for path, data in contents.items()} == found
    assert str(files[-1]) == "x-1.0.dist-info/RECORD"


LOCATIONS = {
    "module": ("x/a.py", f"{SITE}/x/a.py"),
    "beside": ("a.py", f"{SITE}/a.py"),
    "its own": ("x-1.0.dist-info/RECORD", RECORD),
    "script": ("../../../bin/x", "bin/x"),
    "data": ("../../../share/man/man1/x.1", "share/man/man1/x.1"),
    "hidden": ("x/.a/.b", f"{SITE}/x/.a/.b"),
    "dots": (".../a..py", f"{SITE}/.../a..py"),
    "a folder": ("x/y/", f"{SITE}/x/y"),
    "twice": ("x//a.py", f"{SITE}/x/a.py"),
    "itself": (".", SITE),
    "up and down": ("x/../y/a.py", f"{SITE}/y/a.py"),
    "a newline": ("x/a\nb", f"{SITE}/x/a\nb"),
    "not normal": ("./x//y/../a.py", f"{SITE}/x/a.py"),
    "outside": ("../../../../x", "../x"),
    "absolute": ("/etc/x", "/etc/x"),
}


@pytest.mark.parametrize(("path", "expected"), LOCATIONS.values(), ids=LOCATIONS.keys())
def test_a_path_is_relative_to_site_packages(path: str, expected: str) -> None:
    """Steps up are taken, so that a script's row and the script's place in the environment are one path."""
    assert expected == location(RECORD, Row(path, "", ""))


def test_rows_of_changed_files_are_made_anew() -> None:
    """Digest and size follow the content; other rows, and rows that never had a digest, stay as they are."""
    rows = [
        Row("../../../bin/x", "sha256=old", "3"),
        Row("x/a.py", "sha256=kept", "4"),
        Row("x/b.py", "", ""),
        Row("x-1.0.dist-info/RECORD", "", ""),
    ]
    contents = {"bin/x": b"#!/srv/env/bin/python\n", f"{SITE}/x/b.py": b"new", RECORD: b"new", "x/a.py": b"elsewhere"}
    script = Row("../../../bin/x", "sha256=wJVeE9l1-AZpQU4TwdXeii8oJJVRtxCF4IYNrLt5xys", "22")
    assert updated(rows, RECORD, contents) == [script, *rows[1:]]


AMENDED = {
    "nothing to do": b"a.py,sha256=x,3\nb/RECORD,,\n",
    "one row": b"a.py,sha256=x,3\n../../../bin/tool,sha256=y,9\nb/RECORD,,\n",
    "the same name elsewhere": b"bin/tool,sha256=z,1\n../../../bin/tool,sha256=y,9\n",
    "quotes": b'"a,b.py",sha256=x,3\n../../../bin/tool,sha256=y,9\n',
    "carriage returns": b"a.py,sha256=x,3\r\n../../../bin/tool,sha256=y,9\r\n",
    "no digest": b"../../../bin/tool,,\n",
    "fewer columns": b"a.py\n../../../bin/tool,sha256=y\n",
    "no end": b"../../../bin/tool,sha256=y,9",
}


@pytest.mark.parametrize("data", AMENDED.values(), ids=AMENDED.keys())
def test_amending_is_taking_apart_and_putting_together(data: bytes) -> None:
    """The rows of files that changed are new, whatever way is taken, and no others."""
    path, contents = "lib/python3.11/site-packages/b/RECORD", {"bin/tool": b"changed"}
    slow = write(updated(parse(data), path, contents))
    assert slow.rstrip(b"\n") == amended(data, path, contents).rstrip(b"\n")


@pytest.mark.parametrize("data", [b"a.py,sha256=x,3,4\n", b"\xff,,\n"], ids=["four columns", "no UTF-8"])
def test_what_is_no_record_is_not_amended(data: bytes) -> None:
    """It is refused, whether or not it names what changed."""
    with pytest.raises(ValueError, match=r"columns|codec"):
        amended(data, "b/RECORD", {"bin/tool": b""})
