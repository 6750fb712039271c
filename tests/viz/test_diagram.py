"""What a picture says: boxes, arrows, roles, layers; and how it is folded."""

import networkx
import numpy as np
import pytest

import graphnet as gn
from graphnet import optim
from graphnet.graph.traversal import topological
from graphnet.viz.columns import blocks_of, columns_of, ranks_of
from graphnet.viz.diagram import TIMES, bytes_text, diagram, time_text
from graphnet.viz.network import cycles, to_networkx
from tests.viz.nets import Residual, small_net, training


@pytest.fixture(scope="module")
def step():
    return training(small_net(), (1, 8, 8))


def boxes(picture, role):
    return [box for box in picture.boxes.values() if box.role == role]


def test_parameters_and_constants_are_written_into_the_boxes_that_read_them(step):
    _, loss, _ = step
    conv = next(box for box in diagram({"loss": loss}).boxes.values() if box.title == "conv2d")
    assert any(line.startswith(f"weight 2{TIMES}1{TIMES}3{TIMES}3") for line in conv.lines)


def test_views_are_arrows(step):
    _, loss, updates = step
    picture = diagram({"loss": loss}, updates)
    assert not {"reshape", "transpose", "broadcast_to"} & {box.title for box in picture.boxes.values()}


def test_every_op_that_computes_is_in_exactly_one_box(step):
    _, loss, updates = step
    for detail in ("layers", "ops"):
        drawn = [node for box in diagram({"loss": loss}, updates, detail=detail).boxes.values() for node in box.nodes]
        computed = [node for node in topological([loss, *updates]) if node.inputs and not node.op.is_view]
        assert len(drawn) == len(set(drawn))
        assert set(computed) <= set(drawn)


def test_detail_nodes_draws_every_node(step):
    _, loss, updates = step
    order = topological([loss, *updates])
    drawn = [box.nodes for box in diagram({"loss": loss}, updates, detail="nodes").boxes.values() if box.nodes]
    assert drawn == [[node] for node in order]


def test_forward_backward_and_update_are_told_apart(step):
    _, loss, updates = step
    picture = diagram({"loss": loss}, updates)
    assert picture.roles == ["input", "forward", "backward", "update", "output"]
    assert {box.title for box in boxes(picture, "input")} == {"images", "labels"}


def test_each_trained_parameter_has_one_box_for_its_update(step):
    _, loss, updates = step
    titles = [box.title for box in boxes(diagram({"loss": loss}, updates), "update")]
    assert titles.count("update weight") == titles.count("update bias") == 3
    assert titles.count("shared by all updates") == 1


def test_clipping_by_the_global_norm_is_shared_by_all_updates():
    model = small_net()
    images = gn.input("images", ("N", 1, 8, 8))
    loss = gn.mean(gn.square(model(images)))
    updates = optim.SGD(model.parameters(), lr=0.1).updates(loss, optim.clip_grad_norm(1.0))
    picture = diagram({"loss": loss}, updates)
    shared = next(box for box in picture.boxes.values() if box.title == "shared by all updates")
    assert "reads every gradient" in shared.lines
    assert not [arrow for arrow in picture.arrows if shared.key in (arrow.source, arrow.target)]


def test_layers_have_one_box_a_role(step):
    _, loss, updates = step
    picture = diagram({"loss": loss}, updates, detail="layers")
    keys = [(box.layer, box.role) for box in picture.boxes.values() if box.layer]
    assert len(keys) == len(set(keys))
    assert {layer[0] for layer, _ in keys} == {"0:Conv2d", "1:BatchNorm2d", "2:ReLU", "3:MaxPool2d", "5:Linear"}


def test_arrows_say_dtype_and_shape(step):
    _, loss, _ = step
    texts = {text for arrow in diagram({"loss": loss}).arrows for text in arrow.types}
    assert {f"float32 N{TIMES}1{TIMES}8{TIMES}8", f"float32 N{TIMES}18", "int64 N", "float32 scalar"} <= texts


def test_costs_are_summed_over_a_box(step):
    _, loss, _ = step
    order = topological([loss])
    picture = diagram(
        {"loss": loss}, detail="layers", nbytes=dict.fromkeys(order, 512), seconds=dict.fromkeys(order, 1e-6)
    )
    conv = next(box for box in picture.boxes.values() if box.title == "0:Conv2d")
    assert conv.lines[-1] == f"{bytes_text(512 * len(conv.nodes))} of arena, {time_text(1e-6 * len(conv.nodes))}"


def test_an_unknown_detail_is_refused(step):
    with pytest.raises(gn.ArgumentError, match="layers, ops, nodes, not 'all'"):
        diagram({"loss": step[1]}, detail="all")


@pytest.mark.parametrize("detail", ["layers", "ops", "nodes"])
@pytest.mark.parametrize("columns", [1, 2, 5])
def test_columns_hold_every_box_once_and_keep_layers_whole(step, detail, columns):
    _, loss, updates = step
    picture = diagram({"loss": loss}, updates, detail=detail)
    folded = columns_of(picture, columns)
    placed = [key for column in folded for block in column for key in block]
    assert sorted(placed) == sorted(picture.boxes)
    assert len(folded) <= columns
    blocks = blocks_of(picture)
    assert all(len({blocks[key] for key in block}) == 1 for column in folded for block in column)


def test_ranks_agree_with_networkx(step):
    _, loss, updates = step
    picture = diagram({"loss": loss}, updates)
    ends = [(a.target, a.source) if a.against else (a.source, a.target) for a in picture.arrows]
    expected = {}
    for rank, keys in enumerate(networkx.topological_generations(networkx.DiGraph(ends))):
        expected |= dict.fromkeys(keys, rank)
    ranks = ranks_of(picture)
    assert {key: ranks[key] for key in expected} == expected


def test_a_layer_called_twice_is_a_cycle_in_a_picture_of_layers_only():
    _, loss, _ = training(Residual(), (4,))
    assert cycles(diagram({"loss": loss}, detail="layers"))
    assert not cycles(diagram({"loss": loss}, detail="ops"))


def test_networkx_gets_every_node_and_input(step):
    _, loss, updates = step
    order = topological([loss, *updates])
    graph = to_networkx([loss, *updates])
    assert graph.number_of_nodes() == len(order)
    assert graph.number_of_edges() == sum(len(node.inputs) for node in order)
    assert networkx.is_directed_acyclic_graph(graph)
    assert graph.nodes[len(topological([loss])) - 1]["op"] == loss.op.name
    assert "".join(networkx.generate_graphml(graph))


def test_a_deep_chain_is_a_diagram_without_recursion():
    y = gn.input("x", (2,))
    for _ in range(3000):
        y = y + 1.0
    picture = diagram({"y": y})
    assert max(ranks_of(picture).values()) == 3001
    assert np.isfinite(len(picture.arrows))


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 30, "5.0 GiB")])
def test_bytes_are_shown_in_binary_units(count, text):
    assert bytes_text(count) == text


@pytest.mark.parametrize(("seconds", "text"), [(1.5e-5, "15.0 µs"), (0.0123, "12.30 ms"), (2.0, "2.00 s")])
def test_times_are_shown_in_fitting_units(seconds, text):
    assert time_text(seconds) == text
