"""The command that brings environments from one store to another."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from terrastore.cli import messages, options
from terrastore.cli.environments import reporting
from terrastore.errors import UsageError
from terrastore.report import size as amount

if TYPE_CHECKING:
    from collections.abc import Callable

    from terrastore.catalogue import Published
    from terrastore.promotion import Promoted
    from terrastore.report import Report
    from terrastore.store.protocol import Store
    from terrastore.trust import Trust


@click.command()
@click.argument("keys", metavar="KEY...", nargs=-1, required=True)
@options.option("--from", "source", metavar="URL", help="The store that has them.")
@options.option("--to", "destination", metavar="URL", help="The store that is to have them.")
@options.option("--replace", is_flag=True, help="Put them in the place of others that it has under the same keys.")
@options.option("--verify", is_flag=True, help="Read every archive whole, also where stores copy by themselves.")
@options.trusting
@options.signing
@options.common
def copy(**values: Any) -> None:
    """Copy environments from one store to another, such as from staging to production.

    Each is the same archive byte for byte, verified before it is published; so is its pointer, unless --signer, --realm
    or --expires issue it anew.
    """
    from terrastore import catalogue  # noqa: PLC0415 -- help and usage errors need none of it
    from terrastore.promotion import promote, unchanged  # noqa: PLC0415

    source, destination = _stores(values)
    keys = list(dict.fromkeys(catalogue.resolve(source, text) for text in values["keys"]))
    trust, told = options.trust(values), []
    for key in keys:
        started = time.perf_counter()
        with reporting(values["quiet"]) as report:
            promoted = promote(
                source,
                destination,
                key,
                trust=trust,
                envelope=_issuing(values, trust, report) or unchanged,
                replace=values["replace"],
                verify=values["verify"],
                report=report,
            )
        seconds = time.perf_counter() - started
        told.append(
            {
                "outcome": promoted.outcome,
                "key": key.text,
                "bytes": promoted.size,
                "server_side": promoted.server_side,
                "seconds": round(seconds, 3),
                "warnings": report.warnings,
            }
        )
        if not values["as_json"]:
            messages.print_line(_line(promoted, source, destination, seconds))
    if values["as_json"]:
        messages.print_json(
            {"schema": messages.SCHEMA, "from": str(source), "to": str(destination), "environments": told}
        )


def _issuing(values: dict[str, Any], trust: Trust, report: Report) -> Callable[[Published], bytes] | None:
    """Return what issues pointers anew for the destination, None when nothing says that they are to be."""
    if not values["signer"] and values["expires"] is None and values["realm"] is None:
        return None
    from terrastore.trust.signing import Signing  # noqa: PLC0415 -- see copy

    signing = Signing(values["signer"], trust=trust, lasts=values["expires"], report=report)
    signing.prepare()
    return lambda found: signing.vouched(found.pointer, found.envelope)


def _stores(values: dict[str, Any]) -> tuple[Store, Store]:
    """Return the two stores that are named.

    :raises UsageError: when one is not named or of an unknown kind, or both are the same
    """
    from terrastore.store.locations import is_same  # noqa: PLC0415 -- see copy

    source, destination = (_opened(option, values[name]) for option, name in _STORES)
    if is_same(source, destination):
        raise UsageError(f"--from and --to are the same store, {source}", hint="name another one with --to")
    return source, destination


_STORES = (("--from", "source"), ("--to", "destination"))


def _opened(option: str, url: str | None) -> Store:
    from terrastore.store.locations import open_store  # noqa: PLC0415 -- see copy

    if not url:
        raise UsageError(f"copy needs {option} URL", hint="such as --from s3://acme-staging --to s3://acme-production")
    try:
        return open_store(url)
    except UsageError as error:
        raise UsageError(error.message.replace("--store", option, 1), hint=error.hint) from None


def _line(promoted: Promoted, source: Store, destination: Store, seconds: float) -> str:
    """Return the one line that says what came of it."""
    short = promoted.key.short
    if promoted.outcome == "copied":
        return f"copied   {amount(promoted.size)} from {source} to {destination} in {seconds:.1f} s  ({short})"
    if promoted.outcome == "renewed":
        return f"renewed  {destination} has it already, and has the pointer of {source} now  ({short})"
    return f"kept     {destination} has it already  ({short})"


COMMANDS = (copy,)
