"""Signatures of AWS: known requests are accepted, and no changed one is."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.service.dialects import signing

from visavis.service.dialects.rekognition.sigv4 import SignatureError, SignedRequest, verify

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"  # of AWS's documentation
NOW = datetime(2026, 11, 30, 10, 15, tzinfo=UTC)
TARGET = ("X-Amz-Target", "RekognitionService.DescribeCollection")
TYPE = ("Content-Type", "application/x-amz-json-1.1")
DATE = ("X-Amz-Date", "20261130T101500Z")
HOST = ("Host", "127.0.0.1:8000")


def authorization(scope: str, headers: str, signature: str) -> tuple[str, str]:
    return signing.authorization("AKIDEXAMPLE", scope, headers, signature)


# As botocore 1.43 signed it at that time.
REQUEST = SignedRequest(
    "POST", "",
    [HOST, TARGET, TYPE, ("User-Agent", "x"), DATE,
     authorization("20261130/eu-west-1/rekognition", "content-type;host;x-amz-date;x-amz-target",
                   "e3ade488a40257711754fac400732fcb5945a30d9527cd5a5e96fe9354b58940")],
    b'{"CollectionId": "door"}',
)  # fmt: skip


def checked(request: SignedRequest, *, now: datetime = NOW, **more: Any) -> str:
    return verify(request, secret_of=lambda _id: SECRET, now=now, **more)


def refused(request: SignedRequest, **more: Any) -> SignatureError:
    with pytest.raises(SignatureError) as caught:
        checked(request, **more)
    return caught.value


def with_header(name: str, value: str | None) -> SignedRequest:
    kept = [one for one in REQUEST.headers if one[0].lower() != name.lower()]
    return replace(REQUEST, headers=[*kept, *([] if value is None else [(name, value)])])


def test_what_botocore_signed() -> None:
    assert checked(REQUEST) == "AKIDEXAMPLE"
    odd = SignedRequest(
        "POST", "b=2&a=1%2F&a=%20x",
        [HOST, ("X-Amz-Target", "RekognitionService.ListCollections"), TYPE,
         ("X-Amz-Meta", "  a   b  "), DATE, ("X-Amz-Security-Token", "tok/en="),
         authorization(
             "20261130/us-east-1/rekognition",
             "content-type;host;x-amz-date;x-amz-meta;x-amz-security-token;x-amz-target",
             "efb91c2ff03d3c72280b929643de64c651636cd7460663f07d35b2302e2a872d",
         )],
        b"{}",
    )  # fmt: skip
    assert checked(odd) == "AKIDEXAMPLE"


@pytest.mark.parametrize(
    ("method", "query", "signature"),
    [
        ("GET", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("POST", "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        (
            "GET", "Param2=value2&Param1=value1",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
    ],
    ids=["get-vanilla", "post-vanilla", "get-vanilla-query-order-key-case"],
)  # fmt: skip
def test_vectors_that_aws_publishes(method: str, query: str, signature: str) -> None:
    request = SignedRequest(
        method, query,
        [("Host", "example.amazonaws.com"), ("X-Amz-Date", "20150830T123600Z"),
         authorization("20150830/us-east-1/service", "host;x-amz-date", signature)],
        b"",
    )  # fmt: skip
    when = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
    assert checked(request, now=when, service="service") == "AKIDEXAMPLE"
    assert "service" in refused(request, now=when).message


def test_the_clock_may_differ_by_five_minutes() -> None:
    """The words are those that clients of AWS read the service's time from."""
    for minutes in (-5, 5):
        checked(REQUEST, now=NOW + timedelta(minutes=minutes))
    late = refused(REQUEST, now=NOW + timedelta(minutes=5, seconds=1))
    assert (late.kind, late.message) == (
        "InvalidSignatureException",
        "Signature expired: 20261130T101500Z is now earlier than 20261130T101501Z "
        "(20261130T102001Z - 5 min.)",
    )
    early = refused(REQUEST, now=NOW - timedelta(minutes=5, seconds=1))
    assert early.message.startswith("Signature not yet current: 20261130T101500Z is still later")


@pytest.mark.parametrize(
    ("request_", "kind"),
    [
        (with_header("Authorization", None), "MissingAuthenticationTokenException"),
        (with_header("Authorization", ""), "IncompleteSignatureException"),
        (with_header("Authorization", "Bearer vv_0_0"), "IncompleteSignatureException"),
        (with_header("X-Amz-Date", None), "IncompleteSignatureException"),
        (with_header("X-Amz-Date", "Mon, 30 Nov 2026 10:15:00 GMT"),
         "IncompleteSignatureException"),
        (with_header("X-Amz-Date", "20261130T101501Z"), "InvalidSignatureException"),
        (with_header("X-Amz-Date", "20261129T235959Z"), "InvalidSignatureException"),
        (with_header("X-Amz-Target", None), "InvalidSignatureException"),
        (with_header("X-Amz-Target", "RekognitionService.DeleteCollection"),
         "InvalidSignatureException"),
        (with_header("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD"), "InvalidSignatureException"),
        (with_header("X-Amz-Meta", "unsigned"), "InvalidSignatureException"),
        (with_header("Host", "other.example"), "InvalidSignatureException"),
        (replace(REQUEST, headers=[*REQUEST.headers, TARGET]), "InvalidSignatureException"),
        (replace(REQUEST, headers=[*REQUEST.headers, REQUEST.headers[-1]]),
         "MissingAuthenticationTokenException"),
        (replace(REQUEST, method="PUT"), "InvalidSignatureException"),
        (replace(REQUEST, query="a=1"), "InvalidSignatureException"),
        (replace(REQUEST, body=REQUEST.body + b" "), "InvalidSignatureException"),
    ],
)  # fmt: skip
def test_a_changed_request_is_refused(request_: SignedRequest, kind: str) -> None:
    assert refused(request_).kind == kind


def test_an_added_header_is_no_loss() -> None:
    """Proxies add some."""
    assert checked(with_header("X-Forwarded-For", "10.0.0.1")) == "AKIDEXAMPLE"


@given(
    body=st.binary(max_size=60), secret=st.text(min_size=1, max_size=40),
    region=st.from_regex(r"[a-z]{2}-[a-z]{1,9}-[0-9]", fullmatch=True),
    value=st.text(st.characters(exclude_categories=["C"]), max_size=20), data=st.data(),
)  # fmt: skip
def test_only_what_was_signed_is_accepted(
    body: bytes, secret: str, region: str, value: str, data: st.DataObject
) -> None:
    plain = [HOST, TARGET, TYPE, DATE, ("X-Amz-Meta", value)]
    headers = signing.sign(plain, body, identity="AKIDEXAMPLE", secret=secret, region=region)
    signed = SignedRequest("POST", "", headers, body)
    assert verify(signed, secret_of=lambda _id: secret, now=NOW) == "AKIDEXAMPLE"
    wrong = data.draw(st.sampled_from(["secret", "body", "signature"]))
    changed = signed
    if wrong == "body":
        changed = replace(signed, body=data.draw(st.binary(max_size=60).filter(body.__ne__)))
    elif wrong == "signature":
        name, text = signed.headers[-1]
        at = data.draw(st.integers(1, 64))
        digit = data.draw(st.sampled_from("0123456789abcdef").filter(text[-at].__ne__))
        text = f"{text[:-at]}{digit}{text[len(text) - at + 1 :]}"
        changed = replace(signed, headers=[*signed.headers[:-1], (name, text)])
    used = f"{secret}x" if wrong == "secret" else secret
    with pytest.raises(SignatureError):
        verify(changed, secret_of=lambda _id: used, now=NOW)


@given(text=st.text(max_size=80), cut=st.integers(0, 250))
def test_any_header_ends_in_an_error_of_its_kind(text: str, cut: int) -> None:
    whole = REQUEST.headers[-1][1]
    for value in (text, whole[:cut] + text, whole + text):
        if value != whole:
            refused(with_header("Authorization", value))
