"""The environment is read when asked, and a bad value names its variable."""

import pytest

from graphnet import config
from graphnet.errors import ArgumentError


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for variable in ("GRAPHNET_BACKEND", "GRAPHNET_DEBUG", "GRAPHNET_CHECK", "OMP_NUM_THREADS"):
        monkeypatch.delenv(variable, raising=False)


def test_defaults():
    assert (config.backend(), config.debug(), config.check()) == ("numpy", 0, 0)


def test_values_are_read_at_each_call(monkeypatch):
    for level in range(6):
        monkeypatch.setenv("GRAPHNET_DEBUG", str(level))
        assert config.debug() == level
    monkeypatch.setenv("GRAPHNET_CHECK", " 2 ")
    assert config.check() == 2
    monkeypatch.setenv("GRAPHNET_BACKEND", "naive")
    assert config.backend() == config.backend(known=("naive", "numpy")) == "naive"


def test_empty_means_not_set(monkeypatch):
    for variable in ("GRAPHNET_BACKEND", "GRAPHNET_DEBUG", "GRAPHNET_CHECK"):
        monkeypatch.setenv(variable, "")
    assert (config.backend(), config.debug(), config.check()) == ("numpy", 0, 0)


@pytest.mark.parametrize("text", ["6", "-1", "1.5", "yes", "²"])
def test_a_bad_debug_level_names_the_variable(monkeypatch, text):
    monkeypatch.setenv("GRAPHNET_DEBUG", text)
    with pytest.raises(ArgumentError, match=rf"GRAPHNET_DEBUG must be an integer from 0 to 5, not '{text}'"):
        config.debug()


def test_a_bad_check_level_names_the_variable(monkeypatch):
    monkeypatch.setenv("GRAPHNET_CHECK", "3")
    with pytest.raises(ArgumentError, match="GRAPHNET_CHECK must be an integer from 0 to 2, not '3'"):
        config.check()


def test_an_unknown_backend_names_the_variable_and_the_choices(monkeypatch):
    monkeypatch.setenv("GRAPHNET_BACKEND", "cuda")
    with pytest.raises(ArgumentError, match="GRAPHNET_BACKEND must be one of naive, numpy, not 'cuda'"):
        config.backend(known=("numpy", "naive"))


def test_the_threads_of_blas_are_reported_as_they_are_set(monkeypatch):
    assert config.blas_threads() == ""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert config.blas_threads() == "2"
