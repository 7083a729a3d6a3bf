"""Pointers that nobody vouches for: no machine that has a trust file follows them, whoever puts them into a store."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import pytest

from tests.conftest import command_line
from tests.end_to_end.attacker import (
    Attack,
    Files,
    InBucket,
    Objects,
    Site,
    changed,
    envelope,
    payload_of,
    pointer,
    refused,
    signatures_of,
    snapshot,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.conftest import CommandLine, Result
    from tests.servers import S3Server


@dataclass(frozen=True)
class Forgery:
    """What is put under the key's name, and what the machine says besides: periods in its trust file, options.

    ``shown`` is whether ``show`` and ``verify`` take it, which ask for no realm unless they are told to.
    """

    put: Callable[[Site], bytes]
    period: str = ""
    options: tuple[str, ...] = ()
    shown: bool = False


def ago(days: float) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


def by_ci(site: Site, payload: bytes) -> bytes:
    """Return a pointer that the builder signed."""
    return envelope(payload, site.ci.sign(payload))


def by_mallory(site: Site) -> bytes:
    payload = payload_of(site.current)
    return envelope(payload, site.mallory.sign(payload))


def many(site: Site, count: int) -> bytes:
    """Return a pointer with so many signatures, of which the last is good."""
    payload = payload_of(site.current)
    return envelope(payload, *[site.mallory.sign(payload)] * (count - 1), site.ci.sign(payload))


def said_twice(site: Site) -> bytes:
    """Return a pointer with two payloads, of which one is signed."""
    evil = envelope(changed(site.current, builder="mallory"), *signatures_of(site.current)).decode()
    good = json.loads(site.current)["payload"]
    return f'{{"payload": "{good}", {evil[1:]}'.encode()


def with_signature(site: Site, value: object) -> bytes:
    signature = {"keyid": site.ci.keyid, "sig": value}
    return envelope(payload_of(site.current), signature)  # type: ignore[arg-type] # any JSON


WRONG: Final = "the signature of ci is wrong"
UNKNOWN: Final = "names has signed it"
FORGERIES: Final[Mapping[Attack, Forgery]] = {
    Attack("the pointer of another key is put under this one's name", 8, "the pointer is for another key"): Forgery(
        lambda site: site.foreign
    ),
    Attack(
        "the pointer of another realm, with its archive", 8, "it is for the realm staging, and no realm is asked for"
    ): Forgery(lambda site: site.staging, shown=True),
    Attack(
        "a pointer of no realm where one is asked for", 8, "it is for no realm, and the realm prod is asked for"
    ): Forgery(lambda site: site.current, options=("--realm", "prod")),
    Attack("an older pointer is put back, beyond `--max-age`", 4, "is older than 7 d, and building is off"): Forgery(
        lambda site: by_ci(site, changed(site.older, created=ago(8))), options=("--max-age", "7d")
    ),
    Attack("a pointer that has expired", 4, "but it expired at ", "a miss, and a warning says since when"): Forgery(
        lambda site: by_ci(site, changed(site.current, expires=ago(0.1)))
    ),
    Attack("another time at which it expires", 8, WRONG): Forgery(
        lambda site: envelope(changed(site.current, expires="2999-01-01T00:00:00Z"), *signatures_of(site.current))
    ),
    Attack("signed by a key that nobody trusts", 8, UNKNOWN, "nobody whom the trust file names has signed it"): Forgery(
        by_mallory
    ),
    Attack("not signed", 8, "nobody has signed it"): Forgery(lambda site: envelope(payload_of(site.current))),
    Attack("the payload is changed after it was signed", 8, WRONG): Forgery(
        lambda site: envelope(changed(site.current, builder="mallory"), *signatures_of(site.current))
    ),
    Attack("the signature of another pointer", 8, WRONG): Forgery(
        lambda site: envelope(payload_of(site.current), *signatures_of(site.foreign))
    ),
    Attack("the type of the payload is changed", 8, "the envelope does not hold a pointer"): Forgery(
        lambda site: envelope(payload_of(site.current), *signatures_of(site.current), kind="application/json")
    ),
    Attack("a trusted key's signature over the same bytes as another type", 8, WRONG): Forgery(
        lambda site: envelope(
            payload_of(site.current), site.ci.sign(payload_of(site.current), kind="application/vnd.in-toto+json")
        )
    ),
    Attack("somebody else's signature under the id of a trusted key", 8, WRONG): Forgery(
        lambda site: envelope(payload_of(site.current), site.mallory.sign(payload_of(site.current), as_=site.ci))
    ),
    Attack("half a signature", 8, WRONG): Forgery(
        lambda site: with_signature(site, signatures_of(site.current)[0]["sig"][:44])
    ),
    Attack("a signature that is a number", 8, "the pointer is not a DSSE envelope of JSON"): Forgery(
        lambda site: with_signature(site, 1)
    ),
    Attack("two payloads, of which one is signed", 8, WRONG): Forgery(said_twice),
    Attack("seventeen signatures, of which one is good", 8, "has more than 16 signatures"): Forgery(
        lambda site: many(site, 17)
    ),
    Attack("signed by a key before its `not-before`", 8, "the key ci counts from 2999-01-01T00:00:00Z on"): Forgery(
        lambda site: site.current, period=" not-before=2999-01-01"
    ),
    Attack("signed by a key after its `not-after`", 8, "the key ci counted until 2020-01-31T12:00:00Z"): Forgery(
        lambda site: site.current, period=" not-after=2020-01-31T13:00:00+01:00"
    ),
    Attack("an unsigned pointer of a later version, so that nobody replaces it", 8, "nobody has signed it"): Forgery(
        lambda site: envelope(changed(site.current, schema=2))
    ),
    Attack("a pointer of 10 MB", 8, "the pointer has 1048577 bytes"): Forgery(
        lambda site: site.current + b" " * 10_000_000
    ),
}
PUT_BACK: Final = Attack(
    "an older pointer is put back, within `--max-age`", 0, result="**not defended:** what was signed once is fetched"
)
GOOD_ONE: Final = Attack("signatures are added to a good one", 0, result="fetched; fifteen others are no matter")
ATTACKS: Final[Mapping[str, tuple[Attack, ...]]] = {
    "test_a_pointer_that_nobody_vouches_for": tuple(FORGERIES),
    "test_a_younger_pointer_than_max_age_may_be_put_back": (PUT_BACK,),
    "test_one_good_signature_is_enough": (GOOD_ONE,),
}
HEALED: Final = tuple(
    attack
    for attack in FORGERIES
    if attack.attack.startswith(("not signed", "the pointer of another", "seventeen", "an unsigned pointer of a later"))
)


class Victim:
    """A machine with a trust file and an environment that it made before somebody meddled with its store."""

    def __init__(self, site: Site, command: CommandLine, objects: Objects) -> None:
        self.site = site
        self.command = site.machine(command)
        self.objects = objects
        self.trust = command.home / "trust"
        site.fill(objects)
        command.env["TERRASTORE_STORE"] = objects.url
        self.trusts()
        command.ok("ensure", "--no-build", "-r", "other.txt", "--trust", str(self.trust))
        command.env["TERRASTORE_TRUST"] = str(self.trust)

    def trusts(self, period: str = "") -> None:
        self.trust.write_text(f"# who builds\n{self.site.ci.line}{period}\n")

    @property
    def everything(self) -> dict[str, str]:
        """What is on the machine: home, project, old environment, trust file; and what it keeps of layers."""
        return snapshot(self.command.home, self.command.cache)

    @contextmanager
    def attacked(self, forgery: Forgery) -> Iterator[None]:
        """Let somebody put a pointer there; afterwards machine and store must be as they were then."""
        self.objects.write(pointer(self.site.key), forgery.put(self.site))
        self.trusts(forgery.period)
        before, store = self.everything, self.objects.all()
        yield
        assert (before, store) == (self.everything, self.objects.all())
        self.objects.write(pointer(self.site.key), self.site.current)
        self.trusts()

    def run(self, *arguments: str) -> Result:
        result = self.command(*arguments)
        assert "Traceback" not in result.err
        return result


@pytest.fixture(scope="module")
def victim(request: pytest.FixtureRequest, site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    """Return a machine whose store is in a directory, or in S3."""
    home = tmp_path_factory.mktemp("victim")
    with command_line(home / "home", home) as command:
        objects: Objects = Files(home / "store")
        if request.param != "directory":
            server: S3Server = request.getfixturevalue(request.param)
            objects = InBucket(server.client(), server.bucket, uuid4().hex)
            command.env |= server.variables()
        yield Victim(site, command, objects)


IN_S3: Final = ("the pointer of another key", "an older pointer", "not signed", "a pointer of 10 MB")
CASES: Final = [
    (kind, attack)
    for kind in ("directory", "moto", "radosgw")
    for attack in FORGERIES
    if kind == "directory" or attack.attack.startswith(IN_S3)
]


@pytest.mark.parametrize(("victim", "attack"), CASES, indirect=["victim"], ids=str)
def test_a_pointer_that_nobody_vouches_for(victim: Victim, attack: Attack) -> None:
    """It is no hit, and what it says is believed by no command; machine and store stay as they are."""
    forgery = FORGERIES[attack]
    with victim.attacked(forgery):
        refused(victim.run("ensure", "--no-build", *forgery.options), attack)
        assert "kept" in victim.command.ok("ensure", "--no-build", "-r", "other.txt").out
        realm = forgery.options if "--realm" in forgery.options else ()
        for command in ("show", "verify"):
            result = victim.run(command, victim.site.key, *realm)
            if forgery.shown:
                assert 0 == result.code, result.err
            elif attack.code == 8:  # of what is sound, but not wanted now, one may ask
                refused(result, attack)
        why = victim.run("why", *realm)
        assert 0 == why.code
        if attack.code == 8:
            assert attack.message in why.err
            assert "it would be built" in why.out


@pytest.fixture
def builder(site: Site, cli: CommandLine) -> CommandLine:
    """Return a machine that may build and sign, with a store of its own."""
    site.machine(cli)
    site.fill(Files(cli.store))
    trust = cli.home / "trust"
    trust.write_text(f"{site.ci.line}\n")
    cli.env |= {"TERRASTORE_TRUST": str(trust), "TERRASTORE_SIGNER": str(site.ci.file)}
    return cli


@pytest.mark.parametrize("attack", HEALED, ids=str)
def test_who_signs_heals(builder: CommandLine, site: Site, attack: Attack) -> None:
    """A builder puts a pointer of its own in place of one that nobody vouches for; others then fetch that."""
    objects = Files(builder.store)
    objects.write(pointer(site.key), FORGERIES[attack].put(site))
    result = builder.ok("build")
    assert attack.message in result.err
    assert "built    2 packages" in result.out
    assert [site.ci.keyid] == [each["keyid"] for each in signatures_of(objects.read(pointer(site.key)))]
    assert "fetched" in builder.ok("ensure", "--no-build", TERRASTORE_SIGNER="").out


GOOD: Final[Mapping[str, Callable[[Site], bytes]]] = {
    "signed by ci, and by somebody unknown before": lambda site: many(site, 2),
    "the last of sixteen": lambda site: many(site, 16),
    "with a wrong one of the same key": lambda site: envelope(
        payload_of(site.current), *signatures_of(site.foreign), *signatures_of(site.current)
    ),
}


@pytest.mark.parametrize("good", GOOD)
def test_one_good_signature_is_enough(builder: CommandLine, site: Site, good: str) -> None:
    """Whatever else stands beside it: that is how keys are rotated, and nobody who adds one breaks anything."""
    Files(builder.store).write(pointer(site.key), GOOD[good](site))
    assert "fetched  2 packages" in builder.ok("ensure", "--no-build").out
    assert "  signed     by ci\n" in builder.ok("show", site.key).out


def test_a_younger_pointer_than_max_age_may_be_put_back(builder: CommandLine, site: Site) -> None:
    """What was signed once and is not older than ``--max-age`` counts: docs/security.md says so."""
    builder.ok("ensure", "--no-build")
    Files(builder.store).write(pointer(site.key), by_ci(site, changed(site.older, created=ago(6))))
    result = builder.ok("ensure", "--no-build", "--max-age", "7d", "--target", "rolled-back", "--json").json
    assert "fetched" == result["outcome"]
    assert list((builder.cwd / "rolled-back").glob("lib/*/site-packages/alpha-1.0.dist-info"))
    assert "kept" in builder.ok("ensure", "--no-build", "--max-age", "7d").out
    assert list((builder.cwd / ".venv").glob("lib/*/site-packages/alpha-2.0.dist-info"))
