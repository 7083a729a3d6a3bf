"""Figures of a store of many environments, for the page of it; nothing of it is on a disk."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import TYPE_CHECKING, Final

from terrastore.key import EnvKey
from terrastore.overview import Overview, steps
from terrastore.store.protocol import Listed
from terrastore.upkeep import prune
from terrastore.upkeep.holdings import Environment
from terrastore.upkeep.known import Contents, Weight
from terrastore.upkeep.prune import Criteria, Pruned

if TYPE_CHECKING:
    from collections.abc import Sequence

DAY: Final = 86400.0
NOW: Final = 1_790_000_000.0
SEED: Final = 20260901
WEB: Final = Path(__file__).parents[1] / "data/web.txt"


def key(number: int) -> EnvKey:
    """Return one of many keys, which look like others from their first digit on."""
    return EnvKey(f"cp311-linux_x86_64-{hashlib.sha1(str(number).encode()).hexdigest()}")


def weight(name: str, version: str | None, packed: int) -> Weight:
    """Return a layer; its digest is that of its name and version."""
    digest = hashlib.sha256(f"{name} {version}".encode()).hexdigest()
    return Weight(name, version, digest, packed, packed * 4)


def environment(
    number: int, size: int, *, made: float = NOW - DAY, marked: float | None = None, pins: Sequence[str] = ()
) -> Environment:
    """Return an environment of a store, made a day ago unless said otherwise."""
    name = key(number)
    archive = Listed(f"v1/archives/{name}/{'0' * 32}.tar.zst", size, made)
    pointer = Listed(f"v1/pointers/{name}.json", 900, made)
    return Environment(key=name, pointer=pointer, archives=(archive,), marked=marked, pins=tuple(pins))


def overview(
    environments: Sequence[Environment],
    layers: Sequence[Sequence[Weight]],
    criteria: Criteria | None = None,
    *,
    store: str = "s3://acme-envs/web",
) -> Overview:
    """Return the figures of a store that has these environments, each of some layers."""
    criteria = criteria or Criteria()
    removed = prune.chosen(environments, criteria, NOW)
    later = sum(each.environment.size for each in removed)
    return Overview(
        store=store,
        at=NOW,
        environments=tuple(environments),
        contents={
            each.key: Contents(
                packages=tuple((layer.name, layer.version) for layer in own if layer.version is not None),
                wheels=(),
                layers=tuple(own),
                python="3.11.7",
            )
            for each, own in zip(environments, layers, strict=True)
        },
        criteria=criteria,
        pruned=Pruned(
            total=len(environments),
            removed=removed,
            tidied={"archives": 2, "marks": 3},
            freed=28_400_000,
            later=later,
            left=sum(each.size for each in environments) - later,
        ),
        unprunable="",
        steps=steps(environments, NOW),
    )


def fifty(count: int = 50) -> Overview:
    """Return a store as teams have it: services in many versions, of the packages of the web set."""
    dice = random.Random(SEED)
    names = [line.split("==")[0] for line in WEB.read_text().splitlines() if line[:1].isalnum()]
    sizes = {name: int(dice.lognormvariate(12.6, 1.5)) for name in names}
    services = [dice.sample(names, dice.randint(12, 60)) for _ in range(6)]
    environments, layers = [], []
    for number in range(count):
        moment = dice.random() ** 2 * 300
        own = [weight("base", None, 3_100_000)]
        for name in sorted(services[number % len(services)]):
            version = f"{len(name)}.{int(moment / 90)}.{1 if dice.random() < 0.1 else 0}"
            own.append(weight(name, version, int(sizes[name] * (1 + len(version) / 50))))
        own.append(weight("rest", None, 4096))
        made = NOW - moment * DAY
        marked = None if dice.random() < 0.2 else max(made, NOW - dice.random() * moment * DAY)
        pins = ["production"] if number == 7 else ["staging", "release-2026.4"] if number == 12 else []
        total = sum(layer.packed for layer in own)
        environments.append(environment(number, total, made=made, marked=marked, pins=pins))
        layers.append(own)
    ordered = sorted(zip(environments, layers, strict=True), key=lambda pair: -pair[0].made)
    found, theirs = zip(*ordered, strict=True)
    return overview(found, theirs, Criteria(unused_for=60 * DAY, keep_last=40))
