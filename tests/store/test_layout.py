"""Names in a store: what has a place, and which version the place is of."""

import pytest

from terrastore.store import layout

KEY = "cp311-linux_x86_64-0123456789012345678901234567890123456789"


@pytest.mark.parametrize(
    ("expected", "name"),
    [
        (f"v1/pointers/{KEY}.json", layout.pointer(KEY)),
        (f"v1/archives/{KEY}/", layout.archives(KEY)),
        (f"v1/archives/{KEY}/{'ab' * 16}.tar.zst", layout.archive(KEY, layout.archive_name("ab" * 16))),
        (f"v1/wheels/{'ab' * 32}/six-1.0-py3-none-any.whl", layout.wheel("ab" * 32, "six-1.0-py3-none-any.whl")),
    ],
    ids=["pointer", "archives", "archive", "wheel"],
)
def test_names_are_as_the_format_says(expected: str, name: str) -> None:
    """These names are in stores everywhere: a change is another version."""
    assert expected == name


@pytest.mark.parametrize("key", [KEY, f"{KEY}-debian-12", f"{KEY}-alpine-3.20.json"])
def test_a_pointers_name_leads_back_to_its_key(key: str) -> None:
    """The key of a pointer's name is the key that the name was made of."""
    assert key == layout.key_of(layout.pointer(key))


@pytest.mark.parametrize(
    "name",
    [
        f"v1/pointers/{KEY}",
        f"v1/pointers/{KEY}.json.bak",
        f"v1/pointers/{KEY}.JSON",
        f"v1/pointers/old/{KEY}.json",
        f"v2/pointers/{KEY}.json",
        f"pointers/{KEY}.json",
        f"/v1/pointers/{KEY}.json",
        f"v1/archives/{KEY}/{'ab' * 16}.tar.zst",
        f"{KEY}.json",
        KEY,
        "v1/pointers/",
        "v1/pointers",
        "",
    ],
)
def test_other_objects_are_no_pointers(name: str) -> None:
    """Whatever else lies in a store has no key."""
    assert layout.key_of(name) is None


def test_a_key_owns_its_archives_alone() -> None:
    """The archives of a key that begins like another are not among the other's."""
    assert not layout.archive(f"{KEY}-debian-12", "a.tar.zst").startswith(layout.archives(KEY))


def test_every_pointer_is_below_the_pointers() -> None:
    """Listing what begins with ``POINTERS`` finds every pointer and no archive."""
    assert layout.pointer(KEY).startswith(layout.POINTERS)
    assert not layout.archive(KEY, "a.tar.zst").startswith(layout.POINTERS)


def test_a_wheels_name_leads_back_to_digest_and_file() -> None:
    """Other objects are no wheels."""
    assert ("ab" * 32, "six-1.0-py3-none-any.whl") == layout.wheel_of(f"v1/wheels/{'ab' * 32}/six-1.0-py3-none-any.whl")
    assert layout.wheel_of(f"v1/wheels/{'ab' * 32}") is None
    assert layout.wheel_of(layout.pointer(KEY)) is None
    assert layout.wheel_of(f"v1/wheels/{'ab' * 32}/six-1.0-1/../../../x-py3-none-any.whl") is None
