"""How far scores move when the embedder computes in another precision.

    python -m benchmarks.precision --pairs 200 --markdown docs/concepts/runtimes.md

Pairs are LFW's View 1 test pairs and those that deepface tests itself with. bfloat16 and float16
are computed by the processor where OpenVINO has them, and emulated everywhere: inputs and weights
of each layer are rounded, sums are in float32, as the instructions do it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.photos import Pair, data_folder, lfw_pairs, peers_pairs
from benchmarks.tables import Table, write_section
from visavis.errors import VisavisError
from visavis.inference.precision import has_bf16
from visavis.pipeline import Recognizer, RecognizerOptions

LIMIT: Final = 0.002  # largest change of a score that thresholds cover
Embed = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def crops_of(pairs: Sequence[Pair], recognizer: Recognizer) -> dict[Path, NDArray[np.uint8]]:
    """The largest face's crop of each photo that has a face."""
    paths = sorted({path for pair in pairs for path in (pair.a, pair.b)})

    def crop(path: Path) -> NDArray[np.uint8] | None:
        try:
            found: NDArray[np.uint8] = recognizer.prepare(path).crops[0]
        except VisavisError:
            return None
        return found

    with ThreadPoolExecutor(2) as pool:
        found = zip(paths, pool.map(crop, paths), strict=True)
        return {path: one for path, one in found if one is not None}


def emulated(kind: str) -> Embed:
    """SFace with the inputs and weights of each layer rounded to ``bfloat16`` or ``float16``."""
    import torch
    from torch import nn
    from torch.nn import functional

    from visavis.embedding.backbones.sface import pretrained

    network = pretrained().eval()
    short = getattr(torch, kind)

    def rounded(_module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> Any:
        return (inputs[0].to(short).float(), *inputs[1:])

    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.weight.data = module.weight.data.to(short).float()
            module.register_forward_pre_hook(rounded)

    def embed(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            images = torch.from_numpy(crops.copy()).permute(0, 3, 1, 2).float()
            spec = network.spec
            vectors = functional.normalize(network((images - spec.mean) / spec.std))
        return np.asarray(vectors.numpy())

    return embed


def ways() -> dict[str, Embed]:
    """Each way of computing by name, the default first."""
    from visavis.embedding.onnx import EmbedderOptions, OnnxEmbedder

    found: dict[str, Embed] = {"float32, ONNX Runtime": OnnxEmbedder().embed}
    options = {"float32, OpenVINO": EmbedderOptions(runtime="openvino")}
    if has_bf16():
        options["bfloat16, this processor"] = EmbedderOptions(precision="bf16")
    found |= {name: OnnxEmbedder(options=one).embed for name, one in options.items()}
    return found | {
        "bfloat16, emulated": emulated("bfloat16"),
        "float16, emulated": emulated("float16"),
    }


def differences(
    pairs: Sequence[Pair], crops: dict[Path, NDArray[np.uint8]]
) -> dict[str, NDArray[np.float64]]:
    """Change of each pair's score against the default way."""
    names = list(crops)
    place = {path: k for k, path in enumerate(names)}
    both = [(p.a, p.b) for p in pairs if p.a in place and p.b in place]
    a, b = ([place[pair[k]] for pair in both] for k in (0, 1))
    scores: dict[str, NDArray[np.float64]] = {}
    for way, embed in ways().items():
        parts = [np.stack([crops[n] for n in names[k : k + 32]]) for k in range(0, len(names), 32)]
        vectors = np.concatenate([embed(part) for part in parts]).astype(np.float64)
        scores[way] = (vectors[a] * vectors[b]).sum(axis=1)
    reference = next(iter(scores.values()))
    return {way: np.abs(one - reference) for way, one in scores.items() if one is not reference}


def table(title: str, found: dict[str, NDArray[np.float64]]) -> Table:
    """A row for each way of computing."""
    result = Table(
        title,
        ("computed in", "mean", "99 %", "largest", f"at most {LIMIT:g}"),
        note="Absolute difference of a score from float32 in ONNX Runtime.",
    )
    for way, moved in found.items():
        cells = (moved.mean(), np.quantile(moved, 0.99), moved.max())
        met = "yes" if moved.max() <= LIMIT else "no"
        result.rows.append((way, *(f"{cell:.1e}" for cell in cells), met))
    return result


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, and write the page's section."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lfw", type=Path, default=data_folder("lfw"))
    parser.add_argument("--peers", type=Path, default=data_folder("peers"))
    parser.add_argument("--pairs", type=int, default=1000, help="of LFW's View 1 test list")
    parser.add_argument("--markdown", type=Path, help="page to write the section of")
    options = parser.parse_args(arguments)
    recognizer = Recognizer(options=RecognizerOptions(threads=1))
    sets = {}
    if options.lfw is not None:
        sets["LFW, View 1 test"] = lfw_pairs(options.lfw, limit=options.pairs)
    if options.peers is not None:
        sets["deepface's test photos"] = peers_pairs(options.peers)
    tables = []
    for name, pairs in sets.items():
        found = differences(pairs, crops_of(pairs, recognizer))
        count = next(iter(found.values())).size
        tables.append(table(f"{name}, {count:,} pairs", found))
        print(tables[-1].text(), flush=True)
    if options.markdown:
        write_section(
            options.markdown, "precision", "\n".join(one.markdown() for one in tables), page=""
        )


if __name__ == "__main__":
    main()
