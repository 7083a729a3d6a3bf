"""pip's settings on a machine count as pip reads them: what shapes a resolution does, and nothing secret."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from terrastore.errors import UsageError
from terrastore.requirements import Disk
from terrastore.requirements.lines import index_identity
from terrastore.requirements.pip import NOT_FOR_US, configuration_files, effective_settings
from terrastore.requirements.pip_lines import ForPip
from tests.requirements.shelf import Shelf, digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from terrastore.requirements.reader import Reader

CONTENT = {"a": "A", "b": "B", "1": "one", "/srv/a b": "C"}
SHELF = Shelf(CONTENT | {os.path.abspath(path): text for path, text in CONTENT.items()})
ONE = f"sha256:{digest(b'one')}"
LINKS = {path: f"sha256:{SHELF.links(path)}" for path in CONTENT}


def canonical(variables: Mapping[str, str], files: Iterable[str], reader: Reader = SHELF) -> dict[str, Any]:
    """Return what the key says of the settings in variables and files."""
    return ForPip(reader, effective_settings(variables, files)).canonical(index_identity)


def settings(folder: Path, *texts: str, **variables: str) -> dict[str, Any]:
    """Return the settings of files with these texts, the weakest first, and of variables; they name what SHELF has."""
    paths = [folder / f"{number}.conf" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    return canonical(variables, map(str, paths))


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        pytest.param({}, {}, id="nothing"),
        pytest.param({"PIP_PRE": "1"}, {"pre": True}, id="a variable"),
        pytest.param({"PIP_NO_INDEX": "1"}, {"no-index": True}, id="underscores"),
        pytest.param({"PIP_NO_INDEX": ""}, {}, id="empty"),
        pytest.param({"PIPX_HOME": "/srv", "MY_PIP_PRE": "1", "pip_pre": "1"}, {}, id="not pip's"),
        pytest.param({"PIP_NO_INDEX": "off"}, {}, id="not so"),
        pytest.param({"PIP_NO_BINARY": " B,a_c\n"}, {"no-binary": ["a-c", "b"]}, id="names"),
        pytest.param({"PIP_GLOBAL_OPTION": " a\n  b "}, {"global-option": "a b"}, id="white space"),
        pytest.param({"PIP_FIND_LINKS": " a\n  b "}, {"find-links": [LINKS["a"], LINKS["b"]]}, id="several"),
        pytest.param({"PIP_CONFIG_FILE": "/srv/pip.conf"}, {}, id="where the settings stand"),
    ],
)
def test_variables(variables: Mapping[str, str], expected: Mapping[str, str]) -> None:
    """PIP_* variables are settings by the long names of options; an empty one is none."""
    assert expected == canonical(variables, ())


def test_variables_beat_files(tmp_path: Path) -> None:
    """What a variable says stands; what only a file says stays; an empty variable says nothing."""
    text = "[install]\nindex-url = https://file.example/\npre = 1\n[global]\nonly-binary = one\n"
    found = settings(tmp_path, text, PIP_INDEX_URL="https://variable.example/", PIP_ONLY_BINARY="")
    assert {"index-url": ["https://variable.example/"], "only-binary": ["one"], "pre": True} == found


@pytest.mark.parametrize("section", ["global", "install"])
def test_later_files_beat_earlier(tmp_path: Path, section: str) -> None:
    """Of two files that say something of the same, the later one is heard."""
    found = settings(
        tmp_path,
        f"[{section}]\nindex-url = https://first.example/\npre = 1\n",
        f"[{section}]\nindex_url = https://second.example/\n",
    )
    assert {"index-url": ["https://second.example/"], "pre": True} == found


@pytest.mark.parametrize("order", [("global", "install"), ("install", "global")])
def test_install_beats_global(tmp_path: Path, order: tuple[str, str]) -> None:
    """The section of the command beats the one for all commands, wherever it stands in the file."""
    assert {"index-url": ["install"]} == settings(
        tmp_path, "".join(f"[{section}]\nindex-url = {section}\n" for section in order)
    )


def test_install_beats_global_of_a_later_file(tmp_path: Path) -> None:
    """The section of the command beats the one for all commands in whichever file, as pip has it."""
    found = settings(tmp_path, "[install]\nindex-url = install\n", "[global]\nindex-url = global\n")
    assert {"index-url": ["install"]} == found


def test_an_empty_setting_is_none(tmp_path: Path) -> None:
    """An empty setting of a file says nothing, as pip has it."""
    assert {} == settings(tmp_path, "[global]\nno-binary =\n")


def test_an_empty_setting_clears_its_section(tmp_path: Path) -> None:
    """An empty setting takes back what an earlier file says in the same section, and nothing else, as pip has it."""
    assert {} == settings(tmp_path, "[global]\npre = 1\n", "[global]\npre =\n")
    assert {"pre": True} == settings(tmp_path, "[global]\npre = 1\n", "[install]\npre =\n")
    assert {"pre": True} == settings(tmp_path, "[install]\npre = 1\n", "[global]\npre =\n")


def test_other_sections_do_not_count(tmp_path: Path) -> None:
    """Settings of other commands do not shape an installation."""
    assert {} == settings(tmp_path, "[download]\npre = 1\n[list]\nformat = columns\n[wheel]\nno-binary = one\n")


@pytest.mark.parametrize(
    "name",
    [
        "cache-dir",
        "no-cache-dir",
        "cert",
        "client-cert",
        "proxy",
        "retries",
        "timeout",
        "default-timeout",
        "trusted-host",
        "quiet",
        "verbose",
        "log",
        "progress-bar",
        "no-color",
        "no-input",
        "disable-pip-version-check",
        "keyring-provider",
        "require-virtualenv",
        *sorted(NOT_FOR_US),
    ],
)
def test_settings_without_effect_do_not_count(tmp_path: Path, name: str) -> None:
    """How pip works, and where else it might install, changes nothing in an environment."""
    assert {} == settings(tmp_path, f"[global]\n{name} = 1\n")
    assert {} == settings(tmp_path, **{"PIP_" + name.upper().replace("-", "_"): "1"})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("index-url", ["1"]),
        ("find-links", [LINKS["1"]]),
        ("no-index", True),
        ("pre", True),
        ("all-releases", ["1"]),
        ("only-final", ["1"]),
        ("prefer-binary", True),
        ("no-require-hashes", True),
        ("build-constraint", ONE),
        ("requirements-from-script", ONE),
        ("no-binary", ["1"]),
        ("only-binary", ["1"]),
        ("no-deps", "1"),
        ("frobnicate", "1"),
    ],
)
def test_settings_with_effect_count(tmp_path: Path, name: str, expected: str | list[str] | bool) -> None:
    """What shapes a resolution counts, by variable as by file; what it names by path counts by content."""
    assert {name: expected} == settings(tmp_path, f"[global]\n{name} = 1\n")
    assert {name: expected} == settings(tmp_path, **{"PIP_" + name.upper().replace("-", "_"): "1"})


def test_an_extra_index_is_asked_after_pips_own(tmp_path: Path) -> None:
    """An index beside the one that pip knows by itself comes second, and that one has no name."""
    assert {"index-url": ["", "https://a.example/"]} == settings(tmp_path, PIP_EXTRA_INDEX_URL="https://a.example/")


def test_links_of_every_kind(tmp_path: Path) -> None:
    """A path and a file URL count by content, a page of distributions by its URL."""
    found = settings(tmp_path, PIP_FIND_LINKS="file:///srv/a%20b b https://user:secret@a.example/links?x=secret")
    assert {"find-links": [LINKS["/srv/a b"], LINKS["b"], "https://a.example/links"]} == found


def test_links_that_are_not_there(tmp_path: Path) -> None:
    """A folder of distributions that is not there is no error, for pip only warns; it counts as absent."""
    assert {"find-links": [LINKS["a"], "absent"]} == settings(tmp_path, PIP_FIND_LINKS="a nowhere file:///nowhere")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PIP_BUILD_CONSTRAINT", "1 nowhere"),
        ("PIP_BUILD_CONSTRAINT", "file:///nowhere"),
        ("PIP_BUILD_CONSTRAINT", "file://[nowhere"),
    ],
)
def test_what_a_setting_names_has_to_be_readable(tmp_path: Path, name: str, value: str) -> None:
    """A setting that names what cannot be read is a usage error that names both."""
    with pytest.raises(UsageError) as raised:
        settings(tmp_path, **{name: value})
    assert name.removeprefix("PIP_").lower().replace("_", "-") in raised.value.message
    assert "nowhere" in raised.value.message
    assert raised.value.hint


def test_content_is_read_from_the_disk(tmp_path: Path) -> None:
    """The files of this machine are those that a setting names."""
    path = tmp_path / "limits.txt"
    path.write_text("one<2\n")
    found = canonical({"PIP_BUILD_CONSTRAINT": str(path)}, (), Disk())
    assert {"build-constraint": f"sha256:{digest(path.read_bytes())}"} == found


def test_credentials_are_dropped(tmp_path: Path) -> None:
    """No URL keeps its user, its password and its query, wherever it stands."""
    found = settings(
        tmp_path,
        "[global]\nextra-index-url =\n  https://user:secret@a.example/\n  https://secret@b.example/?token=secret\n",
        PIP_INDEX_URL="https://user:secret@c.example/simple?token=secret#secret",
    )
    assert {"index-url": ["https://c.example/simple", "https://a.example/", "https://b.example/"]} == found


def test_a_percent_sign_is_one(tmp_path: Path) -> None:
    """Values are taken as they stand; nothing is interpolated."""
    assert {"index-url": ["https://a.example/%(x)s%40"]} == settings(
        tmp_path, "[global]\nindex-url = https://a.example/%(x)s%40\n"
    )


def test_files_that_are_not_there() -> None:
    """A configuration file need not exist."""
    assert {} == canonical({}, ["/nowhere/pip.conf"])


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"index-url = https://user:secret@a.example/\n", id="no section"),
        pytest.param(b"[global]\nindex-url https_user_secret\n", id="no setting"),
        pytest.param(b"[global]\npre = 1\npre = 2\n", id="twice"),
        pytest.param(b"[global]\npre = \xff\n", id="no UTF-8"),
    ],
)
def test_an_unparsable_file_is_named(tmp_path: Path, data: bytes) -> None:
    """A file that pip could not use either is a usage error that names it, in one line, without what is in it."""
    path = tmp_path / "pip.conf"
    path.write_bytes(data)
    with pytest.raises(UsageError) as raised:
        canonical({}, [str(path)])
    assert str(path) in raised.value.message
    assert raised.value.hint
    assert "\n" not in raised.value.message
    assert "secret" not in raised.value.message


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        pytest.param(
            {},
            ("/etc/xdg/pip/pip.conf", "/etc/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf"),
            id="plain",
        ),
        pytest.param(
            {"XDG_CONFIG_DIRS": "/a:/b", "XDG_CONFIG_HOME": "/c"},
            ("/a/pip/pip.conf", "/b/pip/pip.conf", "/etc/pip.conf", "~/.pip/pip.conf", "/c/pip/pip.conf"),
            id="XDG",
        ),
        pytest.param({"PIP_CONFIG_FILE": os.devnull}, (), id="none at all"),
    ],
)
def test_where_pip_looks(
    monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str], expected: tuple[str, ...]
) -> None:
    """The machine's files come first, then the user's."""
    monkeypatch.setenv("HOME", "/home/me")
    assert tuple(path.replace("~", "/home/me") for path in expected) == configuration_files(variables)


def test_a_named_file_comes_last(tmp_path: Path) -> None:
    """The file of PIP_CONFIG_FILE beats all others."""
    path = tmp_path / "pip.conf"
    path.touch()
    assert str(path) == configuration_files({"PIP_CONFIG_FILE": str(path)})[-1]


def test_a_named_file_that_is_not_there(tmp_path: Path) -> None:
    """A PIP_CONFIG_FILE that leads nowhere changes nothing, as pip has it."""
    assert configuration_files({}) == configuration_files({"PIP_CONFIG_FILE": str(tmp_path / "pip.conf")})


def test_a_named_file_stands_for_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the file of PIP_CONFIG_FILE is there, the user's own are not read, as pip has it."""
    monkeypatch.setenv("HOME", "/home/me")
    path = tmp_path / "pip.conf"
    path.touch()
    assert not [found for found in configuration_files({"PIP_CONFIG_FILE": str(path)}) if found.startswith("/home/me")]


def test_what_pip_gets_is_what_the_key_was_made_of(tmp_path: Path) -> None:
    """Settings in effect keep their credentials and their paths, and lack what would lead pip elsewhere."""
    (tmp_path / "pip.conf").write_text(
        "[global]\nindex-url = https://user:secret@index.example/\ntarget = /x\n[install]\nsrc = /y\npre = yes\n"
    )
    expected = (("index-url", "https://user:secret@index.example/"), ("pre", "yes"))
    assert expected == effective_settings({"PIP_PREFIX": "/z", "PIP_DRY_RUN": "1"}, [str(tmp_path / "pip.conf")])


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"PIP_PRE": "perhaps"}, "pip's setting pre cannot be used: 'perhaps' is neither true nor false"),
        ({"PIP_NO_BINARY": "-x"}, "pip's setting no-binary cannot be used: --no-binary lacks its value"),
        (
            {"PIP_REQUIRE_HASHES": "1", "PIP_NO_REQUIRE_HASHES": "1"},
            "--require-hashes and --no-require-hashes contradict each other",
        ),
        ({"PIP_FIND_LINKS": "file://u:secret@[x"}, "pip's setting find-links cannot be used: "),
    ],
)
def test_a_setting_that_cannot_be_used(variables: Mapping[str, str], message: str) -> None:
    """A setting that pip could not use either is a usage error that names it, without credentials."""
    with pytest.raises(UsageError) as raised:
        canonical(variables, ())
    assert message in raised.value.message
    assert raised.value.hint
    assert "secret" not in raised.value.message


def test_who_says_it_and_when_does_not_matter(tmp_path: Path) -> None:
    """The order of settings is no one's choice, so extra indexes stay beside the index, whichever is read first."""
    lines = ["index-url = https://a.example/", "extra-index-url = https://b.example/", "no-binary = one"]
    for text in ("\n".join(lines), "\n".join(reversed(lines))):
        found = settings(tmp_path, f"[global]\n{text}\n")
        assert {"index-url": ["https://a.example/", "https://b.example/"], "no-binary": ["one"]} == found


def test_names_add_up_from_level_to_level(tmp_path: Path) -> None:
    """Of settings that take names every level is heard in its turn, as pip has it."""
    text = "[install]\nonly-binary = two,three\n[global]\nno-binary = one\n"
    expected = {"no-binary": ["four", "one"], "only-binary": ["three", "two"]}
    assert expected == settings(tmp_path, text, PIP_NO_BINARY="four")
    assert {"no-binary": [":all:"]} == settings(tmp_path, text, PIP_NO_BINARY=":all:")
    assert {"only-binary": ["one", "three", "two"]} == settings(tmp_path, text, PIP_ONLY_BINARY="one")
