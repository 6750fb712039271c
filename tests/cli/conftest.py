"""The small model in the folder that a command runs in, and weights that it was trained to."""

import shutil

import pytest

from graphnet.cli import main
from tests.cli.small import SMALL


@pytest.fixture
def model(tmp_path, monkeypatch):
    """The file of a small model, in the folder that the command runs in."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.py").write_text(SMALL)
    return "small.py"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    (folder / "small.py").write_text(SMALL)
    assert main(["train", str(folder / "small.py"), "--epochs", "1", "--out", str(folder)]) == 0
    return folder / "weights.safetensors"


@pytest.fixture
def weights(model, trained, capsys):
    """A file of weights of the small model, beside it."""
    capsys.readouterr()
    return shutil.copy(trained, "weights.safetensors")
