"""Search for hyper-parameters: many trials on a part of the data, then the best few on all; table and picture."""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from graphnet.cli import values
from graphnet.cli.data import add_data, add_data_folder, examples, held_out
from graphnet.cli.models import ModelFile, add_model, find_model
from graphnet.cli.steps import make_optimizer
from graphnet.errors import ArgumentError
from graphnet.extras import extra
from graphnet.ops.random import manual_seed
from graphnet.training import Callback, DataLoader, Trainer, Trial, search
from graphnet.training.search import SAMPLERS, Settings
from graphnet.training.search_result import FINISHED
from graphnet.training.spaces import LogUniform, Space, parse_space

_VALIDATION_SHARE = 0.2
_SPACES = "low:high, low:high:log, low:high:int, low:high:int:log, or values such as 16,32,64"
_DEFAULT = {"lr": LogUniform(1e-4, 1e-1)}
_TRAINING = ("lr", "batch_size", "optimizer")  # what is set by an option of its own; others have a prefix
_OPTION, _BUILD = "option.", "build."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `graphnet search`."""
    add_model(parser)
    add_data(parser)
    add_data_folder(parser)
    parser.add_argument("--trials", type=values.whole(1), default=20, help="settings to try (default: 20)")
    finalists = "how many of the best are trained on all of the data (default: 3)"
    parser.add_argument("--finalists", type=values.whole(0), default=3, help=finalists)
    rates = f"learning rates: {_SPACES} (default: 1e-4:1e-1:log)"
    parser.add_argument("--lr", type=_space, metavar="SPACE", help=rates)
    parser.add_argument("--batch-size", type=_space, metavar="SPACE", help="batch sizes, such as 16,32,64")
    parser.add_argument("--optimizer", type=_optimizers, metavar="LIST", help="optimizers, such as SGD,Adam")
    named = {"type": _named_space, "action": "append", "default": [], "metavar": "NAME=SPACE"}
    parser.add_argument("--option", **named, help="an option of the optimizer, such as weight_decay=1e-6:1e-2:log")  # type: ignore[arg-type]
    parser.add_argument("--build", **named, help="an argument of the model's function, such as hidden=16,32,64")  # type: ignore[arg-type]
    parser.add_argument("--part", type=_share, default=0.25, help="share of the data for the trials (default: 0.25)")
    parser.add_argument("--epochs", type=values.whole(1), help="epochs of a trial (default: a third of the recipe's)")
    parser.add_argument("--final-epochs", type=values.whole(1), help="epochs of the best (default: the recipe's)")
    parser.add_argument("--monitor", help="what decides (default: validation_accuracy, or validation_loss without it)")
    parser.add_argument("--sampler", choices=SAMPLERS, default="random", help="what draws settings (default: random)")
    parser.add_argument("--seed", type=values.whole(0), default=0, help="decides settings and weights (default: 0)")
    parser.add_argument("--backend", type=values.backend, help="what runs the steps")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where the files go (default: runs/MODEL-search)")


def run(options: argparse.Namespace) -> None:
    """Search, print the table, and write search.csv, search.json and search.png; also after an interrupt."""
    file = find_model(options.model)
    extra("matplotlib.figure")  # what is missing is said before the work, not after it
    spaces = _spaces(file, options)
    objective = _Objective(file, options)
    folder = values.make_folder(options.out or Path("runs") / f"{file.name}-search")
    mode = "min" if objective.monitor.endswith(("loss", "perplexity")) else "max"
    found = search(
        objective, spaces, options.trials, options.finalists, mode=mode, seed=options.seed, sampler=options.sampler,
        measure=objective.monitor, tell=_teller(options.trials, objective.monitor),
    )  # fmt: skip
    found.to_csv(folder / "search.csv")
    found.to_json(folder / "search.json")
    written = ["search.csv", "search.json"]
    if found.ranked():
        found.draw(folder / "search.png")
        written.append("search.png")
    print(found.table())
    for name in written:
        print(folder / name)
    if found.interrupted:
        raise KeyboardInterrupt


class _Objective:
    """Trains the model of a file with given settings, and gives what is monitored after the last epoch.

    The validation part is the same for every trial, and none of it is from the data set's test part.
    """

    def __init__(self, file: ModelFile, options: argparse.Namespace) -> None:
        self._file, self._options = file, options
        self._train, self._validation = held_out(examples(file, options), _VALIDATION_SHARE, options.seed)
        known = [f"validation_{name}" for name in ("loss", *file.metrics)]
        self.monitor = options.monitor or ("validation_accuracy" if "accuracy" in file.metrics else "validation_loss")
        if self.monitor not in known:
            raise ArgumentError(f"--monitor: expected one of {', '.join(known)}, got {self.monitor!r}")
        own = int(file.recipe.get("epochs", 10))
        self._epochs = {False: options.epochs or max(1, own // 3), True: options.final_epochs or own}

    def __call__(self, settings: Settings, full: bool) -> float:
        file, options = self._file, self._options
        manual_seed(options.seed)
        model = file.build(**_under(_BUILD, settings))
        file = dataclasses.replace(file, recipe=self._recipe(settings))
        optimizer = make_optimizer(file, model)
        trainer = Trainer(model, file.loss_of(model), optimizer, metrics=file.metrics, backend=options.backend)
        count = len(self._train[0]) if full else max(1, round(len(self._train[0]) * options.part))
        size = file.recipe.get("batch_size", 64)
        if not isinstance(size, int) or size < 1:
            raise ArgumentError(f"batch_size must be a positive integer, got {size!r}")
        train = DataLoader(
            tuple(array[:count] for array in self._train), size, shuffle=True, seed=options.seed,
            transform=file.recipe.get("transform"),
        )  # fmt: skip
        watch = _Divergence()
        history = trainer.fit(train, epochs=self._epochs[full], progress=False, callbacks=[watch])
        if watch.diverged or not math.isfinite(history[-1]["train_loss"]):
            return math.nan
        measured = trainer.evaluate(DataLoader(self._validation, size))
        return float(measured[self.monitor.removeprefix("validation_")])

    def _recipe(self, settings: Settings) -> dict[str, Any]:
        """The recipe of the file, with the settings in place of what it says."""
        recipe = {**self._file.recipe, **{name: settings[name] for name in _TRAINING if name in settings}}
        same = recipe.get("optimizer") == self._file.recipe.get("optimizer")
        kept = self._file.recipe.get("options", {}) if same else {}
        return {**recipe, "options": {**kept, **_under(_OPTION, settings)}}


class _Divergence(Callback):
    """Stops a trial at the first loss that is not finite."""

    diverged = False

    def on_batch_end(self, trainer: Trainer, measures: Mapping[str, float]) -> None:
        if not math.isfinite(measures["loss"]):
            self.diverged = True
            trainer.stop()


def _spaces(file: ModelFile, options: argparse.Namespace) -> dict[str, Space]:
    given = {"lr": options.lr, "batch_size": options.batch_size, "optimizer": options.optimizer}
    spaces: dict[str, Space] = {name: space for name, space in given.items() if space is not None}
    for prefix, named in ((_OPTION, options.option), (_BUILD, options.build)):
        for name, space in named:
            if prefix + name in spaces:
                raise ArgumentError(f"{file.name}: {name!r} is searched for twice")
            spaces[prefix + name] = space
    return spaces or dict(_DEFAULT)


def _under(prefix: str, settings: Settings) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in settings.items() if name.startswith(prefix)}


def _teller(trials: int, measure: str) -> Callable[[Trial], None]:
    """Says each trial on standard error when it is over."""

    def tell(trial: Trial) -> None:
        found = f"{measure} {trial.value:.4f}" if trial.state == FINISHED else trial.state
        shown = "  ".join(f"{n} {v:.4g}" if isinstance(v, float) else f"{n} {v}" for n, v in trial.settings.items())
        stage = f"trial {trial.number} on all data" if trial.full else f"trial {trial.number}/{trials}"
        print(f"{stage}  {shown}  {found}", file=sys.stderr, flush=True)

    return tell


def _space(text: str) -> Space:
    try:
        return parse_space(text)
    except ArgumentError as error:
        raise argparse.ArgumentTypeError(error.problem) from None


def _named_space(text: str) -> tuple[str, Space]:
    name, equals, space = text.partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"expected NAME=SPACE such as weight_decay=1e-6:1e-2:log, got {text!r}")
    return name, _space(space)


def _optimizers(text: str) -> Space:
    named = [values.optimizer(name.strip()) for name in text.split(",")]
    return _space(",".join(named))


def _share(text: str) -> float:
    share = values.positive(text)
    if share > 1:
        raise argparse.ArgumentTypeError(f"expected a share of at most 1, got {text!r}")
    return share
