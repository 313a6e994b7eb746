"""Detection, embedding and verification of photos. Models are loaded once per process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Any, Final, Unpack

from visavis import faces as faces_room
from visavis import images
from visavis.api.answers import DetectedFaces, VerifiedPair
from visavis.api.options import (
    DetectorOptions,
    PhotoOptions,
    Progress,
    kept_templates,
    recognizer,
    recognizer_arguments,
    stage,
)
from visavis.errors import DataError, ImageNotFoundError, OptionError, VisavisError, require_extra
from visavis.faces import quality
from visavis.pipeline import rules
from visavis.pipeline.records import EmbeddedFolder, PhotoResult
from visavis.types import Detector, Face, Record, Template

read_bytes, photo_size, PHOTO_SUFFIXES = images.read_bytes, images.size, images.PHOTO_SUFFIXES
poor_measures, quality_score = quality.poor_measures, quality.quality_score

_BLOCK: Final = 64
"""Photos read from an iterator at once."""


@dataclass(frozen=True, slots=True, eq=False)
class DetectedPhoto(Record):
    """Faces of one photo, or the reason why it could not be read.

    Attributes:
        photo: path, or a description of the source.
        faces: largest first; may be empty.
        reason: a short stable code such as ``image-truncated``; ``None`` on success.
        message: the error in one line; ``None`` on success.
    """

    photo: str
    faces: tuple[Face, ...]
    reason: str | None = None
    message: str | None = None


def detect(photo: Any, /, **options: Unpack[DetectorOptions]) -> DetectedFaces:
    """Detects the faces of a photo, largest first; may be empty. ``.plot()`` draws them.

    Args:
        photo: path, bytes, file object, PIL image or RGB uint8 array ``(H, W, 3)``.
        **options: see ``visavis.api.options.DetectorOptions``.

    Raises:
        ImageError: the photo cannot be read.
    """
    found = DetectedFaces(_detector(**options).detect(images.decode(photo)))
    found.photo = photo
    return found


def detect_many(
    photos: str | PathLike[str] | Iterable[Any],
    /,
    *,
    names: Sequence[str] | None = None,
    progress: Progress | None = None,
    **options: Unpack[DetectorOptions],
) -> Iterator[DetectedPhoto]:
    """Detects faces in many photos, in order; a bad photo is a row with a reason.

    Args:
        photos: a folder, or photos as for ``detect``, in a list or from any iterator.
        names: names of the photos in results and messages; ``None``: descriptions.
        progress: called with ``photos``, how many are done, and of how many (0: not known).
        **options: see ``visavis.api.options.DetectorOptions``.

    Raises:
        ImageNotFoundError: the folder holds no photo.
    """
    found = listed(photos)
    detector = _detector(**options)
    total = len(found) if isinstance(found, Sequence) else 0

    def rows() -> Iterator[DetectedPhoto]:
        for k, photo in enumerate(found):
            name = images.describe(photo) if names is None else names[k]
            try:
                row = DetectedPhoto(name, tuple(detector.detect(images.decode(photo, name=name))))
            except VisavisError as error:
                row = DetectedPhoto(name, (), error.reason, str(error))
            yield row
            if progress is not None:
                progress("photos", k + 1, total)

    return rows()


def embed(
    photo: Any, /, *, faces: str = "largest", **options: Unpack[PhotoOptions]
) -> list[Template]:
    """Embeds the faces of a photo, at least one; ``vector`` is ``(D,)``, of unit length.

    Args:
        photo: path, bytes, file object, PIL image or RGB uint8 array ``(H, W, 3)``.
        faces: which face to use if there are several: see ``visavis.pipeline.RULES``.
        **options: see ``visavis.api.options.PhotoOptions``.

    Raises:
        ImageError: the photo cannot be read.
        NoFaceError, SeveralFacesError: as the rule says.
        NotAlignedError: ``aligned`` is set and the photo is not an aligned crop.
    """
    return recognizer(**options).embed(photo, rule=faces)


def embed_many(
    photos: str | PathLike[str] | Iterable[Any],
    /,
    *,
    faces: str = "largest",
    names: Sequence[str] | None = None,
    cache: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
    **options: Unpack[PhotoOptions],
) -> Iterator[PhotoResult]:
    """Embeds many photos, in order; a bad photo is a row with a reason.

    >>> for row in embed_many("photos/"):  # doctest: +SKIP
    ...     print(row.photo, row.reason or row.templates[0].vector.shape)

    Args:
        photos: a folder, or photos as for ``embed``, in a list or from any iterator.
        faces: which face to use if there are several: see ``visavis.pipeline.RULES``.
        names: names of the photos in results and messages; ``None``: descriptions.
        cache: use the template cache in the home folder.
        workers: photos processed in parallel; ``None``: one per core.
        progress: called with ``photos``, how many are done, and of how many (0: not known).
        **options: see ``visavis.api.options.PhotoOptions``.

    Raises:
        ImageNotFoundError: the folder holds no photo.
        OptionError: an unknown rule, or names that are not one a photo.
    """
    rules.check(faces)
    found = listed(photos)
    total = len(found) if isinstance(found, Sequence) else 0
    if names is not None and total and len(names) != total:
        raise OptionError(f"{len(names)} names for {total} photos", "give one per photo")
    known = recognizer(**options)

    def rows() -> Iterator[PhotoResult]:
        waiting, done = iter(found), 0
        with kept_templates(options.get("home"), cache=cache) as kept:
            while block := list(islice(waiting, total or _BLOCK)):
                called = None if names is None else names[done : done + len(block)]
                for row in known.embed_many(
                    block, names=called, rule=faces, cache=kept, workers=workers
                ):
                    done += 1
                    if progress is not None:
                        progress("photos", done, total)
                    yield row

    return rows()


@contextmanager
def save_templates(
    out: str | PathLike[str], /, **options: Unpack[PhotoOptions]
) -> Iterator[list[Template]]:
    """Yields a list; the templates added to it are written to a private ``.npz`` file.

    >>> with save_templates("album.npz") as kept:  # doctest: +SKIP
    ...     for row in embed_many("album/", faces="all"):
    ...         kept += row.templates

    Its arrays: ``photo`` ``(N,)`` text; ``vector`` ``(N, D)`` float32 of unit length; ``box``
    ``(N, 4)``, ``(x, y, width, height)`` in pixels; ``model_sha256`` text. After an error
    nothing is written.

    Args:
        out: the file; it is opened, in place of an older one, before any photo is embedded.
        **options: those of ``embed_many``.

    Raises:
        OptionError: the file cannot be written.
    """
    import numpy as np

    from visavis.writing import private_folder, replacing

    kept: list[Template] = []
    path = Path(out)
    try:
        private_folder(path.parent)
        with replacing(path, private=True) as file:
            yield kept
            known = recognizer(**options)
            nothing = np.zeros((0, known.embedder.dimension), np.float32)
            with file.open("wb") as stream:
                np.savez(
                    stream,
                    photo=np.array([template.photo for template in kept], dtype=np.str_),
                    vector=np.stack([t.vector for t in kept]) if kept else nothing,
                    box=np.array([template.face.box for template in kept]).reshape(-1, 4),
                    model_sha256=np.array(known.model_sha256),
                )
    except OSError as error:
        if isinstance(error, VisavisError):
            raise
        raise OptionError(
            f"--out {path} cannot be written ({error.strerror or error})", "name another file"
        ) from error


def embed_to_parquet(
    photos: str | PathLike[str] | Iterable[str | PathLike[str]],
    out: str | PathLike[str],
    /,
    *,
    faces: str = "largest",
    shard: int = 512,
    workers: int | None = None,
    ray: str | None = None,
    progress: Progress | None = None,
    **options: Unpack[PhotoOptions],
) -> EmbeddedFolder:
    """Embeds many photos into a folder of Parquet files; the same call continues a killed run.

    >>> embed_to_parquet("photos/", "templates/").reasons  # doctest: +SKIP
    {'no-face': 2}

    One row a face, in the order of the photos; a photo without a template has one row with its
    ``reason`` and ``message``. See docs/bulk.md for the columns.

    Args:
        photos: a folder, a Parquet file with a column ``photo`` (paths), or paths.
        out: the folder. It has the rows of one model, pipeline and rule.
        faces: which face to use if there are several: see ``visavis.pipeline.RULES``.
        shard: photos of a file; 16 or a multiple of it. A file is written when it is complete.
        workers: photos processed in parallel; ``None``: one per core (of the cluster).
        ray: address of a Ray cluster, ``auto``, or ``local`` to start one on this machine; its
            machines share the disks of ``photos`` and ``out``. ``None``: this process.
        progress: called with ``photos``, how many are done (by earlier runs too), and of how many.
        **options: see ``visavis.api.options.PhotoOptions``.

    Raises:
        BusyError: another run writes to the folder.
        DataError: the folder has other files or other templates, or a file cannot be written.
        ImageNotFoundError: no photos.
        MissingExtraError: pyarrow or Ray is not installed.
        OptionError: an unknown rule, or a shard of no photos.
    """
    from visavis.pipeline import ray_data, shards

    if ray is not None:
        require_extra("ray", "a Ray cluster")
    found = _paths(photos)
    known = recognizer(**options)
    update = stage(progress, "photos")
    with shards.open_shards(Path(out), known, faces, size=shard) as opened:
        if ray is None:
            return shards.embed(known, found, opened, rule=faces, workers=workers, progress=update)
        return ray_data.embed(
            known,
            found,
            opened,
            rule=faces,
            address=ray,
            options=recognizer_arguments(**options),
            workers=workers,
            progress=update,
        )


def _paths(photos: str | PathLike[str] | Iterable[str | PathLike[str]]) -> list[Path]:
    if isinstance(photos, (str, PathLike)):
        if Path(photos).suffix == ".parquet":
            return listed_in(Path(photos))
        return photos_in(Path(photos))
    found = [Path(photo) for photo in photos]
    if not found:
        raise ImageNotFoundError("no photos", "give a folder, or paths")
    return found


def listed_in(path: Path) -> list[Path]:
    """Returns the photos that a Parquet file lists in its column ``photo``.

    Raises:
        DataError: no such file, or no such column of text.
        MissingExtraError: pyarrow is not installed.
    """
    require_extra("report", f"{path}, a Parquet file,", module="pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, columns=["photo"])
        return [Path(photo) for photo in table["photo"].cast(pa.string()).to_pylist() if photo]
    except (OSError, KeyError, pa.ArrowException) as error:
        raise DataError(
            f"{path}: no list of photos ({str(error).splitlines()[0]})",
            "give a Parquet file with a column photo, the paths",
        ) from error


def verify(
    a: Any,
    b: Any,
    /,
    *,
    fmr: float = 1e-3,
    faces: str = "largest",
    prior: float | None = None,
    **options: Unpack[PhotoOptions],
) -> VerifiedPair:
    """Decides whether two photos show the same person. ``.plot()`` of the result draws it.

    Args:
        a: a photo: path, bytes, file object, PIL image or RGB uint8 array ``(H, W, 3)``.
        b: the other photo.
        fmr: false match rate of the decision, in (0, 1); must be supported by the calibration.
        faces: which face to use if there are several: ``largest``, ``central``, ``clear``,
            ``best-match`` or ``refuse``.
        prior: your prior probability, in (0, 1), of the same person; adds the posterior to the
            result.
        **options: see ``visavis.api.options.PhotoOptions``.

    Raises:
        ImageError: a photo cannot be read.
        NoFaceError, SeveralFacesError: as the rule says.
        NotAlignedError: ``aligned`` is set and a photo is not an aligned crop.
        UnsupportedFmrError: the calibration does not support ``fmr``.
    """
    answer = recognizer(**options).verify(a, b, fmr=fmr, rule=faces, prior=prior)
    return VerifiedPair.of(answer, photos=(a, b))


@lru_cache(maxsize=4)
def _detector(detector: str = "yunet", **options: Any) -> Detector:
    return faces_room.detector(detector, **options)


def listed(photos: str | PathLike[str] | Iterable[Any]) -> Iterable[Any]:
    """Returns the photos of a folder, or the given ones; a list if their number is known."""
    if isinstance(photos, (str, PathLike)):
        return photos_in(Path(photos))
    return photos if isinstance(photos, Iterator) else list(photos)


def photos_in(folder: Path, *, without: Set[Path] = frozenset()) -> list[Path]:
    """Returns all photos below a folder, in order.

    Args:
        folder: the folder.
        without: subfolders to leave out.

    Raises:
        DataError: not a folder.
        ImageNotFoundError: it has no photo.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: not a folder", "give a folder of photos")
    found = [path for path in images.photos_below(folder) if without.isdisjoint(path.parents)]
    if not found:
        raise ImageNotFoundError(
            f"{folder}: a folder without photos",
            f"accepted: {' '.join(sorted(images.PHOTO_SUFFIXES))}",
        )
    return found
