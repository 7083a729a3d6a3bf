"""What a project names by path counts by content: a file's, or that of the files a project consists of."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import venv
from typing import TYPE_CHECKING

import pytest

from terrastore.errors import RequirementsError
from terrastore.requirements import Disk, digests, read_requirements
from tests.requirements.shelf import target

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a project directory with a package in it."""
    folder = tmp_path / "project"
    write(folder, "pyproject.toml", "[project]\nname = 'one'\n")
    write(folder, "src/one/__init__.py", "")
    write(folder, "src/one/data.txt", "data\n")
    return folder


def write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def swap(one: Path, two: Path) -> None:
    first, second = one.read_text(), two.read_text()
    one.write_text(second)
    two.write_text(first)


def digest(path: Path) -> str:
    return Disk().digest(str(path))


def test_a_file_by_its_content(tmp_path: Path) -> None:
    """A file's digest is the SHA-256 of its content, wherever it stands."""
    expected = hashlib.sha256(b"wheel").hexdigest()
    for name in ("one.whl", "two.whl"):
        write(tmp_path, name, "wheel")
        assert expected == digest(tmp_path / name)


def test_a_missing_path(tmp_path: Path) -> None:
    """What is not there cannot be read or digested, and does not exist."""
    missing = str(tmp_path / "nowhere")
    assert not Disk().exists(missing)
    for ask in (Disk().read, Disk().digest):
        with pytest.raises(FileNotFoundError):
            ask(missing)


def test_files_and_directories_exist(project: Path) -> None:
    """A file and a directory are there; a file is read as bytes."""
    assert Disk().exists(str(project))
    assert Disk().exists(str(project / "pyproject.toml"))
    assert b"data\n" == Disk().read(str(project / "src/one/data.txt"))


def test_the_same_content_elsewhere(project: Path, tmp_path: Path) -> None:
    """A copy of a project has its digest: neither place nor times count."""
    copy = tmp_path / "elsewhere"
    shutil.copytree(project, copy, copy_function=shutil.copyfile)
    assert digest(project) == digest(copy)


def test_digests_stay_what_they_are(tmp_path: Path) -> None:
    """A digest enters keys, so it is the same in every version, and on every filesystem whatever its order of names."""
    for number in range(30):
        write(tmp_path, f"{number}.py", "")
    expected = "a1ab57c5ecb225692b07baed0e90d68e26455bef924feda75ad2096608d6104e"
    assert expected == digest(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "build/lib/one/__init__.py",
        "one.egg-info/PKG-INFO",
        "src/one.egg-info/PKG-INFO",
        "src/one/__pycache__/__init__.cpython-311.pyc",
        ".git/HEAD",
        ".git",
        ".hg/store",
        ".svn/entries",
        ".mypy_cache/x.json",
        ".pytest_cache/README.md",
        ".tox/x/y",
        ".nox/x/y",
        ".ruff_cache/x",
        ".hypothesis/x",
    ],
)
def test_what_does_not_count(project: Path, name: str) -> None:
    """What version control, a build, an interpreter or a tool leaves behind does not change a project."""
    before = digest(project)
    write(project, name, "changed")
    assert before == digest(project)


@pytest.mark.parametrize("name", [".venv", "any/where"])
def test_an_environment_inside_does_not_count(project: Path, name: str) -> None:
    """An environment that stands in the project, under whatever name, is no part of it."""
    before = digest(project)
    venv.create(project / name, with_pip=False, symlinks=True)
    assert before == digest(project)


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda project: write(project, "src/one/data.txt", "other\n"),
    "new file": lambda project: write(project, "src/one/more.py", ""),
    "new hidden file": lambda project: write(project, ".secret.py", ""),
    "removed file": lambda project: (project / "src/one/__init__.py").unlink(),
    "renamed file": lambda project: (project / "src/one/data.txt").rename(project / "src/one/date.txt"),
    "renamed directory": lambda project: (project / "src/one").rename(project / "src/two"),
    "moved file": lambda project: (project / "src/one/data.txt").rename(project / "src/data.txt"),
    "swapped content": lambda project: swap(project / "src/one/__init__.py", project / "src/one/data.txt"),
    "name like that of a build": lambda project: write(project, "builder/x.py", ""),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_counts(project: Path, change: Callable[[Path], object]) -> None:
    """A project changes with the content, the name and the place of every file."""
    before = digest(project)
    change(project)
    assert before != digest(project)


def test_a_package_named_build_counts(project: Path) -> None:
    """Only the project's own build directory is what a build writes; a package of that name is content."""
    before = digest(project)
    write(project, "src/one/build/__init__.py", "code")
    assert before != digest(project)


def test_a_linked_file_counts_by_content(project: Path, tmp_path: Path) -> None:
    """A link to a file counts as the file it leads to; a link to nowhere beside it does no harm."""
    write(tmp_path, "outside.txt", "one")
    (project / "broken").symlink_to("nowhere")
    (project / "linked.txt").symlink_to(tmp_path / "outside.txt")
    before = digest(project)
    write(tmp_path, "outside.txt", "two")
    assert before != digest(project)


@pytest.mark.parametrize("places", [("nowhere", "elsewhere"), ("src", "src/one")], ids=["nowhere", "a directory"])
def test_a_link_to_no_file_counts_by_where_it_leads(project: Path, places: tuple[str, str]) -> None:
    """A link to a directory, or to nowhere, counts by the path in it."""
    digests = {digest(project)}
    for place in places:
        (project / "link").unlink(missing_ok=True)
        (project / "link").symlink_to(place)
        digests.add(digest(project))
    assert 3 == len(digests)


def test_a_linked_directory_outside_counts_by_content(project: Path, tmp_path: Path) -> None:
    """What a build finds by a link in a directory elsewhere is a part of the project; a circle ends."""
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "common.py").write_text("one = 1\n")
    (project / "common").symlink_to(shared)
    (shared / "back").symlink_to(project)
    (shared / "again").symlink_to(shared)
    before = Disk().digest(str(project))
    assert before == Disk().digest(str(project))
    (shared / "common.py").write_text("one = 2\n")
    assert before != Disk().digest(str(project))


def test_a_linked_directory_above_counts_by_where_it_leads(project: Path, tmp_path: Path) -> None:
    """What a project is in is no part of it, whatever leads there."""
    (project / "above").symlink_to(tmp_path)
    (project / "root").symlink_to("/")
    before = Disk().digest(str(project))
    (tmp_path / "beside.txt").write_text("nothing of it")
    assert before == Disk().digest(str(project))


def test_a_linked_file_may_be_executed(project: Path, tmp_path: Path) -> None:
    """What counts of a file, whether its owner may execute it too, counts of one that is linked."""
    write(tmp_path, "outside.sh", "")
    (project / "linked.sh").symlink_to(tmp_path / "outside.sh")
    before = digest(project)
    (tmp_path / "outside.sh").chmod(0o755)
    assert before != digest(project)


def test_a_file_that_may_be_executed(project: Path) -> None:
    """A build keeps the owner's executable bit; the others' permissions come from whoever unpacks."""
    before = digest(project)
    (project / "src/one/data.txt").chmod(0o755)
    executable = digest(project)
    (project / "src/one/data.txt").chmod(0o700)
    assert before != executable == digest(project)
    (project / "src/one/data.txt").chmod(0o655)
    assert before == digest(project)


def test_links_in_a_circle(project: Path) -> None:
    """Links to themselves, to each other and to directories above count by where they lead, and end."""
    before = digest(project)
    for name, place in (("self", "self"), ("one", "two"), ("two", "one"), ("src/up", "..")):
        (project / name).symlink_to(place)
    assert before != digest(project)


def test_a_project_that_is_a_circle(tmp_path: Path) -> None:
    """A path that leads nowhere because it leads to itself is an error that says so."""
    (tmp_path / "self").symlink_to("self")
    for ask in (Disk().digest, Disk().links):
        with pytest.raises(OSError, match="Too many levels of symbolic links"):
            ask(str(tmp_path / "self"))


def test_what_is_no_file_does_not_count(project: Path) -> None:
    """A socket and a pipe that somebody has in the project are none of it, and nobody waits for them."""
    before = digest(project)
    os.mkfifo(project / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(project / "socket"))
        assert before == digest(project)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to(os.devnull)], ids=["pipe", "device"])
def test_what_is_neither_a_file_nor_a_directory(tmp_path: Path, make: Callable[[Path], object]) -> None:
    """A pipe or a device has no digest, and is not waited for."""
    make(tmp_path / "one.whl")
    for ask in (Disk().digest, Disk().links):
        with pytest.raises(OSError, match="neither a file nor a directory"):
            ask(str(tmp_path / "one.whl"))


@pytest.mark.parametrize("ask", [Disk().digest, Disk().links], ids=["project", "folder"])
def test_a_file_that_cannot_be_read_is_named(project: Path, ask: Callable[[str], str]) -> None:
    """The error names the file in the directory, and says what it is a part of."""
    (project / "Broken-1.zip").symlink_to("/proc/self/mem")  # even root cannot read that from its start
    with pytest.raises(RequirementsError) as raised:
        ask(str(project))
    assert f"{project}/Broken-1.zip cannot be read: input/output error" == raised.value.message
    assert f"it is a part of {project}: make it readable, or move it out" == raised.value.hint


def test_digests_are_remembered(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run with a cache remembers what it read of wheels, folders and projects; the next gives the same answers."""
    write(tmp_path, "wheels/one-1-py3-none-any.whl", "wheel")
    wheel, folder = str(tmp_path / "wheels/one-1-py3-none-any.whl"), str(tmp_path / "wheels")
    monkeypatch.setattr(digests, "_UNSETTLED_NS", -1)  # the files are as old as this test

    def answers() -> tuple[str, ...]:
        with Disk(tmp_path / "cache") as disk:
            return disk.digest(wheel), disk.digest(str(project)), disk.links(folder), disk.links(wheel)

    first = answers()
    with monkeypatch.context() as patched:
        patched.setattr(hashlib, "file_digest", None)
        assert first == answers()
    write(tmp_path, "wheels/one-1-py3-none-any.whl", "WHEEL")
    write(project, "src/one/data.txt", "DATA\n")
    assert all(before != after for before, after in zip(first, answers(), strict=True))


def test_nothing_is_remembered_of_nothing(project: Path, tmp_path: Path) -> None:
    """Who asks for no digest writes nothing."""
    with Disk(tmp_path / "cache") as disk:
        disk.read(str(project / "pyproject.toml"))
        disk.exists(str(project))
    assert not (tmp_path / "cache").exists()


def test_names_that_are_no_text(project: Path) -> None:
    """A file name need not be UTF-8."""
    before = digest(project)
    (project / "caf\udce9").write_text("")
    assert before != digest(project)


def test_requirements_from_the_disk(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are read, and paths looked at, from the working directory."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "deploy/requirements.txt", "./project\n-c limits.txt\n")
    write(tmp_path, "deploy/limits.txt", "two<3\n")
    wanted = read_requirements(["deploy/requirements.txt"], (), reader=Disk(), target=target(), variables={})
    content = f"sha256:{digest(project)}"
    assert ((f"directory @ {content}",), ("two<3",)) == (wanted.requirements, wanted.constraints)
    assert {"./project": content} == wanted.local
