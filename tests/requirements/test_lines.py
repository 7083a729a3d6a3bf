"""A requirements file's lines mean to terrastore what they mean to pip, and never carry a secret."""

import pytest

from terrastore.requirements.lines import (
    LineError,
    Option,
    Wanted,
    index_identity,
    is_url,
    logical_lines,
    parse,
)

BASE = Option("--requirement", "base.txt")


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
    ("line", "expected"),
    [
        ("-r base.txt", Option("--requirement", "base.txt")),
        ("-rbase.txt", Option("--requirement", "base.txt")),
        ("-r    base.txt", Option("--requirement", "base.txt")),
        ("--requirement base.txt", Option("--requirement", "base.txt")),
        ("--requirement=base.txt", Option("--requirement", "base.txt")),
        ("-r 'with space.txt'", Option("--requirement", "with space.txt")),
        ("-rwith=sign.txt", Option("--requirement", "with=sign.txt")),
        ("-c limits.txt", Option("--constraint", "limits.txt")),
        ("-climits.txt", Option("--constraint", "limits.txt")),
        ("--constraint=limits.txt", Option("--constraint", "limits.txt")),
        ("-e ./here", Option("--editable", "./here")),
        ("--editable=./here", Option("--editable", "./here")),
        ("-i https://index.example/simple", Option("--index-url", "https://index.example/simple")),
        ("--index-url=https://index.example/simple", Option("--index-url", "https://index.example/simple")),
        ("--pypi-url https://index.example/simple", Option("--index-url", "https://index.example/simple")),
        ("--extra-index-url https://b.example/?a=b", Option("--extra-index-url", "https://b.example/?a=b")),
        ("-f wheels", Option("--find-links", "wheels")),
        ("-fwheels", Option("--find-links", "wheels")),
        ("--find-links=wheels", Option("--find-links", "wheels")),
        ("--no-binary one,two", Option("--no-binary", "one,two")),
        ("--only-binary=:all:", Option("--only-binary", ":all:")),
        ("--trusted-host index.example", Option("--trusted-host", "index.example")),
        ("--no-index", Option("--no-index", "")),
        ("--pre", Option("--pre", "")),
        ("--prefer-binary", Option("--prefer-binary", "")),
        ("--require-hashes", Option("--require-hashes", "")),
    ],
)
def test_options_in_every_spelling(line: str, expected: Option) -> None:
    """An option is known by its long name, however it is written."""
    assert (expected,) == parse(line)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--no-index --pre", (Option("--no-index", ""), Option("--pre", ""))),
        ("-fwheels --pre -r base.txt", (Option("--find-links", "wheels"), Option("--pre", ""), BASE)),
        ("--requirement=base.txt -r base.txt", (BASE, BASE)),
        ("-r --pre", (Option("--requirement", "--pre"),)),
    ],
)
def test_several_options(line: str, expected: tuple[Option, ...]) -> None:
    """Every option of a line counts, in its order and as often as it is said."""
    assert expected == parse(line)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        pytest.param("--no-such-option", "--no-such-option is not an option", id="unknown"),
        pytest.param("--no-such-option=1", "--no-such-option is not an option", id="unknown with a value"),
        pytest.param("-x", "-x is not an option", id="unknown, short"),
        pytest.param("--target there", "--target is not an option", id="an option of the command line"),
        pytest.param("-", "- is not an option", id="dash"),
        pytest.param("-r", "--requirement lacks its value", id="no value"),
        pytest.param("--index-url", "--index-url lacks its value", id="no value, long"),
        pytest.param("--pre -r", "--requirement lacks its value", id="no value at the end"),
        pytest.param("--pre --no-such-option", "--no-such-option is not an option", id="unknown behind a known one"),
        pytest.param("-r 'base.txt", "the quotes do not match", id="open quotes"),
    ],
)
def test_an_option_that_is_none(line: str, reason: str) -> None:
    """An option that pip does not allow in a file is an error that names it."""
    with pytest.raises(LineError, match=f"^{reason}"):
        parse(line)


@pytest.mark.parametrize(
    "line",
    [
        "!",
        "one two",
        "==1",
        "one==",
        "one>=!",
        "one[",
        "one ; python_version",
        "one ; colour == 'red'",
        "one @",
        "1.0,",
    ],
)
def test_a_requirement_that_is_none(line: str) -> None:
    """What is neither requirement, path, URL nor option is an error, told in one line."""
    with pytest.raises(LineError) as raised:
        parse(line)
    assert 1 == len(str(raised.value).splitlines())


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("one", "one"),
        ("Some_Package.Name", "some-package-name"),
        ("one--two__three", "one-two-three"),
        ("one == 1.0", "one==1.0"),
        ("one (>=1)", "one>=1"),
        ("one >= 1, < 2", "one<2,>=1"),
        ("one<2,>=1", "one<2,>=1"),
        ("one[b, A_c]", "one[a-c,b]"),
        ("one[f,e,d,c,b,a]", "one[a,b,c,d,e,f]"),
        ("one [A]", "one[a]"),
        ("one[A,a]", "one[a]"),
        ("one;python_version<'3.12'", 'one ; python_version < "3.12"'),
        ("One[X]~=1.4 ; sys_platform=='linux'", 'one[x]~=1.4 ; sys_platform == "linux"'),
        ("one===1.0.whatever", "one===1.0.whatever"),
    ],
)
def test_requirements_are_normalised(line: str, expected: str) -> None:
    """Names, extras, specifiers and markers are written in one way."""
    assert Wanted(expected) == parse(line)


@pytest.mark.parametrize(
    "line",
    [
        "one==1 --hash=sha256:bb --hash=sha256:aa",
        "one==1 --hash=sha256:aa --hash=sha256:bb",
        "one==1   --hash=sha256:aa    --hash=sha256:bb --hash=sha256:aa",
        "One == 1 --hash=sha256:bb --hash=sha256:aa",
        "one==1 --hash sha256:bb --hash sha256:aa",
        "one==1 --hash=sha256:bb --hash   sha256:aa --hash sha256:bb",
    ],
)
def test_hashes_are_sorted(line: str) -> None:
    """The order and the repetition of hashes do not matter, nor whether white space or a sign stands before one."""
    assert Wanted("one==1 --hash=sha256:aa --hash=sha256:bb") == parse(line)


def test_hashes_behind_a_marker() -> None:
    """Hashes stand behind the marker."""
    expected = Wanted('one==1 ; python_version < "4" --hash=sha256:aa --hash=sha256:bb')
    assert expected == parse("one==1 ; python_version < '4' --hash=sha256:bb --hash=sha256:aa")


@pytest.mark.parametrize(
    ("spaced", "expected"),
    [
        ("--config-settings a=1 --config-settings b=2", "--config-settings=a=1 --config-settings=b=2"),
        ("--hash sha256:aa", "--hash=sha256:aa"),
        ("--global-option one", "--global-option=one"),
        ("-C x=1", "--config-settings=x=1"),
        ("-Cx=1", "--config-settings=x=1"),
        ("-C b=1 -C a=2", "--config-settings=b=1 --config-settings=a=2"),
        ("--hash sha256:bb -C x=1 --hash sha256:aa", "--config-settings=x=1 --hash=sha256:aa --hash=sha256:bb"),
    ],
)
def test_options_of_a_requirement_are_kept(spaced: str, expected: str) -> None:
    """What a requirement says of how it is built stays with it, in its order, however it is written."""
    assert Wanted(f"one==1 {expected}") == parse(f"one==1 {spaced}") == parse(f"one==1 {expected}")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("https://files.example/one.zip", "https://files.example/one.zip"),
        ("https://user:secret@files.example/one.zip", "https://files.example/one.zip"),
        ("HTTPS://user:secret@files.example/one.zip", "HTTPS://files.example/one.zip"),
        ("https://secret@files.example/one-1-py3-none-any.whl", "https://files.example/one-1-py3-none-any.whl"),
        ("git+https://user:secret@git.example/one@v1#egg=one", "git+https://git.example/one@v1#egg=one"),
        ("git+ssh://git@git.example/one.git", "git+ssh://git.example/one.git"),
        ("hg+http://secret@hg.example/one", "hg+http://hg.example/one"),
        ("one @ https://user:secret@files.example/one.zip", "one @ https://files.example/one.zip"),
        ("One@git+https://secret@git.example/one@0123abc", "one @ git+https://git.example/one@0123abc"),
        (
            "one @ https://secret@files.example/one.zip ; os_name=='posix'",
            'one @ https://files.example/one.zip ; os_name == "posix"',
        ),
        (
            "https://secret@files.example/one.zip --hash=sha256:bb --hash=sha256:aa",
            "https://files.example/one.zip --hash=sha256:aa --hash=sha256:bb",
        ),
    ],
)
def test_urls_without_credentials(line: str, expected: str) -> None:
    """A URL enters without user and password, and names nothing on this machine."""
    assert Wanted(expected) == parse(line)


@pytest.mark.parametrize(
    ("line", "local"),
    [
        ("./one", "./one"),
        ("../one", "../one"),
        ("/srv/one", "/srv/one"),
        ("~/one", "~/one"),
        ("../one.whl", "../one.whl"),
        ("one-1.0-py3-none-any.whl", "one-1.0-py3-none-any.whl"),
        ("wheels/one-1.0-py3-none-any.whl", "wheels/one-1.0-py3-none-any.whl"),
        ("one-1.0.tar.gz", "one-1.0.tar.gz"),
        ("one-1.0.zip", "one-1.0.zip"),
        ("file:///srv/one.whl", "file:///srv/one.whl"),
        ("file:one.whl", "file:one.whl"),
        ("./one[extra]", "./one"),
        ("one-1.0.tar.gz[extra]", "one-1.0.tar.gz"),
        ("./one ; python_version < '4'", "./one"),
        ("./one.whl --hash=sha256:aa", "./one.whl"),
    ],
)
def test_local_paths_are_recognised(line: str, local: str) -> None:
    """A path or a file URL is kept as it is written, and named as something to look at."""
    assert Wanted(line, local) == parse(line)


@pytest.mark.parametrize("line", ["one @ file:///srv/one.whl", "One@file:///srv/one.whl"])
def test_a_named_file_url_is_local(line: str) -> None:
    """A requirement that names a file URL names something on this machine."""
    assert Wanted("one @ file:///srv/one.whl", "file:///srv/one.whl") == parse(line)


@pytest.mark.parametrize(
    ("line", "local"),
    [
        (".", "."),
        ("..", ".."),
        (".[extra]", "."),
        ("libs/one", "libs/one"),
        ("libs/one[extra]", "libs/one"),
    ],
)
def test_directories_without_a_leading_dot_and_slash(line: str, local: str) -> None:
    """What begins with a dot or holds a slash is a path."""
    assert Wanted(line, local) == parse(line)


@pytest.mark.parametrize("line", ["./one;python_version<'4'", "one-1.0.tar.gz;python_version<'4'"])
def test_a_marker_close_to_a_path(line: str) -> None:
    """A semicolon behind a path begins a marker, with or without white space, as pip has it."""
    wanted = parse(line)
    assert isinstance(wanted, Wanted)
    assert line.split(";", maxsplit=1)[0] == wanted.local


@pytest.mark.parametrize(
    "line",
    [
        "one",
        "Some_Package[B,a] >= 1, < 2 ; python_version<'4'",
        "one==1 --hash=sha256:bb --hash=sha256:aa",
        "one==1 --hash sha256:bb --config-settings a=1",
        "one==1 -C b=1 -C 'a=x y'",
        "./one[extra] ; python_version < '4'",
        "libs/one;python_version<'4'",
        "one @ file:///srv/one.whl",
        "one @ git+https://user:secret@git.example/one@v1#subdirectory=x",
        "https://secret@files.example/one.zip",
    ],
)
def test_canonical_text_is_its_own_canonical_text(line: str) -> None:
    """To read what was written canonically changes nothing."""
    once = parse(line)
    assert isinstance(once, Wanted)
    assert once == parse(once.text)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://index.example/simple/", "https://index.example/simple/"),
        ("https://user:secret@index.example/simple", "https://index.example/simple"),
        ("https://index.example/simple?token=secret", "https://index.example/simple"),
        ("https://index.example/simple#secret", "https://index.example/simple"),
        ("https://index.example/simple#secret?secret", "https://index.example/simple"),
        ("https://index.example/Zq7Wm2Lx9Rt4Kp8V/simple", "https://index.example/****2bcbb9434913/simple"),
    ],
)
def test_index_identity(url: str, expected: str) -> None:
    """Which index it is, is the URL up to its query, without who asks."""
    assert expected == index_identity(url)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://host.example/", True),
        ("HTTP://host.example/", True),
        ("git+ssh://git@host.example/one", True),
        ("file:///srv/one.whl", False),
        ("FILE:///srv/one.whl", False),
        ("file:one.whl", False),
        ("libs/one", False),
        ("./one", False),
        ("one", False),
    ],
)
def test_is_url(text: str, expected: bool) -> None:
    """A URL names what is elsewhere; a file's names what is here."""
    assert expected == is_url(text)


@pytest.mark.parametrize(
    "line",
    [
        "one ! https://user:secret@files.example/one.zip",
        "one @ https://user:secret@files.example/one.zip ; nonsense",
        "--no-such-option=https://user:secret@index.example/",
        "--no-such-option https://user:secret@index.example/",
        "--index-url:https://user:secret@index.example/",
    ],
)
def test_an_error_holds_no_secret(line: str) -> None:
    """What is said of a bad line leaves its credentials out."""
    with pytest.raises(LineError) as raised:
        parse(line)
    assert "secret" not in str(raised.value)
