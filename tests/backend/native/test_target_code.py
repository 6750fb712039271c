"""The inner loops of products for other processors, read as assembly: whole vectors, and no register spilled."""

from __future__ import annotations

import platform
import re
from dataclasses import replace

import numpy as np
import pytest

from graphnet.backend.native import engine
from graphnet.backend.native.emit import emit
from graphnet.backend.native.engine import Processor
from graphnet.backend.native.matmul import matmul
from graphnet.backend.native.target import target
from graphnet.backend.native.views import Scratch, planned

LINUX = "unknown-linux-gnu"
SKYLAKE = Processor(f"x86_64-{LINUX}", "skylake-avx512", "")
ZEN4 = Processor(f"x86_64-{LINUX}", "znver4", "")
FEATURES = Processor(f"x86_64-{LINUX}", "x86-64", "+avx512f,+avx512vl,+avx512dq,+fma")
HASWELL = Processor(f"x86_64-{LINUX}", "haswell", "")
NEHALEM = Processor(f"x86_64-{LINUX}", "nehalem", "")
NEOVERSE = Processor(f"aarch64-{LINUX}", "neoverse-n1", "")
ARM = Processor(f"aarch64-{LINUX}", "generic", "+neon")


def inner_loop(processor: Processor, shape: tuple[int, int, int], dtype: str) -> str:
    """What is repeated for every few steps of the depth in a product of so many rows, columns and depth."""
    rows, columns, depth = shape
    arrays = [np.empty(sizes, dtype) for sizes in ((rows, columns), (rows, depth), (depth, columns))]
    views = planned(arrays)
    assert views is not None
    made = matmul(views[0], views[1], views[2], Scratch())
    assert made is not None
    text = emit([replace(kernel, name=f"kernel{number}") for number, kernel in enumerate(made)])
    try:
        listing = engine.assembly(text, processor)
    except RuntimeError as error:
        pytest.skip(f"this LLVM makes no code for {processor.triple}: {error}")
    blocks = re.split(r"^\.?L\w+:", listing, flags=re.MULTILINE)
    bodies = [re.split(r"\n\s+(?:b\.\w+|cbn?z|j[a-z]+|retq?)\b", block)[0] for block in blocks]
    return max(bodies, key=lambda body: len(re.findall(r"fmadd|fmla|\bmulp", body)))


@pytest.mark.parametrize(
    ("processor", "width", "shape", "dtype", "arithmetic", "count"),
    [
        (SKYLAKE, 64, (56, 64, 64), "float32", r"vfmadd\d+ps\s.*%zmm", 14 * 2),
        (ZEN4, 64, (56, 64, 64), "float64", r"vfmadd\d+pd\s.*%zmm", 14 * 2),
        (FEATURES, 64, (54, 48, 64), "float32", r"vfmadd\d+ps\s.*%zmm", 9 * 3),
        (HASWELL, 32, (48, 64, 64), "float32", r"vfmadd\d+ps\s.*%ymm", 6 * 2),
        (NEHALEM, 16, (48, 64, 64), "float32", r"\bmulps\s.*%xmm", 6 * 2),
        (NEOVERSE, 16, (48, 64, 64), "float32", r"fmla\s+v\d+\.4s", 12 * 2),
        (ARM, 16, (48, 6, 64), "float64", r"fmla\s+v\d+\.2d", 8 * 3),
    ],
)
def test_as_many_sums_as_registers_and_none_spilled(
    processor: Processor,
    width: int,
    shape: tuple[int, int, int],
    dtype: str,
    arithmetic: str,
    count: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GRAPHNET_NATIVE_VECTOR", str(width))
    monkeypatch.setattr(platform, "machine", lambda: processor.triple.split("-")[0])
    loop = inner_loop(processor, shape, dtype)
    assert len(re.findall(arithmetic, loop)) == target().together * count, loop
    assert not re.search(r"%rsp|\bsp\b", loop), loop
