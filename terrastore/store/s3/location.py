"""Where an S3 store is and how it is to be spoken to: ``s3://bucket/prefix?region=eu-west-1&storage_class=…``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlsplit

from terrastore.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

_FORM: Final = "write s3://bucket/prefix; docs/s3.md has the parameters that may follow"
_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_HEADER: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*:\s*([^\r\n]*)")
_CONNECTION: Final = ("region", "profile", "endpoint_url", "addressing_style", "anonymous")
_WRITING: Final = {
    "acl": "ACL",
    "sse": "ServerSideEncryption",
    "sse_kms_key_id": "SSEKMSKeyId",
    "storage_class": "StorageClass",
}
_HEADERS: Final = "header"
_PARAMETERS: Final = f"the parameters are {', '.join((*_CONNECTION, *_WRITING, _HEADERS))}"
_CHOICES: Final = {
    "addressing_style": ("auto", "path", "virtual"),
    "anonymous": ("true", "false"),
    "sse": ("AES256", "aws:kms", "aws:kms:dsse"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """What a client is made of; None and "" leave the choice to botocore's own configuration and environment.

    ``addressing_style`` is ``auto``, ``path`` or ``virtual``; ``anonymous`` sends requests without a signature;
    ``headers`` are names and values sent with PutObject, CreateMultipartUpload and CopyObject besides.
    """

    region: str | None = None
    profile: str | None = None
    endpoint_url: str | None = None
    addressing_style: str = ""
    anonymous: bool = False
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A parsed URL. ``prefix`` is "" or ends with ``/``; ``writing`` are parameters of the API for new objects."""

    bucket: str
    prefix: str
    connection: Connection = field(default_factory=Connection)
    writing: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, url: str) -> Location:
        """Return what ``url`` says.

        :raises UsageError: when it is not of this form, or names a parameter that there is not
        """
        parts = urlsplit(url)
        shown = f"--store s3://{parts.netloc.rpartition('@')[2]}{parts.path}"
        if "@" in parts.netloc:
            raise UsageError(
                "--store s3:// must not hold credentials",
                hint="boto3 finds them in the environment, in ~/.aws or in the role of the machine",
            )
        if not _BUCKET.fullmatch(parts.netloc):
            raise UsageError(f"{shown}: {parts.netloc!r} is no bucket's name", hint=_FORM)
        if parts.fragment:
            raise UsageError(f"{shown}: a prefix has no '#' here", hint=_FORM)
        prefix = "/".join(filter(None, parts.path.split("/")))
        values: dict[str, str] = {}
        headers: list[tuple[str, str]] = []
        for name, value in parse_qsl(parts.query, keep_blank_values=True):
            if name == _HEADERS:
                headers.append(_header(value))
            elif name not in (*_CONNECTION, *_WRITING):
                raise UsageError(f"{shown} has a parameter {name!r}, which there is not", hint=_PARAMETERS)
            elif not value or name in values:
                what = "two values" if name in values else "no value"
                raise UsageError(f"{shown} has {what} for the parameter {name}", hint=_PARAMETERS)
            elif value not in _CHOICES.get(name, (value,)):
                raise UsageError(f"{shown} has {name}={value}", hint=f"{name} is one of {', '.join(_CHOICES[name])}")
            else:
                values[name] = value
        return cls(
            bucket=parts.netloc,
            prefix=f"{prefix}/" if prefix else "",
            connection=_connection(values, tuple(headers)),
            writing={_WRITING[name]: value for name, value in values.items() if name in _WRITING},
        )

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


def _connection(values: Mapping[str, str], headers: tuple[tuple[str, str], ...]) -> Connection:
    return Connection(
        region=values.get("region"),
        profile=values.get("profile"),
        endpoint_url=values.get("endpoint_url"),
        addressing_style=values.get("addressing_style", ""),
        anonymous=values.get("anonymous") == "true",
        headers=headers,
    )


def _header(text: str) -> tuple[str, str]:
    match = _HEADER.fullmatch(text)
    if not match:
        raise UsageError(
            "--store s3:// has a header that is none", hint="write header=Name:value, with %20 for a space"
        )
    return match[1], match[2]
