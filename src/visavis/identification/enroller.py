"""Enrolls people from photos."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from visavis.errors import ModelMismatchError, OptionError
from visavis.faces.quality import POOR, quality_score
from visavis.gallery.names import usable_name
from visavis.gallery.records import NewFace
from visavis.identification.answers import EnrollRow
from visavis.identification.cut_out import cut_out
from visavis.identification.migration import require_welcome
from visavis.identification.models import enrolled_otherwise
from visavis.identification.photos import PersonPhoto
from visavis.identification.resemblance import Resemblance
from visavis.pipeline import PhotoResult, rules
from visavis.pipeline.batch import SKIPPED
from visavis.pipeline.comparison import calibration_warnings
from visavis.types import Face, Image, Template

if TYPE_CHECKING:
    from visavis.gallery.store import GalleryStore
    from visavis.pipeline import Recognizer

FACE_RULES: Final = ("refuse", "clear", "largest", "central")
_STATUS: Final = {"no-face": "no-face", "several-faces": "several-faces"}
_FACES: Final = re.compile(r"(\d+) faces\b")
"""The count in a message, which is all that a photo without a template leaves."""

_ONE_NAME: Final = ", and one name; crop it to one person, or choose the rule largest or central"


@dataclass(frozen=True, slots=True)
class EnrollOptions:
    """Options of enrollment.

    Attributes:
        rule: for a photo with several faces: ``refuse``, ``clear`` (the largest if it has four
            times the area of every other, else refuse), ``largest`` or ``central``.
        min_quality: lowest quality score accepted, 0 to 1 (``visavis.faces.quality``).
        resemblance_fpir: accepted rate of false warnings that a new person resembles somebody
            enrolled under another name.
        keep_crops: store the face crop with its template, so that another model can embed it later.
        expires: ISO 8601 time after which the faces are erased; ``None``: never.
        batch: photos per transaction.
        workers: photos processed in parallel; ``None``: one per core.
    """

    rule: str = "refuse"
    min_quality: float = POOR
    resemblance_fpir: float = 0.01
    keep_crops: bool = False
    expires: str | None = None
    batch: int = 64
    workers: int | None = None

    def __post_init__(self) -> None:
        rules.check(self.rule, allow=FACE_RULES)
        if not 0 <= self.min_quality <= 1:
            raise OptionError(
                f"a minimum quality score of {self.min_quality}", "give one from 0 to 1"
            )
        if not 0 < self.resemblance_fpir < 1:
            raise OptionError(f"an FPIR of {self.resemblance_fpir}", "give one in (0, 1)")
        if self.batch < 1:
            raise OptionError(f"a batch of {self.batch}", "give 1 or more")


class Enroller:
    """Enrolls photos of people in a gallery.

    Rows are yielded after their batch is committed. After an interruption, run again with the same
    photos to continue. Photos are not stored; with ``keep_crops`` the face crops are.

    Args:
        gallery: the gallery to enroll in.
        recognizer: computes the templates.
        options: rules and limits; ``None``: the defaults.

    Raises:
        ModelMismatchError: the gallery holds templates of other models only, and no change to this
            one was begun (``people.Migration``); or those of this one were levelled by a former
            version.

    Example:
        >>> enroller = Enroller(gallery, recognizer)  # doctest: +SKIP
        >>> photo = PersonPhoto("Anna Ivanova", Path("anna.jpg"))  # doctest: +SKIP
        >>> enroller.enroll_one(photo).status  # doctest: +SKIP
        'enrolled'
    """

    def __init__(
        self,
        gallery: GalleryStore,
        recognizer: Recognizer,
        *,
        options: EnrollOptions | None = None,
    ) -> None:
        options = options or EnrollOptions()
        require_welcome(gallery, recognizer)
        self._gallery = gallery
        self._recognizer = recognizer
        self._options = options
        self._resemblance = Resemblance(gallery, recognizer, fpir=options.resemblance_fpir)

    def warnings(self) -> tuple[str, ...]:
        """Warnings about checks that are not possible."""
        found = enrolled_otherwise(self._gallery, self._recognizer)
        if self._resemblance.compares:
            known = self._recognizer.calibration
            return (*found, *calibration_warnings(known, self._recognizer.pipeline_id))
        return (
            *found,
            f"model {self._recognizer.model} has no calibration: faces are not compared with those "
            "of other people; measure one: `visavis calibrate`",
        )

    def enroll_one(self, photo: PersonPhoto, /) -> EnrollRow:
        """Enrolls one photo; see ``enroll``."""
        return next(self.enroll([photo]))

    def enroll(
        self,
        photos: Sequence[PersonPhoto],
        /,
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> Iterator[EnrollRow]:
        """Enrolls photos; yields one row per photo, in order.

        Photos of one person should be consecutive: they are compared with one another.

        Args:
            photos: the photos with their person.
            progress: called with (done, total).
        """
        done = 0
        for batch in batches(photos, self._options.batch):

            def update(k: int, _: int, before: int = done) -> None:
                if progress is not None:
                    progress(before + k, len(photos))

            rows = self._batch(batch, update)
            done += len(batch)
            update(done, 0, 0)
            yield from rows

    def enroll_templates(
        self, people: Sequence[str], templates: Sequence[Template], /, *, photo_sha256: str
    ) -> list[EnrollRow]:
        """Enrolls faces of one photo that are embedded already; returns one row each, in order.

        Args:
            people: name of the person for each template.
            templates: their ``photo`` is the name that is stored.
            photo_sha256: hash of the photo.

        Raises:
            ModelMismatchError: templates of another model than the recognizer's.
        """
        rows: dict[int, EnrollRow] = {}
        accepted: list[tuple[int, NewFace]] = []
        for k, (person, template) in enumerate(zip(people, templates, strict=True)):
            if template.model_sha256 != self._recognizer.model_sha256:
                raise ModelMismatchError(
                    f"a template of {template.model}", f"embed it by {self._recognizer.model}"
                )
            row, result = _row(template.photo, person), PhotoResult(template.photo, (template,))
            if row.status == "waiting" and self._is_there(photo_sha256, row.person):
                row = replace(row, status="already-enrolled")
            elif row.status == "waiting":
                row, chosen = self._select_face(row, result)
                if chosen is not None:
                    accepted.append((k, self._face(row, chosen, photo_sha256, None)))
            rows[k] = row
        self._commit(rows, accepted)
        return list(rows.values())

    def _batch(
        self, photos: Sequence[PersonPhoto], progress: Callable[[int, int], None]
    ) -> list[EnrollRow]:
        rows: dict[int, EnrollRow] = {}
        waiting: list[int] = []
        for k, photo in enumerate(photos):
            rows[k] = _row(photo.name, photo.person)
            if rows[k].status == "waiting":
                waiting.append(k)
        crops: dict[int, bytes] = {}

        def is_there(at: int, sha256: str) -> bool:
            return self._is_there(sha256, rows[waiting[at]].person)

        def keep_crop(at: int, pixels: Image, faces: Sequence[Face]) -> None:
            crops[waiting[at]] = cut_out(pixels, faces[0].landmarks)

        results = self._recognizer.embed_many(
            [photos[k].photo for k in waiting],
            names=[photos[k].name for k in waiting],
            rule=self._options.rule,
            workers=self._options.workers if len(waiting) > 1 else 1,
            progress=progress,
            skip=is_there,
            look=keep_crop if self._options.keep_crops else None,
        )
        accepted: list[tuple[int, NewFace]] = []
        taken: set[tuple[str, str]] = set()
        for k, result in zip(waiting, list(results), strict=True):
            row, template = self._select_face(rows[k], result)
            source = (row.person, result.sha256)
            if result.reason == SKIPPED or (template is not None and source in taken):
                row = replace(rows[k], status="already-enrolled")
            elif template is not None:
                taken.add(source)
                accepted.append((k, self._face(row, template, result.sha256, crops.get(k))))
            rows[k] = row
        self._commit(rows, accepted)
        self._attach(photos, rows)
        return [rows[k] for k in range(len(photos))]

    def _is_there(self, source_sha256: str, person: str) -> bool:
        return self._gallery.has_source(
            source_sha256, person=person, model_sha256=self._recognizer.model_sha256
        )

    def _select_face(
        self, row: EnrollRow, result: PhotoResult
    ) -> tuple[EnrollRow, Template | None]:
        """Returns the row, and the face unless there is none, one of several, or a poor one."""
        if result.reason is not None:
            status = _STATUS.get(result.reason, "unreadable")
            message = result.message
            if status == "several-faces":
                message = f"{result.message}".partition(";")[0]
                row = replace(row, faces_found=int(_FACES.findall(message)[-1]))
                message += _ONE_NAME
            return replace(row, status=status, message=message), None
        (template,) = result.templates
        row = replace(row, faces_found=template.faces_found)
        share = quality_score(template.quality)
        row = replace(row, quality_score=share)
        if share >= self._options.min_quality:
            return row, template
        why = "; ".join(template.quality.warnings) or "several measures are mediocre"
        message = (
            f"{row.photo}: quality score {share:.2f}, under {self._options.min_quality:g} ({why}); "
            "use a better photo, or lower the bar"
        )
        return replace(row, status="low-quality", message=message), None

    def _face(self, row: EnrollRow, template: Template, sha256: str, crop: bytes | None) -> NewFace:
        return NewFace(
            person=row.person,
            vector=template.vector,
            model=template.model,
            model_sha256=template.model_sha256,
            pipeline_id=self._recognizer.pipeline_id,
            quality_score=quality_score(template.quality),
            photo=row.photo,
            photo_sha256=sha256,
            crop=crop,
            expires=self._options.expires,
        )

    def _commit(self, rows: dict[int, EnrollRow], accepted: list[tuple[int, NewFace]]) -> None:
        if not accepted:
            return
        faces = [face for _, face in accepted]
        findings = self._resemblance.check(
            [face.person for face in faces], np.stack([face.vector for face in faces])
        )
        # Another process may have enrolled the same photos in the meantime.
        lacking = [not self._is_there(face.photo_sha256, face.person) for face in faces]
        numbers = iter(self._gallery.add([face for face, lacks in zip(faces, lacking, strict=True)
                                          if lacks]))  # fmt: skip
        for (k, _), lacks, finding in zip(accepted, lacking, findings, strict=True):
            if not lacks:
                rows[k] = replace(rows[k], status="already-enrolled")
                continue
            rows[k] = replace(
                rows[k],
                status="enrolled",
                face=next(numbers),
                resembles=finding.resembles,
                resembles_score=finding.resembles_score,
                own_score=finding.own_score,
                warnings=finding.warnings,
            )

    def _attach(self, photos: Sequence[PersonPhoto], rows: dict[int, EnrollRow]) -> None:
        """Adds the photos' attributes to those of their people."""
        wanted: dict[str, dict[str, object]] = {}
        for k, photo in enumerate(photos):
            if photo.attributes and rows[k].there:
                wanted.setdefault(rows[k].person, {}).update(photo.attributes)
        for person, attributes in wanted.items():
            before = self._gallery.person(person).attributes
            if before | attributes != before:
                self._gallery.set_attributes(person, before | attributes)


def _row(photo: str, person: str) -> EnrollRow:
    """Returns the row of a photo with the checked name of its person."""
    try:
        return EnrollRow(photo, usable_name(person), "waiting")
    except OptionError as error:
        return EnrollRow(photo, person, "unusable-name", str(error))


def batches(photos: Sequence[PersonPhoto], size: int) -> Iterator[Sequence[PersonPhoto]]:
    """Yields batches of ``size`` photos at most; tries to keep a person's photos together."""
    people = [photo.person for photo in photos]
    start = 0
    for _ in photos:  # a batch takes one photo at least
        end = min(start + size, len(photos))
        if end < len(photos):
            cuts = range(end, max(start, start + size // 2 - 1), -1)
            end = next((cut for cut in cuts if people[cut - 1] != people[cut]), end)
        if start < end:
            yield photos[start:end]
        start = end
