"""Lock files of PEP 751: what is selected for a target, and one line for each file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import tomli_w
from packaging.tags import Tag

from terrastore.errors import RequirementsError
from terrastore.requirements.lines import parse
from terrastore.requirements.pylock import pylock_lines
from terrastore.requirements.target import Target

if TYPE_CHECKING:
    from typing import Any

A, B, C, D = (letter * 64 for letter in "abcd")
TARGET = Target(
    markers={
        "implementation_name": "cpython",
        "implementation_version": "3.11.7",
        "os_name": "posix",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "platform_release": "6.1",
        "platform_system": "Linux",
        "platform_version": "#1",
        "python_full_version": "3.11.7",
        "python_version": "3.11",
        "sys_platform": "linux",
    },
    tags=lambda: [
        Tag("cp311", "cp311", "manylinux_2_28_x86_64"),
        Tag("cp311", "abi3", "linux_x86_64"),
        Tag("py3", "none", "any"),
    ],
)
MAIN, OTHER = "https://index.example/simple", "https://other.example/simple"
HERE = os.getcwd()


def file(name: str, digest: str = A, **more: Any) -> dict[str, Any]:
    """Return a file of an index."""
    return {"name": name, "url": f"https://files.example/{name}", "hashes": {"sha256": digest}} | more


def package(name: str = "one", *wheels: dict[str, Any], version: str = "1.0", **more: Any) -> dict[str, Any]:
    """Return a package of an index."""
    files = {"wheels": list(wheels)} if wheels else {}
    return {"name": name, "version": version, "index": MAIN} | files | more


def lock(*packages: dict[str, Any], **more: Any) -> bytes:
    """Return a lock."""
    return tomli_w.dumps({"lock-version": "1.0", "created-by": "tests"} | more | {"packages": list(packages)}).encode()


def lines(data: bytes, **selected: Any) -> list[str]:
    return pylock_lines("locks/pylock.toml", data, target=TARGET, **selected)


ANY = file("one-1.0-py3-none-any.whl", A)
FITTING = file("one-1.0-cp311-cp311-manylinux_2_28_x86_64.whl", B)
STABLE = file("one-1.0-cp39-abi3-linux_x86_64.whl", C)
FOREIGN = file("one-1.0-cp311-cp311-macosx_11_0_arm64.whl", D)
SDIST = file("one-1.0.tar.gz", D)
DIRECT = {"name": "one", "version": "1.0"}


SELECTED: dict[str, tuple[dict[str, Any], str]] = {
    "the only wheel": (package("one", ANY), f"one==1.0 --hash=sha256:{A}"),
    "the best wheel": (package("one", ANY, FOREIGN, FITTING, STABLE), f"one==1.0 --hash=sha256:{B}"),
    "a wheel before the sdist": (package("one", ANY, sdist=SDIST), f"one==1.0 --hash=sha256:{A}"),
    "the sdist when no wheel fits": (package("one", FOREIGN, sdist=SDIST), f"one==1.0 --hash=sha256:{D}"),
    "the sdist alone": (package("one", sdist=SDIST), f"one==1.0 --hash=sha256:{D}"),
    "the version of a wheel": (
        {"name": "one", "index": MAIN, "wheels": [file("one-2!1.0.post1+cpu-py3-none-any.whl")]},
        f"one==2!1.0.post1+cpu --hash=sha256:{A}",
    ),
    "the version of an sdist": (
        {"name": "one", "index": MAIN, "sdist": file("one-1.5rc1.tar.gz")},
        f"one==1.5rc1 --hash=sha256:{A}",
    ),
    "every digest that installers take": (
        package("one", file("one-1.0-py3-none-any.whl", hashes={"sha512": "E" * 128, "md5": "0" * 32, "sha256": A})),
        f"one==1.0 --hash=sha256:{A} --hash=sha512:{'e' * 128}",
    ),
    "a URL without an index": (
        DIRECT | {"wheels": [ANY]},
        f"one @ https://files.example/one-1.0-py3-none-any.whl --hash=sha256:{A}",
    ),
    "a file of an index that is here": (
        package("one", {"name": "one-1.0-py3-none-any.whl", "path": "x", "hashes": {"sha256": A}}, index=MAIN),
        f"one @ file://{HERE}/locks/x --hash=sha256:{A}",
    ),
    "a file beside the lock": (
        DIRECT | {"wheels": [{"path": "../wheels dir/one-1.0-py3-none-any.whl", "hashes": {"sha256": A}}]},
        f"one @ file://{HERE}/wheels%20dir/one-1.0-py3-none-any.whl --hash=sha256:{A}",
    ),
    "a file by URL": (
        package(
            "one", file("one-1.0-py3-none-any.whl", url="file:///srv/one-1.0-py3-none-any.whl"), index="file:///srv"
        ),
        f"one @ file:///srv/one-1.0-py3-none-any.whl --hash=sha256:{A}",
    ),
    "an archive": (
        DIRECT | {"archive": {"url": "https://a.example/one.zip", "hashes": {"sha256": A}, "subdirectory": "sub"}},
        f"one @ https://a.example/one.zip#subdirectory=sub --hash=sha256:{A}",
    ),
    "an archive beside the lock": (
        DIRECT | {"archive": {"path": "one.tar.gz", "hashes": {"sha256": A}}},
        f"one @ file://{HERE}/locks/one.tar.gz --hash=sha256:{A}",
    ),
    "a directory": (
        DIRECT | {"directory": {"path": "../libs/one", "editable": True}},
        f"one @ file://{HERE}/libs/one",
    ),
    "a directory's subdirectory": (
        DIRECT | {"directory": {"path": "/srv/one", "subdirectory": "python"}},
        "one @ file:///srv/one#subdirectory=python",
    ),
    "a commit": (
        DIRECT
        | {
            "vcs": {
                "type": "git",
                "url": "https://git.example/one.git",
                "commit-id": "1" * 40,
                "requested-revision": "main",
            }
        },
        f"one @ git+https://git.example/one.git@{'1' * 40}",
    ),
    "a commit's subdirectory": (
        DIRECT
        | {"vcs": {"type": "git", "url": "ssh://git@git.example/one", "commit-id": "1" * 64, "subdirectory": "a/b"}},
        f"one @ git+ssh://git@git.example/one@{'1' * 64}#subdirectory=a/b",
    ),
    "a commit of a repository here": (
        DIRECT | {"vcs": {"type": "hg", "path": "../one", "commit-id": "1" * 40}},
        f"one @ hg+file://{HERE}/one@{'1' * 40}",
    ),
    "a revision": (
        DIRECT | {"vcs": {"type": "svn", "url": "svn+https://svn.example/one", "commit-id": "4711"}},
        "one @ svn+https://svn.example/one@4711",
    ),
}


@pytest.mark.parametrize("case", SELECTED)
def test_selected(case: str) -> None:
    """The file that fits best, by its own digests alone, and a line that is read as it was meant."""
    entry, expected = SELECTED[case]
    (line,) = lines(lock(entry))
    assert expected == line
    wanted = parse(line).wanted
    assert wanted is not None
    assert not parse(line).ignored


def test_markers_choose_between_entries() -> None:
    """Of entries of one name that one counts whose marker is true; who is for another platform is not there."""
    old, new = (
        package("one", file(f"one-{version}-py3-none-any.whl", digest), version=version, marker=marker)
        for version, digest, marker in (("1.0", A, "python_version < '3.11'"), ("2.0", B, "python_version >= '3.11'"))
    )
    windows = package("two", file("two-1.0-py3-none-any.whl"), marker="sys_platform == 'win32'")
    assert [f"one==2.0 --hash=sha256:{B}"] == lines(lock(old, new, windows))


def test_lines_are_sorted() -> None:
    """The order of a lock is its tool's alone."""
    packages = [package(name, file(f"{name}-1.0-py3-none-any.whl")) for name in ("beta", "alpha", "gamma")]
    assert lines(lock(*packages)) == lines(lock(*reversed(packages))) == sorted(lines(lock(*packages)))


CHOSEN = lock(
    package("base", file("base-1.0-py3-none-any.whl"), marker="'default' in dependency_groups"),
    package("docs", file("docs-1.0-py3-none-any.whl"), marker="'docs' in dependency_groups"),
    package("fast", file("fast-1.0-py3-none-any.whl"), marker="'speed-ups' in extras"),
    package("plain", file("plain-1.0-py3-none-any.whl")),
    extras=["speed-ups"],
    **{"dependency-groups": ["default", "docs"], "default-groups": ["default"]},
)


@pytest.mark.parametrize(
    ("selected", "expected"),
    [
        pytest.param({}, ["base", "plain"], id="by default"),
        pytest.param({"groups": ["Docs"]}, ["base", "docs", "plain"], id="a group comes besides"),
        pytest.param({"extras": ["speed_ups"]}, ["base", "fast", "plain"], id="an extra by any spelling"),
        pytest.param({"extras": ["speed-ups"], "groups": ["docs"]}, ["base", "docs", "fast", "plain"], id="both"),
    ],
)
def test_extras_and_groups(selected: dict[str, list[str]], expected: list[str]) -> None:
    """What is named is selected besides what the lock takes by default."""
    assert expected == [line.partition("==")[0] for line in lines(CHOSEN, **selected)]


INDEXES: dict[str, tuple[dict[str, str | None], bool, list[str]]] = {
    "one": ({"one": MAIN, "two": MAIN}, False, ["one==", "two=="]),
    "one that is to be named": ({"one": MAIN, "two": MAIN}, True, [f"--index-url {MAIN}", "one==", "two=="]),
    "another one's files by URL": ({"one": MAIN, "two": MAIN, "zoo": OTHER}, False, ["one==", "two==", "zoo @ https"]),
    "of two the first by name": ({"one": OTHER, "two": MAIN}, False, ["one==", "two @ https"]),
    "none": ({"one": None}, True, ["one @ https"]),
    "with credentials": (
        {"one": "https://user:secret@index.example/simple?token=x"},
        True,
        [f"--index-url {MAIN}", "one=="],
    ),
}


@pytest.mark.parametrize("case", INDEXES)
def test_indexes(case: str) -> None:
    """The index of most files is the one that is asked anyway, named when nobody else does, without credentials."""
    indexes, own, expected = INDEXES[case]
    packages = [
        {"name": name, "version": "1.0", "wheels": [file(f"{name}-1.0-py3-none-any.whl")]}
        | ({"index": index} if index else {})
        for name, index in indexes.items()
    ]
    found = lines(lock(*packages), own_index=own)
    assert len(expected) == len(found)
    assert [] == [(start, line) for start, line in zip(expected, found, strict=True) if not line.startswith(start)]


@pytest.mark.parametrize(
    ("packages", "expected"),
    [
        pytest.param([package("one", ANY)], False, id="hashes alone"),
        pytest.param([DIRECT | {"directory": {"path": "."}}], False, id="none"),
        pytest.param(
            [package("two", file("two-1.0-py3-none-any.whl")), DIRECT | {"directory": {"path": "."}}], True, id="both"
        ),
    ],
)
def test_hashes_are_demanded_where_all_have_them(packages: list[dict[str, Any]], expected: bool) -> None:
    """A directory beside files with hashes must not make pip refuse it."""
    assert expected == ("--no-require-hashes" in lines(lock(*packages)))


def test_a_variable_is_no_way_into_a_path() -> None:
    """What looks like a variable in a path is a name of a file."""
    (line,) = lines(lock(DIRECT | {"directory": {"path": "${HOME}/one"}}))
    assert f"one @ file://{HERE}/locks/%24%7BHOME%7D/one" == line


WRONG: dict[str, tuple[bytes, dict[str, Any], str, str]] = {
    "no TOML": (b"packages = [", {}, "locks/pylock.toml is not TOML: ", "mend it"),
    "no text": (b"\xff\xfe", {}, "locks/pylock.toml is not TOML: ", "mend it"),
    "empty": (b"", {}, "is no lock of PEP 751: missing required value in 'lock-version'", "export it anew"),
    "of a later version": (lock().replace(b'"1.0"', b'"2.0"'), {}, "is of version 2.0, and 1.0 can be read", "1.0"),
    "a hash is missing": (
        lock(package("one", {"url": "https://a.example/one-1.0-py3-none-any.whl", "hashes": {}})),
        {},
        "at least one hash must be provided in 'packages[0].wheels[0].hashes'",
        "export it anew",
    ),
    "no hashes": (
        lock(package("one", {"url": "https://a.example/one-1.0-py3-none-any.whl"})),
        {},
        "missing required value in 'packages[0].wheels[0].hashes'",
        "export it anew",
    ),
    "no hash that pip takes": (
        lock(package("one", file("one-1.0-py3-none-any.whl", hashes={"md5": "0" * 32}))),
        {},
        "one: it has no hash but md5",
        "export it anew",
    ),
    "a hash that is none": (
        lock(package("one", file("one-1.0-py3-none-any.whl", "0 -e ."))),
        {},
        "one: '0 -e .' is no sha256",
        "export it anew",
    ),
    "a URL that is more": (
        lock(
            DIRECT
            | {"wheels": [file("one-1.0-py3-none-any.whl", url="https://a.example/x\n-e ./one-1.0-py3-none-any.whl")]}
        ),
        {},
        "there is more than printable ASCII in it",
        "export it anew",
    ),
    "a URL that is none": (
        lock(DIRECT | {"archive": {"url": "one.zip", "hashes": {"sha256": A}}}),
        {},
        "one: one.zip is no URL",
        "anew",
    ),
    "an index that is more": (lock(package("one", ANY, index=f"{MAIN} -e .")), {}, "printable ASCII", "anew"),
    "a branch": (
        lock(DIRECT | {"vcs": {"type": "git", "url": "https://git.example/one", "commit-id": "main"}}),
        {},
        "one: 'main' is no whole commit id of git",
        "export it anew",
    ),
    "another version control": (
        lock(DIRECT | {"vcs": {"type": "cvs", "url": "https://cvs.example/one", "commit-id": "1"}}),
        {},
        "'cvs'",
        "anew",
    ),
    "a repository at no URL": (
        lock(DIRECT | {"vcs": {"type": "git", "url": "git@git.example:one", "commit-id": "1" * 40}}),
        {},
        "is no URL",
        "anew",
    ),
    "another interpreter": (
        lock(**{"requires-python": ">=3.12"}),
        {},
        "is for Python >=3.12, and this is 3.11.7",
        "--python",
    ),
    "another platform": (
        lock(environments=["sys_platform == 'darwin'", "sys_platform == 'win32'"]),
        {},
        'is for sys_platform == "darwin" or sys_platform == "win32", and this is CPython 3.11.7 on linux x86_64',
        "lock for this platform and interpreter as well",
    ),
    "no file fits": (
        lock(package("one", FOREIGN)),
        {},
        "does not fit CPython 3.11.7 on linux x86_64: no wheel found matching the provided tags for package 'one'",
        "lock for this platform and interpreter as well",
    ),
    "a package for another interpreter": (
        lock(package("one", ANY, **{"requires-python": "<3.11"})),
        {},
        "for package 'one'",
        "as well",
    ),
    "two of a name": (
        lock(package("one", ANY), package("one", ANY)),
        {},
        "multiple packages with the name 'one'",
        "as well",
    ),
    "an extra that is not there": (CHOSEN, {"extras": ["x"]}, "has no extra x", "it has speed-ups"),
    "a group that is not there": (CHOSEN, {"groups": ["x"]}, "has no group x", "it has default, docs"),
    "extras where there are none": (lock(), {"extras": ["x"]}, "has no extras", "leave --extra out"),
    "a name that is none": (lock(package("One", ANY)), {}, "is not normalized in 'packages[0].name'", "anew"),
}


@pytest.mark.parametrize("case", WRONG)
def test_refused(case: str) -> None:
    """The error names the file and the package, and says what to do."""
    data, selected, message, hint = WRONG[case]
    with pytest.raises(RequirementsError) as raised:
        lines(data, **selected)
    assert raised.value.message.startswith("locks/pylock.toml")
    assert message in raised.value.message
    assert hint in raised.value.hint
    assert "\n" not in raised.value.message


def test_secrets_are_not_shown() -> None:
    """A URL with a password that cannot be used is told without it."""
    data = lock(DIRECT | {"archive": {"url": "https://user:secret@a.example/x y", "hashes": {"sha256": A}}})
    with pytest.raises(RequirementsError) as raised:
        lines(data)
    assert "a.example/x y" in raised.value.message
    assert "secret" not in raised.value.message
