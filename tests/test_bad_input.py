"""Every mistake of the issue's list: the error names what was wrong, what was expected, what came and the user's line.

Where a mistake is made at run time, parameters and state are afterwards what they were.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import graphnet as gn
from graphnet import nn, optim
from graphnet.cli import main
from graphnet.interop.safetensors import load, save

IMAGES = gn.input("images", ("N", 4, 8, 8))
LOGITS = gn.input("logits", ("N", 5))
LABELS = gn.input("labels", ("N",), "int64")
LINE = r" at \S*test_bad_input\.py:\d+"


def weights(*shape: int) -> gn.Parameter:
    return gn.parameter(np.zeros(shape, np.float32), "w")


def add() -> object:
    return gn.input("a", (2, 3)) + gn.input("b", (2, 4))


def matmul() -> object:
    return gn.input("a", (2, 3)) @ gn.input("b", (4, 2))


def layer() -> object:
    return nn.Linear(6, 2)(LOGITS)


def channels() -> object:
    return nn.BatchNorm2d(3)(IMAGES)


DECLARED = {
    "shapes": (add, gn.ShapeError, r"add\(float32\[2, 3\], float32\[2, 4\]\): .* sizes 3 and 4 at axis -1"),
    "shapes-matmul": (matmul, gn.ShapeError, r"matmul\(.*the first has 3 columns, the second 4 rows"),
    "shapes-reshape": (lambda: gn.reshape(IMAGES[0], (3, -1)), gn.ShapeError, "reshape of .*256 .* rows of 3"),
    "shapes-stack": (lambda: gn.stack([IMAGES, LOGITS]), gn.ShapeError, r"stack: array 1 has shape \(N, 5\)"),
    "shapes-layer": (layer, gn.ShapeError, r"linear: .*float32\[N, 5\] and float32\[2, 6\]\n  in Linear"),
    "shapes-channels": (channels, gn.ShapeError, r"BatchNorm2d: expected 3 channels, got float32\[N, 4, 8, 8\]"),
    "shapes-labels": (
        lambda: gn.cross_entropy(LOGITS, gn.input("short", (7,), "int64")),
        gn.ShapeError,
        r"cross_entropy: input float32\[N, 5\] needs labels of shape \(N,\), got int64\[7\]",
    ),
    "axis": (lambda: IMAGES.transpose(0, 4, 1, 2), gn.ShapeError, "transpose: axis 4 is out of range for 4 dimensions"),
    "kernel": (lambda: nn.Conv2d(4, 2, 9)(IMAGES), gn.ShapeError, r"kernel of \(9, 9\) is larger .* input of \(8, 8\)"),
    "kernel-1d": (
        lambda: gn.conv1d(gn.input("signal", (2, 3, 4)), weights(5, 3, 6)),
        gn.ShapeError,
        "conv1d: .*kernel of .* is larger than its input",
    ),
    "kernel-pool": (lambda: gn.max_pool2d(IMAGES, 9), gn.ShapeError, r"max_pool2d\(.*kernel of \(9, 9\) is larger"),
    "groups": (lambda: nn.Conv2d(4, 6, 3, groups=3), gn.ArgumentError, "in_channels=4 must be divisible by groups=3"),
    "groups-op": (lambda: gn.conv2d(IMAGES, weights(6, 1, 3, 3), groups=3), gn.ShapeError, "groups=3 .* 4 input"),
    "groups-norm": (lambda: gn.group_norm(IMAGES, 3), gn.ArgumentError, "num_groups 3 must divide the 4 channels"),
    "name": (lambda: gn.parameter(np.ones(2), 3), gn.ArgumentError, "a parameter's name must be .*, not 3"),
    "dtype": (lambda: gn.input("half", (2,), "float16"), gn.DtypeError, "input 'half': dtype float16 is not supported"),
    "dtype-labels": (lambda: gn.embedding(LOGITS, weights(3, 2)), gn.DtypeError, "embedding: .*integers, got float32"),
    "dtype-assigned": (
        lambda: gn.assign(weights(3), gn.input("exact", (3,), "float64")),
        gn.DtypeError,
        r"assign\(.*: a parameter of type float32\[3\] cannot become float64\[3\]",
    ),
    "dtype-none": (lambda: LOGITS + None, gn.DtypeError, "expected a number or an array of numbers, got None"),
    "loss": (lambda: gn.gradients(gn.relu(LOGITS), [LOGITS]), gn.GradientError, r"scalar, got float32\[N, 5\]"),
    "loss-integer": (lambda: gn.gradients(gn.sum(LABELS), [LABELS]), gn.GradientError, r"scalar, got int64\[\]"),
    "independent": (
        lambda: gn.gradients(gn.sum(LOGITS), [weights(3)]),
        gn.GradientError,
        r"does not depend on 'w' \(float32\[3\]\)(.|\n)*'w' .* was declared at (.|\n)*the loss was declared",
    ),
    "independent-optimizer": (
        lambda: optim.SGD([weights(3)]).updates(gn.sum(LOGITS)),
        gn.GradientError,
        r"does not depend on 'w' \(float32\[3\]\)",
    ),
    "backend": (
        lambda: gn.compile([LOGITS], gn.exp(LOGITS), backend="cuda"),
        gn.ArgumentError,
        "backend must be one of naive, native, numpy, got 'cuda'",
    ),
    "closed": (lambda: gn.compile([], gn.exp(LOGITS)), gn.ArgumentError, r"not given: 'logits' \(declared at "),
}


@pytest.mark.parametrize("name", DECLARED)
def test_a_mistake_in_a_declaration(name: str) -> None:
    build, error, message = DECLARED[name]
    with pytest.raises(error, match=f"{message}(.|\n)*{LINE}"):
        build()


CLASSES = nn.Linear(5, 3)
LOSS = gn.cross_entropy(CLASSES(LOGITS), LABELS)
ADAM = optim.Adam(CLASSES.parameters())
STEP = gn.compile([LOGITS, LABELS], LOSS, updates=ADAM.updates(LOSS))
X, Y = np.ones((6, 5), np.float32), np.arange(6) % 3

FED = {
    "shape": (lambda: STEP(X[:, :4], Y), gn.FeedError, r"'logits' is declared float32\[N, 5\].* should be 5, is 4"),
    "ndim": (lambda: STEP(X[0], Y), gn.FeedError, r"'logits' is declared .*: 2 dimensions expected, 1 came"),
    "N": (lambda: STEP(X, Y[:5]), gn.FeedError, r"'labels' .*axis 0 should be 6 \(N=6 from axis 0 of 'logits'\), is 5"),
    "missing": (lambda: STEP(X), gn.FeedError, r"missing: labels; the inputs are logits float32\[N, 5\], labels int64"),
    "unknown": (lambda: STEP(X, Y, target=Y), gn.FeedError, "unknown: target; the inputs are logits"),
    "dtype": (lambda: STEP(X.astype("float64"), Y), gn.FeedError, r"'logits' is declared float32.*got dtype float64"),
    "dtype-labels": (lambda: STEP(X, Y.astype("float32")), gn.FeedError, r"'labels' is declared int64.*dtype float32"),
    "no-numbers": (lambda: STEP(None, Y), gn.FeedError, "'logits' is declared .*got dtype object, which is no number"),
    "label": (lambda: STEP(X, Y + 1), gn.DataError, r"label 3 at position \(2,\) is out of range: expected \[0, 3\)"),
    "label-negative": (lambda: STEP(X, Y - 1), gn.DataError, r"label -1 at position \(0,\) is out of range"),
    "nan": (lambda: STEP(X, np.full(6, np.nan)), gn.FeedError, "'labels' .*NaN or infinity, where integers"),
    "infinity": (lambda: STEP(X, [0, 1, 2, 0, 1, np.inf]), gn.FeedError, "'labels' .*NaN or infinity, where integers"),
    "weights": (
        lambda: CLASSES.load_state_dict({"weight": np.ones((3, 4)), "scale": np.ones(3)}),
        gn.WeightsError,
        r"missing: bias (.|\n)*unexpected: scale\n(.|\n)*misshapen: weight has shape \(3, 5\) here, \(3, 4\)",
    ),
    "value": (lambda: CLASSES.weight.set_value(X), gn.ShapeError, r"'weight' has shape \(3, 5\), got .*\(6, 5\)"),
}


@pytest.mark.parametrize("name", FED)
def test_a_mistake_in_a_call_changes_nothing(name: str) -> None:
    call, error, message = FED[name]
    STEP(X, Y)
    before = {**CLASSES.state_dict(), **ADAM.state_dict()}
    with pytest.raises(error, match=f"{message}(.|\n)*{LINE}"):
        call()
    after = {**CLASSES.state_dict(), **ADAM.state_dict()}
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_a_cast_to_integers_refuses_nan() -> None:
    x = gn.input("real", ("N",))
    with pytest.raises(gn.DataError, match=f"nan cannot become int64: expected finite values (.|\n)*{LINE}"):
        gn.compile([x], gn.cast(x, "int64"))(np.array([1, np.nan], np.float32))


@pytest.mark.parametrize("damage", [lambda content: b"", lambda content: content[:40], lambda content: content[::-1]])
def test_a_damaged_weights_file(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    model, path = nn.Linear(3, 2), tmp_path / "w.safetensors"
    save(model, path)
    path.write_bytes(damage(path.read_bytes()))
    before = model.state_dict()
    with pytest.raises(gn.WeightsError, match=f"w.safetensors: not a safetensors file, or a damaged one(.|\n)*{LINE}"):
        load(model, path)
    assert all(np.array_equal(before[name], array) for name, array in model.state_dict().items())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "nowhere.py"], "there is no model file 'nowhere.py'"),
        (["train", "no.such.module"], "there is no model 'no.such.module'"),
        (["train", "models/lenet.py", "--backend", "cuda"], "expected one of naive, native, numpy, got 'cuda'"),
        (["train", "models/lenet.py", "--fast"], "unrecognized arguments: --fast"),
        (["train", "models/lenet.py", "--epochs", "none"], "--epochs: expected an integer of at least 1, got 'none'"),
        (["predict", "models/lenet.py", "--weights", "nowhere.safetensors"], "nowhere.safetensors"),
        (["paint", "models/lenet.py"], "'paint'"),
    ],
)
def test_a_mistake_on_the_command_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).resolve().parent.parent)
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code  # type: ignore[assignment]
    said = capsys.readouterr().err
    assert code == 2
    assert message in said and len(said.splitlines()) == 1 and "Traceback" not in said
