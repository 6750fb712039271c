"""The members of a tar archive, one after the other, straight from the stream: nothing is unpacked to disk.

Headers are as POSIX.1-1988 has them (ustar): 512 bytes with name, size in octal digits and a checksum, then the data,
filled up to a multiple of 512. The standard library's `tarfile` reads whole extended headers at the size that they
claim, and gives no offsets in its errors.
"""

from __future__ import annotations

from collections.abc import Iterator

from graphnet.training.datasets.files import Source, damaged

_BLOCK = 512
_REGULAR = b"0\0"  # the types of a file


def members(source: Source) -> Iterator[tuple[str, int]]:
    """Name and size of each file; whoever takes one may read its data from `source`, all or none of it.

    Folders, links and extended headers are read over. Raises `DataError`, which names the byte, for a header that is
    none, an archive that is cut, and data after its end.
    """
    while True:
        start = source.offset
        header = source.read(_BLOCK, "the header of a member of a tar archive")
        if not any(header):
            break
        size = _size(source, header, start)
        data = source.offset
        if header[156] in _REGULAR:
            yield bytes(header[:100]).split(b"\0")[0].decode("ascii", "backslashreplace"), size
        padded = -(-size // _BLOCK) * _BLOCK
        source.skip(data + padded - source.offset, "the data of a member of a tar archive")
    _check_end(source)


def _size(source: Source, header: bytearray, start: int) -> int:
    """The size that a header gives, once its checksum is right: the sum of its bytes, the checksum's as spaces."""
    total = sum(header) - sum(header[148:156]) + 8 * ord(" ")
    if _octal(header[148:156]) != total:
        found = bytes(header[148:156])
        damaged(source.place, start, f"a header of a tar archive, whose checksum is {total:o}", found)
    size = _octal(header[124:136])
    if size is None:
        damaged(source.place, start + 124, "a size in octal digits", bytes(header[124:136]))
    return size


def _octal(field: bytearray) -> int | None:
    digits = bytes(field).strip(b" \0")
    return int(digits, 8) if digits and all(digit in b"01234567" for digit in digits) else None


def _check_end(source: Source) -> None:
    """After a block of zeros there may be nothing but zeros: tar fills up what it writes."""
    while piece := source.rest(_BLOCK):
        if any(piece):
            damaged(source.place, source.offset - len(piece), "zeros after the end of a tar archive", "other bytes")
