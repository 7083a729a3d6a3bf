"""What is installed in an environment, as its ``.dist-info`` directories tell."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from terrastore.archive import record
from terrastore.archive.layers import Distribution
from terrastore.errors import BuildError
from terrastore.names import normalised
from terrastore.redaction import without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_AS_GIT: Final = r"ssh://git@"
_COMMIT: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


def installed(tree: str, *, tolerant: bool = False) -> Iterator[Distribution]:
    """Yield the distributions installed below ``tree``.

    :raises BuildError: when a RECORD cannot be read; where one is ``tolerant`` it counts as empty
    """
    for named in names(tree):
        try:
            rows = record.parse(read(tree, named.record))
        except ValueError as error:
            if not tolerant:
                hint = "install that package again"
                raise BuildError(f"{named.record} cannot be read: {error}", hint=hint) from None
            rows = ()
        yield replace(named, rows=rows)


def names(tree: str) -> Iterator[Distribution]:
    """Yield the distributions installed below ``tree`` without what is in their RECORDs, which nobody reads for it."""
    for folder in _site_packages(tree):
        for name in sorted(os.listdir(os.path.join(tree, folder))):
            if not name.endswith(".dist-info"):
                continue
            info = f"{folder}/{name}"
            metadata = header_fields(read(tree, f"{info}/METADATA"))
            project, version = name.removesuffix(".dist-info").rpartition("-")[::2]
            yield Distribution(
                info=info,
                name=normalised(metadata.get("name", [project])[0]),
                version=metadata.get("version", [version])[0],
                rows=(),
            )


def _site_packages(tree: str) -> Iterator[str]:
    try:
        folders = sorted(os.listdir(os.path.join(tree, "lib")))
    except FileNotFoundError:
        return
    for folder in folders:
        if os.path.isdir(os.path.join(tree, "lib", folder, "site-packages")):
            yield f"lib/{folder}/site-packages"


def read(tree: str, path: str) -> bytes:
    """Return a file's content, nothing when it is absent."""
    try:
        with open(os.path.join(tree, path), "rb") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return b""


def direct_url(tree: str, distribution: Distribution) -> dict[str, Any] | None:
    """Return what says where a distribution was asked for (PEP 610), None for one that was asked for by its name."""
    try:
        found = json.loads(read(tree, f"{distribution.info}/direct_url.json"))
    except ValueError:
        return None
    return found if isinstance(found, dict) and isinstance(found.get("url"), str) else None


def commit(origin: Mapping[str, Any] | None) -> str | None:
    """Return the commit that a distribution with such a direct URL is of, None when that is no repository.

    Of one that is to be edited the checkout, which is in the environment, tells it.
    """
    if origin is None:
        return None
    try:
        found = origin["vcs_info"]["commit_id"] if "vcs_info" in origin else head(unquote(urlsplit(origin["url"]).path))
    except (ValueError, LookupError, TypeError):
        return None
    return found if isinstance(found, str) else None


def reference(origin: Mapping[str, Any] | None) -> str | None:
    """Return the URL by which the same is asked for again (PEP 508), with the commit and without credentials.

    None for what is from an index or from this machine, and for what is to be edited.
    """
    if origin is None or urlsplit(origin["url"]).scheme in {"", "file"}:
        return None
    try:
        url = without_secrets(origin["url"])
        if re.match(_AS_GIT, origin["url"]):
            url = url.replace("://", "://git@", 1)  # a name that everybody knows, without which there is no way in
        if "vcs_info" in origin:
            url = f"{origin['vcs_info']['vcs']}+{url}@{origin['vcs_info']['commit_id']}"
        if folder := origin.get("subdirectory"):
            url += f"#subdirectory={folder}"
    except (LookupError, TypeError):
        return None
    return url


def head(checkout: str) -> str | None:
    """Return the commit that a repository of git has checked out, None when it is none, or has none."""
    folder = os.path.join(checkout, ".git")
    said = read(folder, "HEAD").decode(errors="replace").strip()
    reference = said.removeprefix("ref: ")
    if reference != said:
        packed = re.search(
            rf"^(\S+) {re.escape(reference)}$", read(folder, "packed-refs").decode(errors="replace"), re.MULTILINE
        )
        said = read(folder, reference).decode(errors="replace").strip() or (packed[1] if packed else "")
    return said if _COMMIT.fullmatch(said) else None


def header_fields(data: bytes) -> dict[str, list[str]]:
    """Return the header fields of METADATA or WHEEL, an email message (core metadata specification)."""
    fields: dict[str, list[str]] = {}
    for line in data.decode(errors="replace").splitlines():
        if not line.strip():
            break
        name, colon, value = line.partition(":")
        if colon and not line[0].isspace():
            fields.setdefault(name.strip().lower(), []).append(value.strip())
    return fields


_LEGACY_MANYLINUX: Final = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}


def libc_needed(
    tree: str,
    distributions: Iterable[Distribution],
    libc: tuple[str, tuple[int, int]] | None,
    symbols: tuple[int, int] | None = None,
) -> dict[str, Any] | None:
    """Return the oldest libc that every wheel's tags allow (PEP 600, PEP 656), None when nothing is compiled.

    ``symbols`` is the oldest glibc that has every symbol that compiled files need. A wheel without such a tag was made
    here: with glibc its symbols tell, else it needs the builder's libc.
    """
    if libc is None:
        return None
    family, version = libc
    floors = []
    for each in distributions:
        tags = header_fields(read(tree, f"{each.info}/WHEEL")).get("tag", [])
        platforms = {platform for tag in tags for platform in tag.rpartition("-")[2].split(".")}
        if platforms - {"any"}:
            untagged = (symbols or version) if family == "glibc" else version
            floors.append(min(filter(None, map(libc_of, platforms)), default=untagged))
    if symbols is not None and family == "glibc":
        floors.append(symbols)
    return {"family": family, "version": ".".join(map(str, max(floors)))} if floors else None


def libc_of(platform: str) -> tuple[int, int] | None:
    """Return the oldest libc that a wheel's platform tag allows, None when that says nothing of it."""
    if match := re.match(r"(?:many|musl)linux_(\d+)_(\d+)_", platform):
        return int(match[1]), int(match[2])
    return _LEGACY_MANYLINUX.get(platform.partition("_")[0])
