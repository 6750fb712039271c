"""Cross-entropy with class labels, and its gradient, as loops over rows of logits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from graphnet.backend.native import functions as f
from graphnet.backend.native.loops import BOOLEAN, Apply, Const, Kernel, Register, Set, Statement, Value
from graphnet.backend.native.reductions import shifted_exponentials, stored_exponentials, wide
from graphnet.backend.native.rows import SUM, Row, row_kernels
from graphnet.backend.native.views import View
from graphnet.ops.softmax_cross_entropy import LabelOp, SoftmaxCrossEntropy, SoftmaxMinusTarget

_X, _LABEL, _OUT, _POSITION = 0, 1, 2, -1  # places of a row's values


def label_loss(op: LabelOp, out: View, x: View, labels: View) -> list[Kernel] | None:
    """Kernels for SoftmaxCrossEntropy and SoftmaxMinusTarget; the labels are known to be in range."""
    if x.strides[1] == 0:
        return None  # a single class is nowhere told from another by its place
    per_row = replace(labels, shape=x.shape, strides=(labels.strides[0], 0, *labels.strides[1:]))
    if isinstance(op, SoftmaxCrossEntropy):
        result = replace(out, shape=x.shape, strides=(out.strides[0], 0, *out.strides[1:]))
        return row_kernels(op.name, [x, per_row, result], [1], lambda row: _loss(op, row, x))
    if isinstance(op, SoftmaxMinusTarget):
        return row_kernels(op.name, [x, per_row, out], [1], lambda row: _difference(op, row, x))
    return None


def _hit(values: Sequence[Value]) -> Value:
    """Whether an element is the label's."""
    return Apply("eq", (values[_LABEL], values[_POSITION]), BOOLEAN)


def _ignored(op: LabelOp, label: Value) -> Value:
    return Apply("eq", (label, Const(op.ignore_index, "i64", label.width)), BOOLEAN)


def _loss(op: SoftmaxCrossEntropy, row: Row, x: View) -> list[Statement]:
    """log(sum(exp(x - top))) - (1 - e) (x[label] - top) - e mean(x - top)."""
    statements, top, total = shifted_exponentials(row, x.dtype)
    smoothing, classes = op.label_smoothing, x.shape[1]

    def target(values: Sequence[Value]) -> Value:
        shifted = f.sub(values[_X], wide(top, values[_X]))
        weight = f.select(_hit(values), f.const(shifted, 1 - smoothing), f.const(shifted, 0.0))
        if smoothing:
            weight = f.add(weight, f.const(shifted, smoothing / classes))
        # A logit of -inf that is not the target counts for nothing, rather than for 0 times infinity.
        counted = f.select(Apply("eq", (weight, f.const(weight, 0.0)), BOOLEAN), weight, f.mul(weight, shifted))
        return counted

    log_total = Register("log_total", x.dtype, total.width)
    more, expected = row.fold(SUM, target, x.dtype)
    label = row.number(_LABEL, expected.width)
    loss = f.select(_ignored(op, label), f.const(expected, 0.0), f.sub(log_total, expected))
    return [*statements, Set(log_total, f.log(total)), *more, row.store(_OUT, loss)]


def _difference(op: SoftmaxMinusTarget, row: Row, x: View) -> list[Statement]:
    statements, total = stored_exponentials(row, x.dtype, _OUT)
    smoothing, classes = op.label_smoothing, x.shape[1]
    scale = Register("scale", x.dtype, total.width)

    def element(values: Sequence[Value]) -> Value:
        share = f.mul(values[_OUT], wide(scale, values[_OUT]))
        if smoothing:
            share = f.sub(share, f.const(share, smoothing / classes))
        less = f.select(_hit(values), f.sub(share, f.const(share, 1 - smoothing)), share)
        return f.select(_ignored(op, values[_LABEL]), f.const(share, 0.0), less)

    return [*statements, Set(scale, f.div(f.const(total, 1.0), total)), *row.each(_OUT, element)]
