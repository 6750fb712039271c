"""The passes in the order in which they run. The order is the order you read."""

from __future__ import annotations

from collections.abc import Sequence

from graphnet.graph.graph import Graph
from graphnet.rewrite.driver import Log, Rule, rewrite
from graphnet.rewrite.materialize import materialize

PIPELINE: list[tuple[str, list[Rule]]] = []
FAST_MATH: list[Rule] = []


def apply_pipeline(graph: Graph, backend_rules: Sequence[Rule], log: Log, *, optimize: bool, fast_math: bool) -> Graph:
    """`graph` after every pass. Without `optimize` only what running it needs is done."""
    if optimize:
        for name, rules in PIPELINE:
            graph = rewrite(graph, [*rules, *(FAST_MATH if fast_math else [])], log, name)
        graph = rewrite(graph, backend_rules, log, "for the backend")
    before, graph = graph, materialize(graph)
    log.passes.append(("materialize", before, graph))
    return graph
