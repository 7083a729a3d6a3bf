"""The options, each written once; every one is also ``TERRASTORE_<OPTION>`` and a setting in a file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from terrastore import folders
from terrastore.errors import UsageError
from terrastore.inputs import PIP, UV, Inputs

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.shell_completion import CompletionItem

    from terrastore.store.protocol import Store
    from terrastore.trust import Trust
    from terrastore.upkeep.prune import Criteria

    _Command = TypeVar("_Command", bound=Callable[..., Any])

# What a shell completes, by what an option takes.
_COMPLETED: Final = {
    "FILE": "file",
    "PATH": "file",
    "URL": "file",
    "DIR": "dir",
    "DIR|URL": "dir",
    "FILE|awskms:ARN": "file",
}


def option(*names: str, **attributes: Any) -> Callable[[_Command], _Command]:
    """Return ``click.option`` with its environment variable."""
    long = next(name for name in names if name.startswith("--"))
    attributes.setdefault("envvar", "TERRASTORE_" + long[2:].replace("-", "_").upper())
    if kind := _COMPLETED.get(attributes.get("metavar", "")):
        attributes.setdefault("shell_complete", paths(kind))
    return click.option(*names, **attributes)


def paths(kind: str) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """Return what lets a shell complete paths, of files and directories or of directories alone (``file``, ``dir``)."""

    def complete(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem  # noqa: PLC0415 -- of a shell alone

        return [CompletionItem(begun, type=kind)]

    return complete


def _together(*options: Callable[[_Command], _Command]) -> Callable[[_Command], _Command]:
    def apply(command: _Command) -> _Command:
        for each in reversed(options):
            command = each(command)
        return command

    return apply


python = option(
    "--python",
    metavar="SPEC",
    help="Interpreter: 3.12, >=3.11, a command or a path; default: the one terrastore runs on.",
)
installer = option(
    "--installer", type=click.Choice([PIP, UV]), default=PIP, help="What installs the packages; default: pip."
)

what = _together(
    option(
        "-r",
        "--requirement",
        multiple=True,
        metavar="FILE",
        help="Requirements file, lock (pylock.toml, uv.lock) or project (pyproject.toml); default: the one here.",
    ),
    option("-c", "--constraint", multiple=True, metavar="FILE", help="Constraints file."),
    option("--extra", multiple=True, metavar="NAME", help="Extra of the lock or project besides."),
    option("--group", multiple=True, metavar="NAME", help="Dependency group of the lock or project besides."),
    option("--project", is_flag=True, help="Install the project itself too."),
    python,
    installer,
    option("-i", "--index-url", metavar="URL", help="Package index instead of the default one."),
    option("--extra-index-url", multiple=True, metavar="URL", help="Package index besides."),
    option("-f", "--find-links", multiple=True, metavar="DIR|URL", help="Folder or page of distributions."),
    option("--no-index", is_flag=True, help="Take distributions from --find-links alone."),
    option("--pre", is_flag=True, help="Admit pre-releases."),
    option("--only-binary", multiple=True, metavar="NAMES", help="Never build these from source (:all:)."),
    option("--no-binary", multiple=True, metavar="NAMES", help="Always build these from source (:all:)."),
    option("--require-hashes", is_flag=True, help="Demand a hash for everything."),
    option("--index-alias", multiple=True, metavar="URL=URL", help="A mirror, and the index that it stands for."),
    option("--require-locked", is_flag=True, help="Refuse what is not fixed by hashes."),
    option("--any-patch", is_flag=True, help="Share with every patch version of the same Python."),
    option("--no-seed", is_flag=True, help="Leave pip out of the environment."),
    option("--salt", default="", metavar="TEXT", help="Text that makes the key another one."),
    option("--key-env", multiple=True, metavar="NAME", help="Variable whose value is part of the key."),
)

store = option(
    "--store",
    multiple=True,
    metavar="URL",
    help="Where environments are kept, the nearest first; default: the user's data folder.",
)
cache_dir = option("--cache-dir", metavar="DIR", help="Where downloads, wheels, logs and digests are kept.")

wheelhouse = option("--wheelhouse", is_flag=True, help="Keep wheels in the store, and build with those that are there.")


class Duration(click.ParamType[float]):
    """A length of time, in seconds."""

    name = "duration"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> float:
        from terrastore.times import parse_duration  # noqa: PLC0415 -- few give one

        try:
            return parse_duration(str(value))
        except ValueError:
            self.fail(f"{value!r} is no length of time, such as 24h or 7d", parameter, context)


class Size(click.ParamType[int]):
    """A number of bytes."""

    name = "size"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> int:
        if type(value) is int and value >= 0:
            return value
        from terrastore.sizes import parse_size  # noqa: PLC0415 -- few give one

        try:
            return parse_size(str(value))
        except ValueError:
            self.fail(f"{value!r} is no size, such as 10GB", parameter, context)


cache_limit = option(
    "--cache-limit",
    type=Size(),
    default=10_000_000_000,
    metavar="SIZE",
    help="Most that is kept of layers here; default: 10GB.",
)

caching = _together(
    option("--no-cache", is_flag=True, help="Keep no layers here: of use to machines that boot once."),
    option(
        "--link-mode",
        type=click.Choice(["clone", "copy", "hardlink"]),
        help="Make environments of layers that are kept here, as copies, or sharing the disk; "
        "default: copies, where the store is not on this machine.",
    ),
    cache_limit,
)

criteria = _together(
    option("--unused-for", type=Duration(), metavar="TIME", help="What was not used for so long goes, such as 30d."),
    option("--keep-last", type=click.IntRange(min=0), metavar="N", help="All but the N that were used last go."),
    option(
        "--max-size",
        type=Size(),
        metavar="SIZE",
        help="What was not used for longest goes, until the store has at most SIZE, such as 50GB.",
    ),
)

freshness = _together(
    option("--refresh", is_flag=True, help="Look up again what is not pinned; build if that moved."),
    option("--max-age", type=Duration(), metavar="TIME", help="Take nothing older, such as 24h or 7d."),
    option("--expect", metavar="KEY", help="Fail when the key is another one."),
)

making = _together(
    option("--no-build", is_flag=True, help="Fail rather than build what the store does not have."),
    option("--verify", is_flag=True, help="Keep only what is as it was made; make anew what drifted."),
    option("--ignore-store", is_flag=True, help="Build without any store."),
    option(
        "--on-store-error",
        type=click.Choice(["fail", "build"]),
        default="fail",
        help="What to do when the store does not answer; default: fail.",
    ),
)

publishing = _together(
    option("--rebuild", is_flag=True, help="Build, and replace what the store has."),
    option("--no-publish", is_flag=True, help="Do not put what is built into the store."),
    option("--require-publish", is_flag=True, help="Fail when what is built cannot be published."),
)

trusting = _together(
    option("--trust", metavar="FILE", help="Follow pointers alone that somebody named in FILE has signed."),
    option("--realm", metavar="NAME", help="What environments are published for; default: none."),
)

signer = option(
    "--signer", multiple=True, metavar="FILE|awskms:ARN", help="Key that signs what is published; several all do."
)

signing = _together(
    signer,
    option("--expires", type=Duration(), metavar="TIME", help="What is published counts for so long, such as 90d."),
)

waiting = option(
    "--wait",
    type=click.FloatRange(min=0),
    default=600.0,
    metavar="SECONDS",
    help="Longest to wait for another run, 0 not at all; default: 600.",
)

how = _together(making, freshness, publishing, trusting, signing, wheelhouse, waiting)
"""Of what makes sure that an environment is there, whatever place that has."""

replacing = _together(
    option("--backup", is_flag=True, help="Keep the replaced environment as TARGET.bak."),
    option("--force", is_flag=True, help="Replace a directory that is no environment."),
)

place = _together(
    option("--target", metavar="DIR", help="Where the environment is to stand; default: .venv."),
    option("--link", metavar="PATH", help="Symbolic link to the current one of several releases."),
    option("--releases", metavar="DIR", help="Where releases stand; default: releases beside the link."),
)

telling = _together(
    option("-q", "--quiet", count=True, help="Less on standard error; twice: errors alone."),
    option("-v", "--verbose", count=True, help="What tools say, on standard error, and tracebacks."),
)

common = _together(
    option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a line."),
    telling,
)


def inputs(values: dict[str, Any]) -> Inputs:
    """Take what the options of ``what`` say out of ``values``."""
    renamed = {"requirements": "requirement", "constraints": "constraint", "extras": "extra", "groups": "group"}
    ours = {"seed", "cache"}
    names = [name for name in Inputs._fields if name not in ours]
    taken = {name: values.pop(renamed.get(name, name)) for name in names}
    return Inputs(**taken, seed=not values.pop("no_seed"), cache=cache_path(values["cache_dir"]))


def criteria_of(values: dict[str, Any]) -> Criteria:
    """Return which environments the options of ``criteria`` say are to go."""
    from terrastore.upkeep.prune import Criteria  # noqa: PLC0415 -- help needs none

    return Criteria(unused_for=values["unused_for"], keep_last=values["keep_last"], max_size=values["max_size"])


def refuse_wheelhouse(inputs: Inputs, values: dict[str, Any]) -> None:
    """Refuse ``--wheelhouse`` with an installer that has no wheels to give.

    :raises UsageError: when it is uv
    """
    if values["wheelhouse"] and inputs.installer == UV:
        raise UsageError(
            "--wheelhouse cannot be used with --installer uv, which keeps no wheels", hint="leave one of them out"
        )


def trust(values: dict[str, Any]) -> Trust:
    """Return who may publish, and for which realm: any, if none is said.

    :raises UsageError: when the trust file cannot be read, or the realm's name is none
    """
    from terrastore.trust import Trust  # noqa: PLC0415 -- help needs none

    return Trust.of(values["trust"], realm=values["realm"])


def vouching(values: dict[str, Any]) -> dict[str, Any]:
    """Return what a :class:`~terrastore.run.Policy` says of trust."""
    return {
        "trust": values["trust"],
        "realm": values["realm"] or "",
        "signers": values["signer"],
        "lasts": values["expires"],
    }


def opened_store(urls: tuple[str, ...]) -> Store:
    """Return the store that ``--store`` names, several as one, or the default one.

    :raises UsageError: for an unknown kind
    """
    from terrastore.store.locations import open_stores  # noqa: PLC0415 -- help needs none

    return open_stores(urls)


def cache_path(directory: str | None) -> str:
    """Return where builds keep what they need again."""
    return os.path.join(os.getcwd(), directory) if directory else folders.user_cache()
