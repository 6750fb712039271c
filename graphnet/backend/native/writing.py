"""Values and addresses of the loop language as LLVM's assembly text."""

from __future__ import annotations

from collections.abc import Sequence

from graphnet.backend.native.loops import (
    ELEMENTS,
    Affine,
    Apply,
    Buffer,
    Const,
    Kernel,
    Load,
    Position,
    Register,
    Shuffle,
    Splat,
    Value,
    Var,
    parts,
)
from graphnet.backend.native.notation import (
    TYPES,
    UNSIGNED,
    beyond,
    constant,
    conversion,
    kind_of,
    mangled,
    mask,
    vector,
)

_FLOAT = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv", "rem": "frem"}
_INTEGER = {
    "add": "add", "sub": "sub", "mul": "mul", "div": "sdiv", "and": "and", "or": "or", "xor": "xor", "shl": "shl",
    "shr": "ashr",
}  # fmt: skip
_COMPARED = {  # floats, signed integers, unsigned ones
    "eq": ("oeq", "eq", "eq"), "ne": ("une", "ne", "ne"), "lt": ("olt", "slt", "ult"), "le": ("ole", "sle", "ule"),
}  # fmt: skip
_INTRINSICS = {
    "fma": "fma", "muladd": "fmuladd", "sqrt": "sqrt", "abs": "fabs", "floor": "floor", "ceil": "ceil", "rint": "rint",
    "max": "maximum", "min": "minimum", "copysign": "copysign", "fence": "arithmetic.fence", "pow": "pow",
}  # fmt: skip
CHOOSING = ("select", "max", "min")
_OF_INTEGERS = {"max": ("smax", "umax"), "min": ("smin", "umin")}


class Block:
    """Lines of one loop body, with those hoisted to its beginning."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.head: list[str] = []
        self.lines: list[object] = []


class Writer:
    """What one kernel computes, as it is written out: lines, names, addresses and values."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.count = 0
        self.declared: set[str] = set()
        # Numbers, as the buffers' own names depend on where their memory happens to lie.
        self.buffers = {buffer: f"%b{place}" for place, buffer in enumerate(kernel.buffers)}
        self.names: dict[Var, str] = {}
        self.rounds: dict[Var, int] = {}  # of those written out together: which one this is
        self.depth: dict[Var, int] = {}
        self.values: dict[Register, str] = {}
        self.pointers: list[dict[tuple[Buffer, tuple[tuple[Var, int], ...]], str]] = [{}]
        self.known: dict[Value, str] = {}
        self.blocks: list[Block] = [Block("entry")]
        self.current = "entry"

    def fresh(self) -> str:
        self.count += 1
        return f"%v{self.count}"

    def line(self, text: str) -> None:
        self.blocks[-1].lines.append("  " + text)

    def assign(self, text: str) -> str:
        name = self.fresh()
        self.line(f"{name} = {text}")
        return name

    # -- addresses ---------------------------------------------------------------------------------------------------

    def address(self, buffer: Buffer, index: Affine) -> str:
        """A pointer to an element. What belongs to an outer loop is computed at the head of that loop's body.

        On the way to an element that some term lies behind, the pointer may leave the buffer: that is not `inbounds`.
        """
        index = self.here(index)
        forwards = index.constant >= 0 and all(factor > 0 for _, factor in index.terms)
        step = "getelementptr inbounds" if forwards else "getelementptr"
        terms = tuple(sorted(index.terms, key=lambda term: self.depth[term[0]]))
        pointer, element = self.buffers[buffer], TYPES[buffer.dtype]
        for count in range(1, len(terms) + 1):
            var, factor = terms[count - 1]
            level = self.depth[var]
            key = (buffer, terms[:count])
            if key not in self.pointers[level]:
                head, offset, moved = self.blocks[level].head, self.names[var], self.fresh()
                if factor != 1:
                    offset = self.fresh()
                    head.append(f"  {offset} = mul nsw i64 {self.names[var]}, {factor}")
                head.append(f"  {moved} = {step} {element}, ptr {pointer}, i64 {offset}")
                self.pointers[level][key] = moved
            pointer = self.pointers[level][key]
        if not index.constant:
            return pointer
        return self.assign(f"{step} {element}, ptr {pointer}, i64 {index.constant}")

    def here(self, index: Affine) -> Affine:
        """The index in this round of loops whose rounds are written out."""
        past = sum(factor * self.rounds.get(var, 0) for var, factor in index.terms)
        return Affine(index.constant + past, tuple(term for term in index.terms if term[0] in self.names))

    # -- values ------------------------------------------------------------------------------------------------------

    def value(self, value: Value) -> str:
        """The value's name. One that a statement uses twice is computed once."""
        waiting = [value]  # not by recursion, which long chains of fused ops would exhaust
        while waiting:
            missing = [part for part in parts(waiting[-1]) if not self.is_named(part)]
            if missing:
                waiting += reversed(missing)
                continue
            made = waiting.pop()
            if not self.is_named(made):
                assert not isinstance(made, Register)
                self.known[made] = self.made(made)
        return self.name(value)

    def is_named(self, value: Value) -> bool:
        at_hand = isinstance(value, Register) or (isinstance(value, Const) and not value.is_read)
        return at_hand or value in self.known

    def name(self, value: Value) -> str:
        if isinstance(value, Register):
            return self.values[value]
        if isinstance(value, Const) and not value.is_read:
            return constant(value)
        return self.known[value]

    def made(self, value: Const | Load | Position | Splat | Apply | Shuffle) -> str:
        if isinstance(value, Const):
            return self.constant(value)
        if isinstance(value, Load):
            return self.load(value)
        if isinstance(value, Position):
            return self.position(value)
        if isinstance(value, Shuffle):
            return self.shuffle(value)
        return self.splat(value) if isinstance(value, Splat) else self.apply(value)

    def position(self, position: Position) -> str:
        index = self.here(position.index)
        found = str(index.constant)
        for var, factor in index.terms:
            found = self.assign(f"add i64 {found}, {self.assign(f'mul i64 {self.names[var]}, {factor}')}")
        if position.width == 1:
            return found
        wide = self.spread(found, "i64", position.width)
        lanes = ", ".join(f"i64 {lane * position.step}" for lane in range(position.width))
        return self.assign(f"add <{position.width} x i64> {wide}, <{lanes}>")

    def load(self, load: Load) -> str:
        pointer, kind = self.address(load.buffer, load.index), vector(load.dtype, load.width)
        align = ELEMENTS[load.dtype]
        if load.active in (None, load.width):
            return self.assign(f"load {kind}, ptr {pointer}, align {align}")
        name = f"llvm.masked.load.{mangled(load.dtype, load.width)}.p0"
        self.declared.add(f"declare {kind} @{name}(ptr, <{load.width} x i1>, {kind})")
        lanes = mask(load.width, load.active or 0)
        return self.assign(f"call {kind} @{name}(ptr align {align} {pointer}, {lanes}, {kind} zeroinitializer)")

    def constant(self, const: Const) -> str:
        """A constant that is read. Volatile: what LLVM knows to be the same it would keep in a register."""
        kind, text = vector(const.dtype, const.width), constant(const)
        name = f"@constant.{mangled(const.dtype, const.width)}.{text.rsplit(' ', 1)[-1].strip('<>')}"
        align = ELEMENTS[const.dtype] * const.width
        self.declared.add(f"{name} = private unnamed_addr constant {kind} {text}, align {align}")
        return self.assign(f"load volatile {kind}, ptr {name}, align {align}")

    def splat(self, splat: Splat) -> str:
        scalar, kind = self.name(splat.value), TYPES[splat.dtype]
        if splat.width == 1:
            return scalar
        return self.spread(scalar, kind, splat.width)

    def shuffle(self, shuffle: Shuffle) -> str:
        kind, width = vector(shuffle.dtype, shuffle.first.width), shuffle.width
        lanes = ", ".join(f"i32 {lane}" for lane in shuffle.lanes)
        first, second = self.name(shuffle.first), self.name(shuffle.second)
        return self.assign(f"shufflevector {kind} {first}, {kind} {second}, <{width} x i32> <{lanes}>")

    def spread(self, scalar: str, kind: str, width: int) -> str:
        """A scalar in every lane."""
        wide = f"<{width} x {kind}>"
        first = self.assign(f"insertelement {wide} poison, {kind} {scalar}, i64 0")
        return self.assign(f"shufflevector {wide} {first}, {wide} poison, <{width} x i32> zeroinitializer")

    def apply(self, value: Apply) -> str:
        operands = [self.name(operand) for operand in value.operands]
        source = value.operands[0]
        kind, is_float = vector(source.dtype, source.width), source.dtype[0] == "f"
        if value.name in _COMPARED:
            test = ("fcmp " if is_float else "icmp ") + _COMPARED[value.name][kind_of(source.dtype)]
            return self.assign(f"{test} {kind} {operands[0]}, {operands[1]}")
        if value.name == "select":
            chosen = vector(value.dtype, value.width)
            return self.assign(f"select {kind} {operands[0]}, {chosen} {operands[1]}, {chosen} {operands[2]}")
        if value.name in ("cast", "bits"):
            wanted = vector(value.dtype, value.width)
            how = "bitcast" if value.name == "bits" else conversion(source.dtype, value.dtype)
            if how == "fptosi":
                return self.saturated(source, value, operands[0])
            return operands[0] if how is None else self.assign(f"{how} {kind} {operands[0]} to {wanted}")
        if value.name == "neg" and is_float:
            return self.assign(f"fneg {kind} {operands[0]}")
        if value.name.startswith("across_"):
            return self.across(value.name.removeprefix("across_"), source, operands[0])
        if len(operands) == 2:
            return self.binary(value.name, value.dtype, value.width, operands)
        return self.intrinsic(value.name, value.dtype, value.width, operands)

    def saturated(self, source: Value, value: Apply, operand: str) -> str:
        """A float as an integer: the nearest there is where it does not fit, 0 for NaN (plainly: poison)."""
        kind, wanted = vector(source.dtype, source.width), vector(value.dtype, value.width)
        sign = "u" if value.dtype in UNSIGNED else "s"
        name = f"llvm.fpto{sign}i.sat.{mangled(value.dtype, value.width)}.{mangled(source.dtype, source.width)}"
        self.declared.add(f"declare {wanted} @{name}({kind})")
        return self.assign(f"call {wanted} @{name}({kind} {operand})")

    def beyond(self, name: str, dtype: str, width: int, operands: Sequence[str]) -> str:
        """The second operand, except in lanes where the first is far from 0: there, what the system's library says."""
        kind = vector(dtype, width)
        full = f"gn.far.{name}.{mangled(dtype, width)}"
        of = mangled(dtype, width)
        self.declared |= {f"declare {kind} @llvm.{used}.{of}({kind})" for used in ("fabs", name)}
        self.declared.add(beyond(full, name, dtype, width))
        return self.assign(f"call {kind} @{full}({', '.join(f'{kind} {operand}' for operand in operands)})")

    def intrinsic(self, name: str, dtype: str, width: int, operands: Sequence[str]) -> str:
        kind = vector(dtype, width)
        how = _INTRINSICS[name] if dtype[0] == "f" else _OF_INTEGERS[name][dtype in UNSIGNED]
        full = f"llvm.{how}.{mangled(dtype, width)}"
        self.declared.add(f"declare {kind} @{full}({', '.join([kind] * len(operands))})")
        return self.assign(f"call {kind} @{full}({', '.join(f'{kind} {operand}' for operand in operands)})")

    def across(self, name: str, source: Value, operand: str) -> str:
        """All lanes added (or the largest of them): halves to halves, so that the order is fixed here, not by LLVM."""
        width, kind = source.width, TYPES[source.dtype]
        while width > 1:
            half, wide = width // 2, vector(source.dtype, width)
            halves = []
            for at in (0, half):
                lanes = ", ".join(f"i32 {lane}" for lane in range(at, at + half))
                shuffle = f"shufflevector {wide} {operand}, {wide} poison, <{half} x i32> <{lanes}>"
                halves.append(self.assign(shuffle))
            if half == 1:
                halves = [self.assign(f"extractelement <1 x {kind}> {part}, i64 0") for part in halves]
            operand, width = self.binary(name, source.dtype, half, halves), half
        return operand

    def binary(self, name: str, dtype: str, width: int, operands: Sequence[str]) -> str:
        infix = (_FLOAT if dtype[0] == "f" else _INTEGER).get(name)
        if infix == "sdiv" and dtype in UNSIGNED:
            infix = "udiv"
        if name == "mulhi":
            return self.upper_half(operands)
        if name == "larger":  # the second where the first is less
            kind = vector(dtype, width)
            less = self.assign(f"fcmp olt {kind} {operands[0]}, {operands[1]}")
            mask = f"<{width} x i1>" if width > 1 else "i1"
            return self.assign(f"select {mask} {less}, {kind} {operands[1]}, {kind} {operands[0]}")
        if name.startswith("far_"):
            return self.beyond(name.removeprefix("far_"), dtype, width, operands)
        if infix is None:
            return self.intrinsic(name, dtype, width, operands)
        return self.assign(f"{infix} {vector(dtype, width)} {operands[0]}, {operands[1]}")

    def upper_half(self, operands: Sequence[str]) -> str:
        """The upper 64 bits of the product of two i64 as unsigned numbers."""
        a, b = (self.assign(f"zext i64 {operand} to i128") for operand in operands)
        shifted = self.assign(f"lshr i128 {self.assign(f'mul i128 {a}, {b}')}, 64")
        return self.assign(f"trunc i128 {shifted} to i64")
