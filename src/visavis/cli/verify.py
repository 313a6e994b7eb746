"""``visavis verify``: compares two photos."""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from visavis.cli import options
from visavis.cli.options import single
from visavis.cli.output import console, echo_json

if TYPE_CHECKING:
    from visavis.api.records import Verification


CANNOT_TELL: Final = 3
"""Exit code for undecidable: not 0, so that no door opens; not 1, so that a script can ask for
another photo."""


@options.photo_options()
def verify(
    a: Annotated[str, typer.Argument(metavar="PHOTO", help="A photo; - is standard input.")],
    b: Annotated[str, typer.Argument(metavar="PHOTO", help="The other photo.")],
    fmr: Annotated[
        float,
        typer.Option(
            "--fmr",
            help="False match rate: accepted share of pairs of different people that pass as "
            "one person.",
        ),
    ] = 1e-3,
    faces: Annotated[
        str,
        typer.Option(
            "--faces",
            help="Face to use if a photo has several: largest, central (nearest to the center), "
            "clear (the largest if it has four times the area of any other), best-match (compares "
            "all, at a corrected threshold) or refuse.",
        ),
    ] = "largest",
    prior: Annotated[
        float | None,
        typer.Option(
            "--prior",
            help="Prior probability of the same person, 0 to 1; also prints the posterior.",
        ),
    ] = None,
    json: options.Json = False,
    **photo_options: Any,
) -> None:
    """Decide whether two photos show the same person, at a measured error rate.

    Exit code 0: same; 1: different; 2: error (as in grep), also if the result cannot be written; 3:
    cannot tell, because the photos are too poor and the score is near the threshold; 141: the
    reader closed standard output (`visavis verify a.jpg b.jpg | true`).

    Example: `visavis verify passport.jpg door.jpg --fmr 1e-4`
    """
    from visavis.api import photos

    first, second = single([a, b])
    answer = photos.verify(first, second, fmr=fmr, faces=faces, prior=prior, **photo_options)
    if json:
        echo_json(answer)
    else:
        with console:  # in one write, so that a reader of one line breaks nothing
            _show(answer)
    raise typer.Exit({True: 0, False: 1, None: CANNOT_TELL}[answer.same])


def _show(answer: Verification) -> None:
    point = answer.operating_point
    verdict = {
        True: "[bold green]SAME[/]",
        False: "[bold red]DIFFERENT[/]",
        None: "[bold yellow]CANNOT TELL[/]",
    }[answer.same]
    relation = "≥" if answer.score >= answer.threshold else "<"
    console.print(
        f"{verdict}  score {answer.score:.4f} {relation} threshold {answer.threshold:.4f} "
        f"(FMR {answer.fmr:g})"
    )
    if answer.reason is None:
        console.print(f"  {answer.evidence}")
    else:
        console.print(f"  {answer.reason}", markup=False)
    if answer.posterior is not None:
        console.print(f"  posterior {answer.posterior:.6g} for the prior {answer.prior:g}")
    if answer.comparisons > 1:
        console.print(
            f"  the closest of {answer.comparisons} pairs of faces, so the threshold is that of "
            f"FMR {answer.fmr / answer.comparisons:.3g}"
        )
    low, high = point.fmr_ci
    fnmr = "FNMR not known" if isnan(point.fnmr) else f"FNMR {point.fnmr:.3g}"
    console.print(
        f"  threshold: FMR {point.fmr:.3g} (95 %: {low:.2g} to {high:.2g}), {fnmr}, "
        f"measured on {point.dataset}{', centered on its mean' if answer.centered else ''}",
        style="dim",
    )
    for used in (answer.a, answer.b):
        x, y, width, height = used.face.box
        console.print(
            f"  {used.photo}: face {width:.0f}x{height:.0f} at ({x:.0f}, {y:.0f}), "
            f"eyes {used.quality.size:.0f} px apart",
            style="dim",
            markup=False,
        )
    for warning in answer.warnings:
        console.print(f"  warning: {warning}", style="yellow", markup=False)
