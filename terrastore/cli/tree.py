"""How the weight of an environment is drawn: a line for each package, the heaviest first."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from terrastore.names import normalised
from terrastore.report import plain, size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from terrastore.archive.manifest import Layer, Manifest

_BARS: Final = {60: 6, 80: 12, 120: 20}
"""Columns of a bar in a terminal of less than so many columns."""
_LONGEST_BAR: Final = 32
_ROOMY: Final = 72
"""Columns from which on there is room for parts in per cent."""
_LEAST: Final = 12
"""Columns without which it is not said who needs a package."""
_EIGHTHS: Final = " ▏▎▍▌▋▊▉"
_LAYERS: Final = {"base": "before packages", "rest": "of no package"}


def lines(manifest: Manifest, needed_by: Mapping[str, Sequence[str]], *, columns: int, fine: bool = True) -> list[str]:
    """Return the lines, none wider than ``columns``; ``fine`` says whether there are characters for parts of a bar.

    Who needs a package is told as ``needed_by`` says, by normalised name, and as far as there is room.
    """
    layers = sorted(manifest.layers, key=lambda layer: (-layer.size, layer.name))
    total, largest = sum(layer.size for layer in layers), max(layer.size for layer in layers)
    bar = next((length for most, length in _BARS.items() if columns <= most), _LONGEST_BAR)
    asked = frozenset(map(_name, manifest.request.get("requirements", ())))
    names = [plain(f"{layer.name} {layer.version}") if layer.version else _LAYERS[layer.name] for layer in layers]
    has_room = columns >= _ROOMY
    left = columns - len("  100.0 MB    ") - (len("  100 %") if has_room else 0) - bar
    width = min(max(map(len, names)), max(left * 2 // 3, left - 60))
    drawn = []
    for layer, name in zip(layers, names, strict=True):
        figures = f"{size(layer.size):>10}"
        if has_room:
            figures += f"  {100 * layer.size / max(1, total):3.0f} %"
        length = f"{_bar(layer.size / max(1, largest), bar, fine=fine):{bar}}"
        reason = _reason(layer, asked, needed_by, left - width - 2)
        drawn.append(f"{figures}  {length}  {_cut(name, width):{width}}  {reason}".rstrip())
    return drawn


def _reason(layer: Layer, asked: frozenset[str], needed_by: Mapping[str, Sequence[str]], width: int) -> str:
    """Return why a package is there, in as many words as fit."""
    name = normalised(layer.name)
    if layer.version is None or width < _LEAST:
        return ""
    users = [plain(user) for user in needed_by.get(name, ())]
    said = ["asked for"] if name in asked else []
    for few in range(len(users), -1, -1):
        more = len(users) - few
        named = ", ".join(users[:few]) + (f" and {more} more" if more and few else f"{more} others" if more else "")
        told = [*said, f"for {named}"] if named else said
        if len(text := "; ".join(told)) <= width:
            return text
    return _cut("; ".join(said), width)


def _bar(part: float, length: int, *, fine: bool) -> str:
    eighths = max(1, round(part * length * 8)) if part else 0
    if not fine:
        return "#" * max(1, round(part * length))
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: max(0, width - 1)]}…"


def _name(requirement: str) -> str:
    """Return the normalised name of a requirement, "" where it has none."""
    match = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*(?![/\\:])", requirement)
    return normalised(match[0]) if match else ""
