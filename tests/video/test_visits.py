"""One event a person and visit."""

from __future__ import annotations

import gc
import json
from types import FunctionType, ModuleType

import numpy as np
import pytest
from tests.video.drawn import FPS, KnowingAnalyzer, Person, Searches, frame, watched

from visavis.errors import OptionError
from visavis.video.source import Frame
from visavis.video.visits import VisitDecision, Visits, VisitsOptions

NOBODY: list[Person] = []


def walk(name: int, seconds: float, *, start: float = 0, speed: float = 50, **more) -> list:
    return [[Person(name, start + speed * k / FPS, **more)] for k in range(round(seconds * FPS))]


def told(events) -> list[tuple[str, str | None]]:
    return [(event.outcome, event.person) for event in events]


def test_a_walk_is_one_visit_with_its_times() -> None:
    events, searches, _ = watched([*[NOBODY] * 10, *walk(1, 3), *[NOBODY] * 80], 1)
    assert told(events) == [("identified", "P1")]
    (event,) = events
    assert (event.start_s, event.end_s, event.frames, event.looks) == (1.0, 3.9, 30, 8)
    assert event.start == "2026-03-01T12:00:01.000+00:00"
    assert event.fpir == 0.01
    assert searches.looks == [[8]]


def test_a_stranger_an_enrolled_person_and_a_poor_picture_at_once() -> None:
    scene = [
        [Person(1, 10 + k), Person(2, 120 + k), Person(3, 250, quality=0.4)] for k in range(30)
    ]
    events, searches, _ = watched(scene, 1, 3)
    found = {e.box[0] // 100: (e.outcome, e.person) for e in events}
    assert found == {
        0.0: ("identified", "P1"), 1.0: ("unknown", None), 2.0: ("no-usable-face", None),
    }  # fmt: skip
    assert len(searches.looks) == 2


def test_nobody_and_a_flash_are_no_event() -> None:
    assert watched([NOBODY] * 50, 1)[0] == []
    assert watched([*[NOBODY] * 5, [Person(1, 10)], *[NOBODY] * 80], 1)[0] == []
    blurred = Person(1, 10, quality=0.1)
    assert watched([[blurred], [blurred], *[NOBODY] * 80], 1)[0] == []


def test_who_turns_away_for_a_moment_is_still_there() -> None:
    there = walk(1, 2, speed=0)
    events, searches, _ = watched([*there, *[NOBODY] * 40, *walk(1, 2, start=200)], 1)
    assert told(events) == [("identified", "P1")]
    assert events[0].end_s == 7.9
    assert len(searches.looks) == 1


def test_who_comes_back_later_visits_again() -> None:
    events, searches, _ = watched([*walk(1, 2), *[NOBODY] * 60, *walk(1, 2)], 1)
    assert told(events) == [("identified", "P1")] * 2
    assert [e.visit for e in events] == [1, 2]
    assert len(searches.looks) == 2


def test_a_cut_to_somebody_at_the_same_place_ends_the_visit() -> None:
    events, _, _ = watched([*walk(1, 2, speed=0), *walk(2, 2, speed=0)], 1, 2)
    assert told(events) == [("identified", "P1"), ("identified", "P2")]
    assert events[0].end_s < 2.0 <= events[1].start_s


def test_a_weak_frame_with_another_template_is_left_out() -> None:
    """Strong blur changes a template beyond recognition; the person is still the same."""
    there, blurred = walk(1, 1, speed=0), walk(2, 0.6, speed=0, quality=0.7)
    events, searches, _ = watched([*there, *blurred, *there], 1)
    assert told(events) == [("identified", "P1")]
    assert events[0].frames == 26
    assert searches.looks == [[8]]
    # If it goes on, it is somebody else.
    events, _, _ = watched([*there, *walk(2, 3, speed=0, quality=0.7)], 1)
    assert told(events) == [("identified", "P1"), ("unknown", None)]


def test_cut_and_back_is_one_visit_each() -> None:
    scenes = [*walk(1, 1, speed=0), *walk(2, 1, speed=0)] * 3
    events, searches, _ = watched(scenes, 1)
    assert sorted(told(events), key=str) == [("identified", "P1"), ("unknown", None)]
    assert len(searches.looks) == 2
    assert {e.frames for e in events} == {30}


def test_two_who_look_alike_in_one_frame_are_two_visits() -> None:
    scene = [[Person(1, 10), Person(1, 200)]] * 30
    events, _, _ = watched(scene, 1)
    assert told(events) == [("identified", "P1")] * 2


def test_blurred_frames_of_a_visit_are_left_out() -> None:
    scenes = [[Person(1, 5 * k, quality=0.3 if k % 3 else 0.9)] for k in range(40)]
    events, searches, analyzer = watched(scenes, 1)
    assert told(events) == [("identified", "P1")]
    assert events[0].frames == 40
    assert analyzer.embedded <= 14
    assert searches.looks == [[8]]


def test_the_best_frames_are_fused() -> None:
    scores = np.random.default_rng(3).uniform(0.6, 1.0, 200).round(3)
    scenes = [[Person(1, 100, quality=q)] for q in scores]
    kept: list[float] = []

    class Keeping(Searches):
        def __call__(self, looks, picture):
            return super().__call__(looks, picture)

    visits = Visits(KnowingAnalyzer(), Keeping(1), fpir=0.01, options=VisitsOptions(looks=5))
    for k, scene in enumerate(scenes):
        visits.step(frame(scene, k / FPS))
    (visit,) = visits._open.values()
    kept = sorted((look.quality_score for look in visit.looks.values()), reverse=True)
    # Of each slot of two frames the better one, of these the best five.
    slots = np.maximum(scores[::2], scores[1::2])
    assert kept == sorted(slots.tolist(), reverse=True)[:5]


def test_arrivals_are_told_at_once_and_searched_once() -> None:
    scenes = [*walk(1, 4, speed=0), *[NOBODY] * 80]
    events, searches, _ = watched(scenes, 1, arrivals=True, looks=4)
    assert [(e.kind, e.visit, e.person) for e in events] == [
        ("arrival", 1, "P1"),
        ("visit", 1, "P1"),
    ]
    assert events[0].end_s < 1.0
    assert events[1].end_s == 3.9
    assert searches.looks == [[4]]
    assert events[0].sentence.startswith("P1, since ")


def test_a_reported_arrival_keeps_its_number_when_visits_are_joined() -> None:
    # Two tracks of one person: the first is too poor until the second has been reported.
    scenes = [
        *[[Person(1, 10, quality=0.3)]] * 5,
        *[[Person(1, 200)]] * 20,
        *[[Person(1, 10)]] * 20,
    ]
    events, searches, _ = watched(scenes, 1, arrivals=True, looks=4)
    assert len(searches.looks) == 1
    arrival, *rest = events
    visits = [e for e in rest if e.outcome == "identified"]
    assert [e.visit for e in visits] == [arrival.visit]


def test_a_visit_that_does_not_end_is_reported_in_parts() -> None:
    events, searches, _ = watched(walk(1, 25, speed=0), 1, longest=10)
    assert told(events) == [("identified", "P1")] * 3
    assert len(searches.looks) == 3


def test_without_a_calibration_tracks_alone_decide() -> None:
    events, _, _ = watched([*walk(1, 2, speed=0), *walk(1, 2, start=200)], 1, calibrated=False)
    assert told(events) == [("identified", "P1")] * 2


def test_time_without_a_picture_ends_visits() -> None:
    visits = Visits(KnowingAnalyzer(), Searches(1), fpir=0.01)
    for k in range(20):
        assert visits.step(frame([Person(1, 10)], k / FPS)) == []
    assert visits.present == 1
    assert visits.step(Frame(None, 6.0)) == []
    assert told(visits.step(Frame(None, 7.0))) == [("identified", "P1")]
    assert visits.present == 0


def test_pictures_are_kept_only_if_asked_for() -> None:
    for pictures in (False, True):
        saved = []
        visits = Visits(
            KnowingAnalyzer(),
            Searches(1),
            fpir=0.01,
            options=VisitsOptions(pictures=pictures),
            save=lambda picture, event, kept=saved: kept.append(picture) or "a.png",  # type: ignore[func-returns-value]
        )
        for k in range(20):
            visits.step(frame([Person(1, 100 + k)], k / FPS))
        (event,) = visits.finish()
        assert event.crop == ("a.png" if pictures else None)
        assert [p.shape for p in saved] == ([(81, 81, 3)] if pictures else [])


def test_events_are_json_and_words() -> None:
    events, _, _ = watched([*walk(1, 2), *[NOBODY] * 60], 1)
    plain = json.loads(json.dumps(events[0].to_dict(), allow_nan=False))
    assert plain["person"] == "P1"
    assert plain["kind"] == "visit"
    assert plain["score"] == 0.7
    assert "FPIR 1e-2" in events[0].sentence
    unknown, _, _ = watched([*walk(4, 2), *[NOBODY] * 60], 1)
    assert unknown[0].sentence.startswith("unknown, ")
    poor, _, _ = watched([*walk(4, 2, quality=0.2), *[NOBODY] * 60], 1)
    assert poor[0].sentence.startswith("no usable face, ")
    assert poor[0].score is None


@pytest.mark.parametrize(
    "wrong",
    [{"looks": 0}, {"looks": 101}, {"gap": 0}, {"longest": -1}, {"min_quality": 1.5},
     {"gap": float("nan")}],
)  # fmt: skip
def test_options_are_checked(wrong: dict) -> None:
    with pytest.raises(OptionError):
        VisitsOptions(**wrong)


def reachable(root: object) -> int:
    """Number of objects that an object keeps alive, without modules and classes."""
    seen: dict[int, object] = {}
    waiting = [root]
    while waiting:
        one = waiting.pop()
        if id(one) not in seen and not isinstance(one, (type, ModuleType, FunctionType)):
            seen[id(one)] = one
            waiting += gc.get_referents(one)
    return len(seen)


def test_what_is_kept_does_not_grow_with_time() -> None:
    """Ten minutes at two frames a second: comings and goings, and somebody who stays.

    ``benchmarks.watch`` measures the memory of an hour.
    """
    visits = Visits(KnowingAnalyzer(), lambda *_: VisitDecision(), fpir=0.01)
    kept, events = [], 0
    for k in range(1200):
        scene = [Person(1, 10)] + [Person(2 + k // 40, 100 + k % 40)] * (k % 40 < 20)
        events += len(visits.step(frame(scene, k / 2)))
        if k % 200 == 199:
            kept.append(reachable(visits))
    assert events > 25
    assert max(kept) < 1.1 * kept[0]
