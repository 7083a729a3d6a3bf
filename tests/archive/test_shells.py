"""Shells read the place of an environment in whatever quotes it stands, judged by themselves."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from terrastore.archive.relocate import NotRelocatableError, rewrite
from tests.archive.places import canonical, meant, require, said_by, targets

if TYPE_CHECKING:
    from pathlib import Path

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


@targets
@pytest.mark.parametrize("shell", ["dash", "bash", "zsh"])
def test_sh_reads_the_target(shell: str, target: str, tmp_path: Path) -> None:
    """In whatever quotes it stands, the shell expands the word to the target, and to nothing else."""
    require(shell)
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
        "x=$'<prefix>\\n'",
        "cat <<EOF >x.py\nX = '<prefix>'\nEOF\n",
        "cat <<-'EOF' >x.py\n\tX = <prefix>\n\tEOF\n",
        'if true; then\n  cat > x << "end_of"\n<prefix>\nend_of\nfi\n',
    ],
    ids=[
        "second line of single quotes",
        "second line of double quotes",
        "after a here-document",
        "command",
        "default",
        "string with escapes",
        "here-document",
        "quoted here-document",
        "named here-document",
    ],
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
    require("fish")
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
@pytest.mark.parametrize("shell", ["tcsh", "bsd-csh"])
def test_csh_reads_the_target(shell: str, target: str, tmp_path: Path) -> None:
    """In whatever quotes it stands, csh expands the word to the target, history characters and all."""
    require(shell)
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


@targets
def test_cmd_reads_percent_signs_twice(target: str) -> None:
    """In a batch file a percent sign is written by two; every other character stands as it is."""
    text = '@set "X=<prefix>\\bin"\r\n@set "Y=<name>"\r\n'
    result = rewrite("batch", canonical(text), target).decode()
    assert meant(text, target) == result.replace("%%", "%")
    assert result.count("%") == 2 * meant(text, target).count("%")
