"""The page of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from visavis.errors import DataError, writing_to
from visavis.plots import pages as templates_of
from visavis.training.recipes.recipe import flat_settings
from visavis.training.report import pictures
from visavis.training.report.pictures import Picture
from visavis.training.report.reading import RunFolder, read_run
from visavis.types import Record
from visavis.version import __version__
from visavis.writing import replacing


@dataclass(frozen=True, slots=True)
class ReportFiles(Record):
    """A written report.

    Attributes:
        page: the HTML file.
        pictures: SVG and PNG files beside it.
    """

    page: Path
    pictures: tuple[Path, ...]


def write(folder: Path, out: Path) -> ReportFiles:
    """Write the report of a run: curves of the log and, once it is finished, its results.

    Args:
        folder: of the run.
        out: folder for ``report.html`` and the pictures; made if needed.

    Raises:
        DataError: no run, a damaged one, one that logged nothing yet, or nowhere to write to.
    """
    run = read_run(folder)
    drawn = draw(run)
    if not drawn:
        raise DataError(f"{folder}: nothing was logged yet", "wait for its first steps")
    with writing_to(out):
        out.mkdir(parents=True, exist_ok=True)
        files = [path for picture in drawn for path in pictures.save(picture, out)]
        page = out / "report.html"
        with replacing(page) as temporary:
            temporary.write_text(_render(run, drawn), encoding="utf-8", errors="backslashreplace")
    return ReportFiles(page, tuple(files))


def draw(run: RunFolder) -> list[Picture]:
    """Draw all pictures that the run has data for."""
    found: list[Picture | None] = [
        pictures.loss(run),
        pictures.validation(run),
        pictures.scores(run),
        pictures.active(run),
        pictures.rank(run),
    ]
    if run.validated is not None:
        mated, non_mated = pictures.split_scores(run.validated)
        found += [
            pictures.roc(mated, non_mated),
            pictures.histogram(mated, non_mated, _thresholds(run)),
            pictures.projection(run.validated),
        ]
    return [picture for picture in found if picture is not None]


def _thresholds(run: RunFolder) -> dict[str, float]:
    points = (run.metrics or {}).get("validation", {}).get("points", [])
    return {f"FMR {point['target_fmr']:g}": float(point["threshold"]) for point in points}


def _render(run: RunFolder, drawn: list[Picture]) -> str:
    from markupsafe import Markup

    pages = templates_of("visavis.training.report")
    wide = {"projection"}
    return pages.get_template("report.html.jinja").render(
        run=run,
        version=__version__,
        steps=int(max((row["step"] for row in run.history), default=0)),
        minutes=max((row.get("seconds", 0.0) for row in run.history), default=0.0) / 60,
        pictures=[(picture, Markup(picture.svg), picture.name in wide) for picture in drawn],
        settings=[
            (name, "none" if value is None else str(value))
            for name, value in flat_settings(run.recipe).items()
        ],
        model=run.description,
        figures=(run.metrics or {}).get("validation"),
        warning=(run.metrics or {}).get("warning"),
        supported=(run.metrics or {}).get("supported"),
        comparison=(run.metrics or {}).get("comparison") or [],
    )
