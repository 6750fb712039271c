"""Recurrent layers and cells against torch.nn, and what unrolling them costs."""

from __future__ import annotations

import numpy as np
import pytest

import graphnet as gn
from graphnet import nn, optim
from graphnet.errors import ArgumentError, ShapeError
from graphnet.interop.safetensors import load
from graphnet.nn import recurrent
from tests.nn.following import follow, normal, same_state

torch = pytest.importorskip("torch")

INPUT, HIDDEN, LENGTH, BATCH = 3, 4, 4, 2
CASES = {
    "rnn": ("RNN", {}),
    "rnn-relu": ("RNN", {"nonlinearity": "relu", "bias": False}),
    "rnn-all": ("RNN", {"num_layers": 2, "nonlinearity": "relu", "batch_first": True, "bidirectional": True}),
    "lstm": ("LSTM", {}),
    "lstm-no-bias": ("LSTM", {"bias": False, "batch_first": True}),
    "lstm-all": ("LSTM", {"num_layers": 2, "bidirectional": True}),
    "lstm-projected": ("LSTM", {"num_layers": 2, "bidirectional": True, "proj_size": 2, "batch_first": True}),
    "gru": ("GRU", {}),
    "gru-no-bias": ("GRU", {"bias": False, "batch_first": True}),
    "gru-all": ("GRU", {"num_layers": 2, "bidirectional": True}),
    "all-dropped": ("GRU", {"num_layers": 2, "dropout": 1.0}),
}
CELLS = {
    "rnn": ("RNNCell", {}),
    "rnn-relu": ("RNNCell", {"nonlinearity": "relu", "bias": False}),
    "lstm": ("LSTMCell", {}),
    "lstm-no-bias": ("LSTMCell", {"bias": False}),
    "gru": ("GRUCell", {}),
    "gru-no-bias": ("GRUCell", {"bias": False}),
}
LAYERS = {kind for kind, _ in (*CASES.values(), *CELLS.values())}


def test_every_layer_has_a_row():
    assert {name for name in nn.__all__ if getattr(getattr(nn, name), "__module__", "") == recurrent.__name__} == LAYERS


def _pair(kind, options, sizes=(INPUT, HIDDEN)):
    torch.manual_seed(0)
    return getattr(nn, kind)(*sizes, **options).double(), getattr(torch.nn, kind)(*sizes, **options).double()


def _flat(result):
    """All arrays that a recurrent layer gives, one after the other."""
    output, last = result
    return [output, *(last if isinstance(last, tuple) else (last,))]


def _input(options, length=LENGTH):
    return normal(BATCH, length, INPUT) if options.get("batch_first") else normal(length, BATCH, INPUT)


def _states(ours, batch=(BATCH,)):
    count = ours.num_layers * (1 + ours.bidirectional)
    sizes = (ours.proj_size or HIDDEN, HIDDEN)[: 2 if isinstance(ours, nn.LSTM) else 1]
    return [normal(count, *batch, size, seed=place) for place, size in enumerate(sizes)]


def _called(module, x, *states):
    return _flat(module(x, states if len(states) > 1 else states[0]))


@pytest.mark.parametrize("name", CASES)
def test_a_layer_follows_torch(name):
    kind, options = CASES[name]
    follow(*_pair(kind, options), [_input(options)], lambda module, x: _flat(module(x)))


@pytest.mark.parametrize("name", ["rnn-all", "lstm", "lstm-projected", "gru-all"])
def test_it_begins_with_the_state_that_it_is_given(name):
    kind, options = CASES[name]
    ours, theirs = _pair(kind, options)
    follow(ours, theirs, [_input(options), *_states(ours)], _called)


@pytest.mark.parametrize("name", ["rnn", "lstm-projected", "gru"])
def test_a_sequence_without_a_batch(name):
    kind, options = CASES[name]
    ours, theirs = _pair(kind, options)
    follow(ours, theirs, [normal(LENGTH, INPUT), *_states(ours, ())], _called)


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_follows_torch(name):
    kind, options = CELLS[name]
    count = 2 if kind == "LSTMCell" else 1
    states = [normal(BATCH, HIDDEN, seed=place) for place in range(count)]

    def called(module, x, *states):
        return module(x, states if len(states) > 1 else states[0])

    follow(*_pair(kind, options), [normal(BATCH, INPUT), *states], called)
    follow(*_pair(kind, options), [normal(INPUT), *(state[0] for state in states)], called)


@pytest.mark.parametrize("kind", sorted(LAYERS))
def test_without_a_state_it_begins_with_zeros_for_any_batch(kind):
    ours, theirs = _pair(kind, {})
    same_state(ours, theirs)
    shape = (INPUT,) if kind.endswith("Cell") else (LENGTH, BATCH, INPUT)
    array = normal(BATCH, *shape) if kind.endswith("Cell") else normal(*shape)
    x = gn.input("x", ("N", INPUT) if kind.endswith("Cell") else (LENGTH, "N", INPUT), "float64")
    result, its = ours(x), theirs(torch.tensor(array))
    first = result[0] if isinstance(result, tuple) else result
    wanted = its[0] if isinstance(its, tuple) else its
    np.testing.assert_allclose(gn.compile([x], first)(array), wanted.detach().numpy(), rtol=1e-10)


def test_a_state_that_torch_saved_loads_and_gives_the_same(tmp_path):
    save = pytest.importorskip("safetensors.torch").save_file
    for name, (kind, options) in CASES.items():
        ours, theirs = _pair(kind, options)
        file = tmp_path / f"{name}.safetensors"
        save(theirs.state_dict(), file)
        load(ours, file)
        array = _input(options)
        x = gn.input("x", array.shape, "float64")
        its = _flat(theirs.eval()(torch.tensor(array)))
        for mine, other in zip(gn.compile([x], _flat(ours.eval()(x)))(array), its, strict=True):
            np.testing.assert_allclose(mine, other.detach().numpy(), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("kind", sorted(LAYERS))
def test_weights_begin_as_torchs_do(kind):
    """Uniform in +-1/sqrt(hidden), biases too."""
    ours, theirs = getattr(nn, kind)(50, 100), getattr(torch.nn, kind)(50, 100)
    for name, value in theirs.state_dict().items():
        mine = ours.state_dict()[name]
        assert np.abs(mine).max() <= 0.1 and np.abs(mine).max() == pytest.approx(float(value.abs().max()), rel=0.05)
        assert mine.std() == pytest.approx(float(value.std()), rel=0.15), name


@pytest.mark.parametrize("case", [*CASES.values(), *CELLS.values()], ids=lambda case: case[0] + str(sorted(case[1])))
def test_layers_print_as_in_torch(case):
    kind, options = case
    ours, theirs = _pair(kind, options)
    assert repr(ours) == repr(theirs)


def test_dropout_lies_between_layers_in_training_only():
    gn.manual_seed(3)
    model = nn.RNN(INPUT, 50, 2, nonlinearity="relu", dropout=0.5, bias=False)
    x = gn.input("x", (LENGTH, 8, INPUT))
    array = normal(LENGTH, 8, INPUT).astype("float32")
    noisy, still = gn.compile([x], list(model(x))), gn.compile([x], list(model.eval()(x)))
    assert (noisy(array)[0] != noisy(array)[0]).any()
    np.testing.assert_array_equal(still(array)[0], still(array)[0])
    np.testing.assert_array_equal(noisy(array)[1][0], still(array)[1][0])  # the first layer's state is before it


BAD = {
    "hidden": (lambda: nn.LSTM(3, 0), "LSTM: hidden_size must be a positive integer, got 0"),
    "layers": (lambda: nn.GRU(3, 4, 0), "GRU: num_layers must be a positive integer, got 0"),
    "bias": (lambda: nn.GRU(3, 4, 1, 0.1), "GRU: bias must be True or False, got 0.1"),
    "dropout": (lambda: nn.GRU(3, 4, 2, dropout=2), "GRU: dropout must be a probability"),
    "dropout-alone": (lambda: nn.RNN(3, 4, dropout=0.5), "RNN: dropout=0.5 acts between layers, and num_layers is 1"),
    "projection": (lambda: nn.LSTM(3, 4, proj_size=4), "LSTM: proj_size=4 must be smaller than hidden_size=4"),
    "nonlinearity": (lambda: nn.RNN(3, 4, nonlinearity="elu"), "RNN: nonlinearity must be one of tanh, relu"),
    "cell": (lambda: nn.RNNCell(3, 4, nonlinearity="elu"), "RNNCell: nonlinearity must be one of tanh, relu"),
    "dtype": (lambda: nn.LSTMCell(3, 4, dtype="int64"), "LSTMCell: dtype must be float32 or float64"),
}
X = gn.input("x", (5, 2, 3))
MISFITS = {
    "features": (lambda: nn.LSTM(4, 5)(X), r"LSTM: expected \(L, N, 4\) or \(L, 4\), got float32\[5, 2, 3\]"),
    "batch-first": (lambda: nn.LSTM(4, 5, batch_first=True)(X), r"LSTM: expected \(N, L, 4\)"),
    "length": (lambda: nn.GRU(3, 5)(gn.input("x", ("T", 2, 3))), "GRU: the length of the sequence must be a positive"),
    "empty": (lambda: nn.GRU(3, 5)(gn.input("x", (0, 2, 3))), "must be a positive number"),
    "state": (
        lambda: nn.GRU(3, 5)(X, gn.input("h", (1, 3, 5))),
        r"GRU: expected an initial state of shape \(1, 2, 5\)",
    ),
    "one-state": (lambda: nn.LSTM(3, 5)(X, gn.input("h", (1, 2, 5))), "LSTM: hx must be a pair of nodes"),
    "cell": (lambda: nn.GRUCell(3, 5)(X), r"GRUCell: expected \(N, 3\) or \(3,\)"),
    "cell-state": (lambda: nn.GRUCell(3, 5)(X[0], X[1]), r"GRUCell: expected a state of shape \(2, 5\)"),
    "cell-pair": (lambda: nn.LSTMCell(3, 5)(X[0], X[1]), "LSTMCell: hx must be a pair of nodes"),
}


@pytest.mark.parametrize("name", BAD)
def test_arguments_that_do_not_fit_are_told(name):
    make, message = BAD[name]
    with pytest.raises(ArgumentError, match=message):
        make()


@pytest.mark.parametrize("name", MISFITS)
def test_inputs_that_do_not_fit_are_told(name):
    call, message = MISFITS[name]
    with pytest.raises((ShapeError, ArgumentError), match=message):
        call()


def _training_step(kind, length, hidden=32, batch=8):
    model = getattr(nn, kind)(16, hidden)
    x = gn.input("x", (length, batch, 16))
    loss = gn.mean(gn.square(model(x)[0]))
    return gn.compile([x], loss, optim.SGD(model.parameters(), lr=0.1).updates(loss)), normal(length, batch, 16)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_steps_cost_what_a_step_costs(kind):
    """Twice the length is about twice the steps and twice the bytes: no sum of T arrays padded to T steps each."""
    sizes = {}
    for length in (6, 12):
        step, array = _training_step(kind, length)
        step(array.astype("float32"))
        names = [node.op.name for node in step.schedule.steps]
        assert "pad" not in names
        sizes[length] = (len(names), step.plan.peak_bytes)
    assert sizes[12][0] < 2.2 * sizes[6][0] and sizes[12][1] < 2.2 * sizes[6][1]


def test_one_product_serves_all_steps_but_those_with_the_state():
    """Of an LSTM: one for the inputs and one for each weight, and those with the state, forward and backward."""
    step, array = _training_step("LSTM", 8)
    step(array.astype("float32"))
    products = [node for node in step.schedule.steps if node.op.name == "matmul"]
    assert len(products) == 8 + 7 + 3
