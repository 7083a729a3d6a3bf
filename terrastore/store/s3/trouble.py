"""What went wrong between us and S3, in words that name what to check."""

from __future__ import annotations

import re
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from botocore import exceptions
from botocore.parsers import ResponseParserError

from terrastore.errors import (
    StoreRefusedError,
    StoreUnreachableError,
    TerrastoreError,
    UsageError,
    reason,
    root_cause,
)
from terrastore.redaction import without_secrets
from terrastore.store.ranges import NotThatRangeError
from terrastore.store.s3.client import UnusableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_NO_LOGIN: Final = (
    exceptions.CredentialRetrievalError,
    exceptions.LoginError,
    exceptions.MetadataRetrievalError,
    exceptions.NoAuthTokenError,
    exceptions.NoCredentialsError,
    exceptions.PartialCredentialsError,
    exceptions.SSOError,
    exceptions.TokenRetrievalError,
)
_MISCONFIGURED: Final = (
    exceptions.ConfigNotFound,
    exceptions.ConfigParseError,
    exceptions.EndpointProviderError,
    exceptions.InvalidConfigError,
    exceptions.InvalidDefaultsMode,
    exceptions.InvalidProxiesConfigError,
    exceptions.InvalidRegionError,
    exceptions.InvalidRetryConfigurationError,
    exceptions.InvalidS3AddressingStyleError,
    exceptions.MissingDependencyException,
    exceptions.ParamValidationError,
    exceptions.ProfileNotFound,
    UnusableError,
)
_LOGIN_HINT: Final = (
    "boto3 looks in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, ~/.aws and the role of this machine"
)
_REACH_HINT: Final = "check the endpoint (AWS_ENDPOINT_URL), the network, DNS and HTTPS_PROXY"
_REGION_HINT: Final = "name it: AWS_DEFAULT_REGION, or ?region= in --store"
_READ_HINT: Final = (
    "allow s3:GetObject, and s3:ListBucket on the bucket: without that S3 says the same of what is not there; "
    "docs/iam has policies"
)
_ALLOW_HINT: Final = "allow it to these credentials; docs/iam has policies for who builds and who only fetches"


class _Meaning(NamedTuple):
    """An error of ours; ``message`` names {store}, {bucket}, what it was {doing}, {where} and what it {told}."""

    kind: type[TerrastoreError]
    message: str
    hint: str


_NO_BUCKET: Final = _Meaning(
    StoreRefusedError, "there is no bucket {bucket}", "check the bucket in --store, the region and the endpoint"
)
_WRONG_CREDENTIALS: Final = _Meaning(StoreRefusedError, "{store} does not take these credentials: {told}", _LOGIN_HINT)
_EXPIRED: Final = _Meaning(
    StoreRefusedError, "{store}: the credentials have expired: {told}", "get new ones, or log in again"
)
_WRONG_CLOCK: Final = _Meaning(
    StoreRefusedError, "{store}: this machine's clock is not the store's: {told}", "set the clock"
)
_OTHER_REGION: Final = _Meaning(StoreRefusedError, "{store}: the bucket is in another region: {told}", _REGION_HINT)
_INVALID: Final = _Meaning(
    StoreRefusedError,
    "{store} refuses to {doing}: {told}",
    "check the parameters behind the ? in --store; docs/s3.md has them",
)
_FORBIDDEN: Final = _Meaning(StoreRefusedError, "{store} refuses to {doing}: {told}", _ALLOW_HINT)
_NO_S3: Final = _Meaning(
    StoreUnreachableError, "{store} answered {told} without a word of S3, to {doing}: is that a proxy?", _REACH_HINT
)
_FAILED: Final = _Meaning(
    StoreUnreachableError, "{store} failed to {doing}: {told}", "try again later; --ignore-store builds without it"
)
_BY_CODE: Final[Mapping[str, _Meaning]] = {
    "AuthFailure": _WRONG_CREDENTIALS,
    "AuthorizationHeaderMalformed": _OTHER_REGION,
    "ExpiredToken": _EXPIRED,
    "IllegalLocationConstraintException": _OTHER_REGION,
    "InvalidAccessKeyId": _WRONG_CREDENTIALS,
    "InvalidObjectState": _INVALID,
    "InvalidToken": _EXPIRED,
    "NoSuchBucket": _NO_BUCKET,
    "PermanentRedirect": _OTHER_REGION,
    "RequestExpired": _WRONG_CLOCK,
    "RequestTimeTooSkewed": _WRONG_CLOCK,
    "RequestTimeout": _FAILED,
    "SignatureDoesNotMatch": _WRONG_CREDENTIALS,
    "TemporaryRedirect": _OTHER_REGION,
    "TokenRefreshRequired": _EXPIRED,
}
_NO_ANSWER: Final[tuple[tuple[type[Exception] | tuple[type[Exception], ...], _Meaning], ...]] = (
    (
        exceptions.SSLError,
        _Meaning(
            StoreUnreachableError,
            "{store}: TLS failed{where}: {cause}",
            "check the certificate; AWS_CA_BUNDLE names the authorities to trust",
        ),
    ),
    (
        exceptions.ProxyConnectionError,
        _Meaning(StoreUnreachableError, "{store} cannot be reached through the proxy: {cause}", "check HTTPS_PROXY"),
    ),
    (
        exceptions.ConnectionError,
        _Meaning(StoreUnreachableError, "{store} cannot be reached{where}: {cause}", _REACH_HINT),
    ),
    (exceptions.ReadTimeoutError, _Meaning(StoreUnreachableError, "{store} does not answer{where}", _REACH_HINT)),
    (
        exceptions.ConnectionClosedError,
        _Meaning(StoreUnreachableError, "{store} closes the connection{where} without an answer", _REACH_HINT),
    ),
    (
        (exceptions.IncompleteReadError, exceptions.ResponseStreamingError),
        _Meaning(StoreUnreachableError, "{store} failed to {doing}: its answer breaks off", _REACH_HINT),
    ),
    (Exception, _Meaning(StoreUnreachableError, "{store} failed to {doing}: {told}", _REACH_HINT)),
)


class NonsenseError(Exception):
    """An answer that is not one of S3; the text says what it was."""


def status(error: exceptions.ClientError) -> int:
    """Return the HTTP status of an answer."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def is_missing(error: exceptions.ClientError) -> bool:
    """Whether S3 says that the object is not there; no bucket is no miss, and a proxy's page neither."""
    # A HEAD has no body to say more in.
    said = "404" if error.operation_name == "HeadObject" else "NoSuchKey"
    return status(error) == HTTPStatus.NOT_FOUND and _code(error) == said


def is_over(error: exceptions.ClientError) -> bool:
    """Whether S3 says that an upload has ended or was discarded."""
    return status(error) == HTTPStatus.NOT_FOUND and _code(error) == "NoSuchUpload"


def is_refusal(error: exceptions.ClientError) -> bool:
    """Whether S3 says no, whatever the reason, and would say the same if it were asked again."""
    number = status(error)
    return number == HTTPStatus.NOT_IMPLEMENTED or (
        HTTPStatus.BAD_REQUEST <= number < HTTPStatus.INTERNAL_SERVER_ERROR and number != HTTPStatus.TOO_MANY_REQUESTS
    )


@contextmanager
def speaking(store: object, bucket: str, doing: str) -> Iterator[None]:
    """Raise what goes wrong in the body as an error of ours.

    :param doing: what is done, such as ``read v1/pointers/…``
    :raises StoreRefusedError: when S3 says no
    :raises StoreUnreachableError: when it does not answer or makes no sense
    :raises UsageError: when the configuration for boto3 cannot be used
    """
    try:
        yield
    except TerrastoreError:
        raise
    except exceptions.ClientError as error:
        raise _error(_answered(error), _told(error), store=store, bucket=bucket, doing=doing) from error
    except _NO_LOGIN as error:
        raise StoreRefusedError(f"{store}: no credentials: {_words(error)}", hint=_LOGIN_HINT) from error
    except _MISCONFIGURED as error:
        # What is no URL may hold a password all the same.
        told = re.sub(r"\S*@", "", _words(error))
        raise UsageError(
            f"{store} cannot be used: {told}", hint="check --store, AWS_* variables and ~/.aws/config"
        ) from error
    except (NonsenseError, NotThatRangeError, ResponseParserError, exceptions.BotoCoreError) as error:
        raise _error(
            _unanswered(error),
            _words(error),
            store=store,
            bucket=bucket,
            doing=doing,
            where=_where(error),
            cause=_line(reason(root_cause(error))),
        ) from error


def _answered(error: exceptions.ClientError) -> _Meaning:
    """Return what an answer other than success means."""
    said, number = _code(error), status(error)
    if said in _BY_CODE:
        return _BY_CODE[said]
    if number in {HTTPStatus.MOVED_PERMANENTLY, HTTPStatus.TEMPORARY_REDIRECT}:
        return _OTHER_REGION
    if number >= HTTPStatus.INTERNAL_SERVER_ERROR or number == HTTPStatus.TOO_MANY_REQUESTS:
        return _FAILED
    is_read = error.operation_name in {"GetObject", "HeadObject"}
    if said.isdecimal() and error.operation_name != "HeadObject":
        return _NO_S3
    if number not in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return _INVALID
    return _FORBIDDEN._replace(hint=_READ_HINT) if is_read else _FORBIDDEN


def _unanswered(error: Exception) -> _Meaning:
    """Return what no answer means, or one that is none of S3's."""
    if "recursion" in str(error):  # botocore follows a redirect that names no region to itself
        return _OTHER_REGION
    return next(meaning for kind, meaning in _NO_ANSWER if isinstance(error, kind))


def _error(meaning: _Meaning, told: str, **words: object) -> TerrastoreError:
    return meaning.kind(meaning.message.format_map({"told": told, "where": ""} | words), hint=meaning.hint)


def _code(error: exceptions.ClientError) -> str:
    """Return S3's word for what is wrong, or the status as text where it said none."""
    return str(error.response.get("Error", {}).get("Code", ""))


def _told(error: exceptions.ClientError) -> str:
    """Return what an answer says, status first."""
    message, code = _line(error.response.get("Error", {}).get("Message") or ""), _code(error)
    if code.isdecimal():
        return f"{status(error)} {message}".strip()
    return f"{status(error)} {code} ({message})" if message else f"{status(error)} {code}"


def _where(error: Exception) -> str:
    """Return which server an error is about, if it says so."""
    parts = urlsplit(without_secrets(getattr(error, "kwargs", {}).get("endpoint_url") or ""))
    return f" at {parts.scheme}://{parts.netloc}" if parts.netloc else ""


def _words(said: object) -> str:
    """Return what botocore says as part of a sentence of ours."""
    text = _line(said)
    return text[:1].lower() + text[1:] if text[1:2].islower() else text


def _line(said: object) -> str:
    """Return a text in one line, without credentials."""
    return " ".join(without_secrets(str(said)).split()).rstrip(".")
