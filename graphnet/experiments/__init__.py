"""Experiments: what a course tells of networks, measured on small digits, with claims that the numbers must bear out.

Each module has NAME, a first line that says what it measures, and `run(seed, quick)`, which gives a `Result`.
"""

from types import ModuleType

from graphnet.errors import ArgumentError
from graphnet.experiments import batch_size, dropout, exactness, initialization, norms, optimizers
from graphnet.experiments.result import Claim, Result

EXPERIMENTS: dict[str, ModuleType] = {
    module.NAME: module for module in (initialization, batch_size, norms, dropout, optimizers, exactness)
}

__all__ = ["EXPERIMENTS", "Claim", "Result", "run", "summary"]


def run(name: str, seed: int = 0, quick: bool = False) -> Result:
    """What the experiment `name` found; its claims are not checked yet. quick: smaller, in seconds.

    The same seed gives the same numbers; the default random generator is left seeded by it. Raises `ArgumentError`
    for a name that is none.
    """
    result: Result = _named(name).run(seed, quick)
    return result


def summary(name: str) -> str:
    """What the experiment `name` measures, in a line."""
    return (_named(name).__doc__ or "").splitlines()[0]


def _named(name: str) -> ModuleType:
    if name not in EXPERIMENTS:
        raise ArgumentError(f"there is no experiment {name!r}; there are {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]
