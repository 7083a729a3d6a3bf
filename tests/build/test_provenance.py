"""What a package says of where it came from holds no secret, and its RECORD stays true."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from terrastore.archive import record
from terrastore.build.provenance import redact_checkouts, redact_direct_urls, unpinned
from terrastore.redaction import without_secrets

if TYPE_CHECKING:
    from pathlib import Path

URL = "https://user:secret@a.example/one.whl?token=secret&x=1"


def test_secrets_are_taken_out(tmp_path: Path) -> None:
    """A URL loses user, password and token; what has no secret is not touched."""
    packages = tmp_path / "lib/python3.11/site-packages"
    for name, url in (("one", URL), ("two", "https://a.example/two.whl")):
        info = packages / f"{name}-1.dist-info"
        info.mkdir(parents=True)
        (info / "direct_url.json").write_text(f'{{"url": "{url}"}}')
        (info / "RECORD").write_text(f"{info.name}/direct_url.json,sha256=x,1\n{info.name}/RECORD,,\n")
    redact_direct_urls(str(tmp_path), without_secrets)
    one, two = packages / "one-1.dist-info", packages / "two-1.dist-info"
    text = (one / "direct_url.json").read_text()
    assert '{"url": "https://a.example/one.whl?token=****&x=1"}' == text
    expected = record.Row("one-1.dist-info/direct_url.json", record.digest_of(text.encode()), str(len(text)))
    assert expected == record.parse((one / "RECORD").read_bytes())[0]
    assert "two-1.dist-info/direct_url.json,sha256=x,1\ntwo-1.dist-info/RECORD,,\n" == (two / "RECORD").read_text()


@pytest.mark.parametrize(
    "path", [".git/config", ".git/modules/below/config", ".git/FETCH_HEAD", ".hg/hgrc", ".bzr/branch/branch.conf"]
)
def test_checkouts_keep_no_secret(path: str, tmp_path: Path) -> None:
    """Of editable installs; what is no URL is as it was, in whatever encoding."""
    place = tmp_path / "src/one" / path
    place.parent.mkdir(parents=True)
    place.write_bytes(f"name = \xff\n\turl = {URL}\n".encode("latin-1"))
    redact_checkouts(str(tmp_path), without_secrets)
    assert b"name = \xff\n\turl = https://a.example/one.whl?token=****&x=1\n" == place.read_bytes()


def test_what_nothing_pins(tmp_path: Path) -> None:
    """What an index or a branch had, but not what a requirement pins, what has a content, or what was there before."""
    one, two = "1" * 40, "2" * 40
    origins = {
        "index": None,
        "pinned": None,
        "branch": {"url": "https://x.example/a", "vcs_info": {"requested_revision": "main", "commit_id": one}},
        "default": {"url": "https://x.example/b", "vcs_info": {"commit_id": one}},
        "commit": {"url": "https://x.example/c", "vcs_info": {"requested_revision": two, "commit_id": two}},
        "archive": {"url": "https://x.example/d.whl", "archive_info": {}},
        "folder": {"url": "file:///srv/d", "dir_info": {}},
        "seed": None,
    }
    packages = tmp_path / "lib/python3.11/site-packages"
    for name, origin in origins.items():
        info = packages / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "RECORD").write_text("")
        if origin is not None:
            (info / "direct_url.json").write_text(json.dumps(origin))
    skeleton = {"lib/python3.11/site-packages/seed-1.0.dist-info"}
    assert ["branch", "default", "index"] == list(unpinned(str(tmp_path), {"pinned"}, skeleton))
