"""What the machine's own pip settings say about resolution: ``PIP_*`` variables and pip's configuration files."""

from __future__ import annotations

import configparser
import os
from typing import TYPE_CHECKING, Final

from terrastore.errors import UsageError
from terrastore.requirements.lines import without_userinfo

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Settings that decide how pip works, not what it installs. Everything else enters the key.
_WITHOUT_EFFECT: Final = frozenset(
    {
        "cache-dir", "cert", "client-cert", "compile", "debug", "disable-pip-version-check", "exists-action",
        "keyring-provider", "log", "log-file", "no-cache-dir", "no-color", "no-compile", "no-input",
        "no-python-version-warning", "no-warn-script-location", "progress-bar", "proxy", "quiet", "report",
        "require-virtualenv", "resume-retries", "retries", "root-user-action", "timeout", "trusted-host", "verbose",
    }
)  # fmt: skip
INSTALLS_ELSEWHERE: Final = (
    "root",
    "target",
    "prefix",
    "user",
    "python",
    "editable",
    "dry-run",
    "break-system-packages",
)
"""Settings that would lead pip out of the environment; they are taken from its surroundings when it builds."""
_SECTIONS: Final = ("global", "install")


def pip_settings(variables: Mapping[str, str], files: Iterable[str]) -> dict[str, str]:
    """Return pip's settings that shape a resolution, by long option name, without credentials.

    ``variables`` beat ``files``, and later files earlier ones, as in pip.

    :raises UsageError: when a configuration file cannot be parsed
    """
    settings: dict[str, str] = {}
    for path in files:
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError, OSError) as error:
            reason = without_userinfo(str(error).splitlines()[0])
            raise UsageError(f"pip's configuration file {path} cannot be read: {reason}", hint="mend it") from None
        for section in filter(parser.has_section, _SECTIONS):
            settings |= {name.replace("_", "-"): value for name, value in parser.items(section)}
    for name, value in variables.items():
        if name.startswith("PIP_") and value:
            settings[name.removeprefix("PIP_").lower().replace("_", "-")] = value
    ignored = _WITHOUT_EFFECT | set(INSTALLS_ELSEWHERE) | {"config-file"}
    return {
        name: without_userinfo(" ".join(value.split()))
        for name, value in sorted(settings.items())
        if name not in ignored
    }


def configuration_files(variables: Mapping[str, str]) -> tuple[str, ...]:
    """Return where pip looks for its configuration on this kind of system, in its order (pip's "Configuration")."""
    special = variables.get("PIP_CONFIG_FILE")
    if special == os.devnull:
        return ()
    home = os.path.expanduser("~")
    config = variables.get("XDG_CONFIG_HOME") or f"{home}/.config"
    system = [f"{folder}/pip/pip.conf" for folder in (variables.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")]
    user = [f"{home}/.pip/pip.conf", f"{config}/pip/pip.conf"]
    return (*system, "/etc/pip.conf", *user, *([special] if special else []))
