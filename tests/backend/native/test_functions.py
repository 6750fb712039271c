"""exp, log and their kin: how far from the exact value, in units in the last place, and what becomes of the edges."""

from __future__ import annotations

import math

import numpy as np
import pytest

from graphnet.backend.native import functions, special
from graphnet.backend.native.loops import Buffer, Kernel, Load, Register, Set, Store, Var, affine
from tests.backend.native.kernels import run

KINDS = {"f32": (np.float32, 8), "f64": (np.float64, 4)}
FUNCTIONS = {
    **{name: getattr(functions, name) for name in ("exp", "exp_of_negative", "expm1", "log", "sigmoid")},
    **{name: getattr(special, name) for name in ("erf", "tanh", "log1p", "sin", "cos", "tan")},
}


def erf(x: np.ndarray) -> np.ndarray:
    """In x's dtype: a series up to 1, and 1 - erfc beyond, where float64's erfc is as exact as need be."""
    size = np.abs(x)
    found = np.ones_like(x)
    near, far = size < 1, (size >= 1) & (size < 7)
    found[far] = 1 - np.frompyfunc(math.erfc, 1, 1)(size[far]).astype(x.dtype)
    z = size[near]
    total, term = np.zeros_like(z), np.ones_like(z)
    for k in range(24):
        total += term / (2 * k + 1)
        term *= -(z * z) / (k + 1)
    found[near] = 2 / np.sqrt(x.dtype.type("3.14159265358979323846264338327950288")) * z * total
    return np.copysign(found, x)


EXACT = {
    "erf": erf,
    "log1p": np.log1p,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
}
BOUNDS = {  # as their docstrings say
    "exp": 1, "expm1": 3, "log": 2, "tanh": 6, "sigmoid": 3, "erf": 6, "log1p": 3, "sin": 2, "cos": 2, "tan": 4,
}  # fmt: skip
IN_FLOAT64 = {**BOUNDS, "erf": 7}
EVERYWHERE = {**BOUNDS, "exp": 2, "sigmoid": 4}  # where results may be subnormal
RANGES = {
    "exp": (-87, 88.7), "expm1": (-30, 88), "log": (1e-30, 1e30), "tanh": (-12, 12), "sigmoid": (-87, 88),
    "erf": (-7, 7), "log1p": (-1, 100), "sin": (-1e4, 1e4), "cos": (-1e4, 1e4), "tan": (-1e4, 1e4),
}  # fmt: skip


def computed(name: str, kind: str, values: np.ndarray) -> np.ndarray:
    dtype, width = KINDS[kind]
    padded = np.zeros(-(-len(values) // width) * width, dtype)
    padded[: len(values)] = values
    out = np.empty_like(padded)
    x, y, chunk = Buffer("x", kind, len(padded)), Buffer("y", kind, len(padded)), Var("chunk", len(padded) // width)
    loaded = Register("loaded", kind, width)
    at = affine({chunk: width})
    body = (Set(loaded, Load(x, at, width)), Store(y, at, FUNCTIONS[name](loaded)))
    run(Kernel(f"of.{name}", (x, y), chunk, body), {x: padded, y: out})
    return out[: len(values)]


def ulps(found: np.ndarray, exact: np.ndarray) -> np.ndarray:
    size = np.abs(exact).astype(found.dtype)
    spacing = np.spacing(np.maximum(size, np.finfo(found.dtype).tiny))
    return np.abs((found.astype(np.longdouble) - exact) / spacing)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", EXACT)
def test_error_in_units_in_the_last_place(name, kind):
    dtype, _ = KINDS[kind]
    generator = np.random.default_rng(0)
    low, high = RANGES[name]
    if name == "log":
        x = np.exp(generator.uniform(math.log(low), math.log(high), 80_000))
        x = np.concatenate([x, generator.uniform(0.5, 2, 80_000), 1 + 1e-4 * generator.standard_normal(1000)])
    else:
        small = generator.uniform(-1, 1, 40_000) * 10.0 ** generator.integers(-12, 1, 40_000)
        x = np.concatenate([generator.uniform(low, high, 80_000), small])
    x = x.astype(dtype)
    wrong = ulps(computed(name, kind, x), EXACT[name](x.astype(np.longdouble)))
    worst = int(np.argmax(wrong))
    bounds = IN_FLOAT64 if kind == "f64" else BOUNDS
    assert wrong[worst] <= bounds[name], f"{name}({x[worst]!r}) is {wrong[worst]:.2f} ulp off"


@pytest.mark.parametrize("kind", KINDS)
def test_edges(kind):
    inf, nan = math.inf, math.nan
    edges = [0.0, inf, -inf, nan, 1000.0, -1000.0, 1.0]
    expected = {
        "exp": [1, inf, 0, nan, inf, 0, math.e],
        "expm1": [0, inf, -1, nan, inf, -1, math.e - 1],
        "tanh": [0, 1, -1, nan, 1, -1, math.tanh(1)],
        "sigmoid": [0.5, 1, 0, nan, 1, 0, 1 / (1 + math.exp(-1))],
        "log": [-inf, inf, nan, nan, math.log(1000), nan, 0],
        "erf": [0, 1, -1, nan, 1, -1, math.erf(1)],
        "log1p": [0, inf, nan, nan, math.log(1001), nan, math.log(2)],
        "sin": [0, nan, nan, nan, math.sin(1000), -math.sin(1000), math.sin(1)],
        "cos": [1, nan, nan, nan, math.cos(1000), math.cos(1000), math.cos(1)],
        "tan": [0, nan, nan, nan, math.tan(1000), -math.tan(1000), math.tan(1)],
    }
    for name, wanted in expected.items():
        found = computed(name, kind, np.array(edges))
        np.testing.assert_allclose(found, np.array(wanted, KINDS[kind][0]), rtol=1e-6, err_msg=name)


@pytest.mark.parametrize(("kind", "least"), [("f32", -87.33654), ("f64", -708.3964185322641)])
def test_exp_of_negative_numbers(kind, least):
    """0 where the exact result is less than the least normal number."""
    x = np.random.default_rng(0).uniform(least, 0, 40_000).astype(KINDS[kind][0])
    assert ulps(computed("exp_of_negative", kind, x), np.exp(x.astype(np.longdouble))).max() <= 1
    edges = computed("exp_of_negative", kind, np.array([0, -0.0, 1.001 * least, -1e30, -math.inf, math.nan]))
    np.testing.assert_array_equal(edges, [1, 1, 0, 0, 0, math.nan])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["erf", "tanh"])
def test_what_tends_to_one_becomes_it(name, kind):
    """Exactly, on both sides, and no value is larger."""
    far = computed(name, kind, np.array([-math.inf, -1e30, -20.0, 20.0, 1e30, math.inf]))
    assert far.tolist() == [-1, -1, -1, 1, 1, 1]
    assert np.abs(computed(name, kind, np.linspace(-20, 20, 100_000))).max() == 1
    assert np.signbit(computed(name, kind, np.array([-0.0, 0.0]))).tolist() == [True, False]


def test_subnormal_numbers():
    tiny = np.array([1e-310, 5e-324, 2.2e-308])
    np.testing.assert_allclose(computed("log", "f64", tiny), np.log(tiny), rtol=1e-15)
    x = np.array([-720.0, -740.0])
    np.testing.assert_allclose(computed("exp", "f64", x), np.exp(x), rtol=0, atol=1e-323)


STRIDE, PIECE = 7, 1 << 22


@pytest.mark.parametrize(("kind", "x"), [("f32", [88.4, 88.7, 89.0]), ("f64", [709.5, 709.78, 710.0])])
def test_expm1_up_to_the_largest_numbers(kind, x):
    values = np.array(x, KINDS[kind][0])
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(computed("expm1", kind, values), np.expm1(values), rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXACT)
def test_every_seventh_float32(name):
    """Finite float32 values of every sign, exponent and ending, against float64: within the bounds that hold for it."""
    least, largest = np.finfo(np.float32).tiny, np.finfo(np.float32).max
    worst = (0.0, np.float32(0))
    for start in range(0, 1 << 32, PIECE * STRIDE):
        x = np.arange(start, min(start + PIECE * STRIDE, 1 << 32), STRIDE).astype(np.uint32).view(np.float32)
        x = x[np.isfinite(x) & (x > {"log": 0.0, "log1p": -1.0}.get(name, -math.inf))]
        if not len(x):
            continue
        with np.errstate(all="ignore"):
            exact = EXACT[name](x.astype(np.float64))
        found = computed(name, "f32", x)
        inside = np.abs(exact) <= largest
        assert np.isinf(found[~inside]).all()
        size = np.abs(exact[inside])
        wrong = np.abs(found[inside] - exact[inside]) / np.spacing(np.maximum(size, least).astype(np.float32))
        place = int(np.argmax(wrong)) if len(wrong) else 0
        if len(wrong) and wrong[place] > worst[0]:
            worst = (float(wrong[place]), x[inside][place])
    assert worst[0] <= EVERYWHERE[name], f"{name}({worst[1]!r}) is {worst[0]:.2f} ulp off"
    print(f"{name}: {worst[0]:.2f} ulp at {worst[1]!r}")
