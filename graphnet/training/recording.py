"""Callbacks that write: CSV, TensorBoard, and checkpoints to go on from."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from graphnet.errors import ArgumentError
from graphnet.extras import extra
from graphnet.training.callbacks import Callback, Monitor, whole
from graphnet.training.checkpoint import check_folder

if TYPE_CHECKING:
    from graphnet.training.trainer import Trainer


class CSVLogger(Callback):
    """Keeps the history in a CSV file, a line an epoch as soon as it is over, to be read while training goes on.

    The file always holds the trainer's whole history: rows from before come first, also in a run that is resumed, and
    where a row brings a new column the file is written anew. Raises `ArgumentError` where its folder is not there.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = check_folder("CSVLogger", path)
        self._columns: list[str] = []

    def on_fit_begin(self, trainer: Trainer) -> None:
        self._write(trainer)

    def on_epoch_end(self, trainer: Trainer, row: dict[str, float]) -> None:
        if not set(row) <= set(self._columns):
            self._write(trainer)
            return
        line = io.StringIO(newline="")
        csv.DictWriter(line, self._columns, lineterminator="\n").writerow(row)
        # One write of one line: a reader sees whole lines only.
        with open(self.path, "ab", buffering=0) as file:
            file.write(line.getvalue().encode())

    def _write(self, trainer: Trainer) -> None:
        self._columns = trainer.history.columns
        trainer.history.to_csv(self.path)


class TensorBoard(Callback):
    """Writes each row for TensorBoard into the folder `log_dir`, by tensorboardX: "train_loss" as "loss/train".

    Raises `MissingExtraError` where tensorboardX is not installed, and `ArgumentError` where a file is in the way.
    """

    def __init__(self, log_dir: str | os.PathLike[str]) -> None:
        if not isinstance(log_dir, (str, os.PathLike)):
            raise ArgumentError(f"TensorBoard: log_dir must name a folder, got {log_dir!r}")
        self.log_dir = os.fspath(log_dir)
        if os.path.exists(self.log_dir) and not os.path.isdir(self.log_dir):
            raise ArgumentError(f"TensorBoard: {self.log_dir!r} cannot be a folder: a file is in the way")
        self._writer_class = extra("tensorboardX").SummaryWriter
        self._writer: Any = None

    def on_fit_begin(self, trainer: Trainer) -> None:
        # Steps from here on that an earlier run wrote before it was killed are not shown.
        self._writer = self._writer_class(self.log_dir, purge_step=trainer.epochs_done + 1)

    def on_epoch_end(self, trainer: Trainer, row: dict[str, float]) -> None:
        epoch = int(row["epoch"])
        for name, value in row.items():
            part, _, measure = name.partition("_")
            if name != "epoch":
                self._writer.add_scalar(f"{measure}/{part}" if measure else name, value, epoch)
        self._writer.flush()

    def on_fit_end(self, trainer: Trainer) -> None:
        self._writer.close()
        self._writer = None


class Checkpoint(Callback):
    """Saves the run to `path` every `epochs` epochs, and within an epoch every `batches` batches where given.

    Whenever the process is killed, `trainer.resume(path)` goes on from there to the same bits. Raises `ArgumentError`
    where the folder of `path` is not there.
    """

    saves = True

    def __init__(self, path: str | os.PathLike[str], epochs: int = 1, batches: int | None = None) -> None:
        self.path = check_folder("Checkpoint", path)
        self.epochs = whole("Checkpoint", "epochs", epochs, 1)
        self.batches = None if batches is None else whole("Checkpoint", "batches", batches, 1)

    def on_batch_end(self, trainer: Trainer, measures: Mapping[str, float]) -> None:
        if self.batches is not None and trainer.batches_done % self.batches == 0:
            trainer.save(self.path)

    def on_epoch_end(self, trainer: Trainer, row: dict[str, float]) -> None:
        if int(row["epoch"]) % self.epochs == 0:
            trainer.save(self.path)


class BestCheckpoint(Callback):
    """Saves the run to `path` whenever the column `monitor` improves by more than `min_delta`.

    The weights are in it under PyTorch's names, and `graphnet predict --weights` takes it; `trainer.resume` goes on
    from it. best_epoch, best: which epoch it holds, and its value.
    """

    saves = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        monitor: str = "validation_loss",
        mode: str = "min",
        min_delta: float = 0.0,
    ) -> None:
        self.path = check_folder("BestCheckpoint", path)
        self._monitor = Monitor("BestCheckpoint", monitor, mode, min_delta)
        self.best_epoch = 0

    @property
    def best(self) -> float:
        """The best value so far, over all calls of `fit`."""
        return self._monitor.best

    def on_epoch_end(self, trainer: Trainer, row: dict[str, float]) -> None:
        if self._monitor.improves(row):
            self.best_epoch = int(row["epoch"])
            trainer.save(self.path)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "best_epoch": self.best_epoch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._monitor.best, self.best_epoch = float(state["best"]), int(state["best_epoch"])
