"""``visavis watch``: lines, JSON lines, exit codes, signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import Run
from tests.video.drawn import serving, write_video
from tests.video.events import event

import visavis as vv

pytest.importorskip("av")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, portrait: np.ndarray) -> Path:
    """A gallery with Eileen, and a second of video of her."""
    folder = tmp_path_factory.mktemp("watch")
    head = Image.fromarray(portrait[:240, 100:340]).resize((160, 160))
    head.save(folder / "e.png")
    write_video(folder / "e.mp4", [np.asarray(head)] * 8)
    with vv.Gallery(folder / "g", create=True) as people:
        people.enroll(folder / "e.png", name="Eileen")
    return folder


def test_lines_and_json_lines(place: Path, run: Run) -> None:
    given = ("watch", place / "e.mp4", "--gallery", place / "g", "--fpir", "0.1", "--looks", "2")
    done = run(*given)
    assert done.code == 0
    assert done.out.startswith("Eileen, 00:00:00 to 00:00:00, FPIR 1e-1  [score ")
    assert "2 of 8 frames fused" in done.out
    done = run(*given, "--json", "--arrivals", "--camera", "door")
    events = [json.loads(line) for line in done.out.splitlines()]
    assert [event["kind"] for event in events] == ["arrival", "visit"]
    assert {event["person"] for event in events} == {"Eileen"}
    assert {event["camera"] for event in events} == {"door"}
    assert events[1]["frames"] == 8
    short = run(*given, "--json", "--seconds", "0.25")
    assert json.loads(short.out)["end_s"] == pytest.approx(0.3)


def test_errors_are_one_line(place: Path, run: Run) -> None:
    for words in (
        ("none.mp4", "--gallery", place / "g"),
        (place / "e.png",),
        (place / "e.mp4", "--gallery", place / "g", "--mqtt", "mqtt://me:secret@host:x"),
        (place / "e.mp4", "--gallery", place / "g", "--webhook", "ftp://me:secret@host"),
        (place / "g" / "gallery.sqlite", "--gallery", place / "g"),
    ):
        done = run("watch", *words, "--fpir", "0.1")
        assert done.code == 2, words
        (*_, line) = done.err.splitlines()
        assert line.startswith("visavis: "), done.err
        assert "secret" not in done.err


def test_a_signal_ends_a_stream_and_reports_open_visits(place: Path, home: Path) -> None:
    ts = place / "e.ts"
    write_video(ts, [np.asarray(Image.open(place / "e.png"))] * 300, format="mpegts")
    command = "from visavis.cli import main; main()"
    words = ("--gallery", place / "g", "--fpir", "0.1", "--looks", "1", "--arrivals", "--json")
    with serving(ts.read_bytes(), hang=True) as address:
        process = subprocess.Popen(
            [sys.executable, "-c", command, "watch", *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "VISAVIS_HOME": str(home), "VISAVIS_SOURCE": address},
        )
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read().splitlines()
        assert process.wait(20) == 0
    assert first["kind"] == "arrival"
    (visit,) = map(json.loads, rest)
    assert (visit["kind"], visit["person"], visit["visit"]) == ("visit", "Eileen", first["visit"])
    assert visit["start"] is not None


@pytest.fixture
def heeded() -> Iterator[None]:
    """SIGINT as from a terminal; tests that run in the background are started with it ignored."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


@pytest.mark.usefixtures("heeded")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_the_first_signal_stops_and_a_second_is_the_usual(
    place: Path, run: Run, monkeypatch: pytest.MonkeyPatch, number: int, code: int
) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

    def watch(_source: str, *, stop: threading.Event, **_: Any) -> Iterator[Any]:
        yield event("Anna")
        assert not stop.is_set()
        signal.raise_signal(number)
        assert stop.is_set()
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
        yield event("Ben")

    monkeypatch.setattr("visavis.api.watch.watch", watch)
    done = run("watch", "0", "--gallery", place / "g", "--json")
    assert done.code == code
    assert [json.loads(line)["person"] for line in done.out.splitlines()] == ["Anna", "Ben"]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
