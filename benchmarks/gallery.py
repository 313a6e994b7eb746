"""The gallery at 10,000 to 1,000,000 faces, beside its bounds, and against deepface's ``find``.

``python -m benchmarks.gallery`` enrolls synthetic faces (``synthetic_faces.py``) through
``SqliteGallery``, opens the gallery in a fresh process, identifies mated probes and strangers one
by one, compares with brute force over what was drawn, and the index alone with one matrix-vector
product over the same memory. Each part runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import gallery_find
from benchmarks.measuring import usual_environment
from benchmarks.photos import ROOT, data_folder
from benchmarks.tables import Table, load, machine, write_section

SIZES = (10_000, 100_000, 1_000_000)
_DIMENSION = 128
_PAGE = "# Search\n\n<!-- begin gallery (generated) -->\n<!-- end gallery -->\n"


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; 0 where every bound holds, 1 where one does not."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gallery", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="faces enrolled")
    parser.add_argument("--lfw", type=Path, help="LFW with its lists (default: VISAVIS_LFW)")
    parser.add_argument("--no-find", action="store_true", help="leave deepface out")
    parser.add_argument("--index-only", action="store_true", help="leave SQLite and deepface out")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--markdown", type=Path, help="write the tables into this page")
    options = parser.parse_args(arguments)
    lfw = options.lfw or data_folder("lfw")
    find = None
    before = load()
    if not options.no_find and not options.index_only:
        if lfw is None:
            raise SystemExit("no photos; give --lfw DIR with LFW and its lists, or --no-find")
        _say("deepface's find")
        find = gallery_find.measure(Path(lfw).resolve())
    measured = {size: _measured(size, index_only=options.index_only) for size in options.sizes}
    bounds = _bounds(measured, find)
    tables = [_bound_table(bounds), *_tables(measured), *([find.table()] if find else [])]
    about = f"{machine()}. Load average {before} before, {load()} after."
    if options.json:
        print(json.dumps({"machine": about, "bounds": bounds, "sizes": measured}, indent=2))
    else:
        print("\n".join(table.text() for table in tables) + about)
    if options.markdown:
        text = "\n".join(table.markdown() for table in tables)
        write_section(options.markdown, "gallery", f"{text}\n{about}", page=_PAGE)
    return 0 if all(row["holds"] for row in bounds) else 1


def _measured(size: int, *, index_only: bool) -> dict[str, Any]:
    out: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for part in ("truth", "search") if index_only else ("truth", "search", "enroll", "open"):
            _say(f"{size:,}: {part}")
            command = [sys.executable, "-m", "benchmarks.gallery_worker", part, str(size), folder]
            done = subprocess.run(
                command, cwd=ROOT, env=usual_environment(), stdout=subprocess.PIPE, check=False
            )
            if done.returncode:
                raise SystemExit(f"exit code {done.returncode} from: {' '.join(command)}")
            out[part] = json.loads(done.stdout)
    return out


def _bounds(measured: dict[int, dict[str, Any]], find: Any) -> list[dict[str, Any]]:
    size = max(measured)
    parts = measured[size]
    raw = size * _DIMENSION * 4 / 2**20
    search = parts["search"]
    rows: list[tuple[str, float, str, float]] = [
        (
            "exact search over one matrix-vector product, one thread",
            search["exact"]["p50"] / search["product"]["p50"],
            "at most",
            1.3,
        ),
        ("index: resident MiB", search["resident"], "at most", 1.5 * raw),
        ("index: recall of the closest, mated probes", search["mated"]["recall"], "at least", 0.99),
        (
            "index: recall of the closest, non-mated",
            search["non_mated"]["recall"],
            "at least",
            0.99,
        ),
        ("index: p50 ms, ten closest", search["mated"]["p50"], "at most", 3),
        ("index: p99 ms, ten closest", search["mated"]["p99"], "at most", 10),
    ]
    if "open" in parts:
        enroll, opened = parts["enroll"], parts["open"]
        total = enroll["adding"] + enroll["index"]
        rows += [
            ("gallery: enrolled a second, index included", size / total, "at least", 20_000),
            ("gallery: cold open to first answer, s", opened["open"], "at most", 10),
            ("gallery: recall, mated probes", opened["mated"]["recall"], "at least", 0.99),
            ("gallery: recall, non-mated", opened["non_mated"]["recall"], "at least", 0.99),
            ("gallery: identify p50 ms", opened["mated"]["p50"], "at most", 3),
            ("gallery: identify p99 ms", opened["mated"]["p99"], "at most", 10),
            ("gallery: resident MiB", opened["resident"], "at most", 1.5 * raw),
            ("gallery: peak MiB", opened["peak"], "at most", 1.5 * raw),
        ]
    if find is not None:
        default = next(iter(gallery_find.MODES))
        rows += [
            (
                "times faster than deepface's find, 10,000 faces",
                find.ratio(default, whole=False),
                "at least",
                100,
            )
        ]
    return [
        {
            "what": f"{what} ({size:,})" if "10,000" not in what else what,
            "measured": value,
            "bound": f"{word} {limit:g}",
            "holds": value <= limit if word == "at most" else value >= limit,
        }
        for what, value, word, limit in rows
    ]


def _bound_table(bounds: list[dict[str, Any]]) -> Table:
    table = Table("The gallery against its limits", ("what", "measured", "bound", "holds"))
    for row in bounds:
        shown = f"{row['measured']:,.3f}" if row["measured"] < 100 else f"{row['measured']:,.0f}"
        table.rows.append((row["what"], shown, row["bound"], "yes" if row["holds"] else "no"))
    return table


def _tables(measured: dict[int, dict[str, Any]]) -> list[Table]:
    index = Table(
        "The index alone",
        (
            *("faces", "add /s", "MiB", "p50 ms", "p99 ms", "CPU ms", "mated @1", "mated @10"),
            *("non-mated @1", "non-mated @10", "exact ms", "product ms", "exact / product"),
        ),
        note="One probe at a time, one thread, the ten closest. @1, @10: share of the true closest "
        "and of the true ten that are found. Product: one float32 matrix-vector product over the "
        "same memory, taken in turn with the exact search.",
    )
    structures = Table("How the index describes itself", ("faces", "structure"))
    gallery = Table(
        "The whole gallery, with SQLite",
        (
            *("faces", "enrolled /s", "/ CPU s", "index s", "on disk MiB", "cold open s"),
            *("p50 ms", "p99 ms", "CPU ms", "recall", "non-mated", "MiB", "peak MiB"),
        ),
        note="Five people per probe, default fusion, one thread. Faces enrolled per second of wall "
        "time and of CPU time, with building and saving the index; some 33,000 faces per `add`. "
        "Cold open: a fresh process, from its imports to its first answer.",
    )
    for size, parts in measured.items():
        s, mated, other = parts["search"], parts["search"]["mated"], parts["search"]["non_mated"]
        index.rows.append(
            (
                f"{size:,}",
                f"{size / s['building']:,.0f}",
                f"{s['resident']:.0f}",
                *(f"{mated[key]:.2f}" for key in ("p50", "p99", "cpu")),
                *(f"{mated[key]:.3f}" for key in ("recall", "recall_ten")),
                *(f"{other[key]:.3f}" for key in ("recall", "recall_ten")),
                *(f"{s[key]['p50']:.2f}" for key in ("exact", "product")),
                f"{s['exact']['p50'] / s['product']['p50']:.2f}",
            )
        )
        structures.rows.append((f"{size:,}", s["described"]))
        if "open" in parts:
            e, o = parts["enroll"], parts["open"]
            gallery.rows.append(
                (
                    f"{size:,}",
                    f"{size / (e['adding'] + e['index']):,.0f}",
                    f"{size / e['cpu']:,.0f}",
                    f"{e['index']:.1f}",
                    f"{e['bytes'] / 2**20:,.0f}",
                    f"{o['open']:.1f}",
                    *(f"{o['mated'][key]:.2f}" for key in ("p50", "p99", "cpu")),
                    *(f"{o[key]['recall']:.3f}" for key in ("mated", "non_mated")),
                    *(f"{o[key]:.0f}" for key in ("resident", "peak")),
                )
            )
    return [index, structures, *([gallery] if gallery.rows else [])]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
