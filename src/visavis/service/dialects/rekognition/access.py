"""Who asks: the key whose secret access key signed the request."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from fastapi import Request

from visavis.service.dialects.rekognition.sigv4 import (
    SignatureError,
    SignedRequest,
    access_key_of,
    verify,
)
from visavis.service.dialects.rekognition.wire import aws
from visavis.service.keys import secret_access_key
from visavis.service.routes.common import admit, service_of
from visavis.service.state import Caller

if TYPE_CHECKING:
    from visavis.service.keys import ServiceKey


def caller_of(request: Request, body: bytes) -> Caller:
    """Returns who signed a request; without any key, everybody is the same caller.

    Raises:
        ProblemError: not signed, not correctly signed, by no valid key, or beyond its rate.
    """
    service = service_of(request)
    if not service.keys:
        return Caller()
    signed = SignedRequest(
        request.method,
        request.url.query,
        [
            (name.decode("latin-1"), value.decode("utf-8", "surrogateescape"))
            for name, value in request.headers.raw
        ],
        body,
    )
    access_key = access_key_of(signed)
    key: ServiceKey | None = None
    if access_key is not None:
        key = service.keys.of_access_key(access_key)
        if key is None or service.aws_key is None:
            raise aws(
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
            )
    try:
        verify(
            signed,
            secret_of=partial(secret_access_key, master=service.aws_key or b""),
            now=datetime.now(UTC),
        )
    except SignatureError as error:
        raise aws(error.kind, error.message) from error
    assert key is not None  # noqa: S101  # a verified request names its key
    return admit(request, key)
