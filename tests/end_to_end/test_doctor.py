"""terrastore doctor as a person meets it: every kind of store, whole and broken, and what stays in it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from terrastore.doctor import FAILURE, OK, WARNING
from tests import faults
from tests.conftest import COMMAND, CommandLine, Result
from tests.loopback import certificate
from tests.static_server import StaticServer
from tests.wire import FOREVER, Fault, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.servers import S3Server

LINE = re.compile(r"(ok|warning|failure) +(python|target|builds|store|clock) +(\S.*)|  +→ (\S.*)")
SECRETS = ("testsecretkey", "hunter2")


def look(cli: CommandLine, *arguments: str, **variables: str) -> Result:
    """Run the doctor; it says what it has to say in its own form, and no secret."""
    result = cli("doctor", *arguments, **variables)
    said = result.out + result.err
    assert "Traceback" not in said
    assert [] == [secret for secret in SECRETS if secret in said]
    if "--json" not in arguments:
        assert "" == result.err
        assert all(LINE.fullmatch(line) for line in result.out.splitlines())
    return result


def levels(result: Result) -> dict[str, list[str]]:
    """Return the messages by level, each with its hint."""
    found: dict[str, list[str]] = {OK: [], WARNING: [], FAILURE: []}
    for level, _, message, hint in LINE.findall(result.out):
        if level:
            last = found[level]
            last.append(message)
        else:
            last[-1] += f" → {hint}"
    return found


def the_one(result: Result, level: str) -> str:
    """Return the only line that is not ok, with its hint."""
    found = levels(result)
    assert {level} == {each for each in (WARNING, FAILURE) if found[each]}, result.out
    (message,) = found[level]
    assert " → " in message
    return message


class Bucket:
    """A prefix of a bucket, and what a process needs to reach it."""

    def __init__(self, server: S3Server, endpoint: str | None = None) -> None:
        self.url = f"s3://{server.bucket}/{uuid4().hex}"
        self.variables = server.variables() | ({"AWS_ENDPOINT_URL": endpoint} if endpoint else {})
        self._place = {"Bucket": server.bucket, "Prefix": self.url.rpartition("/")[2]}
        self._client = server.client()

    def look(self, cli: CommandLine, *arguments: str, **variables: str) -> Result:
        return look(cli, "--store", self.url, *arguments, **self.variables | variables)

    def everything(self) -> list[str]:
        return [each["Key"] for each in self._client.list_objects_v2(**self._place).get("Contents", ())]


@pytest.fixture
def wire(moto: S3Server) -> Iterator[Wire]:
    """Return a wire before an S3."""
    with Wire(moto.endpoint) as wire:
        yield wire


@pytest.fixture
def bucket(moto: S3Server, wire: Wire) -> Bucket:
    """Return a place in an S3 that is reached by the wire."""
    return Bucket(moto, wire.url)


# ---- all is well


def test_a_directory(stored: CommandLine) -> None:
    """Every line is ok, each names its thing, and the exit code is 0."""
    before = sorted(path for path in stored.store.rglob("*") if path.is_file())
    result = look(stored)
    lines = [line.split(maxsplit=2) for line in result.out.splitlines()]
    assert (0, ["ok"] * 11) == (result.code, [line[0] for line in lines])
    assert ["python", "target", "target", "builds", "builds", *["store"] * 5, "clock"] == [line[1] for line in lines]
    assert f"{stored.cwd} can be written" in lines[1][2]
    assert f"{stored.cwd}/.venv can be replaced" in lines[2][2]
    assert str(stored.cache) in lines[4][2]
    assert all(str(stored.store) in line[2] for line in lines[5:])
    assert "environments: 1" in lines[6][2]
    assert before == sorted(path for path in stored.store.rglob("*") if path.is_file())
    assert ["requirements.txt"] == os.listdir(stored.cwd)


@pytest.mark.parametrize("kind", ["moto", "radosgw"])
def test_a_bucket(cli: CommandLine, request: pytest.FixtureRequest, kind: str) -> None:
    """Every line is ok, and nothing stays in the bucket."""
    bucket = Bucket(request.getfixturevalue(kind))
    result = bucket.look(cli)
    assert (0, 12) == (result.code, len(levels(result)[OK]))
    assert f"{bucket.url} knows conditional writes" in result.out
    assert [] == bucket.everything()


def test_a_web_server(stored: CommandLine, tmp_path: Path) -> None:
    """What can be seen of a store behind HTTPS is that it answers; the certificate is looked at too."""
    made = certificate(tmp_path)
    with StaticServer(stored.store, certificate=made) as server:
        result = look(stored, "--store", server.url, SSL_CERT_FILE=made.crt)
        assert (0, 7) == (result.code, len(levels(result)[OK]))
        assert f"{server.url} is only read" in result.out
        refused = look(stored, "--store", server.url)
        assert 6 == refused.code
        assert "SSL_CERT_FILE" in the_one(refused, FAILURE)


def test_a_certificate_that_nobody_vouches_for(stored: CommandLine, tmp_path: Path) -> None:
    """What is wrong with it is said in words for people."""
    with StaticServer(stored.store, certificate=certificate(tmp_path)) as server:
        assert "_ssl.c" not in look(stored, "--store", server.url).out


def test_the_default_store(cli: CommandLine) -> None:
    """Without --store it is the one in the user's data folder that is looked at."""
    del cli.env["TERRASTORE_STORE"]
    result = look(cli)
    assert 0 == result.code
    assert f"{cli.home}/.local/share/terrastore/store answers" in result.out


# ---- stores that are not well


def test_a_store_that_is_not_there(cli: CommandLine) -> None:
    """A share that is not mounted is a failure with the code of a store that refuses."""
    result = look(cli, "--store", "/nowhere/at/all")
    assert 7 == result.code
    assert "/nowhere/at/all is not there → check the path, or that the share is mounted" in the_one(result, FAILURE)


def test_no_bucket(cli: CommandLine, moto: S3Server) -> None:
    """It is named."""
    result = look(cli, "--store", "s3://another-bucket/web", **moto.variables())
    assert 7 == result.code
    assert "there is no bucket another-bucket → check the bucket in --store" in the_one(result, FAILURE)


CREDENTIALS: dict[str, tuple[dict[str, str], int, str]] = {
    "unknown": ({"AWS_ACCESS_KEY_ID": "NOBODY"}, 7, "does not take these credentials"),
    "wrong": ({"AWS_SECRET_ACCESS_KEY": "testsecretkeyofanother"}, 7, "does not take these credentials"),
    "none": ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, 7, "no credentials"),
    "profile that is not there": ({"AWS_PROFILE": "nobody"}, 2, "profile (nobody) could not be found"),
}


@pytest.mark.parametrize("case", CREDENTIALS)
def test_credentials(cli: CommandLine, radosgw: S3Server, case: str) -> None:
    """What is wrong with credentials is told, and where they are looked for; never what they are."""
    variables, code, message = CREDENTIALS[case]
    result = Bucket(radosgw).look(cli, **variables)
    assert code == result.code
    said = the_one(result, FAILURE)
    assert message in said
    assert "AWS_" in said


def test_what_is_not_said_is_not_told(cli: CommandLine, radosgw: S3Server) -> None:
    """Of a refusal without a message its code is told, and no message."""
    assert "none" not in Bucket(radosgw).look(cli, AWS_ACCESS_KEY_ID="NOBODY").out


def test_nobody_listens(cli: CommandLine, moto: S3Server) -> None:
    """The endpoint is named, with what to check."""
    with Wire(moto.endpoint) as wire:
        url = wire.url
    result = Bucket(moto, url).look(cli)
    assert 6 == result.code
    said = the_one(result, FAILURE)
    assert f"cannot be reached at {url}" in said
    assert "AWS_ENDPOINT_URL" in said


FAULTS: dict[str, tuple[Fault, dict[str, Any], str, int, tuple[str, ...]]] = {
    "no conditions": (
        faults.IGNORE_CONDITIONS,
        {"method": "PUT"},
        WARNING,
        0,
        ("ignores conditions on writing", "If-None-Match"),
    ),
    "no ranges": (
        faults.IGNORE_RANGE,
        {"method": "GET"},
        FAILURE,
        6,
        ("sent the whole object for a range", "must honour the Range header"),
    ),
    "no right to write": (
        faults.ACCESS_DENIED,
        {"operation": "PutObject"},
        WARNING,
        0,
        ("refuses to write", "and publishes nothing → where nothing is built leave it so, else allow it", "docs/iam"),
    ),
    "no right to write twice": (
        faults.ACCESS_DENIED,
        {"operation": "PutObject", "after": 1},
        WARNING,
        0,
        ("refuses to write", "publishes nothing"),
    ),
    "no right to list": (
        faults.ACCESS_DENIED,
        {"operation": "ListObjectsV2"},
        WARNING,
        0,
        ("refuses to list", "terrastore list, and keys cut short, need that", "docs/iam"),
    ),
    "no right to read": (
        faults.ACCESS_DENIED,
        {"operation": "GetObject"},
        FAILURE,
        7,
        ("refuses to read", "s3:GetObject", "s3:ListBucket"),
    ),
    "credentials of yesterday": (faults.EXPIRED_TOKEN, {}, FAILURE, 7, ("expired", "get new ones")),
    "another region": (faults.other_region("eu-west-9"), {}, FAILURE, 7, ("another region", "?region=")),
    "another time": (
        faults.s3_error(403, "RequestTimeTooSkewed"),
        {},
        FAILURE,
        7,
        ("this machine's clock is not the store's", "set the clock"),
    ),
    "portal": (faults.page(200), {}, FAILURE, 6, ("is that a proxy?", "HTTPS_PROXY")),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_service_that_is_not_well(cli: CommandLine, wire: Wire, bucket: Bucket, case: str) -> None:
    """One line says so and what to do, with the code of a run; nothing stays in the bucket."""
    fault, which, level, code, words = FAULTS[case]
    wire.fault(fault, times=FOREVER, **which)
    result = bucket.look(cli)
    assert code == result.code
    said = the_one(result, level)
    assert [] == [word for word in words if word not in said]
    assert [] == bucket.everything()


def test_a_store_that_ignores_conditions(cli: CommandLine, rclone: S3Server) -> None:
    """The real thing: a warning."""
    bucket = Bucket(rclone)
    result = bucket.look(cli)
    assert 0 == result.code
    assert f"{bucket.url} ignores conditions on writing" in the_one(result, WARNING)
    assert [] == bucket.everything()


WEB: dict[str, tuple[Fault, int, str]] = {
    "asks who we are": (faults.Answer(401), 7, "check user and password in the URL"),
    "refuses us": (faults.Answer(403), 7, "check user and password in the URL"),
    "portal": (faults.page(200), 6, "is that a proxy?"),
    "answers anything": (faults.Answer(200, b"{}", {"Content-Type": "application/json"}), 6, "is no store"),
    "is overloaded": (faults.Answer(503), 6, "try again later"),
}


@pytest.mark.parametrize("case", WEB)
def test_a_web_server_that_is_not_well(stored: CommandLine, case: str) -> None:
    """It is named without user and password, with what to do."""
    fault, code, message = WEB[case]
    with StaticServer(stored.store) as server, Wire(server.url) as wire:
        wire.fault(fault, times=FOREVER)
        result = look(stored, "--store", wire.url.replace("://", "://jane:hunter2@"))
        assert code == result.code
        said = the_one(result, FAILURE)
        assert (True, True) == (wire.url in said, message in said)


# ---- the command


def test_the_first_failure_decides(cli: CommandLine) -> None:
    """Of several failures the exit code is that of the first; each is told."""
    result = look(cli, "--python", "3.99", "--store", "/nowhere/at/all")
    assert (9, 2) == (result.code, len(levels(result)[FAILURE]))


def test_several_stores(cli: CommandLine, moto: S3Server) -> None:
    """Each is looked at; one that is not the last is passed over by runs, so that it is broken is a warning."""
    bucket = Bucket(moto)
    result = look(cli, "--store", "/nowhere/at/all", "--store", bucket.url, **bucket.variables)
    assert 0 == result.code
    assert "/nowhere/at/all is not there; the next store is asked instead" in the_one(result, WARNING)
    assert f"{bucket.url} can be written" in result.out
    turned = look(cli, "--store", bucket.url, "--store", "/nowhere/at/all", **bucket.variables)
    assert 7 == turned.code
    assert "/nowhere/at/all is not there → " in the_one(turned, FAILURE)


def test_the_same_as_json(cli: CommandLine) -> None:
    """One object has every finding, with the same words and the exit code of each."""
    arguments = ("--python", "3.99", "--store", "/nowhere/at/all")
    result = look(cli, *arguments, "--json")
    assert (9, {"schema", "findings"}, 1) == (result.code, set(result.json), result.json["schema"])
    found = result.json["findings"]
    assert [{"level", "subject", "message", "hint", "exit_code"}] * len(found) == [set(each) for each in found]
    assert [9, *[0] * (len(found) - 2), 7] == [each["exit_code"] for each in found]
    shown = LINE.findall(look(cli, *arguments).out)
    assert [(each["level"], each["subject"]) for each in found] == [line[:2] for line in shown if line[0]]
    assert [each["hint"] for each in found if each["hint"]] == [line[3] for line in shown if line[3]]


def test_no_kind_of_store(cli: CommandLine) -> None:
    """What cannot be understood is an error, as for every command."""
    result = cli("doctor", "--store", "gopher://x")
    assert (2, "") == (result.code, result.out)
    assert "gopher:// is not a kind of store" in result.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(cli: CommandLine, wire: Wire, bucket: Bucket, number: signal.Signals) -> None:
    """Who interrupts it finds nothing in the bucket either."""
    waiting = wire.fault(faults.silence, operation="GetObject", where=lambda request: request.range is not None)
    cli.env |= bucket.variables
    process = cli.start("doctor", "--store", bucket.url)
    deadline = time.monotonic() + 30
    while not waiting.hits and time.monotonic() < deadline:
        time.sleep(0.01)
    assert 1 == len(bucket.everything())
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert (130, "terrastore: interrupted") == (process.returncode, err.strip())
    assert [] == bucket.everything()


# ---- filesystems that are not well


@pytest.fixture
def mounting(cli: CommandLine) -> Callable[..., Result]:
    """Return what runs the doctor after commands of a shell, as root whose mounts nobody else sees; $HERE is the home.

    Where this user cannot have that, the test is skipped.
    """
    namespace = ["unshare", "--user", "--map-root-user", "--mount"]
    if not shutil.which("unshare") or subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user cannot have a namespace for mounts")

    def run(script: str, *arguments: str) -> Result:
        done = subprocess.run(
            [*namespace, "sh", "-ec", f'{script}\nexec "$@"', "sh", *COMMAND, "doctor", *arguments],
            cwd=cli.cwd,
            env=cli.env | {"HERE": str(cli.home), "CACHE": str(cli.cache)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return run


def test_little_disk(cli: CommandLine, mounting: Callable[..., Result]) -> None:
    """How much there is, and that it may not do."""
    result = mounting('mkdir "$HERE/small"\nmount -t tmpfs -o size=50m none "$HERE/small"', "--target", "../small/env")
    assert 0 == result.code
    assert f"{cli.home}/small can be written and has 0.1 GB free → make room" in the_one(result, WARNING)


def test_a_disk_that_cannot_be_written(cli: CommandLine, mounting: Callable[..., Result]) -> None:
    """For a target that is a failure, for a store a warning: one may fetch from it."""
    script = 'mkdir "$HERE/fixed" "$HERE/fixed/store"\nmount --bind "$HERE/fixed" "$HERE/fixed"\n'
    script += 'mount -o remount,bind,ro "$HERE/fixed"'
    result = mounting(script, "--target", "../fixed/env", "--store", f"{cli.home}/fixed/store")
    assert 2 == result.code
    found = levels(result)
    assert [f"{cli.home}/fixed cannot be written" in each for each in found[FAILURE]] == [True]
    assert "fixed/store cannot be written: read-only file system; this machine can fetch from it" in found[WARNING][0]


def test_nowhere_to_build(cli: CommandLine, mounting: Callable[..., Result]) -> None:
    """A cache that may not execute sends builds elsewhere; when they may nowhere, that is a failure."""
    mount = (
        'for place in {}; do mkdir -p -m 700 "$place"; mount --bind "$place" "$place"; '
        'mount -o remount,bind,noexec "$place"; done'
    )
    result = mounting(mount.format('"$CACHE"'))
    assert (0, [], []) == (result.code, levels(result)[WARNING], levels(result)[FAILURE])
    assert "/tmp/terrastore-" in result.out
    # Not the whole of /tmp: this checkout may be there.
    result = mounting(mount.format('"$CACHE" /tmp/terrastore-0 /var/tmp/terrastore-0'))
    assert 9 == result.code
    said = the_one(result, FAILURE)
    assert (True, True) == (str(cli.cache) in said, "TERRASTORE_CACHE_DIR" in said)
