"""A model file that trains in a second, and how a command fails."""

from __future__ import annotations

from graphnet.cli import main

SMALL = """
from graphnet import nn

INPUT_SHAPE = (1, 8, 8)
CLASSES = 10
RECIPE = {"optimizer": "Adam", "lr": 5e-3, "epochs": 2, "batch_size": 64}


def build():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def tiny():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(18, 10))


def no_module():
    return 3


def broken():
    return 1 / 0
"""


def failure(capsys, *arguments):
    """What a wrong command says: exactly one line, with exit code 2."""
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as error:
        code = error.code
    captured = capsys.readouterr()
    assert code == 2
    assert captured.err.startswith("graphnet")
    assert captured.err.count("\n") == 1
    assert captured.err.endswith("\n")
    assert "Traceback" not in captured.err
    return captured.err
