"""What the boot scripts are made of: signatures, logins, settings, revocations; and that they are POSIX shell."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from scripts.boot import credentials, itself, running, stores, trusted
from scripts.boot.credentials import Keys
from scripts.boot.running import Failure
from scripts.boot.stores import Bucket, Web
from terrastore import interpreter
from terrastore.host import Host
from tests.bare_machine import SCRIPTS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = ("bootstrap.sh", "restore.sh")


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take what the developer's own surroundings say away."""
    for name in os.environ:
        if name.startswith(("AWS_", "TERRASTORE_", "BOOT_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "etc"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr(running, "ARGUMENTS", [])


@pytest.mark.parametrize("name", NAMES)
def test_posix_shell(name: str) -> None:
    """shellcheck has nothing to say, in the dialect that every machine has."""
    checker = f"{sys.prefix}/bin/shellcheck"
    done = subprocess.run([checker, "--shell=sh", SCRIPTS / name], capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stdout)


def test_scripts_are_what_they_are_made_of() -> None:
    """What is committed is what the modules make; a script that was edited is found."""
    command = [sys.executable, str(SCRIPTS / "boot-scripts"), "--check"]
    assert 0 == subprocess.run(command, check=False).returncode


@pytest.mark.parametrize("name", NAMES)
def test_every_variable_is_told(name: str) -> None:
    """The head of each script lists those that it reads."""
    head, _, program = (SCRIPTS / name).read_text().partition("\nset -eu\n")
    # Nobody calls these.
    shared = {"BOOT_PIP", "BOOT_DIR"} if name == "restore.sh" else set[str]()
    assert set(re.findall("BOOT_[A-Z0-9]+", program)) - shared == set(re.findall("BOOT_[A-Z0-9]+", head))


@pytest.mark.parametrize("token", ["", "a+token/=="])
@pytest.mark.parametrize("name", ["v1/self/cp311-linux_x86_64.json", "v1/self/files/00/local+version-1.0 (1).whl"])
def test_signatures_are_those_of_aws(monkeypatch: pytest.MonkeyPatch, name: str, token: str) -> None:
    """As botocore signs the same request at the same moment."""
    monkeypatch.setattr(stores, "credentials", lambda _: Keys("AKIDEXAMPLE", "secret", token))
    bucket = Bucket("s3://acme-envs/web/%7Ethere?region=eu-central-1")
    ours = bucket.request(name)
    theirs = AWSRequest(method="GET", url=ours.full_url)
    headers = {name.lower(): value for name, value in ours.header_items()}
    theirs.headers["X-Amz-Date"] = headers["x-amz-date"]
    signer = S3SigV4Auth(Credentials("AKIDEXAMPLE", "secret", token or None), "s3", "eu-central-1")
    theirs.context["timestamp"] = headers["x-amz-date"]
    theirs.context["payload_signing_enabled"] = True
    theirs.headers["X-Amz-Content-SHA256"] = headers["x-amz-content-sha256"]
    if token:
        theirs.headers["X-Amz-Security-Token"] = token
    asked = signer.canonical_request(theirs)
    signature = signer.signature(signer.string_to_sign(theirs, asked), theirs)
    assert headers["authorization"].endswith(f"Signature={signature}")


@pytest.mark.parametrize(
    ("expected", "url", "variables"),
    [
        ("https://acme.s3.eu-central-1.amazonaws.com/web", "s3://acme/web/", {"AWS_REGION": "eu-central-1"}),
        ("https://s3.us-east-2.amazonaws.com/ac.me", "s3://ac.me", {"AWS_DEFAULT_REGION": "us-east-2"}),
        ("https://acme.s3.cn-north-1.amazonaws.com.cn", "s3://acme?region=cn-north-1", {}),
        ("http://10.0.0.1:9000/acme/web", "s3://acme/web?region=x", {"AWS_ENDPOINT_URL": "http://10.0.0.1:9000/"}),
        ("https://s3.example/acme", "s3://acme?region=x&endpoint_url=https://s3.example", {}),
    ],
)
def test_where_a_bucket_is(monkeypatch: pytest.MonkeyPatch, expected: str, url: str, variables: dict[str, str]) -> None:
    """By region, or by endpoint."""
    for name, value in ({"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"} | variables).items():
        monkeypatch.setenv(name, value)
    assert f"{expected}/v1/x" == Bucket(url).request("v1/x").full_url


def test_nothing_is_signed_for_anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A public bucket needs no credentials."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert [] == Bucket("s3://acme?anonymous=true&region=x").request("v1/x").header_items()
    with pytest.raises(Failure, match="no credentials"):
        Bucket("s3://acme?region=x")


class Metadata(BaseHTTPRequestHandler):
    """EC2's instance metadata service, version 2, and a container's credentials."""

    keys = json.dumps({"AccessKeyId": "a", "SecretAccessKey": "s", "Token": "t"})

    def do_PUT(self) -> None:
        self.say("a token" if self.headers.get("X-aws-ec2-metadata-token-ttl-seconds") else None)

    def do_GET(self) -> None:
        allowed = self.headers.get("X-aws-ec2-metadata-token") == "a token"
        said = {
            "/latest/meta-data/iam/security-credentials/": "role\n",
            "/latest/meta-data/iam/security-credentials/role": self.keys,
            "/latest/meta-data/placement/region": "eu-west-3",
        }
        if self.path == "/container":
            allowed, said = self.headers.get("Authorization") == "from a file", {"/container": self.keys}
        self.say(said.get(self.path) if allowed else None)

    def say(self, text: str | None) -> None:
        self.send_response(401 if text is None else 200)
        self.end_headers()
        self.wfile.write((text or "").encode())

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def metadata() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Metadata) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_machines_role(monkeypatch: pytest.MonkeyPatch, metadata: str) -> None:
    """Keys and region, with a token of the session; no proxy is asked."""
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    bucket = Bucket("s3://acme")
    assert Keys("a", "s", "t") == bucket._keys
    assert bucket.request("x").full_url.startswith("https://acme.s3.eu-west-3.")


def test_a_containers_keys(monkeypatch: pytest.MonkeyPatch, metadata: str, tmp_path: Path) -> None:
    """With the token that is in a file."""
    (tmp_path / "token").write_text("from a file\n")
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{metadata}/container")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "token"))
    assert Keys("a", "s", "t") == credentials.credentials(None)


def test_a_profile_is_for_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is asked for what it knows; where it is not there, that is told."""
    with pytest.raises(Failure, match="aws has none, or is not there"):
        credentials.credentials("web")
    answer = {"Version": 1, "AccessKeyId": "a", "SecretAccessKey": "s", "SessionToken": "t"}
    asked = "configure export-credentials --profile web"
    (tmp_path / "aws").write_text(f"#!/bin/sh\n[ \"$*\" = '{asked}' ] && echo '{json.dumps(answer)}'\n")
    (tmp_path / "aws").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert Keys("a", "s", "t") == credentials.credentials("web")


def test_what_is_said_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A flag beats a variable, that the user's settings, these the machine's."""
    for folder, store in ((".config", "/of/user"), ("etc", "/of/machine")):
        (tmp_path / folder / "terrastore").mkdir(parents=True)
        (tmp_path / folder / "terrastore/terrastore.toml").write_text(f'store = ["{store}", "/other"]\n')
    assert ["/of/user", "/other"] == running.settings("store")
    (tmp_path / ".config/terrastore/terrastore.toml").unlink()
    assert ["/of/machine", "/other"] == running.settings("store")
    monkeypatch.setenv("TERRASTORE_STORE", "/of/variable\n/again")
    assert ["/of/variable", "/again"] == running.settings("store")
    monkeypatch.setattr(running, "ARGUMENTS", ["--store", "/flag", "-q", "--store=/more", "--stores", "/x"])
    assert {"/flag", "/more"} == set(running.settings("store"))
    assert [] == running.settings("realm")
    (tmp_path / "etc/terrastore/terrastore.toml").write_text("store =\n")
    with pytest.raises(Failure, match=r"terrastore\.toml cannot be read"):
        running.settings("trust")


def test_a_trust_that_is_empty_is_none_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script's empty variable does not mean that anybody is trusted."""
    assert trusted.trust_lines() is None
    monkeypatch.setenv("TERRASTORE_TRUST", "")
    with pytest.raises(Failure, match="the trust file '' cannot be read"):
        trusted.trust_lines()


@pytest.mark.parametrize(
    ("expected", "text", "version"),
    [
        (True, "alpha==1.0", "1.0"),
        (True, "Alpha==1", "1.0.0"),
        (False, "alpha==1.0", "1.0.1"),
        (False, "alpha==1.0", "10"),
        (False, "alpha==1.10", "1.1"),
        (False, "beta==1.0", "1.0"),
        (True, "al.pha==1.0", "1.0"),
        (True, "alpha", "2.0"),
        (True, "alpha<2", "3.0"),
        (True, "alpha==1.*", "3.0"),
        (True, "alpha==1.0,!=2", "3.0"),
        (True, "alpha==1.0", "1.0+local"),
        (True, "alpha===1.0", "2.0"),
        (True, "alpha==1.0rc1", "2.0"),
    ],
)
def test_what_is_revoked(expected: bool, text: str, version: str) -> None:
    """Numbers are compared; what is more than that counts as revoked, for nobody here can tell."""
    name = "al-pha" if text.startswith("al.") else "alpha"
    assert expected is trusted.may_be_revoked(text, name, version)


def test_the_tag_is_that_of_keys() -> None:
    """What machines ask for is what is published."""
    assert f"{interpreter.find(None).tag}-{Host.here().tag}" == itself.tag()
    found = Host.here().libc
    assert found is not None
    assert (found[0], list(found[1])) == (itself.libc()[0], itself.numbers(itself.libc()[1]))


@pytest.mark.parametrize(
    ("url", "place", "keeps"),
    [("https://a.example/x", "https://a.example/y", True), ("https://a.example/x", "https://b.example/y", False)],
)
def test_a_login_stays_where_it_is_for(url: str, place: str, keeps: bool) -> None:
    """Redirected to another host it is not sent."""
    web = Web(url.replace("://", "://user:p%40ss@"))
    asked = web.request("name")
    assert "Basic dXNlcjpwQHNz" == asked.get_header("Authorization")
    new = stores.SafeRedirects().redirect_request(asked, None, 302, "Found", {}, place)
    assert new is not None
    assert keeps is new.has_header("Authorization")
    with pytest.raises(Failure, match="not encrypted"):
        stores.SafeRedirects().redirect_request(asked, None, 302, "Found", {}, "http://a.example/y")
    assert "p%40ss" not in web.name
    assert urlsplit(url).netloc in web.name


def test_a_workspace_is_for_one(tmp_path: Path) -> None:
    """What a killed run left goes; what another one has stays."""
    (tmp_path / ".new-left").mkdir()
    (tmp_path / "new-other").mkdir()
    with running.workspace(str(tmp_path), ".new-") as one, running.workspace(str(tmp_path), ".new-") as other:
        assert {one, other, str(tmp_path / "new-other")} == {str(path) for path in tmp_path.iterdir()}
    assert ["new-other"] == os.listdir(tmp_path)
    with contextlib.suppress(KeyError), running.workspace(str(tmp_path), ".new-"):
        raise KeyError
    assert ["new-other"] == os.listdir(tmp_path)
