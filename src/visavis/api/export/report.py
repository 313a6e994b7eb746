"""Report of an export: ``report.json`` and ``report.md``."""

from __future__ import annotations

import json
from math import isnan
from pathlib import Path

from visavis.api.export.records import Exported, Interval, Rates


def write(folder: Path, made: Exported) -> None:
    """Writes both files."""
    text = json.dumps(made.to_dict(), ensure_ascii=False, indent=1, allow_nan=False)
    (folder / "report.json").write_text(text + "\n", encoding="utf-8", errors="backslashreplace")
    (folder / "report.md").write_text(markdown(made), encoding="utf-8", errors="backslashreplace")


def markdown(made: Exported) -> str:
    """Returns the report as Markdown."""
    size = made.size / made.float32_size
    rows = [f"| size | {_mb(made.float32_size)} as float32 | {_mb(made.size)} ({size:.2f}) |"]
    rows += [
        f"| time per crop, batch {one.batch} | {one.before:.1f} ms | {one.after:.1f} ms "
        f"({one.after / one.before:.2f}) |"
        for one in made.latency
    ]
    if made.comparison is not None:
        rows += _rates(made.comparison.before, made.comparison.after)
    lines = [
        f"# {made.name}",
        "",
        f"`{made.source}` (sha256 `{made.source_sha256[:12]}`) exported as {made.target}: "
        f"{', '.join(f'`{file}`' for file in made.files)}, sha256 `{made.sha256}`.",
        "",
    ]
    if made.refused:
        lines += [f"**Forced. It would be refused: {made.refused}.**", ""]
    lines += ["| | before | after |", "|---|---|---|", *rows, ""]
    apart = made.parity
    lines.append(
        f"Parity over {apart.crops:,} crops ({apart.of}): 1 - cosine {apart.mean:.2g} on average, "
        f"{apart.largest:.2g} at most."
    )
    if made.comparison is not None:
        lines.append(
            f"Error rates on {made.comparison.protocol}: {made.comparison.pairs:,} pairs, "
            f"{made.comparison.mated:,} mated; 95 % intervals by bootstrap."
        )
    if made.calibration_crops:
        lines.append(f"8-bit ranges from {made.calibration_crops:,} crops.")
    lines.append(
        "Time: processor time of one thread, median, interleaved measurements on this machine."
    )
    lines += [f"{note[:1].upper()}{note[1:]}." for note in made.notes]
    if made.points:
        lines += [
            "",
            f"Operating points of this file, measured on {made.points[0].dataset} "
            f"({made.points[0].people:,} people):",
            "",
            "| FMR | threshold | measured FMR | FNMR |",
            "|---|---|---|---|",
            *(
                f"| {point.target_fmr:g} | {point.threshold:.4f} | {point.fmr:.3g} | "
                f"{_share(point.fnmr)} {_span(point.fnmr_ci)} |"
                for point in made.points
            ),
        ]
    return "\n".join(lines) + "\n"


def _rates(before: Rates, after: Rates) -> list[str]:
    def cell(value: float, ends: Interval) -> str:
        return f"{_share(value)} {_span(ends)}".strip()

    rows = [
        f"| accuracy | {cell(before.accuracy, before.accuracy_ci)} "
        f"| {cell(after.accuracy, after.accuracy_ci)} |"
    ]
    for fmr in ("1e-2", "1e-3"):
        if fmr in before.fnmr and fmr in after.fnmr:
            rows.append(
                f"| FNMR at FMR {fmr} | {cell(before.fnmr[fmr], before.fnmr_ci[fmr])} "
                f"| {cell(after.fnmr[fmr], after.fnmr_ci[fmr])} |"
            )
        else:
            rows.append(f"| FNMR at FMR {fmr} | too few non-mated pairs | |")
    return rows


def _mb(size: int) -> str:
    return f"{size / 1e6:.2f} MB"


def _share(value: float) -> str:
    return "not known" if isnan(value) else f"{100 * value:.2f} %"


def _span(ends: Interval) -> str:
    return "" if isnan(ends[0]) else f"({100 * ends[0]:.2f} to {100 * ends[1]:.2f})"
