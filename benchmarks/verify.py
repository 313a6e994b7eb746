"""visavis against deepface with the same SFace and YuNet weights on the same photos.

``python -m benchmarks.verify`` builds deepface's own environment on first use, measures whole
processes and warm ones side by side, and says whether the targets are met.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import verify_parts, verify_process, verify_warm
from benchmarks.measuring import median
from benchmarks.peers import environment
from benchmarks.photos import Pair, data_folder, folder_pairs, lfw_pairs
from benchmarks.tables import Table, load, machine, spread, write_section

OWN, THEIRS = "visavis.verify(a, b)", "DeepFace.verify(a, b, …)"
_PAGE = """# Benchmarks

What the figures in this documentation come from. All of it can be run again: `make bench`, or one
benchmark at a time, `python -m benchmarks.verify --markdown docs/benchmarks.md`.

## Verifying two photos: visavis and deepface

Both get the same photos, the pairs of LFW's View 1 test list (all over it, mated and non-mated in
turn), and the same weights: YuNet is the same file; SFace is the same file for visavis and, since
ONNX Runtime refuses that file as it is published, the same weights unpacked to float32 for
deepface, which is the graph that deepface downloads by itself, operator for operator. deepface
0.0.103 runs in its fastest setting: on ONNX Runtime with neither TensorFlow nor PyTorch installed,
with the same versions of numpy, ONNX Runtime and OpenCV as visavis, and with OpenCV 5, whose YuNet
is faster than OpenCV 4's. Everything else is each package's default. visavis does more for its
answer: it looks at each face in several sizes, measures its quality, and gives the error rate of
its threshold and a likelihood ratio.

The two take turns, pair by pair, so that whatever else the machine does hits both; ratios are taken
pair by pair, then their median. "No face" are pairs that a package declined; they are left out of
both packages' times. "Right" only shows that both did the work: View 1 is what visavis was
developed on. See [the evaluation](concepts/metrics.md) for accuracy.

<!-- begin verify (generated) -->
<!-- end verify -->
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; 0 where every target is met, 1 where one is missed."""
    options = _options(arguments)
    lfw = options.lfw or data_folder("lfw")
    if options.photos is None and lfw is None:
        raise SystemExit("no photos; give --photos DIR, or --lfw DIR with LFW and its pair lists")

    def pairs(limit: int) -> list[Pair]:
        if options.photos is not None:
            return folder_pairs(options.photos.resolve(), limit=limit)
        return lfw_pairs(Path(lfw or "").resolve(), limit=limit)

    environment.ready()
    before = load()

    def measured(cores: int, precision: str) -> verify_warm.Warm:
        return verify_warm.measure(
            pairs(options.pairs),
            cores=cores,
            progress=_progress(f"warm, {cores or 'all'} cores, {precision}"),
            precision=precision,
        )

    warm = [measured(0, "auto"), measured(1, "auto")]
    # A package that declines a pair does less, so these pairs are ones that both answer.
    answered = warm[0].answered()[: options.rounds]
    whole = verify_process.measure(answered, progress=_progress("whole process"))
    from visavis.inference.precision import has_bf16

    if has_bf16():  # asks OpenVINO, whose size later children would inherit
        warm.append(measured(0, "bf16"))
    # Last, since it loads the models into this process, whose size its children would inherit.
    parts = verify_parts.measure(pairs(min(options.pairs, 40)), progress=_progress("parts"))
    targets = _targets(whole, warm)
    tables = [whole.table(), *(run.table() for run in warm), verify_parts.table(parts)]
    about = f"{machine()}. Load average {before} before, {load()} after."
    if options.json:
        print(json.dumps(_plain(about, targets, whole, warm, parts), indent=2))
    else:
        print("\n".join(table.text() for table in [_target_table(targets), *tables]) + about)
    if options.markdown:
        text = "\n".join(table.markdown() for table in [_target_table(targets), *tables])
        write_section(options.markdown, "verify", f"{text}\n{about}", page=_PAGE)
    return 0 if all(target["met"] for target in targets) else 1


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verify", description=__doc__)
    parser.add_argument(
        "--photos", type=Path, help="folder of portraits, perhaps a folder a person"
    )
    parser.add_argument("--lfw", type=Path, help="LFW with its pair lists (default: VISAVIS_LFW)")
    parser.add_argument("--rounds", type=int, default=15, help="whole processes of each kind")
    parser.add_argument("--pairs", type=int, default=100, help="pairs for the warm processes")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--markdown", type=Path, help="write the tables into this page")
    return parser.parse_args(arguments)


def _targets(
    whole: verify_process.WholeProcess, warm: list[verify_warm.Warm]
) -> list[dict[str, Any]]:
    from visavis.inference.precision import has_bf16

    seconds = whole.import_seconds()
    faster = "at least 3" if has_bf16() else "at least 2.2"
    rows: list[tuple[str, list[float], str, bool]] = []
    for run in warm:
        if not run.confined():
            continue
        rows.append((f"warm, {run.where}: times faster", run.ratios("seconds"), faster, True))
    wall = whole.ratios(THEIRS, OWN, "wall")
    rows += [
        ("whole process: times faster", wall, "at least 2.2", True),
        (
            "whole process: times less CPU",
            whole.ratios(THEIRS, OWN, "cpu"),
            "at least 2.2",
            True,
        ),
        ("whole process: share of memory", whole.ratios(OWN, THEIRS, "peak"), "below 1", False),
        (
            "warm: share of memory",
            [r.peak("visavis") / r.peak("deepface") for r in warm if r.precision == "auto"],
            "below 1",
            False,
        ),
        ("`import visavis`, seconds", [seconds], "below 0.3", False),
    ]
    return [
        {
            "target": name,
            "wanted": wanted,
            "median": median(values),
            "shown": spread(values),
            "met": _met(median(values), wanted, more),
        }
        for name, values, wanted, more in rows
    ]


def _met(value: float, wanted: str, more: bool) -> bool:
    limit = float(wanted.rpartition(" ")[2])
    return value >= limit if more else value < limit


def _target_table(targets: list[dict[str, Any]]) -> Table:
    table = Table(
        "visavis against deepface",
        ("what", "measured", "wanted", "met"),
        note="Ratios pair by pair: median (10th to 90th percentile).",
    )
    for row in targets:
        met = "yes" if row["met"] else "no"
        table.rows.append((row["target"], row["shown"], row["wanted"], met))
    return table


def _plain(
    about: str,
    targets: list[dict[str, Any]],
    whole: verify_process.WholeProcess,
    warm: list[verify_warm.Warm],
    parts: dict[str, list[float]],
) -> dict[str, Any]:
    return {
        "machine": about,
        "targets": targets,
        "whole_process": {
            name: {what: [getattr(c, what) for c in costs] for what in ("wall", "cpu", "peak")}
            for name, costs in whole.costs.items()
        },
        "warm": [
            {
                "cores": run.cores or "all",
                "precision": run.precision,
                "peak_mib": {name: run.peak(name) for name in run.answers},
                "seconds": {name: run.of(name, "seconds") for name in run.answers},
                "cpu": {name: run.of(name, "cpu") for name in run.answers},
            }
            for run in warm
        ],
        "parts_seconds": parts,
    }


def _progress(label: str) -> Callable[[int, int], None]:
    def update(done: int, total: int) -> None:
        end = "\n" if done == total else ""
        print(f"\r{label}: {done} of {total}", end=end, file=sys.stderr, flush=True)

    return update


if __name__ == "__main__":
    sys.exit(main())
