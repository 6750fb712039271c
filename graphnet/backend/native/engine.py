"""LLVM: text in, callable addresses out. Nothing else in graphnet imports llvmlite."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from graphnet.backend.native.residence import give_back, unchanged
from graphnet.extras import extra

_names = count()
_linking = threading.Lock()
_OPTIONS = {"opt": 3, "reloc": "pic", "codemodel": "default", "jit": True}


def _unlock() -> None:
    global _linking
    _linking = threading.Lock()  # in a forked child: another thread of the parent may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)


@dataclass(frozen=True)
class Loaded:
    """Functions of one library, by name, as addresses; the code lives as long as this object."""

    addresses: dict[str, int]
    keep: Any = field(repr=False)


@dataclass(frozen=True)
class Processor:
    """What code is made for: a triple (processor, vendor, system), a name and features, all as LLVM writes them."""

    triple: str
    name: str
    features: str


@cache
def _binding() -> Any:
    llvm = extra("llvmlite.binding")
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.initialize_native_asmparser()
    give_back(_mappings(llvm))  # most pages that loading has touched are not those that compiling will
    return llvm


@cache
def host() -> Processor:
    """The processor that this runs on."""
    llvm = _binding()
    return Processor(llvm.get_process_triple(), llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten())


@cache
def identity() -> tuple[str, ...]:
    """All that decides, beside a module's text, what code it becomes."""
    version, processor = ".".join(map(str, _binding().llvm_version_info)), host()
    options = map(str, _OPTIONS.values())
    return (extra("llvmlite").__version__, version, processor.triple, processor.name, processor.features, *options)


def _machine(processor: Processor | None = None) -> Any:
    """LLVM's code generator, for this processor or another."""
    llvm = _binding()
    if processor is None:
        processor = host()
    else:
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
    target = llvm.Target.from_triple(processor.triple)
    return target.create_target_machine(cpu=processor.name, features=processor.features, **_OPTIONS)


def rest() -> None:
    """Give back the memory that only compiling needs, until something is compiled again."""
    give_back(_mappings(_binding()))


@cache
def _mappings(llvm: Any) -> list[tuple[int, int]]:
    """Where LLVM lies in memory, and stays."""
    return unchanged(Path(llvm.ffi.lib._name).name)


def compile_object(text: str) -> bytes:
    """The object code of a module. Several threads may ask at once, and LLVM works for all of them."""
    llvm = _binding()
    machine = _machine()
    module = llvm.parse_assembly(text, llvm.create_context())  # a context of its own: LLVM shares nothing beyond it
    module.triple, module.data_layout = machine.triple, str(machine.target_data)
    module.verify()
    return _emitted(machine, module)


def _emitted(machine: Any, module: Any) -> bytes:
    """As `emit_object` of llvmlite, but for its lock, under which one thread at a time could compile."""
    llvm = _binding()
    lib = llvm.ffi.lib
    emit = getattr(lib.LLVMPY_TargetMachineEmitToMemory, "_cfn", None)
    if emit is None:
        code: bytes = machine.emit_object(module)
        return code
    with llvm.ffi.OutputString() as problem:
        buffer = emit(machine, module, 1, problem)
        if not buffer:
            raise RuntimeError(f"LLVM cannot compile a module: {problem}")
    try:
        return ctypes.string_at(lib.LLVMPY_GetBufferStart(buffer), lib.LLVMPY_GetBufferSize(buffer))
    finally:
        lib.LLVMPY_DisposeMemoryBuffer(buffer)


def assembly(text: str, processor: Processor | None = None) -> str:
    """The assembly of a module, to read, for this processor or another.

    Raises `RuntimeError` where this LLVM cannot make code for that.
    """
    llvm = _binding()
    machine = _machine(processor)
    module = llvm.parse_assembly(text)
    module.triple, module.data_layout = machine.triple, str(machine.target_data)
    listing: str = machine.emit_assembly(module)
    return listing


def load(code: bytes, functions: list[str], imports: Mapping[str, int] | None = None) -> Loaded:
    """Link object code into this process. `imports` are the addresses of what it calls.

    By ORC's JITLink; where that does not work here, by MCJIT from then on. Raises `RuntimeError` where neither does.
    """
    with _linking:
        for link in tuple(_linkers):
            try:
                loaded = link(code, functions, imports or {})
            except (AttributeError, OSError, RuntimeError) as error:
                problem = error
            else:
                del _linkers[: _linkers.index(link)]
                return loaded
    raise RuntimeError(f"LLVM cannot link code: {problem}") from problem


@cache
def _orc() -> Any:
    return _binding().create_lljit_compiler(_machine(), use_jit_link=True)


def _link_by_orc(code: bytes, functions: list[str], imports: Mapping[str, int]) -> Loaded:
    builder = _binding().JITLibraryBuilder().add_object_img(code).add_current_process()
    for name, address in imports.items():
        builder.import_symbol(name, address)
    for name in functions:
        builder.export_symbol(name)
    tracker = builder.link(_orc(), f"graphnet{next(_names)}")
    return Loaded({name: tracker[name] for name in functions}, tracker)


def _link_by_mcjit(code: bytes, functions: list[str], imports: Mapping[str, int]) -> Loaded:
    llvm = _binding()
    for name, address in imports.items():
        llvm.add_symbol(name, address)
    jit = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine())
    jit.add_object_file(llvm.ObjectFileRef.from_data(code))
    jit.finalize_object()
    addresses = {name: jit.get_function_address(name) for name in functions}
    missing = [name for name, address in addresses.items() if not address]
    if missing:
        raise RuntimeError(f"no function {', '.join(missing)} in the code")
    return Loaded(addresses, jit)


_linkers = [_link_by_orc, _link_by_mcjit]  # the first that works does it
