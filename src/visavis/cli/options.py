"""Options that several commands share, worded once."""

from __future__ import annotations

from typing import Annotated, Any

import typer
import typer.core


class RunByDefault(typer.core.TyperGroup):
    """``GROUP ARGUMENT`` is ``GROUP run ARGUMENT``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["run", *args]
        return super().parse_args(ctx, args)


Model = Annotated[str, typer.Option("--model", help="Embedder, a name from `visavis models list`.")]
DetectorName = Annotated[str, typer.Option("--detector", help="yunet, mtcnn or dlib.")]
MinFace = Annotated[
    int | None,
    typer.Option(
        "--min-face",
        help="Height of the smallest face to find, in pixels of the photo; 8 or more.",
        show_default="20",
    ),
]
MinConfidence = Annotated[
    float | None,
    typer.Option(
        "--min-confidence",
        help="Lowest confidence of a face, on the detector's own scale from 0 to 1.",
        show_default="0.8 for yunet",
    ),
]
Photos = Annotated[
    list[str],
    typer.Argument(metavar="PHOTO...", help="Photos or folders; - is a photo on standard input."),
]
Aligned = Annotated[
    bool,
    typer.Option(
        "--aligned",
        help="The photos are square crops aligned to the usual 112x112 template. They are used as "
        "they are; other pictures are refused.",
    ),
]
CalibrationName = Annotated[
    str | None,
    typer.Option(
        "--calibration",
        help="A calibration saved by `visavis calibrate`; the model's own when left out.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
Flip = Annotated[
    bool,
    typer.Option("--flip", help="Average each face with its mirror image: twice the time."),
]
Runtime = Annotated[str, typer.Option("--runtime", help="onnxruntime (default) or openvino.")]
Threads = Annotated[
    int | None, typer.Option("--threads", min=1, help="CPU threads; all cores when left out.")
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="Photos in work at once; all cores when left out."),
]
NoCache = Annotated[
    bool,
    typer.Option("--no-cache", help="Neither read nor keep templates between runs."),
]
