"""The command that says whether a run would work here, and what to do when it would not."""

from __future__ import annotations

import os
from contextlib import closing
from typing import Any

import click

from terrastore.cli import messages, options
from terrastore.cli.environments import where


@click.command()
@options.python
@options.installer
@options.place
@options.store
@options.trusting
@options.signer
@options.cache_dir
@options.common
def doctor(**values: Any) -> None:
    """Look at what a run needs: interpreter, installer, disk, store, clock.

    Each line is ok, a warning or a failure, with what to do. What is written to the store for this is removed. The exit
    code is that of the first failure, 0 with none.
    """
    from dataclasses import asdict  # noqa: PLC0415 -- help needs none of it
    from pathlib import Path  # noqa: PLC0415

    from terrastore.doctor import examine  # noqa: PLC0415
    from terrastore.place import Target  # noqa: PLC0415

    place, _ = where(values)
    findings = []
    examination = examine(
        store=options.opened_store(values["store"]),
        python=values["python"],
        installer=values["installer"],
        target=place.path if isinstance(place, Target) else os.path.join(place.directory, "release"),
        cache=Path(options.cache_path(values["cache_dir"])),
        trust=values["trust"],
        signers=values["signer"],
    )
    with closing(examination):  # whatever ends this, nothing stays in the store
        for finding in examination:
            findings.append(finding)
            if not values["as_json"]:
                messages.print_line(f"{finding.level:8} {finding.subject:8} {finding.message}")
                if finding.hint:
                    messages.print_line(f"{'':17} → {finding.hint}")
    if values["as_json"]:
        messages.print_json({"schema": messages.SCHEMA, "findings": [asdict(finding) for finding in findings]})
    click.get_current_context().exit(next((each.exit_code for each in findings if each.exit_code), 0))


COMMANDS = (doctor,)
