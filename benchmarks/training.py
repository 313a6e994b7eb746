"""Recipes trained on LFW's training people, tested on View 1's test pairs, over several seeds.

    python -m benchmarks.training siamese-triplet --lfw ../shared/data/lfw --runs runs --seeds 0 1 2

Each run is the command a user would give: ``visavis train``, ``models add``, ``visavis evaluate lfw
--view 1``, nothing in between. A run that is finished is not trained again, so the command may be
broken off and repeated; its figures are kept beside it. ``--set FIELD VALUE`` goes to every run.
Rows of recipes that were run before come from their folder; ``--markdown`` writes all of them into
the page. The last column is the target that was set for each recipe.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from benchmarks.photos import ROOT, data_folder
from benchmarks.tables import Table, write_section

BOUNDS = {
    "siamese-contrastive": "AUC 0.80",
    "siamese-triplet": "AUC 0.94",
    "facenet-mobilenet": "AUC 0.95",
    "margin-small": "AUC 0.98, accuracy 0.93",
}
PAGE = ROOT / "docs" / "concepts" / "training.md"


def visavis(*arguments: str) -> dict[str, Any]:
    """The JSON of one command."""
    command = [str(Path(sys.executable).with_name("visavis")), *arguments, "--json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def one_run(recipe: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Figures of one seed, from its folder where it was run before."""
    folder = options.runs / f"{recipe}-{seed}"
    kept = folder / "view1.json"
    if kept.is_file():
        found: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        return found
    name = f"{recipe}-{seed}"
    lfw = str(options.lfw)
    if (folder / "model" / "model.json").is_file():
        return tested(folder, name, lfw)
    print(f"{name}: training", file=sys.stderr, flush=True)
    extra = [word for field, value in options.set for word in (f"--{field}", value)]
    visavis(
        "train", str(options.data or options.lfw), "--recipe", recipe, "--out", str(folder),
        "--seed", str(seed), "--name", name, "--against", lfw,
        *(["--resume"] if folder.is_dir() else []), *extra,
    )  # fmt: skip
    return tested(folder, name, lfw)


def tested(folder: Path, name: str, lfw: str) -> dict[str, Any]:
    """Register the run's model, test it, keep the figures."""
    subprocess.run(
        [str(Path(sys.executable).with_name("visavis")), "models", "remove", name],
        check=False,
        capture_output=True,
    )
    visavis("models", "add", name, str(folder))
    summary = visavis("evaluate", "lfw", "--root", lfw, "--view", "1", "--model", name)
    history = (folder / "history.csv").read_text(encoding="utf-8").splitlines()
    columns, last = history[0].split(","), history[-1].split(",")
    row = {
        "auc": summary["auc"],
        "accuracy": summary["accuracy"],
        "seconds": float(last[columns.index("seconds")]),
        "threads": os.cpu_count(),
        "summary": summary,
    }
    (folder / "view1.json").write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
    return row


def table(runs: Path) -> Table:
    """A row for every recipe with a finished run."""
    out = Table(
        "LFW View 1, 1,000 test pairs, trained on peopleDevTrain",
        ("recipe", "seeds", "AUC", "accuracy", "FNMR at FMR 1e-2", "minutes", "target"),
        note="Mean and standard deviation over seeds; accuracy over ten folds, each at the "
        "threshold of the others; minutes of training by wall time, on a shared machine.",
    )
    for recipe, bound in BOUNDS.items():
        rows = [
            json.loads(file.read_text(encoding="utf-8"))
            for file in sorted(runs.glob(f"{recipe}-[0-9]*/view1.json"))
        ]
        if rows:
            minutes = [row["seconds"] / 60 for row in rows]
            out.rows.append(
                (
                    f"`{recipe}`",
                    str(len(rows)),
                    _spread([row["auc"] for row in rows]),
                    _spread([row["accuracy"] for row in rows]),
                    _spread([row["summary"]["fnmr_at_fmr"]["1e-2"] for row in rows]),
                    f"{min(minutes):.0f} to {max(minutes):.0f}",
                    bound,
                )
            )
    return out


def _spread(values: list[float]) -> str:
    if len(values) < 2:
        return f"{values[0]:.4f}"
    return f"{mean(values):.4f} ± {stdev(values):.4f}"


def main() -> None:
    """Train what is missing, then print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    parser.add_argument("recipes", nargs="*", help=f"of {', '.join(BOUNDS)}; none: only the table")
    parser.add_argument("--lfw", type=Path, default=data_folder("lfw"), help="LFW's folder")
    parser.add_argument("--data", type=Path, help="a pack of LFW's training people")
    parser.add_argument("--runs", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", nargs=2, action="append", default=[], metavar=("FIELD", "VALUE"))
    parser.add_argument("--markdown", action="store_true", help=f"write into {PAGE.name}")
    options = parser.parse_args()
    for name in options.recipes:
        if name not in BOUNDS:
            parser.error(f"recipe {name!r}: give {', '.join(BOUNDS)}")
    if options.recipes and options.lfw is None:
        parser.error("LFW is not here; name its folder by --lfw")
    for recipe in options.recipes:
        for seed in options.seeds:
            one_run(recipe, seed, options)
    drawn = table(options.runs)
    print(drawn.text())
    if options.markdown:
        write_section(PAGE, "results", drawn.markdown(), page="")


if __name__ == "__main__":
    main()
