"""Compares several runs in one picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from visavis import plots
from visavis.errors import DataError, OptionError, writing_to
from visavis.training.recipes.recipe import flat_settings
from visavis.training.report import pictures
from visavis.training.report.pictures import smooth
from visavis.training.report.reading import RunFolder, Series, read_run

_PANELS: Final = (
    ("validation AUC", "validation_auc"),
    ("active triplets or pairs (%)", "active"),
    ("mean score of mates minus strangers, in batches", "gap"),
)


def compare(folders: Sequence[Path], out: Path) -> tuple[Path, Path]:
    """Validation AUC, active fraction and the gap between mean scores of runs, side by side.

    Args:
        folders: of two to eight runs, finished or not.
        out: folder for ``comparison.svg`` and ``comparison.png``; made if needed.

    Returns:
        Both files.

    Raises:
        OptionError: too few or too many runs.
        DataError: one is no run or logged nothing, or nowhere to write to.
    """
    if not 2 <= len(folders) <= len(plots.SERIES):
        raise OptionError(
            f"{len(folders)} runs to compare", f"give 2 to {len(plots.SERIES)} folders"
        )
    runs = [read_run(folder) for folder in folders]
    for run in runs:
        if not run.history:
            raise DataError(f"{run.path}: nothing was logged yet", "wait for its first steps")
    names = labels(runs)
    drawn, first = plots.axes(size=(13.0, 3.7))
    first.remove()
    panels = drawn.subplots(1, len(_PANELS))
    for panel, (title, column) in zip(panels, _PANELS, strict=True):
        plots.quiet(panel)
        for run, name, color in zip(runs, names, plots.SERIES, strict=False):
            x, y = _series(run, column)
            if not len(x):
                continue
            if column == "validation_auc":
                panel.plot(x, y, "o-", color=color, linewidth=1.4, markersize=3.5, label=name)
            else:
                panel.plot(x, y, color=color, linewidth=0.6, alpha=0.3)
                panel.plot(x, smooth(y), color=color, linewidth=1.6, label=name)
        panel.set_xlabel("epoch")
        panel.set_title(title, fontsize=9, color=plots.INK)
    handles, shown = panels[1].get_legend_handles_labels()
    drawn.legend(handles, shown, loc="outside upper center", ncols=4, frameon=False, fontsize=9)
    picture = pictures.finish(
        drawn,
        name="comparison",
        title="Runs compared",
        caption="; ".join(names),
    )
    with writing_to(out):
        out.mkdir(parents=True, exist_ok=True)
        return pictures.save(picture, out)


def labels(runs: Sequence[RunFolder]) -> list[str]:
    """Labels of runs: recipes' names or the first settings that differ, and folders."""
    flat = [flat_settings(run.recipe) for run in runs]
    silent = {"source", "expected", "threads", "workers"}
    keys = [k for k in flat[0] if k not in silent and len({str(one.get(k)) for one in flat}) > 1]
    if len({one.get("name") for one in flat}) == len(flat):
        names = [str(one["name"]) for one in flat]
    else:
        names = [
            ", ".join(f"{k.removeprefix('loss.')} {one.get(k)}" for k in keys[:3]) for one in flat
        ]
    folders = [run.path.resolve().name for run in runs]
    return [
        name if name == folder else f"{name} ({folder})".strip()
        for name, folder in zip(names, folders, strict=True)
    ]


def _series(run: RunFolder, column: str) -> Series:
    if column != "gap":
        x, y = run.series(column)
        return (x, 100 * y) if column == "active" else (x, y)
    (x, mated), (other, non_mated) = run.series("mated"), run.series("non_mated")
    both, left, right = np.intersect1d(x, other, return_indices=True)
    return both, mated[left] - non_mated[right]
