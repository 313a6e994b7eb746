"""Writes a model directory: model files, measured error rates, model card."""

from __future__ import annotations

import copy
import json
import tempfile
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from safetensors.torch import save_file

from visavis.decision.profile import Calibration
from visavis.embedding.torch import FaceNetwork
from visavis.errors import writing_to
from visavis.metrics.verification import fmr_name
from visavis.plots import pages as templates_of
from visavis.training.outcome.comparison import Comparison, EvaluatedModel, compare
from visavis.training.outcome.describing import ModelOrigin
from visavis.training.outcome.figures import Figures, measure, operating_points, powers, weakness
from visavis.training.outcome.model_file import embed_rows, serve, write_onnx
from visavis.training.recipes.recipe import Recipe
from visavis.types import OperatingPoint, Record, Vectors, to_plain
from visavis.weights import ModelEntry
from visavis.weights import model_directory as names
from visavis.weights.files import sha256_of
from visavis.writing import private_folder, replacing

if TYPE_CHECKING:
    from visavis.types import OperatingPoint

VALIDATION: Final = "validation.npz"
"""Embeddings of the validation people, beside the model directory: they do not travel with it."""


@dataclass(frozen=True, slots=True)
class Outcome(Record):
    """A written model directory.

    Attributes:
        path: the folder.
        name: what the model is called.
        sha256: hash of its ONNX file.
        figures: what it reaches on the validation people.
        points: its operating points; empty where the validation people are too few for any.
        supported: what can be asked for, in words.
        comparison: before and after, for a fine-tuned model.
        parity: largest difference between the file's and the network's numbers.
        warning: that it hardly tells people apart; "" if it does.
    """

    path: Path
    name: str
    sha256: str
    figures: Figures
    points: tuple[OperatingPoint, ...]
    supported: str
    comparison: tuple[Comparison, ...]
    parity: float
    warning: str


def write_directory(
    network: FaceNetwork,
    origin: ModelOrigin,
    folder: Path,
    *,
    untouched: EvaluatedModel | None = None,
    threads: int | None = None,
) -> Outcome:
    """Export, measure and describe a trained network, atomically.

    Args:
        network: with the weights to ship; it stays as it is.
        origin: what it was made by and from.
        folder: of the run; the model directory becomes ``model`` in it, in place of an earlier
            one.
        untouched: the model that training started from, for a table of before and after.
        threads: CPU threads for measuring.

    Raises:
        ExportError: the ONNX file would not compute what the network does.
        OptionError: a name or license that no model may have.
        DataError: the folder cannot be written.
    """
    final = folder / names.INSIDE_RUN
    with writing_to(folder):
        private_folder(folder)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".model.") as temporary:
            work = Path(temporary) / names.INSIDE_RUN
            work.mkdir()
            entry, parity = _write_network(network, origin, work)
            served = EvaluatedModel(
                entry.name, serve(entry, work / names.GRAPH, threads=threads), entry.crop_scale
            )
            measured = _measure(served, origin, entry, untouched)
            outcome = Outcome(
                path=final,
                name=entry.name,
                sha256=entry.sha256,
                figures=measured.figures,
                points=measured.calibration.points if measured.calibration else (),
                supported=measured.supported,
                comparison=measured.comparison,
                parity=parity,
                warning=weakness(measured.figures),
            )
            _write_words(work, origin, entry, outcome, measured.calibration)
            _keep_vectors(folder / VALIDATION, origin, entry, measured.vectors)
            if final.exists():
                final.rename(Path(temporary) / "old")
            work.rename(final)
    return outcome


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    vectors: Vectors
    figures: Figures
    calibration: Calibration | None
    supported: str
    comparison: tuple[Comparison, ...]


def _write_network(
    network: FaceNetwork, origin: ModelOrigin, work: Path
) -> tuple[ModelEntry, float]:
    backbone = copy.deepcopy(network.backbone).cpu().eval()
    shipped = FaceNetwork(backbone, flip=origin.recipe.flip_embedding)
    parity = write_onnx(shipped, work / names.GRAPH)
    weights = {k: v.detach().contiguous() for k, v in shipped.state_dict().items()}
    save_file(weights, work / names.WEIGHTS, metadata={"format": "pt"})
    (work / names.WEIGHTS).chmod(0o644)  # as all other files of the directory
    return origin.entry(work / names.GRAPH, shipped.spec), parity


def _measure(
    served: EvaluatedModel, origin: ModelOrigin, entry: ModelEntry, untouched: EvaluatedModel | None
) -> _Measured:
    rows = origin.split.validation_rows
    labels = origin.pack.labels[rows]
    vectors = embed_rows(served.embedder, origin.pack, rows, crop_scale=served.crop_scale)
    figures = measure(vectors, labels, model=entry.name)
    calibration, supported = operating_points(vectors, labels, origin.provenance(entry, figures))
    comparison: tuple[Comparison, ...] = ()
    if untouched is not None:
        masked = origin.recipe.augment.mask > 0
        comparison = compare(untouched, served, origin.pack, rows, masked=masked)
    return _Measured(vectors, figures, calibration, supported, comparison)


def _write_words(
    work: Path,
    origin: ModelOrigin,
    entry: ModelEntry,
    outcome: Outcome,
    calibration: Calibration | None,
) -> None:
    if calibration is not None:
        _write(work / names.POINTS, calibration.to_json())
    _write_json(work / names.RECIPE, origin.recipe.to_dict())
    _write_json(
        work / names.METRICS,
        {
            "validation": outcome.figures,
            "supported": outcome.supported,
            "comparison": outcome.comparison,
            "parity": outcome.parity,
            "warning": outcome.warning,
        },
    )
    description = origin.description(entry)
    _write(work / names.CARD, render(description, entry, origin.recipe, outcome))
    files = {file.name: sha256_of(file, afresh=True) for file in sorted(work.iterdir())}
    _write_json(work / names.DESCRIPTION, {**description, "files": files})


def _keep_vectors(path: Path, origin: ModelOrigin, entry: ModelEntry, vectors: Vectors) -> None:
    """Writes the embeddings for the report, readable by their owner only."""
    rows = origin.split.validation_rows
    with replacing(path, private=True) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            vectors=vectors,
            labels=origin.pack.labels[rows],
            names=np.array([origin.pack.names[row] for row in rows], dtype=np.str_),
            people=np.array(
                [origin.pack.people[k] for k in origin.pack.labels[rows]], dtype=np.str_
            ),
            model=np.array(entry.sha256),
        )


def _write_json(path: Path, values: Any) -> None:
    text = json.dumps(to_plain(values), ensure_ascii=False, indent=1, allow_nan=False)
    _write(path, text + "\n")


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


def render(description: dict[str, Any], entry: ModelEntry, recipe: Recipe, outcome: Outcome) -> str:
    """The card as Markdown.

    Args:
        description: what ``model.json`` holds.
        entry: what the model is registered with.
        recipe: how it was trained.
        outcome: what was measured.
    """

    # Markdown; names are quoted as code.
    pages = templates_of("visavis.training.outcome", escape=False, keep_trailing_newline=True)
    pages.filters.update(percent=percent, span=span, fmr=fmr_name)
    return pages.get_template("model_card.md.jinja").render(
        d=description,
        data=description["data"],
        entry=entry,
        recipe=recipe,
        o=outcome,
        f=outcome.figures,
        points=shown_points(outcome.points),
    )


def shown_points(points: tuple[OperatingPoint, ...]) -> list[OperatingPoint]:
    """Powers of ten and the lowest rate, highest first."""
    wanted = powers([point.target_fmr for point in points])
    return [point for point in points if point.target_fmr in wanted]


def percent(value: float) -> str:
    """A share in percent with three digits that count.

    >>> percent(0.01234), percent(float("nan"))
    ('1.23 %', 'not known')
    """
    return "not known" if isnan(value) else f"{100 * value:.3g} %"


def span(ends: tuple[float, float]) -> str:
    """Both ends of an interval of shares.

    >>> span((0.001, 0.02))
    '0.1 to 2 %'
    """
    low, high = ends
    return "not known" if isnan(low) or isnan(high) else f"{100 * low:.3g} to {100 * high:.3g} %"
