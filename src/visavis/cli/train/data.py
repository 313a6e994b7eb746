"""``visavis data``: photos of people made ready to train on."""

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

app = typer.Typer(no_args_is_help=True, help="Photos of people, packed to train on.")

PackFile = Annotated[Path, typer.Argument(metavar="PACK", help="A file that `data pack` made.")]


@app.command()
def pack(
    place: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="A folder that holds one a person (CASIA-WebFace, VGGFace2, your own), the folder "
            "of Labeled Faces in the Wild, insightface's train.rec, or a pair list in CSV.",
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The file to make.")],
    part: Annotated[
        str | None,
        typer.Option(
            "--part",
            help="Of data that has parts: train (when left out), test or, of LFW, all. LFW's are "
            "View 1's people.",
        ),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option("--size", help="Side of the crops in pixels; 144, or 112 of a .rec file."),
    ] = None,
    crop_scale: Annotated[
        float | None,
        typer.Option(
            "--crop-scale",
            help="Size of the face in the crop against the usual template; 0.85, or 1 of a .rec "
            "file.",
        ),
    ] = None,
    aligned: Annotated[
        bool,
        typer.Option(
            "--aligned",
            help="The photos are square crops aligned to the usual template: no detection.",
        ),
    ] = False,
    detector: options.DetectorName = "yunet",
    min_face: options.MinFace = None,
    min_confidence: options.MinConfidence = None,
    faces: Annotated[
        str,
        typer.Option("--faces", help="Where a photo has several: central, largest or refuse."),
    ] = "central",
    root: Annotated[
        Path | None,
        typer.Option("--root", help="Folder that a pair list's paths start from."),
    ] = None,
    workers: options.Workers = None,
    anew: Annotated[
        bool, typer.Option("--anew", help="Drop what was begun or made before.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Detect, align and write every face once, into one file that training reads at memory speed.

    Killed at any time, the same command goes on from there. Photos that give no crop are left out,
    each with its reason.

    Exit code 0: every photo is in; 1: some were left out; 2: error.

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
    """Say what a pack holds, what it was made from, and what was left out and why.

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
            help="What will be tested with: LFW (View 1's test people), a folder a person, a pair "
            "list, or a pack of them.",
        ),
    ] = None,
    drop: Annotated[
        Path | None,
        typer.Option(
            "--drop",
            metavar="OUT",
            help="Write the pack to this file without the photos that are in the test too. People "
            "whose names are in both are refused all the same.",
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
            help="People's names are numbers that mean others in the test: compare photos alone.",
        ),
    ] = False,
    detector: options.DetectorName = "yunet",
    min_face: options.MinFace = None,
    min_confidence: options.MinConfidence = None,
    faces: Annotated[
        str,
        typer.Option("--faces", help="Where a test photo has several: central, largest, refuse."),
    ] = "central",
    root: Annotated[
        Path | None,
        typer.Option("--root", help="Folder that a pair list's paths start from."),
    ] = None,
    workers: options.Workers = None,
    no_cache: options.NoCache = False,
    json: options.Json = False,
) -> None:
    """Check that every crop is as it was written, and that nobody in it is tested with.

    People are in both if their name is, if one of their files is, byte for byte, or if more than
    1 in 1,000 test photos is near-identical to a training photo (fewer are listed).

    Exit code 0: sound and disjoint; 2: damaged, or not disjoint.

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
