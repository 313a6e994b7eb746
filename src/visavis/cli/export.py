"""``visavis export``: writes an embedder for other runtimes, and measures what that costs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from visavis.api.export import export as export_model
from visavis.api.export.exporting import CROPS, MAX_DROP
from visavis.cli import options, output
from visavis.cli.output import console, echo_json, home, stages


def export(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL|RUN",
            help="An embedder, a name from `visavis models list`; or a folder of `visavis train`.",
        ),
    ],
    *,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            help="onnx, onnx-fp16, onnx-int8, openvino, openvino-int8, torch-export, torchscript "
            "or torchscript-fp16 (TorchScript is deprecated by PyTorch).",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", help="Folder to write; an earlier export in it is replaced.")
    ],
    calibrate: Annotated[
        Path | None,
        typer.Option(
            "--calibrate",
            help="Folder of photos for the ranges of 8-bit values; needed by 8-bit targets. "
            "People of --evaluate are left out.",
        ),
    ] = None,
    evaluate: Annotated[
        Path | None,
        typer.Option(
            "--evaluate",
            help="Labelled photos for error rates and operating points: a folder of LFW, a "
            "folder with one subfolder per person, or a CSV of pairs. Default: only parity is "
            "measured.",
        ),
    ] = None,
    view: Annotated[
        int, typer.Option("--view", help="Of LFW: 1, for development, or 2, for reporting.")
    ] = 1,
    name: Annotated[
        str | None,
        typer.Option("--name", help="Name of the exported model. Default: MODEL-TARGET."),
    ] = None,
    max_drop: Annotated[
        float,
        typer.Option(
            "--max-drop",
            help="Largest accepted loss of accuracy, as a share; what costs more is refused.",
        ),
    ] = MAX_DROP,
    crops: Annotated[
        int, typer.Option("--crops", min=1, help="Crops for calibration, at most.")
    ] = CROPS,
    force: Annotated[
        bool, typer.Option("--force", help="Write the files even if they would be refused.")
    ] = False,
    detector: options.DetectorName = "yunet",
    bootstrap: Annotated[
        int,
        typer.Option(
            "--bootstrap", min=0, help="Bootstrap replicates for the intervals; 0 for none."
        ),
    ] = 1000,
    workers: options.Workers = None,
    no_cache: options.NoCache = False,
    json: options.Json = False,
) -> None:
    """Export an embedder to ONNX, OpenVINO or PyTorch, in float32, FP16 or INT8.

    The file takes RGB pixels and returns unit vectors. Beside it: model.json (input, alignment,
    license, thresholds), its operating points, and a report of parity, error rates, size and time
    before and after. Register it with `visavis models add DIR`.

    Example: `visavis export sface --to openvino-int8 --out sface-int8 --calibrate photos/
    --evaluate people/`
    """
    with stages(quiet=json) as update:
        made = export_model(
            model,
            to=to,
            out=out,
            calibrate=calibrate,
            evaluate=evaluate,
            view=view,
            name=name,
            max_drop=max_drop,
            crops=crops,
            force=force,
            detector=detector,
            bootstrap=bootstrap,
            cache=not no_cache,
            workers=workers,
            home=home(),
            command=output.command_line(),
            progress=update,
        )
    if json:
        echo_json(made)
        return
    console.print((out / "report.md").read_text(encoding="utf-8"), markup=False)
    console.print(f"use it: visavis models add {out}", markup=False)
