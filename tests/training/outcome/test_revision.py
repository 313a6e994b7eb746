"""Which commit the code comes from."""

from __future__ import annotations

import subprocess
from pathlib import Path

from visavis.training.outcome.describing import git_revision


def git(folder: Path, *words: str) -> str:
    settings = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", *settings, *words], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_the_commit_and_whether_files_differ_from_it(tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    assert git_revision(code) == ""
    git(tmp_path, "init", "-q")
    (code / "a.py").write_text("1\n")
    assert git_revision(code) == "", "git does not know the file"
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert git_revision(code) == commit
    (tmp_path / "elsewhere.txt").write_text("not code\n")
    assert git_revision(code) == commit
    (code / "a.py").write_text("2\n")
    assert git_revision(code) == f"{commit}-changed"
    assert git_revision(tmp_path / "missing") == ""
