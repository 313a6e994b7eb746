"""Builds the peers' environment, ``.venv-peers`` in the repository's root, on first use.

numpy, ONNX Runtime and OpenCV are held at the versions that visavis runs with, so that the
packages are compared and not their dependencies. visavis's own environment is never touched.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from benchmarks.measuring import usual_environment
from benchmarks.photos import ROOT

FOLDER = ROOT / ".venv-peers"
PYTHON = FOLDER / "bin" / "python"
HOME = FOLDER / "home"
_REQUIREMENTS = Path(__file__).with_name("requirements.txt")
_SHARED = {
    "numpy": "numpy",
    "onnxruntime": "onnxruntime",
    "opencv-python-headless": "opencv-contrib-python-headless",
}


def ready() -> None:
    """Build the environment and lay out the weights, unless that was done already.

    Raises:
        SystemExit: a step failed.
    """
    pins = [f"{theirs}=={version(ours)}" for ours, theirs in _SHARED.items()]
    wanted = _REQUIREMENTS.read_text(encoding="utf-8") + "\n".join([*pins, ""])
    stamp = FOLDER / ".installed"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        _say(f"building {FOLDER.name} (about a minute, once)")
        if not PYTHON.exists():
            _run(sys.executable, "-m", "venv", str(FOLDER))
        held = FOLDER / "constraints.txt"
        held.write_text("\n".join([*pins, ""]), encoding="utf-8")
        _run(
            *(str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--quiet"),
            *("-r", str(_REQUIREMENTS), "-c", str(held)),
        )
        stamp.write_text(wanted, encoding="utf-8")
    # In a process of its own: the caller stays small (see measuring.run_once).
    _run(sys.executable, "-m", "benchmarks.peers.weights", str(HOME))


def variables() -> dict[str, str]:
    """deepface's environment variables: where its weights are, and what it runs on."""
    return {"DEEPFACE_HOME": str(HOME), "DEEPFACE_BACKEND_ENGINE": "onnx"}


def _run(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, check=False, env=usual_environment())
    if done.returncode:
        raise SystemExit(f"exit code {done.returncode} from: {' '.join(command)}")


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
