"""Say what trained weights see in images."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from graphnet.cli import values
from graphnet.cli.data import DATA_SETS, digits_for, read_inputs
from graphnet.cli.models import add_model, find_model
from graphnet.cli.steps import check_scores
from graphnet.compiler import compile
from graphnet.interop import safetensors
from graphnet.ops.reductions import softmax
from graphnet.ops.sources import input


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `graphnet predict`."""
    add_model(parser)
    parser.add_argument("--weights", type=Path, required=True, metavar="FILE", help="a safetensors file")
    given = parser.add_mutually_exclusive_group()
    given.add_argument("--data", choices=DATA_SETS, default="digits", help="its test images (default: digits)")
    given.add_argument("--input", type=Path, nargs="+", metavar="FILE", help=".npy arrays or pictures")
    parser.add_argument("--invert", action="store_true", help="for black on white; the digits are white on black")
    parser.add_argument("--limit", type=values.whole(1), help="only so many of them")
    parser.add_argument("--backend", type=values.backend, help="what runs the model")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(options: argparse.Namespace) -> None:
    """Print the most likely class of each image and its probability."""
    file = find_model(options.model)
    model = file.build()
    safetensors.load(model, options.weights)
    if options.input:
        images, names = read_inputs(options.input, file.input_shape, invert=options.invert)
        labels = None
    else:
        images, labels = digits_for(file.input_shape).test
        names = [str(position) for position in range(len(images))]
    node = input("images", ("N", *file.input_shape))
    scores = model.eval()(node)
    check_scores(file, scores)
    predict = compile([node], softmax(scores, axis=1), backend=options.backend)
    count = min(options.limit or len(images), len(images))
    rows = _rows(predict(images[:count]), names, labels)
    print(json.dumps(rows, indent=2) if options.json else _table(rows))


def _rows(probabilities: np.ndarray, names: list[str], labels: np.ndarray | None) -> list[dict[str, Any]]:
    best = probabilities.argmax(axis=1)
    rows: list[dict[str, Any]] = []
    for position, (name, seen) in enumerate(zip(names, best, strict=False)):
        row = {"image": name, "prediction": int(seen), "probability": round(float(probabilities[position, seen]), 6)}
        rows.append(row if labels is None else {**row, "label": int(labels[position])})
    return rows


def _table(rows: list[dict[str, Any]]) -> str:
    width = max(len("image"), *(len(row["image"]) for row in rows))
    lines = [f"{'image':<{width}}  prediction  probability" + ("  label" if "label" in rows[0] else "")]
    for row in rows:
        line = f"{row['image']:<{width}}  {row['prediction']:>10}  {row['probability']:>11.4f}"
        if "label" in row:
            line += f"  {row['label']:>5}{'' if row['label'] == row['prediction'] else '  wrong'}"
        lines.append(line)
    if "label" in rows[0]:
        right = sum(row["label"] == row["prediction"] for row in rows)
        lines.append(f"{right} of {len(rows)} right ({right / len(rows):.2%})")
    return "\n".join(lines)
