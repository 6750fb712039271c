"""The command line, as a user meets it: what each command writes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from graphnet.cli import main
from tests.cli.small import failure


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
