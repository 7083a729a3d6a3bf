"""Which terrastore a store has for this machine (FORMAT.md, section 15)."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from glob import glob
from typing import Any

from scripts.boot.running import UNFIT, UNTRUSTED, Failure, variable
from scripts.boot.stores import PIECE, Store, download
from scripts.boot.trusted import payload

SELF = "application/vnd.terrastore.self+json"
DIGEST = re.compile("[0-9a-f]{64}")
THREADED = "t" if "t" in sys.abiflags else ""


def tag() -> str:
    """Return what names the wheels that this Python takes here."""
    major, minor = sys.version_info[:2]
    debug = "d" if hasattr(sys, "gettotalrefcount") else ""
    musl = "_musl" if libc()[0] == "musl" else ""
    kernel = os.uname()
    return f"cp{major}{minor}{THREADED}{debug}-{kernel.sysname.lower()}{musl}_{kernel.machine.lower()}"


def libc() -> tuple[str, str]:
    """Return family and version of the C library."""
    try:
        family, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (ValueError, OSError):
        family = version = ""
    for loader in () if family == "glibc" else sorted(glob("/lib/ld-musl-*.so.1")):
        told = subprocess.run([loader], capture_output=True, text=True, check=False).stderr
        if said := re.search(r"Version ([0-9.]+)", told):
            return "musl", said[1]
    return family, version


def require_libc(needs: Mapping[str, Any]) -> None:
    """Refuse what needs another C library than this machine's, or a later one."""
    wanted, (family, version) = needs.get("libc"), libc()
    if wanted and (wanted["family"] != family or numbers(wanted["version"]) > numbers(version)):
        needed = f"{wanted['family']} {wanted['version']} or later"
        raise Failure(UNFIT, f"{needed} is needed, and this machine has {family or 'neither glibc nor musl'} {version}")


def numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")[:2]]


def index_of(store: Store, work: str) -> tuple[dict[str, Any], str] | None:
    """Return the index of terrastore's files that counts for this machine, and its digest; None without one."""
    digest = variable("BOOT_SHA256")
    if not digest:
        lead = payload(store, f"v1/self/{tag()}.json", SELF, work)
        if lead is None:
            return None
        digest = lead["index"]["sha256"]
        if lead["tag"] != tag() or not DIGEST.fullmatch(digest):
            raise Failure(UNTRUSTED, f"v1/self/{tag()}.json in {store.name} is not what it should be")
    name, path = f"v1/self/{tag()}/{digest}.json", f"{work}/index"
    if variable("BOOT_SHA256") and store.fetch(name, path, PIECE) is None:
        return None
    download(store, name, path, {"sha256": digest, "size": PIECE})
    with open(path, "rb") as file:
        index: dict[str, Any] = json.load(file)
    if index["schema"] != 1 or index["tag"] != tag():
        raise Failure(UNTRUSTED, f"{name} in {store.name} is not for this machine")
    return index, digest


def place_of(facts: Mapping[str, Any]) -> str:
    """Return what one of the files is called in a store."""
    return f"v1/self/files/{facts['sha256']}/{facts['file']}"
