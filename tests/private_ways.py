"""The ways in which a login is told, as a person would write them, and runs that use one of them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import quote

from tests.planted import ProcessList, found_below, found_in
from tests.private_index import (
    ODD_PASSWORD,
    ODD_READER,
    READER,
    TOKEN,
    TOKEN_AS_USER,
    TOKEN_IN_PATH,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.conftest import CommandLine
    from tests.private_index import PrivateIndex

REQUIREMENTS = "privately==1.0\nhomemade==1.0\n"

# Answers as keyring's own command does: to pip, which asks for both, and to uv, which asks for the password.
KEYRING = """#!/bin/sh
case "$*" in
    *--mode=creds*--output=json*get*|*--mode*creds*get*) echo '{{"username": "{user}", "password": "{password}"}}' ;;
    get*{user}) echo '{password}' ;;
    *) exit 1 ;;
esac
"""


@dataclass(kw_only=True)
class Told:
    """How a login is told: arguments, variables, what the requirements file begins with, and files with secrets.

    ``bare``, ``bare_variables`` and ``bare_files`` say the same without a login; ``bare`` is None where the secret is
    in what tells one index from another.
    """

    arguments: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    head: str = ""
    planted: tuple[Path, ...] = ()
    bare: str | None = "-i {plain}\n"
    bare_variables: Mapping[str, str] = field(default_factory=dict)
    bare_files: Mapping[Path, str] = field(default_factory=dict)


Way: TypeAlias = "Callable[[CommandLine, PrivateIndex], Told]"


def login(index: PrivateIndex) -> str:
    return index.url(f"{READER}:{TOKEN}")


def odd_login(index: PrivateIndex) -> str:
    return index.url(f"{ODD_READER}:{quote(ODD_PASSWORD, safe='')}")


def planted(path: Path, text: str, mode: int = 0o600) -> Path:
    """Write a file that holds a secret."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def netrc(path: Path, index: PrivateIndex) -> Path:
    host = index.host.partition(":")[0]
    return planted(path, f"machine {host}\n  login {READER}\n  password {TOKEN}\n")


def keyring(cli: CommandLine) -> tuple[Path, str]:
    """Write a ``keyring`` command; return it, and a PATH that has it."""
    program = planted(cli.home / "bin/keyring", KEYRING.format(user=READER, password=TOKEN), 0o700)
    return program, f"{program.parent}:{cli.env['PATH']}"


OF_BOTH: dict[str, Way] = {
    "`-i` on the command line": lambda _, index: Told(arguments=("-i", login(index))),
    "`TERRASTORE_INDEX_URL`": lambda _, index: Told(variables={"TERRASTORE_INDEX_URL": login(index)}),
    "`index-url` in `terrastore.toml`": lambda cli, index: Told(
        planted=(planted(cli.cwd / "terrastore.toml", f'index-url = "{login(index)}"\n'),)
    ),
    "`-i` in a requirements file": lambda _, index: Told(head=f"-i {login(index)}\n"),
    "the same, with variables: `https://${LOGIN}:${PASSWORD}@host/`": lambda _, index: Told(
        head=f"-i {index.url('${LOGIN}:${PASSWORD}')}\n", variables={"LOGIN": READER, "PASSWORD": TOKEN}
    ),
    "the same, percent-encoded: `p%40ss`": lambda _, index: Told(head=f"-i {odd_login(index)}\n"),
    "the same, a percent-encoded variable": lambda _, index: Told(
        head=f"-i {index.url(ODD_READER + ':${PASSWORD}')}\n", variables={"PASSWORD": quote(ODD_PASSWORD, safe="")}
    ),
    "a token as the user: `https://TOKEN@host/`": lambda _, index: Told(head=f"-i {index.url(TOKEN_AS_USER)}\n"),
    "the same, with an empty password: `https://TOKEN:@host/`": lambda _, index: Told(
        head=f"-i {index.url(TOKEN_AS_USER + ':')}\n"
    ),
    "the same, with a word as the password: `https://TOKEN:x-oauth-basic@host/`": lambda _, index: Told(
        head=f"-i {index.url(TOKEN_AS_USER + ':x-oauth-basic')}\n"
    ),
    "a token in the path: `https://host/TOKEN/simple`": lambda _, index: Told(
        head=f"-i {index.with_token_in_path()}\n", bare=None
    ),
    "the same, as a variable: `https://host/${TOKEN}/simple`": lambda _, index: Told(
        head=f"-i {index.with_token_in_path('${TOKEN}')}\n", variables={"TOKEN": TOKEN_IN_PATH}, bare=None
    ),
    "the file that `NETRC` names": lambda cli, index: Told(
        head=f"-i {index.plain}\n",
        variables={"NETRC": str(cli.home / "logins")},
        planted=(netrc(cli.home / "logins", index),),
    ),
    "`~/.netrc`": lambda cli, index: Told(head=f"-i {index.plain}\n", planted=(netrc(cli.home / ".netrc", index),)),
    "`-f` with a URL": lambda _, index: Told(
        head="--no-index\n"
        + "".join(f"-f {index.url(f'{READER}:{TOKEN}')}{name}/\n" for name in ("privately", "homemade")),
        bare="--no-index\n-f {plain}privately/\n-f {plain}homemade/\n",
    ),
}


def run_with(cli: CommandLine, index: PrivateIndex, told: Told) -> None:
    """Ensure an environment; it is the one, its key that without a login, and no byte of any secret is left."""
    requirements = cli.write("requirements.txt", told.head + REQUIREMENTS)
    (cli.home / "tmp").mkdir()
    cli.env |= {"TMPDIR": str(cli.home / "tmp"), **told.variables}
    with ProcessList() as processes:
        process = cli.start("ensure", "-vv", *told.arguments)
        processes.besides = {process.pid}
        out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert [] == processes.showing()
    target = cli.cwd / ".venv"
    (module,) = target.glob("lib/*/site-packages/homemade.py")
    assert "MADE_WITH = 'privately'\n" == module.read_text()
    assert {} == found_below(cli.home, cli.cache, besides={requirements, *told.planted})
    explained = cli.ok("key", "--explain", *told.arguments)
    for text in (out, errors, explained.out, explained.err):
        assert [] == found_in(text.encode())
    manifest = json.loads((target / ".terrastore/manifest.json").read_text())
    assert {"homemade"} == {each["name"] for each in manifest["packages"] if each["built"]}
    for path in told.planted:
        path.unlink()
    for name in told.variables.keys() - {"PATH"}:
        del cli.env[name]
    if told.bare is not None:
        cli.write("requirements.txt", told.bare.format(plain=index.plain) + REQUIREMENTS)
        for path, text in told.bare_files.items():
            path.write_text(text)
        assert manifest["key"] == cli.ok("key", **told.bare_variables).out.strip()
