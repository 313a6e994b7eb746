"""Photos of a visitor's collection in the private folder of a job."""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from visavis.api.photos import PHOTO_SUFFIXES
from visavis.service.page.parts import Page, SentFile
from visavis.service.problems import ProblemError
from visavis.service.uploads import Photo, file_name, safe_name, unzipped

if TYPE_CHECKING:
    from visavis.service.jobs import Job
    from visavis.service.state import Caller

_ZIP: Final = ".zip"


def collect(page: Page, caller: Caller, kind: str, files: Sequence[SentFile]) -> Job:
    """Moves files that were sent into a new job's folder.

    A photo in a folder of its own stays in one of that name, which may be a person's.

    Raises:
        BusyError: too many jobs.
        ProblemError: too many photos, or a zip archive that cannot be used.
    """
    service = page.service
    most = service.options.job_photos
    job = service.jobs.create(kind, caller.id)
    try:
        count, taken = 0, dict[str, set[str]]()
        for folder, photo in _photos(page, files):
            count += 1
            if count > most:
                raise ProblemError(
                    413, "too-many-photos", f"more than {most:,} photos", f"give {most:,} at most"
                )
            place = job.folder / "photos" / folder
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = place / file_name(photo, count, taken.setdefault(folder.casefold(), set()))
            path.touch(mode=0o600)
            path.write_bytes(photo.getbuffer())
        if not count:
            raise ProblemError(422, "missing-part", "no photos", "choose photos, or a zip file")
    except BaseException:
        service.jobs.delete(job)
        raise
    finally:
        for given in files:
            given.path.unlink(missing_ok=True)
    return job


def forget(page: Page, caller: Caller, name: str) -> None:
    """Erases a job, if it is there."""
    try:
        page.service.jobs.delete(page.service.jobs.get(name, caller.id))
    except ProblemError:
        return


def erase_photos(job: Job) -> None:
    """Erases the photos of a job that has read them."""
    shutil.rmtree(job.folder / "photos", ignore_errors=True)


def _photos(page: Page, files: Sequence[SentFile]) -> Iterator[tuple[str, Photo]]:
    options = page.service.options
    for given in files:
        data = given.path.read_bytes()
        archive = Photo.of(data, "", given.path.name)
        if given.path.suffix.lower() != _ZIP:
            yield _folder_name(given.folder), archive
            continue
        inside = unzipped(
            archive,
            most=options.job_photos,
            most_bytes=5 * options.body_bytes,
            each=options.photo_bytes,
        )
        yield from zip(map(_folder_name, _folders(data)), inside, strict=False)


def _folder_name(name: str) -> str:
    safe = safe_name(name)
    return f"{safe}-" if PurePath(safe).suffix.lower() in PHOTO_SUFFIXES else safe  # as no photo


def _folders(data: bytes) -> Iterator[str]:
    """Yields the folder of each file that ``unzipped`` yields, in the same order."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
    except zipfile.BadZipFile:
        names = []  # ``unzipped`` says it
    for name in [*names, ""]:
        parts = name.split("/")
        if not name.startswith("__MACOSX/") and not parts[-1].startswith("."):
            yield parts[-2] if parts[1:] else ""
