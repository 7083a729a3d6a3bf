"""What the machine's own pip settings say about resolution: ``PIP_*`` variables and pip's configuration files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from terrastore.errors import UsageError, reason
from terrastore.redaction import without_secrets
from terrastore.requirements.lines import as_path, index_identity, is_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from terrastore.requirements.reader import Reader

# Settings that decide how pip works, not what it installs. Everything else enters the key.
_WITHOUT_EFFECT: Final = frozenset(
    {
        "cache-dir", "cert", "client-cert", "compile", "debug", "default-timeout", "disable-pip-version-check",
        "exists-action", "keyring-provider", "log-file", "no-color", "no-compile", "no-input",
        "no-python-version-warning", "no-warn-script-location", "proxy", "resume-retries", "retries",
        "root-user-action", "timeout", "trusted-host",
    }
)  # fmt: skip
# Settings that would lead pip out of the environment, keep it from installing, or hide what it says. It sees none.
NOT_FOR_US: Final = frozenset(
    {
        "break-system-packages",
        "config-file",
        "dry-run",
        "editable",
        "log",
        "no-cache-dir",
        "prefix",
        "progress-bar",
        "python",
        "quiet",
        "report",
        "require-virtualenv",
        "root",
        "src",
        "target",
        "user",
        "verbose",
    }
)
_MEND: Final = "correct it, or take it away"
_SECTIONS: Final = ("global", "install")
_PATHS: Final = frozenset({"build-constraint", "requirements-from-script"})


def effective_settings(variables: Mapping[str, str], files: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Return pip's settings by long option name, in the order in which it hears them; they may hold credentials.

    First come global sections, then those of ``install``, in each the value of the last of ``files`` that has it, and
    then ``variables``. Of most names the last value counts. What would lead pip out of the environment is left out.

    :raises UsageError: when a configuration file cannot be read
    """
    sections: dict[str, dict[str, str]] = {name: {} for name in _SECTIONS}
    for path in filter(os.path.exists, files):
        import configparser  # noqa: PLC0415 -- most machines have no such file

        parser = configparser.RawConfigParser()
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError, OSError) as error:
            problem = without_secrets(str(error).splitlines()[0])
            raise UsageError(f"pip's configuration file {path} cannot be read: {problem}", hint=_MEND) from None
        for section in filter(parser.has_section, _SECTIONS):
            sections[section] |= {name.replace("_", "-"): value for name, value in parser.items(section)}
    # An empty value clears that of an earlier file in its section, and beats nothing else.
    of_variables = {
        name.removeprefix("PIP_").lower().replace("_", "-"): value
        for name, value in variables.items()
        if name.startswith("PIP_")
    }
    levels = (*(sections[section] for section in _SECTIONS), of_variables)
    return tuple(
        (name, value) for level in levels for name, value in level.items() if value.strip() and name not in NOT_FOR_US
    )


def shaping(settings: Mapping[str, str], *, reader: Reader) -> dict[str, str]:
    """Return those of pip's effective settings that shape a resolution, by long option name, without credentials.

    Local files and directories that a setting names count by content.

    :raises UsageError: when what a setting names cannot be read
    """
    return {name: _canonical(name, value, reader) for name, value in settings.items() if name not in _WITHOUT_EFFECT}


def configuration_files(variables: Mapping[str, str]) -> tuple[str, ...]:
    """Return where pip looks for its configuration on this kind of system, in its order (pip's "Configuration")."""
    special = variables.get("PIP_CONFIG_FILE")
    if special == os.devnull:
        return ()
    home = os.path.expanduser("~")
    config = variables.get("XDG_CONFIG_HOME") or f"{home}/.config"
    system = [f"{folder}/pip/pip.conf" for folder in (variables.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")]
    if special and os.path.exists(special):
        return (*system, "/etc/pip.conf", special)
    return (*system, "/etc/pip.conf", f"{home}/.pip/pip.conf", f"{config}/pip/pip.conf")


def _canonical(name: str, value: str, reader: Reader) -> str:
    return " ".join(_canonical_word(name, word, reader) for word in value.split())


def _canonical_word(name: str, word: str, reader: Reader) -> str:
    if is_url(word):
        return index_identity(word)
    if name not in _PATHS:
        return without_secrets(word)
    try:
        path = as_path(word)
        return f"sha256:{reader.digest(path)}"
    except (OSError, ValueError) as error:
        shown = without_secrets(word)
        raise UsageError(f"pip's setting {name}: {shown} cannot be read: {reason(error)}", hint=_MEND) from None
