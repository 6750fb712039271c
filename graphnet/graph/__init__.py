"""The graph: dimensions, types, nodes, where they came from, and how they are printed."""
