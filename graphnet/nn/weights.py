"""`nn.Parameter`, the way that PyTorch's users declare a weight of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphnet.nn.arguments import flag
from graphnet.ops import sources

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def Parameter(data: ArrayLike, requires_grad: bool = True) -> sources.Parameter:  # noqa: N802  (PyTorch's name)
    """`gn.parameter(data)`, which gets its name from the attribute of a module that it becomes.

    Floats that are not NumPy arrays become float32. To ask whether a node is a parameter: isinstance(x, gn.Parameter).
    """
    return sources.parameter(data, requires_grad=flag("Parameter", "requires_grad", requires_grad))
