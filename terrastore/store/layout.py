"""Where things lie in a store: ``FORMAT.md`` section 2. The version is in the path: a later layout is another one."""

from __future__ import annotations

from typing import Final

VERSION: Final = "v1"
POINTERS: Final = f"{VERSION}/pointers/"
ARCHIVES: Final = f"{VERSION}/archives/"
WHEELS: Final = f"{VERSION}/wheels/"
_SUFFIX: Final = ".json"


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


def lease(key: str) -> str:
    """Return the name of a key's lease in a store that replaces by version in one step."""
    return f"{VERSION}/leases/{key}.json"


def leases(key: str) -> str:
    """Return what the names of the generations of a key's lease begin with in any other store."""
    return f"{VERSION}/leases/{key}/"


def wheel(sha256: str, file: str) -> str:
    """Return the name of a wheel: by its content, and its file name, which says what it is."""
    return f"{WHEELS}{sha256}/{file}"


def wheel_of(name: str) -> tuple[str, str] | None:
    """Return (SHA-256, file name) of the wheel that has this name; None for other objects."""
    sha256, _, file = name.removeprefix(WHEELS).partition("/")
    return (sha256, file) if file and "/" not in file and wheel(sha256, file) == name else None


def probe(random_id: str) -> str:
    """Return the name of an object that is written to see whether that can be done, and removed."""
    return f"{VERSION}/probes/{random_id}"


def archive_name(random_id: str) -> str:
    """Return the last part of an archive's name for 32 random hexadecimal digits."""
    return f"{random_id}.tar.zst"
