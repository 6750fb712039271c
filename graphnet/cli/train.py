"""Train a model; writes weights.safetensors, history.csv and curves.png."""

from __future__ import annotations

import argparse
from pathlib import Path

from graphnet.cli import values
from graphnet.cli.data import DATA_SETS, digits_for
from graphnet.cli.models import ModelFile, add_model, find_model
from graphnet.cli.steps import make_optimizer
from graphnet.extras import extra
from graphnet.interop import safetensors
from graphnet.ops.losses import cross_entropy
from graphnet.ops.random import manual_seed
from graphnet.training import DataLoader, Trainer, accuracy

_VALIDATION_SHARE = 0.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `graphnet train`; what is not given is taken from the model file's RECIPE."""
    add_model(parser)
    parser.add_argument("--data", choices=DATA_SETS, default="digits", help="what to learn (default: digits)")
    parser.add_argument("--epochs", type=values.whole(1), help="times through the data")
    parser.add_argument("--batch-size", type=values.whole(1), help="examples a step")
    parser.add_argument("--lr", type=values.positive, help="learning rate")
    parser.add_argument("--optimizer", type=values.optimizer, help="SGD, RMSprop, Adam or AdamW")
    parser.add_argument("--backend", type=values.backend, help="what runs the step")
    parser.add_argument("--seed", type=values.whole(0), default=0, help="decides weights and order (default: 0)")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where the files go (default: runs/MODEL)")


def run(options: argparse.Namespace) -> None:
    """Train, then test on images that were never trained on."""
    file = find_model(options.model)
    for module in ("safetensors", "matplotlib.figure"):
        extra(module)  # what is missing is said before the work, not after it
    manual_seed(options.seed)
    model = file.build()
    optimizer = make_optimizer(file, model, options.optimizer, options.lr)
    trainer = Trainer(model, cross_entropy, optimizer, metrics={"accuracy": accuracy}, backend=options.backend)
    loaders = _loaders(file, options)
    folder = values.make_folder(options.out or Path("runs") / file.name)
    history = trainer.fit(loaders["train"], loaders["validation"], epochs=_setting(file, options.epochs, "epochs", 10))
    tested = trainer.evaluate(loaders["test"])
    safetensors.save(model, folder / "weights.safetensors")
    history.to_csv(folder / "history.csv")
    history.draw(folder / "curves.png")
    print(f"test accuracy {tested['accuracy']:.2%}, test loss {tested['loss']:.4f}")
    for name in ("weights.safetensors", "history.csv", "curves.png"):
        print(folder / name)


def _loaders(file: ModelFile, options: argparse.Namespace) -> dict[str, DataLoader]:
    """Batches for training, for validation (a tenth of the training images) and for the test."""
    data = digits_for(file.input_shape)
    size = _setting(file, options.batch_size, "batch_size", 64)
    cut = round(len(data.train.labels) * (1 - _VALIDATION_SHARE))
    images, labels = data.train
    return {
        "train": DataLoader(
            (images[:cut], labels[:cut]), size, shuffle=True, seed=options.seed, transform=file.recipe.get("transform")
        ),
        "validation": DataLoader((images[cut:], labels[cut:]), size),
        "test": DataLoader(tuple(data.test), size),
    }


def _setting(file: ModelFile, given: int | None, name: str, otherwise: int) -> int:
    return given if given is not None else int(file.recipe.get(name, otherwise))
