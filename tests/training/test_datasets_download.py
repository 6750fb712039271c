"""Downloads, from a server on loopback: right and wrong checksums, transfers that break off, and what is not there."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from graphnet import extras
from graphnet.errors import DataError, MissingExtraError
from graphnet.training.datasets import download, load, registry

pytest.importorskip("pooch")
pytest.importorskip("requests")


def _idx(array):
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


IMAGES = np.random.default_rng(0).integers(0, 256, (3, 28, 28), np.uint8)
FILES = {
    f"{part}-{what}-ubyte.gz": gzip.compress(content)
    for part in ("train", "t10k")
    for what, content in (("images-idx3", _idx(IMAGES)), ("labels-idx1", _idx(np.arange(3, dtype=np.uint8))))
}
BODY = b"a small file" * 50


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        name = self.path.rpartition("/")[2]
        body = FILES.get(name, BODY if name in ("file", "cut") else None)
        if body is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if name == "cut" else body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.asked = []
        running.url = f"http://127.0.0.1:{running.server_address[1]}/"
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def checksum(content, algorithm="md5"):
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_a_file_with_the_right_checksum_is_there_and_not_loaded_twice(server, tmp_path, algorithm):
    path = tmp_path / "new" / "file"
    for _ in range(2):
        download.fetch(server.url + "file", str(path), checksum(BODY, algorithm))
    assert path.read_bytes() == BODY and server.asked == ["/file"] and os.listdir(path.parent) == ["file"]


@pytest.mark.parametrize(
    ("name", "said"),
    [("file", "file: could not be loaded from http://127.0.0.1.*hash"), ("cut", "cut: could not be loaded from"),
     ("missing", "missing: could not be loaded from http://127.0.0.1.*404")],
)  # fmt: skip
def test_what_goes_wrong_is_one_error_and_leaves_nothing(server, tmp_path, name, said):
    with pytest.raises(DataError, match=said) as caught:
        download.fetch(server.url + name, str(tmp_path / name), checksum(BODY if name == "cut" else b"other"))
    assert "\n" not in caught.value.problem and os.listdir(tmp_path) == []


def test_no_server_is_one_error(tmp_path):
    with pytest.raises(DataError, match=r"could not be loaded from http://127\.0\.0\.1:9/x"):
        download.fetch("http://127.0.0.1:9/x", str(tmp_path / "x"), checksum(BODY))
    assert os.listdir(tmp_path) == []


def test_a_file_that_is_there_with_another_checksum_is_left_alone(server, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"mine")
    with pytest.raises(DataError, match=r"file: is there, but with the checksum md5:.*: remove it to load it anew"):
        download.fetch(server.url + "file", str(path), checksum(BODY))
    assert path.read_bytes() == b"mine" and server.asked == []


def test_a_data_set_is_loaded_and_read(server, tmp_path, monkeypatch):
    sums = {name: hashlib.md5(content).hexdigest() for name, content in FILES.items()}
    source = dataclasses.replace(registry.SOURCES["mnist"], base=server.url, files=sums)
    monkeypatch.setitem(registry.SOURCES, "mnist", source)
    with pytest.raises(DataError, match="has no file train-images-idx3-ubyte"):
        load("mnist", tmp_path)
    data = load("mnist", tmp_path, download=True)
    np.testing.assert_array_equal(np.rint(data.train.images[:, 0] * 255), IMAGES)
    assert sorted(os.listdir(tmp_path)) == sorted(FILES) and len(server.asked) == 4
    load("mnist", tmp_path, download=True)
    assert len(server.asked) == 4


def test_without_the_library_the_extra_is_named(tmp_path, monkeypatch):
    def missing(module):
        raise ImportError(f"No module named {module!r}")

    monkeypatch.setattr(extras, "import_module", missing)
    with pytest.raises(MissingExtraError, match=r"pooch is needed .* pip install 'graphnet\[data\]'"):
        download.fetch("http://127.0.0.1:9/x", str(tmp_path / "x"), checksum(BODY))
