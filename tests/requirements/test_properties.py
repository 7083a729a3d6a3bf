"""Whatever files say: order and wrapping do not count, every token does, and nothing but an error comes of nonsense."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from terrastore.errors import RequirementsError
from terrastore.requirements import read_requirements
from terrastore.requirements.lines import index_identity
from terrastore.requirements.pip_lines import ForPip
from terrastore.requirements.uv import Settings
from terrastore.requirements.uv_lines import ForUv
from tests.requirements.shelf import Shelf, target

if TYPE_CHECKING:
    from collections.abc import Callable

    from terrastore.requirements.reader import Reader

STEADY = settings(deadline=None, derandomize=True, database=None)

VARIABLES = {"V": "1.0", "EMPTY": "", "ODD": "a #b\n", "URL": "https://u:secret@a.example/"}
BESIDE = {"b.txt": "beside==1\n", "c.txt": "limited<2\n", "./p": "", "./p/setup.py": "", "one-1-py3-none-any.whl": ""}


def told(text: str | bytes) -> ForPip:
    shelf = Shelf({"a.txt": text, **BESIDE})
    pip = ForPip(shelf, ())
    read_requirements(["a.txt"], [], reader=shelf, target=target(), variables=VARIABLES, hear=pip.hear)
    return pip


def identity(text: str | bytes) -> str:
    """Return the digest of what a key says of a file."""
    shelf = Shelf({"a.txt": text, **BESIDE})
    pip = ForPip(shelf, ())
    found = read_requirements(["a.txt"], [], reader=shelf, target=target(), variables=VARIABLES, hear=pip.hear)
    document = [found.requirements, found.constraints, pip.canonical(index_identity)]
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


NAMES = st.from_regex(r"[a-z][a-z0-9]{0,6}(?:-[a-z0-9]{1,4})?", fullmatch=True)
VERSIONS = st.lists(st.integers(0, 99), min_size=1, max_size=4).map(lambda parts: ".".join(map(str, parts)))
OPERATORS = st.sampled_from(("==", ">=", "<=", "!=", ">", "<", "==="))
EXTRAS = st.sampled_from(("", "[x]", "[x,y]"))
MARKERS = st.sampled_from(("", " ; python_version > '3'", " ; os_name == 'nt'"))
HASHES = st.lists(st.from_regex(r"--hash=sha256:[0-9a-f]{4}", fullmatch=True), max_size=3, unique=True)
REQUIREMENTS = st.builds(
    lambda name, extras, operator, version, marker, hashes: " ".join(
        (f"{name}{extras} {operator} {version}{marker}", *hashes)
    ),
    NAMES, EXTRAS, OPERATORS, VERSIONS, MARKERS, HASHES,
)  # fmt: skip
OPTIONS = st.sampled_from(
    ("--pre", "-i https://a.example/s", "--no-binary one", "--prefer-binary", "-c c.txt", "-r b.txt", "--only-final x")
)
FILES = st.lists(REQUIREMENTS | OPTIONS, max_size=8)
BREAKS = ("", " ", "\t", "  # why", " \\\n", "\\\n  ", "\n\n", "\n# why \\\n", "\n   #\n")


@given(st.lists(REQUIREMENTS, max_size=10).flatmap(lambda lines: st.tuples(st.just(lines), st.permutations(lines))))
@STEADY
def test_order_does_not_count(ways: tuple[list[str], list[str]]) -> None:
    """Requirements in another order ask for the same, and so they do twice."""
    lines, others = ways
    assert identity("\n".join(lines)) == identity("\n".join(others)) == identity("\n".join((*others, *lines)))


@given(FILES, st.data())
@STEADY
def test_wrapping_does_not_count(lines: list[str], data: st.DataObject) -> None:
    """White space, comments, blank lines, ends of lines and continuations between words change nothing."""
    end = data.draw(st.sampled_from(("\n", "\r\n", "\r", "\n\n", "  # why\n")))
    wrapped = end
    for line in lines:
        words = [word + data.draw(st.sampled_from((" ", "  ", " \\\n", " \\\r\n   "))) for word in line.split(" ")]
        wrapped += data.draw(st.sampled_from(("", " ", "\t", "# why\n"))) + "".join(words).rstrip("\\\r\n ") + end
    assert identity("\n".join(lines)) == identity(wrapped)


@given(FILES, st.sampled_from(("utf-8", "utf-8-sig", "utf-16", "utf-32")))
@STEADY
def test_the_encoding_does_not_count(lines: list[str], encoding: str) -> None:
    """A file is its text, whatever its bytes."""
    text = "# \u00e4\u2603\n" + "\n".join(lines)
    assert identity("\n".join(lines)) == identity(text.encode(encoding))


@given(NAMES, EXTRAS, OPERATORS, VERSIONS, st.data())
@STEADY
def test_every_digit_of_a_version_counts(
    name: str, extras: str, operator: str, version: str, data: st.DataObject
) -> None:
    """Another digit is another version, and another version another key."""
    place = data.draw(st.sampled_from([place for place, each in enumerate(version) if each.isdigit()]))
    digit = data.draw(st.sampled_from("0123456789"))
    other = version[:place] + digit + version[place + 1 :]
    assume([int(part) for part in other.split(".")] != [int(part) for part in version.split(".")])
    assert identity(f"{name}{extras}{operator}{version}") != identity(f"{name}{extras}{operator}{other}")


@given(NAMES, VERSIONS, st.data())
@STEADY
def test_every_letter_of_a_name_counts(name: str, version: str, data: st.DataObject) -> None:
    """Another letter is another name, and another name another key."""
    place = data.draw(st.integers(0, len(name) - 1))
    letter = data.draw(st.sampled_from("abcdefghijklmnopqrstuvwxyz"))
    other = name[:place] + letter + name[place + 1 :]
    assume(other != name)
    assert identity(f"{name}=={version}") != identity(f"{other}=={version}")


@given(REQUIREMENTS, FILES)
@STEADY
def test_every_line_counts(line: str, lines: list[str]) -> None:
    """A requirement that no other line says, and that applies, is part of the key."""
    assume("os_name" not in line)
    assume(line.split(maxsplit=1)[0] not in " ".join(lines))
    assert identity("\n".join(lines)) != identity("\n".join((*lines, line)))


@given(FILES)
@STEADY
def test_what_is_told_is_what_was_read(lines: list[str]) -> None:
    """The file that pip gets, read in turn, comes to what it was made of, and to itself."""
    pip = told("\n".join(lines))
    again = told("".join(f"{line}\n" for line in (*pip.options(), *pip.requirements)))
    assert (pip.options(), pip.requirements) == (again.options(), again.requirements)


WORDS = st.sampled_from(
    (
        "one", "==", "1.0", ">=", "~=", "===", ".*", "[", "]", "x", ",", ";", "python_version", "<", "'3'", '"', "'",
        "@", "https://u:secret@f.example/one.zip", "git+", "#egg=", "#", "\\", "\n", "\r", " ", "\t", "-", "--", "-e",
        "-r", "-c", "-f", "-i", "-C", "--hash=", "--hash", "sha256:aa", "--pre", "--no-binary", ":all:", ":none:",
        "b.txt", "c.txt", "./p", ".", "..", "/", "~", "~nobody/", "file:", "file://", "${V}", "${EMPTY}", "${ODD}",
        "${URL}", "$", "one-1-py3-none-any.whl", "--no-such", "=", "(", ")", "!", "&", "extra", "in", "not", "os_name",
        "\ufeff", "\x00", "\u2028", "\x0c", "\udce9", "\u0661", "\u00e9", "*", "+", "%", "%zz", "[::1", "://", "@/",
        "--config-settings", "--index-url=", "sys_platform == 'linux'",
    )
)  # fmt: skip
NONSENSE = st.lists(WORDS | st.text(max_size=3), max_size=14).map("".join) | st.text(max_size=40)


def for_pip(reader: Reader) -> ForPip:
    return ForPip(reader, ())


def for_uv(reader: Reader) -> ForUv:
    return ForUv(reader, Settings())


def refused(data: bytes, said: ForPip | ForUv) -> RequirementsError | None:
    """Have an installer hear a file, and return why it cannot be used; what can be used holds no secret."""
    reader = Shelf({"a.txt": data, **BESIDE})
    try:
        found = read_requirements(["a.txt"], [], reader=reader, target=target(), variables=VARIABLES, hear=said.hear)
    except RequirementsError as error:
        return error
    document = json.dumps([found.requirements, found.constraints, said.canonical(index_identity), found.ignored])
    assert "secret" not in document
    return None


@pytest.mark.parametrize("make", [for_pip, for_uv], ids=["pip", "uv"])
@given(text=NONSENSE)
@settings(STEADY, max_examples=600)
@example(text="one ; 'x' in '-x-y'")
@example(text="one @ file://[")
@example(text="-e file://[")
@example(text="-f file://[")
@example(text="-r \x00")
def test_nonsense_is_refused_or_read(make: Callable[[Reader], ForPip | ForUv], text: str) -> None:
    """No text ends in anything but a set of requirements or an error with file, line and hint, without credentials."""
    error = refused(text.encode(errors="surrogatepass"), make(Shelf(BESIDE)))
    if error:
        assert error.hint
        assert 1 == len(error.message.splitlines())
        assert "secret" not in error.message + error.hint


HEADS = st.sampled_from((b"", b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf", b"# coding: ", b"#coding="))


@given(st.binary(max_size=60), HEADS)
@STEADY
@example(b"punycode\n", b"# coding: ")
@example(b"undefined\nx", b"# coding: ")
@example(b"unicode_escape\n\\", b"# coding: ")
def test_bytes_are_refused_or_read(data: bytes, head: bytes) -> None:
    """No bytes end in anything but requirements or an error that names the file, with a hint."""
    error = refused(head + data, ForPip(Shelf(BESIDE), ()))
    if error:
        assert error.message.startswith(("a.txt", "b.txt", "c.txt"))
        assert error.hint
