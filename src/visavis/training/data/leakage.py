"""Finds people and photos that are in both training data and test protocol."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from visavis import images
from visavis.errors import DataError, OptionError, VisavisError
from visavis.training.data import perceptual_hash
from visavis.training.data.pack import Pack, SkippedPhoto
from visavis.training.data.packing import Find, cropper
from visavis.training.data.sources import Photo
from visavis.types import Record

if TYPE_CHECKING:
    from visavis.embedding.cache import EmbeddingCache

_HASH: Final = f"look-{perceptual_hash.SIDE}-1"  # stands where the cache has a model's hash
_NONE: Final = np.zeros((0, perceptual_hash.SIDE * perceptual_hash.SIDE), dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class ProtocolPhotos:
    """The photos of a test protocol.

    Attributes:
        name: what messages call it.
        people: M names, the person of each photo.
        names: M names of photos.
        sources: M SHA-256 of their bytes, "" where unknown.
        hashes: ``(M, K)`` float32, see ``perceptual_hash``; zero rows where no face was found.
    """

    name: str
    people: tuple[str, ...]
    names: tuple[str, ...]
    sources: tuple[str, ...]
    hashes: NDArray[np.float32]


def of_pack(pack: Pack) -> ProtocolPhotos:
    """The photos of a packed protocol."""
    return ProtocolPhotos(
        name=str(pack.path),
        people=tuple(pack.people[label] for label in pack.labels),
        names=pack.names,
        sources=pack.sources,
        hashes=perceptual_hash.hash_crops(pack.crops, size=pack.size, scale=pack.scale),
    )


def of_photos(
    photos: Sequence[Photo],
    *,
    name: str,
    finder: Callable[[], Find] | None,
    how: str,
    cache: EmbeddingCache | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ProtocolPhotos:
    """The photos of a protocol in files.

    Args:
        photos: in any order.
        name: what messages call the protocol.
        finder: as in ``packing.pack``.
        how: names detector and rule; part of the cache's key.
        cache: keeps hashes between runs, under the photos' hashes.
        workers: photos in work at once; all cores when ``None``.
        progress: called with (done, total).
    """
    crop = cropper(finder, size=perceptual_hash.VIEW)

    def work(photo: Photo) -> tuple[str, NDArray[np.float32]]:
        try:
            data = photo.read()
        except VisavisError:
            return "", _NONE
        digest = images.digest(data)
        kept = cache.get(digest, how, _HASH) if cache is not None else None
        if kept is not None:
            return digest, kept[1].reshape(-1, _NONE.shape[1])
        try:
            view = crop(photo, data)[None]
            row = perceptual_hash.hash_crops(view, size=perceptual_hash.VIEW, scale=1.0)
        except VisavisError:
            row = _NONE
        if cache is not None:
            cache.put(digest, how, _HASH, {"faces": [{}] * len(row)}, row)
        return digest, row

    rows = np.zeros((len(photos), _NONE.shape[1]), dtype=np.float32)
    sources: list[str] = []
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        for k, (digest, row) in enumerate(pool.map(work, photos)):
            sources.append(digest)
            rows[k] = row.sum(axis=0)  # of one row, or none
            if progress is not None:
                progress(k + 1, len(photos))
    return ProtocolPhotos(
        name=name,
        people=tuple(photo.person for photo in photos),
        names=tuple(photo.name for photo in photos),
        sources=tuple(sources),
        hashes=rows,
    )


_CHUNK: Final = 4096
TOLERATED: Final = 1e-3
"""Share of a protocol's photos that may have a near-identical one in training: public sets have a
few photos under two names. They are to be left out of training all the same."""
_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Copy(Record):
    """A training photo that is also a photo of the protocol.

    Attributes:
        row: the training photo's row in the pack.
        photo: its name in the pack.
        other: the protocol photo's name.
        kind: ``same-file``, ``near-identical``, or ``mirrored``.
        similarity: of their registered hashes, at most 1.
    """

    row: int
    photo: str
    other: str
    kind: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Leaks(Record):
    """Overlap of training data and a test protocol.

    Attributes:
        pack: the training data.
        against: the protocol.
        people: names in both, as the pack writes them.
        copies: photos in both, each training photo once, with the protocol's photo most like it.
        photos: number of the protocol's photos.
        without_look: of these, the ones whose face was not found: compared by file alone.
    """

    pack: str
    against: str
    people: tuple[str, ...]
    copies: tuple[Copy, ...]
    photos: int
    without_look: int

    @property
    def rows(self) -> NDArray[np.int64]:
        """Rows of the pack to be left out of training, ascending."""
        return np.array([copy.row for copy in self.copies], dtype=np.int64)


def find_leaks(
    pack: Pack,
    against: ProtocolPhotos,
    *,
    threshold: float = perceptual_hash.THRESHOLD,
    names: bool = True,
) -> Leaks:
    """Compare training data with a protocol.

    Names are compared without regard to case, accents' encoding, and what is neither letter nor
    digit: ``Ann_Lee`` is ``ann lee``.

    Args:
        pack: the training data.
        against: the protocol.
        threshold: least similarity, in (0, 1], that makes two photos the same picture; each
            training photo is compared with the test photo whose hash is nearest.
        names: compare names of people; leave it where they are mere numbers that mean others.

    Raises:
        OptionError: ``threshold`` outside its range.
    """
    if not 0 < threshold <= 1:
        raise OptionError(f"threshold {threshold}", "give a number above 0, at most 1")
    known = {_plain(person) for person in against.people} if names else set()
    return Leaks(
        pack=str(pack.path),
        against=against.name,
        people=tuple(person for person in pack.people if _plain(person) in known),
        copies=tuple(_copies(pack, against, threshold)),
        photos=len(against.names),
        without_look=int((~against.hashes.any(axis=1)).sum()),
    )


def check_disjoint(leaks: Leaks, *, tolerated: float = TOLERATED) -> None:
    """Refuse training data that has people of the protocol.

    A name in both, or a file in both, is always refused. Near-identical photos are, above the
    tolerated share of the protocol's photos; ``leaks.rows`` is to be left out below it.

    Raises:
        DataError: names what is in both, and what to do.
    """
    what: list[str] = []
    remedy = "leave the photos out by `visavis data check --drop OUT`, or test on other people"
    if leaks.people:
        remedy = (
            "train on other people, or test on others; if they only share their names, tell "
            "`visavis data check` so by --ignore-names"
        )
        what.append(f"{len(leaks.people)} of its people ({_some(leaks.people)})")
    files = [copy for copy in leaks.copies if copy.kind == "same-file"]
    if files:
        what.append(f"{len(files)} of its files ({_some(_pairs(files))})")
    alike = [copy for copy in leaks.copies if copy.kind != "same-file"]
    if len({copy.other for copy in alike}) > tolerated * leaks.photos:
        what.append(f"{len(alike)} photos near-identical to its own ({_some(_pairs(alike))})")
    if what:
        raise DataError(
            f"{leaks.pack} holds what {leaks.against} tests with: {'; '.join(what)}",
            remedy,
        )


def _copies(pack: Pack, against: ProtocolPhotos, threshold: float) -> list[Copy]:
    files = {source: k for k, source in enumerate(against.sources) if source}
    found: list[Copy] = []
    for start in range(0, len(pack), _CHUNK):
        own = perceptual_hash.hash_crops(
            pack.crops[start : start + _CHUNK], size=pack.size, scale=pack.scale
        )
        turned = perceptual_hash.mirrored(own)
        plain, mirrored = _best(own, against.hashes), _best(turned, against.hashes)
        for k in range(len(own)):
            row = start + k
            same = files.get(pack.sources[row])
            if same is not None:
                found.append(Copy(row, pack.names[row], against.names[same], "same-file", 1.0))
                continue
            row_hash, kind, (near, other) = own[k], "near-identical", plain[k]
            if mirrored[k][0] > near:
                row_hash, kind, (near, other) = turned[k], "mirrored", mirrored[k]
            if near < perceptual_hash.CANDIDATE:
                continue
            similarity = perceptual_hash.registered_similarity(row_hash, against.hashes[other])
            if similarity >= threshold:
                name = against.names[other]
                found.append(Copy(row, pack.names[row], name, kind, round(similarity, 4)))
    return found


def _best(rows: NDArray[np.float32], others: NDArray[np.float32]) -> list[tuple[float, int]]:
    """Largest product of each row with any of the others, and which."""
    if not len(others):
        return [(-1.0, -1)] * len(rows)
    products = rows @ others.T
    best = products.argmax(axis=1)
    values = products[np.arange(len(rows)), best]
    return [(min(float(v), 1.0), int(b)) for v, b in zip(values, best, strict=True)]


def _plain(name: str) -> str:
    folded = unicodedata.normalize("NFKC", name).casefold()
    return " ".join("".join(c if c.isalnum() else " " for c in folded).split())


def _pairs(copies: list[Copy]) -> tuple[str, ...]:
    return tuple(
        copy.photo if copy.photo == copy.other else f"{copy.photo} = {copy.other}"
        for copy in copies
    )


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def left_out(leaks: Leaks) -> tuple[SkippedPhoto, ...]:
    """The photos of ``leaks.rows``, as a pack without them lists them."""
    return tuple(
        SkippedPhoto(
            copy.photo,
            "in-test-protocol",
            f"{copy.photo}: {copy.kind} to {copy.other} of {leaks.against} "
            f"(similarity {copy.similarity:.3f})",
        )
        for copy in leaks.copies
    )
