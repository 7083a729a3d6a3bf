"""A private index with uv: every way to tell a login builds, and leaves no byte of it anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.private_index import TOKEN
from tests.private_ways import OF_BOTH, Told, keyring, login, planted, run_with

if TYPE_CHECKING:
    from tests.conftest import CommandLine
    from tests.private_index import PrivateIndex
    from tests.private_ways import Way


def _uv_toml(place: str, text: str) -> Way:
    def way(cli: CommandLine, index: PrivateIndex) -> Told:
        path = planted(cli.home / place, text.format(url=login(index)))
        return Told(planted=(path,), bare="", bare_files={path: text.format(url=index.plain)})

    return way


def _variable(name: str, said: str = "{url}") -> Way:
    def way(_: CommandLine, index: PrivateIndex) -> Told:
        bare = {name: said.format(url=index.plain)}
        return Told(variables={name: said.format(url=login(index))}, bare="", bare_variables=bare)

    return way


def _named(cli: CommandLine, index: PrivateIndex) -> Told:
    text = f'[[index]]\nname = "own"\nurl = "{index.plain}"\ndefault = true\n'
    settings = cli.write("uv.toml", text)
    variables = {"UV_INDEX_OWN_USERNAME": "reader", "UV_INDEX_OWN_PASSWORD": TOKEN}
    return Told(variables=variables, planted=(settings,), bare="", bare_files={settings: text})


def _keyring(cli: CommandLine, index: PrivateIndex) -> Told:
    program, path = keyring(cli)
    return Told(
        head=f"-i {index.url('reader')}\n",
        variables={"PATH": path, "UV_KEYRING_PROVIDER": "subprocess"},
        planted=(program,),
    )


WAYS: dict[str, Way] = OF_BOTH | {
    "`UV_DEFAULT_INDEX`": _variable("UV_DEFAULT_INDEX"),
    "`UV_INDEX_URL`": _variable("UV_INDEX_URL"),
    "`UV_INDEX`": _variable("UV_INDEX", "own={url}"),
    "`UV_INDEX_OWN_USERNAME` and `UV_INDEX_OWN_PASSWORD`, for the index named `own`": _named,
    "`uv.toml`": _uv_toml("project/uv.toml", '[[index]]\nurl = "{url}"\ndefault = true\n'),
    "`~/.config/uv/uv.toml`": _uv_toml(".config/uv/uv.toml", 'index-url = "{url}"\n'),
    "keyring, the user in the URL": _keyring,
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_login_is_used_and_found_nowhere(way: Way, online: CommandLine, private_index: PrivateIndex) -> None:
    """It reaches the index, and no list of processes, file, cache, key or message; the key is that without it."""
    online.env["TERRASTORE_INSTALLER"] = "uv"
    run_with(online, private_index, way(online, private_index))
