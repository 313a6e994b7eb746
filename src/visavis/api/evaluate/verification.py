"""Error rates of pairs of photos whose answer is known."""

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
    """How pairs of photos are scored and reported; ``PhotoOptions``, and further.

    Attributes:
        faces: which face where a photo has several: ``central`` (when left out), ``largest``,
            ``best-match`` or ``refuse`` (the pair then counts as failed).
        bootstrap: replicates behind the intervals, 20 or more; 0 for none; 1000 when left out.
        out: folder for ``report.html``, ``scores.parquet`` and ``summary.json``; the scores are
            written before the intervals are computed.
        scores: also write the score file here, ``.csv`` or ``.parquet``.
        pictures: put the faces of the worst pairs into the report.
        cache: keep templates in the home folder, and find those kept there; ``True`` when left out.
        workers: photos in work at once; all cores when ``None``.
        command: the command line, for the record.
        progress: called with ``photos`` or ``intervals``, how many are done, and of how many.
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
        summary: the numbers, with their intervals; see ``visavis.evaluation.verification.records``.
        scores: every pair with its score.
        about_mean: the same pairs scored about the mean of people who are in no pair, or about
            that of the calibration asked for; ``None`` where there is no such mean.
        evaluation: templates and faces behind it; ``None`` of scores that were read from a file.
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
        """The summary as JSON-ready values, with that ``about_mean`` (or ``None``)."""
        about = self.about_mean
        return {**self.summary.to_dict(), "about_mean": about and about.summary.to_dict()}

    def plot(self) -> Figure:
        """Draw the ROC curve, and the scores of both kinds of pairs."""
        from visavis.evaluation.verification import plots

        return plots.overview(self.scores, self.summary)

    def save(self, folder: Place, *, pictures: bool = False) -> Path:
        """Write report, scores and summary into a folder, and return the report's file.

        Args:
            folder: made for its owner alone; ``about_mean`` goes into a folder inside.
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
    """Labeled Faces in the Wild by its own protocol.

    >>> lfw("lfw/", view=2).accuracy  # doctest: +SKIP

    Args:
        root: folder with ``pairs.txt`` and ``lfw-deepfunneled/``, as the archive unpacks; that of
            ``fetch_lfw`` when ``None``.
        view: 1, to choose on (1,000 pairs), or 2, to report (6,000).
        part: of View 1: ``test``, or ``train`` (2,200 pairs).
        mean_people: people who are in no pair, about whose mean the pairs are scored as well: all
            that the protocol has when ``None``, or so many drawn at random; 0: none.
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
    """Download Labeled Faces in the Wild (243 MB), if it is not here yet; its folder.

    ``visavis.cache.clear`` erases it.

    Args:
        progress: called with ``download``, how many bytes have come, and how many there are.
        home: folder of models, calibrations and caches; the user's data folder when ``None``.

    Raises:
        DataError: it cannot be fetched, or what came is not it.
    """
    from visavis.evaluation.fetching import fetch_lfw as fetch

    return fetch(downloads(home), progress=stage(progress, "download"))


def pairs(
    file: Place, /, *, root: Place | None = None, **options: Unpack[EvaluateOptions]
) -> Measured:
    """Your own list of pairs.

    Args:
        file: a CSV with columns ``a``, ``b``, ``same`` (1 or 0); optional ``fold``, ``group``,
            ``person_a``, ``person_b``.
        root: folder that ``a`` and ``b`` start from; the CSV's own when ``None``.
        **options: see ``EvaluateOptions``.

    Raises:
        DataError: the list cannot be read, or no pair could be scored.
    """
    from visavis.evaluation import protocols

    protocol = protocols.pairs.read(Path(file), None if root is None else Path(root))
    return _measure(protocol, **options)


def bin(file: Place, /, **options: Unpack[EvaluateOptions]) -> Measured:
    """A ``.bin`` set of aligned crops, as insightface publishes them.

    LFW, CFP-FP, AgeDB-30, CALFW and CPLFW come this way. The file is a pickle; it is read without
    running anything that it names.

    Args:
        file: such as ``agedb_30.bin``.
        **options: see ``EvaluateOptions``.

    Raises:
        DataError: it is no such file.
    """
    from visavis.evaluation import protocols

    return _measure(protocols.bin.read(Path(file)), **options)


def folders(
    root: Place, /, *, most: int = 1_000_000, seed: int = 0, **options: Unpack[EvaluateOptions]
) -> Measured:
    """All pairs among photos sorted into one folder a person.

    Args:
        root: the folder that holds one a person.
        most: most pairs of each kind; above, a sample.
        seed: decides the sample.
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
    """Error rates from a score file of any system, without the photos.

    Args:
        scores: a score file, or a CSV with columns ``a``, ``b``, ``same`` and ``score`` (higher is
            closer).
        out: the page to write, ``.html``, or a folder.
        bootstrap: replicates behind the intervals; 0 for none.
        progress: called with ``intervals``, how many are done, and of how many.

    Raises:
        DataError: it is no score file.
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

    # What can be refused is refused before the work, not after it.
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
            # First the scores: they are the work of minutes, the rest can be redone from them.
            score_files.write(make_folder(place) / "scores.parquet", table)
        made = Measured(_summarize(table, bootstrap, progress), table, evaluation=result)
        if place is not None:
            _write(place, made, pictures=pictures)
        measured.append(made)
    return replace(measured[0], about_mean=measured[1] if len(measured) > 1 else None)


def _spaces(
    known: Calibration | None, recognizer: Recognizer, home: Path | None
) -> tuple[Calibration | None, Calibration | None]:
    """A calibration for templates as they are, and one about a mean, if that was asked for."""
    from visavis.decision.profile import CalibrationStore

    if known is None or known.domain is None:
        return known, None
    with suppress(UnknownCalibrationError):
        own = CalibrationStore(home).for_model(
            None,
            model=recognizer.model,
            model_sha256=recognizer.model_sha256,
            settings=recognizer.settings,
        )
        return (own if own.domain is None else None), known
    return None, known


def calibration_of(recognizer: Recognizer, asked: str | None) -> Calibration | None:
    """The calibration asked for, or the model's own if it has one."""
    try:
        return recognizer.calibration
    except UnknownCalibrationError:
        if asked is not None:
            raise
        return None


def make_folder(out: Path) -> Path:
    """Make the folder for a report, or refuse it before the work.

    Raises:
        OptionError: it cannot be made.
        MissingExtraError: a package that reports need is not installed.
    """
    from visavis.writing import private_folder

    if out.suffix.lower() in {".html", ".htm"}:
        raise OptionError(f"--out {out}", "name a folder: it takes the report and the scores")
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
    from visavis.evaluation.verification import pictures as drawn
    from visavis.evaluation.verification import report as reports
    from visavis.evaluation.verification.report import worst
    from visavis.writing import replacing

    faces = None
    if pictures and made.evaluation is not None:
        rows = worst(made.scores)
        faces = drawn.of_pairs(made.evaluation, [*rows.matches, *rows.non_matches])
    page = out if out.suffix.lower() in {".html", ".htm"} else out / "report.html"
    reports.write(page, made.scores, made.summary, pictures=faces)
    if page == out:
        return
    with replacing(out / "summary.json") as temporary:
        text = json.dumps(made.summary.to_dict(), ensure_ascii=False, indent=2, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")
