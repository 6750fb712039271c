"""Each experiment in its quick form: claims hold, sentences and files are there, the same seed gives the same bits."""

from __future__ import annotations

import csv
import json
from decimal import Decimal, localcontext

import numpy as np
import pytest

from graphnet import experiments
from graphnet.errors import ArgumentError
from graphnet.experiments import exactness
from graphnet.experiments.result import pick

pytest.importorskip("sklearn")
NAMES = list(experiments.EXPERIMENTS)


@pytest.fixture(scope="module")
def results():
    """The quick form of each experiment, run when it is first asked for."""
    found = {}

    def result(name):
        if name not in found:
            found[name] = experiments.run(name, seed=1, quick=True)
        return found[name]

    return result


def test_there_are_the_six_of_the_course():
    assert NAMES == ["initialization", "batch-size", "norms", "dropout", "optimizers", "exactness"]
    assert all(len(experiments.summary(name)) > 30 for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_its_claims_hold_and_are_told_with_their_numbers(results, name):
    result = results(name)
    result.check()
    assert result.name == name and len(result.claims) >= 5
    assert len({claim.text for claim in result.claims}) == len(result.claims)
    assert all(claim.low > -np.inf or claim.high < np.inf for claim in result.claims)
    assert len(result.sentences) == 2
    for sentence in result.sentences:
        assert sum(letter.isdigit() for letter in sentence) >= 4 and sentence.endswith(".")
        assert "nan" not in sentence.split() and "inf" not in sentence.split()


@pytest.mark.parametrize("name", NAMES)
def test_it_is_written_as_csv_json_and_a_picture(results, name, tmp_path):
    pytest.importorskip("matplotlib")
    result = results(name)
    paths = result.write(tmp_path)
    assert [path.name for path in paths] == [f"{name}.{suffix}" for suffix in ("csv", "json", "png")]
    with open(paths[0], newline="") as file:
        assert len(list(csv.DictReader(file))) == len(result.rows)
    content = json.loads(paths[1].read_text())
    assert content["sentences"] == list(result.sentences) and len(content["rows"]) == len(result.rows)
    assert all(claim["holds"] for claim in content["claims"]) and content["settings"]["seed"] == 1
    picture = paths[2].read_bytes()
    assert picture.startswith(b"\x89PNG") and len(picture) > 20_000


def test_the_same_seed_gives_the_same_bits_and_another_others(results, tmp_path):
    first = results("exactness")
    again, other = (experiments.run("exactness", seed=seed, quick=True) for seed in (1, 2))
    assert other.rows != first.rows
    for folder, result in (("a", first), ("b", again)):
        (tmp_path / folder).mkdir()
        result.write(tmp_path / folder)
    for suffix in ("csv", "json", "png"):
        assert len({(tmp_path / folder / f"exactness.{suffix}").read_bytes() for folder in "ab"}) == 1


def test_a_name_that_is_none_is_told_the_known_ones():
    with pytest.raises(ArgumentError, match="no experiment 'norm'; there are initialization, batch-size, norms"):
        experiments.run("norm")


def test_the_reference_of_exactness_is_exact():
    """Its formulas in double precision beside 50 digits."""
    with localcontext() as context:
        context.prec = 50
        for gap in (0.0, 0.25, 13.75, 40.0, 111.75):
            e = Decimal(gap).exp()
            assert exactness.exact_loss(np.array(gap)) == pytest.approx(float((1 + e).ln()), rel=1e-15)
            assert exactness.exact_gradient(np.array(gap)) == pytest.approx(float(-e / (1 + e)), rel=1e-15)


def test_the_error_of_a_constant_is_the_one_of_the_formula(results):
    """The gradient is the exact one times p / (p + c): its relative error is c / (p + c)."""
    rows = results("exactness").rows
    for way, constant in (("log(p + 1e-6)", 1e-6), ("log(p + 1e-12)", 1e-12)):
        gaps, errors = (np.array(pick(rows, column, way=way)) for column in ("gap", "error"))
        p = 1 / (1 + np.exp(gaps))
        np.testing.assert_allclose(errors, constant / (p + constant), rtol=1e-4, atol=3e-7)


def test_signals_before_training_are_those_of_numpy(results):
    """Root mean squares of initialization by hand: the first layer's, from the scale that He et al. give."""
    result = results("initialization")
    wanted = pick(result.rows, "rms", norm="no", layer=1)
    assert len(wanted) == 4
    # The same weights but for their scale, and no biases: everything is proportional to the scale.
    scales = 10.0 ** np.array(pick(result.rows, "log10_scale", norm="no", layer=1))
    np.testing.assert_allclose(np.array(wanted) / scales, wanted[0] / scales[0], rtol=1e-4)
    fourth = pick(result.rows, "rms", norm="no", layer=4)
    np.testing.assert_allclose(np.array(fourth) / scales**4, fourth[0] / scales[0] ** 4, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", NAMES)
def test_at_full_size_its_claims_hold_whatever_the_seed(name, seed):
    experiments.run(name, seed).check()
