"""Registry entry, provenance and description of a trained model."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from visavis.decision.labelled import Provenance
from visavis.embedding.backbones.spec import Spec
from visavis.training.data.pack import Pack
from visavis.training.data.split import Split
from visavis.training.outcome.figures import Figures
from visavis.training.recipes.recipe import Recipe
from visavis.version import __version__
from visavis.weights import ModelEntry
from visavis.weights import model_directory as names
from visavis.weights.files import sha256_of

_SECONDS: Final = 10
_NETWORK: Final = (
    "backbone", "dimension", "input_size", "crop_scale", "dropout", "width", "head",
    "flip_embedding",
)  # fmt: skip
"""Fields of the recipe that describe the network."""


def git_revision(folder: Path | None = None) -> str:
    """The commit that the running code comes from, with ``-changed`` if files differ from it.

    Empty where the code does not lie in a git repository that knows it (an installed package), or
    git is not there.

    Args:
        folder: of the code; this package's when ``None``.
    """
    place = Path(__file__).resolve().parents[2] if folder is None else folder
    if _git(place, "ls-files", "--error-unmatch", ".") is None:
        return ""
    commit = _git(place, "rev-parse", "HEAD")
    if not commit:
        return ""
    changed = _git(place, "status", "--porcelain", "--untracked-files=no", ".")
    return f"{commit}-changed" if changed else commit


def _git(folder: Path, *words: str) -> str | None:
    """Output of a git command; ``None`` if it fails."""
    try:
        done = subprocess.run(
            ["git", *words],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


@dataclass(frozen=True, slots=True)
class ModelOrigin:
    """Origin of a model: recipe, data, and what the user declares.

    Attributes:
        recipe: how it was trained.
        pack: the crops.
        split: whose crops were trained on and whose were kept apart.
        name: what the model is called.
        license: SPDX expression.
        use: what it may be used for, in words.
        detector: name of the detector in use, as ``Detector.name`` says it; part of the
            calibration's pipeline id.
        command: the command that trains it again.
    """

    recipe: Recipe
    pack: Pack
    split: Split
    name: str
    license: str = "LicenseRef-unspecified"
    use: str = ""
    detector: str = ""
    command: str = ""

    def counts(self) -> dict[str, int]:
        """People and photos of both parts."""
        found: dict[str, int] = {}
        parts = (("training", self.split.train_rows), ("validation", self.split.validation_rows))
        for part, rows in parts:
            found[f"{part}_people"] = len(np.unique(self.pack.labels[rows]))
            found[f"{part}_photos"] = len(rows)
        return found

    def entry(self, graph: Path, spec: Spec) -> ModelEntry:
        """Returns the registry entry of the graph.

        Raises:
            OptionError: a name or license that no model may have.
        """
        counts = self.counts()
        trained_on = (
            f"{counts['training_people']:,} people, {counts['training_photos']:,} photos: "
            f"{self.pack.origin}"
        )
        if self.recipe.init:
            trained_on += f"; began with the weights of {Path(self.recipe.init).name}"
        return ModelEntry(
            name=self.name,
            kind="embedder",
            filename=names.GRAPH,
            sha256=sha256_of(graph, afresh=True),
            size=graph.stat().st_size,
            license=self.license,
            use=self.use or "not stated; the terms of the training photos apply",
            training_data=one_line(trained_on),
            paper=one_line(self.recipe.source),
            input_size=spec.input_size,
            dimension=spec.dimension,
            crop_scale=spec.crop_scale,
        )

    def provenance(self, entry: ModelEntry, figures: Figures) -> Provenance:
        """Returns the provenance of the operating points.

        The pipeline id is that of a ``Recognizer`` with this model and detector, so that it takes
        the calibration as its own. That its crops are cut from photos, and those measured came
        from the pack, stands in the words on the data.
        """
        crop = f"similarity-5pt-{entry.input_size}*{entry.crop_scale:g}"
        return Provenance(
            name=entry.name,
            model=entry.name,
            model_sha256=entry.sha256,
            pipeline_id=f"{self.detector}, {crop}, plain",
            dataset=one_line(
                f"{figures.people:,} validation people of {self.pack.origin}; packed crops of "
                f"{self.pack.size} px resampled once more, not cut from the photos"
            ),
            photos=figures.photos,
            created=datetime.now(UTC).date().isoformat(),
            command=self.command,
        )

    def description(self, entry: ModelEntry) -> dict[str, Any]:
        """Returns the content of ``model.json``, without the hashes of the other files."""
        recipe = self.recipe
        return {
            "schema": names.SCHEMA,
            "model": entry.to_dict(),
            "network": {field: getattr(recipe, field) for field in _NETWORK},
            "recipe": recipe.name,
            "init": Path(recipe.init).name,
            "data": {
                "origin": self.pack.origin,
                "fingerprint": self.pack.fingerprint,
                "left_out": len(self.pack.left_out),
                **self.counts(),
            },
            "git_revision": git_revision(),
            "visavis": __version__,
            "torch": str(torch.__version__),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": self.command,
        }


def one_line(text: str) -> str:
    """Text that a one-line field takes: breaks and controls become spaces."""
    return "".join(c if c.isprintable() else " " for c in text).strip()
