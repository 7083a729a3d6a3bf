"""Two users on one share: what one published the other fetches, heals and goes on with, as far as permissions go.

The users are real ones, without rights; the umask of both is private, usual, or open to a group.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.conftest import COMMAND, CommandLine, Result, command_line, command_with
from tests.end_to_end.disk import NEW, OLD, Project, Row, in_store, listed, make_wheels, said, version
from tests.mounts import open_ways, own_mounts_or_skip

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

GROUP: Final = 64_000
ANNE, BERT = 64_001, 64_002

# Dies where a builder begins to build.
_DYING: Final = """
import os, signal, sys
def die(event, arguments):
    if event == "subprocess.Popen" and "virtualenv" in map(str, arguments[1]):
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(die)
"""
# Takes over after a second what nobody renews.
_HURRIED: Final = """
from terrastore import flight
flight.TTL, flight._POLL_SECONDS = 1.0, (0.1, 0.3)
"""


class User(Project):
    """A project of a user without rights, who is in a group."""

    def __init__(self, cli: CommandLine, wheels: Path, number: int, umask: int) -> None:
        super().__init__(cli, wheels)
        for path in (cli.home, cli.cwd, cli.cache):
            os.chown(path, number, number)
        cli.options = {"user": number, "group": number, "extra_groups": [GROUP], "umask": umask}
        self.target = cli.cwd / "env"

    def ensure(self, version: str, store: Path, *arguments: str, program: str = "", name: str = "env") -> Result:
        self.ask_for(version)
        self.cli.command = command_with(program) if program else COMMAND
        self.target = self.cli.cwd / name
        return self.cli("ensure", "--store", str(store), "--target", str(self.target), *arguments)


@dataclass(frozen=True)
class Two:
    """Two users, and a folder that both can come to."""

    folder: Path
    anne: User
    bert: User

    def share(self, owner: int, permissions: int) -> Path:
        """Return a directory for a store, of the group."""
        store = self.folder / "envs"
        store.mkdir()
        os.chown(store, owner, GROUP)
        store.chmod(permissions)
        return store


@pytest.fixture(scope="module")
def shelf() -> Iterator[Path]:
    """Return a folder with wheels that every user can come to, as to all that terrastore needs."""
    if os.getuid() and "CI" not in os.environ:
        pytest.skip("only root can become another user")
    with own_mounts_or_skip(), tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        here = Path(__file__).parents[2]
        installed = Path(COMMAND[0]).parents[1] if os.sep in COMMAND[0] else here
        open_ways([Path(sys.prefix), Path(sys.base_prefix), installed, here, Path(folder)])
        wheels = Path(folder, "wheels")
        wheels.mkdir(mode=0o755)
        yield make_wheels(wheels)


@pytest.fixture(params=[(0o022, 0o022), (0o077, 0o002)], ids=["usual umask", "private and open umask"])
def two(request: pytest.FixtureRequest, shelf: Path) -> Iterator[Two]:
    with tempfile.TemporaryDirectory(dir=shelf.parent) as folder, ExitStack() as stack:
        Path(folder).chmod(0o755)
        lines = [stack.enter_context(command_line(Path(folder, name), shelf)) for name in ("anne", "bert")]
        users = zip(lines, (ANNE, BERT), request.param, strict=True)
        anne, bert = (User(cli, shelf, number, umask) for cli, number, umask in users)
        yield Two(Path(folder), anne, bert)


HIT, MISS, DAMAGED, KILLED = "on a hit", "on a miss", "where an archive is damaged", "where a builder was killed"
OTHERS, SETGID, STICKY = "another user's store", "a setgid store of a group", "a sticky store"
SHARES: Final[Mapping[str, tuple[int, int]]] = {OTHERS: (ANNE, 0o755), SETGID: (ANNE, 0o2775), STICKY: (0, 0o1777)}

DENIED = "the store {store} cannot be written: permission denied"
UNPUBLISHED = f"not published: {DENIED}"
MUST = "--require-publish"
ALL = "an archive, a lease, a pointer"

ROWS: Final = (
    Row(OTHERS, HIT, 0, ""),
    Row(OTHERS, MISS, 0, UNPUBLISHED),
    Row(OTHERS, f"{MISS}, with {MUST}", 7, DENIED),
    Row(OTHERS, DAMAGED, 0, UNPUBLISHED),
    Row(SETGID, HIT, 0, ""),
    Row(SETGID, MISS, 0, "", ALL),
    Row(SETGID, DAMAGED, 0, "is truncated", "an archive"),
    Row(SETGID, KILLED, 0, "", "an archive, a pointer"),
    Row(STICKY, HIT, 0, ""),
    Row(STICKY, MISS, 0, "", ALL),
    Row(STICKY, DAMAGED, 0, "not published: the store {store} cannot be written: operation not permitted", "a lease"),
    Row(STICKY, KILLED, 0, "", ALL),
)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_two_users_on_one_share(two: Two, row: Row) -> None:
    """Bert has his environment: what he may not write costs a warning at most. Anne goes on, and both have hers."""
    store = two.share(*SHARES[row.fault])
    assert 0 == two.anne.ensure(OLD, store).code
    if row.phase == DAMAGED:
        (archive,) = store.glob("v1/archives/*/*")
        os.truncate(archive, 1000)
    if row.phase == KILLED:
        assert -signal.SIGKILL == two.anne.ensure(NEW, store, program=_DYING).code
    before = Counter(in_store(store))
    asked = OLD if row.phase in {HIT, DAMAGED} else NEW
    result = two.bert.ensure(asked, store, *([MUST] if row.phase.endswith(MUST) else []), program=_HURRIED)
    assert row.code == result.code, result.err
    assert row.message.format(store=store) in said(result)[0] if row.message else not said(result)[0]
    assert (None if row.code else asked) == version(two.bert.target)
    assert row.left == listed([*(Counter(in_store(store)) - before).elements()])
    for user in (two.anne, two.bert):
        result = user.ensure(asked, store, *([] if user is two.anne else ["--no-build"]), name="again")
        assert 0 == result.code, result.err
        assert "not published" not in result.err
        assert asked == version(user.target)


@pytest.mark.parametrize(("permissions", "code"), [(0o2777, 0), (0o1777, 2)], ids=["open", "sticky"])
def test_an_environment_of_another_user(two: Two, permissions: int, code: int) -> None:
    """Who may replace it is told that what it was stays there; who may not leaves it as it is."""
    store, place = two.share(ANNE, 0o2775), two.folder / "place"
    place.mkdir()
    place.chmod(permissions)
    target = place / "env"
    assert 0 == two.anne.ensure(OLD, store, "--target", str(target)).code
    result = two.bert.ensure(NEW, store, "--target", str(target))
    assert code == result.code
    told = f"the target {target} cannot be renamed" if code else f"this user cannot remove what was replaced: {place}/"
    assert told in said(result)[0]
    assert (OLD if code else NEW) == version(target)
    assert (1 if code else 2) == len(os.listdir(place))
    assert 0 == two.anne.ensure(NEW, store, "--target", str(target)).code
    assert ["env"] == os.listdir(place)
