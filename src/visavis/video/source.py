"""Frames of a video file, a network stream or a camera, decoded by PyAV.

A file is read frame by frame at a chosen rate of its own time. A stream and a camera are read by a
thread of their own, which keeps only the newest frame: what comes while a frame is analyzed is
skipped. A stream that breaks is opened again, with growing pauses.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from os import PathLike, fspath
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import numpy as np

from visavis.errors import DataError, OptionError, require_extra
from visavis.types import Image

if TYPE_CHECKING:
    import logging
    from threading import Event

Source = str | PathLike[str] | int
"""A file; the address of a stream (``rtsp://...``); or the number of a camera."""

TICK: Final = 0.5
"""Seconds after which a source without a new picture yields a frame without one."""

FIRST_PAUSE: Final = 1.0
"""Seconds before a broken stream is opened again; doubled each time it fails, up to 30."""

_LONGEST_PAUSE: Final = 30.0
_REMEDY: Final = "give a video file, the address of a stream, or the number of a camera"


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One frame.

    Attributes:
        pixels: ``(H, W, 3)`` RGB uint8, upright; ``None`` if there is no picture now (a stream that
            stands still): only time has passed.
        time: seconds since the start of the video, never falling.
        moment: UTC time; ``None`` for a file.
    """

    pixels: Image | None
    time: float
    moment: datetime | None = None


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How a source is read.

    Attributes:
        fps: most frames analyzed per second, over 0.
        max_size: longest side of a picture in pixels; larger ones are reduced. At least 64.
        timeout: seconds that a stream may take to open, and between two pictures.
        patience: seconds without any picture after which a broken stream is given up.
        threads: threads of the decoder; ``None``: the decoder's choice.
    """

    fps: float = 10.0
    max_size: int = 1280
    timeout: float = 10.0
    patience: float = 600.0
    threads: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.fps <= 1000:
            raise OptionError(f"{self.fps:g} frames per second", "give a number over 0, such as 10")
        if self.max_size < 64:
            raise OptionError(f"pictures of {self.max_size} pixels", "give 64 or more")
        if not self.timeout > 0 or not self.patience > 0:
            raise OptionError(
                f"a timeout of {self.timeout:g} s and a patience of {self.patience:g} s",
                "give numbers over 0",
            )


def redacted(address: object) -> str:
    """An address without its user name, password and query, for messages.

    >>> redacted("rtsp://me:secret@door.lan:554/live?token=1"), redacted("clip.mp4")
    ('rtsp://door.lan:554/live', 'clip.mp4')
    """
    text = str(address)
    if "://" not in text:
        return text
    scheme, _, rest = text.partition("://")
    place, slash, path = re.split(r"[?#]", rest, maxsplit=1)[0].partition("/")
    return f"{scheme}://{place.rpartition('@')[2]}{slash}{path}"


def is_file(source: Source) -> bool:
    """Whether a source is a file: it has an end, and a time of its own."""
    return not (isinstance(source, int) or _number(source) or "://" in fspath(source))


def frames(
    source: Source,
    /,
    *,
    options: SourceOptions = SourceOptions(),
    stop: Event | None = None,
    log: logging.Logger | None = None,
) -> Iterator[Frame]:
    """Yields the frames of a source.

    Args:
        source: see ``Source``.
        options: rate, size, time limits.
        stop: ends the frames when set.
        log: told about breaks and damage.

    Raises:
        DataError: there is no such video, or a stream stays away for longer than ``patience``.
        MissingExtraError: PyAV is not installed.
    """
    require_extra("watch", "watching a video", module="av")
    end = stop or threading.Event()
    if is_file(source):
        return _of_file(str(source), options, end, log)
    return _of_stream(source, options, end, log)


class _FinalError(DataError):
    """No later try will help: a wrong address, a wrong password, or no video."""


def _number(source: Source) -> bool:
    return isinstance(source, str) and re.fullmatch(r"\d{1,3}", source) is not None


def _open(source: Source, options: SourceOptions) -> Any:
    """Opens a source; raises DataError.

    FFmpeg's messages, which may contain passwords, are off by default. They must stay so: a thread
    of a decoder that logs waits for the GIL, which is held by the thread that closes the decoder.
    """
    import av

    name: str = str(source)
    given: dict[str, Any] = {}
    if isinstance(source, int) or _number(source):
        name, given["format"] = _camera(int(str(source)))
    elif "://" in name:
        given["timeout"] = (options.timeout, options.timeout)
        if name.lower().startswith(("rtsp://", "rtsps://")):
            given["options"] = {"rtsp_transport": "tcp", "timeout": f"{options.timeout * 1e6:.0f}"}
    elif not Path(name).is_file():
        what = "not a regular file" if Path(name).exists() else "there is no such file"
        raise DataError(f"{name}: {what}", _REMEDY)
    try:
        return av.open(name, **given)
    except (av.error.FFmpegError, ValueError, OSError) as error:
        final = isinstance(error, (av.error.HTTPClientError, av.error.LookupError, ValueError))
        raise (_FinalError if final else DataError)(
            f"{redacted(source)}: no video ({_why(error)})", _REMEDY
        ) from None


def _camera(number: int) -> tuple[str, str]:
    system: str = sys.platform
    if system.startswith("linux"):
        return f"/dev/video{number}", "v4l2"
    if system == "darwin":
        return str(number), "avfoundation"
    raise OptionError(f"camera {number}", "give the address of a stream on this system")


def _why(error: BaseException) -> str:
    return getattr(error, "strerror", None) or type(error).__name__


def _picture(container: Any, source: Source, options: SourceOptions) -> Any:
    """The video stream of a container."""
    if not container.streams.video:
        raise _FinalError(f"{redacted(source)}: there is no picture in it", _REMEDY)
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    if options.threads is not None:
        stream.codec_context.thread_count = options.threads
    return stream


def _pixels(frame: Any, options: SourceOptions) -> Image:
    scale = min(1.0, options.max_size / max(frame.width, frame.height, 1))
    size = {} if scale == 1.0 else {
        "width": max(round(frame.width * scale), 1), "height": max(round(frame.height * scale), 1),
    }  # fmt: skip
    pixels = frame.to_ndarray(format="rgb24", **size)
    turns = round(frame.rotation / 90) % 4  # counterclockwise, as numpy turns
    return np.ascontiguousarray(np.rot90(pixels, turns) if turns else pixels)


def _decoded(container: Any, stream: Any, damaged: list[str]) -> Iterator[Any]:
    """Frames in order; packets that cannot be decoded are left out and counted."""
    import av

    for packet in container.demux(stream):
        try:
            yield from packet.decode()
        except av.error.InvalidDataError as error:
            damaged.append(_why(error))
            del damaged[1000:]


def _of_file(
    source: str, options: SourceOptions, stop: Event, log: logging.Logger | None
) -> Iterator[Frame]:
    import av

    damaged: list[str] = []
    with _open(source, options) as container:
        stream = _picture(container, source, options)
        rate = float(stream.average_rate or 25)
        first, last, due, count = None, 0.0, 0.0, 0
        try:
            for frame in _decoded(container, stream, damaged):
                if stop.is_set():
                    break
                at = count / rate if frame.time is None else float(frame.time)
                first = at if first is None else first
                count += 1
                last = max(at - first, last)
                if last < due - 1e-6:
                    continue
                due = (int(last * options.fps + 1e-6) + 1) / options.fps
                yield Frame(_pixels(frame, options), last)
        except av.error.FFmpegError as error:
            damaged.append(_why(error))
    if not count and not stop.is_set():
        raise DataError(f"{source}: no frame of it can be decoded", _REMEDY)
    if damaged and log is not None:
        log.warning("%s: %d damaged part(s) left out (%s)", source, len(damaged), damaged[0])


def _of_stream(
    source: Source, options: SourceOptions, stop: Event, log: logging.Logger | None
) -> Iterator[Frame]:
    reader = _Reader(source, options, log)
    begun, last, due = monotonic(), 0.0, 0.0
    with ExitStack() as stack:
        stack.callback(reader.close)
        reader.start()
        while not stop.is_set():  # until the reader ends, which gives up after its patience
            wait = due - (monotonic() - begun)
            if wait > 0 and stop.wait(min(wait, TICK)):
                return
            if wait > TICK:
                continue
            frame = reader.newest(TICK)
            last = max(monotonic() - begun, last)
            if frame is None and reader.ended:
                reader.check()
                return
            due = 0.0 if frame is None else last + 1 / options.fps
            yield Frame(None if frame is None else _pixels(frame, options), last, datetime.now(UTC))


class _Reader(threading.Thread):
    """Decodes a stream and keeps its newest frame; opens it again when it breaks."""

    def __init__(self, source: Source, options: SourceOptions, log: logging.Logger | None) -> None:
        super().__init__(name="visavis-video", daemon=True)
        self._source, self._options, self._log = source, options, log
        self._changed = threading.Condition()
        self._frame: Any = None
        self._error: DataError | None = None
        self._stopped = threading.Event()
        self._last = 0.0
        self.ended = False

    def newest(self, timeout: float) -> Any:
        """The newest frame that was not given yet; ``None`` if none comes in time."""
        with self._changed:
            self._changed.wait_for(lambda: self._frame is not None or self.ended, timeout)
            frame, self._frame = self._frame, None
            return frame

    def check(self) -> None:
        """Raises what ended the reader."""
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Stops reading; a call that hangs in the network is left behind."""
        self._stopped.set()
        self.join(1.0)

    def run(self) -> None:
        try:
            self._read()
        except DataError as error:
            self._error = error
        except Exception as error:  # noqa: BLE001 - raised again by `check`
            self._error = DataError(f"{redacted(self._source)}: {_why(error)}", _REMEDY)
        finally:
            with self._changed:
                self.ended = True
                self._changed.notify_all()

    def _read(self) -> None:
        seen, pause = monotonic(), FIRST_PAUSE
        ever = False
        while not self._stopped.is_set():  # ends after `patience` seconds without a picture
            why = "the stream ended"
            begun = monotonic()
            try:
                if self._read_once():
                    return
            except DataError as error:
                why = error.got
                if not ever and (isinstance(error, _FinalError) or self._is_camera()):
                    raise
            if self._last > begun:
                ever, seen, pause = True, self._last, FIRST_PAUSE
            gone = monotonic() - seen
            pause = min(pause, max(self._options.patience - gone, 0.0))
            if not pause:
                raise DataError(
                    f"{redacted(self._source)}: no picture for {gone:.0f} s ({why})",
                    "check the camera and the network, then start again",
                )
            if self._log is not None and not self._stopped.is_set():
                self._log.warning(
                    "%s broke (%s); opened again in %.0f s", redacted(self._source), why, pause
                )
            self._stopped.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _is_camera(self) -> bool:
        """A stream may come up later; a camera of this machine that is not there does not."""
        return isinstance(self._source, int) or _number(self._source)

    def _read_once(self) -> bool:
        """Reads until the stream ends; whether that is its proper end.

        Raises:
            DataError: it cannot be opened, or breaks.
        """
        import av

        with _open(self._source, self._options) as container:
            stream = _picture(container, self._source, self._options)
            finite = bool(container.duration) and urlsplit(str(self._source)).scheme in {
                "http",
                "https",
            }
            try:
                for frame in _decoded(container, stream, []):
                    if self._stopped.is_set():
                        return True
                    self._last = monotonic()
                    with self._changed:
                        self._frame = frame
                        self._changed.notify_all()
            except (av.error.FFmpegError, OSError) as error:
                raise DataError(f"{redacted(self._source)}: {_why(error)}", _REMEDY) from None
        return finite
