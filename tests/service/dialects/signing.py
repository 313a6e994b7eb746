"""Signs requests as clients of AWS do; written after its documentation, apart from the library."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import httpx

Headers = Sequence[tuple[str, str]]


def authorization(identity: str, scope: str, headers: str, signature: str) -> tuple[str, str]:
    return (
        "Authorization",
        f"AWS4-HMAC-SHA256 Credential={identity}/{scope}/aws4_request, "
        f"SignedHeaders={headers}, Signature={signature}",
    )


def sign(headers: Headers, body: bytes, *, identity: str, secret: str, region: str) -> Headers:
    """The headers of a ``POST /`` with its signature; all of them are signed."""
    names = ";".join(sorted(name.lower() for name, _ in headers))
    lines = sorted(f"{name.lower()}:{' '.join(value.split())}" for name, value in headers)
    digest = hashlib.sha256(body).hexdigest()
    form = "POST\n/\n\n" + "\n".join(lines) + f"\n\n{names}\n{digest}"
    time = dict(headers)["X-Amz-Date"]
    scope = f"{time[:8]}/{region}/rekognition"
    text = f"AWS4-HMAC-SHA256\n{time}\n{scope}/aws4_request\n"
    text += hashlib.sha256(form.encode()).hexdigest()
    key = f"AWS4{secret}".encode()
    for part in (*scope.split("/"), "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    return [*headers, authorization(identity, scope, names, signature)]


def call(
    http: httpx.Client,
    operation: str,
    body: dict[str, Any] | bytes,
    *,
    identity: str = "AKIDEXAMPLE",
    secret: str = "secret",
    when: datetime | None = None,
) -> httpx.Response:
    """Sends a signed request."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = [
        ("Host", str(http.base_url).rstrip("/").rpartition("/")[2]),
        ("X-Amz-Target", f"RekognitionService.{operation}"),
        ("Content-Type", "application/x-amz-json-1.1"),
        ("X-Amz-Date", f"{when or datetime.now(UTC):%Y%m%dT%H%M%SZ}"),
    ]
    signed = sign(headers, content, identity=identity, secret=secret, region="eu-central-1")
    return http.post("/", content=content, headers=dict(signed))
