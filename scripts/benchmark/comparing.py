"""Measures a set beside its rivals: from a directory, from S3, again, and not at all."""

from __future__ import annotations

import math
import subprocess
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from scripts.benchmark import scenarios as of
from scripts.benchmark.buckets import server, traffic
from scripts.benchmark.measuring import FailedError, Scenario, measure
from scripts.benchmark.preparing import TAR, note_change, note_sizes, prepare_change, prepare_rivals, prepare_tree
from scripts.benchmark.results import Measured, Run
from scripts.benchmark.sets import SYNTHETIC
from scripts.benchmark.shaped import LATENCY, RATE
from tests.servers import LackingError

if TYPE_CHECKING:
    import re
    from pathlib import Path

    from scripts.benchmark.buckets import Bucket, Server
    from scripts.benchmark.measuring import Launcher
    from scripts.benchmark.preparing import Prepared
    from scripts.benchmark.results import Results
    from scripts.benchmark.sets import Requirements
    from scripts.benchmark.tools import Tools
    from tests.wire import Wire


class Comparison:
    """One set, in a folder of its own."""

    def __init__(self, folder: Path, tools: Tools, launcher: Launcher, results: Results, only: re.Pattern[str]) -> None:
        self._folder = folder
        self._tools = tools
        self._launcher = launcher
        self._results = results
        self._only = only

    def run(self, requirements: Requirements, rounds: int, kind: str) -> None:
        """Prepare all, measure all, count what passes the wire, and remove what was made."""
        measured = self._results.sets[requirements.name] = Measured()
        prepared = prepare_tree(requirements, self._folder, self._tools, self._launcher)
        if requirements.name == SYNTHETIC:
            note_sizes(prepared, measured)
            measure(self._launcher, list(of.plain(prepared)), rounds, measured, self._results)
        else:
            prepare_rivals(prepared, self._launcher)
            note_sizes(prepared, measured)
            changed, tree = prepare_change(prepared, self._launcher)
            note_change(prepared, tree, measured)
            self._launcher.run(f"rm -r {tree}")
            with ExitStack() as stack:
                found = [*of.plain(prepared), *of.directory(prepared)]
                if kind != "none":
                    try:
                        s3 = stack.enter_context(server(kind))
                    except LackingError as error:
                        self._results.left_out["S3"] = str(error)
                    else:
                        found += self._in_s3(s3, prepared, changed, measured, stack)
                found += [*of.nothing_to_do(prepared), *of.missed(prepared)]
                wanted = [scenario for scenario in found if self._only.search(scenario.name)]
                measure(self._launcher, wanted, rounds, measured, self._results)
            note_ideal(measured)
        self._results.save()
        self._launcher.run(f"rm -rf {self._folder}")

    def _in_s3(
        self, s3: Server, prepared: Prepared, changed: Path, measured: Measured, stack: ExitStack
    ) -> list[Scenario]:
        """Publish to a bucket, count what passes, and return the scenarios that read from there."""
        self._publish(s3, prepared, changed)
        caches = prepared.tools.ensure_knows("--link-mode")
        if not caches:
            self._results.left_out["recreate, one pin changed"] = "terrastore has no layer cache"
        bucket = s3.bucket(TAR)
        with s3.counted() as (counted, wire):
            reading = [*of.from_s3(prepared, counted, "S3"), *of.startup(prepared, counted)]
            if caches:
                self._warm(prepared, bucket)
                reading += of.recreated(prepared, counted, changed, clones=False)
            for scenario in reading:
                # A signed URL leads past the wire.
                if "S3" in scenario.name and not scenario.name.startswith("curl"):
                    self._count(scenario, wire, measured)
        found = [*of.from_s3(prepared, bucket, "S3"), *of.startup(prepared, bucket)]
        shaped = stack.enter_context(s3.shaped(self._folder / "shaped"))
        found += [*of.from_s3(prepared, shaped, "shaped S3"), of.ideal(prepared, shaped)]
        if caches:
            clones = can_clone(self._folder)
            if not clones:
                self._results.left_out["recreate, clone"] = "the filesystem cannot clone files"
            found += of.recreated(prepared, bucket, changed, clones=clones)
        return found

    def _publish(self, s3: Server, prepared: Prepared, changed: Path) -> None:
        """Fill the bucket from the directory store, and put the tar there, and a small object."""
        bucket = s3.bucket()
        stores = ("--store", bucket.url(of.PREFIX), "--store", prepared.store)
        for file in (prepared.file, changed):
            target = self._folder / f"filling-{file.stem}"
            filling = prepared.ensure("--no-build", *stores, "--target", target, file=file)
            # Here and below: trees that were made only to fill something would fill the memory.
            self._launcher.run(f"{filling} && rm -r {target}", bucket.variables)
        small = self._folder / "small"
        small.write_text("small")
        s3.put("small", small)
        s3.put(TAR, self._folder / TAR)

    def _warm(self, prepared: Prepared, bucket: Bucket) -> None:
        """Fill layer caches, one for each way to take from them."""
        modes = ("hardlink", "copy", "clone") if can_clone(self._folder) else ("hardlink", "copy")
        for mode in modes:
            cache = f"{self._folder}/warm-{mode}"
            self._launcher.run(f"{of.warming(prepared, prepared.store, mode, cache)} && rm -r {cache}-target")
        cache = f"{self._folder}/warm-s3"
        warming = of.warming(prepared, bucket.url(of.PREFIX), "hardlink", cache)
        self._launcher.run(f"{warming} && rm -r {cache}-target", bucket.variables)

    def _count(self, scenario: Scenario, wire: Wire, measured: Measured) -> None:
        """Run a scenario once, untimed, and note what passed."""
        if self._only.search(scenario.name):
            try:
                self._launcher.measure(replace(scenario, answers=None), 0, ready=wire.clear)
            except FailedError as error:
                self._results.left_out[f"{scenario.name}, counted"] = str(error)
            else:
                measured.traffic[scenario.name] = traffic(wire)
        if counted := measured.traffic.get("one pin changed, S3"):
            measured.facts["one pin: bytes"] = counted.received


def note_ideal(measured: Measured) -> None:
    """Note, beside each fetch from the shaped bucket, what the network alone would take.

    That is an answer for the pointer, one for the manifest, and the archive in ranges over all connections, each of
    which waits for every range of its own. No connection takes time to be made.
    """
    size = measured.facts["archive"]
    turns = math.ceil(math.ceil(size / of.RANGE) / of.CONNECTIONS)
    ideal = size / (of.CONNECTIONS * RATE) + LATENCY * (2 + turns)
    runs = measured.runs.get("fetch, shaped S3", [])
    if runs:
        measured.bytecode[of.IDEAL] = None
        measured.runs[of.IDEAL] = [Run(round=run.round, wall=ideal, cpu=0, memory=0) for run in runs]


def can_clone(folder: Path) -> bool:
    """Return whether the filesystem can clone files."""
    (folder / "original").write_text("to be cloned")
    command = ["cp", "--reflink=always", str(folder / "original"), str(folder / "clone")]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0
