"""What installers keep has no logins in it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from terrastore.archive.credentials import OF_THE_BUILD
from terrastore.build.caches import kept_clean
from terrastore.build.pip import Pip
from terrastore.build.uv import Uv
from terrastore.errors import BuildError
from terrastore.redaction import Redactor

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = "Zq7Wm2Lx9Rt4Kp8V"
HEADER = b"\xadAuthorization\xd9*Basic bWU6c2VjcmV0"


def write(root: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def left(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_pip(tmp_path: Path) -> None:
    """Notes of answers that vary by the login go; of a wheel that was built the origin is told without it."""
    clean = {
        "http-v2/a/b/c/clean": b"\xa4vary\x80",
        "http-v2/a/b/c/noted.body": b"Basic instructions",
        "wheels/a/x-1-py3-none-any.whl": b"Basic instructions",
        "wheels/b/origin.json": b'{"url": "https://a.example/x"}',
    }
    write(tmp_path, {"http-v2/a/b/c/noted": HEADER, **clean})
    write(tmp_path, {"wheels/a/origin.json": f'{{"url": "https://u:p@a.example/{TOKEN}/x"}}'.encode()})
    with kept_clean(tmp_path, Pip.notes, Redactor([TOKEN])):
        write(tmp_path, {"http-v2/d/during": HEADER})
    assert clean | {"wheels/a/origin.json": b'{"url": "https://a.example/****/x"}'} == left(tmp_path)


def test_uv(tmp_path: Path) -> None:
    """Notes go that hold a header or a secret; what was unpacked is left alone."""
    clean = {
        "simple-v28/index/x/one.rkyv": b"one-1.0",
        "archive-v0/x/one.py": HEADER,
        "archive-v0/x/one.http": HEADER,
        "sdists-v11/x/src/one.http.py": HEADER,
    }
    noted = {
        "simple-v28/index/x/two.rkyv": HEADER,
        "wheels-v8/x/two.http": b"\xd9Bearer abc.def",
        "git-v0/db/x/FETCH_HEAD": TOKEN.encode(),
    }
    write(tmp_path, clean | noted)
    with kept_clean(tmp_path, Uv.notes, Redactor([TOKEN])):
        pass
    assert clean == left(tmp_path)


def fail(cache: Path, reason: str) -> None:
    with kept_clean(cache, Pip.notes, Redactor()):
        write(cache, {"wheels/new.whl": b"new"})
        raise BuildError(f"x.py: {reason}")


@pytest.mark.parametrize("reason", ["it failed", OF_THE_BUILD])
def test_what_holds_a_secret_is_not_kept(reason: str, tmp_path: Path) -> None:
    """When it is found in what was built, pip's new wheels go and uv's whole cache; after another failure nothing."""
    pip, uv = tmp_path / "pip", tmp_path / "uv"
    write(pip, {"wheels/old.whl": b"old", "wheels/new.whl": b"new"})
    os.utime(pip / "wheels/old.whl", (0, 0))
    write(uv, {"archive-v0/x/one.py": b""})
    for cache in (pip, uv):
        with pytest.raises(BuildError):
            fail(cache, reason)
    if reason == OF_THE_BUILD:
        assert {"pip/wheels/old.whl": b"old"} == left(tmp_path)
    else:
        assert {"pip/wheels/old.whl", "pip/wheels/new.whl", "uv/wheels/new.whl", "uv/archive-v0/x/one.py"} == {
            *left(tmp_path)
        }
