"""How long each line of Python takes, on real photos: ``python -m benchmarks.api_lines``.

The lines are a tour of docs/api.md, run as they stand in a folder made of Labeled Faces in the
Wild: 30 staff with 4 photos, a fifth of one of them at the door, 20 others on holiday, 200
photos of strangers, and 40 people whose names are known. Nobody is in two of these.

``--lfw DIR`` has LFW as its archive unpacks. ``--home DIR`` keeps templates, which makes
``evaluate.lfw`` of a second run quick. ``--train`` trains, too: 40 steps.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import chdir
from itertools import pairwise
from pathlib import Path
from typing import Any

PHOTOS = """
vv.verify("a.jpg", "b.jpg", fmr=1e-4).same
vv.verify("a.jpg", "c.jpg", fmr=1e-4).same
vv.verify("a.jpg", "b.jpg").plot()
len(vv.detect("a.jpg"))
vv.embed("a.jpg")[0].vector.shape
sum(bool(row.templates) for row in vv.embed_many("photos/"))
g = vv.Gallery("door.gallery", create=True, home=home)
report = g.enroll("staff/", faces="central").counts
g.identify("door.jpg", fpir=0.1).faces[0].person
g.identify("c.jpg", fpir=0.1).faces[0].person
len(g.people())
g.rename(who, "Anna")
g.split("Anna", [g.faces("Anna")[0].id], into="Bo")
g.merge("Anna", "Bo")
g.remove("Anna")
g.backup("copies/monday")
g.check().ok
g.close()
album = vv.cluster("holiday/", out="sorted/", home=home)
len(album.clusters)
album.merge(album.clusters[0].id, album.clusters[1].id).done
album.name(album.clusters[0].id, "Anna").done
album.save()
X = np.stack([t.vector for row in vv.embed_many("holiday/", faces="all") for t in row.templates])
len(set(vv.FaceClusterer(false_merge=0.01).fit_predict(X)))
vv.calibrate(unlabelled="photos/", name="gate", home=home).points[-1].target_fmr
vv.calibrate("people/", name="mine", home=home).points[-1].target_fmr
vv.check("photos/", home=home).trusted
vv.evaluate.pairs("mine.csv", home=home, bootstrap=0).plot()
vv.evaluate.cluster("people/", home=home, sweep=False).summary.asked.scores.bcubed.f1
vv.evaluate.identify("people/", home=home, rounds=3, bootstrap=20).rank1
len(vv.models.list())
""".strip().splitlines()

WHOLE = ["vv.evaluate.lfw(lfw, view=2, home=home, bootstrap=0).accuracy"]

TRAINING = """
model = vv.train("people/", recipe="finetune-sface", out="runs/mine", fields=few, home=home).model
vv.models.add(model.path, home=home).name
""".strip().splitlines()


def lay_out(lfw: Path, folder: Path, *, share: int = 1) -> dict[str, Any]:
    """Put photos of LFW where the lines look for them; further names that the lines use.

    Args:
        lfw: the archive as it unpacks.
        folder: empty.
        share: take one in so many of the people and photos.
    """
    root = next(p for p in (lfw / "lfw-deepfunneled", lfw / "lfw_funneled") if p.is_dir())
    people = {p.name: sorted(p.glob("*.jpg")) for p in sorted(root.iterdir()) if p.is_dir()}
    many = [name for name, photos in people.items() if len(photos) >= 8]
    one = [name for name, photos in people.items() if len(photos) == 1]
    staff, holiday, known = (
        many[start:end][: (end - start) // share] for start, end in ((0, 30), (30, 50), (50, 90))
    )
    for place, names, count in (("staff", staff, 4), ("people", known, 5)):
        for name in names:
            (folder / place / name).mkdir(parents=True)
            for photo in people[name][:count]:
                shutil.copy(photo, folder / place / name)
    for place, photos in (
        ("holiday", [photo for name in holiday for photo in people[name][:8]]),
        ("photos", [people[name][0] for name in one[: max(200 // share, 60)]]),
    ):
        (folder / place).mkdir()
        for photo in photos:
            shutil.copy(photo, folder / place)
    first, second = people[staff[0]][:2]
    for photo, name in (
        (first, "a"), (second, "b"), (people[one[-1]][0], "c"), (people[staff[0]][6], "door"),
    ):  # fmt: skip
        shutil.copy(photo, folder / f"{name}.jpg")
    lines = [f"people/{n}/{n}_0001.jpg,people/{n}/{n}_0002.jpg,1" for n in known]
    lines += [f"people/{a}/{a}_0001.jpg,people/{b}/{b}_0001.jpg,0" for a, b in pairwise(known)]
    (folder / "mine.csv").write_text("\n".join(["a,b,same", *lines, ""]))
    return {"who": staff[0], "few": {"max_steps": 40}, "lfw": lfw}


def tour(
    lfw: Path, folder: Path, home: Path, *further: str, share: int = 1
) -> Iterator[tuple[str, Any, float]]:
    """Run the lines in a folder: each line, what it comes to, and its seconds."""
    import numpy as np

    import visavis as vv

    names: dict[str, Any] = {"vv": vv, "np": np, "home": home, **lay_out(lfw, folder, share=share)}
    with chdir(folder):
        for line in [*PHOTOS, *further]:
            target, sign, value = line.partition(" = ")
            assigned = bool(sign) and target.isidentifier()
            begun = time.perf_counter()
            answer = eval(value if assigned else line, names)
            seconds = time.perf_counter() - begun
            if assigned:
                names[target] = answer
            yield line, answer, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    near = Path(__file__).resolve().parents[2] / "shared" / "data" / "lfw"
    parser.add_argument("--lfw", type=Path, default=Path(os.environ.get("VISAVIS_LFW", near)))
    parser.add_argument("--home", type=Path, help="a temporary folder when left out")
    parser.add_argument("--train", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = asked.home or Path(folder) / "home"
        place = Path(folder) / "tour"
        place.mkdir()
        further = [*WHOLE, *(TRAINING if asked.train else ())]
        for line, answer, seconds in tour(asked.lfw.resolve(), place, home.resolve(), *further):
            said = " ".join(repr(answer).split())
            print(f"{seconds:8.3f} s  {line}\n            {said[:88]}", flush=True)


if __name__ == "__main__":
    main()
