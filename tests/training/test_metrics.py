"""Metrics against scikit-learn, PyTorch and NumPy; exact over short batches and ignored targets; bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest

import graphnet as gn
from graphnet import nn, optim
from graphnet.errors import ArgumentError, DataError, ShapeError
from graphnet.training import (
    Accuracy,
    ConfusionMatrix,
    DataLoader,
    Perplexity,
    TopK,
    Trainer,
    accuracy,
    draw_confusion,
    perplexity,
)


def _scores(*shape, ties=False, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.integers(0, 3, shape) if ties else rng.normal(size=shape)).astype("float32")


def _value(metric, scores, labels, classes=None):
    """What a metric gives for one batch, as a node and by its sums."""
    x = gn.input("x", ("N", *scores.shape[1:]))
    t = gn.input("t", ("N", *labels.shape[1:]), dtype=labels.dtype)
    one, *sums = gn.compile([x, t], [metric(x, t), *metric.sums(x, t)])(scores, labels)
    np.testing.assert_allclose(one, metric.result(*sums), rtol=1e-6)
    return metric.result(*sums)


def test_accuracy_counts_the_largest_score_at_every_position():
    scores, labels = _scores(7, 5, 3, 2), np.random.default_rng(1).integers(0, 5, (7, 3, 2))
    assert _value(accuracy, scores, labels) == (scores.argmax(1) == labels).mean()
    labels[2:4] = -1
    counted = labels != -1
    wanted = (scores.argmax(1) == labels)[counted].mean()
    assert _value(Accuracy(ignore_index=-1), scores, labels) == pytest.approx(wanted, rel=1e-12)
    small = labels[:, 0, 0].clip(0).astype("uint8")
    assert _value(accuracy, scores[:, :, 0, 0], small) == (scores[:, :, 0, 0].argmax(1) == small).mean()


def test_nothing_counted_is_nan():
    for metric in (Accuracy(), TopK(2), Perplexity()):
        assert math.isnan(_value(metric, _scores(3, 4), np.full(3, -100)))


@pytest.mark.parametrize("k", [1, 2, 5])
def test_top_k_is_as_in_torch_where_scores_differ(k):
    torch = pytest.importorskip("torch")
    scores, labels = _scores(40, 5), np.random.default_rng(2).integers(0, 5, 40)
    found = torch.topk(torch.tensor(scores), k, dim=1).indices.numpy()
    assert _value(TopK(k), scores, labels) == pytest.approx((found == labels[:, np.newaxis]).any(1).mean(), rel=1e-12)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_of_equal_scores_the_lower_class_comes_first(k):
    scores, labels = _scores(60, 4, 3, ties=True), np.random.default_rng(3).integers(0, 4, (60, 3))
    order = np.argsort(-scores, axis=1, kind="stable")
    assert _value(TopK(k), scores, labels) == pytest.approx((order[:, :k] == labels[:, None]).any(1).mean(), rel=1e-12)
    if k == 1:
        assert _value(TopK(1), scores, labels) == _value(accuracy, scores, labels)


def test_top_k_never_finds_a_target_whose_score_is_nan():
    scores = np.array([[np.nan, 1, 0], [np.nan, 1, 0], [np.nan, 1, 0]], "float32")
    assert _value(TopK(2), scores, np.array([0, 1, 2])) == pytest.approx(1 / 3)
    assert _value(TopK(1), scores, np.array([0, 1, 2])) == 0


def test_perplexity_is_exp_of_the_mean_loss_of_what_counts():
    torch = pytest.importorskip("torch")
    scores, labels = _scores(6, 5, 4), np.random.default_rng(4).integers(0, 5, (6, 4))
    labels[0] = -100
    wanted = torch.exp(torch.nn.functional.cross_entropy(torch.tensor(scores), torch.tensor(labels)))
    assert _value(perplexity, scores, labels) == pytest.approx(float(wanted), rel=1e-5)


def test_the_confusion_matrix_is_scikit_learns():
    sklearn = pytest.importorskip("sklearn.metrics")
    scores, labels = _scores(50, 4, 2), np.random.default_rng(5).integers(0, 4, (50, 2))
    wanted = sklearn.confusion_matrix(labels.ravel(), scores.argmax(1).ravel(), labels=range(4))
    np.testing.assert_array_equal(_value(ConfusionMatrix(), scores, labels), wanted)
    labels[:10] = 9
    kept = sklearn.confusion_matrix(labels[10:].ravel(), scores.argmax(1)[10:].ravel(), labels=range(4))
    np.testing.assert_array_equal(_value(ConfusionMatrix(ignore_index=9), scores, labels), kept)


@pytest.mark.parametrize("label", [4, -1])
def test_a_target_that_is_no_class_is_told(label):
    for metric in (TopK(2), ConfusionMatrix(), Perplexity()):
        with pytest.raises(DataError, match=str(label)):
            _value(metric, _scores(3, 4), np.array([0, label, 1]))


def _language_trainer():
    gn.manual_seed(0)
    model = nn.Sequential(nn.Conv1d(3, 4, 1))
    metrics = {"accuracy": accuracy, "top2": TopK(2), "perplexity": perplexity, "confusion": ConfusionMatrix()}
    return Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1), metrics=metrics)


def test_over_an_epoch_every_target_counts_once_whatever_the_batches():
    x, y = _scores(23, 3, 6), np.random.default_rng(6).integers(0, 4, (23, 6))
    y[:9, 2:] = -100
    trainer = _language_trainer()
    whole, parts = (trainer.evaluate(DataLoader((x, y), size)) for size in (23, 4))
    for name in ("accuracy", "top2"):
        assert whole[name] == parts[name]
    assert whole["perplexity"] == pytest.approx(parts["perplexity"], rel=1e-6)
    np.testing.assert_array_equal(whole["confusion"], parts["confusion"])
    assert whole["confusion"].sum() == (y != -100).sum() and whole["confusion"].dtype == np.int64
    weights = trainer.model[0].weight.value[:, :, 0], trainer.model[0].bias.value
    right = (np.einsum("oc,nct->not", weights[0], x) + weights[1][:, None]).argmax(1)[y != -100] == y[y != -100]
    assert whole["accuracy"] == pytest.approx(right.mean(), rel=1e-12)


def test_what_is_no_number_stays_out_of_the_history_and_is_there_to_look_at():
    trainer = _language_trainer()
    data = _scores(12, 3, 6), np.random.default_rng(7).integers(0, 4, (12, 6))
    row = trainer.fit(DataLoader(data, 5), DataLoader(data, 5), progress=False)[0]
    assert "validation_perplexity" in row and "train_confusion" not in row
    for part in ("train", "validation"):
        assert trainer.measured[f"{part}_confusion"].sum() == 72


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda x, y: TopK(0), ArgumentError, r"TopK: k must be an integer >= 1, got 0"),
        (lambda x, y: TopK(2.0), ArgumentError, r"k must be an integer >= 1, got 2\.0"),
        (lambda x, y: TopK(True), ArgumentError, "k must be an integer"),
        (lambda x, y: TopK(6)(x, y), ArgumentError, "k is 6, but the model gives scores of 5 classes"),
        (lambda x, y: Accuracy(ignore_index="no"), ArgumentError, "ignore_index must be an integer, got 'no'"),
        (lambda x, y: accuracy(y, y), ShapeError, r"Accuracy: expected outputs \(N, classes, \.\.\.\)"),
        (lambda x, y: accuracy(x, x), ShapeError, r"integer targets \(N, \.\.\.\), got float32\[N, 5\]"),
        (lambda x, y: accuracy((x, x), y), ShapeError, "got tuple and int64"),
        (lambda x, y: perplexity(x, gn.input("z", ("N", 2), "int64")), ShapeError, "Perplexity: expected outputs"),
        (lambda x, y: ConfusionMatrix()(gn.input("z", ("N", "C")), y), ShapeError, "number of classes must be known"),
        (lambda x, y: TopK(1)(gn.input("z", ("N", "C")), y), ShapeError, "TopK: the number of classes must be known"),
    ],
)
def test_bad_input_is_told(make, error, message):
    with pytest.raises(error, match=message):
        make(gn.input("x", ("N", 5)), gn.input("y", ("N",), "int64"))


def test_metrics_show_how_they_were_made():
    assert repr(TopK(3, ignore_index=0)) == "TopK(ignore_index=0, k=3)"


def test_a_confusion_matrix_is_drawn_the_same_each_time(tmp_path):
    pytest.importorskip("matplotlib")
    counts = np.array([[5, 1], [0, 3]])
    for name in "ab":
        draw_confusion(counts, tmp_path / f"{name}.svg", ["cat", "dog"])
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    draw_confusion(np.eye(35, dtype=int), tmp_path / "many.png")
    assert (tmp_path / "many.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ArgumentError, match="expected 2 names of classes, got 3"):
        draw_confusion(counts, tmp_path / "c.svg", ["a", "b", "c"])
    with pytest.raises(ArgumentError, match=r"integer counts \(classes, classes\), got float64 of shape \(2, 3\)"):
        draw_confusion(np.zeros((2, 3)), tmp_path / "c.svg")
    with pytest.raises(ArgumentError, match=r"confusion matrices are drawn as svg, png, pdf, not .*c\.gif"):
        draw_confusion(counts, tmp_path / "c.gif")
    assert not (tmp_path / "c.svg").exists()
