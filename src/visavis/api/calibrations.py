"""Makes calibrations from photos, and checks them on other photos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from visavis.api.options import (
    PhotoOptions,
    Progress,
    kept_templates,
    log,
    make_recognizer,
    stage,
    warn_about,
)
from visavis.api.people_photos import people_in
from visavis.api.photos import listed
from visavis.decision.profile import Calibration, CalibrationStore
from visavis.errors import DataError, OptionError

if TYPE_CHECKING:
    from visavis.decision.check import Check
    from visavis.decision.labelled import Provenance
    from visavis.decision.open_set import SupportedFpir
    from visavis.pipeline import PhotoResult, Recognizer
    from visavis.types import Vectors

Place = str | PathLike[str]
Photos = Place | Iterable[Any]


def calibrate(
    people: Place | None = None,
    /,
    *,
    pairs: Place | None = None,
    unlabelled: Photos | None = None,
    unlabelled_b: Photos | None = None,
    name: str | None = None,
    out: Place | None = None,
    dataset: str | None = None,
    mean: bool = True,
    fmr: Sequence[float] | None = None,
    root: Place | None = None,
    people_list: Place | None = None,
    command: str = "",
    cache: bool = True,
    workers: int | None = None,
    progress: Progress | None = None,
    **options: Unpack[PhotoOptions],
) -> Calibration:
    """Measures thresholds on your own photos: labelled photos, pairs, or unlabelled photos.

    >>> calibrate(unlabelled="gate/", name="gate")  # doctest: +SKIP
    >>> verify("a.jpg", "b.jpg", calibration="gate")  # doctest: +SKIP

    Photos without a usable face are left out and counted in ``failures``.

    Args:
        people: labelled photos: a folder with one subfolder per person.
        pairs: labelled pairs instead: a CSV with columns ``a``, ``b``, ``same``.
        unlabelled: photos of mostly different people instead, names unknown: a folder, or photos
            as for ``embed``; at least 50, better 200 or more.
        unlabelled_b: with ``unlabelled``, photos of the second camera, where photos of one are
            compared with photos of the other; ``verify(first, second)`` then.
        name: save the calibration under this name, for ``calibration=name`` of all use cases.
        out: write the calibration to this file; it is not saved under its name then.
        dataset: description of the photos; ``None``: the folder's name.
        mean: center on the photos' mean template; ``False`` (of labelled photos only) makes a
            calibration for other photos than these, too.
        fmr: false match rates that must be supported, each in (0, 1).
        root: folder that the paths of ``pairs`` start from.
        people_list: use only the folders named in this file, one per line; text after a tab is
            ignored.
        command: the command that makes this calibration, as a note.
        cache: use the template cache in the home folder.
        workers: photos processed in parallel; ``None``: one per core.
        progress: called with ``photos``, done, and total.
        **options: see ``visavis.api.options.PhotoOptions``; ``calibration`` is the labelled one
            that unlabelled photos are compared with.

    Raises:
        OptionError: not one of ``people``, ``pairs`` and ``unlabelled``; or the name is taken.
        DataError: no usable photos.
        CalibrationError: too few of them.
        UnsupportedFmrError: the data cannot support a rate of ``fmr``.
    """
    if sum(given is not None for given in (people, pairs, unlabelled)) != 1:
        raise OptionError(
            "a calibration without photos", "give one of people, pairs and unlabelled"
        )
    if unlabelled_b is not None and unlabelled is None:
        raise OptionError("unlabelled_b alone", "give the first camera's photos as unlabelled")
    if not mean and unlabelled is not None:
        raise OptionError("no mean of unlabelled photos", "give labelled photos, or leave it out")
    store = CalibrationStore(options.get("home"))
    if name is not None and out is None:
        store.require_free(name)
    known = make_recognizer(**options)
    work = _Work(known, options.get("home"), cache, workers, progress)
    what = next(given for given in (people, pairs, unlabelled) if given is not None)
    about = _About(name or (Path(out).stem if out else ""), dataset, what, command, mean, fmr)
    if unlabelled is not None:
        made = _of_unlabelled(work, unlabelled, unlabelled_b, about)
    elif pairs is not None:
        made = _of_pairs(work, Path(pairs), root, about)
    else:
        made = _of_people(work, Path(people or ""), people_list, about)
    if out is not None:
        try:
            Path(out).write_text(made.to_json() + "\n", encoding="utf-8")
        except OSError as error:
            raise OptionError(f"{out} cannot be written ({error})", "name another file") from error
    elif name is not None:
        store.save(made)
    return made


def check(
    photos: Photos,
    other: Photos | None = None,
    /,
    *,
    fmr: float = 1e-3,
    cache: bool = True,
    workers: int | None = None,
    progress: Progress | None = None,
    **options: Unpack[PhotoOptions],
) -> Check:
    """Checks whether the error rates of a calibration hold on unlabelled photos, see ``.trusted``.

    Args:
        photos: photos of mostly different people: a folder, or as for ``embed``.
        other: photos of the second camera, for a calibration of two cameras.
        fmr: the decisive false match rate, in (0, 1).
        cache: use the template cache in the home folder.
        workers: photos processed in parallel; ``None``: one per core.
        progress: called with ``photos``, done, and total.
        **options: see ``visavis.api.options.PhotoOptions``; checks the model's own calibration
        unless ``calibration`` names another.

    Raises:
        CalibrationError: fewer than 50 photos; a calibration of two cameras needs ``other``.
        UnsupportedFmrError: the calibration has no rate as low as ``fmr``.
    """
    from visavis.decision.check import check as compare

    known = make_recognizer(**options)
    work = _Work(known, options.get("home"), cache, workers, progress)
    warn_about(work.recognizer)
    rows = work.embed(listed(photos))
    other_rows = work.embed(listed(other)) if other is not None else []
    vectors = work.vectors(rows)
    others = work.vectors(other_rows) if other is not None else None
    used = len(vectors) + (0 if others is None else len(others))
    return compare(
        vectors,
        known.calibration,
        other=others,
        fmr=fmr,
        failures=len(rows) + len(other_rows) - used,
        folder=str(photos) if isinstance(photos, (str, PathLike)) else "DIR",
    )


def names(*, home: Path | None = None) -> tuple[str, ...]:
    """Returns the names of all calibrations, shipped ones first.

    Args:
        home: folder of models, calibrations and caches; ``None``: the user's data folder.
    """
    return tuple(CalibrationStore(home).names())


def show(name: str, *, home: Path | None = None) -> Calibration:
    """Returns a calibration by its name.

    Raises:
        UnknownCalibrationError: unknown name.
        CalibrationError: its file is damaged.
    """
    return CalibrationStore(home).load(name)


def delete(name: str, *, home: Path | None = None) -> None:
    """Erases a saved calibration.

    Raises:
        UnknownCalibrationError: none is saved under that name (shipped ones cannot be erased).
    """
    CalibrationStore(home).delete(name)


def place(name: str, *, home: Path | None = None) -> Path:
    """Returns the path for a calibration of that name, whether it exists or not."""
    return CalibrationStore(home).path(name)


def supported_fpirs(made: Calibration) -> tuple[SupportedFpir, ...]:
    """Returns the lowest supported false positive identification rates, by gallery size."""
    from visavis.decision import open_set

    return open_set.supported_fpirs(made)


@dataclass(frozen=True, slots=True)
class _Work:
    recognizer: Recognizer
    home: Path | None
    cache: bool
    workers: int | None
    progress: Progress | None

    def embed(self, photos: Iterable[Any]) -> list[PhotoResult]:
        """Embeds the central faces."""
        with kept_templates(self.home, cache=self.cache) as kept:
            rows = list(
                self.recognizer.embed_many(
                    list(photos),
                    rule="central",
                    cache=kept,
                    workers=self.workers,
                    progress=stage(self.progress, "photos"),
                )
            )
        failed = [row for row in rows if not row.templates]
        for row in failed:
            log.info("left out: %s", row.message)
        if failed:
            reasons = Counter(row.reason for row in failed)
            counted = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
            log.info("%d of %d photos left out: %s", len(failed), len(rows), counted)
        return rows

    def vectors(self, rows: Sequence[PhotoResult]) -> Vectors:
        """Returns ``(N, D)`` templates; duplicate photos count once."""
        import numpy as np

        nothing = np.zeros((0, self.recognizer.embedder.dimension), np.float32)
        found = [r.templates[0].vector for r in rows if r.templates]
        # Duplicate photos have identical templates.
        different = list({vector.tobytes(): vector for vector in found}.values())
        if len(different) < len(found):
            log.info("%d photos are copies of others: counted once", len(found) - len(different))
        return np.concatenate([nothing, *(vector[None] for vector in different)])


@dataclass(frozen=True, slots=True)
class _About:
    name: str
    dataset: str | None
    source: Any
    command: str
    mean: bool
    fmr: Sequence[float] | None

    def provenance(self, work: _Work, rows: Sequence[PhotoResult]) -> Provenance:
        from visavis.decision.labelled import Provenance

        failures = sum(not row.templates for row in rows)
        place = isinstance(self.source, (str, PathLike))
        called = self.dataset or (Path(self.source).resolve().name if place else "photos")
        return Provenance(
            name=self.name or called,
            model=work.recognizer.model,
            model_sha256=work.recognizer.model_sha256,
            pipeline_id=work.recognizer.pipeline_id,
            dataset=called,
            photos=len(rows) - failures,
            failures=failures,
            created=datetime.now(UTC).date().isoformat(),
            command=self.command,
        )


def _of_people(
    work: _Work,
    folder: Path,
    people_list: Place | None,
    about: _About,
) -> Calibration:
    import numpy as np

    from visavis.decision.labelled import calibrate_people

    photos, owners = people_in(folder, Path(people_list) if people_list is not None else None)
    rows = work.embed(photos)
    kept = [
        (row.templates[0].vector, o) for row, o in zip(rows, owners, strict=True) if row.templates
    ]
    if not kept:
        raise DataError(f"{folder}: no photo with a usable face", "give photos of faces")
    index = np.unique([owner for _, owner in kept], return_inverse=True)[1]
    return calibrate_people(
        np.stack([vector for vector, _ in kept]),
        index,
        about.provenance(work, rows),
        center=about.mean,
        targets=about.fmr,
    )


def _of_pairs(
    work: _Work,
    file: Path,
    root: Place | None,
    about: _About,
) -> Calibration:
    import numpy as np

    from visavis.decision.labelled import calibrate_pairs
    from visavis.decision.pair_scores import people_of_pairs
    from visavis.evaluation import protocols

    protocol = protocols.pairs.read(file, Path(root) if root is not None else None)
    rows = work.embed(protocol.photos)
    good = np.array([bool(row.templates) for row in rows])
    usable = good[protocol.first] & good[protocol.second]
    if not usable.any():
        raise DataError(f"{file}: no pair with a usable face in both photos", "check the photos")
    first, second, same = protocol.first[usable], protocol.second[usable], protocol.same[usable]
    people = protocol.people or people_of_pairs(len(rows), first, second, same)
    owners = np.unique(people, return_inverse=True)[1]
    place = np.cumsum(good) - 1  # index of each photo among those with a template
    return calibrate_pairs(
        np.stack([row.templates[0].vector for row in rows if row.templates]),
        owners[good],
        (place[first], place[second], same),
        about.provenance(work, rows),
        center=about.mean,
        targets=about.fmr,
    )


def _of_unlabelled(
    work: _Work,
    photos: Photos,
    other: Photos | None,
    about: _About,
) -> Calibration:
    from visavis.decision.check import shape_of
    from visavis.decision.transfer import transfer
    from visavis.decision.unlabelled import estimate_non_mated

    warn_about(work.recognizer)
    reference = work.recognizer.calibration
    if reference.method != "labelled":
        raise OptionError(
            f"--calibration {reference.name}, itself made without labels",
            "leave it out, or name a labelled one",
        )
    rows = work.embed(listed(photos))
    other_rows = work.embed(listed(other)) if other is not None else []
    center = reference.domain is not None or reference.centered is not None
    estimate = estimate_non_mated(
        work.vectors(rows),
        work.vectors(other_rows) if other is not None else None,
        center=center,
        shape=shape_of(reference, centered=center),
    )
    provenance = about.provenance(work, [*rows, *other_rows])
    return transfer(reference, estimate, provenance, targets=about.fmr)
