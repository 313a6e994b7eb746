"""What the attack on the service takes for wrong; ``python -m tests.faults.service`` is the attack.

``.ci/run`` runs a bounded part of it.
"""

from __future__ import annotations

from typing import Any

import pytest
from tests.faults.service import judged

PEOPLE = {"people": [{"name": "Ann"}]}
TRUTH: dict[str, tuple[int, Any]] = {
    "people": (200, PEOPLE), "nobody": (401, {"reason": "unauthorized"}),
    "enroll": (201, {"rows": []}), "enrolled": (200, PEOPLE),
}  # fmt: skip


def refusal(status: int, reason: str) -> tuple[int, Any]:
    return status, {"reason": reason, "detail": "", "remedy": ""}


@pytest.mark.parametrize(
    ("target", "changes", "noticed", "wrong"),
    [
        ("keys", {}, False, ""),
        ("keys", {"people": refusal(500, "key-file")}, True, ""),
        ("keys", {"people": refusal(401, "unauthorized")}, True, "wrong"),
        ("keys", {"nobody": (200, PEOPLE)}, True, "wrong"),
        ("gallery, plain", {"people": (200, {"people": []})}, True, "wrong"),
        ("gallery, plain", {"people": refusal(404, "unknown-person")}, True, "wrong"),
        ("gallery, plain", {"people": refusal(500, "unexpected")}, True, "raised"),
        ("gallery, plain", {"enrolled": (200, {"people": []})}, True, "wrong"),
        (
            "gallery, plain",
            {"enroll": refusal(500, "gallery-damaged"), "enrolled": (200, {"people": []})},
            True,
            "",
        ),
    ],
)
def test_what_is_wrong(
    target: str, changes: dict[str, tuple[int, Any]], noticed: bool, wrong: str
) -> None:
    seen, findings = judged(TRUTH | changes, TRUTH, target=target, kind="bits", done="")
    assert seen is noticed
    assert {one.what.partition(":")[0] for one in findings} == ({wrong} if wrong else set())
