"""What requirements are read for: the interpreter and the machine that they are to be installed on."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from packaging.tags import Tag


class Target(NamedTuple):
    """Facts of an interpreter and its host.

    ``markers`` is the environment of markers (PEP 508) without ``extra``; ``tags`` returns the tags of wheels that fit,
    the best first (PEP 425), and is asked by those alone who choose among wheels.
    """

    markers: Mapping[str, str]
    tags: Callable[[], Sequence[Tag]]

    def __str__(self) -> str:
        kind, version = self.markers["platform_python_implementation"], self.markers["python_full_version"]
        return f"{kind} {version} on {self.markers['sys_platform']} {self.markers['platform_machine']}"
