"""Every failure has an exit code of its own, and says what to do about it."""

from __future__ import annotations

import inspect

import pytest

from terrastore import errors
from terrastore.errors import INTERRUPTED, TerrastoreError


def kinds(error: type[TerrastoreError] = TerrastoreError) -> list[type[TerrastoreError]]:
    """Return an error and all its subclasses."""
    return [error, *(each for subclass in error.__subclasses__() for each in kinds(subclass))]


# The table of exit codes that the command line promises.
CODES = {
    "TerrastoreError": 1,
    "UsageError": 2,
    "RequirementsError": 3,
    "NotInStoreError": 4,
    "BuildError": 5,
    "StoreUnreachableError": 6,
    "StoreRefusedError": 7,
    "ArchiveRefusedError": 8,
    "HostError": 9,
    "WaitError": 10,
}


def test_exit_codes_are_those_promised() -> None:
    """Scripts rely on these numbers; an error that is added must be given one."""
    assert CODES == {each.__name__: each.exit_code for each in kinds()}


def test_every_kind_is_told_apart() -> None:
    """No two errors share an exit code, a kind, or success's or an interruption's code."""
    codes = [each.exit_code for each in kinds()]
    names = [each.kind for each in kinds()]
    assert len(codes) == len(set(codes))
    assert len(names) == len(set(names))
    assert not {0, INTERRUPTED} & set(codes)
    assert 130 == INTERRUPTED


def test_the_tree_in_the_docstring() -> None:
    """The drawing at the top of the module shows every error and its code."""
    drawing = inspect.getdoc(errors) or ""
    for name, code in CODES.items():
        assert any(name in line.split() and str(code) in line.split() for line in drawing.splitlines()), name


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
def test_messages_carry_a_hint(kind: type[TerrastoreError]) -> None:
    """An error has one line that names the thing and one that says what to do."""
    error = kind("the thing is broken", hint="mend it")
    assert ("the thing is broken", "mend it") == (error.message, error.hint)
    assert "the thing is broken" == str(error)
    assert "" == kind("the thing is broken").hint


def test_one_clause_catches_all() -> None:
    """Whoever wants to know of any failure catches one class; a defect's own is the base."""
    for kind in kinds():
        with pytest.raises(TerrastoreError):
            raise kind("the thing is broken")
    assert "defect" == TerrastoreError.kind


def test_the_root_of_a_failure_is_found() -> None:
    """Libraries wrap what the operating system said; a person wants to know the latter."""
    with pytest.raises(RuntimeError) as caught:
        fail_by_way_of_others()
    assert "connection refused" == errors.reason(errors.root_cause(caught.value))
    assert "no" == errors.reason(errors.root_cause(ValueError("No")))


def fail_by_way_of_others() -> None:
    try:
        try:
            raise ConnectionRefusedError(111, "Connection refused")
        except OSError as error:
            msg = "<object at 0x7f>: it failed"
            raise LookupError(msg) from error
    except LookupError:
        msg = "(<object at 0x7f>, it failed)"
        raise RuntimeError(msg)  # noqa: B904 -- as some do
