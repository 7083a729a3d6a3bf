"""Where things lie in a store: ``FORMAT.md`` section 2. The version is in the path: a later layout is another one."""

from __future__ import annotations

import re
from typing import Final

VERSION: Final = "v1"
POINTERS: Final = f"{VERSION}/pointers/"
ARCHIVES: Final = f"{VERSION}/archives/"
WHEELS: Final = f"{VERSION}/wheels/"
LEASES: Final = f"{VERSION}/leases/"
PROBES: Final = f"{VERSION}/probes/"
PINS: Final = f"{VERSION}/pins/"
USES: Final = f"{VERSION}/uses/"
PRUNED: Final = f"{VERSION}/pruned/"
ITSELF: Final = f"{VERSION}/self/"
_SUFFIX: Final = ".json"
_ARCHIVE_NAME: Final = r"[0-9a-f]{32}\.tar\.zst"
_WEEK: Final = r"[0-9]{4}-W[0-9]{2}"


def pointer(key: str) -> str:
    """Return the name of a key's pointer."""
    return f"{POINTERS}{key}{_SUFFIX}"


def key_of(name: str) -> str | None:
    """Return the key whose pointer has this name; None for other objects."""
    key = name.removeprefix(POINTERS).removesuffix(_SUFFIX)
    return key if pointer(key) == name and "/" not in key else None


def archives(key: str) -> str:
    """Return what the names of a key's archives begin with."""
    return f"{ARCHIVES}{key}/"


def archive(key: str, name: str) -> str:
    """Return the name of an archive, which its key alone owns."""
    return archives(key) + name


def archive_of(name: str) -> tuple[str, str] | None:
    """Return (key, last part) of the archive that has this name; None for other objects."""
    key, _, last = name.removeprefix(ARCHIVES).partition("/")
    return (key, last) if archive(key, last) == name and re.fullmatch(_ARCHIVE_NAME, last) else None


def lease(key: str) -> str:
    """Return the name of a key's lease in a store that replaces by version in one step."""
    return f"{LEASES}{key}{_SUFFIX}"


def leases(key: str) -> str:
    """Return what the names of the generations of a key's lease begin with in any other store."""
    return f"{LEASES}{key}/"


def lease_of(name: str) -> tuple[str, str] | None:
    """Return (key, generation) of the note of a lease that has this name, "" without one; None for other objects."""
    key, _, generation = name.removeprefix(LEASES).partition("/")
    if name == f"{leases(key)}{generation}" and generation:
        return key, generation
    key = key.removesuffix(_SUFFIX)
    return (key, "") if lease(key) == name else None


def wheel(sha256: str, file: str) -> str:
    """Return the name of a wheel: by its content, and its file name, which says what it is."""
    return f"{WHEELS}{sha256}/{file}"


def wheel_of(name: str) -> tuple[str, str] | None:
    """Return (SHA-256, file name) of the wheel that has this name; None for other objects."""
    sha256, _, file = name.removeprefix(WHEELS).partition("/")
    return (sha256, file) if file and "/" not in file and wheel(sha256, file) == name else None


def probe(random_id: str) -> str:
    """Return the name of an object that is written to see whether that can be done, and removed."""
    return f"{PROBES}{random_id}"


def pin(name: str) -> str:
    """Return the name of a pin's object."""
    return PINS + name


def pin_of(name: str) -> str:
    """Return what a pin is called whose object has this name."""
    return name.removeprefix(PINS)


def use(week: str, key: str) -> str:
    """Return the name of the mark that a key was used in an ISO week, such as ``2026-W05``."""
    return f"{USES}{week}/{key}"


def use_of(name: str) -> tuple[str, str] | None:
    """Return (ISO week, key) of the mark that has this name; None for other objects."""
    week, _, key = name.removeprefix(USES).partition("/")
    return (week, key) if key and use(week, key) == name and re.fullmatch(_WEEK, week) else None


def pruned(random_id: str) -> str:
    """Return the name of a record of the pointers that a prune removes."""
    return f"{PRUNED}{random_id}{_SUFFIX}"


def itself(tag: str) -> str:
    """Return the name of what leads to terrastore itself, for an interpreter and a platform."""
    return f"{ITSELF}{tag}{_SUFFIX}"


def itself_index(tag: str, sha256: str) -> str:
    """Return the name of the list of files that are terrastore itself, by its content."""
    return f"{ITSELF}{tag}/{sha256}{_SUFFIX}"


def itself_file(sha256: str, file: str) -> str:
    """Return the name of one of these files: by its content, and its file name."""
    return f"{ITSELF}files/{sha256}/{file}"


def archive_name(random_id: str) -> str:
    """Return the last part of an archive's name for 32 random hexadecimal digits."""
    return f"{random_id}.tar.zst"
