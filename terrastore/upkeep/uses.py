"""Marks of use: that an environment was fetched or built, once a week, so that pruning knows what nobody needs.

A mark is an empty object whose name says the ISO week and the key. Nobody waits for one, and none is worth a failure.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from terrastore.errors import StoreRefusedError, TerrastoreError, reason
from terrastore.store import layout
from terrastore.store.protocol import WritableStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from terrastore.key import EnvKey
    from terrastore.report import Report
    from terrastore.store.protocol import Store

_PATIENCE: Final = 2.0
"""Most seconds that a run waits for its mark once everything else is done."""


@contextmanager
def marked(store: Store, key: EnvKey, report: Report) -> Iterator[None]:
    """Mark that ``key`` is used while the body runs; a body that fails leaves the mark to itself.

    Where ``store`` cannot be written there are no marks. That this user may not write there is for who wants to see
    everything; other trouble is a warning.
    """
    if not isinstance(store, WritableStore):
        yield
        return
    mark = _Mark(store, layout.use(week(datetime.now(UTC)), key.text))
    yield
    mark.end(report)


def week(moment: datetime) -> str:
    """Return the ISO week of a moment in UTC: ``2026-W05``."""
    year, number, _ = moment.isocalendar()
    return f"{year:04}-W{number:02}"


class _Mark:
    """A mark on its way, by a thread that nobody waits for at the end of the process."""

    def __init__(self, store: WritableStore, name: str) -> None:
        self._store = store
        self._name = name
        self._trouble: Exception | None = None
        self._thread = threading.Thread(target=self._put, daemon=True)
        self._thread.start()

    def end(self, report: Report) -> None:
        """Wait a little, and tell what went wrong."""
        self._thread.join(_PATIENCE)
        error = self._trouble
        if isinstance(error, StoreRefusedError):
            report.told(f"that the environment is used is not noted: {error.message}")
        elif error is not None:
            why = error.message if isinstance(error, TerrastoreError) else reason(error)
            report.warn(f"that the environment is used is not noted: {why}")

    def _put(self) -> None:
        try:
            self._store.create(self._name, b"")
        except Exception as error:  # noqa: BLE001 -- told by who waits
            self._trouble = error
