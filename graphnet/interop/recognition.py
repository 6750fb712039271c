"""A declared graph as calls that other libraries have: layers that a graph spells out in several ops found again.

A library is treated fairly only where it may call the one function that its own users would: `linear` for a product,
a transposition and a sum, `batch_norm` for a standardization, a scale and a shift. Each form below looks at a node
and says which call gives it, from which earlier nodes; what lies between is computed only where somebody else asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from graphnet.errors import ArgumentError
from graphnet.graph.node import Node
from graphnet.graph.traversal import topological
from graphnet.ops.comparison import NotEqual
from graphnet.ops.convolution import Conv2d
from graphnet.ops.elementwise import Add, Divide, Multiply, Subtract
from graphnet.ops.evaluate import evaluate
from graphnet.ops.layout import Transpose
from graphnet.ops.linear import Matmul
from graphnet.ops.normalization import Standardize
from graphnet.ops.random import Uniform
from graphnet.ops.reductions import Softmax
from graphnet.ops.shaping import Cast, Reshape
from graphnet.ops.shaping import Sum as SumOf
from graphnet.ops.softmax_cross_entropy import SoftmaxCrossEntropy
from graphnet.ops.sources import Constant, Input, SizeOf, Stored
from graphnet.ops.unary import Negative, Rsqrt


@dataclass(frozen=True)
class Call:
    """`node` is what the function `name` gives for `inputs`, some of which may be left out (None).

    name: of an op, or of a form that stands for several. attributes: the op's fields, or the form's arguments.
    """

    name: str
    node: Node
    inputs: tuple[Node | None, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)


Form: TypeAlias = Callable[[Node], "Call | None"]
Translations: TypeAlias = "Mapping[str, Callable[..., Any]]"


def calls(roots: Iterable[Node], forms: Sequence[Form]) -> list[Call]:
    """What gives `roots`, inputs first; the first of `forms` that knows a node says how, else its own op does.

    Types must be static. What depends on no input and no parameter is worked out here: a call named "constant" whose
    attribute `value` is the array. Inputs and parameters are calls named "input" and "stored".
    """
    wanted = list(roots)
    fixed = _fixed(wanted)
    found: dict[Node, Call] = {}
    order: list[Call] = []
    stack: list[tuple[Node, bool]] = [(node, False) for node in reversed(wanted)]
    done: set[Node] = set()
    while stack:
        node, ready = stack.pop()
        if node in done:
            continue
        if ready:
            done.add(node)
            order.append(found[node])
            continue
        call = found[node] = _call(node, forms, fixed)
        stack.append((node, True))
        stack.extend((value, False) for value in reversed(call.inputs) if value is not None and value not in done)
    return order


def translated(order: Sequence[Call], table: Translations, library: str, given: dict[Node, Any]) -> dict[Node, Any]:
    """The value of each call by the function that `table` has under its name; `given` holds those known before.

    Raises `ArgumentError`, which names the op and the line that declared it, for one without a translation.
    """
    for call in order:
        if call.node in given:
            continue
        function = table.get(call.name)
        if function is None:
            raise untranslated(call, library)
        given[call.node] = function(call, *(None if value is None else given[value] for value in call.inputs))
    return given


def untranslated(call: Call, library: str) -> ArgumentError:
    """The error for an op that another library cannot be asked for."""
    why = ""
    if isinstance(call.node.op, Uniform):
        why = ": random numbers differ between libraries, so results could not be compared (leave dropout out)"
    return ArgumentError(
        f"the op {call.name} has no translation to {library}{why}\n  declared at {call.node.provenance.location}"
    )


def _fixed(roots: Sequence[Node]) -> set[Node]:
    """The nodes that depend on no input, no parameter and no random number."""
    fixed: set[Node] = set()
    for node in topological(roots):
        if not isinstance(node.op, (Input, Stored)) and all(value in fixed for value in node.inputs):
            fixed.add(node)
    return fixed


def _call(node: Node, forms: Sequence[Form], fixed: set[Node]) -> Call:
    if node in fixed:
        return Call("constant", node, (), {"value": value_of(node)})
    for form in forms:
        call = form(node)
        if call is not None:
            return call
    return Call(node.op.name, node, node.inputs, node.op.attributes)


def value_of(node: Node) -> np.ndarray:
    """The value of a node that depends on nothing but constants and sizes."""
    if isinstance(node.op, Constant):
        return node.op.value
    return np.asarray(evaluate([node], {})[0])


def known(node: Node) -> float | None:
    """The number that a scalar stands for, where it depends on nothing but constants and sizes."""
    if node.shape != () or any(not isinstance(n.op, (Constant, SizeOf)) for n in topological([node]) if not n.inputs):
        return None
    return float(value_of(node))


# -- forms: each looks at one node -----------------------------------------------------------------------------------


def linear(node: Node) -> Call | None:
    """reshape(flat(x) @ W^T) + b is linear(x, W, b), with or without the reshaping and the bias."""
    for product, bias in _sums(node):
        if bias is not None and bias.ndim != 1:
            continue
        matrix = product.inputs[0] if isinstance(product.op, Reshape) else product
        if not isinstance(matrix.op, Matmul) or matrix.ndim != 2:
            continue
        x, turned = matrix.inputs
        if not _is_transpose(turned, (1, 0)):
            continue
        if product is not matrix:
            rows = product.shape[:-1]
            source = x.inputs[0] if isinstance(x.op, Reshape) else x
            if source.shape != (*rows, x.shape[-1]) or product.shape[-1] != matrix.shape[-1]:
                continue
            x = source
        return Call("linear", node, (x, turned.inputs[0], bias))
    return None


def convolution(node: Node) -> Call | None:
    """conv2d(x, w) + bias of each channel is one call."""
    for product, bias in _sums(node):
        if isinstance(product.op, Conv2d):
            vector = None if bias is None else _per_channel(bias, node)
            if bias is None or vector is not None:
                return Call("conv2d", node, (*product.inputs, vector), product.op.attributes)
    return None


def normalization(node: Node) -> Call | None:
    """A standardization, a scale and a shift, as the layer whose axes they have: batch, layer, group or instance."""
    for scaled, shift in _sums(node):
        for y, scale in _products(scaled):
            call = _normalization(node, y, scale, shift)
            if call is not None:
                return call
    return None


def layer_normalization(node: Node) -> Call | None:
    """`normalization`, where it is over the last axes."""
    call = normalization(node)
    return call if call is not None and call.name == "layer_norm" else None


def _normalization(node: Node, y: Node, scale: Node | None, shift: Node | None) -> Call | None:
    group = isinstance(y.op, Reshape) and isinstance(y.inputs[0].op, Standardize)
    inner = y.inputs[0] if group else y
    if not isinstance(inner.op, Standardize):
        return None
    (x,), axes, attributes = inner.inputs, inner.op.axes, {"eps": inner.op.eps}
    if group:
        source = x.inputs[0] if isinstance(x.op, Reshape) else x
        shape, groups = source.shape, x.shape[1] if x.ndim > 1 else 0
        regrouped = (shape[0], groups, x.shape[2] if x.ndim > 2 else 0, *shape[2:]) == x.shape
        if source.shape != y.shape or not regrouped or axes != tuple(range(2, x.ndim)):
            return None
        return _with_affine("group_norm", node, source, scale, shift, {**attributes, "groups": groups})
    last = tuple(range(x.ndim - len(axes), x.ndim))
    if axes == (0, *range(2, x.ndim)):
        return _with_affine("batch_norm", node, x, scale, shift, {**attributes, "training": True})
    if axes == last and all(vector is None or vector.shape == x.shape[-len(axes) :] for vector in (scale, shift)):
        return Call("layer_norm", node, (x, scale, shift), {**attributes, "shape": x.shape[-len(axes) :]})
    if x.ndim > 2 and axes == tuple(range(2, x.ndim)):
        return _with_affine("instance_norm", node, x, scale, shift, attributes)
    return None


def _with_affine(
    name: str, node: Node, x: Node, scale: Node | None, shift: Node | None, attributes: dict[str, Any]
) -> Call | None:
    vectors = [None if value is None else _per_channel(value, node) for value in (scale, shift)]
    if any(v is None and value is not None for v, value in zip(vectors, (scale, shift), strict=True)):
        return None
    return Call(name, node, (x, *vectors), attributes)


def evaluated_batch_norm(node: Node) -> Call | None:
    """x * scale + shift with scale = w / sqrt(var + eps) and shift = b - mean * scale: `batch_norm` in evaluation.

    Inputs: x, w, b, mean, var.
    """
    if not isinstance(node.op, Add):
        return None
    for product, offset in (node.inputs, node.inputs[::-1]):
        shift = _per_channel(offset, node)
        for x, factor in _products(product):
            scale = None if factor is None else _per_channel(factor, node)
            if shift is None or scale is None or x.shape != node.shape:
                continue
            found = _scale_of_running(scale)
            moved = None if found is None else _shift_of_running(shift, scale)
            if found is not None and moved is not None:
                (weight, var, eps), (bias, mean) = found, moved
                return Call("batch_norm", node, (x, weight, bias, mean, var), {"training": False, "eps": eps})
    return None


def _scale_of_running(scale: Node) -> tuple[Node | None, Node, float] | None:
    """(w, var, eps) of w * rsqrt(var + eps)."""
    for root, weight in _products(scale):
        if isinstance(root.op, Rsqrt) and isinstance(root.inputs[0].op, Add):
            for var, small in (root.inputs[0].inputs, root.inputs[0].inputs[::-1]):
                eps = known(small)
                if eps is not None:
                    return weight, var, eps
    return None


def _shift_of_running(shift: Node, scale: Node) -> tuple[Node | None, Node] | None:
    """(b, mean) of b - mean * scale, or of -mean * scale."""
    bias, moved = (shift.inputs[0], shift.inputs[1]) if isinstance(shift.op, Subtract) else (None, shift)
    for mean, factor in _products(moved):
        if factor is scale:
            if bias is not None:
                return bias, mean
            if isinstance(mean.op, Negative):
                return None, mean.inputs[0]
    return None


def attention(node: Node) -> Call | None:
    """softmax((q @ k^T) * scale + mask) @ v. Inputs: q, k, v, mask; `causal` says that the mask was the causal one."""
    if not isinstance(node.op, Matmul) or node.ndim < 3 or not isinstance(node.inputs[0].op, Softmax):
        return None
    weights, v = node.inputs
    if weights.op.attributes["axis"] != weights.ndim - 1:
        return None
    for scores, mask in _sums(weights.inputs[0]):
        for product, factor in _products(scores):
            scale = None if factor is None else known(factor)
            if scale is None or not isinstance(product.op, Matmul):
                continue
            q, turned = product.inputs
            axes = (*range(turned.ndim - 2), turned.ndim - 1, turned.ndim - 2)
            if _is_transpose(turned, axes) and q.ndim == turned.ndim == v.ndim:
                causal = mask is not None and _is_causal(mask)
                inputs = (q, turned.inputs[0], v, None if causal else mask)
                return Call("attention", node, inputs, {"scale": scale, "causal": causal})
    return None


def mean_cross_entropy(node: Node) -> Call | None:
    """The mean of cross-entropies over the labels that are not ignored. Inputs: logits (N, C), labels (N,).

    Logits with more axes are brought into that form by `turned` (the order of their axes) before they are flattened.
    """
    if not isinstance(node.op, Divide) or not all(isinstance(side.op, SumOf) for side in node.inputs):
        return None
    losses, counted = (side.inputs[0] for side in node.inputs)
    if node.shape != () or not isinstance(losses.op, SoftmaxCrossEntropy) or not isinstance(counted.op, Cast):
        return None
    x, labels = losses.inputs
    compared, ignored = counted.inputs[0], losses.op.ignore_index
    if not isinstance(compared.op, NotEqual) or compared.inputs[0] is not labels:
        return None
    if known(compared.inputs[1]) != ignored:
        return None
    attributes = {"ignore_index": ignored, "label_smoothing": losses.op.label_smoothing}
    last_to_second = (0, x.ndim - 1, *range(1, x.ndim - 1))
    if x.ndim > 2 and _is_transpose(x, last_to_second):
        return Call("mean_cross_entropy", node, (x.inputs[0], labels), {**attributes, "flatten": True})
    return Call("mean_cross_entropy", node, (x, labels), {**attributes, "flatten": False})


def running_statistics(update: Node) -> tuple[Node, str, float] | None:
    """(x, "mean" or "var", momentum) of the assignment running <- (1 - momentum) running + momentum statistic(x)."""
    target, value = update.inputs
    if not isinstance(value.op, Add):
        return None
    for old, new in (value.inputs, value.inputs[::-1]):
        kept = [known(f) for t, f in _products(old) if t is target and f is not None]
        for statistic, factor in _products(new):
            momentum = None if factor is None else known(factor)
            if not kept or kept[0] is None or momentum is None or abs(kept[0] + momentum - 1) > 1e-6:
                continue
            found = _statistic(statistic)
            if found is not None:
                return (*found, momentum)
    return None


def _statistic(node: Node) -> tuple[Node, str] | None:
    """(x, "mean" or "var"), the variance being the unbiased one, over all axes but the second."""
    inner = node.inputs[0] if isinstance(node.op, Reshape) else node
    for part, factor in _products(inner):
        if part.op.name not in ("mean", "var"):
            continue
        (x,) = part.inputs
        axes = part.op.attributes["axes"]
        if axes != (0, *range(2, x.ndim)):
            return None
        count = float(np.prod([size for axis, size in enumerate(x.type.static_shape) if axis in axes]))
        given = None if factor is None else known(factor)
        if part.op.name == "mean" and factor is None:
            return x, "mean"
        if part.op.name == "var" and given is not None and part.op.attributes["correction"] == 0:
            return (x, "var") if abs(given - count / (count - 1)) < 1e-5 else None
    return None


# -- what forms are made of ------------------------------------------------------------------------------------------


def _sums(node: Node) -> list[tuple[Node, Node | None]]:
    """`node` as something and a term added to it, whichever is which; and as itself, nothing added."""
    found: list[tuple[Node, Node | None]] = [(node, None)]
    if isinstance(node.op, Add):
        a, b = node.inputs
        found = [*((p, q) for p, q in ((a, b), (b, a)) if p.shape == node.shape), *found]
    return found


def _products(node: Node) -> list[tuple[Node, Node | None]]:
    """`node` as something and a factor of it, whichever is which; and as itself."""
    found: list[tuple[Node, Node | None]] = [(node, None)]
    if isinstance(node.op, Multiply):
        a, b = node.inputs
        found = [*((p, q) for p, q in ((a, b), (b, a)) if p.shape == node.shape), *found]
    return found


def _per_channel(value: Node, node: Node) -> Node | None:
    """The vector that `value` lays along axis 1 of `node`."""
    channels = node.shape[1] if node.ndim > 1 else None
    if value.shape == (channels,) and node.ndim == 2:
        return value
    if isinstance(value.op, Reshape) and value.shape == (channels, *[1] * (node.ndim - 2)):
        return value.inputs[0] if value.inputs[0].shape == (channels,) else None
    return None


def _is_transpose(node: Node, axes: tuple[int, ...]) -> bool:
    return isinstance(node.op, Transpose) and node.op.axes == axes


def _is_causal(mask: Node) -> bool:
    """Whether it is 0 on and below the diagonal and -inf above."""
    if not isinstance(mask.op, Constant) or mask.ndim < 2 or mask.type.static_size != np.prod(mask.op.value.shape[-2:]):
        return False
    rows, columns = mask.op.value.shape[-2:]
    value = mask.op.value.reshape(rows, columns)
    return bool(np.array_equal(value, np.where(np.tri(rows, columns, dtype=bool), 0.0, -np.inf)))
