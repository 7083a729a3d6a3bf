"""The live display of progress, by rich: imported only when it is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Column
from rich.theme import Theme

if TYPE_CHECKING:
    from rich.console import ConsoleOptions, RenderableType, RenderResult

# Of the terminal's own colours those that can be seen on dark and on light ground.
_STYLES: Final = {
    "bar.back": "bright_black",
    "bar.complete": "green",
    "bar.finished": "green",
    "bar.pulse": "green",
    "progress.elapsed": "default",
    "progress.spinner": "green",
}


class Display(Progress):
    """A line for each phase, on standard error; tasks have the fields ``amount`` and ``status``."""

    def __init__(self) -> None:
        super().__init__(
            SpinnerColumn(),
            TextColumn("{task.description}", table_column=Column(no_wrap=True, min_width=len("virtualenv"))),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[amount]}", justify="right", table_column=Column(no_wrap=True, min_width=19)),
            TimeElapsedColumn(),
            TextColumn("{task.fields[status]}", table_column=Column(no_wrap=True, ratio=1), markup=False),
            console=Console(stderr=True, theme=Theme(_STYLES)),
            transient=True,
            refresh_per_second=10,
            expand=True,
        )

    def get_renderable(self) -> RenderableType:
        """Leave the last column free: what is typed there would push a whole line out of reach."""
        return _Narrower(super().get_renderable())


class _Narrower:
    """Something in all columns but the last."""

    def __init__(self, inner: RenderableType) -> None:
        self._inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from console.render(self._inner, options.update_width(max(1, options.max_width - 1)))
