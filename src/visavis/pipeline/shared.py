"""Photos of many concurrent callers: one bounded queue, shared batches of the embedder."""

from __future__ import annotations

import copy
import math
import os
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from visavis import images
from visavis.errors import BusyError, OptionError, VisavisError
from visavis.pipeline import rules
from visavis.pipeline.batch import SKIPPED, read
from visavis.pipeline.extractor import Extractor, Prepared
from visavis.pipeline.recognizer import Recognizer
from visavis.pipeline.records import PhotoResult
from visavis.types import Face, Image, Template

if TYPE_CHECKING:
    from visavis.decision.profile import Calibration
    from visavis.embedding.cache import EmbeddingCache

STAGES: Final = ("queue", "decode", "detect", "embed")
"""Stages whose seconds ``PhotoQueue`` reports; ``detect`` includes alignment and quality."""

_MODELS: Final = 4
"""Most extractors that a worker keeps loaded."""


@dataclass(slots=True, eq=False)
class _Task:
    extractor: SharedRecognizer
    photo: Any
    rule: str | None  # None: detect only
    name: str
    look: Callable[[Image, Sequence[Face]], None] | None = None
    deadline: float = math.inf
    future: Future[Any] = field(default_factory=Future)
    since: float = field(default_factory=perf_counter)


class PhotoQueue:
    """Worker threads, one core each, that decode, detect and embed the photos of all callers.

    A worker takes a share of what is waiting, and embeds the faces of these photos in one call.
    Thread-safe.

    Args:
        workers: threads; ``None``: one per core.
        size: photos that may wait, 1 or more.
        batch: most photos that a worker takes at once, 1 or more.
        wait: seconds after which a waiting photo is refused.
        on_stage: called in any thread with one of ``STAGES`` and seconds, once a photo, for
            ``embed`` once a batch.

    Raises:
        OptionError: a number is out of its range.
    """

    def __init__(
        self,
        *,
        workers: int | None = None,
        size: int = 64,
        batch: int = 16,
        wait: float = 30.0,
        on_stage: Callable[[str, float], None] | None = None,
    ) -> None:
        workers = os.cpu_count() or 1 if workers is None else workers
        for name, value in (("workers", workers), ("size", size), ("batch", batch)):
            if value < 1:
                raise OptionError(f"{name} {value}", "give 1 or more")
        if not wait > 0:
            raise OptionError(f"wait {wait}", "give a positive number of seconds")
        self._size, self._batch, self._wait = size, batch, wait
        self._on_stage = on_stage or (lambda _stage, _seconds: None)
        self._waiting: deque[_Task] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._workers = [
            threading.Thread(target=self._work, name=f"visavis-photos-{k}", daemon=True)
            for k in range(workers)
        ]
        for worker in self._workers:
            worker.start()

    def __len__(self) -> int:
        """Number of waiting photos."""
        return len(self._waiting)

    @property
    def size(self) -> int:
        """Photos that may wait."""
        return self._size

    def close(self) -> None:
        """Refuses new photos, finishes the accepted ones, and ends the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for worker in self._workers:
            worker.join()

    def submit(self, tasks: Sequence[_Task], /, *, block: bool = False) -> None:
        """Accepts all photos or none.

        Args:
            tasks: the photos.
            block: wait for room, and never refuse a waiting photo.

        Raises:
            BusyError: no room, or closed.
        """
        with self._changed:
            if block:
                self._changed.wait_for(lambda: self._has_room(len(tasks)) or self._closed)
            if self._closed:
                raise BusyError("the photo queue is closing", "ask again in a moment")
            if not self._has_room(len(tasks)):
                raise BusyError(
                    f"{len(self._waiting)} photos are waiting, of {self._size} that may",
                    "ask again in a moment",
                )
            for task in tasks:
                if not block:
                    task.deadline = task.since + self._wait
            self._waiting.extend(tasks)
            self._changed.notify_all()

    def _has_room(self, count: int) -> bool:
        return not self._waiting or len(self._waiting) + count <= self._size

    def _next(self) -> list[_Task]:
        """Takes a worker's share of the waiting photos of one extractor; none after the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if not self._waiting:
                return []
            share = min(self._batch, math.ceil(len(self._waiting) / len(self._workers)))
            key = self._waiting[0].extractor.key
            taken = [task for task in self._waiting if task.extractor.key == key][:share]
            chosen = set(map(id, taken))
            self._waiting = deque(task for task in self._waiting if id(task) not in chosen)
            self._changed.notify_all()
        return taken

    def _work(self) -> None:
        clones: OrderedDict[tuple[Any, ...], Extractor] = OrderedDict()
        while tasks := self._next():
            live = [task for task in tasks if task.future.set_running_or_notify_cancel()]
            try:
                if live:
                    self._run(_clone(clones, live[0].extractor), live)
            except BaseException as error:  # noqa: BLE001  # raised again in the callers
                for task in live:
                    if not task.future.done():
                        task.future.set_exception(error)

    def _run(self, extractor: Extractor, tasks: Sequence[_Task]) -> None:
        prepared: list[tuple[_Task, Prepared]] = []
        for task in tasks:
            try:
                found = self._prepare(extractor, task)
            except Exception as error:  # noqa: BLE001  # raised again in the caller
                task.future.set_exception(error)
                continue
            if isinstance(found, Prepared):
                prepared.append((task, found))
            else:
                task.future.set_result(found)
        try:
            self._embed(extractor, prepared)
        except VisavisError:  # of one of the faces
            for one in prepared:
                try:
                    self._embed(extractor, [one])
                except VisavisError as error:
                    one[0].future.set_exception(error)

    def _prepare(self, extractor: Extractor, task: _Task) -> Prepared | list[Face]:
        start = perf_counter()
        self._on_stage("queue", start - task.since)
        if start > task.deadline:
            raise BusyError(f"{task.name} waited {self._wait:g} s", "ask again in a moment")
        pixels = images.decode(task.photo, limits=extractor.options.limits, name=task.name)
        task.photo = None
        decoded = perf_counter()
        self._on_stage("decode", decoded - start)
        if task.rule is None:
            found: Prepared | list[Face] = extractor.detect_in(pixels, task.name)
        else:
            found = extractor.prepare(pixels, rule=task.rule, name=task.name)
            if task.look is not None:
                task.look(pixels, found.faces)
        self._on_stage("detect", perf_counter() - decoded)
        return found

    def _embed(self, extractor: Extractor, photos: Sequence[tuple[_Task, Prepared]]) -> None:
        if not photos:
            return
        start = perf_counter()
        crops = np.concatenate([prepared.crops for _, prepared in photos])
        vectors, magnitudes = extractor.embed_with_magnitudes(crops)
        self._on_stage("embed", perf_counter() - start)
        first = 0
        for task, prepared in photos:
            own = slice(first, first := first + len(prepared.faces))
            task.future.set_result(extractor.templates(prepared, vectors[own], magnitudes[own]))


def _clone(clones: OrderedDict[tuple[Any, ...], Extractor], of: SharedRecognizer) -> Extractor:
    if of.key not in clones:
        clones[of.key] = of.worker()
    clones.move_to_end(of.key)
    while len(clones) > _MODELS:
        clones.popitem(last=False)
    return clones[of.key]


class SharedRecognizer(Recognizer):
    """A ``Recognizer`` whose photos go through a ``PhotoQueue``. Call it from any thread.

    Args:
        queue: the queue.
        **options: those of ``Recognizer``.

    All methods raise ``BusyError`` if the queue has no room.
    """

    def __init__(self, *, queue: PhotoQueue, **options: Any) -> None:
        super().__init__(**options)
        self._queue = queue
        self._more["queue"] = queue

    @property
    def key(self) -> tuple[Any, ...]:
        """Identifies everything that templates depend on."""
        return (self.model_sha256, self._detector.name, self._aligned, self._options)

    def worker(self) -> Extractor:
        """Returns an extractor for one thread, with models of its own."""
        return Extractor(
            model=self.model,
            detector=self._asked_detector,
            aligned=self._aligned,
            options=self._options,
            home=self._home,
        ).clone(threads=1)

    def calibrated(self, calibration: str | Calibration | None) -> Self:
        """Returns a copy with another calibration, with the same models."""
        found = copy.copy(self)
        found._more = {**self._more, "calibration": calibration}
        found._asked_calibration = calibration
        found._calibration = None
        return found

    def detect(self, photo: Any, /) -> list[Face]:
        found: list[Face] = self._ask([photo], None)[0]
        return found

    def embed_photo(
        self, photo: Any, rule: str, *, name: str | None = None, threads: int | None = None
    ) -> list[Template]:
        found: list[Template] = self._ask([photo], rule, names=[name])[0]
        return found

    def _embed_many_photos(self, photos: Sequence[Any], rule: str) -> list[list[Template]]:
        return self._ask(photos, rule)

    def _ask(
        self, photos: Sequence[Any], rule: str | None, *, names: Sequence[str | None] = ()
    ) -> list[Any]:
        called = names or [None] * len(photos)
        tasks = [
            _Task(self, photo, rule, name or images.describe(photo))
            for photo, name in zip(photos, called, strict=True)
        ]
        self._queue.submit(tasks)
        try:
            return [task.future.result() for task in tasks]
        finally:
            for task in tasks:
                task.future.cancel()

    def embed_many(
        self,
        photos: Sequence[Any],
        *,
        names: Sequence[str] | None = None,
        rule: str = "central",
        cache: EmbeddingCache | None = None,
        workers: int | None = None,
        progress: Callable[[int, int], None] | None = None,
        skip: Callable[[int, str], bool] | None = None,
        look: Callable[[int, Image, Sequence[Face]], None] | None = None,
    ) -> Iterator[PhotoResult]:
        """Yields the templates of many photos, in order; see ``Recognizer.embed_many``.

        The queue has room for the first photo or refuses all; the others wait for room. Nothing is
        cached.
        """
        rules.check(rule)
        names = [images.describe(photo) for photo in photos] if names is None else names
        if len(names) != len(photos):
            raise OptionError(f"{len(names)} names for {len(photos)} photos", "give one per photo")
        return self._rows(photos, names, rule, progress, skip, look)

    def _rows(  # noqa: PLR0917
        self,
        photos: Sequence[Any],
        names: Sequence[str],
        rule: str,
        progress: Callable[[int, int], None] | None,
        skip: Callable[[int, str], bool] | None,
        look: Callable[[int, Image, Sequence[Face]], None] | None,
    ) -> Iterator[PhotoResult]:
        ahead: deque[tuple[str, str, _Task | VisavisError | None]] = deque()
        window = max(2, self._queue.size // 2)
        done, accepted = 0, False
        try:
            for k in range(len(photos) + window):
                if k < len(photos):
                    asked, digest = self._task(k, photos[k], names[k], rule, skip, look)
                    if isinstance(asked, _Task):
                        self._queue.submit([asked], block=accepted)
                        accepted = True
                    ahead.append((names[k], digest, asked))
                if ahead and (k >= len(photos) or len(ahead) >= window):
                    row = _row(*ahead.popleft())
                    done += 1
                    if progress is not None:
                        progress(done, len(photos))
                    yield row
        finally:
            for *_, asked in ahead:
                if isinstance(asked, _Task):
                    asked.future.cancel()

    def _task(  # noqa: PLR0917
        self,
        number: int,
        photo: Any,
        name: str,
        rule: str,
        skip: Callable[[int, str], bool] | None,
        look: Callable[[int, Image, Sequence[Face]], None] | None,
    ) -> tuple[_Task | VisavisError | None, str]:
        """Returns the task and the photo's hash; an error for a bad photo, ``None`` to skip it."""
        try:
            data, digest = read(self, photo, name)
        except VisavisError as error:
            return error, ""
        if skip is not None and skip(number, digest):
            return None, digest
        seen = None if look is None else partial(look, number)
        return _Task(self, data, rule, name, seen), digest


def _row(name: str, digest: str, asked: _Task | VisavisError | None) -> PhotoResult:
    if asked is None:
        return PhotoResult(name, (), SKIPPED, "left out as asked", digest)
    try:
        if isinstance(asked, VisavisError):
            raise asked
        return PhotoResult(name, tuple(asked.future.result()), sha256=digest)
    except BusyError:
        raise
    except VisavisError as error:
        return PhotoResult(name, (), error.reason, str(error), digest)
