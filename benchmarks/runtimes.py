"""ONNX Runtime against OpenVINO for YuNet and SFace: speed warm, cost of starting, agreement.

``python -m benchmarks.runtimes`` times each graph as published (only the false inputs removed),
with its weights unpacked to float32, and folded as visavis runs it (PReLU rewritten too).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.graphs import as_published, unpacked
from benchmarks.measuring import median, usual_environment
from benchmarks.photos import ROOT, data_folder, folder_pairs, lfw_pairs
from benchmarks.tables import Table, load, machine, ms, write_section

if TYPE_CHECKING:
    from visavis.inference import Session

RUNTIMES = ("onnxruntime", "openvino")
SHORT = {"onnxruntime": "ORT", "openvino": "OV"}
FORMS = ("as published", "unpacked", "folded")
SHAPES: dict[str, list[tuple[int, ...]]] = {
    # YuNet's input is a multiple of 32: photos of 250 and 384 pixels, and a tile.
    "yunet": [(1, 3, 256, 256), (1, 3, 384, 384), (1, 3, 1280, 1280)],
    "sface": [(1, 3, 112, 112), (2, 3, 112, 112), (16, 3, 112, 112)],
}
FREE: dict[str, tuple[int | str, ...]] = {
    "yunet": (1, 3, "height", "width"),
    "sface": ("n", 3, 112, 112),
}
_PAGE = """# Runtimes

visavis runs its networks on ONNX Runtime or on OpenVINO (`--runtime`,
`RecognizerOptions(runtime=...)`). Both are installed, both run the same folded graph in float32 on
the CPU, and their scores agree far below the step at which a decision changes (last table), so a
threshold measured with one holds with the other.

**Why ONNX Runtime is the default.** It starts faster and in less memory, which is most of what a
single `visavis verify` costs; it runs the detector faster; and with the PReLU rewrite below it
embeds the one or two faces of a verification as fast as OpenVINO. **When to choose OpenVINO:** for
large batches of faces in a process that lives long, where the tables show it ahead, and for models
of your own with layers that ONNX Runtime runs slowly. Measure on your machine:
`python -m benchmarks.runtimes`.

**What folding does.** The published `int8bq` files keep weights as integers, unpack them at each
call, and list them as inputs that the caller would have to supply; each runtime refuses one of the
two files even without those inputs. visavis unpacks the weights once ("unpacked") and keeps the
result. ONNX Runtime's own PReLU then takes half of SFace's time: it does not know the blocked
layout in which the convolutions run, so that each of SFace's 27 PReLUs converts there and back.
"Folded" writes PReLU in operators that stay in that layout: the same function, half the time.

float32 is asked for by name: OpenVINO would otherwise take bfloat16 where the processor has it, and
scores would depend on the machine.

<!-- begin runtimes (generated) -->
<!-- end runtimes -->
"""


@dataclass(frozen=True, slots=True)
class Graph:
    """One network in one form."""

    model: str
    form: str
    data: bytes


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark."""
    options = _options(arguments)
    graphs = list(_graphs())
    before = load()
    starts = fresh(graphs, rounds=options.rounds)
    tables = [_fresh_table(starts)]
    raw: dict[str, Any] = {"fresh": starts, "warm": {}}
    for threads in (1, 2):
        times = warm(graphs, threads=threads, rounds=options.rounds)
        raw["warm"][threads] = {" ".join(map(str, key)): value for key, value in times.items()}
        tables.append(_warm_table(times, threads))
    raw["agreement"] = agreement(options.photos)
    tables.append(_agreement_table(raw["agreement"]))
    about = f"{machine()}. Load average {before} before, {load()} after."
    if options.json:
        print(json.dumps({"machine": about, **raw}, indent=2))
    else:
        print("\n".join(table.text() for table in tables) + about)
    if options.markdown:
        text = "\n".join(table.markdown() for table in tables)
        write_section(options.markdown, "runtimes", f"{text}\n{about}", page=_PAGE)
    return 0


def fresh(graphs: list[Graph], *, rounds: int) -> list[dict[str, Any]]:
    """Fresh processes, the runtimes in turns: seconds and MiB, a row a process."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for k in range(rounds):
            for graph in graphs:
                path = Path(folder) / f"{graph.model}-{FORMS.index(graph.form)}.onnx"
                if k == 0:
                    path.write_bytes(graph.data)
                shape = ",".join(map(str, SHAPES[graph.model][0]))
                for runtime in RUNTIMES:
                    command = [sys.executable, "-m", "benchmarks.runtimes_fresh", runtime]
                    done = subprocess.run(
                        [*command, str(path), shape],
                        cwd=ROOT,
                        env=usual_environment(),
                        capture_output=True,
                        text=True,
                        check=False,
                    )
                    cost = json.loads(done.stdout) if done.returncode == 0 else None
                    named = {"model": graph.model, "form": graph.form, "runtime": runtime}
                    rows.append({**named, "cost": cost})
            _say(f"fresh processes: {k + 1} of {rounds}")
    return rows


Key = tuple[str, tuple[int, ...], str, str]


def warm(graphs: list[Graph], *, threads: int, rounds: int) -> dict[Key, list[float]]:
    """Seconds a call by (model, shape, form, runtime), everything in turns."""
    import numpy as np

    sessions: dict[tuple[str, str, str], Session] = {}
    for graph in graphs:
        for runtime in RUNTIMES:
            session = _session(runtime, graph, threads)
            if session is not None:
                sessions[graph.model, graph.form, runtime] = session
    generator = np.random.default_rng(0)
    tensors = {
        (model, shape): (generator.random(shape, dtype=np.float32) * 255)
        for model, shapes in SHAPES.items()
        for shape in shapes
    }
    times: dict[Key, list[float]] = {}
    for k in range(rounds + 1):
        for (model, shape), tensor in tensors.items():
            for (of, form, runtime), session in sessions.items():
                if of != model:
                    continue
                started = time.perf_counter()
                session.run(tensor)
                if k:  # the first call sets things up
                    taken = time.perf_counter() - started
                    times.setdefault((model, shape, form, runtime), []).append(taken)
        _say(f"warm, {threads} threads: {k} of {rounds}")
    return times


def agreement(photos: Path | None) -> dict[str, float] | None:
    """How far the runtimes' answers lie apart on real photos; ``None`` where there are none.

    The crops come from one detector and go through both embedders; the landmarks are compared for
    themselves.
    """
    lfw = data_folder("lfw")
    if photos is None and lfw is None:
        return None
    import numpy as np

    from visavis import faces, images
    from visavis.embedding.onnx import EmbedderOptions, OnnxEmbedder
    from visavis.faces import align

    found = folder_pairs(photos, limit=60) if photos else lfw_pairs(Path(lfw or ""), limit=60)
    detectors = [faces.detector("yunet", runtime=runtime) for runtime in RUNTIMES]
    marks: list[float] = []
    crops = []
    for path in sorted({path for pair in found for path in (pair.a, pair.b)}):
        pixels = images.decode(path)
        one, two = (detector.detect(pixels) for detector in detectors)
        if one:
            crops.append(align.crops(pixels, [one[0].landmarks])[0])
        if one and two:
            marks.append(float(np.abs(one[0].landmarks - two[0].landmarks).max()))
    stack = np.stack(crops)
    first, second = (
        OnnxEmbedder("sface", options=EmbedderOptions(runtime=runtime)).embed(stack)
        for runtime in RUNTIMES
    )
    scores = [vectors @ vectors.T for vectors in (first, second)]
    return {
        "photos": len(crops),
        "pairs": len(crops) * (len(crops) - 1) // 2,
        "max_score_difference": float(np.abs(scores[0] - scores[1]).max()),
        "max_template_distance": float(1 - (first * second).sum(axis=1).min()),
        "max_landmark_difference": max(marks),
    }


def _graphs() -> Iterator[Graph]:
    from visavis.inference.folding import folded
    from visavis.weights import WeightStore

    for model, shape in FREE.items():
        data = WeightStore().read(model)
        yield Graph(model, "as published", as_published(data, input_shape=shape))
        yield Graph(model, "unpacked", unpacked(data, input_shape=shape))
        yield Graph(model, "folded", folded(data, input_shape=shape))


def _session(runtime: str, graph: Graph, threads: int) -> Session | None:
    """A session that has run once, or ``None`` where the runtime refuses the graph."""
    import numpy as np

    from visavis.inference.openvino import OpenVinoSession
    from visavis.inference.session import OnnxRuntimeSession

    session: Session
    try:
        if runtime == "openvino":
            session = OpenVinoSession(graph.data, threads=threads)
        else:
            session = OnnxRuntimeSession(graph.data, threads=threads)
        session.run(np.zeros(SHAPES[graph.model][0], dtype=np.float32))
    except Exception as error:  # the runtimes' own exceptions have no common class
        reason = " ".join(str(error).split())[:150]
        _say(f"{runtime} refuses {graph.model} {graph.form}: {reason}")
        return None
    return session


def _fresh_table(rows: list[dict[str, Any]]) -> Table:
    columns = ("import ms", "load ms", "first call ms", "second call ms", "memory MiB")
    table = Table(
        "A fresh process",
        ("model, graph, runtime", *columns),
        note="Medians; all cores. Memory: peak beyond Python, numpy and the graph's bytes. YuNet "
        "on 256x256 pixels, SFace on one face.",
    )
    groups: dict[tuple[str, str, str], list[dict[str, float] | None]] = {}
    for row in rows:
        groups.setdefault((row["model"], row["form"], row["runtime"]), []).append(row["cost"])
    for (model, form, runtime), costs in groups.items():
        known = [cost for cost in costs if cost is not None]
        cells = [
            ms(median([cost[step] for cost in known]), 0)
            for step in ("import", "load", "first", "second")
        ]
        cells.append(f"{median([cost['added'] for cost in known]):.0f}")
        shown = cells if known else ["refused"] * len(columns)
        table.rows.append((f"{model}, {form}, {SHORT[runtime]}", *shown))
    return table


def _warm_table(times: dict[Key, list[float]], threads: int) -> Table:
    columns = [f"{form}, {SHORT[runtime]}" for form in FORMS for runtime in RUNTIMES]
    plural = "thread" if threads == 1 else "threads"
    table = Table(
        f"Warm, {threads} {plural}, ms a call",
        ("model, input", *columns, "folded, ORT / OV"),
        note="Medians of interleaved calls. The last column is the median of the ratios call by "
        "call.",
    )
    for model, shapes in SHAPES.items():
        for shape in shapes:
            cells = []
            for form in FORMS:
                for runtime in RUNTIMES:
                    values = times.get((model, shape, form, runtime))
                    cells.append(ms(median(values), 1) if values else "refused")
            one, two = (times.get((model, shape, "folded", runtime), []) for runtime in RUNTIMES)
            ratio = median([a / b for a, b in zip(one, two, strict=True)])
            faces = "1 face" if shape[0] == 1 else f"{shape[0]} faces"
            size = faces if model == "sface" else f"{shape[2]}x{shape[3]}"
            table.rows.append((f"{model}, {size}", *cells, f"{ratio:.2f}"))
    return table


def _agreement_table(found: dict[str, float] | None) -> Table:
    table = Table("Agreement of the runtimes", ("what", "value"))
    if found is None:
        table.rows.append(("no photos: give --photos DIR or set VISAVIS_LFW", "not measured"))
        return table
    rows = (
        ("photos, pairs", f"{found['photos']:.0f}, {found['pairs']:.0f}"),
        ("largest difference of a score (wanted: at most 1e-3)", _tiny(found, "score_difference")),
        ("largest 1 - cosine of one face's two templates", _tiny(found, "template_distance")),
        ("largest difference of a landmark, pixels", _tiny(found, "landmark_difference")),
    )
    table.rows.extend(rows)
    return table


def _tiny(found: dict[str, float], name: str) -> str:
    return f"{found[f'max_{name}']:.1e}"


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.runtimes", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="measurements of each kind")
    parser.add_argument("--photos", type=Path, help="folder of portraits instead of LFW")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--markdown", type=Path, help="write the tables into this page")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
