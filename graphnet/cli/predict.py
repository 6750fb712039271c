"""Say what trained weights see in images, or how well they do what they were trained for."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from graphnet.cli import values
from graphnet.cli.data import About, add_data, add_data_folder, examples, normalizing, read_inputs
from graphnet.cli.models import ModelFile, add_model, find_model
from graphnet.cli.steps import check_scores, make_optimizer
from graphnet.compiler import compile
from graphnet.errors import ArgumentError
from graphnet.graph.node import Node
from graphnet.interop import safetensors
from graphnet.nn.module import Module
from graphnet.ops.reductions import softmax
from graphnet.training import DataLoader, Trainer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `graphnet predict`."""
    add_model(parser)
    parser.add_argument("--weights", type=Path, required=True, metavar="FILE", help="a safetensors file")
    given = parser.add_mutually_exclusive_group()
    add_data(given, data="what the weights were trained on; its test examples are used")
    given.add_argument("--input", type=Path, nargs="+", metavar="FILE", help=".npy arrays or pictures")
    add_data_folder(parser)
    parser.add_argument("--invert", action="store_true", help="for black on white; the digits are white on black")
    parser.add_argument("--limit", type=values.whole(1), help="only so many of them")
    parser.add_argument("--backend", type=values.backend, help="what runs the model")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(options: argparse.Namespace) -> None:
    """Print the most likely class of each image and its probability; of other models, loss and metrics.

    Inputs are normalized as the weights' training was: the statistics are in the weights file.
    """
    file = find_model(options.model)
    model = file.build()
    safetensors.load(model, options.weights)
    about = About.from_metadata(options.weights, safetensors.load_with_metadata(options.weights)[1])
    inputs = file.input_nodes()
    scores = file.outputs(model.eval(), inputs)
    if file.gives_scores:
        check_scores(file, scores)
    classifies = file.target.shape == () and isinstance(scores, Node) and scores.ndim == 2 and len(inputs) == 1
    if not (file.gives_scores or (classifies and file.classes)):
        _evaluate(file, model, options, about)
        return
    images, labels, names, classes = _images(file, options, about)
    shown = softmax(scores, axis=1) if file.gives_scores else scores
    predict = compile(list(inputs), shown, backend=options.backend)
    rows = _rows(predict(images), names, labels, "probability" if file.gives_scores else "score")
    if classes and classes != tuple(map(str, range(len(classes)))):
        for row in rows:
            row["class"] = classes[row["prediction"]] if row["prediction"] < len(classes) else "?"
    print(json.dumps(rows, indent=2) if options.json else _table(rows))


def _images(
    file: ModelFile, options: argparse.Namespace, about: About | None
) -> tuple[np.ndarray, np.ndarray | None, list[str], tuple[str, ...]]:
    """Images as the model takes them, their labels where they are known, names for them, and names of the classes."""
    labels: np.ndarray | None = None
    classes = about.classes if about else ()
    if options.input:
        images, names = read_inputs(options.input, file.input_shape, invert=options.invert)
    else:
        data = examples(file, options, about)
        images, labels = data.test
        names = [str(position) for position in range(len(images))]
        classes = data.about.classes or classes
    count = min(options.limit or len(images), len(images))
    images = images[:count]
    if about is not None and about.normalization is not None:
        images = about.normalization(images)
    return images, labels, names, classes


def _evaluate(file: ModelFile, model: Module, options: argparse.Namespace, about: About | None) -> None:
    """Print the loss and the metrics of the test examples."""
    if options.input:
        raise ArgumentError(f"--input: {file.name} gives no scores of classes; name a data set by --data")
    test = tuple(array[: options.limit] for array in examples(file, options, about).test)
    after = None
    if about is not None and about.normalization is not None:
        after = normalizing(about.normalization, len(file.inputs))
    optimizer = make_optimizer(file, model)  # a trainer wants one; nothing is trained
    trainer = Trainer(model, file.loss_of(model), optimizer, metrics=file.metrics, backend=options.backend)
    size = int(file.recipe.get("batch_size", 64))
    found = trainer.evaluate(DataLoader(test, size, transform=after))
    rows = {name: value for name, value in found.items() if isinstance(value, float)}
    print(json.dumps({"examples": len(test[0]), **rows}, indent=2) if options.json else values.measures("", found))


def _rows(shown: np.ndarray, names: list[str], labels: np.ndarray | None, what: str) -> list[dict[str, Any]]:
    best = shown.argmax(axis=1)
    rows: list[dict[str, Any]] = []
    for position, (name, seen) in enumerate(zip(names, best, strict=False)):
        row = {"image": name, "prediction": int(seen), what: round(float(shown[position, seen]), 6)}
        rows.append(row if labels is None else {**row, "label": int(labels[position])})
    return rows


def _table(rows: list[dict[str, Any]]) -> str:
    what = "probability" if "probability" in rows[0] else "score"
    width = max(len("image"), *(len(row["image"]) for row in rows))
    known, named = "label" in rows[0], "class" in rows[0]
    lines = [f"{'image':<{width}}  prediction  {what:>11}" + "  label" * known + "  class" * named]
    for row in rows:
        line = f"{row['image']:<{width}}  {row['prediction']:>10}  {row[what]:>11.4f}"
        if known:
            line += f"  {row['label']:>5}"
        if named:
            line += f"  {row['class']}"
        lines.append(line + "  wrong" * (known and row["label"] != row["prediction"]))
    if known:
        right = sum(row["label"] == row["prediction"] for row in rows)
        lines.append(f"{right} of {len(rows)} right ({right / len(rows):.2%})")
    return "\n".join(lines)
