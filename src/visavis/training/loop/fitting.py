"""``fit``: a recipe and a pack in, a trained network out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from numpy.typing import NDArray
from safetensors.torch import save_file

from visavis.embedding.torch import FaceNetwork
from visavis.training import drawing
from visavis.training.augment.augmenter import Augmenter
from visavis.training.building import blend, build_head, build_network, load_weights
from visavis.training.data.pack import Pack
from visavis.training.data.split import Split, split_people
from visavis.training.loop import hardware, logs, optimizers
from visavis.training.loop.alarm import CollapseAlarm
from visavis.training.loop.callbacks import Ema, Pace, Patience, Remining, Watch
from visavis.training.loop.checkpoints import Interrupt, LastCheckpoint, Run, steps_done
from visavis.training.loop.embedding import Reader
from visavis.training.loop.feeding import StepStream, Supply
from visavis.training.loop.hardware import expected_device, keep_memory, threads
from visavis.training.loop.module import Teacher, Training
from visavis.training.loop.progress import Progress
from visavis.training.loop.validation import Validation, validate
from visavis.training.losses.classifiers import begin_at_means
from visavis.training.recipes.recipe import Recipe
from visavis.training.seeds import derive, seeded
from visavis.writing import replacing


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """What training came to.

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


@dataclass(frozen=True, slots=True, eq=False)
class _Parts:
    network: FaceNetwork
    supply: Supply
    ema: Ema | None
    reader: Reader
    pace: Pace
    head_first: int
    module: Training

    @property
    def judged(self) -> FaceNetwork:
        """What is validated and kept."""
        return self.network if self.ema is None else self.ema.network


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
) -> Fitted:
    """Train.

    The folder gets ``run.json``, ``history.csv``, ``tensorboard/`` and ``checkpoints/``. Killed at
    any moment and called again with ``resume``, the run comes to the weights that it would have
    come to: everything random is a function of the recipe's seed and the step, and the rest of
    the state is in the checkpoint. (Bit for bit on a CPU with the same number of threads; on other
    devices as far as their kernels repeat themselves.)

    With several processes (``devices`` times ``nodes``, by Lightning's DDP: start the same
    command on every node, or let torchrun), a batch is shared among them and mined as one.
    Batch normalization is then over all processes on CUDA, and over each alone on CPUs.

    The process keeps the memory that training frees (see ``keep_memory``).

    Args:
        recipe: how.
        pack: crops to learn from; some people are kept apart for validation.
        out: folder of the run; made if needed.
        resume: go on with the run in ``out``, if there is one.
        progress: called every few steps, in the first process.
        accelerator: Lightning's: ``auto``, ``cpu``, ``gpu``, ``mps``.
        devices: processes on this machine, each with a device of its own.
        nodes: machines.
        checkpoint_every: steps between checkpoints; ``None`` for about one a minute. One is
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
        device = expected_device(accelerator)
        computed_in = hardware.name(recipe, device)
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
            logger=[logs.History(run.history, resumed=done), board],
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
        split = split_people(pack.labels, share=recipe.validation_share, seed=recipe.seed)
        parts = _assemble(recipe, pack, split, trainer)
        if recipe.distil or (recipe.head_from_init and checkpoint is None):
            _ask_untouched(recipe, parts)
        patience = Patience(recipe.patience)
        watch = _watch(
            recipe,
            parts,
            split=split,
            run=run,
            trainer=trainer,
            patience=patience,
            progress=progress,
        )
        last = LastCheckpoint(
            run.last,
            every=checkpoint_every,
            always=parts.pace.validate,
            look=parts.pace.look,
            interrupt=interrupt,
        )
        callbacks: list[pl.Callback] = [watch]
        every = drawing.search_every(recipe, per_epoch=parts.pace.per_epoch)
        if every is not None:
            callbacks.append(_remining(recipe, parts, every))
        trainer.callbacks.extend([*callbacks, last])  # type: ignore[attr-defined]
        stream = StepStream(
            lambda: parts.supply.feed,
            per_epoch=parts.pace.per_epoch,
            total=parts.pace.total,
            stretch=every,
        )
        try:
            trainer.fit(parts.module, stream, ckpt_path=checkpoint, weights_only=True)
        except SystemExit as stop:
            # Lightning ends the process at Ctrl-C; whoever called may want to say something.
            if trainer.interrupted:
                raise KeyboardInterrupt from stop
            raise
        finally:
            parts.supply.close()
        return _finish(
            recipe,
            parts,
            split=split,
            run=run,
            steps=trainer.global_step,
            patience=patience,
            seconds=watch.seconds,
        )


def _assemble(recipe: Recipe, pack: Pack, split: Split, trainer: pl.Trainer) -> _Parts:
    rank, world = trainer.global_rank, trainer.world_size
    rows = split.train_rows
    people, labels = np.unique(pack.labels[rows], return_inverse=True)
    device = trainer.strategy.root_device
    supply = Supply(
        pack,
        rows,
        labels.astype(np.int64),
        drawing.build_sampler(recipe, labels, rank=rank, world=world),
        workers=recipe.workers,
        pinned=device.type == "cuda",
    )
    network = build_network(recipe).to(device)
    spec = network.spec
    augmenter = Augmenter(
        recipe.augment,
        source=(pack.size, pack.scale),
        target=(spec.input_size, spec.crop_scale),
    )
    per_epoch = len(supply.sampler)
    total = min(recipe.epochs * per_epoch, recipe.max_steps or recipe.epochs * per_epoch)
    head_first = min(recipe.head_first * per_epoch, total)
    dtype = torch.bfloat16 if hardware.half(recipe, device) else torch.float32
    flops = hardware.training_flops(network)
    pace = Pace(
        total=total,
        per_epoch=per_epoch,
        look=max(1, min(10, total // 50)),
        validate=recipe.validate_every * per_epoch if len(split.validation_rows) else None,
        batch=supply.sampler.batch_size,
        flops=flops * supply.sampler.batch_size,
        peak=hardware.measured_peak(device, dtype, torch.get_num_threads()) * world,
    )
    module = Training(
        recipe,
        network,
        build_head(recipe, people=len(people)),
        augmenter,
        total=total,
        head_first=head_first,
    )
    ema = Ema(network, decay=recipe.ema) if recipe.ema is not None else None
    reader = Reader(recipe, pack, augmenter, trainer)
    return _Parts(network, supply, ema, reader, pace, head_first, module)


def _ask_untouched(recipe: Recipe, parts: _Parts) -> None:
    """Teacher and first centers, while the network still has the weights that it began with."""
    rows = parts.supply.rows
    alone = FaceNetwork(parts.network.backbone).eval()  # each crop by itself, as in training
    vectors, _people = parts.reader.embed_alone(alone, rows, precise=False)
    if recipe.distil:
        parts.module.teacher = Teacher(vectors, rows, weight=recipe.distil)
    if recipe.head_from_init:
        begin_at_means(parts.module.loss, vectors, parts.supply.labels)


def _watch(
    recipe: Recipe,
    parts: _Parts,
    *,
    split: Split,
    run: Run,
    trainer: pl.Trainer,
    patience: Patience,
    progress: Progress | None,
) -> Watch:
    pace = parts.pace
    warm = optimizers.warmup_steps(recipe, total=pace.total, head_first=parts.head_first)
    window = max(10, min(40, pace.total // pace.look // 20))

    def validated() -> Validation:
        rows = split.validation_rows
        return validate(*parts.reader.embed(parts.judged, rows, masked=True))

    def keep() -> None:
        if trainer.is_global_zero:
            save_network(parts.judged, run.best)

    return Watch(
        pace,
        alarm=CollapseAlarm(recipe, start=parts.head_first + warm, window=window),
        patience=patience,
        validate=validated,
        keep=keep,
        ema=parts.ema,
        progress=progress,
    )


def _remining(recipe: Recipe, parts: _Parts, every: int) -> Remining:
    supply = parts.supply

    def mine(step: int) -> NDArray[np.int64] | None:
        vectors, _people = parts.reader.embed(parts.judged, supply.rows)
        return drawing.search(recipe, vectors, supply.labels, step=step)

    return Remining(supply, every=every, total=parts.pace.total, mine=mine)


def _finish(
    recipe: Recipe,
    parts: _Parts,
    *,
    split: Split,
    run: Run,
    steps: int,
    patience: Patience,
    seconds: float,
) -> Fitted:
    network = parts.judged.cpu()
    best = steps
    validation = None
    if len(split.validation_rows):
        load_weights(network, run.best)
        best = patience.step
    if recipe.blend < 1:
        blend(network, build_network(recipe), recipe.blend)
    if len(split.validation_rows):
        network.eval()
        validation = validate(
            *parts.reader.embed_alone(network, split.validation_rows, masked=True)
        )
    network.requires_grad_(True).eval()
    return Fitted(
        network=network,
        validation=validation,
        split=split,
        history=run.history,
        steps=steps,
        best_step=best,
        stopped_early=steps < parts.pace.total,
        seconds=seconds,
        flops=parts.pace.flops // parts.pace.batch,
    )


def save_network(network: FaceNetwork, path: Path) -> None:
    """Write a network's weights as safetensors, whole or not at all."""
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
