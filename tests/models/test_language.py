"""The language models: what they may look at, what they begin with, and that they learn more than pairs of letters.

That they compile, fit a few examples, keep their weights and draw is tested with all the others, in test_models.py.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import graphnet as gn
from graphnet import optim
from graphnet.cli.models import find_model
from graphnet.errors import GraphnetError
from graphnet.training import DataLoader, Trainer, perplexity, text
from models import char_transformer, lstm_lm
from tests.models.common import learn

pytest.importorskip("sklearn")
MODELS = {"char_transformer": char_transformer, "lstm_lm": lstm_lm}


def bigram_loss() -> float:
    """Nats a character on the test pieces: P(next | this) counted on the very pieces for training, one added to all."""
    data = text(char_transformer.LENGTH)
    counts = np.ones((len(data.alphabet), len(data.alphabet)))
    np.add.at(counts, (data.train.tokens, data.train.targets), 1)
    chances = counts / counts.sum(axis=1, keepdims=True)
    return float(-np.log(chances[data.test.tokens, data.test.targets]).mean())


def test_the_bigram_count_is_what_it_should_be():
    """Far better than a guess among 96 characters, and than how often each character comes."""
    train, test, alphabet = text(char_transformer.LENGTH)
    single = np.bincount(train.targets.ravel(), minlength=len(alphabet)) + 1
    alone = -np.log(single / single.sum())[test.targets].mean()
    assert 2.5 < bigram_loss() < alone - 0.3 < math.log(len(alphabet)) - 1


def test_a_small_transformer_learns_more_than_a_bigram_count():
    """Two epochs of the text that comes with scikit-learn; the full model, below, gets far further."""
    gn.manual_seed(0)
    model = char_transformer.small()
    trainer = Trainer(model, gn.cross_entropy, optim.AdamW(model.parameters(), lr=5e-3), metrics={"p": perplexity})
    data = text(char_transformer.LENGTH)
    trainer.fit(DataLoader(data.train, 8, shuffle=True), epochs=2, progress=False)
    found = trainer.evaluate(DataLoader(data.test, 64))
    assert found["loss"] < bigram_loss() - 0.1
    assert found["p"] == pytest.approx(math.exp(found["loss"]), rel=1e-5)
    said = char_transformer.sample(model, "The data", 150)
    words = said.split()
    assert said.startswith("The data") and len(said) == 158
    assert 2 < len(said) / len(words) < 15  # words of some length, as in prose
    assert said == char_transformer.sample(model, "The data", 150)
    assert said != char_transformer.sample(model, "The data", 150, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_the_full_model_learns_more_than_a_bigram_count(name):
    """By its own recipe, some minutes."""
    found = learn(find_model(f"models.{name}"))
    assert found["loss"] < bigram_loss() - 0.4


@pytest.mark.parametrize("name", MODELS)
def test_what_is_said_of_a_place_does_not_depend_on_what_follows(name):
    model = MODELS[name].small().eval()
    tokens = gn.input("tokens", ("N", 20), "int64")
    scores = model(tokens)
    assert [str(size) for size in scores.shape] == ["N", "96", "20"]
    predict = gn.compile([tokens], scores)
    array = np.random.default_rng(0).integers(0, 96, (2, 20))
    other = array.copy()
    other[:, 12:] = 0
    first, second = predict(array), predict(other)
    np.testing.assert_allclose(first[:, :, :12], second[:, :, :12], rtol=1e-4, atol=1e-5)
    assert (np.abs(first - second)[:, :, 12:].max(axis=1) > 1e-3).all()


def test_the_transformer_begins_as_gpt_2_does():
    """N(0, 0.02), what ends in a residual sum smaller by sqrt(2 * layers), biases 0, and scores near a guess."""
    gn.manual_seed(0)
    model = char_transformer.build()
    for name, value in model.state_dict().items():
        if value.ndim == 2:
            ends = name.endswith(("out_proj.weight", "linear2.weight"))
            assert value.std() == pytest.approx(0.02 / math.sqrt(8) if ends else 0.02, rel=0.03), name
        else:
            assert (value == ("norm" in name and name.endswith("weight"))).all(), name
    assert sum(value.size for value in model.state_dict().values()) == 96 * 128 + 64 * 128 + 4 * 198_272 + 256
    tokens, targets = (part[:4] for part in text(64).train)
    x, y = gn.input("x", ("N", 64), "int64"), gn.input("y", ("N", 64), "int64")
    loss = gn.compile([x, y], gn.cross_entropy(model.eval()(x), y))(tokens, targets)
    assert float(loss) == pytest.approx(math.log(96), abs=0.1)


def test_a_sample_needs_no_prompt_and_goes_on_past_its_window():
    gn.manual_seed(0)
    model = char_transformer.build(width=8, layers=1, heads=2)
    said = char_transformer.sample(model, "", 80)
    assert len(said) == 80 and set(said) <= set(char_transformer.ALPHABET) and model.training


def test_more_characters_than_the_transformer_has_places_for_are_refused():
    with pytest.raises(GraphnetError, match="do not broadcast"):
        char_transformer.small()(gn.input("tokens", ("N", 65), "int64"))
