"""Rows for the activation functions: everyday values, extreme ones, and the points where they bend."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import graphnet as gn
from graphnet.graph.node import Node
from tests.ops.case import Arg, Case, torch

INF = math.inf
EXTREME = Arg((8,), values=(-1e4, -750.0, -40.0, -0.0, 0.0, 40.0, 750.0, 1e4))
INFINITE = Arg((2,), values=(-INF, INF))

if torch is not None:
    F = torch.nn.functional


def activation(name: str, build: Callable[[Node], Node], reference: Callable[..., Any]) -> list[Case]:
    """Rows for an activation; where it is extreme, or bends, torch alone judges the gradient."""
    return [
        Case(name, build, (Arg((3, 4)),), torch=reference),
        Case(f"{name}-0d", build, (Arg(()),), torch=reference),
        Case(f"{name}-wide", build, (Arg((30,), low=-30, high=30),), torch=reference),
        Case(f"{name}-extreme", build, (EXTREME,), torch=reference, smooth=False),
        Case(f"{name}-transposed", lambda x: build(x.T), (Arg((3, 4)),), torch=lambda x: reference(x.T)),
    ]


def at_infinity(name: str, build: Callable[[Node], Node], reference: Callable[..., Any]) -> Case:
    """Values where torch has them; gradients at infinity are 0 * inf in places."""
    return Case(f"{name}-infinite", build, (INFINITE,), torch=reference, differentiable=False)


CASES = [
    *activation("relu", lambda x: gn.relu(x), lambda x: F.relu(x)),
    *activation("leaky_relu", lambda x: gn.leaky_relu(x), lambda x: F.leaky_relu(x)),
    *activation("leaky_relu-steep", lambda x: gn.leaky_relu(x, 1.5), lambda x: F.leaky_relu(x, 1.5)),
    *activation("leaky_relu-falling", lambda x: gn.leaky_relu(x, -0.5), lambda x: F.leaky_relu(x, -0.5)),
    *activation("elu", lambda x: gn.elu(x), lambda x: F.elu(x)),
    *activation("elu-alpha", lambda x: gn.elu(x, 0.7), lambda x: F.elu(x, 0.7)),
    *activation("selu", lambda x: gn.selu(x), lambda x: F.selu(x)),
    *activation("sigmoid", lambda x: gn.sigmoid(x), lambda x: torch.sigmoid(x)),
    *activation("log_sigmoid", lambda x: gn.log_sigmoid(x), lambda x: F.logsigmoid(x)),
    *activation("softplus", lambda x: gn.softplus(x), lambda x: F.softplus(x)),
    *activation("softplus-beta", lambda x: gn.softplus(x, 2.5, 12), lambda x: F.softplus(x, 2.5, 12)),
    *activation("silu", lambda x: gn.silu(x), lambda x: F.silu(x)),
    *activation("gelu", lambda x: gn.gelu(x), lambda x: F.gelu(x)),
    *activation("gelu-tanh", lambda x: gn.gelu(x, "tanh"), lambda x: F.gelu(x, approximate="tanh")),
    at_infinity("relu", lambda x: gn.relu(x), lambda x: F.relu(x)),
    at_infinity("leaky_relu", lambda x: gn.leaky_relu(x), lambda x: F.leaky_relu(x)),
    at_infinity("elu", lambda x: gn.elu(x), lambda x: F.elu(x)),
    at_infinity("sigmoid", lambda x: gn.sigmoid(x), lambda x: torch.sigmoid(x)),
    at_infinity("log_sigmoid", lambda x: gn.log_sigmoid(x), lambda x: F.logsigmoid(x)),
    at_infinity("softplus", lambda x: gn.softplus(x), lambda x: F.softplus(x)),
    Case("relu-large", lambda x: gn.relu(x), (Arg((3, 3000)),), torch=lambda x: F.relu(x), second=False),
    Case("relu-large-transposed", lambda x: gn.relu(x.T), (Arg((3, 3000)),), torch=lambda x: F.relu(x.T), second=False),
    Case("relu-int", lambda x: gn.relu(x), (Arg((9,), "int64", -9, 9),), torch=lambda x: F.relu(x)),
    Case(
        "relu-nan",
        lambda x: gn.relu(x),
        (Arg((3,), values=(math.nan, 1.0, -1.0)),),
        torch=lambda x: F.relu(x),
        smooth=False,
    ),
    Case(
        "relu-of-relu",
        lambda x, w: gn.relu(gn.relu(x) * w),
        (Arg((3, 4)), Arg((4,))),
        torch=lambda x, w: F.relu(F.relu(x) * w),
    ),
]
