"""How time and the share of each client grow: over files, over bytes, over clients at once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from scripts.benchmark import sets
from scripts.benchmark.measuring import Scenario, measure
from scripts.benchmark.preparing import note_sizes, prepare_tree
from scripts.benchmark.results import Measured
from scripts.benchmark.scenarios import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from scripts.benchmark.measuring import Launcher
    from scripts.benchmark.results import Results
    from scripts.benchmark.sets import Requirements
    from scripts.benchmark.tools import Tools

AMOUNTS: Final[dict[str, tuple[int, ...]]] = {
    "files": (1_000, 3_000, 10_000, 30_000, 100_000),
    "bytes": (10_000_000, 100_000_000, 1_000_000_000, sets.SYNTHETIC_BYTES),
    "clients": (1, 2, 5, 10, 20, 50),
}
ROUNDS: Final = 3
"""At most: the largest take long."""
MAKERS: Final[dict[str, Callable[[int, Path], Requirements]]] = {"files": sets.of_files, "bytes": sets.of_bytes}


def grow(axis: str, rounds: int, folder: Path, tools: Tools, launcher: Launcher, results: Results) -> None:
    """Measure a curve: every amount in every round, so that amounts are compared with neighbours in time too."""
    points = results.growth[axis] = {}
    scenarios: list[tuple[int, Scenario]] = []
    folder.mkdir()
    # The largest first: what making it takes is gone before there is more.
    for amount in sorted(AMOUNTS[axis], reverse=True) if axis in MAKERS else ():
        place = folder / str(amount)
        (place / "wheels").mkdir(parents=True)
        prepared = prepare_tree(MAKERS[axis](amount, place / "wheels"), place, tools, launcher)
        points[amount] = Measured()
        note_sizes(prepared, points[amount])
        scenarios += [(amount, scenario) for scenario in plain(prepared)]
    if axis == "clients":
        prepared = prepare_tree(sets.crowd(), folder / "crowd", tools, launcher)
        for amount in AMOUNTS[axis]:
            points[amount] = Measured()
            note_sizes(prepared, points[amount])
            scenarios += [(amount, at_once(scenario, amount)) for scenario in plain(prepared)]
    in_rounds(scenarios[::-1] if axis in MAKERS else scenarios, min(rounds, ROUNDS), points, launcher, results)
    launcher.run(f"rm -rf {folder}")


def in_rounds(
    scenarios: Sequence[tuple[int, Scenario]],
    rounds: int,
    points: dict[int, Measured],
    launcher: Launcher,
    results: Results,
) -> None:
    """Measure scenarios of several amounts in the same rounds."""
    together = Measured()
    named = [replace(scenario, name=f"{scenario.name} · {amount}") for amount, scenario in scenarios]
    for (amount, scenario), unique in zip(scenarios, named, strict=True):
        points[amount].bytecode[scenario.name] = scenario.bytecode
        # The same list: what is noted in one is in the other, and saved with it.
        points[amount].runs[scenario.name] = together.runs[unique.name] = []
    measure(launcher, named, rounds, together, results)


def at_once(scenario: Scenario, clients: int) -> Scenario:
    """Return a scenario in which so many processes do the same at the same time, each for itself."""
    one = scenario.command.replace("{new}", "{new}/$client")
    command = (
        f'mkdir {{new}}; clients=; for client in $(seq {clients}); do ({one}) & clients="$clients $!"; done; '
        "for client in $clients; do wait $client || exit 1; done"
    )
    return replace(scenario, command=command)
