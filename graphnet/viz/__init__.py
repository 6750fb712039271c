"""Pictures: of a graph and what it became, of the memory it uses; and the graph for networkx."""

from graphnet.viz.network import to_networkx
from graphnet.viz.picture import draw

__all__ = ["draw", "to_networkx"]
