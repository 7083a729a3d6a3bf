"""What asks for the same thing has the same key however it is written, and what can differ in effect never has."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from terrastore import interpreter
from terrastore.inputs import Inputs
from terrastore.key import EnvKey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

Files: TypeAlias = "Mapping[str, str | bytes]"

A, B = "https://a.example/simple", "https://b.example/simple"
AA, BB = "--hash=sha256:aa", "--hash=sha256:bb"
COMMIT, OTHER_COMMIT = "0a" * 20, "0b" * 20
WHEEL = "one-1-py3-none-any.whl"
PROJECT = '[project]\nname = "one"\nversion = "1"\ndependencies = ["two"]\n'


@dataclass(frozen=True)
class Asked:
    """Files with their content, what is said on the command line, variables, and a ``pip.conf``."""

    files: Files
    inputs: Mapping[str, Any]
    variables: Mapping[str, str] = field(default_factory=dict)
    conf: str = ""


def asked(
    text: str | bytes,
    files: Files | None = None,
    variables: Mapping[str, str] | None = None,
    conf: str = "",
    **said: Any,
) -> Asked:
    """Return what a ``requirements.txt`` with this text asks for, beside other files."""
    return Asked({"requirements.txt": text, **(files or {})}, said, variables or {}, conf)


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no settings, and look for the interpreter once."""
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(interpreter, "find", functools.cache(interpreter.find))


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Asked], EnvKey]:
    """Return the key of what is asked for, each time in a new folder."""

    def of(what: Asked) -> EnvKey:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        (folder / "home").mkdir(parents=True)
        for name, content in {**what.files, "pip.conf": what.conf}.items():
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content if isinstance(content, bytes) else content.encode())
        with monkeypatch.context() as context:
            context.chdir(folder)
            context.setenv("HOME", str(folder / "home"))
            context.setenv("PIP_CONFIG_FILE", str(folder / "pip.conf"))
            for name, value in what.variables.items():
                context.setenv(name, value)
            return EnvKey.of(Inputs(**what.inputs).request())

    return of


def several(*ways: Asked) -> tuple[Asked, ...]:
    return ways


PLAIN = asked("one==1\ntwo>=2\n")
LOCKED = f"one==1 {AA} {BB}\ntwo==2 {AA}\n"
PRE = several(
    asked("one\n--pre\n"),
    asked("--pre\none\n"),
    asked("one\n--all-releases=:all:\n"),
    asked("one\n-r more.txt\n", {"more.txt": "--pre\n"}),
    asked("one\n-c more.txt\n", {"more.txt": "--pre\n"}),
    asked("one\n", pre=True),
    asked("one\n--pre\n", pre=True),
    asked("one\n", variables={"PIP_PRE": "1"}),
    asked("one\n", variables={"PIP_PRE": "yes"}),
    asked("one\n", variables={"PIP_ALL_RELEASES": ":all:"}),
    asked("one\n", conf="[global]\npre = true\n"),
    asked("one\n", conf="[install]\npre = on\n"),
)
INDEX = several(
    asked(f"one\n-i {A}\n"),
    asked(f"--index-url={A}\none\n"),
    asked(f"one\n--pypi-url {A}\n"),
    asked(f"one\n--index '{A}'\n"),
    asked(f"one\n-i {B}\n-i {A}\n"),
    asked("one\n-r more.txt\n", {"more.txt": f"-i {A}\n"}),
    asked("one\n-i ${WHERE}\n", variables={"WHERE": A}),
    asked("one\n", index_url=A),
    asked(f"one\n-i {A}\n", index_url=B),
    asked(f"one\n-i {A}\n", extra_index_url=(B,)),
    asked("one\n", variables={"PIP_INDEX_URL": A}),
    asked("one\n", variables={"PIP_INDEX_URL": B}, index_url=A),
    asked("one\n", conf=f"[global]\nindex-url = {A}\n"),
    asked("one\n", conf=f"[install]\nindex_url = {A}\n[global]\nindex-url = {B}\n"),
    asked("one\n", conf=f"[global]\nindex-url = {B}\n", variables={"PIP_INDEX_URL": A}),
    asked(f"one\n-i {A}/\n"),
    asked(f"one\n-i {A.replace('//', '//user:secret@')}?token=secret#x\n"),
    asked("one\n-i https://m.example/mirror/\n", index_alias=(f"https://m.example/mirror={A}/",)),
    asked(f"one\n-i {A}\n--trusted-host a.example\n"),
    asked(f"one\n-i {A}\n", variables={"PIP_RETRIES": "9", "PIP_TRUSTED_HOST": "a.example"}),
)
SAME: dict[str, tuple[Asked, ...]] = {
    "spelling of names": several(
        *(asked(f"{name}==1\n") for name in ("one-two", "One_Two", "ONE.two", "one--two", "one_-.two"))
    ),
    "order of lines": several(PLAIN, asked("two>=2\none==1\n")),
    "white space": several(PLAIN, asked("  one ==  1\t\n\n\ntwo >= 2"), asked("one== 1\n \ntwo>=2 \n")),
    "comments": several(PLAIN, asked("# why\none==1 # why\n\ntwo>=2\t# why\n  # why\n")),
    "ends of lines": several(PLAIN, asked("one==1\r\ntwo>=2\r\n"), asked("one==1\rtwo>=2"), asked("one==1\ntwo>=2")),
    "continuations": several(PLAIN, asked("one\\\n==1\ntwo \\\n  >=2\\\n\n")),
    "encodings": several(
        asked("# ä\none==1\n"),
        asked("\ufeff# ä\none==1\n"),
        asked("# ä\none==1\n".encode("utf-16")),
        asked("\ufeff# ä\none==1\n".encode("utf-32-be")),
        asked("# coding: latin-1\n# ä\none==1\n".encode("latin-1")),
    ),
    "duplicates": several(PLAIN, asked("one==1\ntwo>=2\nOne==1.0\n"), asked("one==1\none==1\ntwo>=2\ntwo>=2\n")),
    "zeros of a pin": several(*(asked(f"one=={version}\n") for version in ("1", "1.0", "1.0.0", "01.0", "v1"))),
    "zeros of a bound": several(asked("one>=1.0,<2.0\n"), asked("one>=1,<2\n"), asked("one<2.0.0,>=1.0.0\n")),
    "order of specifiers": several(
        asked("one>=1,<2,!=1.5\n"), asked("one !=1.5, <2, >=1\n"), asked("one(<2,!=1.5,>=1)\n")
    ),
    "spelling of versions": several(*(asked(f"one=={v}\n") for v in ("1.0rc1", "1.0.RC-1", "1c1", "1.0-pre.1"))),
    "spelling of local versions": several(asked("one==1+cu118.x"), asked("one==1.0+CU118-x"), asked("one==1+cu118_X")),
    "spelling of extras": several(asked("one[a-b,c]\n"), asked("one[C, A_B]\n"), asked("one [c,a.b,c]\n")),
    "one file or two": several(
        PLAIN,
        asked("one==1\n-r more.txt\n", {"more.txt": "two>=2\n"}),
        asked("-r a/more.txt\none==1\n", {"a/more.txt": "-r ../b/more.txt\n", "b/more.txt": "two>=2\n"}),
        asked("one==1\n", {"more.txt": "two>=2\n"}, requirements=("more.txt", "requirements.txt")),
        asked(
            "",
            {"a.txt": "-r b.txt\n-r c.txt\n", "b.txt": "one==1\n", "c.txt": "two>=2\none==1\n"},
            requirements=("a.txt",),
        ),
    ),
    "constraints": several(
        asked("one\n-c more.txt\n", {"more.txt": "one<2\n"}),
        asked("one\n", {"more.txt": "one<2\n"}, constraints=("more.txt",)),
        asked("one\n-c a.txt\n-c more.txt\n", {"a.txt": "-c more.txt\n", "more.txt": "One<2.0\n"}),
    ),
    "hashes": several(
        asked(f"one==1 {AA} {BB}\n"),
        asked(f"one==1 {BB} \\\n    {AA}\n"),
        asked(f"one==1 {AA} {BB} {AA}\n"),
        asked("one==1 --hash sha256:aa --hash 'sha256:bb'\n"),
        asked(f"--require-hashes\none==1 {AA} {BB}\n"),
        asked(f"one==1 {AA} {BB}\n", require_hashes=True),
        asked(f"one==1 {AA} {BB}\n", variables={"PIP_REQUIRE_HASHES": "1"}),
    ),
    "a true marker": several(
        asked("one\n"),
        asked("one ; python_version >= '3'\n"),
        asked("one;os_name=='posix' or os_name=='nt'\n"),
        asked("one\none ; python_version >= '3'\n"),
    ),
    "a false marker": several(
        asked("one\n"),
        asked("one\ntwo ; python_version < '3'\n"),
        asked("one\none>5 ; os_name == 'nt'\n./nowhere ; os_name == 'nt'\n"),
        asked("one\n-c more.txt\n", {"more.txt": "one<2 ; os_name == 'nt'\n"}),
    ),
    "names of URLs": several(
        asked(f"git+https://g.example/one@{COMMIT}#egg=One\n"),
        asked(f"one @ git+https://g.example/one@{COMMIT}\n"),
        asked(f"One@git+https://g.example/one@{COMMIT}#egg=one\n"),
    ),
    "names of wheels": several(asked(f"https://f.example/{WHEEL}\n"), asked(f"one @ https://f.example/{WHEEL}\n")),
    "fragments": several(
        asked("one @ https://f.example/one.zip#sha256=aa&subdirectory=x\n"),
        asked("one @ https://f.example/one.zip#subdirectory=x&sha256=aa\n"),
        asked("one @ https://f.example/one.zip#note=1&subdirectory=x&sha256=aa\n"),
    ),
    "credentials": several(
        *(asked(f"one @ https://{who}f.example/one.zip\n") for who in ("", "me@", "me:secret@", ":secret@", "${T}@"))
    ),
    "tokens": several(*(asked(f"one @ https://f.example/one.zip?token={t}\n") for t in ("one", "two"))),
    "pre": PRE,
    "an index": INDEX,
    "extra indexes": several(
        asked(f"one\n-i {A}\n--extra-index-url {B}\n"),
        asked(f"one\n--extra-index-url {B} -i {A}\n"),
        asked("one\n", index_url=A, extra_index_url=(B,)),
        asked(f"one\n--extra-index-url {B}\n", index_url=A),
        asked("one\n", variables={"PIP_INDEX_URL": A, "PIP_EXTRA_INDEX_URL": B}),
        asked("one\n", conf=f"[global]\nextra-index-url = {B}\nindex-url = {A}\n"),
        asked("one\n", conf=f"[global]\nextra-index-url =\n    {B}\n", index_url=A),
    ),
    "no index": several(
        asked("one\n--no-index\n"),
        asked(f"one\n--no-index\n-i {A}\n"),
        asked(f"one\n-i {A}\n--extra-index-url {B}\n--no-index\n"),
        asked("one\n", no_index=True, index_url=A),
        asked("one\n", variables={"PIP_NO_INDEX": "1", "PIP_INDEX_URL": A}),
    ),
    "names of formats": several(
        asked("one\n--no-binary two,three\n"),
        asked("one\n--no-binary three\n--no-binary Two\n"),
        asked("one\n--no-binary :none: --no-binary two,three,two\n"),
        asked("one\n", no_binary=("three", "two")),
        asked("one\n--no-binary two\n", no_binary=("three",)),
        asked("one\n", variables={"PIP_NO_BINARY": "two,three"}),
        asked("one --no-binary two\n--no-binary three\n"),
    ),
    "formats of all": several(
        asked("one\n--only-binary :all:\n"),
        asked("one\n--no-binary two\n--only-binary=:all:\n"),
        asked("one\n--only-binary two --only-binary :all:,three\n"),
        asked("one\n", only_binary=(":all:",)),
    ),
    "what pip ignores": several(
        asked("one\n"),
        asked("one --pre\n"),
        asked(f"one -i {A} --no-index\n"),
        asked(f"one\n{AA}\n"),
        asked("one -- two\n"),
    ),
    "where something locked is found": several(
        asked(LOCKED),
        asked(f"-i {A}\n{LOCKED}"),
        asked(LOCKED, variables={"PIP_INDEX_URL": B}),
        asked(LOCKED, extra_index_url=(A, B)),
        asked(f"{LOCKED}-f https://f.example/links\n--prefer-binary\n"),
        asked(f"--no-index\n-f wheels\n{LOCKED}", {f"wheels/{WHEEL}": "wheel"}),
    ),
    "where a local file stands": several(
        asked(f"./{WHEEL}\n", {WHEEL: "wheel"}),
        asked(f"{WHEEL}\n", {WHEEL: "wheel"}),
        asked(f"a/b/{WHEEL}\n", {f"a/b/{WHEEL}": "wheel"}),
        asked("-r a/more.txt\n", {"a/more.txt": f"./b/{WHEEL}\n", f"b/{WHEEL}": "wheel"}),
        asked(f"file:{WHEEL}\n", {WHEEL: "wheel"}),
        asked(f"~/{WHEEL}\n", {f"home/{WHEEL}": "wheel"}),
        asked("${WHERE}" + f"/{WHEEL}\n", {f"a/{WHEEL}": "wheel"}, {"WHERE": "a"}),
    ),
    "where links are": several(
        asked("one\n-f wheels\n", {f"wheels/{WHEEL}": "wheel"}),
        asked("one\n", {f"a b/{WHEEL}": "wheel"}, find_links=("a b",)),
        asked("one\n-r a/more.txt\n", {"a/more.txt": "-f wheels\n", f"a/wheels/{WHEEL}": "wheel"}),
        asked("one\n", {f"home/wheels/{WHEEL}": "wheel"}, find_links=("~/wheels",)),
        asked("one\n", {f"x/{WHEEL}": "wheel"}, {"PIP_FIND_LINKS": "x"}),
    ),
    "code that is edited": several(
        asked("-e ./p\n", {"p/pyproject.toml": PROJECT}),
        asked("-e ./p\n", {"p/pyproject.toml": PROJECT, "p/one.py": "changed = True\n"}),
        asked("--editable=q\n", {"q/pyproject.toml": f"# why\n{PROJECT}"}),
    ),
    "values of variables": several(asked("one==1\n"), asked("one==${V}\n", variables={"V": "1.0"})),
    "options of a requirement": several(asked("one -C x=1 -C y=2\n"), asked("one --config-settings 'x=1' -Cy=2\n")),
    "pip and its settings elsewhere": several(
        asked("one\n"), asked("one\n", variables={"PIP_CACHE_DIR": "x", "PIP_TARGET": "y", "PIP_PROXY": "z", "UV": "1"})
    ),
    "nothing": several(
        asked(""), asked("# nothing\n"), asked("one ; os_name == 'nt'\n"), asked("-r a.txt", {"a.txt": "\n"})
    ),
}


@pytest.mark.parametrize("ways", SAME.values(), ids=SAME)
def test_what_asks_for_the_same_has_the_same_key(ways: tuple[Asked, ...], key: Callable[[Asked], EnvKey]) -> None:
    """However something is written and whoever says it, its key is one."""
    assert len(ways) > 1
    expected = key(ways[0])
    assert [] == [way for way in ways[1:] if key(way) != expected]


LOCAL = asked(f"./{WHEEL}\n", {WHEEL: "wheel"})
DIFFERENT: dict[str, tuple[Asked, ...]] = {
    "a version": several(*(asked(f"one=={v}\n") for v in ("1", "1.1", "10", "0.1", "1.0.1", "1rc1", "1.post1", "1!1"))),
    "how compatible": several(*(asked(f"one~={version}\n") for version in ("1.0", "1.0.0", "1.1", "1.0.0.0"))),
    "how far a prefix goes": several(*(asked(f"one=={v}\n") for v in ("1.*", "1.0.*", "1.0.0.*", "1.0"))),
    "text of a version": several(*(asked(f"one==={version}\n") for version in ("1", "1.0", "01", "1.0.0"))),
    "operator": several(*(asked(f"one{op}1.0\n") for op in ("==", "===", ">=", "<=", ">", "<", "!=", "~="))),
    "no version": several(asked("one\n"), asked("one==1\n"), asked("one>=0\n"), asked("one<9\n")),
    "a name": several(*(asked(f"{name}==1\n") for name in ("one", "on", "one1", "one-1", "oneone", "o-ne"))),
    "a requirement more": several(asked("one\n"), asked("one\ntwo\n"), asked("two\n"), asked("")),
    "another of the same": several(asked("one>=1\n"), asked("one>=1\none<2\n"), asked("one<2\n"), asked("one==1\n")),
    "extras": several(*(asked(f"one{e}\n") for e in ("", "[a]", "[b]", "[a,b]", "[ab]"))),
    "constraints or requirements": several(
        asked("one\n"),
        asked("one\ntwo<2\n"),
        asked("one\n-c more.txt\n", {"more.txt": "two<2\n"}),
        asked("one\n-r more.txt\n", {"more.txt": "two<3\n"}),
        asked("one\n-c more.txt\n", {"more.txt": "-r a.txt\n", "a.txt": "two<4\n"}),
        asked("one\n-c more.txt\n", {"more.txt": "two<4\n"}),
    ),
    "indexes": several(
        asked("one\n"),
        asked(f"one\n-i {A}\n"),
        asked(f"one\n-i {B}\n"),
        asked(f"one\n-i {A}\n--extra-index-url {B}\n"),
        asked(f"one\n-i {B}\n--extra-index-url {A}\n"),
        asked(f"one\n--extra-index-url {A}\n"),
        asked(f"one\n--extra-index-url {A}\n--extra-index-url {B}\n"),
        asked(f"one\n--extra-index-url {B}\n--extra-index-url {A}\n"),
        asked("one\n--no-index\n"),
        asked(f"one\n-i {A.replace('https', 'http')}\n"),
        asked(f"one\n-i {A.replace('.example', '.example:8080')}\n"),
        asked(f"one\n-i {A}/x\n"),
        asked(f"one\n-i {A.replace('simple', 'Simple')}\n"),
    ),
    "an alias of another index": several(
        *(asked(f"one\n-i {A}\n", index_alias=aliases) for aliases in ((), (f"{A}={B}",), (f"{A}=https://c.example",)))
    ),
    "pre-releases": several(
        asked("one\n"),
        asked("one\n--pre\n"),
        asked("one\n--all-releases one\n"),
        asked("one\n--all-releases two\n"),
        asked("one\n--only-final :all:\n"),
        asked("one\n--only-final one\n--pre\n"),
    ),
    "formats": several(
        asked("one\n"),
        asked("one\n--no-binary one\n"),
        asked("one\n--only-binary one\n"),
        asked("one\n--no-binary two\n"),
        asked("one\n--no-binary :all:\n"),
        asked("one\n--only-binary :all:\n"),
        asked("one\n--only-binary :all:\n--no-binary one\n"),
        asked("one\n--prefer-binary\n"),
        asked("one --no-binary three\n"),
    ),
    "formats of something locked": several(
        asked(LOCKED), asked(f"--no-binary one\n{LOCKED}"), asked(f"--only-binary :all:\n{LOCKED}")
    ),
    "hashes": several(
        asked("one==1\n"),
        asked(f"one==1 {AA}\n"),
        asked(f"one==1 {BB}\n"),
        asked(f"one==1 {AA} {BB}\n"),
        asked("one==1 --hash=sha512:aa\n"),
        asked("one==1\n", require_hashes=True),
        asked(f"one==1 {AA}\n--no-require-hashes\n"),
    ),
    "hashes of constraints": several(
        *(asked("one==1\n-c c.txt\n", {"c.txt": f"one==1 {text}\n"}) for text in ("", AA, BB))
    ),
    "commits": several(
        *(
            asked(f"one @ git+https://g.example/one{rest}\n")
            for rest in (f"@{COMMIT}", f"@{OTHER_COMMIT}", f"@{COMMIT}#subdirectory=x", f"@{COMMIT}#subdirectory=y")
        ),
        asked(f"one @ git+https://g.example/two@{COMMIT}\n"),
        asked(f"one[x] @ git+https://g.example/one@{COMMIT}\n"),
        asked(f"-e git+https://g.example/one@{COMMIT}#egg=one\n"),
        asked(f"one @ hg+https://g.example/one@{COMMIT}\n"),
    ),
    "URLs": several(
        asked("one\n"),
        *(
            asked(f"one @ https://f.example/{rest}\n")
            for rest in ("a.zip", "b.zip", "a.zip#sha256=aa", "a.zip#sha256=bb", "a.zip#subdirectory=x", "a.zip?x=1")
        ),
        asked("one @ http://f.example/a.zip\n"),
        asked("https://f.example/a.zip\n"),
    ),
    "content of a file": several(
        LOCAL,
        asked(f"./{WHEEL}\n", {WHEEL: "other"}),
        asked("./one-2-py3-none-any.whl\n", {"one-2-py3-none-any.whl": "wheel"}),
        asked(f"./{WHEEL}[x]\n", {WHEEL: "wheel"}),
        asked(f"-c c.txt\n./{WHEEL}\n", {WHEEL: "wheel", "c.txt": f"one @ file:{WHEEL}\n"}),
    ),
    "content of a project": several(
        *(
            asked("./p\n", {"p/pyproject.toml": PROJECT, **more})
            for more in ({}, {"p/one.py": "a = 1"}, {"p/one.py": "a = 2"}, {"p/two.py": "a = 1"})
        ),
        asked("-e ./p\n", {"p/pyproject.toml": PROJECT}),
        asked("./p[x]\n", {"p/pyproject.toml": PROJECT}),
    ),
    "what a project that is edited needs": several(
        asked("-e ./p\n", {"p/pyproject.toml": PROJECT}),
        asked("-e ./p\n", {"p/pyproject.toml": PROJECT.replace("two", "three")}),
        asked("-e ./p\n", {"p/pyproject.toml": PROJECT.replace('"one"', '"uno"')}),
        asked("-e ./p[x]\n", {"p/pyproject.toml": PROJECT}),
        asked("-e ./p -C x=1\n", {"p/pyproject.toml": PROJECT}),
    ),
    "content of links": several(
        asked("one\n"),
        asked("one\n-f wheels\n"),
        asked("one\n-f wheels\n", {f"wheels/{WHEEL}": "wheel"}),
        asked("one\n-f wheels\n", {f"wheels/{WHEEL}": "other"}),
        asked("one\n-f wheels\n", {f"wheels/{WHEEL}": "wheel", "wheels/two-1-py3-none-any.whl": "wheel"}),
        asked("one\n-f https://f.example/wheels\n"),
    ),
    "options of a requirement": several(
        *(asked(f"one {text}\n") for text in ("", "-C x=1", "-C x=2", "-C y=1", "-C x=1 -C y=1", "-C y=1 -C x=1"))
    ),
    "settings of pip": several(
        asked("one\n"),
        *(
            asked("one\n", {"c.txt": "one<2\n", "d.txt": "one<3\n"}, variables)
            for variables in (
                {"PIP_NO_DEPS": "1"},
                {"PIP_CONSTRAINT": "c.txt"},
                {"PIP_CONSTRAINT": "d.txt"},
                {"PIP_BUILD_CONSTRAINT": "c.txt"},
                {"PIP_UPLOADED_PRIOR_TO": "2026-01-01"},
                {"PIP_NO_BUILD_ISOLATION": "1"},
                {"PIP_IGNORE_REQUIRES_PYTHON": "1"},
            )
        ),
    ),
    "what nobody understands": several(*(asked(f"{text}\n") for text in ("one", "one --new", "one --new=1", "--new"))),
    "the installer": several(asked("one\n"), asked("one\n", installer="uv")),
    "what uv is told": several(
        asked("one\n", installer="uv"),
        asked("one\n--pre\n", installer="uv"),
        asked(f"one\n-i {A}\n", installer="uv"),
        asked("one\n--no-binary one\n", installer="uv"),
        asked("one\n", variables={"UV_RESOLUTION": "lowest"}, installer="uv"),
        asked("one\n", variables={"UV_PRERELEASE": "allow"}, installer="uv"),
    ),
    "variables of the key": several(
        asked("one\n"),
        *(asked("one\n", variables={"CFLAGS": value}, key_env=("CFLAGS",)) for value in ("-O2", "-O3", "")),
        asked("one\n", variables={"CFLAGS": "-O2"}, key_env=("CFLAGS", "LDFLAGS")),
        asked("one\n", variables={"LDFLAGS": "-O2"}, key_env=("LDFLAGS",)),
    ),
    "seed, salt and patch versions": several(
        asked("one\n"),
        asked("one\n", seed=False),
        asked("one\n", salt="pinch"),
        asked("one\n", any_patch=True),
    ),
    "a value of a variable": several(*(asked("one==${V}\n", variables={"V": value}) for value in ("1", "2"))),
    "a variable in a URL": several(
        asked("https://f.example/${V}/one.zip\n"), asked("https://f.example/${W}/one.zip\n")
    ),
    "what a marker says": several(
        asked("one\n"),
        asked("one ; os_name == 'nt'\ntwo\n"),
        asked("one\ntwo ; os_name == 'posix'\n"),
        asked("one ; os_name == 'nt'\n"),
    ),
    "a name or a local file": several(asked("one\n"), asked("./one\n", {"one/pyproject.toml": PROJECT})),
    "what continues": several(asked("one\\\ntwo==1\n"), asked("one\ntwo==1\n")),
    "what is a comment": several(asked("one==1 #.1\n"), asked("one==1.1\n"), asked("# one==1\n")),
}


@pytest.mark.parametrize("ways", DIFFERENT.values(), ids=DIFFERENT)
def test_what_can_differ_in_effect_has_keys_of_its_own(ways: tuple[Asked, ...], key: Callable[[Asked], EnvKey]) -> None:
    """No two of these come to the same environment for certain, so no two have the same key."""
    assert len(ways) > 1
    assert len(ways) == len({key(way) for way in ways})


def test_the_tables_are_as_long_as_they_claim() -> None:
    """Both sides are looked at alike."""
    assert min(len(SAME), len(DIFFERENT)) >= 35
