"""One line and exit code 2 for every mistake."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from graphnet.cli import main
from graphnet.executable import Executable
from tests.cli.small import SMALL, failure


def test_a_model_is_named_by_file_or_module(model, capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(Path.cwd()))
    for name in ("small.py", "./small.py", "small", "small:build", str(Path("small.py").resolve())):
        assert main(["draw", name, "--stage", "declared", "--out", "net.svg"]) == 0
    sys.modules.pop("small", None)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "missing.py"], "there is no model file 'missing.py'"),
        (["train", "no.such.module"], "there is no model 'no.such.module'"),
        (["train", "small.py:nothing"], "small.py has no function 'nothing'"),
        (["train", "small.py:no_module"], "no_module() must give an nn.Module, got int"),
        (["train", "small.py:broken"], "ZeroDivisionError: division by zero (at"),
        (["train", "syntax.py"], "SyntaxError"),
        (["train", "shapeless.py"], "must say INPUT_SHAPE"),
        (["train", "wide.py"], "digits are square grey images of 8x8 pixels or more"),
        (["train", "small.py", "--lr", "-1"], "--lr: expected a number above 0, got '-1'"),
        (["train", "small.py", "--lr", "nan"], "--lr: expected a number above 0, got 'nan'"),
        (["train", "small.py", "--epochs", "0"], "--epochs: expected an integer of at least 1, got '0'"),
        (["train", "small.py", "--batch-size", "x"], "--batch-size: expected an integer of at least 1, got 'x'"),
        (["train", "small.py", "--optimizer", "lioness"], "got 'lioness'"),
        (["train", "small.py", "--backend", "cuda"], "--backend: expected one of naive, native, numpy, got 'cuda'"),
        (["train", "small.py", "--data", "imagenet"], "invalid choice: 'imagenet'"),
        (["train", "small.py", "--data", "mnist"], "--data mnist needs --data-dir: the folder with its four files"),
        (["train", "small.py", "--data", "mnist", "--data-dir", "no"], "no: has no file train-images-idx3-ubyte"),
        (["train", "small.py", "--data-dir", "."], "digits is bundled and takes no data_dir, got '.'"),
        (["train", "small.py", "--download"], "digits cannot be downloaded"),
        (["train", "small.py", "--data", "text"], "images must be float32[N, 1, 8, 8], got int64"),
        (["train", "small.py", "--data", "arrays", "--data-dir", "many.npz"], "takes labels from 0 to 9; those of"),
        (["train", "small.py", "--data", "arrays", "--data-dir", "syntax.py"], "syntax.py: not an .npz file"),
        (["train", "small.py", "--augment", "twirl"], "expected some of flip, vertical-flip, shift[:PIXELS]"),
        (["train", "small.py", "--augment", "flip:2"], "expected some of flip"),
        (["train", "small.py", "--augment", "cutout:0"], "expected some of flip"),
        (["train", "small.py", "--normalize", "max"], "invalid choice: 'max'"),
        (["train", "small.py", "--prefetch", "-1"], "--prefetch: expected an integer of at least 0"),
        (["train", "small.py", "--epoch", "1"], "unrecognized arguments: --epoch 1"),
        (["train", "small.py", "--out", "small.py"], "'small.py' cannot be a folder: a file is in the way"),
        (["train"], "the following arguments are required: MODEL"),
        ([], "the following arguments are required: COMMAND"),
        (["paint", "small.py"], "invalid choice: 'paint'"),
        (["draw", "small.py", "--format", "gif"], "invalid choice: 'gif'"),
        (["draw", "small.py", "--stage", "final"], "invalid choice: 'final'"),
        (["draw", "small.py", "--out", "net.gif"], "--out must end in .svg, .png, .pdf, .dot or name a folder"),
        (["draw", "small.py", "--out", "net.svg", "--format", "pdf"], "--format pdf does not fit --out 'net.svg'"),
        (["bench"], "name either a MODEL or a --kernel"),
        (["bench", "small.py", "--kernel", "conv2d"], "name either a MODEL or a --kernel"),
        (["bench", "small.py", "--against", "x"], "expected some of naive,unplanned,compiled,numpy,native,torch"),
        (["train", "small.py", "--out", "/dev/null/x"], "'/dev/null/x' cannot be a folder: a file is in the way"),
        (["bench", "small.py", "--json", "no/b.json"], "there is no folder 'no'"),
        (["inspect", "small.py", "--batch-size", "9" * 20], "expected an integer of at most 2147483647, got '999"),
        (["train", "options.py"], "RECIPE's options do not fit Adam"),
        (["bench", "small.py", "--picture", "b.gif"], "--picture must end in .png, .svg or .pdf"),
        (["inspect", "small.py", "--batch-size", "-4"], "expected an integer of at least 1, got '-4'"),
        (["predict", "small.py"], "the following arguments are required: --weights"),
        (["predict", "small.py", "--weights", "none"], "none: cannot be read: No such file or directory"),
        (["predict", "small.py", "--weights", "syntax.py"], "not a safetensors file, or a damaged one"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(model, capsys, arguments, said):
    Path("syntax.py").write_text("def build(:\n")
    Path("shapeless.py").write_text("def build():\n    return None\n")
    Path("options.py").write_text(SMALL.replace("5e-3", "5e-3, 'options': {'momentum': 0.9}"))
    many = np.arange(20)
    np.savez("many.npz", x=np.zeros((20, 8, 8), np.uint8), y=many)
    Path("wide.py").write_text(SMALL.replace("(1, 8, 8)", "(1, 8, 9)"))
    assert said in failure(capsys, *arguments)


def test_wrong_inputs_for_predict_are_told(model, weights, capsys):
    np.save("flat.npy", np.zeros(64))
    np.save("nan.npy", np.full((1, 8, 8), np.nan))
    np.save("text.npy", np.array([[["a"] * 8] * 8]))
    Path("damaged.npy").write_bytes(b"\x93NUMPY\x01\x00")
    Path("damaged.png").write_bytes(b"not a picture")
    for name, said in (
        ("flat.npy", "holds an array of shape (64,); the model takes (N, 1, 8, 8)"),
        ("nan.npy", "holds NaN or infinity"),
        ("text.npy", "text.npy: byte 128: expected numbers, found <U1"),
        ("damaged.npy", "damaged.npy: byte 0: expected the header of a .npy file"),
        ("damaged.png", "cannot be read as a picture"),
        ("missing.npy", "there is no input file"),
    ):
        assert said in failure(capsys, "predict", model, "--weights", weights, "--input", name)


def test_weights_of_another_model_are_refused_with_their_names(model, weights, capsys):
    error = failure(capsys, "predict", f"{model}:tiny", "--weights", weights)
    assert "missing: 0.weight" in error
    assert "unexpected: 1.weight" in error


def test_damaged_weights_are_refused(model, weights, capsys):
    content = Path(weights).read_bytes()
    Path("cut.safetensors").write_bytes(content[: len(content) // 2])
    assert "damaged" in failure(capsys, "predict", model, "--weights", "cut.safetensors")


def test_a_folder_that_may_not_be_written_to_is_told_before_the_work(model, capsys, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *arguments: False)  # as for a user who may not; root may everything
    for arguments in (["train", model], ["draw", model], ["bench", model, "--json", "b.json"]):
        assert "may not be written to" in failure(capsys, *arguments)


def test_too_little_memory_is_told(model, capsys, monkeypatch):
    def specialize(*arguments, **sizes):
        raise MemoryError("Unable to allocate 9.00 EiB")

    monkeypatch.setattr(Executable, "specialize", specialize)
    assert "error: not enough memory: Unable to allocate 9.00 EiB" in failure(capsys, "inspect", model)


def test_a_picture_that_needs_dot_says_so(model, capsys, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert "needs the program 'dot'" in failure(capsys, "draw", model, "--stage", "declared", "--out", "net.pdf")
