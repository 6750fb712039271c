"""A run that is killed goes on to the same bits; checkpoints that are damaged or of another run are refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import graphnet as gn
from graphnet import nn, optim
from graphnet.errors import ArgumentError, WeightsError
from graphnet.interop import safetensors
from graphnet.training import BestCheckpoint, Checkpoint, DataLoader, EarlyStopping, TopK, Trainer
from tests.training.runs import At, bits, make_loaders, make_trainer, problem

pytest.importorskip("safetensors")
ROOT = Path(__file__).resolve().parents[2]
EPOCHS = 4
KILLED = """
import os, signal
from graphnet.training import Checkpoint, EarlyStopping
from tests.training.runs import At, make_loaders, make_trainer

kill = At(lambda trainer: os.kill(os.getpid(), signal.SIGKILL), epoch=3, batch=4)
callbacks = [Checkpoint({path!r}, batches={batches!r}), EarlyStopping(patience=9), kill]
make_trainer().fit(*make_loaders(), epochs=4, progress=False, callbacks=callbacks)
"""


@pytest.fixture(scope="module")
def uninterrupted():
    trainer = make_trainer()
    trainer.fit(*make_loaders(), epochs=EPOCHS, progress=False, callbacks=[EarlyStopping(patience=9)])
    return trainer.history.rows, bits(trainer)


def finish(path, callbacks=()):
    """A new trainer that goes on from `path` to the end."""
    trainer = make_trainer()
    gn.random.default_generator.streams += 7  # as where more was declared before than in the first run
    trainer.resume(path)
    stopping = EarlyStopping(patience=9)
    left = EPOCHS - trainer.epochs_done
    trainer.fit(*make_loaders(), epochs=left, progress=False, callbacks=[*callbacks, stopping])
    return trainer, stopping


@pytest.mark.skipif(os.name != "posix", reason="no SIGKILL elsewhere")
@pytest.mark.parametrize("batches", [None, 3])
def test_a_run_killed_in_the_middle_of_an_epoch_goes_on_to_the_same_bits(tmp_path, uninterrupted, batches):
    path = str(tmp_path / "run.safetensors")
    code = KILLED.format(path=path, batches=batches)
    killed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert os.listdir(tmp_path) == ["run.safetensors"]
    trainer, _ = finish(path)
    rows, wanted = uninterrupted
    assert trainer.history.rows == rows
    assert bits(trainer) == wanted


@pytest.mark.parametrize("batch", [1, 5, 6])
def test_it_goes_on_from_any_batch(tmp_path, uninterrupted, batch):
    path = tmp_path / "run.safetensors"
    first = make_trainer()
    save = At(lambda t: t.save(path), epoch=2, batch=batch)
    first.fit(*make_loaders(), epochs=EPOCHS, progress=False, callbacks=[save])
    trainer, _ = finish(path)
    assert trainer.history.rows == uninterrupted[0]
    assert bits(trainer) == uninterrupted[1]


def test_a_trainer_that_ran_on_can_go_back(tmp_path, uninterrupted):
    path = tmp_path / "run.safetensors"
    trainer, loaders = make_trainer(), make_loaders()
    trainer.fit(*loaders, epochs=2, progress=False)
    trainer.save(path)
    trainer.fit(*loaders, epochs=1, progress=False)
    trainer.resume(path)
    assert trainer.epochs_done == 2
    trainer.fit(*loaders, epochs=2, progress=False)
    assert (trainer.history.rows, bits(trainer)) == uninterrupted


def test_a_rate_that_is_a_parameter_and_the_state_of_callbacks_go_along(tmp_path):
    path = tmp_path / "run.safetensors"

    def trainer():
        rate = gn.parameter(np.float64(0.01), "rate", requires_grad=False)
        return make_trainer(lr=rate), rate

    first, rate = trainer()
    rate.set_value(0.005)
    stopping = EarlyStopping("train_loss", patience=2)
    first.fit(*make_loaders(), epochs=2, progress=False, callbacks=[Checkpoint(path), stopping])
    second, rate = trainer()
    second.resume(path)
    assert rate.value == 0.005
    again = EarlyStopping("train_loss", patience=2)
    checked = []
    again_state = At(lambda t: checked.append(again.state_dict()), epoch=3, batch=1)
    second.fit(*make_loaders(), epochs=1, progress=False, callbacks=[again, again_state])
    assert checked[0]["best"] == stopping.best and checked[0]["best_epoch"] == stopping.best_epoch
    np.testing.assert_array_equal(checked[0]["weights/0.weight"], stopping.state_dict()["weights/0.weight"])


def test_a_run_that_had_stopped_stays_so_and_brings_back_its_best_weights(tmp_path):
    path = tmp_path / "run.safetensors"

    def stopping():
        return EarlyStopping("train_loss", "max", patience=2)  # the first epoch is its best

    first, second = make_trainer(), make_trainer()
    first.fit(*make_loaders(), epochs=9, progress=False, callbacks=[stopping(), Checkpoint(path)])
    second.resume(path)
    second.fit(*make_loaders(), epochs=6, progress=False, callbacks=[stopping()])
    assert len(first.history) == 3 and second.history.rows == first.history.rows
    for name, array in first.model.state_dict().items():
        np.testing.assert_array_equal(second.model.state_dict()[name], array)
    second.fit(*make_loaders(), epochs=1, progress=False)
    assert second.epochs_done == 4


def test_wrapped_optimizers_go_along(tmp_path):
    path = tmp_path / "run.safetensors"

    def trainer():
        made = make_trainer()
        sgd = optim.SGD(made.model.parameters(), lr=optim.cosine(0.1, steps=20), momentum=0.9)
        made.optimizer = optim.Accumulate(optim.EMA(sgd, 0.9), 4)
        return made

    whole = trainer()
    whole.fit(*make_loaders(), epochs=3, progress=False)
    wanted = bits(whole)
    first = trainer()  # six batches an epoch: it is saved while two are accumulated
    first.fit(*make_loaders(), epochs=1, progress=False, callbacks=[Checkpoint(path)])
    second = trainer()
    second.resume(path)
    second.fit(*make_loaders(), epochs=2, progress=False)
    assert second.history.rows == whole.history.rows and bits(second) == wanted


def test_the_weights_in_a_checkpoint_are_weights(tmp_path):
    trainer = make_trainer()
    trainer.fit(*make_loaders(), progress=False, callbacks=[BestCheckpoint(tmp_path / "best.safetensors")])
    other = make_trainer().model
    safetensors.load(other, tmp_path / "best.safetensors")
    for name, array in trainer.model.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[name], array)
        np.testing.assert_array_equal(safetensors.load_state(tmp_path / "best.safetensors")[name], array)


def test_the_best_checkpoint_is_of_the_best_epoch(tmp_path):
    path = tmp_path / "best.safetensors"
    best = BestCheckpoint(path, "validation_accuracy", "max")
    trainer = make_trainer()
    trainer.fit(*make_loaders(), epochs=6, progress=False, callbacks=[best])
    column = trainer.history.column("validation_accuracy")
    assert best.best == max(column) and best.best_epoch == 1 + column.index(max(column))
    other = make_trainer()
    other.resume(path)
    assert other.epochs_done == best.best_epoch
    assert other.evaluate(DataLoader(problem(), 48))["accuracy"] == pytest.approx(best.best)


def test_checkpoints_come_every_so_many_epochs(tmp_path):
    path = tmp_path / "run.safetensors"
    trainer = make_trainer()
    trainer.fit(*make_loaders(), epochs=3, progress=False, callbacks=[Checkpoint(path, epochs=2)])
    other = make_trainer()
    other.resume(path)
    assert other.epochs_done == 2


@pytest.fixture
def saved(tmp_path):
    trainer = make_trainer()
    trainer.fit(*make_loaders(), progress=False, callbacks=[Checkpoint(tmp_path / "run.safetensors")])
    return tmp_path / "run.safetensors"


def test_a_checkpoint_of_another_run_is_refused_and_nothing_changes(saved):
    model = make_trainer().model
    wide = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 3))
    for others, optimizer, message in (
        (wide, optim.Adam(wide.parameters()), "misshapen: 0.weight"),
        (model, optim.SGD(model.parameters(), lr=0.1), "unexpected: graphnet/step/0.weight.exp"),
        (model, optim.SGD(model.parameters(), lr=0.1, momentum=0.9), "missing: graphnet/step/0.weight.momentum"),
    ):
        trainer = Trainer(others, nn.CrossEntropyLoss(), optimizer)
        before = bits(trainer)
        with pytest.raises(WeightsError, match=f"(?s)run.safetensors.*{message}"):
            trainer.resume(saved)
        after = bits(trainer)
        assert all(after[name] == value for name, value in before.items())
        assert trainer.epochs_done == 0


def test_other_metrics_than_those_of_an_unfinished_epoch_are_refused(tmp_path):
    path = tmp_path / "run.safetensors"
    save = At(lambda trainer: trainer.save(path), epoch=1, batch=2)
    make_trainer().fit(*make_loaders(), progress=False, callbacks=[save])
    trainer = make_trainer()
    trainer.metrics = {"top2": TopK(2)}
    before = bits(trainer)
    with pytest.raises(WeightsError, match="epoch, measuring accuracy, loss; this trainer measures loss, top2"):
        trainer.resume(path)
    assert bits(trainer) == before
    with pytest.raises(ArgumentError, match="call fit first"):
        trainer.train_step  # noqa: B018


def test_batches_may_come_from_any_iterable(tmp_path):
    x, y = problem()
    batches = [(x[:48], y[:48]), (x[48:], y[48:])]
    whole, first, second = (make_trainer() for _ in range(3))
    gn.manual_seed(1)
    whole.fit(batches, epochs=3, progress=False)
    wanted = bits(whole)
    gn.manual_seed(1)
    first.fit(batches, epochs=2, progress=False)
    first.save(tmp_path / "run")
    second.resume(tmp_path / "run")
    second.fit(batches, epochs=1, progress=False)
    assert second.history.rows == whole.history.rows and bits(second) == wanted


def test_what_is_no_checkpoint_is_refused(saved, tmp_path):
    safetensors.save(make_trainer().model, tmp_path / "weights.safetensors")
    with pytest.raises(WeightsError, match="holds weights, but no run to resume"):
        make_trainer().resume(tmp_path / "weights.safetensors")
    with pytest.raises(WeightsError, match="none: cannot be read"):
        make_trainer().resume(tmp_path / "none")
    content = saved.read_bytes()
    for cut in (0, 4, len(content) // 2, len(content) - 1):
        (tmp_path / "cut").write_bytes(content[:cut])
        with pytest.raises(WeightsError, match="cut: not a safetensors file, or a damaged one"):
            make_trainer().resume(tmp_path / "cut")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format 2; this graphnet reads format 1"),
        ({"inputs": 3}, "a damaged checkpoint"),
        ({"inputs": [["float32", ["x"]], ["int64", []]]}, "a damaged checkpoint"),
        ({"inputs": [["picture", [2]], ["int64", []]]}, "a damaged checkpoint"),
        ({"history": [1]}, "a damaged checkpoint"),
        ({"callbacks": None}, "a damaged checkpoint"),
        ({"stream": None}, "a damaged checkpoint"),
        ({"stream": -1}, "a damaged checkpoint: .*-1 is no count"),
        ({"batches": -2}, "a damaged checkpoint"),
    ],
)
def test_what_a_checkpoint_says_of_the_run_is_checked(saved, change, message):
    arrays, texts = safetensors.load_with_metadata(saved)
    about = json.loads(texts["graphnet_run"]) | change
    safetensors.save(arrays, saved, metadata={"graphnet_run": json.dumps(about)})
    with pytest.raises(WeightsError, match=message):
        make_trainer().resume(saved)


def test_arguments_are_checked(tmp_path):
    with pytest.raises(ArgumentError, match="no run to save yet; call fit first"):
        make_trainer().save(tmp_path / "run")
    for make, message in (
        (lambda: Checkpoint(tmp_path / "no" / "run"), "Checkpoint: .* there is no folder"),
        (lambda: Checkpoint(tmp_path), "cannot be written: it is a folder"),
        (lambda: Checkpoint(3), "Checkpoint: path must name a file, got 3"),
        (lambda: Checkpoint(tmp_path / "run", epochs=0), "Checkpoint: epochs must be an integer >= 1, got 0"),
        (lambda: Checkpoint(tmp_path / "run", batches=1.5), "Checkpoint: batches must be an integer >= 1, got 1.5"),
        (lambda: BestCheckpoint(tmp_path / "run", mode="best"), "BestCheckpoint: mode must be 'min' or 'max'"),
        (lambda: BestCheckpoint(tmp_path / "run", ""), "BestCheckpoint: monitor must name a column"),
        (lambda: BestCheckpoint(tmp_path / "run", min_delta=-1), "min_delta must be a number >= 0, got -1"),
    ):
        with pytest.raises(ArgumentError, match=message):
            make()
