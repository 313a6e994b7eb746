"""What ``import visavis`` tells the libraries that read their settings at their own import."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

TOLD = {"ORT_DISABLE_TELEMETRY": "1", "OPENBLAS_THREAD_TIMEOUT": "18"}


@pytest.mark.parametrize("name", TOLD)
def test_libraries_are_told_before_their_import_and_a_users_value_stays(name: str) -> None:
    code = (
        "import sys, os, visavis; assert not {'numpy', 'onnxruntime'} & sys.modules.keys(); "
        f"print(os.environ[{name!r}])"
    )
    without = {key: value for key, value in os.environ.items() if key not in TOLD}
    for environment, value in ((without, TOLD[name]), (without | {name: "7"}, "7")):
        said = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert said.stdout.strip() == value
