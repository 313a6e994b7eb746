"""What a runtime leaves behind must not stand in the way of signals."""

from __future__ import annotations

import subprocess
import sys

import pytest

from visavis.inference import RUNTIMES

CODE = """
import gc, os, signal, sys
import numpy as np
from onnx import TensorProto, helper
from visavis import inference

heard = []
signal.signal(signal.SIGUSR1, lambda number, frame: heard.append(number))
shape = [1, 3]
graph = helper.make_graph(
    [helper.make_node("Relu", ["x"], ["y"])], "g",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
make = lambda: inference.load(model.SerializeToString(), runtime=sys.argv[1], threads=1)
first, second = make(), make()
for session in (first, second):
    assert session.run(np.float32([[-1, 0, 2]]))[0].tolist() == [[0, 0, 2]]
del session, first
gc.collect()
del second
gc.collect()
os.kill(os.getpid(), signal.SIGUSR1)
assert heard == [signal.SIGUSR1]
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals on Windows")
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_signal_after_sessions_are_gone_is_heard(runtime: str) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", CODE, runtime],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"ended with {done.returncode}: {done.stderr}"
