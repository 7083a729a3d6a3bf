"""The installed pip itself takes files for what we take them for, and what it is told for what the files say."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock
from urllib.parse import unquote, urlsplit

import pytest
from packaging.specifiers import SpecifierSet

from terrastore import interpreter
from terrastore.errors import TerrastoreError
from terrastore.inputs import Inputs
from terrastore.requirements.pip_lines import ForPip
from terrastore.requirements.specifiers import canonical_specifiers
from tests.requirements.generated import TREE, VARIABLES, Case, generated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ORACLE = Path(__file__).with_name("pip_oracle.py")
REAL = Path(__file__).parents[1] / "data" / "requirements"
GENERATED = 600

NOT_TOLD = frozenset({"no-require-hashes", "require-hashes", "use-feature"})
"""What is compared otherwise."""
STRICTER = {
    "what stands behind @ is no URL": "pip finds out when it looks there",
    "pip would take the requirement": "pip makes an editable of the requirement in front of -e, and forgets the other",
    "lacks its value": "pip takes an option with an empty value for one that is not there, or for a folder",
}
"""What we refuse and pip does not, by what is said of it, and why."""
LOOSER = {
    "Allowed hash algorithms": "pip looks at a hash on a line of its own before it ignores it",
    r"\\x00": "pip guesses the encoding of a file that is named by its URL, as a browser does",
}
"""What pip refuses and we do not, by what it says, and why."""


@pytest.fixture(autouse=True)
def one_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for the interpreter once."""
    monkeypatch.setattr(interpreter, "find", functools.cache(interpreter.find))


def oracle(cases: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what pip makes of each."""
    text = "".join(json.dumps(case) + "\n" for case in cases)
    command = [sys.executable, "-X", "utf8", str(ORACLE)]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True, encoding="utf-8")
    return [json.loads(line) for line in done.stdout.splitlines()]


class Compared:
    """One case on disk: what pip makes of the user's files, and what we do."""

    def __init__(self, folder: Path, case: Case) -> None:
        self.case = case
        self.directory = folder / "work"
        for path, content in {**{path: text.encode() for path, text in TREE.items()}, **case.files}.items():
            place = self.directory / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        (folder / "pip.conf").write_text(case.conf)
        self.variables = VARIABLES | {
            "HERE": str(self.directory),
            "HOME": str(self.directory / "home"),
            "LANG": "C.UTF-8",
            "PATH": os.environ["PATH"],
            "PIP_CONFIG_FILE": str(folder / "pip.conf"),
            "XDG_CONFIG_DIRS": str(folder),
            **case.variables,
        }
        self.error = ""
        self.said: ForPip | None = None
        self.requirements: tuple[str, ...] = ()
        self.flat: dict[str, Any] = {}
        with mock.patch.dict(os.environ, self.variables, clear=True):
            here = os.getcwd()
            os.chdir(self.directory)
            try:
                self._read(folder)
            except TerrastoreError as error:
                self.error = error.message
            finally:
                os.chdir(here)

    def _read(self, folder: Path) -> None:
        asked: dict[str, Any] = {"requirements": ("a.txt",), **self.case.said}
        request, said = Inputs(**asked).read()
        assert isinstance(said, ForPip)
        self.said, self.requirements = said, request.requirements.requirements
        written = {"requirement": [*said.options(), *said.requirements], "constraint": said.constraints}
        for option, lines in written.items():
            (folder / option).write_bytes("".join(f"{line}\n" for line in lines).encode())
        settings = {f"PIP_{name.upper().replace('-', '_')}": value for name, value in said.settings.items()}
        self.flat = {
            "directory": str(self.directory),
            "arguments": [f"--{option}={folder / option}" for option in written],
            "variables": {"HOME": self.variables["HOME"], "PIP_CONFIG_FILE": os.devnull, **settings},
        }

    @property
    def asked(self) -> dict[str, Any]:
        """What a user would say to pip."""
        said = {"requirements": ("a.txt",), **self.case.said}
        short = {"requirements": "requirement", "constraints": "constraint"}
        arguments = []
        for name, value in said.items():
            option = "--" + short.get(name, name).replace("_", "-")
            arguments += [option] if value is True else []
            arguments += [f"{option}={each}" for each in ([value] if isinstance(value, str) else [])]
            arguments += [f"{option}={each}" for each in (value if isinstance(value, tuple) else [])]
        return {"directory": str(self.directory), "arguments": arguments, "variables": self.variables}

    def place(self, text: str) -> str:
        """Return a place of distributions in one spelling."""
        if text.startswith("file:"):
            return unquote(urlsplit(text).path)
        return text if "://" in text else os.path.normpath(self.directory / text)


def control(one: list[str], other: list[str]) -> tuple[list[str], list[str]]:
    """Return names that say the same in the fewest words; of two that say all the first is heard."""
    if ":all:" in one:
        return [":all:"], sorted({*other} - {":all:", ""})
    if ":all:" in other:
        return sorted({*one} - {""}), [":all:"]
    return sorted({*one} - {""}), sorted({*other} - {""})


def effect(case: Compared, answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer in one spelling."""
    found = dict(answer)
    found["prefer_binary"] = bool(answer["prefer_binary"])
    found["find_links"] = [case.place(each) for each in answer["find_links"]]
    found["only_binary"], found["no_binary"] = control(answer["only_binary"], answer["no_binary"])
    found["all_releases"], found["only_final"] = control(answer["all_releases"], answer["only_final"])
    return found


def canonical(found: dict[str, Any]) -> str:
    """Return the canonical line of a requirement by name, as pip sees it."""
    extras = f"[{','.join(found['extras'])}]" if found["extras"] else ""
    hashes = sorted(f"--hash={name}:{value}" for name, values in found["hashes"].items() for value in {*values})
    return " ".join((found["name"] + extras + canonical_specifiers(SpecifierSet(found["specifier"])), *hashes))


def by_name(lines: Sequence[str]) -> set[str]:
    """Return canonical lines of requirements by name alone, without settings of builds."""
    named = [line for line in lines if " @ " not in line and "://" not in line and not line.startswith("-e ")]
    return {re.sub(r" --config-settings=('[^']*'|\S+)", "", line) for line in named}


def told(found: dict[str, Any], default: list[str]) -> dict[str, Any]:
    """Return what a key is to say of where and how pip looks, but for hashes."""
    indexes = ["" if each in default else each for each in found["index_urls"]]
    said = {
        "no-index": found["no_index"],
        "index-url": indexes if indexes != [""] else [],
        "find-links": list(dict.fromkeys(found["find_links"])),
        "no-binary": found["no_binary"],
        "only-binary": found["only_binary"],
        "only-final": found["only_final"],
        "all-releases": found["all_releases"],
        "prefer-binary": found["prefer_binary"],
    }
    if (found["all_releases"], found["only_final"]) == ([":all:"], []):
        said |= {"pre": True, "all-releases": []}
    return {name: value for name, value in said.items() if value}


def disagreement(case: Compared, user: dict[str, Any], flat: dict[str, Any], default: list[str]) -> str:
    """Return what pip and we see differently, "" for nothing."""
    if "error" in user:
        return "" if case.said is None or "error" in flat else f"taken, and refused by pip: {user['error']}"
    if case.said is None or "error" in flat:
        return f"refused: {case.error or flat['error']}"
    seen, again = effect(case, user), effect(case, flat)
    for name in seen:
        if seen[name] != again[name]:
            return f"{name}: {seen[name]} with files, {again[name]} as told"
    if seen["require_hashes"] != case.said.demands_hashes:
        return f"hashes are demanded: {seen['require_hashes']} by pip, {case.said.demands_hashes} by us"
    named = [each for each in seen["requirements"] if not each["link"] and each["applies"]]
    if {*map(canonical, named)} != by_name(case.requirements):
        return f"requirements: {sorted(map(canonical, named))} by pip, {sorted(by_name(case.requirements))} by us"
    case.said.resolution.shown.clear()  # pip has the values of variables
    ours = case.said.resolution.canonical(index=str, links=case.place)
    ours = {name: value for name, value in ours.items() if name not in NOT_TOLD}
    return "" if told(seen, default) == ours else f"where and how: {told(seen, default)} by pip, {ours} by us"


def compared(folder: Path, cases: Mapping[str, Case]) -> tuple[Counter[str], dict[str, str]]:
    """Return how many cases went which way, and what pip and we see differently, by case."""
    on_disk = {}
    for number, (name, case) in enumerate(cases.items()):
        on_disk[name] = Compared(folder / str(number), case)
    empty = folder / "empty"
    empty.mkdir()
    nothing = {"directory": str(empty), "arguments": ["one"], "variables": {"PIP_CONFIG_FILE": os.devnull}}
    first, *by_files = oracle([nothing, *(each.asked for each in on_disk.values())])
    read = [name for name, each in on_disk.items() if each.said is not None]
    as_told = dict(zip(read, oracle([on_disk[name].flat for name in read]), strict=True))
    ways: Counter[str] = Counter()
    different = {}
    for (name, each), user in zip(on_disk.items(), by_files, strict=True):
        ways["refused by pip" if "error" in user else "taken by pip"] += 1
        said = disagreement(each, user, as_told.get(name, {}), first["index_urls"])
        known, text = (LOOSER, user["error"]) if "error" in user else (STRICTER, each.error)
        reason = next((why for pattern, why in known.items() if said and re.search(pattern, text)), None)
        if reason:
            ways[reason] += 1
        elif said:
            different[name] = said
    return ways, different


def report(ways: Counter[str], what: str) -> None:
    print(f"{ways['taken by pip'] + ways['refused by pip']} {what} compared with pip: {dict(ways)}")


DIFFERENT = {
    "one @ ./p\n": "what stands behind @ is no URL",
    "./p -e libs/q\n": "pip would take the requirement",
    "-i ''\n": "lacks its value",
    "--hash=md5:aa\n": "Allowed hash algorithms",
    "-r file://${HERE}/d.txt\n": r"\\x00",
}


def test_known_differences_are_still_there(tmp_path: Path) -> None:
    """Each of the few differences between pip and us shows in an example, and none that does not is listed."""
    assert sorted((*STRICTER, *LOOSER)) == sorted(DIFFERENT.values())
    cases = {text: Case({"a.txt": text.encode(), "d.txt": "\ufeffone\n".encode("utf-16-be")}) for text in DIFFERENT}
    ways, different = compared(tmp_path, cases)
    assert {} == different
    assert {*STRICTER.values(), *LOOSER.values()} <= ways.keys()


def test_real_files(tmp_path: Path) -> None:
    """Files as projects have them are to pip what they are to us, alone and as it is told."""
    files = {path.name: path.read_bytes() for path in sorted(REAL.iterdir())}
    variables = {
        "FLASK_VERSION": "3.0.3",
        "FLAVOUR": "docs",
        "GIT_TOKEN": "token",
        "INDEX_PASSWORD": "word%21",
        "INDEX_USER": "me",
        "WERKZEUG": ">=3,<4",
    }
    ways, different = compared(tmp_path, {name: Case(files, {"requirements": (name,)}, variables) for name in files})
    report(ways, "files of projects")
    assert {} == different
    assert {"taken by pip"} == ways.keys()
    assert len(files) >= 30


def test_generated_files(tmp_path: Path) -> None:
    """Of hundreds of files in every spelling none is another thing to pip than to us, and to pip as it is told."""
    cases = {f"seed {seed}": generated(seed) for seed in range(GENERATED)}
    ways, different = compared(tmp_path, cases)
    report(ways, "generated files")
    assert {} == different
    assert ways["taken by pip"] > GENERATED // 2
    assert ways["refused by pip"] > GENERATED // 20
