"""deepface's ``find`` on a prepared datastore. Run as a script in the peers' environment.

Reads one JSON document, ``{"folder", "templates", "mates", "queries", "modes"}``, and answers with
``{mode: [{"seconds", "rest", "best"}, ...]}``: seconds of a whole call, seconds without detection
and embedding, and the closest photo to each face.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

MODEL, DETECTOR = "SFace", "yunet"


def main() -> None:
    """Prepare the datastore, then time every query in every mode."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    told = json.load(sys.stdin)
    import numpy as np
    from deepface import DeepFace
    from deepface.modules import recognition
    from deepface.modules.filestore import build_file_store

    store = build_file_store(told["folder"])
    photos = sorted(store.list_images())
    templates = np.load(told["templates"])[: len(photos)].tolist()
    rows = []
    for photo, template in zip(photos, templates, strict=True):
        embedding = template
        if photo in told["mates"]:
            made = DeepFace.represent(photo, model_name=MODEL, detector_backend=DETECTOR)
            largest = max(made, key=lambda one: one["facial_area"]["w"] * one["facial_area"]["h"])
            embedding = largest["embedding"]
        place = dict.fromkeys(("target_x", "target_y", "target_w", "target_h"), 0)
        rows.append(
            {"identity": photo, "hash": store.find_hash(photo), "embedding": embedding, **place}
        )
    name = f"ds_model_{MODEL.lower()}_detector_{DETECTOR}_aligned_normalization_base_expand_0.npz"
    save: Any = vars(recognition)["__save_representations"]
    save(store, store.join(name), "npz", rows)

    spent = [0.0]
    _timed(recognition.detection, "extract_faces", spent)
    _timed(recognition.representation, "represent", spent)
    out: dict[str, list[dict[str, Any]]] = {}
    for mode, options in told["modes"].items():
        out[mode] = []
        for number, query in enumerate([told["queries"][0], *told["queries"]]):
            spent[0], began = 0.0, time.perf_counter()
            found: Any = DeepFace.find(
                query,
                told["folder"],
                model_name=MODEL,
                detector_backend=DETECTOR,
                silent=True,
                **options,
            )
            seconds = time.perf_counter() - began
            if number:  # the first loads what is loaded once
                row = {"seconds": seconds, "rest": seconds - spent[0], "best": _best(found)}
                out[mode].append(row)
    answers.write(json.dumps(out))
    answers.close()


def _best(found: Any) -> list[str]:
    """The closest photo to each face of the query."""
    firsts = [one[0] if isinstance(one, list) else one.iloc[0] for one in found if len(one)]
    return [str(first["identity"]) for first in firsts]


def _timed(module: Any, name: str, spent: list[float]) -> None:
    call: Callable[..., Any] = getattr(module, name)

    def wrapped(*positional: Any, **named: Any) -> Any:
        began = time.perf_counter()
        try:
            return call(*positional, **named)
        finally:
            spent[0] += time.perf_counter() - began

    setattr(module, name, wrapped)


if __name__ == "__main__":
    main()
