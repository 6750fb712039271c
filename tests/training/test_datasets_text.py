"""Text: the bundled one, files, pieces, and what is told of text that cannot be used."""

from __future__ import annotations

import numpy as np
import pytest

from graphnet.errors import ArgumentError, DataError
from graphnet.training.datasets import text
from graphnet.training.datasets.language import ASCII, bundled_text, decode, encode


@pytest.fixture
def story(tmp_path):
    def write(content):
        path = tmp_path / "story.txt"
        path.write_bytes(content)
        return path

    return write


def test_the_bundled_text_is_english_in_ascii_and_the_same_on_every_call():
    pytest.importorskip("sklearn")
    found = bundled_text()
    assert 30_000 < len(found) < 60_000 and set(found) <= set(ASCII) and found.count(" the ") > 100
    first, second = text(), text()
    assert first.alphabet == ASCII and len(ASCII) == 96
    assert first.train.tokens.shape == first.train.targets.shape == (len(first.train.tokens), 64)
    assert first.train.tokens.dtype == first.test.targets.dtype == np.int64
    for one, other in zip(first.train + first.test, second.train + second.test, strict=True):
        np.testing.assert_array_equal(one, other)


def test_targets_are_the_next_characters_and_the_parts_share_none(story):
    # Every place of this text is known by its three digits and letter.
    content = "".join(f"{i:03d}{chr(97 + i % 26)}" for i in range(1000))
    data = text(7, path=story(content.encode()), stride=3)
    for part in (data.train, data.test):
        np.testing.assert_array_equal(part.tokens[:, 1:], part.targets[:, :-1])
        for tokens, targets in zip(part.tokens, part.targets, strict=True):
            piece = decode(tokens, ASCII)
            assert piece in content and piece + decode(targets[-1:], ASCII) in content
    used = [{content.index(decode(piece, ASCII)) + i for piece in part.tokens for i in range(8)} for part in data[:2]]
    assert not used[0] & used[1] and 0.08 < len(used[1]) / len(content) < 0.12
    assert len(used[1]) >= 0.9 * 400 and min(used[0]) == 0 and max(used[0]) >= 3996


def test_what_editors_put_into_files_is_read(story):
    path = story(b"\xef\xbb\xbf" + b"one\r\ntwo\rthree\tfour\n" * 60)
    data = text(4, path=path, stride=1)
    assert decode(data.train.tokens[0], ASCII) + decode(data.train.targets[0], ASCII) == "one\nne\nt"


def test_another_alphabet_numbers_other_characters(story):
    data = text(2, path=story("ßabé".encode() * 60), alphabet="ßéba")
    assert data.alphabet == "ßéba" and set(data.train.tokens.ravel()) == {0, 1, 2, 3}
    assert decode(encode("abßé", "ßéba"), "ßéba") == "abßé"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "byte 0: expected data, found an empty file"),
        (b"ab" * 500 + b"\xff", "byte 1000: expected text in UTF-8, found 0xff, invalid start byte"),
        (b"\xef\xbb\xbfabc\xc3", "byte 6: expected text in UTF-8, found 0xc3, unexpected end of data"),
        ("a\nbé".encode(), "line 2, column 2: 'é' is not among the 96 characters"),
        (b"a\x00b", r"line 1, column 2: '\\x00' is not among"),
        (b"a" * 449, "449 characters; for pieces of 8 there must be at least 450"),
    ],
)
def test_text_that_cannot_be_used_is_told_with_its_place(story, content, said):
    with pytest.raises(DataError, match=f"story.txt: {said}"):
        text(8, path=story(content))


def test_wrong_arguments_are_told(tmp_path):
    for options, said in (
        ({"length": 0}, "length must be a positive integer, got 0"),
        ({"stride": True}, "stride must be a positive integer, got True"),
        ({"alphabet": "aa"}, "alphabet must be a str of different characters"),
        ({"alphabet": ""}, "alphabet must be a str"),
    ):
        with pytest.raises(ArgumentError, match=said):
            text(**options)
    with pytest.raises(DataError, match="expected a file, found a directory"):
        text(path=tmp_path)
    with pytest.raises(DataError, match=r"nothing\.txt: cannot be read: No such file"):
        text(path=tmp_path / "nothing.txt")
