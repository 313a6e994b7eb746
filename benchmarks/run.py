"""Runs every benchmark of this folder in turn: ``python -m benchmarks.run``.

One whose photos are missing is skipped, and said to be. ``--docs`` also writes the results into the
documentation.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import dataclass

from benchmarks.photos import ROOT, data_folder


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A module of this folder.

    Attributes:
        name: the module's.
        needs: data sets without which it has nothing to measure.
        uses: data sets that it measures too where they are.
        page: where its ``--markdown`` writes, from the repository's root.
    """

    name: str
    needs: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    page: str | None = None


BENCHMARKS = (
    Benchmark("verify", ("lfw",), page="docs/benchmarks.md"),
    Benchmark("runtimes", page="docs/concepts/runtimes.md"),
    Benchmark("export", ("lfw",), page="docs/export.md"),
    Benchmark("detectors", ("lfw",)),
    Benchmark("detection", ("peers",), ("lfw",)),
    Benchmark("tilted", ("lfw",)),
    Benchmark("turned", (), ("lfw", "peers")),
    Benchmark("unlabelled", ("lfw",), ("orl",), page="docs/concepts/thresholds.md"),
    Benchmark("domain_mean", ("lfw",), ("orl",), page="docs/concepts/domain-mean.md"),
    Benchmark("clusterers", ("lfw",), ("orl",)),
    Benchmark("open_set", ("lfw",)),
    Benchmark("fpir", ("lfw",), ("orl",)),
    Benchmark("clustering", ("lfw",)),
    Benchmark("clustering_scale"),
    Benchmark("contact_sheet", ("lfw",)),
    Benchmark("gallery", page="docs/concepts/search.md"),
    Benchmark("gallery_milvus"),
    Benchmark("install_size"),
    Benchmark("deployment", (), ("lfw",), page="docs/deployment.md"),
    Benchmark("input_pipeline", ("lfw",)),
    Benchmark("trainer_overhead"),
)


def main(arguments: list[str] | None = None) -> int:
    """Run all that can run; 1 where one failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--docs", action="store_true", help="write results into the documentation")
    options = parser.parse_args(arguments)
    outcomes = {one.name: _run(one, docs=options.docs) for one in BENCHMARKS}
    print("\n" + "\n".join(f"{name}: {outcome}" for name, outcome in outcomes.items()))
    return int(any(outcome.startswith("failed") for outcome in outcomes.values()))


def _run(benchmark: Benchmark, *, docs: bool) -> str:
    if not (ROOT / "benchmarks" / f"{benchmark.name}.py").is_file():
        return "not in this tree"
    missing = [name for name in benchmark.needs if data_folder(name) is None]
    if missing:
        told = " and ".join(f"VISAVIS_{name.upper()}" for name in missing)
        return f"SKIPPED, no photos: set {told} to the folder of {', '.join(missing)}"
    print(f"\n== {benchmark.name}", flush=True)
    command = [sys.executable, "-m", f"benchmarks.{benchmark.name}"]
    for name in (*benchmark.needs, *benchmark.uses):
        if (folder := data_folder(name)) is not None:
            command += [f"--{name}", str(folder)]
    if docs and benchmark.page is not None:
        command += ["--markdown", str(ROOT / benchmark.page)]
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    return "done" if code == 0 else f"failed or missed its targets (exit code {code})"


if __name__ == "__main__":
    sys.exit(main())
