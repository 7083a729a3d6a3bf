"""Many small requests at once: a store that is far away answers each of them in the time that one takes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    _Item = TypeVar("_Item")
    _Result = TypeVar("_Result")


def mapped(function: Callable[[_Item], _Result], items: Sequence[_Item], threads: int) -> list[_Result]:
    """Return what ``function`` returns for each item, in order, asked by so many threads.

    What one of them raises is raised, and what has not begun by then never does.
    """
    pool = ThreadPoolExecutor(max(1, min(threads, len(items))))
    try:
        return list(pool.map(function, items))
    finally:
        pool.shutdown(cancel_futures=True)
