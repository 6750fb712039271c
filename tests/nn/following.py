"""A layer of ours beside the same layer of torch: states, values, gradients and twenty steps, in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

import graphnet as gn
from graphnet import nn, optim

STEPS, LR, MOMENTUM = 20, 0.05, 0.9
TIGHT = {"rtol": 1e-9, "atol": 1e-11}


def same_state(ours: nn.Module, theirs) -> None:
    """The same keys in the same order with the same shapes; then ours takes theirs over."""
    wanted = [(name, tuple(value.shape)) for name, value in theirs.state_dict().items()]
    assert [(name, value.shape) for name, value in ours.state_dict().items()] == wanted
    ours.load_state_dict(theirs.state_dict())


def follow(ours: nn.Module, theirs, arrays: Sequence[np.ndarray], call: Callable) -> None:
    """Outputs, gradients by the floating-point `arrays` and by every parameter, and the parameters after twenty steps.

    call(module, *inputs) gives one output or a list of them; the loss is their mean squared distance from noise.
    """
    import torch

    same_state(ours, theirs)
    nodes = [gn.input(f"x{i}", array.shape, array.dtype) for i, array in enumerate(arrays)]
    outputs = _several(call(ours, *nodes))
    tensors = [torch.tensor(array, requires_grad=array.dtype.kind == "f") for array in arrays]
    aims = [np.random.default_rng(9).normal(size=out.shape) for out in outputs]
    loss = sum((gn.mse_loss(out, gn.constant(aim)) for out, aim in zip(outputs, aims, strict=True)), gn.constant(0.0))
    own = dict(ours.named_parameters())
    wanted = [node for node in nodes if node.type.is_float]
    slopes = gn.gradients(loss, [*wanted, *own.values()])
    updates = optim.SGD(list(own.values()), lr=LR, momentum=MOMENTUM).updates(loss)
    step = gn.compile(nodes, [loss, *outputs, *slopes], updates)
    rival = torch.optim.SGD(theirs.parameters(), lr=LR, momentum=MOMENTUM)
    for t in range(STEPS):
        rival.zero_grad()
        found = _several(call(theirs, *tensors))
        its_loss = sum(((out - torch.tensor(aim)) ** 2).mean() for out, aim in zip(found, aims, strict=True))
        for tensor in tensors:
            tensor.grad = None
        its_loss.backward()
        value, *rest = step(*arrays)
        np.testing.assert_allclose(value, its_loss.item(), **TIGHT, err_msg=f"loss of step {t}")
        if t in (0, STEPS - 1):
            its = [*found, *(x.grad for x in tensors if x.requires_grad), *(p.grad for p in theirs.parameters())]
            names = [*(f"output {i}" for i in range(len(found))), *(f"gradient by {n.op.label}" for n in wanted), *own]
            for name, mine, other in zip(names, rest, its, strict=True):
                np.testing.assert_allclose(mine, other.detach().numpy(), **TIGHT, err_msg=f"{name}, step {t}")
        rival.step()
    for name, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[name], value.numpy(), **TIGHT, err_msg=name)


def _several(outputs) -> list:
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    """Normally distributed float64, the same for the same shape and seed."""
    return np.random.default_rng((seed, *shape)).normal(size=shape)
