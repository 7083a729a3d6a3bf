"""What files say about options: machine, then user, then project; each beats the ones before.

Flags and ``TERRASTORE_*`` variables beat all of them, and are the command line's business.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from terrastore import folders
from terrastore.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

FILE: Final = "terrastore.toml"
_OF_THE_MACHINE: Final = {"trust", "realm", "signer"}


class SettingsFile(NamedTuple):
    """A file of settings; ``table`` is where in it they stand, ``is_project`` whether a project brings it along."""

    path: str
    table: tuple[str, ...] = ()
    is_project: bool = False


def files(directory: str) -> tuple[SettingsFile, ...]:
    """Return the files that count for a project in ``directory``, the weakest first."""
    return (
        SettingsFile(f"{folders.site_config()}/{FILE}"),
        SettingsFile(f"{folders.user_config()}/{FILE}"),
        SettingsFile(f"{directory}/pyproject.toml", ("tool", folders.NAME), is_project=True),
        SettingsFile(f"{directory}/{FILE}", is_project=True),
    )


def read(sources: Collection[SettingsFile], names: Callable[[], Collection[str]]) -> dict[str, Any]:
    """Return the settings in ``sources`` by option name, with underscores.

    :param names: returns the options there are, and is asked when something is set
    :raises UsageError: for a file that is not TOML and for a setting that is no option; both are named
    """
    settings: dict[str, Any] = {}
    for source in sources:
        for name, value in _table(source).items():
            option = name.replace("-", "_")
            if option not in names():
                import difflib  # noqa: PLC0415 -- only for who misspelt

                close = difflib.get_close_matches(option, names(), n=1)
                meant = f"did you mean {close[0].replace('_', '-')}?" if close else "see terrastore ensure --help"
                raise UsageError(f"{source.path}: there is no setting {name!r}", hint=meant)
            if isinstance(value, dict):
                raise UsageError(f"{source.path}: {name} is a table", hint="write a text, a number, true or a list")
            settings[option] = _of_the_machine(source, name, value) if option in _OF_THE_MACHINE else value
    return settings


def _of_the_machine(source: SettingsFile, name: str, value: Any) -> Any:
    """Return a setting that says whom to trust; what a project brings along has no say in that, and no file either."""
    if source.is_project:
        raise UsageError(
            f"{source.path}: a project cannot set {name}",
            hint=f"set it in {folders.user_config()}/{FILE}, with --{name} or in TERRASTORE_{name.upper()}",
        )
    if name == "realm":
        return value
    if isinstance(value, list):
        return [_of_the_machine(source, name, each) for each in value]
    if not isinstance(value, str) or value.startswith("awskms:"):
        return value
    path = os.path.expanduser(value)
    if not os.path.isabs(path):
        raise UsageError(f"{source.path}: {name} = {value!r} is a relative path", hint="write it from the root on")
    return path


def _table(source: SettingsFile) -> Mapping[str, Any]:
    try:
        with open(source.path, "rb") as file:
            data = file.read()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise _unreadable(source, error) from None
    import tomllib  # noqa: PLC0415 -- most runs find no file

    try:
        document: Any = tomllib.loads(data.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _unreadable(source, error) from None
    for name in source.table:
        document = document.get(name, {})
        if not isinstance(document, dict):
            raise UsageError(f"{source.path}: {name} is no table", hint=f"write [{'.'.join(source.table)}]")
    table: dict[str, Any] = document
    return table


def _unreadable(source: SettingsFile, error: Exception) -> UsageError:
    return UsageError(f"{source.path} cannot be read: {error}", hint="correct it, or take it away")
