"""Lays visavis's verified model files out where deepface looks for them.

deepface takes whatever lies under the right name. YuNet is the very file that visavis uses. SFace
cannot be: ONNX Runtime refuses the published ``int8bq`` graph as it is (it lists its weights as
required inputs), so deepface gets the same weights unpacked to float32, every operator as
published: the graph of the float file that deepface downloads by itself.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.graphs import unpacked
from visavis.weights import WeightStore

NAMES = {
    "yunet": "face_detection_yunet_2023mar.onnx",
    "sface": "face_recognition_sface_2021dec.onnx",
}


def lay_out(home: Path, *, store: WeightStore | None = None) -> None:
    """Write both files under ``home``, unless they are there."""
    store = store or WeightStore()
    folder = home / ".deepface" / "weights"
    folder.mkdir(parents=True, exist_ok=True)
    for model, name in NAMES.items():
        target = folder / name
        mark = folder / f"{name}.from"  # what the file was made from
        source = store.entry(model).sha256
        if target.exists() and mark.exists() and mark.read_text() == source:
            continue
        data = store.read(model)
        target.write_bytes(unpacked(data) if model == "sface" else data)
        mark.write_text(source)


if __name__ == "__main__":
    lay_out(Path(sys.argv[1]))
