"""The hand-written steps do what PyTorch does, so that comparing with them compares the same work."""

import numpy as np
import pytest

from tools import handwritten
from tools.handwritten import LENET_SHAPES, MLP_SHAPES, HandwrittenLeNet, HandwrittenMLP, random_weights

STEPS = 5


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


def lenet_in(torch):
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


def mlp_in(torch):
    nn = torch.nn
    return nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))


def batches(shape, dtype):
    rng = np.random.default_rng(7)
    return [(rng.standard_normal(shape).astype(dtype), rng.integers(0, 10, shape[0])) for _ in range(STEPS)]


@pytest.mark.parametrize(("dtype", "close"), [("float64", 1e-9), ("float32", 2e-4)])
@pytest.mark.parametrize("which", ["lenet", "mlp"])
def test_five_steps_follow_torch(torch, which, dtype, close):
    shapes = LENET_SHAPES if which == "lenet" else MLP_SHAPES
    weights = random_weights(shapes, dtype=dtype)
    model = (lenet_in if which == "lenet" else mlp_in)(torch).to(getattr(torch, dtype))
    model.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
    if which == "lenet":
        by_hand, data = HandwrittenLeNet(weights, lr=0.05), batches((16, 1, 28, 28), dtype)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    else:
        by_hand, data = HandwrittenMLP(weights), batches((16, 784), dtype)
        optimizer = torch.optim.Adam(model.parameters())
    for images, labels in data:
        optimizer.zero_grad()
        expected = torch.nn.functional.cross_entropy(model(torch.tensor(images)), torch.tensor(labels))
        expected.backward()
        loss, gradients = by_hand.gradients(images, labels)
        for name, parameter in model.named_parameters():
            scale = float(parameter.grad.abs().max())
            np.testing.assert_allclose(gradients[name], parameter.grad.numpy(), rtol=0, atol=close * scale)
        optimizer.step()
        assert by_hand.step(images, labels) == loss == pytest.approx(expected.item(), rel=close)
    for name, parameter in model.named_parameters():
        assert by_hand.weights[name].dtype == dtype
        np.testing.assert_allclose(by_hand.weights[name], parameter.detach().numpy(), rtol=0, atol=close)


def test_a_tie_in_a_window_goes_to_the_first():
    x = np.array([[5.0, 5.0], [5.0, 5.0]]).reshape(1, 2, 2, 1)
    pooled, winners = handwritten.max_pool(x)
    gradient = handwritten.max_pool_gradient(np.ones_like(pooled), winners)
    assert gradient.ravel().tolist() == [1, 0, 0, 0]


def test_weights_given_are_not_changed():
    weights = random_weights(MLP_SHAPES)
    before = {name: value.copy() for name, value in weights.items()}
    HandwrittenMLP(weights).step(*batches((4, 784), "float32")[0])
    assert all(np.array_equal(weights[name], before[name]) for name in weights)


def test_traced_peak_counts_what_is_held_at_once():
    def call():
        held = np.zeros(1_000_000, np.uint8)
        return held.sum() + np.zeros(500_000, np.uint8).sum()

    assert 1_500_000 <= handwritten.traced_peak(call) < 1_600_000
