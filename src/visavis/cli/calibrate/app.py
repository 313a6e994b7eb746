"""``visavis calibrate``: makes and checks calibrations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from visavis.api import calibrations
from visavis.cli import options
from visavis.cli.calibrate.show import show_calibration, show_check, show_list
from visavis.cli.output import command_line, console, echo_json, home, messages, stages
from visavis.errors import CalibrationError, OptionError


@options.photo_options("calibration")
def calibrate(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DIR]", help="Labelled photos: a folder with one subfolder per person."
        ),
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option("--pairs", help="Labelled pairs instead: a CSV with columns a, b, same."),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option("--root", help="Folder that the paths of --pairs are relative to."),
    ] = None,
    unlabelled: Annotated[
        Path | None,
        typer.Option(
            "--unlabelled",
            metavar="DIR",
            help="Photos of mostly different people, without names; 200 or more recommended.",
        ),
    ] = None,
    unlabelled_b: Annotated[
        Path | None,
        typer.Option(
            "--unlabelled-b",
            metavar="DIR",
            help="With --unlabelled or --check: photos of the second camera, if photos of one "
            "camera are compared with photos of another. Use `verify FIRST SECOND` then.",
        ),
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option(
            "--check",
            metavar="DIR",
            help="Check whether the error rates of --calibration hold on these unlabelled photos.",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the saved calibration.")
    ] = None,
    fmr: Annotated[
        list[float] | None,
        typer.Option("--fmr", help="False match rate that must be supported; repeatable."),
    ] = None,
    people_list: Annotated[
        Path | None,
        typer.Option(
            "--people-list",
            help="Use only the folders named in this file, one per line; text after a tab is "
            "ignored.",
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option("--dataset", help="Description of the photos."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the calibration to this file instead.")
    ] = None,
    no_mean: Annotated[
        bool,
        typer.Option(
            "--no-mean",
            help="For labelled photos: make a calibration for any photos, without the mean "
            "template of these.",
        ),
    ] = False,
    listing: Annotated[bool, typer.Option("--list", help="List the calibrations.")] = False,
    delete: Annotated[
        str | None, typer.Option("--delete", metavar="NAME", help="Delete a saved calibration.")
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(
            "--calibration",
            help="For --check and --unlabelled: the labelled calibration to compare with. "
            "Default: the model's own.",
        ),
    ] = None,
    workers: options.Workers = None,
    no_cache: options.NoCache = False,
    json: options.Json = False,
    **photo_options: Any,
) -> None:
    """Measure thresholds on your own photos, labelled or not, or check existing ones.

    The mean template of your photos is part of the calibration and is subtracted before templates
    are compared: fewer mated pairs are missed at the same false match rate. For labelled photos a
    whitening is added if cross-validation shows that it helps.

    With --check, exit code 0: the error rates hold for these photos; 1: they do not; 2: error. With
    --list, 1: a saved calibration is damaged. Otherwise 0: saved; 2: error. Photos without a usable
    face are left out and listed.

    Example: `visavis calibrate --unlabelled gate/ --name gate`
    """
    chosen = [
        flag
        for flag, given in (
            ("DIR", folder),
            ("--pairs", pairs),
            ("--unlabelled", unlabelled),
            ("--check", check),
            ("--list", listing),
            ("--delete", delete),
        )
        if given
    ]
    if len(chosen) != 1:
        raise OptionError(
            "calibrate with " + (" and ".join(chosen) or "nothing to do"),
            "give one of DIR, --pairs, --unlabelled, --check, --list and --delete",
        )
    if unlabelled_b is not None and unlabelled is None and check is None:
        raise OptionError("--unlabelled-b alone", "give the first camera's photos by --unlabelled")
    if no_mean and folder is None and pairs is None:
        raise OptionError(
            "--no-mean without labelled photos", "leave it out, or give DIR or --pairs"
        )
    if listing or delete:
        _manage(delete, json=json)
        return
    if check is None and name is None and out is None:
        raise OptionError("a calibration without a name", "give --name NAME")

    with stages(quiet=json) as update:
        if check is not None:
            rate = min(fmr) if fmr else 1e-3
            second = () if unlabelled_b is None else (unlabelled_b,)
            verdict = calibrations.check(
                check,
                *second,
                fmr=rate,
                cache=not no_cache,
                workers=workers,
                progress=update,
                calibration=calibration,
                **photo_options,
            )
        else:
            made = calibrations.calibrate(
                folder,
                pairs=pairs,
                unlabelled=unlabelled,
                unlabelled_b=unlabelled_b,
                name=name,
                out=out,
                dataset=dataset,
                mean=not no_mean,
                fmr=fmr,
                root=root,
                people_list=people_list,
                command=command_line(),
                cache=not no_cache,
                workers=workers,
                progress=update,
                calibration=calibration,
                **photo_options,
            )
    if check is not None:
        if json:
            echo_json(verdict)
        else:
            show_check(verdict)
        raise typer.Exit(0 if verdict.trusted else 1)
    if json:
        echo_json({**made.to_dict(), "supported_fpirs": calibrations.supported_fpirs(made)})
        return
    show_calibration(made)
    console.print(f"saved: {out or calibrations.place(made.name, home=home())}", markup=False)
    if out is None:
        console.print(f"use it: --calibration {made.name}", markup=False)


def _manage(delete: str | None, *, json: bool) -> None:
    if delete is not None:
        calibrations.delete(delete, home=home())
        console.print(f"deleted calibration {delete}", markup=False)
        return
    found, damaged = [], False
    for name in calibrations.names(home=home()):
        try:
            found.append(calibrations.show(name, home=home()))
        except CalibrationError as error:
            messages.print(f"visavis: {error}", markup=False)
            damaged = True
    if json:
        echo_json([one.to_dict() for one in found])
    else:
        show_list(found)
    if damaged:
        raise typer.Exit(1)
