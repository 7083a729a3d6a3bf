"""What an environment is made for, as far as it decides which of several requirements and files fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from packaging.tags import Tag


@dataclass(frozen=True, slots=True)
class Target:
    """An interpreter on this host.

    ``markers`` is its environment as PEP 508 names it; ``tags`` returns what wheels may be tagged with (PEP 425), the
    best first. There are hundreds of these, and few ask.
    """

    markers: Mapping[str, str]
    tags: Callable[[], Sequence[Tag]]

    def __str__(self) -> str:
        kind, version = self.markers["platform_python_implementation"], self.markers["python_full_version"]
        return f"{kind} {version} on {self.markers['sys_platform']} {self.markers['platform_machine']}"
