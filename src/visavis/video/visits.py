"""Visits: which faces of a video are one person in front of the camera, and its best frames.

A visit begins with a track and ends when its person has not been seen for some seconds. Tracks
break: somebody turns away, walks behind a pillar, or the picture is cut. So a visit is more than a
track:

- A cut ends all tracks.
- A track whose face suddenly has another template goes on as another visit: two people crossed. A
  blurred face can have another template, too: below the quality ``SURE``
  such a frame is only left out, unless this goes on for ``DOUBTS`` slots.
- Two visits with matching templates become one, unless both were seen in one frame.

Both compare templates at rates of the model's calibration, ``APART`` and ``TOGETHER``. A visit
keeps the templates of its best frames only, so memory does not grow with its length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from math import isinf
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from visavis.errors import OptionError
from visavis.faces.quality import POOR
from visavis.types import Face, Image, Template, Vectors
from visavis.video.records import VisitEvent
from visavis.video.source import Frame
from visavis.video.tracking import FaceTracker

if TYPE_CHECKING:
    from visavis.video.analysis import MeasuredFace

APART: Final = 1e-2
"""FMR below whose threshold the next frame of a track shows another person. Successive usable
frames of one person score far higher."""

CUT: Final = 0.35
"""Correlation of two successive pictures, reduced to 32x18 gray pixels, below which there is a cut.
A false one does no harm: visits go on by their templates."""

SURE: Final = 0.9
"""Quality score from which one frame with another template shows another person. Near the lowest
usable quality (0.6), scores of one person's frames can be those of strangers."""

DOUBTS: Final = 5
"""Slots in a row with another template after which weaker frames show another person, too."""

TOGETHER: Final = 1e-3
"""FMR at whose threshold two visits are one person's."""

SLOT: Final = 0.2
"""Seconds of a slot. Of each slot only the best frame is used: successive frames hardly differ."""

FEWEST_FRAMES: Final = 2
"""Fewest frames of a visit that is reported. Without any usable face it needs one more."""

_MARGIN: Final = 0.5
_MOST_PIXELS: Final = 512


@dataclass(frozen=True, slots=True)
class VisitDecision:
    """Who a visit is.

    Attributes:
        person: name; ``None`` for nobody who is enrolled.
        person_id: opaque id.
        score: mean score with the best person; ``None`` if nobody is enrolled.
        threshold: score from which a visit gets a name.
        fpir: probability that the visit of somebody who is not enrolled reaches the score.
        warnings: sentences.
    """

    person: str | None = None
    person_id: str | None = None
    score: float | None = None
    threshold: float | None = None
    fpir: float | None = None
    warnings: tuple[str, ...] = ()


class Analyzer(Protocol):
    """Finds and embeds faces; ``FrameAnalyzer`` is one."""

    def faces(self, pixels: Image) -> list[MeasuredFace]:
        """Faces of a frame, largest first."""
        ...

    def templates(self, pixels: Image, faces: Sequence[MeasuredFace]) -> list[tuple[Template, ...]]:
        """Templates of some faces of a frame, one per model."""
        ...

    def project(self, vectors: Vectors) -> Vectors:
        """Projects templates to the space of ``threshold``."""
        ...

    def threshold(self, fmr: float) -> float:
        """Score at a false match rate; infinite if unknown."""
        ...


@dataclass(frozen=True, slots=True)
class VisitsOptions:
    """When visits end, and what of them is kept.

    Attributes:
        looks: most frames whose templates are fused, 1 or more: the best ones.
        gap: seconds without the person after which a visit ends, over 0.
        longest: seconds after which a visit ends although the person is still there; another one
            begins.
        min_quality: lowest quality score of a usable face, 0 to 1.
        arrivals: also report a visit as soon as ``looks`` frames are there. It is decided then.
        pictures: keep a picture of the best frame.
    """

    looks: int = 8
    gap: float = 5.0
    longest: float = 600.0
    min_quality: float = POOR
    arrivals: bool = False
    pictures: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.looks <= 100:
            raise OptionError(f"{self.looks} frames to fuse", "give 1 to 100")
        if not self.gap > 0 or not self.longest > 0:
            raise OptionError(
                f"a gap of {self.gap:g} s and a longest visit of {self.longest:g} s",
                "give numbers over 0",
            )
        if not 0 <= self.min_quality <= 1:
            raise OptionError(
                f"a lowest quality score of {self.min_quality:g}", "give one from 0 to 1"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """A usable frame of a visit: templates of the face, one per model, and how good they are."""

    templates: tuple[Template, ...]
    quality_score: float
    picture: Image | None = None


@dataclass(slots=True, eq=False)
class _Visit:
    number: int
    first: Frame
    last: Frame
    best: float
    face: Face
    size: tuple[int, int]
    frames: int = 0
    looks: dict[int, Look] = field(default_factory=dict)
    apart: set[int] = field(default_factory=set)
    mean: Vectors | None = None
    slot: int = -1
    slot_score: float = -1.0
    doubts: int = 0
    decision: VisitDecision | None = None


Decide = Callable[[Sequence[Sequence[Template]], "Image | None"], VisitDecision]
"""Decides who a face is: from its templates, for each model a sequence, best frame first."""


class Visits:
    """Turns frames into visits.

    Args:
        analyzer: finds and embeds faces.
        decide: called once for each visit with a usable face.
        fpir: stated in the events.
        camera: name of the camera.
        options: see ``VisitsOptions``.
        save: called with a picture and the event; returns the name of the file.
    """

    def __init__(
        self,
        analyzer: Analyzer,
        decide: Decide,
        *,
        fpir: float,
        camera: str = "camera",
        options: VisitsOptions = VisitsOptions(),
        save: Callable[[Image, VisitEvent], str] | None = None,
    ) -> None:
        self._analyzer, self._decide, self._save = analyzer, decide, save
        self._fpir, self._camera, self._options = fpir, camera, options
        self._tracker = FaceTracker()
        self._apart, self._together = analyzer.threshold(APART), analyzer.threshold(TOGETHER)
        self._open: dict[int, _Visit] = {}
        self._of_track: dict[int, int] = {}
        self._count = 0
        self._thumbnail: NDArray[np.float64] | None = None

    @property
    def present(self) -> int:
        """Number of open visits with a usable face."""
        return sum(bool(visit.looks) for visit in self._open.values())

    def step(self, frame: Frame) -> list[VisitEvent]:
        """Takes the next frame; returns the events that it brings about."""
        events = []
        if frame.pixels is not None:
            self._see(frame, frame.pixels)
            events += self._arrivals()
        ended = [
            visit
            for visit in self._open.values()
            if frame.time - visit.last.time > self._options.gap
            or frame.time - visit.first.time >= self._options.longest
        ]
        return events + list(self._end(ended))

    def finish(self) -> list[VisitEvent]:
        """Ends all open visits."""
        return list(self._end(list(self._open.values())))

    def _see(self, frame: Frame, pixels: Image) -> None:
        faces = self._analyzer.faces(pixels)
        self._thumbnail, before = _thumbnail(pixels), self._thumbnail
        if before is not None and float((before * self._thumbnail).mean()) < CUT:
            self._tracker = FaceTracker(first=self._tracker.count + 1)
        tracks = self._tracker.update([one.face for one in faces], frame.time)
        living = self._tracker.living()
        self._of_track = {k: v for k, v in self._of_track.items() if k in living}
        seen = [
            self._visit(track, one, frame, pixels) for track, one in zip(tracks, faces, strict=True)
        ]
        slot = int(frame.time / SLOT)
        wanted = [
            k
            for k, one in enumerate(faces)
            if one.quality_score >= self._options.min_quality
            and (slot != seen[k].slot or one.quality_score > seen[k].slot_score)
        ]
        looks: dict[int, Look] = {}
        if wanted:
            templates = self._analyzer.templates(pixels, [faces[k] for k in wanted])
            for k, each in zip(wanted, templates, strict=True):
                looks[k] = Look(each, faces[k].quality_score)
        for k, look in list(looks.items()):
            visit = seen[k]
            if not self._is_other(visit, look):
                visit.doubts = 0
                continue
            visit.doubts += visit.slot != slot
            if look.quality_score >= SURE or visit.doubts >= DOUBTS:
                self._of_track.pop(tracks[k], None)
                seen[k] = self._visit(tracks[k], faces[k], frame, pixels)
            else:
                visit.slot, visit.slot_score = slot, look.quality_score
                del looks[k]
        for k, (visit, one) in enumerate(zip(seen, faces, strict=True)):
            visit.frames += 1
            visit.last = _without_pixels(frame)
            visit.apart |= {other.number for other in seen if other is not visit}
            if one.quality_score > visit.best:
                visit.best, visit.face, visit.size = one.quality_score, one.face, _size(pixels)
            if k in looks:
                self._add(visit, slot, looks[k], one.face, pixels)
        for k in looks:
            if seen[k].number in self._open:
                self._join(seen[k])

    def _visit(self, track: int, face: MeasuredFace, frame: Frame, pixels: Image) -> _Visit:
        """The open visit of a track; a new one if there is none."""
        known = self._open.get(self._of_track.get(track, 0))
        if known is not None:
            return known
        self._count += 1
        visit = _Visit(
            number=self._count,
            first=_without_pixels(frame),
            last=_without_pixels(frame),
            best=face.quality_score,
            face=face.face,
            size=_size(pixels),
        )
        self._open[visit.number] = visit
        self._of_track[track] = visit.number
        return visit

    def _is_other(self, visit: _Visit, look: Look) -> bool:
        if visit.mean is None or isinf(self._apart):
            return False
        vector = self._analyzer.project(look.templates[0].vector[None])
        return float((vector @ visit.mean.T)[0, 0]) < self._apart

    def _add(self, visit: _Visit, slot: int, look: Look, face: Face, pixels: Image) -> None:
        best = max((one.quality_score for one in visit.looks.values()), default=-1.0)
        if self._options.pictures and look.quality_score > best:
            look = Look(look.templates, look.quality_score, _picture(pixels, face))
        visit.looks[slot] = look
        visit.slot, visit.slot_score = slot, look.quality_score
        self._trim(visit)

    def _trim(self, visit: _Visit) -> None:
        """Keeps the best looks, and one picture; computes their mean."""
        best = sorted(visit.looks.items(), key=lambda item: -item[1].quality_score)
        kept = best[: self._options.looks]
        pictured = next((k for k, look in kept if look.picture is not None), None)
        visit.looks = {
            k: look if k == pictured or look.picture is None
            else Look(look.templates, look.quality_score)
            for k, look in kept
        }  # fmt: skip
        vectors = np.stack([look.templates[0].vector for _, look in kept])
        weights = np.array([max(look.quality_score, 1e-6) for _, look in kept])
        mean = weights @ self._analyzer.project(vectors).astype(np.float64)
        length = np.linalg.norm(mean)
        visit.mean = np.asarray(mean[None] / max(length, 1e-9), dtype=np.float32)

    def _join(self, visit: _Visit) -> None:
        """Joins a visit with the best matching other one, if there is one."""
        if visit.mean is None or isinf(self._together):
            return
        matching = [
            (float((visit.mean @ other.mean.T)[0, 0]), other)
            for other in self._open.values()
            if other is not visit
            and other.mean is not None
            and other.number not in visit.apart
            and visit.number not in other.apart
            and (visit.decision is None or other.decision is None)
        ]
        score, other = max(matching, key=lambda pair: pair[0], default=(-1.0, None))
        if other is None or score < self._together:
            return
        old, new = sorted([visit, other], key=lambda one: one.number)
        if new.decision is not None:  # it was reported under its number
            old.number, new.number = new.number, old.number
            self._open[old.number], self._open[new.number] = old, new
        old.last = max(old.last, new.last, key=lambda frame: frame.time)
        old.first = min(old.first, new.first, key=lambda frame: frame.time)
        old.frames += new.frames
        old.apart |= new.apart
        old.decision = old.decision or new.decision
        for slot, look in new.looks.items():
            if slot not in old.looks or old.looks[slot].quality_score < look.quality_score:
                old.looks[slot] = look
        if new.best > old.best:
            old.best, old.face, old.size = new.best, new.face, new.size
        self._trim(old)
        del self._open[new.number]
        both = {old.number, new.number}
        self._of_track = {
            track: old.number if number in both else number
            for track, number in self._of_track.items()
        }
        for one in self._open.values():
            if one is not old and one.apart & both:
                one.apart = one.apart - both | {old.number}

    def _arrivals(self) -> list[VisitEvent]:
        if not self._options.arrivals:
            return []
        arrived = [
            visit
            for visit in self._open.values()
            if visit.decision is None and len(visit.looks) >= self._options.looks
        ]
        return [self._event(visit, "arrival") for visit in arrived]

    def _end(self, visits: Sequence[_Visit]) -> Iterator[VisitEvent]:
        for visit in visits:
            del self._open[visit.number]
            if visit.decision or visit.frames >= FEWEST_FRAMES + (not visit.looks):
                yield self._event(visit, "visit")
        gone = {visit.number for visit in visits}
        for visit in self._open.values():
            visit.apart -= gone

    def _event(self, visit: _Visit, kind: str) -> VisitEvent:
        looks = sorted(visit.looks.values(), key=lambda look: -look.quality_score)
        picture = next((look.picture for look in looks if look.picture is not None), None)
        if looks and visit.decision is None:
            by_model = list(zip(*(look.templates for look in looks), strict=True))
            visit.decision = self._decide(by_model, picture)
        found = visit.decision or VisitDecision()
        named = "identified" if found.person is not None else "unknown"
        event = VisitEvent(
            kind=kind,
            visit=visit.number,
            camera=self._camera,
            outcome=named if looks else "no-usable-face",
            person=found.person,
            person_id=found.person_id,
            score=found.score,
            threshold=found.threshold,
            fpir=self._fpir,
            score_fpir=found.fpir,
            start=_iso(visit.first.moment),
            end=_iso(visit.last.moment),
            start_s=round(visit.first.time, 3),
            end_s=round(visit.last.time, 3),
            frames=visit.frames,
            looks=len(looks),
            quality_score=round(visit.best, 4),
            box=tuple(round(float(v), 1) for v in visit.face.box),  # type: ignore[arg-type]
            size=visit.size,
            warnings=found.warnings,
        )
        if picture is None or self._save is None:
            return event
        return replace(event, crop=self._save(picture, event))


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="milliseconds")


def _without_pixels(frame: Frame) -> Frame:
    return Frame(None, frame.time, frame.moment)


def _thumbnail(pixels: Image) -> NDArray[np.float64]:
    """A small gray picture of mean 0 and standard deviation 1; a blank one is all ones."""
    import cv2

    gray: Any = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(gray, (32, 18), interpolation=cv2.INTER_AREA).astype(np.float64)
    deviation = small.std()
    return np.asarray((small - small.mean()) / deviation if deviation > 1 else np.ones((18, 32)))


def _size(pixels: Image) -> tuple[int, int]:
    return (int(pixels.shape[1]), int(pixels.shape[0]))


def _picture(pixels: Image, face: Face) -> Image:
    """The face with a margin, of at most 512 pixels a side."""
    import cv2

    x, y, width, height = face.box
    side = max(width, height) * (1 + 2 * _MARGIN)
    left, top = x + width / 2 - side / 2, y + height / 2 - side / 2
    rows, columns = pixels.shape[:2]
    part = pixels[
        max(int(top), 0) : min(int(top + side) + 1, rows),
        max(int(left), 0) : min(int(left + side) + 1, columns),
    ]
    scale = min(1.0, _MOST_PIXELS / max(*part.shape[:2], 1))
    if scale == 1.0:
        return part.copy()
    size = (max(round(part.shape[1] * scale), 1), max(round(part.shape[0] * scale), 1))
    return np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
