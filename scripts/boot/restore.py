"""Puts an environment in its place: fetched, unpacked by tar, moved by the stand-alone program."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys

from scripts.boot.itself import DIGEST, index_of, place_of, require_libc, tag
from scripts.boot.running import ABSENT, ARGUMENTS, UNFIT, UNTRUSTED, USAGE, Failure, run, workspace
from scripts.boot.stores import Store, download, first
from scripts.boot.trusted import payload, require_no_revocation

POINTER = "application/vnd.terrastore.pointer+json"
KEY = re.compile("cp[0-9]{2,4}t?d?-[a-z0-9_]+-[0-9a-f]{40}(-[a-z0-9._-]+)?")
ARCHIVE = re.compile(r"[0-9a-f]{32}\.tar\.zst")


def main() -> int:
    key, target = subjects()
    if not KEY.fullmatch(key):
        raise Failure(USAGE, f"{key!r} is no key; terrastore key prints one")
    target = os.path.realpath(target)
    if stands(key, target):
        print(f"kept     {target} is what it should be  ({key})")
        return 0
    for tool in ("tar", "zstd"):
        if not shutil.which(tool):
            raise Failure(UNFIT, f"{tool} is not there")
    with workspace(os.path.dirname(target), f".{os.path.basename(target)}.restore-") as work:
        if first(lambda store: fetched(store, key, work)) is None:
            raise Failure(ABSENT, f"no store has {key}")
        unpack(f"{work}/archive", f"{work}/env")
        with open(f"{work}/env/.terrastore/manifest.json", "rb") as file:
            require_no_revocation(json.load(file)["packages"])
        # Its messages and exit codes are terrastore's.
        command = [sys.executable, f"{work}/relocate.pyz", f"{work}/env", "--into", target]
        return subprocess.run(command, close_fds=False, check=False).returncode


def subjects() -> tuple[str, str]:
    """Return KEY and DIR, what is left of the arguments without options."""
    words, left = iter(ARGUMENTS), []
    for word in words:
        name, is_said, _ = word.partition("=")
        if name in {"--store", "--trust", "--realm"}:
            if not is_said:
                next(words, None)
        elif word.startswith("-"):
            raise Failure(USAGE, f"there is no option {word}")
        else:
            left.append(word)
    if len(left) != 2:
        raise Failure(USAGE, "what is understood is restore.sh KEY DIR")
    return left[0], left[1]


def stands(key: str, target: str) -> bool:
    """Whether the environment is there, has its interpreter, and holds nothing that is revoked."""
    try:
        with open(f"{target}/.terrastore/state.json", "rb") as file:
            state = json.load(file)
        with open(f"{target}/.terrastore/manifest.json", "rb") as file:
            packages = json.load(file)["packages"]
    except (OSError, LookupError, ValueError):
        return False
    if (state.get("key"), state.get("prefix")) != (key, target) or not os.access(f"{target}/bin/python", os.X_OK):
        return False
    require_no_revocation(packages, state.get("archive", ""))
    return True


def fetched(store: Store, key: str, work: str) -> str | None:
    """Fetch the archive and the program that moves what is in it; return its name, None when a store has none."""
    pointer = payload(store, f"v1/pointers/{key}.json", POINTER, work)
    if pointer is None:
        return None
    archive = pointer["archive"]
    name = f"v1/archives/{key}/{archive['name']}"
    if pointer["key"] != key or not ARCHIVE.fullmatch(archive["name"]) or not DIGEST.fullmatch(archive["sha256"]):
        raise Failure(UNTRUSTED, f"v1/pointers/{key}.json in {store.name} is not what it should be")
    require_libc(pointer["needs"])
    require_no_revocation((), archive["sha256"])
    found = index_of(store, work)
    if found is None:
        raise Failure(ABSENT, f"{store.name} has no relocate.pyz for {tag()}; publish it with terrastore build --self")
    program = found[0]["relocate"]
    download(store, place_of(program), f"{work}/relocate.pyz", program)
    download(store, name, f"{work}/archive", archive)
    return name


def unpack(archive: str, place: str) -> None:
    os.mkdir(place)
    zstd = subprocess.Popen(["zstd", "-dcq", archive], stdout=subprocess.PIPE, close_fds=False)
    tar = subprocess.run(["tar", "-xomf", "-", "-C", place], stdin=zstd.stdout, close_fds=False, check=False)
    if zstd.stdout is not None:
        zstd.stdout.close()
    if zstd.wait() or tar.returncode:
        raise Failure(UNFIT, "the archive could not be unpacked; is there room?")
    os.unlink(archive)


run(main)
