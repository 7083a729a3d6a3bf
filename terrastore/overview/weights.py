"""What packages weigh in a store, and which layers its environments have in common. Sizes are bytes as stored."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from terrastore.key import EnvKey
    from terrastore.upkeep.known import Weight

    Layers = Mapping[EnvKey, Sequence[Weight]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer, counted once: its bytes, and how many environments have it.

    ``stored`` is what all its copies take: archives have it each for itself. ``version`` is None for what is no
    package.
    """

    name: str
    version: str | None
    digest: str
    packed: int
    stored: int
    environments: int

    @property
    def again(self) -> int:
        """Bytes of all its copies but one."""
        return self.stored - self.packed


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """The layers of a name, the heaviest first; several may be of one version, as of other interpreters."""

    name: str
    layers: tuple[Layer, ...]

    @property
    def packed(self) -> int:
        """Bytes of its layers, each counted once."""
        return sum(layer.packed for layer in self.layers)

    @property
    def stored(self) -> int:
        """Bytes of all copies of its layers."""
        return sum(layer.stored for layer in self.layers)

    @property
    def versions(self) -> tuple[str, ...]:
        """Its versions, the heaviest first."""
        return tuple(dict.fromkeys(layer.version or "" for layer in self.layers))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """Environments, those with much in common beside each other, and how many bytes each two have in common.

    ``common[i][j]`` is for ``keys[i]`` and ``keys[j]``; with itself an environment has all its layers in common.
    """

    keys: tuple[EnvKey, ...]
    common: tuple[tuple[int, ...], ...]


def counted(environments: Layers) -> tuple[Layer, ...]:
    """Return each layer once, the heaviest first."""
    found: defaultdict[str, list[Weight]] = defaultdict(list)
    for layers in environments.values():
        for weight in {weight.digest: weight for weight in layers}.values():
            found[weight.digest].append(weight)
    each = [
        Layer(
            name=first.name,
            version=first.version,
            digest=digest,
            # Another version of the compressor may have made another length of it.
            packed=max(weight.packed for weight in copies),
            stored=sum(weight.packed for weight in copies),
            environments=len(copies),
        )
        for digest, copies in found.items()
        for first in [min(copies, key=lambda weight: (weight.name, weight.version or ""))]
    ]
    return tuple(sorted(each, key=lambda layer: (-layer.packed, layer.name, layer.version or "", layer.digest)))


def packages(layers: Iterable[Layer]) -> tuple[Package, ...]:
    """Return layers by the package that they are of, the heaviest first."""
    named: defaultdict[tuple[bool, str], list[Layer]] = defaultdict(list)
    for layer in layers:
        named[layer.version is None, layer.name].append(layer)
    found = [Package(name=name, layers=tuple(each)) for (_, name), each in named.items()]
    return tuple(sorted(found, key=lambda package: (-package.packed, package.name)))


def alone(environments: Layers, layers: Iterable[Layer]) -> dict[EnvKey, int]:
    """Return for each environment the bytes of layers that no other one has."""
    single = {layer.digest for layer in layers if layer.environments == 1}
    return {key: sum(weight.packed for weight in each if weight.digest in single) for key, each in environments.items()}


def sharing(environments: Layers) -> Sharing:
    """Return what each two of ``environments`` have in common; the work grows with the square of their number."""
    sizes = {key: {weight.digest: weight.packed for weight in each} for key, each in environments.items()}
    common = {
        (one, other): sum(size for digest, size in sizes[one].items() if digest in sizes[other])
        for one in sizes
        for other in sizes
    }
    keys = _neighbours(list(sizes), common)
    return Sharing(keys=tuple(keys), common=tuple(tuple(common[one, other] for other in keys) for one in keys))


def _neighbours(keys: Sequence[EnvKey], common: Mapping[tuple[EnvKey, EnvKey], int]) -> list[EnvKey]:
    """Return ``keys``, the heaviest first, the others each behind the one it is most like, the likest before others."""

    def likeness(one: EnvKey, other: EnvKey) -> float:
        union = common[one, one] + common[other, other] - common[one, other]
        return common[one, other] / union if union else 0.0

    left = sorted(keys, key=lambda key: (-common[key, key], key))
    placed = left[:1]
    del left[:1]
    while left:
        pairs = ((before, after) for before in range(len(placed)) for after in range(len(left)))
        before, after = max(pairs, key=lambda pair: (likeness(placed[pair[0]], left[pair[1]]), pair[0], -pair[1]))
        placed.insert(before + 1, left.pop(after))
    return placed


def heaviest(layers: Iterable[Weight], most: int) -> list[str]:
    """Return the names of the packages that weigh most, for a person to tell an environment by."""
    weights: Counter[str] = Counter()
    for layer in layers:
        if layer.version is not None:
            weights[layer.name] += layer.packed
    return [name for name, _ in sorted(weights.items(), key=lambda item: (-item[1], item[0]))[:most]]
