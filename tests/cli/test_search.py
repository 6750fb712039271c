"""`graphnet search`, `graphnet check` and `graphnet train --resume`, as a user meets them."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from graphnet.cli import main

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")
ROOT = Path(__file__).resolve().parent.parent.parent
SMALL = """
from graphnet import nn

INPUT_SHAPE = (1, 8, 8)
CLASSES = 10
RECIPE = {"optimizer": "Adam", "lr": 5e-3, "epochs": 2, "batch_size": 64}


def build(hidden=16):
    if hidden == 13:
        raise ValueError("thirteen")
    return nn.Sequential(nn.Flatten(), nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 10))


def blind():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Dropout(1.0), nn.Linear(8, 10))
"""
QUICK = ("--trials", "4", "--finalists", "1", "--epochs", "1", "--final-epochs", "1")


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.py").write_text(SMALL)
    return "small.py"


def failure(capsys, *arguments):
    """What a wrong command says: exactly one line, with exit code 2."""
    try:
        code = main(list(arguments))
    except SystemExit as error:
        code = error.code
    said = capsys.readouterr().err
    assert code == 2 and said.count("\n") == 1 and said.startswith("graphnet")
    return said


def test_search_prints_a_table_and_writes_it_with_a_picture(model, capsys):
    spaces = ["--lr", "1e-4:1e-1:log", "--batch-size", "32,64", "--optimizer", "sgd,adam", "--build", "hidden=4:16:int"]
    assert main(["search", model, *QUICK, *spaces, "--option", "weight_decay=0,1e-3"]) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    names = ["lr", "batch_size", "optimizer", "option.weight_decay", "build.hidden"]
    assert lines[0].split() == ["trial", "data", *names, "validation_accuracy"]
    assert lines[1].split()[1] == "all" and [line.split()[1] for line in lines[2:6]] == ["part"] * 4
    assert captured.err.count("\n") == 5 and captured.err.startswith("trial 1/4  lr ")
    folder = Path("runs/small-search")
    assert lines[6:] == [str(folder / f"search.{suffix}") for suffix in ("csv", "json", "png")]
    with open(folder / "search.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 5 and {row["optimizer"] for row in rows} <= {"SGD", "Adam"}
    report = json.loads((folder / "search.json").read_text())
    assert report["best"]["validation_accuracy"] == max(row["validation_accuracy"] for row in report["trials"][4:])
    assert (folder / "search.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_seed_gives_the_same_table(model, capsys):
    tables = []
    for folder, seed in (("a", "3"), ("b", "3"), ("c", "4")):
        few = ["--trials", "1", "--finalists", "0"]
        assert main(["search", model, *QUICK, *few, "--seed", seed, "--out", folder]) == 0
        tables.append(Path(folder, "search.csv").read_bytes())
    assert tables[0] == tables[1] != tables[2]


def test_trials_that_diverge_or_fail_are_in_the_table(model, capsys):
    arguments = ["--optimizer", "SGD", "--lr", "1e-2,1e12", "--build", "hidden=13,16", "--monitor", "validation_loss"]
    assert main(["search", model, *QUICK, *arguments, "--trials", "8", "--seed", "1"]) == 0
    out = capsys.readouterr().out
    assert "diverged" in out and "failed: small failed: ValueError: thirteen" in out
    losses = [row["validation_loss"] for row in json.loads(Path("runs/small-search/search.json").read_text())["trials"]]
    assert None in losses and any(losses)


def test_optunas_sampler(model, capsys):
    pytest.importorskip("optuna")
    assert main(["search", model, *QUICK, "--trials", "2", "--finalists", "0", "--sampler", "optuna"]) == 0
    assert "Trial" not in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="interrupts are sent in other ways elsewhere")
def test_an_interrupt_keeps_what_is_done(model, tmp_path):
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from graphnet_command import main; sys.exit(main())"
    )
    command = [sys.executable, "-c", code, "search", model, *QUICK, "--trials", "9999"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        for line in process.stderr:
            if line.startswith("trial 2/"):
                break
        process.send_signal(signal.SIGINT)
        out, rest = process.stdout.read(), process.stderr.read()
    assert process.returncode == 130 and "Traceback" not in rest
    assert out.splitlines()[0].split()[:2] == ["trial", "data"] and "search.png" in out
    report = json.loads((tmp_path / "runs/small-search/search.json").read_text())
    assert report["interrupted"] and len(report["trials"]) >= 2


def test_check_says_that_a_sound_model_is(model, capsys):
    assert main(["check", model, "--lr", "0.01", "--steps", "100"]) == 0
    out = capsys.readouterr().out
    for text in ("model         small", "log(classes) is 2.303: as it should be", "by heart", "16 samples"):
        assert text in out


def test_check_ends_with_1_where_something_is_wrong(model, capsys):
    assert main(["check", f"{model}:blind", "--samples", "4", "--steps", "20"]) == 1
    out = capsys.readouterr().out
    assert "could NOT learn them" in out and "zero gradients in the first 5 steps: 1.weight, 1.bias, 3.weight" in out


def test_training_goes_on_where_it_was_ended(model, capsys):
    pytest.importorskip("safetensors")
    assert main(["train", model, "--out", "whole", "--epochs", "3"]) == 0
    for epochs in ("1", "3", "3"):
        assert main(["train", model, "--out", "parts", "--epochs", epochs, "--resume"]) == 0
    for name in ("weights.safetensors", "history.csv"):
        assert Path("parts", name).read_bytes() == Path("whole", name).read_bytes()
    assert not Path("whole", "run.safetensors").exists()
    Path("parts/run.safetensors").write_bytes(b"damaged")
    capsys.readouterr()
    assert "parts/run.safetensors: not a safetensors file" in failure(
        capsys, "train", model, "--out", "parts", "--resume"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["search", "missing.py"], "there is no model file 'missing.py'"),
        (["search", "small.py", "--lr", "1:0"], "--lr: Uniform: low must be below high, got 1.0 and 0.0"),
        (["search", "small.py", "--lr", "x:y"], "--lr: expected numbers on both sides of the colon, got 'x:y'"),
        (["search", "small.py", "--batch-size", ""], "--batch-size: expected low:high"),
        (["search", "small.py", "--optimizer", "SGD,newton"], "--optimizer: expected one of"),
        (["search", "small.py", "--option", "weight_decay"], "--option: expected NAME=SPACE such as"),
        (["search", "small.py", "--build", "a=1", "--build", "a=2"], "'a' is searched for twice"),
        (["search", "small.py", "--trials", "0"], "--trials: expected an integer of at least 1, got '0'"),
        (["search", "small.py", "--part", "1.5"], "--part: expected a share of at most 1, got '1.5'"),
        (["search", "small.py", "--part", "0"], "--part: expected a number above 0, got '0'"),
        (["search", "small.py", "--sampler", "grid"], "--sampler: invalid choice: 'grid'"),
        (["search", "small.py", "--monitor", "loss"], "one of validation_loss, validation_accuracy, got 'loss'"),
        (["search", "small.py", "--data", "imagenet"], "--data: invalid choice: 'imagenet'"),
        (["search", "small.py", "--out", "small.py"], "'small.py' cannot be a folder"),
        (["check", "small.py", "--samples", "1"], "--samples: expected an integer of at least 2, got '1'"),
        (["check", "small.py", "--samples", "99999"], "--samples: the data has 1438 examples, got 99999"),
        (["check", "small.py", "--lr", "-1"], "--lr: expected a number above 0, got '-1'"),
        (["check", "small.py", "--floor", "nan"], "floor must be a finite number, got nan"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(model, capsys, arguments, said):
    assert said in failure(capsys, *arguments)


@pytest.mark.parametrize(
    ("space", "said"),
    [
        (["--build", "depth=1,2"], "small failed: TypeError: build() got an unexpected keyword argument 'depth'"),
        (["--option", "momentum=0.5,0.9"], "RECIPE's options do not fit Adam"),
        (["--batch-size", "0.5,1.5"], "batch_size must be a"),
    ],
)
def test_where_every_trial_fails_the_reason_is_told(model, capsys, space, said):
    assert main(["search", model, *QUICK, "--trials", "2", *space]) == 2
    *trials, error = capsys.readouterr().err.splitlines()
    assert len(trials) == 2 and all(line.endswith("failed") for line in trials)
    assert error.startswith("graphnet search: error: ") and said in error
