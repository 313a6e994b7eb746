"""``watch``: who is in front of a camera, or in a video."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from math import isfinite
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Unpack

from visavis.api.gallery import Gallery, Place, identify_options, opened
from visavis.api.options import DetectorOptions, log
from visavis.errors import OptionError, require_extra, writing_to

if TYPE_CHECKING:
    from threading import Event

    from visavis.identification import Identification, Identifier
    from visavis.types import Image, Template
    from visavis.video import SourceOptions, VisitEvent, VisitsOptions
    from visavis.video.visits import VisitDecision

__all__ = ["watch"]

_CAMERA: Final = "camera"


def watch(
    source: str | PathLike[str] | int,
    /,
    *,
    gallery: Gallery | Place,
    fpir: float | None = None,
    fps: float = 10.0,
    looks: int = 8,
    gap: float = 5.0,
    longest: float = 600.0,
    min_quality: float | None = None,
    arrivals: bool = False,
    seconds: float | None = None,
    camera: str = _CAMERA,
    save_crops: Place | None = None,
    webhook: str | None = None,
    mqtt: str | None = None,
    max_size: int = 1280,
    timeout: float = 10.0,
    patience: float = 600.0,
    stop: Event | None = None,
    fusion: str = "weighted",
    audit: bool = False,
    model: str | None = None,
    calibrations: Sequence[str] = (),
    flip: bool = False,
    precision: str = "auto",
    key: Any = None,
    tenant: str = "default",
    token: str | None = None,
    **options: Unpack[DetectorOptions],
) -> Iterator[VisitEvent]:
    """Yields an event for each visit of a person in a video: who it was, from when to when.

    Faces are tracked. Of each visit the best frames are chosen by quality; their templates are
    fused and searched once. So ``fpir`` is the rate at which *visits* of people who are not
    enrolled get a name, however long these are.

    >>> for event in watch("rtsp://door.lan/live", gallery="door.gallery"):  # doctest: +SKIP
    ...     print(event.sentence)
    Anna, 14:03:11 to 14:03:19, FPIR 1e-2

    Args:
        source: a video file; the address of a stream (``rtsp://``, ``http://``, ``tcp://``, ...);
            or the number of a camera of this machine.
        gallery: who is enrolled, or the gallery's location.
        fpir: accepted false positive identification rate of visits, in (0, 1); ``None``: 0.01, or
            the lowest supported rate if that is higher.
        fps: most frames analyzed per second; for a file, per second of video. Fewer frames of a
            stream are analyzed if the analysis is slower; the newest frame is taken.
        looks: number of frames of a visit that are fused: the best.
        gap: seconds without the person after which a visit ends.
        longest: longest visit, in seconds; then a new one begins.
        min_quality: lowest quality score of a usable face, 0 to 1; ``None``: 0.6.
        arrivals: also yield an event (``kind`` is ``arrival``) as soon as ``looks`` frames are
            there. The visit is decided then; there is no second search.
        seconds: end after this many seconds; ``None``: at the end of the file, or never.
        camera: name of the camera in events and topics: letters, digits, ``_`` and ``-``.
        save_crops: folder for a picture of each visit with a usable face; ``None``: nothing is
            stored.
        webhook: address that each event is posted to, as JSON. A slow or broken receiver never
            delays the analysis: events wait in a bounded queue, and are tried three times.
        mqtt: broker that each event is published to: ``mqtt://USER:PASSWORD@HOST:PORT``.
        max_size: longest side of the pictures in pixels; larger ones are reduced.
        timeout: seconds for opening a stream, and between two frames.
        patience: seconds without a frame after which watching ends.
        stop: ends the watching when set; open visits are finished and yielded.
        fusion: how scores of a person's templates are combined, see ``Gallery.identifier``.
        audit: record each decision in the gallery's audit log, by ids.
        model: use this model's templates only; ``None``: all.
        calibrations: names of saved calibrations, at most one per model.
        flip: average the templates of each face and its mirror image: twice the time.
        precision: of the embedders: ``auto``, ``float32``, ``bf16`` or ``int8``.
        key, tenant, token: see ``GalleryAccess``, for a gallery given by its location.
        **options: see ``visavis.api.options.DetectorOptions``.

    Raises:
        OptionError: an option is out of its range, or a malformed address.
        DataError: no such video, or a stream that stays away.
        MissingExtraError: the extra ``watch`` is not installed.
        UnsupportedFmrError: the data cannot support so low a rate in so large a gallery.
    """
    from visavis.video import SourceOptions, VisitsOptions
    from visavis.video.mqtt import camera_name

    require_extra("watch", "watching a video", module="av")
    identify_options(fpir=fpir, top=2, faces="all", fusion=fusion, audit=audit)
    camera_name(camera)
    if seconds is not None and not seconds > 0:
        raise OptionError(f"{seconds:g} seconds", "give a number over 0")
    quality = {} if min_quality is None else {"min_quality": min_quality}
    run = _Run(
        source=source,
        camera=camera,
        seconds=seconds,
        reading=SourceOptions(fps, max_size, timeout, patience, options.get("threads")),
        visits=VisitsOptions(
            looks=looks,
            gap=gap,
            longest=longest,
            arrivals=arrivals,
            pictures=save_crops is not None or audit,
            **quality,
        ),
        crops=None if save_crops is None else Path(save_crops),
        webhook=webhook,
        mqtt=mqtt,
        stop=stop,
    )
    access: dict[str, Any] = {"key": key, "tenant": tenant, "token": token}
    search: dict[str, Any] = {
        "fpir": fpir, "top": 2, "fusion": fusion, "audit": audit, "model": model,
        "calibrations": calibrations, "flip": flip, "precision": precision, **options,
    }  # fmt: skip
    return run.events(gallery, access, search)


class _Run:
    """One call of ``watch``."""

    def __init__(
        self,
        *,
        source: str | PathLike[str] | int,
        camera: str,
        seconds: float | None,
        reading: SourceOptions,
        visits: VisitsOptions,
        crops: Path | None,
        webhook: str | None,
        mqtt: str | None,
        stop: Event | None,
    ) -> None:
        self._source, self._camera, self._seconds = source, camera, seconds
        self._reading, self._visits, self._crops = reading, visits, crops
        self._webhook, self._mqtt, self._stop = webhook, mqtt, stop

    def events(
        self, gallery: Gallery | Place, access: dict[str, Any], search: dict[str, Any]
    ) -> Iterator[VisitEvent]:
        from visavis.video import FrameAnalyzer, Visits, frames

        with ExitStack() as stack:
            given = {} if isinstance(gallery, Gallery) else access
            people = stack.enter_context(opened(gallery, **given))
            identifier: Identifier = people.identifier(**search)
            if self._crops is not None:
                self._make_folder(self._crops)
            visits = Visits(
                FrameAnalyzer(identifier.recognizers),
                _decider(identifier),
                fpir=identifier.fpir(),
                camera=self._camera,
                options=self._visits,
                save=None if self._crops is None else self._save,
            )
            pictures = frames(self._source, options=self._reading, stop=self._stop, log=log)
            stack.enter_context(contextlib.closing(pictures))  # type: ignore[type-var]
            sinks = [stack.enter_context(contextlib.closing(sink)) for sink in self._sinks()]

            def told(found: list[VisitEvent]) -> Iterator[VisitEvent]:
                for sink in sinks:
                    sink.present(visits.present)
                for event in found:
                    for sink in sinks:
                        sink.event(event)
                    yield event

            for frame in pictures:
                yield from told(visits.step(frame))
                if self._seconds is not None and frame.time >= self._seconds:
                    break
            yield from told(visits.finish())

    def _sinks(self) -> Iterator[Any]:
        if self._webhook is not None:
            from visavis.video.webhook import Webhook

            yield Webhook(self._webhook, log=log)
        if self._mqtt is not None:
            from visavis.video.mqtt import Mqtt

            yield Mqtt(self._mqtt, camera=self._camera, log=log)

    @staticmethod
    def _make_folder(folder: Path) -> None:
        from visavis.writing import private_folder

        with writing_to(folder):
            private_folder(folder)

    def _save(self, picture: Image, event: VisitEvent) -> str:
        """Saves the picture of a visit; returns the file's name."""
        from PIL import Image as Pillow

        from visavis.writing import replacing

        start = event.start or f"{event.start_s:09.3f}s"
        stamp = "".join(c for c in start.partition("+")[0] if c.isalnum() or c in "-.")
        file = Path(self._crops or "") / f"{self._camera}-{stamp}-{event.visit}.png"
        with writing_to(file), replacing(file, private=True) as temporary:
            Pillow.fromarray(picture).save(temporary, "PNG")
        return str(file)


def _decider(
    identifier: Identifier,
) -> Callable[[Sequence[Sequence[Template]], Image | None], VisitDecision]:
    from visavis import images
    from visavis.video.visits import VisitDecision

    def decide(looks: Sequence[Sequence[Template]], picture: Image | None) -> VisitDecision:
        digest = "" if picture is None else images.digest(picture)
        found: Identification = identifier.identify_visit(looks, digest=digest)
        known = found.person is not None
        return VisitDecision(
            person=found.person,
            person_id=found.candidates[0].person_id if known else None,
            score=found.score if isfinite(found.score) else None,
            threshold=None if found.threshold is None else found.threshold.threshold,
            fpir=found.fpir if isfinite(found.fpir) else None,
            warnings=found.warnings,
        )

    return decide
