"""LLVM: text in, callable addresses out. Nothing else in graphnet imports llvmlite."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from typing import Any

from graphnet.extras import extra

_names = count()


@dataclass(frozen=True)
class Loaded:
    """Functions of one library, by name, as addresses; the code lives as long as this object."""

    addresses: dict[str, int]
    keep: Any = field(repr=False)


@cache
def _binding() -> Any:
    llvm = extra("llvmlite.binding")
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.initialize_native_asmparser()
    return llvm


def host() -> tuple[str, str]:
    """The name of this processor, and its features as LLVM writes them."""
    llvm = _binding()
    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


def _machine() -> Any:
    llvm = _binding()
    cpu, features = host()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    return target.create_target_machine(cpu=cpu, features=features, opt=3, reloc="pic", codemodel="default", jit=True)


@cache
def _jit() -> Any:
    return _binding().create_lljit_compiler(_machine(), use_jit_link=True)


def compile_object(text: str) -> bytes:
    """The object code of a module."""
    llvm = _binding()
    machine = _machine()
    module = llvm.parse_assembly(text)
    module.triple, module.data_layout = machine.triple, str(machine.target_data)
    module.verify()
    code: bytes = machine.emit_object(module)
    return code


def assembly(text: str) -> str:
    """The machine's assembly of a module, to read."""
    llvm = _binding()
    machine = _machine()
    module = llvm.parse_assembly(text)
    module.triple, module.data_layout = machine.triple, str(machine.target_data)
    listing: str = machine.emit_assembly(module)
    return listing


def load(code: bytes, functions: list[str], imports: Mapping[str, int] | None = None) -> Loaded:
    """Link object code into this process. `imports` are the addresses of what it calls."""
    llvm = _binding()
    builder = llvm.JITLibraryBuilder().add_object_img(code).add_current_process()
    for name, address in (imports or {}).items():
        builder.import_symbol(name, address)
    for name in functions:
        builder.export_symbol(name)
    tracker = builder.link(_jit(), f"graphnet{next(_names)}")
    return Loaded({name: tracker[name] for name in functions}, tracker)
