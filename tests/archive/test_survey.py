"""What is found in a built environment, and what is taken out of it first."""

from pathlib import Path

from terrastore.archive.staging import StagingPrefix
from terrastore.archive.survey import drop_stray_bytecode, survey
from terrastore.report import Phase

PREFIX = StagingPrefix.under("/srv/builds", "0f" * 16)


def found(tree: Path) -> set[str]:
    return set(survey(str(tree), PREFIX, Phase("scan", total=None, unit="files")).members)


def test_stray_bytecode_leaves_nothing(tmp_path: Path) -> None:
    """Bytecode that nobody lists goes, with a folder that is then empty and would be a member; the rest stays."""
    for name in ("a/__pycache__/x.cpython-311.pyc", "b/__pycache__/y.cpython-311.pyc", "a/x.py", "b/y.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    drop_stray_bytecode(str(tmp_path), frozenset({"b/__pycache__/y.cpython-311.pyc"}))
    assert {"a/x.py", "b/y.py", "b/__pycache__/y.cpython-311.pyc"} == found(tmp_path)


def test_leftovers_and_the_interpreter_are_no_members(tmp_path: Path) -> None:
    """What is made anew on every machine, and what installers leave lying about, is passed over."""
    for name in ("pyvenv.cfg", ".lock", ".terrastore/state.json", "bin/python", "bin/python3.11", "bin/tool", "empty"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir() if name == "empty" else path.touch()
    (tmp_path / "bin/__pycache__").mkdir()
    assert {"bin/tool", "empty"} == found(tmp_path)
