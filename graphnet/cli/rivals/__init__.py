"""Who can take part in `graphnet bench`: graphnet's own ways, and the libraries it is compared with, if installed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec

TRAIN, PREDICT = "train", "predict"


@dataclass(frozen=True)
class Rival:
    """One way to do the work, in a process of its own.

    engine: module and class that do it, imported only there. packages: what must be installed. modes: what it can do.
    """

    name: str
    engine: str
    packages: tuple[str, ...] = ()
    modes: tuple[str, ...] = (TRAIN, PREDICT)

    @property
    def missing(self) -> list[str]:
        """The packages that are not installed."""
        return [package for package in self.packages if find_spec(package) is None]


_OWN = "graphnet.cli.rivals.own"
_TORCH = "graphnet.cli.rivals.torch"
_ONNX = "graphnet.cli.rivals.onnx"
RIVALS: Mapping[str, Rival] = {
    rival.name: rival
    for rival in (
        Rival("naive", f"{_OWN}:Naive"),
        Rival("unplanned", f"{_OWN}:Unplanned"),
        Rival("numpy", f"{_OWN}:Numpy"),
        Rival("native", f"{_OWN}:Native", ("llvmlite",)),
        Rival("torch", f"{_TORCH}:Eager", ("torch",)),
        Rival("torch-compile", f"{_TORCH}:Compiled", ("torch",)),
        Rival("jax", "graphnet.cli.rivals.jax:Jitted", ("jax",)),
        Rival("onnxruntime", f"{_ONNX}:OnnxRuntime", ("onnx", "onnxruntime"), (PREDICT,)),
        Rival("openvino", f"{_ONNX}:OpenVino", ("onnx", "openvino"), (PREDICT,)),
    )
}
REFEREE = Rival("referee", f"{_OWN}:Referee")
LIMIT = Rival("limit", f"{_OWN}:Limit")


def subject() -> str:
    """The rival that all others are compared with: graphnet's fastest backend here."""
    return "numpy" if RIVALS["native"].missing else "native"
