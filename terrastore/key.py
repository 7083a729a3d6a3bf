"""The name of an environment: a digest of everything that can change it, and of nothing else."""

from __future__ import annotations

import json
import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from terrastore.errors import UsageError
from terrastore.sha256 import sha256

if TYPE_CHECKING:
    from collections.abc import Mapping

    from terrastore.host import Host
    from terrastore.interpreter import Interpreter
    from terrastore.requirements import RequirementSet

SCHEMA: Final = 2
LAYOUT: Final = 1
"""Version of the archive layout, as in FORMAT.md."""

_DIGITS: Final = 40
_SHORT: Final = 8
_TEXT: Final = r"(?a)cp\d{2,4}t?d?-[a-z0-9_]+-[0-9a-f]{40}(-[a-z0-9._-]+)?"


class Request(NamedTuple):
    """Everything that decides what an environment will hold.

    ``resolution`` is where and how the installer looks for what is required, canonical and without credentials;
    ``variables`` those that ``--key-env`` names (None: not set); ``any_patch`` whether every patch version of the
    interpreter will do.
    """

    requirements: RequirementSet
    interpreter: Interpreter
    host: Host
    resolution: Mapping[str, Any] = MappingProxyType({})
    variables: Mapping[str, str | None] = MappingProxyType({})
    installer: str = "pip"
    seed: bool = True
    salt: str = ""
    any_patch: bool = False

    def canonical(self) -> dict[str, Any]:
        """Return the JSON object that the key is the digest of.

        Values of ``variables`` enter as digests: a value can be a secret, and this object is shown and published.
        """
        return {
            "schema": SCHEMA,
            "layout": LAYOUT,
            "salt": self.salt,
            "interpreter": self.interpreter.identity(any_patch=self.any_patch),
            "host": self.host.identity(),
            "installer": self.installer,
            "seed": self.seed,
            "requirements": list(self.requirements.requirements),
            "constraints": list(self.requirements.constraints),
            "resolution": dict(self.resolution),
            "variables": {
                name: None if value is None else sha256(value.encode(errors="surrogateescape")).hexdigest()
                for name, value in self.variables.items()
            },
        }

    def without_content(self) -> dict[str, Any]:
        """Return the same, but for what of it tells the content of files and directories named by path."""
        text = json.dumps(self.canonical() | {"local": sorted(self.requirements.local)}, ensure_ascii=False)
        for digest in sorted({*self.requirements.local.values()}):
            text = text.replace(digest, "")
        document: dict[str, Any] = json.loads(text)
        return document


class EnvKey(NamedTuple):
    """The name of an environment in every store: ``cp311-linux_x86_64-<40 hex>``.

    A host on which the plain key's archive does not fit has a key of its own, with ``-<ID>-<VERSION_ID>`` behind.
    """

    text: str

    @classmethod
    def of(cls, request: Request) -> EnvKey:
        """Return the key of a request: SHA-256 over canonical JSON (sorted keys, no spaces, UTF-8)."""
        document = json.dumps(request.canonical(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        digest = sha256(document.encode(errors="surrogateescape")).hexdigest()[:_DIGITS]
        return cls(f"{request.interpreter.tag}-{request.host.tag}-{digest}")

    @classmethod
    def parse(cls, text: str) -> EnvKey:
        """Return the key that ``text`` spells.

        :raises UsageError: when it is none
        """
        if not re.fullmatch(_TEXT, text):
            raise UsageError(
                f"{text!r} is no key",
                hint="a key looks like cp311-linux_x86_64-<40 hex>; see terrastore list",
            )
        return cls(text)

    def for_distribution(self, distribution: str) -> EnvKey:
        """Return the key of the same request on hosts of one distribution, such as ``debian-12``."""
        suffix = re.sub(r"[^a-z0-9._-]", "_", distribution.lower())
        return EnvKey(f"{self.text}-{suffix}") if suffix else self

    @property
    def digits(self) -> str:
        """What follows interpreter and platform: 40 hexadecimal digits, and the distribution if there is one."""
        return self.text.split("-", 2)[2]

    @property
    def short(self) -> str:
        """The key with its first digits alone, enough for a person to tell environments apart."""
        return self.text.replace(self.digits[:_DIGITS], self.digits[:_SHORT])

    def matches(self, text: str, distribution: str = "") -> bool:
        """Whether ``text`` is this key, whole, short, or as it begins, with at least eight digits; they do alone too.

        So is the key for a ``distribution``: it names what the same request is on such hosts.
        """
        special = self.for_distribution(distribution)
        begins = (self.text, len(self.text) - len(self.digits)), (self.digits, 0)
        return text in {special.text, special.short} or any(
            whole.startswith(text) and len(text) >= before + _SHORT for whole, before in begins
        )

    def __str__(self) -> str:
        return self.text
