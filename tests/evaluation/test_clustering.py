"""Evaluation of clustering: embedding, sweeps, tables, mistakes, report."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from visavis.clustering.graph_linkage import GraphLinkage
from visavis.clustering.thresholds import fmr_curve_of
from visavis.decision.profile import Calibration, Measured
from visavis.errors import DataError, OptionError
from visavis.evaluation.clustering import plots as clustering_plots
from visavis.evaluation.clustering import report as clustering_report
from visavis.evaluation.clustering import run as clustering
from visavis.evaluation.clustering import tables as clustering_tables
from visavis.evaluation.clustering.records import LabelledFaces
from visavis.evaluation.protocols import folders
from visavis.metrics import clustering as metrics
from visavis.types import OperatingPoint

SHA = "ab" * 32


@pytest.fixture
def calibration() -> Calibration:
    """Of the fake recognizer, whose people are far apart."""
    points = tuple(
        OperatingPoint("fake", SHA, t, fmr, (0, 1), 0.01, "fakes", 10**6, target_fmr=fmr)
        for t, fmr in ((0.45, 1e-1), (0.6, 1e-2), (0.7, 1e-3), (0.78, 1e-4), (0.84, 1e-5))
    )
    return Calibration("fake-one", "fake", SHA, "fake", "labelled", points, dataset="fakes")


@pytest.fixture
def seen(people: Path, recognizer: Any) -> clustering.Faces:
    (people / "Person_03" / "broken.jpg").write_bytes(b"no face")
    return clustering.embed(folders.photos_by_person(people), recognizer, root=people)


def test_every_photo_is_a_face_or_a_reason(seen: clustering.Faces) -> None:
    assert len(seen.photos) == len(seen.people) == len(seen.reasons) == 37
    assert seen.vectors.shape == (36, 16)
    assert [p for p, r in zip(seen.photos, seen.reasons, strict=True) if r] == [
        "Person_03/broken.jpg"
    ]
    assert set(seen.reasons) == {"", "no-face"}
    assert len(seen.who) == len(seen.quality_score) == 36


def test_other_rules_and_no_faces_are_refused(people: Path, recognizer: Any) -> None:
    listed = folders.photos_by_person(people)
    with pytest.raises(OptionError, match="best-match"):
        clustering.embed(listed, recognizer, root=people, rule="best-match")
    for photo in people.rglob("*.jpg"):
        photo.write_bytes(b"no face")
    with pytest.raises(DataError, match="36 photos"):
        clustering.embed(listed, recognizer, root=people)


def test_people_come_from_folders(tmp_path: Path) -> None:
    for name in ("Max/1.jpg", "Eva/2.jpg", "Eva/deep/1.png", ".hidden/1.jpg", "Max/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "loose.jpg").touch()
    found = folders.photos_by_person(tmp_path)
    assert list(found) == ["Eva", "Max"]
    assert [p.name for p in found["Eva"]] == ["2.jpg", "1.png"]
    with pytest.raises(DataError, match=r"loose\.jpg"):
        folders.photos_by_person(tmp_path / "loose.jpg")


def test_metrics_are_those_of_the_labels(seen: clustering.Faces, calibration: Calibration) -> None:
    done: list[tuple[int, int]] = []
    result = clustering.evaluate(
        seen,
        calibration,
        name="people",
        progress=lambda k, n: done.append((k, n)),
    )
    summary, faces = result.summary, result.faces
    asked = summary.asked
    assert sum(row.default for row in summary.rows) == 1
    assert len(summary.rows) == len(done) >= 4
    assert (summary.photos, summary.faces, summary.people) == (37, 36, 12)
    assert summary.failures == {"no-face": 1}
    there = faces.cluster >= 0
    assert there.sum() == 36
    truth = np.array(faces.person)[there]
    assert asked.scores.ari == pytest.approx(adjusted_rand_score(truth, faces.cluster[there]))
    assert sum(summary.sizes.people) == 12
    assert sum(summary.sizes.clusters) == asked.scores.clusters == len(set(faces.cluster[there]))
    assert summary.best is not None
    best = summary.rows[summary.best]
    assert best.scores.bcubed.f1 == max(r.scores.bcubed.f1 for r in summary.rows)


def test_settings_run_from_loose_to_strict_with_the_one_asked_for_among_them(
    seen: clustering.Faces, calibration: Calibration
) -> None:
    result = clustering.evaluate(seen, calibration, name="x", false_merge=0.02)
    rates = [row.false_merge for row in result.summary.rows]
    assert rates == sorted([0.02, *clustering.RATES], reverse=True)
    assert [row.false_merge for row in result.summary.rows if row.default] == [0.02]
    alone = clustering.evaluate(seen, calibration, name="x", sweep=False)
    assert len(alone.summary.rows) == 1
    assert alone.summary.best is None


def test_both_spaces_are_reported_and_the_faces_own_mean_is_in_front(
    seen: clustering.Faces, calibration: Calibration
) -> None:
    points = tuple(replace(p, threshold=p.threshold - 0.1) for p in calibration.points)
    both = replace(calibration, centered=Measured(points))
    summary = clustering.evaluate(seen, both, name="x").summary
    asked = summary.asked
    (plain,) = [row for row in summary.rows if row.plain]
    assert not asked.plain
    assert not plain.default
    # By hand: clusters of plain templates, their mean, templates about it.
    first = GraphLinkage(fmr_curve_of(calibration.points))
    found = first.cluster(seen.vectors, quality_score=seen.quality_score)
    means = [seen.vectors[found == k].mean(axis=0) for k in range(found.max() + 1)]
    x = seen.vectors - np.sum(means, axis=0) / (len(means) + 10)
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    about_mean = GraphLinkage(fmr_curve_of(points))
    assert asked.scores == metrics.scores(
        seen.who, about_mean.cluster(x, quality_score=seen.quality_score)
    )
    assert plain.scores == metrics.scores(seen.who, found)
    assert any(f"the {len(means)} people" in note for note in summary.notes)
    again = clustering.evaluate(seen, calibration, name="x").summary
    assert not any(row.plain for row in again.rows)


def test_what_is_not_accepted(seen: clustering.Faces, calibration: Calibration) -> None:
    with pytest.raises(OptionError, match="1"):
        clustering.evaluate(seen, calibration, name="x", false_merge=1)


def test_the_report_is_one_file_that_says_all(
    seen: clustering.Faces, calibration: Calibration, tmp_path: Path
) -> None:
    result = clustering.evaluate(seen, calibration, name="<b>people</b>", command="a --b")
    clustering_report.write(tmp_path / "out", result)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<b>people</b>" not in page
    assert "&lt;b&gt;people" in page
    assert "<script" not in page
    assert not re.findall(r'(?:src|href)="(?!#)', page)
    assert page.count("<svg") == 3
    asked = result.summary.asked
    assert f"{asked.scores.bcubed.f1:.4f}" in page
    assert "known afterwards" in page
    kept = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert kept == json.loads(json.dumps(result.to_dict()))
    assert kept["rows"][0]["scores"]["bcubed"].keys() == {"precision", "recall", "f1"}
    with (tmp_path / "out" / "clusters.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 37
    assert [row["reason"] for row in rows if not row["cluster"]] == ["no-face"]
    # Its own table is a table of labels, too, and gives the same numbers.
    again = clustering_tables.evaluate(
        clustering_tables.read(tmp_path / "out" / "clusters.csv"), name="again"
    )
    assert again.summary.asked.scores == asked.scores
    assert again.summary.failures == result.summary.failures == {"no-face": 1}
    assert "<svg" in clustering_report.render(again)


def test_a_report_that_cannot_be_written(
    seen: clustering.Faces, calibration: Calibration, tmp_path: Path
) -> None:
    result = clustering.evaluate(seen, calibration, name="x", sweep=False)
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=str(tmp_path / "file")):
        clustering_report.write(tmp_path / "file", result)


def test_labels_of_two_files_are_joined_by_photo_and_face(tmp_path: Path) -> None:
    found, labels = tmp_path / "found.csv", tmp_path / "labels.csv"
    found.write_text("cluster;photo;face\nB;x.jpg;1\nA;x.jpg;2\nB;y.jpg;\n")
    labels.write_text("photo,face,person\ny.jpg,,Eva\nx.jpg,1,Eva\nx.jpg,2,Max\nz.jpg,,Max\n")
    faces = clustering_tables.read(found, labels)
    assert dict(zip(faces.photo, faces.cluster.tolist(), strict=True)) == {
        "y.jpg": 0, "x.jpg#1": 0, "x.jpg#2": 1, "z.jpg": -1,
    }  # fmt: skip
    result = clustering_tables.evaluate(faces, name="found.csv")
    assert result.summary.asked.scores.pairwise.f1 == 1
    assert result.summary.failures == {"no-cluster": 1}


@pytest.mark.parametrize(
    ("found", "labels", "named"),
    [
        ("photo,cluster\na,1\n", None, "person"),
        ("photo,person\na,1\n", None, "cluster"),
        ("photo,cluster,person\na,,Eva\n", None, "no row has a cluster"),
        ("photo,cluster\na,1\na,2\n", "photo,person\na,Eva\n", "row 3.*twice"),
        ("photo,cluster\na,1\nb,2\n", "photo,person\na,Eva\n", "'b' is not in"),
    ],
)
def test_tables_that_do_not_fit(tmp_path: Path, found: str, labels: str | None, named: str) -> None:
    (tmp_path / "found.csv").write_text(found)
    other = None
    if labels is not None:
        other = tmp_path / "labels.csv"
        other.write_text(labels)
    with pytest.raises(DataError, match=named):
        clustering_tables.read(tmp_path / "found.csv", other)


def test_a_table_of_faces_is_joined_with_labels_of_photos(tmp_path: Path) -> None:
    """As ``visavis cluster`` writes it: a row a face, faces by references of its own."""
    found, labels = tmp_path / "clusters.csv", tmp_path / "labels.csv"
    found.write_text(
        "photo,number,face,cluster,name,reason\n"
        "a/1.jpg,1,f1,1,,\n"
        "a/2.jpg,1,f2,1,,\na/2.jpg,2,f3,,,not-a-face\n"
        "./=b/1.jpg,1,f4,2,,\n./=b/1.jpg,2,f5,1,,\n"
        "=b/2.jpg,1,f6,2,,\n"
        "=b/3.jpg,,,,,no-face\n"
    )
    people = {"a/1.jpg": "a", "a/2.jpg": "a", "=b/1.jpg": "=b", "=b/2.jpg": "=b", "=b/3.jpg": "=b"}
    labels.write_text("photo,person\n" + "".join(f"{k},{v}\n" for k, v in people.items()))
    faces = clustering_tables.read(found, labels)
    reasons = dict(zip(faces.photo, faces.reason, strict=True))
    assert reasons == {
        "a/1.jpg": "", "a/2.jpg": "", "=b/1.jpg": "several-faces", "=b/2.jpg": "",
        "=b/3.jpg": "no-face",
    }  # fmt: skip
    summary = clustering_tables.evaluate(faces, name="x").summary
    assert summary.failures == {"several-faces": 1, "no-face": 1}
    assert summary.asked.scores.pairwise.f1 == 1
    for name in people:
        (tmp_path / "people" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "people" / name).touch()
    by_folder = clustering_tables.read(found, tmp_path / "people")
    assert dict(zip(by_folder.photo, by_folder.reason, strict=True)) == reasons
    assert dict(zip(by_folder.photo, by_folder.person, strict=True)) == people


def test_mistakes_are_listed_by_pairs() -> None:
    person = ("Eva",) * 4 + ("Max",) * 3 + ("Ida",)
    faces = LabelledFaces(
        tuple("abcdefgh"), person, np.array([7, 7, 7, 9, 7, 9, 9, -1]), ("",) * 7 + ("no-face",)
    )
    found = clustering_report.mixed(faces)
    assert [(m.name, m.parts, m.pairs) for m in found] == [
        ("7", (("Eva", 3), ("Max", 1)), 3),
        ("9", (("Max", 2), ("Eva", 1)), 2),
    ]
    parted = clustering_report.divided(faces)
    assert [(m.name, m.faces, m.pairs) for m in parted] == [("Eva", 4, 3), ("Max", 3, 2)]
    assert clustering_report.mixed(faces, most=1) == found[:1]


def test_pictures_say_what_they_show(seen: clustering.Faces, calibration: Calibration) -> None:
    summary = clustering.evaluate(seen, calibration, name="x").summary
    for metric in ("pairwise", "bcubed"):
        drawn = clustering_plots.over_settings(summary, metric)
        assert "precision" in drawn
        assert f"{getattr(summary.asked.scores, metric).f1:.4f}" in drawn
    assert "3–4: 12 and" in clustering_plots.cluster_sizes(summary)
    alone = clustering.evaluate(seen, calibration, name="x", sweep=False).summary
    assert clustering_plots.over_settings(alone, "bcubed") == ""
