"""What nobody pinned is looked up again when that is asked for, and an environment is as old as it may be."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import CommandLine, make_project
from tests.end_to_end.examine import contents
from tests.end_to_end.projects import run
from tests.package_index import PackageIndex

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def index(tmp_path: Path) -> PackageIndex:
    """Return an index with ``alpha`` 1.0, which needs ``beta``, and ``beta`` 1.0."""
    index = PackageIndex(tmp_path)
    index.add("alpha", "1.0", requires=("beta",))
    index.add("beta", "1.0")
    return index


@pytest.fixture(params=["pip", "uv"])
def shop(cli: CommandLine, index: PackageIndex, request: pytest.FixtureRequest) -> Iterator[CommandLine]:
    """Return a command line with every installer in turn, for which ``alpha==1.0`` is required from an index."""
    cli.forget_wheels()
    with index.serving():
        cli.env |= {"TERRASTORE_INSTALLER": request.param, "TERRASTORE_INDEX_URL": index.url}
        cli.write("requirements.txt", "alpha==1.0\n")
        yield cli


@pytest.fixture
def pip(cli: CommandLine) -> CommandLine:
    """Return a command line whose installer is pip, with a folder of wheels, for which ``beta`` is required."""
    cli.write("requirements.txt", "beta\n")
    return cli


def outcome(cli: CommandLine, *arguments: str, **variables: str) -> str:
    told: str = cli.ok("ensure", "--json", *arguments, **variables).json["outcome"]
    return told


def pointer(cli: CommandLine) -> bytes:
    (path,) = (cli.store / "v1/pointers").iterdir()
    return path.read_bytes()


def beta_in(target: Path) -> str:
    return run(target / "bin/python", "-c", "import importlib.metadata as m; print(m.version('beta'))")


def test_nothing_moved(shop: CommandLine) -> None:
    """--refresh keeps and fetches what would be found again, and does not touch the store."""
    assert "built" == outcome(shop)
    before = pointer(shop)
    assert "kept" == outcome(shop, "--refresh", "--no-build")
    assert "fetched" == outcome(shop, "--refresh", "--no-build", "--target", "other")
    assert "kept" == shop.ok("build", "--refresh", "--json").json["outcome"]
    assert before == pointer(shop)


def test_a_version_moved(shop: CommandLine, index: PackageIndex) -> None:
    """Without --refresh all stay with what was found first; with it one builds, and the others fetch that."""
    assert "built" == outcome(shop)
    assert "fetched" == outcome(shop, "--target", "another")
    before, target = pointer(shop), shop.cwd / ".venv"
    index.add("beta", "2.0")
    assert "kept" == outcome(shop)
    whole = contents(target)
    failed = shop("ensure", "--refresh", "--no-build")
    assert (4, whole) == (failed.code, contents(target))
    assert "has other versions than are found now: beta 1.0 → 2.0, and building is off" in failed.err
    result = shop.ok("ensure", "--refresh")
    assert result.out.startswith("built")
    assert " anew: what is there has other versions than are found now: beta 1.0 → 2.0\n" in result.err
    assert ("2.0", True) == (beta_in(target), pointer(shop) != before)
    assert "kept" == outcome(shop, "--refresh", "--no-build")
    assert "fetched" == outcome(shop, "--refresh", "--no-build", "--target", "another")
    assert "2.0" == beta_in(shop.cwd / "another")
    assert "kept" == shop.ok("build", "--refresh", "--json").json["outcome"]


def test_built_again_by_build(shop: CommandLine, index: PackageIndex) -> None:
    """`build --refresh` replaces what the store has once a version moved."""
    shop.ok("build")
    index.add("beta", "2.0")
    assert "kept" == shop.ok("build", "--json").json["outcome"]
    assert "built" == shop.ok("build", "--refresh", "--json").json["outcome"]
    assert "fetched" == outcome(shop, "--no-build")
    assert "2.0" == beta_in(shop.cwd / ".venv")


def commit(repository: Path, *, first: bool = False) -> str:
    git = ("git", "-C", str(repository), "-c", "user.name=t", "-c", "user.email=t@t")
    if first:
        subprocess.run([*git, "init", "-q", "-b", "main"], check=True)
    (repository / "note.txt").write_text("first" if first else "second")
    for words in (("add", "."), ("commit", "-qm", "one")):
        subprocess.run([*git, *words], check=True)
    return run(*git, "rev-parse", "HEAD")


@pytest.mark.parametrize("line", ["beta @ git+file://{}@main", "-e git+file://{}@main#egg=beta"])
def test_a_branch_moved(shop: CommandLine, index: PackageIndex, line: str) -> None:
    """Of what is in a repository the commit counts, of what is to be edited there too; uv edits none."""
    if line.startswith("-e") and shop.env["TERRASTORE_INSTALLER"] == "uv":
        shop.write("requirements.txt", f"{line.format(shop.home)}\n")
        assert 3 == shop("ensure", "--refresh").code
        return
    wheel = index.folder("beta") / "beta-1.0-py3-none-any.whl"
    repository = make_project(
        shop.home / "repository", f"import shutil\nshutil.copy({str(wheel)!r}, folder)\nreturn {wheel.name!r}"
    )
    with (repository / "backend.py").open("a") as file:
        file.write("\nbuild_editable = build_wheel\n")
    shop.write("requirements.txt", line.format(repository) + "\n")
    first = commit(repository, first=True)
    told = shop.ok("ensure")
    name = "beta" if line.startswith("beta") else line.format(repository)
    assert f"unpinned  {name}: as found now" in told.err
    assert "kept" == outcome(shop, "--refresh", "--no-build")
    second = commit(repository)
    result = shop.ok("ensure", "--refresh")
    assert result.out.startswith("built")
    assert f"beta {first[:8]} → {second[:8]}\n" in result.err
    assert "kept" == outcome(shop, "--refresh", "--no-build")


def test_max_age(pip: CommandLine) -> None:
    """What is older counts as a miss, where it stands and in the store; --no-build then ends with 4."""
    assert "built" == outcome(pip)
    assert "kept" == outcome(pip, "--max-age", "1h")
    state = pip.cwd / ".venv/.terrastore/state.json"
    document = json.loads(state.read_text())
    state.write_text(json.dumps(document | {"created": "2020-01-01T00:00:00Z"}))
    assert "kept" == outcome(pip)
    assert "fetched" == outcome(pip, "--max-age", "1h30m", "--no-build")
    assert document["created"][:10] == json.loads(state.read_text())["created"][:10]
    failed = pip("ensure", "--max-age", "0", "--no-build")
    assert 4 == failed.code
    assert "is older than 0 s, and building is off" in failed.err
    assert "built" == outcome(pip, "--max-age", "0")
    assert "kept" == outcome(pip, "--max-age", "7d")
    assert "kept" == pip.ok("build", "--max-age", "1w", "--json").json["outcome"]
    assert "built" == pip.ok("build", "--max-age", "0", "--json").json["outcome"]


@pytest.mark.parametrize(
    ("setting", "code"),
    [('"90 minutes"', 2), ('"-1h"', 2), ('"h"', 2), ("true", 2), ("-1", 2), ('"24h"', 0), ("3600", 0)],
)
def test_a_length_of_time_in_a_file(stored: CommandLine, setting: str, code: int) -> None:
    """A number is seconds; what is no length of time is refused with an example of one."""
    stored.write("terrastore.toml", f"max-age = {setting}\n")
    result = stored("ensure", "--no-build")
    assert code == result.code
    assert ("such as 24h or 7d" in result.err) is bool(code)


def test_two_at_once(shop: CommandLine, index: PackageIndex) -> None:
    """Of two machines that refresh at the same moment one builds, and the other fetches that."""
    shop.ok("build")
    index.add("beta", "2.0")
    caches = [Path(tempfile.mkdtemp(prefix="ts-")) for _ in range(2)]
    try:
        runs = []
        for number, cache in enumerate(caches):
            shop.env["TERRASTORE_CACHE_DIR"] = str(cache)
            runs.append(shop.start("ensure", "--refresh", "--json", "--target", f"of-{number}"))
        told = [json.loads(each.communicate(timeout=300)[0]) for each in runs]
    finally:
        for cache in caches:
            shutil.rmtree(cache)
    assert ["built", "fetched"] == sorted(each["outcome"] for each in told)
    assert ["2.0", "2.0"] == [beta_in(shop.cwd / f"of-{number}") for number in range(2)]


def test_other_switches(pip: CommandLine) -> None:
    """--rebuild builds whatever --refresh finds; without a store --refresh keeps what would be found again."""
    assert "built" == outcome(pip, "--ignore-store", "--refresh", "--max-age", "1h")
    assert "kept" == outcome(pip, "--ignore-store", "--refresh", "--max-age", "1h")
    assert "built" == outcome(pip, "--rebuild", "--refresh")


def test_expect(stored: CommandLine) -> None:
    """The key that is expected may be whole or short; another, or too little of one, ends with 2 before all else."""
    key = stored.ok("key").out.strip()
    short = key[: len(key) - 32]
    for said in (short, key, key[:-5], key[-40:], key[-40:-32]):
        stored.ok("ensure", "--no-build", "--expect", said)
    stored.ok("build", "--expect", short)
    before = contents(stored.cwd / ".venv")
    wrong = key[:-1] + ("0" if key[-1] != "0" else "1")
    for said in (wrong, short[:-1], "3f9c0a71", ""):
        failed = stored("ensure", "--expect", said)
        assert (2, before) == (failed.code, contents(stored.cwd / ".venv"))
        assert said in failed.err
    assert f"error: {short[:-1]!r} is too little of a key\n" in stored("ensure", "--expect", short[:-1]).err
    failed = stored("build", "--rebuild", "--expect", wrong)
    assert (2, "") == (failed.code, failed.out)
    assert f"error: the key is {key}, and {wrong} is expected\n" in failed.err


def test_require_locked(shop: CommandLine, index: PackageIndex) -> None:
    """Where hashes fix everything, nothing is looked up again; else it ends with 3 and the lines that lack one."""
    digest = hashlib.sha256((index.folder("beta") / "beta-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    failed = shop("ensure", "--require-locked")
    assert 3 == failed.code
    assert "not locked: no hash fixes alpha==1" in failed.err
    shop.write("requirements.txt", f"beta==1.0 --hash=sha256:{digest}\n")
    if shop.env["TERRASTORE_INSTALLER"] == "uv":
        failed = shop("ensure", "--require-locked")
        assert (3, "not locked: what else these requirements need is not fixed" in failed.err) == (failed.code, True)
    result = shop.ok("ensure", "--require-locked", "--require-hashes")
    assert ("built", "unpinned" in result.err) == (result.out.split()[0], False)
    index.add("beta", "2.0")
    assert "kept" == outcome(
        shop, "--require-locked", "--require-hashes", "--refresh", TERRASTORE_INDEX_URL="http://x.invalid"
    )


def test_unpinned_is_said_once(shop: CommandLine) -> None:
    """Who builds is told which versions no line pins, those of dependencies too; who fetches is not."""
    result = shop.ok("ensure")
    assert ["unpinned  beta: as found now, until --refresh or --max-age"] == [
        line for line in result.err.splitlines() if line.startswith("unpinned")
    ]
    assert "unpinned" not in shop.ok("ensure", "--target", "other").err
    shop.write("requirements.txt", "alpha==1.0\nbeta==1.0\n")
    assert "unpinned" not in shop.ok("ensure").err
