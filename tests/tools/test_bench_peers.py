"""The table of `tools.bench_peers`, from reports as `graphnet bench` writes them."""

from __future__ import annotations

import json
import math

import pytest

from graphnet.cli.models import find_model
from tools import bench_peers
from tools.bench_peers import MODELS, ROWS, lead_of, main, markdown


def row(time):
    """The figures of a rival that took so many milliseconds, or the reason why it has none."""
    if isinstance(time, str):
        return {"status": time, "problem": "so"}
    figures = {"median_seconds": time / 1e3, "ratio": time / 2, "share_of_limit": 1 / time}
    return {"status": "measured", "settings": {}, **figures}


def report(mode="train", **times):
    return {
        "mode": mode, "threads": 2, "subject": "native", "flops": 2e9, "limit_flops_per_second": 1e12,
        "fastest_limit_flops_per_second": 2e12,
        "machine": {"processor": "P", "cores": 2, "numpy": "2", "blas": "B"}, "others_share": 0.01,
        "rivals": {name: row(time) for name, time in {"native": 2.0, **times}.items()},
    }  # fmt: skip


def test_the_best_peer_is_the_fastest_that_is_right():
    assert lead_of(report(torch=6.0, jax=3.0)) == 1.5
    assert lead_of(report(torch=6.0, jax="wrong")) == 3
    assert lead_of(report(numpy=1.0)) is None  # graphnet's own is no peer


def test_a_table_has_a_cell_for_each_and_ends_with_geometric_means():
    text = markdown({"a": report(torch=8.0, jax="wrong"), "b": report(torch=2.0), "c": {"problem": "it broke\nthere"}})
    lines = text.splitlines()
    assert "| | GFLOP | limit; fastest | native | torch | jax | best peer / native |" in lines
    assert "| a | 2 | 2; 1 | 2 (50%) | 8 (12%) | wrong | 4.00 |" in lines
    assert "| b | 2 | 2; 1 | 2 (50%) | 2 (50%) |  | 1.00 |" in lines
    assert "| c | | | it broke |" in lines
    assert lines[-1].endswith(f"2 rows of the best peer's time over ours: {math.sqrt(4 * 1):.2f}")


def test_rows_are_written_as_they_are_done(tmp_path, monkeypatch, capsys):
    seen = []

    def measured(work, names, rounds, tell):
        seen.append((work.mode, work.batch, work.threads, tuple(names), rounds))
        return report(work.mode, **{name: 4.0 for name in names})

    monkeypatch.setattr(bench_peers, "contest", measured)
    options = ["--against", "torch,openvino", "--rounds", "2", "--threads", "1", "--out", str(tmp_path)]
    assert main(["--rows", "lenet", *options]) == 0
    assert seen == [
        ("train", 64, 1, ("torch",), 2),
        ("predict", 1, 1, ("torch", "openvino"), 2),
        ("predict", 64, 1, ("torch", "openvino"), 2),
    ]
    assert list(json.loads((tmp_path / "peers.json").read_text())) == [
        line.name for line in ROWS if line.model == "lenet"
    ]
    assert (tmp_path / "peers.md").read_text().strip() == capsys.readouterr().out.strip()


def test_unknown_rows_and_peers_are_told(capsys):
    assert main(["--rows", "alexnet"]) == 2
    assert main(["--against", "tinygrad"]) == 2
    assert "unknown: tinygrad; rows: dense, train, 128" in capsys.readouterr().err


@pytest.mark.parametrize("name", sorted({line.model for line in ROWS}))
def test_every_row_has_a_model_that_drops_nothing(name):
    file = find_model(str(MODELS / f"{name}.py"))
    outputs = file.outputs(file.build(), file.input_nodes())
    assert outputs.shape[1] == file.classes
