"""No kernel allocates in proportion to its data: what a step needs is in the plan, as scratch or as a result."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import graphnet as gn

BUFFERS = 300_000
"""Bytes: NumPy's own buffers for broadcast or converted operands are 8,192 elements an operand, whatever the data."""
DATA = 2_000_000
"""Bytes of float32 data in each case, at least: several times what the buffers may take."""

LABELS = np.arange(131_072) % 10
IMAGES = (8, 16, 64, 64)
WIDE = (512, 1024)
CASES = {
    "arithmetic": (WIDE, lambda x: gn.sqrt(x * x + 1.0) / (x + 3.0) - gn.exp(x) ** 1.5),
    "broadcast": (WIDE, lambda x: x * gn.sum(x, axis=0) + gn.mean(x, axis=1, keepdims=True)),
    "remainder": (WIDE, lambda x: gn.remainder(x, 0.5) + gn.floor(x) + gn.sign(x) + gn.round(x)),
    "activations": (WIDE, lambda x: gn.relu(x) + gn.gelu(x) + gn.silu(x) + gn.elu(x) + gn.selu(x) + gn.softplus(x)),
    "sigmoids": (WIDE, lambda x: gn.sigmoid(x) * gn.log_sigmoid(x) + gn.tanh(x) + gn.leaky_relu(x) + gn.erf(x)),
    "choices": (WIDE, lambda x: gn.where(x > 0.0, gn.maximum(x, 0.5), gn.minimum(x, 1.0)) + gn.clip(x, -0.5, 0.5)),
    "reductions": (WIDE, lambda x: gn.max(x, axis=0) + gn.min(x, axis=0) + gn.var(x, axis=0) + gn.prod(x, axis=0)),
    "softmaxes": (WIDE, lambda x: gn.softmax(x, axis=1) + gn.log_softmax(x, axis=1)),
    "softmax-first-axis": (WIDE, lambda x: gn.softmax(x, axis=0) + gn.logsumexp(x, axis=0)),
    "cumsum": (WIDE, lambda x: gn.cumsum(x, axis=1)),
    "argmax": (WIDE, lambda x: x + gn.cast(gn.argmax(x, axis=0) + gn.argmin(x, axis=0), x.dtype)),
    "truncate": (WIDE, lambda x: x + gn.cast(gn.cast(x * 100.0, "int32"), x.dtype)),
    "joining": (WIDE, lambda x: gn.concatenate([x, gn.flip(x, axis=1)], axis=0) * gn.tile(x, (2, 1))),
    "slices": (WIDE, lambda x: x[::-1, 3::4] * gn.stack([x[:, 0:256], x[:, 256:512]], axis=0)),
    "transposed": (WIDE, lambda x: gn.reshape(gn.transpose(x), (512, 1024)) * x),
    "padding": (IMAGES, lambda x: gn.pad(x, [(0, 0), (0, 0), (1, 2), (2, 1)])),
    "reflecting": (IMAGES, lambda x: gn.pad(x, [(0, 0), (0, 0), (1, 2), (2, 1)], mode="reflect")),
    "matmul": (WIDE, lambda x: x @ gn.transpose(x)),
    "einsum": (IMAGES, lambda x: gn.einsum("nchw,nkhw->nck", x, x)),
    "one_hot": (WIDE, lambda x: gn.one_hot(gn.constant(LABELS), 10)),
    "take": (WIDE, lambda x: gn.take(x, gn.constant(LABELS[:1024] * 3), axis=0)),
    "take-along": (WIDE, lambda x: gn.gather(x, 1, gn.constant(np.tile(LABELS[:1024], (512, 1))))),
    "embedding": ((100, 64), lambda x: gn.embedding(gn.constant(LABELS[:8192]), x)),
    "scatter-add": (
        (8192, 64),
        lambda x: gn.scatter_add(gn.constant(np.zeros((8192, 64), "f")), 1, gn.constant(_COLUMNS), x),
    ),
    "cross_entropy": ((52_428, 10), lambda x: gn.cross_entropy(x, gn.constant(LABELS[:52_428]))),
    "layer_norm": (WIDE, lambda x: gn.layer_norm(x, (1024,))),
    "convolution": (IMAGES, lambda x: gn.conv2d(x, gn.constant(np.ones((8, 16, 3, 3), "f")), padding=1)),
    "strided": (IMAGES, lambda x: gn.conv2d(x, gn.constant(np.ones((8, 16, 3, 3), "f")), stride=2, padding=1)),
    "depthwise": (IMAGES, lambda x: gn.conv2d(x, gn.constant(np.ones((16, 1, 3, 3), "f")), padding=1, groups=16)),
    "transposed-convolution": (
        IMAGES,
        lambda x: gn.conv_transpose2d(x, gn.constant(np.ones((16, 4, 2, 2), "f")), stride=2),
    ),
    "max_pool": (IMAGES, lambda x: gn.max_pool2d(x, 2)),
    "max_pool-overlapping": (IMAGES, lambda x: gn.max_pool2d(x, 3, stride=2, padding=1)),
    "avg_pool": (IMAGES, lambda x: gn.avg_pool2d(x, 3, stride=2, padding=1)),
    "adaptive_avg_pool": (IMAGES, lambda x: gn.adaptive_avg_pool2d(x, (5, 7))),
    "upsample": (IMAGES, lambda x: gn.upsample(x, 2)),
    "losses": (
        WIDE,
        lambda x: gn.mse_loss(x, x * 0.5) + gn.l1_loss(x, x * 0.5) + gn.huber_loss(x, gn.tanh(x)),
    ),
    "random": (WIDE, lambda x: gn.dropout(x, 0.3)),
}
_COLUMNS = np.tile(LABELS[:64], (8192, 1))


@pytest.mark.parametrize("rewrite", [True, False], ids=["rewritten", "declared"])
@pytest.mark.parametrize("name", CASES)
def test_no_step_allocates_in_proportion_to_its_data(name, rewrite):
    shape, build = CASES[name]
    x = gn.input("x", shape)
    y = build(x)
    needs_x = y.type.is_float and name != "one_hot"
    outputs = [y, *gn.gradients(gn.sum(y * y), [x])] if needs_x else [y]
    step = gn.compile([x], outputs, rewrite=rewrite, check=0)
    array = np.random.default_rng(0).uniform(0.1, 0.9, shape).astype("float32")
    assert name in ("embedding", "one_hot") or array.nbytes >= DATA
    step(array)
    program = step.program
    kernels = (*program.lowered.first, *program.lowered.body, *program.lowered.commit)
    greedy = {}
    tracemalloc.start()
    try:
        with np.errstate(all="ignore"):
            for node, kernel in zip(program.schedule.steps, kernels, strict=True):
                tracemalloc.reset_peak()
                before = tracemalloc.get_traced_memory()[0]
                kernel()
                used = tracemalloc.get_traced_memory()[1] - before
                if used > BUFFERS:
                    greedy[repr(node)] = used
    finally:
        tracemalloc.stop()
    assert not greedy
