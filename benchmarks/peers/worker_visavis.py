"""visavis, kept alive. Run as a script; its argument is the precision."""

from __future__ import annotations

import sys
from typing import Any

from protocol import Verify, serve

from visavis.errors import VisavisError


def start() -> Verify:
    """Import visavis."""
    import visavis

    def verify(a: str, b: str) -> dict[str, Any]:
        answer = visavis.verify(a, b, precision=sys.argv[1])
        return {"same": answer.same, "score": answer.score}

    return verify


if __name__ == "__main__":
    serve(start, refusals=(VisavisError,))
