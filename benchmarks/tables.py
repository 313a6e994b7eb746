"""Tables for the terminal and for the documentation, and what machine they come from."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Table:
    """A titled table of ready-made cells; the first column is text, the others are figures."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    note: str = ""

    def text(self) -> str:
        """For a terminal."""
        lines = [self.columns, *self.rows]
        widths = [max(len(line[k]) for line in lines) for k in range(len(self.columns))]
        out = [self.title, "-" * len(self.title)]
        for line in lines:
            first, *rest = line
            cells = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
            out.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
        return "\n".join([*out, *([self.note] if self.note else []), ""])

    def markdown(self) -> str:
        """For the documentation."""
        out = [f"### {self.title}", "", "| " + " | ".join(self.columns) + " |"]
        out.append("|---|" + "---:|" * (len(self.columns) - 1))
        out += ["| " + " | ".join(row) + " |" for row in self.rows]
        return "\n".join([*out, "", *([self.note, ""] if self.note else [])])

    def plain(self) -> list[dict[str, Any]]:
        """For ``--json``: the cells as printed, a dictionary a row."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


def machine() -> str:
    """Processor, cores, system and the versions that matter, in one line."""
    names = ("numpy", "onnxruntime", "openvino", "opencv-python-headless", "pillow")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    return (
        f"{_processor()}, {os.cpu_count()} cores, {platform.system()}, "
        f"Python {platform.python_version()}, {versions}"
    )


def load() -> str:
    """How busy the machine has been: the load average of the last minute."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def write_section(path: Path, name: str, text: str, *, page: str) -> None:
    """Put generated text between ``name``'s markers in a page.

    Args:
        page: what to create the file with where there is none; it holds the markers.

    Raises:
        SystemExit: the file is there without the markers.
    """
    begin, end = f"<!-- begin {name} (generated) -->", f"<!-- end {name} -->"
    content = path.read_text(encoding="utf-8") if path.exists() else page
    if begin not in content or end not in content:
        raise SystemExit(f"{path} has no lines '{begin}' and '{end}'; add them where it belongs")
    head, _, rest = content.partition(begin)
    tail = rest.partition(end)[2]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{head}{begin}\n\n{text.strip()}\n\n{end}{tail}", encoding="utf-8")


def ms(seconds: float, digits: int = 1) -> str:
    """Seconds as milliseconds."""
    return f"{seconds * 1e3:.{digits}f}"


def spread(values: Sequence[float], *, digits: int = 2) -> str:
    """Median with the 10th and 90th percentile."""
    from benchmarks.measuring import median, quantile

    low, high = quantile(values, 0.1), quantile(values, 0.9)
    return f"{median(values):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
