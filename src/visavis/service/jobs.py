"""Work that takes longer than a request: bounded in number, with progress, erased in the end."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout

from visavis.errors import BusyError, VisavisError
from visavis.service.problems import ProblemError, as_problem, document

log: Final = logging.getLogger("visavis.service")
_PREFIX: Final = "visavis-jobs-"
_LOCK: Final = "lock"
ENDED: Final = ("done", "failed", "canceled")


class JobCanceledError(Exception):
    """Ends the work of a job that was canceled."""


@dataclass(slots=True, eq=False)
class Job:
    """A piece of work, or its result.

    Attributes:
        id: opaque, unguessable.
        kind: ``cluster``, ``calibrate`` or ``check``.
        owner: id of the key that made it; empty without keys.
        folder: private folder of its files.
        state: ``waiting``, ``running``, ``done``, ``failed`` or ``canceled``.
        stage: what is done at the moment.
        done: how much of it.
        total: of how much; 0 if unknown.
        created: ISO 8601 UTC time.
        expires: time at which it is erased.
        result: what the work returned.
        problem: why it failed.
        lock: held while the result is used or changed.
    """

    id: str
    kind: str
    owner: str
    folder: Path
    created: str
    expires: datetime
    state: str = "waiting"
    stage: str = ""
    done: int = 0
    total: int = 0
    result: Any = None
    problem: ProblemError | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)
    _future: Future[None] | None = None
    _canceled: threading.Event = field(default_factory=threading.Event)

    def update(self, stage: str, done: int, total: int) -> None:
        """Notes progress; the ``progress`` of the API's calls.

        Raises:
            JobCanceledError: the job was canceled.
        """
        if self._canceled.is_set():
            raise JobCanceledError
        self.stage, self.done, self.total = stage, done, total

    def to_dict(self) -> dict[str, Any]:
        """Returns state and progress."""
        problem = None if self.problem is None else document(self.problem, self.id)
        return {
            "id": self.id,
            "kind": self.kind,
            "state": self.state,
            "stage": self.stage,
            "done": self.done,
            "total": self.total,
            "created": self.created,
            "expires": self.expires.isoformat(timespec="seconds"),
            "problem": problem,
        }


class Jobs:
    """The jobs of a service. Thread-safe.

    Args:
        most: most jobs at once, results included.
        lifetime: hours after its last use at which a job is erased.
        parent: folder for the private folder of all jobs; ``None``: the system's temporary one.
            What a killed service left there is erased.
    """

    def __init__(self, *, most: int, lifetime: float, parent: Path | None = None) -> None:
        self._most, self._lifetime = most, timedelta(hours=lifetime)
        place = Path(tempfile.gettempdir()) if parent is None else parent
        _erase_left(place)
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))  # mode 0700
        self._held = FileLock(self.folder / _LOCK)
        self._held.acquire()
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="visavis-jobs")

    @property
    def active(self) -> int:
        """Number of jobs that wait or run."""
        return sum(job.state not in ENDED for job in self.of(None))

    def create(self, kind: str, owner: str) -> Job:
        """Makes a job with an empty folder; ``start`` runs it.

        Raises:
            BusyError: there are too many.
        """
        self.sweep()
        now = datetime.now(UTC)
        with self._lock:
            if len(self._jobs) >= self._most:
                raise BusyError(
                    f"{len(self._jobs)} jobs are kept, of {self._most} that may",
                    "delete a job, or wait until one expires",
                )
            name = secrets.token_hex(16)
            folder = self.folder / name
            folder.mkdir(mode=0o700)
            job = Job(name, kind, owner, folder, now.isoformat(timespec="seconds"),
                      now + self._lifetime)  # fmt: skip
            self._jobs[name] = job
        return job

    def start(self, job: Job, work: Callable[[Job], Any]) -> None:
        """Runs the work of a job when its turn comes; its result replaces an earlier one."""
        job.state, job.stage, job.done, job.total = "waiting", "", 0, 0
        job._future = self._pool.submit(self._run, job, work)

    def _run(self, job: Job, work: Callable[[Job], Any]) -> None:
        with job.lock:
            job.state = "running"
            try:
                job.update("", 0, 0)
                job.result, job.problem = work(job), None
                job.state = "done"
            except JobCanceledError:
                job.state = "canceled"
            except VisavisError as error:
                job.state, job.problem = "failed", as_problem(error)
            except ProblemError as error:
                job.state, job.problem = "failed", error
            except Exception as error:  # the job says it; the service goes on
                log.exception("a job failed")
                job.state = "failed"
                job.problem = ProblemError(
                    500, "unexpected", f"a bug in visavis: {type(error).__name__}",
                    "please report it with the service's log",
                )  # fmt: skip
            finally:
                job.expires = datetime.now(UTC) + self._lifetime
        if job._canceled.is_set():
            shutil.rmtree(job.folder, ignore_errors=True)

    def of(self, owner: str | None) -> list[Job]:
        """Returns the jobs of an owner, or all."""
        with self._lock:
            return [job for job in self._jobs.values() if owner in {None, job.owner}]

    def get(self, name: str, owner: str) -> Job:
        """Returns a job; keeps it for longer.

        Raises:
            ProblemError: there is none, or it is another key's.
        """
        self.sweep()
        with self._lock:
            job = self._jobs.get(name)
        if job is None or job.owner != owner:
            raise ProblemError(
                404, "unknown-job", "there is no such job", "make it again: jobs expire"
            )
        job.expires = datetime.now(UTC) + self._lifetime
        return job

    def delete(self, job: Job) -> None:
        """Cancels a job and erases its files, at the latest when its current photo is done."""
        with self._lock:
            self._jobs.pop(job.id, None)
        job._canceled.set()
        if job._future is None or job._future.cancel() or job._future.done():
            shutil.rmtree(job.folder, ignore_errors=True)

    def sweep(self) -> None:
        """Erases what has expired."""
        now = datetime.now(UTC)
        for job in self.of(None):
            if job.expires < now and job.state in ENDED:
                self.delete(job)

    def close(self) -> None:
        """Cancels all jobs and erases all files."""
        for job in self.of(None):
            self.delete(job)
        self._pool.shutdown(cancel_futures=True)
        self.erase()

    def erase(self) -> None:
        """Erases all files without waiting."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._held.release()
        shutil.rmtree(self.folder, ignore_errors=True)


def _erase_left(place: Path) -> None:
    """Erases folders of services that no longer run."""
    for folder in _folders(place):
        lock = FileLock(folder / _LOCK, timeout=0)
        with contextlib.suppress(Timeout, OSError):
            lock.acquire()
            lock.release()
            shutil.rmtree(folder, ignore_errors=True)


def _folders(place: Path) -> Iterator[Path]:
    for folder in sorted(place.glob(f"{_PREFIX}*")):
        with contextlib.suppress(OSError):
            found = folder.lstat()
            own = os.name == "nt" or found.st_uid == os.getuid()
            if own and stat.S_ISDIR(found.st_mode) and (folder / _LOCK).is_file():
                yield folder
