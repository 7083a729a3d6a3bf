"""Every path of an environment follows it, judged by the programs that read the files wherever they are here."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest

from terrastore.archive.relocate import KINDS, NotRelocatableError, check_prefix, needs_quoting, rewrite
from terrastore.archive.staging import StagingPrefix, canonicalise, classify

if TYPE_CHECKING:
    from collections.abc import Iterator

# FORMAT.md section 7 writes these out.
NAME = "terrastore-staging-00000000000000000000000000000000"
PLACEHOLDER = f"/___________________________________________/{NAME}"
TOKEN = "0123456789abcdef" * 2

TARGETS = {
    "plain": "/srv/app/env",
    "every plain character": "/srv/aZ09_@+=,.-/env",
    "space": "/srv/my app/my env",
    "single quote": "/srv/o'brien's/it's",
    "two single quotes": "/srv/''/''",
    "double quote": '/srv/6" disk/an "env"',
    "dollar": "/srv/$HOME/${x}$(id)$",
    "backquote": "/srv/`id`/`",
    "semicolon": "/srv/a;b&c|d/;",
    "percent": "/srv/100%s%20/%d",
    "exclamation": "/srv/wow!/!! !$ !x",
    "brackets": "/srv/(a)[b]{c}<d>/*?",
    "hash and tilde": "/srv/#1'#/~root",
    "non-ASCII": "/srv/größe/環境 ñ",
    "300 characters": "/srv/" + "/".join(["0123456789" * 7] * 4) + "/env" * 3,
    "everything": "/srv/a b'c\"d$e;f%g!h`i(j)[k]{l}<m>*n?o~p#q^r&s|t/é 'x\" $y!",
}
SHORT_PLAIN = {"plain", "every plain character"}


def canonical(text: str) -> bytes:
    """Return a file's canonical form; ``<prefix>`` and ``<name>`` stand for the spellings of the placeholder."""
    return text.replace("<prefix>", PLACEHOLDER).replace("<name>", NAME).encode()


def meant(text: str, target: str) -> str:
    """Return what ``text`` says to whoever reads it in an environment at ``target``."""
    return text.replace("<prefix>", target).replace("<name>", target.rpartition("/")[2])


targets = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())

SAMPLES = {
    "csh": "setenv VIRTUAL_ENV <prefix>\nset p = '<name>'\nset q = \"<prefix>/bin\"\n",
    "fish": "set -gx VIRTUAL_ENV <prefix>\nset p '<name>'\nset q \"<prefix>/bin\"\n",
    "json": '{"argv": ["<prefix>/bin/python"], "<prefix>": "<name>"}',
    "nu": "let virtual_env = r#'<prefix>'#\nlet prompt = r##'<name>'##\n",
    "powershell": "$x = '<prefix>'\n$y = '<name>'\n",
    "python": "X = '<prefix>'\nY = \"<prefix>/lib\"\nZ = '''<name>'''\n",
    "script": "#!<prefix>/bin/python -s\nX = '<prefix>/share'\nY = \"<name>\"\n",
    "sh": "VIRTUAL_ENV=<prefix>\nX='<prefix>/bin'\nY=\"<name>\"\n",
    "text": "<prefix>/src\n<name>\n",
    "url": '{"dir_info": {}, "url": "file://<prefix>/src"}',
}
kinds = pytest.mark.parametrize("kind", SAMPLES)


def test_every_kind_has_a_sample() -> None:
    """A new kind must be given one; RECORDs hold no path, and compiled files are filled in place."""
    assert KINDS - {"record", "binary"} == SAMPLES.keys()


def test_an_unknown_kind_is_an_error() -> None:
    """What a later version writes is not guessed at."""
    with pytest.raises(KeyError):
        rewrite("cobol", canonical("<prefix>"), "/srv/env")


@kinds
@pytest.mark.parametrize("target", [TARGETS[name] for name in sorted(SHORT_PLAIN)], ids=sorted(SHORT_PLAIN))
def test_plain_targets_are_written_plainly_in_every_kind(kind: str, target: str) -> None:
    """A reader that serves such targets only needs no syntax at all."""
    assert meant(SAMPLES[kind], target) == rewrite(kind, canonical(SAMPLES[kind]), target).decode()


@kinds
def test_relocating_for_a_staging_prefix_and_back_is_nothing(kind: str) -> None:
    """The canonical form of a file that was relocated is the canonical form it was made from."""
    start = canonical(SAMPLES[kind])
    prefix = StagingPrefix.under("/var/tmp/terrastore-0", TOKEN)
    assert start == canonicalise(rewrite(kind, start, prefix.path), prefix).data


@kinds
@targets
def test_a_second_relocation_equals_the_only_one(kind: str, target: str) -> None:
    """Both start from the same bytes, so nothing of the place in between remains."""
    start = canonical(SAMPLES[kind])
    alone = rewrite(kind, canonical(SAMPLES[kind]), target)
    for before in ('/srv/my app\'s "env"/$x', f"{target}2", target):
        rewrite(kind, start, before)
        assert alone == rewrite(kind, start, target)


def test_a_target_that_begins_like_another_path_leaves_it_alone() -> None:
    """/srv/env2 beside /srv/env is somebody else's, whichever of them the environment moves to."""
    start = canonical("PATH=<prefix>/bin:/srv/env2/bin:/srv/env/bin\n")
    assert rewrite("sh", start, "/srv/env") == b"PATH=/srv/env/bin:/srv/env2/bin:/srv/env/bin\n"
    assert rewrite("sh", start, "/srv/env2") == b"PATH=/srv/env2/bin:/srv/env2/bin:/srv/env/bin\n"


@kinds
def test_a_target_that_holds_the_placeholder_is_replaced_once(kind: str) -> None:
    """What is put in is not searched again."""
    target = f"/srv{PLACEHOLDER}/{NAME}/env"
    result = rewrite(kind, canonical(SAMPLES[kind]), target).decode()
    assert SAMPLES[kind].count("<prefix>") == result.count(target)


@targets
def test_text_takes_any_target(target: str) -> None:
    """Path files and others without quotes hold the path as it is."""
    text = "<prefix>/src\n# <name>\n"
    assert meant(text, target) == rewrite("text", canonical(text), target).decode()


@targets
def test_json_says_the_target(target: str) -> None:
    """json.loads finds the target in keys and values, and nothing else changed."""
    text = '{"argv": ["<prefix>/bin/python", "-m"], "<prefix>": {"<name>": null}, "\\u00e9\\"": "\\\\"}'
    name = target.rpartition("/")[2]
    expected = {"argv": [f"{target}/bin/python", "-m"], target: {name: None}, 'é"': "\\"}
    assert expected == json.loads(rewrite("json", canonical(text), target))


@targets
def test_a_url_leads_to_the_target(target: str) -> None:
    """Urllib finds the target as the path of a file URL that has nothing else, but what it had before."""
    text = '{"dir_info": {"editable": true}, "url": "file://<prefix>/src/x#subdirectory=y"}'
    url = urlsplit(json.loads(rewrite("url", canonical(text), target))["url"])
    assert (url.scheme, url.netloc, url.query, url.fragment) == ("file", "", "", "subdirectory=y")
    assert url2pathname(url.path) == f"{target}/src/x"
    assert url.path.isascii()


LITERALS = {
    "single": ("'<prefix>/x'", "<prefix>/x"),
    "double": ('"<prefix>/x"', "<prefix>/x"),
    "three single": ("""'''<prefix>'''""", "<prefix>"),
    "three double": ('"""<prefix>"""', "<prefix>"),
    "name alone": ("'(<name>) '", "(<name>) "),
    "between escapes": (r"""'\'<prefix>\\<name>\''""", r"'<prefix>\<name>'"),
    "two in a row": ("'<prefix>' \"/<name>\"", "<prefix>/<name>"),
    "raw": ("r'<prefix>/x'", "<prefix>/x"),
    "raw, double": ('r"<prefix>/x"', "<prefix>/x"),
}


@targets
@pytest.mark.parametrize(("literal", "value"), LITERALS.values(), ids=LITERALS.keys())
def test_python_literals_say_the_target(literal: str, value: str, target: str) -> None:
    """Whatever the quotes, Python finds the target where it found the placeholder; raw strings may be refused."""
    try:
        result = rewrite("python", canonical(literal), target).decode()
    except NotRelocatableError:
        assert literal.startswith("r")
        assert re.search("['\"]", target)
    else:
        assert meant(value, target) == ast.literal_eval(result)


@targets
def test_an_editable_finder_maps_to_the_target(target: str) -> None:
    """The dictionary that setuptools writes has the target in each of its values."""
    text = "{'pkg': '<prefix>/src/pkg', 'other': (\"<prefix>/src\", None), 'name': ['<name>']}"
    expected = {"pkg": f"{target}/src/pkg", "other": (f"{target}/src", None), "name": [target.rpartition("/")[2]]}
    assert expected == ast.literal_eval(rewrite("python", canonical(text), target).decode())


SH_CASES = {
    "bare": ("x=<prefix>/bin", "<prefix>/bin"),
    "bare, among others": ("x=/a:<prefix>/bin:$empty:<prefix>", "/a:<prefix>/bin::<prefix>"),
    "single": ("x='<prefix>/bin'", "<prefix>/bin"),
    "double": ('x="<prefix>/bin:$empty"', "<prefix>/bin:"),
    "pieces": ("x='a'<prefix>\"b\"'<prefix>'\"<prefix>\"", "a<prefix>b<prefix><prefix>"),
    "name alone": ("x=<name>", "<name>"),
    "name alone, as a prompt": ('x="(<name>) $empty"', "(<name>) "),
    "after an escaped double quote": ('x="\\"<prefix>\\""', '"<prefix>"'),
    "after an escaped single quote": ("x=it\\'s:<prefix>", "it's:<prefix>"),
    "after a single quote within double ones": ('x="it\'s <prefix>"', "it's <prefix>"),
    "after a double quote within single ones": ("x='\"<prefix>'", '"<prefix>'),
    "after a backslash at the end of single ones": ("x='a\\'<prefix>", "a\\<prefix>"),
    "as a default": ("x=${empty:-<prefix>}", "<prefix>"),
    "as an argument": ('x=$(basename <prefix> && echo "<prefix>")', "<name>\n<prefix>"),
    "in a condition": ("[ ! -d <prefix> ] && x=<prefix>", "<prefix>"),
    "after a comment with an apostrophe": ("# don't\nx=<prefix>", "<prefix>"),
    "on a line of its own": ("x='a'\nx=\"$x\"\\\n<prefix>", "a<prefix>"),
    "in single quotes of a command in double ones": ("x=\"$(echo '<prefix>')\"", "<prefix>"),
    "in double quotes of a command in double ones": ('x="$(cd / && echo "<prefix>")"', "<prefix>"),
}


def said_by(command: list[str], script: bytes, folder: Path) -> list[str]:
    """Return the texts that a shell's script writes, each with a unit separator behind it."""
    path = folder / "script"
    path.write_bytes(script)
    done = subprocess.run([*command, str(path)], capture_output=True, check=True, timeout=30)
    assert done.stderr == b""
    return done.stdout.decode().split("\x1f")[:-1]


@targets
@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_sh_reads_the_target(shell: str, target: str, tmp_path: Path) -> None:
    """In whatever quotes it stands, the shell expands the word to the target, and to nothing else."""
    if not shutil.which(shell):
        pytest.skip(f"there is no {shell} here")
    script = "".join(f"empty=\n{code}\nprintf '%s\\037' \"$x\"\n" for code, _ in SH_CASES.values())
    said = said_by([shell], rewrite("sh", canonical(script), target), tmp_path)
    assert {case: meant(value, target) for case, (_, value) in SH_CASES.items()} == dict(
        zip(SH_CASES, said, strict=True)
    )


@pytest.mark.parametrize(
    "code",
    [
        "x='a\n<prefix>'",
        'x="a\n<prefix>"',
        "cat <<EOF\nyou don't\nEOF\nexec <prefix>/bin/x\n",
        'x="`echo <prefix>`"',
        'x="${e:-<prefix>}"',
    ],
    ids=["second line of single quotes", "second line of double quotes", "after a here-document", "command", "default"],
)
def test_quotes_that_are_not_certain_are_refused(code: str) -> None:
    """Where it is not certain which quote is open a target that needs one is refused, and a plain one is put in."""
    with pytest.raises(NotRelocatableError):
        rewrite("sh", canonical(code), "/srv/my env")
    assert code.replace("<prefix>", "/srv/env").encode() == rewrite("sh", canonical(code), "/srv/env")


FISH_CASES = {
    "bare": ("set x <prefix>/bin", "<prefix>/bin"),
    "single": ("set x '<prefix>/bin'", "<prefix>/bin"),
    "double": ('set x "<prefix>/bin:$empty"', "<prefix>/bin:"),
    "pieces": ("set x 'a'<prefix>\"b\"'<prefix>'\"<prefix>\"", "a<prefix>b<prefix><prefix>"),
    "name alone": ("set x '('<name>') '", "(<name>) "),
    "after an escaped double quote": ('set x "\\"<prefix>\\""', '"<prefix>"'),
    "after an escaped single quote": ("set x it\\'s:<prefix>", "it's:<prefix>"),
    "after an escaped single quote within single ones": ("set x 'it\\'s <prefix>'", "it's <prefix>"),
    "after a single quote within double ones": ('set x "it\'s <prefix>"', "it's <prefix>"),
    "after a comment with an apostrophe": ("# don't\nset x <prefix>", "<prefix>"),
}


@targets
def test_fish_reads_the_target(target: str, tmp_path: Path) -> None:
    """In whatever quotes it stands, fish expands the word to the target."""
    if not shutil.which("fish"):
        pytest.skip("there is no fish here")
    script = "".join(f"{code}\nprintf '%s\\037' $x\n" for code, _ in FISH_CASES.values())
    said = said_by(["fish", "--no-config"], rewrite("fish", canonical(script), target), tmp_path)
    assert {case: meant(value, target) for case, (_, value) in FISH_CASES.items()} == dict(
        zip(FISH_CASES, said, strict=True)
    )


CSH_CASES = {
    "bare": ("set x = <prefix>/bin", "<prefix>/bin"),
    "single": ("set x = '<prefix>/bin'", "<prefix>/bin"),
    "double": ('set x = "<prefix>/bin:$empty"', "<prefix>/bin:"),
    "pieces": ("set x = 'a'<prefix>\"b\"'<prefix>'\"<prefix>\"", "a<prefix>b<prefix><prefix>"),
    "name alone": ("set x = '('<name>') '", "(<name>) "),
    "after an escaped single quote": ("set x = it\\'s:<prefix>", "it's:<prefix>"),
    "after a single quote within double ones": ('set x = "it\'s <prefix>"', "it's <prefix>"),
    "after a comment with an apostrophe": ("# don't\nset x = <prefix>", "<prefix>"),
    "in the environment": ("setenv X <prefix>\nset x = $X:q", "<prefix>"),
}


@targets
@pytest.mark.parametrize("shell", ["tcsh", "csh"])
def test_csh_reads_the_target(shell: str, target: str, tmp_path: Path) -> None:
    """In whatever quotes it stands, csh expands the word to the target, history characters and all."""
    if not shutil.which(shell):
        pytest.skip(f"there is no {shell} here")
    script = "set empty = ''\n" + "".join(f"{code}\nprintf '%s\\037' $x:q\n" for code, _ in CSH_CASES.values())
    said = said_by([shell, "-f"], rewrite("csh", canonical(script), target), tmp_path)
    assert {case: meant(value, target) for case, (_, value) in CSH_CASES.items()} == dict(
        zip(CSH_CASES, said, strict=True)
    )


@targets
def test_nushell_raw_strings_hold_the_target(target: str) -> None:
    """A raw string ends at the first quote with as many number signs as it began with, and that is its end."""
    text = "let x = r#'<prefix>/bin'#\nlet y = (r##'<name>'##)\n"
    said = re.findall(r"^let . = \(?r(#+)'(.*?)'\1\)?$", rewrite("nu", canonical(text), target).decode(), re.MULTILINE)
    assert [f"{target}/bin", target.rpartition("/")[2]] == [content for _, content in said]


@pytest.mark.parametrize("text", ["let x = '<prefix>'\n", 'let x = "<prefix>"\n', "cd <prefix>\n"])
def test_nushell_outside_of_raw_strings_is_refused(text: str) -> None:
    """Where no quoting is known for sure, a target that needs some is refused, and another written."""
    assert rewrite("nu", canonical(text), "/srv/env") == meant(text, "/srv/env").encode()
    with pytest.raises(NotRelocatableError):
        rewrite("nu", canonical(text), "/srv/my env")


SINGLE_QUOTES = "'\u2018\u2019\u201a\u201b"


def verbatim_strings(text: str) -> list[str]:
    """Return the strings in single quotes, by PowerShell's grammar, which has five of them."""
    quote = f"[{SINGLE_QUOTES}]"
    found = re.findall(f"{quote}((?:[^{SINGLE_QUOTES}]|{quote}{{2}})*){quote}", text)
    return [re.sub(f"({quote}){quote}", r"\1", each) for each in found]


@targets
def test_powershell_strings_say_the_target(target: str) -> None:
    """In single quotes nothing is expanded, and a quote is written twice."""
    text = "$x = '<prefix>/bin'; $y = '<name>'\n"
    expected = [f"{target}/bin", target.rpartition("/")[2]]
    assert expected == verbatim_strings(rewrite("powershell", canonical(text), target).decode())


@pytest.mark.parametrize("quote", SINGLE_QUOTES[1:])
def test_powershell_has_five_single_quotes(quote: str) -> None:
    """A typographic apostrophe ends a string there, too, unless it is doubled."""
    target = f"/srv/it{quote}s"
    assert verbatim_strings(rewrite("powershell", canonical("$x = '<prefix>'\n"), target).decode()) == [target]


@pytest.mark.parametrize("target", ["/srv/$home", "/srv/it's", "/srv/a`nb", '/srv/a"b'])
def test_powershell_strings_that_expand_are_escaped_or_refused(target: str) -> None:
    """In double quotes a backtick takes $, " and itself literally; a single quote is nothing special."""
    try:
        result = rewrite("powershell", canonical('$x = "<prefix>"\n'), target).decode()
    except NotRelocatableError:
        return
    content = re.fullmatch(r'\$x = "((?:[^"$`]|`.|"")*)"\n', result)
    assert content
    assert re.sub(r"`(.)|\"(\")", r"\1\2", content[1]) == target


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


def environment(folder: Path, target: str) -> str:
    """Make what scripts need of an environment whose path ends in ``target``; return its prefix."""
    prefix = f"{folder}{target}"
    Path(prefix, "bin").mkdir(parents=True)
    os.symlink(os.path.realpath(sys.executable), f"{prefix}/bin/python")
    return prefix


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


@pytest.mark.parametrize("target", [TARGETS["space"], TARGETS["300 characters"]], ids=["space", "300 characters"])
@pytest.mark.parametrize("interpreter", ["bin/node", "bin/bash", "lib/python3.11/site-packages/nodejs/bin/node"])
def test_other_interpreters_are_refused_where_no_plain_line_will_do(interpreter: str, target: str) -> None:
    """The sh form is Python; a script for something else is written for targets that fit a plain line only."""
    script = canonical(f"#!<prefix>/{interpreter}\nx\n")
    assert rewrite("script", script, "/srv/env") == f"#!/srv/env/{interpreter}\nx\n".encode()
    with pytest.raises(NotRelocatableError, match="interpreter"):
        rewrite("script", script, target)


LAYOUTS = {
    "docstring": '"""What it does."""\nimport json\nprint(json.dumps(1))\n',
    "future import": "from __future__ import annotations\nimport json\nprint(json.dumps(1))\n",
    "docstring and future import": '"""What it does."""\nfrom __future__ import annotations\nprint(1)\n',
    "comment, docstring and future import": "# é\n\n'''x'''\nfrom __future__ import annotations\nprint(1)\n",
    "UTF-8 by name": "# -*- coding: utf-8 -*-\nprint(ord('é') == 233 and 1)\n",
    "Latin-1": "# -*- coding: latin-1 -*-\nprint(ord('é') == 233 and 1)\n",
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_script_that_the_sh_form_would_break_is_refused(layout: str, tmp_path: Path) -> None:
    """Two lines before a docstring or a coding line matter; the script runs as before, or is not written."""
    prefix = environment(tmp_path, TARGETS["space"])
    body = (HEADS["plain"].format(arguments="") + LAYOUTS[layout]).encode("latin-1" if layout == "Latin-1" else "utf-8")
    script = body.replace(b"<prefix>", PLACEHOLDER.encode())
    try:
        content = rewrite("script", script, prefix)
    except NotRelocatableError:
        assert layout in {"docstring and future import", "comment, docstring and future import", "Latin-1"}
    else:
        assert run_script(prefix, content) == 1


def test_a_script_without_the_first_line_is_refused() -> None:
    """A relocation that says script for something else is not carried out."""
    with pytest.raises(NotRelocatableError, match="first line"):
        rewrite("script", canonical("#!/usr/bin/env python\nX = '<prefix>'\n"), "/srv/env")


@pytest.fixture(scope="module")
def activators() -> Iterator[tuple[StagingPrefix, dict[str, bytes]]]:
    """Return a staging prefix and the activation scripts that virtualenv writes below it, by name."""
    with tempfile.TemporaryDirectory(dir="/tmp") as root:  # short enough for a staging prefix
        prefix = StagingPrefix.under(root, TOKEN)
        command = [sys.executable, "-m", "virtualenv", "--no-seed", "--quiet", prefix.path]
        subprocess.run(command, check=True, timeout=60)
        yield prefix, {path.name: path.read_bytes() for path in Path(prefix.path, "bin").glob("activate*")}


ACTIVATIONS = {
    "dash": (["dash", "-c"], "activate", '. {}; printf \'%s\\037\' "$VIRTUAL_ENV" "$PATH"'),
    "bash": (["bash", "-c"], "activate", 'source {}; printf \'%s\\037\' "$VIRTUAL_ENV" "$PATH"'),
    "fish": (["fish", "--no-config", "-c"], "activate.fish", "source {}; printf '%s\\037' $VIRTUAL_ENV \"$PATH\""),
    "tcsh": (["tcsh", "-f", "-c"], "activate.csh", "source {}; printf '%s\\037' $VIRTUAL_ENV:q $PATH:q"),
}


@targets
@pytest.mark.parametrize("shell", ACTIVATIONS)
def test_virtualenvs_own_activation_finds_the_target(
    shell: str, target: str, activators: tuple[StagingPrefix, dict[str, bytes]], tmp_path: Path
) -> None:
    """After activation VIRTUAL_ENV is the target and PATH begins with its bin."""
    command, name, code = ACTIVATIONS[shell]
    if not shutil.which(shell):
        pytest.skip(f"there is no {shell} here")
    prefix = environment(tmp_path, target)
    staging, scripts = activators
    stored = canonicalise(scripts[name], staging)
    assert stored.hits
    assert stored.strangers == ()
    place = tmp_path / "activate"
    place.write_bytes(rewrite(classify(f"bin/{name}", stored.data), stored.data, prefix))
    done = subprocess.run(
        [*command, code.format(place)],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
        env={"PATH": os.environ["PATH"]},
    )
    said = done.stdout.split("\x1f")
    assert said[0] == prefix
    assert said[1].startswith(f"{prefix}/bin:")


PREFIXES = {
    "newline": "/srv/a\nb",
    "tab": "/srv/a\tb",
    "NUL": "/srv/a\0b",
    "delete": "/srv/a\x7fb",
    "backslash": "/srv/a\\b",
    "colon": "/srv/a:b",
    "relative": "srv/env",
    "empty": "",
    "not UTF-8": "/srv/caf\udce9",
}


@pytest.mark.parametrize("prefix", PREFIXES.values(), ids=PREFIXES.keys())
def test_a_prefix_that_no_path_variable_takes_is_refused(prefix: str) -> None:
    """PATH has no escape for a colon, and a first line none for a newline."""
    with pytest.raises(NotRelocatableError):
        check_prefix(prefix)


@targets
def test_the_targets_of_these_tests_are_allowed(target: str) -> None:
    """Everything that is tried here a user may ask for; the plain ones are known to be plain."""
    check_prefix(target)
    assert (target in {TARGETS[name] for name in [*SHORT_PLAIN, "300 characters"]}) != needs_quoting(target)
