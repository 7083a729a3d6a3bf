"""Requirements files are followed to the end, as pip follows them; what is wrong is named by file and line."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from terrastore.errors import RequirementsError
from terrastore.requirements import RequirementSet, read_requirements
from terrastore.requirements.files import OPAQUE
from terrastore.requirements.lines import Editable, Option, Wanted
from tests.requirements.shelf import Shelf, digest, target

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from terrastore.requirements.files import Said


def read(
    files: Mapping[str, str | bytes],
    *names: str,
    constraints: tuple[str, ...] = (),
    variables: Mapping[str, str] | None = None,
    hear: Callable[[Said], None] | None = None,
) -> RequirementSet:
    """Read ``names`` among ``files``, the first file when none is named."""
    first = next(iter(files), "")
    return read_requirements(
        names or (first,), constraints, reader=Shelf(files), target=target(), variables=variables or {}, hear=hear
    )


def heard(files: Mapping[str, str | bytes], *names: str, variables: Mapping[str, str] | None = None) -> list[Said]:
    """Return what an installer hears of files."""
    lines: list[Said] = []
    read(files, *names, variables=variables, hear=lines.append)
    return lines


def options(files: Mapping[str, str | bytes], *, variables: Mapping[str, str] | None = None) -> list[Option]:
    """Return the options that an installer hears of a file, includes aside."""
    found = [said.entry for said in heard(files, variables=variables) if isinstance(said.entry, Option)]
    return [option for option in found if option.name not in {"--requirement", "--constraint"}]


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
    """Constraints and files that are named together are read together, and every one is a source."""
    files = {"a.txt": "one\n", "b.txt": "two\none\n", "c.txt": "one<2\n"}
    wanted = read(files, "a.txt", "b.txt", constraints=("c.txt",))
    assert (("one", "two"), ("one<2",)) == (wanted.requirements, wanted.constraints)
    assert [(path, digest(files[path].encode())) for path in ("c.txt", "a.txt", "b.txt")] == [
        (source.path, source.sha256) for source in wanted.sources
    ]


def test_an_empty_file_wants_nothing() -> None:
    """A file without a requirement is fine."""
    wanted = read({"a.txt": "# nothing yet\n"})
    assert ((), (), {}, ()) == (wanted.requirements, wanted.constraints, wanted.local, wanted.ignored)


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
    """Of several includes on a line pip follows the first -r; what it leaves out is told."""
    wanted = read({"a.txt": "-c limits.txt -r b.txt --pre\n", "b.txt": "one\n"})
    assert (("one",), ()) == (wanted.requirements, wanted.constraints)
    assert (
        "a.txt, line 1: pip ignores --constraint limits.txt here",
        "a.txt, line 1: pip ignores --pre here",
    ) == wanted.ignored


def test_what_is_ignored_holds_no_secret() -> None:
    """What pip reads and does nothing with is told without credentials and without the values of variables."""
    wanted = read({"a.txt": "one -i https://${U}:secret@i.example/${T}\n"}, variables={"U": "secret", "T": "secret"})
    assert ("a.txt, line 1: pip ignores --index-url 'https://i.example/${T}' here",) == wanted.ignored


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
    assert "deploy/nowhere.txt (included by deploy/a.txt, line 2) cannot be read: no such file or directory" == message


def test_files_by_url() -> None:
    """A file may be read by its URL, and what it includes stands beside it; its credentials are not told."""
    files = {
        "a.txt": "-r https://user:secret@f.example/deploy/b.txt\n",
        "https://user:secret@f.example/deploy/b.txt": "one\n-r ../c.txt\n",
        "https://user:secret@f.example/c.txt": "two\n-r https://other.example/d.txt\n",
        "https://other.example/d.txt": "three\n",
    }
    wanted = read(files)
    assert ("one", "three", "two") == wanted.requirements
    assert [
        "a.txt",
        "https://f.example/deploy/b.txt",
        "https://f.example/c.txt",
        "https://other.example/d.txt",
    ] == [source.path for source in wanted.sources]


def test_a_file_by_a_file_url() -> None:
    """A file: URL names a file of this machine, and what it includes stands beside it."""
    files = {"/srv/b c.txt": "one\n-r d.txt\n", "/srv/d.txt": "two\n"}
    assert ("one", "two") == read(files, "file:///srv/b%20c.txt").requirements


@pytest.mark.parametrize("including", ["a.txt", "deploy/a.txt"])
def test_a_url_that_leads_nowhere(including: str) -> None:
    """What cannot be fetched is named with who includes it, without credentials."""
    message = refused({including: "-r https://user:secret@files.example/b.txt\n"})
    named = f"https://files.example/b.txt (included by {including}, line 1)"
    assert f"{named} cannot be read: no such file or directory" == message


def test_a_url_that_became_a_path() -> None:
    """What only looks like a URL is shown without credentials too."""
    message = refused({"a.txt": "-r==https://user:secret@files.example/b.txt\n"})
    assert (
        "==https:/files.example/b.txt (included by a.txt, line 1) cannot be read: no such file or directory" == message
    )


def test_an_undecodable_file_is_named() -> None:
    """A file that is no text is refused by name."""
    assert "a.txt: it is not UTF-8 text: invalid continuation byte at byte 5" == refused({"a.txt": b"# caf\xe9\none\n"})


def test_a_declared_encoding() -> None:
    """A file is read in the encoding that it declares (PEP 263)."""
    (said,) = heard({"a.txt": b"# coding: latin-1\n./caf\xe9\n", "./caf\u00e9": b""})
    assert "./caf\u00e9" == said.text


def test_an_error_names_the_first_line_of_a_continued_one() -> None:
    """A line that cannot be used is named by file and number; a continued line by its first."""
    message = refused({"a.txt": "-r deploy/b.txt\n", "deploy/b.txt": "# first\none\n\ntwo \\\n  >= \\\n  !\nthree\n"})
    assert message.startswith("deploy/b.txt, line 4: ")
    assert "'two   >=   !'" in message


@pytest.mark.parametrize(
    "line",
    [
        "one ! https://user:secret@files.example/one.zip",
        "--pre=https://user:secret@index.example/",
        "./one-1.zip?https://user:secret@index.example/",
        "-e https://user:secret@git.example/one",
    ],
)
def test_an_error_holds_no_secret(line: str) -> None:
    """The line that an error shows is shown without credentials."""
    message = refused({"a.txt": f"{line}\n"})
    assert ".example/" in message
    assert "secret" not in message


@pytest.mark.parametrize("value", ["1\ftwo", "1 # why", "\u20281"])
def test_the_value_of_a_variable_is_part_of_a_line(value: str) -> None:
    """A value that would end the line, or part of it, is refused, for an installer would read something else."""
    message = refused({"a.txt": "one ; os_name != '${V}'\n"}, variables={"V": value})
    assert message.startswith("a.txt, line 1: ")
    assert message.endswith("cannot be used: the value of a variable in it is more than part of a line")


def test_an_error_shows_variables_by_name() -> None:
    """The line that an error shows is shown as it was written, not with the values of variables."""
    message = refused({"a.txt": "one ! ${TOKEN}\n"}, variables={"TOKEN": "secret"})
    assert "${TOKEN}" in message
    assert "secret" not in message


@pytest.mark.parametrize("line", ["--frobnicate", "one==1 --frobnicate=https://u:secret@i.example/", "--target x"])
def test_what_nobody_understands(line: str) -> None:
    """A line with an option that is not known here counts as it is written, and the installer gets it as it is."""
    (said,) = heard({"a.txt": line})
    assert (None, line) == (said.entry, said.text)
    assert (OPAQUE + line.replace("u:secret@", ""),) == read({"a.txt": line}).requirements
    assert (OPAQUE + line.replace("u:secret@", ""),) == read({"a.txt": "-c c.txt", "c.txt": line}).constraints


PROJECT = '[project]\nname = "One.Two"\nversion = "1"\ndependencies = ["three"]\n'


@pytest.mark.parametrize(
    ("line", "path"),
    [("-e .", "."), ("--editable=../there", "../there"), ("-e file:///srv/one", "/srv/one"), ("-e here", "here")],
)
def test_editables(line: str, path: str) -> None:
    """A project on this machine may be edited; what it needs is what counts."""
    files: dict[str, str | bytes] = {"a.txt": line, path: b"", f"{path}/pyproject.toml": PROJECT}
    wanted = read(files)
    assert [True] == [line.startswith("-e one-two @ needs:") for line in wanted.requirements]
    assert [os.path.abspath(path)] == list(wanted.projects)
    (said,) = heard(files)
    assert isinstance(said.entry, Editable)
    assert wanted.requirements == read(files | {f"{path}/one.py": "changed = True\n"}).requirements
    needs_other = files | {f"{path}/pyproject.toml": PROJECT.replace("three", "four")}
    assert wanted.requirements != read(needs_other).requirements


@pytest.mark.parametrize("metadata", ["", "[project]\n", PROJECT + 'dynamic = ["dependencies"]\n', "not toml"])
def test_editables_that_do_not_say_what_they_need(metadata: str) -> None:
    """Without running its backend nobody knows what such a project needs, so all of its content counts."""
    files: dict[str, str | bytes] = {"a.txt": "-e ./one[B,a]\n", "./one": b"content"}
    files["./one/pyproject.toml"] = metadata
    assert (f"-e directory[a,b] @ sha256:{digest(b'content')}",) == read(files).requirements


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.txt": "\n-e ./nowhere\n"}, "a.txt, line 2: '-e ./nowhere' cannot be used: there is no ./nowhere"),
        ({"a.txt": "\n-e ./one\n", "./one": ""}, "a.txt, line 2: '-e ./one' cannot be used: ./one is no project"),
        ({"a.txt": "-c b.txt", "b.txt": "-e ."}, "b.txt, line 1: '-e .' cannot be used: a constraint cannot be"),
    ],
)
def test_editables_that_are_refused(files: Mapping[str, str], message: str) -> None:
    """What is no project cannot be edited, nor can a constraint be."""
    assert refused(files).startswith(message)


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


def test_markers_are_evaluated() -> None:
    """A true marker is as good as none, and a line whose marker is false is not there, but the installer hears it."""
    text = "one ; python_version < '3.12'\ntwo ; sys_platform == 'win32'\n./nowhere ; os_name == 'nt'\n"
    wanted = read({"a.txt": text})
    assert (("one",), {}) == (wanted.requirements, wanted.local)
    assert text.splitlines() == [said.text for said in heard({"a.txt": text})]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param("one==${V}", "one==1", id="upper case"),
        pytest.param("one==${V_2}", "one==2", id="digits and underscore"),
        pytest.param("one==${V}.${V_2}", "one==1.2", id="several"),
        pytest.param("${NAME}>1", "two>1", id="anywhere"),
        pytest.param("one===${UNSET}", "one===${UNSET}", id="unset stays"),
        pytest.param("one===${EMPTY}", "one===${EMPTY}", id="empty stays"),
        pytest.param("one===${lower}", "one===${lower}", id="lower case stays"),
        pytest.param("one===$V", "one===$V", id="no braces"),
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
    name = "one" if "@" in line else "one.whl"
    assert (f"{name} @ sha256:{digest(b'wheel')}",) == wanted.requirements
    assert {"/srv/one.whl": f"sha256:{digest(b'wheel')}"} == wanted.local


def test_variables_in_options() -> None:
    """Includes and options take the values of variables."""
    text = "-r ${WHERE}/b.txt\n-i ${INDEX}\n--extra-index-url https://${TOKEN}@x.example/\n"
    files = {"a.txt": text, "d/b.txt": "one"}
    variables = {"WHERE": "d", "INDEX": "https://index.example/simple", "TOKEN": "secret"}
    assert ("one",) == read(files, variables=variables).requirements
    assert [
        Option("--index-url", "https://index.example/simple"),
        Option("--extra-index-url", "https://secret@x.example/"),
    ] == options(files, variables=variables)
    assert frozenset({"TOKEN"}) == read(files, variables=variables).url_variables


@pytest.mark.parametrize(
    ("line", "path", "name"),
    [
        ("./one.whl", "./one.whl", "one.whl"),
        ("../one.whl", "../one.whl", "one.whl"),
        ("one-1.0-py3-none-any.whl", "one-1.0-py3-none-any.whl", "one-1.0-py3-none-any.whl"),
        ("./one[extra] ; python_version < '4'", "./one", "directory[extra]"),
        ("./one;python_version<'4'", "./one", "directory"),
        ("libs/one", "libs/one", "directory"),
        (".[extra]", ".", "directory[extra]"),
        ("file:///srv/one.whl", "/srv/one.whl", "one.whl"),
        ("file:///srv/with%20space.whl", "/srv/with space.whl", "with space.whl"),
        ("one @ file:///srv/one.whl", "/srv/one.whl", "one"),
    ],
)
def test_local_files_by_content(line: str, path: str, name: str) -> None:
    """What is named by path is looked at, from the working directory, not from beside the file that names it."""
    wanted = read({"deploy/a.txt": line, path: b"wheel"})
    assert (f"{name} @ sha256:{digest(b'wheel')}",) == wanted.requirements
    assert {path: f"sha256:{digest(b'wheel')}"} == wanted.local


def test_where_a_local_file_stands_does_not_count() -> None:
    """The same file elsewhere is the same requirement."""
    files = {"/srv/a/one.whl": b"wheel", "./one.whl": b"wheel"}
    here, there = read({"a.txt": "./one.whl", **files}), read({"a.txt": "file:///srv/a/one.whl", **files})
    assert here.requirements == there.requirements


def test_local_files_in_constraints() -> None:
    """A constraint that names a file is looked at like a requirement."""
    wanted = read(
        {"a.txt": "one\n", "c.txt": "one @ file:///srv/one.whl", "/srv/one.whl": b"wheel"}, constraints=("c.txt",)
    )
    assert (f"one @ sha256:{digest(b'wheel')}",) == wanted.constraints


def test_a_missing_local_file_is_named() -> None:
    """A path that leads nowhere is named with file and line."""
    message = refused({"a.txt": "\n./one.whl\n"})
    assert "a.txt, line 2: './one.whl' cannot be used: ./one.whl: no such file or directory" == message


@pytest.mark.parametrize("line", ["one @ file://[srv/one.whl", "-f file://[srv"])
def test_a_malformed_file_url_is_named(line: str) -> None:
    """A file URL that is none is refused with file and line."""
    assert refused({"a.txt": f"{line}\n"}).startswith("a.txt, line 1: ")


def test_an_include_by_a_malformed_file_url_is_named() -> None:
    """A file URL that is none is refused by name."""
    message = refused({"a.txt": "-r file://[srv\n"})
    assert "file://[srv (included by a.txt, line 1) cannot be read: file://[srv is no url" == message


def test_an_installer_hears_every_line() -> None:
    """Lines are heard in their order, constraints first, as pip reads them, with where each stands."""
    files = {"a.txt": "--pre\nOne == 1 --pre\n-r b.txt\n-c c.txt\n", "b.txt": "two\n", "c.txt": "\nthree<3\n"}
    assert [
        ("--pre", False, "a.txt, line 1"),
        ("One == 1", False, "a.txt, line 2"),
        ("--requirement b.txt", False, "a.txt, line 3"),
        ("two", False, "b.txt, line 1"),
        ("--constraint c.txt", False, "a.txt, line 4"),
        ("three<3", True, "c.txt, line 2"),
    ] == [(said.text, said.constraint, said.where) for said in heard(files)]


def test_options_keep_their_order() -> None:
    """Options are heard as they come, by their long names, as often as they are said."""
    files = {
        "a.txt": "--pre\n--no-binary one\n-r b.txt\n--only-binary=:all:\n--pre\n",
        "b.txt": "-i https://user:secret@index.example/simple\n--trusted-host i.example\n",
    }
    assert [
        Option("--pre"),
        Option("--no-binary", "one"),
        Option("--index-url", "https://user:secret@index.example/simple"),
        Option("--trusted-host", "i.example"),
        Option("--only-binary", ":all:"),
        Option("--pre"),
    ] == options(files)


@pytest.mark.parametrize(
    ("including", "files", "place"),
    [
        pytest.param("a.txt", {"wheels": b"1"}, "wheels", id="beside, both the same"),
        pytest.param("deploy/a.txt", {"deploy/wheels": b"1", "wheels": b"2"}, "deploy/wheels", id="beside first"),
        pytest.param("deploy/a.txt", {"wheels": b"1"}, "wheels", id="else from the working directory"),
    ],
)
def test_folders_of_distributions(including: str, files: Mapping[str, bytes], place: str) -> None:
    """A folder of distributions is looked for beside the file, else from the working directory, and named so."""
    assert [Option("--find-links", os.path.abspath(place))] == options({including: "--find-links wheels\n", **files})


def test_a_page_of_distributions() -> None:
    """A page of distributions is heard as it is written."""
    url = "https://user:secret@files.example/links.html"
    assert [Option("--find-links", url)] == options({"a.txt": f"-f {url}\n"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one\n", ("one",)),
        ("one==1\n", ()),
        ("one>=1\none==1\n", ()),
        ("one>=1\n-c c.txt\n", ()),
        ("two>=1\n-c c.txt\n", ("two>=1",)),
        ("one @ git+https://g.example/one@main\n", ("one @ git+https://g.example/one@main",)),
        ("./one.whl\nhttps://f.example/two.zip\n", ()),
        ("one ; os_name == 'nt'\n", ()),
        ("-e git+https://g.example/one@main#egg=one", ("-e git+https://g.example/one@main#egg=one",)),
        (f"-e git+https://g.example/one@{'0a' * 20}#egg=one", ()),
    ],
)
def test_what_is_not_pinned(text: str, expected: tuple[str, ...]) -> None:
    """A requirement that neither it nor another line fixes may come to something else tomorrow."""
    assert expected == read({"a.txt": text, "c.txt": "one==1\n", "./one.whl": b""}).unpinned


def test_whether_there_are_hashes() -> None:
    """One hash anywhere is enough, as pip has it even behind a false marker."""
    assert not read({"a.txt": "one==1\ntwo==2\n"}).has_hashes
    assert read({"a.txt": "one==1 --hash=sha256:aa\ntwo==2\n"}).has_hashes
    assert read({"a.txt": "one==1 ; os_name == 'nt' --hash=sha256:aa\ntwo==2\n"}).has_hashes
    assert read({"a.txt": "one==1\n-c c.txt\n", "c.txt": "two==1 --hash=sha256:aa"}).has_hashes
    (said,) = heard({"a.txt": "one==1 --hash=sha256:aa\n"})
    assert isinstance(said.entry, Wanted)
    assert said.entry.has_hash
