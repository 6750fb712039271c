"""Data files as they come: IDX, CIFAR, arrays, folders of pictures, and what is told of those that are damaged."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import tracemalloc

import numpy as np
import pytest

from graphnet.errors import ArgumentError, DataError
from graphnet.training.datasets import files as files_module
from graphnet.training.datasets import image_folder, load, read_idx, read_npy, read_npz, text
from graphnet.training.datasets.cifar import CIFAR10, CIFAR100
from graphnet.training.datasets.files import EXPANSION, FREE
from graphnet.training.datasets.registry import SOURCES

RNG = np.random.default_rng(0)
SIDE = 28


def idx(array, kind=8):
    array = np.asarray(array)
    return bytes([0, 0, kind, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def mnist(tmp_path):
    """A folder with five images to train on, two in gzip to test on, and what they are."""
    images, labels = RNG.integers(0, 256, (7, SIDE, SIDE), np.uint8), np.arange(7, dtype=np.uint8)
    write(tmp_path / "train-images-idx3-ubyte", idx(images[:5]))
    write(tmp_path / "train-labels.idx1-ubyte", idx(labels[:5]))
    write(tmp_path / "t10k-images-idx3-ubyte.gz", gzip.compress(idx(images[5:])))
    write(tmp_path / "t10k-labels-idx1-ubyte.gz", gzip.compress(idx(labels[5:])))
    return tmp_path, images, labels


def cifar_files(kind, count=3):
    """The files of a small CIFAR by name, and all its records in order."""
    files, records = {}, []
    for name in (*kind.train, kind.test):
        found = RNG.integers(0, 256, (count, kind.record), np.uint8)
        for column, classes in enumerate(kind.labels):
            found[:, column] %= classes
        files[name] = found.tobytes()
        records.append(found)
    files[kind.names] = "".join(f"class {i}\n" for i in range(kind.labels[-1])).encode() + b"\n"
    return files, records


def archive(kind, files, form=tarfile.GNU_FORMAT):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=form) as tar:
        folder = tarfile.TarInfo(kind.folder)
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, content in {"readme.html": b"<p>" * 200, **files}.items():
            info = tarfile.TarInfo(f"{kind.folder}/{name}")
            info.size = len(content)
            info.pax_headers = {"comment": "x" * 600} if form == tarfile.PAX_FORMAT else {}
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def told(action, *words):
    """The error of `action`, which must be one line with all these words."""
    with pytest.raises(DataError) as caught:
        action()
    assert "\n" not in caught.value.problem
    for word in words:
        assert word in caught.value.problem
    return caught.value.problem


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_mnist_is_read_packed_or_not(mnist, name):
    folder, images, labels = mnist
    data = load(name, folder)
    assert len(data.classes) == 10 and data.train.images.shape == (5, 1, SIDE, SIDE)
    assert data.train.images.dtype == np.float32 and data.train.labels.dtype == np.int64
    np.testing.assert_array_equal(data.train.labels, labels[:5])
    np.testing.assert_array_equal(data.test.labels, labels[5:])
    np.testing.assert_array_equal(data.train.images[:, 0], images[:5] / np.float32(255))
    np.testing.assert_array_equal(np.rint(data.test.images[:, 0] * 255), images[5:])


@pytest.mark.parametrize(("kind", "dtype"), [(9, "i1"), (0xB, ">i2"), (0xC, ">i4"), (0xD, ">f4"), (0xE, ">f8")])
def test_idx_holds_numbers_of_every_type(tmp_path, kind, dtype):
    wanted = RNG.integers(-100, 100, (2, 3, 4)).astype(dtype)
    found = read_idx(write(tmp_path / "x.idx", idx(wanted, kind)))
    np.testing.assert_array_equal(found, wanted)
    assert found.dtype.isnative


@pytest.mark.parametrize("kind", [CIFAR10, CIFAR100], ids=["cifar10", "cifar100"])
@pytest.mark.parametrize("form", ["folder", "files", "gnu", "ustar", "pax"])
def test_cifar_is_read_from_its_archive_or_unpacked(tmp_path, kind, form):
    files, records = cifar_files(kind)
    if form in ("folder", "files"):
        for name, content in files.items():
            write(tmp_path / (kind.folder if form == "folder" else "") / name, content)
    else:
        forms = {"gnu": tarfile.GNU_FORMAT, "ustar": tarfile.USTAR_FORMAT, "pax": tarfile.PAX_FORMAT}
        write(tmp_path / kind.archive, archive(kind, files, forms[form]))
    data = load("cifar10" if kind is CIFAR10 else "cifar100", tmp_path)
    assert data.classes[3] == "class 3" and len(data.classes) == kind.labels[-1]
    for part, found in ((data.train, np.concatenate(records[:-1])), (data.test, records[-1])):
        np.testing.assert_array_equal(part.labels, found[:, len(kind.labels) - 1])
        np.testing.assert_array_equal(np.rint(part.images * 255).reshape(len(found), -1), found[:, len(kind.labels) :])
    assert sorted(os.listdir(tmp_path)) == sorted({kind.folder} if form == "folder" else
                                                  files if form == "files" else {kind.archive})  # fmt: skip


def test_mnist_that_is_mislabelled_or_does_not_fit_is_told(mnist):
    folder, images, labels = mnist
    pictures, numbers = folder / "train-images-idx3-ubyte", folder / "train-labels.idx1-ubyte"
    for path, content, words in (
        (pictures, idx(labels), ("byte 0: expected 0x00000803", "found 0x00000801")),
        (pictures, idx(images.astype(">i4"), 0xC), ("byte 0", "found 0x00000c03")),
        (pictures, idx(images[:5, :20]), ("byte 8: expected images of 28 by 28 pixels, found 20 by 28",)),
        (pictures, idx(images[:4]), ("labels", "byte 4: expected 4 labels", "found 5")),
        (pictures, idx(images[:0]), ("byte 4: expected sizes of at least 1",)),
        (pictures, idx(images)[:-1], ("byte 16: expected an array of shape (7, 28, 28), 5488 bytes, found 5487",)),
        (pictures, idx(images[:5]) + b"\0", ("byte 3936: expected the end of the file, found more bytes",)),
        (pictures, b"<html>404</html>", ("byte 0: expected 0x00000803", "found 0x3c68746d")),
        (pictures, b"\0\0", ("byte 0: expected the header of an IDX file, 4 bytes, found 2",)),
        (pictures, idx(images)[:10], ("byte 4: expected sizes of axes, 12 bytes, found 6",)),
        (pictures, b"", ("byte 0: expected data, found an empty file",)),
        (numbers, idx(np.array([0, 1, 10, 3, 255], np.uint8)), ("byte 10: expected a label from 0 to 9, found 10",)),
    ):
        before = path.read_bytes()
        path.write_bytes(content)
        told(lambda: load("mnist", folder), path.name if "labels" not in words else "labels", *words)
        path.write_bytes(before)
    load("mnist", folder)
    numbers.unlink()
    told(lambda: load("mnist", folder), "has no file train-labels-idx1-ubyte or train-labels-idx1-ubyte.gz")


def test_gzip_that_is_cut_or_damaged_is_told_with_the_byte(mnist):
    folder, images, _ = mnist
    path = folder / "t10k-images-idx3-ubyte.gz"
    whole = path.read_bytes()
    for cut in (len(whole) // 2, len(whole) - 3):
        path.write_bytes(whole[:cut])
        told(lambda: load("mnist", folder), path.name, f"byte {cut}: expected more of the gzip stream")
    path.write_bytes(whole[:500] + bytes([whole[500] ^ 255]) + whole[501:])
    told(lambda: load("mnist", folder), path.name, "expected a gzip stream, found a damaged one")
    path.write_bytes(gzip.compress(idx(images[5:])[:-9]))
    told(lambda: load("mnist", folder), "(unpacked): byte 1575", "the end of the file after 1559")
    path.write_bytes(whole + b"junk")
    told(lambda: load("mnist", folder), path.name, "damaged")


def test_a_claim_is_not_believed(tmp_path):
    huge = bytes([0, 0, 8, 3]) + np.array([2**31, 2**16, 2**16], ">u4").tobytes()
    for name, content in (("plain", huge + bytes(99)), ("packed.gz", gzip.compress(huge + bytes(99)))):
        path = write(tmp_path / name, content)
        tracemalloc.start()
        told(lambda path=path: read_idx(path), "an array of shape (2147483648, 65536, 65536)")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2 * FREE


def test_a_bomb_is_not_unpacked(tmp_path):
    size = 1 << 24
    packed = gzip.compress(bytes([0, 0, 8, 1]) + np.array([size], ">u4").tobytes() + bytes(size), 9)
    assert FREE + EXPANSION * len(packed) < size
    bombs = {"x.idx.gz": (read_idx, packed)}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, x=np.zeros(size, np.uint8))
    bombs["x.npz"] = (read_npz, buffer.getvalue())
    files, _ = cifar_files(CIFAR10)
    bombs[CIFAR10.archive] = (lambda path: load("cifar10", path.parent), archive(CIFAR10, {"a": bytes(size), **files}))
    for name, (read, content) in bombs.items():
        path = write(tmp_path / name, content)
        tracemalloc.start()
        told(lambda read=read, path=path: read(path), name)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 3 * (FREE + len(content)), name


def test_a_cifar_that_is_damaged_is_told(tmp_path):
    kind, (files, _) = CIFAR100, cifar_files(CIFAR100)
    cut = {**files, "train.bin": files["train.bin"][:-1]}
    label = {**files, "test.bin": files["test.bin"][:3074] + b"\x03\x64" + files["test.bin"][3076:]}
    path = tmp_path / kind.archive
    whole = archive(kind, files)
    for content, words in (
        (archive(kind, cut), ("(unpacked), in cifar-100-binary/train.bin: byte ", "whole records of 3074 bytes")),
        (archive(kind, label), ("in cifar-100-binary/test.bin", "expected a label from 0 to 99, found 100")),
        (archive(kind, {**files, kind.names: b"a\nb\n"}), ("expected 100 names of classes, found 2",)),
        (archive(kind, {"test.bin": files["test.bin"]}), ("found no train.bin, fine_label_names.txt",)),
        (whole[: len(whole) // 2], (f"byte {len(whole) // 2}: expected more of the gzip stream",)),
        (gzip.compress(bytes(100)), ("expected the header of a member of a tar archive, 512 bytes",)),
        (gzip.compress(b"x" * 512), ("byte 0: expected a header of a tar archive, whose checksum is",)),
        (gzip.compress(gzip.decompress(whole) + b"x" * 512), ("zeros after the end of a tar archive",)),
        (b"pickled", ("expected the header of a member of a tar archive, 512 bytes, found 7 bytes",)),
    ):
        path.write_bytes(content)
        told(lambda: load("cifar100", tmp_path), kind.archive, *words)
    path.unlink()
    told(lambda: load("cifar100", tmp_path), f"has neither {kind.archive} nor a folder {kind.folder}")
    for name, content in label.items():
        write(tmp_path / name, content)
    told(lambda: load("cifar100", tmp_path), "test.bin: byte 3075: expected a label from 0 to 99, found 100")


def test_what_is_no_file_is_told(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    readers = (read_idx, read_npy, read_npz, lambda path: text(path=path))
    for read in readers:
        told(lambda read=read: read(tmp_path / "loop"), "loop: cannot be read: Too many levels of symbolic links")
        told(lambda read=read: read(tmp_path / "folder"), "folder: expected a file, found a directory")
        told(lambda read=read: read(tmp_path / "pipe"), "pipe: expected a file, found a pipe")
        told(lambda read=read: read(tmp_path / "none"), "none: cannot be read: No such file or directory")
        told(lambda read=read: read("a\0b"), "null")
    for name in ("mnist", "cifar10", "folder"):
        told(lambda name=name: load(name, tmp_path / "none"), "none")
    write(tmp_path / "train-labels-idx1-ubyte", idx(np.zeros(1, np.uint8)))
    (tmp_path / "train-images-idx3-ubyte").symlink_to("train-images-idx3-ubyte")
    told(lambda: load("mnist", tmp_path), "symbolic links")


def test_the_line_that_is_named_is_the_users(tmp_path):
    with pytest.raises(DataError) as caught:
        read_idx(tmp_path / "none")
    assert "\n  at " + __file__ in str(caught.value)


def test_a_file_that_may_not_be_read_is_told(tmp_path, monkeypatch):
    def refuse(path, mode):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(files_module, "open", refuse, raising=False)  # as for a user who may not; root may everything
    path = write(tmp_path / "x", b"x")
    for read in (read_idx, read_npy, read_npz, lambda path: text(path=path)):
        told(lambda read=read: read(path), "x: cannot be read: Permission denied")


def test_arrays_are_read_from_npz_or_a_folder(tmp_path):
    x, y = RNG.integers(0, 256, (10, 4, 5), np.uint8), np.arange(10, dtype=np.int32)
    np.savez_compressed(tmp_path / "four.npz", x_train=x[:7], y_train=y[:7], x_test=x[7:], y_test=y[7:])
    np.savez(tmp_path / "two.npz", x=np.asfortranarray(x / 255.0), y=y[:, np.newaxis] / 2, more=y)
    (tmp_path / "folder").mkdir()
    for name, part in (("x_train", x[:7]), ("y_train", y[:7].astype(">i8")), ("x_test", x[7:]), ("y_test", y[7:])):
        np.save(tmp_path / "folder" / f"{name}.npy", part)
    for name in ("four.npz", "folder"):
        data = load("arrays", tmp_path / name)
        np.testing.assert_array_equal(data.train.images, x[:7, np.newaxis] / np.float32(255))
        np.testing.assert_array_equal(data.test.labels, y[7:])
        assert data.train.images.dtype == np.float32 and data.train.labels.dtype == np.int64
    data = load("arrays", tmp_path / "two.npz", test_share=0.3, seed=3)
    assert data.train.images.shape == (7, 4, 5) and data.test.labels.shape == (3, 1)
    order = np.rint(2 * np.concatenate([data.test.labels, data.train.labels])[:, 0]).astype(int)
    np.testing.assert_array_equal(np.concatenate([data.test.images, data.train.images]), (x / np.float32(255))[order])
    again = load("arrays", tmp_path / "two.npz", test_share=0.3, seed=3)
    np.testing.assert_array_equal(data.test.labels, again.test.labels)


def test_arrays_that_cannot_be_used_are_told(tmp_path):
    x, y = np.zeros((3, 2), np.float32), np.zeros(3, np.int64)
    path = tmp_path / "data.npz"
    for found, words in (
        ({"x": x, "z": y}, ("expected arrays called x_train, y_train, x_test and y_test, or x and y, found x, z",)),
        ({"x": x, "y": y[:2]}, ("as many examples in x as in y, got (3, 2) and (2,)",)),
        ({"x": x, "y": np.array([0, np.nan, 1])}, ("y holds nan at (1,)",)),
        ({"x": x, "y": np.array([{}, {}, {}])}, ("y.npy", "holds Python objects, which are not read")),
        ({"x": x, "y": np.array(list("abc"))}, ("expected numbers, found <U1",)),
        ({"x_train": x, "y_train": y, "x_test": x[:, :1], "y_test": y}, ("differ in more than number",)),
        ({"x": x[:1], "y": y[:1]}, ("one example cannot be for training and for testing",)),
    ):
        np.savez(path, **found)
        told(lambda: load("arrays", path), "data.npz", *words)
    told(lambda: load("arrays", write(path, b"PK\x03\x04 no")), "not an .npz file, or a damaged one")
    np.save(tmp_path / "x.npy", x)
    whole = (tmp_path / "x.npy").read_bytes()
    for content, words in (
        (whole[:-1], ("byte 128: expected 24 bytes, float32 of shape (3, 2), found 23",)),
        (whole + b"\0", ("byte 128: expected 24 bytes", "found 25")),
        (whole.replace(b"(3, 2)", b"(-3, 2)"), ("byte 0: expected",)),
        (whole.replace(b"(3, 2), }  ", b"(9**9, 2), }"), ("byte 0: expected the header of a .npy file",)),
        (whole[:50], ("byte 0: expected the header of a .npy file",)),
    ):
        (tmp_path / "x.npy").write_bytes(content)
        told(lambda: read_npy(tmp_path / "x.npy"), "x.npy", *words)


def _picture(path, pixels, mode=None):
    image = pytest.importorskip("PIL.Image")
    path.parent.mkdir(parents=True, exist_ok=True)
    image.fromarray(pixels, mode).save(path)
    return path


def test_a_folder_of_pictures_has_its_classes_in_order(tmp_path):
    for position, name in enumerate(("b", "a", "c")):
        for number in range(4):
            _picture(tmp_path / name / f"{number}.png", np.full((4, 6, 3), 10 * position + number, np.uint8))
    (tmp_path / "a" / ".hidden").write_bytes(b"x")
    data = load("folder", tmp_path, test_share=0.25)
    assert data.classes == ("a", "b", "c")
    assert data.train.images.shape == (9, 3, 4, 6) and data.test.images.shape == (3, 3, 4, 6)
    for part in (data.train, data.test):
        found = np.rint(part.images[:, 0, 0, 0] * 255).astype(int) // 10
        np.testing.assert_array_equal(np.array([1, 0, 2])[found], part.labels)
    small = image_folder(tmp_path, size=(2, 3), channels=1)
    assert small.train.images.shape[1:] == (1, 2, 3)
    for name in ("a", "b", "c"):
        _picture(tmp_path / "two" / "train" / name / "x.png", np.zeros((3, 3), np.uint8))
        _picture(tmp_path / "two" / "test" / name / "x.png", np.full((3, 3), 255, np.uint8))
    parts = load("folder", tmp_path / "two")
    assert parts.train.images.shape == (3, 1, 3, 3) and parts.train.images.max() == 0 and parts.test.images.min() == 1
    os.rename(tmp_path / "two" / "test" / "c", tmp_path / "two" / "test" / "d")
    told(lambda: load("folder", tmp_path / "two"), "expected the classes of", "('a', 'b', 'd')")


def test_pictures_that_cannot_be_used_are_told(tmp_path):
    root = tmp_path / "root"
    _picture(root / "a" / "0.png", np.zeros((4, 4), np.uint8))
    second = _picture(root / "b" / "1.png", RNG.integers(0, 256, (4, 4), np.uint8))
    whole = second.read_bytes()
    for content, words in (
        (whole[: len(whole) // 2], ("1.png: cannot be read as a picture",)),
        (b"text", ("1.png: cannot be read as a picture: no format that Pillow knows",)),
        (b"", ("1.png: byte 0: expected data, found an empty file",)),
    ):
        second.write_bytes(content)
        told(lambda: load("folder", root), *words)
    _picture(second, np.zeros((4, 5), np.uint8))
    told(lambda: load("folder", root), "1.png: expected 4 by 4 pixels as", "0.png has, or a `size`", "found 4 by 5")
    _picture(second, np.zeros((4, 4), np.uint16))
    told(lambda: load("folder", root), "1.png: expected a picture of 8 bits a channel, found the mode I;16")
    _picture(second, np.zeros((4000, 4000), np.uint8))
    told(lambda: load("folder", root), "1.png: byte 0: expected a picture that fits a file of", "4000 by 4000")
    second.unlink()
    told(lambda: load("folder", root), "one picture cannot be for training and for testing")
    (root / "b").rmdir()
    (root / "a" / "0.png").unlink()
    told(lambda: load("folder", root), "found none")
    write(root / "readme.txt", b"x")
    told(lambda: load("folder", root), "readme.txt: expected a folder of pictures, one for each class, found a file")
    told(lambda: load("folder", root / "readme.txt"), "readme.txt: expected a folder, found a file")


def test_wrong_names_and_options_are_told(tmp_path):
    for action, words in (
        (lambda: load("imagenet"), "expected one of digits, text, mnist, fashion-mnist, cifar10, cifar100, folder"),
        (lambda: load(3), "got 3"),
        (lambda: load("mnist"), "mnist needs data_dir, the folder with its four files"),
        (lambda: load("digits", tmp_path), "digits is bundled and takes no data_dir"),
        (lambda: load("digits", sise=3), "digits has size, seed: got the option 'sise'"),
        (lambda: load("mnist", tmp_path, size=3), "mnist has none: got the option 'size'"),
        (lambda: load("digits", download=True), "digits cannot be downloaded"),
        (lambda: load("folder", tmp_path, download=True), "folder cannot be downloaded"),
        (lambda: image_folder(tmp_path, size=0), "size must be a positive integer, or two, got 0"),
        (lambda: image_folder(tmp_path, channels=2), "channels must be 1 or 3, got 2"),
        (lambda: image_folder(tmp_path, test_share=1), "test_share must be between 0 and 1, got 1"),
    ):
        with pytest.raises(ArgumentError, match=words):
            action()


def _samples(tmp_path):
    """A small file of each format, and what reads it."""
    x = RNG.integers(0, 256, (3, 4, 4), np.uint8)
    np.save(tmp_path / "a.npy", x)
    np.savez_compressed(tmp_path / "a.npz", x=x, y=np.arange(3))
    kind = CIFAR100
    files, _ = cifar_files(kind, 1)
    write(tmp_path / "a.idx", idx(x))
    write(tmp_path / "a.idx.gz", gzip.compress(idx(x)))
    write(tmp_path / kind.archive, archive(kind, files))
    write(tmp_path / "a.txt", "aä\n".encode() * 100)
    samples = {
        "a.npy": read_npy,
        "a.npz": lambda path: load("arrays", path),
        "a.idx": read_idx,
        "a.idx.gz": read_idx,
        kind.archive: lambda path: load("cifar100", path.parent),
        "a.txt": lambda path: text(2, path=path, alphabet="aä\n"),
    }
    if pytest.importorskip("PIL"):
        _picture(tmp_path / "p" / "a" / "0.png", RNG.integers(0, 256, (5, 5, 3), np.uint8))
        _picture(tmp_path / "p" / "a" / "1.png", RNG.integers(0, 256, (5, 5, 3), np.uint8))
        samples["p/a/1.png"] = lambda path: load("folder", path.parent.parent)
    return samples


def test_readers_give_arrays_or_one_clear_error_whatever_the_bytes(tmp_path):
    for name, read in _samples(tmp_path).items():
        path = tmp_path / name
        whole = path.read_bytes()
        cuts = range(len(whole)) if len(whole) < 150 else RNG.integers(0, len(whole), 60).tolist()
        variants = [whole[:cut] for cut in cuts]
        for _ in range(100):
            changed = bytearray(whole)
            for place in RNG.integers(0, min(len(whole), RNG.choice([64, 600, 10_000])), RNG.integers(1, 4)):
                changed[place] = RNG.choice([0, 255, changed[place] ^ (1 << int(RNG.integers(8)))])
            variants.append(bytes(changed))
        read(path)
        failures = 0
        for content in variants:
            path.write_bytes(content)
            tracemalloc.start()
            try:
                read(path)
            except DataError as error:
                failures += 1
                assert path.name in error.problem or "expected arrays called" in error.problem
            finally:
                peak = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
            assert peak < 2 * FREE + 40 * len(content), name
        assert failures > len(cuts) // 2, name
        path.write_bytes(whole)


def test_every_set_that_can_be_downloaded_has_a_checksum_for_each_file():
    for name, source in SOURCES.items():
        assert bool(source.base) == bool(source.files) == (name in ("mnist", "fashion-mnist", "cifar10", "cifar100"))
        assert all(len(checksum) == 32 and int(checksum, 16) for checksum in source.files.values())
