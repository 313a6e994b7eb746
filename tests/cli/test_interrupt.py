"""Ctrl-C while a command's threads are still busy."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

COMMAND_WITH_A_BUSY_THREAD = """
import signal, time
from concurrent.futures import ThreadPoolExecutor
from visavis.cli import app, main

signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it is ignored

def busy():
    deadline = time.monotonic() + 20
    while signal.getsignal(signal.SIGINT) is not signal.SIG_DFL and time.monotonic() < deadline:
        time.sleep(0.01)
    print("only the thread is left", flush=True)
    time.sleep(20)

def run():
    ThreadPoolExecutor().submit(busy)
    raise KeyboardInterrupt

app.run = run
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_second_ctrl_c_ends_it_without_a_traceback() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND_WITH_A_BUSY_THREAD],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "only the thread is left\n"
            process.send_signal(signal.SIGINT)
            _, complaints = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == -signal.SIGINT
    assert complaints == ""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_where_ctrl_c_is_ignored_it_stays_so() -> None:
    """As shells start what goes on in the background."""
    script = """
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
from visavis.cli import app, main
app.run = lambda: None
main()
print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "True\n"
