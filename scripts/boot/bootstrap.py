"""Makes sure that terrastore itself is there, and prints where."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import zipfile

from scripts.boot.itself import DIGEST, THREADED, index_of, place_of, require_libc, tag
from scripts.boot.running import ABSENT, BUILD, UNFIT, UNREACHABLE, USAGE, Failure, run, tell, variable, workspace
from scripts.boot.stores import Store, download, first
from scripts.boot.trusted import require_no_revocation

# The one behind a virtual environment, by a name that an upgrade takes away rather than lead elsewhere.
BASE = os.path.realpath(getattr(sys, "_base_executable", sys.executable))


def main() -> int:
    own = "/opt/terrastore" if os.geteuid() == 0 else "~/.local/share/terrastore/boot"
    home, pinned = os.path.abspath(os.path.expanduser(variable("BOOT_DIR") or own)), variable("BOOT_SHA256")
    if pinned and not DIGEST.fullmatch(pinned):
        raise Failure(USAGE, "BOOT_SHA256 is not the SHA-256 that terrastore build --self printed")
    place = f"{home}/{pinned}"
    if not pinned or not is_whole(place):
        with workspace(home, ".new-") as work:
            place = settled(home, work)
            if os.path.realpath(f"{home}/current") != os.path.realpath(place):
                os.symlink(os.path.basename(place), f"{work}/current")
                os.rename(f"{work}/current", f"{home}/current")
    print(place)
    return 0


def is_whole(place: str) -> bool:
    return os.access(f"{place}/bin/python", os.X_OK)


def settled(home: str, work: str) -> str:
    """Return where terrastore stands: fetched, as it was before where no store answers, or installed by pip."""
    try:
        place = first(lambda store: fetched(store, home, work))
    except Failure as failure:
        if failure.code != UNREACHABLE:
            raise
        if is_whole(f"{home}/current") and not variable("BOOT_SHA256"):
            tell(f"{failure}; the terrastore of before is used")
            return os.path.realpath(f"{home}/current")
        if not variable("BOOT_PIP"):
            raise
        tell(str(failure))
        place = None
    if place is None and not variable("BOOT_PIP"):
        hint = "publish it with terrastore build --self, or let pip install it with BOOT_PIP"
        raise Failure(ABSENT, f"no store has terrastore for {tag()}; {hint}")
    return place or installed(home, work)


def fetched(store: Store, home: str, work: str) -> str | None:
    """Return where the terrastore that a store has for this machine stands, once it does; None when it has none."""
    found = index_of(store, work)
    if found is None:
        return None
    index, digest = found
    require_no_revocation(index["wheels"])
    require_libc(index["needs"])
    place, new = f"{home}/{digest}", f"{work}/new"
    if is_whole(place):
        return place
    shutil.rmtree(new, ignore_errors=True)
    packages = f"{new}/lib/python{sys.version_info[0]}.{sys.version_info[1]}{THREADED}/site-packages"
    os.makedirs(packages)
    os.mkdir(f"{new}/bin")
    for wheel in index["wheels"]:
        download(store, place_of(wheel), f"{work}/wheel", wheel)
        with zipfile.ZipFile(f"{work}/wheel") as archive:
            archive.extractall(packages)
    # A virtual environment is no more than this (PEP 405).
    os.symlink(BASE, f"{new}/bin/python")
    with open(f"{new}/pyvenv.cfg", "w") as file:
        file.write(f"home = {os.path.dirname(BASE)}\ninclude-system-site-packages = false\n")
    return finished(new, place)


def installed(home: str, work: str) -> str:
    """Return where the terrastore stands that pip installs from an index, as it is configured."""
    wanted = variable("BOOT_PIP")
    identity = hashlib.sha256(f"{BASE} {sys.version} {wanted}".encode()).hexdigest()
    place, new = f"{home}/pip-{identity[:16]}", f"{work}/new"
    if is_whole(place):
        return place
    shutil.rmtree(new, ignore_errors=True)
    if subprocess.run([BASE, "-m", "venv", new], stdout=sys.stderr, close_fds=False, check=False).returncode:
        raise Failure(UNFIT, f"{BASE} -m venv failed; Debian has what it needs in python3-venv")
    pip = [f"{new}/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    done = subprocess.run([*pip, *shlex.split(wanted)], stdout=sys.stderr, close_fds=False, check=False)
    if done.returncode:
        raise Failure(BUILD, "pip could not install what BOOT_PIP says")
    return finished(new, place)


def finished(new: str, place: str) -> str:
    """Put what is whole in its place, in one step."""
    with open(f"{new}/bin/terrastore", "w") as file:
        file.write(f'#!/bin/sh\nexec {shlex.quote(place)}/bin/python -P -m terrastore "$@"\n')
    os.chmod(f"{new}/bin/terrastore", 0o755)
    os.sync()  # so that it is whole after a loss of power too
    if not is_whole(place):
        shutil.rmtree(place, ignore_errors=True)
        try:
            os.rename(new, place)
        except OSError:
            if not is_whole(place):  # another run was faster
                raise
    return place


run(main)
