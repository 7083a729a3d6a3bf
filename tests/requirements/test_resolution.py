"""What options come to is what pip itself puts together, and is said to a pip so that it comes to the same."""

from __future__ import annotations

from typing import Any

import pytest

from terrastore.requirements.lines import LineError, Option, parse
from terrastore.requirements.resolution import Resolution


def heard(text: str) -> Resolution:
    """Return what lines of options come to."""
    resolution = Resolution()
    for line in text.splitlines():
        for option in parse(line).options:
            resolution.hear(option)
    return resolution


def canonical(resolution: Resolution) -> dict[str, Any]:
    return resolution.canonical(index=str, links=str)


CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "nothing": ("", {}),
    "an index": ("-i a", {"index-url": ["a"]}),
    "the last index": ("-i a\n-i b", {"index-url": ["b"]}),
    "an extra index": ("--extra-index-url a", {"index-url": ["", "a"]}),
    "an index and extra ones": ("-i a\n--extra-index-url b\n--extra-index-url c", {"index-url": ["a", "b", "c"]}),
    "an index replaces extra ones before it": ("--extra-index-url b\n-i a", {"index-url": ["a"]}),
    "on one line it does not": ("--extra-index-url b -i a", {"index-url": ["a", "b"]}),
    "order of extra indexes": ("--extra-index-url b\n--extra-index-url a", {"index-url": ["", "b", "a"]}),
    "no index": ("--no-index", {"no-index": True}),
    "no index before one": ("--no-index\n-i a", {"no-index": True}),
    "no index behind one": ("-i a\n--extra-index-url b\n--no-index", {"no-index": True}),
    "links": ("-f a\n-f https://b.example/\n-f a", {"find-links": ["a", "https://b.example/"]}),
    "names": ("--no-binary B,a_c", {"no-binary": ["a-c", "b"]}),
    "names one by one": ("--no-binary b\n--no-binary A.c", {"no-binary": ["a-c", "b"]}),
    "empty names": ("--no-binary ,b,", {"no-binary": ["b"]}),
    "every name": ("--no-binary :all:", {"no-binary": [":all:"]}),
    "every name and one": ("--no-binary b\n--no-binary :all:\n--no-binary c", {"no-binary": [":all:"]}),
    "no name": ("--no-binary b\n--no-binary :none:", {}),
    "every name, and then none": ("--no-binary :all:,:none:,c", {"no-binary": ["c"]}),
    "every name ends what stands behind": ("--no-binary :all:,c", {"no-binary": [":all:"]}),
    "the other side": ("--no-binary b\n--only-binary b", {"only-binary": ["b"]}),
    "but for one": ("--only-binary :all:\n--no-binary b", {"only-binary": [":all:"], "no-binary": ["b"]}),
    "every name takes back the other side": ("--no-binary b\n--only-binary :all:", {"only-binary": [":all:"]}),
    "pre": ("--pre", {"pre": True}),
    "pre by another name": ("--all-releases :all:", {"pre": True}),
    "pre of one": ("--all-releases B", {"all-releases": ["b"]}),
    "pre but for one": ("--only-final b\n--pre", {"all-releases": [":all:"], "only-final": ["b"]}),
    "the other order": ("--pre\n--only-final b", {"all-releases": [":all:"], "only-final": ["b"]}),
    "all releases take back": ("--only-final b\n--all-releases :all:", {"pre": True}),
    "final ones take back": ("--pre\n--only-final :all:", {"only-final": [":all:"]}),
    "pre beats final ones": ("--only-final :all:\n--pre", {"pre": True}),
    "final but for one": (
        "--only-final :all:\n--all-releases b",
        {"only-final": [":all:"], "all-releases": ["b"]},
    ),
    "flags": ("--prefer-binary\n--require-hashes", {"prefer-binary": True, "require-hashes": True}),
    "a trusted host": ("--trusted-host a.example", {}),
    "features": ("--use-feature b\n--use-feature a\n--use-feature b", {"use-feature": ["b", "a"]}),
}


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES)
def test_what_options_come_to(text: str, expected: dict[str, Any]) -> None:
    """What counts is what is left in the end, in one spelling."""
    assert expected == canonical(heard(text))


@pytest.mark.parametrize("text", [text for text, _ in CASES.values()], ids=CASES)
def test_what_pip_is_told_comes_to_the_same(text: str) -> None:
    """The options that a pip without settings reads come to what they were made of."""
    told = "\n".join(map(str, heard(text).options()))
    assert canonical(heard(text)) == canonical(heard(told))


def test_an_old_pip_is_told_what_it_knows() -> None:
    """Pre-releases of everything have a name that every pip knows."""
    assert [Option("--pre")] == list(heard("--all-releases=:all:").options())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("--no-binary=-x", "--no-binary lacks its value"),
        ("--only-final -x", "--only-final lacks its value"),
        ("--require-hashes\n--no-require-hashes", "contradict each other"),
        ("--no-require-hashes --require-hashes", "contradict each other"),
    ],
)
def test_what_cannot_be_heard(text: str, message: str) -> None:
    """An option that pip refuses, or that contradicts another, is an error."""
    with pytest.raises(LineError, match=message) as raised:
        heard(text)
    assert raised.value.hint


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        pytest.param({"extra-index-url": "b\nc", "index-url": "a"}, ["a", "b", "c"], id="index behind"),
        pytest.param({"index-url": "a", "extra-index-url": " b  c "}, ["a", "b", "c"], id="index before"),
        pytest.param({"no-index": "yes", "index-url": "a"}, None, id="no index before"),
        pytest.param({"index-url": "a", "no-index": "1"}, None, id="no index behind"),
        pytest.param({"index-url": "a", "no-index": "off"}, ["a"], id="not so"),
    ],
)
def test_settings(settings: dict[str, str], expected: list[str] | None) -> None:
    """An index that a setting names is the first of all, in whatever order settings come."""
    resolution = Resolution()
    for name, value in settings.items():
        resolution.hear_setting(name, value)
    assert expected == canonical(resolution).get("index-url")


def test_the_command_line_replaces_the_first_index() -> None:
    """What the machine names beside it stays, and a file's index replaces all."""
    resolution = Resolution()
    resolution.hear_setting("index-url", "a")
    resolution.hear_setting("extra-index-url", "b")
    resolution.replace_index("c")
    resolution.hear(Option("--extra-index-url", "d"))
    assert {"index-url": ["c", "b", "d"]} == canonical(resolution)
    resolution.hear(Option("--index-url", "e"))
    assert {"index-url": ["e"]} == canonical(resolution)
