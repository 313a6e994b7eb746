"""What each export target costs: ``python -m benchmarks.export sface runs/mine --out DIR``.

Runs ``visavis.export`` for every target and model on View 1 of Labeled Faces in the Wild, scores
the same file on View 2, and prints a table of each. 8-bit ranges are of people in no pair of
either. Its last column names the gates that a file misses: 8 bits at most 0.27 of the size and 0.60
of the source's time, FP16 at most 0.51 of the size; all: accuracy within 0.1 points, FNMR at FMR
1e-3 within 0.3 points. Reports that are in ``--out`` already are not made again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import visavis as vv
from benchmarks.photos import data_folder
from benchmarks.tables import Table, machine, write_section
from visavis.api.export import measuring
from visavis.api.options import kept_templates, make_recognizer
from visavis.embedding.onnx import OnnxEmbedder
from visavis.errors import VisavisError
from visavis.evaluation import protocols
from visavis.exporting import TARGETS
from visavis.types import to_plain
from visavis.weights import WeightStore

TIMED = [name for name in TARGETS if name != "torchscript-fp16"]  # minutes per photo set on a CPU
COLUMNS = (
    "file", "MB (ratio)", "ms, batch 1 (ratio)", "ms, batch 16 (ratio)",
    "1 - cosine, mean; largest", "accuracy, %", "FNMR at FMR 1e-2, %", "FNMR at FMR 1e-3, %",
    "misses",
)  # fmt: skip
NOTE = (
    "Before → after. ms: processor time of one thread per crop, by turns with the source in ONNX "
    "Runtime; ratios to the source's float32."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=["sface"], help="names, or folders of runs")
    parser.add_argument("--lfw", type=Path, default=data_folder("lfw"))
    parser.add_argument("--out", type=Path, help="folder to keep the exports in")
    parser.add_argument("--home", type=Path)
    parser.add_argument("--views", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--targets", nargs="+", default=TIMED, choices=list(TARGETS))
    parser.add_argument("--markdown", type=Path, help="page to write the tables into")
    args = parser.parse_args()
    if args.lfw is None:
        raise SystemExit("give the folder of LFW by --lfw or VISAVIS_LFW")
    with tempfile.TemporaryDirectory() as scratch:
        args.out = args.out or Path(scratch)
        tables = measured(args)
    if args.markdown:
        text = "\n".join(table.markdown() for table in tables)
        write_section(args.markdown, "export", text, page="")


def measured(args: argparse.Namespace) -> list[Table]:
    """A table for each view, its rows printed as they come."""
    tables = []
    for view in args.views:
        table = Table(f"LFW View {view}", COLUMNS, note=f"{NOTE} {machine()}.")
        for model in args.models:
            for target in args.targets:
                try:
                    table.rows.append(line(report(args, model, target, view)))
                except VisavisError as error:
                    table.rows.append((f"{model} {target}", str(error), *[""] * 7))
                print(" | ".join(table.rows[-1]), flush=True)
        print(table.text(), flush=True)
        tables.append(table)
    return tables


def report(args: argparse.Namespace, model: str, target: str, view: int) -> dict[str, Any]:
    """The report of an export, its error rates on the view."""
    folder = args.out / f"{Path(model).name}-{target}"
    file = folder / "report.json"
    if not file.is_file():
        vv.export(
            model,
            to=target,
            out=folder,
            calibrate=args.lfw / "lfw-deepfunneled" if TARGETS[target].quantized else None,
            evaluate=args.lfw,
            force=True,
            workers=1,
            home=args.home,
        )
    if view == 2:
        made: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        file = args.out / f"{folder.name}-view2.json"
        if not file.is_file():
            made |= to_plain(on_view_2(args, model, folder))
            file.write_text(json.dumps(made), encoding="utf-8")
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def on_view_2(args: argparse.Namespace, model: str, folder: Path) -> dict[str, Any]:
    """Parity and error rates of an exported file on View 2."""
    pairs = protocols.lfw.view(2, args.lfw)
    with tempfile.TemporaryDirectory() as scratch, kept_templates(args.home, cache=True) as kept:
        home = Path(scratch)
        entry = vv.models.add(folder, home=home)
        source = args.home
        if Path(model).is_dir():
            model, source = vv.models.add(model, home=home).name, home
        both = measuring.embed_both(
            pairs,
            make_recognizer(model=model, home=source),
            OnnxEmbedder(entry.name, store=WeightStore(home)),
            cache=kept,
            workers=1,
            progress=None,
        )
        rates = measuring.compare(
            pairs, both, (entry.name, entry.sha256), replicates=1000, progress=None
        )
    return {"parity": measuring.parity_of(both, pairs.name), "comparison": rates}


def line(report: dict[str, Any]) -> tuple[str, ...]:
    """A report as a line of the table."""
    share = report["size"] / report["float32_size"]
    times = [f"{t['after']:.1f} ({t['after'] / t['before']:.2f})" for t in report["latency"]]
    before, after = report["comparison"]["before"], report["comparison"]["after"]
    return (
        f"{report['source']} {report['target']}",
        f"{report['size'] / 1e6:.1f} ({share:.2f})",
        *times,
        f"{report['parity']['mean']:.1e}; {report['parity']['largest']:.1e}",
        f"{100 * before['accuracy']:.2f} → {100 * after['accuracy']:.2f}",
        *(
            f"{100 * before['fnmr'][fmr]:.2f} → {100 * after['fnmr'][fmr]:.2f}"
            if fmr in after["fnmr"]
            else "–"
            for fmr in ("1e-2", "1e-3")
        ),
        ", ".join(missed(report, share)) or "none",
    )


def missed(report: dict[str, Any], share: float) -> list[str]:
    """Gates that a report does not pass."""
    bits = TARGETS[report["target"]].bits
    before, after = report["comparison"]["before"], report["comparison"]["after"]
    found = []
    if bits < 32 and share > (0.27 if bits == 8 else 0.51):
        found.append("size")
    if bits == 8 and report["latency"][0]["after"] > 0.60 * report["latency"][0]["before"]:
        found.append("time")
    if before["accuracy"] - after["accuracy"] > 0.001 + 1e-9:
        found.append("accuracy")
    if after["fnmr"].get("1e-3", 0) - before["fnmr"].get("1e-3", 0) > 0.003 + 1e-9:
        found.append("FNMR")
    return found


if __name__ == "__main__":
    main()
