"""Which nodes share a box: everything that updates one parameter, and, for a picture of layers, each layer and role."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from graphnet.graph.node import Node
from graphnet.graph.provenance import BACKWARD, FORWARD, UPDATE
from graphnet.graph.traversal import users
from graphnet.ops.sources import Assign, Constant, Parameter, SizeOf

SHARED = "shared by all updates"


@dataclass
class Parts:
    """The boxes of a picture: `members` by key in topological order, and what each is. `home` is a node's box."""

    folded: Callable[[Node], bool]
    keys: dict[Hashable, str] = field(default_factory=dict)
    members: dict[str, list[Node]] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)
    layers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    home: dict[Node, str] = field(default_factory=dict)
    loose: dict[Node, int] = field(default_factory=dict)

    def base(self, node: Node) -> Node:
        """The node whose memory `node` looks at: itself, unless it is a view that the picture folds into arrows."""
        while node.op.is_view and self.folded(node):
            node = node.inputs[0]
        return node

    def add(self, group: Hashable, node: Node, role: str, layer: tuple[str, ...], title: str = "") -> None:
        """Put `node` into the box of `group`, which the first node put there makes."""
        key = self.keys.setdefault(group, f"box{len(self.keys)}")
        if key not in self.members:
            self.members[key] = []
            self.roles[key], self.layers[key], self.titles[key] = role, layer, title
        self.members[key].append(node)
        self.home[node] = key


def parts_of(order: Sequence[Node], detail: str) -> Parts:
    """The boxes for `order` at a level of detail: "nodes", "ops" or "layers"."""
    roles = _roles(order)
    if detail == "nodes":
        parts = Parts(folded=lambda node: False)
        for node in order:
            parts.add(node, node, roles[node], node.provenance.scope)
        return parts
    parts = Parts(folded=lambda node: True)
    targets = _update_targets(order, roles)
    parts.loose = _loose_groups(order, roles) if detail == "layers" else {}
    for node in order:
        if node.op.is_view or isinstance(node.op, (Constant, SizeOf)) or isinstance(node, Parameter):
            continue
        scope = node.provenance.scope
        if node in targets:
            title, layer = _update_text(targets[node], detail)
            parts.add((UPDATE, layer if detail == "layers" else targets[node]), node, UPDATE, layer, title)
        elif detail == "ops" or not node.inputs:
            parts.add(node, node, roles[node], scope)
        else:
            group = parts.loose[node] if node in parts.loose else (roles[node], scope)
            parts.add(group, node, roles[node], scope)
    return parts


def _roles(order: Sequence[Node]) -> dict[Node, str]:
    """The part of the step that each node belongs to: of the update only what nothing else in the step reads.

    Rewriting may merge what the forward pass and an update both need, a batch's mean for instance.
    """
    readers = users(order)
    roles: dict[Node, str] = {}
    for node in reversed(order):
        roles[node] = UPDATE if isinstance(node.op, Assign) else node.provenance.role
        if roles[node] == UPDATE and not isinstance(node.op, Assign):
            others = {roles[reader] for reader in readers[node]} - {UPDATE}
            roles[node] = FORWARD if FORWARD in others else BACKWARD if BACKWARD in others else UPDATE
    return roles


def _update_targets(order: Sequence[Node], roles: Mapping[Node, str]) -> dict[Node, tuple[Parameter, ...]]:
    """For each node of the update part, the parameters that its box updates; () for what several updates share.

    A moment belongs to the trained parameter whose update alone reads it; a step counter, which all read, to none.
    """
    masks = _reached_assigns(order)
    assigns = [node for node in order if isinstance(node.op, Assign)]
    trained = sum(1 << i for i, node in enumerate(assigns) if _target(node).requires_grad)
    owners = [1 << i for i in range(len(assigns))]
    for position, node in enumerate(assigns):
        readers = masks.get(_target(node), 0) & trained
        if not _target(node).requires_grad and readers and readers & (readers - 1) == 0:
            owners[position] = readers
        elif not _target(node).requires_grad and readers:
            owners[position] = 0
    found: dict[Node, tuple[Parameter, ...]] = {}
    for node in order:
        if roles[node] != UPDATE or isinstance(node, Parameter):
            continue
        owned = 0
        for position in _bits(masks[node]):
            owned |= owners[position]
        targets = tuple(_target(assigns[i]) for i in _bits(owned))
        is_of_one_layer = len({_layer(target) for target in targets}) == 1 and len(targets) < len(assigns)
        found[node] = targets if len(targets) == 1 or is_of_one_layer else ()
    return found


def _reached_assigns(order: Sequence[Node]) -> dict[Node, int]:
    """For each node, the assign nodes that depend on it (itself included), as bits in their order."""
    masks: dict[Node, int] = {node: 0 for node in order}
    readers = users(order)
    bit = sum(1 for node in order if isinstance(node.op, Assign))
    for node in reversed(order):
        if isinstance(node.op, Assign):
            bit -= 1
            masks[node] = 1 << bit
            continue
        for reader in readers[node]:
            if not (isinstance(reader.op, Assign) and reader.inputs[0] is node):
                masks[node] |= masks[reader]
    return masks


def _bits(mask: int) -> list[int]:
    return [position for position in range(mask.bit_length()) if mask >> position & 1]


def _target(node: Node) -> Parameter:
    target = node.inputs[0]
    assert isinstance(target, Parameter)
    return target


def _layer(target: Parameter) -> tuple[str, ...] | Parameter:
    """The layer of a parameter; one outside all layers stands for itself."""
    return target.provenance.scope or target


def _update_text(targets: tuple[Parameter, ...], detail: str) -> tuple[str, tuple[str, ...]]:
    """The title of an update's box and the layer it is drawn in: the one that the parameter belongs to."""
    if not targets:
        return SHARED, ()
    trained = [target for target in targets if target.requires_grad] or list(targets)
    layer = trained[0].provenance.scope
    if detail == "layers" and layer:
        return f"update {layer[-1]}", layer
    return f"update {', '.join(target.name.split('.')[-1] if layer else target.name for target in trained)}", layer


def _loose_groups(order: Sequence[Node], roles: Mapping[Node, str]) -> dict[Node, int]:
    """Nodes that no innermost layer holds, such as the addition of a residual block; those of one layer and role that
    are joined by arrows together (by networkx)."""
    import networkx

    scopes = {node.provenance.scope for node in order}
    outer = {scope[:length] for scope in scopes for length in range(len(scope))} | {()}
    graph = networkx.Graph()
    for node in order:
        scope = node.provenance.scope
        if scope not in outer:
            continue
        graph.add_node(node)
        for value in node.inputs:
            if value.inputs and value.provenance.scope == scope and roles[value] == roles[node]:
                graph.add_edge(value, node)
    components = networkx.connected_components(graph)
    return {node: position for position, component in enumerate(components) for node in component}
