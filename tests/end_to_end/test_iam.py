"""docs/iam: each policy allows what it is for and nothing else, and needs every action that it names.

On moto they are policies of an IAM user, on Ceph's gateway of a bucket: the same statements with a principal. Both know
resources with a prefix. Only the gateway says 403 instead of 404 for what is not there to who may not list.
"""

from __future__ import annotations

import base64
import json
import random
import shutil
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from tests import faults
from tests.conftest import CommandLine, Result, command_line, make_wheel
from tests.wire import FOREVER, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.servers import S3Server

DOCS = Path(__file__).parents[2] / "docs/iam"
POLICIES = ("consumer", "builder", "keeper")
PREFIX = "web"
# Outside: another prefix, another version of the layout, and what only begins as the prefix does.
OUTSIDE = ("other/v1/pointers/a", f"{PREFIX}/v2/pointers/a", f"{PREFIX}/a", f"{PREFIX}2/v1/pointers/a", "v1/pointers/a")


def statements(policy: str) -> list[dict[str, Any]]:
    """Return the statements of a policy, the actions of each as a list."""
    read: list[dict[str, Any]] = json.loads((DOCS / f"{policy}.json").read_text())["Statement"]
    for statement in read:
        if isinstance(statement["Action"], str):
            statement["Action"] = [statement["Action"]]
    return read


def actions(policy: str) -> list[str]:
    return [action for statement in statements(policy) for action in statement["Action"]]


class Bucket:
    """A bucket with something in it and around it, its owner, and one with no rights but those that are given."""

    def __init__(self, server: S3Server, cli: CommandLine) -> None:
        self.server = server
        self.name = f"iam-{uuid4().hex}"
        self.url = f"s3://{self.name}/{PREFIX}"
        self.owner = server.client()
        self.owner.create_bucket(Bucket=self.name)
        self.given = server.client(reader=True)
        self.cli = cli
        self.key = ""
        cli.env |= server.variables(reader=True)
        for name in OUTSIDE:
            self.owner.put_object(Bucket=self.name, Key=name, Body=b"secret")

    def give(self, policy: str, *, without: str | None = None) -> None:
        """Give the other user a policy as it is documented, or all of it but one action, for this bucket."""
        said = [
            statement
            | {
                "Action": [action for action in statement["Action"] if action != without],
                "Resource": statement["Resource"].replace("BUCKET", self.name).replace("PREFIX", PREFIX),
            }
            for statement in statements(policy)
            if statement["Action"] != [without]
        ]
        if self.server.kind == "moto":
            self.server.client("iam").put_user_policy(
                UserName="reader",
                PolicyName=self.name,
                PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": said}),
            )
        else:
            principal = {"Principal": {"AWS": "arn:aws:iam:::user/reader"}}
            said = [statement | principal for statement in said]
            self.owner.put_bucket_policy(
                Bucket=self.name, Policy=json.dumps({"Version": "2012-10-17", "Statement": said})
            )

    def fill(self, store: Path) -> None:
        """Let the owner put what a store in a directory has into the bucket, as if nobody had used it yet."""
        for path in store.rglob("*"):
            if path.is_file() and "/v1/uses/" not in str(path):
                name = f"{PREFIX}/{path.relative_to(store)}"
                self.owner.put_object(Bucket=self.name, Key=name, Body=path.read_bytes())
                if name.startswith(f"{PREFIX}/v1/pointers/"):
                    self.key = path.stem

    def empty(self) -> None:
        for each in self.owner.list_objects_v2(Bucket=self.name, Prefix=f"{PREFIX}/v1/").get("Contents", ()):
            self.owner.delete_object(Bucket=self.name, Key=each["Key"])

    def everything(self) -> dict[str, str]:
        """Return what is there with its ETag, and the uploads that nobody ended."""
        objects = self.owner.list_objects_v2(Bucket=self.name).get("Contents", ())
        uploads = self.owner.list_multipart_uploads(Bucket=self.name).get("Uploads", ())
        found = {each["Key"]: each["ETag"] for each in objects} | {each["Key"]: "unfinished" for each in uploads}
        return {name: etag for name, etag in found.items() if "/leases/" not in name and "/v1/uses/" not in name}

    def marks(self) -> list[str]:
        """Return the marks of use, without the week."""
        listing = self.owner.list_objects_v2(Bucket=self.name, Prefix=f"{PREFIX}/v1/uses/")
        return [each["Key"].rpartition("/")[2] for each in listing.get("Contents", ())]

    def run(self, *arguments: str, **variables: str) -> Result:
        """Run a command with the other user's rights."""
        result = self.cli(*arguments, **{"TERRASTORE_STORE": self.url} | variables)
        assert "Traceback" not in result.err
        return result

    def fetch(self) -> Result:
        """Run ``ensure`` where nothing is, with building off."""
        shutil.rmtree(self.cli.cwd / ".venv", ignore_errors=True)
        return self.run("ensure", "--no-build")

    def pass_on(self, store: Path, **variables: str) -> Result:
        """Run ``ensure`` with a store in a directory that has what is asked for, behind the bucket: it is filled."""
        shutil.rmtree(self.cli.cwd / ".venv", ignore_errors=True)
        return self.run("ensure", "--no-build", TERRASTORE_STORE=f"{self.url} {store}", **variables)

    def take(self) -> None:
        """Take from the other user what it was given for this bucket."""
        if self.server.kind == "moto":
            self.server.client("iam").delete_user_policy(UserName="reader", PolicyName=self.name)
        else:
            self.owner.delete_bucket_policy(Bucket=self.name)


@pytest.fixture(params=["strict_moto", "radosgw"])
def empty_bucket(request: pytest.FixtureRequest, cli: CommandLine) -> Bucket:
    """Return a bucket with nothing below the prefix."""
    return Bucket(request.getfixturevalue(request.param), cli)


@pytest.fixture
def bucket(empty_bucket: Bucket, alpha_home: Path) -> Bucket:
    """Return a bucket that has what requirements.txt asks for."""
    empty_bucket.cli.write("requirements.txt", "alpha==1.0\n")
    empty_bucket.fill(alpha_home / "store")
    return empty_bucket


@pytest.fixture(scope="module")
def bulky(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[CommandLine, Path]]:
    """Return a command line, and its store with an archive of more than one part."""
    wheels = tmp_path_factory.mktemp("bulk")
    noise = base64.b64encode(random.Random(0).randbytes(18_000_000)).decode()
    make_wheel(wheels, "bulk", "1.0", {"bulk.txt": noise})
    with command_line(tmp_path_factory.mktemp("bulky") / "home", wheels) as command:
        command.write("requirements.txt", "bulk\n")
        command.ok("build", "--no-seed")
        yield command, command.store


@pytest.fixture
def bulky_bucket(empty_bucket: Bucket, bulky: tuple[CommandLine, Path]) -> Bucket:
    """Return an empty bucket, for one who asks for something bulky."""
    empty_bucket.cli.write("requirements.txt", "bulk\n")
    empty_bucket.cli.env |= {"PIP_FIND_LINKS": bulky[0].env["PIP_FIND_LINKS"], "TERRASTORE_NO_SEED": "1"}
    return empty_bucket


# ---- who fetches


@pytest.mark.parametrize("policy", POLICIES)
def test_fetches(bucket: Bucket, policy: str) -> None:
    """Everybody can fetch what is there, list it, look at it, and check it; nothing in the bucket changes."""
    bucket.give(policy)
    before = bucket.everything()
    result = bucket.fetch()
    assert (0, "fetched") == (result.code, result.out.split()[0])
    assert bucket.run("list").out == f"{bucket.key}\n"
    assert "alpha 1.0" in bucket.run("show", bucket.key).out
    assert bucket.run("verify", bucket.key).out.startswith("sound ")
    assert before == bucket.everything()


@pytest.mark.parametrize("policy", POLICIES)
def test_a_miss_is_no_refusal(bucket: Bucket, policy: str) -> None:
    """That something is not there is told as that, for the right to list tells it apart."""
    bucket.give(policy)
    bucket.cli.write("requirements.txt", "alpha==2.0\n")
    result = bucket.fetch()
    assert 4 == result.code
    assert f"{bucket.url} has no " in result.err


@pytest.mark.parametrize("policy", POLICIES)
def test_marks_what_it_fetches(bucket: Bucket, policy: str) -> None:
    """Everybody leaves a mark, so that nobody prunes what is in use, and says nothing of it."""
    bucket.give(policy)
    for _ in range(2):
        assert (0, "") == ((fetched := bucket.fetch()).code, fetched.err)
        assert [bucket.key] == bucket.marks()


def test_who_may_not_mark_fetches_all_the_same(bucket: Bucket) -> None:
    """Only who wants to see everything is told."""
    bucket.give("consumer", without="s3:PutObject")
    assert (0, "") == ((fetched := bucket.fetch()).code, fetched.err)
    shutil.rmtree(bucket.cli.cwd / ".venv")
    told = bucket.run("ensure", "--no-build", "-v").err
    assert f"that the environment is used is not noted: {bucket.url} refuses to write v1/uses/" in told
    assert [] == bucket.marks()


def test_who_fetches_writes_nothing_but_marks(bucket: Bucket) -> None:
    """Neither what others would read, nor what would keep a prune from anything else, can be put there."""
    bucket.give("consumer")
    for kind in ("pointers", "archives", "leases", "wheels", "pins", "pruned"):
        assert is_refused(bucket.given.put_object, Bucket=bucket.name, Key=f"{PREFIX}/v1/{kind}/a")
    assert is_refused(bucket.given.delete_object, Bucket=bucket.name, Key=f"{PREFIX}/v1/uses/2026-W01/a")


def test_who_fetches_changes_nothing(bucket: Bucket) -> None:
    """What is built stays here, with a warning; what must write fails; the bucket is as it was."""
    bucket.give("consumer")
    before = bucket.everything()
    bucket.cli.write("requirements.txt", "beta\n")
    built = bucket.run("ensure", "--no-seed")
    assert (0, "built") == (built.code, built.out.split()[0])
    assert f"not published: {bucket.url} refuses to write" in built.err
    for command in (["build", "--no-seed"], ["remove", bucket.key]):
        refused = bucket.run(*command)
        assert (command, 7) == (command, refused.code)
        assert "docs/iam has policies" in refused.err
    assert before == bucket.everything()


@pytest.mark.parametrize("policy", POLICIES)
def test_nothing_outside(bucket: Bucket, policy: str) -> None:
    """What is not below the prefix can be neither read nor changed, and neither can the bucket's own policy."""
    bucket.give(policy)
    before = bucket.everything()
    given = bucket.given
    for name in OUTSIDE:
        for request in (
            given.get_object,
            given.head_object,
            given.put_object,
            given.create_multipart_upload,
            given.delete_object,
        ):
            assert is_refused(request, Bucket=bucket.name, Key=name)
    for request in (given.get_bucket_policy, given.delete_bucket_policy, given.delete_bucket):
        assert is_refused(request, Bucket=bucket.name)
    assert before == bucket.everything()


def is_refused(request: Callable[..., object], **parameters: str) -> bool:
    try:
        request(**parameters)
    except ClientError as error:
        status: int = error.response["ResponseMetadata"]["HTTPStatusCode"]
        return status == HTTPStatus.FORBIDDEN
    return False


@pytest.mark.parametrize("prefix", ["", "other/", f"{PREFIX}2/"])
def test_no_environment_outside(bucket: Bucket, prefix: str) -> None:
    """An environment below another prefix of the bucket is refused to who fetches."""
    bucket.give("consumer")
    bucket.owner.put_object(Bucket=bucket.name, Key=f"{prefix}v1/pointers/{bucket.key}.json", Body=b"{}")
    bucket.url = f"s3://{bucket.name}/{prefix}"
    assert 7 == bucket.fetch().code


# ---- who builds


def test_builds(bucket: Bucket) -> None:
    """What the bucket has not is built and published, by ``build`` and by ``ensure``; what it has is replaced."""
    bucket.give("builder")
    bucket.cli.write("requirements.txt", "beta\n")
    assert f"published to {bucket.url}" in bucket.run("build", "--no-seed").out
    assert bucket.run("build", "--no-seed").out.startswith("kept ")
    assert f"published to {bucket.url}" in bucket.run("ensure", "--no-seed", "--salt", "1").out
    before = bucket.everything()
    assert f"published to {bucket.url}" in bucket.run("build", "--no-seed", "--rebuild").out
    after = bucket.everything()
    replaced = [name for name in before if before[name] != after[name]]
    assert 1 == len(replaced)
    assert replaced[0].startswith(f"{PREFIX}/v1/pointers/")
    assert 3 == len(bucket.run("list").out.splitlines())
    assert "unfinished" not in after.values()


def test_builds_with_wheels(bucket: Bucket) -> None:
    """Wheels are kept and taken with the same rights."""
    bucket.give("builder")
    for requirements in ("beta\n", "beta==1.0\n"):
        bucket.cli.write("requirements.txt", requirements)
        result = bucket.run("build", "--no-seed", "--wheelhouse")
        assert (0, f"published to {bucket.url}" in result.out) == (result.code, True)
        assert "not kept" not in result.err
    assert [f"{PREFIX}/v1/wheels/"] == [name[: len(PREFIX) + 11] for name in bucket.everything() if "/wheels/" in name]


def test_who_builds_removes_nothing(bucket: Bucket) -> None:
    """To remove is refused, and all is as it was."""
    bucket.give("builder")
    before = bucket.everything()
    result = bucket.run("remove", bucket.key)
    assert 7 == result.code
    assert f"{bucket.url} refuses to remove v1/pointers/{bucket.key}.json" in result.err
    assert before == bucket.everything()


@pytest.mark.parametrize("policy", ["builder", "keeper"])
def test_publishes_in_parts(bulky_bucket: Bucket, bulky: tuple[CommandLine, Path], policy: str) -> None:
    """A large archive goes up in parts, and is fetched again."""
    bulky_bucket.give(policy)
    assert (0, "") == ((passed := bulky_bucket.pass_on(bulky[1])).code, passed.err)
    (etag,) = (etag for name, etag in bulky_bucket.everything().items() if name.startswith(f"{PREFIX}/v1/archives/"))
    assert etag.endswith('-2"')
    assert 0 == bulky_bucket.fetch().code


def test_an_upload_that_fails_leaves_no_parts(bulky_bucket: Bucket, bulky: tuple[CommandLine, Path]) -> None:
    """What cannot be ended is discarded, so that nobody pays for it."""
    bulky_bucket.give("builder")
    before = bulky_bucket.everything()
    result, parts = broken_off(bulky_bucket, bulky[1])
    assert (0, 1) == (result.code, parts)
    assert "not copied nearer" in result.err
    assert before == bulky_bucket.everything()


def broken_off(bucket: Bucket, store: Path) -> tuple[Result, int]:
    """Pass an archive on whose second part is refused; return what came of it, and how many parts got through."""
    with Wire(bucket.cli.env["AWS_ENDPOINT_URL"]) as wire:
        wire.fault(faults.ACCESS_DENIED, operation="UploadPart", after=1, times=FOREVER)
        result = bucket.pass_on(store, AWS_ENDPOINT_URL=wire.url)
        parts = [request for request in wire.requests if request.operation == "UploadPart"]
    return result, sum(request.status == 200 for request in parts)


@pytest.mark.parametrize("policy", ["builder", "keeper"])
def test_heals_what_is_damaged_in_a_nearer_store(bucket: Bucket, alpha_home: Path, policy: str) -> None:
    """Who may write replaces an archive that does not verify by the sound one of a farther store."""
    bucket.give(policy)
    (archive,) = (name for name in bucket.everything() if name.endswith(".tar.zst"))
    bucket.owner.put_object(Bucket=bucket.name, Key=archive, Body=b"damaged")
    assert 0 == bucket.pass_on(alpha_home / "store").code
    assert 0 == bucket.fetch().code


# ---- who promotes


@pytest.fixture
def production(bucket: Bucket) -> Bucket:
    """Return an empty bucket beside one that has something."""
    return Bucket(bucket.server, bucket.cli)


@pytest.mark.parametrize("policy", ["builder", "keeper"])
def test_promotes(bucket: Bucket, production: Bucket, policy: str) -> None:
    """Who may fetch from one bucket and publish to another lets S3 copy; in the first nothing changes."""
    bucket.give("consumer")
    production.give(policy)
    before = bucket.everything()
    copy = ("copy", bucket.key, "--from", bucket.url, "--to", production.url, "--json")
    copied = bucket.run(*copy)
    assert 0 == copied.code, copied.err
    (told,) = copied.json["environments"]
    assert ("copied", True, []) == (told["outcome"], told["server_side"], told["warnings"])
    assert before == bucket.everything()
    assert 0 == production.fetch().code
    assert "kept" == bucket.run(*copy).json["environments"][0]["outcome"]


def test_who_may_not_publish_does_not_promote(bucket: Bucket, production: Bucket) -> None:
    """It is refused, with what to do, and nothing is there."""
    bucket.give("builder")
    production.give("consumer")
    before = production.everything()
    refused = bucket.run("copy", bucket.key, "--from", bucket.url, "--to", production.url)
    assert (7, True) == (refused.code, f"{production.url} refuses to write v1/archives/" in refused.err)
    assert "docs/iam has policies" in refused.err
    assert before == production.everything()


def test_with_credentials_for_one_bucket_each(bucket: Bucket, production: Bucket, tmp_path: Path) -> None:
    """Where nobody has rights to both, each store's URL names its own, and the bytes go through this machine."""
    production.give("builder")
    server = bucket.server
    (tmp_path / "credentials").write_text(
        f"[owner]\naws_access_key_id={server.access_key}\naws_secret_access_key={server.secret_key}\n"
    )
    variables = {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials")}
    copy = ("copy", bucket.key, "--from", f"{bucket.url}?profile=owner", "--to", production.url, "--json")
    copied = bucket.run(*copy, **variables)
    assert 0 == copied.code, copied.err
    (told,) = copied.json["environments"]
    assert "copied" == told["outcome"]
    # The emulator copies for who may not read the source.
    assert (server.kind == "moto") == told["server_side"]
    assert 0 == production.fetch().code


# ---- who tidies up


def test_removes(bucket: Bucket) -> None:
    """An environment is removed, and the bucket has nothing of it any more."""
    bucket.give("keeper")
    assert bucket.run("remove", bucket.key).out.startswith("removed ")
    assert set(OUTSIDE) == bucket.everything().keys()


def test_prunes(bucket: Bucket) -> None:
    """What is pinned stays; unpinned its pointer goes, and nothing else for a day."""
    bucket.give("keeper")
    assert bucket.run("pin", "production", bucket.key).out.startswith("pinned ")
    assert "0 of 1 environment," in bucket.run("prune", "--keep-last", "0").out
    refused = bucket.run("remove", bucket.key)
    assert (2, "is pinned as production" in refused.err) == (refused.code, True)
    assert bucket.run("unpin", "production").out.startswith("unpinned ")
    assert "1 of 1 environment," in bucket.run("prune", "--keep-last", "0").out
    kinds = sorted(name.removeprefix(f"{PREFIX}/v1/").split("/")[0] for name in bucket.everything().keys() - {*OUTSIDE})
    assert ["archives", "pruned"] == kinds


@pytest.mark.parametrize("policy", ["consumer", "builder"])
def test_who_does_not_tidy_prunes_nothing(bucket: Bucket, policy: str) -> None:
    """It is refused, and all environments are as they were; a dry run is not, for it changes nothing."""
    bucket.give(policy)
    before = bucket.everything()
    assert "would prune 1 of 1 environment," in bucket.run("prune", "--keep-last", "0", "--dry-run").out
    refused = bucket.run("prune", "--keep-last", "0")
    assert (7, True) == (refused.code, "docs/iam has policies" in refused.err)
    after = bucket.everything()
    assert before.items() <= after.items()
    assert {f"{PREFIX}/v1/probes"} >= {name.rpartition("/")[0] for name in after.keys() - before.keys()}


def test_a_doctor_of_who_tidies_up(bucket: Bucket) -> None:
    """Everything is ok, and nothing stays."""
    bucket.give("keeper")
    before = bucket.everything()
    result = bucket.run("doctor")
    assert (0, {"ok"}) == (result.code, {line.split()[0] for line in result.out.splitlines()})
    assert before == bucket.everything()


def test_a_doctor_of_who_builds(bucket: Bucket) -> None:
    """Everything is ok, and what stays is told: it cannot be removed. The lifecycle takes it."""
    bucket.give("builder")
    before = bucket.everything()
    result = bucket.run("doctor")
    assert (0, {"ok"}) == (result.code, {line.split()[0] for line in result.out.splitlines()})
    (left,) = bucket.everything().keys() - before
    assert f"{left.removeprefix(f'{PREFIX}/')} stays there" in result.out
    assert left.startswith(f"{PREFIX}/v1/probes/")
    assert any(left.startswith(rule["Filter"]["Prefix"]) for rule in lifecycle(PREFIX)["Rules"])


def test_a_doctor_of_who_fetches(bucket: Bucket) -> None:
    """That nothing is published is all there is to tell, and no failure."""
    bucket.give("consumer")
    before = bucket.everything()
    result = bucket.run("doctor")
    assert (0, 1) == (result.code, result.out.count("warning "))
    assert "publishes nothing" in result.out
    assert before == bucket.everything()


# ---- nothing too much


def can_fetch(bucket: Bucket, _store: Path) -> bool:
    return bucket.fetch().code == 0


def can_list(bucket: Bucket, _store: Path) -> bool:
    return bucket.run("list").code == 0


def can_publish(bucket: Bucket, store: Path) -> bool:
    bucket.empty()
    bucket.pass_on(store)
    return any(name.startswith(f"{PREFIX}/v1/pointers/") for name in bucket.everything())


def can_discard(bucket: Bucket, store: Path) -> bool:
    bucket.empty()
    broken_off(bucket, store)
    return "unfinished" not in bucket.everything().values()


def can_mark(bucket: Bucket, _store: Path) -> bool:
    bucket.fetch()
    return bool(bucket.marks())


def can_tidy(bucket: Bucket, store: Path) -> bool:
    """Whether what a killed builder uploaded goes when somebody publishes the same."""
    bucket.empty()
    (key,) = (path.stem for path in store.glob("v1/pointers/*"))
    killed = f"{PREFIX}/v1/archives/{key}/{'0' * 32}.tar.zst"
    bucket.owner.create_multipart_upload(Bucket=bucket.name, Key=killed)
    assert (0, "") == ((passed := bucket.pass_on(store)).code, passed.err)
    everything = bucket.everything()
    assert any(name.startswith(f"{PREFIX}/v1/pointers/") for name in everything)
    return killed not in everything


def can_remove(bucket: Bucket, _store: Path) -> bool:
    return bucket.run("remove", bucket.key).code == 0


NEEDS: dict[str, Callable[[Bucket, Path], bool]] = {
    "s3:GetObject": can_fetch,
    "s3:ListBucket": can_list,
    "s3:ListBucketMultipartUploads": can_tidy,
    "s3:PutObject": can_publish,
    "s3:AbortMultipartUpload": can_discard,
    "s3:DeleteObject": can_remove,
}


@pytest.mark.parametrize(("policy", "action"), [(policy, action) for policy in POLICIES for action in actions(policy)])
def test_every_action_is_needed(
    empty_bucket: Bucket, request: pytest.FixtureRequest, alpha_home: Path, policy: str, action: str
) -> None:
    """Without it something that the policy is for does not work; with it that does."""
    works, store = NEEDS[action], alpha_home / "store"
    if (policy, action) == ("consumer", "s3:PutObject"):
        works = can_mark
    if works is can_discard:
        request.getfixturevalue("bulky_bucket")
        store = request.getfixturevalue("bulky")[1]
    else:
        request.getfixturevalue("bucket")
    for without in (None, action):
        empty_bucket.empty()
        empty_bucket.fill(store)
        empty_bucket.give(policy, without=without)
        assert (without is None) == works(empty_bucket, store)


@pytest.mark.parametrize("policy", POLICIES)
def test_without_the_right_to_list_a_miss_is_a_refusal(cli: CommandLine, radosgw: S3Server, policy: str) -> None:
    """The error names the right."""
    bucket = Bucket(radosgw, cli)
    bucket.give(policy, without="s3:ListBucket")
    cli.write("requirements.txt", "alpha==2.0\n")
    result = bucket.fetch()
    assert 7 == result.code
    assert "s3:ListBucket" in result.err


# ---- the lifecycle


def lifecycle(prefix: str) -> Any:
    return json.loads((DOCS / "lifecycle.json").read_text().replace("PREFIX", prefix))


def test_the_lifecycle(empty_bucket: Bucket) -> None:
    """The server takes the rules, and has them then."""
    rules = lifecycle(PREFIX)
    empty_bucket.owner.put_bucket_lifecycle_configuration(Bucket=empty_bucket.name, LifecycleConfiguration=rules)
    known = empty_bucket.owner.get_bucket_lifecycle_configuration(Bucket=empty_bucket.name)["Rules"]
    assert sorted(rules["Rules"], key=lambda rule: rule["ID"]) == sorted(known, key=lambda rule: rule["ID"])
