"""Pictures: of a graph and what it became, of the memory it uses; and the graph for networkx."""

from graphnet.viz.memory import draw_memory
from graphnet.viz.network import to_networkx
from graphnet.viz.picture import draw, draw_program

__all__ = ["draw", "draw_memory", "draw_program", "to_networkx"]
