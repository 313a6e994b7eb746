"""Sends events from a thread of its own, so that a slow receiver never holds up the video."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import logging

MOST_WAITING: Final = 100
"""Most events that wait; for a further one the oldest is dropped, with a warning."""

PAUSES: Final = (1.0, 5.0)
"""Seconds before the second and third try."""


class Outbox(threading.Thread):
    """Sends items in order, each up to three times.

    Args:
        send: sends one item; raises ``OSError`` if that failed.
        name: of the receiver, in messages.
        log: told about failures.
        pauses: seconds before each further try.
        grace: seconds that ``close`` waits for what is left.
    """

    def __init__(
        self,
        send: Callable[[Any], None],
        *,
        name: str,
        log: logging.Logger,
        pauses: tuple[float, ...] = PAUSES,
        grace: float = 10.0,
    ) -> None:
        super().__init__(name="visavis-outbox", daemon=True)
        self._send, self._receiver, self._log = send, name, log
        self._pauses, self._grace = pauses, grace
        self._waiting: deque[Any] = deque()
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._dropped = 0
        self._lost = 0
        self._why = ""
        self.start()

    def put(self, item: Any) -> None:
        """Takes an item; never waits."""
        with self._changed:
            if len(self._waiting) >= MOST_WAITING:
                self._waiting.popleft()
                self._dropped += 1
                if _power_of_two(self._dropped):
                    self._log.warning(
                        "%s is too slow: %d event(s) dropped so far", self._receiver, self._dropped
                    )
            self._waiting.append(item)
            self._changed.notify()

    def close(self) -> None:
        """Sends what is left, for ``grace`` seconds at most."""
        end = monotonic() + self._grace
        self._closing.set()
        with self._changed:
            self._changed.notify()
        self.join(max(end - monotonic(), 0.0))
        if self._waiting:
            self._log.warning(
                "%s: %d event(s) were not sent (%s)",
                self._receiver,
                len(self._waiting),
                self._why or "no answer yet",
            )

    def run(self) -> None:
        while True:  # until it is closed and nothing waits
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing.is_set())
                if not self._waiting:
                    return
                item = self._waiting[0]
            self._try(item)
            with self._changed:
                if self._waiting and self._waiting[0] is item:
                    self._waiting.popleft()

    def _try(self, item: Any) -> None:
        for pause in (*self._pauses, None):
            try:
                self._send(item)
            except OSError as error:
                why = error.strerror or str(error) or type(error).__name__
                if not self._why:
                    self._log.warning(
                        "%s does not take events (%s); trying on", self._receiver, why
                    )
                self._why = why
            else:
                self._why = ""
                return
            if pause is not None:
                self._closing.wait(pause)  # when closing, the next try comes at once
        self._lost += 1
        if _power_of_two(self._lost):
            self._log.warning(
                "%s: an event was not sent (%s); %d so far", self._receiver, why, self._lost
            )


def _power_of_two(count: int) -> bool:
    """Whether a count is worth a message: 1, 2, 4, 8, ...

    >>> [count for count in range(1, 20) if _power_of_two(count)]
    [1, 2, 4, 8, 16]
    """
    return count & (count - 1) == 0
