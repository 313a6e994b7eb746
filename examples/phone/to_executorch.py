"""Makes an ExecuTorch program for a phone: ``python to_executorch.py DIR/model.pt2 model.pte``.

``visavis export sface --to torch-export --out DIR`` writes the file that it reads. XNNPACK runs on
Android and iOS. The program takes one crop, ``(1, 3, 112, 112)`` RGB of 0 to 255, and gives its
template; it is compared with PyTorch's here.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower
from executorch.runtime import Runtime


def main(source: str, target: str) -> None:
    """Convert, write, run."""
    network = torch.export.load(source).module()
    _without_alpha(network)
    crop = torch.randint(0, 256, (1, 3, 112, 112), generator=torch.manual_seed(0)).float()
    program = torch.export.export(network, (crop,))  # a phone embeds one face at a time
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    Path(target).write_bytes(lowered.to_executorch().buffer)
    method = Runtime.get().load_program(target).load_method("forward")
    (found,) = method.execute([crop])  # lies in the method's memory
    cosine = torch.cosine_similarity(found, network(crop)).item()
    print(f"{target}: {Path(target).stat().st_size / 1e6:.1f} MB, cosine to PyTorch {cosine:.6f}")


def _without_alpha(network: torch.fx.GraphModule) -> None:
    """Writes ``add(a, b, alpha=c)`` as ``a + b * c``: ExecuTorch 1.5.1 leaves a float alpha out."""
    for node in list(network.graph.nodes):
        if node.target is torch.ops.aten.add.Tensor and "alpha" in node.kwargs:
            with network.graph.inserting_before(node):
                factors = (node.args[1], node.kwargs["alpha"])
                product = network.graph.call_function(torch.ops.aten.mul.Scalar, factors)
            node.args, node.kwargs = (node.args[0], product), {}
    network.recompile()


if __name__ == "__main__":
    main(*sys.argv[1:])
