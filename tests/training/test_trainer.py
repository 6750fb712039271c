"""The trainer: it learns, measures, and is the same on every run; curves and CSV; bad data."""

from __future__ import annotations

import csv
import sys

import numpy as np
import pytest

import graphnet as gn
from graphnet import nn, optim
from graphnet.errors import ArgumentError, DataError, MissingExtraError, ShapeError
from graphnet.training import DataLoader, History, Trainer, accuracy
from graphnet.training.progress import Progress


def _problem(count=90):
    """Points in a plane, labelled by the angle's third."""
    points = np.random.default_rng(0).normal(size=(count, 2))
    labels = ((np.arctan2(points[:, 1], points[:, 0]) + np.pi) / (2 * np.pi) * 3).astype("int64") % 3
    return points.astype("float32"), labels


def _trainer(**options):
    gn.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 3))
    adam = optim.Adam(model.parameters(), lr=0.02)
    return Trainer(model, nn.CrossEntropyLoss(), adam, metrics={"accuracy": accuracy}, **options)


def _loaders():
    data = _problem()
    return DataLoader(data, batch_size=32, shuffle=True, seed=5), DataLoader(data, batch_size=50)


def test_it_learns_and_measures_each_epoch_the_same_on_every_run():
    runs = []
    for _ in range(2):
        trainer = _trainer()
        runs.append(trainer.fit(*_loaders(), epochs=12, progress=False).rows)
    assert runs[0] == runs[1]
    assert list(runs[0][0]) == ["epoch", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy"]
    assert runs[0][-1]["validation_accuracy"] > 0.9 and runs[0][-1]["train_loss"] < runs[0][0]["train_loss"]


def test_measures_are_means_over_examples_whatever_the_batches():
    trainer = _trainer()
    data = _problem()
    whole = trainer.evaluate(DataLoader(data, batch_size=90))
    parts = trainer.evaluate(DataLoader(data, batch_size=37))
    assert whole == pytest.approx(parts, rel=1e-5)
    trainer.model.eval()
    x = gn.input("x", ("N", 2))
    scores = gn.compile([x], trainer.model(x))(data[0])
    assert whole["accuracy"] == pytest.approx((scores.argmax(1) == data[1]).mean(), rel=1e-6)


def test_fit_continues_and_leaves_the_mode_alone():
    trainer = _trainer()
    trainer.fit(*_loaders(), epochs=2, progress=False)
    trainer.model.eval()
    history = trainer.fit(*_loaders(), epochs=1, progress=False)
    assert history.column("epoch") == [1, 2, 3]
    assert not trainer.model.training
    assert trainer.train_step.plan.peak_bytes > 0


def test_a_generator_is_as_good_as_arrays():
    x, y = _problem()

    def batches():
        for start in range(0, 90, 40):
            yield x[start : start + 40], y[start : start + 40]

    first = _trainer().fit(DataLoader(batches), epochs=2, progress=False)
    second = _trainer().fit(DataLoader((x, y), batch_size=40), epochs=2, progress=False)
    assert first.rows == second.rows


def test_doubles_are_cast_to_what_the_model_computes_in():
    x, y = _problem()
    row = _trainer().fit(DataLoader((x.astype("float64"), y), 30), epochs=1, progress=False)[0]
    assert row == _trainer().fit(DataLoader((x, y), 30), epochs=1, progress=False)[0]


def test_progress_is_a_line_an_epoch_where_there_is_no_terminal(capsys):
    _trainer().fit(*_loaders(), epochs=2)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and lines[1].startswith("epoch 2/2  train_loss ")


def test_progress_is_a_bar_where_asked(capsys):
    pytest.importorskip("tqdm")
    _trainer().fit(*_loaders(), epochs=1, progress=True)
    assert "batch" in capsys.readouterr().err


def test_a_missing_package_is_named_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.raises(MissingExtraError, match=r"tqdm is needed.*pip install 'graphnet\[train\]'"):
        _trainer().fit(*_loaders(), epochs=1, progress=True)


def test_gradients_can_be_clipped():
    trainer = _trainer(transform=optim.clip_grad_norm(1e-12))
    before = trainer.model[0].weight.value
    trainer.optimizer = optim.SGD(trainer.model.parameters(), lr=1.0)
    trainer.fit(_loaders()[0], epochs=1, progress=False)
    np.testing.assert_allclose(trainer.model[0].weight.value, before, atol=1e-6)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (lambda x, y: (x,), DataError, "batch must be"),
        (lambda x, y: (x[:, :1], y), ShapeError, "linear"),
        (lambda x, y: (x, y + 1), DataError, "3"),
    ],
)
def test_bad_data_is_an_early_error_and_nothing_is_changed(data, error, message):
    trainer = _trainer()
    before = trainer.model.state_dict()
    with pytest.raises(error, match=message):
        trainer.fit(DataLoader(data(*_problem()), batch_size=90), progress=False)
    assert all((before[name] == value).all() for name, value in trainer.model.state_dict().items())


def test_arguments_are_checked():
    trainer = _trainer()
    with pytest.raises(ArgumentError, match="epochs must be a positive integer"):
        trainer.fit(*_loaders(), epochs=0)
    with pytest.raises(ArgumentError, match="call fit first"):
        trainer.train_step  # noqa: B018
    with pytest.raises(ArgumentError, match="optimizer must be"):
        Trainer(trainer.model, nn.MSELoss(), "adam")
    with pytest.raises(ArgumentError, match="model must be a Module"):
        Trainer(lambda x: x, nn.MSELoss(), trainer.optimizer)
    for call, argument in (
        (lambda: trainer.fit(3), "fit: train_loader"),
        (lambda: trainer.fit(_loaders()[0], 3), "fit: validation_loader"),
        (lambda: trainer.evaluate(3), "evaluate: loader"),
    ):
        with pytest.raises(ArgumentError, match=f"{argument} must be a DataLoader, or an iterable of batches, got 3"):
            call()
    for loader in ((np.zeros((4, 3)), np.zeros(4)), np.zeros((4, 3))):
        with pytest.raises(ArgumentError, match=r"must be a DataLoader\(\(x, y\), batch_size=64\), got arrays"):
            trainer.fit(loader)
    for metrics, message in (
        ([accuracy], "metrics must be a dict such as"),
        ({"loss": accuracy}, "a metric's name must be a string other than 'loss', got 'loss'"),
        ({3: accuracy}, "other than 'loss', got 3"),
        ({"accuracy": 1.0}, "the metric 'accuracy' must be a function of outputs, targets; got 1.0"),
    ):
        with pytest.raises(ArgumentError, match=message):
            Trainer(trainer.model, nn.MSELoss(), trainer.optimizer, metrics=metrics)
    with pytest.raises(ArgumentError, match="loss_fn must be a function of outputs and targets, got 'mse'"):
        Trainer(trainer.model, "mse", trainer.optimizer)
    trainer.metrics["scores"] = lambda outputs, targets: outputs
    with pytest.raises(ArgumentError, match="scores must give a scalar node"):
        trainer.fit(*_loaders(), progress=False)


def _history():
    history = History()
    history.append({"epoch": 1, "train_loss": 0.75, "validation_loss": 0.5, "train_accuracy": 0.25})
    history.append({"epoch": 2, "train_loss": 0.5, "validation_loss": 0.375, "train_accuracy": 0.5})
    return history


def test_a_model_may_give_several_nodes_and_take_several_arrays():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(2, 3), nn.Linear(2, 1)

        def forward(self, x, y):
            return self.a(x), self.b(y)

    def loss(outputs, targets):
        scores, size = outputs
        return nn.CrossEntropyLoss()(scores, targets) + gn.mean(gn.square(size))

    gn.manual_seed(0)
    model = Two()
    metrics = {"accuracy": lambda outputs, targets: accuracy(outputs[0], targets)}
    trainer = Trainer(model, loss, optim.Adam(model.parameters(), lr=0.05), metrics=metrics)
    x, y = _problem()
    history = trainer.fit(DataLoader((x, x, y), 30), DataLoader((x, x, y), 40), epochs=4, progress=False)
    assert history[-1]["train_loss"] < history[0]["train_loss"] and history[-1]["validation_accuracy"] > 0.5


def test_a_function_as_metric_is_averaged_over_examples():
    trainer = _trainer()
    trainer.metrics["size"] = lambda outputs, targets: gn.mean(gn.cast(targets, "float32"))
    x, y = _problem()
    assert trainer.evaluate(DataLoader((x, y), 37))["size"] == pytest.approx(y.mean(), rel=1e-6)


def test_each_part_of_the_model_keeps_its_own_mode():
    trainer = _trainer()
    trainer.model.train()
    trainer.model[1].eval()
    trainer.fit(*_loaders(), epochs=1, progress=False)
    assert [module.training for module in trainer.model] == [True, False, True, True, True]


def test_small_numbers_are_shown_with_their_digits(capsys):
    progress = Progress(None, 3)
    progress.begin(1, 1)
    progress.end({"epoch": 1, "train_loss": 0.25, "lr": 0.00001234, "zero": 0.0})
    assert capsys.readouterr().err == "epoch 1/1  train_loss 0.2500  lr 1.23e-05  zero 0.0000\n"


def test_history_goes_to_csv(tmp_path):
    _history().to_csv(tmp_path / "h.csv")
    with open(tmp_path / "h.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["validation_loss"]) for row in rows] == [0.5, 0.375] and rows[0]["epoch"] == "1"


@pytest.mark.parametrize("suffix", ["svg", "png", "pdf"])
def test_curves_are_drawn_the_same_each_time(tmp_path, suffix):
    pytest.importorskip("matplotlib")
    for name in ("a", "b"):
        _history().draw(tmp_path / f"{name}.{suffix}")
    content = (tmp_path / f"a.{suffix}").read_bytes()
    assert len(content) > 1000 and content == (tmp_path / f"b.{suffix}").read_bytes()


def test_history_refuses_what_it_cannot_do(tmp_path):
    with pytest.raises(ArgumentError, match="no column 'loss'; it has epoch, train_loss"):
        _history().column("loss")
    with pytest.raises(ArgumentError, match="drawn as svg, png, pdf"):
        _history().draw(tmp_path / "h.bmp")
    with pytest.raises(ArgumentError, match="no rows yet"):
        History().draw(tmp_path / "h.png")
