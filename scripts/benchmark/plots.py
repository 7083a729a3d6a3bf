"""Draws results as SVG; run with matplotlib, which is in an environment of its own.

    python -m scripts.benchmark.plots RESULTS FOLDER

Backgrounds are transparent, text is of a grey that can be read on white and on black, and the colours are those of
Okabe and Ito, which the colour-blind tell apart; lines differ in their markers too. The same results give the same
bytes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from scripts.benchmark.goals import MEGABYTE, judge_set
from scripts.benchmark.results import Results, Spread
from scripts.benchmark.tables import CURVES, UNITS, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

    from scripts.benchmark.goals import Judged
    from scripts.benchmark.results import Measured

GREY: Final = "#7a828c"
BLUE: Final = "#0072b2"
ORANGE: Final = "#d55e00"
GREEN: Final = "#009e73"
PURPLE: Final = "#cc79a7"
OWN: Final = ("fetch", "unpack", "recreate", "one pin", "kept", "miss", "nothing there")
STYLES: Final = dict(zip(CURVES, ((BLUE, "o"), (ORANGE, "s"), (GREEN, "^")), strict=True))
SETTINGS: Final = {
    "svg.hashsalt": "terrastore",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": GREY,
    "axes.edgecolor": GREY,
    "axes.labelcolor": GREY,
    "axes.titlesize": 11,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "grid.color": GREY,
    "grid.alpha": 0.3,
    "hatch.color": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "savefig.transparent": True,
}


def draw_goals(axes: Axes, judged: list[Judged]) -> None:
    """Draw each median as a share of its bound: what ends left of the line is met."""
    for place, each in enumerate(reversed(judged)):
        shares = [value / each.bound for value in (each.spread.median, each.spread.lower, each.spread.upper)]
        median, lower, upper = shares
        is_met = each.verdict.startswith("met")
        axes.barh(place, median, color=BLUE if is_met else ORANGE, hatch=None if is_met else "//", edgecolor="none")
        axes.errorbar(median, place, xerr=[[median - lower], [upper - median]], color=GREY, capsize=3, linewidth=1.5)
        words = f"{number(each.spread.median)} of {each.bound:g}, {each.verdict}"
        axes.annotate(words, (max(upper, 1), place), (6, 0), textcoords="offset points", va="center", fontsize=8)
    axes.axvline(1, color=GREY, linewidth=1.5)
    axes.set_yticks(range(len(judged)), [each.title for each in reversed(judged)])
    axes.set_xlabel("median as a share of the goal; whiskers: the middle half")
    axes.set_xlim(0, 1.4 * max(1.5, *(each.spread.upper / each.bound for each in judged)))  # room for words


def draw_seconds(axes: Axes, measured: Measured) -> None:
    """Draw how long each scenario took."""
    names = [name for name in measured.runs if measured.values(name, "wall")]
    for place, name in enumerate(reversed(names)):
        spread = Spread.of(measured.values(name, "wall"))
        is_own = name.startswith(OWN)
        axes.barh(
            place, spread.median, color=BLUE if is_own else PURPLE, hatch=None if is_own else "\\\\", edgecolor="none"
        )
        reach = [[spread.median - spread.least], [spread.most - spread.median]]
        axes.errorbar(spread.median, place, xerr=reach, color=GREY, capsize=3, linewidth=1.5)
        axes.annotate(
            number(spread.median), (spread.most, place), (6, 0), textcoords="offset points", va="center", fontsize=8
        )
    bytecode = {True: "", False: " (no bytecode)", None: ""}
    axes.set_yticks(range(len(names)), [name + bytecode[measured.bytecode[name]] for name in reversed(names)])
    axes.set_xscale("log")
    number_steps(axes.xaxis)
    axes.set_xlabel("seconds from exec to exit, median; whiskers: least and most; blue: terrastore")


def draw_growth(axes: Axes, axis: str, points: dict[int, Measured]) -> None:
    """Draw how time grows, or the share of each client."""
    quantity, label = ("cpu", "CPU seconds a client") if axis == "clients" else ("wall", "seconds from exec to exit")
    amounts = sorted(points)
    shown = [amount / (MEGABYTE if axis == "bytes" else 1) for amount in amounts]
    for name, (colour, marker) in STYLES.items():
        spreads = [
            Spread.of([value / (amount if axis == "clients" else 1) for value in points[amount].values(name, quantity)])
            for amount in amounts
        ]
        middle = [spread.median for spread in spreads]
        reach = [[s.median - s.least for s in spreads], [s.most - s.median for s in spreads]]
        axes.errorbar(shown, middle, yerr=reach, color=colour, marker=marker, capsize=3, linewidth=1.8, label=name)
    axes.set_xscale("log")
    axes.set_yscale("linear" if axis == "clients" else "log")
    if axis == "clients":
        axes.set_ylim(bottom=0)
    if axis != "clients":
        number_steps(axes.yaxis)
    axes.set_xticks(shown, [f"{each:,g}" for each in shown])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(UNITS[axis])
    axes.set_ylabel(label)
    axes.legend()


def number_steps(axis: Axis) -> None:
    """Write plain numbers along a logarithmic axis."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def draw(results: Results, folder: Path) -> None:
    """Write all plots that there is something to show in."""
    for name, measured in results.sets.items():
        judged = judge_set(measured)
        if judged:
            _, axes = plt.subplots(figsize=(11, 1 + 0.34 * len(judged)))
            draw_goals(axes, judged)
            finish(axes, f"{name}: terrastore against its goals", folder / f"{name}-goals.svg", "x")
        if measured.runs:
            _, axes = plt.subplots(figsize=(11, 1 + 0.27 * len(measured.runs)))
            draw_seconds(axes, measured)
            finish(axes, f"{name}: every scenario", folder / f"{name}-seconds.svg", "x")
    for axis, points in results.growth.items():
        _, axes = plt.subplots(figsize=(7, 4.5))
        draw_growth(axes, axis, points)
        finish(axes, f"growth over {axis}", folder / f"growth-{axis}.svg", "both")


def finish(axes: Axes, title: str, path: Path, grid: str) -> None:
    """Give a plot its title and grid, and write it."""
    axes.set_title(title)
    axes.grid(visible=True, axis=grid)
    axes.set_axisbelow(True)
    axes.figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    plt.close(axes.figure)
    # Its paths have blanks at the ends of their lines.
    path.write_text("".join(f"{line.rstrip()}\n" for line in path.read_text().splitlines()))


def main() -> None:
    """Draw what was saved."""
    mpl.use("svg")
    mpl.rcParams.update(SETTINGS)
    folder = Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    draw(Results.load(Path(sys.argv[1])), folder)


if __name__ == "__main__":
    main()
