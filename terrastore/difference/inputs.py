"""Files that ask for an environment, and no longer or not yet did before."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from terrastore.difference.values import FILE, Difference

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def file_differences(
    before: Mapping[str, str], after: Mapping[str, str], show: Callable[[str], str]
) -> tuple[Difference, ...]:
    """Return which files came and which are gone, of two mappings of absolute paths to SHA-256.

    A file that was moved, with the directory that it is in or without, is the same one: it has the path, else the
    content, else the name of one that was there. ``show`` makes a path one for people.
    """
    old, new = dict(before), dict(after)
    for same in (lambda path, _: path, lambda _, digest: digest, lambda path, _: posixpath.basename(path)):
        for path, digest in list(new.items()):
            match = next((each for each in old if same(each, old[each]) == same(path, digest)), None)
            if match is not None:
                del old[match], new[path]
    return (
        *(_difference(path, digest, None, f"{show(path)} dropped") for path, digest in sorted(old.items())),
        *(_difference(path, None, digest, f"{show(path)} added") for path, digest in sorted(new.items())),
    )


def _difference(path: str, before: str | None, after: str | None, phrase: str) -> Difference:
    return Difference(kind=FILE, name=path, before=before, after=after, phrase=phrase)
