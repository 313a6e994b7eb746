"""A model directory: what is in it, and that its figures are right."""

from __future__ import annotations

import dataclasses
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score

from visavis.decision.profile import Calibration
from visavis.embedding.backbones import build
from visavis.embedding.torch import FaceNetwork
from visavis.errors import OptionError
from visavis.training.augment.options import AugmentOptions
from visavis.training.data.split import split_people
from visavis.training.outcome.comparison import AS_THEY_ARE, MASKED, EvaluatedModel
from visavis.training.outcome.describing import ModelOrigin
from visavis.training.outcome.directory import VALIDATION, Outcome, write_directory
from visavis.training.outcome.model_file import embed_rows, serve
from visavis.training.recipes.recipe import Recipe
from visavis.weights.model_directory import read_directory


def test_everything_that_a_model_is_lies_in_its_directory(
    origin: ModelOrigin, network: FaceNetwork, written: Outcome
) -> None:
    outcome, folder = written, written.path
    tmp_path = folder.parent
    assert folder.name == "model"
    assert {file.name for file in folder.iterdir()} == {
        "model.onnx",
        "weights.safetensors",
        "model.json",
        "metrics.json",
        "operating_points.json",
        "recipe.json",
        "README.md",
    }
    assert {file.name for file in tmp_path.iterdir()} == {"model", VALIDATION}
    assert (tmp_path / VALIDATION).stat().st_mode & 0o077 == 0
    read = read_directory(folder)
    assert read.entry.name == "mine"
    assert read.entry.sha256 == outcome.sha256
    assert (read.entry.input_size, read.entry.crop_scale, read.entry.dimension) == (32, 1.0, 16)
    assert "15 people, 60 photos: made-up people" in read.entry.training_data
    description = read.description
    assert description["data"]["fingerprint"] == origin.pack.fingerprint
    assert set(description["files"]) == {f.name for f in folder.iterdir()} - {
        "model.json",
    }
    recipe = Recipe.from_dict(json.loads((folder / "recipe.json").read_text()))
    assert recipe == origin.recipe
    again = FaceNetwork(build("small_resnet", dimension=16, input_size=32, crop_scale=1.0))
    again.load_state_dict(load_file(folder / "weights.safetensors"))
    images = torch.rand(2, 3, 32, 32) * 255
    with torch.inference_mode():
        assert torch.equal(again.eval()(images), network(images))


def test_figures_are_those_of_the_file_on_the_validation_people(
    origin: ModelOrigin, written: Outcome
) -> None:
    outcome, tmp_path = written, written.path.parent
    kept = np.load(tmp_path / VALIDATION)
    rows = origin.split.validation_rows
    np.testing.assert_array_equal(kept["labels"], origin.pack.labels[rows])
    assert kept["names"].tolist() == [origin.pack.names[row] for row in rows]
    scores = kept["vectors"] @ kept["vectors"].T
    i, j = np.triu_indices(len(rows), 1)
    same = kept["labels"][i] == kept["labels"][j]
    figures = outcome.figures
    assert figures.auc == pytest.approx(roc_auc_score(same, scores[i, j]), abs=1e-6)
    assert figures.auc_ci[0] <= figures.auc <= figures.auc_ci[1]
    assert (figures.mated_pairs, figures.non_mated_pairs) == (same.sum(), (~same).sum())
    assert (figures.people, figures.photos) == (15, 60)
    # The operating points are the usual ones on the same scores.
    made = Calibration.from_json((tmp_path / "model" / "operating_points.json").read_text())
    assert made.pipeline_id == "some-detector, similarity-5pt-32*1, plain"
    assert (made.name, made.model, made.model_sha256) == ("mine", "mine", outcome.sha256)
    assert "not cut from the photos" in made.dataset
    other = np.sort(scores[i, j][~same])[::-1]
    for point in made.points:
        passed = (other >= np.float32(point.threshold) - 1e-6).mean()
        assert passed == pytest.approx(point.fmr, abs=2 / len(other))
        assert point.fmr <= point.target_fmr
    lowest = min(point.target_fmr for point in made.points)
    assert f"a false match rate of {lowest:g} or more" in outcome.supported


def test_a_second_time_takes_the_place_of_the_first(
    origin: ModelOrigin, network: FaceNetwork, written: Outcome, tmp_path: Path
) -> None:
    shutil.copytree(written.path.parent, tmp_path, dirs_exist_ok=True)
    (tmp_path / "model" / "leftover").touch()
    flipped = dataclasses.replace(
        origin, recipe=dataclasses.replace(origin.recipe, flip_embedding=True)
    )
    second = write_directory(network, flipped, tmp_path, threads=1)
    assert second.sha256 != written.sha256
    assert not (tmp_path / "model" / "leftover").exists()
    assert {file.name for file in tmp_path.iterdir()} == {"model", VALIDATION}
    assert not network.flip


def test_few_validation_people_give_words_in_place_of_points(
    origin: ModelOrigin, network: FaceNetwork, tmp_path: Path
) -> None:
    few = split_people(origin.pack.labels, share=0.1, seed=0)
    outcome = write_directory(network, dataclasses.replace(origin, split=few), tmp_path, threads=1)
    assert outcome.points == ()
    assert "no operating point" in outcome.supported
    assert "people" in outcome.supported
    assert not (tmp_path / "model" / "operating_points.json").exists()
    assert read_directory(tmp_path).operating_points is None
    assert "no operating point" in (tmp_path / "model" / "README.md").read_text()


def test_serving_a_graph_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, written: Outcome, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    served = serve(read_directory(written.path).entry, written.path / "model.onnx", threads=1)
    size = served.input_size
    vectors = served.embed(np.full((2, size, size, 3), 127, dtype=np.uint8))
    assert vectors.shape == (2, served.dimension)
    assert list(tmp_path.iterdir()) == []


def test_before_and_after_stand_side_by_side(
    origin: ModelOrigin, network: FaceNetwork, written: Outcome, tmp_path: Path
) -> None:
    recipe = dataclasses.replace(origin.recipe, augment=AugmentOptions(mask=0.5), init="sface")
    entry = read_directory(written.path).entry
    served = serve(entry, written.path / "model.onnx", threads=1)
    untouched = EvaluatedModel("untouched", served, entry.crop_scale)
    outcome = write_directory(
        network,
        dataclasses.replace(origin, recipe=recipe),
        tmp_path / "second",
        untouched=untouched,
        threads=1,
    )
    assert [c.photos_are for c in outcome.comparison] == [AS_THEY_ARE, MASKED]
    plain, masked = outcome.comparison
    # The same file on both sides gives the same figures.
    assert plain.before.auc == plain.after.auc == written.figures.auc
    assert masked.before.auc == masked.after.auc != plain.after.auc
    assert [p.fnmr for p in plain.before.points] == [p.fnmr for p in plain.after.points]
    card = (tmp_path / "second" / "model" / "README.md").read_text()
    assert "## Before and after" in card
    assert "`untouched` | `mine`" in card
    kept = json.loads((tmp_path / "second" / "model" / "metrics.json").read_text())
    assert len(kept["comparison"]) == 2


def test_crops_reach_the_embedder_as_whole_gray_levels(origin: ModelOrigin, tmp_path: Path) -> None:
    class Recording:
        name, sha256, dimension, input_size = "r", "", 3, origin.pack.size

        def embed(self, crops: np.ndarray) -> np.ndarray:
            assert crops.dtype == np.uint8
            return crops.reshape(len(crops), -1)[:, :3].astype(np.float32)

    rows = np.arange(70)
    # At the pack's own geometry resampling changes nothing.
    found = embed_rows(Recording(), origin.pack, rows, crop_scale=origin.pack.scale)
    expected = np.asarray(origin.pack.crops)[rows].reshape(len(rows), -1)[:, :3]
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(OptionError):
        embed_rows(Recording(), origin.pack, rows, crop_scale=0.7)


def test_a_name_that_no_model_may_have_leaves_nothing(
    origin: ModelOrigin, network: FaceNetwork, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match="model name"):
        write_directory(network, dataclasses.replace(origin, name="No Name"), tmp_path, threads=1)
    assert list(tmp_path.iterdir()) == []
