"""Initial values, drawn once on the host when a layer is made. Formulas, names and defaults are PyTorch's.

One generator serves them all; `gn.manual_seed` starts it anew, and until then it has a fixed seed: the same program
gives the same weights on every run. Values are drawn in float64 and rounded to the parameter's dtype, so that a
float32 and a float64 model start from the same numbers.
"""

from __future__ import annotations

import math

import numpy as np

from graphnet.errors import ArgumentError
from graphnet.nn.arguments import fraction, number, positive
from graphnet.ops.random import host_generator
from graphnet.ops.sources import Parameter

_GAINS = {
    "linear": 1.0,
    "conv1d": 1.0,
    "conv2d": 1.0,
    "conv3d": 1.0,
    "conv_transpose1d": 1.0,
    "conv_transpose2d": 1.0,
    "conv_transpose3d": 1.0,
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
    shape = _shape(tensor, "uniform_")
    if not number("uniform_", "a", a) <= number("uniform_", "b", b):
        raise ArgumentError(f"uniform_: a={a!r} must not be above b={b!r}")
    return _fill(tensor, host_generator().uniform(a, b, shape))


def normal_(tensor: Parameter, mean: float = 0.0, std: float = 1.0) -> Parameter:
    """Fill with values from the normal distribution."""
    shape = _shape(tensor, "normal_")
    return _fill(
        tensor, host_generator().normal(number("normal_", "mean", mean), number("normal_", "std", std, least=0), shape)
    )


def trunc_normal_(tensor: Parameter, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0) -> Parameter:
    """Fill with values from the normal distribution, given that they lie in [a, b]."""
    shape = _shape(tensor, "trunc_normal_")
    number("trunc_normal_", "mean", mean)
    if number("trunc_normal_", "std", std) <= 0:
        raise ArgumentError(f"trunc_normal_: std must be positive, got {std!r}")
    if not number("trunc_normal_", "a", a) < number("trunc_normal_", "b", b):
        raise ArgumentError(f"trunc_normal_: a={a!r} must be below b={b!r}")
    drawn = _truncated((a - mean) / std, (b - mean) / std, math.prod(shape))
    return _fill(tensor, np.clip(drawn * std + mean, a, b).reshape(shape))


def constant_(tensor: Parameter, val: float) -> Parameter:
    """Fill with one value."""
    shape = _shape(tensor, "constant_")
    return _fill(tensor, np.full(shape, number("constant_", "val", val), dtype=np.float64))


def zeros_(tensor: Parameter) -> Parameter:
    """Fill with 0."""
    return constant_(tensor, 0.0)


def ones_(tensor: Parameter) -> Parameter:
    """Fill with 1."""
    return constant_(tensor, 1.0)


def eye_(tensor: Parameter) -> Parameter:
    """Fill a matrix with the identity, as far as it goes."""
    rows, columns = _shape(tensor, "eye_", axes=(2,))
    return _fill(tensor, np.eye(rows, columns))


def dirac_(tensor: Parameter, groups: int = 1) -> Parameter:
    """Fill a convolution's weight so that it gives its input: channel o of each group is input channel o.

    The kernel has a 1 in its middle and is 0 elsewhere; output channels beyond the inputs of a group are 0.
    """
    shape = _shape(tensor, "dirac_", axes=(3, 4, 5))
    if shape[0] % positive("dirac_", "groups", groups):
        raise ArgumentError(f"dirac_: groups={groups} must divide the {shape[0]} output channels of {tensor.name!r}")
    values = np.zeros(shape)
    middle = tuple(size // 2 for size in shape[2:])
    each = shape[0] // groups
    for group in range(groups):
        for channel in range(min(each, shape[1])):
            values[(group * each + channel, channel, *middle)] = 1
    return _fill(tensor, values)


def orthogonal_(tensor: Parameter, gain: float = 1.0) -> Parameter:
    """Fill with `gain` times orthonormal rows, or columns where these are fewer, of the matrix (first axis, the rest).

    Q of the QR decomposition of a normal matrix, its signs such that R's diagonal is positive, which makes Q uniform
    over all orthogonal matrices. Saxe, McClelland and Ganguli, 2013; Mezzadri, 2007.
    """
    shape = _shape(tensor, "orthogonal_", least=2)
    number("orthogonal_", "gain", gain)
    rows, columns = shape[0], math.prod(shape[1:])
    normal = host_generator().normal(size=(max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(normal)
    q = q * np.where(np.diag(r) < 0, -1.0, 1.0)
    return _fill(tensor, gain * (q if rows >= columns else q.T).reshape(shape))


def sparse_(tensor: Parameter, sparsity: float, std: float = 0.01) -> Parameter:
    """Fill a matrix with normal values, and a share `sparsity` of each column, rounded up, with 0. Martens, 2010."""
    rows, columns = _shape(tensor, "sparse_", axes=(2,))
    zeros = math.ceil(fraction("sparse_", "sparsity", sparsity) * rows)
    values = host_generator().normal(0.0, number("sparse_", "std", std, least=0), (rows, columns))
    places = np.argsort(host_generator().random((rows, columns)), axis=0)
    np.put_along_axis(values, places[:zeros], 0.0, axis=0)
    return _fill(tensor, values)


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
    shape = _shape(tensor, "fan in and fan out", least=2)
    receptive = math.prod(shape[2:])
    return shape[1] * receptive, shape[0] * receptive


def _truncated(low: float, high: float, count: int) -> np.ndarray:
    """`count` standard normal values, given that they lie in [low, high], by rejection: C. P. Robert, 1995.

    What is tried lies close to what is wanted, so that a good part is kept: normal values where these often lie in
    the range; in the tails, exponential distances from the end nearest to 0; in a narrow range, uniform values.
    """
    generator = host_generator()
    nearest = min(max(0.0, low), high)
    slope, width = abs(nearest), high - low
    share = 0.5 * (math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2)))
    found = np.empty(0)
    while found.size < count:
        tries = 2 * (count - found.size) + 16
        if share >= 0.25:
            tried = generator.normal(size=tries)
            kept = tried[(tried >= low) & (tried <= high)]
        elif slope * width > 1:
            distance = -np.log1p(generator.random(tries) * np.expm1(-slope * width)) / slope
            distance = distance[generator.random(tries) < np.exp(-(distance**2) / 2)]
            kept = nearest + math.copysign(1.0, nearest) * distance
        else:
            tried = generator.uniform(low, high, tries)
            kept = tried[generator.random(tries) < np.exp((nearest**2 - tried**2) / 2)]
        found = np.concatenate([found, kept])
    return found[:count]


def _shape(tensor: Parameter, function: str, *, axes: tuple[int, ...] = (), least: int = 0) -> tuple[int, ...]:
    """The shape of what is to be filled, which must be a parameter of floats with the right number of axes."""
    if not isinstance(tensor, Parameter):
        raise ArgumentError(f"{function}: expected a parameter, such as layer.weight, got {tensor!r}")
    if not tensor.type.is_float:
        raise ArgumentError(f"{function}: expected a parameter of floats, got {tensor.name!r}, {tensor.type}")
    shape = tensor.type.static_shape
    if len(shape) < least or (axes and len(shape) not in axes):
        wanted = " or ".join(map(str, axes)) if axes else f"{least} or more"
        raise ArgumentError(f"{function}: expected a weight of {wanted} axes, got {tensor.name!r} of shape {shape}")
    return shape


def _fill(tensor: Parameter, values: np.ndarray) -> Parameter:
    tensor.set_value(values)
    return tensor
