"""What differs beside requirements: interpreter, host, installer and its options, variables."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from terrastore.difference.values import (
    HOST,
    INSTALLER,
    INTERPRETER,
    LAYOUT,
    RESOLUTION,
    SALT,
    SCHEMA,
    SEED,
    VARIABLE,
    Difference,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Document = Mapping[str, Any]

_DIGEST: Final = "sha256:"
_OF_UV: Final = "uv."
# Their order decides what is found.
_ORDERED: Final = {"index-url": "index", "extra-index-url": "extra index", "find-links": "--find-links"}
_FLAGS: Final = {
    "free_threaded": ("python is free-threaded", "python is not free-threaded"),
    "debug": ("python is a debug build", "python is not a debug build"),
}


def schema(before: Document, after: Document) -> Iterator[Difference]:
    """Yield that the rules by which keys are made are other ones."""
    one, other = before.get("schema"), after.get("schema")
    if one != other:
        yield _difference(SCHEMA, "schema", one, other, f"the key's schema {_shown(one)} → {_shown(other)}")


def interpreter(before: Document, after: Document) -> Iterator[Difference]:
    """Yield what differs of the interpreter; what follows from that is not told besides."""
    one, other = facts(before, "interpreter"), facts(after, "interpreter")
    moved = {name for name in {*one, *other} if one.get(name) != other.get(name)}
    if "implementation" in moved:
        yield _arrow(INTERPRETER, "implementation", one, other, "python implementation")
    if "version" in moved:
        # Every patch version will do where the bytecode's number stands instead.
        was, now = (f"{'any ' if 'magic' in each else ''}{_shown(each.get('version'))}" for each in (one, other))
        yield _difference(INTERPRETER, "version", one.get("version"), other.get("version"), f"python {was} → {now}")
    for name, (yes, no) in _FLAGS.items():
        if name in moved:
            yield _difference(INTERPRETER, name, one.get(name), other.get(name), yes if other.get(name) else no)
    if "pointer_bits" in moved:
        yield _arrow(INTERPRETER, "pointer_bits", one, other, "python's bits")
    if not moved - {"soabi", "magic"} and not any(host(before, after)):
        for name, title in (("soabi", "python's ABI"), ("magic", "python's bytecode")):
            if name in moved:
                yield _arrow(INTERPRETER, name, one, other, title)


def host(before: Document, after: Document) -> Iterator[Difference]:
    """Yield what differs of the host."""
    one, other = facts(before, "host"), facts(after, "host")
    for name in ("system", "machine", "libc"):
        if one.get(name) != other.get(name):
            was, now = (_shown(each.get(name)) if each.get(name) else f"no {name}" for each in (one, other))
            yield _difference(HOST, name, one.get(name), other.get(name), f"{was} → {now}")


def installer(before: Document, after: Document) -> Iterator[Difference]:
    """Yield that another program installs."""
    if before.get("installer") != after.get("installer"):
        yield _arrow(INSTALLER, "installer", before, after, "installer")


def surroundings(before: Document, after: Document) -> Iterator[Difference]:
    """Yield what differs of pip in the environment, the salt and the archive's layout."""
    if before.get("seed") != after.get("seed"):
        said = "dropped" if after.get("seed") else "added"
        yield _difference(SEED, "seed", before.get("seed"), after.get("seed"), f"option --no-seed {said}")
    salt, other_salt = (each.get("salt") or None for each in (before, after))
    if salt != other_salt:
        yield _difference(SALT, "salt", salt, other_salt, _changed("option --salt", salt, other_salt))
    if before.get("layout") != after.get("layout"):
        yield _arrow(LAYOUT, "layout", before, after, "archive layout")


def resolution(before: Document, after: Document) -> Iterator[Difference]:
    """Yield what differs of where and how the installer looks, in the words of its options."""
    one, other = facts(before, "resolution"), facts(after, "resolution")
    for name in sorted({*one, *other}):
        was, now = one.get(name), other.get(name)
        if was == now:
            continue
        if isinstance(was or now, list) and isinstance(was or [], list) and isinstance(now or [], list):
            yield from _of_list(name, was or [], now or [])
        elif isinstance(was, bool | None) and isinstance(now, bool | None):
            said = "added" if now else "dropped"
            yield _difference(RESOLUTION, name, was, now, f"{_option(name)} {said}")
        else:
            yield _difference(RESOLUTION, name, was, now, _changed(_option(name), was, now))


def variables(before: Document, after: Document) -> Iterator[Difference]:
    """Yield the variables of ``--key-env`` that differ, by name: of values nothing but digests is known."""
    one, other = facts(before, "variables"), facts(after, "variables")
    for name in sorted({*one, *other}):
        was, now = one.get(name), other.get(name)
        if name not in one or name not in other:
            said = "no longer counts" if name in one else "counts"
        elif was == now:
            continue
        else:
            said = "was set" if was is None else "is not set any more" if now is None else "has another value"
        yield _difference(VARIABLE, name, was, now, f"variable {name} {said}")


def facts(document: Document, name: str) -> Mapping[str, Any]:
    """Return an object of a document; an empty one where there is none."""
    value = document.get(name)
    return value if isinstance(value, dict) else {}


def _of_list(name: str, was: list[Any], now: list[Any]) -> Iterator[Difference]:
    title = _ORDERED.get(name) or (_option(name) if name.startswith(_OF_UV) else f"--{name}")
    # The index that the installer knows by itself is "", and goes without saying where it is the only one.
    gone = [each for each in was if each not in now and (each or now)]
    come = [each for each in now if each not in was and (each or was)]
    if not gone and not come:
        if name in _ORDERED:
            plural = "indexes" if title.endswith("index") else title
            yield _difference(RESOLUTION, name, was, now, f"{plural} in another order")
        else:
            yield _difference(RESOLUTION, name, was, now, f"{title} {_joined(was)} → {_joined(now)}")
    elif name in _ORDERED and len(gone) == len(come) == 1:
        (one,), (other,) = gone, come
        phrase = f"{title} {_place(one)} → {_place(other)}"
        if _is_digest(one) and _is_digest(other):
            phrase = f"{title}: the files of a folder changed"
        yield _difference(RESOLUTION, name, one, other, phrase)
    else:
        for each in gone:
            yield _difference(RESOLUTION, name, each, None, f"{title} {_place(each)} dropped")
        for each in come:
            yield _difference(RESOLUTION, name, None, each, f"{title} {_place(each)} added")


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(_DIGEST)


def _place(value: Any) -> str:
    return "a folder" if _is_digest(value) else _shown(value) or "the default one"


def _option(name: str) -> str:
    """Return what an option is called; what the machine's or the project's files say to uv has its names."""
    return f"uv setting {name.removeprefix(_OF_UV)}" if name.startswith(_OF_UV) else f"option --{name}"


def _joined(values: list[Any]) -> str:
    return ", ".join(map(_shown, values))


def _changed(title: str, was: Any, now: Any) -> str:
    if _is_digest(was) and _is_digest(now):
        return f"{title} changed"
    if not was or not now:
        value = "" if _is_digest(was or now) else f"{_shown(now or was)} "
        return f"{title} {value}{'added' if now else 'dropped'}"
    return f"{title} {_shown(was)} → {_shown(now)}"


def _arrow(kind: str, name: str, before: Document, after: Document, title: str) -> Difference:
    was, now = before.get(name), after.get(name)
    return _difference(kind, name, was, now, f"{title} {_shown(was)} → {_shown(now)}")


def _difference(kind: str, name: str, was: Any, now: Any, phrase: str) -> Difference:
    return Difference(kind=kind, name=name, before=was, after=now, phrase=phrase)


def _shown(value: Any) -> str:
    if value is None:
        return "unknown"
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
