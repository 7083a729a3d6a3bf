"""A private index with pip: every way to tell a login builds, and leaves no byte of it anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.private_index import READER, TOKEN
from tests.private_ways import OF_BOTH, Told, keyring, login, planted, run_with

if TYPE_CHECKING:
    from tests.conftest import CommandLine
    from tests.private_index import PrivateIndex
    from tests.private_ways import Way


def _configured(place: str, **variables: str) -> Way:
    def way(cli: CommandLine, index: PrivateIndex) -> Told:
        path = planted(cli.home / place, f"[global]\nindex-url = {login(index)}\n")
        return Told(planted=(path,), variables={name: str(path) for name in variables})

    return way


def _keyring(cli: CommandLine, index: PrivateIndex) -> Told:
    program, path = keyring(cli)
    return Told(
        head=f"-i {index.plain}\n",
        variables={"PATH": path, "PIP_KEYRING_PROVIDER": "subprocess"},
        planted=(program,),
    )


def _keyring_with_user(cli: CommandLine, index: PrivateIndex) -> Told:
    told = _keyring(cli, index)
    told.head = f"-i {index.url('reader')}\n"
    return told


def _encrypted(cli: CommandLine, index: PrivateIndex) -> Told:
    # Only what it has by HTTPS pip keeps.
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        cli.env.pop(name, None)
    return Told(
        head=f"-i {index.tls_url(f'{READER}:{TOKEN}')}\n",
        variables={"PIP_CERT": index.ca},
        bare=f"-i https://{index.tls_host}{index.path}\n",
    )


WAYS: dict[str, Way] = OF_BOTH | {
    "`-i` with HTTPS, answers kept by pip": _encrypted,
    "`PIP_INDEX_URL`": lambda _, index: Told(variables={"PIP_INDEX_URL": login(index)}),
    "`PIP_EXTRA_INDEX_URL`": lambda cli, index: Told(
        variables={"PIP_INDEX_URL": f"http://{index.host}/nothing", "PIP_EXTRA_INDEX_URL": login(index)},
        bare=f"-i http://{index.host}/nothing\n--extra-index-url {{plain}}\n",
    ),
    "the file that `PIP_CONFIG_FILE` names": _configured("settings/pip.conf", PIP_CONFIG_FILE="it"),
    "`~/.config/pip/pip.conf`": _configured(".config/pip/pip.conf"),
    "keyring": _keyring,
    "keyring, the user in the URL": _keyring_with_user,
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_login_is_used_and_found_nowhere(way: Way, online: CommandLine, private_index: PrivateIndex) -> None:
    """It reaches the index, and no list of processes, file, cache, key or message; the key is that without it."""
    run_with(online, private_index, way(online, private_index))
