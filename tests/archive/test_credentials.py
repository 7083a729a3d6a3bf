"""Which files of settings hold a secret."""

from __future__ import annotations

import pytest

from terrastore.archive.credentials import holds_secret, is_settings

HOLDING = {
    "password in a URL": "[global]\nindex-url = https://user:hunter2@a.example/simple\n",
    "token as the user": "[global]\nextra-index-url =\n    https://hunter2@a.example/simple\n",
    "token in a query": "[global]\nfind-links = https://a.example/x?token=hunter2\n",
    "netrc": "machine a.example\n  login user\n  password hunter2\n",
    "netrc, one line": "machine a.example login user password hunter2",
    ".pypirc": "[pypi]\nusername = __token__\npassword = hunter2\n",
    ".pypirc, with a colon": "[pypi]\npassword: hunter2\n",
    ".npmrc": "//registry.example/:_authToken=hunter2\n",
    "git's credentials": "https://user:hunter2@git.example\n",
    "JSON": '{"ServerApp": {"token": "hunter2"}}',
    "JSON, hashed": '{"IdentityProvider": {"hashed_password": "argon2:hunter2"}}',
    "Python": "c.ServerApp.password = 'argon2:hunter2'\n",
    "half of it a variable": "index-url = https://${USER}:hunter2@a.example/simple\n",
}
FREE = {
    "an index": "[global]\nindex-url = https://a.example/simple\ntimeout = 60\n",
    "empty": "",
    "a comment": "# password = hunter2\n; token = hunter2\n",
    "a comment, indented": "  # c.ServerApp.token = 'hunter2'\n",
    "a variable": "//registry.example/:_authToken=${NPM_TOKEN}\n",
    "variables in a URL": "index-url = https://${USER}:${TOKEN}@a.example/simple\n",
    "no value": "[pypi]\nusername = __token__\npassword =\n\n[other]\nrepository = https://a.example\n",
    "JSON, no value": '{"ServerApp": {"token": "", "password": ""}}',
    "JSON, no text": '{"ServerApp": {"token": null, "allow_password_change": false}}',
    "Python, asked for": "c.ServerApp.token = os.environ['TOKEN']\n",
    "a mail address": "author = me@a.example\n",
}


@pytest.mark.parametrize("text", HOLDING.values(), ids=HOLDING)
def test_secrets_are_found(text: str) -> None:
    """In a URL, or as a value of its own, however the file is written."""
    assert holds_secret(text.encode())


@pytest.mark.parametrize("text", FREE.values(), ids=FREE)
def test_what_is_no_secret(text: str) -> None:
    """A comment, a variable and an empty value give nothing away."""
    assert not holds_secret(text.encode())


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("pip.conf", True),
        ("etc/pip.conf", True),
        (".netrc", True),
        ("src/one/.pypirc", True),
        ("etc/jupyter/jupyter_server_config.json", True),
        ("src/one/jupyter/config.py", False),
        ("etc/jupyter/nbconfig/notebook.d/x.json", False),
        ("lib/python3.11/site-packages/x/tests/pip.conf", False),
        ("etc/my-pip.conf", False),
        ("share/pip.conf.d", False),
    ],
)
def test_settings_are_known_by_name(path: str, expected: bool) -> None:
    """By the names that tools look for, outside of the packages themselves."""
    assert expected == is_settings(path)
