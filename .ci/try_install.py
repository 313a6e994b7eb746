"""Try the built wheel and sdist as users get them: ``python .ci/try_install.py DIST``.

The wheel goes into a fresh environment with all that it asks for. The sdist goes into another, on
top of the same dependencies. In each, from a folder without this repository, every use that needs
no extra runs on real photos.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.install_size import environment, site_packages, sizes, total  # noqa: E402

MOST_MB = 620

COMMANDS = (
    "--version",
    "verify a.jpg b.jpg",
    "detect a.jpg",
    "embed a.jpg --out a.npz",
    "enroll staff --gallery door.gallery",
    "identify b.jpg --gallery door.gallery --fpir 0.1",
    "cluster staff/Ann --out sorted",
    "calibrate --list",
    "models list",
)
CALL = "import visavis; print(visavis.__file__, visavis.verify('a.jpg', 'b.jpg').same)"


def photos(folder: Path) -> None:
    """A portrait, and the same mirrored and darker."""
    portrait = skimage.data.astronaut()
    (folder / "staff" / "Ann").mkdir(parents=True)
    for name, pixels in (("a.jpg", portrait), ("b.jpg", portrait[:, ::-1] * 0.6)):
        image = Image.fromarray(np.asarray(pixels, dtype=np.uint8))
        image.save(folder / name)
        image.save(folder / "staff" / "Ann" / name)


def check(what: str, python: Path, folder: Path) -> None:
    """Run every command, and the call from Python."""
    home = folder / "home"
    photos(folder)
    variables = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    variables |= {"VISAVIS_HOME": str(home), "PYTHONNOUSERSITE": "1"}

    def run(*words: str | Path) -> str:
        done = subprocess.run(
            words, cwd=folder, env=variables, capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"{what}: {words} ended with {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    visavis = python.with_name("visavis")
    for line in COMMANDS:
        run(visavis, *line.split())
    answer = json.loads(run(visavis, "verify", "a.jpg", "b.jpg", "--json"))
    place, same = run(python, "-c", CALL).split()
    if not answer["same"] or same != "True" or not Path(place).is_relative_to(python.parents[1]):
        sys.exit(f"{what}: answered {answer['same']} and {same}, from {place}")
    print(f"{what}: {len(COMMANDS) + 2} uses, fine")


def main(dist: Path) -> None:
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        python = environment(place / "wheel", str(wheel))
        subprocess.run([python, "-m", "pip", "check"], check=True)
        check(wheel.name, python, place / "of-wheel")
        if (size := total(sizes(python))) > MOST_MB:
            sys.exit(f"{wheel.name}: {size:.0f} MB with its dependencies, more than {MOST_MB}")
        other = environment(place / "sdist", str(sdist), "--no-deps")
        (site_packages(other) / "dependencies.pth").write_text(f"{site_packages(python)}\n")
        check(sdist.name, other, place / "of-sdist")
        print(f"{size:.0f} MB in a fresh environment, at most {MOST_MB}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
