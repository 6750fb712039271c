"""What JAX's users would call for each op of a declared graph; XLA itself fuses what has no function of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from graphnet.interop.recognition import Call, untranslated

Functions: TypeAlias = "dict[str, Callable[..., Any]]"


def functions(jax: Any) -> Functions:
    """By name of op or form: functions of a call and of the values of its inputs."""
    return {
        "constant": lambda call: jax.numpy.asarray(call.attributes["value"]),
        **_elementwise(jax), **_reductions(jax.numpy), **_shapes(jax), **_picking(jax), **_convolutions(jax),
        **_poolings(jax), **_layers(jax),
    }  # fmt: skip


def _elementwise(jax: Any) -> Functions:
    jnp, nn = jax.numpy, jax.nn
    names = (
        "add", "subtract", "multiply", "divide", "remainder", "floor_divide", "negative", "absolute", "sign", "floor",
        "ceil", "round", "square", "sqrt", "reciprocal", "exp", "expm1", "log", "log1p", "sin", "cos", "tan", "tanh",
        "equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "logical_and", "logical_or",
        "logical_xor", "logical_not", "where", "maximum", "minimum", "power",
    )  # fmt: skip
    found = {name: lambda call, *values, f=name: getattr(jnp, f)(*values) for name in names}
    return {
        **found,
        "rsqrt": lambda call, x: jax.lax.rsqrt(x),
        "erf": lambda call, x: jax.lax.erf(x),
        "is_nan": lambda call, x: jnp.isnan(x),
        "is_finite": lambda call, x: jnp.isfinite(x),
        "keep": lambda call, condition, x: jnp.where(condition, x, jnp.zeros((), x.dtype)),
        "clip": lambda call, x: jnp.clip(x, call.attributes["low"], call.attributes["high"]),
        "cast": lambda call, x: x.astype(call.node.dtype),
        "stop_gradient": lambda call, x: jax.lax.stop_gradient(x),
        "relu": lambda call, x: nn.relu(x),
        "leaky_relu": lambda call, x: nn.leaky_relu(x, call.attributes["slope"]),
        "elu": lambda call, x: nn.elu(x, call.attributes["alpha"]),
        "sigmoid": lambda call, x: nn.sigmoid(x),
        "log_sigmoid": lambda call, x: nn.log_sigmoid(x),
        "softplus": lambda call, x: nn.softplus(x * call.attributes["beta"]) / call.attributes["beta"],
        "silu": lambda call, x: nn.silu(x),
        "gelu": lambda call, x: nn.gelu(x, approximate=False),
        "gelu_tanh": lambda call, x: nn.gelu(x, approximate=True),
        "gelu_slope": lambda call, x: jax.jvp(partial(nn.gelu, approximate=False), (x,), (jnp.ones_like(x),))[1],
        "gelu_tanh_slope": lambda call, x: jax.jvp(partial(nn.gelu, approximate=True), (x,), (jnp.ones_like(x),))[1],
        "softmax": lambda call, x: nn.softmax(x, call.attributes["axis"]),
        "log_softmax": lambda call, x: nn.log_softmax(x, call.attributes["axis"]),
    }


def _reductions(jnp: Any) -> Functions:
    def reduced(name: str) -> Callable[..., Any]:
        def call_it(call: Call, x: Any) -> Any:
            return getattr(jnp, name)(x, call.attributes["axes"], keepdims=call.attributes["keepdims"])

        return call_it

    def var(call: Call, x: Any) -> Any:
        a = call.attributes
        return jnp.var(x, a["axes"], correction=a["correction"], keepdims=a["keepdims"])

    def log_sum_exp(call: Call, x: Any) -> Any:
        a = call.attributes
        largest = jnp.max(x, a["axes"], keepdims=True)
        total = jnp.log(jnp.sum(jnp.exp(x - largest), a["axes"], keepdims=True)) + largest
        return total if a["keepdims"] else jnp.squeeze(total, a["axes"])

    return {
        **{name: reduced(name) for name in ("sum", "mean", "max", "min")},
        "var": var,
        "log_sum_exp": log_sum_exp,
        "arg_max": lambda call, x: jnp.argmax(x, call.attributes["axis"], keepdims=call.attributes["keepdims"]),
        "arg_min": lambda call, x: jnp.argmin(x, call.attributes["axis"], keepdims=call.attributes["keepdims"]),
    }


def _shapes(jax: Any) -> Functions:
    jnp = jax.numpy

    def sliced(call: Call, x: Any) -> Any:
        a = call.attributes
        index = []
        for start, step, count in zip(a["starts"], a["steps"], a["counts"], strict=True):
            stop = start + step * count
            index.append(slice(start, stop if stop >= 0 else None, step) if count else slice(0, 0))
        return x[tuple(index)]

    def padded(call: Call, x: Any) -> Any:
        a, (shape,) = call.attributes, _shapes_of(call)
        if any(step != 1 for step in a["steps"]):
            raise untranslated(call, "JAX")
        around = [(s, t - s - n, 0) for s, t, n in zip(a["starts"], a["target"], shape, strict=True)]
        return jax.lax.pad(x, jnp.asarray(a["value"], x.dtype), around)

    return {
        "reshape": lambda call, x: jnp.reshape(x, call.attributes["target"]),
        "transpose": lambda call, x: jnp.transpose(x, call.attributes["axes"]),
        "broadcast_to": lambda call, x: jnp.broadcast_to(x, call.attributes["target"]),
        "contiguous": lambda call, x: x,
        "concatenate": lambda call, *parts: jnp.concatenate(parts, call.attributes["axis"]),
        "slice": sliced,
        "pad": padded,
    }


def _picking(jax: Any) -> Functions:
    jnp = jax.numpy
    return {
        "take": lambda call, x, indices: jnp.take(x, indices, call.attributes["axis"], mode="clip"),
        "gather": lambda call, x, indices: jnp.take_along_axis(x, indices, call.attributes["axis"], mode="clip"),
        "one_hot": lambda call, i: jax.nn.one_hot(i, call.attributes["classes"], dtype=call.node.dtype),
    }


def _convolutions(jax: Any) -> Functions:
    def options(call: Call) -> dict[str, Any]:
        a, layout = call.attributes, ("NCHW", "OIHW", "NCHW")
        return {"rhs_dilation": a["dilation"], "feature_group_count": a["groups"], "dimension_numbers": layout}

    def convolution(call: Call, x: Any, weight: Any, bias: Any = None) -> Any:
        a = call.attributes
        y = jax.lax.conv_general_dilated(x, weight, a["stride"], a["padding"], **options(call))
        return y if bias is None else y + bias[:, None, None]

    def transposed(call: Call, x: Any, weight: Any) -> Any:
        source = jax.numpy.zeros(call.node.type.static_shape, x.dtype)
        return jax.vjp(lambda images: convolution(call, images, weight), source)[1](x)[0]

    return {"conv2d": convolution, "conv2d_input_gradient": transposed}


def _poolings(jax: Any) -> Functions:
    lax, jnp = jax.lax, jax.numpy

    def windows(call: Call, x: Any, start: Any, function: Any) -> Any:
        a, (shape,) = call.attributes, _shapes_of(call)
        spread = a.get("dilation", (1, 1))
        around = [(0, 0), (0, 0)]
        counts = call.node.type.static_shape[2:]
        sides = zip(a["kernel"], a["stride"], a["padding"], spread, shape[2:], counts, strict=True)
        for kernel, stride, (before, _), dilation, size, count in sides:  # ceil_mode reaches beyond the padding
            around.append((before, (count - 1) * stride + dilation * (kernel - 1) + 1 - size - before))
        sizes, steps = (1, 1, *a["kernel"]), (1, 1, *a["stride"])
        return lax.reduce_window(x, start, function, sizes, steps, around, window_dilation=(1, 1, *spread))

    def mean_pool(call: Call, x: Any) -> Any:
        a = call.attributes
        total = windows(call, x, 0.0, lax.add)
        if a["divisor"] is not None:
            return total / a["divisor"]
        if any(side for pair in a["padding"] for side in pair) and a["count_include_pad"]:
            if a["ceil_mode"]:
                raise untranslated(call, "JAX")
            return total / (a["kernel"][0] * a["kernel"][1])
        return total / windows(call, jnp.ones_like(x), 0.0, lax.add)

    def adaptive(call: Call, x: Any) -> Any:
        (shape,), counts = _shapes_of(call), call.attributes["counts"]
        if any(size % count for size, count in zip(shape[2:], counts, strict=True)):
            raise untranslated(call, "JAX")
        (height, width), (rows, columns) = shape[2:], counts
        return x.reshape(*shape[:2], rows, height // rows, columns, width // columns).mean((3, 5))

    def upsampled(call: Call, x: Any) -> Any:
        down, right = call.attributes["scale"]
        return jnp.repeat(jnp.repeat(x, down, 2), right, 3)

    return {
        "max_pool2d": lambda call, x: windows(call, x, -np.inf, lax.max),
        "avg_pool2d": mean_pool,
        "adaptive_avg_pool2d": adaptive,
        "upsample": upsampled,
    }


def _layers(jax: Any) -> Functions:
    jnp = jax.numpy

    def linear(call: Call, x: Any, weight: Any, bias: Any) -> Any:
        y = x @ weight.T
        return y if bias is None else y + bias

    def standardize(call: Call, x: Any) -> Any:
        a = call.attributes
        centered = x - jnp.mean(x, a["axes"], keepdims=True)
        return centered * jax.lax.rsqrt(jnp.var(x, a["axes"], keepdims=True) + a["eps"])

    def cross_entropy(call: Call, x: Any, labels: Any) -> Any:
        a = call.attributes
        ignored, smoothing = labels == a["ignore_index"], a["label_smoothing"]
        logs = jax.nn.log_softmax(x, 1)
        places = jnp.where(ignored, 0, labels)[:, None]
        picked = -jnp.take_along_axis(logs, places, 1, mode="clip")[:, 0]
        if smoothing:
            picked = (1 - smoothing) * picked - smoothing * logs.mean(1)
        return jnp.where(ignored, 0.0, picked)

    return {
        "linear": linear,
        "matmul": lambda call, a, b: jnp.matmul(a, b),
        "standardize": standardize,
        "softmax_cross_entropy": cross_entropy,
    }


def _shapes_of(call: Call) -> Sequence[tuple[int, ...]]:
    """The shapes of a call's inputs, those left out left out."""
    return [value.type.static_shape for value in call.inputs if value is not None]
