"""Names, modes, weights and printing of modules, on plain parameters."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict

import numpy as np
import pytest

import graphnet as gn
from graphnet import nn
from graphnet.errors import ArgumentError, GraphnetError, ShapeError, WeightsError


class Scale(nn.Module):
    """w * x, plus a buffer that counts."""

    def __init__(self, size: int = 3) -> None:
        super().__init__()
        self.w = gn.parameter(np.ones(size, "float32"), "w")
        self.register_buffer("count", np.int64(0))

    def forward(self, x):
        return x * self.w


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = Scale()
        self.rest = nn.Sequential(Scale(), Scale())

    def forward(self, x):
        return self.rest(self.first(x)) + x


def test_parameters_know_their_whole_name_whatever_the_order_of_building():
    block = Block()
    outer = nn.Sequential(block)
    assert [p.name for p in outer.parameters()] == ["0.first.w", "0.rest.0.w", "0.rest.1.w"]
    block.rest.append(Scale())
    assert block.rest[2].w.name == "0.rest.2.w"
    assert [name for name, _ in outer.named_parameters()] == [p.name for p in outer.parameters()]
    assert block.rest[2].count.name == "0.rest.2.count"


def test_nodes_belong_to_the_layers_around_them():
    block = Block()
    x = gn.input("x", ("N", 3))
    y = block(x)
    assert y.provenance.scope == ("Block",)
    inner = y.inputs[0]
    assert inner.provenance.scope == ("Block", "rest", "1:Scale")
    assert block.rest[1].w.provenance.scope == ("Block", "rest", "1:Scale")
    assert block.rest[1](x).provenance.scope == ("rest", "1:Scale")


def test_a_layer_called_past_its_container_keeps_the_containers_name():
    class Picks(nn.Module):
        def __init__(self) -> None:
            self.layers = nn.Sequential(Scale(), Scale())

        def forward(self, x):
            return self.layers[1](x)

    assert Picks()(gn.input("x", (3,))).provenance.scope == ("Picks", "layers", "1:Scale")


def test_walking_gives_torch_order_and_each_shared_thing_once():
    shared = Scale()
    model = nn.Sequential(OrderedDict(a=shared, b=nn.Identity(), c=shared))
    assert [name for name, _ in model.named_modules()] == ["", "a", "b"]
    assert len(list(model.parameters())) == 1
    assert list(model.state_dict()) == ["a.w", "a.count", "c.w", "c.count"]
    assert [name for name, _ in model.named_children()] == ["a", "b"]


def test_train_and_eval_reach_every_module():
    model = nn.Sequential(Block())
    model.eval()
    assert not any(module.training for module in model.modules())
    model.train()
    assert all(module.training for module in model.modules())
    with pytest.raises(ArgumentError, match="mode must be True or False"):
        model.train("yes")


def test_state_goes_out_as_copies_and_comes_back():
    source, target = Block(), Block()
    for p in source.parameters():
        p.set_value(np.full(3, 7, "float32"))
    state = source.state_dict()
    state["first.w"][0] = -1
    assert source.first.w.value[0] == 7
    target.load_state_dict(state)
    assert target.first.w.value.tolist() == [-1, 7, 7]


def test_loading_lists_every_problem_and_changes_nothing():
    model = Block()
    state = model.state_dict()
    state["first.w"] = np.full(3, 9.0)
    state["rest.0.w"] = np.zeros(4)
    state["rest.1.w"] = np.zeros(3, "complex64")
    del state["rest.1.count"]
    state["other"] = np.zeros(1)
    before = model.state_dict()
    with pytest.raises(WeightsError) as caught:
        model.load_state_dict(state)
    text = str(caught.value)
    assert "missing: rest.1.count" in text and "unexpected: other" in text
    assert "misshapen: rest.0.w has shape (3,) here, (4,)" in text and "wrong dtype: rest.1.w" in text
    assert all((before[name] == value).all() for name, value in model.state_dict().items())


def test_loading_what_fits_tells_what_did_not():
    model = Block()
    result = model.load_state_dict({"first.w": np.full(3, 5.0), "other": np.zeros(1)}, strict=False)
    assert result.unexpected_keys == ["other"] and "rest.0.w" in result.missing_keys
    assert model.first.w.value.tolist() == [5, 5, 5]


def test_a_module_prints_as_in_torch():
    assert repr(nn.Sequential(nn.Identity(), nn.Sequential(nn.Identity()))) == (
        "Sequential(\n  (0): Identity()\n  (1): Sequential(\n    (0): Identity()\n  )\n)"
    )


def test_attributes_keep_their_kind():
    model = Scale()
    with pytest.raises(ArgumentError, match=r"Scale.w must be a gn.parameter or None, got an array of shape \(3,\)"):
        model.w = np.zeros(3)
    with pytest.raises(AttributeError, match="no attribute 'missing'"):
        model.missing  # noqa: B018
    with pytest.raises(ArgumentError, match="already has an attribute 'forward'"):
        model.register_buffer("forward", 1.0)
    with pytest.raises(ArgumentError, match="without dots"):
        model.add_module("a.b", Scale())
    with pytest.raises(ArgumentError, match="cannot contain"):
        model.add_module("me", model)
    del model.w
    assert not list(model.parameters())


def test_a_subclass_without_super_init_works():
    class Plain(nn.Module):
        def __init__(self) -> None:
            self.w = gn.parameter(1.0, "w")

    assert [name for name, _ in Plain().named_parameters()] == ["w"]


def test_mistakes_say_what_to_do():
    class Empty(nn.Module):
        pass

    with pytest.raises(GraphnetError, match="Empty does not say what it computes: define forward"):
        Empty()(gn.input("x", (3,)))
    with pytest.raises(ArgumentError, match=r"takes graph nodes.*gn.compile(.|\n)*test_module.py"):
        Scale()(np.zeros(3))
    with pytest.raises(ShapeError, match=r"test_module.py"):
        Scale(4)(gn.input("x", (3,)))


def test_an_error_names_the_layer_and_the_line_that_made_it():
    model = nn.Sequential(nn.Identity(), nn.Linear(3, 2))
    with pytest.raises(ShapeError, match=r"linear: (.|\n)*in '1' \(Linear\), declared at .*test_module.py:\d+$"):
        model(gn.input("x", ("N", 4)))


def test_another_dtype_gives_new_parameters_that_shared_layers_still_share():
    shared = Scale()
    model = nn.Sequential(shared, shared).double()
    assert [p.dtype.name for p in model.parameters()] == ["float64"]
    assert shared.count.dtype.name == "int64"
    assert shared.w.name == "1.w" and model.float()[0].w.dtype.name == "float32"
    with pytest.raises(ArgumentError, match="float32 or float64"):
        model.to("int64")


def test_apply_visits_the_innermost_first_and_requires_grad_reaches_all():
    seen: list[str] = []
    model = Block()
    assert model.apply(lambda module: seen.append(type(module).__name__)) is model
    assert seen == ["Scale", "Scale", "Scale", "Sequential", "Block"]
    model.requires_grad_(False)
    assert not any(p.requires_grad for p in model.parameters())


def test_an_attribute_may_wait_for_its_layer_or_lose_it():
    class Waits(nn.Module):
        def __init__(self) -> None:
            self.shortcut = None
            self.scale = None
            self.shortcut = nn.Linear(2, 2)
            self.scale = nn.Parameter(np.ones(2))

    model = Waits()
    assert list(model.state_dict()) == ["scale", "shortcut.weight", "shortcut.bias"]
    assert model.scale.name == "scale" and model.scale.dtype == np.float64
    model.shortcut = None
    model.scale = None
    assert model.shortcut is None and model.scale is None and not list(model.parameters())
    model.shortcut = nn.Identity()
    assert [name for name, _ in model.named_children()] == ["shortcut"]


def test_a_path_leads_to_modules_parameters_and_buffers():
    model = nn.Sequential(Block())
    assert model.get_submodule("") is model and model.get_submodule("0.rest.1") is model[0].rest[1]
    assert model.get_parameter("0.first.w") is model[0].first.w
    assert model.get_buffer("0.rest.0.count") is model[0].rest[0].count
    with pytest.raises(AttributeError, match=r"Block at '0' has no module 'second'"):
        model.get_submodule("0.second.w")
    with pytest.raises(AttributeError, match=r"Scale has no parameter 'count'"):
        model.get_parameter("0.first.count")
    with pytest.raises(AttributeError, match=r"Scale has no buffer 'w'"):
        model.get_buffer("0.first.w")
    assert {"w", "count", "forward"} <= set(dir(model[0].first))


def test_a_buffer_that_is_not_persistent_is_in_no_state():
    model = Scale()
    model.register_buffer("mask", np.ones(3, "float32"), persistent=False)
    assert list(model.state_dict()) == ["w", "count"] and len(list(model.buffers())) == 2
    model.mask = np.zeros(3, "float32")
    assert list(model.state_dict()) == ["w", "count"] and model.mask.value.tolist() == [0, 0, 0]
    model.load_state_dict(Scale().state_dict())
    with pytest.raises(ArgumentError, match="Scale: persistent must be True or False, got 'no'"):
        model.register_buffer("mask", 1.0, persistent="no")


def test_copies_have_weights_of_their_own():
    shared = nn.Linear(2, 2)
    model = nn.Sequential(shared, nn.BatchNorm1d(2), shared)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other[0] is other[2] and other[0].weight is not shared.weight
        assert [p.name for p in other.parameters()] == [p.name for p in model.parameters()]
        other[0].weight.set_value(np.zeros((2, 2)))
        assert shared.weight.value.any()


def test_a_tied_weight_is_one_parameter_under_two_names():
    class Tied(nn.Module):
        def __init__(self) -> None:
            self.table = nn.Embedding(5, 4)
            self.scores = nn.Linear(4, 5, bias=False)
            self.scores.weight = self.table.weight

        def forward(self, x):
            return self.scores(self.table(x))

    model = Tied()
    assert [name for name, _ in model.named_parameters()] == ["table.weight"]
    assert list(model.state_dict()) == ["table.weight", "scores.weight"]
    assert sum(p.numel() for p in model.parameters()) == 20
    x = gn.input("x", ("N",), "int64")
    (slope,) = gn.gradients(gn.sum(model(x)), list(model.parameters()))
    table = model.table.weight.value
    found = gn.compile([x], slope)(np.array([1]))
    expected = np.tile(table[1], (5, 1))
    expected[1] += table.sum(axis=0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_parameter_is_frozen_as_in_torch():
    model = nn.Linear(2, 2)
    for name, own in model.named_parameters():
        own.requires_grad = "bias" in name
    assert [p.requires_grad for p in model.parameters()] == [False, True]
    with pytest.raises(AttributeError, match="'data' of the parameter 'weight' cannot be set; set_value sets what it"):
        model.weight.data = np.zeros((2, 2))
