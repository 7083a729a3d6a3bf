"""Commands that look at a store, or at one environment in it."""

from __future__ import annotations

import json
import os
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from terrastore.cli import messages, options
from terrastore.cli.environments import reporting
from terrastore.errors import ArchiveRefusedError, UsageError
from terrastore.report import number, plain, size

if TYPE_CHECKING:
    from terrastore.archive.manifest import Manifest
    from terrastore.catalogue import Published
    from terrastore.key import EnvKey
    from terrastore.store.protocol import Store


@click.command()
@click.argument("subject", metavar="ENV|KEY", shell_complete=options.paths("dir"))
@options.store
@options.option("--freeze", is_flag=True, help="Print a requirements file, with hashes, of what was resolved.")
@click.option("--tree", is_flag=True, help="Print what weighs how much, by package, and what needs it.")
@options.trusting
@options.common
def show(**values: Any) -> None:
    """Say what an environment on disk or in a store consists of."""
    from dataclasses import asdict  # noqa: PLC0415

    from terrastore.archive.originals import read_environment_manifest  # noqa: PLC0415

    subject = values["subject"]
    told: dict[str, Any]
    root = None
    if os.path.isdir(subject):
        manifest, root = read_environment_manifest(subject), os.path.realpath(subject)
        told, lines = {"target": root}, [f"  stands     {root}"]
    else:
        found, manifest = _published_or_directory(subject, values)
        told, lines = {"pointer": asdict(found.pointer)}, _stored(found)
    if values["freeze"]:
        _tell_frozen(manifest, as_json=values["as_json"])
    elif values["as_json"]:
        messages.print_json({"schema": messages.SCHEMA, **told, "manifest": json.loads(manifest.to_json())})
    else:
        described = _weights(manifest, root) if values["tree"] else (*lines, *_description(manifest))
        for line in (manifest.key, *described):
            messages.print_line(plain(line))


@click.command()
@click.argument("subject", metavar="ENV|KEY", shell_complete=options.paths("dir"))
@options.store
@options.trusting
@options.common
def verify(**values: Any) -> int:
    """Check an environment on disk or in a store.

    On disk it is told what is edited, missing or added since it was made, with -v every path; in a store every digest
    of its archive is checked.
    """
    subject = values["subject"]
    if os.path.isdir(subject):
        return _verify_environment(subject, values)
    from terrastore import catalogue  # noqa: PLC0415
    from terrastore.archive.verify import verify_archive  # noqa: PLC0415

    found, manifest = _published_or_directory(subject, values)
    archive = found.pointer.archive
    with reporting(values["quiet"]) as report, catalogue.naming(found):
        options.trust(values).refuse_revoked(manifest.packages, archive=archive.sha256)
        verify_archive(
            found.read, manifest, found.pointer.manifest, size=archive.size, sha256=archive.sha256, report=report
        )
    if values["as_json"]:
        messages.print_json({"schema": messages.SCHEMA, "key": found.key.text, "sound": True})
    else:
        messages.print_line(f"sound    {size(archive.size)} in {found.store}  ({found.key.short})")
    return 0


@click.command()
@click.argument("key", metavar="KEY")
@options.store
@options.option("--force", is_flag=True, help="Remove it even when it is pinned; the pin stays.")
@options.common
def remove(**values: Any) -> None:
    """Remove an environment from a store."""
    from terrastore import catalogue  # noqa: PLC0415

    store = options.opened_store(values["store"])
    key = catalogue.resolve(store, values["key"])
    # A setting that lets environments replace directories was not meant for this.
    if click.get_current_context().get_parameter_source("force") is not click.core.ParameterSource.COMMANDLINE:
        _refuse_pinned(store, key)
    freed = catalogue.remove(store, key)
    if values["as_json"]:
        messages.print_json({"schema": messages.SCHEMA, "key": key.text, "bytes": freed})
    else:
        messages.print_line(f"removed  {size(freed)} from {store}  ({key.short})")


def _refuse_pinned(store: Store, key: EnvKey) -> None:
    from terrastore.upkeep import pins  # noqa: PLC0415

    if names := pins.holding(pins.read(store), key):
        raise UsageError(
            f"{key.short} in {store} is pinned as {', '.join(names)}",
            hint=f"run terrastore unpin {names[0]} first, or say --force",
        )


def _published_or_directory(subject: str, values: dict[str, Any]) -> tuple[Published, Manifest]:
    """Return what a store has under a key; what is none could have been meant as a directory."""
    if os.sep in subject:
        raise UsageError(f"there is no environment {subject}", hint="name an environment's directory, or a key")
    try:
        return _published(values | {"key": subject})
    except UsageError as error:
        raise UsageError(f"{error.message}, and there is no directory {subject}", hint=error.hint) from None


def _published(values: dict[str, Any]) -> tuple[Published, Manifest]:
    from terrastore import catalogue  # noqa: PLC0415

    store = options.opened_store(values["store"])
    with reporting(values["quiet"]) as report:
        key = catalogue.resolve(store, values["key"])
        found = catalogue.find(store, key, options.trust(values), report)
        if found is None:
            raise UsageError(f"{store} has no {key.short} that this version can read", hint="see terrastore list")
        return found, found.manifest()


def _verify_environment(path: str, values: dict[str, Any]) -> int:
    """Print what became of an environment, and return the exit code."""
    from terrastore.archive.drift import find_drift  # noqa: PLC0415
    from terrastore.environment import State  # noqa: PLC0415
    from terrastore.install import cores  # noqa: PLC0415
    from terrastore.place import Target  # noqa: PLC0415

    root = os.path.realpath(path)
    state = State.read(root)
    if state is None:
        raise UsageError(f"{path} was not made by terrastore", hint="name an environment that terrastore made")
    # A backup is for the place that rollback brings it to.
    if root not in {state.prefix, Target(state.prefix).backup}:
        made_for = f"was made for {state.prefix}" if state.prefix else "was relocated half-way"
        raise ArchiveRefusedError(f"{path} {made_for}", hint=f"run terrastore relocate {path}")
    with reporting(values["quiet"]) as report:
        drift = find_drift(root, prefix=state.prefix, edited=state.projects, workers=cores(), report=report)
    if values["as_json"]:
        told = {"schema": messages.SCHEMA, "target": root, "key": state.key, "sound": not drift}
        packages = [
            {"name": each.name, "before": each.before, "after": each.after, "files": each.files}
            for each in drift.packages
        ]
        told |= {"packages": packages, "others": drift.others, "untold": drift.untold, "projects": drift.projects}
        messages.print_json(told)
    elif not drift:
        messages.print_line(f"sound    {path}  ({state.key})")
    else:
        for phrase in drift.phrases():
            messages.print_line(phrase)
        if values["verbose"]:
            for name, what in drift.files().items():
                print(f"{what:8} {plain(name)}")
    if not drift:
        return 0
    error = ArchiveRefusedError(f"{path} is not as it was made", hint="ensure --verify makes such an environment anew")
    messages.print_error(error, as_json=False, verbose=False)
    return error.exit_code


def _tell_frozen(manifest: Manifest, *, as_json: bool) -> None:
    """Print what was resolved, as a requirements file."""
    from terrastore.freeze import freeze  # noqa: PLC0415

    frozen = freeze(manifest)
    if not as_json:
        print("\n".join(frozen.lines()))
        return
    requirements = [
        {"name": each.name, "version": each.version, "requirement": each.asked, "hashes": list(each.hashes)}
        for each in frozen.requirements
    ]
    left_out = [{"what": what, "why": why} for what, why in frozen.left_out]
    messages.print_json(
        {"schema": messages.SCHEMA, "key": manifest.key, "requirements": requirements, "left_out": left_out}
    )


def _stored(found: Published) -> list[str]:
    """Return lines that say where an archive is, and who made it."""
    from terrastore.store import layout  # noqa: PLC0415

    pointer = found.pointer
    return [
        f"  made       {pointer.created} by {pointer.builder}",
        f"  stored     {found.store}/{layout.archive(pointer.key, pointer.archive.name)}",
        f"  archive    {size(pointer.archive.size)}",
        *(f"  signed     by {signer}" for signer in found.signers),
    ]


def _description(manifest: Manifest) -> list[str]:
    totals = manifest.totals
    kinds = Counter(entry.kind for entry in manifest.relocations)
    layers = {layer.name: layer for layer in manifest.layers if layer.version is not None}
    installer, python = manifest.installer, manifest.interpreter.get("version")
    lines = [
        f"  python     {python}, installed by {installer.get('name')} {installer.get('version')}",
        f"  holds      {number(totals.members, 'file')} in {number(len(manifest.layers), 'layer')}",
        f"  unpacked   {size(totals.size)}",
        *(f"  {'' if number else 'needs':9}  {need}" for number, need in enumerate(_needs(manifest))),
        f"  relocates  {number(len(manifest.relocations), 'file')}: "
        + ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()),
        *_limits(manifest),
        f"  packages   {len(manifest.packages)}",
    ]
    width = max((len(f"{package.name} {package.version}") for package in manifest.packages), default=0)
    for package in manifest.packages:
        layer = layers.get(package.name)
        weight = size(layer.size) if layer else ""
        built = f"  built here {' '.join(package.flags)}".rstrip() if package.built else ""
        lines.append(f"    {package.name + ' ' + package.version:{width}}  {weight:>9}{built}")
    return lines


def _weights(manifest: Manifest, root: str | None) -> list[str]:
    """Return what weighs how much; who needs what is told of an environment that stands at ``root``."""
    from terrastore import terminal  # noqa: PLC0415
    from terrastore.archive.needing import needed_by  # noqa: PLC0415 -- of no other command
    from terrastore.cli import tree  # noqa: PLC0415

    asked = manifest.request.get("requirements", ())
    users = needed_by(root, manifest.interpreter["version"], asked) if root is not None else {}
    total = f"  unpacked   {size(manifest.totals.size)} in {number(len(manifest.packages), 'package')}"
    return [total, *tree.lines(manifest, users, columns=terminal.columns(), fine=terminal.is_fine())]


def _needs(manifest: Manifest) -> list[str]:
    """Return what a host must offer, a line each."""
    libc, lines = manifest.needs.get("libc"), []
    if libc:
        lines.append(f"{libc['family']} {libc['version']} or later")
    for each in manifest.needs.get("libraries") or ():
        versions = f" with {', '.join(each['versions'])}" if each.get("versions") else ""
        whose = " of the interpreter" if each.get("base") else ""
        lines.append(f"{each['name']}{whose}{versions} (for {', '.join(each.get('for', ()))})")
    if needed := manifest.needs.get("processor"):
        features = ", ".join(needed.get("features", ()))
        lines.append(f"a processor with {features} (for {', '.join(needed.get('for', ()))})")
    return lines or ["nothing of the host"]


def _limits(manifest: Manifest) -> list[str]:
    """Return a line that says how long a target may be, when compiled files limit that."""
    from terrastore.archive import slots  # noqa: PLC0415

    limiting = slots.limiting(manifest)
    return [f"  takes      targets of at most {slots.SIZE} bytes: {', '.join(limiting)}"] if limiting else []


COMMANDS = (show, verify, remove)
