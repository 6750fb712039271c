"""Attention and transformer encoders against torch: every option, every kind of mask."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import graphnet as gn
from graphnet import nn
from graphnet.errors import ArgumentError, DtypeError, ShapeError
from graphnet.interop.safetensors import load
from graphnet.nn import attention, transformer
from tests.nn.following import follow, normal, same_state

torch = pytest.importorskip("torch")
F = torch.nn.functional

N, L, S, E, HEADS = 2, 4, 5, 6, 3
LAYERS = {"MultiheadAttention", "TransformerEncoderLayer", "TransformerEncoder"}

MASKS = {
    "none": {},
    "boolean": {"attn_mask": normal(L, S) > 0.5},
    "float": {"attn_mask": normal(L, S)},
    "boolean-3d": {"attn_mask": normal(N * HEADS, L, S) > 0.8},
    "float-3d": {"attn_mask": normal(N * HEADS, L, S)},
    "forbidding": {"attn_mask": np.where(normal(L, S) > 0.5, -np.inf, 0.0)},
    "padding": {"key_padding_mask": np.arange(S) >= np.array([[3], [5]])},
    "padding-float": {"key_padding_mask": normal(N, S)},
    "both": {"key_padding_mask": np.arange(S) >= np.array([[3], [5]]), "attn_mask": np.triu(np.ones((L, S), bool), 2)},
    "both-3d": {"key_padding_mask": normal(N, S), "attn_mask": normal(N * HEADS, L, S)},
}
OPTIONS = {
    "plain": {},
    "no-bias": {"bias": False},
    "more-keys": {"add_bias_kv": True, "add_zero_attn": True},
    "zero-key": {"add_zero_attn": True, "bias": False},
    "other-features": {"kdim": 5, "vdim": 7},
    "other-features-no-bias": {"kdim": 5, "bias": False, "add_bias_kv": True},
}


def test_every_layer_has_a_row():
    modules = (attention.__name__, transformer.__name__)
    assert {name for name in nn.__all__ if getattr(getattr(nn, name), "__module__", "") in modules} == LAYERS


def _pair(**options):
    torch.manual_seed(0)
    made = (module.MultiheadAttention(E, HEADS, **options).double() for module in (nn, torch.nn))
    ours, theirs = made
    if theirs.in_proj_bias is not None:  # zeros, to begin with, would hide which part goes where
        torch.nn.init.normal_(theirs.in_proj_bias)
        torch.nn.init.normal_(theirs.out_proj.bias)
    return ours, theirs


def _memory(options, *, batch=True):
    """A query, a key and a value, each of its own size."""
    order = (lambda n, steps: (n, steps)) if options.get("batch_first") else (lambda n, steps: (steps, n))
    sizes = ((L, E), (S, options.get("kdim", E)), (S, options.get("vdim", E)))
    return [normal(*(order(N, steps) if batch else (steps,)), size, seed=i) for i, (steps, size) in enumerate(sizes)]


def _compare(options, masks, *, batch=True, **how):
    """Everything, with the masks as inputs: floats get gradients too."""
    names = list(masks)

    def called(module, query, key, value, *given):
        output, weights = module(query, key, value, **dict(zip(names, given, strict=True)), **how)
        return output if weights is None else [output, weights]

    follow(*_pair(**options), [*_memory(options, batch=batch), *masks.values()], called)


@pytest.mark.parametrize("mask", MASKS)
def test_masks_follow_torch(mask):
    _compare({}, MASKS[mask])


@pytest.mark.parametrize("name", OPTIONS)
def test_options_follow_torch(name):
    _compare({**OPTIONS[name], "batch_first": True}, MASKS["both"], average_attn_weights=False)


@pytest.mark.parametrize("mask", ["float", "boolean-3d", "both"])
def test_without_weights(mask):
    _compare({"batch_first": True}, MASKS[mask], need_weights=False)


def test_a_sequence_without_a_batch():
    masks = {"attn_mask": normal(HEADS, L, S) > 0.8, "key_padding_mask": np.arange(S) >= 4}
    _compare({}, masks, batch=False)
    _compare({"batch_first": True, "add_bias_kv": True}, masks, batch=False, average_attn_weights=False)


@pytest.mark.parametrize("way", ["self", "memory"])
def test_what_is_given_twice_is_projected_once(way):
    """Self-attention, and attention to one memory: fewer products, the same values."""
    given = [normal(L, N, E), normal(S, N, E)]
    if way == "self":
        follow(*_pair(), given[:1], lambda module, x: list(module(x, x, x)))
    else:
        follow(*_pair(), given, lambda module, x, y: list(module(x, y, y)))


def test_causal_attention_is_the_triangular_mask():
    ours, theirs = _pair(batch_first=True)
    same_state(ours, theirs)
    array = normal(N, L, E)
    forbidden = torch.triu(torch.ones(L, L, dtype=torch.bool), 1)
    wanted = theirs(*[torch.tensor(array)] * 3, attn_mask=forbidden)
    for length in (L, "L"):
        x = gn.input("x", ("N", length, E), "float64")
        for options in ({}, {"attn_mask": gn.constant(forbidden.numpy())} if length == L else {}):
            found = gn.compile([x], list(ours(x, x, x, is_causal=True, **options)))(array)
            for mine, its in zip(found, wanted, strict=True):
                np.testing.assert_allclose(mine, its.detach().numpy(), rtol=1e-10, atol=1e-14)


def test_a_query_that_may_look_nowhere_finds_zeros_and_teaches_nothing():
    """As torch's function has it; torch's layer gives NaN where it gives weights."""
    query, key = gn.input("q", (1, 3, 4), "float64"), gn.input("k", (1, 3, 4), "float64")
    mask = gn.input("mask", (3, 3), "bool")
    found = gn.scaled_dot_product_attention(query, key, key, mask)
    run = gn.compile([query, key, mask], [found, *gn.gradients(gn.sum(found * found), [query, key])])
    arrays, look = [normal(1, 3, 4), normal(1, 3, 4, seed=1)], np.array([[True, False, True], [False] * 3, [True] * 3])
    tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
    its = F.scaled_dot_product_attention(tensors[0], tensors[1], tensors[1], torch.tensor(look))
    (its * its).sum().backward()
    for mine, other in zip(run(*arrays, look), [its, *(tensor.grad for tensor in tensors)], strict=True):
        np.testing.assert_allclose(mine, other.detach().numpy(), rtol=1e-10, atol=1e-14)
    x = gn.input("x", (2, 3, E), "float64")
    padding = gn.constant(np.array([[False, True, True], [True] * 3]))
    output, weights = _pair(batch_first=True, bias=False)[0](x, x, x, padding)
    output, weights = gn.compile([x], [output, weights])(normal(2, 3, E))
    np.testing.assert_array_equal(weights, [[[1, 0, 0]] * 3, [[0] * 3] * 3])
    assert not output[1].any() and np.isfinite(output).all()


FUNCTION = {
    "plain": {},
    "causal": {"is_causal": True},
    "scale": {"scale": 0.3},
    "float": {"attn_mask": normal(L, S)},
    "boolean": {"attn_mask": normal(N, 1, L, S) > -0.5},
    "grouped": {"enable_gqa": True},
}


@pytest.mark.parametrize("name", FUNCTION)
def test_the_function_follows_torch(name):
    options = dict(FUNCTION[name])
    heads = 2 if "enable_gqa" in options else 4
    arrays = [normal(N, 4, L, 3), normal(N, heads, S, 3, seed=1), normal(N, heads, S, 2, seed=2)]
    nodes = [gn.input(f"x{i}", array.shape, "float64") for i, array in enumerate(arrays)]
    tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
    mask = options.pop("attn_mask", None)
    found = gn.scaled_dot_product_attention(*nodes, None if mask is None else gn.constant(mask), **options)
    its = F.scaled_dot_product_attention(*tensors, None if mask is None else torch.tensor(mask), **options)
    torch.sin(its).sum().backward()
    run = gn.compile(nodes, [found, *gn.gradients(gn.sum(gn.sin(found)), nodes)])
    for mine, other in zip(run(*arrays), [its, *(tensor.grad for tensor in tensors)], strict=True):
        np.testing.assert_allclose(mine, other.detach().numpy(), rtol=1e-10, atol=1e-13)


def test_dropout_drops_weights_in_training_only():
    gn.manual_seed(0)
    ours = nn.MultiheadAttention(E, HEADS, dropout=0.5)
    x = gn.input("x", (20, 8, E))
    _, weights = ours(x, x, x, average_attn_weights=False)
    _, still = ours.eval()(x, x, x, average_attn_weights=False)
    dropped, kept = gn.compile([x], [weights, still])(normal(20, 8, E).astype("float32"))
    assert (dropped == 0).mean() == pytest.approx(0.5, abs=0.03) and (kept > 0).all()
    np.testing.assert_allclose(dropped[dropped > 0], 2 * kept[dropped > 0], rtol=1e-5)


ENCODERS = {
    "plain": {},
    "norm-first": {"norm_first": True, "activation": "gelu", "batch_first": True},
    "no-bias": {"bias": False, "activation": "gelu", "layer_norm_eps": 1e-3},
}


def _encoders(name, layers=0):
    torch.manual_seed(0)
    options = {"d_model": E, "nhead": HEADS, "dim_feedforward": 8, "dropout": 0.0, **ENCODERS[name]}
    one = [module.TransformerEncoderLayer(**options) for module in (nn, torch.nn)]
    if not layers:
        return [layer.double() for layer in one]
    made = []
    for module, layer, more in ((nn, one[0], {}), (torch.nn, one[1], {"enable_nested_tensor": False})):
        made.append(module.TransformerEncoder(layer, layers, module.LayerNorm(E), **more).double())
    return made


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_layer_follows_torch(name):
    padding = np.arange(L) >= np.array([[3], [4]])
    batch_first = ENCODERS[name].get("batch_first")
    x = normal(N, L, E) if batch_first else normal(L, N, E)
    follow(*_encoders(name), [x, normal(L, L)], lambda module, x, mask: module(x, src_mask=mask))
    follow(*_encoders(name), [x, padding], lambda module, x, mask: module(x, src_key_padding_mask=mask))


def test_an_encoder_follows_torch():
    causal = np.triu(np.ones((L, L), bool), 1)
    follow(*_encoders("norm-first", 2), [normal(N, L, E), causal], lambda module, x, mask: module(x, mask))


def test_the_copies_of_an_encoder_are_alike_and_apart():
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(E, HEADS, 8), 2)
    first, second = (dict(layer.named_parameters()) for layer in encoder.layers)
    for name, value in first.items():
        assert value is not second[name] and second[name].name == f"layers.1.{name}"
        np.testing.assert_array_equal(value.value, second[name].value)
    assert nn.TransformerEncoder(encoder.layers[0], 1).layers[0] is not encoder.layers[0]
    squared = nn.TransformerEncoderLayer(E, HEADS, 8, activation=lambda x: gn.square(gn.relu(x)))
    x = gn.input("x", (L, N, E))
    assert nn.TransformerEncoder(squared, 1)(x, is_causal=True).shape == (L, N, E)


def test_states_that_torch_saved_load_and_give_the_same(tmp_path):
    save = pytest.importorskip("safetensors.torch").save_file
    for name, (ours, theirs) in {
        "packed": _pair(), "parts": _pair(kdim=5, vdim=7, add_bias_kv=True), "encoder": _encoders("plain", 2),
    }.items():  # fmt: skip
        save(theirs.state_dict(), tmp_path / f"{name}.safetensors")
        load(ours, tmp_path / f"{name}.safetensors")
        arrays = [normal(L, N, E)] if name == "encoder" else _memory({"kdim": 5, "vdim": 7} if name == "parts" else {})
        nodes = [gn.input(f"x{i}", array.shape, "float64") for i, array in enumerate(arrays)]
        mine, its = ours.eval()(*nodes), theirs.eval()(*map(torch.tensor, arrays))
        mine, its = (mine, its) if name == "encoder" else (mine[0], its[0])
        np.testing.assert_allclose(gn.compile(nodes, mine)(*arrays), its.detach().numpy(), rtol=1e-9, atol=1e-12)


def test_weights_begin_as_torchs_do():
    for options in ({}, {"kdim": 40, "add_bias_kv": True}):
        ours, theirs = (module.MultiheadAttention(60, 3, **options) for module in (nn, torch.nn))
        for name, value in theirs.state_dict().items():
            mine, its = ours.state_dict()[name], value.numpy()
            spread = 0.4 if name in ("bias_k", "bias_v") else 0.1
            assert mine.std() == pytest.approx(its.std(), rel=spread), name
            if "weight" in name:
                assert np.abs(mine).max() == pytest.approx(np.abs(its).max(), rel=0.05), name


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_arguments_have_torchs_names_order_and_defaults(name):
    mine, its = (inspect.signature(getattr(module, name)).parameters for module in (nn, torch.nn))
    wanted = {key: value.default for key, value in its.items() if key not in ("device", "dtype")}
    wanted |= {"activation": "relu"} if "activation" in wanted else {}  # a function in torch
    assert [(key, value.default) for key, value in mine.items() if key != "dtype"] == list(wanted.items())
    theirs, ours = (inspect.signature(getattr(m, name).forward).parameters.values() for m in (torch.nn, nn))
    assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs]


X, Y = gn.input("x", (L, N, E)), gn.input("y", (S, N, E))
MASK = gn.input("mask", (L, L), "bool")
BAD = {
    "heads": (lambda: nn.MultiheadAttention(6, 4), "embed_dim=6 must be divisible by num_heads=4"),
    "size": (lambda: nn.MultiheadAttention(0, 1), "MultiheadAttention: embed_dim must be a positive integer"),
    "dropout": (lambda: nn.MultiheadAttention(6, 2, -1), "MultiheadAttention: dropout must be a probability"),
    "bias": (lambda: nn.MultiheadAttention(6, 2, 0.0, 3), "MultiheadAttention: bias must be True or False, got 3"),
    "activation": (lambda: nn.TransformerEncoderLayer(6, 2, activation="tanh"), "activation must be one of relu, gelu"),
    "no-layer": (lambda: nn.TransformerEncoder(nn.Linear, 2), "encoder_layer must be a Module"),
    "no-norm": (lambda: nn.TransformerEncoder(nn.Linear(2, 2), 2, nn.LayerNorm), "norm must be a Module or None"),
    "layers": (lambda: nn.TransformerEncoder(nn.Linear(2, 2), 0), "num_layers must be a positive integer, got 0"),
    "query": (
        lambda: nn.MultiheadAttention(8, 2)(X, X, X),
        r"expected \(L, N, 8\), \(S, N, 8\), \(S, N, 8\), or all of them without N, got float32\[4, 2, 6\]",
    ),
    "batches": (lambda: nn.MultiheadAttention(E, 2, batch_first=True)(X, Y, Y), r"expected \(N, L, 6\), \(N, S, 6\)"),
    "lengths": (lambda: nn.MultiheadAttention(E, 2)(X, X, Y), r"expected \(L, N, 6\)"),
    "mask": (
        lambda: nn.MultiheadAttention(E, 2)(X, Y, Y, attn_mask=MASK),
        r"attn_mask must have shape \(4, 5\) or \(4, 4, 5\), got bool\[4, 4\]",
    ),
    "padding": (
        lambda: nn.MultiheadAttention(E, 2)(X, Y, Y, MASK),
        r"key_padding_mask must have shape \(2, 5\), got bool\[4, 4\]",
    ),
    "function": (lambda: gn.scaled_dot_product_attention(X, X, Y[:, 1:]), r"expected query \(..., L, E\), key"),
    "causal-mask": (lambda: gn.scaled_dot_product_attention(X, X, X, X, 0.0, True), "give attn_mask or is_causal"),
    "groups": (lambda: gn.scaled_dot_product_attention(X, Y, Y, enable_gqa=True), "4 heads of the query do not divide"),
    "broadcast": (lambda: gn.scaled_dot_product_attention(X, X, X, MASK), "mask float32.*does not broadcast"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_fit_is_told(name):
    call, message = BAD[name]
    with pytest.raises((ArgumentError, ShapeError), match=message):
        call()


def test_a_mask_of_integers_is_told():
    with pytest.raises(DtypeError, match="a mask must be boolean or floating-point"):
        nn.MultiheadAttention(E, 2)(X, X, X, attn_mask=gn.input("mask", (L, L), "int64"))
