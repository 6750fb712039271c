"""How long `import graphnet` takes in a fresh interpreter: median over several, NumPy's own share beside it.

    python tools/import_time.py [runs]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def import_seconds(module: str) -> float:
    """Seconds that `import module` takes in a new interpreter, which has imported nothing but `time`."""
    code = f"import time; start = time.perf_counter(); import {module}; print(time.perf_counter() - start)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return float(done.stdout)


def main() -> None:
    """Print both medians in milliseconds."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 11
    times: dict[str, list[float]] = {"numpy": [], "graphnet": []}
    for _ in range(runs + 1):  # the first fills the file cache
        for module, seconds in times.items():
            seconds.append(import_seconds(module))
    for module, seconds in times.items():
        kept = seconds[1:]
        print(
            f"import {module:9} {statistics.median(kept) * 1e3:6.1f} ms  "
            f"({min(kept) * 1e3:.1f} to {max(kept) * 1e3:.1f}, {runs} interpreters)"
        )


if __name__ == "__main__":
    main()
