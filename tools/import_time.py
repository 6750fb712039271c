"""How long `import graphnet` takes in a fresh interpreter, with compiled bytecode: NumPy's own share beside it.

python tools/import_time.py [runs]
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CODE = """
import time
start, cpu = time.perf_counter(), time.process_time()
import {}
print(time.perf_counter() - start, time.process_time() - cpu)
"""


def import_seconds(module: str, bytecode: str) -> tuple[float, float]:
    """Seconds, elapsed and of the processor, that `import module` takes in a new interpreter."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = bytecode  # of its own, so that it is there whatever the environment says
    command = [sys.executable, "-c", CODE.format(module)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment)
    elapsed, processor = map(float, done.stdout.split())
    return elapsed, processor


def main() -> None:
    """Print the medians in milliseconds."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 11
    times: dict[str, list[tuple[float, float]]] = {"numpy": [], "graphnet": []}
    with tempfile.TemporaryDirectory() as bytecode:
        for module in times:
            import_seconds(module, bytecode)  # fills the caches
        for _ in range(runs):
            for module, measured in times.items():
                measured.append(import_seconds(module, bytecode))
    for module, measured in times.items():
        elapsed, processor = ([1e3 * value for value in column] for column in zip(*measured, strict=True))
        print(
            f"import {module:9} {statistics.median(elapsed):6.1f} ms  ({min(elapsed):.1f} to {max(elapsed):.1f}, "
            f"{runs} interpreters); {statistics.median(processor):.1f} ms of processor time"
        )


if __name__ == "__main__":
    main()
