"""Commands that make an environment, or say what would."""

from __future__ import annotations

import json
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from terrastore.cli import messages, options
from terrastore.cli.progress import TerminalReport
from terrastore.errors import UsageError
from terrastore.report import number, size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from terrastore.inputs import Inputs
    from terrastore.place import Releases, Shelf, Target
    from terrastore.report import Report
    from terrastore.run import Outcome


_CONTRADICTIONS = (
    ("no_build", "rebuild"),
    ("no_build", "ignore_store"),
    ("no_cache", "link_mode"),
    ("no_publish", "require_publish"),
)
# The strongest first.
_SOURCES = (
    click.core.ParameterSource.COMMANDLINE,
    click.core.ParameterSource.ENVIRONMENT,
    click.core.ParameterSource.DEFAULT_MAP,
    click.core.ParameterSource.DEFAULT,
)

_OF_ITSELF = frozenset(
    {"itself", "store", "trust", "realm", "signer", "expires", "cache_dir", "as_json", "quiet", "verbose"}
)
"""What can be said of publishing terrastore itself."""


@contextmanager
def reporting(quiet: int, verbose: int = 0) -> Iterator[TerminalReport]:
    """Yield a report that draws, and stop drawing before anything else is printed."""
    report = TerminalReport(quiet=quiet, verbose=verbose)
    try:
        yield report
    finally:
        report.close()


@click.command()
@options.what
@options.place
@options.store
@options.how
@options.replacing
@options.caching
@options.cache_dir
@options.common
def ensure(**values: Any) -> None:
    """Make sure that an environment is there.

    It is kept when it is what was asked for, fetched when the store has it, else built, published and installed.
    """
    inputs, started = options.inputs(values), time.perf_counter()
    place, shown = where(values)
    if values["backup"] and values["link"] is not None:
        raise UsageError("--backup is of no use with --link", hint="leave it out: the releases before stay")
    with reporting(values["quiet"], values["verbose"]) as report:
        outcome = ensured(inputs, place, values, report, backup=values["backup"], force=values["force"])
    _tell(outcome, report, inputs, shown=shown, started=started, as_json=values["as_json"])
    discard(outcome.retired, report)


def ensured(
    inputs: Inputs,
    place: Target | Releases | Shelf,
    values: dict[str, Any],
    report: Report,
    *,
    backup: bool = False,
    force: bool = False,
) -> Outcome:
    """Make sure that an environment is there, by what the options of ``ensure`` and ``run`` say."""
    from terrastore.ensuring import ensure  # noqa: PLC0415 -- help and usage errors need none of it
    from terrastore.run import Policy  # noqa: PLC0415

    options.refuse_wheelhouse(inputs, values)
    for said in _CONTRADICTIONS:
        if all(values[name] for name in said):
            words = " and ".join(f"--{name.replace('_', '-')}" for name in said)
            raise UsageError(f"{words} contradict each other", hint="leave one out")
    return ensure(
        inputs,
        place,
        store=None if values["ignore_store"] else options.opened_store(values["store"]),
        cache=options.cache_path(values["cache_dir"]),
        policy=Policy(
            build=not values["no_build"],
            **_freshness(values),
            verify=values["verify"],
            rebuild=values["rebuild"],
            publish=not values["no_publish"],
            require_publish=values["require_publish"],
            wait=values["wait"],
            build_blindly=values["on_store_error"] == "build",
            wheelhouse=values["wheelhouse"],
            cache=not values["no_cache"],
            link_mode=values["link_mode"],
            cache_limit=values["cache_limit"],
            backup=backup,
            force=force,
            **options.vouching(values),
        ),
        report=report,
    )


@click.command()
@options.what
@options.store
@options.freshness
@options.option("--rebuild", is_flag=True, help="Build, and replace what the store has.")
@options.trusting
@options.signing
@options.wheelhouse
@options.waiting
@options.cache_dir
@click.option("--self", "itself", is_flag=True, help="Publish terrastore itself instead, for machines that boot.")
@options.common
def build(**values: Any) -> None:
    """Make sure that a store has an environment.

    It is built and published when the store has it not, and not made here.
    """
    if values["itself"]:
        _publish_itself(values)
        return
    from terrastore.ensuring import build  # noqa: PLC0415
    from terrastore.run import Policy  # noqa: PLC0415

    inputs, started = options.inputs(values), time.perf_counter()
    options.refuse_wheelhouse(inputs, values)
    store = options.opened_store(values["store"])
    policy = Policy(
        rebuild=values["rebuild"],
        require_publish=True,
        wait=values["wait"],
        wheelhouse=values["wheelhouse"],
        **_freshness(values),
        **options.vouching(values),
    )
    cache = options.cache_path(values["cache_dir"])
    with reporting(values["quiet"], values["verbose"]) as report:
        outcome = build(inputs, store=store, cache=cache, policy=policy, report=report)
    _tell(outcome, report, inputs, shown="", started=started, as_json=values["as_json"])


@click.command()
@options.what
@options.option("--explain", is_flag=True, help="Print the canonical JSON that the key is the digest of.")
@options.cache_dir
@options.common
def key(**values: Any) -> None:
    """Print what names the environment."""
    from terrastore.key import EnvKey  # noqa: PLC0415

    request = options.inputs(values).request()
    name, canonical = EnvKey.of(request).text, request.canonical()
    if values["as_json"]:
        explained = {"canonical": canonical} if values["explain"] else {}
        messages.print_json({"schema": messages.SCHEMA, "key": name} | explained)
    elif values["explain"]:
        print(json.dumps(canonical, sort_keys=True, indent=2, ensure_ascii=False))
    else:
        print(name)


@click.command()
@click.argument("file", metavar="FILE", shell_complete=options.paths("file"))
@options.option("--target", required=True, metavar="DIR", help="Where the environment is to stand.")
@options.option("--python", metavar="SPEC", help="Interpreter; default: one of the archive's version.")
@options.waiting
@options.replacing
@options.common
def unpack(**values: Any) -> None:
    """Make an environment from an archive file."""
    from terrastore import interpreter  # noqa: PLC0415
    from terrastore.install import install_file  # noqa: PLC0415
    from terrastore.place import Target  # noqa: PLC0415

    started, target = time.perf_counter(), Target.at(values["target"])
    target.check_replaceable(force=values["force"])
    python = interpreter.find(values["python"]) if values["python"] else None
    with reporting(values["quiet"]) as report:
        state, manifest, retired = install_file(
            values["file"], target, python=python, backup=values["backup"], wait=values["wait"], report=report
        )
    seconds = time.perf_counter() - started
    if values["as_json"]:
        messages.print_json({"schema": messages.SCHEMA, "key": state.key, "target": target.path})
    else:
        count = number(len(manifest.packages), "package")
        messages.print_line(f"unpacked {count} in {seconds:.1f} s → {values['target']}  ({manifest.key})")
    discard(retired, report)


@click.command()
@click.argument("environment", metavar="ENV", required=False, shell_complete=options.paths("dir"))
@options.option("--python", metavar="SPEC", help="Interpreter; default: the one it had, or one of its version.")
@click.option(
    "--into",
    metavar="DIR",
    shell_complete=options.paths("dir"),
    help="Make it work there, and move it there, in place of an environment.",
)
@click.option("--force", is_flag=True, help="With --into: replace a directory that is no environment too.")
@click.option(
    "--standalone",
    metavar="FILE",
    shell_complete=options.paths("file"),
    help="Write this command to FILE, which any Python 3.11 or later runs.",
)
@options.waiting
@options.common
def relocate(**values: Any) -> None:
    """Make an environment work where it stands.

    It may have been moved, copied, or unpacked by tar. For machines without terrastore --standalone writes a program
    that does this, to be run as: python3 FILE ENV.
    """
    from terrastore import interpreter, standalone  # noqa: PLC0415
    from terrastore.relocation import move, relocate  # noqa: PLC0415

    if (values["environment"] is None) is (values["standalone"] is None):
        raise UsageError("relocate needs one of ENV and --standalone FILE", hint="name an environment's directory")
    if values["force"] and values["into"] is None:
        raise UsageError("--force is of no use without --into", hint="leave it out")
    if values["standalone"] is not None:
        _write_standalone(values["standalone"], as_json=values["as_json"])
        return
    python = interpreter.find(values["python"]) if values["python"] else None
    with reporting(values["quiet"]) as report:
        named: dict[str, Any] = {"python": python, "wait": values["wait"], "report": report}
        retired = None
        if values["into"] is None:
            state, count = relocate(values["environment"], **named)
        else:
            state, count, retired = move(values["environment"], values["into"], force=values["force"], **named)
    standalone.tell(state.prefix, state.key, count, as_json=values["as_json"])
    discard(retired, report)


@click.command()
@options.place
@options.waiting
@options.common
def rollback(**values: Any) -> None:
    """Go back to the release or backup before.

    Run twice, it returns to where it started.
    """
    from terrastore.place import Releases  # noqa: PLC0415

    place, shown = where(values)
    with reporting(values["quiet"]) as report:
        if isinstance(place, Releases):
            now, done = place.rollback(), f"{shown} → {{}}"
        else:
            with place.locked(report, wait=values["wait"]):
                place.rollback()
            now, done = place.path, f"{shown}, and kept what was there as {shown}.bak"
    if values["as_json"]:
        messages.print_json({"schema": messages.SCHEMA, "target": now})
    else:
        messages.print_line(f"rolled back {done.format(messages.near(now))}")


def _publish_itself(values: dict[str, Any]) -> None:
    from terrastore.boot.publishing import publish  # noqa: PLC0415 -- few do
    from terrastore.trust.signing import Signing  # noqa: PLC0415

    _refuse_what_is_no_part()
    store, trust = options.opened_store(values["store"]), options.trust(values)
    with reporting(values["quiet"], values["verbose"]) as report:
        signing = Signing(values["signer"], trust=trust, lasts=values["expires"], report=report)
        published = publish(store, trust=trust, signing=signing, lasts=values["expires"], report=report)
    if values["as_json"]:
        messages.print_json(messages.itself_json(published, report))
    else:
        print(messages.itself_line(published))


def _refuse_what_is_no_part() -> None:
    """Refuse flags that say which environment, where terrastore itself is meant.

    :raises UsageError: when there are any
    """
    context = click.get_current_context()
    said = [
        option.opts[0]
        for option in context.command.params
        if context.get_parameter_source(option.name or "") is click.core.ParameterSource.COMMANDLINE
        and option.name not in _OF_ITSELF
    ]
    if said:
        raise UsageError(f"--self and {said[0]} contradict each other", hint="leave one out")


def _freshness(values: dict[str, Any]) -> dict[str, Any]:
    return {name: values[name] for name in ("expect", "refresh", "max_age")}


def where(values: dict[str, Any]) -> tuple[Target | Releases, str]:
    """Return where the environment is to stand, and how a person would name that.

    Of ``--target`` and ``--link`` that one counts which is said in the stronger place, such as a flag before a file.
    """
    from terrastore.place import Releases, Target  # noqa: PLC0415

    if values["link"] is not None and values["target"] is not None:
        said = click.get_current_context().get_parameter_source
        strengths = [_SOURCES.index(source) for name in ("target", "link") if (source := said(name)) is not None]
        if len(set(strengths)) == 1:
            raise UsageError("--target and --link contradict each other", hint="leave one out")
        is_target = strengths == sorted(strengths)
        values |= {"link": None, "releases": None} if is_target else {"target": None}
    if values["link"] is None:
        if values["releases"] is not None:
            raise UsageError("--releases needs --link", hint="name the link to the current release with --link PATH")
        target = values["target"] or ".venv"
        return Target.at(target), target
    return Releases.at(values["link"], values["releases"]), values["link"]


def _write_standalone(path: str, *, as_json: bool) -> None:
    from terrastore import atomic, room, standalone  # noqa: PLC0415

    path, content = os.path.abspath(path), standalone.content()
    folder = os.path.dirname(path)
    if os.path.isdir(path) or not os.path.isdir(folder):
        problem = "is a directory" if os.path.isdir(path) else "is in no directory"
        raise UsageError(f"{path} {problem}", hint="name a file, such as relocate.pyz")
    if os.path.lexists(path) and (os.path.islink(path) or not os.path.isfile(path)):
        raise UsageError(f"{path} is a link, a device or a pipe", hint="name a file, such as relocate.pyz")
    with room.writing(folder, what="the program", otherwise="name another file"):
        atomic.write_file(path, content, mode=0o755)
    if as_json:
        messages.print_json({"schema": messages.SCHEMA, "file": path, "bytes": len(content)})
    else:
        near = messages.near(path)
        messages.print_line(f"written  {near}, {size(len(content))}; run it as python3 {near} ENV")


def _tell(outcome: Outcome, report: Report, inputs: Inputs, *, shown: str, started: float, as_json: bool) -> None:
    """Print what came of a run, before anything that is left to do afterwards."""
    if as_json:
        messages.print_json(messages.outcome_json(outcome, report))
    else:
        seconds, asked = time.perf_counter() - started, ", ".join(inputs.files)
        messages.print_line(messages.outcome_line(outcome, shown=shown, asked=asked, seconds=seconds))


def discard(retired: str | None, report: Report) -> None:
    """Remove what was replaced, if anything, once the result is told."""
    from terrastore import place  # noqa: PLC0415 -- see ensure

    if retired is not None and not place.discard(retired):
        report.warn(f"this user cannot remove what was replaced: {retired}")


COMMANDS = (ensure, build, key, unpack, relocate, rollback)
