"""The commands that make keys and sign, as a person uses them."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING

from tests.kms import ARN, Kms, served

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import CommandLine


def keyed(cli: CommandLine, name: str = "ci") -> tuple[Path, Path]:
    """Make a key; return its file, and a trust file that names it."""
    result = cli.ok("keygen", name)
    trust = cli.write("trust", result.out)
    return cli.home / f".config/terrastore/keys/{name}.key", trust


def test_keygen(cli: CommandLine) -> None:
    """The key goes beside the user's settings, where nobody else can look; the line alone is printed."""
    result = cli.ok("keygen", "ci-2026")
    key = cli.home / ".config/terrastore/keys/ci-2026.key"
    assert 0o600 == stat.S_IMODE(key.stat().st_mode)
    assert 0o700 == stat.S_IMODE(key.parent.stat().st_mode)
    assert result.out.startswith("ed25519 ci-2026 ")
    assert 1 == result.out.count("\n")
    assert str(key) in result.err
    again = cli("keygen", "ci-2026")
    assert (2, "") == (again.code, again.out)
    assert "is there already" in again.err


def test_keygen_elsewhere(cli: CommandLine) -> None:
    """--out names the file, --json tells it."""
    told = cli.ok("keygen", "ci", "--out", "here.key", "--json").json
    assert {"schema", "name", "file", "keyid", "trust"} == told.keys()
    assert ("ci", "here.key") == (told["name"], told["file"])
    assert b"PRIVATE KEY" in (cli.cwd / "here.key").read_bytes()
    assert 2 == cli("keygen", "ci", "--out", "no/such/folder").code
    assert 2 == cli("keygen", "../ci").code


def test_sign(stored: CommandLine) -> None:
    """What was there unsigned counts once it is signed, and who signed is shown."""
    key, trust = keyed(stored)
    refused = stored("ensure", "--no-build", "--trust", str(trust))
    assert 8 == refused.code
    assert "nobody has signed it" in refused.err
    name = stored.ok("list").out.strip()
    signing = ("sign", name, "--signer", str(key), "--trust", str(trust))
    unsigned = stored(*signing)
    assert 8 == unsigned.code
    assert "nobody has signed it" in unsigned.err
    signed = stored.ok(*signing, "--unsigned")
    assert signed.out.startswith(f"signed   by ci in {stored.store}  (")
    assert stored.ok("ensure", "--no-build", "--trust", str(trust)).out.startswith("fetched")
    assert "  signed     by ci\n" in stored.ok("show", name, "--trust", str(trust)).out
    assert stored.ok("verify", name, "--trust", str(trust)).out.startswith("sound")


def test_rotation(stored: CommandLine) -> None:
    """Both keys sign for a time; then what the new one signed counts without the old one."""
    old, trust = keyed(stored, "old")
    line, new = stored.ok("keygen", "new").out, old.with_name("new.key")
    name = stored.ok("list").out.strip()
    stored.ok("sign", name, "--signer", str(old))
    stored.ok("sign", name, "--signer", str(new))
    trust.write_text(trust.read_text() + line)
    shown = stored.ok("show", name, "--trust", str(trust)).out
    assert "  signed     by old\n  signed     by new\n" in shown
    trust.write_text(line)
    stored.ok("ensure", "--no-build", "--trust", str(trust))


def test_what_expired_is_signed_anew(stored: CommandLine) -> None:
    """--expires issues the pointer again, which earlier signatures are not over; without it they stay."""
    key, trust = keyed(stored)
    name = stored.ok("list").out.strip()
    stored.ok("sign", name, "--signer", str(key), "--expires", "0s")
    assert 4 == stored("ensure", "--no-build").code
    told = stored.ok("sign", name, "--signer", str(key), "--trust", str(trust), "--expires", "90d", "--json").json
    (environment,) = told["environments"]
    assert ["ci"] == environment["signers"]
    stored.ok("ensure", "--no-build", "--trust", str(trust))
    pointer = json.loads(next((stored.store / "v1/pointers").iterdir()).read_text())
    assert 1 == len(pointer["signatures"])


def test_what_cannot_be_signed(stored: CommandLine) -> None:
    """No key, one that the trust file does not name, another realm, no such environment: nothing changes."""
    key, trust = keyed(stored)
    name = stored.ok("list").out.strip()
    (pointer,) = (stored.store / "v1/pointers").iterdir()
    before = pointer.read_bytes()
    other = stored.ok("keygen", "other").out
    assert "nothing says whose key signs" in stored("sign", name).err
    trust.write_text(other)
    unknown = stored("sign", name, "--signer", str(key), "--trust", str(trust))
    assert 2 == unknown.code
    assert "does not name the key" in unknown.err
    realm = stored("sign", name, "--signer", str(key), "--realm", "web")
    assert 8 == realm.code
    assert "the realm web is asked for" in realm.err
    assert 2 == stored("sign", "cp399", "--signer", str(key)).code
    assert before == pointer.read_bytes()


def test_a_build_is_signed(cli: CommandLine) -> None:
    """By all keys that are named, for the realm and as long as is said; others are told why it does not count."""
    cli.write("requirements.txt", "alpha==1.0\n")
    key, trust = keyed(cli)
    options = ("--trust", str(trust), "--realm", "web")
    cli.ok("build", "--signer", str(key), "--expires", "1h", *options)
    pointer = cli.ok("show", cli.ok("list").out.strip(), "--json", *options).json["pointer"]
    assert "web" == pointer["realm"]
    assert pointer["expires"] > pointer["created"]
    assert cli.ok("ensure", "--no-build", *options).out.startswith("fetched")
    elsewhere = cli("ensure", "--no-build", "--trust", str(trust), "--target", "other")
    assert 8 == elsewhere.code
    assert "it is for the realm web, and no realm is asked for" in elsewhere.err


def test_a_key_in_kms_signs(cli: CommandLine) -> None:
    """keygen prints its line, and a build is signed by it, whatever S3's endpoint is."""
    cli.write("requirements.txt", "alpha==1.0\n")
    with served(Kms()) as variables:
        line = cli.ok("keygen", "kms", "--signer", f"awskms:{ARN}", **variables).out
        assert line.startswith("ed25519 kms ")
        trust = str(cli.write("trust", line))
        cli.ok("build", "--signer", f"awskms:{ARN}", "--trust", trust, **variables)
    assert cli.ok("ensure", "--no-build", "--trust", trust).out.startswith("fetched")


def test_a_service_that_does_not_sign_is_no_failure(cli: CommandLine) -> None:
    """The environment is built and stays here; who must publish fails before anything is built."""
    cli.write("requirements.txt", "alpha==1.0\n")
    service = Kms()
    service.refusal = 400, {"__type": "AccessDeniedException", "message": "no"}
    with served(service) as variables:
        built = cli.ok("ensure", "--signer", f"awskms:{ARN}", **variables)
        assert "not published" in built.out
        assert f"not published: AWS KMS refuses {ARN}" in built.err
        refused = cli("build", "--signer", f"awskms:{ARN}", **variables)
    assert (7, "") == (refused.code, refused.out)
    assert not [each for kind in ("pointers", "archives") for each in cli.store.glob(f"v1/{kind}/*")]
    assert "hidden" not in built.err + refused.err
