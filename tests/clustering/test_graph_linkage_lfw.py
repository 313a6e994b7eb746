"""The default on photographs: people of LFW's View 1 test list, as the command would see them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from visavis.clustering.graph_linkage import GraphLinkage
from visavis.clustering.thresholds import fmr_curve_of
from visavis.decision.profile import CalibrationStore
from visavis.faces.quality import quality_score
from visavis.metrics.clustering import bcubed, pairwise
from visavis.pipeline import Recognizer, RecognizerOptions


@pytest.mark.lfw
@pytest.mark.slow
def test_people_of_lfw(lfw: Path, home: Path) -> None:
    listed = [
        (name, int(count))
        for name, count in (
            line.split() for line in (lfw / "peopleDevTest.txt").read_text().splitlines()[1:]
        )
    ]
    chosen = [p for p in listed if 3 <= p[1] <= 12][:40] + [p for p in listed if p[1] == 1][:60]
    photos = [
        lfw / "lfw-deepfunneled" / name / f"{name}_{k:04d}.jpg"
        for name, count in chosen
        for k in range(1, count + 1)
    ]
    who = np.repeat(np.arange(len(chosen)), [count for _, count in chosen])
    recognizer = Recognizer(options=RecognizerOptions(runtime="openvino"), home=home)
    results = list(recognizer.embed_many(photos, rule="central"))
    found = np.array([bool(result.templates) for result in results])
    templates = [result.templates[0] for result in results if result.templates]
    shipped = CalibrationStore(home).for_model(
        None,
        model=recognizer.model,
        model_sha256=recognizer.model_sha256,
        pipeline_id=recognizer.pipeline_id,
    )
    clusterer = GraphLinkage(fmr_curve_of(shipped.points, shipped.reference))
    labels = clusterer.cluster(
        np.stack([template.vector for template in templates]),
        quality_score=np.array([quality_score(template.quality) for template in templates]),
    )
    assert found.mean() > 0.99
    assert bcubed(who[found], labels).f1 >= 0.975
    assert pairwise(who[found], labels).f1 >= 0.975
