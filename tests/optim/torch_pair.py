"""One loss here and in torch, and steps on both sides from the same values."""

from __future__ import annotations

import numpy as np
import pytest

import graphnet as gn

torch = pytest.importorskip("torch")
DTYPES = {"float64": 1e-12, "float32": 3e-5}
SHAPES = ((3, 4), (5,), ())


def pair(dtype="float64", shapes=SHAPES):
    """Parameters of the same values here and in torch."""
    generator = np.random.default_rng(0)
    values = [generator.normal(size=shape).astype(dtype) for shape in shapes]
    ours = [gn.parameter(value, f"p{i}") for i, value in enumerate(values)]
    return ours, [torch.nn.Parameter(torch.tensor(value)) for value in values]


def our_loss(parameters):
    """A loss that is not quadratic, so that gradients change in size and sign."""
    return sum((gn.sum(gn.sin(3.0 * p) + p * p) for p in parameters), gn.constant(0, parameters[0].dtype))


def their_loss(parameters):
    return sum((torch.sin(3.0 * p) + p * p).sum() for p in parameters)


def their_step(theirs, rival, change=None):
    rival.zero_grad()
    their_loss(theirs).backward()
    if change is not None:
        change(theirs)
    rival.step()


def assert_same(ours, theirs, tolerance):
    for mine, its in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine.value, its.detach().numpy(), rtol=tolerance, atol=tolerance)


def compare(ours, theirs, optimizer, rival, tolerance, transform=None, change=None, steps=25):
    """Step both, `steps` times, and compare the parameters each time."""
    step = gn.compile([], None, optimizer.updates(our_loss(ours), transform))
    for _ in range(steps):
        step()
        their_step(theirs, rival, change)
        assert_same(ours, theirs, tolerance)
