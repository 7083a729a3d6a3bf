"""A project consists of what git knows of it, else of all but what others leave in it; what a build writes is none."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import venv
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terrastore.requirements import Disk
from terrastore.requirements.project_files import project_files
from tests.requirements.repositories import commit, git, repository, write

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(autouse=True)
def _nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the settings of whoever runs the tests away."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a project in a repository: two files, a C extension's source, and rules for what to ignore."""
    return repository(tmp_path / "project", native__fast_c="int x;\n", **{".gitignore": "*.so\n/local.py\n"})


def names(project: Path) -> list[str]:
    return [name for name, _ in project_files(str(project))]


def digest(project: Path) -> str:
    return Disk().digest(str(project))


def test_tracked_and_new_files(project: Path) -> None:
    """The files that git tracks, and those that are new, sorted by their bytes."""
    write(project, "src/one/new.py")
    expected = [".gitignore", "native/fast_c", "pyproject.toml", "src/one/__init__.py", "src/one/new.py"]
    assert expected == names(project)


def _link_instead(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


ANYWHERE: dict[str, Callable[[Path], object]] = {
    "the build directory": lambda project: write(project, "build/lib/one/__init__.py"),
    "metadata": lambda project: write(project, "src/one.egg-info/PKG-INFO"),
    "bytecode": lambda project: write(project, "src/one/__pycache__/__init__.cpython-311.pyc"),
    "an environment": lambda project: venv.create(project / "any/where", with_pip=False, symlinks=True),
    "a cache that says so": lambda project: [
        write(project, "target/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n"),
        write(project, "target/debug/x"),
    ],
    "a stage beside a target": lambda project: write(project, ".venv.terrastore-stage/x"),
    "a repository at work": lambda project: write(project, ".git/index.lock"),
    "an empty directory": lambda project: (project / "empty").mkdir(),
    "times": lambda project: os.utime(project / "pyproject.toml", (1, 1)),
    "who may read": lambda project: (project / "pyproject.toml").chmod(0o600),
}
IN_GIT: dict[str, Callable[[Path], object]] = {
    "an extension in place": lambda project: write(project, "src/one/fast.so", "ELF"),
    "an ignored file": lambda project: write(project, "local.py"),
    "a commit": lambda project: git(project, "commit", "--allow-empty", "--message", "nothing"),
    "a branch": lambda project: git(project, "switch", "--create", "other"),
    "the index": lambda project: git(project, "rm", "--cached", "--quiet", "native/fast_c"),
}


@pytest.mark.parametrize("change", (ANYWHERE | IN_GIT).values(), ids=ANYWHERE | IN_GIT)
def test_what_does_not_count(project: Path, change: Callable[[Path], object]) -> None:
    """What a build, git itself or a tool does leaves a project what it is."""
    before = digest(project)
    change(project)
    assert before == digest(project)


@pytest.mark.parametrize("change", ANYWHERE.values(), ids=ANYWHERE)
def test_what_does_not_count_without_git(project: Path, change: Callable[[Path], object]) -> None:
    """Where there is no repository, what a build or a tool does leaves a project what it is too."""
    shutil.rmtree(project / ".git")
    before = digest(project)
    change(project)
    assert before == digest(project)


CHANGING: dict[str, Callable[[Path], object]] = {
    "a tracked file": lambda project: write(project, "src/one/__init__.py", "x = 1\n"),
    "a new file": lambda project: write(project, "src/one/new.py"),
    "a deleted file": lambda project: (project / "native/fast_c").unlink(),
    "a renamed file": lambda project: (project / "native/fast_c").rename(project / "native/fast_d"),
    "may be executed": lambda project: (project / "native/fast_c").chmod(0o755),
    "a link in place of a file": lambda project: _link_instead(project / "native/fast_c"),
    "an ignored file that is tracked": lambda project: [
        write(project, "local.py"),
        git(project, "add", "--force", "local.py"),
    ],
    "a tracked file in build": lambda project: [write(project, "build/tool.py"), git(project, "add", "build")],
    "the rules": lambda project: write(project, ".gitignore", "*.so\n"),
    "a package named build": lambda project: write(project, "src/one/build/__init__.py"),
    "a script named build": lambda project: write(project, "build", "#!/bin/sh\n"),
}


@pytest.mark.parametrize("change", CHANGING.values(), ids=CHANGING)
def test_what_counts(project: Path, change: Callable[[Path], object]) -> None:
    """A project changes with what is tracked or new in it, committed or not."""
    before = digest(project)
    change(project)
    assert before != digest(project)


def test_a_tracked_ignored_file_is_seen_to_change(project: Path) -> None:
    """An ignored file that is tracked counts by its content."""
    write(project, "local.py", "one\n")
    git(project, "add", "--force", "local.py")
    before = digest(project)
    write(project, "local.py", "two\n")
    assert before != digest(project)


def test_metadata_of_a_build_does_not_count_even_tracked(project: Path) -> None:
    """A build rewrites ``*.egg-info``, so it is no part though somebody committed it."""
    before = digest(project)
    write(project, "src/one.egg-info/PKG-INFO", "Version: 1\n")
    commit(project)
    assert before == digest(project)


def test_a_file_in_place_of_a_directory(project: Path) -> None:
    """Tracked files whose directory became a file are not there."""
    shutil.rmtree(project / "native")
    write(project, "native", "a file\n")
    assert [".gitignore", "native", "pyproject.toml", "src/one/__init__.py"] == names(project)


def test_a_conflict_is_one_file(project: Path) -> None:
    """A file that is in the index thrice, in a merge, counts once, as it is on disk."""
    git(project, "switch", "--quiet", "--create", "other")
    write(project, "native/fast_c", "other\n")
    commit(project)
    git(project, "switch", "--quiet", "main")
    write(project, "native/fast_c", "main\n")
    commit(project)
    with pytest.raises(AssertionError):
        git(project, "merge", "other")
    assert 3 == len(git(project, "ls-files", "--unmerged").splitlines())
    assert 1 == names(project).count("native/fast_c")


def test_a_checkout_and_an_export(project: Path, tmp_path: Path) -> None:
    """A clone, and an export without git, are the project that was committed."""
    (project / "native/fast_c").chmod(0o755)
    (project / "link").symlink_to("native")
    commit(project)
    write(project, "src/one/fast.so", "ELF")
    git(tmp_path, "clone", "--quiet", "project", "clone")
    (tmp_path / "export").mkdir()
    subprocess.run("git archive HEAD | tar -x -C ../export", shell=True, cwd=project, check=True)
    assert digest(project) == digest(tmp_path / "clone") == digest(tmp_path / "export")


def test_a_project_in_a_part_of_a_repository(tmp_path: Path) -> None:
    """In a repository of several projects each has its own files, and the rules of the whole hold."""
    whole = repository(tmp_path / "whole", **{"apps__web__pyproject.toml": "", ".gitignore": "*.log\n"})
    web = whole / "apps/web"
    before = digest(web)
    write(web, "debug.log")
    write(whole, "src/one/new.py")
    assert (["pyproject.toml"], before) == (names(web), digest(web))
    write(web, "web.py")
    assert ["pyproject.toml", "web.py"] == names(web)


@pytest.mark.parametrize("rules", ["vendor/\n", "*\n!.gitignore\n"], ids=["a directory", "everything"])
def test_a_project_that_the_repository_around_ignores(tmp_path: Path, rules: str) -> None:
    """What is ignored as a whole is no part of that repository: all its files count."""
    whole = repository(tmp_path / "whole", **{".gitignore": rules})
    project = whole / "vendor/two"
    for name in ("setup.py", "two.py", ".gitignore"):
        write(project, name)
    assert [".gitignore", "setup.py", "two.py"] == names(project)
    git(whole, "add", "--force", "vendor/two/two.py")
    assert [".gitignore", "setup.py", "two.py"] == names(project)


@pytest.mark.parametrize(
    ("name", "place"), [("GIT_DIR", ".git"), ("GIT_INDEX_FILE", ".git/index"), ("GIT_WORK_TREE", "")]
)
def test_variables_of_a_hook(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, place: str
) -> None:
    """The variables that git sets for its hooks lead to the hook's repository, not to the project's."""
    write(project, "local.py")
    git(project, "add", "--force", "local.py")
    before = names(project)
    write(project, "src/one/fast.so", "ELF")
    other = repository(tmp_path / "other")
    monkeypatch.setenv(name, str(other / place))
    assert before == names(project)


def _no_git(folder: Path) -> None:
    """Leave nothing on the path."""


def _broken_git(folder: Path) -> None:
    script = write(folder, "git", "#!/bin/sh\nexit 127\n")
    script.chmod(0o755)


@pytest.mark.parametrize("prepare", [_no_git, _broken_git], ids=["no git", "a broken git"])
def test_a_machine_without_git(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prepare: Callable[[Path], None]
) -> None:
    """Without git a clean checkout is the same project."""
    before = digest(project)
    (tmp_path / "bin").mkdir()
    prepare(tmp_path / "bin")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert before == digest(project)
    write(project, "src/one/fast.so", "ELF")
    assert before != digest(project)


def test_a_repository_of_somebody_else(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout that another user owns, as in a container, has the same files: git's refusal is not for this."""
    before = digest(project)
    write(project, "src/one/fast.so", "ELF")
    real = shutil.which("git")
    wrapper = write(tmp_path, "bin/git", f'#!/bin/sh\nGIT_TEST_ASSUME_DIFFERENT_OWNER=1 exec {real} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
    refused = subprocess.run(["git", "ls-files"], cwd=project, capture_output=True, text=True, check=False)
    assert "dubious ownership" in refused.stderr
    assert before == digest(project)


def test_no_program_of_the_project_is_run(project: Path, tmp_path: Path) -> None:
    """A monitor of files that the repository's configuration names is not started."""
    monitor = write(tmp_path, "monitor", f"#!/bin/sh\ntouch {tmp_path}/ran\nprintf '1\\0/\\0'\n")
    monitor.chmod(0o755)
    git(project, "config", "core.fsmonitor", str(monitor))
    git(project, "update-index", "--fsmonitor")
    git(project, "status")
    assert (tmp_path / "ran").exists()
    (tmp_path / "ran").unlink()
    names(project)
    assert not (tmp_path / "ran").exists()


def test_a_submodule(project: Path, tmp_path: Path) -> None:
    """The files of a submodule, and of one in it, are the project's, without what those ignore."""
    inner = repository(tmp_path / "inner", **{".gitignore": "*.o\n"})
    middle = repository(tmp_path / "middle")
    git(middle, "submodule", "--quiet", "add", str(inner), "inner")
    commit(middle)
    git(project, "submodule", "--quiet", "add", str(middle), "lib/middle")
    git(project, "submodule", "--quiet", "update", "--init", "--recursive")
    write(project, "lib/middle/inner/x.o")
    before = digest(project)
    assert "lib/middle/inner/src/one/__init__.py" in names(project)
    assert {"lib/middle/.git", "lib/middle/inner/x.o"}.isdisjoint(names(project))
    write(project, "lib/middle/inner/src/one/__init__.py", "x = 1\n")
    assert before != digest(project)


def test_a_submodule_that_is_not_there(project: Path, tmp_path: Path) -> None:
    """A submodule that was not fetched has no files; what stands there without its repository counts."""
    git(project, "submodule", "--quiet", "add", str(repository(tmp_path / "inner")), "inner")
    commit(project)
    git(tmp_path, "clone", "--quiet", "project", "clone")
    clone = tmp_path / "clone"
    assert [".gitignore", ".gitmodules", "native/fast_c", "pyproject.toml", "src/one/__init__.py"] == names(clone)
    write(clone, "inner/copied.py")
    assert "inner/copied.py" in names(clone)


def test_a_repository_within(project: Path) -> None:
    """A repository that the one around it does not know counts by its files, as a build finds them."""
    repository(project / "plugins/two", two__py="")
    write(project, "plugins/two/new.py")
    assert {"plugins/two/pyproject.toml", "plugins/two/two/py", "plugins/two/new.py"} <= set(names(project))
    assert not any(".git/" in name for name in names(project))


def test_a_repository_in_an_environment(project: Path) -> None:
    """One in an environment, where pip puts editable installs, is no part, nor is an environment that is one."""
    before = names(project)
    venv.create(project / "env", with_pip=False, symlinks=True)
    repository(project / "env/src/two")
    git(project / "env", "init", "--quiet")
    commit(project / "env")
    assert before == names(project)


PART = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=6).filter(
    lambda part: part not in {".", "..", "build"} and not part.lower().startswith((".git", "git~"))
)


@settings(deadline=None, max_examples=40)
@given(
    files=st.dictionaries(st.lists(PART, min_size=1, max_size=3).map("/".join), st.booleans(), max_size=8),
    tracked=st.booleans(),
)
def test_git_and_the_disk_agree(files: dict[str, bool], tracked: bool) -> None:
    """Whatever files are called, a project in which nothing is ignored has the same ones with and without git."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write(folder, "setup.py")
        for name, is_executable in files.items():
            try:
                write(folder, name).chmod(0o755 if is_executable else 0o644)
            except (FileExistsError, NotADirectoryError, IsADirectoryError):
                continue  # a directory has that name, or a file that of the directory
        plain, bare = names(folder), digest(folder)
        git(folder, "init", "--quiet")
        if tracked:
            git(folder, "add", "--all")
        assert (plain, bare) == (names(folder), digest(folder))
        assert "setup.py" in plain
