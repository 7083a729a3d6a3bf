"""Specifiers that admit the same versions are one text, and those that do not are never."""

from __future__ import annotations

import pytest
from packaging.specifiers import SpecifierSet

from terrastore.requirements.specifiers import canonical_specifiers, canonical_version


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("==1.0", "==1"),
        ("==1.0.0", "==1"),
        ("==0", "==0"),
        ("==0.0", "==0"),
        ("==10", "==10"),
        ("==1.10", "==1.10"),
        ("==01.02", "==1.2"),
        ("==1.0.1", "==1.0.1"),
        ("==v1.0", "==1"),
        ("==1.0-alpha.1", "==1a1"),
        ("==1.0.RC1", "==1rc1"),
        ("==1.0-1", "==1.post1"),
        ("==1!1.0", "==1!1"),
        ("==0!1.0", "==1"),
        ("==1.0.dev0", "==1.dev0"),
        ("==1.0+Local.Part-1", "==1+local.part.1"),
        (">=1.0", ">=1"),
        ("<=1.0", "<=1"),
        (">1.0", ">1"),
        ("<2.0", "<2"),
        ("!=1.0", "!=1"),
        ("~=1.0", "~=1.0"),
        ("~=1.0.0", "~=1.0.0"),
        ("~=01.0", "~=1.0"),
        ("==1.*", "==1.*"),
        ("==1.0.*", "==1.0.*"),
        ("!=01.0.*", "!=1.0.*"),
        ("===1.0", "===1.0"),
        ("===1.0.0", "===1.0.0"),
        (">=1, <2 ,!=1.5", "!=1.5,<2,>=1"),
        ("==1.0,==1", "==1"),
    ],
)
def test_canonical(text: str, expected: str) -> None:
    """Zeros at the end count where PEP 440 says so alone: behind ``~=``, before ``.*`` and for ``===``."""
    assert expected == canonical_specifiers(SpecifierSet(text))


@pytest.mark.parametrize(
    "text",
    ["==1.0", ">=1.0", "~=1.0", "~=1.0.0", "==1.0.*", "==1.*", "<1.0", ">1.0", "!=1.0", "===1.0", "<=1.0", "==1.post0"],
)
def test_a_canonical_set_admits_the_same(text: str) -> None:
    """No version is admitted by one and not by the other."""
    versions = [
        "0.9", "1.dev0", "1a1", "1", "1.0", "1.0.0", "1.post0", "1.0.post1", "1+local", "1.0.1", "1.0.9", "1.1", "1.9",
        "2", "2.0", "1!1",
    ]  # fmt: skip
    written = SpecifierSet(text)
    again = SpecifierSet(canonical_specifiers(written))
    for version in versions:
        assert written.contains(version, prereleases=True) == again.contains(version, prereleases=True), version


def test_plain_versions_take_the_short_way() -> None:
    """What needs no parser comes to what the parser says."""
    for version in ("0", "0.0", "1.0", "1.0.0", "10.0", "1.10.0", "2024.1.0", "100"):
        assert str(canonical_version(version)) == str(canonical_specifiers(SpecifierSet(f"=={version}")))[2:]
        assert canonical_version(version) == canonical_version(f"{version}.0")
