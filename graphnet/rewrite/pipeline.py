"""The passes in the order in which they run. The order is the order you read."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from graphnet.graph.graph import Graph
from graphnet.rewrite.algebra import EXACT
from graphnet.rewrite.algebra import FAST_MATH as INEXACT
from graphnet.rewrite.driver import Log, Rule, rewrite
from graphnet.rewrite.folding import FOLDING
from graphnet.rewrite.fusion import fuse
from graphnet.rewrite.joining import JOINING
from graphnet.rewrite.materialize import materialize
from graphnet.rewrite.merging import MERGING
from graphnet.rewrite.normalization import DECOMPOSE, FOLD_NORMALIZATION
from graphnet.rewrite.pooling import POOLING
from graphnet.rewrite.products import PRODUCTS
from graphnet.rewrite.stabilize import STABILIZE

SIMPLIFY: list[Rule] = [*FOLDING, *EXACT, *MERGING]

PIPELINE: list[tuple[str, list[Rule]]] = [
    ("stabilize", STABILIZE),
    ("decompose", [*DECOMPOSE, *FOLD_NORMALIZATION]),
    ("simplify", SIMPLIFY),
    ("join steps", [*JOINING, *MERGING]),
    ("pool early", POOLING),
    ("turn products", [*PRODUCTS, *MERGING]),
]


def apply_pipeline(
    graph: Graph,
    backend_rules: Sequence[Rule],
    log: Log,
    *,
    optimize: bool,
    fast_math: bool,
    fusing: Callable[[Graph, Log], Graph] = fuse,
) -> Graph:
    """`graph` after every pass, `fusing` the backend's own. Without `optimize` only what running it needs is done."""
    if optimize:
        for name, rules in PIPELINE:
            graph = rewrite(graph, rules, log, name)
        if fast_math:
            graph = rewrite(graph, [*INEXACT, *SIMPLIFY], log, "fast math")
        if backend_rules:
            graph = rewrite(graph, [*backend_rules, *MERGING], log, "for the backend")
        before, graph = graph, fusing(graph, log)
        log.passes.append(("fuse", before, graph))
    before, graph = graph, materialize(graph)
    log.passes.append(("materialize", before, graph))
    return graph
