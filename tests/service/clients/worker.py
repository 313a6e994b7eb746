"""Makes calls of a client library; in the client's own environment, without visavis.

A line of standard input is a call ``{"of", "method", "arguments"}`` in JSON; a line of standard
output is its ``{"answer"}``, or the type and text of its ``{"error"}``.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Mapping
from typing import Any


def serve(objects: Mapping[str, Any]) -> None:
    """Makes calls of these objects until the input ends."""
    out, sys.stdout = sys.stdout, sys.stderr  # clients print
    for line in sys.stdin:
        call = json.loads(line, object_hook=_bytes)
        try:
            answer = getattr(objects[call["of"]], call["method"])(**call["arguments"])
            told = {"answer": answer}
        except BaseException as error:  # some clients raise such; the caller looks at it
            response = getattr(error, "response", None)
            told = {"error": type(error).__name__, "message": str(error), "response": response}
        print(json.dumps(told, default=str), file=out, flush=True)


def _bytes(given: dict[str, Any]) -> Any:
    return base64.b64decode(given["bytes"]) if {*given} == {"bytes"} else given
