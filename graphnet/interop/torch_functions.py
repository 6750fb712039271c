"""What torch's users would call for each op of a declared graph, and for each form of `interop.recognition`."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from graphnet.interop.recognition import Call, untranslated
from graphnet.ops.windows import Sides

Functions: TypeAlias = "dict[str, Callable[..., Any]]"


def functions(torch: Any) -> Functions:
    """By name of op or form: functions of a call and of the values of its inputs. Scalar constants are numbers."""
    return {
        **_operators(torch), **_unary(torch), **_activations(torch), **_reductions(torch), **_shapes(torch),
        **_picking(torch), **_windows(torch), **_layers(torch), **_losses(torch),
    }  # fmt: skip


def _operators(torch: Any) -> Functions:
    plain = {
        "add": operator.add, "subtract": operator.sub, "multiply": operator.mul, "divide": operator.truediv,
        "remainder": operator.mod, "floor_divide": operator.floordiv, "equal": operator.eq, "not_equal": operator.ne,
        "less": operator.lt, "less_equal": operator.le, "greater": operator.gt, "greater_equal": operator.ge,
        "logical_and": operator.and_, "logical_or": operator.or_, "logical_xor": operator.xor,
        "logical_not": operator.invert, "negative": operator.neg, "matmul": operator.matmul,
        "power": operator.pow,
    }  # fmt: skip

    def larger(call: Call, a: Any, b: Any) -> Any:
        return bounded(torch.maximum, "min", a, b)

    def smaller(call: Call, a: Any, b: Any) -> Any:
        return bounded(torch.minimum, "max", a, b)

    def bounded(function: Callable[..., Any], side: str, a: Any, b: Any) -> Any:
        """By a number it is a clamp, which is faster than to fill a tensor with it."""
        if isinstance(b, (int, float)):
            return torch.clamp(a, **{side: b})
        return torch.clamp(b, **{side: a}) if isinstance(a, (int, float)) else function(a, b)

    found = {name: lambda call, *values, f=function: f(*values) for name, function in plain.items()}
    return {
        **found,
        "maximum": larger,
        "minimum": smaller,
        "where": lambda call, condition, x, y: torch.where(condition, x, y),
        "keep": lambda call, condition, x: torch.where(condition, x, 0.0),
        "clip": lambda call, x: torch.clamp(x, call.attributes["low"], call.attributes["high"]),
        "cast": lambda call, x: x.to(_dtype(torch, call)),
        "stop_gradient": lambda call, x: x.detach(),
        "is_nan": lambda call, x: torch.isnan(x),
        "is_finite": lambda call, x: torch.isfinite(x),
    }


def _unary(torch: Any) -> Functions:
    names = (
        "sign", "floor", "ceil", "round", "square", "sqrt", "rsqrt", "reciprocal", "exp", "expm1", "log", "log1p",
        "sin", "cos", "tan", "tanh", "erf", "relu", "sigmoid",
    )  # fmt: skip
    found = {name: lambda call, x, f=name: getattr(torch, f)(x) for name in names}
    return {**found, "absolute": lambda call, x: torch.abs(x)}


def _activations(torch: Any) -> Functions:
    functional = torch.nn.functional
    return {
        "leaky_relu": lambda call, x: functional.leaky_relu(x, call.attributes["slope"]),
        "elu": lambda call, x: functional.elu(x, call.attributes["alpha"]),
        "log_sigmoid": lambda call, x: functional.logsigmoid(x),
        "softplus": lambda call, x: functional.softplus(x, call.attributes["beta"], call.attributes["threshold"]),
        "silu": lambda call, x: functional.silu(x),
        "gelu": lambda call, x: functional.gelu(x),
        "gelu_tanh": lambda call, x: functional.gelu(x, approximate="tanh"),
        "gelu_slope": lambda call, x: torch.ops.aten.gelu_backward(torch.ones_like(x), x),
        "gelu_tanh_slope": lambda call, x: torch.ops.aten.gelu_backward(torch.ones_like(x), x, approximate="tanh"),
        "softmax": lambda call, x: torch.softmax(x, call.attributes["axis"]),
        "log_softmax": lambda call, x: torch.log_softmax(x, call.attributes["axis"]),
    }


def _reductions(torch: Any) -> Functions:
    def reduced(function: Callable[..., Any]) -> Callable[..., Any]:
        def call_it(call: Call, x: Any) -> Any:
            return function(x, call.attributes["axes"], keepdim=call.attributes["keepdims"])

        return lambda call, x: call_it(call, x) if call.attributes["axes"] else x

    def var(call: Call, x: Any) -> Any:
        a = call.attributes
        return torch.var(x, a["axes"], correction=a["correction"], keepdim=a["keepdims"])

    return {
        "sum": reduced(torch.sum),
        "mean": reduced(torch.mean),
        "max": reduced(torch.amax),
        "min": reduced(torch.amin),
        "log_sum_exp": reduced(torch.logsumexp),
        "var": var,
        "arg_max": lambda call, x: torch.argmax(x, call.attributes["axis"], keepdim=call.attributes["keepdims"]),
        "arg_min": lambda call, x: torch.argmin(x, call.attributes["axis"], keepdim=call.attributes["keepdims"]),
    }


def _shapes(torch: Any) -> Functions:
    def padded(call: Call, x: Any) -> Any:
        a, (source,) = call.attributes, _shapes_of(call)
        if any(step != 1 for step in a["steps"]):
            raise untranslated(call, "torch")
        pairs = [(s, t - s - n) for s, t, n in zip(a["starts"], a["target"], source, strict=True)]
        flat = [number for pair in reversed(pairs) for number in pair]
        while len(flat) > 2 and flat[-2:] == [0, 0]:  # leading axes that stay as they are
            del flat[-2:]
        return torch.nn.functional.pad(x, flat, value=a["value"])

    return {
        "reshape": lambda call, x: x.reshape(call.attributes["target"]),
        "transpose": lambda call, x: x.permute(call.attributes["axes"]),
        "broadcast_to": lambda call, x: x.expand(call.attributes["target"]),
        "contiguous": lambda call, x: x.contiguous(),
        "concatenate": lambda call, *parts: torch.cat(parts, call.attributes["axis"]),
        "slice": lambda call, x: _sliced(torch, call, x),
        "pad": padded,
    }


def _sliced(torch: Any, call: Call, x: Any) -> Any:
    a, (shape,) = call.attributes, _shapes_of(call)
    index: list[slice] = []
    for axis, (start, step, count, size) in enumerate(
        zip(a["starts"], a["steps"], a["counts"], shape, strict=True),
    ):
        if step < 0:  # torch has no negative steps
            x, start, step = torch.flip(x, (axis,)), size - 1 - start, -step
        whole = start == 0 and step == 1 and count == size
        index.append(slice(None) if whole else slice(start, start + (count - 1) * step + 1 if count else start, step))
    return x[tuple(index)]


def _picking(torch: Any) -> Functions:
    def take(call: Call, x: Any, indices: Any) -> Any:
        shape, places = _shapes_of(call)
        if call.attributes["negative"]:
            indices = torch.remainder(indices, shape[call.attributes["axis"]])
        if call.attributes["axis"] == 0 and len(shape) == 2:
            return torch.nn.functional.embedding(indices, x)
        picked = torch.index_select(x, call.attributes["axis"], indices.reshape(-1))
        return picked.reshape(call.node.type.static_shape) if len(places) != 1 else picked

    def gather(call: Call, x: Any, indices: Any) -> Any:
        if call.attributes["negative"]:
            indices = torch.remainder(indices, _shapes_of(call)[0][call.attributes["axis"]])
        return torch.gather(x, call.attributes["axis"], indices)

    def one_hot(call: Call, indices: Any) -> Any:
        return torch.nn.functional.one_hot(indices, call.attributes["classes"]).to(_dtype(torch, call))

    return {"take": take, "gather": gather, "one_hot": one_hot}


def _windows(torch: Any) -> Functions:
    functional = torch.nn.functional

    def even(call: Call, x: Any, sides: Sides, value: float) -> tuple[Any, tuple[int, int]]:
        """The input and its padding as torch has it: the same on both sides."""
        (top, bottom), (left, right) = sides
        if top == bottom and left == right:
            return x, (top, left)
        return functional.pad(x, (left, right, top, bottom), value=value), (0, 0)

    def convolution(call: Call, x: Any, weight: Any, bias: Any = None) -> Any:
        a = call.attributes
        x, padding = even(call, x, a["padding"], 0.0)
        return functional.conv2d(x, weight, bias, a["stride"], padding, a["dilation"], a["groups"])

    def transposed(call: Call, x: Any, weight: Any) -> Any:
        a, (image, kernel) = call.attributes, _shapes_of(call)
        (top, bottom), (left, right) = a["padding"]
        if top != bottom or left != right:
            raise untranslated(call, "torch")
        reached = [
            (n - 1) * s - 2 * p + d * (k - 1) + 1
            for n, s, p, d, k in zip(image[2:], a["stride"], (top, left), a["dilation"], kernel[2:], strict=True)
        ]
        over = tuple(wanted - size for wanted, size in zip(a["size"], reached, strict=True))
        return functional.conv_transpose2d(x, weight, None, a["stride"], (top, left), over, a["groups"], a["dilation"])

    def max_pool(call: Call, x: Any) -> Any:
        a = call.attributes
        x, padding = even(call, x, a["padding"], -np.inf)
        return functional.max_pool2d(x, a["kernel"], a["stride"], padding, a["dilation"], a["ceil_mode"])

    def mean_pool(call: Call, x: Any) -> Any:
        a = call.attributes
        (top, bottom), (left, right) = a["padding"]
        if top != bottom or left != right:
            raise untranslated(call, "torch")
        counted = (a["count_include_pad"], a["divisor"])
        return functional.avg_pool2d(x, a["kernel"], a["stride"], (top, left), a["ceil_mode"], *counted)

    return {
        "conv2d": convolution,
        "conv2d_input_gradient": transposed,
        "max_pool2d": max_pool,
        "avg_pool2d": mean_pool,
        "adaptive_avg_pool2d": lambda call, x: functional.adaptive_avg_pool2d(x, call.attributes["counts"]),
        "upsample": lambda call, x: functional.interpolate(x, scale_factor=call.attributes["scale"], mode="nearest"),
    }


def _layers(torch: Any) -> Functions:
    functional = torch.nn.functional

    def batch_norm(call: Call, x: Any, weight: Any, bias: Any, mean: Any = None, var: Any = None) -> Any:
        a = call.attributes
        return functional.batch_norm(x, mean, var, weight, bias, a["training"], a.get("momentum", 0.0), a["eps"])

    def group_norm(call: Call, x: Any, weight: Any, bias: Any) -> Any:
        return functional.group_norm(x, call.attributes["groups"], weight, bias, call.attributes["eps"])

    def instance_norm(call: Call, x: Any, weight: Any, bias: Any) -> Any:
        return functional.instance_norm(x, weight=weight, bias=bias, eps=call.attributes["eps"])

    def layer_norm(call: Call, x: Any, weight: Any, bias: Any) -> Any:
        return functional.layer_norm(x, call.attributes["shape"], weight, bias, call.attributes["eps"])

    def standardize(call: Call, x: Any) -> Any:
        a = call.attributes
        centered = x - torch.mean(x, a["axes"], keepdim=True)
        return centered * torch.rsqrt(torch.var(x, a["axes"], correction=0, keepdim=True) + a["eps"])

    def attention(call: Call, q: Any, k: Any, v: Any, mask: Any) -> Any:
        a = call.attributes
        return functional.scaled_dot_product_attention(q, k, v, mask, is_causal=a["causal"], scale=a["scale"])

    return {
        "linear": lambda call, x, weight, bias: functional.linear(x, weight, bias),
        "batch_norm": batch_norm,
        "group_norm": group_norm,
        "instance_norm": instance_norm,
        "layer_norm": layer_norm,
        "standardize": standardize,
        "attention": attention,
    }


def _losses(torch: Any) -> Functions:
    functional = torch.nn.functional

    def mean_cross_entropy(call: Call, x: Any, labels: Any) -> Any:
        a, (shape, _) = call.attributes, _shapes_of(call)
        if a["flatten"]:
            x, labels = x.reshape(-1, shape[-1]), labels.reshape(-1)
        return functional.cross_entropy(x, labels, ignore_index=a["ignore_index"], label_smoothing=a["label_smoothing"])

    def each(call: Call, x: Any, labels: Any) -> Any:
        a = call.attributes
        options = {"ignore_index": a["ignore_index"], "label_smoothing": a["label_smoothing"]}
        return functional.cross_entropy(x, labels, reduction="none", **options)

    return {"mean_cross_entropy": mean_cross_entropy, "softmax_cross_entropy": each}


def _dtype(torch: Any, call: Call) -> Any:
    return getattr(torch, call.node.dtype.name)


def _shapes_of(call: Call) -> Sequence[tuple[int, ...]]:
    """The shapes of a call's inputs, those left out left out."""
    return [value.type.static_shape for value in call.inputs if value is not None]
