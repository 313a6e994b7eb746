"""Environments of other services' clients, ``.venv-clients/NAME`` in the repository's root.

visavis's own environment is never touched. The clients are unmodified.
"""

from __future__ import annotations

import subprocess
import sys

from benchmarks.measuring import usual_environment
from benchmarks.photos import ROOT

FOLDER = ROOT / ".venv-clients"

REQUIREMENTS = {
    # With urllib3 2 it does not import: its requests-toolbelt wants urllib3.contrib.appengine.
    "compreface": ("compreface-sdk==0.6.0", "urllib3<2"),
    "boto3": ("boto3==1.43.11",),
    # It imports Pillow without declaring it.
    "deepstack": ("deepstack-python==0.9", "pillow"),
}


def python(name: str) -> str:
    """Returns the interpreter of an environment, which is built on first use.

    Args:
        name: of ``REQUIREMENTS``.
    """
    folder, wanted = FOLDER / name, REQUIREMENTS[name]
    interpreter, stamp = folder / "bin" / "python", folder / ".installed"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != repr(wanted):
        pip = [interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        for command in ([sys.executable, "-m", "venv", folder], [*pip, *wanted]):
            subprocess.run(command, check=True, env=usual_environment(), timeout=240)
        stamp.write_text(repr(wanted), encoding="utf-8")
    return str(interpreter)
