"""A recognizer with the default models and a calibration made up for the tests."""

from __future__ import annotations

import numpy as np
import pytest

from visavis.decision.labelled import Provenance, calibrate
from visavis.decision.pair_scores import all_pairs
from visavis.decision.profile import Calibration
from visavis.pipeline import Recognizer


@pytest.fixture(scope="session")
def calibration() -> Calibration:
    """Of Gaussian templates: thresholds near 0.2, nothing measured on faces."""
    plain = Recognizer()
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((150, 128))
    vectors = np.repeat(centers, 2, axis=0) + 0.6 * rng.standard_normal((300, 128))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    made = Provenance(
        "toy", plain.model, plain.model_sha256, plain.pipeline_id, "Gaussian templates", 300
    )
    return calibrate(all_pairs(vectors, np.repeat(np.arange(150), 2)), made, replicates=100)


@pytest.fixture(scope="session")
def recognizer(calibration: Calibration) -> Recognizer:
    return Recognizer(calibration=calibration)
