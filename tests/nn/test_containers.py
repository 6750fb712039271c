"""Sequential, ModuleList and ModuleDict: as torch's, edit by edit, and nothing lost."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest

import graphnet as gn
from graphnet import nn
from graphnet.errors import ArgumentError, GraphnetError

torch = pytest.importorskip("torch")


def _three(n, kind):
    parts = [n.Linear(2, 2), n.ReLU(), n.Linear(2, 3)]
    return n.Sequential(*parts) if kind == "Sequential" else n.ModuleList(parts)


def _insert(m, n):
    m.insert(1, n.Tanh())
    m.insert(4, n.Sigmoid())
    m.insert(0, n.Identity())


def _delete(m, n):
    del m[0]
    del m[-1]


def _delete_many(m, n):
    del m[::2]


def _set(m, n):
    m[1] = n.Tanh()
    m[-1] = n.Linear(2, 5)


EDITS = {
    "nothing": lambda m, n: None,
    "append": lambda m, n: m.append(n.Linear(3, 1)),
    "extend": lambda m, n: m.extend([n.Tanh(), n.Linear(3, 1)]),
    "insert": _insert,
    "delete": _delete,
    "delete-slice": _delete_many,
    "pop": lambda m, n: m.pop(1),
    "pop-last": lambda m, n: m.pop(-1),
    "set": _set,
    "slice": lambda m, n: m[1:],
    "slice-step": lambda m, n: m[::-2],
    "add": lambda m, n: m + type(m)(*([n.Tanh()] if isinstance(m, n.Sequential) else [[n.Tanh()]])),
}


@pytest.mark.parametrize("kind", ["Sequential", "ModuleList"])
@pytest.mark.parametrize("edit", EDITS)
def test_edits_do_what_they_do_in_torch(kind, edit):
    results = []
    for n in (nn, torch.nn):
        made = _three(n, kind)
        found = EDITS[edit](made, n)
        results.append((made, found if isinstance(found, n.Module) else made))
    for mine, its in zip(*results, strict=True):
        assert repr(mine) == repr(its)
        assert list(mine.state_dict()) == list(its.state_dict())
        if hasattr(mine, "__len__"):
            assert len(mine) == len(its) and [type(m).__name__ for m in mine] == [type(m).__name__ for m in its]
    # Names of parameters follow, since pictures and errors show them. A part shares them with the whole.
    whole = results[0][0]
    assert [p.name for p in whole.parameters()] == [name for name, _ in whole.named_parameters()] or edit == "add"


def test_insert_counts_from_the_end_too():
    for kind in ("Sequential", "ModuleList"):
        model = _three(nn, kind)
        model.insert(-1, nn.Tanh())
        assert [type(m).__name__ for m in model] == ["Linear", "ReLU", "Tanh", "Linear"]


def test_indices_are_checked():
    for kind in ("Sequential", "ModuleList"):
        model = _three(nn, kind)
        assert model[-1] is model[2] and model[0] in model and nn.ReLU() not in model
        for wrong in (3, -4):
            with pytest.raises(IndexError, match=f"{kind} of 3 modules has no item {wrong}"):
                model[wrong]
        with pytest.raises(IndexError, match=f"{kind} of 3 modules has no place 4"):
            model.insert(4, nn.ReLU())
        with pytest.raises(TypeError, match=f"{kind}: an index must be an integer or a slice, got 'a'"):
            model["a"]
        with pytest.raises(IndexError):
            del model[3]
        assert len(model) == 3


@pytest.mark.parametrize("kind", ["Sequential", "ModuleList"])
def test_what_is_no_module_is_refused_and_nothing_changes(kind):
    model = _three(nn, kind)
    before = repr(model)
    for attempt in (
        lambda: model.append(nn.Tanh),
        lambda: model.insert(1, "tanh"),
        lambda: model.extend([nn.Tanh(), None]),
        lambda: model.extend(3),
        lambda: model.extend([nn.Tanh(), nn.Sequential(model)]),
        lambda: model.insert(0, model),
        lambda: model.__setitem__(0, 5),
    ):
        with pytest.raises(ArgumentError, match=kind):
            attempt()
        assert repr(model) == before
    with pytest.raises(
        ArgumentError, match=r"item 0 must be a Module, got .*Identity.* \(write the class with parenth"
    ):
        nn.Sequential(nn.Identity)
    with pytest.raises(TypeError, match="unsupported operand"):
        model + 3


def test_a_sequential_takes_modules_a_list_or_names():
    a, b = nn.Linear(2, 3), nn.ReLU()
    assert list(nn.Sequential(a, b)) == list(nn.Sequential([a, b])) == [a, b]
    named = nn.Sequential(OrderedDict(first=a, second=b))
    assert list(named.state_dict()) == ["first.weight", "first.bias"] and named.first is a and named[1] is b
    assert len(nn.Sequential()) == 0
    x = gn.input("x", (2,))
    assert nn.Sequential()(x) is x


def test_a_part_keeps_the_names_of_the_whole_and_can_grow():
    model = _three(nn, "Sequential")
    part = model[1:].append(nn.Tanh())
    assert [name for name, _ in part.named_children()] == ["1", "2", "3"] and len(part) == 3 and len(model) == 3
    assert model[2].weight.name == "2.weight"


def test_a_list_serves_a_forward_and_names_its_layers():
    class Stack(nn.Module):
        def __init__(self) -> None:
            self.layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
            self.layers += [nn.Linear(2, 1)]

        def forward(self, x):
            outputs = []
            for layer in self.layers:
                x = layer(x)
                outputs.append(x)
            return outputs

    model = Stack()
    assert repr(model) == (
        "Stack(\n  (layers): ModuleList(\n"
        "    (0-2): 3 x Linear(in_features=2, out_features=2, bias=True)\n"
        "    (3): Linear(in_features=2, out_features=1, bias=True)\n  )\n)"
    )
    assert [p.name for p in model.parameters()][-2:] == ["layers.3.weight", "layers.3.bias"]
    x = gn.input("x", ("N", 2))
    results = gn.compile([x], model(x))(np.ones((5, 2), "float32"))
    assert [r.shape for r in results] == [(5, 2)] * 3 + [(5, 1)]
    with pytest.raises(GraphnetError, match="ModuleList does not say what it computes"):
        model.layers(x)


def _dict(n):
    made = n.ModuleDict({"conv": n.Conv1d(1, 2, 3), "act": n.ReLU()})
    made["linear"] = n.Linear(2, 2)
    made.update([("act", n.Tanh()), ("last", n.Identity())])
    made.update({"linear": n.Linear(3, 3)})
    popped = made.pop("last")
    assert type(popped).__name__ == "Identity"
    del made["conv"]
    made.update(n.ModuleDict({"again": n.Linear(1, 1)}))
    return made


def test_a_dict_of_modules_is_torchs():
    mine, its = _dict(nn), _dict(torch.nn)
    assert repr(mine) == repr(its) and list(mine.state_dict()) == list(its.state_dict())
    assert list(mine) == list(mine.keys()) == list(its.keys()) == ["act", "linear", "again"]
    assert [type(m).__name__ for m in mine.values()] == [type(m).__name__ for m in its.values()]
    assert [k for k, _ in mine.items()] == list(its) and len(mine) == 3
    assert "act" in mine and "conv" not in mine and mine.linear is mine["linear"]
    mine.clear()
    assert len(mine) == 0 and repr(mine) == repr(torch.nn.ModuleDict())


def test_a_dict_refuses_what_it_cannot_hold():
    model = nn.ModuleDict({"a": nn.ReLU()})
    with pytest.raises(KeyError, match="ModuleDict has no 'b'; it has 'a'"):
        model["b"]
    with pytest.raises(KeyError, match="ModuleDict has no 'b'"):
        del model["b"]
    with pytest.raises(ArgumentError, match="ModuleDict already has an attribute 'keys'"):
        model["keys"] = nn.ReLU()
    with pytest.raises(ArgumentError, match=r"ModuleDict.b must be a Module, got 3"):
        model.update({"b": 3})
    with pytest.raises(ArgumentError, match="takes a dict, or pairs of a name and a module, got 3"):
        nn.ModuleDict(3)
    with pytest.raises(ArgumentError, match=r"pairs of a name and a module, got 'ab'"):
        nn.ModuleDict(["ab"])
    with pytest.raises(ArgumentError, match=r"without dots, got 'a\.b'"):
        model["a.b"] = nn.ReLU()
    with pytest.raises(ArgumentError, match=r"ModuleDict.c must be a Module, got None"):
        model.update({"b": nn.ReLU(), "c": None})
    assert list(model) == ["a"]
