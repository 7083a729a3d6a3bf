"""What recipes run, checked against the options that there are."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click

from terrastore.cli import terrastore

SCRIPTS = Path(__file__).parents[2] / "scripts"
_NAMES = "|".join(terrastore.list_commands(click.Context(terrastore)))
_CALL = re.compile(rf"""terrastore(?:-bootstrap|/bootstrap\.sh)?["']? (?P<words>(?:{_NAMES})\b[^|&;#>\n]*)""")


def calls(text: str) -> list[list[str]]:
    """Return the words after ``terrastore`` wherever a shell script runs it; lines may go on."""
    return [shlex.split(found["words"]) for found in _CALL.finditer(text.replace("\\\n", " "))]


def require_understood(words: list[str]) -> None:
    """Require that terrastore takes a command's options with their values."""
    name, *arguments = words
    command = terrastore.get_command(click.Context(terrastore), name)
    assert command is not None, name
    command.make_context(name, arguments).close()


def options_of(name: str) -> set[str]:
    """Return the options of a command."""
    command = terrastore.get_command(click.Context(terrastore), name)
    assert command is not None
    return {option for each in command.params if isinstance(each, click.Option) for option in each.opts}
