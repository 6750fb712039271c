"""The pipeline is the order of imports: a module imports only from its own stage and from stages before it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "graphnet"

# One line a stage; names on a line stand side by side and may use each other, as long as no circle comes of it.
STAGES = [
    ["location"],
    ["errors", "config", "extras"],
    ["graph"],
    ["ops"],
    ["autodiff", "gradient_check", "nn"],
    ["optim"],
    ["rewrite"],
    ["schedule"],
    ["memory", "verify"],
    ["backend"],
    ["lower"],
    ["profile", "program"],
    ["executable"],
    ["compiler"],
    ["training", "interop", "viz"],
    ["experiments"],
    ["cli"],
    ["__init__", "__main__"],
]
# Families of ops, for those that have a place in this order; the others only have to form no circle.
OPS = [
    ["sources"],
    ["shaping"],
    ["elementwise"],
    ["activations", "reductions"],
    ["layout"],
    ["indexing"],
    ["linear"],
    ["convolution", "pooling"],
    ["normalization", "random"],
    ["losses"],
    ["operators"],
]
# Imports of a later stage, made when the function runs: a compiled function draws itself, and drawing comes last.
DRAWING_IS_LOADED_WHEN_ASKED_FOR = {("executable", "viz")}
AT_THE_TOP = {"numpy", "graphnet", *sys.stdlib_module_names}
OPTIONAL = {
    "networkx", "graphviz", "matplotlib", "tqdm", "safetensors", "sklearn", "llvmlite", "onnx", "mpi4py", "torch",
    "optuna", "PIL", "pooch", "requests", "rich", "tensorboardX", "threadpoolctl", "jax", "onnxruntime", "openvino",
}  # fmt: skip


@dataclass(frozen=True)
class Import:
    """`module` imports `target` (both full names) at `line`, inside a function or not."""

    module: str
    target: str
    line: int
    inside: bool

    @property
    def from_part(self) -> str:
        return part(self.module)

    @property
    def to_part(self) -> str:
        return part(self.target)

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.target}{' inside a function' * self.inside}"


def part(module: str) -> str:
    """What of the package a module belongs to: `graphnet.ops.linear` -> `ops`, `graphnet` -> `__init__`."""
    return module.split(".")[1] if "." in module else "__init__"


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports_of(module: str) -> list[Import]:
    """Every import that runs: those under `if TYPE_CHECKING` are left out."""
    return list(_walk(module, tree(module), inside=False))


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text())


def _walk(module: str, node: ast.AST, inside: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(module, alias.name, child.lineno, inside) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"{module}:{child.lineno}: a relative import hides the stage; name it in full"
            for alias in child.names:
                inner = f"{child.module}.{alias.name}"
                yield Import(module, inner if inner in MODULES else child.module or "", child.lineno, inside)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from (found for other in child.orelse for found in _walk(module, other, inside))
        else:
            is_function = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            yield from _walk(module, child, inside or is_function)


@cache
def imports() -> list[Import]:
    """Of every module. They are looked for when a test asks, not when tests are collected."""
    return [found for module in MODULES for found in imports_of(module)]


def internal() -> list[Import]:
    return [found for found in imports() if found.target.split(".")[0] == "graphnet"]


def rank(stages: list[list[str]]) -> dict[str, int]:
    return {name: position for position, names in enumerate(stages) for name in names}


def test_every_module_has_a_stage():
    unknown = sorted({part(module) for module in MODULES} - rank(STAGES).keys())
    assert not unknown, f"say in STAGES where these belong: {unknown}"


def test_no_module_imports_from_a_later_stage():
    order = rank(STAGES)
    late = [
        str(found)
        for found in internal()
        if order.get(found.to_part, 0) > order.get(found.from_part, 0)  # one without a stage fails the test above
        and not (found.inside and (found.from_part, found.to_part) in DRAWING_IS_LOADED_WHEN_ASKED_FOR)
    ]
    assert not late, "\n".join(late)


def test_no_family_of_ops_imports_from_a_later_one():
    order = rank(OPS)
    late = []
    for found in internal():
        source, target = found.module.removeprefix("graphnet.ops."), found.target.removeprefix("graphnet.ops.")
        if source in order and target in order and order[target] > order[source]:
            late.append(str(found))
    assert not late, "\n".join(late)


def test_imports_form_no_circle():
    edges: dict[str, set[str]] = {module: set() for module in MODULES}
    for found in internal():
        if not found.inside and found.target in MODULES and found.target != found.module:
            edges[found.module].add(found.target)
    while leaves := [module for module, targets in edges.items() if not targets]:
        for module in leaves:
            del edges[module]
        for targets in edges.values():
            targets.difference_update(leaves)
    assert not edges, f"these modules import each other: {sorted(edges)}"


def test_inside_functions_only_optional_packages_are_imported():
    found = [
        str(item)
        for item in imports()
        if item.inside
        and item.target.split(".")[0] not in OPTIONAL
        and (item.from_part, item.to_part) not in DRAWING_IS_LOADED_WHEN_ASKED_FOR
    ]
    assert not found, "\n".join(found)


def test_at_the_top_no_optional_package_is_imported():
    found = [str(item) for item in imports() if not item.inside and item.target.split(".")[0] not in AT_THE_TOP]
    assert not found, "\n".join(found)


def test_importing_graphnet_imports_no_optional_package():
    code = "import sys, graphnet; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(result.stdout.split())
    assert "numpy" in loaded
    assert not loaded & (OPTIONAL | {"scipy", "pandas", "pytest"})


def test_only_config_reads_the_environment():
    readers = [
        f"{module}:{node.lineno}"
        for module in MODULES
        for node in ast.walk(tree(module))
        if (isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv", "getenvb"))
        or (isinstance(node, ast.alias) and node.name in ("environ", "environb", "getenv", "getenvb"))
    ]
    assert {reader.partition(":")[0] for reader in readers} <= {"graphnet.config"}, readers


def test_no_file_grows_past_what_one_reads_at_a_sitting():
    long = {module: lines for module, path in MODULES.items() if (lines := path.read_text().count("\n")) > 450}
    assert not long, f"split these, they have more than 450 lines: {long}"
