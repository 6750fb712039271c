"""Messages between processes: pickled objects, each preceded by its length in eight bytes."""

from __future__ import annotations

import pickle
import struct
from typing import IO, Any


def send(target: IO[bytes], message: object) -> None:
    """Write one message."""
    content = pickle.dumps(message)
    target.write(struct.pack("<Q", len(content)))
    target.write(content)
    target.flush()


def receive(source: IO[bytes]) -> Any:
    """Read one message; None where the other side has ended."""
    head = source.read(8)
    if len(head) < 8:
        return None
    content = source.read(struct.unpack("<Q", head)[0])
    return pickle.loads(content)
