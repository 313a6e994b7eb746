"""Going on with a run that was killed."""

from __future__ import annotations

import json
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, Final

import torch

from visavis.errors import TrainingError
from visavis.training.data.pack import Pack
from visavis.training.recipes.recipe import Recipe
from visavis.weights import model_directory as names
from visavis.writing import private_folder, replacing

_FREE: Final = frozenset({"threads", "workers", "name", "source", "expected", "blend"})
"""Fields that no step of training depends on. A finished run can be blended anew."""

_REMEDY: Final = "resume with the recipe and data it began with, or name another folder"


@dataclass(frozen=True, slots=True)
class Run:
    """The folder of a run.

    Attributes:
        folder: what ``fit`` was given.
    """

    folder: Path

    @property
    def description(self) -> Path:
        """Recipe and data of the run."""
        return self.folder / "run.json"

    @property
    def history(self) -> Path:
        """The CSV log."""
        return self.folder / "history.csv"

    @property
    def last(self) -> Path:
        """The latest checkpoint: everything that going on depends on."""
        return self.folder / "checkpoints" / "last.ckpt"

    @property
    def best(self) -> Path:
        """The network of the best validation, averaged weights if any."""
        return self.folder / "checkpoints" / "best.safetensors"

    def begin(
        self, recipe: Recipe, pack: Pack, *, resume: bool, computed_in: str | None = None
    ) -> Path | None:
        """Prepare the folder.

        Args:
            recipe: of this run.
            pack: its data.
            resume: go on from the latest checkpoint, if there is one.
            computed_in: the precision that this device has for the recipe.

        Returns:
            The checkpoint to go on from; ``None`` for a new run.

        Raises:
            TrainingError: there is a run already and ``resume`` is not set, or it had another
                recipe or other data, or was computed in another precision.
        """
        private_folder(self.folder)
        private_folder(self.last.parent)
        about = {
            "recipe": recipe.to_dict(),
            "data": pack.fingerprint,
            "computed_in": computed_in or recipe.precision,
        }
        known = json.loads(json.dumps(about))
        self.refuse_another(resume=resume)
        if self.last.exists():
            self._compare(known)
            return self.last
        with replacing(self.description) as temporary:
            temporary.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
        return None

    def refuse_another(self, *, resume: bool) -> None:
        """A run that is there already is gone on with, never overwritten.

        Raises:
            TrainingError: there is one, and ``resume`` is not set or its checkpoint was erased.
        """
        if self.last.exists():
            if not resume:
                raise TrainingError(
                    f"{self.folder} holds a training run", "resume it, or name another folder"
                )
        elif (self.folder / names.INSIDE_RUN / names.DESCRIPTION).is_file():
            raise TrainingError(
                f"{self.folder} holds a finished run without its checkpoint", "name another folder"
            )

    def _compare(self, known: dict[str, Any]) -> None:
        try:
            then = json.loads(self.description.read_text(encoding="utf-8"))
            recipe, data = dict(then["recipe"]), then["data"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise TrainingError(f"{self.description} cannot be read ({error})", _REMEDY) from error
        if data != known["data"]:
            raise TrainingError(f"{self.folder}: the run had other data", _REMEDY)
        before = then.get("computed_in")  # earlier versions did not say
        if before not in {None, known["computed_in"]}:
            raise TrainingError(
                f"{self.folder}: the run was computed in precision {before}, this device would go "
                f"on in {known['computed_in']}",
                "resume it on a device like that one, or begin anew in another folder",
            )
        now = known["recipe"]
        # A field that came with a later version had its default then.
        then_or_default = {**_defaults(), **recipe}
        changed = [
            f"{field} {then_or_default.get(field)!r} then, {now[field]!r} now"
            for field in now
            if field not in _FREE and then_or_default.get(field) != now[field]
        ]
        if changed:
            raise TrainingError(
                f"{self.folder}: the run had another recipe ({'; '.join(changed)})", _REMEDY
            )


def _defaults() -> dict[str, Any]:
    return {f.name: f.default for f in fields(Recipe) if f.default is not MISSING}


def steps_done(checkpoint: Path) -> int:
    """Steps that a checkpoint has behind it.

    Raises:
        TrainingError: the file is damaged.
    """
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
        return int(state["global_step"])
    except (OSError, RuntimeError, KeyError, ValueError, EOFError) as error:
        raise TrainingError(
            f"{checkpoint} cannot be read", "remove it to begin anew, or name another folder"
        ) from error
