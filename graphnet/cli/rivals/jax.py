"""JAX as its experts use it: one jitted function a step, its parameters and moments donated to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from graphnet.cli.rivals.work import Task
from graphnet.errors import ArgumentError
from graphnet.extras import extra
from graphnet.interop.jax import to_function


class Jitted:
    """A training step, or a prediction, as one function that XLA compiled."""

    def __init__(self, task: Task) -> None:
        self._jax = jax = extra("jax")
        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_enable_x64", True)  # labels and tokens are int64 for all
        apply, values = to_function(list(task.inputs), list(task.wanted), sizes=task.sizes)
        trained = {name: value.requires_grad for name, value in task.graph.model.named_parameters()}
        on_device = {name: jax.numpy.array(value) for name, value in values.items()}
        self._weights = {name: value for name, value in on_device.items() if trained.get(name, False)}
        self._others = {name: value for name, value in on_device.items() if name not in self._weights}
        self._moments: dict[str, Any] = {}
        self._training = task.optimizer is not None
        if task.optimizer is None:
            self._function = jax.jit(lambda weights, others, *arrays: apply({**weights, **others}, *arrays)[0])
            return
        self._moments, rule = _rule(jax, task.optimizer, self._weights)

        def step(weights: Any, others: Any, moments: Any, *arrays: Any) -> Any:
            def loss(trained: Any) -> Any:
                return apply({**trained, **others}, *arrays)

            (value, updated), gradients = jax.value_and_grad(loss, has_aux=True)(weights)
            moved, moments = rule(weights, gradients, moments)
            return value, moved, {**others, **updated}, moments

        self._function = jax.jit(step, donate_argnums=(0, 1, 2))

    def step(self, batch: tuple[np.ndarray, ...]) -> Sequence[np.ndarray]:
        if not self._training:
            results = self._function(self._weights, self._others, *batch)
            return [np.asarray(value) for value in (results if isinstance(results, tuple) else (results,))]
        loss, self._weights, self._others, self._moments = self._function(
            self._weights, self._others, self._moments, *batch
        )
        return [np.asarray(loss)]

    def state(self) -> Mapping[str, np.ndarray]:
        return {name: np.array(value) for name, value in {**self._weights, **self._others}.items()}

    @property
    def settings(self) -> Mapping[str, Any]:
        version = extra("jaxlib").__version__
        return {"jax": self._jax.__version__, "jaxlib": version, "donated": "weights, statistics and moments"}


_Rule = Callable[[Any, Any, Any], tuple[Any, Any]]


def _rule(jax: Any, own: Any, weights: Mapping[str, Any]) -> tuple[dict[str, Any], _Rule]:
    """What the optimizer remembers at first, and its update: the same rule with the same options, by torch's formulas.

    Of SGD with momentum, Nesterov's too, of Adam and AdamW.
    """
    kind = type(own).__name__
    if kind not in ("SGD", "Adam", "AdamW") or len(own.param_groups) != 1:
        raise ArgumentError(f"the optimizer {kind} has no translation to JAX")
    options = own.param_groups[0]
    refused = [name for name in ("maximize", "amsgrad", "dampening") if options.get(name)]
    if refused:
        raise ArgumentError(f"the option {refused[0]} of {kind} has no translation to JAX")
    zeros = {name: jax.numpy.zeros_like(value) for name, value in weights.items()}
    if kind == "SGD":
        return ({"b": zeros} if options["momentum"] else {}), _sgd(options)
    twice = {name: jax.numpy.zeros_like(value) for name, value in weights.items()}
    return {"m": zeros, "v": twice, "t": jax.numpy.zeros((), "float32")}, _adam(jax, options)


def _sgd(o: Mapping[str, Any]) -> _Rule:
    decay, momentum = o["weight_decay"], o["momentum"]

    def rule(weights: Any, gradients: Any, moments: Any) -> tuple[Any, Any]:
        if decay:
            gradients = {name: g + decay * weights[name] for name, g in gradients.items()}
        if momentum:
            moments = {"b": {name: momentum * moments["b"][name] + g for name, g in gradients.items()}}
            ahead = {name: g + momentum * moments["b"][name] for name, g in gradients.items()}
            gradients = ahead if o["nesterov"] else moments["b"]
        return {name: weights[name] - o["lr"] * g for name, g in gradients.items()}, moments

    return rule


def _adam(jax: Any, o: Mapping[str, Any]) -> _Rule:
    jnp, (first, second), decay = jax.numpy, o["betas"], o["weight_decay"]
    decoupled = o.get("decoupled_weight_decay", False)

    def rule(weights: Any, gradients: Any, moments: Any) -> tuple[Any, Any]:
        t = moments["t"] + 1
        rate, root = o["lr"] / (1 - first**t), jnp.sqrt(1 - second**t)
        moved, means, squares = {}, {}, {}
        for name, g in gradients.items():
            w = weights[name]
            if decay and not decoupled:
                g = g + decay * w
            means[name] = first * moments["m"][name] + (1 - first) * g
            squares[name] = second * moments["v"][name] + (1 - second) * g * g
            kept = w * (1 - o["lr"] * decay) if decay and decoupled else w
            moved[name] = kept - rate * means[name] / (jnp.sqrt(squares[name]) / root + o["eps"])
        return moved, {"m": means, "v": squares, "t": t}

    return rule
