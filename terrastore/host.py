"""What this machine offers to compiled code: operating system, architecture, libc."""

from __future__ import annotations

import os
import platform
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


REMEDY = "install what is missing: apt-file search, or dnf provides, names the package that a library is in"


class Host(NamedTuple):
    """Facts of this machine.

    ``system`` and ``machine`` as in wheel tags (``linux``, ``x86_64``); ``libc`` is (family, (major, minor)), None
    where neither glibc nor musl is found; ``distribution`` is ``<ID>-<VERSION_ID>`` of os-release(5).
    """

    system: str
    machine: str
    libc: tuple[str, tuple[int, int]] | None
    distribution: str

    @classmethod
    def here(cls) -> Host:
        """Look at this machine."""
        return cls(
            system=platform.system().lower(),
            machine=platform.machine().lower(),
            libc=_glibc() or _musl(),
            distribution=_distribution(),
        )

    @property
    def tag(self) -> str:
        """The machine's part of a key: ``linux_x86_64``, ``linux_musl_aarch64``."""
        musl = "_musl" if self.libc is not None and self.libc[0] == "musl" else ""
        return f"{self.system}{musl}_{self.machine}"

    def identity(self) -> dict[str, Any]:
        """Return what a key says of it: not the libc's version, which an archive states as a need."""
        return {"system": self.system, "machine": self.machine, "libc": self.libc[0] if self.libc else None}

    def facts(self) -> dict[str, Any]:
        """Return everything, as JSON."""
        libc = {"family": self.libc[0], "version": ".".join(map(str, self.libc[1]))} if self.libc else None
        return self._asdict() | {"libc": libc}

    def lacks(self, needs: Mapping[str, Any], base_prefix: str = "") -> str:
        """Return in words what an environment that ``needs`` this would miss here, "" when nothing.

        ``needs`` as in a pointer, or all of a manifest's; ``base_prefix`` is that of the interpreter that it is for.
        Nothing is run or loaded.
        """
        if lack := self._lacks_libc(needs):
            return lack
        return "; ".join(filter(None, (_lacks_libraries(needs, base_prefix), _lacks_features(needs))))

    def _lacks_libc(self, needs: Mapping[str, Any]) -> str:
        libc = needs.get("libc")
        if not isinstance(libc, dict):
            return ""
        family, version = libc.get("family"), str(libc.get("version"))
        if not re.fullmatch(r"\d+\.\d+", version):
            return f"a libc of unknown version {version!r}"
        wanted = tuple(map(int, version.split(".")))
        if self.libc is None or self.libc[0] != family or self.libc[1] < wanted:
            have = f"{self.libc[0]} {'.'.join(map(str, self.libc[1]))}" if self.libc else "neither glibc nor musl"
            return f"{family} {version} or later; this host has {have}"
        return ""


def _lacks_libraries(needs: Mapping[str, Any], base_prefix: str) -> str:
    if not needs.get("libraries"):
        return ""
    from terrastore.loader import Loader, offers  # noqa: PLC0415 -- few environments need any

    found, old = [], []
    for each in needs["libraries"]:
        name, versions = each["name"], each.get("versions", ())
        place = Loader.here().find(name, _directories(each, base_prefix))
        wanted_by = f" (for {', '.join(each['for'])})" if each.get("for") else ""
        if place is None:
            found.append(name + wanted_by)
        elif not offers(place, versions):
            old.append(f"{name} with {', '.join(versions)}{wanted_by}")
    return "; ".join(
        filter(
            None,
            (
                f"the shared libraries {', '.join(found)}, which this host does not have" if found else "",
                f"later ones than this host's of the shared libraries {', '.join(old)}" if old else "",
            ),
        )
    )


def _directories(library: Mapping[str, Any], base_prefix: str) -> list[str]:
    """Return where a library is looked for before the loader's own directories."""
    own = [f"{base_prefix}/lib"] if library.get("base") and base_prefix else []
    return [*own, *filter(None, (library.get("directory"),))]


def _lacks_features(needs: Mapping[str, Any]) -> str:
    if not (wanted := needs.get("processor")):
        return ""
    from terrastore.processor import features  # noqa: PLC0415 -- as few

    missing = sorted(set(wanted.get("features", ())) - features())
    if not missing:
        return ""
    return f"a processor with {', '.join(missing)} (for {', '.join(wanted.get('for', ()))})"


def _glibc() -> tuple[str, tuple[int, int]] | None:
    try:
        text = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):
        return None
    match = re.fullmatch(r"glibc (\d+)\.(\d+).*", text)
    return ("glibc", (int(match[1]), int(match[2]))) if match else None


def _musl() -> tuple[str, tuple[int, int]] | None:
    """Ask musl's loader, which prints its version on standard error when it is run without arguments (PEP 656)."""
    import subprocess  # noqa: PLC0415 -- few hosts have it
    from glob import glob  # noqa: PLC0415

    for loader in sorted(glob("/lib/ld-musl-*.so.1")):
        result = subprocess.run([loader], capture_output=True, check=False, text=True)
        if match := re.search(r"Version (\d+)\.(\d+)", result.stderr):
            return "musl", (int(match[1]), int(match[2]))
    return None


def _distribution() -> str:
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return ""
    return "-".join(filter(None, (release.get("ID"), release.get("VERSION_ID"))))
