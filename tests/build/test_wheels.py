"""How pip is run with a wheelhouse beside its indexes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from terrastore.build.wheels import Shelf, Wheel, WithShelf, _is_out_of_reach
from terrastore.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

PAGE = "Getting page http://a.example/simple/six/\n"
REFUSED = (
    "Could not fetch URL http://a.example/simple/six/: connection error: [Errno 111] Connection refused - skipping\n"
)
OTHER = "Getting page https://b.example/simple/six/\n"
NONE = "Could not fetch URL https://b.example/simple/six/: 404 Client Error: Not Found for url - skipping"
FAILING = "Could not fetch URL https://b.example/simple/six/: 503 Server Error: Service Unavailable - skipping"
LOCAL = "Getting page file:///opt/simple/six/\n"


@pytest.mark.parametrize(
    ("expected", "said"),
    [
        pytest.param(True, PAGE + REFUSED, id="refused"),
        pytest.param(False, PAGE + REFUSED + OTHER, id="another-answers"),
        pytest.param(False, PAGE + REFUSED + OTHER + NONE, id="another-has-it-not"),
        pytest.param(True, PAGE + REFUSED + OTHER + FAILING, id="another-is-broken"),
        pytest.param(True, LOCAL + PAGE + REFUSED, id="a-file-is-no-index-that-answers"),
        pytest.param(False, LOCAL, id="files-alone"),
        pytest.param(False, "", id="nothing-said"),
    ],
)
def test_an_index_that_cannot_be_reached(expected: bool, said: str) -> None:
    """None gave a page, and none refused to."""
    assert expected == _is_out_of_reach(said)


def wheel(name: str, **others: object) -> Wheel:
    return Wheel(file=f"{name}-1.0-py3-none-any.whl", sha256=name, name=name, version="1.0", **others)  # type: ignore[arg-type]


class Pips:
    """Stands in for pip: notes with what it is run, and fails as often as it is told."""

    def __init__(self, *failures: str) -> None:
        self.runs: list[list[str]] = []
        self.fetched: list[str] = []
        self._failures = list(failures)

    def fetch(self, wheels: Iterable[Wheel], _: str) -> Sequence[Wheel]:
        self.fetched += [each.name for each in wheels]
        return list(wheels)

    def __call__(self, arguments: Sequence[str]) -> str:
        self.runs.append([each.partition("=")[0] for each in arguments])
        if self._failures and (failure := self._failures.pop(0)):
            raise BuildError(failure)
        return ""


PINNED = wheel("alpha")
BUILT = wheel("gamma", built=True)
OPEN = wheel("beta")
GONE = "ERROR: No matching distribution found for alpha==1.0"
OFFLINE = ["--find-links", "--no-index"]


@pytest.mark.parametrize(
    ("expected", "fetched", "closed", "down", "failures"),
    [
        pytest.param([OFFLINE], ["alpha", "gamma"], True, False, (), id="all-is-fixed"),
        pytest.param(
            [OFFLINE, ["--find-links"]], ["alpha", "gamma"], True, False, ("no",), id="something-else-is-needed"
        ),
        pytest.param([["--find-links"]], ["gamma"], False, False, (), id="compiled-before"),
        pytest.param([["--find-links"]] * 2, ["gamma", "alpha"], False, False, (GONE,), id="gone-from-the-index"),
        pytest.param([OFFLINE], ["alpha", "gamma", "beta"], False, True, (), id="no-index-answers"),
    ],
)
def test_where_wheels_are_looked_for(
    expected: list[list[str]], fetched: list[str], closed: bool, down: bool, failures: tuple[str, ...], tmp_path: Path
) -> None:
    """Where all is fixed no index is asked; where one answers it serves what it has; else the wheelhouse serves all."""
    pips = Pips(*failures)
    wanted = {"alpha": "1.0", "gamma": "1.0"} if closed else {"alpha": "1.0", "gamma": "1.0", "beta": ""}
    shelf = Shelf(
        place="here",
        pinned=(PINNED, BUILT),
        others=(OPEN,),
        wanted=wanted,
        is_closed=closed,
        may_be_offline=True,
        fetch=pips.fetch,
    )
    WithShelf(shelf, str(tmp_path)).install(pips, lambda _: PAGE + (REFUSED if down else ""))
    assert (expected, fetched) == (pips.runs, pips.fetched)
