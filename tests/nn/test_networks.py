"""Networks written once, for graphnet.nn and torch.nn: branches, residuals, shared layers, several inputs, outputs."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

import graphnet as gn
from graphnet import nn, optim
from graphnet.interop import safetensors

torch = pytest.importorskip("torch")


def residual(n: ModuleType) -> Any:
    """Two blocks of a ResNet, one of which changes size, and a global pooling."""

    class Block(n.Module):
        def __init__(self, channels, out, stride):
            super().__init__()
            self.conv1 = n.Conv2d(channels, out, 3, stride, 1, bias=False)
            self.bn1 = n.BatchNorm2d(out)
            self.conv2 = n.Conv2d(out, out, 3, padding=1, bias=False)
            self.bn2 = n.BatchNorm2d(out)
            self.relu = n.ReLU()
            self.shortcut = None
            if stride != 1 or channels != out:
                self.shortcut = n.Sequential(n.Conv2d(channels, out, 1, stride, bias=False), n.BatchNorm2d(out))

        def forward(self, x):
            y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
            return self.relu(y + (x if self.shortcut is None else self.shortcut(x)))

    return n.Sequential(
        n.Conv2d(2, 4, 3, padding=1),
        Block(4, 4, 1),
        Block(4, 6, 2),
        n.AdaptiveAvgPool2d(1),
        n.Flatten(),
        n.Linear(6, 3),
    )


def siamese(n: ModuleType) -> Any:
    """Two inputs through the same layers; the distance is one output, the features are two more."""

    class Siamese(n.Module):
        def __init__(self):
            super().__init__()
            self.features = n.Sequential(n.Linear(5, 8), n.LayerNorm(8), n.GELU(), n.Linear(8, 4))
            self.compare = n.Bilinear(4, 4, 2)

        def forward(self, left, right):
            a, b = self.features(left), self.features(right)
            return self.compare(a, b), a, b

    return Siamese()


def branching(n: ModuleType) -> Any:
    """Branches held by name and in a list, summed; a weight that two layers share."""

    class Branching(n.Module):
        def __init__(self):
            super().__init__()
            self.branches = n.ModuleDict({"plain": n.Linear(6, 6), "deep": n.Sequential(n.Linear(6, 3), n.SiLU())})
            self.back = n.Linear(3, 6)
            self.layers = n.ModuleList([n.RMSNorm(6), n.PReLU(), n.Linear(6, 6, bias=False)])
            self.layers[2].weight = self.branches["plain"].weight

        def forward(self, x):
            y = self.branches["plain"](x) + self.back(self.branches["deep"](x))
            for layer in self.layers:
                y = layer(y) + x
            return y

    return Branching()


def unet(n: ModuleType) -> Any:
    """Down, up by a transposed convolution, and by repetition; group and instance norm."""
    return n.Sequential(
        n.Conv2d(2, 4, 3, padding=1), n.GroupNorm(2, 4), n.ReLU(), n.MaxPool2d(2), n.Conv2d(4, 8, 3, padding=1),
        n.InstanceNorm2d(8, affine=True), n.LeakyReLU(0.1), n.ConvTranspose2d(8, 4, 2, stride=2), n.Hardswish(),
        n.Upsample(scale_factor=2), n.Conv2d(4, 4, 3, padding=1), n.PixelShuffle(2), n.AvgPool2d(2),
    )  # fmt: skip


NETWORKS = {
    residual: [(4, 2, 8, 8)],
    siamese: [(6, 5), (6, 5)],
    branching: [(7, 6)],
    unet: [(2, 2, 8, 8)],
}


def _several(outputs: Any) -> list[Any]:
    return list(outputs) if isinstance(outputs, (tuple, list)) else [outputs]


@pytest.mark.parametrize("build", NETWORKS, ids=lambda build: build.__name__)
def test_training_and_evaluation_follow_torch(build, tmp_path):
    from safetensors.torch import save_model

    torch.manual_seed(3)
    ours, theirs = build(nn).double(), build(torch.nn).double()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [name for name, _ in ours.named_parameters()] == [name for name, _ in theirs.named_parameters()]
    save_model(theirs, tmp_path / "weights.safetensors")  # which saves a shared weight once
    state = safetensors.load_state(tmp_path / "weights.safetensors")
    ours.load_state_dict({name: state.get(name, value.numpy()) for name, value in theirs.state_dict().items()})

    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=shape) for shape in NETWORKS[build]]
    inputs = [gn.input(f"x{i}", ("N", *a.shape[1:]), "float64") for i, a in enumerate(arrays)]
    tensors = [torch.tensor(a) for a in arrays]

    def loss_of(outputs: Any, mean: Any) -> Any:
        return sum(mean((y - 0.5) ** 2) for y in _several(outputs))

    outputs = ours(*inputs)
    loss = loss_of(outputs, gn.mean)
    adam = optim.SGD(ours.parameters(), lr=0.05, momentum=0.9)
    step = gn.compile(inputs, [loss, *_several(outputs)], updates=adam.updates(loss))
    rival = torch.optim.SGD(theirs.parameters(), lr=0.05, momentum=0.9)
    for _ in range(20):
        found = step(*arrays)
        rival.zero_grad()
        there = theirs(*tensors)
        error = loss_of(there, torch.mean)
        error.backward()
        rival.step()
        for mine, its in zip(found, [error, *_several(there)], strict=True):
            np.testing.assert_allclose(mine, its.detach().numpy(), rtol=1e-9, atol=1e-11)
    for name, its in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[name], its.numpy(), rtol=1e-9, atol=1e-11, err_msg=name)
    predict = gn.compile(inputs, _several(ours.eval()(*inputs)))
    for mine, its in zip(predict(*arrays), _several(theirs.eval()(*tensors)), strict=True):
        np.testing.assert_allclose(mine, its.detach().numpy(), rtol=1e-9, atol=1e-11)
    # Another batch size, of the same declaration.
    assert predict(*(a[:1] for a in arrays))[0].shape[0] == 1


@pytest.mark.parametrize("build", NETWORKS, ids=lambda build: build.__name__)
def test_networks_print_and_count_as_in_torch(build):
    ours, theirs = build(nn), build(torch.nn)
    assert repr(ours) == repr(theirs)
    found = ours.summary(NETWORKS[build])
    assert found.parameters == sum(p.numel() for p in theirs.parameters()) == sum(p.numel() for p in ours.parameters())


def test_three_ways_to_declare_a_net_give_the_same_nodes():
    """Plain ops on parameters, a Module with a forward, and a Sequential: equal nodes are one object."""
    first, second = nn.Linear(4, 8), nn.Linear(8, 3)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = first, second

        def forward(self, x):
            return self.second(gn.relu(self.first(x)))

    x = gn.input("x", ("N", 4))
    plain = gn.linear(gn.relu(gn.linear(x, first.weight, first.bias)), second.weight, second.bias)
    assert Net()(x) is plain and nn.Sequential(first, nn.ReLU(), second)(x) is plain


def test_a_layer_of_ones_own_trains_saves_and_prints(tmp_path):
    class Affine(nn.Module):
        """x * scale + shift, the scale being trained and the shift kept."""

        def __init__(self, size):
            super().__init__()
            self.size = size
            self.scale = nn.Parameter(np.ones(size, "float32"))
            self.register_buffer("shift", np.full(size, 0.5, "float32"))

        def forward(self, x, *, times=1.0):
            return x * self.scale * times + self.shift

        def extra_repr(self):
            return f"size={self.size}"

    model = nn.Sequential(nn.Linear(2, 3), Affine(3))
    assert repr(model).endswith("(1): Affine(size=3)\n)")
    x = gn.input("x", ("N", 2))
    loss = gn.mean(gn.square(model[1](model[0](x), times=2.0)))
    step = gn.compile([x], loss, updates=optim.SGD(model.parameters(), lr=0.1).updates(loss))
    array = np.random.default_rng(0).normal(size=(8, 2)).astype("float32")
    losses = [float(step(array)) for _ in range(20)]
    assert losses[-1] < losses[0] / 2 and (model[1].shift.value == 0.5).all()
    safetensors.save(model, tmp_path / "model.safetensors")
    other = nn.Sequential(nn.Linear(2, 3), Affine(3))
    safetensors.load(other, tmp_path / "model.safetensors")
    np.testing.assert_array_equal(gn.compile([x], other(x))(array), gn.compile([x], model(x))(array))


def test_factors_of_a_loss_do_not_change_its_dtype():
    x = gn.input("x", ("N", 3))
    for weight in (np.ones(3), [1.0, 2.0, 3.0], np.ones(3, "float32")):
        assert nn.BCEWithLogitsLoss(weight, pos_weight=weight)(x, x).dtype == np.float32
        assert nn.CrossEntropyLoss(weight)(x, gn.input("t", ("N",), "int64")).dtype == np.float32
