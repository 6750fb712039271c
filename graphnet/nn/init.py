"""Initial values, drawn once on the host when a layer is made. Formulas, names and defaults are PyTorch's.

One generator serves them all; `gn.manual_seed` starts it anew, and until then it has a fixed seed: the same program
gives the same weights on every run. Values are drawn in float64 and rounded to the parameter's dtype, so that a
float32 and a float64 model start from the same numbers.
"""

from __future__ import annotations

import math

import numpy as np

from graphnet.errors import ArgumentError
from graphnet.ops.random import host_generator
from graphnet.ops.sources import Parameter

_GAINS = {
    "linear": 1.0,
    "conv1d": 1.0,
    "conv2d": 1.0,
    "sigmoid": 1.0,
    "tanh": 5 / 3,
    "relu": math.sqrt(2),
    "selu": 0.75,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps the variance of activations through `nonlinearity`; `param` is leaky_relu's slope."""
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    if nonlinearity not in _GAINS:
        raise ArgumentError(f"calculate_gain: expected one of leaky_relu, {', '.join(_GAINS)}, got {nonlinearity!r}")
    return _GAINS[nonlinearity]


def uniform_(tensor: Parameter, a: float = 0.0, b: float = 1.0) -> Parameter:
    """Fill with values uniform in [a, b)."""
    return _fill(tensor, host_generator().uniform(a, b, tensor.type.static_shape))


def normal_(tensor: Parameter, mean: float = 0.0, std: float = 1.0) -> Parameter:
    """Fill with values from the normal distribution."""
    return _fill(tensor, host_generator().normal(mean, std, tensor.type.static_shape))


def constant_(tensor: Parameter, val: float) -> Parameter:
    """Fill with one value."""
    return _fill(tensor, np.full(tensor.type.static_shape, val, dtype=np.float64))


def zeros_(tensor: Parameter) -> Parameter:
    """Fill with 0."""
    return constant_(tensor, 0.0)


def ones_(tensor: Parameter) -> Parameter:
    """Fill with 1."""
    return constant_(tensor, 1.0)


def xavier_uniform_(tensor: Parameter, gain: float = 1.0) -> Parameter:
    """Uniform in ±gain * sqrt(6 / (fan_in + fan_out)): Glorot and Bengio, 2010."""
    bound = gain * math.sqrt(6 / sum(fans(tensor)))
    return uniform_(tensor, -bound, bound)


def xavier_normal_(tensor: Parameter, gain: float = 1.0) -> Parameter:
    """Normal with standard deviation gain * sqrt(2 / (fan_in + fan_out)): Glorot and Bengio, 2010."""
    return normal_(tensor, 0.0, gain * math.sqrt(2 / sum(fans(tensor))))


def kaiming_uniform_(
    tensor: Parameter, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Parameter:
    """Uniform in ±gain * sqrt(3 / fan): He et al., 2015. `a` is the negative slope of leaky_relu."""
    bound = math.sqrt(3) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound)


def kaiming_normal_(
    tensor: Parameter, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Parameter:
    """Normal with standard deviation gain / sqrt(fan): He et al., 2015. `a` is the negative slope of leaky_relu."""
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity))


def _kaiming_std(tensor: Parameter, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ArgumentError(f"kaiming initialisation: mode must be 'fan_in' or 'fan_out', got {mode!r}")
    fan = fans(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def fans(tensor: Parameter) -> tuple[int, int]:
    """How many inputs one output sees, and how many outputs one input reaches, for an (out, in, *kernel) weight."""
    shape = tensor.type.static_shape
    if len(shape) < 2:
        raise ArgumentError(f"fan in and fan out need a weight of 2 or more axes, got {tensor.name!r} of shape {shape}")
    receptive = math.prod(shape[2:])
    return shape[1] * receptive, shape[0] * receptive


def _fill(tensor: Parameter, values: np.ndarray) -> Parameter:
    tensor.set_value(values)
    return tensor
