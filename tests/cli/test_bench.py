"""`graphnet bench` with rivals in processes of their own: results before times, and who is left out is told why."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from graphnet.cli import contest, main, rivals
from graphnet.cli.rivals import Rival, agreement
from graphnet.cli.rivals.hands import Hands, RivalError
from graphnet.cli.rivals.work import Work, task_of
from graphnet.graph.graph import Graph
from graphnet.nn.flops import flops

SMALL = """
from graphnet import nn

INPUT_SHAPE = (1, 8, 8)
CLASSES = 10
RECIPE = {"optimizer": "Adam", "lr": 5e-3}


def build():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 10))
"""
KEYS = {
    "status", "problem", "settings", "ready_seconds", "first_seconds", "median_seconds", "quartiles_seconds",
    "least_seconds", "ratio", "share_of_limit", "steps", "round_seconds", "resident_bytes",
}  # fmt: skip


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.py").write_text(SMALL)
    return "small.py"


@pytest.fixture
def others(monkeypatch):
    """Rivals of which only numpy does as it should."""
    extra = {
        "wrong": Rival("wrong", "tests.rivals:WrongGradient"),
        "dying": Rival("dying", "tests.rivals:Dying"),
        "absent": Rival("absent", "tests.rivals:Dying", ("no_such_package",)),
    }
    known = {**rivals.RIVALS, **extra}
    for module in (rivals, contest):
        monkeypatch.setattr(module, "RIVALS", known)
    monkeypatch.setattr("graphnet.cli.bench.EVERYBODY", (*rivals.RIVALS, "compiled"))
    monkeypatch.setattr(contest, "_TURN_SECONDS", 0.001)
    monkeypatch.setattr(contest, "subject", lambda: "numpy")


def test_who_is_wrong_dies_or_is_missing_gets_no_time_but_a_reason(model, others, capsys):
    command = ["bench", model, "--batch", "4", "--against", "wrong,dying,absent", "--rounds", "2", "--threads", "1"]
    assert main([*command, "--json", "b.json", "--save", "b.svg"]) == 0
    out, said = capsys.readouterr()
    report = json.loads(Path("b.json").read_text())
    found = report["rivals"]
    assert {name: row["status"] for name, row in found.items()} == {
        "numpy": "measured", "wrong": "wrong", "dying": "failed", "absent": "not installed",
    }  # fmt: skip
    assert set(found["numpy"]) == KEYS
    assert found["numpy"]["ratio"] == 1
    assert len(found["numpy"]["round_seconds"]) == 2
    lower, upper = found["numpy"]["quartiles_seconds"]
    assert 0 < found["numpy"]["least_seconds"] <= lower <= found["numpy"]["median_seconds"] <= upper
    assert "median_seconds" not in found["wrong"]
    assert "the first step moved 1.weight otherwise" in found["wrong"]["problem"]
    assert "ended with code 3: out of luck" in found["dying"]["problem"]
    assert (report["threads"], report["mode"], report["batch"], report["subject"]) == (1, "train", 4, "numpy")
    assert report["fastest_limit_flops_per_second"] >= report["limit_flops_per_second"] > 1e8
    assert report["machine"]["numpy"] == np.__version__
    assert "wrong results, so no time" in out
    assert "absent is left out: no_such_package is not installed" in said
    assert "<svg" in Path("b.svg").read_text()


def test_torch_takes_part_and_agrees(model, monkeypatch, capsys):
    pytest.importorskip("torch")
    monkeypatch.setattr(contest, "_TURN_SECONDS", 0.001)
    monkeypatch.setattr(contest, "subject", lambda: "numpy")
    assert main(["bench", model, "--against", "torch", "--rounds", "1", "--threads", "1", "--json", "b.json"]) == 0
    row = json.loads(Path("b.json").read_text())["rivals"]["torch"]
    assert (row["status"], row["problem"]) == ("measured", None)
    assert row["settings"]["torch"].startswith("2.")


def test_wrong_outputs_are_told_and_right_ones_agree(model):
    work = Work(model, "predict", 3, 1)
    with Hands(rivals.REFEREE, work) as referee, Hands(Rival("wrong", "tests.rivals:WrongOutput"), work) as wrong:
        truth, given = referee.ask("compare"), wrong.ask("compare")
    assert agreement.disagreement("predict", truth, truth) is None
    assert "an output of batch 1 is off by up to 0.01" in agreement.disagreement("predict", truth, given)
    assert agreement.disagreement("predict", truth, {**truth, "digest": "other"}).startswith("it began with other")


def test_who_cannot_do_the_work_says_why(model):
    with pytest.raises(RivalError, match=r"there is no model file 'none\.py'"):
        Hands(rivals.REFEREE, Work("none.py", "train", 1, 1))


def training(**changes):
    weights = {"w": np.ones(4), "running": np.ones(2)}
    after = {"w": np.array([1.5, 0.5, 1.5, 2.0]), "running": np.array([1.0, 2.0])}
    gradients = {"w": np.array([1.0, -1.0, 1.0, 1e-7])}
    losses = [[np.float32(2.0 - step)] for step in range(5)]
    return {
        "digest": "", "results": losses, "before": weights, "after": after, "gradients": gradients, **changes,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        ({"after": {"w": np.array([1.5, 0.5, 1.5, 0.0]), "running": np.array([1.0, 2.0])}}, None),  # only rounding
        ({"after": {"w": np.array([1.5, 0.5, 1.2, 2.0]), "running": np.array([1.0, 2.0])}}, "the first step moved w"),
        ({"after": {"w": np.array([np.nan, 0.5, 1.5, 2.0]), "running": np.array([1.0, 2.0])}}, "moved w"),
        ({"after": {"w": np.array([1.5, 0.5, 1.5, 2.0]), "running": np.array([1.0, 1.9])}}, "running after the first"),
        ({"results": [[np.float32(2.0)]] * 5}, "the loss of step 2 is 2, not 1"),
        ({"results": [[np.float32(np.nan)]] * 5}, "the loss of step 1 is nan, not 2"),
    ],
)
def test_a_training_step_is_compared_by_losses_moves_and_statistics(changes, said):
    found = agreement.disagreement("train", training(), training(**changes))
    assert found is None if said is None else said in found


def test_weights_and_batches_are_the_same_every_time(model):
    work = Work(model, "train", 2, 1)
    first, second = task_of(work), task_of(work)
    assert first.digest == second.digest
    assert task_of(Work(model, "train", 3, 1)).digest != first.digest
    assert first.flops == 3 * (2 * 2 * (64 * 8 + 8 * 10) + sum(extras_of(first)))


def extras_of(task):
    """Operations of what is no matrix product."""
    return [flops(node) for node in Graph(task.wanted).bind({"N": 2}).nodes if node.op.name != "matmul"]


def test_who_only_predicts_is_left_out_of_training(capsys):
    found = contest._left_out(["numpy", "onnxruntime"], "train")
    assert found == {"onnxruntime": {"status": "left out", "problem": "it does not train"}}
    assert "onnxruntime is left out: it does not train" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--against", "tinygrad"], "expected some of naive,unplanned,compiled,numpy,native,torch"),
        (["--against", ","], "expected some of naive,unplanned,compiled,numpy,native,torch"),
        (["--mode", "serve"], "invalid choice: 'serve'"),
        (["--threads", "0"], "expected an integer of at least 1, got '0'"),
        (["--against", "torch", "--save", "b.gif"], "--picture must end in .png, .svg or .pdf"),
    ],
)
def test_a_mistake_is_one_line(model, capsys, arguments, said):
    try:
        code = main(["bench", model, *arguments])
    except SystemExit as ended:  # what argparse itself refuses
        code = ended.code
    assert code == 2
    assert said in capsys.readouterr().err


def test_a_kernel_is_measured_by_graphnets_own_only(capsys):
    assert main(["bench", "--kernel", "conv2d", "--against", "torch"]) == 2
    assert "a --kernel is measured with naive, unplanned, compiled only" in capsys.readouterr().err
