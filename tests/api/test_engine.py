"""One set of models and a bounded queue for many threads."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import visavis as vv
from visavis.errors import (
    BusyError,
    ImageTooLargeError,
    ModelMismatchError,
    NoFaceError,
    NotAnImageError,
    OptionError,
    SeveralFacesError,
)
from visavis.pipeline import shared
from visavis.pipeline.batch import SKIPPED
from visavis.pipeline.shared import STAGES, PhotoQueue


@pytest.fixture
def turned(portrait: np.ndarray) -> bytes:
    """The mirrored portrait as a JPEG."""
    out = io.BytesIO()
    Image.fromarray(portrait[:, ::-1]).save(out, "JPEG", quality=90)
    return out.getvalue()


@pytest.fixture
def engine() -> Iterator[vv.Engine]:
    with vv.Engine(workers=2, queue=8) as made:
        yield made


def waits(engine: vv.Engine, count: int) -> bool:
    """Whether so many photos wait, within 30 seconds."""
    for _ in range(3000):
        if engine.waiting == count:
            return True
        time.sleep(0.01)
    return False


class Gate:
    """A stage callback that keeps workers waiting until it is opened."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.reached = threading.Semaphore(0)

    def __call__(self, stage: str, _: float) -> None:
        if stage == "queue":
            self.reached.release()
            assert self.open.wait(30)


def test_answers_are_those_of_the_functions(
    engine: vv.Engine, portrait: np.ndarray, turned: bytes
) -> None:
    alone = vv.verify(portrait, turned)
    shared = engine.verify(portrait, turned)
    assert (shared.same, shared.threshold) == (alone.same, alone.threshold)
    assert shared.score == pytest.approx(alone.score, abs=1e-5)
    assert [face.box for face in engine.detect(turned)] == [face.box for face in vv.detect(turned)]
    (own,), (other,) = engine.embed(turned), vv.embed(turned)
    assert own.vector @ other.vector == pytest.approx(1, abs=1e-5)
    assert own.magnitude == pytest.approx(other.magnitude, rel=1e-4)


def test_templates_are_compared_as_their_photos_are(
    engine: vv.Engine, portrait: np.ndarray, turned: bytes
) -> None:
    wanted = engine.verify(portrait, turned, fmr=1e-4)
    (a,), (b,) = engine.embed(portrait), engine.embed(turned)
    scores, point = engine.compare(a.vector[None], np.stack([b.vector, a.vector]), fmr=1e-4)
    assert scores[0, 0] == pytest.approx(wanted.score, abs=1e-5)
    assert scores[0, 1] == pytest.approx(1, abs=1e-5)
    assert scores.max() <= 1
    assert point == wanted.operating_point
    with pytest.raises(OptionError):
        engine.compare(a.vector[None] * 2, b.vector[None])
    with pytest.raises(ModelMismatchError):
        engine.compare(a.vector[None], np.eye(2, dtype=np.float32))


def test_errors_reach_the_caller_that_asked(engine: vv.Engine, portrait: np.ndarray) -> None:
    empty = np.zeros((90, 90, 3), np.uint8)
    with pytest.raises(NoFaceError):
        engine.embed(empty)
    with pytest.raises(NotAnImageError):
        engine.verify(portrait, b"no photo at all")
    assert engine.detect(empty) == []
    assert engine.embed(portrait)


def test_concurrent_photos_share_a_call_of_the_embedder(portrait: np.ndarray) -> None:
    gate, calls = Gate(), []

    def look(stage: str, seconds: float) -> None:
        gate(stage, seconds)
        calls.append(stage)

    with (
        vv.Engine(workers=1, queue=8, batch=4, on_stage=look) as engine,
        ThreadPoolExecutor(5) as pool,
    ):
        first = pool.submit(engine.embed, portrait)
        assert gate.reached.acquire(timeout=30)
        others = [pool.submit(engine.embed, portrait) for _ in range(4)]
        assert waits(engine, 4)
        gate.open.set()
        found = [one.result()[0].vector for one in (first, *others)]
    assert calls.count("embed") == 2  # the first alone, four together
    assert {*calls} == {*STAGES}
    for vector in found:
        assert vector @ found[0] == pytest.approx(1, abs=1e-5)


def test_a_full_queue_refuses_and_loses_nothing(portrait: np.ndarray) -> None:
    gate = Gate()
    with vv.Engine(workers=1, queue=2, batch=1, on_stage=gate) as engine:
        with ThreadPoolExecutor(3) as pool:
            running = pool.submit(engine.embed, portrait)
            assert gate.reached.acquire(timeout=30)
            waiting = pool.submit(engine.verify, portrait, portrait)
            assert waits(engine, 2)
            with pytest.raises(BusyError):
                engine.embed(portrait)
            with pytest.raises(BusyError):
                engine.verify(portrait, portrait)
            gate.open.set()
            assert running.result()
            assert waiting.result().same is True
        assert engine.embed(portrait)


def test_a_photo_that_waited_too_long_is_refused(
    portrait: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, later = Gate(), [0.0]
    monkeypatch.setattr(shared, "perf_counter", lambda: time.perf_counter() + later[0])
    with (
        vv.Engine(workers=1, wait=60, on_stage=gate) as engine,
        ThreadPoolExecutor(2) as pool,
    ):
        first = pool.submit(engine.embed, portrait)
        assert gate.reached.acquire(timeout=30)
        late = pool.submit(engine.embed, portrait)
        assert waits(engine, 1)
        later[0] = 61.0
        gate.open.set()
        assert first.result()
        with pytest.raises(BusyError):
            late.result()


def test_close_finishes_what_was_accepted(portrait: np.ndarray) -> None:
    gate = Gate()
    engine = vv.Engine(workers=1, batch=1, on_stage=gate)
    with ThreadPoolExecutor(4) as pool:
        accepted = [pool.submit(engine.embed, portrait) for _ in range(3)]
        assert gate.reached.acquire(timeout=30)
        assert waits(engine, 2)
        closing = pool.submit(engine.close)
        time.sleep(0.05)
        assert not closing.done()
        gate.open.set()
        closing.result()
        assert all(one.result() for one in accepted)
    with pytest.raises(BusyError):
        engine.embed(portrait)


def test_a_gallery_of_the_engine(
    engine: vv.Engine, portrait: np.ndarray, turned: bytes, tmp_path: Path
) -> None:
    with engine.gallery(tmp_path / "g", create=True) as people:
        report = people.enroll([("Anna", turned), ("Anna", b"broken"), ("Anna", turned)])
        assert [row.status for row in report.rows] == [
            "enrolled",
            "unreadable",
            "already-enrolled",
        ]
        assert people.identify(portrait, fpir=0.2).faces[0].person == "Anna"
        rows = list(people.identify_many([turned, np.zeros((90, 90, 3), np.uint8)], fpir=0.2))
        assert [row.reason for row in rows] == [None, "no-face"]
        assert people.check().ok


def test_identifiers_of_a_gallery_are_few(engine: vv.Engine, turned: bytes, tmp_path: Path) -> None:
    with engine.gallery(tmp_path / "g", create=True) as people:
        people.enroll([("Anna", turned)])
        rates = np.linspace(0.05, 0.5, 40)
        made = [people.identifier(fpir=float(rate)) for rate in rates]
        assert len(people._identifiers) < len(rates) / 2
        assert people.identifier(fpir=float(rates[-1])) is made[-1]


def test_many_photos_in_order_with_reasons(engine: vv.Engine, turned: bytes) -> None:
    told: list[Any] = []
    photos = [b"" if k % 5 == 3 else turned for k in range(20)]
    rows = engine.recognizer().embed_many(
        photos,
        names=[f"p{k}" for k in range(20)],
        rule="largest",
        progress=lambda *now: told.append(now),
        skip=lambda k, _: k % 5 == 1,
    )
    found = list(rows)
    assert [row.photo for row in found] == [f"p{k}" for k in range(20)]
    want = {1: SKIPPED, 3: "image-truncated"}
    assert [row.reason for row in found] == [want.get(k % 5) for k in range(20)]
    assert told[-1] == (20, 20)


def test_an_abandoned_iterator_leaves_the_queue_empty(engine: vv.Engine, turned: bytes) -> None:
    rows = iter(engine.recognizer().embed_many([turned] * 20, rule="largest"))
    next(rows)
    rows.close()  # type: ignore[attr-defined]
    assert engine.embed(turned)
    assert waits(engine, 0)


def test_models_are_loaded_once(engine: vv.Engine, home: Path) -> None:
    a, b = engine.recognizer(), engine.recognizer(calibration="sface")
    assert a is engine.recognizer()
    assert a is not b
    assert a.embedder is b.embedder


def test_a_photo_of_too_many_faces_is_refused(portrait: np.ndarray) -> None:
    two = np.hstack([portrait, portrait])
    with vv.Engine(workers=1, max_faces=1) as engine:
        assert len(engine.detect(portrait)) == 1
        for ask in (engine.detect, engine.embed):
            with pytest.raises(SeveralFacesError, match="2 faces, more than 1"):
                ask(two)


def test_limits() -> None:
    with vv.Engine(workers=1, max_pixels=1000) as engine, pytest.raises(ImageTooLargeError):
        engine.detect(np.zeros((90, 90, 3), np.uint8))


@pytest.mark.parametrize("bad", [{"workers": 0}, {"queue": 0}, {"batch": 0}, {"wait": 0.0}])
def test_options_are_checked(bad: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        vv.Engine(**bad)


def test_a_queue_without_callers_ends() -> None:
    queue = PhotoQueue(workers=3)
    queue.close()
    assert len(queue) == 0
