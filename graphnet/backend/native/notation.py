"""Types, constants and small pieces of LLVM's assembly text, as `emit` writes them."""

from __future__ import annotations

import struct

from graphnet.backend.native.loops import ELEMENTS, Const

TYPES = {
    "f32": "float", "f64": "double", "i64": "i64", "i32": "i32", "i16": "i16", "i8": "i8",
    "u64": "i64", "u32": "i32", "u16": "i16", "u8": "i8", "b1": "i1",
}  # fmt: skip
UNSIGNED = ("b1", "u8", "u16", "u32", "u64")
FAR = 1e9  # where a sine leaves its own reduction to the library


def vector(dtype: str, width: int) -> str:
    """LLVM's type of `width` lanes; of one, the scalar's."""
    return TYPES[dtype] if width == 1 else f"<{width} x {TYPES[dtype]}>"


def mangled(dtype: str, width: int) -> str:
    """A type as it stands in the name of an intrinsic: v8f32."""
    short = dtype.replace("u", "i").replace("b", "i")
    return short if width == 1 else f"v{width}{short}"


def constant(const: Const) -> str:
    """A constant in LLVM's notation: floats by their bits, so that nothing is rounded again."""
    if const.dtype[0] == "f":
        rounded = struct.unpack("f", struct.pack("f", const.value))[0] if const.dtype == "f32" else float(const.value)
        scalar = f"0x{struct.unpack('>Q', struct.pack('>d', rounded))[0]:016X}"
    else:
        scalar = str(int(const.value))
    if const.width == 1:
        return scalar
    kind = TYPES[const.dtype]
    return f"<{', '.join([f'{kind} {scalar}'] * const.width)}>"


def conversion(source: str, wanted: str) -> str | None:
    """The instruction that turns one dtype into another; None where they are the same."""
    if source == wanted:
        return None
    size = {"b1": 0, **ELEMENTS}
    if source[0] == "f" and wanted[0] == "f":
        return "fpext" if size[wanted] > size[source] else "fptrunc"
    if source[0] == "f":
        return "fptosi"
    unsigned = source in UNSIGNED
    if wanted[0] == "f":
        return "uitofp" if unsigned else "sitofp"
    if size[wanted] == size[source]:
        return None  # the same bits, of another sign
    return "trunc" if size[wanted] < size[source] else "zext" if unsigned else "sext"


def kind_of(dtype: str) -> int:
    """0 for floats, 1 for signed integers, 2 for unsigned ones and booleans."""
    return 0 if dtype[0] == "f" else 1 + (dtype in UNSIGNED)


def beyond(full: str, name: str, dtype: str, width: int) -> str:
    """A function for `_Function.beyond`. Vectors in which no lane is far, which is nearly all, leave it at once."""
    kind, bits = vector(dtype, width), "i1" if width == 1 else f"<{width} x i1>"
    limit = constant(Const(FAR, dtype, width))
    of = mangled(dtype, width)
    return f"""
define internal {kind} @{full}({kind} %x, {kind} %near) noinline {{
  %size = call {kind} @llvm.fabs.{of}({kind} %x)
  %far = fcmp ogt {kind} %size, {limit}
  %lanes = bitcast {bits} %far to i{width}
  %any = icmp ne i{width} %lanes, 0
  br i1 %any, label %slow, label %done
slow:
  %found = call {kind} @llvm.{name}.{of}({kind} %x)
  %chosen = select {bits} %far, {kind} %found, {kind} %near
  ret {kind} %chosen
done:
  ret {kind} %near
}}"""


def mask(width: int, active: int) -> str:
    """A constant vector of `width` bits, of which the first `active` are set."""
    bits = ", ".join(f"i1 {'true' if lane < active else 'false'}" for lane in range(width))
    return f"<{width} x i1> <{bits}>"
