"""Ctrl-C ends a run between two steps, with a checkpoint."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any, Self


class Interrupt:
    """Takes the first Ctrl-C as a wish to stop; the next one stops at once.

    A step that is broken off leaves weights and optimizer half changed: nothing to go on from
    exactly. So, once a run is ``ready`` for it, the first Ctrl-C only sets ``asked``, and whoever
    stands between two steps writes a checkpoint and raises ``KeyboardInterrupt``. At the end, the
    handler that was there before is put back, whatever became of it meanwhile (Lightning sets one
    that ignores Ctrl-C). Outside the main thread, where no handler can be set, it does nothing.

    Attributes:
        ready: somebody looks at ``asked``; before that, Ctrl-C stops at once.
        asked: Ctrl-C was pressed.
    """

    def __init__(self) -> None:
        self.ready = False
        self.asked = False
        self._before: Any = None
        self._main = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> Self:
        if self._main:
            self._before = signal.getsignal(signal.SIGINT)
            if self._before is signal.default_int_handler:
                signal.signal(signal.SIGINT, self._pressed)
        return self

    def __exit__(self, *_: object) -> None:
        if self._main:
            signal.signal(signal.SIGINT, self._before)

    def _pressed(self, number: int, frame: FrameType | None) -> None:
        if self.asked or not self.ready:
            signal.default_int_handler(number, frame)
        self.asked = True
