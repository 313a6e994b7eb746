"""Error rates of labelled pairs of photos."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from visavis.api.options import (
    PhotoOptions,
    Progress,
    downloads,
    kept_templates,
    make_recognizer,
    stage,
)
from visavis.errors import OptionError, UnknownCalibrationError, require_extra
from visavis.plots import Drawn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from visavis.decision.profile import Calibration
    from visavis.evaluation.protocols import Protocol
    from visavis.evaluation.scores.table import ScoreFile
    from visavis.evaluation.verification.records import Summary
    from visavis.evaluation.verification.run import Evaluation
    from visavis.pipeline import Recognizer

Place = str | PathLike[str]


class EvaluateOptions(PhotoOptions, total=False):
    """Options of scoring and reporting: ``PhotoOptions`` and more.

    Attributes:
        faces: which face to use if a photo has several: ``central`` (default), ``largest``,
            ``best-match`` or ``refuse`` (the pair then counts as failed).
        bootstrap: bootstrap replicates for the intervals, 20 or more; 0 for none; default 1000.
        out: folder for ``report.html``, ``scores.parquet`` and ``summary.json``; the scores are
            written before the intervals are computed.
        scores: also write the score file here, ``.csv`` or ``.parquet``.
        pictures: put the faces of the worst pairs into the report.
        cache: use the template cache in the home folder; default ``True``.
        workers: photos processed in parallel; ``None``: one per core.
        command: the command line, for the record.
        progress: called with ``photos`` or ``intervals``, done, and total.
    """

    faces: str
    bootstrap: int
    out: Place | None
    scores: Place | None
    pictures: bool
    cache: bool
    workers: int | None
    command: str
    progress: Progress | None


@dataclass(frozen=True, slots=True, eq=False)
class Measured(Drawn):
    """Error rates of pairs. Has the attributes of its ``summary``, such as ``accuracy``.

    Attributes:
        summary: metrics with intervals; see ``visavis.evaluation.verification.records``.
        scores: every pair with its score.
        about_mean: the same pairs with templates centered on the mean of people in no pair, or on
            that of the calibration; ``None`` without such a mean.
        evaluation: templates and faces; ``None`` for scores read from a file.
    """

    summary: Summary
    scores: ScoreFile
    about_mean: Measured | None = None
    evaluation: Evaluation | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.summary, name)

    def to_dict(self) -> dict[str, Any]:
        """Returns the summary, with that of ``about_mean`` (or ``None``)."""
        about = self.about_mean
        return {**self.summary.to_dict(), "about_mean": about and about.summary.to_dict()}

    def plot(self) -> Figure:
        """Plots the ROC curve and the score histograms."""
        from visavis.evaluation.verification import plots

        return plots.overview(self.scores, self.summary)

    def save(self, folder: Place, *, pictures: bool = False) -> Path:
        """Writes report, scores and summary to a folder, and returns the report's path.

        Args:
            folder: created as private; ``about_mean`` goes into a subfolder.
            pictures: put the faces of the worst pairs into the report.

        Raises:
            OptionError, DataError: the folder cannot be written.
        """
        from visavis.evaluation import scores

        make_folder(Path(folder))
        scores.write(Path(folder) / "scores.parquet", self.scores)
        _write(Path(folder), self, pictures=pictures)
        if self.about_mean is not None:
            self.about_mean.save(Path(folder) / "about-mean", pictures=pictures)
        return Path(folder) / "report.html"


def lfw(
    root: Place | None = None,
    /,
    *,
    view: int = 1,
    part: str = "test",
    mean_people: int | None = None,
    write_pairs: Place | None = None,
    **options: Unpack[EvaluateOptions],
) -> Measured:
    """Evaluates on Labeled Faces in the Wild by its protocol.

    >>> lfw("lfw/", view=2).accuracy  # doctest: +SKIP

    Args:
        root: folder with ``pairs.txt`` and ``lfw-deepfunneled/``, as unpacked; that of
            ``fetch_lfw`` if ``None``.
        view: 1, to choose options (1,000 pairs), or 2, to report (6,000).
        part: of View 1: ``test``, or ``train`` (2,200 pairs).
        mean_people: number of people who are in no pair; the pairs are also scored centered on
            their mean. ``None``: all people of the protocol; 0: do not center.
        write_pairs: also write the pairs to this CSV, for ``pairs``.
        **options: see ``EvaluateOptions``.

    Raises:
        OptionError: no such view or part, or no folder.
        DataError: the folder does not hold it.
    """
    from visavis.evaluation import protocols

    place = Path(root) if root is not None else downloads(options.get("home"))
    if root is None and not place.is_dir():
        raise OptionError("no folder of Labeled Faces in the Wild", "name it")
    if part not in {"test", "train"}:
        raise OptionError(f"--part {part}", "choose test or train")
    protocol = protocols.lfw.view(view, place, part="train" if part == "train" else "test")
    if write_pairs is not None:
        protocols.pairs.write(Path(write_pairs), protocol)
    cohort = None if mean_people == 0 else protocols.lfw.cohort(place, protocol, mean_people)
    return _measure(protocol, cohort, **options)


def fetch_lfw(*, progress: Progress | None = None, home: Path | None = None) -> Path:
    """Downloads Labeled Faces in the Wild (243 MB), if missing; returns its folder.

    ``visavis.cache.clear`` erases it.

    Args:
        progress: called with ``download``, received bytes, and total bytes.
        home: folder of models, calibrations and caches; ``None``: the user's data folder.

    Raises:
        DataError: the download failed, or has a wrong hash.
    """
    from visavis.evaluation.fetching import fetch_lfw as fetch

    return fetch(downloads(home), progress=stage(progress, "download"))


def pairs(
    file: Place, /, *, root: Place | None = None, **options: Unpack[EvaluateOptions]
) -> Measured:
    """Evaluates on your own list of pairs.

    Args:
        file: a CSV with columns ``a``, ``b``, ``same`` (1 or 0); optional ``fold``, ``group``,
            ``person_a``, ``person_b``.
        root: folder that ``a`` and ``b`` are relative to; ``None``: the CSV's own.
        **options: see ``EvaluateOptions``.

    Raises:
        DataError: the list cannot be read, or no pair could be scored.
    """
    from visavis.evaluation import protocols

    protocol = protocols.pairs.read(Path(file), None if root is None else Path(root))
    return _measure(protocol, **options)


def bin(file: Place, /, **options: Unpack[EvaluateOptions]) -> Measured:
    """Evaluates on a ``.bin`` dataset of aligned crops, as published by insightface.

    LFW, CFP-FP, AgeDB-30, CALFW and CPLFW are available in this format. The file is a pickle; it is
    read without executing code.

    Args:
        file: such as ``agedb_30.bin``.
        **options: see ``EvaluateOptions``.

    Raises:
        DataError: not such a file.
    """
    from visavis.evaluation import protocols

    return _measure(protocols.bin.read(Path(file)), **options)


def folders(
    root: Place, /, *, most: int = 1_000_000, seed: int = 0, **options: Unpack[EvaluateOptions]
) -> Measured:
    """Evaluates on all pairs of photos in a folder with one subfolder per person.

    Args:
        root: the folder with one subfolder per person.
        most: most pairs of each kind; more are sampled.
        seed: random seed of the sample.
        **options: see ``EvaluateOptions``.

    Raises:
        DataError: no two people with photos.
    """
    from visavis.evaluation import protocols

    return _measure(protocols.folders.read(Path(root), most=most, seed=seed), **options)


def report(
    scores: Place,
    /,
    *,
    out: Place | None = None,
    bootstrap: int = 1000,
    progress: Progress | None = None,
) -> Measured:
    """Computes error rates from a score file of any system, without the photos.

    Args:
        scores: a score file, or a CSV with columns ``a``, ``b``, ``same`` and ``score`` (higher is
            closer).
        out: output page, ``.html``, or a folder.
        bootstrap: bootstrap replicates for the intervals; 0 for none.
        progress: called with ``intervals``, done, and total.

    Raises:
        DataError: not a score file.
    """
    from visavis.evaluation import scores as score_files

    if out is not None:
        require_extra("report", f"--out {out}", module="matplotlib")
    table = score_files.read(Path(scores))
    made = Measured(_summarize(table, bootstrap, progress), table)
    if out is not None:
        _write(Path(out), made)
    return made


def _measure(
    protocol: Protocol,
    cohort: Mapping[str, Sequence[Path]] | None = None,
    /,
    *,
    faces: str = "central",
    bootstrap: int = 1000,
    out: Place | None = None,
    scores: Place | None = None,
    pictures: bool = False,
    cache: bool = True,
    workers: int | None = None,
    command: str = "",
    progress: Progress | None = None,
    **options: Unpack[PhotoOptions],
) -> Measured:
    from visavis.evaluation import scores as score_files
    from visavis.evaluation.verification import run

    # Check everything before the work.
    if scores is not None:
        score_files.require_known(Path(scores))
    if 0 < bootstrap < 20:
        raise OptionError(f"--bootstrap {bootstrap}", "give 20 or more, or 0 for none")
    folder = None if out is None else make_folder(Path(out))
    recognizer = make_recognizer(**options)
    known = calibration_of(recognizer, options.get("calibration"))
    with kept_templates(options.get("home"), cache=cache) as kept:
        plain, about_mean = _spaces(known, recognizer, options.get("home"))
        if plain is not None and cohort and about_mean is None:
            about_mean = plain.about(run.mean_of(cohort, recognizer, cache=kept, workers=workers))
        result = run.evaluate(
            protocol,
            recognizer,
            calibration=plain,
            about_mean=about_mean,
            rule=faces,
            cache=kept,
            workers=workers,
            command=command,
            progress=stage(progress, "photos"),
        )
    if scores is not None:
        score_files.write(Path(scores), result.scores)

    measured = []
    for table, place in (
        (result.scores, folder),
        (result.about_mean, folder and folder / "about-mean"),
    ):
        if table is None:
            continue
        if place is not None:
            # Write the scores first: they take minutes; the rest can be recomputed from them.
            score_files.write(make_folder(place) / "scores.parquet", table)
        made = Measured(_summarize(table, bootstrap, progress), table, evaluation=result)
        if place is not None:
            _write(place, made, pictures=pictures)
        measured.append(made)
    return replace(measured[0], about_mean=measured[1] if len(measured) > 1 else None)


def _spaces(
    known: Calibration | None, recognizer: Recognizer, home: Path | None
) -> tuple[Calibration | None, Calibration | None]:
    """Returns a calibration for plain templates, and one for centered templates, if requested."""
    from visavis.decision.profile import CalibrationStore

    if known is None or known.domain is None:
        return known, None
    with suppress(UnknownCalibrationError):
        own = CalibrationStore(home).for_model(
            None,
            model=recognizer.model,
            model_sha256=recognizer.model_sha256,
            pipeline_id=recognizer.pipeline_id,
        )
        return (own if own.domain is None else None), known
    return None, known


def calibration_of(recognizer: Recognizer, asked: str | None) -> Calibration | None:
    """Returns the requested calibration, or the model's own, if any."""
    try:
        return recognizer.calibration
    except UnknownCalibrationError:
        if asked is not None:
            raise
        return None


def make_folder(out: Path) -> Path:
    """Creates the folder for a report before the work.

    Raises:
        OptionError: it cannot be created.
        MissingExtraError: a package that reports need is not installed.
    """
    from visavis.writing import private_folder

    if out.suffix.lower() in {".html", ".htm"}:
        raise OptionError(f"--out {out}", "give a folder, for the report and the scores")
    require_extra("report", f"--out {out}")
    try:
        private_folder(out)
    except OSError as error:
        raise OptionError(f"--out {out} ({error.strerror})", "name another folder") from error
    return out


def _summarize(table: ScoreFile, replicates: int, progress: Progress | None) -> Summary:
    from visavis.evaluation.verification.summary import summarize

    update: Callable[[int, int], None] | None = stage(progress, "intervals")
    return summarize(table, replicates=replicates, progress=update)


def _write(out: Path, made: Measured, *, pictures: bool = False) -> None:
    from visavis.evaluation.verification import report as reports
    from visavis.evaluation.verification.report import worst
    from visavis.writing import replacing

    faces = None
    if pictures and made.evaluation is not None:
        rows = worst(made.scores)
        faces = reports.pictures_of(made.evaluation, [*rows.matches, *rows.non_matches])
    page = out if out.suffix.lower() in {".html", ".htm"} else out / "report.html"
    reports.write(page, made.scores, made.summary, pictures=faces)
    if page == out:
        return
    with replacing(out / "summary.json", private=True) as temporary:
        text = json.dumps(made.summary.to_dict(), ensure_ascii=False, indent=2, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")
