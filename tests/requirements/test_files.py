"""Requirements files are followed to the end, as pip follows them; what is wrong is named by file and line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from terrastore.errors import RequirementsError
from terrastore.requirements import RequirementSet, read_requirements
from terrastore.requirements.files import as_path
from terrastore.requirements.lines import LineError
from tests.requirements.shelf import Shelf, digest

if TYPE_CHECKING:
    from collections.abc import Mapping


def read(
    files: Mapping[str, str | bytes],
    *names: str,
    constraints: tuple[str, ...] = (),
    variables: Mapping[str, str] | None = None,
) -> RequirementSet:
    """Read ``names`` among ``files``, the first file when none is named."""
    first = next(iter(files), "")
    return read_requirements(names or (first,), constraints, reader=Shelf(files), variables=variables or {})


def refused(files: Mapping[str, str | bytes], *names: str, variables: Mapping[str, str] | None = None) -> str:
    """Return what is said of files that cannot be used."""
    with pytest.raises(RequirementsError) as raised:
        read(files, *names, variables=variables)
    assert raised.value.hint
    return raised.value.message


def test_sorted_and_folded() -> None:
    """Order, spelling and repetition do not matter; what differs stays."""
    wanted = read({"a.txt": "Two\nthree>=1,<2\nthree<2, >=1\ntwo\none==2\none==1\n"})
    assert ("one==1", "one==2", "three<2,>=1", "two") == wanted.requirements


def test_several_files_make_one_set() -> None:
    """Files and constraints that are named together are read together, and every one is a source."""
    files = {"a.txt": "one\n", "b.txt": "two\none\n", "c.txt": "one<2\n"}
    wanted = read(files, "a.txt", "b.txt", constraints=("c.txt",))
    assert (("one", "two"), ("one<2",)) == (wanted.requirements, wanted.constraints)
    assert [(path, digest(text.encode())) for path, text in files.items()] == [
        (source.path, source.sha256) for source in wanted.sources
    ]


def test_an_empty_file_wants_nothing() -> None:
    """A file without a requirement is fine."""
    wanted = read({"a.txt": "# nothing yet\n"})
    assert ((), (), (), {}) == (wanted.requirements, wanted.constraints, wanted.options, wanted.local)


def test_includes_are_relative_to_the_including_file() -> None:
    """-r and -c are looked for beside the file they stand in, at any depth."""
    wanted = read(
        {
            "deploy/all.txt": "-r more/web.txt\n-c ../limits.txt\n",
            "deploy/more/web.txt": "one\n--requirement=../base.txt\n",
            "deploy/base.txt": "two\n",
            "limits.txt": "two<3\n",
            "base.txt": "wrong\n",
        }
    )
    assert (("one", "two"), ("two<3",)) == (wanted.requirements, wanted.constraints)
    assert {"deploy/all.txt", "deploy/more/web.txt", "deploy/base.txt", "limits.txt"} == {
        source.path for source in wanted.sources
    }


def test_an_absolute_include_stays_absolute() -> None:
    """An absolute path is not put beside anything."""
    assert ("one",) == read({"deploy/all.txt": "-r /srv/base.txt\n", "/srv/base.txt": "one\n"}).requirements


def test_a_file_included_twice_counts_once() -> None:
    """Two files may include the same third; it is one source."""
    wanted = read({"a.txt": "-r b.txt\n-r c.txt\n", "b.txt": "-r d.txt\n", "c.txt": "-r d.txt\n", "d.txt": "one\n"})
    assert ("one",) == wanted.requirements
    assert ["a.txt", "b.txt", "d.txt", "c.txt"] == [source.path for source in wanted.sources]


def test_a_file_can_be_both_requirements_and_constraints() -> None:
    """The same file by -r and by -c counts as both."""
    wanted = read({"a.txt": "-r b.txt\n-c b.txt\n", "b.txt": "one==1\n"})
    assert (("one==1",), ("one==1",)) == (wanted.requirements, wanted.constraints)


@pytest.mark.parametrize(
    ("files", "named"),
    [
        pytest.param({"a.txt": "-r a.txt\n"}, ("a.txt",), id="itself"),
        pytest.param({"a.txt": "-r b.txt\n", "b.txt": "-r a.txt\n"}, ("a.txt", "b.txt"), id="two"),
        pytest.param(
            {"a.txt": "-r b.txt\n", "b.txt": "-c d/c.txt\n", "d/c.txt": "-r ../a.txt\n"},
            ("a.txt", "d/c.txt"),
            id="three, by way of a constraint",
        ),
        pytest.param(
            {"a.txt": "-r b.txt\n", "b.txt": "-r c.txt\n", "c.txt": "-r d.txt\n", "d.txt": "-r a.txt\n"},
            ("d.txt", "a.txt"),
            id="four",
        ),
    ],
)
def test_a_cycle_names_both_ends(files: Mapping[str, str], named: tuple[str, ...]) -> None:
    """Files that include each other are refused by name."""
    message = refused(files)
    assert [] == [name for name in named if name not in message]


def test_requirements_within_constraints() -> None:
    """-c makes constraints of what it includes by -c in turn."""
    wanted = read({"a.txt": "-c b.txt\n", "b.txt": "one<2\n-c c.txt\n", "c.txt": "two<3\n"})
    assert ((), ("one<2", "two<3")) == (wanted.requirements, wanted.constraints)


def test_a_requirements_file_inside_a_constraints_file() -> None:
    """-r inside a -c file makes requirements, as pip has it."""
    wanted = read({"a.txt": "-c b.txt\n", "b.txt": "one<2\n-r c.txt\n", "c.txt": "two\n"})
    assert (("two",), ("one<2",)) == (wanted.requirements, wanted.constraints)


def test_includes_on_one_line() -> None:
    """Options of one line are followed as if each stood on a line of its own."""
    wanted = read({"a.txt": "-c limits.txt -r b.txt --pre\n", "b.txt": "one\n", "limits.txt": "one<2\n"})
    assert (("one",), ("one<2",), ("--pre",)) == (wanted.requirements, wanted.constraints, wanted.options)


def test_includes_that_are_nested_too_deep() -> None:
    """Includes without an end are refused as that, not as a cycle."""
    files = {f"{number}.txt": f"-r {number + 1}.txt\n" for number in range(99)}
    assert "nested more than 50 deep" in refused(files)


def test_a_missing_file_is_named() -> None:
    """A file that is not there is named."""
    assert "nowhere.txt cannot be read: no such file or directory" == refused({}, "nowhere.txt")


def test_a_missing_include_is_named_with_who_includes_it() -> None:
    """An included file that is not there is named, and so is the file that wants it."""
    message = refused({"deploy/a.txt": "one\n-r nowhere.txt\n"})
    assert "deploy/nowhere.txt (included by deploy/a.txt) cannot be read: no such file or directory" == message


@pytest.mark.parametrize("url", ["https://user:secret@files.example/a.txt", "http://files.example/a.txt"])
def test_a_file_by_url_is_refused(url: str) -> None:
    """A requirements file is a file; its URL is refused without its credentials."""
    message = refused({}, url)
    assert "files.example/a.txt is a URL" in message
    assert "secret" not in message


@pytest.mark.parametrize("including", ["a.txt", "deploy/a.txt"])
def test_an_include_by_url_is_refused_without_its_secret(including: str) -> None:
    """A URL that a file includes is refused as one, and its credentials are not told."""
    message = refused({including: "-r https://user:secret@files.example/b.txt\n"})
    assert "is a URL" in message
    assert "secret" not in message


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        pytest.param(b"# caf\xe9\none\n", "UTF-8", id="Latin-1"),
        pytest.param(b"\xef\xbb\xbf# caf\xe9\n", "UTF-8", id="UTF-8 by its mark"),
        pytest.param(b"\xff\xfeo", "UTF-16", id="half a character"),
    ],
)
def test_an_undecodable_file_is_named(data: bytes, encoding: str) -> None:
    """A file that is no text is refused by name, with the encoding it was taken for."""
    assert f"a.txt is not {encoding} text" in refused({"a.txt": data})


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        pytest.param(b"", "utf-8", id="none"),
        pytest.param(b"\xef\xbb\xbf", "utf-8", id="UTF-8"),
        pytest.param(b"\xff\xfe", "utf-16-le", id="UTF-16 LE"),
        pytest.param(b"\xfe\xff", "utf-16-be", id="UTF-16 BE"),
        pytest.param(b"\xff\xfe\x00\x00", "utf-32-le", id="UTF-32 LE"),
        pytest.param(b"\x00\x00\xfe\xff", "utf-32-be", id="UTF-32 BE"),
    ],
)
def test_byte_order_marks(mark: bytes, encoding: str) -> None:
    """A byte order mark says what the encoding is, and is no part of the text."""
    assert ("one",) == read({"a.txt": mark + "one\n# café\n".encode(encoding)}).requirements


def test_an_error_names_the_first_line_of_a_continued_one() -> None:
    """A line that cannot be used is named by file and number; a continued line by its first."""
    message = refused({"a.txt": "-r deploy/b.txt\n", "deploy/b.txt": "# first\none\n\ntwo \\\n  >= \\\n  !\nthree\n"})
    assert message.startswith("deploy/b.txt, line 4: ")
    assert "'two   >=   !'" in message


@pytest.mark.parametrize(
    "line",
    [
        "one ! https://user:secret@files.example/one.zip",
        "--no-such-option https://user:secret@index.example/",
        "-e https://user:secret@git.example/one",
    ],
)
def test_an_error_holds_no_secret(line: str) -> None:
    """The line that an error shows is shown without credentials."""
    message = refused({"a.txt": f"{line}\n"})
    assert ".example/" in message
    assert "secret" not in message


def test_an_error_shows_variables_by_name() -> None:
    """The line that an error shows is shown as it was written, not with the values of variables."""
    message = refused({"a.txt": "one ! ${TOKEN}\n"}, variables={"TOKEN": "secret"})
    assert "${TOKEN}" in message
    assert "secret" not in message


@pytest.mark.parametrize("line", ["-e .", "-e ./here", "--editable=../there", "-e file:///srv/one", "-e one"])
def test_editables_are_refused(line: str) -> None:
    """An editable install of a directory would point outside of the environment; the error says so."""
    message = refused({"a.txt": f"\n{line}\n"})
    assert message.startswith("a.txt, line 2: ")
    assert "editable" in message


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("-e git+https://git.example/one@v1#egg=one", "-e git+https://git.example/one@v1#egg=one"),
        ("--editable=git+https://git.example/one#egg=one", "-e git+https://git.example/one#egg=one"),
        ("-e git+https://user:secret@git.example/one#egg=one", "-e git+https://git.example/one#egg=one"),
        ("-e hg+https://hg.example/one", "-e hg+https://hg.example/one"),
    ],
)
def test_editables_from_version_control_are_accepted(line: str, expected: str) -> None:
    """An editable that the installer checks out inside the environment is a requirement, without credentials."""
    assert (expected,) == read({"a.txt": line}).requirements


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param("one==${V}", "one==1", id="upper case"),
        pytest.param("one==${V_2}", "one==2", id="digits and underscore"),
        pytest.param("one==${V}.${V_2}", "one==1.2", id="several"),
        pytest.param("${NAME}>1", "two>1", id="anywhere"),
        pytest.param("one ; os_name == '${UNSET}'", 'one ; os_name == "${UNSET}"', id="unset stays"),
        pytest.param("one ; os_name == '${EMPTY}'", 'one ; os_name == "${EMPTY}"', id="empty stays"),
        pytest.param("one ; os_name == '${lower}'", 'one ; os_name == "${lower}"', id="lower case stays"),
        pytest.param("one ; os_name == '$V'", 'one ; os_name == "$V"', id="no braces"),
        pytest.param("one @ https://${V}@f.example/a.zip", "one @ https://f.example/a.zip", id="credentials"),
        pytest.param("https://f.example/${V}/a.zip", "https://f.example/${V}/a.zip", id="never inside a URL"),
        pytest.param("git+https://g.example/${NAME}@1", "git+https://g.example/${NAME}@1", id="nor of a repository"),
        pytest.param("${NAME} @ https://f.example/${V}.zip", "two @ https://f.example/${V}.zip", id="beside a URL"),
    ],
)
def test_variables(line: str, expected: str) -> None:
    """${NAME} is replaced in upper case, when it is set to something, and outside of URLs of other machines."""
    variables = {"V": "1", "V_2": "2", "NAME": "two", "EMPTY": "", "lower": "secret"}
    assert (expected,) == read({"a.txt": line}, variables=variables).requirements


@pytest.mark.parametrize("line", ["file://${WHERE}/one.whl", "one @ file://${WHERE}/one.whl", "${WHERE}/one.whl"])
def test_variables_in_paths(line: str) -> None:
    """What is named by path, or by a file URL, is looked at where the values of variables say."""
    wanted = read({"a.txt": line, "/srv/one.whl": b"wheel"}, variables={"WHERE": "/srv"})
    assert (line.replace("${WHERE}", "/srv"),) == wanted.requirements
    assert {"/srv/one.whl": digest(b"wheel")} == wanted.local


def test_variables_in_options() -> None:
    """Includes and options take the values of variables; credentials in a value are dropped."""
    wanted = read(
        {
            "a.txt": "-r ${WHERE}/b.txt\n-i ${INDEX}\n--extra-index-url https://${TOKEN}@x.example/${TOKEN}\n",
            "d/b.txt": "one",
        },
        variables={"WHERE": "d", "INDEX": "https://user:secret@index.example/simple", "TOKEN": "secret"},
    )
    assert ("one",) == wanted.requirements
    assert (
        "--index-url https://index.example/simple",
        "--extra-index-url https://x.example/${TOKEN}",
    ) == wanted.options


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("./one.whl", "./one.whl"),
        ("../one.whl", "../one.whl"),
        ("one-1.0-py3-none-any.whl", "one-1.0-py3-none-any.whl"),
        ("./one[extra] ; python_version < '4'", "./one"),
        ("./one;python_version<'4'", "./one"),
        ("libs/one", "libs/one"),
        (".[extra]", "."),
        ("file:///srv/one.whl", "/srv/one.whl"),
        ("file:///srv/with%20space.whl", "/srv/with space.whl"),
        ("one @ file:///srv/one.whl", "/srv/one.whl"),
    ],
)
def test_local_files_by_digest(line: str, path: str) -> None:
    """What is named by path is looked at, from the working directory, not from beside the file that names it."""
    wanted = read({"deploy/a.txt": line, path: b"wheel"})
    assert (line,) == wanted.requirements
    assert {path: digest(b"wheel")} == wanted.local


def test_local_files_in_constraints() -> None:
    """A constraint that names a file is looked at like a requirement."""
    wanted = read(
        {"a.txt": "one\n", "c.txt": "one @ file:///srv/one.whl", "/srv/one.whl": b"wheel"}, constraints=("c.txt",)
    )
    assert {"/srv/one.whl": digest(b"wheel")} == wanted.local


def test_a_missing_local_file_is_named() -> None:
    """A path that leads nowhere is named with file and line."""
    message = refused({"a.txt": "\n./one.whl\n"})
    assert "a.txt, line 2: './one.whl' cannot be used: ./one.whl: no such file or directory" == message


@pytest.mark.parametrize("line", ["one @ file://[srv/one.whl", "-f file://[srv"])
def test_a_malformed_file_url_is_named(line: str) -> None:
    """A file URL that is none is refused with file and line."""
    assert refused({"a.txt": f"{line}\n"}).startswith("a.txt, line 1: ")


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


def test_options_keep_their_order() -> None:
    """Options are kept as they come, by their long names, and without credentials."""
    wanted = read(
        {
            "a.txt": "--pre\n--no-binary one\n-r b.txt\n--only-binary=:all:\n",
            "b.txt": "-i https://user:secret@index.example/simple\n--extra-index-url https://b.example/\n",
        }
    )
    assert (
        "--pre",
        "--no-binary one",
        "--index-url https://index.example/simple",
        "--extra-index-url https://b.example/",
        "--only-binary :all:",
    ) == wanted.options


def test_the_last_index_url_stays_last() -> None:
    """The last of several index URLs is the one pip uses, so it decides, even when it was said before."""
    a, b = "-i https://a.example/\n", "-i https://b.example/\n"
    assert read({"a.txt": a + b}).options != read({"a.txt": a + b + a}).options
    first, second = "--index-url https://a.example/", "--index-url https://b.example/"
    assert (first, second, first) == read({"a.txt": a + b + a}).options


@pytest.mark.parametrize("option", ["--index-url", "--extra-index-url", "--find-links"])
def test_the_query_of_an_index_is_dropped(option: str) -> None:
    """What stands behind a question mark or a hash tells who asks, not which index."""
    wanted = read({"a.txt": f"{option} https://user:secret@index.example/simple?token=secret#secret\n"})
    assert (f"{option} https://index.example/simple",) == wanted.options


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--no-index --pre", ("--no-index", "--pre")),
        (
            "-i https://a.example/ --extra-index-url https://b.example/",
            ("--index-url https://a.example/", "--extra-index-url https://b.example/"),
        ),
        ("--no-binary one --no-binary two", ("--no-binary one", "--no-binary two")),
    ],
)
def test_several_options_on_one_line(line: str, expected: tuple[str, ...]) -> None:
    """pip follows every option of a line, so every one counts."""
    assert expected == read({"a.txt": line}).options


def test_a_trusted_host_does_not_count() -> None:
    """How a host is trusted does not change what is installed."""
    assert () == read({"a.txt": "--trusted-host index.example\n"}).options


@pytest.mark.parametrize(
    ("including", "files", "place"),
    [
        pytest.param("a.txt", {"wheels": b"1"}, "wheels", id="beside, both the same"),
        pytest.param("deploy/a.txt", {"deploy/wheels": b"1", "wheels": b"2"}, "deploy/wheels", id="beside first"),
        pytest.param("deploy/a.txt", {"wheels": b"1"}, "wheels", id="else from the working directory"),
    ],
)
def test_find_links_by_content(including: str, files: Mapping[str, bytes], place: str) -> None:
    """A folder of distributions is looked for beside the file, then from the working directory, and digested."""
    wanted = read({including: "--find-links wheels\n", **files})
    assert (f"--find-links {place}",) == wanted.options
    assert {place: digest(b"1")} == wanted.local


def test_find_links_by_url() -> None:
    """A page of distributions is not looked at."""
    wanted = read({"a.txt": "-f https://user:secret@files.example/links.html\n"})
    assert (("--find-links https://files.example/links.html",), {}) == (wanted.options, wanted.local)


def test_missing_find_links_are_named() -> None:
    """A folder that is not there is an error."""
    assert "a.txt, line 1: '-f wheels' cannot be used: wheels: no such file or directory" == refused(
        {"a.txt": "-f wheels"}
    )
