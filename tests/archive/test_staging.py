"""What was built under a staging prefix shows the placeholder in its stead, and what cannot be mapped is named."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from terrastore.archive.relocate import KINDS
from terrastore.archive.staging import StagingPrefix, canonicalise, classify

# FORMAT.md section 7 writes these out.
NAME = "terrastore-staging-00000000000000000000000000000000"
PLACEHOLDER = f"/___________________________________________/{NAME}"
TOKEN = "0123456789abcdef" * 2


@pytest.mark.parametrize("size", range(2, 45))
def test_a_staging_prefix_has_96_bytes(size: int) -> None:
    """Whatever the root's length, the prefix is as long as the placeholder and shows its token."""
    root = "/r" * (size // 2) + "x" * (size % 2)
    prefix = StagingPrefix.under(root, TOKEN)
    assert len(prefix.path.encode()) == 96
    assert prefix.path.startswith(f"{root}/terrastore-staging-{TOKEN}")
    assert prefix.root == root
    assert re.fullmatch(r"[A-Za-z0-9/._-]+", prefix.path)


ROOTS = {
    "too long": "/" + "r" * 44,
    "empty": "",
    "the file system's own": "/",
    "relative": "tmp",
    "trailing slash": "/tmp/",
    "two slashes": "//tmp",
    "empty component": "/var//tmp",
    "space": "/my tmp",
    "quote": "/it's",
    "tilde": "/~",
    "plus": "/a+b",
    "newline": "/tmp\n",
    "non-ASCII": "/größe",
}


@pytest.mark.parametrize("root", ROOTS.values(), ids=ROOTS.keys())
def test_a_root_that_some_syntax_would_escape_is_refused(root: str) -> None:
    """Only plain absolute directories of at most 44 bytes hold a staging prefix."""
    with pytest.raises(ValueError, match="cannot hold a staging prefix"):
        StagingPrefix.under(root, TOKEN)


ROOT = "/var/tmp/terrastore-0"
OWN = StagingPrefix.under(ROOT, TOKEN)
EARLIER = StagingPrefix.under(ROOT, "f" * 32)
SPELLED = {
    "whole": (f"x={OWN.path}/bin", f"x={PLACEHOLDER}/bin", 1),
    "at both ends": (f"{OWN.path}:{OWN.path}", f"{PLACEHOLDER}:{PLACEHOLDER}", 2),
    "name alone": (f"({Path(OWN.path).name}) $", f"({NAME}) $", 1),
    "both": (f"{OWN.path}\n{Path(OWN.path).name}", f"{PLACEHOLDER}\n{NAME}", 2),
    "another build": (f"'{EARLIER.path}/x'", f"'{PLACEHOLDER}/x'", 1),
    "another build's name": (f"({Path(EARLIER.path).name})", f"({NAME})", 1),
    "in a URL": (f"file://{OWN.path}/src", f"file://{PLACEHOLDER}/src", 1),
    "the root alone": (f"{ROOT}/x {ROOT}", f"{ROOT}/x {ROOT}", 0),
    "nothing": ("terrastore staging", "terrastore staging", 0),
}


@pytest.mark.parametrize(("data", "expected", "hits"), SPELLED.values(), ids=SPELLED.keys())
def test_every_spelling_becomes_the_placeholder(data: str, expected: str, hits: int) -> None:
    """The whole prefix and its name alone are replaced, of this build and of others under the same root."""
    result = canonicalise(data.encode(), OWN)
    assert (expected, hits, ()) == (result.data.decode(), result.hits, result.strangers)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=30), min_size=1, max_size=5), st.sampled_from([OWN, EARLIER]))
def test_bytes_around_the_prefix_stay(pieces: list[bytes], prefix: StagingPrefix) -> None:
    """Nothing but the prefix changes, in text or binary data, and the whole keeps its length."""
    assume(not any(b"terrastore-staging-" in piece for piece in pieces))
    data = prefix.path.encode().join(pieces)
    result = canonicalise(data, OWN)
    assert (PLACEHOLDER.encode().join(pieces), len(pieces) - 1) == (result.data, result.hits)
    assert len(result.data) == len(data)


@pytest.mark.parametrize(
    "root",
    [
        pytest.param("/var/tmp/terrastore-1", id="of the same length"),
        pytest.param("/tmp/terrastore-0", id="shorter"),
        pytest.param("/tmp", id="much shorter"),
        pytest.param("/home/somebody/.cache/terrastore/build", id="longer"),
        pytest.param("/mnt" + ROOT, id="ending like ours"),
    ],
)
def test_a_prefix_of_another_root_is_reported_and_left(root: str) -> None:
    """Nobody knows what stood under another root, so its path stays as it is and is named."""
    other = StagingPrefix.under(root, TOKEN)
    data = f"x={other.path}/lib y={OWN.path}/lib".encode()
    result = canonicalise(data, OWN)
    assert (data.replace(OWN.path.encode(), PLACEHOLDER.encode()), 1) == (result.data, result.hits)
    assert result.strangers == (f"{other.path}/lib",)


ESCAPED = {
    "percent-encoded": "file:%2F%2F" + OWN.path.replace("/", "%2F"),
    "percent-encoded, small": OWN.path.replace("/", "%2f"),
    "JSON with slashes escaped": OWN.path.replace("/", r"\/"),
    "JSON with code points": OWN.path.replace("/", r"\u002f"),
    "Python with code points": OWN.path.replace("/", r"\x2f"),
}


@pytest.mark.parametrize("text", ESCAPED.values(), ids=ESCAPED.keys())
def test_a_prefix_whose_slashes_are_escaped_is_reported(text: str) -> None:
    """Nothing writes a path in this way as a rule; it is not taken for a name alone, and not overlooked."""
    result = canonicalise(f"x={text}/lib".encode(), OWN)
    assert (f"x={text}/lib", 0, 1) == (result.data.decode(), result.hits, len(result.strangers))


def test_a_work_directory_is_a_stranger() -> None:
    """What a package notes of the directory it was compiled in is found by its marker."""
    result = canonicalise(f"CC='gcc -I {ROOT}/terrastore-staging-work-0123456789abcdef/include'".encode(), OWN)
    assert result.hits == 0
    assert result.strangers == (f"{ROOT}/terrastore-staging-work-0123456789abcdef/include",)


def test_a_long_line_is_searched_once() -> None:
    """A file with a hundred kilobytes of hexadecimal digits takes no longer than others of its size."""
    data = f"{OWN.path}\n{'0123456789abcdef' * 6250}".encode()
    start = time.process_time()
    assert canonicalise(data, OWN).hits == 1
    assert time.process_time() - start < 0.5


def canonical(text: str) -> bytes:
    """Return a file's canonical form; ``<prefix>`` stands for the placeholder."""
    return text.replace("<prefix>", PLACEHOLDER).encode()


PYTHON_SH = "#!/bin/sh\n'''exec' \"<prefix>/bin/python\" \"$0\" \"$@\"\n' '''\n"
CLASSES = {
    "script": ("bin/tool", "#!<prefix>/bin/python\nimport x\n", "script"),
    "script with a suffix": ("bin/rst2html.py", "#!<prefix>/bin/python3.11\n", "script"),
    "script with arguments": ("bin/tool", "#!<prefix>/bin/python -sE\n", "script"),
    "script of Windows lines": ("bin/tool", "#!<prefix>/bin/python\r\n", "script"),
    "script of another interpreter": ("bin/tool", "#!<prefix>/bin/node\n", "script"),
    "script, as pip writes it for long paths": ("bin/tool", PYTHON_SH, "script"),
    "script, as virtualenv and uv do": (
        "bin/tool",
        PYTHON_SH.replace('"<', "'<").replace('python"', "python'"),
        "script",
    ),
    "script, as old distlib did": ("bin/tool", PYTHON_SH.replace('"<', "<").replace('python"', "python"), "script"),
    "activate": ("bin/activate", "VIRTUAL_ENV=<prefix>\n", "sh"),
    "activate.fish": ("bin/activate.fish", "set -gx VIRTUAL_ENV <prefix>\n", "fish"),
    "activate.csh": ("bin/activate.csh", "setenv VIRTUAL_ENV <prefix>\n", "csh"),
    "activate.nu": ("bin/activate.nu", "let virtual_env = r#'<prefix>'#\n", "nu"),
    "activate.ps1": ("bin/activate.ps1", "$x = '<prefix>'\n", "powershell"),
    "activate.xsh": ("bin/activate.xsh", "x = '<prefix>'\n", "xonsh"),
    "shell library": ("share/x.bash", "X=<prefix>\n", "sh"),
    "shell script": ("bin/shim", "#!/bin/sh\nexec <prefix>/bin/node\n", "sh"),
    "shell script through env": ("bin/shim", "#!/usr/bin/env bash\nexec <prefix>/bin/node\n", "sh"),
    "script of another shell": ("bin/shim", "#!/bin/tcsh\nset x = <prefix>\n", "csh"),
    "script of fish": ("bin/shim", "#!/usr/bin/env fish\nset x <prefix>\n", "fish"),
    "script of xonsh": ("bin/shim", "#!/usr/bin/env xonsh\nx = '<prefix>'\n", "xonsh"),
    "script of another Python": ("bin/tool", "#!/usr/bin/env python3.11\nx = '<prefix>'\n", "python"),
    "script with an option": ("bin/tool", "#!/bin/bash -e\nx=<prefix>\n", "sh"),
    "script of another language": ("bin/tool", "#!/usr/bin/perl\n$x = '<prefix>';\n", "text"),
    "script for cmd.exe": ("bin/activate.bat", '@set "VIRTUAL_ENV=<prefix>"\r\n', "batch"),
    "script of a fisherman": ("bin/shim", "#!/opt/fisher/run\n<prefix>\n", "text"),
    "module": ("lib/python3.11/site-packages/__editable___x_finder.py", "M = {'x': '<prefix>/src'}\n", "python"),
    "direct_url.json": ("lib/x.dist-info/direct_url.json", '{"url": "file://<prefix>/x"}', "url"),
    "kernel.json": ("share/jupyter/kernels/python3/kernel.json", '{"argv": ["<prefix>/bin/python"]}', "json"),
    "notebook": ("share/x.ipynb", '{"cells": ["<prefix>"]}', "json"),
    "path file": ("lib/python3.11/site-packages/x.pth", "<prefix>/src\n", "path"),
    "egg-link": ("lib/python3.11/site-packages/x.egg-link", "<prefix>/src\n.", "path"),
    "pkg-config": ("lib/pkgconfig/x.pc", "prefix=<prefix>\n", "text"),
    "no suffix": ("etc/config", "root <prefix>\n", "text"),
    "a folder with a suffix": ("etc/conf.json/config", "root <prefix>\n", "text"),
}


@pytest.mark.parametrize(("path", "text", "kind"), CLASSES.values(), ids=CLASSES.keys())
def test_the_kind_is_the_syntax(path: str, text: str, kind: str) -> None:
    """First line, name and suffix tell how a path must be quoted, in a way that every reader knows."""
    assert kind == classify(path, canonical(text))
    assert kind in KINDS


@pytest.mark.parametrize("path", ["etc/json", "share/completions/fish", "lib/python3.11/site-packages/x/py"])
def test_a_name_without_a_dot_has_no_suffix(path: str) -> None:
    """A file that is called like a language is not written in it for that."""
    assert classify(path, canonical("root <prefix>\n")) == "text"
