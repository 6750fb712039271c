"""A kernel as text in which names do not count: kernels with the same text are the same code."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from graphnet.backend.native.loops import (
    Affine,
    Apply,
    Const,
    For,
    Kernel,
    Load,
    Pick,
    Position,
    Prefetch,
    Register,
    Set,
    Shuffle,
    Splat,
    Statement,
    Store,
    Value,
    parts,
)


def canonical(kernel: Kernel) -> str:
    """All that decides the code of `kernel`: everything but the names of the kernel, its buffers and its variables.

    Every value stands on a line of its own, in the order in which it is computed, so that the text is as long as the
    kernel has parts, however often they are used.
    """
    return _Text(kernel).text()


class _Text:
    """One kernel as it is written out. Buffers, variables and registers are numbered in the order of their coming."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.numbers: dict[object, str] = {buffer: f"b{n}" for n, buffer in enumerate(kernel.buffers)}
        self.numbers[kernel.chunk] = "i"
        self.known: dict[Value, str] = {}
        self.lines: list[str] = []

    def text(self) -> str:
        kernel = self.kernel
        given = [f"{b.dtype}[{b.size}]@{kernel.aligned.get(b, 0)}" for b in kernel.buffers]
        self.lines.append(f"{' '.join(given)} | {kernel.chunk.extent}")
        self.statements(kernel.body)
        return "\n".join(self.lines)

    def statements(self, body: Sequence[Statement]) -> None:
        for statement in body:
            if isinstance(statement, For):
                name = self.numbers[statement.var] = f"i{len(self.numbers)}"
                self.lines.append(f"for {name} {statement.var.extent} {statement.together}")
                self.statements(statement.body)
                self.lines.append("end")
                continue
            self.known = {}
            value = self.value(statement.value)
            if isinstance(statement, Set):
                self.lines.append(f"set {self.register(statement.register)} {value}")
            elif isinstance(statement, Store):
                place = f"{self.numbers[statement.buffer]} {self.index(statement.index)} {statement.active}"
                self.lines.append(f"store {place} {value}")
            elif isinstance(statement, Prefetch):
                self.lines.append(f"prefetch {value} {statement.ahead}")
            elif isinstance(statement, Pick):
                name = self.numbers[statement.var] = f"i{len(self.numbers)}"
                self.lines.append(f"with {name} {value} {statement.var.extent}")
                self.statements(statement.body)
                self.lines.append("end")
            else:
                raise TypeError(f"no canonical text for the statement {statement!r}")

    def register(self, register: Register) -> str:
        if register not in self.numbers:
            self.numbers[register] = f"r{len(self.numbers)}:{register.dtype}x{register.width}"
        return self.numbers[register]

    def index(self, index: Affine) -> str:
        """The numbers of an address, one after the other."""
        return ",".join([str(index.constant), *(f"{self.numbers[var]}*{factor}" for var, factor in index.terms)])

    def value(self, value: Value) -> str:
        """The value's number, by a walk without recursion, which long chains of fused ops would exhaust."""
        known, waiting = self.known, [value]
        while waiting:
            made = waiting[-1]
            if made in known:
                waiting.pop()
                continue
            missing = [part for part in parts(made) if part not in known]
            if missing:
                waiting += reversed(missing)
                continue
            waiting.pop()
            line = self.line(made)
            if isinstance(made, Register):
                known[made] = line
            else:
                known[made] = f"v{len(known)}"
                self.lines.append(f"{known[made]} {line}")
        return known[value]

    def line(self, value: Value) -> str:
        if isinstance(value, Register):
            return self.register(value)
        if isinstance(value, Load):
            return f"load {self.numbers[value.buffer]} {self.index(value.index)} {value.width} {value.active}"
        if isinstance(value, Apply):
            return f"{value.name} {value.to} {' '.join([self.known[part] for part in value.operands])}"
        if isinstance(value, Const):
            number = value.value
            bits = struct.pack(">d", number).hex() if isinstance(number, float) else str(int(number))
            return f"const {bits} {value.dtype} {value.width}"
        if isinstance(value, Splat):
            return f"splat {self.known[value.value]} {value.width}"
        if isinstance(value, Shuffle):
            return f"shuffle {self.known[value.first]} {self.known[value.second]} {value.lanes}"
        if isinstance(value, Position):
            return f"position {self.index(value.index)} {value.width} {value.step}"
        raise TypeError(f"no canonical text for the value {value!r}")
