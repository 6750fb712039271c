"""What there are several ways to do: the cost model says one of them, a measurement may say another."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Choice:
    """How the loops of a product or a convolution are made; None where the cost model says it. No bit depends on it.

    panel: vectors beside one another in a tile. right, left: whether that operand of a matrix product is packed. tall:
    rows of an image whose places are listed together as the rows of tiles.
    """

    panel: int | None = None
    right: bool | None = None
    left: bool | None = None
    tall: int | None = None

    def __str__(self) -> str:
        packed = [name for name, is_packed in (("right", self.right), ("left", self.left)) if is_packed]
        plain = [name for name, is_packed in (("right", self.right), ("left", self.left)) if is_packed is False]
        found = [] if self.panel is None else [f"panels of {self.panel} vectors"]
        found += [f"{name} operand packed" for name in packed] + [f"{name} operand not packed" for name in plain]
        found += [] if self.tall is None else [f"{self.tall} rows of an image in a tile's list"]
        return ", ".join(found) or "as the cost model says"


MODEL = Choice()
