"""Nets of models/ beside the same nets in torch: losses step by step, logits and gradients."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

import graphnet as gn
from graphnet import nn, optim

torch = pytest.importorskip("torch")


def _module(name):
    return importlib.import_module(f"models.{name}")


def _load(twin, model):
    twin.load_state_dict({name: torch.tensor(value) for name, value in model.state_dict().items()})
    return twin


def _torch_twin(model):
    """The same modules of torch.nn, from what ours print."""
    names = {name: getattr(torch.nn, name) for name in nn.__all__ if hasattr(torch.nn, name)}
    return _load(torch.nn.Sequential(*(eval(repr(module), dict(names)) for module in model)), model)


OPTIMIZERS = {
    "SGD": dict(lr=0.02, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "RMSprop": dict(lr=5e-4, momentum=0.5),
    "Adam": dict(lr=1e-3),
    "AdamW": dict(lr=1e-3, weight_decay=0.1),
}
TOLERANCE = {"float64": 1e-9, "float32": 2e-4}
NETS = {
    "lenet": (lambda: _module("lenet").build(), (16, 1, 28, 28)),
    "deep": (lambda: _module("deep_mlp").build(inputs=20, hidden=(32, 32, 32, 32), keep=1.0), (16, 20)),
}


def _follow(model, twin, kind, shape, steps, tolerance):
    """As many steps of both on four batches, seen again and again; each loss is the same."""
    dtype = str(next(model.parameters()).dtype)
    generator = np.random.default_rng(0)
    batches = [(generator.uniform(size=shape).astype(dtype), generator.integers(0, 10, shape[0])) for _ in range(4)]
    x, labels = gn.input("x", ("N", *shape[1:]), dtype), gn.input("labels", ("N",), "int64")
    loss = gn.cross_entropy(model(x), labels)
    step = gn.compile([x, labels], loss, getattr(optim, kind)(model.parameters(), **OPTIMIZERS[kind]).updates(loss))
    rival = getattr(torch.optim, kind)(twin.parameters(), **OPTIMIZERS[kind])
    for t in range(steps):
        array, target = batches[t % 4]
        rival.zero_grad()
        wanted = torch.nn.functional.cross_entropy(twin(torch.tensor(array)), torch.tensor(target))
        wanted.backward()
        rival.step()
        assert float(step(array, target)) == pytest.approx(wanted.item(), rel=tolerance), t


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("net", NETS)
def test_fifty_steps_follow_torchs_losses(net, kind, dtype):
    gn.manual_seed(1)
    build, shape = NETS[net]
    model = build().to(dtype)
    twin = _torch_twin(model).to(getattr(torch, dtype))
    _follow(model, twin, kind, shape, 50, TOLERANCE[dtype])
    if dtype == "float64":  # in float32 a rounding may open a relu, which moves a weight by far more than a rounding
        for name, value in twin.state_dict().items():
            np.testing.assert_allclose(model.state_dict()[name], value.numpy(), rtol=1e-6, atol=1e-9, err_msg=name)


class _TorchBlock(torch.nn.Module):
    def __init__(self, channels, filters, stride, shortcut):
        super().__init__()
        self.added, self.stride = filters - channels, stride
        self.conv1 = torch.nn.Conv2d(channels, filters, 3, stride, 1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(filters)
        self.conv2 = torch.nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
        self.bn2 = torch.nn.BatchNorm2d(filters)
        self.downsample = None
        if shortcut == "B" and self.added:
            convolution = torch.nn.Conv2d(channels, filters, 1, stride, bias=False)
            self.downsample = torch.nn.Sequential(convolution, torch.nn.BatchNorm2d(filters))

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        if self.downsample is not None:
            return torch.relu(y + self.downsample(x))
        if self.added:
            half = self.added // 2
            x = torch.nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, half, half))
        return torch.relu(y + x)


class _TorchResNet(torch.nn.Module):
    def __init__(self, shortcut):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(16)
        for stage, (before, filters) in enumerate(((16, 16), (16, 32), (32, 64))):
            first = _TorchBlock(before, filters, 2 if stage else 1, shortcut)
            rest = [_TorchBlock(filters, filters, 1, shortcut) for _ in range(2)]
            setattr(self, f"layer{stage + 1}", torch.nn.Sequential(first, *rest))
        self.fc = torch.nn.Linear(64, 10)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(torch.relu(self.bn1(self.conv1(x))))))
        return self.fc(x.mean((2, 3)))


@pytest.fixture(params=["A", "B"])
def resnets(request):
    """ResNet-20 in float64, and torch's with the same weights under the same names."""
    gn.manual_seed(2)
    model = _module("resnet20").build(shortcut=request.param).double()
    return model, _load(_TorchResNet(request.param).double(), model)


def test_resnet20_gives_torchs_logits_and_gradients(resnets):
    model, twin = resnets
    array, target = np.random.default_rng(0).standard_normal((4, 3, 32, 32)), np.array([3, 1, 4, 1])
    x, labels = gn.input("x", ("N", 3, 32, 32), "float64"), gn.input("labels", ("N",), "int64")
    logits = model(x)
    gradients = gn.gradients(gn.cross_entropy(logits, labels), list(model.parameters()))
    found, *slopes = gn.compile([x, labels], [logits, *gradients])(array, target)
    wanted = twin(torch.tensor(array))
    torch.nn.functional.cross_entropy(wanted, torch.tensor(target)).backward()
    np.testing.assert_allclose(found, wanted.detach().numpy(), rtol=1e-9, atol=1e-11)
    for slope, (name, value) in zip(slopes, twin.named_parameters(), strict=True):
        size = float(value.grad.abs().max())
        np.testing.assert_allclose(slope, value.grad.numpy(), rtol=1e-9, atol=1e-9 * size, err_msg=name)
    model.eval(), twin.eval()
    predict = gn.compile([x], model(x))
    np.testing.assert_allclose(predict(array), twin(torch.tensor(array)).detach().numpy(), rtol=1e-9, atol=1e-9)


def test_resnet20_follows_torch_for_twenty_steps(resnets):
    model, twin = resnets
    _follow(model, twin, "SGD", (4, 3, 32, 32), 20, 1e-9)
    for name, value in twin.state_dict().items():
        np.testing.assert_allclose(model.state_dict()[name], value.numpy(), rtol=1e-6, atol=1e-8, err_msg=name)


def test_resnet18_has_torchvisions_names():
    """Of torchvision's resnet18, as its documentation lists them; sizes are in the count of parameters."""
    names = {name.rsplit(".", 1)[0] for name in _module("resnet18").build(width=2).state_dict()}
    blocks = {f"layer{stage}.{block}" for stage in (1, 2, 3, 4) for block in (0, 1)}
    wanted = {f"{block}.{layer}" for block in blocks for layer in ("conv1", "bn1", "conv2", "bn2")}
    wanted |= {f"layer{stage}.0.downsample.{place}" for stage in (2, 3, 4) for place in (0, 1)}
    assert names == wanted | {"conv1", "bn1", "fc"}
