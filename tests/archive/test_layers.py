"""Every file has one layer, and a distribution's layer depends on nothing but the distribution."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terrastore.archive.layers import Dispute, Distribution, canonical_record, plan, source_of
from terrastore.archive.record import Row, digest_of
from terrastore.names import normalised

if TYPE_CHECKING:
    from collections.abc import Collection

SITE = "lib/python3.11/site-packages"
# The digest of no bytes at all, as RECORD spells it.
EMPTY = "sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"


def distribution(name: str, *files: str | Row, version: str = "1.0") -> Distribution:
    """Return a distribution whose RECORD lists ``files``, in site-packages unless it says otherwise, and itself."""
    info = f"{name}-{version}.dist-info"
    rows = [file if isinstance(file, Row) else Row(file, f"sha256={name}", "1") for file in files]
    return Distribution(
        info=f"{SITE}/{info}", name=normalised(name), version=version, rows=(*rows, Row(f"{info}/RECORD", "", ""))
    )


def never(path: str) -> str:
    raise AssertionError(f"nobody needs the digest of {path}")


def divided(
    paths: Collection[str], *distributions: Distribution, skeleton: Collection[str] = ()
) -> dict[str, tuple[str, ...]]:
    """Return the layers' paths by name, when nothing is in dispute."""
    plans, disputes = plan(paths, distributions, skeleton, never)
    assert disputes == []
    return {each.name: each.paths for each in plans}


def test_layers_are_base_then_distributions_then_rest() -> None:
    """Distributions come by name and version, each with its files sorted by code point, wherever they were found."""
    paths = {
        "bin/activate",
        "bin/zebra",
        "share/data",
        f"{SITE}/Z.py",
        f"{SITE}/apple/b.py",
        f"{SITE}/apple/__init__.py",
        f"{SITE}/apple/é.py",
        f"{SITE}/_virtualenv.py",
        f"{SITE}/Zebra-1.0.dist-info/RECORD",
        f"{SITE}/apple-2.0.dist-info/RECORD",
    }
    zebra = distribution("Zebra", "Z.py", "../../../bin/zebra")
    apple = distribution("apple", "apple/é.py", "apple/b.py", "apple/__init__.py", version="2.0")
    older = distribution("apple", version="1.0")
    plans, disputes = plan(paths, [zebra, apple, older], {"bin/activate", f"{SITE}/_virtualenv.py"}, never)
    assert disputes == []
    assert [(each.name, each.version, each.paths) for each in plans] == [
        ("base", None, ("bin/activate", f"{SITE}/_virtualenv.py")),
        ("apple", "1.0", ()),
        (
            "apple",
            "2.0",
            (
                f"{SITE}/apple-2.0.dist-info/RECORD",
                f"{SITE}/apple/__init__.py",
                f"{SITE}/apple/b.py",
                f"{SITE}/apple/é.py",
            ),
        ),
        ("zebra", "1.0", ("bin/zebra", f"{SITE}/Z.py", f"{SITE}/Zebra-1.0.dist-info/RECORD")),
        ("rest", None, ("share/data",)),
    ]


def test_an_environment_without_anything_has_two_layers() -> None:
    """base and rest are always there."""
    assert divided([]) == {"base": (), "rest": ()}


FILES = [f"{SITE}/{name}" for name in ("a.py", "b/__init__.py", "b/c.py", "d.txt")]
CACHED = [f"{SITE}/__pycache__/a.cpython-311.pyc", f"{SITE}/b/__pycache__/c.cpython-311.pyc"]


@settings(deadline=None)
@given(
    paths=st.sets(st.sampled_from([*FILES, *CACHED, "bin/x"])),
    claims=st.lists(st.sets(st.sampled_from(["a.py", "b/c.py", "d.txt", "../../../bin/x"])), max_size=3),
    skeleton=st.sets(st.sampled_from(FILES)),
)
def test_every_path_has_exactly_one_layer(paths: set[str], claims: list[set[str]], skeleton: set[str]) -> None:
    """Whoever claims what, each file that is there is in one layer, and no other file is in any."""
    claimants = [distribution(f"d{number}", *sorted(files)) for number, files in enumerate(claims)]
    plans, _ = plan(paths, claimants, skeleton, lambda path: digest_of(path.encode()))
    assert sorted(paths) == sorted(path for each in plans for path in each.paths)


def test_a_file_of_the_skeleton_belongs_to_the_distribution_that_lists_it() -> None:
    """A seeded pip is a distribution like any other."""
    paths = [f"{SITE}/pip/__init__.py", "bin/pip", "bin/activate"]
    pip = distribution("pip", "pip/__init__.py", "../../../bin/pip")
    assert divided(paths, pip, skeleton=paths) == {
        "base": ("bin/activate",),
        "pip": ("bin/pip", f"{SITE}/pip/__init__.py"),
        "rest": (),
    }


def test_a_file_that_is_listed_and_not_there_has_no_layer() -> None:
    """A RECORD that promises too much adds nothing."""
    assert divided([], distribution("a", "a.py"))["a"] == ()


def test_a_file_that_is_listed_twice_is_not_in_dispute() -> None:
    """A distribution does not quarrel with itself."""
    twice = distribution("a", Row("a.py", "sha256=x", "1"), Row("./a.py", "sha256=y", "2"))
    assert divided([f"{SITE}/a.py"], twice)["a"] == (f"{SITE}/a.py",)


def test_bytecode_goes_with_its_source() -> None:
    """Nothing lists what was compiled at pack time; it is where its module is."""
    skeleton, own, stray = (f"{SITE}/{name}" for name in ("_virtualenv", "a/b", "stray"))
    modules = [f"{each}.py" for each in (skeleton, own, stray)]
    cached = [
        f"{SITE}/__pycache__/_virtualenv.cpython-311.pyc",
        f"{SITE}/a/__pycache__/b.cpython-311.pyc",
        f"{SITE}/__pycache__/stray.cpython-311.pyc",
        f"{SITE}/__pycache__/gone.cpython-311.pyc",
    ]
    layers = divided([*modules, *cached], distribution("a", "a/b.py"), skeleton=modules[:1])
    assert set(layers["base"]) == {modules[0], cached[0]}
    assert set(layers["a"]) == {modules[1], cached[1]}
    assert set(layers["rest"]) == {modules[2], cached[2], cached[3]}


SOURCES = {
    "module": ("a/__pycache__/b.cpython-311.pyc", "a/b.py"),
    "at the top": ("__pycache__/b.cpython-311.pyc", "b.py"),
    "optimised": ("a/__pycache__/b.cpython-311.opt-2.pyc", "a/b.py"),
    "free-threaded": ("a/__pycache__/b.cpython-314t.pyc", "a/b.py"),
    "PyPy": ("a/__pycache__/b.pypy311.pyc", "a/b.py"),
    "dot in its name": ("a/__pycache__/b.c.cpython-311.pyc", "a/b.c.py"),
    "package": ("a/__pycache__/__init__.cpython-311.pyc", "a/__init__.py"),
    "beside its source": ("a/b.pyc", None),
    "source": ("a/b.py", None),
    "something else in the folder": ("a/__pycache__/b.cpython-311.nbi", None),
    "a folder that ends so": ("a/x__pycache__/b.cpython-311.pyc", None),
    "no tag": ("a/__pycache__/b.pyc", None),
}


@pytest.mark.parametrize(("path", "source"), SOURCES.values(), ids=SOURCES.keys())
def test_the_source_of_bytecode_is_known_by_name(path: str, source: str | None) -> None:
    """__pycache__/<module>.<tag>.pyc comes from <module>.py beside it; other files from nothing."""
    assert source == source_of(path)


SHARED = f"{SITE}/shared/__init__.py"
SHARED_CACHED = f"{SITE}/shared/__pycache__/__init__.cpython-311.pyc"
FITTING = {
    "the first": ("zzz aaa mmm", "sha256=aaa", "aaa"),
    "one between": ("zzz aaa mmm", "sha256=mmm", "mmm"),
    "the last": ("zzz aaa mmm", "sha256=zzz", "zzz"),
    "the second of two": ("zzz aaa", "sha256=zzz", "zzz"),
    "nobody": ("zzz aaa mmm", EMPTY, "aaa"),
}


@pytest.mark.parametrize(("names", "digest", "owner"), FITTING.values(), ids=FITTING.keys())
def test_a_disputed_file_goes_where_its_digest_fits(names: str, digest: str, owner: str) -> None:
    """Else to the first by name; its bytecode follows, and the dispute is reported once, with all who claim it."""
    claimants = [distribution(name, "shared/__init__.py") for name in names.split()]
    asked = []

    def digest_of_file(path: str) -> str:
        asked.append(path)
        return digest

    plans, disputes = plan([SHARED, SHARED_CACHED, f"{SITE}/other.py"], claimants, (), digest_of_file)
    assert disputes == [Dispute(SHARED, tuple(sorted(names.split())), owner)]
    assert {each.name: each.paths for each in plans if each.paths} == {
        owner: (SHARED, SHARED_CACHED),
        "rest": (f"{SITE}/other.py",),
    }
    assert set(asked) == {SHARED}


@pytest.mark.parametrize("listed", ["", "sha256=pyc"], ids=["without digest", "with digest"])
def test_listed_bytecode_goes_with_its_disputed_source(listed: str) -> None:
    """A layer would else hold bytecode of a module that another one holds."""
    loser = distribution("aaa", "shared/__init__.py", Row("shared/__pycache__/__init__.cpython-311.pyc", listed, ""))
    winner = distribution("bbb", "shared/__init__.py")
    plans, _ = plan([SHARED, SHARED_CACHED], [loser, winner], (), lambda _: "sha256=bbb")
    assert {each.name: each.paths for each in plans if each.paths} == {"bbb": (SHARED, SHARED_CACHED)}


def test_what_lies_in_dist_info_belongs_to_it() -> None:
    """Installers leave files there that no RECORD lists, in folders too."""
    info = f"{SITE}/a-1.0.dist-info"
    paths = [f"{info}/RECORD", f"{info}/REQUESTED", f"{info}/licenses/nested.dist-info/LICENSE"]
    assert divided(paths, distribution("a"), skeleton=paths) == {"base": (), "a": tuple(paths), "rest": ()}


def test_a_dist_info_without_a_distribution_is_nobodys() -> None:
    """One that is vendored in another package, or was left behind, has no layer of its own."""
    vendored, left = f"{SITE}/a/_vendor/b-1.0.dist-info/METADATA", f"{SITE}/gone-1.0.dist-info/direct_url.json"
    similar = f"{SITE}/a-1.0.dist-info-old/METADATA"
    assert divided([vendored, left, similar], distribution("a"), skeleton=[vendored]) == {
        "base": (vendored,),
        "a": (),
        "rest": (similar, left),
    }


def test_large_distributions_are_divided_in_linear_time() -> None:
    """Twelve thousand files, half of what the largest have, take no noticeable time."""
    files = [f"pkg/m{number}.py" for number in range(12_000)]
    start = time.process_time()
    assert len(divided([f"{SITE}/{file}" for file in files], distribution("pkg", *files))["pkg"]) == 12_000
    assert time.process_time() - start < 5  # of every file with every other it would be minutes


INFO = "a-1.0.dist-info"
REQUESTED = Row(f"{INFO}/REQUESTED", EMPTY, "0")


def recorded(*rows: Row, present: Collection[str], contents: dict[str, bytes] | None = None) -> tuple[Row, ...]:
    each = Distribution(info=f"{SITE}/{INFO}", name="a", version="1.0", rows=rows)
    return canonical_record(each, present, contents or {})


def test_a_canonical_record_is_sorted_and_has_requested() -> None:
    """Whatever order the installer wrote, and whether it was asked for by name or came as a dependency."""
    rows = [
        Row("b.py", "sha256=b", "1"),
        Row("../../../bin/a", "sha256=x", "9"),
        Row("B.py", "sha256=B", "1"),
        Row(f"{INFO}/RECORD", "", ""),
    ]
    present = {f"{SITE}/b.py", f"{SITE}/B.py", "bin/a", f"{SITE}/{INFO}/RECORD", f"{SITE}/{INFO}/REQUESTED"}
    expected = (rows[1], rows[2], rows[3], REQUESTED, rows[0])
    assert recorded(*rows, present=present) == expected
    assert recorded(*reversed(rows), present=present) == expected
    assert recorded(*rows, Row(f"{INFO}/REQUESTED", "", ""), present=present) == expected
    assert recorded(*rows, Row(f"{INFO}/REQUESTED", EMPTY, "0"), present=present) == expected


DROPPED = {
    "absent file": Row("gone.py", "sha256=x", "1"),
    "bytecode without digest": Row("__pycache__/a.cpython-311.pyc", "", ""),
    "bytecode of a script": Row("../../../bin/__pycache__/a.cpython-311.pyc", "", ""),
    "folder": Row("a/", "", ""),
    "installer's leftover": Row(f"{INFO}/uv_cache.json", "sha256=x", "1"),
}


@pytest.mark.parametrize("row", DROPPED.values(), ids=DROPPED.keys())
def test_a_canonical_record_leaves_out_what_is_not_kept(row: Row) -> None:
    """A line that differs from installation to installation, or names nothing that is packed, is not there."""
    kept = Row("a/b.py", "sha256=x", "1")
    present = {f"{SITE}/a/b.py", f"{SITE}/__pycache__/a.cpython-311.pyc", "bin/__pycache__/a.cpython-311.pyc"}
    assert recorded(kept, row, present=present) == (REQUESTED, kept)


def test_a_canonical_record_keeps_bytecode_that_was_shipped() -> None:
    """A pyc with a digest came in the wheel."""
    row = Row("__pycache__/a.cpython-311.pyc", "sha256=x", "1")
    assert recorded(row, present={f"{SITE}/__pycache__/a.cpython-311.pyc"}) == (row, REQUESTED)


def test_a_canonical_record_describes_canonical_contents() -> None:
    """Two builds at two prefixes have different scripts and different digests, and one RECORD."""
    present = {"bin/a", f"{SITE}/a.py"}
    contents = {"bin/a": b"#!/placeholder/bin/python\n"}
    other = Row("a.py", "sha256=x", "1")
    results = {
        recorded(Row("../../../bin/a", digest, size), other, present=present, contents=contents)
        for digest, size in [("sha256=one", "50"), ("sha256=two", "60")]
    }
    assert results == {(Row("../../../bin/a", digest_of(contents["bin/a"]), "26"), REQUESTED, other)}


@pytest.mark.parametrize("name", ["Foo.Bar-baz", "foo_bar_baz", "FOO--bar__.baz", "foo-bar-baz"])
def test_names_are_one_however_they_are_spelled(name: str) -> None:
    """PEP 503: case and runs of separators do not count."""
    assert normalised(name) == "foo-bar-baz"
