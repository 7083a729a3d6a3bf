"""Files of settings that are known to hold credentials, and whether one does: bytes in, an answer out.

What packages have in ``site-packages`` is not looked at: no tool reads its settings there, and tests of packages
have such files with credentials that are none.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeAlias

from terrastore.redaction import without_secrets

if TYPE_CHECKING:
    import mmap
    from collections.abc import Callable

IsSecret: TypeAlias = "Callable[[bytes | mmap.mmap], bool]"
"""Whether content holds a secret that is known by its value."""

OF_THE_BUILD: Final = "it holds a password or a token that the build was given, which whoever reads the store would get"
"""Why a file is refused that something of the build wrote."""

_SETTINGS: Final = re.compile(
    r"(?!lib/[^/]+/site-packages/)(.*/)?"
    r"(pip\.(conf|ini)|[._]netrc|\.pypirc|\.npmrc|\.git-credentials|uv\.toml)"
    r"|etc/jupyter/[^/]+\.(json|py)"
)
# What is said in a variable is not in the file. A comment is no setting.
_VARIABLE: Final = re.compile(r"\$\{\w+\}|os\.(environ|getenv)\b")
_ASSIGNED: Final = re.compile(
    r"^(?![ \t]*[#;]).*(?:passw(?:or)?d|token|secret|_auth)[\"']?(?:[ \t]*[=:]|[ \t])[ \t]*"
    r"[\"']?(?!(?:null|none|true|false)\b)[^\s\"'\[\]{}(),=:]",
    re.IGNORECASE | re.MULTILINE,
)


def unknown(_: bytes | mmap.mmap) -> bool:
    """Return False: an :data:`IsSecret` where no secret is known."""
    return False


def is_settings(path: str) -> bool:
    """Whether a file of an environment, by its path there, holds settings that credentials may be among."""
    return bool(_SETTINGS.fullmatch(path))


def holds_secret(data: bytes) -> bool:
    """Whether such a file holds a password or a token, in a URL or as a value of its own."""
    text = _VARIABLE.sub("", data.decode(errors="replace")).replace("://:@", "://").replace("://@", "://")
    return without_secrets(text) != text or bool(_ASSIGNED.search(text))
