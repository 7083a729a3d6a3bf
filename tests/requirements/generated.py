"""Makes requirements files of every kind, mostly ones that pip takes, from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

WHEEL = "one-1.0-py3-none-any.whl"
PROJECT = '[project]\nname = "project"\nversion = "1"\n'
TREE = {
    "p/pyproject.toml": PROJECT,
    "libs/q/setup.py": "from setuptools import setup\nsetup()\n",
    "pyproject.toml": PROJECT,
    WHEEL: "",
    "more/two-2-py3-none-any.whl": "",
    "links/one-1.0.tar.gz": "",
    "more/links/two-2.tar.gz": "",
    "home/links/one-1.0.tar.gz": "",
    "a b/three-3.zip": "",
}
"""What lines name by path, below the directory that pip is started in."""
VARIABLES = {"V": "1.0", "U": "user", "P": "pa%20ss", "WHERE": "more", "EMPTY": "", "MARK": "os_name", "lower": "2.0"}

_NAMES = ("one", "Two_Three", "four.five", "x", "a-b--c", "seven7")
_VERSIONS = (
    "", "", "==1.0", "==1.0.0", ">=1,<2", "~=1.4", "!=1.5", "===1.0", " == 1.0", " (>=1)", "==1.*", ">1", "<=2.0rc1",
    "==1!2.0", "==1.0+cu118", " >= 1 , != 1.2", "==${V}", ">=0.${V}",
)  # fmt: skip
_EXTRAS = ("", "", "", "[a]", "[b, A_c]", " [x]", "[x,X]", "[]")
_MARKERS = (
    "", "", "", " ; python_version > '3'", ";os_name=='nt'", "; sys_platform == 'linux' or os_name == 'nt'", " ;",
    " ; python_full_version >= \"3.0\" and platform_system != 'Windows'", " ; 'x' in sys_platform",
    "; ${MARK} == 'posix'", " ; python_version not in '2.7 3.0'",
)  # fmt: skip
_HASHES = (
    "--hash=sha256:ab12", "--hash sha256:cd34", "--hash=sha512:ef", "--hash 'sha384:01'", "--ha=sha256:ab12",
    '--hash="sha256:ee"',
)  # fmt: skip
_SETTINGS = ("--config-settings=a=1", "-C b=2", "-Cc=3", "--config-setting d=4", "-C 'e=5 6'", "-C a=7", "-C=f=8")
_IGNORED = (
    "--pre", "-i https://no.example/s", "--no-index", "-r nowhere.txt", "word", "-- more words", "-", "-f nowhere",
    "--prefer-binary", "--no-binary x", "--only-binary=:all:", "--require-hashes", "--trusted-host t.example",
    "--use-feature fast-deps", "-e ./p", "--all-releases=x", "--only-final one,x",
)  # fmt: skip
_PLACED = (
    "one @ https://f.example/one-1.zip#sha256=ab", f"https://f.example/{WHEEL}", "./p", "p/", "./p[x]", "libs/q", ".",
    "git+https://g.example/one@v1#egg=one&subdirectory=x", "git+ssh://git@g.example/one.git@v1#egg=One", WHEEL,
    f"./{WHEEL}", f"file:{WHEEL}", "file://${HERE}/p", "one @ file://${HERE}/p", f"One_X[z]@file://${{HERE}}/{WHEEL}",
    f"./{WHEEL}[extra]", "https://${U}:${P}@f.example/two-2.tar.gz", "more/two-2-py3-none-any.whl", "../work/p",
    "https://f.example/one-1.zip", "hg+https://h.example/one#egg=one", "four.five @ git+https://g.example/a@${V}",
    "${WHERE}/two-2-py3-none-any.whl", "./libs/../p", "one@https://f.example/one-1.zip", "${HERE}/p",
)  # fmt: skip
_EDITABLES = (
    "-e ./p", "--editable=p", "-e git+https://g.example/one#egg=one", "-e './p[a,b]'", "-e p -C x=1", "-e .",
    "-e file://${HERE}/p", "--edit ./libs/q --no-binary x", "-e 'one @ git+https://g.example/one@v1'", "-ep",
    "-e ./p ; python_version > '3'", "-e ./p -e libs/q", "-e ./p --hash=sha256:aa", "-e ${WHERE}/../p",
    "-e git+https://${U}@g.example/one@v2#egg=one", "-e ./p -r more/b.txt",
)  # fmt: skip
_OPTIONS = (
    "-i https://a.example/simple", "--index-url=https://b.example/s/", "--pypi-url https://c.example/",
    "--index https://d.example/", "--extra-index-url https://e.example/", "--extra-index-url=https://${U}:${P}@f.example/s",
    "--ex https://g.example/?a=b#c", "--no-index", "-f links", "-flinks", "--find-links=more/links", "-f ${HERE}/links",
    "-f file://${HERE}/links", "-f nowhere", "-f https://h.example/links.html", "--no-binary one,Two_Three", "-f 'a b'",
    "--no-binary :all:", "--no-binary :none:", "--no-binary=:all:,:none:,x", "--only-binary one", "--only-b=:all:",
    "--only-binary four.five --no-binary :all:", "--prefer-binary", "--pref", "--pre", "--all-releases one,x",
    "--all-releases=:all:", "--only-final :all:", "--only-final two.three", "--only-final :none:", "--trusted-host tt",
    "--trusted-host=u.example:8080", "--use-feature fast-deps", "--hash=sha256:aa", "-C x=1", "--require-hashes",
    "--no-require-hashes", "-i ${EMPTY}", '-f "a b"', "-f a\\ b", "--no-binary one,,x", "--no-index -i https://i.example/",
    "--extra-index-url https://j.example/ -i https://k.example/", "--pre --only-final :all:", "--pre word", "--", "-",
)  # fmt: skip
_INCLUDES = (
    "-r more/b.txt", "--requirement more/b.txt", "-c c.txt", "--constraint=c.txt", "-rmore/b.txt", "-r more/../d.txt",
    "-r ${WHERE}/b.txt", "-c c.txt -r d.txt", "-r d.txt --pre", "-r d.txt --no-binary x", "--cons c.txt",
    "-r file://${HERE}/plain.txt", "-r 'e f.txt'", "-r ${HERE}/d.txt", "-c d.txt -c c.txt",
)  # fmt: skip
# pip refuses these, each for a reason of its own.
_REFUSED = (
    "--no-such-option", "-x", "--hash=md5:aa one", "one two", "==1", "one==", "-r nowhere.txt", "--index-url",
    "one --hash=md5:aa", "one --hash=nonsense", "-r 'open", "one ; nonsense == 'x'", "--re more/b.txt", "--pre=1", "!",
    "-e https://f.example/one.zip", "-e nowhere", "./nowhere", "one==${UNSET}", "one==${lower}", "one @", "-e",
    "--only-final=-x", "--use-feature nonsense", "git+https://g.example/one@v1 one", "one[a", "./p[x", "links",
    "./links", "one --config-set x=1", "\u00e4==1", "one\t--hash=sha256:aa", "one --c=x", "-r a.txt", "-i ''", "-f=",
    "'./p'", "git+https://g.example/one#egg=one[b,a]", "one ; 'x' in '-x-y'", "one ; os_name != ' -x'", "one @ ./p",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """Files by path, and what is said beside them: Inputs' arguments, variables, a ``pip.conf``."""

    files: dict[str, bytes]
    said: dict[str, object] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    conf: str = ""


def generated(seed: int) -> Case:
    """Return the case of a seed; some lines hold ``${HERE}``, the directory that pip is started in."""
    rng = random.Random(seed)
    lines = {
        "a.txt": _lines(rng, rng.randint(1, 9), includes=True),
        "more/b.txt": _lines(rng, rng.randint(0, 4), includes=False),
        "c.txt": _constraints(rng),
        "d.txt": _lines(rng, rng.randint(0, 3), includes=False),
        "e f.txt": _lines(rng, 1, includes=False),
    }
    if rng.random() < 0.15:
        of = rng.choice(sorted(lines))
        lines[of].insert(rng.randint(0, len(lines[of])), rng.choice(_REFUSED))
    said, variables, conf = _beside(rng) if rng.random() < 0.5 else ({}, {}, "")
    # Of what it finds there by a -c of the command line pip forgets the settings of builds.
    if "constraints" not in said and rng.random() < 0.1:
        lines["c.txt"].append(rng.choice(("-r d.txt", "-r 'e f.txt'")))
    files = {path: _encoded(rng, _wrapped(rng, each)) for path, each in lines.items()}
    # What is read by its URL pip decodes as a browser would.
    files["plain.txt"] = "\n".join(_lines(rng, 2, includes=False)).encode()
    return Case(files, said, variables, conf)


def _lines(rng: random.Random, number: int, *, includes: bool) -> list[str]:
    kinds = (_requirement,) * 6 + (_placed, _editable) + (_options,) * 3 + (_include,) * (2 * includes)
    return [rng.choice(kinds)(rng) for _ in range(number)]


def _constraints(rng: random.Random) -> list[str]:
    lines = [f"{rng.choice(_NAMES)}{rng.choice(_VERSIONS)}{rng.choice(_MARKERS)}" for _ in range(rng.randint(0, 3))]
    if rng.random() < 0.2:
        lines.append(rng.choice(_OPTIONS))
    if rng.random() < 0.1:
        lines.append(f"one==1.0 {rng.choice(_HASHES)}")
    return lines


def _requirement(rng: random.Random) -> str:
    return _with_options(rng, rng.choice(_NAMES) + rng.choice(_EXTRAS) + rng.choice(_VERSIONS) + rng.choice(_MARKERS))


def _placed(rng: random.Random) -> str:
    marker = rng.choice(("", "", "", " ; os_name != 'nt'", " ; os_name == 'nt'"))
    return _with_options(rng, rng.choice(_PLACED) + marker)


def _editable(rng: random.Random) -> str:
    return rng.choice(_EDITABLES)


def _options(rng: random.Random) -> str:
    return " ".join(rng.choice(_OPTIONS) for _ in range(rng.choice((1, 1, 1, 1, 2, 3))))


def _include(rng: random.Random) -> str:
    return rng.choice(_INCLUDES)


def _with_options(rng: random.Random, text: str) -> str:
    behind: list[str] = []
    if rng.random() < 0.15:
        behind += rng.choices(_HASHES, k=rng.randint(1, 3))
    if rng.random() < 0.1:
        behind += rng.choices(_SETTINGS, k=rng.randint(1, 2))
    if rng.random() < 0.1:
        behind.append(rng.choice(_IGNORED))
    rng.shuffle(behind)
    return rng.choice((" ", "  ", "   ")).join((text, *behind))


def _wrapped(rng: random.Random, lines: list[str]) -> str:
    """Return lines as a file, with comments, blank lines and continuations, here and there within a word."""
    text, end = "", rng.choice(("\n", "\n", "\n", "\r\n", "\r", "\x0b\n"))
    for line in lines:
        if rng.random() < 0.2:
            text += rng.choice(("", "# why", "  # why \\", "\t", "#why")) + end
        written = line
        if rng.random() < 0.25:
            places = [place for place, each in enumerate(line) if each == " "] or [len(line)]
            if rng.random() < 0.8:
                place = rng.choice(places)
                written = line[:place] + "\\" + end + rng.choice(("", "  ", "\t")) + line[place:]
            else:
                place = rng.randint(0, len(line))
                written = line[:place] + "\\" + end + line[place:]
        behind = rng.choice(("", "", " ", "  # why", " #", "\t# \u00e4"))
        text += rng.choice(("", "", " ", "\t")) + written + behind + end
    return text if rng.random() < 0.8 else text.removesuffix(end)


def _encoded(rng: random.Random, text: str) -> bytes:
    kind = rng.choice(("plain",) * 8 + ("utf-8-sig", "utf-16", "utf-16-be", "utf-32", "declared", "declared late"))
    if kind == "plain":
        return text.encode()
    if kind == "declared":
        return b"# -*- coding: iso-8859-1 -*-\n" + text.encode("iso-8859-1")
    if kind == "declared late":
        return b"\n# coding=cp1252\n" + text.encode("cp1252")
    return ("\ufeff" + text if kind == "utf-16-be" else text).encode(kind)


def _beside(rng: random.Random) -> tuple[dict[str, object], dict[str, str], str]:
    said: dict[str, object] = {}
    variables: dict[str, str] = {}
    settings: dict[str, str] = {}
    choices: dict[str, tuple[object, dict[str, str]]] = {
        "index_url": ("https://l.example/s", {"index-url": "https://m.example/s"}),
        "extra_index_url": (
            ("https://n.example/", "https://o.example/"),
            {"extra-index-url": "https://p.example/ https://q.example/"},
        ),
        "find_links": (("links", "https://r.example/"), {"find-links": "links more/links"}),
        "no_index": (True, {"no-index": "yes"}),
        "pre": (True, {"pre": "1"}),
        "only_binary": ((":all:", "one"), {"only-binary": "one,x"}),
        "no_binary": (("x", "one"), {"no-binary": ":all:"}),
        "require_hashes": (True, {"require-hashes": "true"}),
        "constraints": (("c.txt",), {"prefer-binary": "on"}),
    }
    for name, (value, setting) in choices.items():
        where = rng.choice(("", "", "", "", "said", "variable", "file", "said and file"))
        if "said" in where:
            said[name] = value
        if "file" in where:
            settings |= setting
        if where == "variable":
            variables |= {"PIP_" + option.upper().replace("-", "_"): text for option, text in setting.items()}
    lines = [f"{option} = {text}" for option, text in settings.items()]
    rng.shuffle(lines)
    return said, variables, "[global]\n" + "\n".join(lines) + "\n"
