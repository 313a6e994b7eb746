"""What a running service holds: options, models, galleries, keys, jobs, metrics."""

from __future__ import annotations

import asyncio
import re
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

import anyio
import anyio.to_thread

from visavis.api import calibrations
from visavis.api.engine import Engine
from visavis.errors import OptionError
from visavis.service.jobs import Jobs
from visavis.service.keys import EVERY, SCOPES, KeyStore, ServiceKey, TokenBuckets, store_in
from visavis.service.metrics import Metrics
from visavis.service.problems import ProblemError
from visavis.service.upstream import upstream_url
from visavis.types import Record

if TYPE_CHECKING:
    from visavis.api.gallery import Gallery, GalleryAccess

P = ParamSpec("P")
T = TypeVar("T")

_FOLDER: Final = re.compile(r"[A-Za-z0-9_.-]{1,255}", re.ASCII)
_DELETED: Final = "~deleted-"
"""Begins the name of a folder that is being erased; no gallery can be called so."""

_MOST_GALLERIES: Final = 1000
"""Most galleries that clients may make: each has open files, and an index in memory."""

LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class ServiceOptions(Record):
    """Limits and settings of a service.

    Attributes:
        workers: photos processed in parallel, one core each; ``None``: one per core.
        queue: photos that may wait; more are answered with status 429.
        batch: most photos that share a call of the embedder.
        photo_bytes: most bytes of a photo.
        body_bytes: most bytes of a request's body.
        memory_bytes: most bytes of all bodies that are being received.
        megapixels: most million pixels of a photo.
        faces: most faces of a photo.
        photos: most photos of a request.
        seconds: time in which a body must be received, and in which it is answered.
        jobs: most jobs that are kept.
        job_photos: most photos of a job.
        job_hours: hours after its last use at which a job is erased.
        audit: record each identification in the gallery's audit log, by ids.
        home: folder of models, calibrations and keys; ``None``: the user's data folder.
        temporary: folder for the files of jobs; ``None``: the system's temporary folder.
        dialects: wire formats of other services to speak, of ``service.dialects.DIALECTS``.
        fmr: false match rate of comparisons in a dialect, whose requests name none, in (0, 1).
        fpir: false positive identification rate of searches in a dialect, in (0, 1); ``None``:
            0.01, or the lowest rate that the data support.
        calibration: name of the calibration for thresholds in a dialect; ``None``: the model's own.
        upstream: URL of the machine learning that the dialect ``immich`` sends to what is not about
            faces.

    Raises:
        OptionError: a number is not above 0, a rate not below 1, or an upstream is no URL.
    """

    workers: int | None = None
    queue: int = 64
    batch: int = 16
    photo_bytes: int = 20_000_000
    body_bytes: int = 100_000_000
    memory_bytes: int = 1_000_000_000
    megapixels: float = 50.0
    faces: int = 100
    photos: int = 100
    seconds: float = 30.0
    jobs: int = 16
    job_photos: int = 2000
    job_hours: float = 1.0
    audit: bool = True
    home: Path | None = None
    temporary: Path | None = None
    dialects: tuple[str, ...] = ()
    fmr: float = 1e-3
    fpir: float | None = None
    calibration: str | None = None
    upstream: str | None = None

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if isinstance(value, (int, float)) and not isinstance(value, bool) and not value > 0:
                raise OptionError(f"{name} {value}", "give a number above 0")
        for name in ("fmr", "fpir"):
            if (rate := getattr(self, name)) is not None and not rate < 1:
                raise OptionError(f"{name} {rate}", "give a rate in (0, 1)")
        if self.upstream is not None:
            upstream_url(self.upstream)
            if "immich" not in self.dialects:
                raise OptionError(
                    "--upstream without --dialect immich", "it gets what that does not answer"
                )


@dataclass(frozen=True, slots=True)
class GalleryPlace:
    """Where a gallery is, and how it is opened.

    Attributes:
        location: a folder, or a Milvus server or file.
        create: make it if it is not there.
        access: see ``visavis.api.gallery.GalleryAccess``.
    """

    location: str
    create: bool = False
    access: GalleryAccess | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes:
        id: id of the key; empty where the service is open.
        key: the key, or ``None`` where the service is open.
    """

    id: str = ""
    key: ServiceKey | None = None

    def require(self, scope: str) -> None:
        """Refuses a key without that scope."""
        if self.key is not None and not self.key.allows(scope):
            raise ProblemError(
                403, "forbidden", f"the key has scope {', '.join(self.key.scopes)} only",
                f"use one with scope {scope}: it may {SCOPES[scope]}",
            )  # fmt: skip

    def sees(self, gallery: str) -> bool:
        """Whether a gallery is among those of the key."""
        return self.key is None or self.key.sees(gallery)

    @property
    def everywhere(self) -> bool:
        """Whether all galleries are its own."""
        return self.sees(EVERY)


class Service:
    """Everything behind the routes, without HTTP. Thread-safe; open until ``close``.

    Args:
        galleries: places of galleries by name.
        options: limits and settings.
        keys: access keys; ``None``: those of the home folder.
        collections: folder in which clients of a dialect may make galleries, and how these are
            opened; those that are in it are served, too. ``None``: they may make none.
        aws_key: secret from which secret access keys are derived (``keys.secret_access_key``).

    Raises:
        GalleryError: a gallery cannot be opened.
        UnknownCalibrationError: there is no calibration of the name in the options.
    """

    def __init__(
        self,
        galleries: Mapping[str, GalleryPlace] | None = None,
        *,
        options: ServiceOptions = ServiceOptions(),
        keys: KeyStore | None = None,
        collections: GalleryPlace | None = None,
        aws_key: bytes | None = None,
    ) -> None:
        self.options = options
        self._calibration = options.calibration and calibrations.show(
            options.calibration, home=options.home
        )
        self.aws_key = aws_key
        self.keys = store_in(options.home) if keys is None else keys
        self.buckets = TokenBuckets()
        self.ready = False
        self.receiving = 0
        """Bytes of the bodies that are being received or used."""
        self.metrics = Metrics(lambda: self.engine.waiting, lambda: self.jobs.active)
        self.engine = Engine(
            workers=options.workers,
            queue=options.queue,
            batch=options.batch,
            wait=options.seconds,
            max_bytes=options.photo_bytes,
            max_pixels=round(options.megapixels * 1e6),
            max_faces=options.faces,
            home=options.home,
            on_stage=self.metrics.stage,
        )
        self.jobs = Jobs(most=options.jobs, lifetime=options.job_hours, parent=options.temporary)
        self.galleries: dict[str, Gallery] = {}
        """By name; replaced, not changed, when a client makes or deletes one."""
        self._collections = collections
        self._making = threading.Lock()
        # A call waits for its photos: one thread for each that may wait, and some.
        self._threads = anyio.CapacityLimiter(options.queue + 32)
        try:
            for name, place in (galleries or {}).items():
                self.galleries[name] = self._opened(place)
            self.galleries |= {
                folder.name: self._opened(replace(place, location=str(folder)))
                for place, folder in self._made()
                if folder.name not in self.galleries
            }
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Finishes accepted photos, erases jobs, closes galleries."""
        self.ready = False
        self.jobs.close()
        self.engine.close()
        for gallery in self.galleries.values():
            gallery.close()
        self.keys.close()

    async def run(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs a call that blocks in a thread, for as long as a request may take.

        Raises:
            ProblemError: it takes longer.
        """
        try:
            async with asyncio.timeout(self.options.seconds):
                return await anyio.to_thread.run_sync(
                    partial(call, *args, **kwargs), abandon_on_cancel=True, limiter=self._threads
                )
        except TimeoutError as error:
            raise ProblemError(
                503, "too-slow", f"there was no answer within {self.options.seconds:g} s",
                "ask again later, with fewer or smaller photos", headers={"Retry-After": "5"},
            ) from error  # fmt: skip

    def gallery(self, name: str | None, caller: Caller) -> tuple[str, Gallery]:
        """Returns a gallery of the caller by name; without a name, the only one.

        Raises:
            ProblemError: there is none, or it is not the caller's, which is the same to them.
        """
        own = [known for known in self.galleries if caller.sees(known)]
        if name is None and len(own) == 1:
            return own[0], self.galleries[own[0]]
        if name is None and own:
            raise ProblemError(
                422,
                "option",
                f"there are {len(own)} galleries",
                f"say gallery={' or '.join(sorted(own))}",
            )
        if name not in own:
            raise ProblemError(
                404, "unknown-gallery", "there is no such gallery",
                f"there are: {', '.join(sorted(own)) or 'none'}",
            )  # fmt: skip
        return name, self.galleries[name]

    def create_gallery(self, name: str) -> None:
        """Makes a gallery in the folder for those of clients.

        Args:
            name: its name and that of its folder: letters, digits, ``.``, ``_``, ``-``.

        Raises:
            ProblemError: it exists, there are too many, or there is no folder for it.
        """
        with self._making:
            place = self._collections
            if name in self.galleries:
                raise ProblemError(
                    409, "gallery-exists", f"there is a gallery {name}", "choose another name"
                )
            if place is None or not _FOLDER.fullmatch(name) or not name.strip("."):
                raise ProblemError(
                    403, "forbidden", f"a new gallery {name[:80]!a}",
                    "`visavis serve --collections DIR` lets clients make galleries",
                )  # fmt: skip
            if len(self.galleries) >= _MOST_GALLERIES:
                raise ProblemError(
                    403,
                    "too-many-galleries",
                    f"there are {len(self.galleries)} galleries",
                    "delete others",
                )
            folder = Path(place.location) / name
            folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            made = self._opened(replace(place, location=str(folder), create=True))
            self.galleries = {**self.galleries, name: made}

    def delete_gallery(self, name: str) -> None:
        """Erases a gallery in the folder for those of clients.

        Raises:
            ProblemError: it is not there, or none of those.
        """
        with self._making:
            place, found = self._collections, self.galleries.get(name)
            folder = None if place is None else Path(place.location) / name
            if found is None or folder is None or Path(found.location) != folder:
                raise ProblemError(
                    403, "forbidden", f"gallery {name[:80]!a}, which no client made",
                    "who runs the service can remove it",
                )  # fmt: skip
            self.galleries = {key: one for key, one in self.galleries.items() if key != name}
            found.close()
            gone = folder.with_name(f"{_DELETED}{secrets.token_hex(8)}")
            folder.rename(gone)  # a killed process leaves no half of it; the next start goes on
            shutil.rmtree(gone)

    def _opened(self, place: GalleryPlace) -> Gallery:
        return self.engine.gallery(place.location, create=place.create, **(place.access or {}))

    def _made(self) -> Iterator[tuple[GalleryPlace, Path]]:
        """Yields the galleries of clients, and completes deletions."""
        place = self._collections
        if place is None or not Path(place.location).is_dir():
            return
        for folder in sorted(Path(place.location).iterdir()):
            if folder.name.startswith(_DELETED):
                shutil.rmtree(folder)
            elif _FOLDER.fullmatch(folder.name) and (folder / "gallery.sqlite").is_file():
                yield place, folder

    def calibration_of(self, model: str) -> str | None:
        """Returns the calibration of a model in dialects; ``None``: its own."""
        known = self._calibration
        return known.name if known and known.model == model else None

    @property
    def search(self) -> dict[str, Any]:
        """Options of searches in dialects, whose requests name none."""
        name = self.options.calibration
        return {
            "fpir": self.options.fpir,
            "audit": self.options.audit,
            "calibrations": () if name is None else (name,),
        }

    def calibrations(self, caller: Caller) -> list[str]:
        """Returns the names of the calibrations that a caller may use."""
        owned = self.keys.calibrations()
        return [
            name
            for name in calibrations.names(home=self.options.home)
            if name not in owned or all(map(caller.sees, owned[name]))
        ]

    def require_calibration(self, name: str | None, caller: Caller) -> None:
        """Refuses a calibration that is not there or is another's."""
        if name is None or (caller.key is None and name):
            return
        known = self.calibrations(caller)
        if name not in known:
            raise ProblemError(
                404,
                "unknown-calibration",
                "there is no such calibration",
                f"there are: {', '.join(known)}",
            )
