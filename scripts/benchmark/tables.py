"""Results as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from scripts.benchmark.goals import LINEAR, MEGABYTE, beside, exponents, judge_growth, judge_set
from scripts.benchmark.results import Spread

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from scripts.benchmark.goals import Judged
    from scripts.benchmark.results import Measured, Results

CURVES: Final = ("fetch, directory", "zstd -dc | tar -x", "cp -r")
UNITS: Final = {"files": "files", "bytes": "MB", "clients": "clients at once"}


def whole(results: Results) -> str:
    """Return everything, section by section."""
    parts = [f"## {title}\n\n{text}" for title, text in blocks(results).items() if text]
    return "\n".join(parts)


def blocks(results: Results) -> dict[str, str]:
    """Return what can stand in a document, by name."""
    found = {"machine": machine(results)}
    for name, measured in results.sets.items():
        found[f"{name} goals"] = goals(judge_set(measured))
        found[f"{name} scenarios"] = f"{facts(measured)}\n{scenarios(measured)}"
        found[f"{name} beside"] = ratios(measured)
        found[f"{name} traffic"] = traffic(measured)
    found["growth goals"] = goals(judge_growth(results.growth))
    found["growth"] = "\n".join(growth(axis, points) for axis, points in results.growth.items())
    return found


def machine(results: Results) -> str:
    """Return what was measured on, with which tools, and what was not."""
    described = ", ".join(f"{name}: {value}" for name, value in results.machine.items())
    tools = ", ".join(f"{name} {version}" for name, version in results.tools.items())
    lines = [f"Machine: {described}.", f"Tools: {tools}."]
    lines += [f"Left out: {name}: {why.splitlines()[0]}." for name, why in results.left_out.items()]
    return "\n\n".join(lines) + "\n"


def goals(judged: Iterable[Judged]) -> str:
    """Return a row for each goal: the median, the middle half of the values, and what that means."""
    rows = [
        (
            each.title,
            f"≤ {each.bound:g}",
            number(each.spread.median),
            _between(each.spread),
            str(each.pairs),
            each.verdict,
        )
        for each in judged
    ]
    return table(("what", "goal", "median", "middle half", "rounds", "verdict"), rows)


def ratios(measured: Measured) -> str:
    """Return a row for each rival, what beats terrastore first."""
    rows = [
        (ours, rival, number(wall.median), _between(wall), _compared(wall), number(cpu.median))
        for ours, rival, wall, cpu in beside(measured)
    ]
    return table(("terrastore", "beside", "ratio", "middle half", "terrastore is", "ratio of CPU s"), rows)


def facts(measured: Measured) -> str:
    """Return how large everything is."""
    known = measured.facts
    sizes = ("archive", "tar | zstd -6", "tar | zstd -6 -T1", "tar | gzip -6", "pex", "venv-pack")
    packed = ", ".join(f"{name} {known[name] / MEGABYTE:.1f} MB" for name in sizes if name in known)
    raw = f"{known['files']:,.0f} files, {known['bytes'] / MEGABYTE:,.0f} MB"
    return f"{known['packages']:.0f} packages, {raw}. {packed}.\n"


def scenarios(measured: Measured) -> str:
    """Return a row for each scenario: seconds, least to most, and memory."""
    rows = []
    for name in measured.runs:
        wall, cpu, memory, first = (measured.values(name, each) for each in ("wall", "cpu", "memory", "first_byte"))
        if wall:
            bytecode = {True: "yes", False: "no", None: ""}[measured.bytecode[name]]
            peak = f"{max(memory) / MEGABYTE:.0f}" if any(memory) else ""
            answered = number(Spread.of(first).median) if first else ""
            rows.append(
                (name, bytecode, _seconds(wall), _seconds(cpu) if any(cpu) else "", answered, peak, str(len(wall)))
            )
    return table(("scenario", "bytecode", "wall s", "CPU s", "first byte s", "peak MB", "rounds"), rows)


def traffic(measured: Measured) -> str:
    """Return a row for each scenario that was counted on the wire."""
    rows = [
        (
            name,
            ", ".join(f"{number} {operation}" for operation, number in each.requests.items()),
            f"{each.received / MEGABYTE:.2f}",
            f"{each.sent / MEGABYTE:.2f}",
        )
        for name, each in measured.traffic.items()
    ]
    return table(("scenario", "requests", "MB received", "MB sent"), rows)


def growth(axis: str, points: dict[int, Measured]) -> str:
    """Return a row for each amount, and how time grows."""
    rows = []
    for amount, measured in sorted(points.items()):
        shown = f"{amount / MEGABYTE:,.0f}" if axis == "bytes" else f"{amount:,}"
        share = amount if axis == "clients" else 1
        cells = [shown]
        for name in CURVES:
            wall, cpu = measured.values(name, "wall"), measured.values(name, "cpu")
            cells += [_seconds(wall), _seconds([value / share for value in cpu])] if wall else ["", ""]
        memory = measured.values(CURVES[0], "memory")
        rows.append((*cells, f"{max(memory) / MEGABYTE:.0f}" if memory else ""))
    each = " each" if axis == "clients" else ""
    heads = [f"{name}, {unit}" for name in CURVES for unit in ("wall s", f"CPU s{each}")]
    text = table((UNITS[axis], *heads, "peak MB"), rows)
    if axis != "clients":
        fits = {name: exponents(points, name) for name in CURVES}
        told = ", ".join(f"{name}: {number(Spread.of(values).median)}" for name, values in fits.items() if values)
        text += (
            f"\nTime grows as size^a over the largest tenfold, linear up to {LINEAR:g}; a: {told}.\n" if told else ""
        )
    return text


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table, nothing without rows; bars in cells are escaped."""
    lines = [heads, ["---"] * len(heads), *rows]
    if len(lines) == 2:
        return ""
    return "".join(f"| {' | '.join(_escaped(line))} |\n" for line in lines)


def _escaped(cells: Iterable[str]) -> Iterator[str]:
    return (cell.replace("|", r"\|") for cell in cells)


def number(value: float) -> str:
    """Return a number of three digits or more."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _between(spread: Spread) -> str:
    return f"{number(spread.lower)} to {number(spread.upper)}"


def _compared(spread: Spread) -> str:
    if spread.lower <= 1 <= spread.upper:
        return "as fast, within the spread"
    return f"{spread.median:.1f} times slower" if spread.median > 1 else f"{1 / spread.median:.1f} times faster"


def _seconds(values: list[float]) -> str:
    spread = Spread.of(values)
    return f"{number(spread.median)} ({number(spread.least)} to {number(spread.most)})"
