"""Optimizers, schedules and clipping: gradients in, assign nodes out. Names and formulas are PyTorch's."""

from graphnet.optim.adam import Adam, AdamW
from graphnet.optim.clipping import clip_grad_norm, clip_grad_value, global_norm
from graphnet.optim.optimizer import Optimizer
from graphnet.optim.schedules import Schedule, cosine, exponential, linear_warmup, multi_step, polynomial, step
from graphnet.optim.schedules import constant_rate as constant
from graphnet.optim.sgd import SGD, RMSprop

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Optimizer",
    "RMSprop",
    "Schedule",
    "clip_grad_norm",
    "clip_grad_value",
    "constant",
    "cosine",
    "exponential",
    "global_norm",
    "linear_warmup",
    "multi_step",
    "polynomial",
    "step",
]
