"""``visavis evaluate``: measure verification on pairs whose answer is known."""

from __future__ import annotations

import shlex
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visavis.cli import options
from visavis.cli.cache import kept_templates
from visavis.cli.evaluate_table import show
from visavis.cli.output import console, echo_json, home, progress

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from visavis.decision.profile import Calibration
    from visavis.evaluation.protocols import Protocol
    from visavis.evaluation.run import Evaluation
    from visavis.evaluation.scores import ScoreFile
    from visavis.evaluation.summary_records import Summary
    from visavis.pipeline import Recognizer

app = typer.Typer(
    no_args_is_help=True,
    help="Measure error rates on pairs whose answer is known. "
    "Exit code 0: every pair was scored; 1: some failed and were counted; 2: error.",
)

Faces = Annotated[
    str,
    typer.Option(
        "--faces",
        help="Where a photo has several: central (default; a benchmark's subject is in the "
        "middle), largest, best-match or refuse (the pair then counts as failed).",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", help="Folder for report.html, scores.parquet and summary.json."),
]
Scores = Annotated[
    Path | None,
    typer.Option("--scores", help="Also write the score file here, .csv or .parquet."),
]
Bootstrap = Annotated[
    int,
    typer.Option("--bootstrap", min=0, help="Replicates behind the intervals; 0 for none."),
]
Pictures = Annotated[
    bool,
    typer.Option(
        "--pictures/--no-pictures",
        help="Put the faces of the worst pairs into the report. Off: it holds no face.",
    ),
]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the commands that score photos have in common."""

    model: str
    detector: str
    min_face: int | None
    min_confidence: float | None
    aligned: bool
    calibration: str | None
    faces: str
    flip: bool
    runtime: str
    threads: int | None
    out: Path | None
    scores: Path | None
    bootstrap: int
    pictures: bool
    workers: int | None
    no_cache: bool
    json: bool


@app.command()
def lfw(
    view: Annotated[
        int, typer.Option("--view", help="1: to choose on (1,000 pairs). 2: to report (6,000).")
    ] = 1,
    part: Annotated[
        str, typer.Option("--part", help="Of View 1: test, or train (2,200 pairs).")
    ] = "test",
    root: Annotated[
        Path | None,
        typer.Option(
            "--root",
            envvar="VISAVIS_LFW",
            help="Folder with pairs.txt and lfw-deepfunneled/, as the archive unpacks.",
        ),
    ] = None,
    write_pairs: Annotated[
        Path | None,
        typer.Option("--write-pairs", help="Also write the pairs as CSV for `evaluate pairs`."),
    ] = None,
    mean_people: Annotated[
        int | None,
        typer.Option(
            "--mean-people",
            min=0,
            help="People who are in no pair, about whose mean the pairs are scored, too: all that "
            "the protocol has, or so many drawn at random; 0: none.",
        ),
    ] = None,
    model: options.Model = "sface",
    detector: options.DetectorName = "yunet",
    min_face: options.MinFace = None,
    min_confidence: options.MinConfidence = None,
    aligned: options.Aligned = False,
    calibration: options.CalibrationName = None,
    faces: Faces = "central",
    flip: options.Flip = False,
    runtime: options.Runtime = "onnxruntime",
    threads: options.Threads = None,
    out: Out = None,
    scores: Scores = None,
    bootstrap: Bootstrap = 1000,
    pictures: Pictures = False,
    workers: options.Workers = None,
    no_cache: options.NoCache = False,
    json: options.Json = False,
) -> None:
    """Labeled Faces in the Wild by its own protocol.

    Reported twice: templates as they are, with the thresholds that ship; and about the mean
    template of people who are in no pair (of View 2: of the training list), as `visavis calibrate`
    would take it from your photos.

    Example: `visavis evaluate lfw --view 2 --root lfw/ --out lfw-report/`
    """
    from visavis.errors import OptionError
    from visavis.evaluation import protocols

    if root is None:
        raise OptionError(
            "no folder of Labeled Faces in the Wild", "give --root DIR or set VISAVIS_LFW"
        )
    if part not in ("test", "train"):
        raise OptionError(f"--part {part}", "choose test or train")
    protocol = protocols.lfw.view(view, root, part="train" if part == "train" else "test")
    if write_pairs is not None:
        protocols.pairs.write(write_pairs, protocol)
    _score(
        protocol,
        Wanted(
            model, detector, min_face, min_confidence, aligned, calibration, faces, flip, runtime,
            threads, out, scores, bootstrap, pictures, workers, no_cache, json,
        ),
        cohort=None if mean_people == 0 else protocols.lfw.cohort(root, protocol, mean_people),
    )  # fmt: skip


@app.command()
def pairs(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.csv",
            help="Columns a, b, same (1/0); optional fold, group, person_a, person_b.",
        ),
    ],
    root: Annotated[
        Path | None,
        typer.Option("--root", help="Folder that a and b start from; the CSV's own if left out."),
    ] = None,
    model: options.Model = "sface",
    detector: options.DetectorName = "yunet",
    min_face: options.MinFace = None,
    min_confidence: options.MinConfidence = None,
    aligned: options.Aligned = False,
    calibration: options.CalibrationName = None,
    faces: Faces = "central",
    flip: options.Flip = False,
    runtime: options.Runtime = "onnxruntime",
    threads: options.Threads = None,
    out: Out = None,
    scores: Scores = None,
    bootstrap: Bootstrap = 1000,
    pictures: Pictures = False,
    workers: options.Workers = None,
    no_cache: options.NoCache = False,
    json: options.Json = False,
) -> None:
    """Your own list of pairs.

    Example: `visavis evaluate pairs gate.csv --root photos/ --out gate-report/`
    """
    from visavis.evaluation import protocols

    _score(
        protocols.pairs.read(file, root),
        Wanted(
            model, detector, min_face, min_confidence, aligned, calibration, faces, flip, runtime,
            threads, out, scores, bootstrap, pictures, workers, no_cache, json,
        ),
    )  # fmt: skip


@app.command(name="bin")
def bin_set(
    file: Annotated[Path, typer.Argument(metavar="FILE.bin", help="Such as agedb_30.bin.")],
    model: options.Model = "sface",
    detector: options.DetectorName = "yunet",
    min_face: options.MinFace = None,
    min_confidence: options.MinConfidence = None,
    aligned: options.Aligned = False,
    calibration: options.CalibrationName = None,
    faces: Faces = "central",
    flip: options.Flip = False,
    runtime: options.Runtime = "onnxruntime",
    threads: options.Threads = None,
    out: Out = None,
    scores: Scores = None,
    bootstrap: Bootstrap = 1000,
    pictures: Pictures = False,
    workers: options.Workers = None,
    no_cache: options.NoCache = False,
    json: options.Json = False,
) -> None:
    """A .bin set of aligned crops, as insightface publishes them.

    LFW, CFP-FP, AgeDB-30, CALFW and CPLFW come this way. The file is a pickle; it is read without
    running anything that it names.

    Example: `visavis evaluate bin agedb_30.bin --out agedb-report/`
    """
    from visavis.evaluation import protocols

    _score(
        protocols.bin.read(file),
        Wanted(
            model, detector, min_face, min_confidence, aligned, calibration, faces, flip, runtime,
            threads, out, scores, bootstrap, pictures, workers, no_cache, json,
        ),
    )  # fmt: skip


@app.command()
def folders(
    root: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that holds one a person.")],
    most: Annotated[
        int, typer.Option("--most", min=1, help="Most pairs of each kind; above, a sample.")
    ] = 1_000_000,
    seed: Annotated[int, typer.Option("--seed", help="Decides the sample.")] = 0,
    model: options.Model = "sface",
    detector: options.DetectorName = "yunet",
    min_face: options.MinFace = None,
    min_confidence: options.MinConfidence = None,
    aligned: options.Aligned = False,
    calibration: options.CalibrationName = None,
    faces: Faces = "central",
    flip: options.Flip = False,
    runtime: options.Runtime = "onnxruntime",
    threads: options.Threads = None,
    out: Out = None,
    scores: Scores = None,
    bootstrap: Bootstrap = 200,
    pictures: Pictures = False,
    workers: options.Workers = None,
    no_cache: options.NoCache = False,
    json: options.Json = False,
) -> None:
    """All pairs among photos sorted into one folder a person.

    Example: `visavis evaluate folders staff/ --out staff-report/`
    """
    from visavis.evaluation import protocols

    _score(
        protocols.folders.read(root, most=most, seed=seed),
        Wanted(
            model, detector, min_face, min_confidence, aligned, calibration, faces, flip, runtime,
            threads, out, scores, bootstrap, pictures, workers, no_cache, json,
        ),
    )  # fmt: skip


@app.command()
def report(
    scores: Annotated[
        Path, typer.Argument(metavar="SCORES", help="A score file, .csv or .parquet.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="The page to write, .html, or a folder.")
    ] = None,
    bootstrap: Bootstrap = 1000,
    json: options.Json = False,
) -> None:
    """Metrics and report from a score file, without the photos.

    Scores of any other system do, too: a CSV with columns a, b, same and score (higher is closer).

    Example: `visavis evaluate report lfw-report/scores.parquet --out report.html`
    """
    from visavis.evaluation import scores as score_files

    table = score_files.read(scores)
    summary = _summarise(table, bootstrap, quiet=json)
    if out is not None:
        _write(out, table, summary, None)
    _tell(summary, json=json, out=out)
    raise typer.Exit(1 if summary.failures else 0)


def _score(
    protocol: Protocol, wanted: Wanted, *, cohort: Mapping[str, Sequence[Path]] | None = None
) -> None:
    from visavis.errors import OptionError
    from visavis.evaluation import run, scores
    from visavis.pipeline import Recognizer, RecognizerOptions

    # What can be refused is refused before the work, not after it.
    if wanted.scores is not None:
        scores.require_known(wanted.scores)
    if 0 < wanted.bootstrap < 20:
        raise OptionError(f"--bootstrap {wanted.bootstrap}", "give 20 or more, or 0 for none")
    if wanted.out is not None:
        make_folder(wanted.out)
    recognizer = Recognizer(
        model=wanted.model,
        detector=wanted.detector,
        aligned=wanted.aligned,
        calibration=wanted.calibration,
        options=RecognizerOptions(
            runtime=wanted.runtime,
            threads=wanted.threads,
            flip=wanted.flip,
            min_face=wanted.min_face,
            min_confidence=wanted.min_confidence,
        ),
        home=home(),
    )
    known = calibration_of(recognizer, wanted.calibration)
    with ExitStack() as stack:
        cache = stack.enter_context(kept_templates(no_cache=wanted.no_cache))
        update = stack.enter_context(progress("photos", quiet=wanted.json))
        plain, about_mean = _spaces(known, recognizer)
        if plain is not None and cohort and about_mean is None:
            about_mean = plain.about(
                run.mean_of(cohort, recognizer, cache=cache, workers=wanted.workers)
            )
        result: Evaluation = run.evaluate(
            protocol,
            recognizer,
            calibration=plain,
            about_mean=about_mean,
            rule=wanted.faces,
            cache=cache,
            workers=wanted.workers,
            command=shlex.join(["visavis", *sys.argv[1:]]),
            progress=update,
        )
    if wanted.scores is not None:
        scores.write(wanted.scores, result.scores)
    summary = _written(result, result.scores, wanted.out, wanted)
    second = None
    if result.about_mean is not None:
        folder = None if wanted.out is None else wanted.out / "about-mean"
        if folder is not None:
            make_folder(folder)
        second = _written(result, result.about_mean, folder, wanted)
    if wanted.json:
        echo_json({**summary.to_dict(), "about_mean": None if second is None else second.to_dict()})
    else:
        show(summary)
        if second is not None:
            console.print()
            show(second)
        if wanted.out is not None:
            console.print(f"report: {wanted.out / 'report.html'}", markup=False)
    raise typer.Exit(1 if summary.failures else 0)


def _spaces(
    known: Calibration | None, recognizer: Recognizer
) -> tuple[Calibration | None, Calibration | None]:
    """A calibration for templates as they are, and one about a mean, if that was asked for."""
    from contextlib import suppress

    from visavis.decision.profile import CalibrationStore
    from visavis.errors import UnknownCalibrationError

    if known is None or known.domain is None:
        return known, None
    with suppress(UnknownCalibrationError):
        own = CalibrationStore(home()).for_model(
            None,
            model=recognizer.model,
            model_sha256=recognizer.model_sha256,
            settings=recognizer.settings,
        )
        return (own if own.domain is None else None), known
    return None, known


def _written(result: Evaluation, table: ScoreFile, out: Path | None, wanted: Wanted) -> Summary:
    """Sum up scores; write them and their report into a folder if there is one."""
    from visavis.evaluation import pictures, scores
    from visavis.evaluation.report import worst

    if out is not None:
        # First the scores: they are the work of minutes, the rest can be redone from them.
        scores.write(out / "scores.parquet", table)
    summary = _summarise(table, wanted.bootstrap, quiet=wanted.json)
    if out is not None:
        faces = None
        if wanted.pictures:
            rows = worst(table)
            faces = pictures.of_pairs(result, [*rows.matches, *rows.non_matches])
        _write(out, table, summary, faces)
    return summary


def make_folder(out: Path) -> None:
    """Make the folder for a report, or refuse it before the work."""
    from visavis.errors import OptionError
    from visavis.writing import private_folder

    if out.suffix.lower() in (".html", ".htm"):
        raise OptionError(f"--out {out}", "name a folder: it takes the report and the scores")
    try:
        private_folder(out)
    except OSError as error:
        raise OptionError(f"--out {out} ({error.strerror})", "name another folder") from error


def calibration_of(recognizer: Recognizer, asked: str | None) -> Calibration | None:
    """The calibration asked for, or the model's own if it has one."""
    from visavis.errors import UnknownCalibrationError

    try:
        return recognizer.calibration
    except UnknownCalibrationError:
        if asked is not None:
            raise
        return None


def _summarise(table: ScoreFile, replicates: int, *, quiet: bool) -> Summary:
    from visavis.evaluation.summary import summarise

    with progress("intervals", quiet=quiet) as update:
        return summarise(table, replicates=replicates, progress=update)


def _write(
    out: Path, table: ScoreFile, summary: Summary, faces: dict[int, tuple[str, str]] | None
) -> None:
    import json

    from visavis.evaluation import report as reports
    from visavis.writing import replacing

    if out.suffix.lower() in (".html", ".htm"):
        reports.write(out, table, summary, pictures=faces)
        return
    reports.write(out / "report.html", table, summary, pictures=faces)
    with replacing(out / "summary.json") as temporary:
        text = json.dumps(summary.to_dict(), ensure_ascii=False, indent=2, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")


def _tell(summary: Summary, *, json: bool, out: Path | None) -> None:
    if json:
        echo_json(summary)
        return
    show(summary)
    if out is not None:
        page = out if out.suffix.lower() in (".html", ".htm") else out / "report.html"
        console.print(f"report: {page}", markup=False)
