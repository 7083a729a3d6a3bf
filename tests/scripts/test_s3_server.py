"""scripts/s3-server: every kind answers, several run at once, and none leaves anything behind."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.servers import EX_UNAVAILABLE, S3Server, running, start, when_ready

FIXTURES = {"moto": "moto", "radosgw": "radosgw", "radosgw-16": "radosgw_16", "rclone": "rclone"}
KINDS = ("moto", "radosgw", "rclone")
PATIENCE = 10


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the script to its end."""
    process = start(*arguments, **variables)
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def processes() -> dict[int, int]:
    """Return the parent of every process that has not ended; whether it was waited for is not ours to say."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                found[int(path.parent.name)] = int(parent)
    return found


def children(pid: int) -> set[int]:
    """Return every process that descends from one."""
    parents = processes()
    found: set[int] = set()
    new = {pid}
    while new:
        new = {child for child, parent in parents.items() if parent in new}
        found |= new
    return found


def alive(pids: set[int]) -> set[int]:
    """Return those that are still there."""
    return pids & processes().keys()


def eventually(claim: Callable[[], bool]) -> bool:
    """Return whether a claim comes true soon."""
    deadline = time.monotonic() + PATIENCE
    while not claim():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("kind", FIXTURES)
def test_answers(request: pytest.FixtureRequest, kind: str) -> None:
    """Every kind takes an object and gives it back, by HTTPS too where it offers that."""
    server: S3Server = request.getfixturevalue(FIXTURES[kind])
    assert (kind != "rclone") == bool(server.tls_endpoint)
    for tls in (False, True) if server.tls_endpoint else (False,):
        client = server.client(tls=tls)
        client.put_object(Bucket=server.bucket, Key=f"answers/{tls}", Body=b"data")
        assert b"data" == client.get_object(Bucket=server.bucket, Key=f"answers/{tls}")["Body"].read()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("kind", KINDS)
def test_leaves_nothing(request: pytest.FixtureRequest, tmp_path: Path, kind: str, how: signal.Signals) -> None:
    """Stopped or killed, a second server of the same kind takes processes and files with it."""
    first: S3Server = request.getfixturevalue(kind)
    process = start(kind, TMPDIR=str(tmp_path))
    server = when_ready(kind, process)
    pids = children(process.pid)
    assert pids
    assert any(tmp_path.iterdir())
    server.client().put_object(Bucket=server.bucket, Key="gone", Body=b"data")
    process.send_signal(how)
    _, complaint = process.communicate(timeout=PATIENCE)
    assert (0 if how == signal.SIGTERM else -how, "") == (process.returncode, complaint)
    if how == signal.SIGKILL:
        # What the kernel ends for us is not gone the moment we are.
        eventually(lambda: not alive(pids))
    assert not alive(pids)
    assert [] == list(tmp_path.iterdir())
    assert "s3-server" not in Path("/proc/self/mounts").read_text()
    first.client().head_bucket(Bucket=first.bucket)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGHUP])
def test_signals(how: signal.Signals) -> None:
    """Ctrl-C and a closed terminal are ways to stop it."""
    process = start("moto")
    when_ready("moto", process)
    pids = children(process.pid)
    process.send_signal(how)
    _, complaint = process.communicate(timeout=PATIENCE)
    assert (0, "", set()) == (process.returncode, complaint, alive(pids))


def test_server_ends_by_itself(tmp_path: Path) -> None:
    """A server that ends before it was told to is a failure."""
    process = start("rclone", TMPDIR=str(tmp_path))
    when_ready("rclone", process)
    (rclone,) = (pid for pid in children(process.pid) if "rclone" in Path(f"/proc/{pid}/comm").read_text())
    os.kill(rclone, signal.SIGKILL)
    _, complaint = process.communicate(timeout=PATIENCE)
    assert 1 == process.returncode
    assert complaint.startswith("s3-server: rclone ended by itself\n")
    assert [] == list(tmp_path.iterdir())


def test_dies_with_the_tests() -> None:
    """Tests that are killed take their servers with them."""
    code = "import sys; from tests.servers import start, when_ready; p = start('moto'); when_ready('moto', p); "
    tests = subprocess.Popen(
        [sys.executable, "-c", code + "print(p.pid, flush=True); sys.stdin.read()"],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert tests.stdout
    pid = int(tests.stdout.readline())
    pids = {pid} | children(pid)
    tests.kill()
    tests.communicate()
    assert eventually(lambda: not alive(pids))


def test_command(tmp_path: Path) -> None:
    """A command gets the variables instead of the caller's, and its exit code is handed on."""
    script = 'echo "$AWS_ENDPOINT_URL $S3_BUCKET ${AWS_PROFILE-none}"; exit 7'
    done = run("moto", "--", "sh", "-c", script, AWS_PROFILE="mine", TMPDIR=str(tmp_path))
    assert 7 == done.returncode
    endpoint, *rest = done.stdout.split()
    assert ["terrastore", "none"] == rest
    assert not is_open(int(endpoint.rpartition(":")[2]))
    assert [] == list(tmp_path.iterdir())


def test_stopped_during_a_command(tmp_path: Path) -> None:
    """A signal ends the command first."""
    process = start("rclone", "--", "sh", "-c", "echo $$; exec sleep 60", TMPDIR=str(tmp_path))
    assert process.stdout
    pid = int(process.stdout.readline())
    process.terminate()
    process.communicate(timeout=PATIENCE)
    assert (128 + signal.SIGTERM, set()) == (process.returncode, alive({pid}))
    assert [] == list(tmp_path.iterdir())


def test_command_is_not_there() -> None:
    """An unknown command is told by name."""
    done = run("rclone", "--", "no-such-command")
    assert 127 == done.returncode
    assert "no-such-command: No such file" in done.stderr


def test_env_file(tmp_path: Path) -> None:
    """The file can be sourced, and is there as long as the server is."""
    env_file = tmp_path / "s3.env"
    with running("moto", "--env-file", str(env_file)) as server:
        sourced = subprocess.run(
            ["sh", "-c", f". {env_file}; echo $AWS_ENDPOINT_URL"], capture_output=True, text=True, check=True
        )
        assert server.endpoint == sourced.stdout.strip()
    assert [] == list(tmp_path.iterdir())


def test_env_file_is_there_already(tmp_path: Path) -> None:
    """Nobody's file is written over, or removed in the end."""
    env_file = tmp_path / ".env"
    env_file.write_text("mine")
    assert 2 == run("rclone", "--env-file", str(env_file)).returncode
    assert "mine" == env_file.read_text()


def test_port() -> None:
    """A port can be asked for; one that is taken is told."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = run("rclone", "--port", str(port))
        assert (1, f"s3-server: port {port}: Address already in use\n") == (done.returncode, done.stderr)
    with running("rclone", "--port", str(port)) as server:
        assert f"http://127.0.0.1:{port}" == server.endpoint


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("minio",), "invalid choice: 'minio'"),
        (("--port", "0"), "argument --port: invalid"),
        (("--port", "65535"), "argument --port: invalid"),
        (("rclone", "--enforce"), "rclone has no --enforce"),
    ],
)
def test_usage(arguments: tuple[str, ...], told: str) -> None:
    """What cannot be meant is a usage error."""
    done = run(*arguments)
    assert 2 == done.returncode
    assert told in done.stderr


def test_enforce() -> None:
    """With --enforce moto denies a user what no policy grants, and a stranger everything."""
    with running("moto", "--enforce") as server:
        server.client().put_object(Bucket=server.bucket, Key="key", Body=b"data")
        reader = server.client(reader=True)
        with pytest.raises(ClientError, match="AccessDenied"):
            reader.get_object(Bucket=server.bucket, Key="key")
        allow = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": allow})
        server.client("iam").put_user_policy(UserName="reader", PolicyName="read", PolicyDocument=policy)
        assert b"data" == reader.get_object(Bucket=server.bucket, Key="key")["Body"].read()
        with pytest.raises(ClientError, match="AccessDenied"):
            reader.put_object(Bucket=server.bucket, Key="key", Body=b"")


def test_reader(radosgw: S3Server) -> None:
    """The second user of a real store has no rights."""
    with pytest.raises(ClientError, match="AccessDenied"):
        radosgw.client(reader=True).get_object(Bucket=radosgw.bucket, Key="key")


def test_lacking(tmp_path: Path) -> None:
    """What radosgw needs is told by name, with an exit code of its own."""
    for program in ("rm", "seq", "setpriv", "sh", "sleep", "true", "unshare"):
        (tmp_path / program).symlink_to(shutil.which(program) or "")
    done = run("radosgw", "--cache", str(tmp_path / "cache"), PATH=str(tmp_path))
    assert EX_UNAVAILABLE == done.returncode
    assert done.stderr.startswith("s3-server: radosgw needs root ")
    assert 1 == done.stderr.count("\n")


class TestPreparation:
    """What an mmdebstrap that is slow, fails or dies leaves for the next one."""

    @pytest.fixture(autouse=True)
    def _programs(self, radosgw: S3Server, tmp_path: Path) -> None:
        assert radosgw  # which tells that there may be namespaces
        self.cache = tmp_path / "cache"
        self.calls = tmp_path / "calls"
        self.mmdebstrap = tmp_path / "programs/mmdebstrap"
        self.mmdebstrap.parent.mkdir()

    def start(self, then: str) -> subprocess.Popen[str]:
        """Start with an mmdebstrap that makes a directory with a file and does what is said."""
        make = f'for last; do :; done; mkdir "$last" && echo >"$last/half" && echo called >>{self.calls}'
        self.mmdebstrap.write_text(f"#!/bin/sh\n{make}\n{then}\n")
        self.mmdebstrap.chmod(0o755)
        path = f"{self.mmdebstrap.parent}:{os.environ['PATH']}"
        return start("radosgw", "--cache", str(self.cache), PATH=path)

    def test_fails(self) -> None:
        """Its last lines are told, and nothing is left."""
        process = self.start("echo no such suite; exit 3")
        _, complaint = process.communicate()
        assert 1 == process.returncode
        assert complaint.endswith("forky could not be prepared\nno such suite\n")
        assert ["forky.lock"] == os.listdir(self.cache)

    @pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
    def test_interrupted(self, how: signal.Signals) -> None:
        """Half a root directory is not taken for a whole one."""
        process = self.start("sleep 60")
        assert eventually(self.calls.exists)
        process.send_signal(how)
        process.communicate(timeout=PATIENCE)
        assert not (self.cache / "forky").exists()
        (process := self.start('rm "$last/half"')).communicate()
        assert [] == os.listdir(self.cache / "forky")

    def test_two_at_once(self) -> None:
        """The second waits for the first and uses what it made."""
        both = [self.start("sleep 0.5") for _ in range(2)]
        for process in both:
            process.communicate()
        assert "called\n" == self.calls.read_text()
        assert {"forky", "forky.lock"} == set(os.listdir(self.cache))
