"""A requirements file's lines mean to terrastore what they mean to pip, and never carry a secret."""

from __future__ import annotations

import pytest

from terrastore.requirements.lines import (
    Editable,
    LineError,
    Option,
    Wanted,
    as_path,
    index_identity,
    is_url,
    parse,
)
from terrastore.requirements.text import logical_lines
from tests.requirements.shelf import MARKERS

BASE = Option("--requirement", "base.txt")


def wanted(line: str) -> Wanted:
    """Return the requirement that a line is."""
    found = parse(line).wanted
    assert isinstance(found, Wanted)
    return found


def canonical(line: str) -> str:
    return wanted(line).canonical()


def editable(line: str) -> Editable:
    """Return the editable that a line is."""
    found = parse(line).wanted
    assert isinstance(found, Editable)
    return found


def known(line: str) -> tuple[Option, ...]:
    """Return the options that a line is, and nothing else."""
    found = parse(line)
    assert found.wanted is None
    assert not found.is_opaque
    return found.options


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
        ("--no-require-hashes", Option("--no-require-hashes", "")),
        ("--all-releases one", Option("--all-releases", "one")),
        ("--only-final=:all:", Option("--only-final", ":all:")),
        ("--use-feature x", Option("--use-feature", "x")),
        ("--requirem base.txt", Option("--requirement", "base.txt")),
        ("--cons=limits.txt", Option("--constraint", "limits.txt")),
        ("--ind https://index.example/", Option("--index-url", "https://index.example/")),
        ("--no-bin one", Option("--no-binary", "one")),
        ("--pref", Option("--prefer-binary", "")),
        ('-f "with space"', Option("--find-links", "with space")),
        ("--find-links=with\\ space", Option("--find-links", "with space")),
        ("-i\thttps://index.example/", Option("--index-url", "https://index.example/")),
    ],
)
def test_options_in_every_spelling(line: str, expected: Option) -> None:
    """An option is known by its long name, however it is written; optparse lets a long name be cut short."""
    assert (expected,) == known(line)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--no-index --pre", (Option("--no-index", ""), Option("--pre", ""))),
        ("-fwheels --pre", (Option("--find-links", "wheels"), Option("--pre", ""))),
        ("--extra-index-url a -i b", (Option("--index-url", "b"), Option("--extra-index-url", "a"))),
        ("-i a --no-index", (Option("--no-index"), Option("--index-url", "a"))),
        ("--pre --only-final=:all:", (Option("--only-final", ":all:"), Option("--pre"))),
        ("-r base.txt --no-binary x", (Option("--no-binary", "x"), BASE)),
        ("-r --pre", (Option("--requirement", "--pre"),)),
        ("-i a -i b", (Option("--index-url", "a"), Option("--index-url", "b"))),
    ],
)
def test_several_options(line: str, expected: tuple[Option, ...]) -> None:
    """Every option of a line counts, in the order in which pip hears them, and as often as it is said."""
    found = parse(line)
    assert (expected, ()) == (found.options, found.ignored)


@pytest.mark.parametrize(
    ("line", "expected", "ignored"),
    [
        ("-r base.txt -r more.txt", (BASE,), ("--requirement more.txt",)),
        ("-c limits.txt -r base.txt", (BASE,), ("--constraint limits.txt",)),
        ("-c limits.txt -c more.txt", (Option("--constraint", "limits.txt"),), ("--constraint more.txt",)),
        ("-f one -f two", (Option("--find-links", "one"),), ("--find-links two",)),
        ("-r base.txt -i a --pre", (BASE,), ("--index-url a", "--pre")),
        ("-r base.txt --no-binary x", (Option("--no-binary", "x"), BASE), ()),
        ("--pre one two", (Option("--pre"),), ("one", "two")),
        ("--pre -- --no-index", (Option("--pre"),), ("--no-index",)),
        ("--hash=sha256:aa", (), ("--hash sha256:aa",)),
        ("--pre -C x=1", (Option("--pre"),), ("--config-settings x=1",)),
        ("-", (), ("-",)),
        ("--pre -", (Option("--pre"),), ("-",)),
        ("--", (), ()),
    ],
)
def test_what_pip_ignores_of_a_line(line: str, expected: tuple[Option, ...], ignored: tuple[str, ...]) -> None:
    """Of includes and links pip follows the first of a line, beside an include hardly anything, and never words."""
    found = parse(line)
    assert (None, expected, ignored) == (found.wanted, found.options, found.ignored)


@pytest.mark.parametrize(
    ("line", "own", "options", "ignored"),
    [
        ("one==1 --pre", "one==1", (), ("--pre",)),
        ("one==1 -i https://a.example/", "one==1", (), ("--index-url https://a.example/",)),
        ("one==1 -r base.txt", "one==1", (), ("--requirement base.txt",)),
        ("one==1 --hash=sha256:aa two", "one==1 --hash=sha256:aa", (), ("two",)),
        ("one==1 --no-binary one", "one==1", (Option("--no-binary", "one"),), ()),
        ("./one --only-binary=:all:", "./one", (Option("--only-binary", ":all:"),), ()),
        ("one -", "one", (), ("-",)),
        ("one - two", "one", (), ("-", "two")),
    ],
)
def test_options_behind_a_requirement(
    line: str, own: str, options: tuple[Option, ...], ignored: tuple[str, ...]
) -> None:
    """Behind a requirement pip hears its own options, and those that say which formats will do."""
    found = parse(line)
    assert (own, options, ignored) == (found.own, found.options, found.ignored)


@pytest.mark.parametrize(
    "line",
    [
        "--no-such-option",
        "--no-such-option=1",
        "--target there",
        "--pre --no-such-option",
        "one==1 --no-such-option",
        "one==1 --hash=sha256:aa --no-such-option=x",
    ],
)
def test_an_option_that_nobody_knows(line: str) -> None:
    """A long option that is not known here makes its whole line one that only the installer understands."""
    found = parse(line)
    assert (True, line, None, ()) == (found.is_opaque, found.own, found.wanted, found.options)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        pytest.param("-x", "-x is not an option", id="unknown, short"),
        pytest.param("one -x", "-x is not an option", id="unknown, short, behind a requirement"),
        pytest.param("-rx -px", "-p is not an option", id="unknown, short, with a value"),
        pytest.param("-r", "--requirement lacks its value", id="no value"),
        pytest.param("--index-url", "--index-url lacks its value", id="no value, long"),
        pytest.param("--pre -r", "--requirement lacks its value", id="no value at the end"),
        pytest.param("--find-links=", "--find-links lacks its value", id="an empty value"),
        pytest.param("-i ''", "--index-url lacks its value", id="an empty value in quotes"),
        pytest.param("one -e ./two", "pip would take the requirement", id="-e behind a requirement"),
        pytest.param("--pre=1", "--pre takes no value", id="a value too many"),
        pytest.param("--re base.txt", "--re may be any of --require-hashes, --requirement", id="cut too short"),
        pytest.param("one --p", "--p may be any of --pre, --prefer-binary, --pypi-url", id="cut too short for three"),
        pytest.param("-r 'base.txt", "the quotes do not match", id="open quotes"),
    ],
)
def test_an_option_that_is_none(line: str, reason: str) -> None:
    """An option that pip refuses in a file is an error that names it."""
    with pytest.raises(LineError, match=f"^{reason}") as raised:
        parse(line)
    assert raised.value.hint


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
        ("one == 1.0", "one==1"),
        ("one (>=1)", "one>=1"),
        ("one >= 1, < 2", "one<2,>=1"),
        ("one<2,>=1", "one<2,>=1"),
        ("one[b, A_c]", "one[a-c,b]"),
        ("one[f,e,d,c,b,a]", "one[a,b,c,d,e,f]"),
        ("one [A]", "one[a]"),
        ("one[A,a]", "one[a]"),
        ("one;python_version<'3.12'", "one"),
        ("One[X]~=1.4 ; sys_platform=='linux'", "one[x]~=1.4"),
        ("one===1.0.whatever", "one===1.0.whatever"),
        ("Some.Name==1.0", "some-name==1"),
        ("one==01.0", "one==1"),
        ("one>=1,>=1.0", "one>=1"),
    ],
)
def test_requirements_are_normalised(line: str, expected: str) -> None:
    """Names, extras and specifiers are written in one way; the marker is for whoever evaluates it."""
    assert expected == canonical(line)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("one", True),
        ("one ; python_version < '4'", True),
        ("one ; python_version >= '3.12'", False),
        ("one ; sys_platform == 'win32' or python_full_version > '3.11.6'", True),
        ("one ; extra == 'x'", False),
        ("./one ; os_name == 'nt'", False),
        ("https://f.example/one.zip ; os_name == 'nt'", False),
    ],
)
def test_markers_are_evaluated(line: str, expected: bool) -> None:
    """A requirement applies where its marker is true, and everywhere without one."""
    assert expected == wanted(line).applies(MARKERS)


def test_a_marker_that_cannot_be_evaluated() -> None:
    """A marker that compares what has no order is an error, not a guess."""
    with pytest.raises(LineError, match="marker cannot be evaluated") as raised:
        wanted("one ; python_version ~= 'x'").applies(MARKERS)
    assert "semicolon" in raised.value.hint


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
    assert "one==1 --hash=sha256:aa --hash=sha256:bb" == canonical(line)
    assert wanted(line).has_hash


def test_hashes_behind_a_marker() -> None:
    """Hashes stand behind the marker."""
    line = "one==1 ; python_version < '4' --hash=sha256:bb --hash=sha256:aa"
    assert "one==1 --hash=sha256:aa --hash=sha256:bb" == canonical(line)
    assert "python_version" in str(wanted(line).marker)


@pytest.mark.parametrize(
    ("spaced", "expected"),
    [
        ("--config-settings a=1 --config-settings b=2", "--config-settings=a=1 --config-settings=b=2"),
        ("--hash sha256:aa", "--hash=sha256:aa"),
        ("--global-option one", "--global-option=one"),
        ("--config-set a=1", "--config-settings=a=1"),
        ("-C x=1", "--config-settings=x=1"),
        ("-Cx=1", "--config-settings=x=1"),
        ("-C b=1 -C a=2", "--config-settings=b=1 --config-settings=a=2"),
        ("--hash sha256:bb -C x=1 --hash sha256:aa", "--config-settings=x=1 --hash=sha256:aa --hash=sha256:bb"),
    ],
)
def test_options_of_a_requirement_are_kept(spaced: str, expected: str) -> None:
    """What a requirement says of how it is built stays with it, in its order, however it is written."""
    assert f"one==1 {expected}" == canonical(f"one==1 {spaced}") == canonical(f"one==1 {expected}")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("https://files.example/one.zip", "https://files.example/one.zip"),
        ("https://user:secret@files.example/one.zip", "https://files.example/one.zip"),
        ("HTTPS://user:secret@files.example/one.zip", "HTTPS://files.example/one.zip"),
        ("https://secret@f.example/one-1-py3-none-any.whl", "one @ https://f.example/one-1-py3-none-any.whl"),
        ("git+https://user:secret@git.example/one@v1#egg=one", "one @ git+https://git.example/one@v1"),
        ("git+https://git.example/one@v1#egg=One[b,A]", "one[a,b] @ git+https://git.example/one@v1"),
        ("git+https://g.example/a#subdirectory=b&egg=one", "one @ git+https://g.example/a#subdirectory=b"),
        ("git+ssh://git@git.example/one.git", "git+ssh://git.example/one.git"),
        ("hg+http://secret@hg.example/one", "hg+http://hg.example/one"),
        ("one @ https://user:secret@files.example/one.zip", "one @ https://files.example/one.zip"),
        ("One@git+https://secret@git.example/one@0123abc", "one @ git+https://git.example/one@0123abc"),
        ("one @ https://f.example/a.zip#sha256=aa&note=x", "one @ https://f.example/a.zip#sha256=aa"),
        ("one @ https://f.example/a.zip?token=secret", "one @ https://f.example/a.zip?token=****"),
        ("one @ https://secret@files.example/one.zip ; os_name=='posix'", "one @ https://files.example/one.zip"),
        (
            "https://secret@files.example/one.zip --hash=sha256:bb --hash=sha256:aa",
            "https://files.example/one.zip --hash=sha256:aa --hash=sha256:bb",
        ),
    ],
)
def test_urls_without_credentials(line: str, expected: str) -> None:
    """A URL enters without user and password, by the name that it tells, and names nothing on this machine."""
    assert expected == canonical(line)
    assert wanted(line).local is None


@pytest.mark.parametrize(
    ("line", "local", "expected"),
    [
        ("./one", "./one", "directory @ X"),
        ("../one", "../one", "directory @ X"),
        ("/srv/one", "/srv/one", "directory @ X"),
        ("~/one", "/home/me/one", "directory @ X"),
        ("~nobody-at-all/one", "~nobody-at-all/one", "directory @ X"),
        ("../one.whl", "../one.whl", "one.whl @ X"),
        ("one-1.0-py3-none-any.whl", "one-1.0-py3-none-any.whl", "one-1.0-py3-none-any.whl @ X"),
        ("wheels/one-1.0-py3-none-any.whl", "wheels/one-1.0-py3-none-any.whl", "one-1.0-py3-none-any.whl @ X"),
        ("one-1.0.tar.gz", "one-1.0.tar.gz", "one-1.0.tar.gz @ X"),
        ("one-1.0.zip", "one-1.0.zip", "one-1.0.zip @ X"),
        ("file:///srv/one.whl", "file:///srv/one.whl", "one.whl @ X"),
        ("file:one.whl", "file:one.whl", "one.whl @ X"),
        ("./one[Extra]", "./one", "directory[extra] @ X"),
        ("one-1.0.tar.gz[extra]", "one-1.0.tar.gz", "one-1.0.tar.gz[extra] @ X"),
        ("./one ; python_version < '4'", "./one", "directory @ X"),
        ("./one.whl --hash=sha256:aa", "./one.whl", "one.whl @ X --hash=sha256:aa"),
        ("one @ file:///srv/one.whl", "file:///srv/one.whl", "one @ X"),
        ("One[B]@file:///srv/one.whl", "file:///srv/one.whl", "one[b] @ X"),
        (".", ".", "directory @ X"),
        ("..", "..", "directory @ X"),
        (".[extra]", ".", "directory[extra] @ X"),
        ("libs/one", "libs/one", "directory @ X"),
        ("libs/one[extra]", "libs/one", "directory[extra] @ X"),
    ],
)
def test_local_paths_are_recognised(line: str, local: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path, or the URL of a file, is named as something to look at, and counts by its content."""
    monkeypatch.setenv("HOME", "/home/me")
    assert (local, expected) == (wanted(line).local, wanted(line).canonical("X"))


@pytest.mark.parametrize("line", ["./one;python_version<'4'", "one-1.0.tar.gz;python_version<'4'"])
def test_a_marker_close_to_a_path(line: str) -> None:
    """A semicolon behind a path begins a marker, with or without white space, as pip has it."""
    assert line.split(";", maxsplit=1)[0] == wanted(line).local


@pytest.mark.parametrize(
    "line",
    [
        "one",
        "Some_Package[B,a] >= 1, < 2 ; python_version<'4'",
        "one==1 --hash=sha256:bb --hash=sha256:aa",
        "one==1 --hash sha256:bb --config-settings a=1",
        "one==1 -C b=1 -C 'a=x y'",
        "one @ git+https://user:secret@git.example/one@v1#subdirectory=x",
        "https://secret@files.example/one.zip",
        "git+https://git.example/one@v1#egg=one",
    ],
)
def test_canonical_text_is_its_own_canonical_text(line: str) -> None:
    """To read what was written canonically changes nothing."""
    assert canonical(line) == canonical(canonical(line))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("-e ./here", Editable(text="./here", local="./here")),
        ("--editable=./here", Editable(text="./here", local="./here")),
        ("-e.", Editable(text=".", local=".")),
        ("-e '.[B, a]'", Editable(text=".[B, a]", local=".", extras=("a", "b"))),
        ("-e file:///srv/one", Editable(text="file:///srv/one", local="file:///srv/one")),
        ("-e One@file:///srv/one", Editable(text="One@file:///srv/one", local="file:///srv/one")),
        (
            "-e 'one[B] @ file:///srv/one ; os_name == \"posix\"'",
            Editable(text='one[B] @ file:///srv/one ; os_name == "posix"', local="file:///srv/one", extras=("b",)),
        ),
        (
            "-e 'one @ git+https://secret@git.example/one'",
            Editable(text="one @ git+https://git.example/one", local=None),
        ),
        ("-e ./a -C x=1", Editable(text="./a", local="./a", options=("--config-settings=x=1",))),
        (
            "-e git+https://user:secret@git.example/one@v1#egg=one",
            Editable(text="git+https://git.example/one@v1#egg=one", local=None),
        ),
    ],
)
def test_editables(line: str, expected: Editable) -> None:
    """What is to be edited is a project on this machine, with its extras, or a repository."""
    assert expected == editable(line)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("-e ./one", True),
        ("-e git+https://g.example/one@main#egg=one", False),
        (f"-e git+https://g.example/one@{'0a' * 20}#egg=one", True),
        (f"-e 'one @ git+https://g.example/one@{'0a' * 20}'", True),
    ],
)
def test_what_is_pinned_of_editables(line: str, expected: bool) -> None:
    """What is on this machine is what it is, and a repository is fixed by a commit's whole name."""
    assert expected == editable(line).is_pinned


def test_a_home_is_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installer is told where the home is, for it does not look."""
    monkeypatch.setenv("HOME", "/home/me")
    assert ["/home/me/one ; os_name == 'nt'", "-e '/home/me/one[a]'", "one~=1.0"] == [
        parse(line).own for line in ("~/one ; os_name == 'nt'", "-e ~/one[a]", "one~=1.0")
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("one==1", True),
        ("one===1", True),
        ("one==1,!=2", True),
        ("one==1.*", False),
        ("one>=1", False),
        ("one~=1.0", False),
        ("one", False),
        ("one @ https://f.example/one.zip", True),
        ("one @ git+https://g.example/one@main", False),
        ("one @ git+https://g.example/one", False),
        ("one @ git+https://g.example/one@0123abc", False),
        (f"one @ git+https://g.example/one@{'0a' * 20}", True),
        (f"git+ssh://git@g.example/one@{'0A' * 32}#egg=one", True),
        ("./one.whl", True),
        ("one @ file:///srv/one.whl", True),
    ],
)
def test_what_is_pinned(line: str, expected: bool) -> None:
    """One version, one commit by its whole name, a file of its own or a content is what is pinned."""
    assert expected == wanted(line).is_pinned


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
        "--pre=https://user:secret@index.example/",
        "-e https://user:secret@files.example/one",
        "-xhttps://user:secret@index.example/",
    ],
)
def test_an_error_holds_no_secret(line: str) -> None:
    """What is said of a bad line leaves its credentials out."""
    with pytest.raises(LineError) as raised:
        parse(line)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("local", "expected"),
    [
        ("libs/one", "libs/one"),
        ("~/one", "/home/me/one"),
        ("file:///srv/with%20space.whl", "/srv/with space.whl"),
        ("file:one.whl", "one.whl"),
    ],
)
def test_as_path(monkeypatch: pytest.MonkeyPatch, local: str, expected: str) -> None:
    """A path is itself, below home where it says so; a file URL names one."""
    monkeypatch.setenv("HOME", "/home/me")
    assert expected == as_path(local)


def test_what_names_no_path() -> None:
    """A malformed file URL names nothing."""
    with pytest.raises(LineError):
        as_path("file://[srv")


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        (Option("--pre"), "--pre"),
        (Option("--index-url", "https://i.example/simple"), "--index-url https://i.example/simple"),
        (Option("--find-links", "/srv/with space"), "--find-links '/srv/with space'"),
        (Option("--find-links", "/srv/it's"), "--find-links '/srv/it'\"'\"'s'"),
        (Option("--find-links", "/srv/no #1"), r"--find-links '/srv/no '\#'1'"),
        (Option("--find-links", "/srv/back\\slash"), r"--find-links '/srv/back\slash'"),
    ],
)
def test_options_are_written_so_that_they_are_read_again(option: Option, expected: str) -> None:
    """What an option is written as is one logical line that says the same."""
    assert expected == str(option)
    assert [(1, expected)] == list(logical_lines(expected))
    assert (option,) == known(expected)
