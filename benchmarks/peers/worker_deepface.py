"""deepface, kept alive. Run as a script in the peers' environment."""

from __future__ import annotations

from typing import Any

from protocol import Verify, serve


def start() -> Verify:
    """Import deepface."""
    from deepface import DeepFace

    def verify(a: str, b: str) -> dict[str, Any]:
        answer = DeepFace.verify(a, b, model_name="SFace", detector_backend="yunet")
        return {"same": bool(answer["verified"]), "score": 1 - float(answer["distance"])}

    return verify


if __name__ == "__main__":
    serve(start, refusals=(ValueError,))
