"""The range test: the rate that it names, when it ends, and that it leaves no trace."""

from __future__ import annotations

import math

import numpy as np
import pytest

import graphnet as gn
from graphnet import nn, optim
from graphnet.errors import ArgumentError, DataError
from graphnet.training import DataLoader, RateRange, Trainer, find_learning_rate
from tests.training.runs import bits, make_loaders, make_trainer


def _quadratic(curvature=4.0, **options):
    """(w - 1)^2 * curvature / 2 for a weight: gradient descent diverges beyond 2 / curvature."""
    gn.manual_seed(0)
    model = nn.Linear(1, 1, bias=False)
    model.weight.set_value(np.zeros((1, 1), "float32"))
    sgd = optim.SGD(model.parameters(), lr=1.0)
    loss = lambda outputs, targets: gn.mse_loss(outputs, targets) * (curvature / 2)  # noqa: E731
    return find_learning_rate(Trainer(model, loss, sgd), DataLoader((np.ones((4, 1)), np.ones((4, 1))), 4), **options)


def test_it_names_a_rate_that_gradient_descent_converges_with():
    found = _quadratic()
    assert 0.004 < found.suggestion < 0.5
    assert found.rates[0] == 1e-7 and found.rates[-1] <= 10
    steps = np.diff(np.log(found.rates))
    np.testing.assert_allclose(steps, steps[0])
    assert "falls steepest at" in str(found)


def test_it_ends_where_the_loss_diverges():
    found = _quadratic(start=0.1, stop=1e6, steps=60, smoothing=0.0)
    assert found.diverged and len(found.rates) < 60 and "where the loss diverged" in str(found)
    lowest = np.minimum.accumulate(found.losses)
    assert found.losses[-1] > 4 * lowest[-2] and (np.array(found.losses[1:-1]) <= 4 * lowest[:-2]).all()


def test_smoothing_is_a_running_mean_corrected_for_its_start():
    found = _quadratic(steps=10, stop=0.1, smoothing=0.5)
    mean = 0.0
    for count, (loss, smoothed) in enumerate(zip(found.losses, found.smoothed, strict=True), 1):
        mean = 0.5 * mean + 0.5 * loss
        assert smoothed == pytest.approx(mean / (1 - 0.5**count))


def test_no_rate_is_named_where_the_loss_never_falls():
    found = _quadratic(start=10.0, stop=20.0, steps=10)
    assert found.suggestion is None and "no rate is suggested" in str(found)


def _prepared():
    """A trainer in the middle of its work, and its loaders."""
    trainer, loaders = make_trainer(lr=optim.cosine(0.02, steps=30)), make_loaders()
    trainer.fit(*loaders, epochs=1, progress=False)
    trainer.model[1].eval()
    return trainer, loaders


def test_afterwards_everything_is_as_before_and_training_gives_the_same_bits():
    trainer, loaders = _prepared()
    before, streams = bits(trainer), gn.random.default_generator.streams
    modes = [module.training for module in trainer.model.modules()]
    states = [loader.state_dict() for loader in loaders]
    found = find_learning_rate(trainer, loaders[0], start=1e-4, stop=0.1, steps=15)
    assert len(found.rates) == 15
    assert bits(trainer) == before and gn.random.default_generator.streams == streams
    assert [module.training for module in trainer.model.modules()] == modes
    assert [loader.state_dict() for loader in loaders] == states
    assert str(trainer.optimizer.lr).startswith("cosine")
    trainer.fit(*loaders, epochs=2, progress=False)
    after = bits(trainer)
    other, others = _prepared()
    other.fit(*others, epochs=2, progress=False)
    assert bits(other) == after and trainer.history.rows == other.history.rows


def test_before_any_training_it_leaves_no_trace_either():
    found = []
    for tested in (True, False):
        trainer = make_trainer()
        if tested:
            find_learning_rate(trainer, make_loaders()[0], steps=10)
        trainer.fit(*make_loaders(), epochs=1, progress=False)
        found.append(bits(trainer))
    assert found[0] == found[1]


def test_an_error_on_the_way_leaves_no_trace():
    trainer, loaders = _prepared()
    before, state = bits(trainer), loaders[0].state_dict()
    x, y = loaders[0].arrays
    loaders[0].arrays = (x, np.where(np.arange(len(y)) == 40, 7, y))
    with pytest.raises(DataError, match="label 7"):
        find_learning_rate(trainer, loaders[0], steps=20)
    assert bits(trainer) == before and loaders[0].state_dict() == state


def test_a_wrapped_optimizer_with_groups_is_ramped_too():
    trainer, loaders = make_trainer(), make_loaders()
    weights, *others = trainer.model.parameters()
    groups = [{"params": [weights], "lr": 0.5}, {"params": others, "weight_decay": 0.1}]
    trainer.optimizer = optim.EMA(optim.SGD(groups, lr=0.1, momentum=0.9), 0.9)
    before = bits(trainer)
    assert len(find_learning_rate(trainer, loaders[0], start=1e-4, stop=0.1, steps=10).rates) == 10
    assert bits(trainer) == before


def test_the_picture_and_the_table(tmp_path):
    pytest.importorskip("matplotlib")
    found = _quadratic()
    found.draw(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    found.to_csv(tmp_path / "range.csv")
    lines = (tmp_path / "range.csv").read_text().splitlines()
    assert lines[0] == "lr,loss,smoothed_loss" and len(lines) == 1 + len(found.rates)
    assert float(lines[1].split(",")[1]) == found.losses[0]
    with pytest.raises(ArgumentError, match="range tests are drawn as svg, png, pdf"):
        found.draw(tmp_path / "a.bmp")
    RateRange((1.0, 2.0), (3.0, 3.0), (3.0, 3.0), None, False).draw(tmp_path / "flat.svg")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": 0}, "start must be a number > 0, got 0"),
        ({"start": 1.0, "stop": 0.5}, "stop must be a number > 1, got 0.5"),
        ({"stop": math.inf}, "stop must be a number > 1e-07, got inf"),
        ({"steps": 9}, "steps must be an integer >= 10, got 9"),
        ({"smoothing": 1.0}, r"smoothing must be in \[0, 1\), got 1.0"),
        ({"smoothing": -0.1}, "smoothing must be a number >= 0, got -0.1"),
        ({"divergence": 1}, "divergence must be a number > 1, got 1"),
    ],
)
def test_arguments_are_checked(options, message):
    trainer, loaders = make_trainer(), make_loaders()
    with pytest.raises(ArgumentError, match=f"find_learning_rate: {message}"):
        find_learning_rate(trainer, loaders[0], **options)


def test_what_is_no_trainer_and_a_loss_that_is_nan_are_told():
    with pytest.raises(ArgumentError, match="trainer must be a Trainer, got 3"):
        find_learning_rate(3, make_loaders()[0])
    with pytest.raises(ArgumentError, match=r"loader must be a DataLoader, got \[\]"):
        find_learning_rate(make_trainer(), [])
    trainer = make_trainer()
    trainer.model[0].weight.set_value(np.full((16, 2), np.nan, "float32"))
    with pytest.raises(DataError, match="the loss is nan at the first step, before any training"):
        find_learning_rate(trainer, make_loaders()[0])
    with pytest.raises(DataError, match="the loader gave no batches"):
        find_learning_rate(make_trainer(), DataLoader(lambda: []))
