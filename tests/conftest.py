"""What every test shares: warnings are errors (setup.cfg), but for these; torch uses one thread."""

from __future__ import annotations

import gc
import os

import pytest

import graphnet as gn

_HARMLESS = (
    "ignore::DeprecationWarning:torch.*",
    "ignore:Failed to initialize NumPy:UserWarning",
    "ignore:Using padding='same' with even kernel lengths:UserWarning",
)


def pytest_configure(config: pytest.Config) -> None:
    os.environ.setdefault("GRAPHNET_BACKEND", "numpy")  # quick to compile; tests of native code ask for it
    os.environ["GRAPHNET_CACHE"] = "off"  # a test finds nothing that an earlier run left, and leaves nothing
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch, which need not be imported for it where no test uses it
    for line in _HARMLESS:
        config.addinivalue_line("filterwarnings", line)


def pytest_collection_finish() -> None:
    """What was imported and collected stays to the end: the garbage collector need not walk through it again and again.

    It would for a third of a second each time.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Layers draw their first weights from one generator: without this, what a test sees depends on those before it."""
    gn.manual_seed(0)
