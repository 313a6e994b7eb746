"""Training: ``fit`` turns a recipe and a pack into a trained network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from numpy.typing import NDArray
from safetensors.torch import save_file

from visavis.embedding.backbones.edge_mobilenet import EdgeMobileNet
from visavis.embedding.onnx import EmbedderOptions, OnnxEmbedder
from visavis.embedding.torch import FaceNetwork
from visavis.training import drawing
from visavis.training.augment.augmenter import Augmenter
from visavis.training.building import (
    blend,
    build_head,
    build_network,
    is_narrower,
    load_weights,
    registered_network,
)
from visavis.training.data.pack import Pack
from visavis.training.data.split import Split, split_people
from visavis.training.inheriting import CROPS, inherit
from visavis.training.loop import hardware, logs, optimizers
from visavis.training.loop.alarm import CollapseAlarm
from visavis.training.loop.callbacks import (
    Ema,
    HardExampleMining,
    Patience,
    StepPlan,
    TrainingMonitor,
)
from visavis.training.loop.checkpoints import Interrupt, LastCheckpoint, Run, steps_done
from visavis.training.loop.embedding import PackEmbedder
from visavis.training.loop.hardware import expected_device, keep_memory, threads
from visavis.training.loop.loaders import PackLoader, StepLoader
from visavis.training.loop.module import Teacher, Training, WiderTeacher
from visavis.training.loop.progress import Progress
from visavis.training.loop.validation import Validation, validate
from visavis.training.losses.classifiers import begin_at_means
from visavis.training.recipes.recipe import Recipe
from visavis.training.seeds import derive, seeded
from visavis.writing import replacing


@dataclass(frozen=True, slots=True, eq=False)
class FitResult:
    """Result of training.

    Attributes:
        network: of the best validation, or of the end where nothing was validated; averaged
            weights if the recipe averages; on the CPU, in evaluation mode.
        validation: of that network in full precision; ``None`` where nobody was kept apart.
        split: who was trained on and who was kept apart.
        history: the CSV log.
        steps: steps done.
        best_step: the step that ``network`` is of.
        stopped_early: whether validation ended the run before its last step.
        seconds: of training, all parts of a resumed run together.
        flops: floating point operations of one image's training step.
    """

    network: FaceNetwork
    validation: Validation | None
    split: Split
    history: Path
    steps: int
    best_step: int
    stopped_early: bool
    seconds: float
    flops: int


def fit(
    recipe: Recipe,
    pack: Pack,
    out: Path,
    *,
    resume: bool = False,
    progress: Progress | None = None,
    accelerator: str = "auto",
    devices: int = 1,
    nodes: int = 1,
    checkpoint_every: int | None = None,
) -> FitResult:
    """Train a network.

    The folder gets ``run.json``, ``history.csv``, ``tensorboard/`` and ``checkpoints/``. If it
    is killed at any moment and called again with ``resume``, the run reaches the same weights as
    without the interruption: everything random is a function of the recipe's seed and the step, and
    the rest of the state is in the checkpoint. (Bit for bit on a CPU with the same number of
    threads; on other devices as far as their kernels are deterministic.)

    With several processes (``devices`` times ``nodes``, by Lightning's DDP: start the same
    command on every node, or let torchrun), a batch is shared among them and mined as one.
    Batch normalization is then over all processes on CUDA, and over each alone on CPUs.

    The process keeps the memory that training frees (see ``keep_memory``).

    Args:
        recipe: all options of the run.
        pack: crops to train on; some people are held out for validation.
        out: folder of the run; made if needed.
        resume: continue the run in ``out``, if there is one.
        progress: called every few steps, in the first process.
        accelerator: Lightning's: ``auto``, ``cpu``, ``gpu``, ``mps``.
        devices: processes on this machine, each with a device of its own.
        nodes: machines.
        checkpoint_every: steps between checkpoints; ``None`` for about one per minute. One is
            written at each validation in any case, and at Ctrl-C in a run of one process.

    Raises:
        CollapseError: embeddings collapsed, or numbers are not finite any more.
        TrainingError: there is a run in ``out`` already, or another one than asked for.
        OptionError: the recipe's parts do not fit together.
        DataError: too little data for this recipe.
    """
    run = Run(out)
    keep_memory()
    with (
        threads(recipe.threads),
        Interrupt() as interrupt,
        logs.quiet(),
        seeded(derive(recipe.seed, "run")),
    ):
        computed_in = hardware.precision_name(recipe, expected_device(accelerator))
        checkpoint = run.begin(recipe, pack, resume=resume, computed_in=computed_in)
        done = steps_done(checkpoint) if checkpoint else 0
        board = TensorBoardLogger(
            out,
            name="",
            version="",
            sub_dir="tensorboard",
            default_hp_metric=False,
            purge_step=done + 1 if done else None,
        )
        trainer = pl.Trainer(
            accelerator=accelerator,
            devices=devices,
            num_nodes=nodes,
            strategy=_strategy(recipe, devices * nodes),
            precision="bf16-mixed" if computed_in == "bf16" else "32-true",
            logger=board,
            max_epochs=1,
            limit_val_batches=0,
            num_sanity_val_steps=0,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_autolog_hparams=False,
            use_distributed_sampler=False,
            sync_batchnorm=devices * nodes > 1 and torch.cuda.is_available(),
            default_root_dir=out,
        )
        fitting = _Fitting(recipe, pack, run, trainer, fresh=checkpoint is None)
        if recipe.distil or (recipe.head_from_init and checkpoint is None):
            fitting.ask_untouched()
        monitor = fitting.monitor(progress, logs.History(run.history, resumed=done))
        last = LastCheckpoint(
            run.last,
            every=checkpoint_every,
            always=fitting.plan.validate_every_n_steps,
            look=fitting.plan.log_every_n_steps,
            interrupt=interrupt,
        )
        trainer.callbacks.extend([monitor, *fitting.mining(), last])  # type: ignore[attr-defined]
        try:
            trainer.fit(fitting.module, fitting.steps, ckpt_path=checkpoint, weights_only=True)
        except SystemExit as stop:
            # Lightning ends the process at Ctrl-C; whoever called may want to say something.
            if trainer.interrupted:
                raise KeyboardInterrupt from stop
            raise
        finally:
            fitting.steps.loader.close()
        return fitting.finish(trainer.global_step, monitor)


class _Fitting:
    """Builds and holds the parts of a run."""

    def __init__(
        self, recipe: Recipe, pack: Pack, run: Run, trainer: pl.Trainer, *, fresh: bool
    ) -> None:
        self._recipe, self._run, self._trainer = recipe, run, trainer
        world, device = trainer.world_size, trainer.strategy.root_device
        self._split = split_people(pack.labels, share=recipe.validation_share, seed=recipe.seed)
        rows = self._split.train_rows
        people, labels = np.unique(pack.labels[rows], return_inverse=True)
        sampler = drawing.build_sampler(recipe, labels, rank=trainer.global_rank, world=world)
        per_epoch, images = len(sampler), sampler.batch_size
        self._cycle = recipe.repeat and recipe.repeat * per_epoch
        total = min(recipe.epochs * per_epoch, recipe.max_steps or recipe.epochs * per_epoch)
        self._search_every = drawing.search_every(recipe, per_epoch=per_epoch)
        self.steps = StepLoader(
            PackLoader(
                pack,
                rows,
                sampler,
                labels=labels,
                workers=recipe.workers,
                pinned=device.type == "cuda",
            ),
            total=total,
            stretch=self._search_every,
            repeat=recipe.repeat,
        )
        self._network = build_network(recipe)
        spec = self._network.spec
        augmenter = Augmenter(
            recipe.augment,
            source=(pack.size, pack.scale),
            target=(spec.input_size, spec.crop_scale),
        )
        if fresh and is_narrower(recipe):
            _inherit(recipe, self._network, augmenter, pack, rows)
        self._network.to(device)
        self._flops = hardware.training_flops(self._network)
        dtype = torch.bfloat16 if hardware.uses_bf16(recipe, device) else torch.float32
        validated = len(self._split.validation_rows) > 0
        self.plan = StepPlan(
            total=total,
            per_epoch=per_epoch,
            log_every_n_steps=max(1, min(10, total // 50)),
            validate_every_n_steps=recipe.validate_every * per_epoch if validated else None,
            images=images,
            flops=self._flops * images,
            peak=hardware.measured_peak(device, dtype, torch.get_num_threads()) * world,
        )
        self._head_first = min(recipe.head_first * per_epoch, total)
        self.module = Training(
            recipe,
            self._network,
            build_head(recipe, people=len(people)),
            augmenter,
            total=total,
            cycle=self._cycle,
            head_first=self._head_first,
        )
        self._ema = Ema(self._network, decay=recipe.ema) if recipe.ema is not None else None
        self._embedder = PackEmbedder(recipe, pack, augmenter, trainer)
        self._judged = self._network if self._ema is None else self._ema.network

    def ask_untouched(self) -> None:
        """Compute teacher and initial centers from the initial weights."""
        recipe, loader = self._recipe, self.steps.loader
        wider = is_narrower(recipe)
        if recipe.distil and wider:
            self.module.teacher = WiderTeacher(
                OnnxEmbedder(recipe.init, options=EmbedderOptions(threads=recipe.threads)),
                weight=recipe.distil,
                cycle=self._cycle,
            )
        if recipe.head_from_init or not wider:
            alone = FaceNetwork(
                self._network.backbone
            ).eval()  # each crop by itself, as in training
            vectors, _people = self._embedder.embed(alone, loader.rows, alone=True)
            if recipe.distil and not wider:
                self.module.teacher = Teacher(vectors, loader.rows, weight=recipe.distil)
            if recipe.head_from_init:
                begin_at_means(self.module.loss, vectors, loader.labels)

    def monitor(self, progress: Progress | None, history: logs.History) -> TrainingMonitor:
        """The monitoring callback."""
        plan, recipe, rows = self.plan, self._recipe, self._split.validation_rows
        warm = optimizers.warmup_steps(recipe, total=plan.total, head_first=self._head_first)
        window = max(10, min(40, plan.total // plan.log_every_n_steps // 20))

        def keep() -> None:
            if self._trainer.is_global_zero:
                save_network(self._judged, self._run.best)

        return TrainingMonitor(
            plan,
            history=history,
            alarm=CollapseAlarm(recipe, start=self._head_first + warm, window=window),
            patience=Patience(recipe.patience),
            validate=lambda: validate(*self._embedder.embed(self._judged, rows, masked=True)),
            keep=keep,
            ema=self._ema,
            progress=progress,
        )

    def mining(self) -> list[pl.Callback]:
        """The mining callback, if the recipe mines."""
        if self._search_every is None:
            return []

        def mine(step: int) -> NDArray[np.int64]:
            loader = self.steps.loader
            vectors, _people = self._embedder.embed(self._judged, loader.rows)
            return drawing.search(self._recipe, vectors, loader.labels, step=step)

        return [HardExampleMining(self.steps, every=self._search_every, mine=mine)]

    def finish(self, steps: int, monitor: TrainingMonitor) -> FitResult:
        """The final network, blended if asked for, validated in full precision."""
        network, rows = self._judged.cpu(), self._split.validation_rows
        best, validation = steps, None
        if len(rows):
            load_weights(network, self._run.best)
            best = monitor.patience.step
        if self._recipe.blend < 1:
            blend(network, build_network(self._recipe), self._recipe.blend)
        if len(rows):
            network.eval()
            validation = validate(
                *self._embedder.embed(network, rows, masked=True, alone=True, precise=True)
            )
        network.requires_grad_(True).eval()
        return FitResult(
            network=network,
            validation=validation,
            split=self._split,
            history=self._run.history,
            steps=steps,
            best_step=best,
            stopped_early=steps < self.plan.total,
            seconds=monitor.seconds,
            flops=self._flops,
        )


def _inherit(
    recipe: Recipe,
    network: FaceNetwork,
    augmenter: Augmenter,
    pack: Pack,
    rows: NDArray[np.int64],
) -> None:
    """Give a network what fits it of the registered model's weights, tried on training crops."""
    drawn = np.random.default_rng(derive(recipe.seed, "inherit")).permutation(rows)[:CROPS]
    images = augmenter.plain(torch.from_numpy(np.asarray(pack.crops[np.sort(drawn)])))
    spec, teacher = network.spec, registered_network(recipe)
    student = cast(EdgeMobileNet, network.backbone)
    inherit(student, teacher, (images - spec.mean) / spec.std)


def save_network(network: FaceNetwork, path: Path) -> None:
    """Write a network's weights as safetensors, atomically."""
    state = {
        name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()
    }
    with replacing(path) as temporary:
        save_file(state, temporary)


def _strategy(recipe: Recipe, processes: int) -> str:
    if processes == 1:
        return "auto"
    # While the head learns alone, the network's weights have no gradient.
    return "ddp_find_unused_parameters_true" if recipe.head_first else "ddp"
