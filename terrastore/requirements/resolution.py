"""Where and how pip looks for what is asked for: one answer, whoever says it, as pip itself puts it together.

The machine's settings come first, then the command line, then files in their order; of several index URLs the last
one replaces all before, and so on. What is left is what counts, and what pip is given.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from terrastore.names import normalised
from terrastore.requirements.lines import LineError, Option, as_path, is_file_url, is_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ALL: Final = ":all:"
_NONE: Final = ":none:"
# A name is on one side of these alone; of two that say all, the first is heard.
_SIDES: Final = (("--only-binary", "--no-binary"), ("--all-releases", "--only-final"))
_OPPOSITES: Final = {one: other for pair in _SIDES for one, other in (pair, pair[::-1])}
# How an index is reached does not change what is found there.
_WITHOUT_EFFECT: Final = frozenset({"--trusted-host"})
SETTINGS: Final = (
    "index-url", "extra-index-url", "no-index", "find-links", "no-binary", "only-binary", "pre", "all-releases",
    "only-final", "prefer-binary", "require-hashes", "no-require-hashes",
)  # fmt: skip
"""pip's settings that are heard here, by their long names, in the order in which they are."""
ADDED_UP: Final = frozenset(option.removeprefix("--") for option in _OPPOSITES)
"""Those of which every value is heard, and not the last alone."""
_TRUE: Final = frozenset({"y", "yes", "t", "true", "on", "1"})
_FALSE: Final = frozenset({"n", "no", "f", "false", "off", "0"})


class Resolution:
    """What pip's options come to. Values may hold credentials; those of :meth:`canonical` do not.

    ``indexes`` are the URLs that are looked at, in their order, "" for the one that pip knows by itself, None while
    nobody said any; ``find_links`` are paths that mean the same in every directory, or URLs; ``names`` those of
    packages by option, ``flags`` options without a value, ``others`` whole options that change nothing of these;
    ``shown`` values with variables in URLs by their names.
    """

    def __init__(self) -> None:
        self.indexes: list[str] | None = None
        self.find_links: list[str] = []
        self.names: dict[str, set[str]] = {name: set() for name in _OPPOSITES}
        self.flags: set[str] = set()
        self.others: list[Option] = []
        self.shown: dict[str, str] = {}

    def hear(self, option: Option, shown: str = "") -> None:
        """Take an option of a line or of the command line, with a value that may be ``shown`` where that is another.

        :raises LineError: when it contradicts what was said before
        """
        name, value = option.name, option.value
        if shown:
            self.shown[value] = shown
        if name in {"--index-url", "--extra-index-url", "--no-index"}:
            self._index(name, value)
        elif name == "--find-links":
            self.find_links.append(value)
        elif name == "--pre":
            # It takes back nothing that is said of a name.
            self.names["--all-releases"].add(_ALL)
        elif name in self.names:
            self._name(name, value)
        elif not value:
            self.flags.add(name)
        elif option not in self.others:
            self.others.append(option)
        if {"--require-hashes", "--no-require-hashes"} <= self.flags:
            msg = "--require-hashes and --no-require-hashes contradict each other"
            raise LineError(msg, hint="leave one out")

    def hear_setting(self, name: str, value: str) -> None:
        """Take one of pip's :data:`SETTINGS`, as a variable or a configuration file writes it.

        :raises LineError: when it cannot be used
        """
        option = f"--{name}"
        if name == "index-url":
            self.replace_index(value.strip())
        elif name == "extra-index-url":
            for each in value.split():
                self.hear(Option(option, each))
        elif name == "find-links":
            for each in value.split():
                self.hear(Option(option, absolute(each)))
        elif option in self.names:
            self.hear(Option(option, value.strip()))
        elif value.strip().lower() in _TRUE:
            self.hear(Option(option))
        elif value.strip().lower() not in _FALSE:
            msg = f"{value.strip()!r} is neither true nor false"
            raise LineError(msg)

    def replace_index(self, url: str) -> None:
        """Take the first index from the command line or the machine: others that are named beside it stay."""
        if "--no-index" not in self.flags:
            self.indexes = [url, *(self.indexes or [""])[1:]]

    def options(self) -> Iterator[Option]:
        """Yield options that say all of this to a pip without settings; they may hold credentials."""
        for name in sorted(self.flags):
            yield Option(name)
        for number, url in enumerate(self.indexes or ()):
            if url:
                yield Option("--extra-index-url" if number else "--index-url", url)
        yield from (Option("--find-links", place) for place in self.find_links)
        for name, names in self._names():
            # A pip that does not know the option's new name knows the old one.
            yield Option(name, ",".join(sorted(names))) if names else Option(name)
        yield from self.others

    def canonical(self, *, index: Callable[[str], str], links: Callable[[str], str]) -> dict[str, Any]:
        """Return what a key says of this, by pip's long names; what changes nothing is not in it.

        ``index`` and ``links`` name an index and a place of distributions without credentials.
        """
        said: dict[str, Any] = {name.removeprefix("--"): True for name in sorted(self.flags)}
        if self.indexes:
            said["index-url"] = [index(self.shown.get(url, url)) if url else "" for url in self.indexes]
        if self.find_links:
            said["find-links"] = list(dict.fromkeys(links(self.shown.get(place, place)) for place in self.find_links))
        said |= {name.removeprefix("--"): sorted(names) or True for name, names in self._names()}
        for option in self.others:
            if option.name not in _WITHOUT_EFFECT:
                said.setdefault(option.name.removeprefix("--"), []).append(option.value)
        return said

    def _names(self) -> Iterator[tuple[str, set[str]]]:
        """Yield options that take names, and these; ``--pre`` takes none.

        Who says all comes first, for that ends what is said before it.
        """
        for sides in _SIDES:
            one, other = sorted(sides, key=lambda side: _ALL not in self.names[side])
            first = {_ALL} if _ALL in self.names[one] else self.names[one]
            second = self.names[other] - {_ALL}
            if one == "--all-releases" and first == {_ALL} and not second:
                yield "--pre", set()
                continue
            yield from ((side, names) for side, names in ((one, first), (other, second)) if names)

    def _index(self, name: str, value: str) -> None:
        if name == "--no-index":
            self.flags.add(name)
            self.indexes = []
        elif "--no-index" not in self.flags:
            before = [] if name == "--index-url" else [""] if self.indexes is None else self.indexes
            self.indexes = [*before, value]

    def _name(self, option: str, value: str) -> None:
        """Add names to one side, as pip's FormatControl does: ``:all:`` for every one, ``:none:`` takes all back."""
        if value.startswith("-"):
            msg = f"{option} lacks its value"
            raise LineError(msg, hint="name packages, separated by commas, or :all: or :none:")
        target, other = self.names[option], self.names[_OPPOSITES[option]]
        names = value.split(",")
        if _ALL in names:
            other.clear()
            target.clear()
            target.add(_ALL)
            names = names[len(names) - names[::-1].index(_ALL) :]
            if _NONE not in names:
                return
        for name in filter(None, names):
            if name == _NONE:
                target.clear()
                continue
            project = normalised(name)
            other.discard(project)
            target.add(project)


def absolute(place: str) -> str:
    """Return a place of distributions that means the same in every directory.

    :raises LineError: when it is a malformed ``file:`` URL
    """
    if is_url(place):
        return place
    path = as_path(place)
    return place if is_file_url(place) else os.path.abspath(path)
