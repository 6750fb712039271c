"""Weights files: written whole, read whole or not at all."""

from __future__ import annotations

import numpy as np
import pytest

from graphnet import nn
from graphnet.errors import WeightsError
from graphnet.interop import safetensors as weights

pytest.importorskip("safetensors")


def _model():
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))


def _same(model, state):
    return all((model.state_dict()[name] == value).all() for name, value in state.items())


def test_weights_come_back(tmp_path):
    source, target = _model(), _model()
    weights.save(source, tmp_path / "w.safetensors")
    weights.load(target, tmp_path / "w.safetensors")
    assert _same(target, source.state_dict())
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


def test_scalars_and_strided_arrays_are_written_as_they_are(tmp_path):
    state = {"scalar": np.int64(3), "transposed": np.arange(6.0).reshape(2, 3).T}
    weights.save(state, tmp_path / "w")
    back = weights.load_state(tmp_path / "w")
    assert back["scalar"].shape == () and back["scalar"] == 3
    np.testing.assert_array_equal(back["transposed"], state["transposed"])


def test_torch_reads_and_writes_the_same_files(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file, save_file

    theirs = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))
    save_file(theirs.state_dict(), tmp_path / "w")
    model = _model()
    weights.load(model, tmp_path / "w")
    assert _same(model, {name: value.numpy() for name, value in theirs.state_dict().items()})
    weights.save(model, tmp_path / "v")
    theirs.load_state_dict(load_file(tmp_path / "v"))


@pytest.mark.parametrize("keep", [0, 3, 7, 40, -1, -100])
def test_a_truncated_file_is_named_and_nothing_changes(tmp_path, keep):
    path = tmp_path / "w.safetensors"
    weights.save(_model(), path)
    path.write_bytes(path.read_bytes()[:keep])
    model = _model()
    before = model.state_dict()
    with pytest.raises(WeightsError, match=r"w\.safetensors: not a safetensors file"):
        weights.load(model, path)
    assert _same(model, before)


@pytest.mark.parametrize("content", [b"\xff" * 64, b"\x08" + b"\0" * 7 + b"{}      ", b"hello"])
def test_a_file_of_something_else_is_refused(tmp_path, content):
    (tmp_path / "w").write_bytes(content)
    with pytest.raises(WeightsError, match="w: "):
        weights.load(_model(), tmp_path / "w")


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(WeightsError, match="cannot be read"):
            weights.load(_model(), path)


def test_weights_of_another_model_are_listed(tmp_path):
    weights.save(nn.Sequential(nn.Linear(5, 3), nn.Identity(), nn.Linear(3, 2)), tmp_path / "w")
    model = _model()
    before = model.state_dict()
    with pytest.raises(WeightsError) as caught:
        weights.load(model, tmp_path / "w")
    text = str(caught.value)
    assert "missing: 1.running_mean" in text and "unexpected: 2.weight" in text and "misshapen: 0.weight" in text
    assert _same(model, before)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "w"
    path.write_bytes(b"old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        weights.save(_model(), path)
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["w"]


def test_texts_in_the_header_come_back(tmp_path):
    weights.save({"w": np.ones(2)}, tmp_path / "w", metadata={"made by": "us", "more": "ü"})
    arrays, texts = weights.load_with_metadata(tmp_path / "w")
    assert texts == {"made by": "us", "more": "ü"} and list(arrays) == ["w"]
    weights.save({"w": np.ones(2)}, tmp_path / "w")
    assert weights.load_with_metadata(tmp_path / "w")[1] == {}


def test_what_a_checkpoint_holds_besides_is_no_weight(tmp_path):
    source, target = _model(), _model()
    weights.save({**source.state_dict(), f"{weights.RESERVED}step/moment": np.ones(2)}, tmp_path / "w")
    weights.load(target, tmp_path / "w")
    assert _same(target, source.state_dict())


def test_arrays_come_in_the_order_of_the_file(tmp_path):
    names = [f"{number:02}" for number in range(20)]
    weights.save({name: np.zeros(1, np.float32) for name in reversed(names)}, tmp_path / "w")
    assert list(weights.load_state(tmp_path / "w")) == names
