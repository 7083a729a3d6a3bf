"""HTML that cannot be broken out of: a text becomes markup by being escaped, and in no other way."""

from __future__ import annotations

from html import escape
from typing import Final, NamedTuple

from terrastore.report import plain

_VOID: Final = frozenset({"input"})
_LONGEST: Final = 120
"""Characters of a name that are shown: a store may say what it likes, at any length."""


class Markup(NamedTuple):
    """HTML, as it goes into a page."""

    html: str


NOTHING: Final = Markup("")
Content = str | Markup


def element(name: str, *content: Content, **attributes: str | float | bool | None) -> Markup:
    """Return an element; whatever of its content and attributes is text is escaped.

    An attribute that is None or False is left out, one that is True has no value. ``_`` in its name stands for ``-``,
    at its end for nothing.
    """
    said = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{_escaped(str(value))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    end = "" if name in _VOID else f"</{name}>"
    return Markup(f"<{name}{said}>{joined(*content).html}{end}")


def joined(*content: Content) -> Markup:
    """Return markup of texts, which are escaped, and of markup."""
    return Markup("".join(each.html if isinstance(each, Markup) else _escaped(each) for each in content))


def shortened(text: str) -> str:
    """Return a text that somebody else wrote in a length that fits a page."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _escaped(text: str) -> str:
    return escape(plain(text), quote=True)
