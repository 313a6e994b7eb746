"""Output of all commands: results, progress and errors.

Results go to standard output, everything else to standard error, so that ``--json`` can be piped.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from visavis.types import to_plain

if TYPE_CHECKING:
    from rich.console import Console


def visible(text: str) -> str:
    r"""Escapes characters that are not shown, or that steer a terminal; not line breaks and tabs.

    >>> print(visible("A\u200bB\u3000C"))
    A\u200bB　C
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or (c.isspace() and c not in _BREAKS) else ascii(c)[1:-1] for c in text
    )


_BREAKS = frozenset("\r\x0b\x0c\x1c\x1d\x1e\x1f\x85\u2028\u2029")


class _Visible:
    """A render hook of rich: names of people and files cannot steer the terminal."""

    def process_renderables(self, renderables: list[Any]) -> list[Any]:
        from rich.control import Control

        return [one if isinstance(one, Control) else _Shown(one) for one in renderables]


class _Shown:
    def __init__(self, renderable: Any) -> None:
        self._renderable = renderable

    def __rich_console__(self, console: Console, options: Any) -> Iterator[Any]:
        from rich.segment import Segment

        for segment in console.render(self._renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)


class _Console:
    """A rich console that is loaded when something is printed: ``--json`` never needs it."""

    def __init__(self, **options: Any) -> None:
        # No emoji codes: a person may be called ":x:".
        self._options = {"highlight": False, "soft_wrap": True, "emoji": False, **options}

    @functools.cached_property
    def _console(self) -> Console:
        from rich.console import Console

        made = Console(**self._options)
        made.push_render_hook(_Visible())  # type: ignore[arg-type]  # it needs no base class
        return made

    def __getattr__(self, name: str) -> Any:
        return getattr(self._console, name)

    def __enter__(self) -> Console:
        return self._console.__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._console.__exit__(kind, error, traceback)


console = cast("Console", _Console())
messages = cast("Console", _Console(stderr=True))


class _Messages(logging.Handler):
    """Prints log messages of the API; marks warnings."""

    def emit(self, record: logging.LogRecord) -> None:
        lead = "warning: " if record.levelno >= logging.WARNING else ""
        messages.print(f"{lead}{record.getMessage()}", markup=False)


_log = logging.getLogger("visavis")
if not _log.handlers:
    _log.addHandler(_Messages())
    _log.setLevel(logging.INFO)


def home() -> Path | None:
    """Folder for models, calibrations and caches: ``VISAVIS_HOME``, or ``None`` for the default."""
    value = os.environ.get("VISAVIS_HOME")
    return Path(value).expanduser() if value else None


def people(count: int) -> str:
    """Formats a number of people.

    >>> people(1), people(1200)
    ('1 person', '1,200 people')
    """
    return "1 person" if count == 1 else f"{count:,} people"


def size(count: int) -> str:
    """Formats a number of bytes in a suitable unit.

    >>> size(2_500_000), size(900)
    ('2.5 MB', '1 kB')
    """
    return f"{count / 1e6:,.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"


def echo_json(value: Any) -> None:
    """Prints a record, or plain values, as one JSON document on standard output."""
    _write(_text(value) + "\n")


def _text(value: Any) -> str:
    return json.dumps(to_plain(value), ensure_ascii=False, indent=2, allow_nan=False)


def _write(text: str) -> None:
    sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
    sys.stdout.flush()


@contextmanager
def json_rows(
    head: Mapping[str, Any] | None = None, *, key: str = "", tail: Mapping[str, Any] | None = None
) -> Iterator[Callable[[Any], None]]:
    """Prints one JSON document row by row; yields the function that prints a row.

    The document is a list. With a ``key`` it is an object: the values of ``head``, the rows under
    ``key``, then the values of ``tail``. After an error it is incomplete.
    """
    lead = f'{_text(head)[:-2]},\n  "{key}": [' if key else "["
    indent = "\n    " if key else "\n  "
    between = indent
    _write(lead)

    def add(row: Any) -> None:
        nonlocal between
        _write(between + _text(row).replace("\n", indent))
        between = f",{indent}"

    yield add
    end = indent[:-2] if between != indent else ""
    _write(f"{end}]{f',{_text(tail)[1:-2]}' if tail else ''}{chr(10) + '}' if key else ''}\n")


@contextmanager
def progress(label: str, *, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Shows a progress bar with rate and time left on standard error; yields ``update(done,
    total)``.

    Without a terminal it prints a plain line at most every ten seconds.
    """
    if quiet:
        yield lambda done, total: None
        return
    if not messages.is_terminal:
        yield _plain_updates(label)
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )

    class Rate(TextColumn):
        def render(self, task: Task) -> Any:
            return "" if task.speed is None else f"{task.speed:,.1f}/s"

    columns = (
        TextColumn(label),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(""),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=messages) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def stages(*, quiet: bool = False) -> Iterator[Callable[[str, int, int], None]]:
    """Shows one progress bar per stage; yields ``update(stage, done, total)``."""
    with ExitStack() as stack:
        bars: dict[str, Callable[[int, int], None]] = {}

        def update(stage: str, done: int, total: int) -> None:
            if stage not in bars:
                stack.close()
                bars[stage] = stack.enter_context(progress(stage, quiet=quiet))
            bars[stage](done, total)
            if done >= total > 0:  # room for whatever shows itself next
                stack.close()
                del bars[stage]

        yield update


def rows_are_progress(*, json: bool) -> bool:
    """Whether printed rows already show the progress, so that no bar is needed (on a terminal)."""
    return console.is_terminal and not json


def _plain_updates(label: str) -> Callable[[int, int], None]:
    import time

    begun = last = time.monotonic()
    first: int | None = None

    def update(done: int, total: int) -> None:
        nonlocal begun, first, last
        now = time.monotonic()
        if first is None:  # a resumed run starts with what an earlier one has done
            begun, first = now, done
        if now - last >= 10 or (done == total and total > 0 and now - last >= 2):
            last = now
            messages.print(
                f"{label}: {done} of {total}{_pace(done - first, total - done, now - begun)}"
            )

    return update


def _pace(done: int, left: int, seconds: float) -> str:
    """Formats rate and time left; nothing if they are not known.

    >>> _pace(50, 7_225, 2), _pace(0, 10, 0)
    (', 25.0/s, 0:04:49 left', '')
    """
    from datetime import timedelta

    if done <= 0 or seconds <= 0:
        return ""
    rate = done / seconds
    remaining = f", {timedelta(seconds=round(left / rate))} left" if left > 0 else ""
    return f", {rate:,.1f}/s{remaining}"


def command_line() -> str:
    """The command as it was typed, files and folders by their last name: records are shared."""

    def short(word: str) -> str:
        try:
            return Path(word).name if Path(word).exists() else word
        except OSError:  # too long for a path: a text
            return word

    return shlex.join(["visavis", *map(short, sys.argv[1:])])
