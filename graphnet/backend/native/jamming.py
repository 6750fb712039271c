"""Rounds of a loop side by side: short chains of work that wait for each other keep a processor busy only together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from graphnet.backend.native.loops import (
    Affine,
    Apply,
    Const,
    For,
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
    affine,
    parts,
)


def jammed(loop: For, times: int) -> For:
    """The loop with `times` rounds in one, statement by statement; its extent must be a multiple of that. No round may
    read what another writes.

    The loops inside become one loop each for all these rounds (Allen and Cocke, "A catalogue of optimizing
    transformations", 1971: unroll and jam).
    """
    if times == 1:
        return loop
    var = Var(loop.var.name, loop.var.extent // times)
    rounds = [_Round(loop.var, var, times, number) for number in range(times)]
    return For(var, _side_by_side(loop.body, rounds))


class _Round:
    """One of the rounds: what stands for each value of the loop's body in it."""

    def __init__(self, old: Var, new: Var, times: int, number: int) -> None:
        self.old, self.new, self.times, self.number = old, new, times, number
        self.known: dict[Value, Value] = {}

    def index(self, index: Affine) -> Affine:
        terms: dict[Var, int] = {}
        constant = index.constant
        for var, factor in index.terms:
            if var is self.old:
                terms[self.new] = factor * self.times
                constant += factor * self.number
            else:
                terms[var] = factor
        return affine(terms, constant)

    def value(self, value: Value) -> Value:
        waiting = [value]  # not by recursion, which long chains of fused ops would exhaust
        while waiting:
            missing = [part for part in parts(waiting[-1]) if part not in self.known]
            if missing:
                waiting += missing
                continue
            made = waiting.pop()
            self.known.setdefault(made, self._like(made))
        return self.known[value]

    def _like(self, value: Value) -> Value:
        if isinstance(value, Register):
            return Register(f"{value.name}.{self.number}", value.dtype, value.width)
        if isinstance(value, Load | Position):
            return replace(value, index=self.index(value.index))
        if isinstance(value, Apply):
            return Apply(value.name, tuple(self.known[part] for part in value.operands), value.to)
        if isinstance(value, Shuffle):
            return Shuffle(self.known[value.first], self.known[value.second], value.lanes)
        return value if isinstance(value, Const) else Splat(self.known[value.value], value.width)

    def statement(self, statement: Set | Store | Prefetch) -> Statement:
        value = self.value(statement.value)
        if isinstance(statement, Prefetch):
            assert isinstance(value, Load)
            return Prefetch(value, statement.ahead)
        if isinstance(statement, Store):
            return Store(statement.buffer, self.index(statement.index), value, statement.active)
        register = self.value(statement.register)
        assert isinstance(register, Register)
        return Set(register, value)


def _side_by_side(body: Sequence[Statement], rounds: Sequence[_Round]) -> tuple[Statement, ...]:
    found: list[Statement] = []
    for statement in body:
        if isinstance(statement, For):
            found.append(replace(statement, body=_side_by_side(statement.body, rounds)))
        else:
            assert not isinstance(statement, Pick), "no loop that is jammed picks an index"
            found += [each.statement(statement) for each in rounds]
    return tuple(found)
