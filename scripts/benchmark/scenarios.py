"""What is measured of a set: terrastore, and beside it what a person would use instead.

Names are those of goals.py and of the tables. ``shaped`` is S3 behind shaped.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from scripts.benchmark.measuring import Scenario
from scripts.benchmark.preparing import TAR, Prepared, join

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scripts.benchmark.buckets import Bucket

HERE: Final = Path(__file__).parent
CONNECTIONS: Final = 12
RANGE: Final = 8 * 1024 * 1024
UNPACK: Final = "zstd -dc | tar -x -C {new}"
IDEAL: Final = "network's ideal, shaped S3"
PREFIX: Final = "bench"
SLOW: Final = 3
"""Rounds of what takes long."""
VERY_SLOW: Final = 2


def fetched(prepared: Prepared, store: str | Path, *options: str, file: Path | None = None, cache: str = "") -> str:
    """Return the command of a fetch into a new environment, with a cache that is not there unless one is named."""
    words = ("--no-build", *options, "--store", store, "--target", "{new}")
    return prepared.ensure(*words, file=file, cache=cache or "{new}-cache")


def uncached(prepared: Prepared) -> tuple[str, ...]:
    """Return the options of a machine that boots once."""
    return ("--no-cache",) if prepared.tools.ensure_knows("--no-cache") else ()


def plain(prepared: Prepared) -> Iterator[Scenario]:
    """Yield a fetch from a directory, and what any machine has to unpack or copy a tree."""
    command = f"exec {fetched(prepared, prepared.store, *uncached(prepared))}"
    yield Scenario(name="fetch, directory", command=command, bytecode=True)
    tar = f"mkdir {{new}} && <{prepared.folder}/{TAR} {UNPACK}"
    yield Scenario(name="zstd -dc | tar -x", command=tar, bytecode=True)
    yield Scenario(name="cp -r", command=f"exec cp -r {prepared.tree} {{new}}", bytecode=True)


def directory(prepared: Prepared) -> Iterator[Scenario]:
    """Yield what else unpacks or installs from what is on this machine."""
    folder, tools = prepared.folder, prepared.tools
    archive = next(prepared.store.glob(f"v1/archives/{prepared.key}/*"))
    unpack = f"exec {tools.terrastore} unpack -q {archive} --target {{new}}"
    yield Scenario(name="unpack", command=unpack, bytecode=True)
    gzip = f"mkdir {{new}} && <{folder}/tree.tar.gz gzip -dc | tar -x -C {{new}}"
    yield Scenario(name="gzip -dc | tar -x", command=gzip, bytecode=True)
    venv = f"{tools.uv} venv -q --python {tools.python} {{new}}"
    for state, cache in (("cold", "{new}-cache"), ("warm", f"{folder}/uv")):
        for words, options, bytecode in (("", (), False), (", compiled", ("--compile-bytecode",), True)):
            uv = prepared.installing(f"UV_CACHE_DIR={cache} {tools.uv} pip", "--python", "{new}", *options)
            yield Scenario(name=f"uv, {state}{words}", command=f"{venv} && {uv}", bytecode=bytecode)
    pip = f"{tools.python} -m venv {{new}} && {prepared.installing('{new}/bin/pip', '--no-cache-dir')}"
    yield Scenario(name="pip, from a folder", command=pip, bytecode=True, rounds=SLOW)
    if not prepared.requirements.wheels:
        index = f"{{new}}/bin/pip install -q --cache-dir {prepared.cache}/pip -r {prepared.file}"
        command = f"{tools.python} -m venv {{new}} && {index}"
        yield Scenario(name="pip, from the index", command=command, bytecode=True, rounds=VERY_SLOW)
    if (made := folder / "tree.pex").exists():
        pex = f"PEX_TOOLS=1 PEX_ROOT={{new}}-root exec {tools.python} {made} venv --compile {{new}}"
        yield Scenario(name="pex, as a venv", command=pex, bytecode=True, rounds=SLOW)
    if (made := folder / "venv-pack.tar.gz").exists():
        active = f"mkdir {{new}} && tar -xzf {made} -C {{new}} && . {{new}}/bin/activate && python -c ''"
        yield Scenario(name="venv-pack", command=active, bytecode=True)


def from_s3(prepared: Prepared, bucket: Bucket, where: str) -> Iterator[Scenario]:
    """Yield a fetch from a bucket, and what else gets a tree from there."""
    tools, variables = prepared.tools, bucket.variables
    trusted = f"--cacert {bucket.certificate}" if bucket.certificate else ""
    curl = f"curl -sf {trusted} '{bucket.address(TAR)}'"
    named = f"s3://{bucket.name}/{TAR}"
    yield Scenario(
        name=f"fetch, {where}",
        command=f"exec {fetched(prepared, bucket.url(PREFIX), *uncached(prepared))}",
        bytecode=True,
        variables=variables,
        answers=bucket.answers,
    )
    rivals = {"curl": curl}
    if "aws" in tools.programs:
        rivals["aws"] = f"{tools.programs['aws']} s3 cp {named} -"
    if "s5cmd" in tools.programs:
        rivals["s5cmd"] = f"{tools.programs['s5cmd']} --endpoint-url {bucket.endpoint} cat {named}"
    for program, command in rivals.items():
        name = f"{program} | zstd | tar, {where}"
        yield Scenario(name=name, command=f"mkdir {{new}} && {command} | {UNPACK}", bytecode=True, variables=variables)
    yield Scenario(
        name=f"boto3, {where}",
        command=f"exec {join(tools.python, HERE / 'get_object.py', bucket.name, 'small')}",
        variables=variables,
        answers=bucket.answers,
    )


def startup(prepared: Prepared, bucket: Bucket) -> Iterator[Scenario]:
    """Yield a run that finds nothing."""
    command = fetched(prepared, bucket.url("empty"))
    yield Scenario(name="nothing there, S3", command=f"exec {command}", code=4, variables=bucket.variables)


def ideal(prepared: Prepared, bucket: Bucket) -> Scenario:
    """Return a download of the tar in ranges to nowhere."""
    words = (HERE / "ranges.py", bucket.address(TAR), bucket.certificate or "", str(CONNECTIONS), str(RANGE))
    command = join(prepared.tools.python, "-I", *words)
    return Scenario(name="ranges to nowhere, shaped S3", command=f"exec {command}")


def recreated(prepared: Prepared, bucket: Bucket, changed: Path, *, clones: bool) -> Iterator[Scenario]:
    """Yield environments from a layer cache that has all of it, or all but what one changed pin brings."""
    modes = ("hardlink", "copy", "clone") if clones else ("hardlink", "copy")
    for mode in modes:
        command = fetched(prepared, prepared.store, "--link-mode", mode, cache=f"{prepared.folder}/warm-{mode}")
        yield Scenario(name=f"recreate, {mode}", command=f"exec {command}", bytecode=True)
    linking = ("--link-mode", "hardlink")
    variables = bucket.variables
    again = fetched(prepared, bucket.url(PREFIX), *linking, cache=f"{prepared.folder}/warm-s3")
    yield Scenario(name="recreate, S3", command=f"exec {again}", bytecode=True, variables=variables)
    stores: tuple[tuple[str, str | Path], ...] = (("directory", prepared.store), ("S3", bucket.url(PREFIX)))
    for where, store in stores:
        yield Scenario(
            name=f"one pin changed, {where}",
            before=with_variables(warming(prepared, store, "hardlink", "{new}-cache"), variables),
            command=f"exec {fetched(prepared, store, *linking, file=changed)}",
            bytecode=True,
            variables=variables,
        )


def warming(prepared: Prepared, store: str | Path, mode: str, cache: str) -> str:
    """Return a fetch that fills a layer cache."""
    words = ("--no-build", "--link-mode", mode, "--store", store, "--target", f"{cache}-target")
    return prepared.ensure(*words, cache=cache)


def with_variables(command: str, variables: Mapping[str, str]) -> str:
    """Return a command with some of its environment in it."""
    return f"env {join(*(f'{name}={value}' for name, value in variables.items()))} {command}"


def nothing_to_do(prepared: Prepared) -> Iterator[Scenario]:
    """Yield runs that find everything as it should be."""
    folder, tools = prepared.folder, prepared.tools
    kept = prepared.ensure("--store", prepared.store, "--target", prepared.tree)
    yield Scenario(name="kept", command=f"exec {kept}")
    yield Scenario(name="import click", command=f"exec {tools.python} -c 'import click'")
    uv = prepared.installing(f"{tools.uv} pip", "--python", f"{folder}/by-uv")
    yield Scenario(name="uv, nothing to do", command=f"UV_CACHE_DIR={folder}/uv exec {uv}")


def missed(prepared: Prepared) -> Iterator[Scenario]:
    """Yield builds: packed, published to a directory, and unpacked from there.

    uv has everything in its cache. Nothing else of an earlier run is there, such as packed layers.
    """
    folder = prepared.folder
    kept = " ".join(name for name in ("uv", "virtualenv", "digests") if (folder / "cache-uv" / name).exists())
    by_uv = prepared.ensure(
        *("--installer", "uv", "--no-index", "-f", prepared.wheels, "--store", "{new}-store", "--target", "{new}"),
        cache="{new}-cache",
    )
    yield Scenario(
        name="miss by uv",
        before=f"mkdir {{new}}-cache && cd {folder}/cache-uv && cp -al {kept} {{new}}-cache",
        command=f"exec {by_uv}",
        bytecode=True,
        rounds=SLOW,
    )
    by_pip = prepared.ensure(
        "--no-index", "-f", prepared.wheels, "--store", "{new}-store", "--target", "{new}", cache="{new}-cache"
    )
    yield Scenario(name="miss by pip", command=f"exec {by_pip}", bytecode=True, rounds=VERY_SLOW)
