"""Packs photos of people for training, from various layouts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from visavis.api.options import DetectorOptions, Progress, kept_templates, stage
from visavis.errors import OptionError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from visavis.training.data.leakage import Leaks, ProtocolPhotos
    from visavis.training.data.pack import Pack
    from visavis.training.data.packing import Find
    from visavis.training.data.sources import Photo
    from visavis.types import Detector, Image


@dataclass(frozen=True, slots=True)
class Gathered:
    """Photos found at a location.

    Attributes:
        photos: the photos with their person.
        origin: description of the data.
        aligned: whether they are aligned crops.
    """

    photos: tuple[Photo, ...]
    origin: str
    aligned: bool = False


def gather(place: Path, *, part: str | None = None, root: Path | None = None) -> Gathered:
    """Finds photos of people at a location.

    Args:
        place: Labeled Faces in the Wild, a folder with ``train.rec`` or such a file, a pair list in
            CSV, or a folder with one subfolder per person (also in VGGFace2's layout).
        part: ``train``, ``test`` or ``all``, for data with parts; ``None``: ``train``.
        root: folder that the paths of a pair list are relative to.

    Raises:
        DataError: nothing of that kind is there.
        OptionError: unknown part.
    """
    from visavis.training.data import rec, sources

    if part not in (None, "train", "test", "all"):
        raise OptionError(f"--part {part}", "choose train, test or all")
    if place.suffix.lower() == ".rec" or (place / "train.rec").is_file():
        _refuse_part(part, place, "a record file")
        return Gathered(rec.read(place), f"{place.name}, a record file", aligned=True)
    if place.suffix.lower() in (".csv", ".tsv"):
        from visavis.evaluation.protocols import pairs

        _refuse_part(part, place, "a pair list")
        listed = pairs.read_list(place)
        folder = root if root is not None else place.parent
        joined = sources.of_pairs(
            [folder / name for name in listed.photos],
            listed.photos,
            first=[row[0] for row in listed.pairs],
            second=[row[1] for row in listed.pairs],
            same=[row[2] for row in listed.pairs],
            people=listed.people,
        )
        return Gathered(joined, f"{place.name}, a pair list")
    if (place / "peopleDevTrain.txt").is_file():
        return _lfw(place, part or "train")
    if place.is_dir() and not sources.has_parts(place):
        _refuse_part(part, place, "a folder a person")
    if part == "all":
        raise OptionError(f"--part all of {place}", "choose train or test")
    photos = sources.folders(place, part="test" if part == "test" else "train")
    return Gathered(photos, f"{place.name}, a folder a person")


def _has_test_part(place: Path) -> bool:
    from visavis.training.data import sources

    return (place / "test").is_dir() and sources.has_parts(place)


def _refuse_part(part: str | None, place: Path, kind: str) -> None:
    if part is not None:
        raise OptionError(
            f"--part {part} of {place}, which is {kind} and has no parts", "leave it out"
        )


def _lfw(root: Path, part: str) -> Gathered:
    from visavis.evaluation.protocols import lfw
    from visavis.training.data import sources

    folder = lfw.photo_folder(root)
    if part == "all":
        return Gathered(sources.folders(folder), "LFW, everybody")
    people = lfw.people(root, "test" if part == "test" else "train")
    name = "peopleDevTest" if part == "test" else "peopleDevTrain"
    return Gathered(sources.of_people(people, folder), f"LFW View 1, {name}")


def finder(rule: str, /, **options: Unpack[DetectorOptions]) -> tuple[Callable[[], Find], str]:
    """Returns a factory of face detectors, one per worker, and its description.

    Raises:
        OptionError: unknown detector, or a rule that does not keep one face.
        ModelUnavailableError: the detector's weights are not on this machine.
    """
    from visavis import faces
    from visavis.pipeline import rules

    rules.check(rule, allow=("largest", "central", "clear", "refuse"))

    def look() -> Detector:
        given: dict[str, Any] = {**options, "threads": 1}
        return faces.detector(given.pop("detector", "yunet"), **given)

    def make() -> Find:
        own = look()

        def find(pixels: Image, name: str) -> NDArray[np.floating[Any]]:
            size = (pixels.shape[1], pixels.shape[0])
            found = own.detect(pixels)
            (kept,) = rules.choose(found, rule, size=size, photo=name).indices
            return found[kept].landmarks

        return find

    return make, f"{look().name}, {rule}"


class AgainstOptions(DetectorOptions, total=False):
    """Options for reading test data: ``DetectorOptions`` and more.

    Attributes:
        faces: which face to use if a photo has several: ``central`` (default) or ``largest``.
        root: folder that the paths of a list are relative to.
        workers: photos processed in parallel; ``None``: one per core.
        cache: cache gray thumbnails in the home folder; default ``True``.
        progress: called with ``test photos``, done, and total.
    """

    faces: str
    root: Path | None
    workers: int | None
    cache: bool
    progress: Progress | None


def protocol_of(
    place: Path,
    /,
    *,
    faces: str = "central",
    root: Path | None = None,
    workers: int | None = None,
    cache: bool = True,
    progress: Progress | None = None,
    **options: Unpack[DetectorOptions],
) -> ProtocolPhotos:
    """Returns people and photos of a test protocol; for LFW, View 1's test people.

    Gray thumbnails of the faces are cached beside the templates (``visavis cache``), so that the
    second time takes seconds. A pack needs no detection.

    Raises:
        DataError: nothing of that kind is there.
    """
    from visavis.training.data import leakage
    from visavis.training.data.pack import open_pack

    if place.is_file() and place.suffix.lower() not in (".csv", ".tsv", ".rec"):
        return leakage.of_pack(open_pack(place))
    part = "test" if (place / "peopleDevTest.txt").is_file() or _has_test_part(place) else None
    found = gather(place, part=part, root=root)
    make, how = (None, "aligned crops") if found.aligned else finder(faces, **options)
    with kept_templates(options.get("home"), cache=cache) as kept:
        return leakage.of_photos(
            found.photos,
            name=f"{place} ({found.origin})",
            finder=make,
            how=how,
            cache=kept,
            workers=workers,
            progress=stage(progress, "test photos"),
        )


@dataclass(frozen=True, slots=True)
class Packed:
    """Result of packing.

    Attributes:
        pack: the open pack; ``left_out`` has the photos without a crop, each with the reason.
        people_left_out: people without a crop.
    """

    pack: Pack
    people_left_out: tuple[str, ...]


def pack(
    place: str | PathLike[str],
    out: str | PathLike[str],
    /,
    *,
    part: str | None = None,
    size: int | None = None,
    crop_scale: float | None = None,
    aligned: bool = False,
    faces: str = "central",
    root: Path | None = None,
    workers: int | None = None,
    anew: bool = False,
    progress: Progress | None = None,
    **options: Unpack[DetectorOptions],
) -> Packed:
    """Detects, aligns and writes all faces to one file for fast training.

    An interrupted call continues when made again.

    Args:
        place: a folder with one subfolder per person, the folder of Labeled Faces in the Wild,
            insightface's ``train.rec``, or a pair list in CSV.
        out: output file.
        part: part of the data, if it has parts: ``train`` (``None``), ``test``, or, for LFW,
            ``all``.
        size: side of the crops in pixels; ``None``: 144, or 112 for a record file.
        crop_scale: size of the face in the crop relative to the 112x112 template; ``None``: 0.85,
            or 1 for a record file.
        aligned: the photos are square crops aligned to the 112x112 template: no detection.
        faces: which face to use if a photo has several: ``central``, ``largest`` or ``refuse``.
        root: folder that the paths of a pair list are relative to.
        workers: photos processed in parallel; ``None``: one per core.
        anew: discard an earlier or unfinished pack.
        progress: called with ``photos``, done, and total.
        **options: see ``visavis.api.options.DetectorOptions``.

    Raises:
        DataError: nothing of that kind is there, or no photo gives a crop.
        OptionError: unknown part, rule or detector.
    """
    from visavis.training.data import packing
    from visavis.training.data.alignment import check_aligned
    from visavis.training.data.pack import SCALE, SIZE

    found = gather(Path(place), part=part, root=root)
    crops = aligned or found.aligned
    make, how = (None, "aligned crops") if crops else finder(faces, **options)
    if aligned and not found.aligned:
        check_aligned(found.photos, finder(faces, **options)[0]())
    made = packing.pack(
        found.photos,
        Path(out),
        finder=make,
        how=how,
        origin=f"{found.origin} ({how})",
        size=size if size is not None else 112 if crops else SIZE,
        scale=crop_scale if crop_scale is not None else 1.0 if crops else SCALE,
        workers=workers,
        anew=anew,
        progress=stage(progress, "photos"),
    )
    missing = {photo.person for photo in found.photos} - set(made.people)
    return Packed(made, tuple(sorted(missing)))


def show(pack: str | PathLike[str], /) -> Pack:
    """Opens a pack; shows content, origin, and left-out photos with reasons.

    Raises:
        DataError: not a pack.
    """
    from visavis.training.data.pack import open_pack

    return open_pack(Path(pack))


def check(
    pack: str | PathLike[str],
    /,
    *,
    against: str | PathLike[str] | None = None,
    drop: str | PathLike[str] | None = None,
    strict: bool = False,
    ignore_names: bool = False,
    **options: Unpack[AgainstOptions],
) -> tuple[Pack, Leaks | None]:
    """Checks the crops of a pack, and that no person is also in the test data.

    Args:
        pack: the file.
        against: test data: LFW (View 1's test people), a folder with one subfolder per person, a
            pair list, or a pack of them.
        drop: write the pack to this file without the photos that are also in the test data.
        strict: refuse even one near-identical photo, not only more than 1 in 1,000.
        ignore_names: ignore people's names, which are numbers that mean others in the test data.
        **options: see ``AgainstOptions``.

    Returns:
        The pack (that of ``drop`` if written), and its overlap with the test data.

    Raises:
        DataError: damaged, or not disjoint.
        OptionError: ``drop`` exists, or ``against`` is missing.
    """
    from visavis.training.data import leakage
    from visavis.training.data.pack import without

    if against is None and drop is not None:
        raise OptionError(f"--drop {drop} without --against", "give the test data: --against")
    if drop is not None and Path(drop).exists():
        raise OptionError(f"--drop {drop}: is there already", "name another file")
    opened = show(pack)
    opened.verify()
    if against is None:
        return opened, None
    protocol = protocol_of(Path(against), **options)
    leaks = leakage.find_leaks(opened, protocol, names=not ignore_names)
    if drop is None:
        leakage.check_disjoint(leaks, tolerated=0.0 if strict else leakage.TOLERATED)
        return opened, leaks
    opened = without(opened, leaks.rows, Path(drop), left_out=leakage.left_out(leaks))
    rest = leakage.find_leaks(opened, protocol, names=not ignore_names)
    leakage.check_disjoint(rest, tolerated=0.0)
    return opened, leaks
