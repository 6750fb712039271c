"""Uniform random numbers and masks: Philox4x64-10, the same bits as the reference's on any number of threads.

Source: Salmon, Moraes, Dror and Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", 2011. The words of a block depend
on its number alone, so chunks of blocks are drawn apart.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from graphnet.backend.native.contraction import nested
from graphnet.backend.native.copies import copied
from graphnet.backend.native.loops import (
    BOOLEAN,
    ELEMENTS,
    Affine,
    Apply,
    Const,
    For,
    Kernel,
    Load,
    Position,
    Register,
    Set,
    Splat,
    Statement,
    Store,
    Value,
    Var,
    affine,
)
from graphnet.backend.native.masks import Mask
from graphnet.backend.native.target import target
from graphnet.backend.native.views import Scratch, View, merged_axes
from graphnet.ops.random import Uniform

_MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
_WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)  # what each round adds to the two words of the key
_ROUNDS = 10
_WORDS = 4  # of 64 bits, in a block
_CHUNK = 512  # blocks
# How many numbers a word gives, the bits of each, and where in the word each begins.
_NUMBERS = {"f64": (53, (11,)), "f32": (24, (8, 40))}
_LANES = 8  # two vectors, so that one works while the other waits. In fewer, one block after the other is faster
_DRAWN = "f32"  # what masks are drawn as
_BLOCK = _WORDS * len(_NUMBERS[_DRAWN][1])  # of these, numbers in a block

Axes: TypeAlias = "list[tuple[int, tuple[int, ...]]]"


def drawn(op: Uniform | Mask, out: View, state: View, scratch: Scratch) -> list[Kernel] | None:
    """Kernels that fill `out`; None for numbers in another order than row-major."""
    return uniform(op, out, state) if isinstance(op, Uniform) else mask(op, out, state, scratch)


def uniform(op: Uniform, out: View, state: View) -> list[Kernel] | None:
    """Kernels that fill a row-major `out`; None for another order of its elements."""
    axes = merged_axes([out])
    strides = [stride for size, stride in zip(out.shape, out.strides, strict=True) if size > 1]
    if len(axes) > 1 or (axes and axes[0][1] != (1,)) or strides != sorted(strides, reverse=True):
        return None
    count = axes[0][0] if axes else 1
    block = _WORDS * len(_NUMBERS[out.dtype][1])
    blocks = count // block
    kernels = []
    for first, chunks, each in _runs(blocks, 1):
        chunk, step = Var("chunk", chunks), Var("block", each)
        number = affine({chunk: each, step: 1}, first)
        at = affine({chunk: each * block, step: block}, out.offset + first * block)
        body = (*_keys(op, state), For(step, tuple(_block(out, number, at, block))))
        kernels.append(Kernel(op.name, (out.buffer, state.buffer), chunk, body))
    left = count % block
    if left:
        at = Affine(out.offset + blocks * block)
        body = (*_keys(op, state), *_block(out, Affine(blocks), at, left))
        kernels.append(Kernel(op.name, (out.buffer, state.buffer), Var("chunk", 1), body))
    return kernels


def _runs(count: int, below: int) -> list[tuple[int, int, int]]:
    """(first, chunks, of each) of an axis of `count` that has `below` blocks at each index; then the rest."""
    each = max(1, min(count, _CHUNK // below))
    whole, rest = divmod(count, each)
    return [(first, chunks, n) for first, chunks, n in ((0, whole, each), (whole * each, 1, rest)) if chunks and n]


# -- masks -----------------------------------------------------------------------------------------------------------


def mask(op: Mask, out: View, state: View, scratch: Scratch) -> list[Kernel]:
    """Kernels that fill `out`, however it lies, with whether each draw is at least op.least."""
    whole = replace(out, shape=op.target, strides=tuple(out.strides[op.order.index(n)] for n in range(len(op.order))))
    flat = tuple(math.prod(op.target[axis + 1 :]) for axis in range(len(op.target)))
    *outer, (size, along) = merged_axes([replace(whole, strides=flat), whole]) or [(1, (1, 1))]
    if outer and size % _BLOCK:  # blocks begin in one row of memory and end in another
        near = scratch.array(out.dtype, op.target)
        return [*_masks(op, near, [], near.buffer.size, 1, state), *copied(op.name, whole, near)]
    rows: Axes = [(count, (drawn // _BLOCK, apart)) for count, (drawn, apart) in outer]
    return _masks(op, whole, rows, size, along[1], state)


def _masks(op: Mask, out: View, rows: Axes, size: int, along: int, state: View) -> list[Kernel]:
    """Rows of `size` draws that lie `along` apart. rows: counts, strides in blocks and in `out`.

    What is next to one another in memory comes one after the other, in whichever rows that is.
    """
    blocks, left = divmod(size, _BLOCK)
    kernels = []
    if blocks:
        (count, strides), *others = sorted([*rows, (blocks, (1, along * _BLOCK))], key=lambda axis: -abs(axis[1][1]))
        for first, chunks, each in _runs(count, math.prod(n for n, _ in others)):
            chunk = Var("chunk", chunks)
            loops = [(Var("row", each), strides), *((Var(f"i{n}", size), by) for n, (size, by) in enumerate(others))]
            inside, (last, steps) = loops[:-1], loops[-1]
            number = affine({chunk: each * strides[0], **{var: by for var, (by, _) in inside}}, first * strides[0])
            at = {chunk: each * strides[1], **{var: apart for var, (_, apart) in inside}}
            drawn = _Drawn(op, out, along, number, affine(at, out.offset + first * strides[1]))
            body = (*_keys(op, state), *nested([var for var, _ in inside], drawn.line(last.extent, steps)))
            kernels.append(Kernel(op.name, (out.buffer, state.buffer), chunk, body))
    if left:
        rest = _Drawn(op, out, along, Affine(blocks), Affine(out.offset + blocks * _BLOCK * along))
        kernels.append(
            Kernel(op.name, (out.buffer, state.buffer), Var("chunk", 1), (*_keys(op, state), *rest.one(left)))
        )
    return kernels


@dataclass(frozen=True)
class _Drawn:
    """A mask's blocks from number `number` on, the first draw of which goes to `at`, the others `along` apart."""

    op: Mask
    out: View
    along: int
    number: Affine
    at: Affine

    def line(self, count: int, steps: tuple[int, ...]) -> list[Statement]:
        """`count` blocks, steps[0] in number and steps[1] in memory apart: several at once, in lanes, where they can be
        stored together, and the rest one by one."""
        step, apart = steps
        lanes = 2 * target().lanes(ELEMENTS["i64"])
        together = apart == 1 or (self.along == 1 and (step, apart) == (1, _BLOCK))
        whole = count // lanes * lanes if together and lanes >= _LANES else 0
        vector, one = Var("v", whole // lanes), Var("r", count - whole)
        body: list[Statement] = []
        if whole:
            body += nested([vector], self._moved(vector, 0, step * lanes, apart * lanes).several(lanes, step))
        if count > whole:
            body += nested([one], self._moved(one, whole, step, apart).one(_BLOCK))
        return body

    def _moved(self, var: Var, first: int, step: int, apart: int) -> _Drawn:
        number = self.number + affine({var: step}, first * step)
        return replace(self, number=number, at=self.at + affine({var: apart}, first * apart))

    def one(self, count: int) -> list[Statement]:
        """The first `count` draws of a block."""
        body, words = _words(Position(self.number + 1))
        return body + self._stores(words, count)

    def several(self, lanes: int, step: int) -> list[Statement]:
        """A block in each lane: neighbours in memory, or one block after the other."""
        body, words = _words(Position(self.number + 1, lanes, step))
        if self.along == 1:
            return [*body, Store(self.out.buffer, self.at, self._bytes(words))]
        return body + self._stores(words, _BLOCK)

    def _least(self, dtype: str, width: int) -> Const:
        """The least i that is kept: i / 2^bits >= op.least says i >= op.least * 2^bits, which is exact."""
        return Const(math.ceil(self.op.least * 2 ** _NUMBERS[_DRAWN][0]), dtype, width)

    def _stores(self, words: Sequence[Value], count: int) -> list[Statement]:
        found: list[Statement] = []
        for place in range(count):
            bits = _bits(words, place, _DRAWN)
            kept = Apply("le", (self._least("i64", bits.width), bits), BOOLEAN)
            found.append(Store(self.out.buffer, self.at + place * self.along, Apply("cast", (kept,), self.out.dtype)))
        return found

    def _bytes(self, words: Sequence[Value]) -> Value:
        """Of each lane eight bytes, for the two halves of each word in turn."""
        total: Value | None = None
        for place, word in enumerate(words):
            halves = Apply("bits", (word,), "i32")
            number = Apply("and", (_shift("shr", halves, 8), Const((1 << 24) - 1, "i32", halves.width)))
            kept = Apply("le", (self._least("i32", halves.width), number), BOOLEAN)
            apart = Apply("bits", (Apply("cast", (kept,), "i32"),), "i64")  # 1 for the low half, 2^32 for the high one
            near = Apply("and", (Apply("or", (apart, _shift("shr", apart, 24))), Const(0x101, "i64", word.width)))
            moved = _shift("shl", near, 16 * place)
            total = moved if total is None else Apply("or", (total, moved))
        assert total is not None
        return Apply("bits", (total,), self.out.dtype)


_KEY = [[Register(f"key{n}_{word}", "i64") for word in (0, 1)] for n in range(_ROUNDS)]
_STEP = Register("step", "i64")


def _keys(op: Uniform | Mask, state: View) -> list[Statement]:
    """The key of each round, of which the first is (seed, stream); and the step."""
    seed, step = (Load(state.buffer, Affine(state.offset + place * state.strides[0])) for place in (0, 1))
    body: list[Statement] = [Set(_STEP, step), Set(_KEY[0][0], seed), Set(_KEY[0][1], _constant(op.stream))]
    for before, after in itertools.pairwise(_KEY):
        for word in (0, 1):
            body.append(Set(after[word], Apply("add", (before[word], _constant(_WEYL[word])))))
    return body


def _block(out: View, number: Affine, at: Affine, count: int) -> list[Statement]:
    """The first `count` numbers of a block."""
    body, words = _words(Position(number + 1))
    for place in range(count):
        scaled = Apply("mul", (Apply("cast", (_bits(words, place, out.dtype),), out.dtype), _unit(out.dtype)))
        body.append(Store(out.buffer, at + place, scaled))
    return body


def _unit(dtype: str) -> Const:
    return Const(2.0 ** -_NUMBERS[dtype][0], dtype)


def _bits(words: Sequence[Value], place: int, dtype: str) -> Value:
    """A number of a block as the integer that it is a fraction of 2^bits."""
    bits, starts = _NUMBERS[dtype]
    word, start = words[place // len(starts)], starts[place % len(starts)]
    return Apply("and", (_shift("shr", word, start), _constant((1 << bits) - 1, word.width)))


def _words(number: Position) -> tuple[list[Statement], Sequence[Value]]:
    """The four words of the block that `number` counts, the first being 1, and the statements that they need."""
    width = number.width
    zero = _constant(0, width)
    words: Sequence[Value] = [number, zero, Splat(_STEP, width), zero]
    body: list[Statement] = []
    for n, key in enumerate(_KEY):
        made = [Register(f"word{n}_{place}", "i64", width) for place in range(_WORDS)]
        first, second = _MULTIPLIERS
        (more, high, low), (others, upper, lower) = _product(words[2], second), _product(words[0], first)
        mixed = (
            _xor(high, _xor(words[1], Splat(key[0], width))),
            low,
            _xor(upper, _xor(words[3], Splat(key[1], width))),
            lower,
        )
        body += [*more, *others, *(Set(register, value) for register, value in zip(made, mixed, strict=True))]
        words = made
    return body, words


def _product(word: Value, multiplier: int) -> tuple[list[Statement], Value, Value]:
    """The upper and the lower 64 bits of word * multiplier, in vectors by halves of 32 bits, and what they need."""
    if word.width == 1:
        whole = _constant(multiplier)
        return [], Apply("mulhi", (word, whole)), Apply("mul", (word, whole))
    low, high = (_constant(half, word.width) for half in (multiplier & _HALF, multiplier >> 32))
    below, middle, across = (Register(name, "i64", word.width) for name in ("below", "middle", "across"))
    statements: list[Statement] = [
        Set(below, Apply("mul", (_lower(word), low))),
        Set(middle, Apply("add", (_upper(below), Apply("mul", (_upper(word), low))))),
        Set(across, Apply("add", (_lower(middle), Apply("mul", (_lower(word), high))))),
    ]
    upper = Apply("add", (Apply("add", (Apply("mul", (_upper(word), high)), _upper(middle))), _upper(across)))
    return statements, upper, Apply("or", (_shift("shl", across, 32), _lower(below)))


_HALF = (1 << 32) - 1


def _lower(word: Value) -> Value:
    return Apply("and", (word, _constant(_HALF, word.width)))


def _upper(word: Value) -> Value:
    return _lower(_shift("shr", word, 32))


def _shift(how: str, value: Value, bits: int) -> Value:
    return Apply(how, (value, Const(bits, value.dtype, value.width)))


def _xor(a: Value, b: Value) -> Value:
    return Apply("xor", (a, b))


def _constant(word: int, width: int = 1) -> Const:
    """64 bits as the signed number that they are."""
    return Const(word - (1 << 64) if word >> 63 else word, "i64", width)
