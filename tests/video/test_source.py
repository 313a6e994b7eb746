"""Frames of files and streams."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from pytest_httpserver import HTTPServer
from tests.video.drawn import plain, serving, write_video

from visavis.errors import DataError, OptionError
from visavis.video import SourceOptions, frames, redacted
from visavis.video import source as room
from visavis.video.source import is_file

pytest.importorskip("av")
LOG = logging.getLogger("visavis")
Serve = Callable[..., str]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "FIRST_PAUSE", 0.05)


@pytest.fixture
def serve() -> Iterator[Serve]:
    with ExitStack() as stack:
        yield lambda *streams, **how: stack.enter_context(serving(*streams, **how))


def stream(tmp_path: Path, color: int) -> bytes:
    """MPEG-TS of one color."""
    path = tmp_path / f"{color}.ts"
    write_video(path, plain(color, 60), fps=30, format="mpegts")
    return path.read_bytes()


def colors(found: Iterator[room.Frame], until: Callable[[set[int]], bool]) -> set[int]:
    """Rounded grays of the frames, up to the first that satisfies."""
    seen: set[int] = set()
    end = time.monotonic() + 20
    for one in found:
        if one.pixels is not None:
            seen.add(round(one.pixels.mean() / 50) * 50)
        if until(seen) or time.monotonic() > end:
            break
    return seen


def test_a_file_is_looked_at_at_a_rate_of_its_own_time(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, (np.full((48, 64, 3), 4 * k, np.uint8) for k in range(60)), fps=30)
    found = list(frames(path, options=SourceOptions(fps=10)))
    assert [round(one.time, 3) for one in found] == [round(k / 10, 3) for k in range(20)]
    assert [one.moment for one in found] == [None] * 20
    grays = [float(one.pixels.mean()) for one in found if one.pixels is not None]
    assert np.abs(np.diff(grays) - 12).max() < 4
    every = list(frames(str(path), options=SourceOptions(fps=100)))
    assert len(every) == 60


def test_large_pictures_are_reduced_and_turned_ones_upright(tmp_path: Path) -> None:
    import av

    path = tmp_path / "a.mp4"
    write_video(path, plain(100, 3, size=(200, 400)))
    (first, *_) = frames(path, options=SourceOptions(max_size=100))
    assert first.pixels is not None
    assert first.pixels.shape == (50, 100, 3)

    class Turned:
        width, height, rotation = 4, 2, 90

        def to_ndarray(self, **_: object) -> np.ndarray:
            return np.arange(8, dtype=np.uint8).reshape(2, 4)[..., None].repeat(3, 2)

    upright = room._pixels(Turned(), SourceOptions())
    # FFmpeg states the turn counterclockwise.
    assert upright[..., 0].tolist() == [[3, 7], [2, 6], [1, 5], [0, 4]]
    assert av.VideoFrame(4, 2).rotation == 0


def test_a_stop_ends_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, plain(100, 50))
    stop = threading.Event()
    found = []
    for one in frames(path, stop=stop):
        found.append(one)
        stop.set()
    assert len(found) == 1


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        list(frames(tmp_path / "none.mp4"))
    os.mkfifo(tmp_path / "pipe")
    for other in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(DataError, match="not a regular file"):
            list(frames(other))
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(DataError, match=r"text.mp4"):
        list(frames(tmp_path / "text.mp4"))
    import av

    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        sound = container.add_stream("pcm_s16le", rate=8000)
        one = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        one.sample_rate = 8000
        container.mux(sound.encode(one))
    with pytest.raises(DataError, match="no picture in it"):
        list(frames(tmp_path / "sound.wav"))


def test_of_a_damaged_file_the_rest_is_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.ts"
    write_video(path, plain(100, 100), format="mpegts")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = b"\xff" * 3000
    path.write_bytes(data[: -len(data) // 10])
    found = list(frames(path, log=LOG))
    assert 50 < len(found) <= 100
    times = [one.time for one in found]
    assert times == sorted(times)


@pytest.mark.usefixtures("quick")
def test_a_stream_that_breaks_is_taken_up_again(
    tmp_path: Path, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    address = serve(stream(tmp_path, 50), stream(tmp_path, 200))
    found = frames(f"{address}?user=secret", options=SourceOptions(fps=50, timeout=5), log=LOG)
    with caplog.at_level(logging.WARNING, "visavis"):
        assert colors(found, lambda seen: seen >= {50, 200}) == {50, 200}
    found.close()  # type: ignore[attr-defined]
    assert "opened again" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.usefixtures("quick")
def test_a_stream_that_stands_still_is_opened_again_and_time_goes_on(
    tmp_path: Path, serve: Serve
) -> None:
    address = serve(stream(tmp_path, 50), hang=True)
    found = frames(address, options=SourceOptions(fps=50, timeout=0.7), log=LOG)
    begun, empty, late = time.monotonic(), 0, 0
    for one in found:
        empty += one.pixels is None
        late += one.pixels is not None and empty > 0
        assert one.moment is not None
        if late or time.monotonic() - begun > 20:
            break
    found.close()  # type: ignore[attr-defined]
    # Time goes on without a picture, then come those of the next connection.
    assert empty > 0
    assert late > 0


@pytest.mark.usefixtures("quick")
def test_a_stream_that_stays_away_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    begun = time.monotonic()
    with pytest.raises(DataError, match="no picture for") as raised:
        list(frames(f"rtsp://me:secret@127.0.0.1:{port}/x", options=SourceOptions(patience=0.4)))
    assert 0.4 <= time.monotonic() - begun < 10  # not sooner than it was told
    assert "secret" not in str(raised.value)
    assert "me:" not in str(raised.value)


def test_a_wrong_address_is_said_at_once(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/text").respond_with_data("no video " * 1000)
    httpserver.expect_request("/none").respond_with_data("", 404)
    httpserver.expect_request("/locked").respond_with_data("", 401)
    options = SourceOptions(patience=30)
    begun = time.monotonic()
    for path, why in (("/none", "404"), ("/locked", "401"), ("/text", "Invalid data")):
        address = httpserver.url_for(path).replace("//", "//me:secret@")
        with pytest.raises(DataError, match=why) as raised:
            list(frames(address, options=options))
        assert "secret" not in str(raised.value)
    with pytest.raises(DataError):
        list(frames("nonsense://host/x", options=options))
    assert time.monotonic() - begun < 10


def test_no_message_of_a_decoder_waits_for_python(tmp_path: Path) -> None:
    """With PyAV's logging on, closing a decoder whose thread logs never returns."""
    import av

    path = tmp_path / "a.mp4"
    write_video(path, plain(100, 3))
    assert len(list(frames(path))) == 3
    assert av.logging.get_level() is None


def test_a_camera_that_is_not_there_is_said_at_once() -> None:
    with pytest.raises((DataError, OptionError)):
        list(frames(987))


def test_only_the_newest_frame_is_kept(tmp_path: Path, serve: Serve) -> None:
    """A slow analysis sees fewer frames, not older ones."""
    address = serve(stream(tmp_path, 50) + stream(tmp_path, 200), hang=True)
    found = frames(address, options=SourceOptions(fps=50, timeout=2))
    first = next(one for one in found if one.pixels is not None)
    time.sleep(1)  # meanwhile everything is sent
    last = next(one for one in found if one.pixels is not None)
    found.close()  # type: ignore[attr-defined]
    assert first.pixels is not None
    assert last.pixels is not None
    assert last.pixels.mean() > 150 > first.pixels.mean()


def test_what_is_a_file() -> None:
    assert is_file("clip.mp4")
    assert is_file(Path("0"))
    assert not any(map(is_file, ("0", 0, "rtsp://door.lan/x")))


@pytest.mark.parametrize(
    "address",
    ["rtsp://me:secret@door.lan/x?token=secret", "rtsp://me:se@secret@door.lan/x#secret",
     "http://secret@door.lan:8080/x"],
)  # fmt: skip
def test_passwords_are_not_shown(address: str) -> None:
    assert "secret" not in redacted(address)
    assert "door.lan" in redacted(address)


@pytest.mark.parametrize(
    "wrong", [{"fps": 0}, {"fps": float("nan")}, {"max_size": 3}, {"timeout": 0}, {"patience": -1}]
)
def test_options_are_checked(wrong: dict) -> None:
    with pytest.raises(OptionError):
        SourceOptions(**wrong)
