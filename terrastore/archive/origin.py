"""Where an environment comes from, as whoever builds it tells."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from terrastore.archive.manifest import WheelFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What the manifest says of where an environment comes from; JSON objects of FORMAT.md section 5.

    ``base_prefix`` is the base interpreter's; ``compiled`` are packages made from source, with the compilers' ``flags``
    for the processor by package, as far as they are known. ``wheels`` are what was installed, by package, ``direct``
    packages that were asked for by where they are, ``tools`` wheels of what packages were built with.
    """

    key: str
    interpreter: Mapping[str, Any]
    host: Mapping[str, Any]
    installer: Mapping[str, Any]
    request: Mapping[str, Any]
    libc: tuple[str, tuple[int, int]] | None
    compiled: frozenset[str]
    downloads: Mapping[str, str]
    base_prefix: str = ""
    flags: Mapping[str, Collection[str]] = field(default_factory=dict)
    wheels: Mapping[str, WheelFile] = field(default_factory=dict)
    direct: frozenset[str] = frozenset()
    tools: tuple[WheelFile, ...] = ()
