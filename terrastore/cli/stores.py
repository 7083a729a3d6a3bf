"""Commands that look at a store, or at one environment in it."""

from __future__ import annotations

import json
import os
import sys
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
    from terrastore.pointer import Pointer


@click.command("list")
@options.store
@click.option("-l", "--long", "detailed", is_flag=True, help="Say when each was made, for what, and how large it is.")
@options.common
def list_(**values: Any) -> None:
    """List the environments in a store."""
    from dataclasses import asdict  # noqa: PLC0415 -- help needs none of it

    from terrastore import catalogue  # noqa: PLC0415
    from terrastore.key import EnvKey  # noqa: PLC0415
    from terrastore.trust import Trust  # noqa: PLC0415

    store = options.opened_store(values["store"])
    rows: list[tuple[str, Pointer | None]] = []
    with reporting(values["quiet"]) as report:
        for key in catalogue.keys(store):
            pointer = None
            if values["detailed"]:
                try:
                    found = catalogue.find(store, key, Trust(), report)
                    pointer = found.pointer if found else None
                except ArchiveRefusedError as error:
                    report.warn(error.message)
            rows.append((key.text, pointer))
    if values["as_json"]:
        described = [{"key": name} | ({"pointer": asdict(pointer)} if pointer else {}) for name, pointer in rows]
        messages.print_json({"schema": messages.SCHEMA, "store": str(store), "environments": described})
        return
    for name, pointer in sorted(rows, key=lambda row: row[1].created if row[1] else "", reverse=True):
        print(f"{EnvKey(name).short}  {_summary(pointer)}".rstrip() if values["detailed"] else name)
    if not rows:
        print(f"{store} has no environments", file=sys.stderr)


@click.command()
@click.argument("key", metavar="KEY")
@options.store
@options.trusting
@options.common
def show(**values: Any) -> None:
    """Say what an environment consists of."""
    from dataclasses import asdict  # noqa: PLC0415

    found, manifest = _published(values)
    if values["as_json"]:
        messages.print_json(
            {"schema": messages.SCHEMA, "pointer": asdict(found.pointer), "manifest": json.loads(manifest.to_json())}
        )
        return
    for line in _description(found, manifest):
        print(plain(line))


@click.command()
@click.argument("subject", metavar="ENV|KEY")
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
    if os.sep in subject:
        raise UsageError(f"there is no environment {subject}", hint="name an environment's directory, or a key")
    from terrastore import catalogue  # noqa: PLC0415
    from terrastore.archive.verify import verify_archive  # noqa: PLC0415
    from terrastore.trust import ASK_FOR_ANOTHER  # noqa: PLC0415

    try:
        found, manifest = _published(values | {"key": subject})
    except UsageError as error:
        raise UsageError(f"{error.message}, and there is no directory {subject}", hint=error.hint) from None
    archive = found.pointer.archive
    with reporting(values["quiet"]) as report, catalogue.naming(found):
        if revoked := options.trust(values).revokes(manifest.packages, archive=archive.sha256):
            raise ArchiveRefusedError(f"it {revoked}", hint=ASK_FOR_ANOTHER)
        verify_archive(
            found.read, manifest, found.pointer.manifest, size=archive.size, sha256=archive.sha256, report=report
        )
    if values["as_json"]:
        messages.print_json({"schema": messages.SCHEMA, "key": found.key.text, "sound": True})
    else:
        print(f"sound    {size(archive.size)} in {found.store}  ({found.key.short})")
    return 0


@click.command()
@click.argument("key", metavar="KEY")
@options.store
@options.common
def remove(**values: Any) -> None:
    """Remove an environment from a store."""
    from terrastore import catalogue  # noqa: PLC0415

    store = options.opened_store(values["store"])
    key = catalogue.resolve(store, values["key"])
    freed = catalogue.remove(store, key)
    if values["as_json"]:
        messages.print_json({"schema": messages.SCHEMA, "key": key.text, "bytes": freed})
    else:
        print(f"removed  {size(freed)} from {store}  ({key.short})")


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
        print(f"sound    {path}  ({state.key})")
    else:
        for phrase in drift.phrases():
            print(phrase)
        if values["verbose"]:
            for name, what in drift.files().items():
                print(f"{what:8} {plain(name)}")
    if not drift:
        return 0
    error = ArchiveRefusedError(f"{path} is not as it was made", hint="ensure --verify makes such an environment anew")
    messages.print_error(error, as_json=False, verbose=False)
    return error.exit_code


def _summary(pointer: Pointer | None) -> str:
    if pointer is None:
        return ""
    packages = number(pointer.packages, "package")
    return f"{pointer.created}  Python {pointer.python}  {packages:>13}  {size(pointer.archive.size):>9}"


def _description(found: Published, manifest: Manifest) -> list[str]:
    from terrastore.store import layout  # noqa: PLC0415

    pointer, totals = found.pointer, manifest.totals
    kinds = Counter(entry.kind for entry in manifest.relocations)
    layers = {layer.name: layer for layer in manifest.layers if layer.version is not None}
    lines = [
        pointer.key,
        f"  made       {pointer.created} by {pointer.builder}",
        f"  python     {pointer.python}, installed by {manifest.installer['name']} {manifest.installer['version']}",
        *(f"  signed     by {signer}" for signer in found.signers),
        f"  archive    {size(pointer.archive.size)}, {size(totals.size)} unpacked",
        f"  holds      {number(totals.members, 'file')} in {number(len(manifest.layers), 'layer')}",
        *(f"  {'' if number else 'needs':9}  {need}" for number, need in enumerate(_needs(manifest))),
        f"  relocates  {number(len(manifest.relocations), 'file')}: "
        + ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()),
        *_limits(manifest),
        f"  stored     {found.store}/{layout.archive(pointer.key, pointer.archive.name)}",
        f"  packages   {len(manifest.packages)}",
    ]
    width = max((len(f"{package.name} {package.version}") for package in manifest.packages), default=0)
    for package in manifest.packages:
        layer = layers.get(package.name)
        weight = size(layer.size) if layer else ""
        built = f"  built here {' '.join(package.flags)}".rstrip() if package.built else ""
        lines.append(f"    {package.name + ' ' + package.version:{width}}  {weight:>9}{built}")
    return lines


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


COMMANDS = (list_, show, verify, remove)
