"""From the loop language to LLVM's assembly text.

Registers become phi nodes where a loop sets them, and addresses are built loop by loop, so that what changes only with
an outer loop is computed there: LLVM's own optimization passes are not needed, only its code generator.
"""

from __future__ import annotations

from collections.abc import Sequence

from graphnet.backend.native.loops import (
    ELEMENTS,
    Apply,
    For,
    Kernel,
    Pick,
    Prefetch,
    Set,
    Statement,
    Store,
    assigned,
    pieces,
)
from graphnet.backend.native.notation import TYPES, vector
from graphnet.backend.native.writing import CHOOSING, Block, Writer


class _Function(Writer):
    """One kernel: its loops and statements."""

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
        if isinstance(store.value, Apply) and store.value.name in CHOOSING and store.value.dtype[0] == "f":
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
        body = Block("pick")
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
        body = Block(label)
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
        body = Block("chunks")
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


def _flatten(block: Block, lines: list[str]) -> None:
    lines.extend(block.head if block.head else [f"{block.label}:"])
    for item in block.lines:
        if isinstance(item, Block):
            _flatten(item, lines)
        else:
            lines.append(str(item))
