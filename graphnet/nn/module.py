"""`Module`: parameters, buffers and submodules under names, and the function that declares their graph."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from graphnet.errors import ArgumentError, GraphnetError
from graphnet.graph import provenance
from graphnet.graph.node import Node
from graphnet.graph.types import DtypeLike, as_dtype
from graphnet.location import made_at
from graphnet.nn.arguments import flag
from graphnet.nn.calls import declared
from graphnet.nn.state import LoadResult, load_arrays
from graphnet.nn.summary import Summary, summary
from graphnet.nn.tree import Tree, join
from graphnet.ops.sources import Parameter, parameter

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_enclosing: ContextVar[str | None] = ContextVar("graphnet_enclosing_module", default=None)


def _undefined_forward(self: Module, *args: Any, **kwargs: Any) -> Any:
    raise GraphnetError(f"{type(self).__name__} does not say what it computes: define forward(self, ...)")


class _Arguments:
    """The signature of a layer class: that of its `__init__`. Some versions of Python look at `__new__` instead."""

    def __get__(self, layer: object, layer_class: type) -> inspect.Signature:
        if layer is not None:
            raise AttributeError("__signature__")  # a layer is called with what its `forward` takes
        whole = inspect.signature(layer_class.__init__)  # type: ignore[misc]
        return whole.replace(parameters=list(whole.parameters.values())[1:])


class Module(Tree):
    """Base of layers and models: assign parameters and modules to attributes, and define `forward`.

    Calling a module calls `forward` on nodes and gives nodes; nothing runs until `gn.compile`. Called in train and in
    eval mode it declares two graphs that share the parameters. Names and methods are PyTorch's.
    """

    training: bool
    _made_at: provenance.Provenance
    _path: str  # dotted, from the outermost module that took this one in; "" for that module itself

    forward: Callable[..., Any] = _undefined_forward

    __signature__ = _Arguments()

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        # Here and not in __init__, so that a subclass that forgets super().__init__() works all the same.
        module = super().__new__(cls)
        state = {"training": True, "_path": "", "_parameters": {}, "_buffers": {}, "_modules": {}, "_unsaved": set()}
        module.__dict__.update(state, _made_at=provenance.here())
        return module

    def __init__(self) -> None:
        """A layer without arguments: one that is given some is a mistake, which `object` would let pass."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What `forward` declares for these nodes, each node marked as belonging to this module."""
        self._refuse_arrays(args, kwargs)
        token = _enclosing.set(self._path)
        try:
            with ExitStack() as stack:
                for name in self._scope(token.old_value):
                    stack.enter_context(provenance.scope(name))
                for own in (*self._parameters.values(), *self._buffers.values()):
                    if own is not None:
                        provenance.belongs_here(own)
                made = self._made_at
                stack.enter_context(made_at(made.file, made.line, Module.__call__.__code__))
                return declared(self, args, kwargs)
        except GraphnetError as error:
            if "declared at" in str(error):
                raise
            raise self._located(error) from error
        finally:
            _enclosing.reset(token)

    def _refuse_arrays(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        for value in (*args, *kwargs.values()):
            # A torch tensor is as wrong here as a NumPy array; single numbers are welcome.
            if not isinstance(value, Node) and hasattr(value, "__array__") and np.ndim(value):
                raise ArgumentError(
                    f"{type(self).__name__} takes graph nodes such as gn.input(...), got an array of shape "
                    f"{tuple(value.shape)}; to run a model on arrays, compile its graph with gn.compile"
                )

    def _located(self, error: GraphnetError) -> GraphnetError:
        """The same error, saying in which layer it came up and which line made that layer."""
        where = f"{self._path!r} ({type(self).__name__})" if self._path else type(self).__name__
        said = error.problem if str(error).endswith(self._made_at.location) else str(error)
        return type(error)(f"{said}\n  in {where}, declared at {self._made_at.location}")

    def _scope(self, enclosing: object) -> list[str]:
        """The names from the module that is calling down to this one; a number is told more by its class."""
        path = self._path
        if isinstance(enclosing, str) and enclosing and path.startswith(enclosing + "."):
            path = path[len(enclosing) + 1 :]
        if not path:
            return [type(self).__name__]
        *outer, last = path.split(".")
        return [*outer, f"{last}:{type(self).__name__}" if last.isdigit() else last]

    # -- registration -------------------------------------------------------------------------------------------------

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Keep a parameter under `name`; None reserves the name (a layer without bias)."""
        self._check_name(name, self._parameters)
        if param is not None and not isinstance(param, Parameter):
            raise ArgumentError(f"{self._describe(name)} must be a gn.parameter or None, got {_said(param)}")
        self._parameters[name] = self._named(name, param)

    def register_buffer(self, name: str, tensor: ArrayLike | Parameter | None, persistent: bool = True) -> None:
        """Keep a value that is not trained, such as a running statistic; a state has it where it is `persistent`."""
        self._check_name(name, self._buffers)
        (self._unsaved.discard if flag(type(self).__name__, "persistent", persistent) else self._unsaved.add)(name)
        value = tensor if tensor is None or isinstance(tensor, Parameter) else parameter(tensor, name)
        if value is not None:
            value.requires_grad_(False)
        self._buffers[name] = self._named(name, value)

    def add_module(self, name: str, module: Module) -> None:
        """Keep a submodule under `name`; its parameters are called `name.…` from now on."""
        self._check_module(name, module)
        self._modules[name] = module
        module._settle(join(self._path, name))

    def _check_module(self, name: str, module: Module) -> None:
        self._check_name(name, self._modules)
        if not isinstance(module, Module):
            raise ArgumentError(f"{self._describe(name)} must be a Module, got {module!r}")
        if any(inner is self for inner in module.modules()):
            raise ArgumentError(f"{self._describe(name)} cannot contain the module that it becomes a part of")

    def _settle(self, path: str) -> None:
        """Tell this module, and all below it, where it now is."""
        for inner_path, module in self.named_modules(prefix=path):
            module._path = inner_path
            for name, value in (*module._parameters.items(), *module._buffers.items()):
                module._named(name, value)

    def _named(self, name: str, value: Parameter | None) -> Parameter | None:
        if value is not None:
            value.rename(join(self._path, name))
        return value

    def _check_name(self, name: str, registry: Mapping[str, object]) -> None:
        if not isinstance(name, str) or not name or "." in name:
            raise ArgumentError(f"{type(self).__name__}: a name must be a non-empty string without dots, got {name!r}")
        if name not in registry and hasattr(self, name):
            raise ArgumentError(f"{type(self).__name__} already has an attribute {name!r}")

    def _describe(self, name: str) -> str:
        return f"{type(self).__name__}.{name}"

    def __setattr__(self, name: str, value: Any) -> None:
        held = next((r for r in (self._parameters, self._buffers, self._modules) if name in r), None)
        if held is None and isinstance(value, (Parameter, Module)):
            self.__dict__.pop(name, None)  # `self.shortcut = None`, and later, where one is needed, a layer
            held = self._parameters if isinstance(value, Parameter) else self._modules
        if held is self._parameters:
            self.register_parameter(name, value)
        elif held is self._buffers:
            self.register_buffer(name, value, persistent=name not in self._unsaved)
        elif held is self._modules and value is not None:
            self.add_module(name, value)
        else:
            self._modules.pop(name, None)
            object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        for registry in (self._parameters, self._buffers, self._modules):
            if name in registry:
                del registry[name]
                self._unsaved.discard(name)
                return
        object.__delattr__(self, name)

    # -- changing all at once -----------------------------------------------------------------------------------------

    def apply(self, fn: Callable[[Module], object]) -> Self:
        """Call `fn` on every module, those inside a module before it; then the module itself is returned."""
        outermost_first: list[Module] = []
        stack: list[Module] = [self]
        seen: set[int] = set()
        while stack:
            module = stack.pop()
            if id(module) not in seen:
                seen.add(id(module))
                outermost_first.append(module)
                stack.extend(module._modules.values())
        for module in reversed(outermost_first):
            fn(module)
        return self

    def train(self, mode: bool = True) -> Self:
        """From now on, calls declare the graph of training (`mode=False`: of evaluation)."""
        if not isinstance(mode, bool):
            raise ArgumentError(f"train: mode must be True or False, got {mode!r}")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """From now on, calls declare the graph of evaluation."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Say whether optimizers may change the parameters."""
        for value in self.parameters():
            value.requires_grad_(requires_grad)
        return self

    def to(self, dtype: DtypeLike) -> Self:
        """Give every floating-point parameter and buffer this dtype.

        They become new parameters, since a parameter's type is part of every graph it is in: call it before
        declaring graphs and optimizers.
        """
        wanted = as_dtype(dtype)
        if wanted.kind != "f":
            raise ArgumentError(f"to: a model computes in float32 or float64, got {wanted}")
        changed: dict[Parameter, Parameter] = {}
        for module in self.modules():
            for registry in (module._parameters, module._buffers):
                for name, value in registry.items():
                    if value is not None and value.type.is_float and value.dtype != wanted:
                        if value not in changed:
                            copy = parameter(value.value, value.name, dtype=wanted, requires_grad=value.requires_grad)
                            changed[value] = copy
                        registry[name] = changed[value]
        return self

    def double(self) -> Self:
        """`to("float64")`."""
        return self.to("float64")

    def float(self) -> Self:
        """`to("float32")`."""
        return self.to("float32")

    # -- weights ------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of all parameters and buffers under PyTorch's names, in its order."""
        return {name: value.value for name, value in self._state()}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> LoadResult:
        """Overwrite parameters and buffers by arrays (or CPU tensors) under the names `state_dict()` gives.

        Raises `WeightsError` that lists missing and unexpected names (`strict`), and those whose shape or dtype does
        not fit; then nothing is changed. Arrays of another floating-point dtype are cast.
        """
        return load_arrays(dict(self._state()), state_dict, type(self).__name__, strict=strict)

    # -- printing -----------------------------------------------------------------------------------------------------

    def summary(self, input_size: Any, dtypes: Any = None) -> Summary:
        """A table of shapes, parameters, FLOPs and bytes, layer by layer, for inputs of these shapes: `nn.summary`."""
        return summary(self, input_size, dtypes)

    def extra_repr(self) -> str:
        """What a layer adds between its parentheses."""
        return ""

    def __repr__(self) -> str:
        lines = [f"({name}): {module!r}".replace("\n", "\n  ") for name, module in self._modules.items()]
        if not lines:
            return f"{type(self).__name__}({self.extra_repr()})"
        first = [self.extra_repr()] if self.extra_repr() else []
        return f"{type(self).__name__}(\n  " + "\n  ".join(first + lines) + "\n)"


def _said(value: object) -> str:
    """A value in an error: an array by its shape, with what its owner may have wanted."""
    if not hasattr(value, "__array__"):
        return repr(value)
    return f"an array of shape {np.shape(value)} (set_value overwrites what a parameter holds)"
