"""The command line, as a user meets it: what each command writes, and one line for every mistake."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from graphnet.cli import main
from graphnet.executable import Executable

ROOT = Path(__file__).resolve().parent.parent
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


@pytest.fixture
def model(tmp_path, monkeypatch):
    """The file of a small model, in the folder that the command runs in."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.py").write_text(SMALL)
    return "small.py"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    (folder / "small.py").write_text(SMALL)
    assert main(["train", str(folder / "small.py"), "--epochs", "1", "--out", str(folder)]) == 0
    return folder / "weights.safetensors"


@pytest.fixture
def weights(model, trained, capsys):
    """A file of weights of the small model, beside it."""
    capsys.readouterr()
    return shutil.copy(trained, "weights.safetensors")


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


def test_train_writes_weights_history_and_curves(model, capsys):
    assert main(["train", model]) == 0
    out = capsys.readouterr().out
    folder = Path("runs/small")
    for name in ("weights.safetensors", "history.csv", "curves.png"):
        assert (folder / name).stat().st_size > 0
        assert str(folder / name) in out
    assert "test accuracy" in out
    assert len((folder / "history.csv").read_text().splitlines()) == 3


def test_the_same_seed_trains_the_same_weights(model):
    for folder, seed in (("a", "3"), ("b", "3"), ("c", "4")):
        assert main(["train", model, "--epochs", "1", "--seed", seed, "--out", folder]) == 0
    a, b, c = (Path(folder, "weights.safetensors").read_bytes() for folder in "abc")
    assert a == b != c


def test_train_takes_optimizer_rate_and_batch_size(model, capsys):
    arguments = ["--epochs", "1", "--optimizer", "adamw", "--lr", "0.01", "--batch-size", "100", "--backend", "numpy"]
    assert main(["train", model, *arguments, "--out", "x"]) == 0
    assert "test accuracy" in capsys.readouterr().out


def test_predict_reads_the_digits(model, weights, capsys):
    assert main(["predict", model, "--weights", weights, "--limit", "7"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["image", "prediction", "probability", "label"]
    assert len(lines) == 9
    assert " of 7 right" in lines[-1]


@pytest.mark.parametrize("arguments", [
    ["--normalize", "mean-image"], ["--normalize", "per-channel", "--augment", "shift:1", "cutout:2"],
    ["--augment", "none", "--prefetch", "2"],
])  # fmt: skip
def test_predict_sees_what_training_saw(model, capsys, arguments):
    assert main(["train", model, *arguments, "--out", "x"]) == 0
    said = capsys.readouterr().out.splitlines()
    tested = next(line for line in said if line.startswith("test accuracy"))
    assert main(["predict", model, "--weights", "x/weights.safetensors"]) == 0
    assert tested.split()[2].rstrip(",") in capsys.readouterr().out.splitlines()[-1]
    assert float(tested.split()[2].rstrip("%,")) > 60


def test_what_normalizes_is_fitted_to_what_is_trained_on_alone(model):
    from graphnet.cli.data import About, digits_for
    from graphnet.interop import safetensors
    from graphnet.training import Normalization

    assert main(["train", model, "--epochs", "1", "--normalize", "mean-image", "--out", "x"]) == 0
    texts = safetensors.load_with_metadata("x/weights.safetensors")[1]
    found = About.from_metadata(Path("x"), texts)
    images = digits_for((1, 8, 8)).train.images
    wanted = Normalization.fit(images[: round(0.9 * len(images))], "mean-image")
    np.testing.assert_array_equal(found.normalization.mean, wanted.mean)
    assert (found.data, found.alphabet) == ("digits", None)
    assert (wanted.mean != Normalization.fit(images, "mean-image").mean).any()


def test_prefetching_trains_the_same_weights(model):
    for folder, count in (("a", "0"), ("b", "3")):
        assert main(["train", model, "--epochs", "1", "--augment", "shift", "--prefetch", count, "--out", folder]) == 0
    assert Path("a/weights.safetensors").read_bytes() == Path("b/weights.safetensors").read_bytes()


def test_a_folder_of_pictures_is_learned_and_its_classes_are_named(model, capsys):
    image = pytest.importorskip("PIL.Image")
    for name, colour in (("dark", 20), ("light", 230)):
        Path("shades", name).mkdir(parents=True)
        for number in range(20):
            image.fromarray(np.full((9, 7), colour + number, np.uint8)).save(f"shades/{name}/{number}.png")
    data = ["--data", "folder", "--data-dir", "shades"]
    assert main(["train", model, *data, "--epochs", "30", "--normalize", "per-channel", "--out", "x"]) == 0
    assert "test accuracy 100.00%" in capsys.readouterr().out
    weights = ["--weights", "x/weights.safetensors"]
    assert main(["predict", model, *weights, *data]) == 0
    assert "8 of 8 right" in capsys.readouterr().out
    np.save("two.npy", np.stack([np.full((1, 8, 8), 20, np.uint8), np.full((1, 8, 8), 240, np.uint8)]))
    assert main(["predict", model, *weights, "--input", "two.npy", "--json"]) == 0
    assert [row["class"] for row in json.loads(capsys.readouterr().out)] == ["dark", "light"]
    assert "--data folder needs --data-dir" in failure(capsys, "predict", model, *weights)


OTHERS = """
import graphnet as gn
from graphnet import nn
from graphnet.training import perplexity

RECIPE = {"optimizer": "Adam", "lr": 1e-2, "epochs": 1, "batch_size": 32}
"""
CODER = """
INPUT_SHAPE = (1, 8, 8)
TARGET = ((1, 8, 8), "float32")


def build():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.Linear(16, 64), nn.Unflatten(1, (1, 8, 8)))


def loss(outputs, target):
    return gn.mse_loss(outputs, target)


def examples(images, labels):
    return images, images
"""
READER = """
INPUTS = {"tokens": ((16,), "int64")}
TARGET = ((16,), "int64")
CLASSES = 96
DATA = "text"
METRICS = {"perplexity": perplexity}


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.scores = nn.Embedding(96, 96)

    def forward(self, tokens):
        return gn.swapaxes(self.scores(tokens), 1, 2)


def build():
    return Reader()
"""


@pytest.mark.parametrize(
    ("body", "arguments", "measures"),
    [(CODER, ["--normalize", "mean-image", "--augment", "shift"], ["loss"]), (READER, [], ["perplexity", "loss"])],
    ids=["autoencoder", "language"],
)
def test_models_that_are_no_classifiers_are_trained_and_measured(model, capsys, body, arguments, measures):
    Path("other.py").write_text(OTHERS + body)
    assert main(["train", "other.py", *arguments]) == 0
    tested = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("test "))
    assert [part.split()[1] for part in tested.split(", ")] == measures
    weights = ["--weights", "runs/other/weights.safetensors"]
    assert main(["predict", "other.py", *weights]) == 0
    assert capsys.readouterr().out.strip() == tested.replace("test ", "")
    assert main(["predict", "other.py", *weights, "--limit", "5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["examples"] == 5
    assert "gives no scores of classes" in failure(capsys, "predict", "other.py", *weights, "--input", "x.npy")
    if body is READER:
        assert "takes int64, which is not normalized" in failure(
            capsys, "train", "other.py", "--normalize", "per-channel")  # fmt: skip
        assert "which are no images" in failure(capsys, "train", "other.py", "--augment", "flip")


def test_weights_without_a_word_on_their_data_are_used_as_they_are(model, weights, capsys):
    from graphnet.interop import safetensors

    texts = safetensors.load_with_metadata(weights)[1]
    plain = safetensors.load_state(weights)
    for metadata, said in (
        (None, None),
        ({"graphnet_data": "{"}, "what it says of its data does not fit"),
        ({"graphnet_data": texts["graphnet_data"].replace("null", '{"kind": 3}')}, "does not fit"),
    ):
        safetensors.save(plain, "plain.safetensors", metadata=metadata)
        arguments = ["predict", model, "--weights", "plain.safetensors"]
        if said is None:
            assert main(arguments) == 0
            assert " of 359 right" in capsys.readouterr().out
        else:
            assert said in failure(capsys, *arguments)


def test_predict_gives_json_for_arrays(model, weights, capsys):
    np.save("images.npy", np.zeros((3, 1, 8, 8), np.uint8))
    assert main(["predict", model, "--weights", weights, "--input", "images.npy", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["image"] for row in rows] == ["images.npy[0]", "images.npy[1]", "images.npy[2]"]
    assert all(0 <= row["prediction"] < 10 and 0 < row["probability"] <= 1 for row in rows)


def test_predict_reads_pictures_of_any_size(model, weights, capsys):
    image = pytest.importorskip("matplotlib.image")
    pixels = np.random.default_rng(0).random((20, 30, 3))
    image.imsave("wide.png", pixels)
    image.imsave("small.png", pixels[:8, :8])
    assert main(["predict", model, "--weights", weights, "--input", "wide.png", "small.png", "--invert"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_draw_writes_every_stage(model, capsys):
    assert main(["draw", f"{model}:tiny", "--out", "pictures", "--profile", "--batch-size", "4"]) == 0
    names = capsys.readouterr().out.split()
    assert names == [f"pictures/small-{stage}.svg" for stage in ("declared", "differentiated", "compiled", "memory")]
    assert all(Path(name).read_text().startswith("<svg") for name in names)
    assert "µs" in Path(names[2]).read_text()


@pytest.mark.parametrize("form", ["svg", "dot", "png", "pdf"])
def test_draw_takes_the_format_from_the_name(model, form):
    if form in ("png", "pdf") and shutil.which("dot") is None:
        pytest.skip("the program dot of Graphviz is not installed")
    assert main(["draw", model, "--stage", "differentiated", "--detail", "layers", "--out", f"deep/net.{form}"]) == 0
    assert Path(f"deep/net.{form}").stat().st_size > 0


def test_inspect_prints_every_section(model, capsys):
    assert main(["inspect", model, "--batch-size", "5"]) == 0
    out = capsys.readouterr().out
    for word in ("2,410", "peak bytes", "== graph as declared ==", "float32[N, 1, 8, 8]", "== graph as compiled ==",
                 "float32[5, 1, 8, 8]", "== schedule ==", "== memory ==", "== what the compiler did =="):  # fmt: skip
        assert word in out


def test_bench_compares_and_writes_text_json_and_picture(model, capsys):
    assert main(["bench", model, "--batch-size", "2", "--rounds", "4", "--naive-rounds", "2", "--out", "b"]) == 0
    out = capsys.readouterr().out
    report = json.loads(Path("b/bench.json").read_text())
    assert list(report["rivals"]) == ["naive", "unplanned", "compiled"]
    assert [len(row["seconds"]) for row in report["rivals"].values()] == [2, 4, 4]
    for row in report["rivals"].values():
        lower, upper = row["quartiles_seconds"]
        assert 0 < lower <= row["median_seconds"] <= upper
    assert report["rivals"]["compiled"]["ratio"] == 1
    assert report["machine"]["numpy"] == np.__version__
    assert "times compiled" in out
    assert Path("b/bench.txt").exists()
    assert Path("b/bench.png").read_bytes().startswith(b"\x89PNG")


def test_bench_can_leave_naive_out(model, capsys):
    assert main(["bench", model, "--against", "unplanned", "--rounds", "2", "--json", "b.json"]) == 0
    assert list(json.loads(Path("b.json").read_text())["rivals"]) == ["unplanned", "compiled"]


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


def run_python(*arguments, **options):
    command = [sys.executable, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


# A shell starts what it runs in the background with interrupts ignored; these tests want them whoever runs them.
PROGRAM = """
import signal, sys

signal.signal(signal.SIGINT, signal.default_int_handler)
from graphnet_command import main

sys.exit(main())
"""


def test_python_m_graphnet_is_the_command():
    with run_python("-m", "graphnet", "--help") as process:
        out, error = process.stdout.read(), process.stderr.read()
    assert (process.returncode, error) == (0, "")
    assert all(name in out for name in ("train", "predict", "draw", "bench", "inspect"))


def test_the_installed_program_says_its_version():
    with run_python("-m", "graphnet_command", "--version") as process:
        out, error = process.stdout.read(), process.stderr.read()
    assert (process.returncode, error) == (0, "")
    assert out.startswith("graphnet ")


def test_an_interrupt_is_quiet(tmp_path):
    body = "import time\n\n\ndef build():\n    print('up', flush=True)\n    time.sleep(60)\n"
    (tmp_path / "slow.py").write_text(f"INPUT_SHAPE = (1, 8, 8)\n{body}")
    with run_python("-c", PROGRAM, "train", tmp_path / "slow.py") as process:
        assert process.stdout.readline() == "up\n"
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == ""
    assert process.returncode == 130


def test_an_interrupt_while_packages_are_imported_is_quiet():
    with run_python("-v", "-c", PROGRAM, "--help") as process:  # -v tells each import on standard error
        for line in process.stderr:
            if line.startswith("import 'numpy.exceptions'"):
                break
        process.send_signal(signal.SIGINT)
        assert "Traceback" not in process.stderr.read()
    assert process.returncode == 130


@pytest.mark.skipif(os.name != "posix", reason="pipes break in other ways elsewhere")
def test_a_reader_that_stops_reading_is_no_error():
    with run_python("-m", "graphnet", "inspect", "models/lenet.py") as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0
