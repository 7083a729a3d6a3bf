"""Where a distribution is from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from terrastore.archive.installed import commit, direct_url, head, reference
from terrastore.archive.layers import Distribution

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ONE, TWO = "1" * 40, "2" * 64


@pytest.mark.parametrize(
    ("expected", "files"),
    [
        (ONE, {"HEAD": f"{ONE}\n"}),
        (TWO, {"HEAD": f"{TWO}\n"}),
        (ONE, {"HEAD": "ref: refs/heads/main\n", "refs/heads/main": f"{ONE}\n"}),
        (ONE, {"HEAD": "ref: refs/heads/main\n", "packed-refs": f"# all\n{TWO} refs/heads/a\n{ONE} refs/heads/main\n"}),
        (ONE, {"HEAD": "ref: refs/heads/a.b\n", "packed-refs": f"{TWO} refs/heads/axb\n{ONE} refs/heads/a.b\n"}),
        (None, {"HEAD": "ref: refs/heads/main\n"}),
        (None, {"HEAD": "nonsense\n"}),
        (None, {}),
    ],
    ids=["detached", "of SHA-256", "branch", "packed branch", "name with a dot", "nothing yet", "broken", "none"],
)  # fmt: skip
def test_head(expected: str | None, files: Mapping[str, str], tmp_path: Path) -> None:
    """What git has checked out, read from its files."""
    for path, text in files.items():
        place = tmp_path / ".git" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    assert expected == head(str(tmp_path))


@pytest.mark.parametrize(
    ("expected", "origin"),
    [
        (ONE, {"url": "https://x.example", "vcs_info": {"commit_id": ONE}}),
        (ONE, {"url": "file://<checkout>", "dir_info": {"editable": True}}),
        (None, {"url": "file:///nowhere", "dir_info": {"editable": True}}),
        (None, {"url": "https://x.example/a.whl", "archive_info": {}}),
        (None, {"url": "https://x.example", "vcs_info": {"commit_id": 1}}),
        (None, {"url": 1}),
        (None, []),
        (None, None),
    ],
)
def test_commit(expected: str | None, origin: Any, tmp_path: Path) -> None:
    """As direct_url.json has it (PEP 610), or the checkout of what is to be edited."""
    (tmp_path / "an öther/.git").mkdir(parents=True)
    (tmp_path / "an öther/.git/HEAD").write_text(ONE)
    (tmp_path / "x-1.dist-info").mkdir()
    if origin is not None:
        text = json.dumps(origin).replace("<checkout>", str(tmp_path / "an%20%C3%B6ther"))
        (tmp_path / "x-1.dist-info/direct_url.json").write_text(text)
    distribution = Distribution(info="x-1.dist-info", name="x", version="1", rows=())
    assert expected == commit(direct_url(str(tmp_path), distribution))


@pytest.mark.parametrize(
    ("expected", "origin"),
    [
        ("https://x.example/a-1.whl", {"url": "https://user:pw@x.example/a-1.whl", "archive_info": {}}),
        ("https://x.example/a.zip?token=****", {"url": "https://x.example/a.zip?token=abc", "archive_info": {}}),
        ("https://x.example/a.zip#subdirectory=b", {"url": "https://x.example/a.zip", "subdirectory": "b"}),
        (
            f"git+https://x.example/a@{ONE}",
            {"url": "https://x.example/a", "vcs_info": {"vcs": "git", "commit_id": ONE}},
        ),
        (
            f"git+ssh://git@x.example/a@{ONE}#subdirectory=b/c",
            {"url": "ssh://git@x.example/a", "vcs_info": {"vcs": "git", "commit_id": ONE}, "subdirectory": "b/c"},
        ),
        (
            f"git+ssh://x.example/a@{ONE}",
            {"url": "ssh://somebody@x.example/a", "vcs_info": {"vcs": "git", "commit_id": ONE}},
        ),
        (None, {"url": "https://x.example/a", "vcs_info": {"vcs": "git"}}),
        (None, {"url": "https://x.example/a", "vcs_info": 1}),
        (None, {"url": "file:///home/somebody/a-1.whl", "archive_info": {}}),
        (None, {"url": "file:///home/somebody/a", "dir_info": {"editable": True}}),
        (None, None),
    ],
)
def test_reference(expected: str | None, origin: Any) -> None:
    """What stands behind the @ of a requirement, without a login, and nothing of the builder's disk."""
    assert expected == reference(origin)
