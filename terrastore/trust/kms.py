"""Keys in AWS KMS (key spec ECC_NIST_EDWARDS25519), which never leave it: it signs, and its policies say for whom."""

from __future__ import annotations

import re
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnectionError
from botocore.session import Session

from terrastore import __version__
from terrastore.errors import StoreRefusedError, StoreUnreachableError, TerrastoreError, UsageError
from terrastore.redaction import without_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping

_ARN: Final = re.compile(r"arn:[a-z0-9-]+:kms:([a-z0-9-]+):\d{12}:(?:key|alias)/[A-Za-z0-9/_-]+")
_SPEC: Final = "ECC_NIST_EDWARDS25519"
_ALGORITHM: Final = "ED25519_SHA_512"
# RFC 8410: what comes before the 32 bytes of a public key in a SubjectPublicKeyInfo, which is what KMS gives.
_BEFORE_KEY: Final = bytes.fromhex("302a300506032b6570032100")
_REACH_HINT: Final = "check the network; AWS_ENDPOINT_URL is for all services, AWS_ENDPOINT_URL_S3 for stores alone"
_ALLOW_HINT: Final = "allow kms:GetPublicKey and kms:Sign to these credentials; docs/security.md has a policy"
_ATTEMPTS: Final = 4
_SECONDS: Final = 5


class KmsSigner:
    """A key that an ARN names, in that one's region.

    :raises UsageError: when it names none
    """

    def __init__(self, arn: str) -> None:
        match = _ARN.fullmatch(arn)
        if match is None:
            raise UsageError(
                f"{arn!r} names no key of AWS KMS",
                hint="write awskms:arn:aws:kms:REGION:ACCOUNT:key/ID, or alias/NAME at its end",
            )
        self._arn = arn
        self._region = match[1]

    def __str__(self) -> str:
        return self._arn

    def public(self) -> bytes:
        found = self._ask("get_public_key")
        key = bytes(found["PublicKey"])
        if found.get("KeySpec") != _SPEC or not key.startswith(_BEFORE_KEY):
            raise UsageError(
                f"{self._arn} is no Ed25519 key", hint=f"make one with the key spec {_SPEC}, for SIGN_VERIFY"
            )
        return key.removeprefix(_BEFORE_KEY)

    def sign(self, message: bytes) -> bytes:
        found = self._ask("sign", Message=message, MessageType="RAW", SigningAlgorithm=_ALGORITHM)
        return bytes(found["Signature"])

    def _ask(self, operation: str, **said: Any) -> Mapping[str, Any]:
        try:
            answer: Mapping[str, Any] = getattr(self._client, operation)(KeyId=self._arn, **said)
        except (BotoCoreError, ClientError, ValueError) as error:
            raise self._trouble(error) from error
        return answer

    def _trouble(self, error: Exception) -> TerrastoreError:
        told = " ".join(without_secrets(str(error)).split()).rstrip(".")
        if (
            isinstance(error, (HTTPClientError, NoConnectionError))
            or _status(error) >= HTTPStatus.INTERNAL_SERVER_ERROR
        ):
            return StoreUnreachableError(f"AWS KMS does not answer for {self._arn}: {told}", hint=_REACH_HINT)
        return StoreRefusedError(f"AWS KMS refuses {self._arn}: {told}", hint=_ALLOW_HINT)

    @cached_property
    def _client(self) -> Any:
        config = Config(
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
            connect_timeout=_SECONDS,
            read_timeout=_SECONDS,
            user_agent_extra=f"terrastore/{__version__}",
        )
        return Session().create_client("kms", region_name=self._region, config=config)


def _status(error: Exception) -> int:
    answer = error.response if isinstance(error, ClientError) else {}
    return int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
