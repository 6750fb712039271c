"""The environment is read when asked, and a bad value names its variable."""

import pytest

from graphnet import config
from graphnet.errors import ArgumentError


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in ("BACKEND", "DEBUG", "CHECK", "CACHE", "CACHE_MB", "NATIVE_VECTOR"):
        monkeypatch.delenv(f"GRAPHNET_{name}", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def test_defaults():
    assert (config.backend(), config.debug(), config.check()) == (config.default_backend(), 0, 0)


@pytest.mark.parametrize(("found", "name"), [(None, "numpy"), (object(), "native")])
def test_the_default_backend_is_the_fastest_that_is_installed(found, name, monkeypatch):
    asked = []
    monkeypatch.setattr(config, "find_spec", lambda module: asked.append(module) or found)
    assert config.backend() == name and asked == ["llvmlite"]


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
    assert (config.backend(), config.debug(), config.check()) == (config.default_backend(), 0, 0)


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


def test_the_folder_of_compiled_code(monkeypatch):
    monkeypatch.setenv("HOME", "/somebody")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert config.cache() == "/somebody/.cache/graphnet"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/as/the/specification/forbids")
    assert config.cache() == "/somebody/.cache/graphnet"
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert config.cache() == "/cache/graphnet"
    monkeypatch.setenv("GRAPHNET_CACHE", "~/code")
    assert config.cache() == "/somebody/code"
    monkeypatch.setenv("GRAPHNET_CACHE", "off")
    assert config.cache() is None


def test_the_size_of_the_folder_of_compiled_code(monkeypatch):
    assert config.cache_bytes() == 256_000_000
    monkeypatch.setenv("GRAPHNET_CACHE_MB", "3")
    assert config.cache_bytes() == 3_000_000
    for text in ("-1", "1.5", "much", "²"):
        monkeypatch.setenv("GRAPHNET_CACHE_MB", text)
        with pytest.raises(ArgumentError, match=f"GRAPHNET_CACHE_MB must be a whole number .*'{text}'"):
            config.cache_bytes()


def test_the_width_of_native_vectors(monkeypatch):
    assert config.native_vector() is None
    monkeypatch.setenv("GRAPHNET_NATIVE_VECTOR", "64")
    assert config.native_vector() == 64
    for text in ("8", "0", "-16", "32.0", "wide"):
        monkeypatch.setenv("GRAPHNET_NATIVE_VECTOR", text)
        with pytest.raises(ArgumentError, match=f"GRAPHNET_NATIVE_VECTOR must be one of 16, 32, 64, not '{text}'"):
            config.native_vector()


def test_whether_convolutions_may_go_by_tiles(monkeypatch):
    assert config.native_winograd()
    monkeypatch.setenv("GRAPHNET_NATIVE_WINOGRAD", "off")
    assert not config.native_winograd()
    monkeypatch.setenv("GRAPHNET_NATIVE_WINOGRAD", "maybe")
    with pytest.raises(ArgumentError, match=r"GRAPHNET_NATIVE_WINOGRAD must be .*'maybe'"):
        config.native_winograd()
