"""Callbacks: their order, stopping, errors; early stopping; CSV while it runs; TensorBoard."""

from __future__ import annotations

import csv
import math
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from graphnet import optim
from graphnet.errors import ArgumentError, MissingExtraError
from graphnet.training import Callback, Checkpoint, CSVLogger, EarlyStopping, LearningRate, Plateau, TensorBoard
from tests.training.runs import At, bits, make_loaders, make_trainer


class Told(Callback):
    """Writes down what it is asked."""

    def __init__(self, name, into):
        self.name, self.into = name, into

    def on_fit_begin(self, trainer):
        self.into.append((self.name, "begin"))

    def on_batch_end(self, trainer, measures):
        assert set(measures) == {"loss", "accuracy"} and all(isinstance(value, float) for value in measures.values())
        self.into.append((self.name, "batch", trainer.epochs_done + 1, trainer.batches_done))

    def on_epoch_end(self, trainer, row):
        assert row is trainer.history[-1]
        self.into.append((self.name, "epoch", row["epoch"]))

    def on_fit_end(self, trainer):
        self.into.append((self.name, "end"))


def fit(callbacks, epochs=2, trainer=None):
    trainer = trainer or make_trainer()
    trainer.fit(*make_loaders(), epochs=epochs, progress=False, callbacks=callbacks)
    return trainer


def test_callbacks_are_asked_in_their_order():
    told = []
    fit([Told("a", told), Told("b", told)])
    assert told[:4] == [("a", "begin"), ("b", "begin"), ("a", "batch", 1, 1), ("b", "batch", 1, 1)]
    assert [entry for entry in told if entry[0] == "a"] == [("a", *entry[1:]) for entry in told if entry[0] == "b"]
    assert [entry[1] for entry in told].count("batch") == 2 * 2 * 6
    assert told[-2:] == [("a", "end"), ("b", "end")] and told[-4:-2] == [("a", "epoch", 2), ("b", "epoch", 2)]


def test_those_that_save_come_last(tmp_path):
    told = []

    class Saving(Told):
        saves = True

    fit([Saving("saves", told), Told("other", told)], epochs=1)
    assert told[-4:-2] == [("other", "epoch", 1), ("saves", "epoch", 1)]


def test_callbacks_change_no_bit_of_what_is_trained(tmp_path):
    pytest.importorskip("safetensors")
    with_callbacks = fit([CSVLogger(tmp_path / "h.csv"), Checkpoint(tmp_path / "run", batches=2), Told("a", [])])
    assert bits(with_callbacks) == bits(fit([]))


def test_a_callback_may_add_to_the_row():
    trainer = fit([At(lambda t: t.history[-1].update(seen=1.5), epoch=1)], epochs=1)
    assert trainer.history.column("seen") == [1.5]


def test_training_stops_where_a_callback_says_so():
    assert len(fit([At(lambda t: t.stop(), epoch=2)], epochs=5).history) == 2
    trainer = fit([At(lambda t: t.stop(), epoch=2, batch=3), Told("a", told := [])], epochs=5)
    assert len(trainer.history) == 2 and told[-3:] == [("a", "batch", 2, 3), ("a", "epoch", 2), ("a", "end")]
    assert "validation_loss" in trainer.history[1]
    assert len(fit([], epochs=1, trainer=trainer).history) == 3


@pytest.mark.parametrize("batch", [0, 2])
def test_an_error_in_a_callback_ends_training_with_the_weights_of_the_latest_step(batch):
    def fail(trainer):
        raise RuntimeError("no more")

    told = []
    trainer = make_trainer()
    with pytest.raises(RuntimeError, match="no more"):
        fit([At(fail, epoch=2, batch=batch), Told("a", told)], 3, trainer)
    assert not any(entry[1] == "end" for entry in told)
    other = fit([At(lambda t: t.stop(), epoch=2, batch=batch or 6)], 3)
    assert bits(trainer) == bits(other)
    trainer.fit(*make_loaders(), progress=False)
    assert all(np.isfinite(array).all() for array in trainer.model.state_dict().values())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (EarlyStopping(), "callbacks must be a list of callbacks, got <"),
        ([print], "callbacks must be of class graphnet.*, got <built-in"),
        (3, "callbacks must be a list of callbacks, got 3"),
    ],
)
def test_what_is_no_callback_is_refused(given, message):
    with pytest.raises(ArgumentError, match=message):
        fit(given)


class Scripted(Callback):
    """Puts given values into the column "seen", and the number of the epoch into a weight."""

    def __init__(self, values):
        self.values = values

    def on_epoch_end(self, trainer, row):
        row["seen"] = self.values[int(row["epoch"]) - 1]
        bias = dict(trainer.model.named_parameters())["4.bias"]
        bias.set_value(np.full(3, row["epoch"], "float32"))


@pytest.mark.parametrize(
    ("values", "options", "epochs", "best"),
    [
        ([3, 2, 2.5, 2.5, 1], {"patience": 2}, 4, 2),
        ([3, 2, 2.5, 1, 2, 2], {"patience": 2}, 6, 4),
        ([3, 2, 2, 2, 2], {"patience": 2}, 4, 2),
        ([3, 2.9, 2.8, 2.7], {"patience": 1, "min_delta": 0.15}, 2, 1),
        ([3, 2.8, 2.6, 2.7], {"patience": 1, "min_delta": 0.15}, 4, 3),
        ([1, 3, 2, 2.5, 4], {"patience": 2, "mode": "max"}, 4, 2),
        ([2, math.nan, math.nan, 1], {"patience": 2}, 3, 1),
        ([math.nan, math.nan, 2, 1], {"patience": 2}, 2, 0),
        ([4, 3, 2, 1], {"patience": 1}, 4, 4),
    ],
)
def test_early_stopping_waits_for_its_patience_and_brings_back_the_best(values, options, epochs, best):
    stopping = EarlyStopping("seen", **options)
    trainer = make_trainer()
    trainer.fit(make_loaders()[0], epochs=len(values), progress=False, callbacks=[Scripted(values), stopping])
    assert len(trainer.history) == epochs
    assert stopping.best_epoch == best
    kept = trainer.model.state_dict()["4.bias"]
    assert (kept == (best or epochs)).all()
    if best:
        assert stopping.best == values[best - 1]


def test_the_last_weights_stay_where_the_best_are_not_asked_for():
    trainer = fit([Scripted([1, 2, 3]), EarlyStopping("seen", patience=2, restore_best=False)], 3)
    assert (trainer.model.state_dict()["4.bias"] == 3).all()


def test_a_column_that_is_not_there_is_told_with_those_that_are():
    with pytest.raises(ArgumentError, match="EarlyStopping: there is no 'loss' to watch; a row has epoch, train_loss"):
        fit([EarlyStopping("loss")])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patience": 0}, "EarlyStopping: patience must be an integer >= 1, got 0"),
        ({"patience": 1.5}, "patience must be an integer >= 1, got 1.5"),
        ({"mode": "auto"}, "mode must be 'min' or 'max', got 'auto'"),
        ({"monitor": None}, "monitor must name a column such as 'validation_loss', got None"),
        ({"min_delta": -0.1}, "min_delta must be a number >= 0, got -0.1"),
        ({"min_delta": math.nan}, "min_delta must be a number >= 0, got nan"),
        ({"restore_best": 1}, "restore_best must be True or False, got 1"),
    ],
)
def test_arguments_of_early_stopping_are_checked(options, message):
    with pytest.raises(ArgumentError, match=message):
        EarlyStopping(**options)


def test_the_learning_rate_is_shown():
    trainer = make_trainer(lr=optim.cosine(0.02, steps=24))
    fit([LearningRate()], 2, trainer)
    assert trainer.history.column("lr") == pytest.approx([0.02 * (1 + math.cos(math.pi * t / 24)) / 2 for t in (6, 12)])
    assert fit([LearningRate()], 1).history.column("lr") == [0.02]


def test_the_rate_falls_on_a_plateau_also_in_a_run_that_is_resumed(tmp_path):
    pytest.importorskip("safetensors")
    values = [3, 2, 2, 2, 1, 1, 1, 1]

    def run(epochs, callbacks=(), resumed=None):
        trainer = make_trainer(lr=optim.ReduceLROnPlateau(0.08, factor=0.5, patience=1))
        if resumed:
            trainer.resume(resumed)
        return fit([Scripted(values), Plateau("seen"), LearningRate(), *callbacks], epochs, trainer)

    whole = run(8)
    assert whole.history.column("lr") == pytest.approx([0.08, 0.08, 0.08, 0.04, 0.04, 0.04, 0.02, 0.02])
    run(3, [Checkpoint(tmp_path / "run")])
    resumed = run(5, resumed=tmp_path / "run")
    assert resumed.history.rows == whole.history.rows
    assert bits(resumed) == bits(whole)


def test_a_plateau_needs_a_rate_that_it_can_lower():
    with pytest.raises(ArgumentError, match=r"lr must be an optim.ReduceLROnPlateau, got 0\.02"):
        fit([Plateau()])
    with pytest.raises(ArgumentError, match="Plateau: monitor must name a column"):
        Plateau("")
    with pytest.raises(ArgumentError, match="Plateau: there is no 'loss' to watch"):
        fit([Plateau("loss")], 1, make_trainer(lr=optim.ReduceLROnPlateau(0.1)))


def _rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_the_csv_file_can_be_read_while_training_goes_on(tmp_path):
    path, counts = tmp_path / "history.csv", []
    seen = At(lambda trainer: counts.append(len(_rows(path))), epoch=2, batch=1)
    trainer = fit([CSVLogger(path), seen], 3)
    assert counts == [1]
    trainer.history.to_csv(tmp_path / "whole.csv")
    assert path.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    fit([CSVLogger(path)], 1, trainer)
    assert [row["epoch"] for row in _rows(path)] == ["1", "2", "3", "4"]


def test_a_new_column_brings_a_new_file(tmp_path):
    path = tmp_path / "history.csv"
    trainer = make_trainer()
    trainer.fit(make_loaders()[0], epochs=1, progress=False, callbacks=[CSVLogger(path)])
    assert "validation_loss" not in _rows(path)[0]
    fit([CSVLogger(path)], 2, trainer)
    assert [bool(row["validation_loss"]) for row in _rows(path)] == [False, True, True]


def test_a_csv_file_that_cannot_be_written_is_told_early(tmp_path):
    with pytest.raises(ArgumentError, match=r"CSVLogger: .* there is no folder"):
        CSVLogger(tmp_path / "no" / "h.csv")


def _events(folder):
    """The scalars in TensorBoard's files: length, checksum, event, checksum, one after the other."""
    from tensorboardX.proto.event_pb2 import Event

    found = {}
    for path in sorted(Path(folder).iterdir()):
        content, at = path.read_bytes(), 0
        while at < len(content):
            (length,) = struct.unpack_from("<Q", content, at)
            event = Event.FromString(content[at + 12 : at + 12 + length])
            found.update({(value.tag, event.step): value.simple_value for value in event.summary.value})
            at += 16 + length
    return found


def test_tensorboard_shows_every_number(tmp_path):
    pytest.importorskip("tensorboardX")
    trainer = fit([TensorBoard(tmp_path / "board")], 2)
    found = _events(tmp_path / "board")
    for row in trainer.history:
        for name, tag in (("train_loss", "loss/train"), ("validation_accuracy", "accuracy/validation")):
            assert found[tag, row["epoch"]] == pytest.approx(row[name], rel=1e-6)
    assert len(found) == 8


def test_what_cannot_be_tensorboards_folder_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArgumentError, match=r"TensorBoard: .* cannot be a folder: a file is in the way"):
        TensorBoard(tmp_path / "file")
    with pytest.raises(ArgumentError, match="TensorBoard: log_dir must name a folder, got 3"):
        TensorBoard(3)


def test_without_tensorboardx_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'graphnet\[tensorboard\]'"):
        TensorBoard(tmp_path)
    assert not list(tmp_path.iterdir())
