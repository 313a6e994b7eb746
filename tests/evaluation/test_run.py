"""From a protocol to scores: the same list by two ways, failures kept, several faces."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from visavis import images
from visavis.decision.domain import Domain
from visavis.decision.llr import LlrCalibration
from visavis.decision.profile import Calibration
from visavis.embedding.cache import EmbeddingCache
from visavis.errors import DataError, ModelMismatchError, OptionError
from visavis.evaluation.protocols import bin as sets
from visavis.evaluation.protocols import folders, lfw, pairs
from visavis.evaluation.verification import report, run
from visavis.evaluation.verification.report import worst
from visavis.evaluation.verification.summary import summarize
from visavis.faces.aligned import Aligned
from visavis.pipeline import Recognizer, RecognizerOptions
from visavis.types import OperatingPoint


def test_scores_are_cosines_of_the_two_photos(recognizer, tiny_lfw: Path) -> None:
    protocol = lfw.view(1, tiny_lfw)
    result = run.evaluate(protocol, recognizer, command="visavis evaluate lfw")
    vectors = {
        label: r.templates[0].vector
        for label, r in zip(protocol.labels, recognizer.embed_many(protocol.photos), strict=True)
    }
    table = result.scores
    for a, b, score in zip(table.a, table.b, table.score, strict=True):
        x, y = vectors[a].astype(float), vectors[b].astype(float)
        assert score == pytest.approx(float(x @ y), abs=1e-12)
    assert table.failure.tolist() == [""] * 24
    assert (table.model, table.model_sha256) == (recognizer.model, recognizer.model_sha256)
    assert table.pipeline_id == "fake-detector, similarity-5pt-112, plain, central"
    assert table.about.command == "visavis evaluate lfw"
    assert table.about.photos == len(protocol.photos)
    assert table.about.created


def test_pairs_are_scored_about_a_mean_as_well(recognizer, tiny_lfw: Path) -> None:
    protocol = lfw.view(2, tiny_lfw)
    rng = np.random.default_rng(0)
    plain = run.evaluate(protocol, recognizer)
    size = plain.embedded.vectors[0].shape[1]
    a, b = (0.1 * rng.standard_normal(size).astype(np.float32) for _ in range(2))
    domain = Domain(a, 5, 5, mean_b=b, photos_b=5, people_b=5)
    known = calibration(recognizer)
    both = run.evaluate(
        protocol, recognizer, calibration=known, about_mean=replace(known, domain=domain)
    )
    np.testing.assert_array_equal(both.scores.score, plain.scores.score)
    assert both.about_mean is not None
    for k in (0, 5, 11):
        x = plain.embedded.vectors[protocol.first[k]][0].astype(float) - a
        y = plain.embedded.vectors[protocol.second[k]][0].astype(float) - b
        expected = x @ y / np.linalg.norm(x) / np.linalg.norm(y)
        assert both.about_mean.score[k] == pytest.approx(expected, abs=1e-6)
    assert both.about_mean.about.notes[-1].startswith("Scores are centered on the mean of 5 people")


def test_a_mean_is_made_of_people_who_are_in_no_pair(recognizer, tiny_lfw: Path) -> None:
    protocol = lfw.view(1, tiny_lfw, part="train")
    assert set(protocol.people or ()) == {"Person_00", "Person_01", "Person_02"}
    (tiny_lfw / "peopleDevTest.txt").write_text("3\nPerson_02\t2\nPerson_07\t3\nPerson_09\t1\n")
    free = lfw.cohort(tiny_lfw, protocol)
    assert {name: len(own) for name, own in free.items()} == {"Person_07": 3, "Person_09": 1}
    assert len(lfw.cohort(tiny_lfw, protocol, 1)) == 1
    domain = run.mean_of(free, recognizer)
    photos = [photo for own in free.values() for photo in own]
    x = np.stack([row.templates[0].vector for row in recognizer.embed_many(photos)])
    expected = (x[:3].mean(axis=0) + x[3]) / 2 * 2 / (2 + 10)
    np.testing.assert_allclose(domain.mean, expected, atol=1e-6)
    assert domain.people == 2
    (tiny_lfw / "peopleDevTest.txt").unlink()
    assert lfw.cohort(tiny_lfw, protocol) == {}
    with pytest.raises(DataError):
        lfw.cohort(tiny_lfw, protocol, 5)


def test_view_1_as_a_pair_list_is_equal_to_the_last_digit(
    recognizer, tiny_lfw: Path, tmp_path: Path
) -> None:
    protocol = lfw.view(1, tiny_lfw)
    path = tmp_path / "view1.csv"
    pairs.write(path, protocol)
    by_list = pairs.read(path, tiny_lfw / "lfw-deepfunneled")
    answers = []
    for one in (protocol, by_list):
        plain = summarize(run.evaluate(one, recognizer).scores, replicates=50).to_dict()
        del plain["about"], plain["protocol"]
        answers.append(json.dumps(plain))
    assert answers[0] == answers[1]


def test_failures_stay_in_the_table_with_their_reason(recognizer, tiny_lfw: Path) -> None:
    photos = tiny_lfw / "lfw-deepfunneled"
    (photos / "Person_00" / "Person_00_0001.jpg").write_bytes(b"no face")
    (photos / "Person_01" / "Person_01_0002.jpg").unlink()
    result = run.evaluate(lfw.view(1, tiny_lfw), recognizer)
    table = result.scores
    assert len(table) == 24
    reasons = dict(zip(zip(table.a, table.b, strict=True), table.failure, strict=True))
    one, two = "Person_00/Person_00_0001.jpg", "Person_01/Person_01_0002.jpg"
    assert reasons[one, "Person_00/Person_00_0002.jpg"] == "no-face (a)"
    assert reasons[one, two] == "no-face (a), image-not-found (b)"
    assert reasons[two, "Person_01/Person_01_0003.jpg"] == "image-not-found (a)"
    for a, b, failure, score in zip(table.a, table.b, table.failure, table.score, strict=True):
        assert bool(failure) == bool({a, b} & {one, two}) == np.isnan(score)
    assert table.about.photo_failures == {"no-face": 1, "image-not-found": 1}


def test_the_best_match_of_several_faces_counts(recognizer, tiny_lfw: Path) -> None:
    for person in ("Person_00", "Person_03"):
        photo = tiny_lfw / "lfw-deepfunneled" / person / f"{person}_0001.jpg"
        photo.write_bytes(b"two faces")
    protocol = lfw.view(1, tiny_lfw)
    central = run.evaluate(protocol, recognizer).scores
    best = run.evaluate(protocol, recognizer, rule="best-match").scores
    assert recognizer.rules[-2:] == ["central", "best-match"]
    touched = np.array([("00_0001" in f"{a}{b}" or "03_0001" in f"{a}{b}")
                        for a, b in zip(best.a, best.b, strict=True)])  # fmt: skip
    assert (best.score[~touched] == central.score[~touched]).all()
    assert (best.score[touched] >= central.score[touched]).all()
    results = {r.photo: r for r in recognizer.embed_many(protocol.photos, rule="best-match")}
    for k in np.flatnonzero(touched):
        sides = [
            [t.vector.astype(float) for t in results[str(protocol.photos[i])].templates]
            for i in (protocol.first[k], protocol.second[k])
        ]
        expected = max(float(x @ y) for x in sides[0] for y in sides[1])
        assert best.score[k] == pytest.approx(expected, abs=1e-12)


def test_a_rule_that_gives_no_one_score_is_refused(recognizer, tiny_lfw: Path) -> None:
    with pytest.raises(OptionError, match="face rule 'all'"):
        run.evaluate(lfw.view(1, tiny_lfw), recognizer, rule="all")


def calibration(recognizer, **changes) -> Calibration:
    sha, pipeline_id = recognizer.model_sha256, recognizer.pipeline_id
    point = OperatingPoint("fake", sha, 0.5, 1e-2, (0.0, 0.02), 0.0, "made up", 100, 1e-2)
    options = {
        "name": "gate",
        "model": "fake",
        "model_sha256": sha,
        "pipeline_id": pipeline_id,
        "method": "labelled",
        "points": (point,),
        "evidence": (LlrCalibration("logistic", (-1.0, 1.0), (-20.0, 12.0)),),
    }
    return Calibration(**{**options, **changes})


def test_a_calibration_adds_evidence_and_thresholds_to_check(recognizer, tiny_lfw: Path) -> None:
    (tiny_lfw / "lfw-deepfunneled/Person_00/Person_00_0001.jpg").write_bytes(b"no face")
    used = calibration(recognizer)
    table = run.evaluate(lfw.view(1, tiny_lfw), recognizer, calibration=used).scores
    assert table.llr is not None
    assert np.isnan(table.llr).tolist() == np.isnan(table.score).tolist()
    scored = table.scored
    assert table.llr[scored] == pytest.approx(16 * table.score[scored] - 4)
    assert (table.about.calibration, table.about.operating_points) == ("gate", used.points)
    summary = summarize(table, replicates=20)
    assert summary.cllr > 0
    (point,) = summary.operating_points
    assert point.fmr == np.mean(table.score[scored & ~table.same] >= 0.5)


def test_only_the_decades_of_a_fine_calibration_are_checked(recognizer, tiny_lfw: Path) -> None:
    (point,) = calibration(recognizer).points
    ladder = tuple(replace(point, target_fmr=fmr) for fmr in (0.1, 0.05, 0.01, 10**-2.5, 1e-3))
    used = calibration(recognizer, points=ladder)
    table = run.evaluate(lfw.view(1, tiny_lfw), recognizer, calibration=used).scores
    assert [p.target_fmr for p in table.about.operating_points] == [0.1, 0.01, 1e-3]
    odd = calibration(recognizer, points=ladder[1:2])
    table = run.evaluate(lfw.view(1, tiny_lfw), recognizer, calibration=odd).scores
    assert [p.target_fmr for p in table.about.operating_points] == [0.05]


def test_a_calibration_without_evidence_gives_thresholds_alone(recognizer, tiny_lfw: Path) -> None:
    used = calibration(recognizer, evidence=())
    table = run.evaluate(lfw.view(1, tiny_lfw), recognizer, calibration=used).scores
    assert table.llr is None
    assert table.about.operating_points


def test_a_calibration_made_otherwise_is_noted_or_refused(recognizer, tiny_lfw: Path) -> None:
    protocol = lfw.view(1, tiny_lfw)
    other = calibration(recognizer, pipeline_id="another detector")
    notes = run.evaluate(protocol, recognizer, calibration=other).scores.about.notes
    assert any("another detector" in note for note in notes)
    notes = run.evaluate(
        protocol, recognizer, calibration=calibration(recognizer)
    ).scores.about.notes
    assert not any("was measured with" in note for note in notes)
    with pytest.raises(ModelMismatchError):
        run.evaluate(protocol, recognizer, calibration=calibration(recognizer, model_sha256="00"))


def test_progress_counts_photos(recognizer, tiny_lfw: Path) -> None:
    seen: list[tuple[int, int]] = []
    protocol = lfw.view(1, tiny_lfw)
    run.evaluate(protocol, recognizer, progress=lambda *step: seen.append(step))
    total = len(protocol.photos)
    assert seen == [(k, total) for k in range(1, total + 1)]


@pytest.fixture
def crops(tmp_path: Path, encoded) -> Path:
    """A .bin set of 10 pairs of pictures of the size of aligned crops; they show no face."""
    pictures = [encoded(70 + 5 * k, seed=k) for k in range(20)]
    path = tmp_path / "set.bin"
    sets.write(path, pictures, [k % 2 == 0 for k in range(10)])
    return path


class NoDetector:
    """Fails where anybody detects."""

    name = "none"

    def detect(self, image: np.ndarray, /) -> list[Any]:
        raise AssertionError("detected in an aligned crop")


@pytest.fixture(scope="module")
def real() -> Recognizer:
    """The default model."""
    return Recognizer(detector=NoDetector(), options=RecognizerOptions(threads=1))


def test_aligned_crops_are_embedded_without_detection(real: Recognizer, crops: Path) -> None:
    protocol = sets.read(crops)
    table = run.evaluate(protocol, real, workers=1).scores
    assert table.pipeline_id.startswith("aligned-112, similarity-5pt-112*1, ")
    assert table.scored.all()
    pixels = [images.decode(photo) for photo in protocol.photos]
    wanted = real.embedder.embed(np.stack(pixels)).astype(float)
    scores = (wanted[protocol.first] * wanted[protocol.second]).sum(axis=1)
    np.testing.assert_allclose(table.score, scores, atol=1e-5)


def test_a_calibration_on_photos_is_not_one_on_crops(real: Recognizer, crops: Path) -> None:
    shipped = real.calibration
    result = run.evaluate(sets.read(crops), real, calibration=shipped, workers=1)
    assert any(
        shipped.pipeline_id in note and "aligned-112" in note for note in result.scores.about.notes
    )


def test_a_damaged_crop_is_a_failure_of_its_pair(real: Recognizer, tmp_path: Path, encoded) -> None:
    crops = [encoded(60 + 10 * k, seed=k) for k in range(8)]
    crops[3] = crops[3][: len(crops[3]) // 2]
    path = tmp_path / "set.bin"
    sets.write(path, crops, [True, False, True, False])
    table = run.evaluate(sets.read(path), real, workers=1).scores
    assert table.failure.tolist() == ["", "image-truncated (b)", "", ""]


def test_a_killed_run_goes_on_where_it_stopped(
    crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(Exception):
        pass

    recognizer = Recognizer(detector=Aligned(), options=RecognizerOptions(threads=1))
    embed = recognizer.embedder.embed
    calls: list[int] = []

    def dies(crops: np.ndarray) -> np.ndarray:
        calls.append(len(crops))
        if len(calls) == 2:
            raise Killed
        return embed(crops)

    many = sets.read(crops)
    with EmbeddingCache(tmp_path / "cache.sqlite") as cache:
        monkeypatch.setattr(recognizer.embedder, "embed", dies)
        with pytest.raises(Killed):
            run.evaluate(many, recognizer, cache=cache, workers=1)
        done = calls[0]
        result = run.evaluate(many, recognizer, cache=cache, workers=1)
        calls.append(0)
        again = run.evaluate(many, recognizer, cache=cache, workers=1)
    assert 0 < done < 20
    assert calls == [done, 20 - done, 20 - done, 0]
    assert result.scores.scored.all()
    assert again.scores.score.tolist() == result.scores.score.tolist()


def test_templates_are_drawn_for_people_with_most_photos(recognizer, people: Path) -> None:
    result = run.evaluate(folders.read(people), recognizer)
    points = result.scores.about.projection
    assert points is not None
    assert len(points.x) == len(points.y) == len(points.labels) == 36
    assert set(points.people) == {f"Person_{p:02d}" for p in range(12)}
    assert all(label.startswith(p) for label, p in zip(points.labels, points.people, strict=True))
    # The vectors of one person were drawn together, so each point's nearest one is of its person.
    spots = np.stack([points.x, points.y], axis=1)
    distance = np.linalg.norm(spots[:, None] - spots[None], axis=2) + 1e9 * np.eye(36)
    nearest = [points.people[k] for k in distance.argmin(axis=1)]
    assert np.mean([a == b for a, b in zip(nearest, points.people, strict=True)]) > 0.9


def test_no_picture_of_people_whom_nobody_named(real: Recognizer, crops: Path) -> None:
    assert run.evaluate(sets.read(crops), real, workers=1).scores.about.projection is None


def test_pictures_of_the_worst_pairs(
    recognizer, real: Recognizer, tiny_lfw: Path, crops: Path
) -> None:
    for protocol, one in ((lfw.view(1, tiny_lfw), recognizer), (sets.read(crops), real)):
        result = run.evaluate(protocol, one, workers=1)
        rows = worst(result.scores, most=3)
        found = report.pictures_of(result, [*rows.matches, *rows.non_matches])
        assert set(found) == {*rows.matches, *rows.non_matches}
        assert all(
            uri.startswith("data:image/jpeg;base64,") for pair in found.values() for uri in pair
        )


def test_a_photo_gone_since_has_no_picture(recognizer, tiny_lfw: Path) -> None:
    result = run.evaluate(lfw.view(1, tiny_lfw), recognizer)
    (tiny_lfw / "lfw-deepfunneled" / result.scores.a[0]).unlink()
    assert report.pictures_of(result, [0, 5]).keys() == {5}
