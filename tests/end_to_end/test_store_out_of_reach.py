"""A store that does not answer: the run ends, unless it is told to build."""

import os

import pytest

from tests.conftest import CommandLine
from tests.servers import NO_FILE

NOBODY = {
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": NO_FILE,
    "AWS_SHARED_CREDENTIALS_FILE": NO_FILE,
}


@pytest.fixture
def lonely(cli: CommandLine) -> CommandLine:
    """Return a command line whose store is where nobody listens."""
    cli.env |= NOBODY | {"TERRASTORE_STORE": "s3://bucket/envs"}
    cli.write("requirements.txt", "alpha==1.0\n")
    return cli


def test_it_fails_unless_told_otherwise(lonely: CommandLine) -> None:
    """What the store has is not known, so nothing is built."""
    for arguments in ((), ("--on-store-error", "fail"), ("--on-store-error", "build", "--no-build")):
        result = lonely("ensure", *arguments)
        assert (6, "") == (result.code, result.out)
        assert "cannot be reached" in result.err
        assert not os.path.exists(lonely.cwd / ".venv")


def test_it_builds_when_told(lonely: CommandLine) -> None:
    """With one warning, and without asking the store again; the next run keeps it."""
    told = lonely.ok("ensure", "--on-store-error", "build", "--json").json
    (warning,) = told["warnings"]
    assert ("built", None) == (told["outcome"], told["store"])
    assert "s3://bucket/envs cannot be reached" in warning
    assert "it is built for this machine alone" in warning
    assert "kept" == lonely.ok("ensure", "--json").json["outcome"]


def test_what_must_be_published_is_not_built_blindly(lonely: CommandLine) -> None:
    """--require-publish ends with the store's own error."""
    result = lonely("ensure", "--on-store-error", "build", "--require-publish")
    assert 6 == result.code
    assert "cannot be reached" in result.err


def test_a_nearer_store_takes_it(lonely: CommandLine) -> None:
    """What is built goes to a store that answers."""
    near = lonely.home / "near"
    stores = ("--store", str(near), "--store", "s3://bucket/envs")
    told = lonely.ok("ensure", "--on-store-error", "build", "--json", *stores).json
    assert ("built", str(near)) == (told["outcome"], told["store"])
    assert "fetched" == lonely.ok("ensure", "--target", "other", "--json", *stores).json["outcome"]
