"""Where an environment stands, and how a new one takes its place."""

import ctypes
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, wait
from pathlib import Path

import pytest

import terrastore.archive.relocate
from terrastore import atomic, place
from terrastore.errors import UsageError, WaitError
from terrastore.key import EnvKey
from terrastore.place import Releases, Target, discard
from terrastore.report import Report

KEY = EnvKey(f"cp311-linux_x86_64-{'0' * 40}")
OTHER_KEY = EnvKey(f"cp311-linux_x86_64-{'1' * 40}")
NOBODY = 65534
SPAWN = multiprocessing.get_context("spawn")


def become_nobody() -> None:
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


@pytest.fixture
def nobody() -> Iterator[ProcessPoolExecutor]:
    """Yield a process of a user without rights."""
    if os.getuid():
        pytest.skip("only root can become another user")
    with ProcessPoolExecutor(1, mp_context=SPAWN, initializer=become_nobody) as pool:
        yield pool


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Yield a directory of ours that everybody may enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def private_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def stand(path: Path, content: str) -> Path:
    """Make an environment of three files that all say ``content``."""
    path.mkdir(exist_ok=True)
    fill(path, content)
    return path


def fill(path: Path, content: str) -> None:
    (path / "lib").mkdir()
    for name in ("pyvenv.cfg", "lib/one", "lib/two"):
        (path / name).write_text(content)


def content(path: Path) -> set[str]:
    """Return what the files of the environment at ``path`` say: one content when it is whole."""
    return {(path / name).read_text() for name in ("pyvenv.cfg", "lib/one", "lib/two")}


def test_a_target_has_no_link_in_it(tmp_path: Path) -> None:
    """Links are followed, so that the environment's paths are where it really stands."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "env").symlink_to("link/.venv")
    assert Target(str(tmp_path / "real/.venv")) == Target.at(str(tmp_path / "env"))
    assert str(tmp_path / "real") == Target.at(str(tmp_path / "env")).parent


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("place", ["absent", "absent/below/absent", "empty", "virtualenv", "ours", "dangling"])
def test_what_may_be_replaced(place: str, force: bool, tmp_path: Path) -> None:
    """Nothing, an empty directory and an environment may be replaced, and looking changes nothing."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "virtualenv").mkdir()
    (tmp_path / "virtualenv/pyvenv.cfg").touch()
    (tmp_path / "ours/.terrastore").mkdir(parents=True)
    (tmp_path / "dangling").symlink_to("absent")
    before = names(tmp_path)
    Target.at(str(tmp_path / place)).check_replaceable(force=force)
    assert before == names(tmp_path)


@pytest.mark.parametrize(
    ("place", "force", "message"),
    [
        ("file", False, "is a file"),
        ("file", True, "is a file"),
        ("link-to-file", False, "is a file"),
        ("foreign", False, "is a directory that is no environment"),
        ("link-to-foreign", False, "is a directory that is no environment"),
        ("file/below", False, "parent .*/file is no directory"),
        ("file/below", True, "parent .*/file is no directory"),
    ],
)
def test_what_may_not_be_replaced(place: str, force: bool, message: str, tmp_path: Path) -> None:
    """A file, somebody's directory and a path through a file are refused by name, with what to do instead."""
    (tmp_path / "file").touch()
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign/thesis.tex").touch()
    for name in ("file", "foreign"):
        (tmp_path / f"link-to-{name}").symlink_to(name)
    with pytest.raises(UsageError, match=message) as caught:
        Target.at(str(tmp_path / place)).check_replaceable(force=force)
    assert caught.value.hint


def test_a_foreign_directory_is_replaced_by_force(tmp_path: Path) -> None:
    """Whoever says --force gets it."""
    (tmp_path / "file").touch()
    Target(str(tmp_path)).check_replaceable(force=True)


@pytest.mark.parametrize("force", [False, True])
def test_a_mount_point_is_refused(force: bool) -> None:
    """It cannot be exchanged, by force neither; the hint names the way that works."""
    if not os.path.ismount("/proc"):
        pytest.skip("/proc is no mount point here")
    with pytest.raises(UsageError, match="/proc is a mount point") as caught:
        Target("/proc").check_replaceable(force=force)
    assert "--link" in caught.value.hint


def replaceable(path: str) -> None:
    Target(path).check_replaceable(force=False)


@pytest.mark.parametrize("place", ["env", "absent", "absent/below"])
def test_an_unwritable_parent_is_refused(place: str, nobody: ProcessPoolExecutor, open_folder: Path) -> None:
    """Where nothing can be staged beside the target, that is said before any work, with the way that works."""
    stand(open_folder / "env", "old")
    error = nobody.submit(replaceable, str(open_folder / place)).exception()
    assert isinstance(error, UsageError)
    assert f"the target's parent {open_folder} cannot be written" == error.message
    assert "--link" in error.hint


def test_an_unreadable_target_is_refused(nobody: ProcessPoolExecutor, open_folder: Path) -> None:
    """A directory that we may not look into is refused like one that is no environment."""
    open_folder.chmod(0o777)
    (open_folder / "env").mkdir(0o700)
    assert isinstance(nobody.submit(replaceable, str(open_folder / "env")).exception(), UsageError)


@pytest.fixture(params=["exchange", "two renames"])
def road(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Take both roads: with the exchange of the kernel, and as where there is none."""
    if request.param == "two renames":
        monkeypatch.setattr(atomic, "exchange", lambda *_: False)
    return str(request.param)


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return Target(str(tmp_path / ".venv"))


def install(target: Target, content: str, *, backup: bool = False, report: Report | None = None) -> str | None:
    """Put an environment in the target's place as a run does; return what is to be removed."""
    with target.locked(report or Report()), target.stage() as staged:
        fill(Path(staged), content)
        return target.swap(staged, backup=backup)


@pytest.mark.usefixtures("road")
def test_a_fresh_target(target: Target, tmp_path: Path) -> None:
    """Where nothing was, the environment stands, with nothing beside it and nothing to remove."""
    assert install(target, "new") is None
    assert {"new"} == content(Path(target.path))
    assert [".venv"] == names(tmp_path)


def test_missing_parents_are_made(tmp_path: Path) -> None:
    """A target in a directory that is not there yet is fine."""
    install(Target(str(tmp_path / "a/b/.venv")), "new")
    assert [".venv"] == names(tmp_path / "a/b")


@pytest.mark.usefixtures("road")
def test_an_existing_target_is_wholly_replaced(target: Target, tmp_path: Path) -> None:
    """Nothing of the old environment is left in the new one; where it is now is told, and it is whole."""
    stand(Path(target.path), "old")
    (tmp_path / ".venv/old-only").touch()
    retired = install(target, "new")
    assert {"new"} == content(Path(target.path))
    assert ["lib", "pyvenv.cfg"] == names(Path(target.path))
    assert retired is not None
    assert {"old"} == content(Path(retired))
    assert sorted([".venv", os.path.basename(retired)]) == names(tmp_path)
    discard(retired)
    assert [".venv"] == names(tmp_path)


@pytest.mark.usefixtures("road")
def test_a_swap_that_fails_leaves_the_old_environment(target: Target, tmp_path: Path) -> None:
    """When the new environment cannot take the place, the old one has it still."""
    stand(Path(target.path), "old")
    with pytest.raises(FileNotFoundError):
        target.swap(str(tmp_path / "absent"), backup=False)
    assert {"old"} == content(Path(target.path))
    assert [".venv"] == names(tmp_path)


@pytest.mark.usefixtures("road")
def test_an_empty_directory_is_replaced(target: Target, tmp_path: Path) -> None:
    """A directory somebody made for the environment becomes the environment."""
    os.mkdir(target.path)
    discard(install(target, "new") or "")
    assert {"new"} == content(Path(target.path))
    assert [".venv"] == names(tmp_path)


@pytest.mark.usefixtures("road")
def test_a_backup_is_the_environment_before(target: Target, tmp_path: Path) -> None:
    """With a backup the old environment stands beside; the next one replaces it and tells where the oldest is."""
    stand(Path(target.path), "first")
    install(target, "second", backup=True)
    assert [".venv", ".venv.bak"] == names(tmp_path)
    assert ({"second"}, {"first"}) == (content(Path(target.path)), content(Path(target.backup)))
    older = install(target, "third", backup=True)
    assert ({"third"}, {"second"}) == (content(Path(target.path)), content(Path(target.backup)))
    assert older is not None
    assert {"first"} == content(Path(older))
    discard(older)
    assert [".venv", ".venv.bak"] == names(tmp_path)


@pytest.mark.parametrize("before", ["nothing", "an environment"])
def test_a_first_backup_leaves_nothing_to_remove(before: str, target: Target) -> None:
    """Where no older backup was, nothing is to be removed."""
    if before != "nothing":
        stand(Path(target.path), "old")
    assert install(target, "new", backup=True) is None


def test_a_backup_stays_when_none_is_asked_for(target: Target) -> None:
    """A run without --backup leaves an earlier backup alone."""
    stand(Path(target.backup), "kept")
    stand(Path(target.path), "old")
    install(target, "new")
    assert {"kept"} == content(Path(target.backup))


@pytest.mark.usefixtures("private_umask")
def test_a_new_environment_may_be_entered_by_all(target: Target) -> None:
    """Its directory is as pip's own are, whatever the umask."""
    install(target, "new")
    assert 0o755 == os.stat(target.path).st_mode & 0o7777


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_a_stage_goes_when_its_body_fails(failure: type[BaseException], target: Target, tmp_path: Path) -> None:
    """An installation that fails leaves the old environment, and neither stage nor lock."""
    stand(Path(target.path), "old")
    with pytest.raises(failure):
        stage_and_fail(target, failure)
    assert {"old"} == content(Path(target.path))
    assert [".venv"] == names(tmp_path)


def stage_and_fail(target: Target, failure: type[BaseException]) -> None:
    with target.locked(Report()), target.stage() as staged:
        fill(Path(staged), "new")
        raise failure


def test_a_stage_is_beside_the_target_and_empty(target: Target, tmp_path: Path) -> None:
    """On the same filesystem, under a hidden name of its own."""
    with target.stage() as first, target.stage() as second:
        assert first != second
        assert {str(tmp_path)} == {os.path.dirname(first), os.path.dirname(second)}
        assert [True, True] == [os.path.basename(each).startswith(".") for each in (first, second)]
        assert [] == os.listdir(first)


class Attentive(Report):
    """Keeps the remarks."""

    def __init__(self) -> None:
        super().__init__()
        self.remarks: list[str] = []

    def remark(self, message: str) -> None:
        self.remarks.append(message)


def test_a_second_run_waits_and_says_so_once(target: Target, tmp_path: Path) -> None:
    """One run at a time changes a target; who waits names it, and who need not is silent."""
    first, second = Attentive(), Attentive()
    with ThreadPoolExecutor(1) as pool:
        with target.locked(first):
            waiting = pool.submit(install, target, "second", report=second)
            while not second.remarks:
                time.sleep(0.01)
            stand(Path(target.path), "first")
        discard(waiting.result(10) or "")
    assert ([], [f"waiting for another run to finish with {target.path}"]) == (first.remarks, second.remarks)
    assert {"second"} == content(Path(target.path))
    assert [".venv"] == names(tmp_path)


def test_waiting_for_another_run_ends(target: Target, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A run that hangs keeps others from its target, or from switching its link, for no longer than they want."""
    releases = Releases.at(str(tmp_path / "current"), str(tmp_path / "releases"))
    monkeypatch.setattr(place, "WAIT", 0.01)
    waiting = r"^waited 0 s for another run to finish with "
    with target.locked(Report()), atomic.locked(str(tmp_path / ".current.terrastore-lock")):
        with pytest.raises(WaitError, match=f"{waiting}{target.path}$") as caught, target.locked(Report(), wait=0):
            pass
        assert "--wait" in caught.value.hint
        with pytest.raises(WaitError, match=f"{waiting}{releases.link}$"):
            releases.switch(str(tmp_path))
    assert [] == names(tmp_path)


def lock(path: str) -> None:
    with Target(path).locked(Report()):
        pass


def test_another_users_run_is_waited_for(nobody: ProcessPoolExecutor, open_folder: Path) -> None:
    """In a directory that both may write to, a user waits for another's run, whatever the umask."""
    open_folder.chmod(0o777)
    path = str(open_folder / ".venv")
    with Target(path).locked(Report()):
        waiting = nobody.submit(lock, path)
        wait([waiting], 1)
        assert not waiting.done() or waiting.result()
    waiting.result(10)


def test_targets_side_by_side_do_not_wait(tmp_path: Path) -> None:
    """Each target has a lock of its own."""
    report = Attentive()
    with Target(str(tmp_path / "one")).locked(report), Target(str(tmp_path / "two")).locked(report):
        assert [] == report.remarks


def test_leftovers_of_killed_runs_are_removed(target: Target, tmp_path: Path) -> None:
    """Stages and retired environments go, the target and everything else stay."""
    stand(Path(target.path), "old")
    for left in (f"..venv.terrastore-{'0' * 16}", f"..venv.terrastore-{'1' * 16}-swapping"):
        stand(tmp_path / left, "left")
    strangers = [
        f".other.terrastore-{'0' * 16}",
        "..venv.terrastore-mine",
        f"..venv.terrastore-{'0' * 15}",
        f"..venv.terrastore-{'0' * 16}-mine",
        f".xvenv.terrastore-{'0' * 16}",
        ".venv.bak",
    ]
    for stranger in strangers:
        (tmp_path / stranger).mkdir()
    with target.locked(Report()):
        pass
    assert {"old"} == content(Path(target.path))
    assert sorted([".venv", *strangers]) == names(tmp_path)


def test_a_target_that_was_moved_aside_is_put_back(target: Target, tmp_path: Path) -> None:
    """A run killed between two renames left the target's place empty: the old environment returns, the stage goes."""
    stand(tmp_path / f"..venv.terrastore-{'a' * 16}-swapping", "old")
    stand(tmp_path / f"..venv.terrastore-{'0' * 16}", "new, perhaps not whole")
    with target.locked(Report()):
        assert {"old"} == content(Path(target.path))
    assert [".venv"] == names(tmp_path)


def test_a_stage_never_becomes_the_target(target: Target, tmp_path: Path) -> None:
    """A stage of a killed run may be half an environment."""
    stand(tmp_path / f"..venv.terrastore-{'0' * 16}", "new, perhaps not whole")
    with target.locked(Report()):
        assert not os.path.lexists(target.path)
    assert [] == names(tmp_path)


@pytest.mark.parametrize("aside", ["-backup", "-backup-swapping"])
@pytest.mark.parametrize("older", [True, False])
def test_a_backup_that_was_begun_is_finished(aside: str, older: bool, target: Target, tmp_path: Path) -> None:
    """A run killed after the new environment took its place: the old one becomes the backup."""
    new = stand(tmp_path / ".venv", "new").stat().st_ino
    stand(tmp_path / f"..venv.terrastore-{new:016x}{aside}", "old")
    if older:
        stand(Path(target.backup), "older")
    target.tidy()
    assert ({"new"}, {"old"}) == (content(Path(target.path)), content(Path(target.backup)))
    assert [".venv", ".venv.bak"] == names(tmp_path)


def test_a_backup_that_was_not_begun_stays(target: Target, tmp_path: Path) -> None:
    """A run killed before the new environment took its place: it goes, and the older backup stays."""
    stand(tmp_path / ".venv", "old")
    stand(Path(target.backup), "older")
    new = stand(tmp_path / "new", "new")
    new.rename(tmp_path / f"..venv.terrastore-{new.stat().st_ino:016x}-backup")
    target.tidy()
    assert ({"old"}, {"older"}) == (content(Path(target.path)), content(Path(target.backup)))
    assert [".venv", ".venv.bak"] == names(tmp_path)


def test_tidying_does_not_disturb_a_run(target: Target, tmp_path: Path) -> None:
    """The stage of a run that holds the lock stays, and nobody waits for it."""
    with target.locked(Report()), target.stage() as staged:
        target.tidy()
        assert os.path.isdir(staged)
    assert [] == names(tmp_path)


def swap_on_and_on(path: str) -> None:
    number = 0
    while True:
        number += 1
        discard(install(Target(path), str(number)) or "")


def test_a_run_killed_at_any_moment_leaves_one_environment(target: Target, tmp_path: Path) -> None:
    """Whenever it is killed, the target is a whole environment, and the next run leaves nothing else there."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    for _ in range(6):
        stand(tmp_path / ".venv", "0")
        process = SPAWN.Process(target=swap_on_and_on, args=(target.path,))
        process.start()
        while content(tmp_path / ".venv") == {"0"}:
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.02))
        process.kill()
        process.join()
        assert 1 == len(content(tmp_path / ".venv")), f"seed {seed}"
        with target.locked(Report()):
            assert [".venv", "..venv.terrastore-lock"] == names(tmp_path)[::-1], f"seed {seed}"
        shutil.rmtree(target.path)


def swap_often(path: str, times: int) -> None:
    for number in range(times):
        discard(install(Target(path), str(number)) or "")


def test_a_target_that_is_exchanged_is_always_there(target: Target, tmp_path: Path) -> None:
    """While two processes exchange the environment fifty times each, a file in it can be opened at any time."""
    stand(Path(target.path), "first")
    missing = opened = 0
    with ProcessPoolExecutor(2, mp_context=SPAWN) as pool:
        swapping = [pool.submit(swap_often, target.path, 50) for _ in range(2)]
        while not all(each.done() for each in swapping):
            opened += 1
            try:
                with open(f"{target.path}/pyvenv.cfg"):
                    pass
            except FileNotFoundError:
                missing += 1
        assert [None, None] == [each.result() for each in swapping]
    assert (0, True) == (missing, opened > 100)
    assert {"49"} == content(Path(target.path))
    assert [".venv"] == names(tmp_path)


@pytest.mark.usefixtures("road")
def test_rolling_back_twice_changes_nothing(target: Target, tmp_path: Path) -> None:
    """Target and backup change places, and change places again."""
    stand(Path(target.path), "first")
    install(target, "second", backup=True)
    for now, before in (("first", "second"), ("second", "first")):
        target.rollback()
        assert ({now}, {before}) == (content(Path(target.path)), content(Path(target.backup)))
        assert [".venv", ".venv.bak"] == names(tmp_path)


def test_rolling_back_needs_a_backup(target: Target) -> None:
    """Without one it is a usage error that says how to have one, and the target stays."""
    stand(Path(target.path), "only")
    with pytest.raises(UsageError, match=r"no .*\.venv\.bak to go back to") as caught:
        target.rollback()
    assert "--backup" in caught.value.hint
    assert {"only"} == content(Path(target.path))


def test_rolling_back_to_where_nothing_is(target: Target, tmp_path: Path) -> None:
    """A target that was removed comes back from its backup."""
    stand(Path(target.backup), "kept")
    target.rollback()
    assert {"kept"} == content(Path(target.path))
    assert [".venv"] == names(tmp_path)


def mount(source: str, place: str, kind: str, flags: int, options: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(source.encode(), place.encode(), kind.encode(), flags, options.encode()):
        raise OSError(ctypes.get_errno(), "mount")


def enter_namespace() -> int:
    """Become root in a namespace whose mounts nobody else sees (user_namespaces(7)); return the error, 0 when none."""
    user, group = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x10000000 | 0x00020000):  # CLONE_NEWUSER, CLONE_NEWNS
        return ctypes.get_errno()
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    return 0


@pytest.fixture
def namespace() -> Iterator[ProcessPoolExecutor]:
    """Yield a process that may mount, unseen by others."""
    with ProcessPoolExecutor(1, mp_context=SPAWN) as pool:
        if sys.platform != "linux" or pool.submit(enter_namespace).result():
            pytest.skip("this user cannot have a namespace for mounts")
        yield pool


def install_on_bind_mount(path: str) -> list[str]:
    """Mount a directory over the target, which has the same device number then, and try to replace it."""
    other = stand(Path(path).parent / "other", "mounted")
    mount(str(other), path, "", 4096, "")  # MS_BIND
    try:
        install(Target(path), "new")
    except UsageError as error:
        return [error.message, error.hint, *content(Path(path))]
    return []


def test_a_bind_mount_is_not_replaced(namespace: ProcessPoolExecutor, target: Target, tmp_path: Path) -> None:
    """A target that the kernel calls busy is a usage error that names --link, and all is as it was."""
    stand(Path(target.path), "below")
    message, hint, now = namespace.submit(install_on_bind_mount, target.path).result()
    assert f"the target {target.path} cannot be renamed: Device or resource busy" == message
    assert "--link" in hint
    assert "mounted" == now
    assert [".venv", "other"] == names(tmp_path)


def check_bind_mount(path: str) -> None:
    mount(path, path, "", 4096, "")  # MS_BIND
    Target(path).check_replaceable(force=True)


def test_a_bind_mount_is_refused_before_any_work(namespace: ProcessPoolExecutor, target: Target) -> None:
    """A mount point on the same filesystem, as containers have them, is one as well."""
    stand(Path(target.path), "old")
    assert isinstance(namespace.submit(check_bind_mount, target.path).exception(), UsageError)


def mount_overlay(folder: str) -> None:
    """Make ``merged`` an overlay whose lower layer has an environment."""
    for name in ("lower", "upper", "work", "merged"):
        Path(folder, name).mkdir()
    stand(Path(folder, "lower/.venv"), "old")
    options = f"lowerdir={folder}/lower,upperdir={folder}/upper,workdir={folder}/work,userxattr"
    mount("overlay", f"{folder}/merged", "overlay", 0, options)


def install_on_overlay(folder: str) -> list[str]:
    """Try to replace the environment of the overlay's lower layer."""
    try:
        install(Target(f"{folder}/merged/.venv"), "new")
    except UsageError as error:
        return [error.message, error.hint, *content(Path(folder, "merged/.venv")), *os.listdir(f"{folder}/merged")]
    return []


def test_a_directory_of_a_lower_layer_is_not_replaced(namespace: ProcessPoolExecutor, tmp_path: Path) -> None:
    """In a container, a target that came with the image cannot be renamed: a usage error that names --link."""
    if error := namespace.submit(mount_overlay, str(tmp_path)).exception():
        pytest.skip(f"overlays cannot be mounted here: {error}")
    message, hint, *left = namespace.submit(install_on_overlay, str(tmp_path)).result()
    assert f"the target {tmp_path}/merged/.venv cannot be renamed: Invalid cross-device link" == message
    assert "--link" in hint
    assert ["old", ".venv"] == left


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    """Return releases with the directories ``one`` and ``two``, and no link yet."""
    for name in ("one", "two"):
        (tmp_path / "releases" / name).mkdir(parents=True)
    return Releases.at(str(tmp_path / "current"), str(tmp_path / "releases"))


def test_releases_stand_side_by_side(releases: Releases, tmp_path: Path) -> None:
    """The environment of a key has a place of its own, named by the key."""
    assert Target(str(tmp_path / "releases" / KEY.text)) == releases.target(KEY)
    assert releases.target(KEY) != releases.target(OTHER_KEY)


def test_releases_follow_links_but_the_last(tmp_path: Path) -> None:
    """Links above are followed, so that paths are real; the link itself is what is switched."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real/current").symlink_to("elsewhere")
    releases = Releases.at(str(tmp_path / "link/current"), str(tmp_path / "link/releases"))
    assert Releases(str(tmp_path / "real/current"), str(tmp_path / "real/releases")) == releases


def test_switching_moves_the_link(releases: Releases) -> None:
    """The first switch makes the link, the next moves it, and the same again changes nothing."""
    one, two = f"{releases.directory}/one", f"{releases.directory}/two"
    assert releases.current() is None
    assert [True, False, True, False] == [releases.switch(path) for path in (one, one, two, two)]
    assert two == os.readlink(releases.link)
    assert two == releases.current()


def test_the_links_directory_is_made(releases: Releases, tmp_path: Path) -> None:
    """A link in a directory that is not there yet is fine."""
    elsewhere = Releases.at(str(tmp_path / "a/b/current"), releases.directory)
    elsewhere.check_switchable()
    assert elsewhere.switch(f"{releases.directory}/one")
    assert f"{releases.directory}/one" == elsewhere.current()


def test_rolling_a_release_back_twice_changes_nothing(releases: Releases) -> None:
    """It goes to the release before and returns, which it says."""
    one, two = f"{releases.directory}/one", f"{releases.directory}/two"
    releases.switch(one)
    releases.switch(two)
    assert (one, one) == (releases.rollback(), releases.current())
    assert (two, two) == (releases.rollback(), releases.current())


def test_switching_to_the_same_keeps_the_way_back(releases: Releases) -> None:
    """A run that changes nothing does not forget what was before."""
    one, two = f"{releases.directory}/one", f"{releases.directory}/two"
    for path in (one, two, two):
        releases.switch(path)
    assert one == releases.rollback()


@pytest.mark.parametrize("switches", [[], ["one"], ["one", "one"]])
def test_rolling_back_needs_a_release_before(switches: list[str], releases: Releases) -> None:
    """Without one it is a usage error, and the link stays as it is."""
    for name in switches:
        releases.switch(f"{releases.directory}/{name}")
    before = releases.current()
    with pytest.raises(UsageError, match="no release before") as caught:
        releases.rollback()
    assert caught.value.hint
    assert before == releases.current()


def test_rolling_back_to_a_release_that_is_gone(releases: Releases) -> None:
    """A release that was removed is not gone back to."""
    for name in ("one", "two"):
        releases.switch(f"{releases.directory}/{name}")
    os.rmdir(f"{releases.directory}/one")
    with pytest.raises(UsageError, match="releases/one, was removed"):
        releases.rollback()
    assert f"{releases.directory}/two" == releases.current()


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir], ids=["file", "directory"])
def test_a_link_that_is_none_is_refused(make: Callable[[Path], None], releases: Releases) -> None:
    """A file or a directory in the link's place is refused by name before any work."""
    make(Path(releases.link))
    with pytest.raises(UsageError, match=r"current is not a symbolic link") as caught:
        releases.check_switchable()
    assert caught.value.hint


def test_rolling_back_does_not_replace_a_file(releases: Releases) -> None:
    """A file that has come in the link's place is not lost to a rollback."""
    for name in ("one", "two"):
        releases.switch(f"{releases.directory}/{name}")
    os.unlink(releases.link)
    Path(releases.link).write_text("mine")
    with pytest.raises(UsageError):
        releases.rollback()
    assert "mine" == Path(releases.link).read_text()


@pytest.mark.parametrize("link", [None, "releases/one", "nowhere"])
def test_a_link_or_nothing_may_be_switched(link: str | None, releases: Releases) -> None:
    """No link yet, a link, even one to nowhere, is fine."""
    if link is not None:
        os.symlink(link, releases.link)
    releases.check_switchable()
    assert releases.switch(f"{releases.directory}/two")
    assert f"{releases.directory}/two" == releases.current()


def test_a_link_below_a_file_is_refused(releases: Releases, tmp_path: Path) -> None:
    """A link whose directory cannot be made is refused before any work."""
    (tmp_path / "file").touch()
    with pytest.raises(UsageError):
        Releases.at(str(tmp_path / "file/current"), releases.directory).check_switchable()


def switchable(link: str, directory: str) -> None:
    Releases.at(link, directory).check_switchable()


@pytest.mark.parametrize("place", ["current", "absent/current"])
def test_a_link_in_an_unwritable_directory_is_refused(
    place: str, nobody: ProcessPoolExecutor, open_folder: Path
) -> None:
    """Where the link cannot be made, that is said before any work."""
    error = nobody.submit(switchable, str(open_folder / place), str(open_folder)).exception()
    assert isinstance(error, UsageError)
    assert f"{open_folder} cannot be written" in error.message


def test_a_running_process_keeps_its_release(releases: Releases) -> None:
    """What was entered through the link stays where it is when the link moves on."""
    one, two = (Path(releases.directory, name) for name in ("one", "two"))
    releases.switch(str(one))
    command = ["sh", "-c", "read line; pwd -P"]
    with subprocess.Popen(
        command, cwd=releases.link, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        releases.switch(str(two))
        assert f"{one}\n" == process.communicate("\n")[0]


def test_discarding_what_is_gone_is_fine(tmp_path: Path) -> None:
    """Whoever removes what was replaced need not know whether it is still there."""
    stand(tmp_path / "old", "old")
    for _ in range(2):
        assert discard(str(tmp_path / "old"))
    assert [] == names(tmp_path)


@pytest.mark.parametrize("needed", ["env", "env/project", "env/store/deep"])
def test_what_holds_something_needed_is_not_replaced(needed: str, tmp_path: Path) -> None:
    """Not even by force is a directory replaced that holds the home, the store, or the requirements."""
    (tmp_path / "env").mkdir()
    with pytest.raises(UsageError, match=r"(would be gone|needed itself)$"):
        Target.at(str(tmp_path / "env")).check_replaceable(force=True, needed=[str(tmp_path / needed)])
    Target.at(str(tmp_path / "env")).check_replaceable(force=True, needed=[str(tmp_path / "env2"), str(tmp_path)])


@pytest.mark.parametrize("place", [sys.prefix, sys.base_prefix, str(Path(terrastore.__file__).parents[1])])
def test_what_terrastore_runs_from_is_not_replaced(place: str) -> None:
    """Neither its environment, nor its interpreter, nor its code, and not by force."""
    with pytest.raises(UsageError, match="terrastore itself runs from it") as caught:
        Target.at(place).check_replaceable(force=True)
    assert "--link" in caught.value.hint
