"""``terrastore relocate`` as one file, for machines without terrastore: any Python 3.11 or later runs it.

It is a zip with the modules that relocation needs, which import the standard library alone, behind a line that
names the interpreter (PEP 441).
"""

from __future__ import annotations

import argparse
import io
import signal
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from terrastore import __version__, interpreter, messages
from terrastore.errors import INTERRUPTED, UsageError
from terrastore.place import WAIT, discard
from terrastore.relocation import move, relocate
from terrastore.report import Report, number

if TYPE_CHECKING:
    from collections.abc import Sequence

MODULES: Final = (
    "__init__",
    "_asked",
    "archive/__init__",
    "archive/_compile",
    "archive/bytecode",
    "archive/layers",
    "archive/limits",
    "archive/literals",
    "archive/manifest",
    "archive/originals",
    "archive/placeholder",
    "archive/projects",
    "archive/record",
    "archive/relocate",
    "archive/scripts",
    "archive/shells",
    "archive/slots",
    "archive/strays",
    "archive/ustar",
    "atomic",
    "environment",
    "errors",
    "host",
    "interpreter",
    "loader",
    "messages",
    "redaction",
    "place",
    "processor",
    "relocation",
    "report",
    "room",
    "sha256",
    "standalone",
    "terminal",
)
"""What the file holds: this module and, of terrastore, what it imports, all the way down."""

# Must be syntax that older interpreters read, to tell them.
_MAIN: Final = """\
import sys
if sys.version_info < (3, 11):
    sys.stderr.write("terrastore: error: Python %d.%d cannot run this\\n" % sys.version_info[:2])
    sys.stderr.write("terrastore: hint: run it with Python 3.11 or later\\n")
    sys.exit(9)
from terrastore.standalone import main
main()
"""
_EARLIEST: Final = (1980, 1, 1, 0, 0, 0)


def content() -> bytes:
    """Return the file; the same bytes for the same version."""
    package, buffer = Path(__file__).parent, io.BytesIO(b"#!/usr/bin/env python3\n")
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("__main__.py", _EARLIEST), _MAIN)
        for module in MODULES:
            name = zipfile.ZipInfo(f"terrastore/{module}.py", _EARLIEST)
            archive.writestr(name, (package / f"{module}.py").read_bytes(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def tell(prefix: str, key: str, count: int, *, as_json: bool) -> None:
    """Print what came of relocating ``count`` files."""
    if as_json:
        messages.print_json({"schema": messages.SCHEMA, "target": prefix, "files": count, "key": key})
    else:
        messages.print_line(f"relocated {number(count, 'file')} → {messages.near(prefix)}")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run ``terrastore relocate`` and exit with a documented code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    as_json, verbose = "--json" in arguments, "-v" in arguments or "--verbose" in arguments
    for number_ in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number_) is not signal.SIG_IGN:
            signal.signal(number_, signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    code = 0
    try:
        _run(_Parser.new().parse_args(arguments))
    except KeyboardInterrupt:
        messages.print_interrupted(as_json=as_json)
        code = INTERRUPTED
    except Exception as problem:  # noqa: BLE001 -- no traceback reaches a user
        error = messages.as_error(problem)
        messages.print_error(error, as_json=as_json, verbose=verbose)
        code = error.exit_code
    sys.exit(code)


class _Parser(argparse.ArgumentParser):
    @classmethod
    def new(cls) -> _Parser:
        parser = cls(
            prog="relocate",
            description="Make an environment of terrastore work where it stands. "
            "It may have been moved, copied, or unpacked by tar.",
            allow_abbrev=False,
        )
        parser.add_argument("environment", metavar="ENV", help="the environment's directory")
        parser.add_argument(
            "--into", metavar="DIR", help="make it work there, and move it there, in place of an environment"
        )
        parser.add_argument("--force", action="store_true", help="with --into: replace what is no environment too")
        parser.add_argument(
            "--python", metavar="SPEC", help="interpreter: a version, a command or a path; default: one that fits"
        )
        parser.add_argument(
            "--wait", type=float, default=WAIT, metavar="SECONDS", help="longest to wait for another run; default: 600"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of a line")
        parser.add_argument("-q", "--quiet", action="count", default=0, help="less on standard error")
        parser.add_argument("-v", "--verbose", action="count", default=0, help="tracebacks on standard error")
        parser.add_argument("--version", action="version", version=f"terrastore {__version__}")
        return parser

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint="see --help")


class _Report(Report):
    def __init__(self, *, quiet: int) -> None:
        super().__init__()
        self._quiet = quiet

    def remark(self, message: str) -> None:
        if self._quiet < 1:
            messages.print_line(message, sys.stderr)

    def warn(self, message: str) -> None:
        super().warn(message)
        if self._quiet < 2:  # noqa: PLR2004
            messages.print_line(f"terrastore: warning: {message}", sys.stderr)


def _run(values: argparse.Namespace) -> None:
    python = interpreter.find(values.python) if values.python else None
    report = _Report(quiet=values.quiet)
    if values.force and values.into is None:
        raise UsageError("--force is of no use without --into", hint="leave it out")
    if values.into is None:
        state, count = relocate(values.environment, python=python, wait=values.wait, report=report)
        retired = None
    else:
        state, count, retired = move(
            values.environment, values.into, force=values.force, python=python, wait=values.wait, report=report
        )
    tell(state.prefix, state.key, count, as_json=values.json)
    if retired is not None and not discard(retired):
        report.warn(f"this user cannot remove what was replaced: {retired}")
