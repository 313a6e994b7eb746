"""What a page or a notebook shows besides answers: crops, previews, distributions of scores."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Unpack

from visavis import images, plots
from visavis.api.options import PhotoOptions, Progress, recognizer
from visavis.errors import CalibrationError
from visavis.faces import align
from visavis.types import Face, Image, Record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from visavis.api.albums import PhotoAlbum
    from visavis.decision.check import Check
    from visavis.decision.profile import Calibration
    from visavis.images import Limits

    Floats = NDArray[np.float64]

_BIN: Final = 0.02
_QUALITY: Final = 85


@dataclass(frozen=True, slots=True)
class ScoreHistogram(Record):
    """Shares of scores in bins of equal width.

    Attributes:
        edges: K + 1 scores, ascending.
        non_mated: K shares of the non-mated pairs, each in [0, 1].
        mated: K shares of the mated pairs; empty if there are none.
    """

    edges: tuple[float, ...]
    non_mated: tuple[float, ...]
    mated: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Examination(Record):
    """What a folder of photos says about a calibration.

    Attributes:
        check: whether the calibration holds here; ``None`` if there are too few photos.
        reason: why there is no ``check``; ``None`` if there is one.
        scores: of all pairs; if people are known, of mated and non-mated ones.
        roc: (FMR, true match rate) pairs, FMR ascending; empty if people are not known.
        plane: t-SNE of the templates, ``(x, y)`` each; empty for fewer than 8.
        people: the person of each template, from the names of subfolders; ``""`` if not known.
        photos: photos with a usable face.
        failures: photos without one.
    """

    check: Check | None
    reason: str | None
    scores: ScoreHistogram
    roc: tuple[tuple[float, float], ...]
    plane: tuple[tuple[float, float], ...]
    people: tuple[str, ...]
    photos: int
    failures: int


def crop(photo: Any, face: Face, /, *, limits: Limits | None = None) -> Image:
    """Returns the aligned face, ``(112, 112, 3)`` RGB uint8.

    Raises:
        ImageError: the photo cannot be read.
    """
    return align.crop(_pixels(photo, limits), face.landmarks)


def preview(
    photo: Any, /, *, longest: int = 960, limits: Limits | None = None
) -> tuple[bytes, tuple[int, int]]:
    """Returns a JPEG of the upright photo, and the (width, height) in pixels of the photo itself.

    Args:
        photo: path, bytes, file object, PIL image or RGB uint8 array ``(H, W, 3)``.
        longest: longest side of the JPEG in pixels, 1 or more.
        limits: size limits of the photo.

    Raises:
        ImageError: the photo cannot be read.
    """
    from PIL import Image as Pictures

    pixels = _pixels(photo, limits)
    height, width = pixels.shape[:2]
    small = Pictures.fromarray(pixels)
    small.thumbnail((longest, longest))
    return jpeg(small), (width, height)


def jpeg(picture: Any, /) -> bytes:
    """Returns a PIL image or an RGB uint8 array ``(H, W, 3)`` as JPEG."""
    from PIL import Image as Pictures

    buffer = io.BytesIO()
    image = picture if isinstance(picture, Pictures.Image) else Pictures.fromarray(picture)
    image.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


def album_faces(
    album: PhotoAlbum, /, *, size: int = 160, workers: int = 1
) -> Iterator[tuple[int, bytes]]:
    """Yields number and square JPEG thumbnail of each face of an album, a photo at a time.

    Args:
        album: the album; its photos must still be there, missing ones are left out.
        size: side in pixels.
        workers: photos processed in parallel.
    """
    from visavis.albums.pictures import cut

    record = album.record
    return cut(record, record.faces, size=size, workers=workers)


def score_histogram(calibration: Calibration, /) -> ScoreHistogram | None:
    """Returns the scores that a calibration was measured on, from the quantiles that it holds.

    Between quantiles the distribution is interpolated monotonically (F. N. Fritsch and J. Butland,
    1984), so this shows its shape, not single pairs. ``None`` if it holds no quantiles.
    """
    import numpy as np

    known = calibration.reference or {}
    if not known.get("quantiles") or not known.get("non_mated"):
        return None
    levels = np.array(known["quantiles"])
    names = [name for name in ("non_mated", "mated") if known.get(name)]
    low = min(known[name][0] for name in names) - 2 * _BIN
    high = max(known[name][-1] for name in names) + 2 * _BIN
    edges = np.arange(np.floor(low / _BIN), np.ceil(high / _BIN) + 1) * _BIN
    shares = {name: _shares(np.array(known[name]), levels, edges) for name in names}
    return ScoreHistogram(
        tuple(edges.tolist()), tuple(shares["non_mated"]), tuple(shares.get("mated", ()))
    )


def examine(
    folder: Path,
    /,
    *,
    fmr: float = 1e-3,
    workers: int | None = None,
    progress: Progress | None = None,
    **options: Unpack[PhotoOptions],
) -> Examination:
    """Examines photos, at best one or more folders a person, without keeping anything.

    Args:
        folder: photos; names of subfolders with photos are taken as people if there are two or
            more and one holds two photos.
        fmr: the decisive false match rate, in (0, 1), see ``visavis.check``.
        workers: photos processed in parallel; ``None``: one per core.
        progress: called with ``photos``, done, and total.
        **options: see ``visavis.api.options.PhotoOptions``.

    Raises:
        ImageNotFoundError: the folder holds no photo.
        UnsupportedFmrError: the calibration has no rate as low as ``fmr``.
    """
    import numpy as np

    from visavis.api.photos import embed_many, photos_in
    from visavis.decision.check import check

    paths = photos_in(folder)
    known = recognizer(**options)
    rows = embed_many(paths, faces="central", workers=workers, progress=progress, **options)
    # Duplicate photos have identical templates: they count once.
    found: dict[bytes, tuple[NDArray[np.float32], str]] = {}
    failures = 0
    for path, row in zip(paths, rows, strict=True):
        failures += not row.templates
        for template in row.templates:
            parts = path.relative_to(folder).parts
            found[template.vector.tobytes()] = (template.vector, parts[-2] if parts[1:] else "")
    vectors = np.stack([v for v, _ in found.values()]) if found else np.zeros((0, 1), np.float32)
    people = _people([name for _, name in found.values()])
    verdict, reason = None, None
    try:
        verdict = check(vectors, known.calibration, fmr=fmr, failures=failures, folder="FOLDER")
    except CalibrationError as error:
        reason = f"{error.got}; {error.remedy}"
    mated, non_mated = _pairs(known.calibration.project(vectors), people)
    drawn = plots.plane(vectors, seed=0)
    return Examination(
        check=verdict,
        reason=reason,
        scores=_histogram(mated, non_mated),
        roc=_roc(mated, non_mated),
        plane=() if drawn is None else tuple(map(tuple, drawn[0].tolist())),
        people=people,
        photos=len(vectors),
        failures=failures,
    )


def _people(names: list[str]) -> tuple[str, ...]:
    known = len(set(names) - {""}) > 1 and len(set(names)) < len(names)
    return tuple(names) if known else ("",) * len(names)


def _pairs(vectors: NDArray[np.float32], people: Iterable[str]) -> tuple[Floats, Floats]:
    """Scores of mated and non-mated pairs; all are non-mated if people are not known."""
    import numpy as np

    rows, columns = np.triu_indices(len(vectors), 1)
    scores = np.clip(vectors @ vectors.T, -1, 1)[rows, columns].astype(np.float64)
    who = np.array(list(people), dtype=np.str_)
    same = (who[rows] == who[columns]) & (who[rows] != "")
    return scores[same], scores[~same]


def _histogram(mated: Floats, non_mated: Floats) -> ScoreHistogram:
    import numpy as np

    both = np.concatenate([mated, non_mated, [0.0]])
    edges = np.arange(np.floor(both.min() / _BIN), np.floor(both.max() / _BIN) + 2) * _BIN

    def shares(values: Floats) -> tuple[float, ...]:
        return tuple((np.histogram(values, edges)[0] / max(len(values), 1)).tolist())

    return ScoreHistogram(
        tuple(edges.tolist()), shares(non_mated), shares(mated) if len(mated) else ()
    )


def _roc(mated: Floats, non_mated: Floats) -> tuple[tuple[float, float], ...]:
    import numpy as np

    from visavis.metrics.verification import det_points

    if not len(mated) or not len(non_mated):
        return ()
    fmr, fnmr = det_points(mated, non_mated)
    order = np.lexsort((-fnmr, fmr))
    x, y = fmr[order], 1 - fnmr[order]
    keep = plots.thin(x, y)[:: max(1, len(x) // 400)]
    return tuple(zip(x[keep].tolist(), y[keep].tolist(), strict=True))


def _shares(values: Floats, levels: Floats, edges: Floats) -> list[float]:
    """Shares between edges of a distribution with these quantiles."""
    import numpy as np
    from scipy.interpolate import PchipInterpolator

    scores, first = np.unique(values, return_index=True)
    ends = np.array([scores[0] - 2 * _BIN, scores[-1] + 2 * _BIN])
    curve = PchipInterpolator(
        np.concatenate([ends[:1], scores, ends[1:]]), np.concatenate([[0], levels[first], [1]])
    )
    shares: list[float] = np.diff(curve(np.clip(edges, *ends))).tolist()
    return shares


def _pixels(photo: Any, limits: Limits | None) -> Image:
    return images.decode(photo) if limits is None else images.decode(photo, limits=limits)
