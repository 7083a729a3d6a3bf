"""Scripts of projects that are to be edited, and what belongs to these in an environment."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from terrastore.archive import projects, record

if TYPE_CHECKING:
    from pathlib import Path

BODY = b"import sys\nfrom web import main\nsys.exit(main())\n"


def behind_sh(command: str) -> bytes:
    return f"#!/bin/sh\n'''exec' {command} \"$0\" \"$@\"\n' '''\n".encode() + BODY


PLAIN = b"#!/srv/env/bin/python\n" + BODY
SPACED = b"#!/bin/sh\n'''exec' '/srv/my env/bin/python' \"$0\" \"$@\"\n' '''\n" + BODY


@pytest.mark.parametrize(
    ("expected", "content", "before", "after"),
    [
        (PLAIN, b"#!/srv/.stage/bin/python\n" + BODY, "/srv/.stage", "/srv/env"),
        (PLAIN, behind_sh("/srv/.stage/bin/python"), "/srv/.stage", "/srv/env"),
        (PLAIN, behind_sh('"/srv/my stage/bin/python"'), "/srv/my stage", "/srv/env"),
        (PLAIN, behind_sh("'/srv/my stage/bin/python'"), "/srv/my stage", "/srv/env"),
        (PLAIN, behind_sh("\"/srv/a\"b'c/bin/python\""), "/srv/a\"b'c", "/srv/env"),
        (SPACED, PLAIN, "/srv/env", "/srv/my env"),
        (PLAIN, SPACED, "/srv/my env", "/srv/env"),
        (PLAIN.replace(b"python", b"python -I"), b"#!/srv/a/bin/python -I\n" + BODY, "/srv/a", "/srv/env"),
        (PLAIN, PLAIN, "/srv/env", "/srv/env"),
        (b"#!/srv/env2/bin/python\n" + BODY, b"#!/srv/env2/bin/python\n" + BODY, "/srv/env", "/srv/new"),
        (behind_sh("/srv/env2/bin/python"), behind_sh("/srv/env2/bin/python"), "/srv/env", "/srv/new"),
        (b"#!/bin/sh\necho /srv/env\n", b"#!/bin/sh\necho /srv/env\n", "/srv/env", "/srv/new"),
        (b"\x7fELF", b"\x7fELF", "/srv/env", "/srv/new"),
    ],
    ids=[
        "plain", "a long stage", "quoted by pip", "quoted by uv", "quotes in quotes", "to a space", "and back",
        "arguments", "the same place", "what only begins alike", "such behind sh", "a script of sh", "a program",
    ],
)  # fmt: skip
def test_scripts(expected: bytes, content: bytes, before: str, after: str) -> None:
    """The first line is made anew for the target, whichever way an installer wrote it; others' scripts stay."""
    assert expected == projects.script_for(content, before, after)


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """Return an environment with a project to be edited, one of a repository, and one of an index."""
    root = tmp_path / "env"
    packages = root / "lib/python3.11/site-packages"
    (root / "bin").mkdir(parents=True)
    (root / ".terrastore").mkdir()
    for name, origin in {
        "web_shop": {"url": f"file://{tmp_path}/env%20web", "dir_info": {"editable": True}},
        "checkout": {"url": f"file://{root}/src/checkout", "dir_info": {"editable": True}},
        "copied": {"url": f"file://{tmp_path}/copied", "dir_info": {}},
        "malformed": {"url": 1},
        "of_index": None,
    }.items():
        info = packages / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        if origin is not None:
            (info / "direct_url.json").write_text(json.dumps(origin))
        script = f"#!{tmp_path}/old/bin/python\n".encode() + BODY
        (root / "bin" / name).write_bytes(script)
        (packages / f"{name}.pth").write_text(f"{tmp_path}/old-{name}\n")
        rows = [
            record.Row(f"../../../bin/{name}", record.digest_of(script), str(len(script))),
            record.Row(f"{name}.pth", record.digest_of((packages / f"{name}.pth").read_bytes()), "0"),
            record.Row("/etc/elsewhere", "", ""),
            record.Row("../../../../outside", "", ""),
            record.Row(f"{info.name}/RECORD", "", ""),
        ]
        (info / "RECORD").write_bytes(record.write(rows))
    return root


def test_which_are_there(environment: Path) -> None:
    """Those outside of the environment alone; what is of a repository is in it, and in its archive."""
    packages = "lib/python3.11/site-packages"
    (found,) = projects.projects(str(environment))
    assert projects.Project("web_shop", f"{environment} web", f"{packages}/web_shop-1.0.dist-info/RECORD") == found
    expected = ["bin/web_shop", f"{packages}/web_shop.pth", f"{packages}/web_shop-1.0.dist-info/RECORD"]
    assert expected == list(projects.files(str(environment), found))
    assert [] == list(projects.projects(str(environment / "bin")))


def test_move(environment: Path) -> None:
    """Its scripts lead to the new place and its RECORD says so; nothing else is touched, and again too."""
    packages, old = environment / "lib/python3.11/site-packages", f"{environment.parent}/old"
    before = {path: path.read_bytes() for path in environment.rglob("*") if path.is_file()}
    for _ in range(2):
        assert [] == projects.move(str(environment), old, "/srv/env")
    after = {path: path.read_bytes() for path in environment.rglob("*") if path.is_file()}
    listing = packages / "web_shop-1.0.dist-info/RECORD"
    assert {environment / "bin/web_shop", listing} == {path for path in after if after[path] != before[path]}
    assert PLAIN == after[environment / "bin/web_shop"]
    assert (
        record.Row("../../../bin/web_shop", record.digest_of(PLAIN), str(len(PLAIN))) == record.parse(after[listing])[0]
    )


def test_what_cannot_be_moved(environment: Path) -> None:
    """A script that no first line can start where it is to stand is named, and stays."""
    script = environment / "bin/web_shop"
    script.write_bytes(content := f"#!{environment.parent}/old/bin/perl\n".encode())
    assert ["bin/web_shop"] == projects.move(str(environment), f"{environment.parent}/old", "/srv/my env")
    assert content == script.read_bytes()
