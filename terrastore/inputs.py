"""From what a person says on the command line to the request that has a key, and to the recipe that builds it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from terrastore import interpreter
from terrastore.errors import RequirementsError, UsageError, reason
from terrastore.host import Host
from terrastore.key import Request
from terrastore.requirements import Disk, RequirementSet, read_requirements
from terrastore.requirements.files import as_path
from terrastore.requirements.lines import LineError, Option, index_identity, is_file_url, is_url, without_secrets
from terrastore.requirements.pip import configuration_files, pip_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from terrastore.build import Recipe
    from terrastore.interpreter import Interpreter
    from terrastore.requirements.uv_lines import ForUv

DEFAULT_FILE: Final = "requirements.txt"
PIP: Final = "pip"
UV: Final = "uv"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What is asked for, as it was written: files, an interpreter, options of pip's names.

    ``cache`` is the directory where digests of local files are remembered, None for nowhere; it asks for nothing.
    """

    requirements: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    python: str | None = None
    installer: str = PIP
    index_url: str | None = None
    extra_index_url: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    no_index: bool = False
    pre: bool = False
    only_binary: tuple[str, ...] = ()
    no_binary: tuple[str, ...] = ()
    require_hashes: bool = False
    salt: str = ""
    key_env: tuple[str, ...] = ()
    seed: bool = True
    any_patch: bool = False
    cache: Path | None = None

    @property
    def files(self) -> tuple[str, ...]:
        """The requirements files; ``requirements.txt`` is taken when none is named.

        :raises RequirementsError: when that is not there either
        """
        if self.requirements:
            return self.requirements
        if not os.path.exists(DEFAULT_FILE):
            raise RequirementsError(
                f"there is no {DEFAULT_FILE} here, and no other file is named", hint="name one with -r FILE"
            )
        return (DEFAULT_FILE,)

    def request(self) -> Request:
        """Read the files, look at the interpreter, the host and the installer's own settings; return what they come to.

        :raises RequirementsError: for a file or a line that cannot be used
        :raises UsageError: for an option or a setting that cannot be used
        :raises HostError: when no interpreter fits
        """
        with Disk(self.cache) as reader:
            return self._read(reader)

    def _read(self, reader: Disk) -> Request:
        hear = None
        if self.installer == UV:
            # Who builds by pip needs none of this.
            from terrastore.requirements import uv  # noqa: PLC0415
            from terrastore.requirements.uv_lines import ForUv  # noqa: PLC0415

            settings = uv.effective_settings(os.environ, os.getcwd(), reader=reader)
            machine = uv.uv_settings(settings, reader=reader)
            said = ForUv(reader, sources=settings.sources)
            self._say_options(said)
            hear = said.hear
        else:
            machine = pip_settings(os.environ, configuration_files(os.environ), reader=reader)
        requirements = read_requirements(self.files, self.constraints, reader=reader, variables=os.environ, hear=hear)
        python = interpreter.find(self.python)
        if self.any_patch:
            self._refuse_patch_dependent(requirements, python)
        return Request(
            requirements=requirements,
            interpreter=python,
            host=Host.here(),
            options=tuple(self._canonical_options(reader)),
            machine=machine,
            variables={name: os.environ.get(name) for name in sorted(self.key_env)},
            installer=self.installer,
            seed=self.seed,
            salt=self.salt,
            any_patch=self.any_patch,
        )

    def recipe(self, request: Request) -> Recipe:
        """Return how to build what ``request`` asks for."""
        from terrastore.build import Recipe  # noqa: PLC0415 -- only a miss needs the modules of building

        return Recipe(
            interpreter=request.interpreter,
            installer=self.installer,
            files=self.files if request.requirements.requirements else (),
            constraints=self.constraints,
            options=tuple(self._options()),
            secrets=tuple(filter(None, map(os.environ.get, sorted(request.requirements.url_variables)))),
            seed=self.seed,
        )

    def _refuse_patch_dependent(self, requirements: RequirementSet, python: Interpreter) -> None:
        from terrastore.requirements.patches import dependent_lines  # noqa: PLC0415 -- few ask for it

        lines, series = (*requirements.requirements, *requirements.constraints), python.version[:2]
        if found := list(dependent_lines(lines, series)):
            raise RequirementsError(
                f"not every patch version of Python {'.'.join(map(str, series))} reads this alike: {found[0]}",
                hint="leave --any-patch out, or write the marker with python_version",
            )

    def _say_options(self, uv: ForUv) -> None:
        for line in self._options():
            name, _, value = line.partition(" ")
            try:
                uv.option(Option(name, value))
            except LineError as error:
                raise UsageError(f"{without_secrets(line)} cannot be used: {error}", hint=error.hint) from None

    def _options(self) -> Iterator[str]:
        """Yield the options as lines of a requirements file, which no list of processes shows."""
        if self.index_url is not None:
            yield f"--index-url {self.index_url}"
        if self.no_index:
            yield "--no-index"
        yield from (f"--extra-index-url {url}" for url in self.extra_index_url)
        for place in self.find_links:
            is_path = not is_url(place) and not is_file_url(place)
            yield f"--find-links {os.path.abspath(os.path.expanduser(place)) if is_path else place}"
        if self.pre:
            yield "--pre"
        yield from (f"--only-binary {names}" for names in self.only_binary)
        yield from (f"--no-binary {names}" for names in self.no_binary)
        if self.require_hashes:
            yield "--require-hashes"

    def _canonical_options(self, reader: Disk) -> Iterator[str]:
        """Yield the options as the key takes them: URLs without credentials, directories by content."""
        for line in self._options():
            name, _, value = line.partition(" ")
            if name == "--find-links" and not is_url(value):
                value = f"sha256:{_digest(value, reader)}"
            elif name in {"--index-url", "--extra-index-url", "--find-links"}:
                value = index_identity(value)
            yield f"{name} {value}".strip()


def _digest(place: str, reader: Disk) -> str:
    try:
        return reader.links(as_path(place))
    except (OSError, ValueError) as error:
        shown = without_secrets(place)
        raise RequirementsError(
            f"--find-links {shown} cannot be read: {reason(error)}", hint="check the path"
        ) from None
