"""Running a kernel of the loop language on arrays of one's own."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence

import numpy as np

from graphnet.backend.base import Bound
from graphnet.backend.native import engine
from graphnet.backend.native.backend import NativeBackend
from graphnet.backend.native.emit import emit
from graphnet.backend.native.loops import Buffer, Kernel
from graphnet.backend.native.makers import Maker
from graphnet.backend.native.prove import prove
from graphnet.graph.node import Op


def run(kernel: Kernel, memory: Mapping[Buffer, np.ndarray], first: int = 0, end: int | None = None) -> None:
    """Compile `kernel` and run its chunks from `first` up to `end`."""
    prove(kernel)
    library = engine.load(engine.compile_object(emit([kernel])), [kernel.name])
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(library.addresses[kernel.name])
    addresses = np.array([memory[buffer].ctypes.data for buffer in kernel.buffers], np.uint64)
    function(addresses.ctypes.data, first, kernel.chunk.extent if end is None else end)


def native(op: Op, out: np.ndarray, inputs: Sequence[np.ndarray], threads: int = 1) -> None:
    """Fill `out` by the native kernel of `op`, which must have one."""
    types = Maker().scratch_types(op, [out, *inputs])
    assert types is not None, f"{op.name} has no native kernel for these arrays"
    work = tuple(np.full(t.static_shape, 99, t.dtype) for t in types)
    (kernel,) = NativeBackend(threads).kernels([Bound(op, out, tuple(inputs), work)])
    assert kernel is not None, f"{op.name} has no native kernel for these arrays"
    kernel()
