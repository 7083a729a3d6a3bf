"""The table inside an archive. ``FORMAT.md`` section 5 is the specification of every field."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final, Self

from terrastore.archive.layers import BASE, REST
from terrastore.archive.limits import FRAME_LIMIT, MEMBERS_LIMIT, SIZE_LIMIT, is_swollen
from terrastore.archive.relocate import BINARY_KIND, PLACEHOLDER
from terrastore.archive.ustar import BLOCK, REGULAR, MalformedError, Member, check_member
from terrastore.report import listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SCHEMA: Final = 1
_OFFSET_LIMIT: Final = 8 * 1024**3
_PACKED_LIMIT: Final = FRAME_LIMIT + FRAME_LIMIT // 128
_LIBRARY: Final = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9_+.-]*")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_LIBC: Final = re.compile(r"[0-9]{1,9}\.[0-9]{1,9}")
_RELEASE: Final = re.compile(r"[0-9]+(\.[0-9]+)*((a|b|rc)[0-9]+)?\+?")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_WHEEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,250}\.whl")


class ManifestError(ValueError):
    """This is no manifest a reader may act on; the text says why."""


class UnknownSchemaError(ManifestError):
    """The manifest is of a later version than this reader knows."""


class UnknownFeatureError(ManifestError):
    """The archive needs something that this reader does not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One zstd frame: ``packed`` and ``size`` bytes after and before compression; SHA-256 of the packed bytes."""

    packed: int
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A part of the environment; ``version`` is None for ``base`` and ``rest``, ``digest`` SHA-256 of the raw bytes."""

    name: str
    version: str | None
    digest: str
    frames: tuple[Frame, ...]

    @property
    def size(self) -> int:
        """Bytes before compression."""
        return sum(frame.size for frame in self.frames)

    @property
    def packed(self) -> int:
        """Bytes after compression."""
        return sum(frame.packed for frame in self.frames)


@dataclass(frozen=True, slots=True, kw_only=True)
class Relocation:
    """A member that holds the placeholder, and the syntax it is to be quoted for.

    Of a compiled file also where the placeholder stands that is to be replaced, ``offsets`` in bytes, and the SHA-256
    of the file as it is in the archive.
    """

    path: str
    kind: str
    offsets: tuple[int, ...] = ()
    sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelFile:
    """A wheel: its file name, and the SHA-256 of its bytes."""

    file: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """An installed distribution; ``built`` when it was compiled from source here, ``sha256`` of what was downloaded.

    ``flags`` are the compilers' options for the processor, as far as they are known; ``commit`` is the one of a
    repository that it was installed from, None when it was not; ``wheel`` is what was installed, where that is known;
    ``direct``: it was asked for by where it is, not by its name; ``url`` is where, None when that is on the builder.
    """

    name: str
    version: str
    built: bool = False
    sha256: str | None = None
    flags: tuple[str, ...] = ()
    wheel: WheelFile | None = None
    direct: bool = False
    commit: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Sums over the layers: members, and bytes before and after compression."""

    members: int
    size: int
    packed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What an archive holds, what was asked for, who built it, and what a host must offer."""

    key: str
    layers: tuple[Layer, ...]
    relocations: tuple[Relocation, ...]
    packages: tuple[Package, ...]
    totals: Totals
    prefix: str
    interpreter: Mapping[str, Any]
    host: Mapping[str, Any]
    installer: Mapping[str, Any]
    request: Mapping[str, Any]
    needs: Mapping[str, Any]
    features: tuple[str, ...] = field(default=())
    tools: tuple[WheelFile, ...] = ()
    schema: int = SCHEMA
    raw: bytes = field(default=b"", repr=False, compare=False)
    """The bytes it was read from, with fields of later versions; empty for one that was made here."""

    def frames(self) -> Iterator[tuple[int, Frame]]:
        """Yield (offset in the archive, frame) of every frame of every layer, in order."""
        offset = 0
        for layer in self.layers:
            for frame in layer.frames:
                yield offset, frame
                offset += frame.packed

    def to_json(self) -> bytes:
        """Return the bytes it was read from, else the canonical ones: sorted keys, no spaces, UTF-8."""
        if self.raw:
            return self.raw
        document = asdict(self)
        for entry in document["relocations"]:
            if entry["kind"] != BINARY_KIND:
                del entry["offsets"], entry["sha256"]
        for package in document["packages"]:
            for name in ("flags", "commit", "wheel", "direct", "url"):
                if not package[name]:
                    del package[name]
        if not document["tools"]:
            del document["tools"]
        del document["raw"]
        return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Return the manifest in ``data``.

        :raises UnknownSchemaError: when its schema number is not 1
        :raises ManifestError: when a field is missing, of another type or out of range
        """
        if len(data) > SIZE_LIMIT:
            msg = f"the manifest has {len(data)} bytes, more than {SIZE_LIMIT}"
            raise ManifestError(msg)
        try:
            document = json.loads(data)
            json.dumps(document, ensure_ascii=False).encode()  # a lone surrogate is no text
        except (ValueError, RecursionError):
            msg = "the manifest is not JSON"
            raise ManifestError(msg) from None
        schema = document.get("schema") if isinstance(document, dict) else None
        if not isinstance(schema, int) or isinstance(schema, bool):
            msg = "the manifest has no schema number"
            raise ManifestError(msg)
        if schema != SCHEMA:
            msg = f"the manifest has schema {schema}; this version of terrastore reads schema {SCHEMA}"
            raise UnknownSchemaError(msg)
        manifest = cls(
            key=_text(document, "key"),
            layers=tuple(_layer(item) for item in _items(document, "layers")),
            relocations=tuple(_relocation(item) for item in _items(document, "relocations")),
            packages=tuple(_package(item) for item in _items(document, "packages")),
            totals=_totals(_object(document, "totals")),
            prefix=_text(document, "prefix"),
            interpreter=_interpreter(_object(document, "interpreter")),
            host=_object(document, "host"),
            installer=_installer(_object(document, "installer")),
            request=_object(document, "request"),
            needs=_needs(_object(document, "needs")),
            features=tuple(_strings(document, "features")),
            tools=tuple(map(_wheel, _items(document, "tools"))) if "tools" in document else (),
            raw=data,
        )
        _check(manifest)
        return manifest


def _check(manifest: Manifest) -> None:
    """Refuse a manifest whose fields contradict each other, or need what this version does not have."""
    names = [(layer.name, layer.version) for layer in manifest.layers]
    if len(names) < len((BASE, REST)) or names[0] != (BASE, None) or names[-1] != (REST, None):
        msg = "the layers do not begin with base and end with rest"
        raise ManifestError(msg)
    if manifest.prefix != PLACEHOLDER.decode():
        msg = "the placeholder is another one"
        raise ManifestError(msg)
    if manifest.features:
        msg = f"the archive needs features this version does not have: {listed(manifest.features)}"
        raise UnknownFeatureError(msg)
    if manifest.totals.packed != sum(layer.packed for layer in manifest.layers) or manifest.totals.size != sum(
        layer.size for layer in manifest.layers
    ):
        msg = "the totals differ from the sums of the frames"
        raise ManifestError(msg)
    if is_swollen(manifest.totals.size, manifest.totals.packed):
        msg = f"{manifest.totals.packed} bytes cannot become {manifest.totals.size}"
        raise ManifestError(msg)
    if manifest.totals.members > manifest.totals.size // BLOCK:
        msg = f"{manifest.totals.size} bytes have no room for {manifest.totals.members} members"
        raise ManifestError(msg)
    if len({entry.path for entry in manifest.relocations}) < len(manifest.relocations):
        msg = "a path is to be relocated twice"
        raise ManifestError(msg)


def _needs(item: dict[str, Any]) -> dict[str, Any]:
    """Return what is needed once everything that this version judges by is of the right form."""
    if item.get("libc") is not None:
        libc = _object(item, "libc")
        _text(libc, "family")
        if not _LIBC.fullmatch(_text(libc, "version")):
            msg = "the manifest's version of libc is none"
            raise ManifestError(msg)
    libraries = _items(item, "libraries") if item.get("libraries") is not None else []
    for library in libraries:
        if not _LIBRARY.fullmatch(_text(library, "name")):
            msg = "the manifest's name of a library is none"
            raise ManifestError(msg)
        if "directory" in library and not _text(library, "directory").startswith("/"):
            msg = "the manifest's directory of a library is not absolute"
            raise ManifestError(msg)
        if not isinstance(library.get("base", False), bool):
            msg = "a library's base is neither true nor false"
            raise ManifestError(msg)
        _strings(library, "versions"), _strings(library, "for")
    if len({library["name"] for library in libraries}) < len(libraries):
        msg = "a library is needed twice"
        raise ManifestError(msg)
    if item.get("processor") is not None:
        processor = _object(item, "processor")
        _strings(processor, "features"), _strings(processor, "for")
    return item


def _interpreter(item: dict[str, Any]) -> dict[str, Any]:
    """Return what describes the interpreter; its version, by which one is looked for, names no command and no path."""
    if not _RELEASE.fullmatch(_text(item, "version")):
        msg = "the manifest's version of the interpreter is none"
        raise ManifestError(msg)
    if item.get("soabi") is not None:
        _text(item, "soabi")
    return item


def _installer(item: dict[str, Any]) -> dict[str, Any]:
    _text(item, "name"), _text(item, "version")
    return item


def _layer(item: dict[str, Any]) -> Layer:
    version = item.get("version")
    if version is not None and (not isinstance(version, str) or _CONTROL.search(version)):
        msg = "a layer's version is no text"
        raise ManifestError(msg)
    frames = tuple(_frame(frame) for frame in _items(item, "frames"))
    return Layer(name=_text(item, "name"), version=version, digest=_digest(item, "digest"), frames=frames)


def _relocation(item: dict[str, Any]) -> Relocation:
    path = _text(item, "path")
    try:
        check_member(Member(path, REGULAR))
    except MalformedError as error:
        raise ManifestError(str(error)) from None
    kind = _text(item, "kind")
    if kind != BINARY_KIND:
        return Relocation(path=path, kind=kind)
    return Relocation(path=path, kind=kind, offsets=_offsets(item), sha256=_digest(item, "sha256"))


def _offsets(item: dict[str, Any]) -> tuple[int, ...]:
    """Return the places in a compiled file, each behind the end of the one before."""
    value, end = item.get("offsets"), 0
    if not isinstance(value, list) or not value:
        msg = "the manifest's offsets are no list of numbers"
        raise ManifestError(msg)
    for offset in value:
        if not isinstance(offset, int) or isinstance(offset, bool) or not end <= offset <= _OFFSET_LIMIT:
            msg = "the manifest's offsets are not in order"
            raise ManifestError(msg)
        end = offset + len(PLACEHOLDER)
    return tuple(value)


def _frame(item: dict[str, Any]) -> Frame:
    return Frame(
        packed=_number(item, "packed", least=1, most=_PACKED_LIMIT),
        size=_number(item, "size", least=1, most=FRAME_LIMIT),
        sha256=_digest(item, "sha256"),
    )


def _package(item: dict[str, Any]) -> Package:
    return Package(
        name=_text(item, "name"),
        version=_text(item, "version"),
        built=_flag(item, "built"),
        sha256=_digest(item, "sha256") if item.get("sha256") is not None else None,
        flags=tuple(_strings(item, "flags")),
        commit=_text(item, "commit") if item.get("commit") is not None else None,
        wheel=_wheel(_object(item, "wheel")) if item.get("wheel") is not None else None,
        direct=_flag(item, "direct"),
        url=_text(item, "url") if item.get("url") is not None else None,
    )


def _wheel(item: dict[str, Any]) -> WheelFile:
    """Return a wheel that is named; no name leads elsewhere."""
    file = _text(item, "file")
    if not _WHEEL.fullmatch(file):
        msg = "the manifest's file name of a wheel is none"
        raise ManifestError(msg)
    return WheelFile(file=file, sha256=_digest(item, "sha256"))


def _flag(item: dict[str, Any], name: str) -> bool:
    value = item.get(name, False)
    if not isinstance(value, bool):
        msg = f"a package's {name} is neither true nor false"
        raise ManifestError(msg)
    return value


def _totals(item: dict[str, Any]) -> Totals:
    most = {"members": MEMBERS_LIMIT}
    return Totals(
        **{each.name: _number(item, each.name, least=0, most=most.get(each.name, 2**62)) for each in fields(Totals)}
    )


def _items(document: dict[str, Any], name: str) -> list[dict[str, Any]]:
    value = document.get(name)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        msg = f"the manifest's {name} are no list of objects"
        raise ManifestError(msg)
    return value


def _strings(document: dict[str, Any], name: str) -> list[str]:
    value = document.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, str) and not _CONTROL.search(item) for item in value):
        msg = f"the manifest's {name} are no list of texts"
        raise ManifestError(msg)
    return value


def _object(document: dict[str, Any], name: str) -> dict[str, Any]:
    value = document.get(name)
    if not isinstance(value, dict):
        msg = f"the manifest's {name} is no object"
        raise ManifestError(msg)
    return value


def _text(document: dict[str, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value or _CONTROL.search(value):
        msg = f"the manifest's {name} is no text"
        raise ManifestError(msg)
    return value


def _digest(document: dict[str, Any], name: str) -> str:
    value = _text(document, name)
    if not _DIGEST.fullmatch(value):
        msg = f"the manifest's {name} is no SHA-256 in hexadecimal"
        raise ManifestError(msg)
    return value


def _number(document: dict[str, Any], name: str, *, least: int, most: int) -> int:
    value = document.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        msg = f"the manifest's {name} is no number from {least} to {most}"
        raise ManifestError(msg)
    return value
