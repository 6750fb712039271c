"""Backends: how a step becomes a callable. `naive` is the oracle, `numpy` the default."""
