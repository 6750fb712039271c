"""The models in models/: what they declare, that they train as torch trains them, and that they learn."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

import graphnet as gn
from graphnet import nn, optim
from graphnet.training import DataLoader, Trainer, accuracy, digits

MODELS = ["lenet", "mlp", "deep_mlp"]
PARAMETERS = {"lenet": 61706, "mlp": 669706, "deep_mlp": 401930}


def _module(name):
    return importlib.import_module(f"models.{name}")


@pytest.mark.parametrize("name", MODELS)
def test_a_model_gives_scores_for_its_classes(name):
    module = _module(name)
    model = module.build()
    images = gn.input("images", ("N", *module.INPUT_SHAPE))
    assert [str(size) for size in model(images).shape] == ["N", str(module.CLASSES)]
    assert sum(p.value.size for p in model.parameters()) == PARAMETERS[name]
    assert hasattr(optim, module.RECIPE["optimizer"]) and module.__doc__


def _torch_twin(model):
    """The same modules of torch.nn, from what ours print."""
    torch = pytest.importorskip("torch")
    names = {name: getattr(torch.nn, name) for name in nn.__all__ if hasattr(torch.nn, name)}
    twin = torch.nn.Sequential(*(eval(repr(module), dict(names)) for module in model))
    twin.load_state_dict({name: torch.tensor(value) for name, value in model.state_dict().items()})
    return twin


OPTIMIZERS = {
    "SGD": dict(lr=0.02, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "RMSprop": dict(lr=5e-4, momentum=0.5),
    "Adam": dict(lr=1e-3),
    "AdamW": dict(lr=1e-3, weight_decay=0.1),
}
TOLERANCE = {"float64": 1e-9, "float32": 2e-4}
NETS = {
    "lenet": (lambda: _module("lenet").build(), (16, 1, 28, 28)),
    "deep": (lambda: _module("deep_mlp").build(inputs=20, hidden=(32, 32, 32, 32), dropout=0.0), (16, 20)),
}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("net", NETS)
def test_fifty_steps_follow_torchs_losses(net, kind, dtype):
    torch = pytest.importorskip("torch")
    gn.manual_seed(1)
    build, shape = NETS[net]
    model = build().to(dtype)
    twin = _torch_twin(model).to(getattr(torch, dtype))
    generator = np.random.default_rng(0)
    # Four batches, seen again and again, so that there is something to learn.
    batches = [(generator.uniform(size=shape).astype(dtype), generator.integers(0, 10, shape[0])) for _ in range(4)]
    x, labels = gn.input("x", ("N", *shape[1:]), dtype), gn.input("labels", ("N",), "int64")
    loss = gn.cross_entropy(model(x), labels)
    step = gn.compile([x, labels], loss, getattr(optim, kind)(model.parameters(), **OPTIMIZERS[kind]).updates(loss))
    rival = getattr(torch.optim, kind)(twin.parameters(), **OPTIMIZERS[kind])
    for t in range(50):
        array, target = batches[t % 4]
        rival.zero_grad()
        wanted = torch.nn.functional.cross_entropy(twin(torch.tensor(array)), torch.tensor(target))
        wanted.backward()
        rival.step()
        assert float(step(array, target)) == pytest.approx(wanted.item(), rel=TOLERANCE[dtype]), t
    if dtype == "float64":  # in float32 a rounding may open a relu, which moves a weight by far more than a rounding
        for name, value in twin.state_dict().items():
            np.testing.assert_allclose(model.state_dict()[name], value.numpy(), rtol=1e-6, atol=1e-9, err_msg=name)


def test_lenet_learns_the_digits():
    """`make demo` promises 97 % of the test digits; the recipe leaves a margin."""
    pytest.importorskip("sklearn")
    gn.manual_seed(0)
    data, recipe = digits(), _module("lenet").RECIPE
    model = _module("lenet").build()
    optimizer = getattr(optim, recipe["optimizer"])(model.parameters(), recipe["lr"], **recipe["options"])
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, metrics={"accuracy": accuracy})
    trainer.fit(
        DataLoader(data.train, recipe["batch_size"], shuffle=True, transform=recipe["transform"]),
        epochs=recipe["epochs"],
        progress=False,
    )
    assert trainer.evaluate(DataLoader(data.test, 256))["accuracy"] >= 0.975
