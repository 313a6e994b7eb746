"""``visavis data``: packs photos of people for training."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from visavis.api import data
from visavis.cli import options, output
from visavis.cli.output import console, echo_json, home, messages, stages

if TYPE_CHECKING:
    from visavis.api.records import Leaks, Pack

app = typer.Typer(no_args_is_help=True, help="Packs of face crops for training.")

PackFile = Annotated[
    Path, typer.Argument(metavar="PACK", help="A pack made by `visavis data pack`.")
]


@app.command()
def pack(
    place: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="A folder with one subfolder per person (CASIA-WebFace, VGGFace2, your own), "
            "the folder of Labeled Faces in the Wild, insightface's train.rec, or a pair "
            "list in CSV.",
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Output file.")],
    part: Annotated[
        str | None,
        typer.Option(
            "--part",
            help="Part of the data, if it has parts: train (default), test or, for LFW, all. "
            "LFW's are View 1's people.",
        ),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            "--size", help="Side of the crops in pixels. Default: 144, or 112 for a .rec file."
        ),
    ] = None,
    crop_scale: Annotated[
        float | None,
        typer.Option(
            "--crop-scale",
            help="Size of the face in the crop relative to the 112x112 template. Default: 0.85, "
            "or 1 for a .rec file.",
        ),
    ] = None,
    aligned: Annotated[
        bool,
        typer.Option(
            "--aligned",
            help="The photos are square crops aligned to the 112x112 template: no detection.",
        ),
    ] = False,
    detector: options.DetectorName = "yunet",
    min_face: options.MinFace = None,
    min_confidence: options.MinConfidence = None,
    faces: Annotated[
        str,
        typer.Option(
            "--faces", help="Face to use if a photo has several: central, largest or refuse."
        ),
    ] = "central",
    root: Annotated[
        Path | None,
        typer.Option("--root", help="Folder that the paths of a pair list are relative to."),
    ] = None,
    workers: options.Workers = None,
    anew: Annotated[
        bool, typer.Option("--anew", help="Start again: discard an earlier or unfinished pack.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Detect, align and write all faces to one file for fast training.

    An interrupted command continues when run again. Photos without a crop are left out, each with
    its reason.

    Exit code 0: every photo is included; 1: some were left out; 2: error.

    Example: `visavis data pack photos/ photos.pack`
    """
    with stages(quiet=json) as update:
        packed = data.pack(
            place,
            out,
            part=part,
            size=size,
            crop_scale=crop_scale,
            aligned=aligned,
            faces=faces,
            root=root,
            workers=workers,
            anew=anew,
            progress=update,
            detector=detector,
            min_face=min_face,
            min_confidence=min_confidence,
            home=home(),
        )
    made = packed.pack
    for one in made.left_out:
        messages.print(f"visavis: left out: {one.message}", markup=False)
    _tell(made, json=json, people_left_out=list(packed.people_left_out))
    raise typer.Exit(1 if made.left_out else 0)


@app.command()
def show(pack: PackFile, json: options.Json = False) -> None:
    """Show the content and origin of a pack, and what was left out and why.

    Example: `visavis data show photos.pack`
    """
    opened = data.show(pack)
    if not json:
        for one in opened.left_out:
            console.print(f"left out: {one.message}", markup=False)
    _tell(opened, json=json)


@app.command()
def check(
    pack: PackFile,
    against: Annotated[
        Path | None,
        typer.Option(
            "--against",
            metavar="DIR|PAIRS|PACK",
            help="Test data: LFW (View 1's test people), a folder with one subfolder per person,"
            " a pair list, or a pack of them.",
        ),
    ] = None,
    drop: Annotated[
        Path | None,
        typer.Option(
            "--drop",
            metavar="OUT",
            help="Write the pack to this file without the photos that are also in the test data."
            " People whose names are in both are still refused.",
        ),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Refuse even one near-identical photo, not only more than 1 in 1,000.",
        ),
    ] = False,
    ignore_names: Annotated[
        bool,
        typer.Option(
            "--ignore-names",
            help="Compare photos only: the people's names are numbers that mean others in the "
            "test data.",
        ),
    ] = False,
    detector: options.DetectorName = "yunet",
    min_face: options.MinFace = None,
    min_confidence: options.MinConfidence = None,
    faces: Annotated[
        str,
        typer.Option(
            "--faces", help="Face to use if a test photo has several: central, largest, refuse."
        ),
    ] = "central",
    root: Annotated[
        Path | None,
        typer.Option("--root", help="Folder that the paths of a pair list are relative to."),
    ] = None,
    workers: options.Workers = None,
    no_cache: options.NoCache = False,
    json: options.Json = False,
) -> None:
    """Check the crops of a pack, and that no person is also in the test data.

    A person is in both if the name is, if a file is identical, or if more than 1 in 1,000 test
    photos is near-identical to a training photo (fewer are listed).

    Exit code 0: intact and disjoint; 2: damaged, or not disjoint.

    Example: `visavis data check photos.pack --against lfw/`
    """
    with stages(quiet=json) as update:
        opened, leaks = data.check(
            pack,
            against=against,
            drop=drop,
            strict=strict,
            ignore_names=ignore_names,
            faces=faces,
            root=root,
            workers=workers,
            cache=not no_cache,
            progress=update,
            detector=detector,
            min_face=min_face,
            min_confidence=min_confidence,
            home=home(),
        )
    if json:
        echo_json({"path": str(opened.path), "photos": len(opened), "leaks": leaks})
        return
    console.print(f"{opened.path}: {len(opened):,} crops, each as it was written", markup=False)
    if leaks is not None:
        _tell_leaks(leaks, drop)


def _tell_leaks(leaks: Leaks, drop: Path | None) -> None:
    console.print(
        f"against {leaks.against}: {leaks.photos:,} photos, no name in both, "
        f"{len(leaks.copies)} photo(s), the same file or near-identical",
        markup=False,
    )
    for copy in leaks.copies:
        console.print(
            f"{copy.kind}: {copy.photo} = {copy.other} (similarity {copy.similarity:.3f})",
            markup=False,
        )
    if leaks.copies:
        done = f"left out of {drop}" if drop is not None else "to leave out with --drop OUT"
        console.print(f"{len(leaks.copies)} photo(s) {done}", markup=False)
    if leaks.without_look:
        console.print(
            f"{leaks.without_look} test photo(s) without a face: compared by file alone",
            markup=False,
        )


def _tell(made: Pack, *, json: bool, **further: Any) -> None:
    import numpy as np

    counts = np.bincount(made.labels)
    reasons = Counter(one.reason for one in made.left_out)
    record = {
        "path": str(made.path),
        "origin": made.origin,
        "people": len(made.people),
        "photos": len(made),
        "people_with_one_photo": int((counts == 1).sum()),
        "most_photos_of_one_person": int(counts.max()),
        "size": made.size,
        "crop_scale": made.scale,
        "bytes": made.path.stat().st_size,
        "fingerprint": made.fingerprint,
        "left_out": [one.to_dict() for one in made.left_out],
        **further,
    }
    if json:
        echo_json(record)
        return
    lines = [
        f"{made.path}: {len(made):,} crop{'' if len(made) == 1 else 's'} of "
        f"{output.people(len(made.people))}, "
        f"{made.size}x{made.size} pixels, scale {made.scale:g}, "
        f"{output.size(record['bytes'])}",
        f"origin: {made.origin}",
        f"people with one photo: {record['people_with_one_photo']:,}; "
        f"most photos of one person: {record['most_photos_of_one_person']:,}",
        f"left out: {len(made.left_out)}"
        + "".join(f", {count} {reason}" for reason, count in reasons.most_common()),
        f"fingerprint: {made.fingerprint}",
    ]
    if further.get("people_left_out"):
        names = further["people_left_out"]
        lines.append(f"people without any crop: {len(names)}, {names[0]} for one")
    for line in lines:
        console.print(line, markup=False)
