"""The loop language: what a native kernel is before LLVM sees it. Constant bounds, affine addresses, vectors.

A kernel reads and writes buffers, each a number of elements of one type. Its statements are loops, stores and
registers being set; its values are loads, constants and arithmetic on vectors of any width (1: a scalar). Everything
that decides an address is a constant, the variable of a loop, or a number from memory that is brought into a range
first, so `prove` can show that no access leaves its buffer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

ELEMENTS = {  # bytes
    "f32": 4, "f64": 8, "i64": 8, "i32": 4, "i16": 2, "i8": 1, "u64": 8, "u32": 4, "u16": 2, "u8": 1,
}  # fmt: skip
BOOLEAN = "b1"  # what a comparison gives; in memory booleans are u8


@dataclass(frozen=True, eq=False)
class Buffer:
    """`size` elements of `dtype` (a key of ELEMENTS) that the kernel is given the address of."""

    name: str
    dtype: str
    size: int


@dataclass(frozen=True, eq=False)
class Var:
    """The variable of a loop: 0, 1, ..., extent - 1."""

    name: str
    extent: int


@dataclass(frozen=True)
class Affine:
    """constant + sum of coefficient * variable: an address, in elements."""

    constant: int = 0
    terms: tuple[tuple[Var, int], ...] = ()

    def __add__(self, other: Affine | int) -> Affine:
        if isinstance(other, int):
            return Affine(self.constant + other, self.terms)
        merged: dict[Var, int] = dict(self.terms)
        for var, factor in other.terms:
            merged[var] = merged.get(var, 0) + factor
        return Affine(self.constant + other.constant, tuple((v, f) for v, f in merged.items() if f))

    def bounds(self) -> tuple[int, int]:
        """The least and the greatest value, each variable running over its whole range."""
        least = self.constant + sum(min(0, factor * (var.extent - 1)) for var, factor in self.terms)
        most = self.constant + sum(max(0, factor * (var.extent - 1)) for var, factor in self.terms)
        return least, most

    def __str__(self) -> str:
        parts = [f"{factor}*{var.name}" if factor != 1 else var.name for var, factor in self.terms]
        if self.constant or not parts:
            parts.append(str(self.constant))
        return " + ".join(parts)


def affine(terms: Mapping[Var, int] | None = None, constant: int = 0) -> Affine:
    """constant + sum of coefficient * variable; variables that run over one value only do not count."""
    kept = {var: factor for var, factor in (terms or {}).items() if factor and var.extent > 1}
    return Affine(constant, tuple(kept.items()))


# -- values ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Register:
    """A vector that is set again and again, such as a sum. Never an address."""

    name: str
    dtype: str
    width: int = 1


@dataclass(frozen=True, eq=False)
class Const:
    """The same number in every lane.

    is_read: from memory wherever it is used. Otherwise a register may hold it over all loops, which is one less for
    the sums of other loops of the kernel.
    """

    value: float | int
    dtype: str
    width: int = 1
    is_read: bool = False


@dataclass(frozen=True, eq=False)
class Load:
    """`width` neighbours from `index` on; only the first `active` are read, the others are 0."""

    buffer: Buffer
    index: Affine
    width: int = 1
    active: int | None = None

    @property
    def dtype(self) -> str:
        return self.buffer.dtype


@dataclass(frozen=True, eq=False)
class Position:
    """The number `index` as an i64; `step` more in each lane than in the one before."""

    index: Affine
    width: int = 1
    step: int = 0

    @property
    def dtype(self) -> str:
        return "i64"


@dataclass(frozen=True, eq=False)
class Splat:
    """A scalar in every lane."""

    value: Value
    width: int

    @property
    def dtype(self) -> str:
        return self.value.dtype


@dataclass(frozen=True, eq=False)
class Apply:
    """An operation that `emit` knows, on values of one width. `to`: the result's dtype where the operation sets it."""

    name: str
    operands: tuple[Value, ...]
    to: str | None = None
    dtype: str = field(init=False)  # like the width set at once: asked for later, they would recurse
    width: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", self.to or self.operands[-1].dtype)
        width = 1 if self.name.startswith("across_") else self.operands[0].width
        if self.name == "bits":  # which may be more numbers of fewer bits each
            width = width * ELEMENTS[self.operands[0].dtype] // ELEMENTS[self.dtype]
        object.__setattr__(self, "width", width)


@dataclass(frozen=True, eq=False)
class Shuffle:
    """Lane i is lane lanes[i] of `first`, and from the width on of `second`: both of one width and dtype."""

    first: Value
    second: Value
    lanes: tuple[int, ...]

    @property
    def dtype(self) -> str:
        return self.first.dtype

    @property
    def width(self) -> int:
        return len(self.lanes)


Value: TypeAlias = "Register | Const | Load | Position | Splat | Apply | Shuffle"


# -- statements ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Set:
    """register <- value."""

    register: Register
    value: Value


@dataclass(frozen=True, eq=False)
class Store:
    """The first `active` lanes of value to `index` and what follows."""

    buffer: Buffer
    index: Affine
    value: Value
    active: int | None = None


@dataclass(frozen=True, eq=False)
class For:
    """body for var = 0, 1, ..., extent - 1.

    together: so many rounds are written out one behind the other, which spares the processor counting.
    """

    var: Var
    body: tuple[Statement, ...]
    together: int = 1


@dataclass(frozen=True, eq=False)
class Pick:
    """body, once, for var = value, an i64 scalar: where that is outside [0, extent), var is extent - 1."""

    var: Var
    value: Value
    body: tuple[Statement, ...]


@dataclass(frozen=True, eq=False)
class Prefetch:
    """The line of memory that a load would begin in is asked for: the load itself, later, need not wait for it.

    ahead: of the line so many elements further on, which may lie outside the buffer: nothing is read there.
    """

    value: Load
    ahead: int = 0


Statement: TypeAlias = "Set | Store | For | Pick | Prefetch"


@dataclass(frozen=True, eq=False)
class Kernel:
    """`body`, once for each value of `chunk`, in any order and on any thread: no chunk reads what another writes."""

    name: str
    buffers: tuple[Buffer, ...]
    chunk: Var
    body: tuple[Statement, ...]
    aligned: Mapping[Buffer, int] = field(default_factory=dict)  # bytes, where more than an element's


def pieces(count: int) -> list[tuple[int, int]]:
    """(first, lanes): so many neighbours as vectors of 8, 4, 2 and 1 lanes, none of which is idle."""
    found = []
    first = 0
    while first < count:
        lanes = next(lanes for lanes in (8, 4, 2, 1) if first + lanes <= count)
        found.append((first, lanes))
        first += lanes
    return found


# -- looking through kernels -----------------------------------------------------------------------------------------


def parts(value: Value) -> tuple[Value, ...]:
    """What a value is made of."""
    if isinstance(value, Apply):
        return value.operands
    if isinstance(value, Shuffle):
        return (value.first, value.second)
    return (value.value,) if isinstance(value, Splat) else ()


def accesses(body: Sequence[Statement]) -> Iterator[tuple[str, Load | Store]]:
    """Every load and store, with how it is printed. A load that a statement uses often comes once."""
    for statement in body:
        if isinstance(statement, For):
            yield from accesses(statement.body)
            continue
        if isinstance(statement, Pick):
            yield from accesses(statement.body)
        if isinstance(statement, Store):
            yield "store", statement
        stack, seen = [statement.value], {statement.value}
        while stack:
            value = stack.pop()
            if isinstance(value, Load):
                yield "load", value
            found = [part for part in dict.fromkeys(parts(value)) if part not in seen]
            seen.update(found)
            stack += found


def operations(body: Sequence[Statement]) -> int:
    """How many operations the statements are, loops left aside."""
    stack = [statement.value for statement in body if not isinstance(statement, For)]
    seen: set[Value] = set()
    while stack:
        value = stack.pop()
        if value not in seen:
            seen.add(value)
            stack += parts(value)
    return sum(isinstance(value, Apply) for value in seen)


def assigned(body: Sequence[Statement]) -> dict[Register, None]:
    """The registers that `body` sets, in order."""
    found: dict[Register, None] = {}
    for statement in body:
        if isinstance(statement, For | Pick):
            found.update(assigned(statement.body))
        elif isinstance(statement, Set):
            found[statement.register] = None
    return found


def show(kernel: Kernel) -> str:
    """The kernel as text, a statement a line; a value that its statement uses several times stands before it."""
    given = ", ".join(f"{b.name}: {b.dtype}[{b.size}]" for b in kernel.buffers)
    lines = [f"kernel {kernel.name}({given})", f"  each {kernel.chunk.name} < {kernel.chunk.extent}:"]
    stack: list[tuple[Statement, int]] = [(s, 2) for s in reversed(kernel.body)]
    while stack:
        statement, depth = stack.pop()
        lines += ["  " * depth + line for line in _statement(statement)]
        if isinstance(statement, For | Pick):
            stack.extend((s, depth + 1) for s in reversed(statement.body))
    return "\n".join(lines)


def _statement(statement: Statement) -> list[str]:
    if isinstance(statement, For):
        times = f", {statement.together} together" if statement.together > 1 else ""
        return [f"for {statement.var.name} < {statement.var.extent}{times}:"]
    lines, value = _shown(statement.value)
    if isinstance(statement, Set):
        return [*lines, f"{statement.register.name} = {value}"]
    if isinstance(statement, Pick):
        return [*lines, f"with {statement.var.name} = {value} within {statement.var.extent}:"]
    if isinstance(statement, Prefetch):
        return [f"prefetch {value}" + (f" + {statement.ahead} elements" if statement.ahead else "")]
    lanes = _lanes(statement.value.width, statement.active)
    return [*lines, f"{statement.buffer.name}[{statement.index}{lanes}] = {value}"]


_LONGEST = 100  # characters of a value: one of a longer text gets a name of its own


def _shown(value: Value) -> tuple[list[str], str]:
    """Lines that name what `value` uses several times, and its own text. The text is as long as `value` has parts."""
    uses = _uses(value)
    lines: list[str] = []
    texts: dict[Value, str] = {}
    waiting = [value]  # not by recursion, which long chains of fused ops would exhaust
    while waiting:
        made = waiting[-1]
        missing = [part for part in parts(made) if part not in texts]
        if missing:
            waiting += reversed(missing)
            continue
        waiting.pop()
        if made in texts:
            continue
        text = _value(made, [texts[part] for part in parts(made)])
        named = uses[made] > 1 and isinstance(made, Apply | Splat | Shuffle)
        if made is not value and (named or len(text) > _LONGEST):
            lines.append(f"t{len(lines)} = {text}")
            text = f"t{len(lines) - 1}"
        texts[made] = text
    return lines, texts[value]


def _uses(value: Value) -> dict[Value, int]:
    """How often each part of `value` is an operand."""
    uses, stack = {value: 1}, [value]
    while stack:
        for part in parts(stack.pop()):
            if part not in uses:
                stack.append(part)
            uses[part] = uses.get(part, 0) + 1
    return uses


def _value(value: Value, operands: Sequence[str]) -> str:
    if isinstance(value, Register):
        return value.name
    if isinstance(value, Const):
        return repr(value.value)
    if isinstance(value, Load):
        return f"{value.buffer.name}[{value.index}{_lanes(value.width, value.active)}]"
    if isinstance(value, Position):
        return f"({value.index}{f' + {value.step}*lane' if value.step and value.width > 1 else ''})"
    if isinstance(value, Shuffle):
        return f"shuffle({', '.join(operands)}, {list(value.lanes)})"
    name = "splat" if isinstance(value, Splat) else value.name
    return f"{name}({', '.join(operands)})"


def _lanes(width: int, active: int | None) -> str:
    return "" if width == 1 else f" : {width}" if active in (None, width) else f" : {active} of {width}"
