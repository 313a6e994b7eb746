"""``visavis.evaluate.identify``: measures open-set identification."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from visavis.api.evaluate.verification import calibration_of, make_folder
from visavis.api.options import PhotoOptions, Progress, kept_templates, make_recognizer, stage
from visavis.api.people_photos import people_in
from visavis.errors import DataError, OptionError
from visavis.evaluation.identification.records import Identification
from visavis.plots import Drawn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from visavis.evaluation.identification.enrollment import Faces
    from visavis.pipeline import PhotoResult

Place = str | PathLike[str]

_RULES = ("central", "largest", "refuse")


class MeasuredIdentification(Drawn, Identification):
    """Identification results over many random enrollments, with the attributes of their record."""

    __slots__ = ()

    def plot(self) -> Figure:
        """Plots FNIR over FPIR, and the scores."""
        from visavis.evaluation.identification import plots

        return plots.overview(self)


def identify(
    root: Place,
    /,
    *,
    people_list: Place | None = None,
    enroll: int | None = None,
    photos: int = 1,
    non_mated: int | None = None,
    fusion: str = "weighted",
    fpir: Sequence[float] | None = None,
    rounds: int = 20,
    rank: int = 1,
    seed: int = 0,
    faces: str = "central",
    bootstrap: int = 200,
    out: Place | None = None,
    cache: bool = True,
    workers: int | None = None,
    command: str = "",
    progress: Progress | None = None,
    **options: Unpack[PhotoOptions],
) -> MeasuredIdentification:
    """Enrolls people at random and searches for all others, repeatedly (1:N).

    Closed set: how often the right person comes first. Open set: how many are missed at a false
    positive identification rate, and whether the rate that ``Gallery`` states for each enrollment
    holds. Nobody is both enrolled and non-mated.

    >>> identify("staff/", enroll=100, photos=2).rank1  # doctest: +SKIP

    Args:
        root: a folder with one subfolder per person, or the root of LFW's archive.
        people_list: only these people: a text file, one name a line.
        enroll: people enrolled each time; half of those with a photo to spare when ``None``.
        photos: photos enrolled of each, 1 or more.
        non_mated: number of non-mated people per round; all others if ``None``.
        fusion: how a person's templates become one score: ``weighted``, ``mean`` or ``max``.
        fpir: false positive identification rates, in (0, 1); 0.1, 0.01 and 0.001 when ``None``.
        rounds: random enrollments to average over, 1 or more.
        rank: open set: the right one may be among so many candidates.
        seed: decides the enrollments.
        faces: which face where a photo has several: ``central``, ``largest`` or ``refuse``.
        bootstrap: replicates behind the intervals, 20 or more.
        out: folder for ``report.html`` and ``identification.json``.
        cache: use the template cache in the home folder.
        workers: photos processed in parallel; ``None``: one per core.
        command: the command line, for the record.
        progress: called with ``photos`` or ``enrollments``, how many are done, and of how many.
        **options: see ``visavis.api.options.PhotoOptions``.

    Raises:
        OptionError: an option is out of its range.
        DataError: too few people or photos for what is asked.
        MissingExtraError: ``out`` without the extra ``report``.
    """
    from visavis.evaluation.identification import report, run
    from visavis.evaluation.identification.enrollment import Plan
    from visavis.gallery.fusion import FUSIONS
    from visavis.writing import replacing

    if faces not in _RULES:
        raise OptionError(f"--faces {faces}", f"choose one of {', '.join(_RULES)}")
    if fusion not in FUSIONS:
        raise OptionError(f"--fusion {fusion}", f"choose one of {', '.join(FUSIONS)}")
    rates = sorted(fpir or run.RATES, reverse=True)
    for rate in rates:
        if not 0 < rate < 1:
            raise OptionError(f"--fpir {rate:g}", "give a rate in (0, 1), such as 1e-2")
    folder = None if out is None else make_folder(Path(out))
    place, listed = Path(root), None if people_list is None else Path(people_list)
    recognizer = make_recognizer(**options)
    paths, owners = people_in(_people_folder(place), listed)
    with kept_templates(options.get("home"), cache=cache) as kept:
        rows = list(
            recognizer.embed_many(
                paths, rule=faces, cache=kept, workers=workers, progress=stage(progress, "photos")
            )
        )
    known = calibration_of(recognizer, options.get("calibration"))
    notes: tuple[str, ...] = ()
    if known is not None and known.pipeline_id != recognizer.pipeline_id:
        notes = (
            f"Calibration '{known.name}' was measured with {known.pipeline_id}, these scores with "
            f"{recognizer.pipeline_id}: its rates need not hold here.",
        )
    result = run.evaluate(
        _faces(place, rows, owners),
        Plan(
            enroll=enroll,
            photos=photos,
            non_mated=non_mated,
            fusion=fusion,  # type: ignore[arg-type]  # checked above
            rank=rank,
        ),
        run.Origin(
            protocol=listed.stem if listed else place.resolve().name,
            model=recognizer.model,
            model_sha256=recognizer.model_sha256,
            pipeline_id=f"{recognizer.pipeline_id}, {faces}",
            failures=dict(Counter(row.reason or "no-face" for row in rows if not row.templates)),
            command=command,
            notes=notes,
        ),
        calibration=known,
        rates=rates,
        rounds=rounds,
        replicates=bootstrap,
        seed=seed,
        progress=stage(progress, "enrollments"),
    )
    if folder is not None:
        report.write(folder / "report.html", result)
        with replacing(folder / "identification.json") as temporary:
            text = json.dumps(result.to_dict(), ensure_ascii=False, indent=2, allow_nan=False)
            temporary.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")
    return MeasuredIdentification.of(result)


def _people_folder(root: Path) -> Path:
    """Returns the folder with one subfolder per person; in LFW's archive it is beside the lists."""
    from visavis.evaluation.protocols.lfw import photo_folder

    listed = any((root / name).is_file() for name in ("people.txt", "pairs.txt"))
    return photo_folder(root) if listed else root


def _faces(root: Path, rows: Sequence[PhotoResult], owners: Sequence[str]) -> Faces:
    import numpy as np

    from visavis.evaluation.identification.enrollment import Faces
    from visavis.faces.quality import quality_score

    kept = [(r.templates[0], o) for r, o in zip(rows, owners, strict=True) if r.templates]
    if not kept:
        raise DataError(f"{root}: no photo with a usable face", "give photos of faces")
    names, people = np.unique([owner for _, owner in kept], return_inverse=True)
    return Faces(
        vectors=np.stack([template.vector for template, _ in kept]),
        people=people.astype(np.int64),
        quality_score=np.array([quality_score(template.quality) for template, _ in kept]),
        names=tuple(str(name) for name in names),
    )
