"""Megabytes that ``pip install visavis`` takes, base and with each extra.

Each environment is made anew, in a temporary folder. Counted are the files of all distributions but
pip and setuptools, 1 MB = 10^6 bytes. Bytecode, which pip compiles from them, is counted apart.

``python -m benchmarks.install_size``: the base, a line a distribution. ``--extra report``: with an
extra as well; repeatable; ``--extra each`` takes all of them, which downloads torch.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_SHOWN = 2.0  # MB; smaller distributions are shown as one line


@dataclass(frozen=True, slots=True)
class Size:
    """What a distribution takes.

    Attributes:
        name: with its version.
        files: MB of its files, as its wheel brings them.
        bytecode: MB of compiled bytecode.
    """

    name: str
    files: float
    bytecode: float


def environment(folder: Path, requirement: str, *options: str) -> Path:
    """Make a fresh environment, install into it, and return its Python.

    Args:
        folder: to be made.
        requirement: for pip: a wheel, or a path with extras.
        *options: of ``pip install``.
    """
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "-c", ROOT / "constraints.txt", *options, requirement], check=True)
    return python


def site_packages(python: Path) -> Path:
    """Where an environment keeps its packages."""
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    asked = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True)
    return Path(asked.stdout.strip())


def sizes(python: Path) -> list[Size]:
    """All distributions of an environment, largest first."""
    found = []
    for one in metadata.distributions(path=[str(site_packages(python))]):
        name = one.metadata["Name"]
        if name.lower() in {"pip", "setuptools"}:
            continue
        parts = {False: 0, True: 0}
        for file in one.files or ():
            path = Path(str(one.locate_file(file)))
            if path.is_file():
                parts[path.suffix == ".pyc"] += path.stat().st_size
        found.append(Size(f"{name} {one.version}", parts[False] / 1e6, parts[True] / 1e6))
    return sorted(found, key=lambda size: -size.files)


def total(found: list[Size]) -> float:
    """MB of all files but bytecode."""
    return sum(size.files for size in found)


def extras() -> list[str]:
    """Names of all extras for users."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return sorted(set(project["optional-dependencies"]) - {"dev"})


def _measured(extra: str | None) -> list[Size]:
    with tempfile.TemporaryDirectory() as folder:
        wanted = str(ROOT) if extra is None else f"{ROOT}[{extra}]"
        return sizes(environment(Path(folder) / "venv", wanted))


def _line(name: str, found: list[Size]) -> str:
    return f"{name:40}{total(found):8.1f}{sum(size.bytecode for size in found):10.1f}"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.install_size", description=__doc__)
    parser.add_argument("--extra", action="append", default=[], choices=[*extras(), "each"])
    asked = parser.parse_args(arguments).extra
    base = _measured(None)
    print(f"{'MB':>48}{'bytecode':>10}")
    small = [size for size in base if size.files < _SHOWN]
    for size in base:
        if size not in small:
            print(_line(size.name, [size]))
    print(_line(f"{len(small)} smaller ones", small))
    print(_line("visavis, base", base))
    known = {size.name for size in base}
    for extra in extras() if "each" in asked else asked:
        found = _measured(extra)
        print(_line(f"visavis[{extra}]", found), f"  {total(found) - total(base):+.1f}")
        added = [size for size in found if size.name not in known and size.files >= _SHOWN]
        print("   ", ", ".join(f"{size.name} {size.files:.1f}" for size in added), flush=True)


if __name__ == "__main__":
    main()
