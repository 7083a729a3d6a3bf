"""Makes what the scenarios of a set take, so that no round pays for a download."""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from scripts.benchmark.measuring import say
from scripts.benchmark.sets import BUMPED

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.benchmark.measuring import Launcher
    from scripts.benchmark.results import Measured
    from scripts.benchmark.sets import Requirements
    from scripts.benchmark.tools import Tools

TAR: Final = "tree.tar.zst"


@dataclass(frozen=True)
class Prepared:
    """A set with all that is made from it, in a folder of its own."""

    requirements: Requirements
    folder: Path
    tools: Tools

    @property
    def file(self) -> Path:
        """The requirements file."""
        return self.folder / "requirements.txt"

    @property
    def store(self) -> Path:
        """A directory store with the archive, and the one with a changed pin."""
        return self.folder / "store"

    @property
    def cache(self) -> Path:
        """What a machine that built it has in its cache."""
        return self.folder / "cache"

    @property
    def tree(self) -> Path:
        """The environment."""
        return self.folder / "tree"

    @property
    def key(self) -> str:
        """What names it in a store."""
        return str(manifest(self.tree)["key"])

    @property
    def wheels(self) -> Path:
        """A folder with all distributions."""
        return self.requirements.wheels or self.folder / "wheels"

    def ensure(self, *arguments: str | Path, file: Path | None = None, cache: str | Path | None = None) -> str:
        """Return terrastore's command."""
        words = [*self.requirements.options, "--cache-dir", str(cache or self.cache), *map(str, arguments)]
        return join(self.tools.terrastore, "ensure", "-q", "-r", file or self.file, *words)

    def build(self, store: str | Path, *, file: Path | None = None, cache: Path | None = None) -> str:
        """Return the command that publishes to a store."""
        words = [*self.requirements.options, *self.requirements.building, "--cache-dir", str(cache or self.cache)]
        # What one build has downloaded no other need; and rivals want a folder of wheels.
        keeping = () if self.requirements.wheels else ("--wheelhouse",)
        return join(self.tools.terrastore, "build", "-q", "-r", file or self.file, "--store", store, *keeping, *words)

    def installing(self, program: str, *arguments: str) -> str:
        """Return how an installer installs from the folder of distributions: ``uv pip`` or ``{new}/bin/pip``."""
        return f"{program} install -q {join('--no-index', '-f', self.wheels, '-r', self.file, *arguments)}"


def join(*words: str | Path) -> str:
    """Return words for sh; braces stay, for a path that is filled in later."""
    return " ".join(word if "{" in word else shlex.quote(word) for word in map(str, words))


def prepare_tree(requirements: Requirements, folder: Path, tools: Tools, launcher: Launcher) -> Prepared:
    """Build and publish to a directory; keep the environment, and a tar of it by zstd at terrastore's level."""
    say(f"preparing: {requirements.name}")
    folder.mkdir(exist_ok=True)
    prepared = Prepared(requirements, folder, tools)
    prepared.file.write_text(requirements.text)
    launcher.run(prepared.build(prepared.store))
    if requirements.wheels is None:
        prepared.wheels.mkdir()
        for wheel in prepared.store.glob("v1/wheels/*/*.whl"):
            os.link(wheel, prepared.wheels / wheel.name)
    else:
        # They are large, and needed no more.
        shutil.rmtree(requirements.wheels)
        shutil.rmtree(prepared.cache)
    launcher.run(prepared.ensure("--no-build", "--store", prepared.store, "--target", prepared.tree))
    launcher.run(f"tar -c -C {prepared.tree} . | zstd -q -6 -T0 -o {folder}/{TAR}")
    return prepared


def prepare_rivals(prepared: Prepared, launcher: Launcher) -> None:
    """Fill the folder of distributions and uv's caches, and pack for the rivals that are there."""
    folder, tools = prepared.folder, prepared.tools
    uv = f"UV_CACHE_DIR={folder}/uv {tools.uv}"
    launcher.run(f"tar -c -C {prepared.tree} . | gzip -6 >{folder}/tree.tar.gz")
    launcher.run(f"tar -c -C {prepared.tree} . | zstd -q -6 -T1 -o {folder}/tree-by-one.tar.zst")
    launcher.run(f"{tools.uv} venv -q --python {tools.python} {folder}/by-uv")
    launcher.run(prepared.installing(f"{uv} pip", "--python", f"{folder}/by-uv"))
    if "pex" in tools.programs:
        made = join(tools.programs["pex"], "--no-index", "-f", prepared.wheels, "-r", prepared.file, "--include-tools")
        launcher.run(f"PEX_ROOT={folder}/pex-root {made} -o {folder}/tree.pex")
    if "venv-pack" in tools.programs:
        launcher.run(f"{tools.programs['venv-pack']} -q -p {prepared.tree} -o {folder}/venv-pack.tar.gz")
    # A machine that built other things by uv: its downloads, and no archive or layer of this.
    by_uv = prepared.ensure("--installer", "uv", "--no-index", "-f", prepared.wheels, cache=folder / "cache-uv")
    launcher.run(f"{by_uv} --store {folder}/store-uv --target {folder}/built-by-uv && rm -r {folder}/built-by-uv")


def prepare_change(prepared: Prepared, launcher: Launcher) -> tuple[Path, Path]:
    """Publish the set with one pin at the version before, as another machine would on another day.

    Returns the file that asks for it, and the environment.
    """
    folder = prepared.folder
    name, version = next(
        (name, match[1]) for name in BUMPED if (match := re.search(rf"(?m)^{name}==(\S+)$", prepared.requirements.text))
    )
    asked = join("--no-deps", "--dest", folder / "older", f"{name}<{version}")
    launcher.run(f"{prepared.tools.python} -m pip download -q {asked}")
    older = next((folder / "older").iterdir()).name.split("-")[1]
    changed = folder / "changed.txt"
    changed.write_text(prepared.requirements.text.replace(f"{name}=={version}", f"{name}=={older}"))
    launcher.run(prepared.build(prepared.store, file=changed, cache=folder / "cache-elsewhere"))
    tree = folder / "changed"
    launcher.run(prepared.ensure("--no-build", "--store", prepared.store, "--target", tree, file=changed))
    return changed, tree


def note_sizes(prepared: Prepared, measured: Measured) -> None:
    """Note how large the tree is, and what is made of it."""
    files = [path for path in prepared.tree.rglob("*") if path.is_file() and not path.is_symlink()]
    measured.facts |= {
        "packages": len(manifest(prepared.tree)["packages"]),
        "files": len(files),
        "bytes": sum(path.stat().st_size for path in files),
        "tar | zstd -6": (prepared.folder / TAR).stat().st_size,
        "archive": pointer(prepared, prepared.tree)["archive"]["size"],
    }
    others = {
        "tar | zstd -6 -T1": "tree-by-one.tar.zst",
        "tar | gzip -6": "tree.tar.gz",
        "pex": "tree.pex",
        "venv-pack": "venv-pack.tar.gz",
    }
    for name, file in others.items():
        if (made := prepared.folder / file).exists():
            measured.facts[name] = made.stat().st_size


def note_change(prepared: Prepared, changed: Path, measured: Measured) -> None:
    """Note the packed bytes of what differs between two environments: layers, and what says so."""
    before = {layer["digest"] for layer in manifest(prepared.tree)["layers"]}
    layers = [layer for layer in manifest(changed)["layers"] if layer["digest"] not in before]
    named = pointer(prepared, changed)
    packed = sum(frame["packed"] for layer in layers for frame in layer["frames"])
    measured.facts["one pin: layers"] = len(layers)
    measured.facts["one pin: changed"] = packed + named["manifest"]["packed"] + named["size"]


def manifest(tree: Path) -> dict[str, Any]:
    """Return the manifest of an environment."""
    found: dict[str, Any] = json.loads((tree / ".terrastore/manifest.json").read_text())
    return found


def pointer(prepared: Prepared, tree: Path) -> dict[str, Any]:
    """Return what the pointer to an environment says, and the ``size`` of its file."""
    file = prepared.store / "v1/pointers" / f"{manifest(tree)['key']}.json"
    payload: dict[str, Any] = json.loads(base64.b64decode(json.loads(file.read_text())["payload"]))
    return payload | {"size": file.stat().st_size}
