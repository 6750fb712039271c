"""compile: which arguments it takes, which updates it finds, and that no option changes a result."""

from __future__ import annotations

import copy
import gc
import importlib
import pickle
import subprocess
import sys

import numpy as np
import pytest

import graphnet as gn
from graphnet import nn, optim
from graphnet.compiler import collect_updates
from graphnet.errors import ArgumentError
from graphnet.graph import node as node_module
from graphnet.ops.evaluate import evaluate
from graphnet.ops.sources import with_updates
from tests.test_schedule import random_graph

# -- arguments ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outputs", [3, "abc", [None], {"a": 1.0}, [[1]], np.ones(2)])
def test_outputs_must_be_nodes(outputs):
    with pytest.raises(ArgumentError, match="outputs must be graph nodes, got"):
        gn.compile([], outputs)


@pytest.mark.parametrize("inputs", [3, None, "abc", [3], [gn.constant(1.0)], [gn.parameter(1.0, "w")]])
def test_inputs_must_be_inputs(inputs):
    with pytest.raises(ArgumentError, match=r"inputs made with gn\.input, got"):
        gn.compile(inputs, gn.constant(1.0))


def test_two_inputs_of_one_name():
    x = gn.input("x", (2,))
    for other in (x, gn.input("x", (3,))):
        with pytest.raises(ArgumentError, match="two inputs are called 'x'"):
            gn.compile([x, other], x)


def test_a_missing_input_is_named_with_its_line():
    x, y = gn.input("x", (2,)), gn.input("why", (2,))
    with pytest.raises(ArgumentError, match=r"compile was not given: 'why' \(declared at .*test_compiler.py:\d+\)"):
        gn.compile([x], x + y)
    w = gn.parameter(np.zeros(2, np.float32), "w")
    with pytest.raises(ArgumentError, match="'why'"):
        gn.compile([x], x, gn.assign(w, y))


@pytest.mark.parametrize("updates", [3, None, optim.SGD([gn.parameter(0.0)])])
def test_updates_must_be_nodes(updates):
    with pytest.raises(ArgumentError, match=r"by an optimizer, such as optimizer\.updates\(loss\), got "):
        gn.compile([], None, updates)


@pytest.mark.parametrize("update", [3, gn.constant(1.0), None])
def test_updates_must_be_assigns(update):
    with pytest.raises(ArgumentError, match=r"gn\.assign or by an optimizer"):
        gn.compile([], None, [update])


def test_options_that_are_refused(monkeypatch):
    x = gn.input("x", ())
    with pytest.raises(ArgumentError, match="backend must be one of naive, native, numpy, got 'cuda'"):
        gn.compile(x, x, backend="cuda")
    with pytest.raises(ArgumentError, match="numpy backend has no threads of its own: threads=2"):
        gn.compile(x, x, threads=2)
    for check in (-1, 3, "2"):
        with pytest.raises(ArgumentError, match="check must be 0, 1, 2 or None"):
            gn.compile(x, x, check=check)
    monkeypatch.setenv("GRAPHNET_BACKEND", "cuda")
    with pytest.raises(ArgumentError, match="GRAPHNET_BACKEND must be one of naive, native, numpy, not 'cuda'"):
        gn.compile(x, x)
    assert gn.compile(x, x, backend="naive")(1.0) == 1.0


def test_an_input_that_nothing_reads_is_still_checked():
    x, unused = gn.input("x", ("N",)), gn.input("unused", ("N",))
    step = gn.compile([x, unused], x)
    assert step(np.ones(2, np.float32), np.ones(2, np.float32)).shape == (2,)
    with pytest.raises(gn.FeedError, match="'unused'"):
        step(np.ones(2, np.float32), np.ones(3, np.float32))


# -- updates -----------------------------------------------------------------------------------------------------------


def parameters(*values):
    return [gn.parameter(np.full(3, v, np.float32), f"w{i}") for i, v in enumerate(values)]


def values(*nodes):
    return [float(node.value[0]) for node in nodes]


MODES = [{}, {"rewrite": False}, {"reuse": False}, {"check": 2}, {"backend": "naive"}]


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_updates_read_old_values(mode):
    a, b = parameters(1, 2)
    gn.compile([], None, [gn.assign(a, b), gn.assign(b, a)], **mode)()
    assert values(a, b) == [2, 1]
    c, d, e = parameters(1, 2, 3)
    rotate = gn.compile([], None, [gn.assign(c, d), gn.assign(d, e), gn.assign(e, c)], **mode)
    rotate()
    assert values(c, d, e) == [2, 3, 1]
    rotate()
    assert values(c, d, e) == [3, 1, 2]


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_computed_updates_read_old_values_in_any_order(mode):
    a, b, c = parameters(1, 10, 100)
    new_a = a + b
    updates = [gn.assign(a, new_a), gn.assign(b, b * 2.0 + a), gn.assign(c, new_a + c + a)]
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        for parameter, value in zip((a, b, c), (1, 10, 100), strict=True):
            parameter.set_value(np.full(3, value, np.float32))
        outputs = gn.compile([], [a, new_a, b, c * 1.0], [updates[i] for i in order], **mode)()
        assert values(a, b, c) == [11, 21, 112]
        assert [float(output[0]) for output in outputs] == [1, 11, 10, 100]


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_assign_as_a_value_is_the_new_value(mode):
    (a, b) = parameters(1, 2)
    first = gn.assign(a, a + b)
    second = gn.assign(b, first * 10.0)
    assert float(gn.compile([], first * 2.0, [second], **mode)()[0]) == 6
    assert values(a, b) == [3, 30]


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_one_value_for_two_parameters_and_views_of_it(mode):
    a, b = parameters(1, 2)
    square = gn.parameter(np.arange(9, dtype=np.float32).reshape(3, 3), "square")
    flat = gn.parameter(np.zeros(9, np.float32), "flat")
    new = gn.transpose(square) * 2.0
    updates = [
        gn.assign(a, a + b), gn.assign(b, a + b), gn.assign(square, new),
        gn.assign(flat, gn.reshape(gn.transpose(new), (9,)) + 1.0),
    ]  # fmt: skip
    step = gn.compile([], new, updates, **mode)
    np.testing.assert_array_equal(step(), np.arange(9).reshape(3, 3).T * 2)
    assert values(a, b) == [3, 3]
    np.testing.assert_array_equal(square.value, np.arange(9).reshape(3, 3).T * 2)
    np.testing.assert_array_equal(flat.value, np.arange(9) * 2 + 1)
    np.testing.assert_array_equal(step(), np.arange(9).reshape(3, 3) * 4)


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_a_parameter_that_reads_itself_transposed_or_shifted(mode):
    start = np.arange(16, dtype=np.float32).reshape(4, 4)
    w = gn.parameter(start, "w")
    step = gn.compile([], None, gn.assign(w, gn.transpose(w) + w * 2.0), **mode)
    step()
    np.testing.assert_array_equal(w.value, start.T + start * 2)
    v = gn.parameter(start, "v")
    gn.compile([], None, gn.assign(v, v[::-1] - v), **mode)()
    np.testing.assert_array_equal(v.value, start[::-1] - start)


def test_a_parameter_may_become_an_input_a_constant_or_a_broadcast():
    x = gn.input("x", (3,))
    a, b, c = parameters(1, 2, 3)
    updates = [gn.assign(a, x), gn.assign(b, np.full(3, 7, np.float32)), gn.assign(c, gn.broadcast_to(gn.sum(x), (3,)))]
    given = np.array([1, 2, 3], np.float32)
    gn.compile(x, None, updates)(given)
    given[:] = 0
    assert a.value.tolist() == [1, 2, 3] and values(b, c) == [7, 6]


def test_two_values_for_one_parameter():
    (a,) = parameters(1)
    with pytest.raises(ArgumentError, match=r"(?s)'w0' would be assigned two different values.*test_compiler.py.*:"):
        gn.compile([], None, [gn.assign(a, a + 1.0), gn.assign(a, a + 2.0)])
    gn.compile([], None, [gn.assign(a, a + 1.0), gn.assign(a, a + 1.0)])()
    assert values(a) == [2]


def test_updates_that_layers_bring_are_found():
    x = gn.input("x", ("N", 3))
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5))
    y = model(x)
    graph = collect_updates([y])
    assert len(graph.updates) == 4  # mean, variance, count of batches; count of random numbers
    step = gn.compile(x, y)
    before = {name: value.copy() for name, value in model.state_dict().items()}
    array = np.random.default_rng(0).random((8, 3), np.float32)
    first, second = step(array), step(array)
    assert (first != second).any()
    assert all((model.state_dict()[name] != before[name]).any() for name in before if "running" in name)
    model.eval()
    assert not collect_updates([model(x)]).updates


def test_a_layer_called_twice_moves_its_statistics_twice():
    x, y, norm = gn.input("x", ("N", 3)), gn.input("y", ("M", 3)), nn.BatchNorm1d(3)
    together = gn.compile([x, y], gn.sum(norm(x)) + gn.sum(norm(y)))
    random = np.random.default_rng(0)
    a, b = random.random((8, 3), np.float32), random.random((5, 3), np.float32) + 4
    start = norm.state_dict()
    together(a, b)
    found = norm.state_dict()
    norm.load_state_dict(start)
    step = gn.compile(x, norm(x))
    step(a), step(b)
    for name in ("running_mean", "running_var"):
        np.testing.assert_allclose(found[name], norm.state_dict()[name], rtol=1e-6)


def test_two_updates_of_a_layer_that_do_not_go_on_from_each_other():
    x, w = gn.input("x", ()), gn.parameter(0.0, "latest")
    seen = [with_updates(x * k, gn.assign(w, x * k)) for k in (2.0, 3.0)]
    with pytest.raises(ArgumentError, match="'latest' would be assigned two different values"):
        gn.compile(x, seen)


@pytest.mark.parametrize("mode", [m for m in MODES if "backend" not in m], ids=str)
@pytest.mark.parametrize("seed", range(30))
def test_random_updates_are_those_of_the_old_values(seed, mode):
    """Graphs in which parameters become views, sums and products of each other, against one op after the other."""
    graph = random_graph(seed)
    feed = np.random.default_rng(seed).uniform(-1, 1, (4, 4)).astype(np.float32)
    x = gn.input("x", (4, 4))
    targets = [assign.inputs[0] for assign in graph.updates]
    for number, target in enumerate(targets):
        target.set_value(np.random.default_rng(number).uniform(-1, 1, (4, 4)).astype(np.float32))
    step = gn.compile(x, list(graph.outputs), graph.updates, **mode)
    for _ in range(2):
        wanted = evaluate([*graph.outputs, *graph.updates], {x: feed})
        found = [*step(feed), *(target.value for target in targets)]
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * max(1.0, np.abs(b).max()))


# -- no option changes a result ----------------------------------------------------------------------------------------


def _train(name, batch, **options):
    """Two steps of a model from seeded weights: the losses, then every parameter and moment."""
    gn.manual_seed(0)
    module = importlib.import_module(f"models.{name}")
    model = module.build(**({"hidden": (24, 24, 24)} if name == "deep_mlp" else {})).to("float64")
    x = gn.input("x", ("N", *module.INPUT_SHAPE), "float64")
    labels = gn.input("labels", ("N",), "int64")
    loss = gn.cross_entropy(model(x), labels)
    step = gn.compile([x, labels], loss, optim.Adam(model.parameters()).updates(loss), **options)
    generator = np.random.default_rng(1)
    losses = [step(generator.random((batch, *module.INPUT_SHAPE)), generator.integers(0, 10, batch)) for _ in range(2)]
    targets = sorted((a.inputs[0] for a in step.graph.updates), key=lambda p: p.name)
    model.eval()
    predict = gn.compile([x], model(x), **options)
    return [*losses, *(p.value for p in targets), predict(generator.random((batch, *module.INPUT_SHAPE)))]


RUNS = [(name, mode) for name in ("lenet", "deep_mlp", "mlp") for mode in MODES if mode]
RUNS.remove(("mlp", {"backend": "naive"}))  # plain loops over its 670,000 weights


@pytest.mark.parametrize(("name", "options"), RUNS, ids=str)
def test_every_model_runs_the_same(name, options):
    batch = 2 if options.get("backend") else 5
    wanted = _train(name, batch, check=0)
    found = _train(name, batch, **options)
    assert len(found) == len(wanted) > 8
    for a, b in zip(found, wanted, strict=True):
        # Adam divides by the square root of gradients that may be no more than rounding, hence the absolute part.
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-6)


# -- depth -------------------------------------------------------------------------------------------------------------


def test_a_chain_of_10_000_builds_differentiates_compiles_runs_and_is_freed():
    """Ten times as deep as Python recurses; tests/graph/test_node.py builds one three times as long."""
    gc.collect()
    before = len(node_module._nodes)
    x = gn.input("x", (2,))
    y = x
    for _ in range(10_000):
        y = -y
    (gradient,) = gn.gradients(gn.sum(y), [x])
    step = gn.compile(x, [y, gradient], rewrite=False)
    value, slope = step(np.ones(2, np.float32))
    assert value.tolist() == slope.tolist() == [1, 1] and len(node_module._nodes) > before + 20_000 - 10
    del x, y, gradient, step
    gc.collect()
    assert len(node_module._nodes) <= before + 10


def test_a_long_chain_of_views_into_an_update():
    x = gn.input("x", (2, 3))
    w = gn.parameter(np.zeros((2, 3), np.float32), "w")
    y = x
    for _ in range(2_000):
        y = gn.transpose(gn.relu(gn.transpose(y)))
    step = gn.compile(x, None, gn.assign(w, y))
    step(np.ones((2, 3), np.float32))
    assert w.value.sum() == 6


# -- copies ------------------------------------------------------------------------------------------------------------


def test_copies_of_nodes_are_the_nodes():
    n = gn.Dim("N")
    x = gn.input("x", (n, n * 2, (n + 1) // 3))
    y = gn.sum(x * 2.0 + gn.constant(np.float32(3)), axis=(0, 1))
    assert copy.copy(y) is y and copy.deepcopy(y) is y and pickle.loads(pickle.dumps(y)) is y
    assert gn.compile(x, copy.deepcopy(y))(np.ones((2, 4, 1), np.float32)).tolist() == [40]


def test_copies_of_parameters_and_models_are_their_own():
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    x = gn.input("x", ("N", 3))
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        mine, other = list(model.parameters()), list(twin.parameters())
        assert len(mine) == len(other) == 4 and not set(mine) & set(other)
        assert [p.name for p in mine] == [p.name for p in other]
        other[0].set_value(np.ones((2, 3), np.float32))
        assert (mine[0].value != 1).any()
        array = np.random.default_rng(0).random((4, 3), np.float32)
        loss = gn.sum(twin(x))
        kept = model.state_dict()
        gn.compile(x, loss, optim.SGD(twin.parameters(), lr=0.1).updates(loss))(array)
        assert all((kept[name] == value).all() for name, value in model.state_dict().items())
        assert any((kept[name] != value).any() for name, value in twin.state_dict().items())


def test_a_pickle_is_read_by_another_process():
    """Hashes of strings differ there, so nothing that depends on them may travel."""
    x = gn.input("x", ("N", 3))
    text = pickle.dumps(gn.relu(x) * 2.0).hex()
    program = (
        "import pickle, graphnet as gn; "
        f"node = pickle.loads(bytes.fromhex({text!r})); "
        "assert node is gn.relu(gn.input('x', ('N', 3))) * 2.0"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
