"""A training step asks for no memory: counted in libc, for all threads, and by Python's own count."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

STEPS = 200
CODE = f"""
import ctypes, gc, tracemalloc
import numpy as np
import graphnet as gn
from graphnet import optim
from models import lenet

model = lenet.build()
x, labels = gn.input("x", ("N", *lenet.INPUT_SHAPE)), gn.input("labels", ("N",), "int64")
loss = gn.cross_entropy(model(x), labels)
updates = optim.SGD(model.parameters(), lr=0.01, momentum=0.9).updates(loss)
step = gn.compile([x, labels], loss, updates, backend="native", threads=2)
rng = np.random.default_rng(0)
batch = rng.random((16, *lenet.INPUT_SHAPE), dtype="f"), rng.integers(0, 10, 16)
for _ in range(20):
    step(*batch)
gc.collect()
gc.disable()
requests = ctypes.CDLL(None).gn_requests
requests.restype = ctypes.c_long
requests()
before = requests()
for _ in range({STEPS}):
    step(*batch)
asked = requests() - before
tracemalloc.start()
step(*batch)
known, _ = tracemalloc.get_traced_memory()
for _ in range({STEPS}):
    step(*batch)
tracemalloc.reset_peak()
left, _ = tracemalloc.get_traced_memory()
step(*batch)
_, peak = tracemalloc.get_traced_memory()
print(asked, left - known, peak - left)
"""


@pytest.mark.skipif(sys.platform != "linux" or shutil.which("cc") is None, reason="counts in libc by a shim in C")
def test_a_training_step_asks_for_no_memory(tmp_path):
    shim = tmp_path / "counting.so"
    source = Path(__file__).with_name("counting.c")
    made = subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", shim, source], capture_output=True, text=True)
    if "__libc_" in made.stderr:
        pytest.skip("this libc is not glibc")
    assert made.returncode == 0, made.stderr
    environment = {**os.environ, "LD_PRELOAD": str(shim)}
    done = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    asked, left, peak = map(int, done.stdout.split())
    assert asked == 0
    assert left < 1000  # bytes more after 200 steps
    assert peak < 4000  # bytes of Python's own objects within a step: lists of arrays, the loss; of data, nothing
