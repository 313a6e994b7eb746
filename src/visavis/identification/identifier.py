"""Identifies people in photos: open-set search in a gallery."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from visavis import images
from visavis.decision.open_set import DEFAULT_FPIR, ENOUGH, OpenSet, above_default, open_set
from visavis.errors import OptionError, UnknownCalibrationError, UnsupportedFmrError
from visavis.gallery.fusion import FUSIONS
from visavis.gallery.space import calibration_in
from visavis.identification.answers import (
    Candidate,
    FaceMatches,
    Identification,
    IdentifiedPhoto,
    ModelMatches,
    fuse,
    search,
)
from visavis.identification.models import enrolled_otherwise
from visavis.pipeline import batch, rules
from visavis.types import Template, Vectors

if TYPE_CHECKING:
    from visavis.decision.profile import Calibration
    from visavis.gallery.records import GalleryInfo
    from visavis.gallery.store import Fusion, GalleryStore
    from visavis.pipeline import Recognizer


FACE_RULES: Final = ("all", "largest", "central", "refuse")


@dataclass(frozen=True, slots=True)
class IdentifyOptions:
    """Options of an identifier.

    Attributes:
        fpir: accepted false positive identification rate, in (0, 1). ``None`` for 0.01, or the
            lowest rate that the data support if that is higher (``warnings`` says so). A given rate
            that is not supported is refused.
        top: candidates per answer, 1 or more.
        fusion: how scores of a person's templates are combined: ``max``, ``mean`` or ``weighted``.
        rule: which faces of a photo are searched: ``all``, ``largest``, ``central`` or ``refuse``.
        audit: record each search in the gallery's audit log: photo hash and person ids, no names.
        own_scores: use the gallery's own non-mated scores for the threshold if it is large enough.
        refresh: seconds for which the gallery size, and so the threshold, is cached. Search results
            are always current.
    """

    fpir: float | None = None
    top: int = 5
    fusion: Fusion = "weighted"
    rule: str = "all"
    audit: bool = False
    own_scores: bool = True
    refresh: float = 2.0

    def __post_init__(self) -> None:
        given = DEFAULT_FPIR if self.fpir is None else self.fpir
        if not isinstance(given, (int, float, np.floating)) or not 0 < given < 1:
            raise OptionError(f"an FPIR of {self.fpir!r}", "give one in (0, 1), such as 0.01")
        if self.top < 1:
            raise OptionError(f"{self.top} candidates", "ask for 1 or more")
        if self.fusion not in FUSIONS:
            raise OptionError(f"fusion {self.fusion!r}", f"choose one of {', '.join(FUSIONS)}")
        rules.check(self.rule, allow=FACE_RULES)


class Identifier:
    """Finds which enrolled people are in a photo. Thread-safe.

    Args:
        gallery: the gallery to search.
        recognizers: one per model of the gallery, see ``recognizers``. Each compares its own
            templates only; the answer with the better support is returned.
        options: rate, candidates, fusion, rule, audit.
        threshold: open-set models to share with other identifiers of the same calibrations and
            fusion; ``None``: own ones.

    Raises:
        OptionError: no recognizer, or two of one model.

    Example:
        >>> identifier = Identifier(gallery, recognizers(gallery))  # doctest: +SKIP
        >>> [face.person for face in identifier.identify("door.jpg").faces]  # doctest: +SKIP
        ['Anna Ivanova', None]
    """

    def __init__(
        self,
        gallery: GalleryStore,
        recognizers: Sequence[Recognizer],
        *,
        options: IdentifyOptions = IdentifyOptions(),
        threshold: GalleryThreshold | None = None,
    ) -> None:
        hashes = {recognizer.model_sha256 for recognizer in recognizers}
        if not hashes or len(hashes) < len(recognizers):
            raise OptionError(
                f"{len(recognizers)} recognizers of {len(hashes)} models", "give one per model"
            )
        self._gallery = gallery
        self._recognizers = tuple(recognizers)
        self._options = options
        self._threshold = threshold or GalleryThreshold(
            gallery, fusion=options.fusion, own=options.own_scores
        )
        self._known: tuple[float, GalleryInfo] | None = None
        self._supported: tuple[tuple[OpenSet, ...], float] = ((), DEFAULT_FPIR)

    @property
    def options(self) -> IdentifyOptions:
        """The options."""
        return self._options

    @property
    def recognizers(self) -> tuple[Recognizer, ...]:
        """The recognizers, one per model."""
        return self._recognizers

    def require_supported(self) -> None:
        """Raises if identification is not possible: unsupported rate, or no calibration.

        Raises:
            UnsupportedFmrError: the data cannot support so low a rate in so large a gallery.
            UnknownCalibrationError: no model has a calibration, and the gallery is too small to do
                without. If some models have one, the others are not used (see ``warnings``).
            ModelMismatchError: gallery or calibration are of levelled templates of a former
                version.
        """
        self._search([[] for _ in self._recognizers], self._gallery.info())

    def fpir(self) -> float:
        """FPIR in use: the given one, or what the data support.

        Raises:
            UnsupportedFmrError, UnknownCalibrationError: see ``require_supported``.
        """
        return self._rate([open_set for *_, open_set in self._usable(self._gallery.info())])

    def warnings(self) -> tuple[str, ...]:
        """Warnings that apply to every answer: another pipeline at enrollment or
        calibration, templates of an unused model, a rate above the default, an uncertain rate."""
        info = self._gallery.info()
        asked = {recognizer.model_sha256 for recognizer in self._recognizers}
        found = [
            f"{count:,} templates of {info.models[sha256]} ({sha256[:12]}) are not looked at"
            for sha256, count in info.faces.items()
            if count and sha256 not in asked
        ]
        for recognizer in self._recognizers:
            found += enrolled_otherwise(self._gallery, recognizer)
            found += self._calibrated_otherwise(recognizer, info)
        # Every search raises these.
        with suppress(UnknownCalibrationError, UnsupportedFmrError):
            found += self._uncertain(self._usable(info))
        return tuple(found)

    def identify(self, photo: Any, /) -> IdentifiedPhoto:
        """Identifies the faces in a photo.

        Args:
            photo: path, bytes, file object, PIL image or RGB array.

        Raises:
            ImageError: the photo cannot be read.
            NoFaceError, SeveralFacesError: according to the rule.
            UnsupportedFmrError, UnknownCalibrationError: see ``require_supported``.
        """
        name = images.describe(photo)
        data, digest = batch.read(self._recognizers[0], photo, name)
        templates = [
            recognizer.embed_photo(data, self._options.rule, name=name)
            for recognizer in self._recognizers
        ]
        return self._answer(name, digest or images.digest(images.decode(photo)), templates)

    def identify_many(
        self,
        photos: Sequence[Path | bytes],
        *,
        names: Sequence[str] | None = None,
        workers: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Iterator[IdentifiedPhoto]:
        """Identifies faces in many photos, in order; a bad photo is a result with a reason.

        Args:
            photos: paths, or the bytes of photos.
            names: names of the photos in results and messages; ``None``: the paths.
            workers: photos processed in parallel; ``None``: one per core.
            progress: called with (done, total) after each photo.
        """
        self.require_supported()
        with ExitStack() as stack:
            streams = [
                stack.enter_context(
                    closing(
                        recognizer.embed_many(  # type: ignore[type-var]
                            photos, names=names, rule=self._options.rule, workers=workers
                        )
                    )
                )
                for recognizer in self._recognizers
            ]
            for k, results in enumerate(zip(*streams, strict=True)):
                failed = next((result for result in results if result.reason), None)
                if failed is not None:
                    yield IdentifiedPhoto(failed.photo, (), failed.reason, failed.message)
                else:
                    templates = [result.templates for result in results]
                    yield self._answer(results[0].photo, results[0].sha256, templates)
                if progress is not None:
                    progress(k + 1, len(photos))

    def match(self, vectors: Vectors, /) -> list[FaceMatches]:
        """Searches the gallery with templates of the only model in use.

        Args:
            vectors: ``(Q, D)`` float32 of unit length.

        Returns:
            Threshold and candidates of each, best first: a person is identified whose score is at
            or above the threshold. Empty for an empty gallery.

        Raises:
            ModelMismatchError: the templates are of another model.
            OptionError: several models are in use; templates that are not of unit length.
            UnsupportedFmrError, UnknownCalibrationError: see ``require_supported``.
        """
        asked = self._usable(self._info())
        if not asked:
            return []
        if len(asked) > 1:
            names = " or ".join(recognizer.model for _, recognizer, _ in asked)
            raise OptionError("templates in a gallery of several models", f"say model={names}")
        ((_, recognizer, open_set),) = asked
        rate = self._rate([open_set])
        matches = search(
            self._gallery, recognizer, vectors, open_set,
            fpir=rate, k=max(2, self._options.top), fusion=self._options.fusion,
        )  # fmt: skip
        if self._options.audit:
            named = [one.best for one in matches]
            self._note_named(hashlib.sha256(vectors.tobytes()).hexdigest(), named, rate)
        return matches

    def identify_visit(
        self, looks: Sequence[Sequence[Template]], *, digest: str = ""
    ) -> Identification:
        """Identifies one face seen several times, such as in the frames of a video, by one search.

        The score with a person is the mean score of the templates, weighted by quality score (see
        ``visavis.gallery.fusion.fused_probe``). So the FPIR is that of the whole visit, however
        many templates there are.

        Args:
            looks: for each recognizer the templates of the face, those of the best frame first.
            digest: of the frame, for the audit log.

        Raises:
            OptionError: no template.
            UnsupportedFmrError, UnknownCalibrationError: see ``require_supported``.
        """
        if not looks or not all(looks):
            raise OptionError("a visit without a template", "give one or more of each recognizer")
        heard = self._search(looks, self._info(), one_face=True)
        found = fuse([one.of_face(0) for one in heard], looks[0][0], top=self._options.top)
        if self._options.audit:
            self._note(digest, (found,), sum(one.point.fpir for one in heard))
        return found

    def _answer(
        self, source: str, digest: str, templates: Sequence[Sequence[Template]]
    ) -> IdentifiedPhoto:
        heard = self._search(templates, self._info())
        faces = tuple(
            fuse([one.of_face(k) for one in heard], face, top=self._options.top)
            for k, face in enumerate(templates[0])
        )
        if self._options.audit:
            self._note(digest, faces, sum(one.point.fpir for one in heard))
        return IdentifiedPhoto(source, faces)

    def _info(self) -> GalleryInfo:
        """Gallery information, cached for ``refresh`` seconds."""
        now = monotonic()
        known = self._known
        if known is None or not known[1].people or now - known[0] >= self._options.refresh:
            known = self._known = (now, self._gallery.info())
        return known[1]

    def _usable(self, info: GalleryInfo) -> list[tuple[int, Recognizer, OpenSet]]:
        """The usable recognizers with their positions and open-set models."""
        asked = []
        silent: UnknownCalibrationError | None = None
        for k, recognizer in enumerate(self._recognizers):
            info.require_plain(recognizer.model_sha256)
            try:
                open_set = self._threshold.before(recognizer, info)
            except UnknownCalibrationError as error:
                silent = error
                continue
            if open_set is not None:
                asked.append((k, recognizer, open_set))
        if silent is not None and not asked:
            raise silent
        return asked

    def _rate(self, asked: Sequence[OpenSet]) -> float:
        """FPIR of the combined answer, shared by the models."""
        if self._options.fpir is not None:
            return self._options.fpir
        known, rate = self._supported
        if known != tuple(asked):
            count = len(asked)
            rates = [count * one.supported(DEFAULT_FPIR / count) for one in asked]
            rate = max(rates, default=DEFAULT_FPIR)
            self._supported = tuple(asked), rate
        return rate

    def _search(
        self,
        templates: Sequence[Sequence[Template]],
        info: GalleryInfo,
        *,
        one_face: bool = False,
    ) -> list[ModelMatches]:
        """Searches the gallery with each model."""
        asked = self._usable(info)
        rate = self._rate([open_set for *_, open_set in asked])
        return [
            ModelMatches.ask(
                self._gallery,
                recognizer,
                templates[k],
                open_set,
                models=len(asked),
                fpir=rate,
                k=max(2, self._options.top),
                fusion=self._options.fusion,
                one_face=one_face,
            )
            for k, recognizer, open_set in asked
        ]

    def _uncertain(self, asked: Sequence[tuple[int, Recognizer, OpenSet]]) -> Iterator[str]:
        """Yields warnings about a rate that is not the default or is uncertain."""
        rate = self._rate([open_set for *_, open_set in asked])
        if self._options.fpir is None:
            yield from above_default(rate)
        for *_, one in asked:
            yield from one.warnings(rate / len(asked))

    def _calibrated_otherwise(self, recognizer: Recognizer, info: GalleryInfo) -> Iterator[str]:
        try:
            open_set = self._threshold.before(recognizer, info)
        except UnknownCalibrationError:
            yield (
                f"templates of {recognizer.model} are not looked at, for it has no calibration: "
                f"`visavis calibrate DIR --model {recognizer.model} --name NAME`, then "
                "--calibration NAME"
            )
            return
        calibration = open_set.calibration if open_set is not None else None
        if calibration is None:
            return
        if calibration.pipeline_id != recognizer.pipeline_id:
            yield (
                f"calibration '{calibration.name}' was measured with {calibration.pipeline_id}, "
                f"not with {recognizer.pipeline_id}: the FPIR is not measured for this pipeline; "
                "run `visavis calibrate` with these options"
            )

    def _note(self, digest: str, faces: tuple[Identification, ...], fpir: float) -> None:
        named = [face.candidates[0] if face.person is not None else None for face in faces]
        self._note_named(digest, named, fpir)

    def _note_named(self, digest: str, named: Sequence[Candidate | None], fpir: float) -> None:
        known = [one for one in named if one is not None]
        self._gallery.note(
            "identify",
            subject=known[0].person_id if len(known) == 1 else "",
            details={
                "photo_sha256": digest,
                "fpir": fpir or self._rate(()),
                "faces": [
                    None if one is None else {"person": one.person_id, "score": round(one.score, 4)}
                    for one in named
                ],
            },
        )


_STALE: Final = 0.05
"""The gallery's non-mated scores are computed again after a change in size by this share."""


@dataclass(frozen=True, slots=True)
class _CachedOpenSet:
    state: tuple[int, ...]
    measured_at: int
    own: NDArray[np.float32]
    calibration: Calibration | None
    fitted: OpenSet


class GalleryThreshold:
    """Open-set models of a gallery, one per model. Thread-safe.

    Args:
        gallery: the gallery.
        fusion: how scores of a person's templates are combined.
        own: also use the gallery's own non-mated scores if it is large enough.
    """

    def __init__(self, gallery: GalleryStore, *, fusion: Fusion, own: bool = True) -> None:
        self._gallery = gallery
        self._fusion: Fusion = fusion
        self._use_own = own
        self._kept: dict[str, _CachedOpenSet] = {}
        self._lock = threading.Lock()

    def before(self, recognizer: Recognizer, info: GalleryInfo) -> OpenSet | None:
        """Returns the open-set model for the recognizer's templates; ``None`` if there are none.

        Args:
            recognizer: gives model and calibration.
            info: current gallery information.

        Raises:
            UnknownCalibrationError: the model has no calibration, and the gallery is too small to
                do without.
        """
        sha256 = recognizer.model_sha256
        faces = info.faces.get(sha256, 0)
        if not faces:
            return None
        state = (info.people, faces, sum(info.faces.values()))
        with self._lock:
            kept = self._kept.get(sha256)
            if kept is None or kept.state != state:
                kept = self._fit(recognizer, info, state, kept)
                self._kept[sha256] = kept
            return kept.fitted

    def _people(self, info: GalleryInfo, sha256: str) -> int:
        """Number of people with templates of the model."""
        if len([count for count in info.faces.values() if count]) < 2:
            return max(1, min(info.people, info.faces[sha256]))
        # Several models: a migration is in progress, and not everybody has both.
        return max(1, sum(sha256 in person.faces for person in self._gallery.people()))

    def _fit(
        self,
        recognizer: Recognizer,
        info: GalleryInfo,
        state: tuple[int, ...],
        kept: _CachedOpenSet | None,
    ) -> _CachedOpenSet:
        sha256 = recognizer.model_sha256
        people = self._people(info, sha256)
        known, unknown = None, None
        try:
            known = recognizer.calibration
        except UnknownCalibrationError as error:
            unknown = error
        if kept is not None and abs(people - kept.measured_at) <= _STALE * kept.measured_at:
            calibration, own, measured_at = kept.calibration, kept.own, kept.measured_at
        else:
            calibration, own, measured_at = known, np.zeros(0, dtype=np.float32), people
            if known is not None:
                calibration = calibration_in(self._gallery, known, sha256)
            domain = None if calibration is None else calibration.domain
            if self._use_own and people > 1:
                own = self._gallery.non_mated(
                    model_sha256=sha256, fusion=self._fusion, domain=domain
                )
        if unknown is not None and len(own) < ENOUGH:
            raise unknown
        fitted = open_set(
            people=people,
            templates=max(1.0, info.faces[sha256] / people),
            fusion=self._fusion,
            calibration=calibration,
            own=own,
            own_mean=calibration is not known,
        )
        return _CachedOpenSet(state, measured_at, own, calibration, fitted)
