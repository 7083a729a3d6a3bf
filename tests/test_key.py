"""A key changes with everything that can change an environment, with nothing else, and never by accident."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from terrastore.errors import UsageError
from terrastore.host import Host
from terrastore.interpreter import Interpreter
from terrastore.key import EnvKey, Request
from terrastore.requirements import RequirementSet
from terrastore.requirements.files import Source

INTERPRETER = Interpreter(
    executable="/usr/bin/python3.11",
    base_prefix="/usr",
    implementation="cpython",
    version=(3, 11, 7, "final", 0),
    soabi="cpython-311-x86_64-linux-gnu",
    free_threaded=False,
    debug=False,
    pointer_bits=64,
)
HOST = Host(system="linux", machine="x86_64", libc=("glibc", (2, 36)), distribution="debian-12")
REQUIREMENTS = RequirementSet(
    requirements=("-e directory @ sha256:bb", "four.whl @ sha256:aa", "one==1", "two[x]>=2"),
    constraints=("three<4",),
    local={"./four.whl": "sha256:aa", "./five": "sha256:bb"},
    sources=(Source("requirements.txt", "cc"),),
)
REQUEST = Request(
    requirements=REQUIREMENTS,
    interpreter=INTERPRETER,
    host=HOST,
    resolution={"index-url": ["https://index.example/simple"], "only-binary": ["two"], "pre": True},
    variables={"CFLAGS": "-O3", "CMAKE_ARGS": None},
    salt="pinch",
)
DIGITS = "0123456789abcdef0123456789abcdef01234567"
TEXT = f"cp311-linux_x86_64-{DIGITS}"


def with_requirements(**changes: Any) -> Request:
    return REQUEST._replace(requirements=REQUIREMENTS._replace(**changes))


def with_interpreter(**changes: Any) -> Request:
    return REQUEST._replace(interpreter=INTERPRETER._replace(**changes))


def with_host(**changes: Any) -> Request:
    return REQUEST._replace(host=HOST._replace(**changes))


DIFFERENT = {
    "requirement": with_requirements(requirements=("one==1.1", "two[x]>=2")),
    "one requirement less": with_requirements(requirements=("one==1",)),
    "constraint": with_requirements(constraints=("three<5",)),
    "constraint as requirement": with_requirements(requirements=("one==1", "three<4", "two[x]>=2"), constraints=()),
    "content of a local file": with_requirements(requirements=("four.whl @ sha256:ab", "one==1", "two[x]>=2")),
    "implementation": with_interpreter(implementation="pypy"),
    "minor version": with_interpreter(version=(3, 12, 7, "final", 0)),
    "patch version": with_interpreter(version=(3, 11, 8, "final", 0)),
    "release level": with_interpreter(version=(3, 11, 7, "candidate", 1)),
    "serial of a candidate": with_interpreter(version=(3, 11, 7, "candidate", 2)),
    "SOABI": with_interpreter(soabi="cpython-311-x86_64-linux-musl"),
    "free-threaded": with_interpreter(free_threaded=True),
    "debug": with_interpreter(debug=True),
    "pointer size": with_interpreter(pointer_bits=32),
    "system": with_host(system="freebsd"),
    "machine": with_host(machine="aarch64"),
    "libc family": with_host(libc=("musl", (2, 36))),
    "no libc": with_host(libc=None),
    "where to look": REQUEST._replace(resolution={"index-url": ["https://other.example/simple"], "pre": True}),
    "how to look": REQUEST._replace(resolution={"index-url": ["https://index.example/simple"]}),
    "nothing is said of it": REQUEST._replace(resolution={}),
    "variable": REQUEST._replace(variables={"CFLAGS": "-O2", "CMAKE_ARGS": None}),
    "variable is set": REQUEST._replace(variables={"CFLAGS": "-O3", "CMAKE_ARGS": ""}),
    "variable is not asked for": REQUEST._replace(variables={"CFLAGS": "-O3"}),
    "variable's name": REQUEST._replace(variables={"CXXFLAGS": "-O3", "CMAKE_ARGS": None}),
    "installer": REQUEST._replace(installer="uv"),
    "seed": REQUEST._replace(seed=False),
    "salt": REQUEST._replace(salt="pepper"),
}
SAME = {
    "equal": with_requirements(),
    "executable": with_interpreter(executable="/opt/python/bin/python3.11"),
    "base prefix": with_interpreter(base_prefix="/opt/python"),
    "libc version": with_host(libc=("glibc", (2, 17))),
    "distribution": with_host(distribution="fedora-42"),
    "what was read": with_requirements(sources=(Source("deploy/all.txt", "dd"), Source("limits.txt", "ee"))),
    "where local files stand": with_requirements(local={"./more/four.whl": "sha256:aa", "/srv/five": "sha256:bb"}),
    "what pip ignores": with_requirements(ignored=("requirements.txt, line 1: pip ignores --pre here",)),
    "what is not pinned": with_requirements(unpinned=("two[x]>=2",)),
    "order of what is said of looking": REQUEST._replace(
        resolution={"pre": True, "only-binary": ["two"], "index-url": ["https://index.example/simple"]}
    ),
    "order of variables": REQUEST._replace(variables={"CMAKE_ARGS": None, "CFLAGS": "-O3"}),
}


@pytest.mark.parametrize("request_", DIFFERENT.values(), ids=DIFFERENT)
def test_what_changes_a_key(request_: Request) -> None:
    """Whatever can change the environment changes its key."""
    assert EnvKey.of(REQUEST) != EnvKey.of(request_)


def test_every_change_makes_a_key_of_its_own() -> None:
    """No two of these requests have the same key."""
    assert len(DIFFERENT) == len({EnvKey.of(each) for each in DIFFERENT.values()})


@pytest.mark.parametrize("request_", SAME.values(), ids=SAME)
def test_what_does_not_change_a_key(request_: Request) -> None:
    """Where things stand, what the distribution is and how the files were split changes no key."""
    assert EnvKey.of(REQUEST) == EnvKey.of(request_)


@pytest.mark.parametrize(
    ("request_", "head"),
    [
        (REQUEST, "cp311-linux_x86_64-"),
        (with_interpreter(version=(3, 14, 0, "final", 0), free_threaded=True), "cp314t-linux_x86_64-"),
        (with_host(machine="aarch64", libc=("musl", (1, 2))), "cp311-linux_musl_aarch64-"),
    ],
    ids=["plain", "free-threaded", "musl"],
)
def test_a_key_says_what_it_is_for(request_: Request, head: str) -> None:
    """Interpreter and host can be read off a key; it is one that can be parsed."""
    key = EnvKey.of(request_)
    assert key.text.startswith(head)
    assert key == EnvKey.parse(key.text)


# These keys name environments in stores that exist. When one of them has to change, SCHEMA changes with it.
VECTORS = {
    "nothing": (
        Request(requirements=RequirementSet(), interpreter=INTERPRETER, host=HOST),
        "cp311-linux_x86_64-b421830a25c1312637665d4d00f66165b9a31c56",
    ),
    "everything": (REQUEST, "cp311-linux_x86_64-5e6e175c2fb6a0cc6bcc00ac72c5ae433d55f669"),
    "another world": (
        Request(
            requirements=RequirementSet(requirements=("café @ https://files.example/☕.zip",)),
            interpreter=INTERPRETER._replace(version=(3, 14, 0, "candidate", 2), free_threaded=True, debug=True),
            host=Host(system="linux", machine="aarch64", libc=("musl", (1, 2)), distribution="alpine-3.20"),
            seed=False,
        ),
        "cp314td-linux_musl_aarch64-2f9bcac246387220724f47d8217d04db5776c59a",
    ),
}


@pytest.mark.parametrize(("request_", "expected"), VECTORS.values(), ids=VECTORS)
def test_keys_stay_what_they_are(request_: Request, expected: str) -> None:
    """The key of a request is the same in every version of terrastore that has this schema."""
    assert expected == str(EnvKey.of(request_))


def test_canonical() -> None:
    """The document behind a key says everything in words."""
    assert {
        "schema": 2,
        "layout": 1,
        "salt": "pinch",
        "interpreter": INTERPRETER.identity(),
        "host": HOST.identity(),
        "installer": "pip",
        "seed": True,
        "requirements": ["-e directory @ sha256:bb", "four.whl @ sha256:aa", "one==1", "two[x]>=2"],
        "constraints": ["three<4"],
        "resolution": {"index-url": ["https://index.example/simple"], "only-binary": ["two"], "pre": True},
        "variables": {
            "CFLAGS": hashlib.sha256(b"-O3").hexdigest(),
            "CMAKE_ARGS": None,
        },
    } == REQUEST.canonical()


def test_without_content() -> None:
    """What a build writes into a project that it builds changes the key, and not what is compared after it."""
    edited = with_requirements(
        requirements=("-e directory @ sha256:cc", "four.whl @ sha256:dd", "one==1", "two[x]>=2"),
        local={"./four.whl": "sha256:dd", "./five": "sha256:cc"},
    )
    assert EnvKey.of(REQUEST) != EnvKey.of(edited)
    assert REQUEST.without_content() == edited.without_content()
    assert REQUEST.without_content() != with_requirements(local={}).without_content()
    assert REQUEST.without_content() != with_requirements(constraints=()).without_content()


def test_values_of_variables_are_never_shown() -> None:
    """A variable's value can be a secret, so the document behind a key holds its digest."""
    shown = json.dumps(REQUEST._replace(variables={"TOKEN": "hunter2"}).canonical())
    assert "TOKEN" in shown
    assert "hunter2" not in shown


def test_values_that_are_no_text() -> None:
    """A variable's bytes need not be UTF-8."""
    odd = REQUEST._replace(variables={"CFLAGS": "-O3\udce9"})
    assert EnvKey.of(REQUEST) != EnvKey.of(odd)


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        f"cp38-linux_musl_aarch64-{DIGITS}",
        f"cp313t-linux_x86_64-{DIGITS}",
        f"cp313td-linux_x86_64-{DIGITS}",
        f"cp311-linux_x86_64-{DIGITS}-debian-12",
        f"cp311-linux_x86_64-{DIGITS}-alpine-3.20.1",
    ],
)
def test_parse(text: str) -> None:
    """What a key looks like is a key, and is written as it was read."""
    assert text == str(EnvKey.parse(text))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("cp311-linux_x86_64", id="no digest"),
        pytest.param(f"cp311-linux_x86_64-{DIGITS[:-1]}", id="39 digits"),
        pytest.param(f"cp311-linux_x86_64-{DIGITS}0", id="41 digits"),
        pytest.param(f"cp311-linux_x86_64-{DIGITS.upper()}", id="upper case"),
        pytest.param(f"cp311-linux_x86_64-{'g' * 40}", id="no hexadecimal digits"),
        pytest.param(f"pp311-linux_x86_64-{DIGITS}", id="another implementation"),
        pytest.param(f"cp-linux_x86_64-{DIGITS}", id="no version"),
        pytest.param(f"cp311--{DIGITS}", id="no host"),
        pytest.param(f"{TEXT}\n", id="line feed"),
        pytest.param(f" {TEXT}", id="space"),
        pytest.param(f"{TEXT}.json", id="a pointer's name"),
        pytest.param(f"{TEXT}-", id="empty distribution"),
        pytest.param(f"{TEXT}-../../etc", id="a path"),
        pytest.param(f"../{TEXT}", id="a path before"),
        pytest.param(f"{TEXT}-Debian", id="distribution in upper case"),
        pytest.param(f"cp\N{ARABIC-INDIC DIGIT THREE}11-linux_x86_64-{DIGITS}", id="digits of another script"),
    ],
)
def test_parse_refuses_nonsense(text: str) -> None:
    """What no request can have for a key is a usage error that shows it."""
    with pytest.raises(UsageError) as raised:
        EnvKey.parse(text)
    assert repr(text) in raised.value.message
    assert raised.value.hint


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [
        ("debian-12", f"{TEXT}-debian-12"),
        ("Alpine-3.20.1", f"{TEXT}-alpine-3.20.1"),
        ("amzn-2023", f"{TEXT}-amzn-2023"),
        ("opensuse-leap-15.6", f"{TEXT}-opensuse-leap-15.6"),
        ("my linux/1:2", f"{TEXT}-my_linux_1_2"),
        ("", TEXT),
    ],
)
def test_for_distribution(distribution: str, expected: str) -> None:
    """A distribution's key is the plain one with the distribution behind, and is a key itself."""
    assert EnvKey(expected) == EnvKey(TEXT).for_distribution(distribution) == EnvKey.parse(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (TEXT, "cp311-linux_x86_64-01234567"),
        (f"cp313t-linux_musl_aarch64-{DIGITS}", "cp313t-linux_musl_aarch64-01234567"),
        (f"{TEXT}-debian-12", "cp311-linux_x86_64-01234567-debian-12"),
    ],
)
def test_short(text: str, expected: str) -> None:
    """Eight digits are enough for a person; a distribution stays."""
    assert expected == EnvKey(text).short


DIGITS = "3f9c0a71" + "5" * 32
SPECIAL = f"cp311-linux_x86_64-{DIGITS}-debian-12"


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (True, f"cp311-linux_x86_64-{DIGITS}"),
        (True, "cp311-linux_x86_64-3f9c0a71"),
        (True, "cp311-linux_x86_64-3f9c0a715"),
        (True, DIGITS),
        (True, "3f9c0a71"),
        (True, SPECIAL),
        (True, "cp311-linux_x86_64-3f9c0a71-debian-12"),
        (False, "cp311-linux_x86_64-3f9c0a7"),
        (False, "cp311-linux_x86_64"),
        (False, "3f9c0a7"),
        (False, ""),
        (False, "cp312-linux_x86_64-3f9c0a71"),
        (False, "cp311-linux_x86_64-3f9c0a72"),
        (False, f"cp311-linux_x86_64-{DIGITS}5"),
        (False, f"cp311-linux_x86_64-{DIGITS}-debian-13"),
        (False, "c0a71555"),
    ],
)
def test_which_key_is_meant(expected: bool, text: str) -> None:
    """The whole key, or as much of it as people see and copy, but no less than eight digits."""
    assert expected is EnvKey(f"cp311-linux_x86_64-{DIGITS}").matches(text, "debian-12")


def test_any_patch_is_a_key_of_its_own() -> None:
    """Patch versions of one series have one key then, and who does not ask for it has the key of before."""
    newer = with_interpreter(version=(3, 11, 9, "final", 0))
    keys = {EnvKey.of(request._replace(any_patch=True)) for request in (REQUEST, newer)}
    assert 1 == len(keys)
    assert not keys & {EnvKey.of(REQUEST), EnvKey.of(newer)}
    assert EnvKey.of(REQUEST) == EnvKey.of(with_interpreter(magic=1))
