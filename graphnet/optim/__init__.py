"""Optimizers, schedules and clipping: gradients in, assign nodes out. Names and formulas are PyTorch's."""

from graphnet.optim.accumulate import Accumulate
from graphnet.optim.adam import Adam, AdamW
from graphnet.optim.adam_family import Adamax, NAdam, RAdam
from graphnet.optim.adaptive import Adadelta, Adagrad, RMSprop
from graphnet.optim.clipping import clip_grad_norm, clip_grad_value, global_norm
from graphnet.optim.ema import EMA
from graphnet.optim.lamb import LAMB
from graphnet.optim.lion import Lion
from graphnet.optim.optimizer import Optimizer
from graphnet.optim.plateau import ReduceLROnPlateau
from graphnet.optim.schedules import (
    Schedule,
    cosine,
    cosine_warm_restarts,
    exponential,
    linear_warmup,
    multi_step,
    one_cycle,
    polynomial,
    sequential,
    step,
)
from graphnet.optim.schedules import constant_rate as constant
from graphnet.optim.sgd import SGD

OPTIMIZERS: dict[str, type[Optimizer]] = {
    made.__name__: made
    for made in (SGD, Adagrad, Adadelta, RMSprop, Adam, AdamW, NAdam, RAdam, Adamax, Lion, LAMB)
}  # fmt: skip
"""What can be chosen by name, and made from parameters and `lr` alone."""

__all__ = [
    "EMA",
    "LAMB",
    "OPTIMIZERS",
    "SGD",
    "Accumulate",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "ReduceLROnPlateau",
    "Schedule",
    "clip_grad_norm",
    "clip_grad_value",
    "constant",
    "cosine",
    "cosine_warm_restarts",
    "exponential",
    "global_norm",
    "linear_warmup",
    "multi_step",
    "one_cycle",
    "polynomial",
    "sequential",
    "step",
]
