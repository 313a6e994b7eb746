"""Who asks: the key whose secret access key signed the request."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Final

from fastapi import Request
from starlette.datastructures import State

from visavis.service.dialects.rekognition.sigv4 import (
    SignatureError,
    SignedRequest,
    credential_of,
    verify,
)
from visavis.service.dialects.rekognition.wire import aws
from visavis.service.keys import secret_access_key
from visavis.service.routes.common import admit, service_of
from visavis.service.state import Caller

_REGION: Final = "us-east-1"


@dataclass(frozen=True, slots=True)
class SignedCaller(Caller):
    """Who signed a request.

    Attributes:
        region: region of AWS for which it was signed; only names of resources contain it.
        state: of the request.
    """

    region: str = _REGION
    state: State = field(default_factory=State)


def caller_of(request: Request, body: bytes) -> SignedCaller:
    """Returns who signed a request; without any key, everybody is the same caller.

    Raises:
        ProblemError: not signed, not correctly signed, by no valid key, or beyond its rate.
    """
    service = service_of(request)
    unrecognized = aws(
        "UnrecognizedClientException", "The security token included in the request is invalid."
    )
    signed = SignedRequest(
        request.method,
        request.url.query,
        [
            (name.decode("latin-1"), value.decode("utf-8", "surrogateescape"))
            for name, value in request.headers.raw
        ],
        body,
    )
    access_key, region = credential_of(signed) or ("", _REGION)
    if not service.keys:
        return SignedCaller(region=region, state=request.state)
    key = service.keys.of_access_key(access_key)
    if access_key and (key is None or service.aws_key is None):
        raise unrecognized
    try:
        verify(
            signed,
            secret_of=partial(secret_access_key, master=service.aws_key or b""),
            now=datetime.now(UTC),
        )
    except SignatureError as error:
        raise aws(error.kind, error.message) from error
    if key is None:
        raise unrecognized
    known = admit(request, key)
    return SignedCaller(known.id, known.key, region, request.state)
