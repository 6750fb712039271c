"""Train a model; writes weights.safetensors, history.csv and curves.png."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from graphnet.cli import values
from graphnet.cli.data import About, add_data, add_data_folder, examples, held_out, normalizing
from graphnet.cli.models import ModelFile, add_model, find_model
from graphnet.cli.steps import make_optimizer
from graphnet.errors import ArgumentError
from graphnet.extras import extra
from graphnet.interop import safetensors
from graphnet.ops.random import manual_seed
from graphnet.training import Checkpoint, DataLoader, History, Normalization, Trainer, alike, compose
from graphnet.training.augmentation import Transform
from graphnet.training.normalization import KINDS

_VALIDATION_SHARE = 0.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `graphnet train`; what is not given is taken from the model file's RECIPE."""
    add_model(parser)
    add_data(parser)
    add_data_folder(parser)
    parser.add_argument("--normalize", choices=KINDS, help="normalize inputs by what is trained on")
    parser.add_argument(
        "--augment", type=values.augmentation, nargs="+", metavar="CHANGE",
        help=f"random changes to the training images, in place of the recipe's: {values.AUGMENTATIONS}",
    )  # fmt: skip
    parser.add_argument("--epochs", type=values.whole(1), help="times through the data")
    parser.add_argument("--batch-size", type=values.whole(1), help="examples a step")
    parser.add_argument("--lr", type=values.positive, help="learning rate")
    parser.add_argument("--optimizer", type=values.optimizer, help="SGD, Adam, AdamW, Lion, ...")
    parser.add_argument("--backend", type=values.backend, help="what runs the step")
    parser.add_argument("--prefetch", type=values.whole(0), default=0, help="batches made ahead on a thread")
    parser.add_argument("--seed", type=values.whole(0), default=0, help="decides weights and order (default: 0)")
    resume = "keep the run in FOLDER/run.safetensors after each epoch, and go on from it where it is there"
    parser.add_argument("--resume", action="store_true", help=resume)
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where the files go (default: runs/MODEL)")


def run(options: argparse.Namespace) -> None:
    """Train, then test on examples that were never trained on."""
    file = find_model(options.model)
    for module in ("safetensors", "matplotlib.figure"):
        extra(module)  # what is missing is said before the work, not after it
    manual_seed(options.seed)
    model = file.build()
    optimizer = make_optimizer(file, model, options.optimizer, options.lr)
    trainer = Trainer(model, file.loss_of(model), optimizer, metrics=file.metrics, backend=options.backend)
    loaders, about = _loaders(file, options)
    folder = values.make_folder(options.out or Path("runs") / file.name)
    history = _fit(trainer, loaders, _setting(file, options.epochs, "epochs", 10), folder, options)
    tested = trainer.evaluate(loaders["test"])
    safetensors.save(model, folder / "weights.safetensors", metadata=about.to_metadata())
    history.to_csv(folder / "history.csv")
    history.draw(folder / "curves.png")
    print(values.measures("test ", tested))
    for name in ("weights.safetensors", "history.csv", "curves.png"):
        print(folder / name)


def _fit(
    trainer: Trainer, loaders: dict[str, DataLoader], epochs: int, folder: Path, options: argparse.Namespace
) -> History:
    """Train up to so many epochs; those of the run that is resumed count."""
    path = folder / "run.safetensors"
    if options.resume and path.exists():
        trainer.resume(path)
    left = epochs - trainer.epochs_done
    if left > 0:
        callbacks = [Checkpoint(path)] if options.resume else []
        trainer.fit(loaders["train"], loaders["validation"], epochs=left, callbacks=callbacks)
    return trainer.history


def _loaders(file: ModelFile, options: argparse.Namespace) -> tuple[dict[str, DataLoader], About]:
    """Batches for training, for validation (a tenth of the training examples) and for the test; what they are of.

    What normalizes them is fitted to what is trained on alone.
    """
    data = examples(file, options)
    train, validation = held_out(data, _VALIDATION_SHARE, options.seed)
    about, after = data.about, None
    if options.normalize is not None:
        if train[0].dtype.kind != "f":
            raise ArgumentError(f"--normalize: {file.name} takes {train[0].dtype}, which is not normalized")
        about = replace(about, normalization=Normalization.fit(train[0], options.normalize))
        assert about.normalization is not None
        after = normalizing(about.normalization, len(file.inputs))
    size = _setting(file, options.batch_size, "batch_size", 64)
    loaders = {
        "train": DataLoader(
            train, size, shuffle=True, seed=options.seed, prefetch=options.prefetch,
            transform=_both(_augmentation(file, options, train[0]), after),
        ),
        "validation": DataLoader(validation, size, transform=after, prefetch=options.prefetch),
        "test": DataLoader(data.test, size, transform=after, prefetch=options.prefetch),
    }  # fmt: skip
    return loaders, about


def _augmentation(file: ModelFile, options: argparse.Namespace, inputs: np.ndarray) -> Transform | None:
    """What --augment says, of inputs and of targets that are images too; else the recipe's."""
    if options.augment is None:
        recipes: Transform | None = file.recipe.get("transform")
        return recipes
    changes = [change for change in options.augment if change is not None]
    if not changes:
        return None
    if inputs.ndim < 3 or inputs.dtype.kind != "f":
        raise ArgumentError(f"--augment: {file.name} takes {inputs.dtype}{inputs.shape[1:]}, which are no images")
    return alike(compose(*changes))


def _both(first: Transform | None, second: Transform | None) -> Transform | None:
    given = [transform for transform in (first, second) if transform is not None]
    return compose(*given) if len(given) == 2 else given[0] if given else None


def _setting(file: ModelFile, given: int | None, name: str, otherwise: int) -> int:
    return given if given is not None else int(file.recipe.get(name, otherwise))
