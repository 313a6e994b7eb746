"""The recognizer on the portrait that scikit-image ships."""

from __future__ import annotations

import gc
import io
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from visavis.decision.domain import Domain
from visavis.embedding.cache import EmbeddingCache
from visavis.embedding.onnx import OnnxEmbedder
from visavis.errors import (
    ImageNotFoundError,
    ModelMismatchError,
    NoFaceError,
    OptionError,
    SeveralFacesError,
    UnsupportedFmrError,
)
from visavis.faces import align
from visavis.pipeline import Recognizer, RecognizerOptions
from visavis.pipeline.comparison import compare
from visavis.pipeline.records import PhotoResult
from visavis.weights import WeightStore


@pytest.fixture(scope="module")
def two(portrait: np.ndarray) -> np.ndarray:
    """The portrait, and beside it a smaller, mirrored one."""
    small = np.full_like(portrait, 128)
    small[100:356, 100:356] = portrait[::2, ::-1][:, ::2]
    return np.concatenate([portrait, small], axis=1)


def save(pixels: np.ndarray, path: Path) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def test_the_parts_make_the_whole(recognizer: Recognizer, portrait: np.ndarray) -> None:
    template = recognizer.embed(portrait)[0]
    found = recognizer.detector.detect(portrait)[0]
    scale = WeightStore().entry("sface").crop_scale
    crop = align.crop(portrait, found.landmarks, scale=scale)
    want = OnnxEmbedder("sface").embed(crop[None])[0]
    np.testing.assert_allclose(template.vector, want, atol=1e-5)
    assert template.model_sha256 == recognizer.model_sha256
    assert template.faces_found == 1


def test_every_kind_of_source_gives_the_same(
    recognizer: Recognizer, portrait: np.ndarray, tmp_path: Path
) -> None:
    path = save(portrait, tmp_path / "Größe 写真.png")
    data = path.read_bytes()
    want = recognizer.embed(portrait)[0].vector
    for source in (path, str(path), data, io.BytesIO(data), Image.open(path)):
        np.testing.assert_allclose(recognizer.embed(source)[0].vector, want, atol=1e-5)


def test_verify_says_what_it_used(recognizer: Recognizer, portrait: np.ndarray) -> None:
    answer = recognizer.verify(portrait, portrait[:, ::-1].copy(), fmr=1e-2, prior=0.5)
    assert answer.same
    assert answer.score >= answer.threshold
    assert answer.fmr == 1e-2
    assert answer.operating_point.fmr <= 1e-2
    assert answer.threshold == answer.operating_point.threshold
    assert answer.llr > 0
    assert "likelier if these are the same person" in answer.evidence
    assert answer.posterior is not None
    assert answer.posterior == pytest.approx(1 / (1 + np.exp(-answer.llr)))
    plain = json.loads(json.dumps(answer.to_dict(), allow_nan=False))
    assert {"same", "score", "threshold", "fmr", "llr", "model"} <= set(plain)
    assert plain["a"]["face"]["box"] == list(answer.a.face.box)


def test_verify_gives_the_same_score_on_any_number_of_threads(
    recognizer: Recognizer, portrait: np.ndarray
) -> None:
    """Photos side by side, one after the other, and by several callers at once."""
    other = portrait[8:, 12:].copy()
    want = float(recognizer.embed(portrait)[0].vector @ recognizer.embed(other)[0].vector)
    for threads in (1, 2):
        one = Recognizer(options=RecognizerOptions(threads=threads))
        assert one.verify(portrait, other).score == pytest.approx(want, abs=1e-5)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: recognizer.verify(portrait, other).score, range(8)))
    assert answers == pytest.approx([want] * 8, abs=1e-5)


_FORKED = """
import multiprocessing, sys
import numpy as np, skimage.data
from visavis.pipeline import Recognizer

photo = skimage.data.astronaut()
recognizer = Recognizer()
before = recognizer.verify(photo, photo).score

def again(_):
    return recognizer.verify(photo, photo).score

with multiprocessing.get_context("fork").Pool(2) as pool:
    print(pool.map(again, range(2), chunksize=1) == [before] * 2)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_verify_goes_on_in_a_forked_child() -> None:
    """Servers fork workers from a process that has verified already; threads do not come along."""
    done = subprocess.run(
        [sys.executable, "-c", _FORKED], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "True"


def test_nothing_of_the_callers_is_in_use_after_an_error(
    recognizer: Recognizer, portrait: np.ndarray, tmp_path: Path
) -> None:
    """A bad photo ends the call only when the other one has been let go of, too."""
    data = save(portrait, tmp_path / "a.png").read_bytes()

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            time.sleep(0.05)
            return super().read(size)

    slow = Slow(data)
    with pytest.raises(ImageNotFoundError):
        recognizer.verify(tmp_path / "no.jpg", slow)
    slow.seek(0)
    assert recognizer.verify(portrait, slow).same


def test_verify_names_the_photo_that_is_bad(
    recognizer: Recognizer, portrait: np.ndarray, tmp_path: Path
) -> None:
    """Errors come out of the threads as they are, and the next call works."""
    for pair in ((portrait, tmp_path / "no.jpg"), (tmp_path / "no.jpg", portrait)):
        with pytest.raises(ImageNotFoundError, match=r"no\.jpg"):
            recognizer.verify(*pair)
    assert recognizer.verify(portrait, portrait).same


def test_verify_is_symmetric(recognizer: Recognizer, portrait: np.ndarray) -> None:
    other = (portrait * 0.5).astype(np.uint8)[::2, ::2]
    assert recognizer.verify(portrait, other).score == pytest.approx(
        recognizer.verify(other, portrait).score, abs=1e-5
    )


def test_a_calibration_with_a_domain_scores_about_its_means(
    calibration, recognizer: Recognizer, portrait: np.ndarray
) -> None:
    other = (portrait * 0.5).astype(np.uint8)[::2, ::2]
    x, y = (recognizer.embed(photo)[0].vector.astype(float) for photo in (portrait, other))
    a, b = 0.3 * x[::-1], 0.2 * x[::-1] + 0.1
    domain = Domain(a.astype(np.float32), 50, 50, b.astype(np.float32), 50, 50)
    answer = Recognizer(calibration=replace(calibration, domain=domain)).verify(portrait, other)
    p, q = x - a, y - b
    assert answer.score == pytest.approx(p @ q / np.linalg.norm(p) / np.linalg.norm(q), abs=1e-5)
    assert answer.centered
    assert not recognizer.verify(portrait, other).centered


def test_the_rules_on_a_photo_with_two_faces(
    recognizer: Recognizer, portrait: np.ndarray, two: np.ndarray
) -> None:
    largest = recognizer.verify(portrait, two, fmr=1e-2)
    assert largest.b.face.box[0] < 512
    assert largest.b.faces_found == 2
    (other,) = largest.b.passed_over
    assert other.reason == "smaller"
    assert other.face.box[0] >= 512
    with pytest.raises(SeveralFacesError):
        recognizer.verify(portrait, two, fmr=1e-2, rule="refuse")
    best = recognizer.verify(portrait, two, fmr=5e-2, rule="best-match")
    assert best.comparisons == 2
    assert best.fmr == 5e-2
    assert best.operating_point.fmr <= 2.5e-2  # corrected for two comparisons
    assert len(recognizer.embed(two, rule="all")) == 2


def test_bad_input_is_refused_by_name(recognizer: Recognizer, portrait: np.ndarray) -> None:
    with pytest.raises(ImageNotFoundError, match=r"nowhere\.jpg"):
        recognizer.verify(portrait, "nowhere.jpg")
    with pytest.raises(NoFaceError):
        recognizer.verify(portrait, np.zeros((200, 200, 3), np.uint8))
    with pytest.raises(OptionError, match="'all'"):
        recognizer.verify(portrait, portrait, rule="all")
    with pytest.raises(OptionError, match="prior"):
        recognizer.verify(portrait, portrait, prior=1.0)
    with pytest.raises(OptionError, match="rate"):
        recognizer.verify(portrait, portrait, fmr=0)
    with pytest.raises(UnsupportedFmrError):
        recognizer.verify(portrait, portrait, fmr=1e-7)


def test_a_calibration_of_another_model_is_refused(calibration) -> None:
    other = replace(calibration, model_sha256="0" * 64)
    with pytest.raises(ModelMismatchError):
        _ = Recognizer(calibration=other).calibration


def test_templates_of_two_models_are_never_compared(
    calibration, recognizer: Recognizer, portrait: np.ndarray
) -> None:
    one = recognizer.embed(portrait)
    other = [replace(one[0], model_sha256="0" * 64)]
    with pytest.raises(ModelMismatchError):
        compare(one, other, calibration=calibration, pipeline_id=recognizer.pipeline_id)


def test_other_settings_than_the_calibrations_are_pointed_out(
    calibration, portrait: np.ndarray
) -> None:
    flipping = Recognizer(calibration=calibration, options=RecognizerOptions(flip=True))
    answer = flipping.verify(portrait, portrait)
    assert any("not measured for this pipeline" in warning for warning in answer.warnings)


@pytest.mark.parametrize("workers", [1, 3])
def test_a_batch_keeps_order_and_goes_on(
    recognizer: Recognizer, portrait: np.ndarray, tmp_path: Path, workers: int
) -> None:
    good = save(portrait, tmp_path / "good.png")
    blank = save(np.zeros((60, 60, 3), np.uint8), tmp_path / "blank.png")
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 not a jpeg")
    photos = [good, tmp_path / "missing.jpg", blank, broken, good] * 9
    seen: list[tuple[int, int]] = []
    results = list(
        recognizer.embed_many(
            photos, workers=workers, progress=lambda done, total: seen.append((done, total))
        )
    )
    reasons = [result.reason for result in results]
    assert reasons[:3] == [None, "image-not-found", "no-face"]
    assert reasons[3] in {"image-truncated", "not-an-image"}
    assert reasons == reasons[:5] * 9
    assert [result.photo for result in results] == [str(photo) for photo in photos]
    assert seen == [(k + 1, 45) for k in range(45)]
    want = recognizer.embed(good)[0].vector
    np.testing.assert_allclose(results[40].templates[0].vector, want, atol=1e-4)


def test_the_cache_gives_back_the_same_and_works_no_more(
    recognizer: Recognizer, portrait: np.ndarray, tmp_path: Path, monkeypatch
) -> None:
    good = save(portrait, tmp_path / "good.png")
    blank = save(np.zeros((60, 60, 3), np.uint8), tmp_path / "blank.png")
    path = tmp_path / "cache" / "embeddings.sqlite"
    with EmbeddingCache(path) as cache:
        first = list(recognizer.embed_many([good, blank], cache=cache, workers=1))
        assert len(cache) == 2
    assert path.stat().st_mode & 0o077 == 0
    copy = tmp_path / "copy.png"
    copy.write_bytes(blank.read_bytes())

    def fail(*_: object) -> None:
        raise AssertionError("worked although the cache knows")

    monkeypatch.setattr(type(recognizer.detector), "detect", fail)
    with EmbeddingCache(path) as cache:
        again = list(recognizer.embed_many([good, copy], cache=cache, workers=1))
    assert again[0].to_dict() == first[0].to_dict()
    assert again[1].reason == "no-face"
    assert again[1].message == str(first[1].message).replace(str(blank), str(copy))


def test_changed_settings_miss_the_cache(
    recognizer: Recognizer, portrait: np.ndarray, tmp_path: Path
) -> None:
    good = save(portrait, tmp_path / "good.png")
    flipping = Recognizer(options=RecognizerOptions(flip=True))
    with EmbeddingCache(tmp_path / "c.sqlite") as cache:
        list(recognizer.embed_many([good], cache=cache, rule="central"))
        list(recognizer.embed_many([good], cache=cache, rule="largest"))
        list(flipping.embed_many([good], cache=cache, rule="central"))
        assert len(cache) == 3


def test_clearing_the_cache_leaves_no_template_byte(
    recognizer: Recognizer, portrait: np.ndarray, tmp_path: Path
) -> None:
    good = save(portrait, tmp_path / "good.png")
    with EmbeddingCache(tmp_path / "c.sqlite") as cache:
        result = next(iter(recognizer.embed_many([good], cache=cache)))
        needle = result.templates[0].vector.tobytes()[:32]
        assert cache.clear() == 1
        files = list(tmp_path.glob("c.sqlite*"))
        assert files
        assert not any(needle in file.read_bytes() for file in files)


def test_an_abandoned_batch_stops(recognizer: Recognizer, portrait: np.ndarray) -> None:
    seen: list[int] = []
    begun: list[int] = []

    def skip(number: int, _digest: str) -> bool:
        begun.append(number)
        return False

    face = io.BytesIO()
    Image.fromarray(portrait[:240, 100:340]).save(face, "JPEG")
    stream = recognizer.embed_many(
        [face.getvalue()] * 400,
        workers=2,
        skip=skip,
        progress=lambda done, total: seen.append(done),
    )
    assert next(stream).reason is None
    stream.close()
    assert seen == [1]
    # The first chunk, four ahead of it, and no more.
    assert len(begun) <= 5 * 16


def test_results_that_were_yielded_are_not_kept(recognizer: Recognizer) -> None:
    """Memory of a run does not grow with its photos."""
    gc.collect()
    before = sum(isinstance(one, PhotoResult) for one in gc.get_objects())
    rows = recognizer.embed_many([b"no photo"] * 800, workers=2)
    assert len([next(rows).reason for _ in range(790)]) == 790
    alive = sum(isinstance(one, PhotoResult) for one in gc.get_objects())
    # Four chunks ahead, and the one being yielded.
    assert 0 < alive - before <= 5 * 16
