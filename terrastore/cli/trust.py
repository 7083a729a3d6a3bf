"""Commands that make keys, and sign with them what is in a store."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from terrastore import folders
from terrastore.cli import messages, options
from terrastore.cli.environments import reporting
from terrastore.errors import UsageError, reason


@click.command()
@click.argument("name", metavar="NAME")
@click.option(
    "--out",
    metavar="FILE",
    shell_complete=options.paths("file"),
    help="Where the key goes; default: keys/NAME.key beside the user's settings.",
)
@click.option("--signer", metavar="awskms:ARN", help="Make none, and print the line of this key.")
@options.common
def keygen(**values: Any) -> None:
    """Make a key that signs what is published.

    The private half goes to a file that nobody else can read; printed is the line for the trust files of those who
    are to follow what it signs.
    """
    from terrastore import trust  # noqa: PLC0415 -- help needs none of it
    from terrastore.trust import signing  # noqa: PLC0415 -- help needs none of it

    name = trust.name_of_key(values["name"])
    if values["signer"] and values["out"]:
        raise UsageError("--signer and --out contradict each other", hint="leave one out")
    file = None
    if values["signer"]:
        raw = signing.signer(values["signer"]).public()
    else:
        file = values["out"] or _own_folder(name)
        raw = signing.generate(file)
    key = trust.PublicKey(name, raw)
    if values["as_json"]:
        messages.print_json(
            {"schema": messages.SCHEMA, "name": name, "file": file, "keyid": key.keyid, "trust": key.line}
        )
        return
    print(key.line)
    if file is not None and not values["quiet"]:
        told = f"written  {messages.near(file)}: keep it secret, and sign with --signer {file}"
        messages.print_line(told, sys.stderr)


@click.command()
@click.argument("keys", metavar="KEY...", nargs=-1, required=True)
@options.store
@options.trusting
@options.signing
@click.option("--unsigned", is_flag=True, help="Sign also what nobody named in the trust file has signed.")
@options.common
def sign(**values: Any) -> None:
    """Vouch for environments in a store, besides whoever did before.

    With --expires they count for so long from now, and earlier signatures are gone. With a trust file those alone are
    signed that somebody it names has signed, unless --unsigned says otherwise.
    """
    from terrastore import catalogue  # noqa: PLC0415 -- help needs none of it
    from terrastore.endorse import endorse  # noqa: PLC0415
    from terrastore.trust.signing import Signing  # noqa: PLC0415

    if not values["signer"]:
        raise UsageError("nothing says whose key signs", hint="name it with --signer; terrastore keygen makes one")
    store, trust = options.opened_store(values["store"]), options.trust(values)
    signed = []
    with reporting(values["quiet"]) as report:
        signing = Signing(values["signer"], trust=trust, lasts=values["expires"], report=report)
        signing.prepare()
        names = [key.name for key, _ in signing.signers]
        for key in [catalogue.resolve(store, text) for text in values["keys"]]:
            found = endorse(store, key, signing, trust, unsigned=values["unsigned"])
            signed.append({"key": key.text, "signers": names, "expires": found.pointer.expires})
            if not values["as_json"]:
                until = f", until {found.pointer.expires}" if found.pointer.expires else ""
                messages.print_line(f"signed   by {', '.join(names)} in {found.store}{until}  ({key.short})")
    if values["as_json"]:
        messages.print_json({"schema": messages.SCHEMA, "store": str(store), "environments": signed})


def _own_folder(name: str) -> str:
    """Return where a key of this user goes; nobody else can look into that folder."""
    folder = os.path.join(folders.user_config(), "keys")
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be made: {reason(error)}", hint="name a file with --out") from None
    return os.path.join(folder, f"{name}.key")


COMMANDS = (keygen, sign)
