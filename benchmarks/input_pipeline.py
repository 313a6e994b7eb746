"""Training steps a second: from a pack, on a constant batch, and by the loop of the usual tutorial.

Run from the root of the repository::

    python -m benchmarks.input_pipeline --recipes siamese-contrastive margin-small --lfw PATH_TO_LFW
    python -m benchmarks.input_pipeline --recipes margin-small --busy

Every row trains the same network at the same input size with the same loss (contrastive, so that
all can) and optimizer; from row to row one thing changes, from the tutorial's loop (a dataset that
opens, decodes and resizes one JPEG after the other; the two sides of a pair go through the network
one after the other; float32; where the network allows it also with a step for every pair) to what
the recipe does. The last rows are the bounds: the recipe's step on crops that lie in memory, and on
images that are ready, without any pipeline. The rows
take turns, and each shows its best round, so that other work on the machine disturbs all alike.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.photos import ROOT, data_folder
from benchmarks.tables import Table, load, machine, spread, write_section
from visavis.embedding.backbones import build
from visavis.embedding.torch import FaceNetwork
from visavis.training.augment import AugmentOptions
from visavis.training.augment.augmenter import Augmenter
from visavis.training.data.pack import SCALE, SIZE, Pack, write_pack
from visavis.training.data.samplers import PairBatches
from visavis.training.loop.hardware import keep_memory, uses_bf16
from visavis.training.loop.loaders import PackLoader
from visavis.training.losses import LossOptions, build_loss
from visavis.training.recipes import by_name, with_overrides
from visavis.training.recipes.recipe import Recipe

Images = tuple[Tensor, ...]
"""One tensor for each way through the network."""


TUTORIAL = "tutorial: JPEGs one by one, two forward passes per pair"
ALONE = "tutorial, one step per pair"
PAGE = ROOT / "docs" / "concepts" / "training-data.md"


class PlainPairs(Dataset[tuple[Tensor, Tensor, int]]):
    """Pairs as tutorials read them: two files opened, decoded and resized for every item."""

    def __init__(self, photos: list[Path], pairs: NDArray[np.int64], size: int) -> None:
        self.photos, self.pairs, self.size = photos, pairs, size

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, item: int) -> tuple[Tensor, Tensor, int]:
        first, second = self.pairs[item]
        return self._read(first), self._read(second), int(item % 2 == 0)

    def _read(self, row: int) -> Tensor:
        with Image.open(self.photos[row]) as photo:
            pixels = np.array(photo.convert("RGB").resize((self.size, self.size)))
        return torch.from_numpy(pixels).permute(2, 0, 1).float()


@dataclass
class Row:
    """One way to make training steps."""

    title: str
    batches: Iterator[tuple[Images, Tensor]]
    step: Callable[[Images, Tensor], None]
    keeps: bool = False
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def run(self, steps: int) -> None:
        """Time some steps, the making of their batches included."""
        if self.keeps:
            keep_memory()
        else:
            keep_memory(False)
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(steps):
            self.step(*next(self.batches))
        self.wall.append((time.perf_counter() - wall) / steps)
        self.cpu.append((time.process_time() - cpu) / steps)


def stepper(recipe: Recipe, *, channels_last: bool, bf16: bool) -> Callable[[Images, Tensor], None]:
    """A training step of a fresh network of the recipe."""
    torch.manual_seed(0)
    network = FaceNetwork(
        build(recipe.backbone, dimension=recipe.dimension, input_size=recipe.input_size)
    )
    network.train()
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
    options = LossOptions(kind="contrastive", margin=1.0, miner="given", normalize=False)
    loss = build_loss(options, people=2, dimension=recipe.dimension)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)

    def step(sides: Images, labels: Tensor) -> None:
        layout = torch.channels_last if channels_last else torch.contiguous_format
        sides = tuple(side.contiguous(memory_format=layout) for side in sides)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            raw = [network.raw(images) for images in sides]
        # The loss wants the two of a pair beside each other.
        joined = raw[0] if len(raw) == 1 else torch.stack(raw, 1).flatten(0, 1)
        optimizer.zero_grad()
        loss(joined.float(), labels).loss.backward()
        optimizer.step()

    return step


def alone(step: Callable[[Images, Tensor], None]) -> Callable[[Images, Tensor], None]:
    """The same, with a step of its own for every pair."""

    def steps(sides: Images, labels: Tensor) -> None:
        for k in range(len(sides[0])):
            step(tuple(images[k : k + 1] for images in sides), labels[2 * k : 2 * k + 2])

    return steps


def plain_batches(
    photos: list[Path], labels: NDArray[np.int64], order: PairBatches, size: int
) -> Iterator[tuple[Images, Tensor]]:
    """The tutorial's loader over the very pairs that the feed gives."""
    epoch = 0
    while True:
        pairs = np.concatenate(list(order.batches(epoch))).reshape(-1, 2)
        loader = DataLoader(PlainPairs(photos, pairs, size), batch_size=order.batch_size // 2)
        for number, (first, second, _) in enumerate(loader):
            rows = pairs[number * order.batch_size // 2 :][: len(first)].ravel()
            yield (first, second), torch.from_numpy(labels[rows])
        epoch += 1


def fed_batches(
    feed: PackLoader, augmenter: Augmenter, *, random: bool, split: bool
) -> Iterator[tuple[Images, Tensor]]:
    """Batches out of the pack, augmented or only resampled."""
    epoch = seed = 0
    while True:
        for batch in feed.batches(epoch):
            images = augmenter(batch.crops, seed=seed) if random else augmenter.plain(batch.crops)
            yield (images[::2], images[1::2]) if split else (images,), batch.labels
            seed += 1
        epoch += 1


def augmented_again(
    crops: Tensor, labels: Tensor, augmenter: Augmenter
) -> Iterator[tuple[Images, Tensor]]:
    """The same crops in every step, augmented anew."""
    seed = 0
    while True:
        yield (augmenter(crops, seed=seed),), labels
        seed += 1


def ready(images: Tensor, labels: Tensor) -> Iterator[tuple[Images, Tensor]]:
    """The same images in every step."""
    while True:
        yield (images,), labels


def some_people(folder: Path, *, limit: int) -> list[Path]:
    """Photos of people who have at least two, folder by folder."""
    people = sorted(p for p in (folder / "lfw-deepfunneled").iterdir() if p.is_dir())
    photos = [sorted(p.glob("*.jpg"))[:4] for p in people]
    return [photo for own in photos if len(own) > 1 for photo in own][:limit]


def packed(photos: list[Path], out: Path) -> Pack:
    """A pack of the photos' middles: what is in a crop does not change how long it takes."""
    people = sorted({photo.parent.name for photo in photos})
    crops = []
    for photo in photos:
        with Image.open(photo) as image:
            crops.append(cv2.resize(np.array(image.convert("RGB"))[40:210, 40:210], (SIZE, SIZE)))
    return write_pack(
        out,
        crops,
        [people.index(photo.parent.name) for photo in photos],
        people,
        [f"{photo.parent.name}/{photo.name}" for photo in photos],
        size=SIZE,
        scale=SCALE,
        origin="benchmark",
    )


def rows_of(recipe: Recipe, photos: list[Path], pack: Pack, batch_size: int) -> list[Row]:
    """From the tutorial's loop to the recipe's, one change a row; then the bounds."""
    labels = np.asarray(pack.labels)
    order = PairBatches(labels, batch_size=batch_size, seed=0)
    every = np.arange(len(labels), dtype=np.int64)
    target = (recipe.input_size, recipe.crop_scale)
    source = (pack.size, pack.scale)
    augmenter = Augmenter(recipe.augment, source=source, target=target)
    last, bf16 = recipe.channels_last, uses_bf16(recipe, torch.device("cpu"))

    def fed(*, random: bool, split: bool) -> Iterator[tuple[Images, Tensor]]:
        return fed_batches(PackLoader(pack, every, order), augmenter, random=random, split=split)

    plain = stepper(recipe, channels_last=False, bf16=False)
    rows = [
        Row(
            TUTORIAL,
            plain_batches(photos, labels, order, recipe.input_size),
            plain,
        ),
        Row("+ packed crops", fed(random=False, split=True), plain),
        Row("+ both sides in one batch", fed(random=False, split=False), plain),
    ]
    if last:
        step = stepper(recipe, channels_last=True, bf16=False)
        rows.append(Row("+ channels-last", fed(random=False, split=False), step))
    if bf16:
        step = stepper(recipe, channels_last=last, bf16=True)
        rows.append(Row("+ bfloat16", fed(random=False, split=False), step))
    step = stepper(recipe, channels_last=last, bf16=bf16)
    rows.append(Row("+ freed memory kept", fed(random=False, split=False), step, keeps=True))
    step = stepper(recipe, channels_last=last, bf16=bf16)
    first = next(PackLoader(pack, every, order).batches(0))
    network = build(recipe.backbone, input_size=recipe.input_size)
    if not any(isinstance(part, torch.nn.BatchNorm1d) for part in network.modules()):
        # Batch normalization of a single embedding is not defined.
        slow = plain_batches(photos, labels, order, recipe.input_size)
        rows.insert(0, Row(ALONE, slow, alone(plain)))
    return [
        *rows,
        Row("+ augmentation = the recipe", fed(random=True, split=False), step, keeps=True),
        Row(
            "constant crops",
            augmented_again(first.crops, first.labels, augmenter),
            step,
            keeps=True,
        ),
        Row("constant images", ready(augmenter.plain(first.crops), first.labels), step, keeps=True),
    ]


def share(bound: Row, ours: Row, *, busy: bool) -> str:
    """Speed of a row in percent of another's, round by round."""
    pairs = zip(*((row.cpu if busy else row.wall) for row in (bound, ours)), strict=True)
    return spread([100 * limit / taken for limit, taken in pairs], digits=0) + " %"


def table_of(recipe: Recipe, rows: list[Row], batch_size: int, *, busy: bool) -> Table:
    """Images a second, and each row relative to the tutorial's in batches and to the bounds."""
    rates = [batch_size / min(row.cpu if busy else row.wall) for row in rows]
    tutorial = next(rate for row, rate in zip(rows, rates, strict=True) if row.title == TUTORIAL)
    ours = rates[-3]
    single = [rate for row, rate in zip(rows, rates, strict=True) if row.title == ALONE]
    pairwise = f", {ours / single[0]:.1f} times the one with one step per pair" if single else ""
    cells = [
        (
            row.title,
            f"{rate:.0f}",
            f"{1000 * min(row.cpu) / batch_size:.2f}",
            f"{rate / tutorial:.1f} x",
        )
        for row, rate in zip(rows, rates, strict=True)
    ]
    return Table(
        f"{recipe.backbone} at {recipe.input_size} px, batches of {batch_size} images, "
        f"{torch.get_num_threads()} threads",
        ("training steps", "images/s", "CPU ms per image", "relative to the tutorial"),
        cells,
        f"The recipe from a pack reaches {share(rows[-2], rows[-3], busy=busy)} of its step on "
        f"constant crops and {share(rows[-1], rows[-3], busy=busy)} of a step on ready images "
        f"(median of the rounds, 10th and 90th percentile); {ours / tutorial:.1f} times the "
        f"tutorial's loop{pairwise}. Load {load()}; by "
        f"{'processor time' if busy else 'wall time'}.",
    )


def costs(source: tuple[int, float], target: tuple[int, float], crops: Tensor) -> Table:
    """What each treatment costs by itself, in milliseconds of a batch."""
    strengths: dict[str, dict[str, float]] = {
        "resampling alone": {},
        "flip, rotation, zoom, shift": {
            "flip": 0.5,
            "rotation": 5,
            "zoom": 0.05,
            "shift": 0.02,
        },
        **{name: {name: 0.2} for name in ("color", "gray", "blur", "low_resolution")},
        **{name: {name: 0.2} for name in ("jpeg", "erase", "mask")},
    }
    table = Table(
        f"Augmentation of {len(crops)} crops to {target[0]} px, shares and strengths of 0.2",
        ("treatment", "CPU ms a batch"),
    )
    for title, values in strengths.items():
        augmenter = Augmenter(
            AugmentOptions(**{"flip": 0.0, **values}), source=source, target=target
        )
        taken = []
        for seed in range(8):
            begun = time.process_time()
            augmenter(crops, seed=seed)
            taken.append(time.process_time() - begun)
        table.rows.append((title, f"{1000 * min(taken):.1f}"))
    return table


def measure(rows: list[Row], *, rounds: int, steps: int) -> None:
    """Time the rows in turns, after one step of each that does not count."""
    for row in rows:
        row.run(1)
        row.wall.clear()
        row.cpu.clear()
    for _ in range(rounds):
        for row in rows:
            row.run(steps)


def main() -> None:
    """Parse options, run, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipes", nargs="+", default=["siamese-contrastive", "margin-small"])
    parser.add_argument("--set", nargs="*", default=[], metavar="FIELD=VALUE", help="of the recipe")
    parser.add_argument("--lfw", type=Path, default=data_folder("lfw"))
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--steps", type=int, default=2, help="steps of each row in a round")
    parser.add_argument("--photos", type=int, default=1536)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--busy",
        action="store_true",
        help="other work keeps the machine busy: one thread, rates from its processor time",
    )
    parser.add_argument("--markdown", action="store_true", help=f"write into {PAGE.name}")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    if chosen.lfw is None:
        raise SystemExit("no LFW found; give its folder by --lfw")
    threads = 1 if chosen.busy else chosen.threads
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    fields = dict(entry.split("=", 1) for entry in chosen.set)
    photos = some_people(chosen.lfw, limit=chosen.photos)
    speeds: list[Table] = []
    treatments: list[Table] = []
    with tempfile.TemporaryDirectory() as folder:
        pack = packed(photos, Path(folder) / "benchmark.pack")
        crops = torch.from_numpy(np.array(pack.crops[: chosen.batch]))
        for name in chosen.recipes:
            recipe = with_overrides(by_name(name), fields)
            rows = rows_of(recipe, photos, pack, chosen.batch)
            measure(rows, rounds=chosen.rounds, steps=chosen.steps)
            speeds.append(table_of(recipe, rows, chosen.batch, busy=chosen.busy))
            target = (recipe.input_size, recipe.crop_scale)
            treatments.append(costs((pack.size, pack.scale), target, crops))
    tables = [*speeds, *treatments]
    if chosen.json:
        print(json.dumps([table.plain() for table in tables]))
        return
    for table in tables:
        print(table.text())
    print(machine())
    if chosen.markdown:
        text = "\n".join(table.markdown() for table in speeds)
        write_section(PAGE, "input", f"{text}\n{machine()}\n", page="")


if __name__ == "__main__":
    main()
