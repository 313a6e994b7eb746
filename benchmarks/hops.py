"""How far a call travels through visavis: files touched and functions entered by one command.

``python -m benchmarks.hops`` runs ``verify`` of two photos and ``identify`` of one in a gallery of
two people, each in a process of its own, and counts the distinct functions entered (bodies of
modules and classes left out) and the files they are in. Both are counted in all threads.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

TRACED = """
import json, sys, threading
from inspect import CO_OPTIMIZED
from pathlib import Path

import visavis
ROOT = str(Path(visavis.__file__).parent)
SEEN = set()

def profile(frame, event, arg):
    code = frame.f_code
    # Bodies of modules and classes are not functions: they are no optimized code.
    if event == "call" and code.co_filename.startswith(ROOT) and code.co_flags & CO_OPTIMIZED:
        if code.co_name[0] != "<":
            SEEN.add((code.co_filename[len(ROOT) + 1:], code.co_qualname))

threading.setprofile(profile)
sys.setprofile(profile)
from visavis.cli.app import run
try:
    run(sys.argv[2:])
except SystemExit as end:
    code = end.code
finally:
    sys.setprofile(None)
    threading.setprofile(None)
Path(sys.argv[1]).write_text(json.dumps([code, sorted(SEEN)]))
"""


def trace(*words: str) -> list[tuple[str, str]]:
    """(file, function) of each function of visavis that a command enters, each once."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "seen.json"
        done = subprocess.run(
            [sys.executable, "-c", TRACED, str(out), *words],
            check=False,
            capture_output=True,
            text=True,
        )
        if not out.exists():
            raise SystemExit(done.stderr)
        code, seen = json.loads(out.read_text(encoding="utf-8"))
    if code not in {0, None}:
        raise SystemExit(f"{' '.join(words)} ended with {code}: {done.stdout}{done.stderr}")
    return [(file, function) for file, function in seen]


def main() -> None:
    """Print the table; with ``--files`` the files, too."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        portrait = skimage.data.astronaut()
        photos = [str(folder / "a.png"), str(folder / "b.png")]
        Image.fromarray(portrait).save(photos[0])
        Image.fromarray((portrait * 0.8).astype(np.uint8)[:, ::-1]).save(photos[1])
        gallery = str(folder / "gallery")
        trace("enroll", photos[0], "--name", "Eileen", "--gallery", gallery)
        print("command    files  functions")
        for words in (
            ("verify", *photos),
            ("identify", photos[1], "--gallery", gallery, "--fpir", "0.1"),
        ):
            seen = trace(*words)
            files = sorted({file for file, _ in seen})
            print(f"{words[0]:10} {len(files):5}  {len(seen):9}")
            if "--files" in sys.argv:
                for file in files:
                    entered = ", ".join(function for one, function in seen if one == file)
                    print(f"    {file}: {entered}")


if __name__ == "__main__":
    main()
