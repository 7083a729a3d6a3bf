"""Every path of an environment follows it, judged by the programs that read the files wherever they are here."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest

from terrastore.archive.relocate import KINDS, NotRelocatableError, check_prefix, doubt, needs_quoting, rewrite
from terrastore.archive.staging import StagingPrefix, canonicalise
from tests.archive.places import (
    NAME,
    PLACEHOLDER,
    SHORT_PLAIN,
    TARGETS,
    TOKEN,
    canonical,
    environment,
    meant,
    targets,
)

SAMPLES = {
    "batch": '@set "VIRTUAL_ENV=<prefix>"\r\n@set "PROMPT=<name>"\r\n',
    "csh": "setenv VIRTUAL_ENV <prefix>\nset p = '<name>'\nset q = \"<prefix>/bin\"\n",
    "fish": "set -gx VIRTUAL_ENV <prefix>\nset p '<name>'\nset q \"<prefix>/bin\"\n",
    "json": '{"argv": ["<prefix>/bin/python"], "<prefix>": "<name>"}',
    "nu": "let virtual_env = r#'<prefix>'#\nlet prompt = r##'<name>'##\n",
    "path": "<prefix>/src\n# <name>\nimport sys; sys.path.append('<prefix>')\n",
    "powershell": "$x = '<prefix>'\n$y = '<name>'\n",
    "python": "X = '<prefix>'\nY = \"<prefix>/lib\"\nZ = '''<name>'''\n",
    "script": "#!<prefix>/bin/python -s\nX = '<prefix>/share'\nY = \"<name>\"\n",
    "sh": "VIRTUAL_ENV=<prefix>\nX='<prefix>/bin'\nY=\"<name>\"\n",
    "text": "<prefix>/src\n<name>\n",
    "xonsh": "X = '<prefix>'\nY = \"<name>\"\n",
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
def test_path_files_lead_to_the_target(target: str, tmp_path: Path) -> None:
    """Site reads the path as it is, in lines of code as a string, and ignores a comment."""
    prefix = environment(tmp_path, target)
    Path(prefix, "src").mkdir()
    text = (
        "# <prefix>\n<prefix>/src\nimport sys; sys.seen = '<prefix>/x'\nimport\tsys; sys.too = \"<name>\"\n<prefix>\n"
    )
    (tmp_path / "x.pth").write_bytes(rewrite("path", canonical(text), prefix))
    code = f"import json, site, sys; site.addsitedir({str(tmp_path)!r}); "
    code += "print(json.dumps([sys.path[-2:], sys.seen, sys.too]))"
    done = subprocess.run([sys.executable, "-I", "-X", "utf8", "-c", code], capture_output=True, check=True, timeout=30)
    assert [[f"{prefix}/src", prefix], f"{prefix}/x", Path(prefix).name] == json.loads(done.stdout)


def test_a_path_that_ends_with_white_space_is_refused_at_the_end_of_a_line() -> None:
    """Site takes white space off the end of each line, and would look elsewhere."""
    assert b"/srv/env /src\n" == rewrite("path", canonical("<prefix>/src\n"), "/srv/env ")
    with pytest.raises(NotRelocatableError, match="white space"):
        rewrite("path", canonical("<prefix>\n"), "/srv/env ")


DOUBTS = {
    "text that needs quotes": ("text", "/srv/my env", True),
    "text": ("text", "/srv/env", False),
    "a kind with quotes": ("json", "/srv/my env", False),
    "xonsh": ("xonsh", "/srv/$100/my env", True),
    "xonsh, a name": ("xonsh", "/srv/$HOME", True),
    "xonsh, braces": ("xonsh", "/srv/${x}", True),
    "xonsh, a sign alone": ("xonsh", "/srv/a$ b", False),
    "cmd.exe": ("batch", "/srv/R&D", True),
    "cmd.exe, percent": ("batch", "/srv/100%", False),
}


@pytest.mark.parametrize(("kind", "prefix", "expected"), DOUBTS.values(), ids=DOUBTS.keys())
def test_what_may_not_work_is_told(kind: str, prefix: str, expected: bool) -> None:
    """Where no form is sure, or what runs the file reads a path once more, whoever fetches hears of it."""
    assert expected == (doubt(kind, prefix) is not None)


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
    "raw, three": ("r'''<prefix>'x\\n'''", "<prefix>'x\\n"),
    "raw, among others": (
        "'<prefix>' R'<prefix>\\\\' \"<name>\" r\"<name>\\n\"",
        "<prefix><prefix>\\\\<name><name>\\n",
    ),
    "raw, over lines": ("(\n  r'''<prefix>\n<prefix>''' r'é<prefix>'\n)", "<prefix>\n<prefix>é<prefix>"),
}


@targets
@pytest.mark.parametrize(("literal", "value"), LITERALS.values(), ids=LITERALS.keys())
def test_python_literals_say_the_target(literal: str, value: str, target: str) -> None:
    """Whatever the quotes, Python finds the target where it found the placeholder."""
    assert meant(value, target) == ast.literal_eval(rewrite("python", canonical(literal), target).decode())


UNFIT = {
    "raw bytes": ("x = rb'<prefix>'", "/srv/it's"),
    "raw, in no Python": ("x = (\ny = r'<prefix>'", "/srv/it's"),
    "f-string": ("x = f'<prefix>{1}'", "/srv/{a}"),
    "raw f-string": ("x = rf'<prefix>{1}'", "/srv/it's"),
    "bytes": ("x = b'<prefix>'", "/srv/größe"),
}


@pytest.mark.parametrize(("text", "target"), UNFIT.values(), ids=UNFIT.keys())
def test_literals_that_cannot_hold_a_target_are_refused(text: str, target: str) -> None:
    """What would mean something else there is not written; at other targets it is."""
    assert text.replace("<prefix>", "/srv/my env") == rewrite("python", canonical(text), "/srv/my env").decode()
    with pytest.raises(NotRelocatableError, match="it names the environment in"):
        rewrite("python", canonical(text), target)


@targets
def test_an_editable_finder_maps_to_the_target(target: str) -> None:
    """The dictionary that setuptools writes has the target in each of its values."""
    text = "{'pkg': '<prefix>/src/pkg', 'other': (\"<prefix>/src\", None), 'name': ['<name>']}"
    expected = {"pkg": f"{target}/src/pkg", "other": (f"{target}/src", None), "name": [target.rpartition("/")[2]]}
    assert expected == ast.literal_eval(rewrite("python", canonical(text), target).decode())


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
