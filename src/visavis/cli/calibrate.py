"""``visavis calibrate``: thresholds for your own photos, and whether given ones can be trusted."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visavis.cli import options
from visavis.cli.calibrate_photos import people_in, photos_in
from visavis.cli.calibrate_show import (
    show_calibration,
    show_check,
    show_list,
    tell_failures,
)
from visavis.cli.output import console, echo_json, home, messages, progress
from visavis.errors import CalibrationError, DataError, OptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from visavis.decision.labelled import Provenance
    from visavis.decision.profile import Calibration, CalibrationStore
    from visavis.pipeline import PhotoResult, Recognizer
    from visavis.types import Vectors


def calibrate(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[DIR]", help="Labelled photos: a folder that holds one a person."),
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option("--pairs", help="Labelled pairs instead: a CSV with columns a, b, same."),
    ] = None,
    root: Annotated[
        Path | None, typer.Option("--root", help="Folder that the paths of --pairs start from.")
    ] = None,
    unlabelled: Annotated[
        Path | None,
        typer.Option(
            "--unlabelled",
            metavar="DIR",
            help="Photos of mostly different people, names unknown; 200 or more do well.",
        ),
    ] = None,
    unlabelled_b: Annotated[
        Path | None,
        typer.Option(
            "--unlabelled-b",
            metavar="DIR",
            help="With --unlabelled or --check: photos of the second camera, where photos of one "
            "are compared with photos of the other. Say `verify FIRST SECOND` then.",
        ),
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option(
            "--check",
            metavar="DIR",
            help="Do the error rates of --calibration hold on these unlabelled photos?",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="What to save the calibration as.")
    ] = None,
    fmr: Annotated[
        list[float] | None,
        typer.Option("--fmr", help="A false match rate that must be supported; repeatable."),
    ] = None,
    people_list: Annotated[
        Path | None,
        typer.Option(
            "--people-list",
            help="Use only the folders named in this file, one a line; after a tab, anything.",
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option("--dataset", help="What the photos are, for people to read."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the calibration to this file instead.")
    ] = None,
    no_mean: Annotated[
        bool,
        typer.Option(
            "--no-mean",
            help="For labelled photos: a calibration for other photos than these, too. It does not "
            "contain their mean template.",
        ),
    ] = False,
    listing: Annotated[bool, typer.Option("--list", help="List the calibrations.")] = False,
    delete: Annotated[
        str | None, typer.Option("--delete", metavar="NAME", help="Delete a saved calibration.")
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(
            "--calibration",
            help="For --check and --unlabelled: the labelled calibration to compare with; the "
            "model's own when left out.",
        ),
    ] = None,
    model: options.Model = "sface",
    detector: options.DetectorName = "yunet",
    min_face: options.MinFace = None,
    min_confidence: options.MinConfidence = None,
    aligned: options.Aligned = False,
    flip: options.Flip = False,
    runtime: options.Runtime = "onnxruntime",
    threads: options.Threads = None,
    workers: options.Workers = None,
    no_cache: options.NoCache = False,
    json: options.Json = False,
) -> None:
    """Measure thresholds on your own photos, labelled or not, or check given ones.

    What your photos have in common, their mean template, is part of the calibration and is
    subtracted before templates are compared: fewer mated pairs are missed at the same false match
    rate. From labelled photos a whitening may be added where cross-validation shows that it helps.

    With --check, exit code 0: the error rates can be trusted on these photos; 1: they cannot; 2:
    error. With --list, 1: a saved calibration is damaged. Otherwise 0: saved; 2: error. Photos
    without a usable face are left out and listed.

    Example: `visavis calibrate --unlabelled gate/ --name gate`
    """
    from visavis.pipeline import Recognizer, RecognizerOptions
    from visavis.pipeline.comparison import calibration_warnings

    chosen = [
        flag
        for flag, given in (
            ("DIR", folder),
            ("--pairs", pairs),
            ("--unlabelled", unlabelled),
            ("--check", check),
            ("--list", listing),
            ("--delete", delete),
        )
        if given
    ]
    if len(chosen) != 1:
        raise OptionError(
            "calibrate with " + (" and ".join(chosen) or "nothing to do"),
            "give one of DIR, --pairs, --unlabelled, --check, --list and --delete",
        )
    if unlabelled_b is not None and unlabelled is None and check is None:
        raise OptionError("--unlabelled-b alone", "give the first camera's photos by --unlabelled")
    if no_mean and folder is None and pairs is None:
        raise OptionError(
            "--no-mean without labelled photos", "leave it out, or give DIR or --pairs"
        )
    if listing or delete:
        _manage(delete, json=json)
        return
    if check is None and name is None and out is None:
        raise OptionError("a calibration without a name", "give --name NAME")
    recognizer = Recognizer(
        model=model,
        detector=detector,
        aligned=aligned,
        calibration=calibration,
        options=RecognizerOptions(
            runtime=runtime,
            threads=threads,
            flip=flip,
            min_face=min_face,
            min_confidence=min_confidence,
        ),
        home=home(),
    )
    work = _Work(recognizer, workers, no_cache=no_cache, quiet=json)
    if check is not None or unlabelled is not None:  # these compare with a calibration
        for sentence in calibration_warnings(recognizer.calibration, recognizer.settings):
            messages.print(f"warning: {sentence}", markup=False)
    if check is not None:
        _check(work, check, unlabelled_b, fmr, json=json)
        return
    save = _Target(name or (out.stem if out else ""), dataset, out, json, not no_mean)
    if save.out is None:
        _store().require_free(save.name)
    if unlabelled is not None:
        _from_unlabelled(work, unlabelled, unlabelled_b, save, fmr)
    elif pairs is not None:
        _from_pairs(work, pairs, root, save, fmr)
    elif folder is not None:
        _from_folder(work, folder, people_list, save, fmr)


@dataclass(frozen=True, slots=True)
class _Work:
    recognizer: Recognizer
    workers: int | None
    no_cache: bool
    quiet: bool

    def embed(self, photos: Sequence[Path | bytes]) -> list[PhotoResult]:
        """Templates of the central faces; kept between runs unless told not to."""
        from contextlib import ExitStack

        from visavis.cli.cache import kept_templates

        with ExitStack() as stack:
            cache = stack.enter_context(kept_templates(no_cache=self.no_cache))
            update = stack.enter_context(progress("photos", quiet=self.quiet))
            rows = list(
                self.recognizer.embed_many(
                    photos, rule="central", cache=cache, workers=self.workers, progress=update
                )
            )
        tell_failures(rows)
        return rows


@dataclass(frozen=True, slots=True)
class _Target:
    name: str
    dataset: str | None
    out: Path | None
    json: bool
    center: bool

    def provenance(self, work: _Work, source: Path, rows: Sequence[PhotoResult]) -> Provenance:
        from visavis.decision.labelled import Provenance

        failures = sum(not row.templates for row in rows)
        return Provenance(
            name=self.name,
            model=work.recognizer.model,
            model_sha256=work.recognizer.model_sha256,
            settings=work.recognizer.settings,
            dataset=self.dataset or source.resolve().name,
            photos=len(rows) - failures,
            failures=failures,
            created=datetime.now(UTC).date().isoformat(),
            command=_command(),
        )

    def keep(self, made: Calibration) -> None:
        """Save and tell."""
        if self.out is None:
            path = _store().save(made)
        else:
            path = self.out
            try:
                path.write_text(made.to_json() + "\n", encoding="utf-8")
            except OSError as error:
                raise OptionError(f"--out {path} ({error})", "name a writable file") from error
        if self.json:
            from visavis.decision.open_set import supported_fpirs

            echo_json({**made.to_dict(), "supported_fpirs": supported_fpirs(made)})
        else:
            show_calibration(made)
            console.print(f"saved: {path}", markup=False)
            if self.out is None:
                console.print(f"use it: --calibration {made.name}", markup=False)


def _from_folder(
    work: _Work, folder: Path, people_list: Path | None, save: _Target, fmr: list[float] | None
) -> None:
    import numpy as np

    from visavis.decision.labelled import calibrate_people

    photos, owners = people_in(folder, people_list)
    rows = work.embed(photos)
    kept = [
        (row.templates[0].vector, o) for row, o in zip(rows, owners, strict=True) if row.templates
    ]
    if not kept:
        raise DataError(f"{folder}: no photo with a usable face", "give photos of faces")
    index = np.unique([owner for _, owner in kept], return_inverse=True)[1]
    made = calibrate_people(
        np.stack([vector for vector, _ in kept]),
        index,
        save.provenance(work, folder, rows),
        center=save.center,
        targets=fmr,
    )
    save.keep(made)


def _from_pairs(
    work: _Work, file: Path, root: Path | None, save: _Target, fmr: list[float] | None
) -> None:
    import numpy as np

    from visavis.decision.labelled import calibrate_pairs
    from visavis.decision.pair_scores import people_of_pairs
    from visavis.evaluation import protocols

    protocol = protocols.pairs.read(file, root)
    rows = work.embed(protocol.photos)
    good = np.array([bool(row.templates) for row in rows])
    usable = good[protocol.first] & good[protocol.second]
    if not usable.any():
        raise DataError(f"{file}: no pair with a usable face in both photos", "check the photos")
    first, second, same = protocol.first[usable], protocol.second[usable], protocol.same[usable]
    people = protocol.people or people_of_pairs(len(rows), first, second, same)
    owners = np.unique(people, return_inverse=True)[1]
    place = np.cumsum(good) - 1  # of each photo among those with a template
    made = calibrate_pairs(
        np.stack([row.templates[0].vector for row in rows if row.templates]),
        owners[good],
        (place[first], place[second], same),
        save.provenance(work, file, rows),
        center=save.center,
        targets=fmr,
    )
    save.keep(made)


def _from_unlabelled(
    work: _Work, folder: Path, other: Path | None, save: _Target, fmr: list[float] | None
) -> None:
    from visavis.decision.check import shape_of
    from visavis.decision.transfer import transfer
    from visavis.decision.unlabelled import estimate_non_mated

    reference = work.recognizer.calibration
    if reference.method != "labelled":
        raise OptionError(
            f"--calibration {reference.name}, itself made without labels",
            "leave it out, or name a labelled one",
        )
    rows = work.embed(photos_in(folder))
    other_rows = work.embed(photos_in(other)) if other is not None else []
    center = reference.domain is not None or reference.centered is not None
    estimate = estimate_non_mated(
        _vectors(work, rows),
        _vectors(work, other_rows) if other is not None else None,
        center=center,
        shape=shape_of(reference, centered=center),
    )
    provenance = save.provenance(work, folder, [*rows, *other_rows])
    save.keep(transfer(reference, estimate, provenance, targets=fmr))


def _check(
    work: _Work, folder: Path, other: Path | None, fmr: list[float] | None, *, json: bool
) -> None:
    from visavis.decision.check import check

    rows = work.embed(photos_in(folder))
    other_rows = work.embed(photos_in(other)) if other is not None else []
    vectors = _vectors(work, rows)
    others = _vectors(work, other_rows) if other is not None else None
    used = len(vectors) + (0 if others is None else len(others))
    result = check(
        vectors,
        work.recognizer.calibration,
        other=others,
        fmr=min(fmr) if fmr else 1e-3,
        failures=len(rows) + len(other_rows) - used,
        folder=str(folder),
    )
    if json:
        echo_json(result)
    else:
        show_check(result)
    raise typer.Exit(0 if result.trusted else 1)


def _manage(delete: str | None, *, json: bool) -> None:
    store = _store()
    if delete is not None:
        store.delete(delete)
        console.print(f"deleted calibration {delete}", markup=False)
        return
    found, damaged = [], False
    for name in store.names():
        try:
            found.append(store.load(name))
        except CalibrationError as error:
            messages.print(f"visavis: {error}", markup=False)
            damaged = True
    if json:
        echo_json([one.to_dict() for one in found])
    else:
        show_list(found)
    if damaged:
        raise typer.Exit(1)


def _vectors(work: _Work, rows: Sequence[PhotoResult]) -> Vectors:
    import numpy as np

    nothing = np.zeros((0, work.recognizer.embedder.dimension), np.float32)
    found = [r.templates[0].vector for r in rows if r.templates]
    # The same photo under two names has the same template to the last bit.
    different = list({vector.tobytes(): vector for vector in found}.values())
    if len(different) < len(found):
        messages.print(f"{len(found) - len(different)} photos are copies of others: counted once")
    return np.concatenate([nothing, *(vector[None] for vector in different)])


def _store() -> CalibrationStore:
    from visavis.decision.profile import CalibrationStore

    return CalibrationStore(home())


def _command() -> str:
    """The command line, with folders by their last name: records travel, paths don't."""
    words = (Path(word).name if Path(word).exists() else word for word in sys.argv[1:])
    return shlex.join(["visavis", *words])
