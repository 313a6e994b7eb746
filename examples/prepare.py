"""Writes the files that the examples need: ``python prepare.py [--model sface] [--to onnx]``.

``models/`` gets the exported model with its ``model.json``, the detector YuNet with constant
weights and free input size, and ``thresholds.json``. Thresholds measured on the exported file need
labelled photos (``--evaluate``). Without them a file in float32 gets those of the model that it was
made from, whose templates it reproduces; a file in 8 bits gets none.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import visavis as vv
from visavis.inference.folding import folded
from visavis.weights import WeightStore

RATES = (1e-2, 1e-3, 1e-4, 1e-5)


def main() -> None:
    """Export, then write the detector and the thresholds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="sface", help="a registered model")
    parser.add_argument("--to", default="onnx", choices=("onnx", "onnx-int8"), help="the target")
    parser.add_argument("--calibrate", help="folder of photos for 8-bit ranges")
    parser.add_argument("--evaluate", help="labelled photos, to measure thresholds on the file")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "models")
    options = parser.parse_args()
    vv.export(
        options.model,
        to=options.to,
        out=options.out,
        calibrate=options.calibrate,
        evaluate=options.evaluate,
    )
    store = WeightStore()
    graph = folded(store.read("yunet"), input_shape=(1, 3, "height", "width"))
    (options.out / "detector.onnx").write_bytes(graph)
    card = json.loads((options.out / "model.json").read_text())
    points = {p["target_fmr"]: p["threshold"] for p in card["operating_points"]}
    source = "measured on this file"
    if not points and options.to == "onnx":
        entry = store.entry(options.model)
        calibration = vv.CalibrationStore().for_model(
            None, model=entry.name, model_sha256=entry.sha256, pipeline_id=""
        )
        points = {rate: calibration.operating_point(rate).threshold for rate in RATES}
        source = f"calibration {calibration.name} of {entry.name}, which the file was made from"
    rows = [{"fmr": rate, "threshold": points[rate]} for rate in sorted(points, reverse=True)]
    thresholds = {"source": source, "points": rows}
    (options.out / "thresholds.json").write_text(json.dumps(thresholds, indent=1) + "\n")
    print(f"{options.out}: {', '.join(sorted(p.name for p in options.out.iterdir()))}")


if __name__ == "__main__":
    main()
