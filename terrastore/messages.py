"""What every command line prints in the same way: errors, JSON, places as a person would name them."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any, Final

from terrastore.errors import HostError, TerrastoreError
from terrastore.redaction import without_secrets
from terrastore.report import plain_lines

if TYPE_CHECKING:
    from typing import TextIO

SCHEMA: Final = 1


def near(path: str) -> str:
    """Return ``path`` relative to the working directory when it is below that."""
    relative = os.path.relpath(path)
    return path if relative.split(os.sep)[0] == os.pardir else relative


def print_line(text: str, stream: TextIO | None = None) -> None:
    """Print lines for people, on standard output unless said otherwise; on a terminal they are broken between words."""
    stream = stream or sys.stdout
    if stream.isatty():
        from terrastore import terminal  # noqa: PLC0415 -- where nobody watches it is not needed

        text = terminal.fitted(text, stream)
    print(text, file=stream, flush=True)


def print_json(document: dict[str, Any]) -> None:
    """Print one object on standard output."""
    print(json.dumps(document, ensure_ascii=False))


def print_error(error: TerrastoreError, *, as_json: bool, verbose: bool) -> None:
    """Print what went wrong and what to do about it."""
    if verbose:
        import traceback  # noqa: PLC0415 -- few want to see one

        # What an error was raised from may quote a URL as it was said.
        print(without_secrets("".join(traceback.format_exception(error))), end="", file=sys.stderr)
    # A store's words may be in it.
    print_line(f"terrastore: error: {plain_lines(error.message)}", sys.stderr)
    if error.hint:
        print_line(f"terrastore: hint: {plain_lines(error.hint)}", sys.stderr)
    if as_json:
        print_json(error_json(error.kind, error.message, error.hint))


def print_interrupted(*, as_json: bool) -> None:
    """Print that somebody ended the run."""
    print("terrastore: interrupted", file=sys.stderr)
    if as_json:
        print_json(error_json("interrupted", "interrupted", ""))


def error_json(kind: str, message: str, hint: str) -> dict[str, Any]:
    """Return the object of ``--json`` after a failure."""
    return {"schema": SCHEMA, "error": {"kind": kind, "message": message, "hint": hint}}


def as_error(problem: Exception) -> TerrastoreError:
    """Return what is told of anything that was raised: no traceback reaches a user."""
    if isinstance(problem, TerrastoreError):
        return problem
    if isinstance(problem, OSError) and problem.strerror:
        what = problem.filename2 or problem.filename or "this machine"
        return HostError(f"{what}: {problem.strerror.lower()}", hint="check the disk and the permissions")
    name = type(problem).__name__
    return TerrastoreError(
        without_secrets(f"this is a defect of terrastore: {name}: {problem}"),
        hint="run again with -v and report what it prints",
    )
