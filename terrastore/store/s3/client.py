"""One botocore client for each way to reach S3, made when it is first needed.

botocore alone, not boto3 around it: half the time to the first answer, and the same credentials, configuration files
and variables, for boto3 takes them from it.
"""

from __future__ import annotations

import functools
import threading
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from botocore import UNSIGNED
from botocore.config import Config
from botocore.session import Session
from botocore.utils import parse_timestamp

from terrastore import __version__
from terrastore.store.s3 import collector, models

if TYPE_CHECKING:
    from terrastore.store.s3.location import Connection

CONNECTIONS: Final = 16
_ATTEMPTS: Final = 4
_CONNECT_SECONDS: Final = 4
# A store that never answers is given up after 4 times this and at most 7 seconds of waiting between: 27 seconds.
_ANSWER_SECONDS: Final = 5
# A store may take its time to put a large object together.
_PATIENT_ATTEMPTS: Final = 3
_PATIENT_SECONDS: Final = 20

_making = threading.Lock()


def client(connection: Connection, *, patient: bool = False) -> Any:
    """Return the process's client for a way to reach S3; any number of threads may use it.

    :param patient: wait long for an answer, as after the bytes of an upload
    :raises UnusableError: when botocore does not take the configuration for one
    :raises botocore.exceptions.BotoCoreError: when the configuration cannot be used
    """
    with _making, collector.paused():  # a client may be shared by threads; making one may not
        return _client(connection, patient)


class UnusableError(Exception):
    """The configuration is none; the text says why."""


@functools.cache
def _client(connection: Connection, patient: bool) -> Any:
    config = Config(
        retries={"mode": "standard", "total_max_attempts": _PATIENT_ATTEMPTS if patient else _ATTEMPTS},
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_PATIENT_SECONDS if patient else _ANSWER_SECONDS,
        max_pool_connections=CONNECTIONS,
        tcp_keepalive=True,
        # Older stores refuse, or worse store, the trailers that newer checksums come in. We have digests of our own.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": connection.addressing_style} if connection.addressing_style else None,
        user_agent_extra=f"terrastore/{__version__}",
        **({"signature_version": UNSIGNED} if connection.anonymous else {}),
    )
    session = _session(connection.profile)
    try:
        made = session.create_client(
            "s3", region_name=connection.region, endpoint_url=connection.endpoint_url, config=config
        )
    except ValueError as error:  # such as an endpoint that is no URL
        raise UnusableError(str(error)) from error

    def add_headers(request: Any, **_: object) -> None:
        for name, value in connection.headers:
            request.headers[name] = value

    for operation in ("PutObject", "CreateMultipartUpload", "CopyObject"):
        made.meta.events.register(f"before-sign.s3.{operation}", add_headers)
    return made


@functools.cache
def _session(profile: str | None) -> Session:
    session = Session(profile=profile)
    models.restrict(session.get_component("data_loader"))
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_moment)
    return session


def _moment(value: Any) -> datetime:
    """Return the time that an answer states; botocore's own way takes most of the time that a listing takes."""
    with suppress(TypeError, ValueError):
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is not None:
            return moment
    other: datetime = parse_timestamp(value)
    return other
