"""What an installer finds in a folder of ``--find-links``: distributions by name, and pages with links to more.

pip looks at a folder's own files alone: at those named as a wheel or an sdist is, and at HTML pages (``pip help
install``); uv at no pages, and at sdists with more suffixes.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urljoin, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

_DISTRIBUTIONS: Final = (
    *(".whl", ".zip", ".tar", ".tgz", ".tbz", ".txz", ".tlz"),
    *(".tar.gz", ".tar.bz2", ".tar.xz", ".tar.lz", ".tar.lzma", ".tar.zst"),
)
_PAGES: Final = (".html", ".htm", ".shtml")


def offered(folder: str) -> list[tuple[str, os.stat_result | None]]:
    """Return the files in ``folder`` that an installer looks at, sorted by name, with the facts of what each leads to.

    None in place of facts is for a link that leads nowhere: pip takes its name for a version, and fails to read it.

    :raises OSError: when the folder cannot be read
    """
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.name.lower().endswith(_DISTRIBUTIONS + _PAGES)]
    found = ((name, _facts(os.path.join(folder, name))) for name in sorted(names, key=os.fsencode))
    return [(name, facts) for name, facts in found if facts is None or stat.S_ISREG(facts.st_mode)]


def is_page(path: str) -> bool:
    """Whether pip reads the file for its links; any other is a distribution by itself."""
    return path.lower().endswith(_PAGES)


def linked(path: str, html: bytes) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the files on this machine that the page at ``path`` links to, in the page's order."""
    from html.parser import HTMLParser  # noqa: PLC0415 -- few folders have pages
    from pathlib import Path  # noqa: PLC0415

    hrefs: list[str] = []
    bases: list[str] = []

    class Links(HTMLParser):
        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            if tag in {"a", "base"} and (href := dict(attributes).get("href")):
                (hrefs if tag == "a" else bases).append(href)

    parser = Links()
    with suppress(AssertionError):  # a marked section that it does not know ends what it reads (Python 3.11)
        parser.feed(html.decode(errors="replace"))
        parser.close()
    base = _joined(Path(path).absolute().as_uri(), bases[0] if bases else "")
    for href in hrefs:
        place = _on_this_machine(_joined(base, href))
        facts = _facts(place) if place else None
        if place and facts and stat.S_ISREG(facts.st_mode):
            yield place, facts


def _joined(base: str, href: str) -> str:
    """Return the URL that a reference means; "" when it is none."""
    try:
        joined = urljoin(base, href)
        urlsplit(joined)  # that checks more
    except ValueError:
        return ""
    return joined


def _on_this_machine(url: str) -> str | None:
    parts = urlsplit(url)
    is_local = parts.scheme == "file" and parts.netloc in {"", "localhost"}
    return unquote(parts.path, errors="surrogateescape") if is_local else None


def _facts(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (OSError, ValueError):  # ValueError: a NUL, in a link
        return None
