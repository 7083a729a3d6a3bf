"""What differs between two requests is said as a person would say it."""

from __future__ import annotations

import json
import posixpath
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terrastore.difference import Difference, differences, distance, file_differences, same_packages, told
from tests.difference.documents import document, of_schema_1

A, B = "a" * 64, "b" * 64
COMMIT, OTHER = "1234567890ab" + "0" * 28, "fedcba098765" + "0" * 28
GIT = "git+https://example.org/web.git"
HASH_A, HASH_B = f"--hash=sha256:{A}", f"--hash=sha256:{B}"


def phrases(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [each.phrase for each in differences(before, after)]


REQUIREMENTS = {
    "a pin moved": ("numpy==2.1", "numpy==2.1.1", "numpy 2.1.0 → 2.1.1"),
    "a pin moved to a shorter one": ("numpy==2.1.1", "numpy==3", "numpy 2.1.1 → 3.0.0"),
    "a pin moved to a release candidate": ("numpy==2.1", "numpy==2.2rc1", "numpy 2.1 → 2.2rc1"),
    "a pin moved to a post-release": ("numpy==2.1", "numpy==2.1.0.post1", "numpy 2.1.0 → 2.1.0.post1"),
    "a pin with an epoch": ("numpy==1!2", "numpy==1!2.1", "numpy 1!2.0 → 1!2.1"),
    "a pin of arbitrary equality": ("numpy===x", "numpy===y", "numpy ===x → ===y"),
    "a pin with hashes moved": (f"numpy==1 {HASH_A}", f"numpy==2 {HASH_B}", "numpy 1 → 2"),
    "a requirement added": ("", "numpy", "numpy added"),
    "a pin added": ("", "numpy==2.1", "numpy 2.1 added"),
    "a range added": ("", "numpy>=2", "numpy >=2 added"),
    "a requirement with extras added": ("", "web[dev]==1", "web[dev] 1 added"),
    "a requirement with a marker added": ("", 'numpy ; extra == "x"', 'numpy if extra == "x" added'),
    "a requirement dropped": ("numpy==2.1", "", "numpy 2.1 dropped"),
    "a range moved": ("numpy>=2", "numpy>=2.1", "numpy >=2 → >=2.1"),
    "a range loosened": ("numpy==2.1", "numpy>=2", "numpy 2.1 → >=2"),
    "a range given up": ("numpy<3,>=2", "numpy", "numpy <3,>=2 → any version"),
    "a prefix pinned": ("numpy==2.*", "numpy==3.*", "numpy ==2.* → ==3.*"),
    "extras": ("web[dev]==1", "web[dev,test]==1", "web[dev] → web[dev,test]"),
    "the first extra": ("web", "web[dev]", "web → web[dev]"),
    "the last extra": ("web[dev]", "web", "web[dev] → web"),
    "extras and a pin": ("web[dev]==1", "web==2", "web[dev] 1 → web 2"),
    "other hashes": (f"numpy==1 {HASH_A}", f"numpy==1 {HASH_B}", "other hashes for numpy"),
    "first hashes": ("numpy==1", f"numpy==1 {HASH_A}", "hashes for numpy added"),
    "no hashes": (f"numpy==1 {HASH_A}", "numpy==1", "hashes for numpy dropped"),
    "a marker": ("numpy", 'numpy ; platform_release == "6"', 'numpy always → if platform_release == "6"'),
    "settings of a build": (
        "web --config-settings=a=1",
        "web --config-settings=a=2",
        "web --config-settings=a=1 dropped, web --config-settings=a=2 added",
    ),
    "settings of a build in another order": (
        "web --config-settings=a=1 --config-settings=a=2",
        "web --config-settings=a=2 --config-settings=a=1",
        "web: its options are in another order",
    ),
    "a wheel's content": (
        f"web-1.0-py3-none-any.whl @ sha256:{A}",
        f"web-1.0-py3-none-any.whl @ sha256:{B}",
        "web-1.0-py3-none-any.whl: its content changed",
    ),
    "another wheel": (
        f"web-1.0-py3-none-any.whl @ sha256:{A}",
        f"web-1.1-py3-none-any.whl @ sha256:{B}",
        "web-1.0-py3-none-any.whl → web-1.1-py3-none-any.whl",
    ),
    "an sdist instead of a pin": ("my-web==1", f"my_web-1.1.tar.gz @ sha256:{A}", "my-web 1 → my_web-1.1.tar.gz"),
    "a project's files": (f"web @ sha256:{A}", f"web @ sha256:{B}", "web: its files changed"),
    "a project with extras": (f"web @ sha256:{A}", f"web[dev] @ sha256:{B}", "web → web[dev], web: its files changed"),
    "a project's extras alone": (f"web @ sha256:{A}", f"web[dev] @ sha256:{A}", "web → web[dev]"),
    "a project instead of a pin": ("web==1", f"web @ sha256:{A}", "web 1 → a local directory"),
    "an editable": (f"web @ sha256:{A}", f"-e web @ sha256:{A}", "web is editable"),
    "no editable": (f"-e web @ sha256:{A}", f"web @ sha256:{B}", "web: its files changed, web is no longer editable"),
    "an editable added": ("", f"-e web[dev] @ sha256:{A}", "editable web[dev] added"),
    "a commit": (f"web @ {GIT}@{COMMIT}", f"web @ {GIT}@{OTHER}", "web @1234567890ab → @fedcba098765"),
    "a branch": (f"-e {GIT}@main#egg=web", f"-e {GIT}@feature/x#egg=web", "web @main → @feature/x"),
    "another repository": (
        f"web @ {GIT}@{COMMIT}",
        f"web @ git+https://example.com/web@{COMMIT}",
        f"web {GIT}@1234567890ab → git+https://example.com/web@1234567890ab",
    ),
    "a repository instead of a pin": ("web==1", f"web @ {GIT}", f"web 1 → {GIT}"),
    "a repository added": ("", f"{GIT}@{COMMIT}", f"web from {GIT}@1234567890ab added"),
    "another archive by URL": (
        "https://example.org/web-1.0.tar.gz",
        "https://example.org/web-1.1.tar.gz",
        "web https://example.org/web-1.0.tar.gz → https://example.org/web-1.1.tar.gz",
    ),
    "an editable's needs": (f"-e web @ needs:{A}", f"-e web @ needs:{B}", "web: what it needs changed"),
    "a wheel with extras": (
        f"web-1.0-py3-none-any.whl[dev] @ sha256:{A}",
        f"web-1.0-py3-none-any.whl @ sha256:{A}",
        "web-1.0-py3-none-any.whl[dev] → web-1.0-py3-none-any.whl",
    ),
    "a line that nobody understands": ("opaque: web --strange", "", "web --strange dropped"),
}


@pytest.mark.parametrize(("before", "after", "phrase"), REQUIREMENTS.values(), ids=REQUIREMENTS)
def test_requirements(before: str, after: str, phrase: str) -> None:
    """One line that differs is one phrase; what is the same is not told."""
    one, other = (document("six==1.17", *filter(None, (each,))) for each in (before, after))
    assert [phrase] == phrases(one, other)


CONSTRAINTS = {
    "added": ([], ["numpy<2"], "constraint numpy <2 added"),
    "dropped": (["numpy<2"], [], "constraint numpy <2 dropped"),
    "moved": (["numpy<2"], ["numpy<3"], "constraint numpy <2 → <3"),
    "pin moved": (["numpy==2"], ["numpy==2.1"], "constraint numpy 2.0 → 2.1"),
    "other hashes": ([f"numpy==2 {HASH_A}"], [f"numpy==2 {HASH_B}"], "other hashes for constraint numpy"),
}


@pytest.mark.parametrize(("before", "after", "phrase"), CONSTRAINTS.values(), ids=CONSTRAINTS)
def test_constraints(before: list[str], after: list[str], phrase: str) -> None:
    """What a constraint is to a requirement is said."""
    assert [phrase] == phrases(document("numpy", constraints=before), document("numpy", constraints=after))


RESOLUTION: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "a flag": ({}, {"pre": True}, ["option --pre added"]),
    "no flag": ({"require-hashes": True}, {}, ["option --require-hashes dropped"]),
    "the index": ({"index-url": ["https://a"]}, {"index-url": ["https://b"]}, ["index https://a → https://b"]),
    "an index besides": (
        {"index-url": ["https://a"]},
        {"index-url": ["https://a", "https://b"]},
        ["index https://b added"],
    ),
    "the first index": ({}, {"index-url": ["https://a"]}, ["index https://a added"]),
    "indexes in another order": (
        {"index-url": ["https://a", "https://b"]},
        {"index-url": ["https://b", "https://a"]},
        ["indexes in another order"],
    ),
    "an index besides the default one": (
        {},
        {"index-url": ["", "https://a"]},
        ["index https://a added"],
    ),
    "an index instead of the default one": (
        {"index-url": ["", "https://a"]},
        {"index-url": ["https://b", "https://a"]},
        ["index the default one → https://b"],
    ),
    "no index": (
        {"index-url": ["https://a"]},
        {"no-index": True},
        ["index https://a dropped", "option --no-index added"],
    ),
    "what is built": ({}, {"no-binary": ["numpy"]}, ["--no-binary numpy added"]),
    "what is built no longer": (
        {"no-binary": ["numpy", "six"]},
        {"no-binary": ["six"]},
        ["--no-binary numpy dropped"],
    ),
    "what is built instead": (
        {"only-binary": ["a"]},
        {"only-binary": ["b"]},
        ["--only-binary a dropped", "--only-binary b added"],
    ),
    "wheels of a folder": (
        {"find-links": [f"sha256:{A}"]},
        {"find-links": [f"sha256:{B}"]},
        ["--find-links: the files of a folder changed"],
    ),
    "a folder": ({}, {"find-links": [f"sha256:{A}"]}, ["--find-links a folder added"]),
    "a page": ({"find-links": ["https://a"]}, {}, ["--find-links https://a dropped"]),
    "a choice": ({"resolution": "highest"}, {"resolution": "lowest"}, ["option --resolution highest → lowest"]),
    "a first choice": ({}, {"index-strategy": "first-index"}, ["option --index-strategy first-index added"]),
    "a setting of uv": ({}, {"uv.index-strategy": "first-index"}, ["uv setting index-strategy first-index added"]),
    "a setting of uv by its content": (
        {"uv.sources": f"sha256:{A}"},
        {"uv.sources": f"sha256:{B}"},
        ["uv setting sources changed"],
    ),
    "a first setting of uv by its content": ({}, {"uv.sources": f"sha256:{B}"}, ["uv setting sources added"]),
    "a table": ({}, {"config-settings": {"a": "1"}}, ['option --config-settings {"a": "1"} added']),
    "a flag that becomes a list": ({"x": True}, {"x": ["a"]}, ['option --x true → ["a"]']),
}


@pytest.mark.parametrize(("before", "after", "expected"), RESOLUTION.values(), ids=RESOLUTION)
def test_resolution(before: dict[str, Any], after: dict[str, Any], expected: list[str]) -> None:
    """What decides where and how to look is told in the words of the options."""
    assert expected == phrases(document(resolution=before), document(resolution=after))


PARTS: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "python": (
        {},
        {"interpreter": {"version": "3.12.1", "soabi": "cpython-312-x86_64-linux-gnu"}},
        ["python 3.11.7 → 3.12.1"],
    ),
    "any patch": ({}, {"interpreter": {"version": "3.11", "magic": 3495}}, ["python 3.11.7 → any 3.11"]),
    "bytecode": (
        {"interpreter": {"version": "3.11", "magic": 3494}},
        {"interpreter": {"version": "3.11", "magic": 3495}},
        ["python's bytecode 3494 → 3495"],
    ),
    "free-threaded": (
        {},
        {"interpreter": {"free_threaded": True, "soabi": "cpython-311t"}},
        ["python is free-threaded"],
    ),
    "with its lock": ({"interpreter": {"free_threaded": True}}, {}, ["python is not free-threaded"]),
    "a debug build": ({}, {"interpreter": {"debug": True}}, ["python is a debug build"]),
    "pointers": ({}, {"interpreter": {"pointer_bits": 32}}, ["python's bits 64 → 32"]),
    "another Python": ({}, {"interpreter": {"implementation": "pypy"}}, ["python implementation cpython → pypy"]),
    "an ABI": ({}, {"interpreter": {"soabi": "abi"}}, ["python's ABI cpython-311-x86_64-linux-gnu → abi"]),
    "the machine": (
        {},
        {"host": {"machine": "aarch64"}, "interpreter": {"soabi": "cpython-311-aarch64-linux-gnu"}},
        ["x86_64 → aarch64"],
    ),
    "the libc": ({}, {"host": {"libc": "musl"}}, ["glibc → musl"]),
    "no libc": ({}, {"host": {"libc": None}}, ["glibc → no libc"]),
    "the system": ({}, {"host": {"system": "darwin"}}, ["linux → darwin"]),
    "the installer": ({}, {"installer": "uv"}, ["installer pip → uv"]),
    "no seed": ({}, {"seed": False}, ["option --no-seed added"]),
    "a seed": ({"seed": False}, {}, ["option --no-seed dropped"]),
    "salt": ({}, {"salt": "x"}, ["option --salt x added"]),
    "other salt": ({"salt": "x"}, {"salt": "y"}, ["option --salt x → y"]),
    "a variable": ({}, {"variables": {"CFLAGS": A}}, ["variable CFLAGS counts"]),
    "no variable": ({"variables": {"CFLAGS": A}}, {}, ["variable CFLAGS no longer counts"]),
    "a variable's value": (
        {"variables": {"CFLAGS": A}},
        {"variables": {"CFLAGS": B}},
        ["variable CFLAGS has another value"],
    ),
    "a variable set": ({"variables": {"CFLAGS": None}}, {"variables": {"CFLAGS": B}}, ["variable CFLAGS was set"]),
    "a variable not set": (
        {"variables": {"CFLAGS": A}},
        {"variables": {"CFLAGS": None}},
        ["variable CFLAGS is not set any more"],
    ),
    "the layout": ({}, {"layout": 2}, ["archive layout 1 → 2"]),
}


@pytest.mark.parametrize(("before", "after", "expected"), PARTS.values(), ids=PARTS)
def test_other_parts(before: dict[str, Any], after: dict[str, Any], expected: list[str]) -> None:
    """Every part of a request has its words; what follows from another part has none."""
    assert expected == phrases(document("six", **before), document("six", **after))


OLD = "the key's schema 1 → 2"
EARLIER: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "the same": (of_schema_1("numpy==2.1.0"), document("numpy==2.1"), [OLD]),
    "a pin moved": (of_schema_1("numpy==2.1.0"), document("numpy==2.1.1"), [OLD, "numpy 2.1.0 → 2.1.1"]),
    "a true marker": (of_schema_1('numpy ; python_version >= "3.8"'), document("numpy"), [OLD]),
    "a false marker": (of_schema_1("six", 'numpy ; python_version < "3.8"'), document("six"), [OLD]),
    "a marker of the platform": (of_schema_1('numpy ; sys_platform == "win32"'), document(), [OLD]),
    "a wheel": (
        of_schema_1("./dist/web-1-py3-none-any.whl", local={"./dist/web-1-py3-none-any.whl": A}),
        document(f"web-1-py3-none-any.whl @ sha256:{A}"),
        [OLD],
    ),
    "another wheel": (
        of_schema_1("./web-1-py3-none-any.whl", local={"./web-1-py3-none-any.whl": A}),
        document(f"web-1-py3-none-any.whl @ sha256:{B}"),
        [OLD, "web-1-py3-none-any.whl: its content changed"],
    ),
    "a project": (of_schema_1("./web", local={"./web": A}), document(f"web @ sha256:{B}"), [OLD]),
    "a project by URL": (
        of_schema_1("web @ file:///srv/web", local={"/srv/web": A}),
        document(f"web @ sha256:{B}"),
        [OLD],
    ),
    "settings of the machine": (
        of_schema_1("six", machine={"index-url": "https://a"}, options=["--pre"]),
        document("six", resolution={"pre": True}),
        [OLD],
    ),
    "a constraint": (
        of_schema_1("six", constraints=["numpy<2.0"]),
        document("six", constraints=["numpy<3"]),
        [OLD, "constraint numpy <2 → <3"],
    ),
    "python": (
        of_schema_1("six"),
        document("six", interpreter={"version": "3.12.1"}),
        [OLD, "python 3.11.7 → 3.12.1"],
    ),
}


@pytest.mark.parametrize(("before", "after", "expected"), EARLIER.values(), ids=EARLIER)
def test_documents_of_schema_1(before: dict[str, Any], after: dict[str, Any], expected: list[str]) -> None:
    """What an earlier version made is told as that, and compared as far as its rules allow."""
    assert expected == phrases(before, after)


def test_the_example_of_the_readme() -> None:
    """What README shows of two requests is what is told of them."""
    packages = {"numpy": "2.1.0", "six": "1.17.0", "web": "1.0", "urllib3": "1.26.1", "flask": "3.0.0"}
    same = ("flask==3", "urllib3==1.26.1")
    before = document(
        "numpy==2.1",
        f"six==1.17 {HASH_A}",
        f"web @ sha256:{A}",
        *same,
        resolution={"index-url": ["https://pypi.example/simple"]},
    )
    after = document(
        "numpy==2.1.1",
        f"six==1.17 {HASH_B}",
        f"web @ sha256:{B}",
        *same,
        constraints=["urllib3<2"],
        resolution={"index-url": ["https://mirror.example/simple"], "pre": True},
        interpreter={"version": "3.11.9"},
    )
    files = file_differences({}, {"/p/constraints.txt": A}, posixpath.basename)
    found = differences(before, after, files=files, versions=packages)
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    shown = readme.partition("    differs  from .venv (")[2].partition(":\n")[2].partition("         70 of 74")[0]
    assert shown.rstrip().splitlines() == [f"      {each.phrase}" for each in found]
    assert len(packages) - (74 - 70) == same_packages(found, packages)


def test_what_is_the_same_is_not_told() -> None:
    """Of many pins those are told that moved, sorted by name."""
    one = document("a==1", "b==1", "c==1", "d==1")
    assert ["a 1 → 2", "d 1 → 3"] == phrases(one, document("a==2", "b==1", "c==1", "d==3"))


def test_several_lines_for_one_project_are_paired_by_what_they_share() -> None:
    """Lines with the same marker are the same wish, moved."""
    before = document('numpy==1 ; extra == "a"', 'numpy==2 ; extra == "b"')
    after = document('numpy==1 ; extra == "b"', 'numpy==2.5 ; extra == "a"', "numpy")
    expected = ["numpy added", "numpy 1.0 → 2.5", "numpy 2 → 1"]
    assert sorted(expected) == sorted(phrases(before, after))


VERSIONS = {
    "moved": ("numpy==2", "numpy==3", {"NumPy": "2.0.0"}, "numpy 2.0.0 → 3.0.0"),
    "dropped": ("numpy==2.1", "", {"numpy": "2.1.0"}, "numpy 2.1.0 dropped"),
    "calendar": ("certifi==2024.2.2", "certifi==2024.7.4", {"certifi": "2024.02.02"}, "certifi 2024.02.02 → 2024.7.4"),
    "not what was asked for": ("numpy==2", "numpy==3", {"numpy": "2.5"}, "numpy 2 → 3"),
    "no version": ("numpy==2", "numpy==3", {"numpy": "?"}, "numpy 2 → 3"),
}


@pytest.mark.parametrize(("before", "after", "versions", "phrase"), VERSIONS.values(), ids=VERSIONS)
def test_versions_as_people_write_them(before: str, after: str, versions: dict[str, str], phrase: str) -> None:
    """A pin is told as the package that was installed spells its version, the other with as many numbers."""
    one, other = (document(*filter(None, (each,))) for each in (before, after))
    assert [phrase] == [each.phrase for each in differences(one, other, versions=versions)]


def test_what_weighs_most_comes_first() -> None:
    """A line that is cut off still says what makes everything another."""
    before = document("a==1", "b==1")
    after = document(
        "a==2",
        "b==2",
        interpreter={"version": "3.12.1"},
        resolution={"pre": True},
        installer="uv",
        host={"libc": "musl"},
        schema=3,
    )
    expected = "the key's schema 2 → 3; glibc → musl; python 3.11.7 → 3.12.1; installer pip → uv; and 2 more"
    assert expected == told(differences(before, after))


def test_a_long_phrase_is_cut_in_a_line() -> None:
    """A line stays one that can be read."""
    (found,) = differences(document(), document("x" * 1000))
    assert 200 == len(told([found]))
    assert told([found]).endswith("x…")


DISTANCES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "one pin, two pins": (document("a==2", "b==1"), document("a==2", "b==2")),
    "ten pins, another Python": (
        document(*(f"p{number}==2" for number in range(10))),
        document("a==1", "b==1", interpreter={"version": "3.11.8"}),
    ),
    "another Python, another machine": (
        document("a==1", "b==1", interpreter={"version": "3.12.1"}),
        document("a==1", "b==1", host={"machine": "aarch64"}),
    ),
    "three pins, an earlier schema": (document("a==2", "b==2", "c==1"), of_schema_1("a==1", "b==1")),
    "a pin, an option": (document("a==2", "b==1"), document("a==1", "b==1", resolution={"pre": True})),
}


@pytest.mark.parametrize(("near", "far"), DISTANCES.values(), ids=DISTANCES)
def test_what_is_nearer(near: dict[str, Any], far: dict[str, Any]) -> None:
    """Nearer is what shares more of its packages, byte for byte."""
    wanted = document("a==1", "b==1")
    assert 0 < distance(differences(near, wanted)) < distance(differences(far, wanted))


SAME = {
    "a pin moved": (("numpy==1", "six==1"), ("numpy==2", "six==1"), 2),
    "a requirement dropped": (("numpy==1", "six==1"), ("six==1",), 2),
    "a requirement added": (("numpy==1",), ("numpy==1", "web==1"), 3),
    "a dependency is asked for": (("numpy==1",), ("numpy==1", "Typing_Extensions==1"), 2),
    "a directory": ((f"directory @ sha256:{A}",), (f"directory @ sha256:{B}",), 2),
    "nothing": (("numpy",), ("numpy",), 3),
}


@pytest.mark.parametrize(("before", "after", "expected"), SAME.values(), ids=SAME)
def test_same_packages(before: tuple[str, ...], after: tuple[str, ...], expected: int) -> None:
    """Packages are counted that no difference names, whatever brought them in."""
    found = differences(document(*before), document(*after))
    assert expected == same_packages(found, ["NumPy", "six", "typing.extensions"])


def test_whatever_a_store_has_is_compared() -> None:
    """A document from a store is no reason to fail, and does not reach a terminal as it is."""
    strange: list[dict[str, Any]] = [
        {},
        {"schema": "x", "interpreter": [], "host": None, "requirements": {"a": 1}, "resolution": 7, "variables": "x"},
        {"schema": 1, "requirements": ["\x1b[31mred", 7, "a ; not a marker", "a --hash='", ""], "local": 3},
        {"schema": 2, "requirements": ["a==\x07", "[", "@", " @ ", "-e ", "git+https://[/x"], "installer": {"a": 1}},
    ]
    for before in strange:
        for found in differences(before, document("a==1")):
            assert found.phrase.isprintable()


NAMES = st.sampled_from(["a", "b", "c", "web[dev]"])
LINES = st.one_of(
    st.builds("{}=={}.{}".format, NAMES, st.integers(0, 3), st.integers(0, 2)),
    st.builds("{} @ sha256:{}".format, NAMES, st.sampled_from([A, B])),
    st.builds("-e {} @ sha256:{}".format, NAMES, st.sampled_from([A, B])),
    st.builds("{}>={} {}".format, NAMES, st.integers(0, 3), st.sampled_from([HASH_A, HASH_B])),
    st.builds('{} ; extra == "{}"'.format, NAMES, st.sampled_from("xy")),
)
LISTS = st.lists(LINES, max_size=5).map(sorted)
DOCUMENTS = st.builds(
    lambda lines, **parts: document(*lines, **parts),
    LISTS,
    constraints=LISTS,
    installer=st.sampled_from(["pip", "uv"]),
    seed=st.booleans(),
    salt=st.sampled_from(["", "x", "y"]),
    layout=st.sampled_from([1, 2]),
    variables=st.dictionaries(st.sampled_from("XY"), st.sampled_from([None, A, B])),
    interpreter=st.fixed_dictionaries(
        {}, optional={"version": st.just("3.12.1"), "debug": st.just(True), "soabi": st.just("x")}
    ),
    host=st.fixed_dictionaries({}, optional={"machine": st.just("aarch64")}),
    resolution=st.fixed_dictionaries(
        {},
        optional={
            "pre": st.just(True),
            "index-url": st.lists(st.sampled_from(["https://a", "https://b"]), min_size=1, unique=True),
            "no-binary": st.lists(st.sampled_from(["a", "b"]), min_size=1, unique=True).map(sorted),
        },
    ),
)


def mirrored(found: Difference) -> str:
    return json.dumps([found.kind, found.name, found.after, found.before])


def told_as(found: Difference) -> str:
    return json.dumps([found.kind, found.name, found.before, found.after])


@given(DOCUMENTS)
def test_equal_documents_differ_in_nothing(same: dict[str, Any]) -> None:
    """A document is not another one than itself."""
    assert () == differences(same, json.loads(json.dumps(same)))


@given(DOCUMENTS, DOCUMENTS)
def test_whatever_differs_is_told(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Two documents with two keys differ in something, and no phrase is empty."""
    found = differences(before, after)
    assert (before != after) is bool(found)
    assert all(each.phrase and each.phrase.isprintable() for each in found)


@given(DOCUMENTS, DOCUMENTS)
def test_differences_mirror(before: dict[str, Any], after: dict[str, Any]) -> None:
    """The way back is the way there, before and after exchanged."""
    there, back = differences(before, after), differences(after, before)
    assert sorted(map(mirrored, there)) == sorted(map(told_as, back))
    assert distance(there) == distance(back)


ANY: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 7, 1.5, "", "a", "\x1b\n", "3.11", [], [1], ["a", "a"], [["a"]], [{"a": 1}], {}, {"a": {"b": []}}]
)
PIECES = st.sampled_from(
    [
        "a",
        "==1",
        ">=",
        "@",
        " @ ",
        " ; ",
        "-e ",
        "sha256:",
        "[",
        "]",
        ",",
        " --hash=",
        "'",
        "git+https://",
        "/",
        "#egg=",
        "\x1b",
    ]
)
LINES_OF_ANY = st.lists(PIECES, max_size=8).map("".join)
PARTS_OF_ANY = {
    name: st.one_of(
        ANY, st.dictionaries(st.sampled_from(["version", "magic", "machine", "index-url", "pre", "a"]), ANY)
    )
    for name in ("interpreter", "host", "resolution", "variables", "local", "installer", "seed", "salt", "layout")
}


@given(
    st.fixed_dictionaries(
        {"schema": st.sampled_from([1, 2, 3, None, "x"])},
        optional=PARTS_OF_ANY
        | {name: st.lists(LINES_OF_ANY | ANY, max_size=4) for name in ("requirements", "constraints")},
    ),
    DOCUMENTS,
)
def test_nothing_that_a_store_has_is_a_reason_to_fail(strange: dict[str, Any], own: dict[str, Any]) -> None:
    """Any JSON object is compared with a request, both ways, and no phrase reaches a terminal as it is."""
    for found in (*differences(strange, own), *differences(own, strange)):
        assert "\x1b" not in found.phrase
        assert "\n" not in found.phrase
