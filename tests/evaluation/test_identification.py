"""Evaluation of identification on simulated people, against a plain loop."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from visavis.decision.labelled import Provenance, calibrate
from visavis.decision.non_mated_model import measure_non_mated
from visavis.decision.pair_scores import all_pairs
from visavis.decision.profile import Measured
from visavis.errors import DataError, ModelMismatchError, OptionError
from visavis.evaluation.identification import report as identification_report
from visavis.evaluation.identification.enrollment import Faces, Plan, draw, size_of
from visavis.evaluation.identification.run import Origin, evaluate
from visavis.gallery.fusion import fused_scores


def _faces(seed: int, people: int, each: int, *, noise: float = 0.6, dimension: int = 32) -> Faces:
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(people), rng.integers(1, each + 1, people))
    identity = rng.standard_normal((people, dimension))
    x = identity[who] + noise * rng.standard_normal((len(who), dimension))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    names = tuple(f"person {k}" for k in range(people))
    return Faces(x.astype(np.float32), who, rng.random(len(who)), names)


@pytest.fixture(scope="module")
def calibration():
    faces = _faces(1, 800, 3)
    return calibrate(
        all_pairs(faces.vectors, faces.people),
        Provenance("toy", "net", "a" * 64, "plain", "toys", len(faces.people)),
        replicates=100,
        non_mated=measure_non_mated(faces.vectors, faces.people),
    )


@pytest.mark.parametrize("fusion", ["max", "mean", "weighted"])
@pytest.mark.parametrize("photos", [1, 2])
def test_a_round_scores_whom_it_says(fusion, photos) -> None:
    faces = _faces(2, 40, 5)
    plan = Plan(enroll=12, photos=photos, non_mated=9, fusion=fusion)
    drawn = draw(faces, plan, np.random.default_rng(0))
    assert len(drawn.best) == len(set(drawn.non_mated.tolist())) == 9
    assert not set(drawn.non_mated.tolist()) & set(drawn.owners.tolist())
    total = np.bincount(faces.people)
    enrolled = sorted(set(drawn.owners.tolist()))
    assert len(enrolled) == 12
    for person in enrolled:
        assert (drawn.owners == person).sum() == total[person] - photos
    assert len(drawn.own) == 12
    assert (drawn.places >= 1).all()
    assert (drawn.places <= 12).all()


def test_a_round_agrees_with_a_loop_over_its_search() -> None:
    # With two photos each the enrolled one is known from the probe.
    faces = _faces(3, 30, 1)
    faces = Faces(
        np.concatenate([faces.vectors, -faces.vectors[::-1]]),
        np.concatenate([np.arange(30), np.arange(29, -1, -1)]),
        np.ones(60),
        faces.names,
    )
    drawn = draw(faces, Plan(enroll=10), np.random.default_rng(4))
    assert drawn.mated == pytest.approx(-1.0, abs=1e-5)  # its own enrolled photo is the opposite
    assert (drawn.places == 10).all()
    people = sorted(set(drawn.owners.tolist()))
    signs = [1.0, -1.0]
    for stranger, best in zip(drawn.non_mated, drawn.best, strict=True):
        # Every photo is v or -v: the best score is one of few values.
        v = faces.vectors[stranger]
        possible = [
            s * float(fused_scores([v], [faces.vectors[p]], [0], fusion="max")[0, 0])
            for p in people
            for s in signs
        ]
        assert min(abs(best - value) for value in possible) < 1e-5


def test_people_without_a_photo_to_spare_fill_up_the_gallery() -> None:
    faces = _faces(5, 60, 2)
    able = int((np.bincount(faces.people) > 1).sum())
    drawn = draw(faces, Plan(enroll=able + 10), np.random.default_rng(0))
    assert len(drawn.own) == able + 10
    assert len(drawn.mated) == able
    assert len(drawn.best) == 60 - able - 10


def test_stated_rates_hold_and_the_whole_is_consistent(calibration) -> None:
    result = evaluate(
        _faces(6, 900, 3),
        Plan(enroll=200),
        Origin(protocol="toys", model="net", model_sha256="a" * 64, failures={"no-face": 2}),
        calibration=calibration,
        rates=(0.1, 0.02, 1e-4),
        rounds=6,
        replicates=60,
    )
    assert (result.enrolled, result.non_mated, result.rounds) == (200, 700, 6)
    assert [o.fpir for o in result.open_set] == [0.1, 0.02]  # 700 strangers show no 1e-4
    assert result.cmc[0] == pytest.approx(result.rank1)
    assert (np.diff(result.cmc) >= 0).all()
    for o in result.open_set:
        assert o.fnir_ci[0] <= o.fnir <= o.fnir_ci[1]
        assert o.fnir >= 1 - result.rank1 - 1e-9
    for stated in result.stated[:2]:
        assert stated.measured == pytest.approx(stated.stated, rel=0.35)
        assert stated.measured_ci[0] <= stated.measured <= stated.measured_ci[1]
        assert stated.consistent >= 0.8
        assert stated.enrollments == 6
    assert result.stated[2].refused == 6
    assert np.isnan(result.stated[2].measured)
    assert sum(result.curves.mated) == pytest.approx(1)
    assert sum(result.curves.non_mated) == pytest.approx(1)
    assert (np.diff(result.curves.fnir) >= -1e-12).all()


def test_scores_are_about_each_gallerys_own_mean_and_plain_ones_are_reported_beside(
    calibration,
) -> None:
    faces = _faces(14, 300, 3, noise=0.9)
    common = np.random.default_rng(3).standard_normal((len(faces.people), 32)) * 0.4 + 1.0
    x = faces.vectors * 5 + common  # of one camera: what all photos have in common differs in size
    faces = replace(faces, vectors=(x / np.linalg.norm(x, axis=1)[:, None]).astype(np.float32))
    known = replace(
        calibration,
        centered=Measured(calibration.points, calibration.evidence, calibration.reference),
    )
    plan, origin = Plan(60), Origin(model="net", model_sha256="a" * 64)
    result = evaluate(faces, plan, origin, calibration=known, rounds=3, replicates=20)
    plain = evaluate(faces, plan, origin, rounds=3, replicates=20)
    assert (result.mean, plain.mean) == ("gallery", "none")
    assert result.plain == plain.open_set
    assert plain.plain == ()
    assert result.open_set[0].fnir < plain.open_set[0].fnir
    assert "the gallery's own mean" in result.stated[0].basis
    few = evaluate(faces, Plan(9), origin, calibration=known, rounds=1, replicates=20)
    assert (few.mean, few.plain) == ("none", ())
    # One photo each, whose mean is of the enrolled alone.
    drawn = draw(faces, plan, np.random.default_rng([0, 0]), known)
    domain = drawn.calibration.domain
    assert (domain.people, domain.whitening) == (60, None)
    photos = np.bincount(faces.people)
    owner = drawn.owners[0]
    mine = np.flatnonzero(faces.people == owner)
    scores = [
        float(a @ b)
        for i in mine
        for j in mine
        if i != j
        for a, b in [domain.apply(faces.vectors[[i, j]])]
    ]
    assert min(abs(drawn.mated[0] - score) for score in scores) < 1e-5
    assert len(scores) == photos[owner] * (photos[owner] - 1)
    moved = replace(known, centered=None, domain=replace(domain, mean=domain.mean / 2))
    asked = evaluate(faces, plan, origin, calibration=moved, rounds=1, replicates=20)
    assert asked.mean == "calibration"
    assert asked.plain != asked.open_set


def test_two_photos_are_better_than_one() -> None:
    faces = _faces(7, 300, 6, noise=0.9)
    one, two = (evaluate(faces, Plan(80, k, 200), rounds=5, replicates=20) for k in (1, 2))
    assert two.open_set[1].fnir < one.open_set[1].fnir
    assert two.rank1 > one.rank1


def test_the_same_seed_gives_the_same_and_another_does_not() -> None:
    faces = _faces(8, 120, 4, noise=0.9)
    runs = [evaluate(faces, Plan(40), rounds=2, replicates=20, seed=s) for s in (1, 1, 2)]
    assert runs[0].open_set == runs[1].open_set
    assert runs[0].open_set != runs[2].open_set


def test_no_errors_have_an_interval_all_the_same() -> None:
    result = evaluate(_faces(9, 60, 3, noise=0.01), Plan(20), rounds=2, replicates=20)
    assert result.rank1 == 1
    assert 0.8 < result.rank1_ci[0] < 1
    assert result.open_set[0].fnir == 0
    assert 0 < result.open_set[0].fnir_ci[1] < 0.2


def test_the_report_is_one_page_without_names(tmp_path, calibration) -> None:
    result = evaluate(
        _faces(10, 200, 3, noise=0.9),
        Plan(60, fusion="max"),
        Origin(protocol="<toys>", model="net", model_sha256="a" * 64, notes=("a & b",)),
        calibration=calibration,
        rounds=2,
        replicates=20,
    )
    path = tmp_path / "deep" / "report.html"
    identification_report.write(path, result)
    page = path.read_text(encoding="utf-8")
    assert "&lt;toys&gt;" in page
    assert "a &amp; b" in page
    assert page.count("<svg") == 3
    assert "<script" not in page
    assert "person 1" not in page
    assert "FNIR at FPIR 1e-2" in page
    assert "nan" not in page.lower().replace("finance", "")
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False))["enrolled"] == 60


@pytest.mark.parametrize(
    ("plan", "error", "says"),
    [
        (Plan(enroll=0), OptionError, "1 or more"),
        (Plan(photos=0), OptionError, "1 or more"),
        (Plan(fusion="sum"), OptionError, "weighted"),  # type: ignore[arg-type]
        (Plan(enroll=41), DataError, "at most 40"),
        (Plan(enroll=40), DataError, "others are needed as non-mated probes"),
        (Plan(photos=7), DataError, "one more is the probe"),
    ],
)
def test_plans_that_cannot_be_are_refused(plan, error, says) -> None:
    faces = _faces(11, 40, 4)
    with pytest.raises(error, match=says):
        size_of(faces, plan)


def test_a_calibration_of_another_model_is_refused(calibration) -> None:
    with pytest.raises(ModelMismatchError):
        evaluate(_faces(12, 40, 3), Plan(10), Origin(model="other"), calibration=calibration)


def test_rates_and_rounds_outside_their_range_are_refused() -> None:
    faces = _faces(13, 40, 3)
    with pytest.raises(OptionError, match=r"\(0, 1\)"):
        evaluate(faces, Plan(10), rates=(1.5,))
    with pytest.raises(OptionError, match="round"):
        evaluate(faces, Plan(10), rounds=0)
