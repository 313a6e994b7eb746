"""The checks on real data: runs the commands on LFW and ORL and holds their figures to bounds.

Visible when skipped: without the data it says so and ends well. Prints every figure it checks.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
VISAVIS = ROOT / ".venv" / "bin" / "visavis"
failures: list[str] = []


def data(variable: str, name: str) -> Path | None:
    folder = Path(os.environ.get(variable) or ROOT.parent / "shared" / "data" / name)
    return folder if folder.is_dir() else None


def run(*arguments: object, home: Path, accept: tuple[int, ...] = (0,)) -> Any:
    """A command's JSON; its progress goes to this script's standard error."""
    done = subprocess.run(
        [VISAVIS, *map(str, arguments), "--json"],
        stdout=subprocess.PIPE,
        env={**os.environ, "VISAVIS_HOME": str(home)},
        check=False,
    )
    if done.returncode not in accept:
        sys.exit(f"visavis {' '.join(map(str, arguments))}: exit code {done.returncode}")
    return json.loads(done.stdout)


def check(what: str, value: float, bound: float, *, least: bool) -> None:
    good = value >= bound if least else value <= bound
    relation = ">=" if least else "<="
    print(f"{'ok  ' if good else 'FAIL'}  {what}: {value:.6g} {relation} {bound:g}", flush=True)
    if not good:
        failures.append(what)


def pair_list(lfw: Path, out: Path) -> None:
    """View 1's test pairs as a CSV of visavis's own format."""
    _, *lines = (lfw / "pairsDevTest.txt").read_text(encoding="utf-8").splitlines()
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "same"])
        for line in lines:
            words = line.split("\t")
            mated = len(words) == 3
            name, i, other, j = (words[0], words[1], words[0], words[2]) if mated else words
            writer.writerow(
                [*(f"{n}/{n}_{int(k):04d}.jpg" for n, k in ((name, i), (other, j))), int(mated)]
            )


def check_lfw(lfw: Path, work: Path) -> None:
    home = work / "home"
    view2 = run("evaluate", "lfw", "--view", 2, "--root", lfw, "--bootstrap", 200, home=home)
    for space, found, accuracy in (
        ("templates as they are", view2, 0.9933),
        ("about a mean", view2["about_mean"], 0.9950),
    ):
        name = f"LFW View 2, {space}"
        check(f"{name}: accuracy", found["accuracy"], accuracy, least=True)
        check(f"{name}: AUC", found["auc"], 0.9991, least=True)
        check(f"{name}: FNMR at FMR 1e-3", found["fnmr_at_fmr"]["1e-3"], 0.010, least=False)
        check(f"{name}: failures", found["failures"], 0, least=False)
        for point in found["operating_points"]:
            if point["target_fmr"] in (1e-3, 1e-4):
                check(
                    f"{name}: FMR at the threshold for {point['target_fmr']:g}",
                    point["fmr"],
                    point["claimed_fmr_ci"][1],
                    least=False,
                )
    view1 = run("evaluate", "lfw", "--view", 1, "--root", lfw, "--bootstrap", 200, home=home)
    pair_list(lfw, work / "view1.csv")
    photos = next(p for p in (lfw / "lfw-deepfunneled", lfw) if p.is_dir())
    pairs = run(
        "evaluate", "pairs", work / "view1.csv", "--root", photos, "--bootstrap", 200, home=home
    )
    keys = ("accuracy", "accuracy_se", "auc", "eer", "fnmr_at_fmr", "pairs", "failures")
    same = all(view1[key] == pairs[key] for key in keys)
    check("LFW View 1 equals the same pairs as a CSV", float(same), 1, least=True)
    check_identification(lfw, home)
    check_clustering(photos, home)


def check_peers(peers: Path, work: Path) -> None:
    """Raw photos of all sizes: the labelled pairs, and detection against marked faces."""
    photos = peers / "deepface"
    with (
        (photos / "master.csv").open(newline="", encoding="utf-8") as file,
        (work / "peers.csv").open("w", newline="", encoding="utf-8") as out,
    ):
        writer = csv.writer(out)
        writer.writerow(["a", "b", "same"])
        for row in csv.DictReader(file):
            writer.writerow([row["file_x"], row["file_y"], int(row["Decision"] == "Yes")])
    found = run(
        *("evaluate", "pairs", work / "peers.csv", "--root", photos, "--bootstrap", 0),
        home=work / "home",
    )
    point = next(p for p in found["operating_points"] if p["target_fmr"] == 1e-3)
    check("peers/: misses of 38 at the shipped FMR 1e-3", 38 * point["fnmr"], 1.001, least=False)
    check("peers/: false matches of 262", 262 * point["fmr"], 1.001, least=False)
    sys.path.insert(0, str(ROOT))
    from benchmarks.detection import judged

    from visavis.faces import detector

    marked = judged(detector("yunet", threads=1, home=work / "home"), peers)
    right, wrong = marked.at(0.0)
    check("peers/: recall of detection", right / marked.faces, 0.98, least=True)
    check("peers/: precision of detection", right / (right + wrong), 0.98, least=True)


def check_identification(lfw: Path, home: Path) -> None:
    """1,000 people with one photo each, 4,000 strangers."""
    found = run(
        *("evaluate", "identify", lfw, "--enroll", 1000, "--photos", 1, "--non-mated", 4000),
        *("--fpir", 1e-1, "--fpir", 1e-2, "--rounds", 5),
        home=home,
    )
    check("LFW identification: rank 1", found["rank1"], 0.988, least=True)
    for point in found["open_set"]:
        bound = {0.1: 0.016, 0.01: 0.033}[point["fpir"]]
        check(f"LFW FNIR at FPIR {point['fpir']:g}", point["fnir"], bound, least=False)


def check_clustering(photos: Path, home: Path) -> None:
    """All of LFW at the default setting."""
    found = run("evaluate", "cluster", photos, "--no-sweep", home=home)
    row = next(row for row in found["rows"] if row["default"])
    check("LFW clusters: pairwise F1", row["scores"]["pairwise"]["f1"], 0.997, least=True)
    check("LFW: photos without a face", sum(found["failures"].values()), 0, least=False)
    check("LFW clusters: B-cubed F1", row["scores"]["bcubed"]["f1"], 0.991, least=True)


def main() -> None:
    lfw, orl = data("VISAVIS_LFW", "lfw"), data("VISAVIS_ORL", "orl")
    peers = data("VISAVIS_PEERS", "peers")
    if peers is None:
        print("SKIPPED: no peers/ (VISAVIS_PEERS names its folder)")
    if lfw is None:
        print("SKIPPED: no LFW (VISAVIS_LFW names its folder)")
    if orl is None:
        print("SKIPPED: no ORL (VISAVIS_ORL names its folder)")
    with tempfile.TemporaryDirectory() as folder:
        if peers is not None:
            check_peers(peers, Path(folder))
        if lfw is not None:
            check_lfw(lfw, Path(folder))
    if failures:
        sys.exit(f"{len(failures)} checks failed: {'; '.join(failures)}")


if __name__ == "__main__":
    main()
