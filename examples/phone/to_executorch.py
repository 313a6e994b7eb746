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
    crop = torch.randint(0, 256, (1, 3, 112, 112), generator=torch.manual_seed(0)).float()
    program = torch.export.export(network, (crop,))  # a phone embeds one face at a time
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    Path(target).write_bytes(lowered.to_executorch().buffer)
    (found,) = Runtime.get().load_program(target).load_method("forward").execute([crop])
    cosine = torch.cosine_similarity(found, network(crop)).item()
    print(f"{target}: {Path(target).stat().st_size / 1e6:.1f} MB, cosine to PyTorch {cosine:.6f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
