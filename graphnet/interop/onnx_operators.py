"""What ONNX has for each op of a declared graph, and for each form of `interop.recognition`, in opset 20."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from graphnet.interop.recognition import Call, untranslated
from graphnet.ops.activations import GELU_IS_LINEAR
from graphnet.ops.windows import Sides

Operator: TypeAlias = Callable[..., str]


class Builder:
    """The nodes and initializers of a graph in the making; values are known by name."""

    def __init__(self, helper: Any, numpy_helper: Any) -> None:
        self._helper, self._numpy_helper = helper, numpy_helper
        self._taken: set[str] = set()
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def reserved(self, wanted: str) -> str:
        """`wanted`, or where it is taken a name like it, from now on taken."""
        name, number = wanted, 1
        while name in self._taken:
            name, number = f"{wanted}_{number}", number + 1
        self._taken.add(name)
        return name

    def initializer(self, array: np.ndarray, wanted: str) -> str:
        """The name of a value that is part of the model."""
        name = self.reserved(wanted)
        array = np.ascontiguousarray(array).reshape(array.shape)
        self.initializers.append(self._numpy_helper.from_array(array, name))
        return name

    def constant(self, value: Any, dtype: Any = np.int64) -> str:
        """The name of a small value; equal ones are one."""
        array = np.asarray(value, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = self.initializer(array, "constant")
        return self._constants[key]

    def node(self, kind: str, *inputs: str | None, **attributes: Any) -> str:
        """The name of what an operator gives; inputs left out are None."""
        names = ["" if name is None else name for name in inputs]
        while names and not names[-1]:
            names.pop()
        output = self.reserved(kind.lower())
        self.nodes.append(self._helper.make_node(kind, names, [output], **attributes))
        return output


def _shapes_of(call: Call) -> Sequence[tuple[int, ...]]:
    return [value.type.static_shape for value in call.inputs if value is not None]


def _plain(kind: str) -> Operator:
    return lambda b, call, *values: b.node(kind, *values)


def _reduced(kind: str) -> Operator:
    def call_it(b: Builder, call: Call, x: str) -> str:
        a = call.attributes
        return b.node(kind, x, b.constant(a["axes"]), keepdims=int(a["keepdims"])) if a["axes"] else x

    return call_it


def _number(b: Builder, call: Call, value: float) -> str:
    return b.constant(value, call.node.dtype)


def _cast(b: Builder, call: Call, x: str) -> str:
    return b.node("Cast", x, to=b._helper.np_dtype_to_tensor_dtype(call.node.dtype))


def _sum(b: Builder, call: Call, x: str) -> str:
    (value,) = (value for value in call.inputs if value is not None)
    return _reduced("ReduceSum")(b, call, x if value.dtype == call.node.dtype else _cast(b, call, x))


def _var(b: Builder, call: Call, x: str) -> str:
    a, (shape,) = call.attributes, _shapes_of(call)
    count = int(np.prod([shape[axis] for axis in a["axes"]]))
    axes = b.constant(a["axes"])
    centered = b.node("Sub", x, b.node("ReduceMean", x, axes, keepdims=1))
    squares = b.node("ReduceSum", b.node("Mul", centered, centered), axes, keepdims=int(a["keepdims"]))
    return b.node("Div", squares, _number(b, call, max(count - a["correction"], 0)))


def _standardize(b: Builder, call: Call, x: str) -> str:
    axes = b.constant(call.attributes["axes"])
    centered = b.node("Sub", x, b.node("ReduceMean", x, axes, keepdims=1))
    var = b.node("ReduceMean", b.node("Mul", centered, centered), axes, keepdims=1)
    return b.node("Div", centered, b.node("Sqrt", b.node("Add", var, _number(b, call, call.attributes["eps"]))))


def _slice(b: Builder, call: Call, x: str) -> str:
    a = call.attributes
    ends = []
    for start, step, count in zip(a["starts"], a["steps"], a["counts"], strict=True):
        end = start + step * count
        ends.append(end if end >= 0 else np.iinfo(np.int64).min)  # past the beginning, backwards
    axes = range(len(ends))
    return b.node("Slice", x, *(b.constant(list(part)) for part in (a["starts"], ends, axes, a["steps"])))


def _pad(b: Builder, call: Call, x: str) -> str:
    a, (shape,) = call.attributes, _shapes_of(call)
    if any(step != 1 for step in a["steps"]):
        raise untranslated(call, "ONNX")
    after = [t - s - n for s, t, n in zip(a["starts"], a["target"], shape, strict=True)]
    return b.node("Pad", x, b.constant([*a["starts"], *after]), _number(b, call, a["value"]), mode="constant")


def _pads(sides: Sides) -> list[int]:
    (top, bottom), (left, right) = sides
    return [top, left, bottom, right]


def _conv(b: Builder, call: Call, x: str, weight: str, bias: str | None = None) -> str:
    a, kernel = call.attributes, _shapes_of(call)[1][2:]
    geometry = {"strides": list(a["stride"]), "dilations": list(a["dilation"]), "pads": _pads(a["padding"])}
    return b.node("Conv", x, weight, bias, kernel_shape=list(kernel), group=a["groups"], **geometry)


def _transposed(b: Builder, call: Call, x: str, weight: str) -> str:
    a, (image, kernel) = call.attributes, _shapes_of(call)
    (top, bottom), (left, right) = a["padding"]
    over = [
        wanted - ((n - 1) * s - before - after + d * (k - 1) + 1)
        for wanted, n, s, before, after, d, k in zip(
            a["size"], image[2:], a["stride"], (top, left), (bottom, right), a["dilation"], kernel[2:], strict=True
        )
    ]
    geometry = {"strides": list(a["stride"]), "dilations": list(a["dilation"]), "pads": _pads(a["padding"])}
    options = {"kernel_shape": list(kernel[2:]), "group": a["groups"], "output_padding": over}
    return b.node("ConvTranspose", x, weight, **geometry, **options)


def _max_pool(b: Builder, call: Call, x: str) -> str:
    a = call.attributes
    geometry = {"strides": list(a["stride"]), "dilations": list(a["dilation"]), "pads": _pads(a["padding"])}
    return b.node("MaxPool", x, kernel_shape=list(a["kernel"]), ceil_mode=int(a["ceil_mode"]), **geometry)


def _mean_pool(b: Builder, call: Call, x: str) -> str:
    a = call.attributes
    if a["divisor"] is not None:
        raise untranslated(call, "ONNX")
    geometry = {"strides": list(a["stride"]), "pads": _pads(a["padding"])}
    counted = {"ceil_mode": int(a["ceil_mode"]), "count_include_pad": int(a["count_include_pad"])}
    return b.node("AveragePool", x, kernel_shape=list(a["kernel"]), **geometry, **counted)


def _adaptive(b: Builder, call: Call, x: str) -> str:
    (shape,), counts = _shapes_of(call), call.attributes["counts"]
    if tuple(counts) == (1, 1):
        return b.node("GlobalAveragePool", x)
    if any(size % count for size, count in zip(shape[2:], counts, strict=True)):
        raise untranslated(call, "ONNX")
    kernel = [size // count for size, count in zip(shape[2:], counts, strict=True)]
    return b.node("AveragePool", x, kernel_shape=kernel, strides=kernel)


def _upsample(b: Builder, call: Call, x: str) -> str:
    scales = b.constant([1.0, 1.0, *call.attributes["scale"]], np.float32)
    rounding = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return b.node("Resize", x, None, scales, mode="nearest", **rounding)


def _linear(b: Builder, call: Call, x: str, weight: str, bias: str | None) -> str:
    if len(_shapes_of(call)[0]) == 2:
        return b.node("Gemm", x, weight, bias, transB=1)
    product = b.node("MatMul", x, b.node("Transpose", weight, perm=[1, 0]))
    return product if bias is None else b.node("Add", product, bias)


def _batch_norm(b: Builder, call: Call, x: str, weight: str | None, bias: str | None, mean: str, var: str) -> str:
    channels = _shapes_of(call)[0][1]
    scale = weight or b.constant(np.ones(channels), call.node.dtype)
    shift = bias or b.constant(np.zeros(channels), call.node.dtype)
    return b.node("BatchNormalization", x, scale, shift, mean, var, epsilon=call.attributes["eps"])


def _layer_norm(b: Builder, call: Call, x: str, weight: str | None, bias: str | None) -> str:
    shape = call.attributes["shape"]
    scale = weight or b.constant(np.ones(shape), call.node.dtype)
    return b.node("LayerNormalization", x, scale, bias, axis=-len(shape), epsilon=call.attributes["eps"])


def _arg(kind: str) -> Operator:
    return lambda b, call, x: b.node(kind, x, axis=call.attributes["axis"], keepdims=int(call.attributes["keepdims"]))


def _along(kind: str) -> Operator:
    return lambda b, call, x: b.node(kind, x, axis=call.attributes["axis"])


def _clip(b: Builder, call: Call, x: str) -> str:
    bounds = (call.attributes[side] for side in ("low", "high"))
    return b.node("Clip", x, *(None if bound is None else _number(b, call, bound) for bound in bounds))


def _softplus(b: Builder, call: Call, x: str) -> str:
    if call.attributes["beta"] != 1:
        raise untranslated(call, "ONNX")
    return b.node("Softplus", x)


def _gelu_slope(b: Builder, call: Call, x: str) -> str:
    """Phi(x) + x * phi(x), as in `activations.GeluSlope`."""
    half = _number(b, call, 0.5)
    error = b.node("Erf", b.node("Mul", x, _number(b, call, math.sqrt(0.5))))
    distribution = b.node("Add", b.node("Mul", error, half), half)
    bell = b.node("Exp", b.node("Mul", b.node("Mul", x, x), _number(b, call, -0.5)))
    density = b.node("Mul", bell, _number(b, call, 1 / math.sqrt(2 * math.pi)))
    return b.node("Add", distribution, b.node("Mul", x, density))


def _gelu_tanh_slope(b: Builder, call: Call, x: str) -> str:
    """(1 + t) / 2 + x / 2 * (1 - t^2) * u', as in `activations.GeluTanhSlope`."""
    root, one, half = math.sqrt(2 / math.pi), _number(b, call, 1), _number(b, call, 0.5)
    near = b.node("Clip", x, _number(b, call, -GELU_IS_LINEAR), _number(b, call, GELU_IS_LINEAR))
    cubic = b.node("Mul", b.node("Mul", near, near), _number(b, call, root * 0.044715))
    bent = b.node("Tanh", b.node("Mul", near, b.node("Add", cubic, _number(b, call, root))))
    slope = b.node("Add", b.node("Mul", cubic, _number(b, call, 3)), _number(b, call, root))
    rest = b.node("Mul", b.node("Sub", one, b.node("Mul", bent, bent)), b.node("Mul", near, slope))
    return b.node("Mul", half, b.node("Add", b.node("Add", bent, one), rest))


OPERATORS: dict[str, Operator] = {
    **{name: _plain(kind) for name, kind in {
        "add": "Add", "subtract": "Sub", "multiply": "Mul", "divide": "Div", "negative": "Neg", "absolute": "Abs",
        "sign": "Sign", "floor": "Floor", "ceil": "Ceil", "round": "Round", "sqrt": "Sqrt", "reciprocal": "Reciprocal",
        "exp": "Exp", "log": "Log", "sin": "Sin", "cos": "Cos", "tan": "Tan", "tanh": "Tanh", "erf": "Erf",
        "relu": "Relu", "sigmoid": "Sigmoid", "equal": "Equal", "less": "Less", "less_equal": "LessOrEqual",
        "greater": "Greater", "greater_equal": "GreaterOrEqual", "logical_and": "And", "logical_or": "Or",
        "logical_xor": "Xor", "logical_not": "Not", "where": "Where", "maximum": "Max", "minimum": "Min",
        "matmul": "MatMul", "stop_gradient": "Identity", "contiguous": "Identity", "is_nan": "IsNaN",
        "power": "Pow",
    }.items()},
    "not_equal": lambda b, call, x, y: b.node("Not", b.node("Equal", x, y)),
    "keep": lambda b, call, condition, x: b.node("Where", condition, x, _number(b, call, 0)),
    "square": lambda b, call, x: b.node("Mul", x, x),
    "rsqrt": lambda b, call, x: b.node("Reciprocal", b.node("Sqrt", x)),
    "gelu": lambda b, call, x: b.node("Gelu", x),
    "gelu_tanh": lambda b, call, x: b.node("Gelu", x, approximate="tanh"),
    "gelu_slope": _gelu_slope,
    "gelu_tanh_slope": _gelu_tanh_slope,
    "silu": lambda b, call, x: b.node("Mul", x, b.node("Sigmoid", x)),
    "leaky_relu": lambda b, call, x: b.node("LeakyRelu", x, alpha=call.attributes["slope"]),
    "elu": lambda b, call, x: b.node("Elu", x, alpha=call.attributes["alpha"]),
    "softplus": _softplus,
    "log_sigmoid": lambda b, call, x: b.node("Neg", b.node("Softplus", b.node("Neg", x))),
    "softmax": _along("Softmax"),
    "log_softmax": _along("LogSoftmax"),
    "sum": _sum,
    "mean": _reduced("ReduceMean"),
    "max": _reduced("ReduceMax"),
    "min": _reduced("ReduceMin"),
    "log_sum_exp": _reduced("ReduceLogSumExp"),
    "var": _var,
    "arg_max": _arg("ArgMax"),
    "arg_min": _arg("ArgMin"),
    "cast": _cast,
    "clip": _clip,
    "reshape": lambda b, call, x: b.node("Reshape", x, b.constant(list(call.attributes["target"])), allowzero=1),
    "transpose": lambda b, call, x: b.node("Transpose", x, perm=list(call.attributes["axes"])),
    "broadcast_to": lambda b, call, x: b.node("Expand", x, b.constant(list(call.attributes["target"]))),
    "concatenate": lambda b, call, *parts: b.node("Concat", *parts, axis=call.attributes["axis"]),
    "slice": _slice,
    "pad": _pad,
    "take": lambda b, call, x, indices: b.node("Gather", x, indices, axis=call.attributes["axis"]),
    "gather": lambda b, call, x, indices: b.node("GatherElements", x, indices, axis=call.attributes["axis"]),
    "conv2d": _conv,
    "conv2d_input_gradient": _transposed,
    "max_pool2d": _max_pool,
    "avg_pool2d": _mean_pool,
    "adaptive_avg_pool2d": _adaptive,
    "upsample": _upsample,
    "linear": _linear,
    "batch_norm": _batch_norm,
    "layer_norm": _layer_norm,
    "standardize": _standardize,
}  # fmt: skip
"""By name of op or form: functions of a builder, a call and the names of its inputs, that give the result's name."""
