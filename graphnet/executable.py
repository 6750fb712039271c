"""What `compile` returns: a function of NumPy arrays that carries its own story."""

from __future__ import annotations

import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias
from weakref import WeakSet

import numpy as np

from graphnet import config
from graphnet.errors import ArgumentError, CopyError, DimError, FeedError
from graphnet.graph.dims import Dim, Size
from graphnet.graph.graph import Graph
from graphnet.graph.node import Node
from graphnet.memory import Plan
from graphnet.ops.sources import Input
from graphnet.profile import Profile
from graphnet.program import Program
from graphnet.schedule import Schedule

_Sizes: TypeAlias = "tuple[tuple[str, int], ...]"
if TYPE_CHECKING:
    from pathlib import Path

Specialize: TypeAlias = "Callable[[Mapping[str, int]], Program]"
Outputs: TypeAlias = "Node | Sequence[Node] | Mapping[Any, Node] | None"

_DEBUG_RUNS = 5  # for the time of each step that GRAPHNET_DEBUG=2 shows
_MOST_PROGRAMS = 32  # sizes kept compiled at once; each holds an arena, so the least recently used goes first


_executables: WeakSet[Executable] = WeakSet()


def _unlock() -> None:
    """In a forked child: what locks of its own another thread of the parent held, nobody there gives back."""
    for each in _executables:
        each._lock = threading.RLock()
        each._is_running = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)


class Executable:
    """A compiled function: arrays in, in the order of its inputs or by their names; new arrays out.

    The first call with new sizes compiles for them. Arrays given are copied, never kept or changed. One call runs at
    a time; several threads may call, and each gets its own results. A call that raises changes no parameter.
    """

    def __init__(self, inputs: Sequence[Node], outputs: Outputs, specialize: Specialize, check: int | None) -> None:
        self._inputs = tuple(inputs)
        self._names = [input_name(node) for node in inputs]
        self._dtypes = [node.dtype for node in inputs]
        self._outputs = outputs
        self._is_one = isinstance(outputs, Node)
        self._specialize = specialize
        self._check = config.check() if check is None else check
        self._programs: OrderedDict[_Sizes, Program] = OrderedDict()
        self._by_shapes: dict[tuple[tuple[int, ...], ...], _Sizes] = {}
        self._latest: Program | None = None
        self._lock = threading.RLock()
        self._is_running = False
        _executables.add(self)

    def __call__(self, /, *arrays: Any, **named: Any) -> Any:
        """Run one step. Raises `FeedError` for arrays that do not fit, `DataError` for values that cannot be used.

        Raises `ArgumentError` where a handler of signals calls what it has interrupted: there is one arena for both.
        """
        feeds = self._feeds(arrays, named)
        with self._lock:
            results = self._run(feeds)
        return results[0] if self._is_one else self._structured(results)

    def _run(self, feeds: list[np.ndarray]) -> list[np.ndarray]:
        self._check_alone()
        try:
            self._is_running = True
            known = self._by_shapes.get(tuple([array.shape for array in feeds]))
            program = self._program(feeds) if known is None else self._used(known)
            if known is None and config.debug() >= 2:
                print(Profile(program.schedule.steps, program.profile(feeds, _DEBUG_RUNS)), file=sys.stderr)
            return program.run_checked(feeds) if self._check >= 2 else program.run(feeds)
        finally:
            self._is_running = False

    def _check_alone(self) -> None:
        if self._is_running:
            problem = "called by what interrupted a call of it, such as a signal handler"
            raise ArgumentError(f"a compiled function was {problem}: compile another one for that, or call it later")

    def specialize(self, sizes: Mapping[str, int] | None = None, /, **named: int) -> Program:
        """The program for these dimension sizes, compiled if it is not there yet: `step.specialize(N=64)`."""
        wanted = {name: _count(name, size) for name, size in {**(sizes or {}), **named}.items()}
        known = frozenset().union(*(node.type.names() for node in self._inputs))
        if set(wanted) != known:
            raise DimError(f"expected a size for each of {sorted(known)}, got {sorted(wanted)}")
        with self._lock:
            key = tuple(sorted(wanted.items()))
            if key not in self._programs:
                self._programs[key] = self._specialize(wanted)
                if len(self._programs) > _MOST_PROGRAMS:
                    oldest, _ = self._programs.popitem(last=False)
                    self._by_shapes = {s: k for s, k in self._by_shapes.items() if k != oldest}
            return self._used(key)

    def _used(self, key: _Sizes) -> Program:
        """The program for `key`, which is now the latest."""
        if self._latest is self._programs[key]:
            return self._latest
        self._programs.move_to_end(key)
        self._latest = self._programs[key]
        return self._latest

    # -- the story of the latest program ---------------------------------------------------------------------------

    @property
    def program(self) -> Program:
        """The program of the latest call or `specialize`."""
        if self._latest is None:
            names = sorted(frozenset().union(*(node.type.names() for node in self._inputs)))
            if names:
                raise DimError(f"compiled at the first call or by specialize(...) for sizes of {', '.join(names)}")
            return self.specialize({})
        return self._latest

    @property
    def graph(self) -> Graph:
        return self.program.graph

    @property
    def schedule(self) -> Schedule:
        return self.program.schedule

    @property
    def plan(self) -> Plan:
        return self.program.plan

    def explain(self) -> str:
        """What the compiler did: the rules that fired, where, what they removed; steps; bytes."""
        program = self.program
        return "\n".join(
            [
                str(program.log),
                f"steps: {len(program.schedule.steps)}, of which {program.schedule.commit_start} before the commit"
                f" and {program.schedule.prepared} only when a parameter has changed",
                f"kernels: {program.lowered.own} {program.lowered.backend.name}, the others the ops' own",
                *program.lowered.backend.notes(program.schedule),
                *(f"in one pass: {program.schedule.named(steps)}" for steps in program.lowered.merged),
                f"peak bytes: {program.plan.peak_bytes:,} (largest sum of live bytes {program.plan.live_bytes:,})",
            ]
        )

    def profile(self, /, *arrays: Any, repeats: int = 20, **named: Any) -> Profile:
        """Median time of each step for these arrays. Parameters are as before when it returns."""
        if repeats < 1:
            raise ArgumentError(f"repeats must be at least 1, got {repeats}")
        feeds = self._feeds(arrays, named)
        with self._lock:
            self._check_alone()
            program = self._program(feeds)
            return Profile(program.schedule.steps, program.profile(feeds, repeats))

    def draw(self, path: str | Path, **options: Any) -> Path:
        """A picture of what it became, in the format that the suffix of `path` names; see `graphnet.viz.draw`."""
        from graphnet.viz import draw_program  # drawing is loaded only where it is used

        return draw_program(self.program, path, **options)

    def __reduce__(self) -> NoReturn:
        """Copying and pickling ask for this. Raises `CopyError`: addresses are compiled in, and threads hold them."""
        raise CopyError(
            f"{self!r} cannot be copied or pickled: it is machine code on memory of this process. Copy or pickle the "
            "model that it was compiled from, or save its state_dict(), and call gn.compile again"
        )

    def __repr__(self) -> str:
        given = ", ".join(f"{name}: {node.type}" for name, node in zip(self._names, self._inputs, strict=True))
        return f"<compiled function of ({given}); {len(self._programs)} sizes compiled>"

    # -- feeds -------------------------------------------------------------------------------------------------------

    def _feeds(self, arrays: Sequence[Any], named: Mapping[str, Any]) -> list[np.ndarray]:
        if named or len(arrays) != len(self._inputs):
            arrays = self._by_name(arrays, named)
        return [
            value if type(value) is np.ndarray and value.dtype == dtype else self._converted(number, value)
            for number, (value, dtype) in enumerate(zip(arrays, self._dtypes, strict=True))
        ]

    def _converted(self, number: int, value: Any) -> np.ndarray:
        return _converted(self._names[number], self._inputs[number], value)

    def _by_name(self, arrays: Sequence[Any], named: Mapping[str, Any]) -> list[Any]:
        if len(arrays) > len(self._names):
            raise FeedError(f"expected {len(self._names)} arrays ({', '.join(self._names)}), got {len(arrays)}")
        given = dict(zip(self._names, arrays, strict=False))
        unknown = [name for name in named if name not in self._names]
        twice = [name for name in named if name in given]
        missing = [name for name in self._names if name not in given and name not in named]
        if unknown or twice or missing:
            problems = [("unknown", unknown), ("given twice", twice), ("missing", missing)]
            text = "; ".join(f"{what}: {', '.join(names)}" for what, names in problems if names)
            raise FeedError(f"feeds do not fit: {text}; the inputs are {self._signature()}")
        given.update(named)
        return [given[name] for name in self._names]

    def _signature(self) -> str:
        return ", ".join(f"{name} {node.type}" for name, node in zip(self._names, self._inputs, strict=True))

    def _program(self, feeds: Sequence[np.ndarray]) -> Program:
        sizes: dict[str, int] = {}
        first: dict[str, str] = {}
        for name, node, array in zip(self._names, self._inputs, feeds, strict=True):
            if array.ndim != node.ndim:
                raise FeedError(self._misfit(name, node, array, f"{node.ndim} dimensions expected, {array.ndim} came"))
            for axis, (size, came) in enumerate(zip(node.shape, array.shape, strict=True)):
                if isinstance(size, Dim) and size == Dim(min(size.names())) and min(size.names()) not in sizes:
                    sizes[min(size.names())] = came
                    first[min(size.names())] = f"axis {axis} of {name!r}"
        for name, node, array in zip(self._names, self._inputs, feeds, strict=True):
            for axis, (size, came) in enumerate(zip(node.shape, array.shape, strict=True)):
                wanted = _bound(name, size, sizes)
                if wanted != came:
                    names = sorted(size.names()) if isinstance(size, Dim) else []
                    said = ", ".join(f"{dim}={sizes[dim]} from {first[dim]}" for dim in names)
                    problem = f"axis {axis} should be {wanted}{f' ({said})' if said else ''}, is {came}"
                    raise FeedError(self._misfit(name, node, array, problem))
        program = self.specialize(sizes)
        self._by_shapes[tuple([array.shape for array in feeds])] = tuple(sorted(sizes.items()))
        return program

    def _misfit(self, name: str, node: Node, array: np.ndarray, problem: str) -> str:
        return (
            f"input {name!r} is declared {node.type}, got an array {array.dtype.name}{list(array.shape)}: {problem}"
            f"\n  declared at {node.provenance.location}"
        )

    def _structured(self, results: list[np.ndarray]) -> Any:
        if self._outputs is None:
            return None
        if isinstance(self._outputs, Node):
            return results[0]
        if isinstance(self._outputs, dict):
            return dict(zip(self._outputs, results, strict=True))
        return tuple(results) if isinstance(self._outputs, tuple) else results


def _bound(name: str, size: Size, sizes: Mapping[str, int]) -> int:
    if isinstance(size, int):
        return size
    unknown = sorted(size.names() - set(sizes))
    if unknown:
        raise FeedError(f"input {name!r}: no array gives {', '.join(unknown)} on its own, so {size} is not known")
    return size.bind(sizes)


def _converted(name: str, node: Node, value: Any) -> np.ndarray:
    """A feed that is not an exact ndarray: numbers and lists are taken where they fit, other dtypes are refused."""
    where = f"\n  declared at {node.provenance.location}"
    if isinstance(value, Node):
        raise FeedError(f"input {name!r} is declared {node.type}, got a symbolic node: give it an array{where}")
    try:
        array = np.asarray(value)
    except ValueError as error:
        problem = f"got something that is no array: {error}{where}"
        raise FeedError(f"input {name!r} is declared {node.type}, {problem}") from error
    if array.dtype.newbyteorder("=") == node.dtype:
        return array.astype(node.dtype, copy=False)
    if array.dtype.kind not in "fiub":
        problem = f"got dtype {array.dtype.name}, which is no number{where}"
        raise FeedError(f"input {name!r} is declared {node.type}, {problem}")
    plain = not hasattr(value, "dtype")
    if plain and _fits(array, node.dtype):
        return array.astype(node.dtype)
    hint = f'; convert it with .astype("{node.dtype.name}")'
    if node.type.is_integer and array.dtype.kind == "f" and not np.isfinite(array).all():
        hint = "; it holds NaN or infinity, where integers are expected"
    elif plain and array.dtype.kind in "iuf" and (array.dtype.kind == "f") == node.type.is_float:
        hint = f"; it holds numbers that do not fit {node.dtype.name}"
    raise FeedError(f"input {name!r} is declared {node.type}, got dtype {array.dtype.name}{hint}{where}")


def _fits(array: np.ndarray, dtype: np.dtype) -> bool:
    """Whether Python's numbers, which have no dtype of their own, become `dtype` with nothing lost but precision."""
    if array.size == 0:
        return True
    if dtype.kind in "iu" and array.dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return bool(limits.min <= int(array.min()) and int(array.max()) <= limits.max)
    if dtype.kind == "f" and array.dtype.kind == "f":
        finite = array[np.isfinite(array)]
        return not finite.size or bool(np.abs(finite).max() <= np.finfo(dtype).max)
    return array.dtype.kind == dtype.kind or (dtype.kind == "f" and array.dtype.kind in "iub")


def _count(name: str, size: object) -> int:
    """A dimension's size as an integer of at least 0. Raises `DimError`."""
    if isinstance(size, bool) or not hasattr(size, "__index__") or size.__index__() < 0:
        raise DimError(f"dimension {name!r} must be an integer of at least 0, got {size!r}")
    return int(size.__index__())


def input_name(node: Node) -> str:
    """The name under which an input is fed."""
    assert isinstance(node.op, Input)
    return node.op.label


def check_inputs(inputs: Any) -> list[Node]:
    """`inputs` as a list of input nodes with names of their own. Raises `ArgumentError`."""
    if not isinstance(inputs, Iterable):
        raise ArgumentError(f"compile takes inputs made with gn.input, got {inputs!r}")
    listed = [inputs] if isinstance(inputs, Node) else list(inputs)
    for node in listed:
        if not isinstance(node, Node) or not isinstance(node.op, Input):
            raise ArgumentError(f"compile takes inputs made with gn.input, got {node!r}")
    names = [input_name(node) for node in listed]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ArgumentError(f"two inputs are called {', '.join(map(repr, twice))}; names must differ")
    return listed


def check_outputs(outputs: Any) -> Outputs:
    """`outputs` in a structure of our own, which the caller cannot change later. Raises `ArgumentError`."""
    if outputs is None or isinstance(outputs, Node):
        return outputs
    if not isinstance(outputs, Iterable):
        raise ArgumentError(f"outputs must be graph nodes, got {type(outputs).__name__} {outputs!r}")
    structure = dict if isinstance(outputs, Mapping) else tuple if isinstance(outputs, tuple) else list
    kept: Outputs = structure(outputs)
    for node in listed(kept):
        if not isinstance(node, Node):
            raise ArgumentError(f"outputs must be graph nodes, got {type(node).__name__} {node!r}")
    return kept


def listed(outputs: Outputs) -> list[Node]:
    """The nodes of `outputs`, whatever their structure, in order."""
    if outputs is None:
        return []
    if isinstance(outputs, Node):
        return [outputs]
    return list(outputs.values() if isinstance(outputs, Mapping) else outputs)
