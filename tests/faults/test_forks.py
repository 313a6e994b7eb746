"""A forked process works, or is told to start by spawn; it never hangs."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import multiprocessing, sys
import numpy as np

def unit(count):
    rows = np.random.default_rng(0).normal(size=(count, 64)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)

def graph():
    from visavis.clustering.knn import neighbor_graph
    return len(neighbor_graph(unit(2000)).first)

def cells():
    from visavis.clustering.knn import neighbor_graph
    return len(neighbor_graph(unit(2000), exact_up_to=100).first)

def gallery():
    from visavis.gallery.index.template_index import IndexOptions, TemplateIndex
    index = TemplateIndex(64, options=IndexOptions(threads=2))
    index.add(np.arange(2000), unit(2000))
    return int(index.search(unit(20), 3)[1].sum())

SESSION = []

def openvino():
    from onnx import TensorProto, helper
    from visavis.inference.openvino import OpenVinoSession
    if not SESSION:
        shape = [1, 4]
        ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in "xy"]
        nodes = [helper.make_node("Relu", ["x"], ["y"])]
        made = helper.make_graph(nodes, "g", ports[:1], ports[1:])
        opset = [helper.make_opsetid("", 17)]
        model = helper.make_model(made, opset_imports=opset, ir_version=9)
        SESSION.append(OpenVinoSession(model.SerializeToString()))
    return float(SESSION[0].run(np.ones((1, 4), np.float32))[0].sum())

def child(queue):
    try:
        queue.put(act())
    except Exception as error:
        queue.put(str(error))

act = globals()[sys.argv[1]]
first = act()
queue = multiprocessing.get_context("fork").Queue()
process = multiprocessing.get_context("fork").Process(target=child, args=(queue,))
process.start()
process.join(40)
if process.is_alive():
    process.kill()
    print("hangs")
else:
    found = queue.get(timeout=5)
    print("same" if found == first else found)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(
    ("what", "said"),
    [("graph", "same"), ("cells", "same"), ("gallery", "same"), ("openvino", "spawn")],
)
def test_a_forked_process_does_not_hang(what: str, said: str) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, what],
        capture_output=True, text=True, timeout=100, check=False, env=environment,
    )  # fmt: skip
    assert said in done.stdout, done.stdout + done.stderr
