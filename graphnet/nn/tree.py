"""What is under which name: a module's parameters, buffers and submodules, and all those below it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from graphnet.graph.node import Node
from graphnet.ops.sources import Parameter

if TYPE_CHECKING:
    from graphnet.nn.module import Module


class Tree:
    """The names of a `Module`, and the ways to walk over them. Order and names are PyTorch's."""

    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Parameter | None]
    _modules: dict[str, Module]
    _unsaved: set[str]  # names of the buffers that a state leaves out

    def __getattr__(self, name: str) -> Any:
        for registry in ("_parameters", "_buffers", "_modules"):
            found = self.__dict__.get(registry, {})
            if name in found:
                return found[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._parameters, *self._buffers, *self._modules})

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module under `prefix` and every module below it, outermost first, each once."""
        seen: set[int] = set()
        stack: list[tuple[str, Module]] = [(prefix, self)]  # type: ignore[list-item]  # every tree is a module
        while stack:
            path, module = stack.pop()
            if id(module) not in seen:
                seen.add(id(module))
                yield path, module
                stack.extend((join(path, name), child) for name, child in reversed(module._modules.items()))

    def modules(self) -> Iterator[Module]:
        """This module and every module below it, each once."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly below, under their names, each once."""
        seen: set[int] = set()
        for name, module in self._modules.items():
            if id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def children(self) -> Iterator[Module]:
        """The modules directly below, each once."""
        return (module for _, module in self.named_children())

    def named_parameters(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Parameter]]:
        """The parameters under their dotted names, each once, even where two layers share it."""
        return _each_once(self._entries("_parameters", prefix, recurse))

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, each once."""
        return (value for _, value in self.named_parameters(recurse=recurse))

    def named_buffers(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Parameter]]:
        """Running statistics and the like under their dotted names, each once."""
        return _each_once(self._entries("_buffers", prefix, recurse))

    def buffers(self, recurse: bool = True) -> Iterator[Parameter]:
        """Running statistics and the like, each once."""
        return (value for _, value in self.named_buffers(recurse=recurse))

    def _entries(self, registry: str, prefix: str, recurse: bool) -> Iterator[tuple[str, Parameter]]:
        for path, module in self.named_modules(prefix) if recurse else [(prefix, self)]:
            for name, value in getattr(module, registry).items():
                if value is not None:
                    yield join(path, name), value

    def get_submodule(self, target: str) -> Module:
        """The module under a dotted path; "" is this one. Raises `AttributeError` for a path that leads nowhere."""
        found: Any = self
        for depth, name in enumerate(target.split(".") if target else []):
            if name not in found._modules:
                before = ".".join(target.split(".")[:depth])
                where = f"{type(found).__name__}{f' at {before!r}' * bool(before)}"
                raise AttributeError(f"{where} has no module {name!r}")
            found = found._modules[name]
        return found

    def get_parameter(self, target: str) -> Parameter:
        """The parameter under a dotted path. Raises `AttributeError` for a path that leads to none."""
        return self._at(target, "_parameters", "parameter")

    def get_buffer(self, target: str) -> Parameter:
        """The buffer under a dotted path. Raises `AttributeError` for a path that leads to none."""
        return self._at(target, "_buffers", "buffer")

    def _at(self, target: str, registry: str, what: str) -> Parameter:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        found = getattr(module, registry).get(name)
        if found is None:
            raise AttributeError(f"{type(module).__name__} has no {what} {name!r}")
        return found

    def _state(self) -> Iterator[tuple[str, Parameter]]:
        for path, module in self._paths_of_state():
            saved = [(name, value) for name, value in module._buffers.items() if name not in module._unsaved]
            for name, value in (*module._parameters.items(), *saved):
                if value is not None:
                    yield join(path, name), value

    def _paths_of_state(self) -> Iterator[tuple[str, Tree]]:
        """Every path to every module: unlike `named_modules`, a module shared by two is under both names."""
        stack: list[tuple[str, Tree]] = [("", self)]
        while stack:
            path, module = stack.pop()
            yield path, module
            stack.extend((join(path, name), child) for name, child in reversed(module._modules.items()))


def join(path: str, name: str) -> str:
    """A dotted path and one more name; the path of the outermost module is ""."""
    return f"{path}.{name}" if path else name


def _each_once(entries: Iterator[tuple[str, Parameter]]) -> Iterator[tuple[str, Parameter]]:
    seen: set[Node] = set()
    for name, value in entries:
        if value not in seen:
            seen.add(value)
            yield name, value
