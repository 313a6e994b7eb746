"""deepface's ``represent``, kept alive. Run as a script in the peers' environment.

The protocol is that of pairs; the second name of each is ignored.
"""

from __future__ import annotations

from typing import Any

from protocol import Verify, serve


def start() -> Verify:
    """Import deepface."""
    from deepface import DeepFace

    def represent(photo: str, _: str) -> dict[str, Any]:
        made = DeepFace.represent(photo, model_name="SFace", detector_backend="yunet")
        return {"faces": len(made)}

    return represent


if __name__ == "__main__":
    serve(start, refusals=(ValueError,))
