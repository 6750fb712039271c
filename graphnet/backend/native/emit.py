"""From the loop language to LLVM's assembly text.

Registers become phi nodes where a loop sets them, and addresses are built loop by loop, so that what changes only with
an outer loop is computed there: LLVM's own optimization passes are not needed, only its code generator.
"""

from __future__ import annotations

from collections.abc import Sequence

from graphnet.backend.native.loops import (
    ELEMENTS,
    Affine,
    Apply,
    Buffer,
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
    Var,
    assigned,
    parts,
    pieces,
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
_CHOOSING = ("select", "max", "min")
_OF_INTEGERS = {"max": ("smax", "umax"), "min": ("smin", "umin")}


class _Block:
    """Lines of one loop body, with those hoisted to its beginning."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.head: list[str] = []
        self.lines: list[object] = []


class _Function:
    """One kernel as it is written out."""

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
        self.blocks: list[_Block] = [_Block("entry")]
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

    # -- statements --------------------------------------------------------------------------------------------------

    def statements(self, body: Sequence[Statement]) -> None:
        for statement in body:
            self.known = {}
            if isinstance(statement, For):
                self.loop(statement)
            elif isinstance(statement, Set):
                self.values[statement.register] = self.value(statement.value)
            elif isinstance(statement, Pick):
                self.pick(statement)
            elif isinstance(statement, Prefetch):
                self.prefetch(statement)
            else:
                self.store(statement)

    def store(self, store: Store) -> None:
        value = self.value(store.value)
        if isinstance(store.value, Apply) and store.value.name in _CHOOSING and store.value.dtype[0] == "f":
            # Choosing between a new value and what lies there would become a masked store, four times as slow.
            value = self.intrinsic("fence", store.value.dtype, store.value.width, [value])
        dtype, width = store.buffer.dtype, store.value.width
        pointer = self.address(store.buffer, store.index)
        if store.active in (None, width):
            self.line(f"store {vector(dtype, width)} {value}, ptr {pointer}, align {ELEMENTS[dtype]}")
            return
        for first, lanes in pieces(store.active or 0):  # a masked store takes as long as a dozen plain ones
            chosen = ", ".join(f"i32 {lane}" for lane in range(first, first + lanes))
            kind = vector(dtype, width)
            part = self.assign(f"shufflevector {kind} {value}, {kind} poison, <{lanes} x i32> <{chosen}>")
            place = self.assign(f"getelementptr {TYPES[dtype]}, ptr {pointer}, i64 {first}")
            self.line(f"store <{lanes} x {TYPES[dtype]}> {part}, ptr {place}, align {ELEMENTS[dtype]}")

    def prefetch(self, prefetch: Prefetch) -> None:
        """A line that will be read once, and again by others soon."""
        self.declared.add("declare void @llvm.prefetch.p0(ptr, i32, i32, i32)")
        buffer = prefetch.value.buffer
        pointer = self.address(buffer, prefetch.value.index)
        if prefetch.ahead:
            pointer = self.assign(f"getelementptr {TYPES[buffer.dtype]}, ptr {pointer}, i64 {prefetch.ahead}")
        self.line(f"call void @llvm.prefetch.p0(ptr {pointer}, i32 0, i32 3, i32 1)")

    def pick(self, pick: Pick) -> None:
        """The body, behind what brings the number into its range; as unsigned ones, negative numbers are large."""
        value, name = self.value(pick.value), self.fresh()
        self.declared.add("declare i64 @llvm.umin.i64(i64, i64)")
        body = _Block("pick")
        body.head.append(f"  {name} = call i64 @llvm.umin.i64(i64 {value}, i64 {pick.var.extent - 1})")
        self.blocks[-1].lines.append(body)
        self.blocks.append(body)
        self.pointers.append({})
        self.names[pick.var], self.depth[pick.var] = name, len(self.blocks) - 1
        self.statements(pick.body)
        self.blocks.pop()
        self.pointers.pop()

    def loop(self, loop: For) -> None:
        whole = loop.var.extent - loop.var.extent % loop.together
        if whole > loop.together:
            self.repeated(loop, whole)
        else:
            whole = 0
        self.written_out(loop, whole, loop.var.extent)

    def written_out(self, loop: For, first: int, end: int) -> None:
        """Rounds of a loop one behind the other. None loads before the one ahead is done: the registers are full."""
        for number in range(first, end):
            if number > first:
                self.line('call void asm sideeffect "", "~{memory}"()')
            self.rounds[loop.var] = number
            self.statements(loop.body)
        self.rounds.pop(loop.var, None)

    def repeated(self, loop: For, end: int) -> None:
        """A loop's rounds up to `end`, `together` of them at a time."""
        self.count += 1
        label = f"L{self.count}"
        name = f"%{loop.var.name}.{self.count}"
        carried = [register for register in assigned(loop.body) if register in self.values]
        phis = {register: self.fresh() for register in carried}
        before = self.current
        self.line(f"br label %{label}")
        entering = dict(self.values)
        self.values.update(phis)
        body = _Block(label)
        self.blocks[-1].lines.append(body)
        self.blocks.append(body)
        self.pointers.append({})
        self.names[loop.var], self.depth[loop.var] = name, len(self.blocks) - 1
        self.current = label
        self.written_out(loop, 0, loop.together)
        after, following = f"{name}.next", f"{label}.done"
        self.line(f"{after} = add nuw nsw i64 {name}, {loop.together}")
        again = self.assign(f"icmp ult i64 {after}, {end}")
        self.line(f"br i1 {again}, label %{label}, label %{following}")
        opening = [f"{label}:", f"  {name} = phi i64 [ 0, %{before} ], [ {after}, %{self.current} ]"]
        for register, phi in phis.items():
            kind = vector(register.dtype, register.width)
            pairs = f"[ {entering[register]}, %{before} ], [ {self.values[register]}, %{self.current} ]"
            opening.append(f"  {phi} = phi {kind} {pairs}")
        body.head[:0] = opening
        self.blocks.pop()
        self.pointers.pop()
        self.current = following
        self.blocks[-1].lines.append(f"{following}:")
        # What the loop defined first does not outlive it; what it carried does, as the last round left it.
        self.values = {register: self.values[register] for register in entering}
        del self.names[loop.var]

    def text(self) -> str:
        kernel = self.kernel
        body = (For(kernel.chunk, kernel.body),)
        for place, buffer in enumerate(kernel.buffers):
            self.line(f"%at.{place} = getelementptr inbounds ptr, ptr %addresses, i64 {place}")
            self.line(f"{self.buffers[buffer]} = load ptr, ptr %at.{place}, align 8")
        self.chunks(body[0])
        lines: list[str] = []
        _flatten(self.blocks[0], lines)
        head = f"define void @{kernel.name}(ptr %addresses, i64 %first, i64 %end) {{"
        return "\n".join([head, *lines, "  ret void", "}"])

    def chunks(self, loop: For) -> None:
        """The outermost loop, from %first up to %end."""
        self.line("%none = icmp uge i64 %first, %end")
        self.line("br i1 %none, label %finish, label %chunks")
        body = _Block("chunks")
        self.blocks[-1].lines.append(body)
        self.blocks.append(body)
        self.pointers.append({})
        self.names[loop.var], self.depth[loop.var] = "%chunk", 1
        self.current = "chunks"
        self.statements(loop.body)
        self.line("%chunk.next = add nuw nsw i64 %chunk, 1")
        self.line("%more = icmp ult i64 %chunk.next, %end")
        self.line("br i1 %more, label %chunks, label %finish")
        body.head[:0] = ["chunks:", f"  %chunk = phi i64 [ %first, %entry ], [ %chunk.next, %{self.current} ]"]
        self.blocks.pop()
        self.blocks[-1].lines.append("finish:")


def emit(kernels: Sequence[Kernel]) -> str:
    """A module with a function (addresses of the buffers, first chunk, end of chunks) for each kernel."""
    functions = [_Function(kernel) for kernel in kernels]
    texts = [function.text() for function in functions]
    declared = sorted(set().union(*(function.declared for function in functions)))
    return "\n\n".join(["\n".join(declared), *texts]) + "\n"


def _flatten(block: _Block, lines: list[str]) -> None:
    lines.extend(block.head if block.head else [f"{block.label}:"])
    for item in block.lines:
        if isinstance(item, _Block):
            _flatten(item, lines)
        else:
            lines.append(str(item))
