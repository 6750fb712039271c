"""Uniform random numbers: Philox4x64-10, the same bits as the reference's, in any order and on any number of threads.

Source: Salmon, Moraes, Dror and Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", 2011. The words of a block depend
on its number alone, so chunks of blocks are drawn apart.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from graphnet.backend.native.loops import (
    Affine,
    Apply,
    Const,
    For,
    Kernel,
    Load,
    Position,
    Register,
    Set,
    Statement,
    Store,
    Value,
    Var,
    affine,
)
from graphnet.backend.native.views import View, merged_axes
from graphnet.ops.random import Uniform

_MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
_WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)  # what each round adds to the two words of the key
_ROUNDS = 10
_WORDS = 4  # of 64 bits, in a block
_CHUNK = 512  # blocks
# How many numbers a word gives, the bits of each, and where in the word each begins.
_NUMBERS = {"f64": (53, (11,)), "f32": (24, (8, 40))}


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
    for first, chunks, each in ((0, blocks // _CHUNK, _CHUNK), (blocks - blocks % _CHUNK, 1, blocks % _CHUNK)):
        if chunks and each:
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


_KEY = [[Register(f"key{n}_{word}", "i64") for word in (0, 1)] for n in range(_ROUNDS)]
_STEP = Register("step", "i64")


def _keys(op: Uniform, state: View) -> list[Statement]:
    """The key of each round, of which the first is (seed, stream); and the step."""
    seed, step = (Load(state.buffer, Affine(state.offset + place * state.strides[0])) for place in (0, 1))
    body: list[Statement] = [Set(_STEP, step), Set(_KEY[0][0], seed), Set(_KEY[0][1], _constant(op.stream))]
    for before, after in itertools.pairwise(_KEY):
        for word in (0, 1):
            body.append(Set(after[word], Apply("add", (before[word], _constant(_WEYL[word])))))
    return body


def _block(out: View, number: Affine, at: Affine, count: int) -> list[Statement]:
    """The first `count` numbers of a block."""
    zero = _constant(0)
    words: Sequence[Value] = [Position(number + 1), zero, _STEP, zero]  # the first block is that of counter 1
    body: list[Statement] = []
    for n, key in enumerate(_KEY):
        made = [Register(f"word{n}_{place}", "i64") for place in range(_WORDS)]
        first, second = (_constant(multiplier) for multiplier in _MULTIPLIERS)
        mixed = (
            _xor(Apply("mulhi", (words[2], second)), _xor(words[1], key[0])),
            Apply("mul", (words[2], second)),
            _xor(Apply("mulhi", (words[0], first)), _xor(words[3], key[1])),
            Apply("mul", (words[0], first)),
        )
        body += [Set(register, value) for register, value in zip(made, mixed, strict=True)]
        words = made
    bits, starts = _NUMBERS[out.dtype]
    for place in range(count):
        word, start = words[place // len(starts)], starts[place % len(starts)]
        whole = Apply("and", (Apply("shr", (word, _constant(start))), _constant((1 << bits) - 1)))
        scaled = Apply("mul", (Apply("cast", (whole,), out.dtype), Const(2.0**-bits, out.dtype)))
        body.append(Store(out.buffer, at + place, scaled))
    return body


def _xor(a: Value, b: Value) -> Value:
    return Apply("xor", (a, b))


def _constant(word: int) -> Const:
    """64 bits as the signed number that they are."""
    return Const(word - (1 << 64) if word >> 63 else word, "i64")
