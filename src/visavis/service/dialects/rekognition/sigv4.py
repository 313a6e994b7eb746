"""Checks AWS Signature Version 4 of a request.

Source: AWS, "Signature Version 4 signing process": a canonical form of the request is signed with
a key that is derived from the secret access key, the day, the region and the service.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote, unquote_to_bytes

SKEW: Final = timedelta(minutes=5)
"""Most that a request's time may differ from the service's."""

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_HEADER: Final = re.compile(
    rf"{_ALGORITHM} +Credential=(?P<id>[\w-]{{1,128}})/(?P<day>\d{{8}})/(?P<region>[\w-]{{1,64}})/"
    rf"(?P<service>[\w-]{{1,64}})/aws4_request, *SignedHeaders=(?P<headers>[a-z0-9;-]{{1,2000}}), *"
    r"Signature=(?P<signature>[0-9a-f]{64})",
    re.ASCII,
)
_TIME: Final = "%Y%m%dT%H%M%SZ"
_DIGEST: Final = "x-amz-content-sha256"


class SignatureError(Exception):
    """A request whose signature is refused.

    Args:
        kind: name of the error in AWS's answers.
        message: what is wrong.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind, self.message = kind, message


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """What is signed of a request.

    Attributes:
        method: HTTP method.
        query: query string as it was sent.
        headers: all headers, in order; names in any case.
        body: the body.
    """

    method: str
    query: str
    headers: Sequence[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """Returns the value of a header that was sent once."""
        found = [value for key, value in self.headers if key.lower() == name]
        return found[0] if len(found) == 1 else None


def credential_of(request: SignedRequest) -> tuple[str, str] | None:
    """Returns access key id and region that a request names, unchecked."""
    found = _HEADER.fullmatch(request.header("authorization") or "")
    return (found["id"], found["region"]) if found else None


def verify(
    request: SignedRequest, *, secret_of: Callable[[str], str], now: datetime,
    service: str = "rekognition",
) -> str:  # fmt: skip
    """Returns the access key id of a request to path ``/`` that is signed correctly.

    Within ``SKEW`` a request can be sent again, as with AWS.

    Args:
        request: the request.
        secret_of: gives the secret access key of any access key id.
        now: current time.
        service: name of the service that requests are signed for.

    Raises:
        SignatureError: not signed, not for this service, too old, or another signature.
    """
    given = request.header("authorization")
    if given is None:
        raise SignatureError(
            "MissingAuthenticationTokenException", "Request is missing Authentication Token"
        )
    found = _HEADER.fullmatch(given)
    if found is None:
        raise SignatureError(
            "IncompleteSignatureException",
            f"Authorization must be {_ALGORITHM} with Credential, SignedHeaders and Signature.",
        )
    time = _time(request, found["day"], now)
    if found["service"] != service:
        raise _invalid(f"Credential should be scoped to correct service: '{service}'.")
    signed = found["headers"].split(";")
    _require_signed(request, signed)
    digest = hashlib.sha256(request.body).hexdigest()
    if request.header(_DIGEST) not in {None, digest}:
        raise _invalid(f"{_DIGEST} is not the SHA-256 of the body.")
    scope = "/".join([found["day"], found["region"], found["service"], "aws4_request"])
    text = "\n".join([_ALGORITHM, time, scope, _hash(canonical(request, signed, digest))])
    key = f"AWS4{secret_of(found['id'])}".encode()
    for part in scope.split("/"):
        key = _hmac(key, part)
    if not hmac.compare_digest(_hmac(key, text).hex(), found["signature"]):
        raise _invalid(
            "The request signature we calculated does not match the signature you provided. Check "
            "your AWS Secret Access Key and signing method."
        )
    return found["id"]


def canonical(request: SignedRequest, signed: Sequence[str], digest: str) -> str:
    """Returns the canonical form of a request to path ``/``.

    Args:
        request: the request.
        signed: names of the signed headers, in lower case.
        digest: SHA-256 of the body, hexadecimal.
    """
    values: dict[str, list[str]] = {name: [] for name in signed}
    for name, value in request.headers:
        if name.lower() in values:
            values[name.lower()].append(" ".join(value.split()))
    headers = "".join(f"{name}:{','.join(values[name])}\n" for name in signed)
    pairs = (part.partition("=") for part in request.query.split("&") if part)
    query = "&".join(sorted(f"{_quoted(name)}={_quoted(value)}" for name, _, value in pairs))
    return "\n".join([request.method, "/", query, headers, ";".join(signed), digest])


def _time(request: SignedRequest, day: str, now: datetime) -> str:
    """Returns the time of a request, as it was sent."""
    text = request.header("x-amz-date") or ""
    try:
        when = datetime.strptime(text, _TIME).replace(tzinfo=UTC)
    except ValueError as error:
        raise SignatureError(
            "IncompleteSignatureException", "X-Amz-Date must be a time such as 20261130T101500Z."
        ) from error
    if text[:8] != day:
        raise _invalid(f"Date in Credential scope does not match X-Amz-Date: '{day}'.")
    current, minutes = f"{now:{_TIME}}", int(SKEW.total_seconds() // 60)
    if when < now - SKEW:
        raise _invalid(
            f"Signature expired: {text} is now earlier than {now - SKEW:{_TIME}} "
            f"({current} - {minutes} min.)"
        )
    if when > now + SKEW:
        raise _invalid(
            f"Signature not yet current: {text} is still later than {now + SKEW:{_TIME}} "
            f"({current} + {minutes} min.)"
        )
    return text


def _require_signed(request: SignedRequest, signed: Sequence[str]) -> None:
    sent = {name.lower() for name, _ in request.headers}
    needed = {"host", *(name for name in sent if name.startswith("x-amz-"))}
    if missing := needed - {*signed}:
        raise _invalid(f"Header '{min(missing)}' must be a signed header.")
    if list(signed) != sorted({*signed}) or not sent.issuperset(signed):
        raise _invalid("SignedHeaders must be sorted names of headers that are sent.")


def _quoted(text: str) -> str:
    return quote(unquote_to_bytes(text), safe="-_.~")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


def _invalid(message: str) -> SignatureError:
    return SignatureError("InvalidSignatureException", message)
