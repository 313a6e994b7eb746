"""Clients of boto3, which only the environment tells where to go. Arguments: URL, key, secret."""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from typing import Any
from unittest import mock

import boto3
import botocore.auth
from botocore.compat import get_current_datetime
from worker import serve

url, key, secret = sys.argv[1:]
os.environ |= {
    "AWS_ENDPOINT_URL_REKOGNITION": url, "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_MAX_ATTEMPTS": "1",
    "AWS_EC2_METADATA_DISABLED": "true",
}  # fmt: skip


class Pages:
    """All pages of an operation."""

    def __getattr__(self, operation: str) -> Any:
        paginator = boto3.client("rekognition").get_paginator(operation)
        return lambda **arguments: list(paginator.paginate(**arguments))


class Late:
    """A client whose clock is six minutes slow."""

    def __getattr__(self, operation: str) -> Any:
        def call(**arguments: Any) -> Any:
            with mock.patch.object(botocore.auth, "get_current_datetime", _late):
                return getattr(boto3.client("rekognition"), operation)(**arguments)

        return call


def _late(**options: Any) -> Any:
    return get_current_datetime(**options) - timedelta(minutes=6)


def _other(**changes: str) -> Any:
    return boto3.client("rekognition", **changes)


serve(
    {
        "rekognition": boto3.client("rekognition"),
        "pages": Pages(),
        "late": Late(),
        "forged": _other(aws_access_key_id=key, aws_secret_access_key=secret[::-1]),
        "stranger": _other(aws_access_key_id="VVAK000000000000", aws_secret_access_key=secret),
    }
)
