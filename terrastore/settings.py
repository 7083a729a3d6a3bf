"""What files say about options: machine, then user, then project; each beats the ones before.

Flags and ``TERRASTORE_*`` variables beat all of them, and are the command line's business.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from terrastore.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

NAME: Final = "terrastore"
FILE: Final = "terrastore.toml"


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """A file of settings; ``table`` is where in it they stand."""

    path: Path
    table: tuple[str, ...] = ()


def files(directory: Path) -> tuple[SettingsFile, ...]:
    """Return the files that count for a project in ``directory``, the weakest first."""
    import platformdirs  # noqa: PLC0415 -- keeps the import of this module free

    return (
        SettingsFile(Path(platformdirs.site_config_dir(NAME), FILE)),
        SettingsFile(Path(platformdirs.user_config_dir(NAME), FILE)),
        SettingsFile(directory / "pyproject.toml", ("tool", NAME)),
        SettingsFile(directory / FILE),
    )


def read(sources: Collection[SettingsFile], names: Collection[str]) -> dict[str, Any]:
    """Return the settings in ``sources`` by option name, with underscores.

    :param names: the options there are
    :raises UsageError: for a file that is not TOML and for a setting that is no option; both are named
    """
    settings: dict[str, Any] = {}
    for source in sources:
        for name, value in _table(source).items():
            option = name.replace("-", "_")
            if option not in names:
                import difflib  # noqa: PLC0415 -- only for who misspelt

                close = difflib.get_close_matches(option, names, n=1)
                meant = f"did you mean {close[0].replace('_', '-')}?" if close else "see terrastore ensure --help"
                raise UsageError(f"{source.path}: there is no setting {name!r}", hint=meant)
            if isinstance(value, dict):
                raise UsageError(f"{source.path}: {name} is a table", hint="write a text, a number, true or a list")
            settings[option] = value
    return settings


def _table(source: SettingsFile) -> Mapping[str, Any]:
    try:
        with source.path.open("rb") as file:
            document: Any = tomllib.load(file)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{source.path} cannot be read: {error}", hint="correct it, or take it away") from None
    for name in source.table:
        document = document.get(name, {})
        if not isinstance(document, dict):
            raise UsageError(f"{source.path}: {name} is no table", hint=f"write [{'.'.join(source.table)}]")
    table: dict[str, Any] = document
    return table
