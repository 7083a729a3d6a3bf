"""What a user sees when S3 fails: one message that names what to check, a documented exit code, nothing lost."""

from __future__ import annotations

import json
import os
import socket
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests import documented, faults
from tests.conftest import CommandLine, Result, command_line
from tests.end_to_end.test_bad_input import snapshot
from tests.loopback import Server, certificate
from tests.wire import FOREVER, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.servers import S3Server
    from tests.wire import Fault

SECRETS = ("testsecretkeytestsecretkey", "hunter2")
BOUND = 30
"""Seconds after which a store that does not answer must be given up."""
AT_ONCE = 10

POINTER, ARCHIVE = r"/pointers/", r"/archives/"

KEYS = "boto3 looks in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, ~/.aws and the role of this machine"
REACH = "check the endpoint (AWS_ENDPOINT_URL), the network, DNS and HTTPS_PROXY"
REGION = "name it: AWS_DEFAULT_REGION, or ?region= in --store"
RIGHTS = "allow s3:GetObject, and s3:ListBucket on the bucket"
BUCKET = "check the bucket in --store, the region and the endpoint"
LATER = "try again later; --ignore-store builds without it"
SETTINGS = "check --store, AWS_* variables and ~/.aws/config"
FORM = "write s3://bucket/prefix"
PARAMETERS = "the parameters are region, profile, endpoint_url"
TRUST = "check the certificate; AWS_CA_BUNDLE names the authorities to trust"
HEAL = "where building is allowed, run without --no-build"


@dataclass
class Scene:
    """A store that has what is asked for, behind a wire; a case makes something else of it."""

    server: S3Server
    wire: Wire
    store: str
    variables: dict[str, str]
    folder: Path
    stack: ExitStack


def broken(fault: Fault, path: str = POINTER, times: float = FOREVER) -> Callable[[Scene], None]:
    """Let a fault befall what is read."""

    def arrange(scene: Scene) -> None:
        scene.wire.fault(fault, operation="GetObject", path=path, times=times)

    return arrange


def at(store: str) -> Callable[[Scene], None]:
    """Name another store."""

    def arrange(scene: Scene) -> None:
        scene.store = store.format(scene.store)

    return arrange


def using(**variables: str) -> Callable[[Scene], None]:
    """Set variables."""
    return lambda scene: scene.variables.update(variables)


def without(*names: str) -> Callable[[Scene], None]:
    """Take variables away."""

    def arrange(scene: Scene) -> None:
        for name in names:
            del scene.variables[name]

    return arrange


def through_proxy(url: str) -> Callable[[Scene], None]:
    """Use a proxy, whatever the developer's own variables say."""
    return using(HTTP_PROXY=url, http_proxy=url, NO_PROXY="", no_proxy="")


def refusing(scene: Scene) -> None:
    """Let nobody listen there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        scene.variables["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{listener.getsockname()[1]}"


def dropping(scene: Scene) -> None:
    """Drop what comes, as a firewall does it: here because too many wait already."""
    listener = scene.stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
    for _ in range(2):
        waiting = scene.stack.enter_context(socket.socket())
        waiting.setblocking(False)
        waiting.connect_ex(listener.getsockname())
    scene.variables["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{listener.getsockname()[1]}"


class Mute(Server):
    """Takes everything and says nothing."""

    def serve(self, client: socket.socket, number: int) -> None:
        while client.recv(1024):
            pass


def mute_with_tls(scene: Scene) -> None:
    """Leave even the handshake unanswered."""
    url = scene.stack.enter_context(Mute()).url
    scene.variables["AWS_ENDPOINT_URL"] = url.replace("http", "https")


def untrusted(scene: Scene) -> None:
    """Show a certificate that nobody vouches for."""
    made = certificate(scene.folder)
    wire = scene.stack.enter_context(Wire(scene.server.endpoint, certificate=made))
    scene.variables["AWS_ENDPOINT_URL"] = wire.url


def without_tls(scene: Scene) -> None:
    """Answer without TLS who speaks it."""
    scene.variables["AWS_ENDPOINT_URL"] = scene.server.endpoint.replace("http", "https")


def as_reader(scene: Scene) -> None:
    """Be somebody who has no rights of their own."""
    scene.variables |= scene.server.variables(reader=True) | {"AWS_ENDPOINT_URL": scene.wire.url}


@dataclass(frozen=True)
class Case:
    """What goes wrong, and what the user is told; ``{endpoint}`` and ``{store}`` stand for where they are."""

    arrange: Callable[[Scene], None]
    code: int
    message: str
    hint: str


# The slowest first: the others run in their shadow.
SILENT = {
    "no answer": Case(broken(faults.silence), 6, "{store} does not answer at {endpoint}", REACH),
    "no more of a pointer": Case(broken(faults.Stall(50)), 6, "{store} does not answer", REACH),
    "no more of an archive": Case(broken(faults.Stall(50), ARCHIVE), 6, "{store} does not answer", REACH),
    "no handshake": Case(mute_with_tls, 6, "{store} does not answer at {endpoint}", REACH),
    "no connection": Case(dropping, 6, "{store} cannot be reached at {endpoint}: timed out", REACH),
}
ANSWERED = {
    "no credentials": Case(
        without("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), 7, "{store}: no credentials: unable to locate", KEYS
    ),
    "half of the credentials": Case(
        without("AWS_SECRET_ACCESS_KEY"), 7, "no credentials: partial credentials found in env", KEYS
    ),
    "an expired token": Case(
        broken(faults.EXPIRED_TOKEN), 7, "the credentials have expired: 400 ExpiredToken", "get new ones"
    ),
    "a wrong clock": Case(
        broken(faults.s3_error(403, "RequestTimeTooSkewed")), 7, "this machine's clock is not the store's", "set the"
    ),
    "no right to the pointer": Case(
        broken(faults.ACCESS_DENIED), 7, "{store} refuses to read v1/pointers/{key}.json: 403 AccessDenied", RIGHTS
    ),
    "no right to the archive": Case(
        broken(faults.ACCESS_DENIED, ARCHIVE), 7, "{store} refuses to read v1/archives/{key}/", RIGHTS
    ),
    "no bucket": Case(at("s3://no-such-bucket/prefix"), 7, "there is no bucket no-such-bucket", BUCKET),
    "another region, nobody says which": Case(
        broken(faults.NO_REGION), 7, "{store}: the bucket is in another region: 301 PermanentRedirect", REGION
    ),
    "another region": Case(
        broken(faults.other_region("eu-central-1")), 7, "{store}: the bucket is in another region: 400", REGION
    ),
    "nobody listens": Case(refusing, 6, "{store} cannot be reached at {endpoint}: connection refused", REACH),
    "no such host": Case(
        using(AWS_ENDPOINT_URL="http://s3.invalid"), 6, "{store} cannot be reached at http://s3.invalid: ", REACH
    ),
    "no such proxy": Case(
        through_proxy("http://user:hunter2@127.0.0.1:9"),
        6,
        "{store} cannot be reached through the proxy: connection refused",
        "check HTTPS_PROXY",
    ),
    "a connection that is closed": Case(
        broken(faults.close), 6, "{store} closes the connection at {endpoint} without an answer", REACH
    ),
    "a connection that breaks": Case(
        broken(faults.Reset()), 6, "{store} closes the connection at {endpoint} without an answer", REACH
    ),
    "an untrusted certificate": Case(untrusted, 6, "{store}: TLS failed at {endpoint}: self-signed certificate", TRUST),
    "no TLS": Case(without_tls, 6, "{store}: TLS failed at {endpoint}: ", TRUST),
    "a page instead of the pointer": Case(
        broken(faults.page(200)), 6, "the answer is none of S3's but text/html: is that a proxy?", REACH
    ),
    "a page instead of the archive": Case(
        broken(faults.page(200), ARCHIVE), 6, "the answer is none of S3's but text/html: is that a proxy?", REACH
    ),
    "a page that refuses": Case(
        broken(faults.page(403)), 6, "{store} answered 403 Forbidden without a word of S3, to read", REACH
    ),
    "a page that knows nothing": Case(
        broken(faults.page(404)), 6, "{store} answered 404 Not Found without a word of S3, to read", REACH
    ),
    "a page of a broken proxy": Case(broken(faults.page(502)), 6, ".json: 502 Bad Gateway", LATER),
    "a redirect to a page": Case(
        broken(faults.redirect("http://127.0.0.1:9/", 302)), 6, "answered 302 Found without a word of S3", REACH
    ),
    "500 for ever": Case(broken(faults.INTERNAL_ERROR), 6, "{store} failed to read v1/pointers/{key}.json: 500", LATER),
    "503 for ever": Case(broken(faults.SLOW_DOWN), 6, "{store} failed to read v1/pointers/{key}.json: 503", LATER),
    "a cut pointer": Case(broken(faults.Cut(100)), 6, "{key}.json: its answer breaks off", REACH),
    "a cut archive": Case(broken(faults.Cut(100), ARCHIVE), 6, ".tar.zst: its answer breaks off", REACH),
    "half a pointer": Case(broken(faults.half), 8, "the pointer of {short} in {store} is refused", HEAL),
    "half of a range": Case(broken(faults.half, ARCHIVE), 6, ".tar.zst: it announced 1,", REACH),
    "everything for a range": Case(
        broken(faults.IGNORE_RANGE, ARCHIVE),
        6,
        "it sent the whole object for a range: it, or",
        REACH,
    ),
    "another range": Case(
        broken(faults.Headers(request={"Range": "bytes=0-9"}), ARCHIVE), 6, "and sent bytes 0-9/", REACH
    ),
    "an archive that is exchanged": Case(
        broken(faults.s3_error(412, "PreconditionFailed"), ARCHIVE), 6, "was replaced while it was read", "run again"
    ),
    "a flipped bit": Case(broken(faults.Garble(100), ARCHIVE), 8, "the archive's manifest is refused", HEAL),
    "an unknown profile": Case(
        using(AWS_PROFILE="nowhere"), 2, "{store} cannot be used: the config profile (nowhere) could not", SETTINGS
    ),
    "an unknown profile in the URL": Case(at("{}?profile=nowhere"), 2, "the config profile (nowhere)", SETTINGS),
    "a config file that is none": Case(
        using(AWS_CONFIG_FILE="/etc/passwd"), 2, "{store} cannot be used: unable to parse config file", SETTINGS
    ),
    "a bad endpoint": Case(
        using(AWS_ENDPOINT_URL="user:hunter2@localhost:9000"), 2, "{store} cannot be used: invalid endpoint", SETTINGS
    ),
    "a bad endpoint in the URL": Case(at("{}?endpoint_url=localhost"), 2, "invalid endpoint: localhost", SETTINGS),
    "a bad region": Case(at("{}?region=nowhere%20at%20all"), 2, "region_name 'nowhere at all' doesn't", SETTINGS),
    "a bad bucket name": Case(at("s3://x/prefix"), 2, "'x' is no bucket's name", FORM),
    "an unknown parameter": Case(at("{}?reigon=eu-west-1"), 2, "has a parameter 'reigon'", PARAMETERS),
    "credentials in the URL": Case(
        at("s3://AKIAEXAMPLE:hunter2@bucket/prefix"), 2, "--store s3:// must not hold credentials", "boto3 finds them"
    ),
    "credentials as a parameter": Case(
        at("{}?aws_secret_access_key=hunter2"), 2, "a parameter 'aws_secret_access_key', which there is not", PARAMETERS
    ),
    "credentials for the endpoint": Case(
        using(AWS_ENDPOINT_URL="http://user:hunter2@127.0.0.1:9"), 6, "cannot be reached at http://127.0.0.1:9", REACH
    ),
}
FAILURES = SILENT | ANSWERED

SURVIVED = {
    "503 twice": broken(faults.SLOW_DOWN, times=2),
    "500 twice for the archive": broken(faults.INTERNAL_ERROR, ARCHIVE, times=2),
    "a connection that breaks once": broken(faults.Reset(), times=1),
    "a pointer that is cut once": broken(faults.Cut(100), times=1),
    "an archive that is cut twice": broken(faults.Cut(100), ARCHIVE, times=2),
    "half a range once": broken(faults.half, ARCHIVE, times=1),
    "no more of an archive once": broken(faults.Stall(50), ARCHIVE, times=1),
}


@dataclass(frozen=True)
class Outcome:
    """What a run did; ``untouched``: the old environment is there as it was, and nothing beside it."""

    result: Result
    scene: Scene
    seconds: float
    untouched: bool


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Iterator[CommandLine]:
    """Return a command line whose directory store has the environment that it asks for, a small one."""
    with command_line(tmp_path_factory.mktemp("s3") / "home", wheels) as command:
        command.write("requirements.txt", "alpha==1.0\n")
        command.env["TERRASTORE_NO_SEED"] = "1"
        command.ok("build")
        yield command


def uploaded(project: CommandLine, server: S3Server, bucket: str) -> str:
    """Put what the directory store has into a bucket; return the URL of the store there."""
    client, prefix = server.client(), uuid4().hex
    for path in filter(os.path.isfile, project.store.rglob("v1/**/*")):
        client.upload_file(str(path), bucket, f"{prefix}/{path.relative_to(project.store)}")
    return f"s3://{bucket}/{prefix}"


def perform(project: CommandLine, server: S3Server, store: str, arrange: Callable[[Scene], None]) -> Outcome:
    """Fetch to where another environment stands, with something gone wrong."""
    folder = project.home / uuid4().hex
    old = folder / "env"
    (old / "bin").mkdir(parents=True)
    (old / "pyvenv.cfg").write_text("home = /usr/bin\n")
    (old / "bin/tool").write_text("#!/bin/sh\n")
    before = snapshot(folder)
    with ExitStack() as stack:
        wire = stack.enter_context(Wire(server.endpoint))
        variables = server.variables() | {"AWS_ENDPOINT_URL": wire.url, "AWS_SESSION_TOKEN": "hunter2"}
        scene = Scene(server, wire, store, variables, project.home, stack)
        arrange(scene)
        begun = time.monotonic()
        result = project("ensure", "--no-build", "--store", scene.store, "--target", str(old), **scene.variables)
        # A busy machine takes its time to start a process.
        seconds = time.monotonic() - (wire.requests[0].at if wire.requests else begun)
    return Outcome(result, scene, seconds, untouched=before == snapshot(folder))


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, project: CommandLine, moto: S3Server
) -> Iterator[dict[str, Future[Outcome]]]:
    """Return what came of the cases that were selected: they run at once, for most of them wait."""
    store = uploaded(project, moto, moto.bucket)
    selected = {str(item.callspec.params.get("case")) for item in of_this_module(request)}
    arranged = {name: case.arrange for name, case in FAILURES.items()} | SURVIVED
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {
            name: pool.submit(perform, project, moto, store, arrange)
            for name, arrange in arranged.items()
            if name in selected
        }


def of_this_module(request: pytest.FixtureRequest) -> Iterator[pytest.Function]:
    """Yield the tests of this module that have parameters and were selected."""
    for item in request.session.items:
        if isinstance(item, pytest.Function) and item.path == request.path and hasattr(item, "callspec"):
            yield item


def assert_told(outcome: Outcome, project: CommandLine, case: Case) -> None:
    """Assert that a failure was told as it should be, and that nothing was lost."""
    result, scene = outcome.result, outcome.scene
    key = next(project.store.glob("v1/pointers/*")).stem
    message = case.message.format(
        store=scene.store.partition("?")[0], endpoint=scene.variables["AWS_ENDPOINT_URL"], key=key, short=key[:-32]
    )
    assert (case.code, "") == (result.code, result.out), result.err
    error, hint = result.err.splitlines()
    assert error.startswith("terrastore: error: ")
    assert message in error
    assert hint.startswith(f"terrastore: hint: {case.hint}")
    assert [] == [secret for secret in SECRETS if secret in result.err]
    assert outcome.untouched


@pytest.mark.parametrize("case", FAILURES)
def test_a_failure_is_told(project: CommandLine, outcomes: dict[str, Future[Outcome]], case: str) -> None:
    """One message, one hint, no secret, no traceback; the old environment stays as it was."""
    assert_told(outcomes[case].result(), project, FAILURES[case])


@pytest.mark.parametrize("case", SILENT)
def test_who_does_not_answer_is_given_up(outcomes: dict[str, Future[Outcome]], case: str) -> None:
    """A machine that boots is not kept waiting for more than half a minute."""
    seconds = outcomes[case].result().seconds
    print(f"{seconds:.1f} s")
    assert seconds < BOUND


@pytest.mark.parametrize("case", SURVIVED)
def test_what_passes_is_survived(outcomes: dict[str, Future[Outcome]], case: str) -> None:
    """A failure that does not last is not even mentioned."""
    result = outcomes[case].result().result
    assert 0 == result.code, result.err
    assert result.out.startswith("fetched")
    assert [line for line in result.err.splitlines() if "was not made by terrastore" not in line] == []


def test_the_failures_are_documented() -> None:
    """docs/reliability.md lists them with exit code and message."""
    rows = [(name, str(case.code), f"`{case.message}`") for name, case in FAILURES.items()]
    documented.check("reliability.md", "reading S3", ("what goes wrong", "exit", "the message says"), rows)
    documented.check("reliability.md", "reading S3, survived", ("what goes wrong",), [(name,) for name in SURVIVED])


REAL = {
    "an unknown key": Case(
        using(AWS_ACCESS_KEY_ID="NOBODYSKEY"),
        7,
        "{store} does not take these credentials: 403 InvalidAccessKeyId",
        KEYS,
    ),
    "a wrong secret": Case(
        using(AWS_SECRET_ACCESS_KEY="hunter2"), 7, "does not take these credentials: 403 SignatureDoesNotMatch", KEYS
    ),
    "no bucket": Case(at("s3://no-such-bucket/prefix"), 7, "there is no bucket no-such-bucket", BUCKET),
    "no rights": Case(
        as_reader,
        7,
        "{store} refuses to read v1/pointers/{key}.json: 403 AccessDenied",
        RIGHTS,
    ),
}


@pytest.mark.parametrize("case", REAL)
def test_a_real_store_refuses(project: CommandLine, radosgw: S3Server, case: str) -> None:
    """What the store itself says of credentials and rights."""
    store = uploaded(project, radosgw, radosgw.bucket)
    assert_told(perform(project, radosgw, store, REAL[case].arrange), project, REAL[case])


def test_who_may_read_but_not_list(project: CommandLine, radosgw: S3Server) -> None:
    """With s3:GetObject alone what is there is fetched; of what is not there the store says 403, and we which right."""
    client, bucket = radosgw.client(), f"unlisted-{uuid4().hex}"
    client.create_bucket(Bucket=bucket)
    grant = {
        "Effect": "Allow",
        "Principal": {"AWS": ["arn:aws:iam:::user/reader"]},
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }
    client.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [grant]}))
    store = uploaded(project, radosgw, bucket)
    assert "fetched" in perform(project, radosgw, store, as_reader).result.out
    missing = perform(project, radosgw, f"{store}/elsewhere", as_reader)
    assert_told(missing, project, REAL["no rights"])
