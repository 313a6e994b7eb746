"""Estimate of time and memory of a run, for ``--dry-run``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Final

import numpy as np
import torch
from torch import Tensor

from visavis.embedding.onnx import EmbedderOptions, OnnxEmbedder
from visavis.embedding.torch import FaceNetwork
from visavis.training import building, drawing
from visavis.training.augment.augmenter import Augmenter
from visavis.training.building import build_head, build_network, is_narrower
from visavis.training.data.pack import Pack
from visavis.training.data.split import split_people
from visavis.training.loop import hardware, optimizers
from visavis.training.loop.hardware import expected_device, keep_memory, threads, uses_bf16
from visavis.training.loop.module import WiderTeacher
from visavis.training.recipes.recipe import Recipe
from visavis.types import Record

_TRIED: Final = 32  # images of a tried step, at most
_FEWEST: Final = 6
_STEPS: Final = 2  # timed steps, after one to warm up


@dataclass(frozen=True, slots=True)
class Plan(Record):
    """Estimate of a run from a few steps on this machine.

    Attributes:
        device: where it would run.
        threads: of the CPU.
        precision: ``32`` or ``bf16``.
        people: trained on.
        photos: trained on.
        singles: people among them with one photo.
        validation_people: kept apart.
        validation_photos: kept apart.
        batch: images of a step; smaller than the recipe's where there are fewer photos.
        steps_per_epoch: steps of an epoch.
        steps: of the run, unless validation ends it early.
        validations: of the run.
        parameters: weights of the network that learn.
        head_parameters: weights of the loss that learn.
        flops: floating point operations of a step of the network.
        peak: operations per second of a large matrix product on this device.
        share_of_peak: of it, what the tried steps reached.
        seconds_per_step: estimated from smaller batches where the recipe's is large.
        seconds: of the whole run, validations included.
        memory: bytes at the peak of a step: weights, gradients, optimizer, average and what the
            way back needs.
    """

    device: str
    threads: int
    precision: str
    people: int
    photos: int
    singles: int
    validation_people: int
    validation_photos: int
    batch: int
    steps_per_epoch: int
    steps: int
    validations: int
    parameters: int
    head_parameters: int
    flops: int
    peak: float
    share_of_peak: float
    seconds_per_step: float
    seconds: float
    memory: int


def plan(recipe: Recipe, pack: Pack, *, accelerator: str = "auto") -> Plan:
    """Measure a few steps; write nothing.

    Without ``torch.compile``, which would take longer than it saves here.

    Args:
        recipe: of the run.
        pack: its data.
        accelerator: as for ``fit``.

    Raises:
        OptionError: the recipe's parts do not fit together.
        DataError: too little data for this recipe.
    """
    keep_memory()
    with threads(recipe.threads):
        return _plan(recipe, pack, expected_device(accelerator))


def _plan(recipe: Recipe, pack: Pack, device: torch.device) -> Plan:
    split = split_people(pack.labels, share=recipe.validation_share, seed=recipe.seed)
    people, labels = np.unique(pack.labels[split.train_rows], return_inverse=True)
    sampler = drawing.build_sampler(recipe, labels)
    per_epoch = len(sampler)
    drawing.search_every(recipe, per_epoch=per_epoch)
    steps = min(recipe.epochs * per_epoch, recipe.max_steps or recipe.epochs * per_epoch)
    network = build_network(recipe).to(device)
    head = build_head(recipe, people=len(people)).to(device)
    trial = _Trial(recipe, pack, network, head)
    batch = sampler.batch_size
    flops = hardware.training_flops(network)
    dtype = torch.bfloat16 if uses_bf16(recipe, device) else torch.float32
    peak = hardware.measured_peak(device, dtype, torch.get_num_threads())
    # A step of about a second at best; whole pairs and triplets.
    tried = min(batch, _TRIED, max(_FEWEST, int(peak / flops)))
    rows = next(sampler.batches(0))[: tried // 6 * 6 or batch]
    seconds, kept = trial.run(split.train_rows[rows], labels[rows])
    ratio = batch / len(rows)
    step_seconds = seconds * ratio
    validations = -(-steps // (recipe.validate_every * per_epoch)) if recipe.validation_share else 0
    look = trial.look(split.train_rows[rows]) / len(rows)
    looked = look * len(split.validation_rows)
    wider = recipe.distil > 0 and is_narrower(recipe)
    untouched = recipe.head_from_init or (recipe.distil and not wider)
    begun = look * len(split.train_rows) if untouched else 0.0
    if wider:
        taught = min(steps, per_epoch * (recipe.repeat or recipe.epochs)) * batch
        begun += trial.taught(split.train_rows[rows]) / len(rows) * taught
    own = sum(p.numel() for p in network.parameters() if p.requires_grad)
    others = sum(p.numel() for p in head.parameters() if p.requires_grad)
    states = 1 if recipe.optimizer == "sgd" else 2
    weights = 4 * ((own + others) * (2 + states) + (own if recipe.ema is not None else 0))
    return Plan(
        device=hardware.device_name(device),
        threads=torch.get_num_threads(),
        precision="bf16" if uses_bf16(recipe, device) else "32",
        people=len(people),
        photos=len(split.train_rows),
        singles=sampler.singles,
        validation_people=len(np.unique(pack.labels[split.validation_rows])),
        validation_photos=len(split.validation_rows),
        batch=batch,
        steps_per_epoch=per_epoch,
        steps=steps,
        validations=validations,
        parameters=own,
        head_parameters=others,
        flops=flops * batch,
        peak=peak,
        share_of_peak=flops * batch / step_seconds / peak,
        seconds_per_step=step_seconds,
        seconds=begun + steps * step_seconds + validations * looked,
        memory=int(weights + kept * ratio),
    )


class _Trial:
    """Runs trial steps."""

    def __init__(
        self, recipe: Recipe, pack: Pack, network: FaceNetwork, head: torch.nn.Module
    ) -> None:
        spec = network.spec
        self._recipe, self._pack, self._network, self._head = recipe, pack, network, head
        self._device = next(network.parameters()).device
        self._augmenter = Augmenter(
            recipe.augment,
            source=(pack.size, pack.scale),
            target=(spec.input_size, spec.crop_scale),
        )
        self._optimizer = optimizers.build_optimizer(recipe, network, head)

    def run(self, rows: np.ndarray, labels: np.ndarray) -> tuple[float, int]:
        """Step time in seconds and backward-pass memory in bytes."""
        people = torch.as_tensor(labels, device=self._device)
        seconds, kept = [], 0
        for turn in range(1 + _STEPS):
            hardware.wait(self._device)
            begun = time.perf_counter()
            images = self._images(rows, seed=turn)
            saved: dict[int, int] = {}

            def keep(tensor: Tensor, saved: dict[int, int] = saved) -> Tensor:
                storage = tensor.untyped_storage()
                saved[storage.data_ptr()] = storage.nbytes()
                return tensor

            building.train_mode(
                self._network, convolutions=self._recipe.frozen, norms=self._recipe.freeze_norm
            )
            with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
                with torch.autocast(self._device.type, torch.bfloat16, enabled=self._half):
                    raw = self._network.raw(images)
                loss = self._head(raw.float(), people).loss
            loss.backward()
            self._optimizer.step()
            self._optimizer.zero_grad()
            hardware.wait(self._device)
            if turn:
                seconds.append(time.perf_counter() - begun)
            own = {p.untyped_storage().data_ptr() for p in self._learning()}
            kept = max(kept, sum(size for place, size in saved.items() if place not in own))
        return min(seconds), kept

    def look(self, rows: np.ndarray) -> float:
        """Time in seconds to embed the rows."""
        hardware.wait(self._device)
        begun = time.perf_counter()
        images = self._images(rows, seed=0)
        with torch.no_grad(), torch.autocast(self._device.type, torch.bfloat16, enabled=self._half):
            self._network.eval()(images)
        hardware.wait(self._device)
        return time.perf_counter() - begun

    def taught(self, rows: np.ndarray) -> float:
        """Time in seconds that a wider teacher takes to embed the rows."""
        recipe = self._recipe
        embedder = OnnxEmbedder(recipe.init, options=EmbedderOptions(threads=recipe.threads))
        teacher = WiderTeacher(embedder, weight=recipe.distil)
        images, places = self._images(rows, seed=0), torch.from_numpy(rows)
        teacher.wanted(images[:1], places[:1], 0)
        begun = time.perf_counter()
        teacher.wanted(images, places, 0)
        return time.perf_counter() - begun

    def _learning(self) -> Iterator[Tensor]:
        return chain(self._network.parameters(), self._head.parameters())

    @property
    def _half(self) -> bool:
        return uses_bf16(self._recipe, self._device)

    def _images(self, rows: np.ndarray, *, seed: int) -> Tensor:
        crops = torch.from_numpy(np.asarray(self._pack.crops[rows])).to(self._device)
        images = self._augmenter(crops, seed=seed)
        if self._recipe.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        return images
