"""The command line: the only place that prints, exits or draws progress."""

from __future__ import annotations

import io
import os
import signal
import sys
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from terrastore import __version__, settings
from terrastore.cli import messages
from terrastore.errors import INTERRUPTED, UsageError
from terrastore.messages import as_error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from terrastore.errors import TerrastoreError

# Where commands are, by the names of modules here.
_PLACES: Final = {
    "environments": ("ensure", "build", "key", "unpack", "relocate", "rollback"),
    "running": ("run",),
    "why": ("why",),
    "listing": ("list",),
    "stores": ("show", "verify", "remove"),
    "overview": ("report",),
    "pruning": ("prune", "pin", "unpin"),
    "copying": ("copy",),
    "doctor": ("doctor",),
    "cache": ("cache",),
    "trust": ("keygen", "sign"),
}


class _Commands(click.Group):
    """Commands that are imported when somebody names them, or wants to see them all."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's signature
        return sorted(name for names in _PLACES.values() for name in names)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        # Of a name that there is not, all are candidates for what was meant.
        wanted = [module for module, names in _PLACES.items() if cmd_name in names] or list(_PLACES)
        for module in wanted:
            for command in import_module(f"terrastore.cli.{module}").COMMANDS:
                self.add_command(command)
        return super().get_command(ctx, cmd_name)

    def all(self) -> Iterator[tuple[str, click.Command]]:
        """Yield every command and its name."""
        context = click.Context(self)
        for name in self.list_commands(context):
            if (command := self.get_command(context, name)) is not None:
                yield name, command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "-V",
    "--version",
    count=True,
    is_eager=True,
    expose_value=False,
    callback=lambda context, _, times: _print_versions(context, times) if times else None,
    help="Show the version; twice: also those of Python and of what terrastore is made of.",
)
def terrastore() -> None:
    """Whole Python environments from a store: built once, fetched everywhere."""


def main() -> NoReturn:
    """Run the command line and exit with a documented code."""
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup(1) leaves it
        signal.signal(signal.SIGHUP, _interrupt)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # an arrow must not make a failure of a success
    as_json = _said("--json", "TERRASTORE_JSON")
    verbose = _said("--verbose", "TERRASTORE_VERBOSE") or any(
        word.startswith("-v") and set(word[1:]) == {"v"} for word in sys.argv[1:]
    )
    _warn_of_unknown_variables()
    try:
        # A command returns nothing, or asks for an exit code.
        code = terrastore.main(standalone_mode=False, prog_name="terrastore", default_map=_default_map()) or 0
    except click.exceptions.Exit as exit_:
        code = exit_.exit_code
    except click.exceptions.NoArgsIsHelpError as help_:
        print(help_.format_message(), file=sys.stderr)
        code = UsageError.exit_code
    except (KeyboardInterrupt, click.Abort):
        messages.print_interrupted(as_json=as_json)
        code = INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except Exception as problem:  # noqa: BLE001 -- no traceback reaches a user
        error = _as_error(problem)
        messages.print_error(error, as_json=as_json, verbose=verbose)
        code = error.exit_code
    sys.exit(code)


def _print_versions(context: click.Context, times: int) -> NoReturn:
    """Print the version; asked twice, also that of Python and a line for each library that it asks for."""
    print(f"terrastore {__version__}")
    if times > 1:
        from importlib import metadata  # noqa: PLC0415 -- few ask

        print(f"python {'.'.join(map(str, sys.version_info[:3]))}")
        for name in sorted(_requirements()):
            try:
                print(name, metadata.version(name))
            except metadata.PackageNotFoundError:  # an extra's
                continue
    context.exit()


def _requirements() -> set[str]:
    """Return the names of the libraries that this installation asks for, extras' too."""
    import re  # noqa: PLC0415 -- see _print_versions
    from importlib import metadata  # noqa: PLC0415

    try:
        lines = metadata.requires("terrastore") or []
    except metadata.PackageNotFoundError:
        return set()
    return {re.split(r"[^\w.-]", line, maxsplit=1)[0].lower() for line in lines}


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _said(flag: str, variable: str) -> bool:
    return flag in sys.argv or os.environ.get(variable, "").lower() not in {"", "0", "false", "no", "off"}


def _warn_of_unknown_variables() -> None:
    """Tell of a ``TERRASTORE_*`` variable that is no option: a misspelt one would count for nothing."""
    ours = sorted(name for name in os.environ if name.startswith("TERRASTORE_"))
    known = {option.envvar for _, command in terrastore.all() for option in command.params} if ours else set()
    names = sorted(name for name in known if isinstance(name, str))
    for name in ours:
        if name not in names:
            import difflib  # noqa: PLC0415 -- only for who misspelt

            close = difflib.get_close_matches(name, names, n=1)
            meant = f"; did you mean {close[0]}?" if close else ""
            messages.print_line(f"terrastore: warning: {name} is no setting{meant}", sys.stderr)


def _as_error(problem: Exception) -> TerrastoreError:
    if isinstance(problem, click.ClickException):
        message = problem.format_message().rstrip(".")
        context = getattr(problem, "ctx", None)
        command = context.command_path if context is not None else "terrastore"
        hint = f"see {command} --help"
        _, is_extra, names = message.partition("unexpected extra argument")
        if is_extra and any(map(os.path.isfile, names.strip("s ()").split())):
            hint = f"name requirements files with -r; {hint}"
        return UsageError(message[:1].lower() + message[1:], hint=hint)
    return as_error(problem)


def _default_map() -> dict[str, dict[str, Any]]:
    """Return what settings files say, for each command the part that it has options for."""
    said = settings.read(settings.files(os.getcwd()), _options)
    if not said:
        return {}
    options, values = _options(), {}
    for name, value in said.items():
        option = options[name]
        each_value = value if isinstance(value, list) else [value]
        if option.type is click.STRING and not all(isinstance(each, str) for each in each_value):
            raise UsageError(f"the setting {name.replace('_', '-')} = {value} is no text", hint="write it in quotes")
        values[option.name] = each_value if option.multiple else value
    return {
        name: {option.name: values[option.name] for option in command.params if option.name in values}
        for name, command in terrastore.all()
    }


@cache
def _options() -> dict[str, click.Option]:
    """Return the options of all commands, by what they are called as settings."""
    return {
        option.opts[-1].removeprefix("--").replace("-", "_"): option
        for _, command in terrastore.all()
        for option in command.params
        if isinstance(option, click.Option)
    }
