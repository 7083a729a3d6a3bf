"""From a request to its archive: built, packed, and published while it is packed."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

from terrastore import build, publish
from terrastore.archive import pack
from terrastore.archive.origin import Origin
from terrastore.archive.packed_layers import PackedLayers
from terrastore.build.provenance import unpinned
from terrastore.errors import BuildError, RequirementsError, StoreRefusedError, StoreUnreachableError
from terrastore.install import cores
from terrastore.report import listed
from terrastore.trust import ASK_FOR_ANOTHER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from terrastore.archive.pack import Packed
    from terrastore.build import Built
    from terrastore.catalogue import Published
    from terrastore.inputs import Inputs
    from terrastore.key import EnvKey, Request
    from terrastore.pointer import Pointer
    from terrastore.publish import Publication
    from terrastore.report import Report
    from terrastore.requirements.pip_lines import ForPip
    from terrastore.requirements.uv_lines import ForUv
    from terrastore.supply import Supply
    from terrastore.trust import Trust
    from terrastore.trust.signing import Signing
    from terrastore.wheelhouse import Wheelhouse


class Production:
    """What one build needs: the request with ``said``, what the installer is told, and where the result goes.

    It is published under ``key`` to the stores of ``supply``, None for none, as ``signing`` vouches for it;
    ``required`` whether that must be done; ``trust`` says what must not be in it; ``wheelhouse`` is where wheels come
    from and stay, None for nowhere; ``anew`` whether nothing that was packed here before is used, ``keeps`` whether
    what is packed now may be kept here.
    """

    def __init__(
        self,
        inputs: Inputs,
        request: Request,
        said: ForPip | ForUv,
        *,
        key: EnvKey,
        supply: Supply | None,
        trust: Trust,
        signing: Signing,
        required: bool,
        wheelhouse: Wheelhouse | None,
        anew: bool,
        keeps: bool,
        cache: Path,
        report: Report,
    ) -> None:
        self._inputs = inputs
        self._request = request
        self._said = said
        self._key = key
        self._supply = supply
        self._trust = trust
        self._signing = signing
        self._required = required
        self._wheelhouse = wheelhouse
        self._anew = anew
        self._keeps = keeps
        self._cache = cache
        self._report = report

    @contextmanager
    def packed(self) -> Iterator[tuple[Packed, BinaryIO, Published | None]]:
        """Build and publish; yield what was packed, its file, which lasts as long as the body, and what the store has.

        :raises BuildError: when the installer fails, or its result cannot be packed
        :raises RequirementsError: when what was asked for changed meanwhile
        """
        for ignored in self._request.requirements.ignored:
            self._report.warn(ignored)
        name, house = publish.archive_name(), self._wheelhouse
        destinations = self._destinations(name)
        recipe = self._inputs.recipe(self._request, self._said)
        recipe = replace(recipe, shelf=house.shelf(self._request) if house else None)
        with build.built(recipe, cache=self._cache, report=self._report) as made, ExitStack() as stack:
            if house and made.kept:
                house.tell(made.kept)
            self._examine(made)
            archive = stack.enter_context(open(f"{made.work}/archive.tar.zst", "x+b"))
            publications = [stack.enter_context(each) for each in destinations]
            packed = pack.pack(
                made.prefix,
                [archive, *publications],
                skeleton=made.skeleton,
                python=made.python,
                origin=self._origin(made),
                workers=cores(),
                report=self._report,
                is_secret=made.redactor.is_in,
                kept=PackedLayers(str(self._cache / "packed"), takes=not self._anew) if self._keeps else None,
            )
            archive.flush()
            if revoked := self._trust.revokes(packed.manifest.packages, archive=packed.sha256):
                raise BuildError(f"what was built {revoked}", hint=ASK_FOR_ANOTHER)
            if house and made.kept and publications:
                house.publish(made.kept, required=self._required)
            yield packed, archive, self._published(publish.pointer(packed, self._key, name), publications)

    def _destinations(self, name: str) -> list[Publication]:
        """Return where the archive goes; nowhere when it could not be signed, unless it must go somewhere."""
        if self._supply is None:
            return []
        with self._unsigned([]):
            self._signing.prepare()
            return self._supply.destinations(name, required=self._required)
        return []

    def _published(self, pointer: Pointer, publications: list[Publication]) -> Published | None:
        """Sign the pointer, and end what was begun with it; return what the store then has."""
        if not publications:
            return None
        with self._unsigned(publications):
            return publish.end(publications, self._signing.sealed(self._signing.issued(pointer)))
        return None

    @contextmanager
    def _unsigned(self, publications: list[Publication]) -> Iterator[None]:
        """Go on without publishing when a service that has a key cannot be used, unless it must be done."""
        try:
            yield
        except (StoreRefusedError, StoreUnreachableError) as error:
            if self._required:
                raise
            for publication in publications:
                publication.abandon(error)
            if not publications:
                self._report.warn(f"not published: {error.message}")

    def _examine(self, made: Built) -> None:
        """Refuse what is not what the key says, and tell what nobody chose."""
        self._refuse_changed_inputs()
        self._tell_unpinned(made)
        if self._request.any_patch:
            from terrastore.build.patches import refuse_patch_dependent  # noqa: PLC0415 -- few ask for it

            asked = (*self._said.requirements, *self._said.constraints)
            refuse_patch_dependent(made.prefix.path, asked, self._request.interpreter)

    def _refuse_changed_inputs(self) -> None:
        """Refuse a result whose key no longer says what the installer read."""
        before, after = self._request, self._inputs.request()
        # A build may write into the project that it builds, such as a file with its version.
        if before.without_content() != after.without_content():
            raise RequirementsError(
                "the requirements changed while they were installed",
                hint="run again once they are as they should be",
            )

    def _tell_unpinned(self, made: Built) -> None:
        """Say which versions nobody chose: all who ask for the same get what was found now."""
        if self._said.demands_hashes:
            return
        asked = self._request.requirements
        edited = [line for line in asked.unpinned if line.startswith("-e ")]
        if found := [*unpinned(made.prefix.path, asked.pinned, made.skeleton), *edited]:
            self._report.remark(f"unpinned  {listed(found)}: as found now, until --refresh or --max-age")

    def _origin(self, made: Built) -> Origin:
        request = self._request
        return Origin(
            key=self._key.text,
            interpreter=request.interpreter.identity(any_patch=request.any_patch),
            host=request.host.facts(),
            installer=made.installer,
            request=request.canonical(),
            libc=request.host.libc,
            compiled=made.compiled,
            downloads=made.downloads,
            base_prefix=request.interpreter.base_prefix,
            flags=made.flags,
            wheels=made.wheel_files,
            direct=made.kept.direct if made.kept else frozenset(),
            tools=made.tool_files,
        )
