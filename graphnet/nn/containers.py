"""Modules that hold modules: one after another, in a list, under names."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from itertools import groupby
from typing import Any, Self, overload

from graphnet.errors import ArgumentError
from graphnet.graph.node import Node
from graphnet.nn.module import Module


class _Row(Module):
    """Modules in a row, named "0", "1", ... by their place: what Sequential and ModuleList share."""

    def append(self, module: Module) -> Self:
        """Put one more module at the end."""
        place = len(self)
        while str(place) in self._modules:  # a part of a Sequential keeps the names of the whole
            place += 1
        self.add_module(str(place), self._checked(module, len(self)))
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Put more modules at the end."""
        if not isinstance(modules, Iterable):
            raise ArgumentError(f"{type(self).__name__}.extend takes modules in a list, got {modules!r}")
        added = list(modules)
        for place, module in enumerate(added, len(self)):
            self._checked(module, place)
        for module in added:
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Put a module before place `index`; those behind it move by one."""
        held = list(self)
        if not isinstance(index, int) or not -len(held) <= index <= len(held):
            raise IndexError(f"{type(self).__name__} of {len(held)} modules has no place {index} to insert at")
        self._checked(module, index)
        place = index if index >= 0 else index + len(held)
        self.append(module)  # with the checks of add_module, before anything moves
        self._renumber([*held[:place], module, *held[place:]])
        return self

    def pop(self, key: int = -1) -> Module:
        """Take a module out; those behind it move up."""
        module = self[key]
        del self[key]
        return module

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    def __contains__(self, module: object) -> bool:
        return any(held is module for held in self)

    @overload
    def __getitem__(self, index: int) -> Module: ...

    @overload
    def __getitem__(self, index: slice) -> Self: ...

    def __getitem__(self, index: int | slice) -> Module | Self:
        if isinstance(index, slice):
            part = type(self)()
            # Not add_module: the parameters keep the names that they have in the whole.
            part._modules.update(self._kept(list(self._modules.items())[index]))
            return part
        return self._modules[self._name_at(index)]

    def _kept(self, items: list[tuple[str, Module]]) -> Iterable[tuple[str, Module]]:
        """The names in a slice: PyTorch's Sequential keeps those of the whole, its ModuleList counts anew."""
        return items

    def __setitem__(self, index: int, module: Module) -> None:
        self.add_module(self._name_at(index), module)

    def __delitem__(self, index: int | slice) -> None:
        held = list(self)
        if not isinstance(index, slice):
            self._name_at(index)
        del held[index]
        self._renumber(held)

    def __iadd__(self, other: Iterable[Module]) -> Self:
        return self.extend(other)

    def __add__(self, other: Iterable[Module]) -> Self:
        if not isinstance(other, Iterable):
            return NotImplemented
        return type(self)().extend(self).extend(other)

    def _renumber(self, modules: Iterable[Module]) -> None:
        self._modules.clear()
        self._modules.update((str(place), module) for place, module in enumerate(modules))
        self._settle(self._path)

    def _checked(self, module: object, place: int) -> Module:
        if not isinstance(module, Module):
            hint = " (write the class with parentheses)" if isinstance(module, type) else ""
            raise ArgumentError(f"{type(self).__name__}: item {place} must be a Module, got {module!r}{hint}")
        self._check_module(str(place), module)
        return module

    def _name_at(self, index: int) -> str:
        names = list(self._modules)
        if isinstance(index, bool) or not hasattr(index, "__index__"):
            raise TypeError(f"{type(self).__name__}: an index must be an integer or a slice, got {index!r}")
        if not -len(names) <= index < len(names):
            raise IndexError(f"{type(self).__name__} of {len(names)} modules has no item {index}")
        return names[index]


class Sequential(_Row):
    """Each module takes what the one before gives: `Sequential(a, b)`, a list, or an OrderedDict to name them."""

    def __init__(self, *args: Module | Mapping[str, Module] | Iterable[Module]) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], Mapping):
            for name, module in args[0].items():
                self.add_module(name, module)
        elif len(args) == 1 and isinstance(args[0], (list, tuple)):
            self.extend(args[0])
        else:
            for item in args:
                self.append(item)  # type: ignore[arg-type]  # append says what is wrong with it

    def forward(self, x: Any) -> Any:
        for module in self._modules.values():
            x = module(x)
        return x


class ModuleList(_Row):
    """Modules in a list, for a `forward` that calls them as it likes; itself it computes nothing."""

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.extend(modules)

    def _kept(self, items: list[tuple[str, Module]]) -> Iterable[tuple[str, Module]]:
        return ((str(place), module) for place, (_, module) in enumerate(items))

    def __repr__(self) -> str:
        """As in PyTorch, equal neighbours share a line."""
        runs = [(text, len(list(run))) for text, run in groupby(map(repr, self))]
        if not runs:
            return "ModuleList()"
        lines, place = [], 0
        for text, count in runs:
            head = f"({place}): " if count == 1 else f"({place}-{place + count - 1}): {count} x "
            lines.append((head + text).replace("\n", "\n  "))
            place += count
        return "ModuleList(\n  " + "\n  ".join(lines) + "\n)"


class ModuleDict(Module):
    """Modules under names, in the order they came, for a `forward` that calls them; itself it computes nothing."""

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add modules, or replace those of the same names."""
        pairs: list[Any] = list(modules.items() if isinstance(modules, (Mapping, ModuleDict)) else _items(modules))
        for pair in pairs:
            if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                raise ArgumentError(f"ModuleDict takes a dict, or pairs of a name and a module, got {pair!r}")
        for name, module in pairs:
            self._check_module(name, module)  # all of them, before anything changes
        for name, module in pairs:
            self.add_module(name, module)

    def pop(self, key: str) -> Module:
        """Take a module out."""
        module = self[key]
        del self._modules[key]
        return module

    def clear(self) -> None:
        """Take all modules out."""
        self._modules.clear()

    def keys(self) -> KeysView[str]:
        """The names."""
        return self._modules.keys()

    def values(self) -> ValuesView[Module]:
        """The modules."""
        return self._modules.values()

    def items(self) -> ItemsView[str, Module]:
        """The modules under their names."""
        return self._modules.items()

    def __getitem__(self, key: str) -> Module:
        if key not in self._modules:
            raise KeyError(f"ModuleDict has no {key!r}; it has {', '.join(map(repr, self._modules)) or 'nothing'}")
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        self.pop(key)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: object) -> bool:
        return key in self._modules


class Identity(Module):
    """x; arguments, of which PyTorch takes any, are not looked at."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, x: Node) -> Node:
        return x


def _items(pairs: object) -> Iterable[Any]:
    if not isinstance(pairs, Iterable):
        raise ArgumentError(f"ModuleDict takes a dict, or pairs of a name and a module, got {pairs!r}")
    return pairs
