"""The command that runs another one in an environment that it makes sure of."""

from __future__ import annotations

import os
from typing import Any, Final, NoReturn

import click

from terrastore import folders
from terrastore.cli import options
from terrastore.cli.environments import discard, ensured, reporting
from terrastore.errors import reason

# As shells end for what they cannot run (POSIX, Shell Command Language, 2.8.2).
_NOT_FOUND: Final = 127
_NOT_EXECUTABLE: Final = 126
_MISLEADING: Final = ("PYTHONHOME", "CONDA_PREFIX")


# What comes after the command is its own, dashes too.
@click.command(context_settings={"allow_interspersed_args": False})
@options.what
@options.store
@options.how
@options.caching
@options.cache_dir
@options.telling
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND...")
def run(**values: Any) -> None:
    """Run a command in an environment, which is made first if need be.

    It stands in the user's data folder, by its key: whoever asks for the same again shares it. Nothing but the command
    prints on standard output, and the exit code is the command's.
    """
    from terrastore.place import Shelf  # noqa: PLC0415 -- help needs none of it

    inputs = options.inputs(values)
    with reporting(values["quiet"], values["verbose"]) as report:
        outcome = ensured(inputs, Shelf(f"{folders.user_data()}/environments"), values, report)
    discard(outcome.retired, report)
    _execute(values["command"], f"{outcome.target}")


def _execute(command: tuple[str, ...], root: str) -> NoReturn:
    """Become ``command`` as an activated environment at ``root`` would run it."""
    variables = {name: value for name, value in os.environ.items() if name not in _MISLEADING}
    variables["VIRTUAL_ENV"] = root
    variables["PATH"] = os.pathsep.join(filter(None, (f"{root}/bin", os.environ.get("PATH", os.defpath))))
    try:
        os.execvpe(command[0], command, variables)  # noqa: S606 -- to run what one is told is what it is for
    except OSError as error:
        click.echo(f"terrastore: error: {command[0]}: {reason(error)}", err=True)
        code = _NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_EXECUTABLE
        raise click.exceptions.Exit(code) from None


COMMANDS = (run,)
