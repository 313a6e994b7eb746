"""visavis, kept alive. Run as a script."""

from __future__ import annotations

from typing import Any

from protocol import Verify, serve

from visavis.errors import VisavisError


def start() -> Verify:
    """Import visavis."""
    import visavis

    def verify(a: str, b: str) -> dict[str, Any]:
        answer = visavis.verify(a, b)
        return {"same": answer.same, "score": answer.score}

    return verify


if __name__ == "__main__":
    serve(start, refusals=(VisavisError,))
