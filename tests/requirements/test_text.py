"""A requirements file's bytes become logical lines as pip has it."""

from __future__ import annotations

import pytest

from terrastore.requirements.text import decode, expand, expand_for_show, logical_lines

VARIABLES = {"V": "1", "V_2": "2", "NAME": "two", "EMPTY": "", "lower": "secret", "NESTED": "${V}"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", [], id="nothing"),
        pytest.param("one\ntwo\n", [(1, "one"), (2, "two")], id="two lines"),
        pytest.param("\n\n  one  \n\t\n", [(3, "one")], id="blank lines and indentation"),
        pytest.param("one\r\ntwo\r\n", [(1, "one"), (2, "two")], id="CRLF"),
        pytest.param("one \\\n  ==1\ntwo", [(1, "one   ==1"), (3, "two")], id="continuation"),
        pytest.param("one \\\r\n==1\r\ntwo", [(1, "one ==1"), (3, "two")], id="continuation with CRLF"),
        pytest.param("one \\\n\\\n==1\ntwo", [(1, "one ==1"), (4, "two")], id="continuation over three lines"),
        pytest.param("one \\", [(1, "one")], id="continuation at the end of the file"),
        pytest.param("\\\none", [(1, "one")], id="continuation of nothing"),
        pytest.param("one\\\n\ntwo", [(1, "one"), (3, "two")], id="blank line ends a continuation"),
        pytest.param("# one\n  # two\n", [], id="comment lines"),
        pytest.param("one # why\ntwo\t# why", [(1, "one"), (2, "two")], id="comment behind white space"),
        pytest.param("one#why", [(1, "one#why")], id="no comment without white space"),
        pytest.param(
            "https://files.example/one.zip#egg=one # why",
            [(1, "https://files.example/one.zip#egg=one")],
            id="fragment survives",
        ),
        pytest.param("# one \\\ntwo", [(2, "two")], id="comment line does not continue"),
        pytest.param("one \\\n# why\ntwo", [(1, "one"), (3, "two")], id="comment ends a continuation"),
        pytest.param("one\\\n# why\ntwo", [(1, "one"), (3, "two")], id="comment ends one without white space"),
        pytest.param("one \\\n  # why \\\ntwo", [(1, "one"), (3, "two")], id="indented comment ends a continuation"),
        pytest.param("one # why \\\ntwo\nthree", [(1, "one"), (3, "three")], id="comment swallows its continuation"),
    ],
)
def test_logical_lines(text: str, expected: list[tuple[int, str]]) -> None:
    """Continuations are joined and comments are gone; the number is that of the first physical line."""
    assert expected == list(logical_lines(text))


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        pytest.param(b"", "utf-8", id="none"),
        pytest.param(b"\xef\xbb\xbf", "utf-8", id="UTF-8"),
        pytest.param(b"\xff\xfe", "utf-16-le", id="UTF-16 LE"),
        pytest.param(b"\xfe\xff", "utf-16-be", id="UTF-16 BE"),
        pytest.param(b"\xff\xfe\x00\x00", "utf-32-le", id="UTF-32 LE"),
        pytest.param(b"\x00\x00\xfe\xff", "utf-32-be", id="UTF-32 BE"),
        pytest.param(b"# coding: latin-1\n", "latin-1", id="declared"),
        pytest.param(b"# -*- coding: iso-8859-15 -*-\n", "iso-8859-15", id="declared as editors do"),
        pytest.param(b"\n#\tvim: set fileencoding=cp1252 :\n", "cp1252", id="declared in the second line"),
        pytest.param(b"one # coding: latin-1\n", "utf-8", id="declared behind something"),
        pytest.param(b"\n\n# coding: latin-1\n", "utf-8", id="declared too late"),
        pytest.param(b"\xef\xbb\xbf# coding: latin-1\n", "utf-8", id="a mark beats a declaration"),
    ],
)
def test_encodings(mark: bytes, encoding: str) -> None:
    """A byte order mark, which is no part of the text, or a declaration (PEP 263) says what the encoding is."""
    assert decode(mark + "# café\n".encode(encoding)).endswith("# café\n")
    assert not decode(mark + b"").startswith("\ufeff")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"# caf\xe9\none\n", "not UTF-8 text: .* at byte 5", id="Latin-1"),
        pytest.param(b"\xef\xbb\xbf# caf\xe9\n", "not UTF-8 text", id="UTF-8 by its mark"),
        pytest.param(b"\xff\xfeo", "not UTF-16-LE text", id="half a character"),
        pytest.param(b"# coding: ascii\ncaf\xc3\xa9\n", "not ASCII text", id="declared wrongly"),
        pytest.param(b"# coding: nonsense\none\n", "encoding 'nonsense', which there is none of", id="no encoding"),
        pytest.param(b"# coding: rot13\nbar\n", "encoding 'rot13', which", id="text to text"),
        pytest.param(b"# coding: hex\n6f6e65\n", "encoding 'hex', which", id="bytes to bytes"),
        pytest.param("one\n".encode("utf-16-le"), "there is a null character at 1", id="UTF-16 without mark"),
        pytest.param(b"# coding: idna\n\xff\n", "not IDNA text", id="an error of its own kind"),
    ],
)
def test_what_cannot_be_decoded(data: bytes, message: str) -> None:
    """What is no text in the encoding that it is in, or is in none, is an error that says so."""
    with pytest.raises(ValueError, match=message):
        decode(data)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("one==${V}", "one==1", id="upper case"),
        pytest.param("one==${V_2}", "one==2", id="digits and underscore"),
        pytest.param("one==${V}.${V_2}", "one==1.2", id="several"),
        pytest.param("${NAME}>1", "two>1", id="anywhere"),
        pytest.param("${NAME}${NAME}", "twotwo", id="twice"),
        pytest.param("${UNSET}", "${UNSET}", id="unset stays"),
        pytest.param("${EMPTY}", "${EMPTY}", id="empty stays"),
        pytest.param("${lower}", "${lower}", id="lower case stays"),
        pytest.param("$V", "$V", id="no braces"),
        pytest.param("${NESTED}", "${V}", id="a value is not looked into"),
        pytest.param("${NESTED} ${V}", "1 1", id="unless the variable is there too, as pip has it"),
    ],
)
def test_variables(text: str, expected: str) -> None:
    """${NAME} is replaced in upper case, when it is set to something."""
    assert expected == expand(text, VARIABLES)


@pytest.mark.parametrize(
    ("line", "expected", "hidden"),
    [
        pytest.param("one==${V}", "one==1", set(), id="no URL"),
        pytest.param("https://${V}@f.example/a.zip", "https://${V}@f.example/a.zip", {"V"}, id="a URL"),
        pytest.param("git+https://g.example/${NAME}@1", "git+https://g.example/${NAME}@1", {"NAME"}, id="repository"),
        pytest.param("file:///${NAME}/${V}", "file:///two/1", set(), id="a file's URL"),
        pytest.param("${NAME} @ https://f/${V}  x", "two @ https://f/${V}  x", {"V"}, id="beside a URL"),
    ],
)
def test_variables_for_show(line: str, expected: str, hidden: set[str]) -> None:
    """In a URL of another machine a variable stays a name, for its value may be a secret."""
    assert (expected, frozenset(hidden)) == expand_for_show(line, VARIABLES)
