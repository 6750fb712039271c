"""Where the time of a step goes, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graphnet.graph.node import Node


@dataclass(frozen=True)
class Profile:
    """Median seconds of each step, in the order of the schedule."""

    steps: Sequence[Node]
    seconds: Sequence[float]

    @property
    def total(self) -> float:
        """Seconds of all steps together."""
        return sum(self.seconds)

    def of(self, node: Node) -> float:
        """Seconds of one step."""
        return self.seconds[list(self.steps).index(node)]

    def __str__(self) -> str:
        lines = [f"{len(self.steps)} steps, {self.total * 1e3:.3f} ms"]
        rows = sorted(zip(self.seconds, range(len(self.steps)), strict=True), reverse=True)
        for seconds, index in rows:
            node = self.steps[index]
            place = node.provenance
            share = seconds / self.total if self.total else 0.0
            scope = "/".join(place.scope)
            lines.append(
                f"{seconds * 1e6:10.1f} us {share:6.1%}  {index:4d} {node.op.name} {node.type}"
                f"  {place.role} {scope}  {place.location}"
            )
        return "\n".join(lines)
