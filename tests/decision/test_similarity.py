from __future__ import annotations

import numpy as np
import pytest

from visavis.decision.similarity import compare, cosine
from visavis.errors import ModelMismatchError, OptionError
from visavis.types import Face, Quality, Template


def _template(sha: str, vector: list[float]) -> Template:
    face = Face((0, 0, 1, 1), np.zeros((5, 2), np.float32), 1.0)
    quality = Quality(60, 100, 0.5, 0.2, 0, 0, 0, 1)
    return Template(np.array(vector, np.float32), "net", sha, face, quality, f"{sha}.jpg")


def test_scores_agree_with_a_loop() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((5, 7)), rng.standard_normal((3, 7))
    unit_a = a / np.linalg.norm(a, axis=1, keepdims=True)
    unit_b = b / np.linalg.norm(b, axis=1, keepdims=True)
    for i in range(5):
        for j in range(3):
            want = sum(p * q for p, q in zip(unit_a[i], unit_b[j], strict=True))
            assert cosine(a[i], b[j]) == pytest.approx(want, abs=1e-12)


def test_templates_of_two_models_are_never_compared() -> None:
    one, other = _template("a" * 64, [1, 0]), _template("b" * 64, [1, 0])
    assert compare(one, one) == 1.0
    with pytest.raises(ModelMismatchError, match="embed both photos with one model"):
        compare(one, other)


@pytest.mark.parametrize(
    ("a", "b"), [([1, 0], [1, 0, 0]), ([0, 0], [1, 0]), ([np.nan, 1], [1, 0]), ([[1]], [[1]])]
)
def test_bad_vectors_are_refused(a, b) -> None:
    with pytest.raises(OptionError):
        cosine(a, b)
