"""What archives hold, remembered on this machine: archives never change, so each is asked once."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from terrastore import atomic, catalogue
from terrastore.errors import ArchiveRefusedError
from terrastore.store import layout
from terrastore.trust import ANYTHING
from terrastore.upkeep import abreast

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from terrastore.archive.manifest import Manifest
    from terrastore.key import EnvKey
    from terrastore.report import Report
    from terrastore.store.protocol import Store
    from terrastore.upkeep.holdings import Environment

_SCHEMA: Final = 2


class Weight(NamedTuple):
    """A layer, by the SHA-256 of its raw bytes, and its bytes after and before compression.

    ``version`` is None for ``base`` and ``rest``, which are no packages.
    """

    name: str
    version: str | None
    digest: str
    packed: int
    size: int


class Contents(NamedTuple):
    """What an environment consists of.

    ``packages`` are (name, version), ``wheels`` the SHA-256 of the wheels that its manifest names, ``python`` the
    version of its interpreter.
    """

    packages: tuple[tuple[str, str], ...]
    wheels: tuple[str, ...]
    layers: tuple[Weight, ...] = ()
    python: str = ""

    @classmethod
    def of(cls, manifest: Manifest) -> Contents:
        """Return what a manifest says."""
        kept = [package.wheel for package in manifest.packages if package.wheel is not None]
        return cls(
            packages=tuple((package.name, package.version) for package in manifest.packages),
            wheels=tuple(sorted({wheel.sha256 for wheel in (*kept, *manifest.tools)})),
            layers=tuple(
                Weight(layer.name, layer.version, layer.digest, layer.packed, layer.size) for layer in manifest.layers
            ),
            python=manifest.interpreter["version"],
        )


class Known:
    """What is known of a store's archives, in a file of the directory ``folder``."""

    def __init__(self, store: Store, folder: Path, report: Report) -> None:
        self._store = store
        self._report = report
        # What one store serves must not pass for what another one does.
        self._file = folder / f"{hashlib.sha256(str(store).encode()).hexdigest()[:16]}.json"
        self._found: dict[EnvKey, Contents | None] = {}

    def contents(self, environments: Sequence[Environment]) -> dict[EnvKey, Contents | None]:
        """Return what each environment holds; None for one that cannot be told, or is gone."""
        wanted = [each for each in environments if each.key not in self._found]
        if wanted:
            self._learn(wanted)
        return {each.key: self._found[each.key] for each in environments}

    def wheels(self, environments: Sequence[Environment]) -> frozenset[str] | None:
        """Return the SHA-256 of all wheels that manifests name; None when one of them cannot be read."""
        found = self.contents(environments)
        if any(contents is None for contents in found.values()):
            return None
        return frozenset(digest for contents in found.values() if contents for digest in contents.wheels)

    def _learn(self, environments: Sequence[Environment]) -> None:
        remembered, learnt = self._remembered(), {}
        unknown = []
        for each in environments:
            # Of several archives only the pointer tells which is meant.
            names = [archive.name for archive in each.archives]
            if len(names) == 1 and names[0] in remembered:
                self._found[each.key] = learnt[names[0]] = remembered[names[0]]
            else:
                unknown.append(each)
        with self._report.phase("read", total=len(unknown), unit="environments") as phase:

            def ask(environment: Environment) -> tuple[str, Contents] | None:
                phase.advance(1)
                return self._asked(environment.key)

            for each, answer in zip(unknown, abreast.mapped(ask, unknown, self._store.readers), strict=True):
                self._found[each.key] = answer[1] if answer is not None else None
                if answer is not None and answer[0]:
                    learnt[answer[0]] = answer[1]
        if unknown:
            self._remember(remembered | learnt)

    def _asked(self, key: EnvKey) -> tuple[str, Contents] | None:
        """Return an archive's name and what it holds."""
        try:
            found = catalogue.find(self._store, key, ANYTHING, self._report)
            if found is None:
                return None
            return layout.archive(key.text, found.pointer.archive.name), Contents.of(found.manifest())
        except ArchiveRefusedError as error:
            self._report.warn(error.message)
            # What does not verify names nothing that anybody may use.
            return None if error.later else ("", Contents((), ()))

    def _remembered(self) -> dict[str, Contents]:
        try:
            document = json.loads(self._file.read_bytes())
            return dict(_parsed(document)) if document["schema"] == _SCHEMA else {}
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return {}

    def _remember(self, contents: dict[str, Contents]) -> None:
        # Environments have most layers in common: each is written once.
        layers = {layer: None for each in contents.values() for layer in each.layers}
        places = {layer: place for place, layer in enumerate(layers)}
        archives = {
            name: (each.packages, each.wheels, [places[layer] for layer in each.layers], each.python)
            for name, each in contents.items()
        }
        document = {"schema": _SCHEMA, "layers": list(layers), "archives": archives}
        with suppress(OSError):  # it saves requests, and is worth no failure
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            data = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
            atomic.write_file(str(self._file), data, mode=0o600)


def _parsed(document: dict[str, Any]) -> Iterable[tuple[str, Contents]]:
    layers = [
        Weight(str(name), None if version is None else str(version), str(digest), int(packed), int(size))
        for name, version, digest, packed, size in document["layers"]
    ]
    for name, (packages, wheels, places, python) in document["archives"].items():
        yield (
            name,
            Contents(
                packages=tuple((str(each), str(version)) for each, version in packages),
                wheels=tuple(map(str, wheels)),
                layers=tuple(layers[place] for place in places),
                python=str(python),
            ),
        )
