"""The proof, by interval arithmetic, that no access of a kernel leaves its buffer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from graphnet.backend.native.loops import For, Kernel, Load, Pick, Statement, Store, Var, accesses
from graphnet.errors import PlanError


def prove(kernel: Kernel) -> None:
    """Raise `PlanError` for the first load or store that could lie outside its buffer."""
    _body(kernel, kernel.body, frozenset([kernel.chunk]))


def _body(kernel: Kernel, body: Sequence[Statement], counted: frozenset[Var]) -> None:
    for statement in body:
        if isinstance(statement, For):
            _body(kernel, statement.body, counted | {statement.var})
            continue
        if isinstance(statement, Pick):
            if (statement.value.dtype, statement.value.width) != ("i64", 1):
                raise PlanError(f"kernel {kernel.name}: {statement.var.name} is picked by what is not one i64")
            _body(kernel, statement.body, counted | {statement.var})
            statement = replace(statement, body=())
        for kind, access in accesses([statement]):
            _access(kernel, kind, access, counted)


def _access(kernel: Kernel, kind: str, access: Load | Store, counted: frozenset[Var]) -> None:
    if access.buffer not in kernel.buffers:
        raise PlanError(f"kernel {kernel.name}: a {kind} of {access.buffer.name}, which it is not given")
    place = f"{access.buffer.name}[{access.index}]"
    for var, _ in access.index.terms:
        if var not in counted:
            raise PlanError(f"kernel {kernel.name}: {kind} {place} of {var.name}, which no loop around it counts")
    width = access.width if isinstance(access, Load) else access.value.width
    last_lane = (width if access.active is None else access.active) - 1
    least, most = access.index.bounds()
    if least < 0 or most + last_lane >= access.buffer.size or not 0 <= last_lane < width:
        reached = f"elements {least} to {most + last_lane} of {access.buffer.size}"
        raise PlanError(f"kernel {kernel.name}: {kind} {place} reaches {reached}")
