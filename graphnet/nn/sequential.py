"""`Sequential`: modules one after another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import overload

from graphnet.errors import ArgumentError
from graphnet.graph.node import Node
from graphnet.nn.module import Module


class Sequential(Module):
    """Each module takes what the one before gives: `Sequential(a, b)`, or an OrderedDict to name them."""

    def __init__(self, *args: Module | Mapping[str, Module]) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], Mapping):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            for item in args:
                self.append(item)

    def append(self, module: object) -> Sequential:
        """Put one more module at the end, named by its position."""
        if not isinstance(module, Module):
            hint = " (write the class with parentheses)" if isinstance(module, type) else ""
            raise ArgumentError(f"Sequential: item {len(self)} must be a Module, got {module!r}{hint}")
        self.add_module(str(len(self)), module)
        return self

    def forward(self, x: Node) -> Node:
        for module in self._modules.values():
            x = module(x)
        return x

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    @overload
    def __getitem__(self, index: int) -> Module: ...

    @overload
    def __getitem__(self, index: slice) -> Sequential: ...

    def __getitem__(self, index: int | slice) -> Module | Sequential:
        if isinstance(index, slice):
            part = Sequential()
            # Not add_module: the modules keep the names that they have in the whole.
            part._modules.update(list(self._modules.items())[index])
            return part
        return self._modules[self._name_at(index)]

    def __setitem__(self, index: int, module: Module) -> None:
        self.add_module(self._name_at(index), module)

    def _name_at(self, index: int) -> str:
        names = list(self._modules)
        if not -len(names) <= index < len(names):
            raise IndexError(f"Sequential of {len(names)} modules has no item {index}")
        return names[index]


class Identity(Module):
    """x."""

    def forward(self, x: Node) -> Node:
        return x
