"""``visavis.evaluate.cluster``: measures clustering on known people."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from visavis.api.options import PhotoOptions, Progress, kept_templates, make_recognizer, stage
from visavis.errors import OptionError, require_extra
from visavis.evaluation.clustering.records import ClusteringEvaluation
from visavis.plots import Drawn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Place = str | PathLike[str]


class MeasuredClusters(Drawn, ClusteringEvaluation):
    """Result of a clustering evaluation; see ``visavis.evaluation.clustering.records``."""

    __slots__ = ()

    def plot(self) -> Figure:
        """Plots B-cubed precision, recall and F1 by setting, and cluster sizes."""
        from visavis.evaluation.clustering import plots

        return plots.overview(self.summary)


def cluster(
    root: Place | None = None,
    /,
    *,
    false_merge: float = 0.01,
    sweep: bool = True,
    found: Place | None = None,
    labels: Place | None = None,
    faces: str = "central",
    out: Place | None = None,
    cache: bool = True,
    workers: int | None = None,
    command: str = "",
    progress: Progress | None = None,
    **options: Unpack[PhotoOptions],
) -> MeasuredClusters:
    """Clusters photos of known people and measures the errors.

    Uses one face per photo. Thresholds come from the model's calibration, so nothing is fitted to
    these photos; the best setting of the sweep is marked as known only afterwards.

    >>> cluster("staff/").summary.asked.scores.bcubed.f1  # doctest: +SKIP

    Args:
        root: a folder with one subfolder per person.
        false_merge: accepted share of faces, in (0, 1), in the cluster of another person.
        sweep: also try other settings, for the curves.
        found: in place of ``root``: a CSV of any system's clusters, with columns ``photo``,
            ``cluster`` and ``person``; or ``clusters.csv`` of an album, with ``labels``.
        labels: who is in each photo of ``found``: a CSV with columns ``photo`` and ``person``, or
            the folder with one subfolder per person.
        faces: which face where a photo has several: ``central``, ``largest`` or ``refuse``.
        out: folder for ``report.html``, ``clusters.csv`` and ``summary.json``.
        cache: use the template cache in the home folder.
        workers: photos processed in parallel; ``None``: one per core.
        command: the command line, for the record.
        progress: called with ``photos`` or ``clusterings``, how many are done, and of how many.
        **options: see ``visavis.api.options.PhotoOptions``.

    Raises:
        OptionError: not one of ``root`` and ``found``, or an option is out of its range.
        DataError: no photo gave a face, or a file cannot be read.
        MissingExtraError: ``out`` without the extra ``report``.
    """
    from visavis.evaluation.clustering import report, run, tables

    if (root is None) == (found is None):
        raise OptionError("no photos" if root is None else "both DIR and --found", "give one")
    if labels is not None and found is None:
        raise OptionError(f"--labels {labels} without --found", "folders are DIR's labels")
    if out is not None:
        if Path(out).suffix.lower() in (".html", ".htm"):
            raise OptionError(f"--out {out}", "give a folder, for the report and the tables")
        require_extra("report", f"--out {out}", module="matplotlib")
    if found is not None:
        table = tables.read(Path(found), None if labels is None else Path(labels))
        result = tables.evaluate(table, name=Path(found).name, command=command)
    else:
        from visavis.images import photos_by_person

        if not 0 < false_merge < 1:
            raise OptionError(f"--false-merge {false_merge}", "give one in (0, 1), such as 0.01")
        folder = Path(root or "")
        people = photos_by_person(folder)
        recognizer = make_recognizer(**options)
        used = recognizer.calibration  # checked before the work
        with kept_templates(options.get("home"), cache=cache) as kept:
            seen = run.embed(
                people,
                recognizer,
                root=folder,
                rule=faces,
                cache=kept,
                workers=workers,
                progress=stage(progress, "photos"),
            )
        result = run.evaluate(
            seen,
            used,
            name=folder.resolve().name or str(folder),
            false_merge=false_merge,
            sweep=sweep,
            pipeline_id=f"{recognizer.pipeline_id}, {faces}",
            command=command,
            progress=stage(progress, "clusterings"),
        )
    if out is not None:
        report.write(Path(out), result)
    return MeasuredClusters.of(result)
