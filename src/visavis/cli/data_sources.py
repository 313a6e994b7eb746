"""Photos of people named on a command line, in whatever layout, and what finds their faces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visavis.cli.output import home

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from visavis.training.data.against import Against
    from visavis.training.data.packing import Find
    from visavis.training.data.photo import Photo
    from visavis.types import Detector, Image


@dataclass(frozen=True, slots=True)
class Gathered:
    """What a place holds.

    Attributes:
        photos: each with its person.
        origin: what they are, in words.
        aligned: they are aligned crops already.
    """

    photos: tuple[Photo, ...]
    origin: str
    aligned: bool = False


def gather(place: Path, *, part: str | None = None, root: Path | None = None) -> Gathered:
    """Photos of people at a place.

    Args:
        place: Labeled Faces in the Wild, a folder with ``train.rec`` or such a file, a pair list
            in CSV, or a folder that holds one a person (in VGGFace2's layout too).
        part: ``train``, ``test`` or ``all`` of data that has parts; ``train`` when ``None``.
        root: folder that the paths of a pair list start from.

    Raises:
        DataError: nothing of that kind is there.
        OptionError: no such part.
    """
    from visavis.errors import OptionError
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
    from visavis.errors import OptionError

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


def finder(
    detector: str, rule: str, *, min_face: int | None = None, min_confidence: float | None = None
) -> tuple[Callable[[], Find], str]:
    """What makes one face finder a worker, and the words that name it.

    Raises:
        OptionError: unknown detector, or a rule that does not keep one face.
        ModelUnavailableError: the detector's weights are not on this machine.
    """
    from visavis import faces
    from visavis.pipeline import rules

    rules.check(rule, allow=("largest", "central", "clear", "refuse"))

    def look() -> Detector:
        return faces.detector(
            detector, home=home(), threads=1, min_face=min_face, min_confidence=min_confidence
        )

    def make() -> Find:
        own = look()

        def find(pixels: Image, name: str) -> NDArray[np.floating[Any]]:
            size = (pixels.shape[1], pixels.shape[0])
            found = own.detect(pixels)
            (kept,) = rules.choose(found, rule, size=size, photo=name).indices
            return found[kept].landmarks

        return find

    return make, f"{look().name}, {rule}"


def protocol_of(
    place: Path,
    *,
    detector: str,
    rule: str,
    root: Path | None,
    workers: int | None,
    no_cache: bool,
    quiet: bool,
    min_face: int | None = None,
    min_confidence: float | None = None,
) -> Against:
    """People and photos of a test protocol at a place; of LFW, View 1's test people.

    Small gray pictures of the faces are kept beside the templates (``visavis cache``), so that the
    second time takes seconds. A pack is a place too, and needs no detection.

    Raises:
        DataError: nothing of that kind is there.
    """
    from visavis.cli.cache import kept_templates
    from visavis.cli.output import progress
    from visavis.training.data import against
    from visavis.training.data.pack import open_pack

    if place.is_file() and place.suffix.lower() not in (".csv", ".tsv", ".rec"):
        return against.of_pack(open_pack(place))
    part = "test" if (place / "peopleDevTest.txt").is_file() or _has_test_part(place) else None
    found = gather(place, part=part, root=root)
    make, how = (
        (None, "aligned crops")
        if found.aligned
        else finder(detector, rule, min_face=min_face, min_confidence=min_confidence)
    )
    with (
        kept_templates(no_cache=no_cache) as cache,
        progress("test photos", quiet=quiet) as update,
    ):
        return against.of_photos(
            found.photos,
            name=f"{place} ({found.origin})",
            finder=make,
            how=how,
            cache=cache,
            workers=workers,
            progress=update,
        )
