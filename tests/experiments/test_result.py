"""Claims that hold, that do not, and what is said then; numbers that are none."""

from __future__ import annotations

import json
import math

import pytest

from graphnet.errors import ClaimError, GraphnetError
from graphnet.experiments.result import Claim, Result, pick


def _result(*claims, rows=({"part": "a", "value": 1.0},)):
    return Result("example", {"seed": 0}, list(rows), claims, ("One 1.", "Two 2."), lambda figure: figure.subplots())


def test_a_claim_holds_within_its_bounds_and_on_them():
    assert Claim("x", 0.5, low=0.5).holds and Claim("x", 0.5, high=0.5).holds and Claim("x", 0.5, 0.4, 0.6).holds
    assert not Claim("x", 0.5, low=0.6).holds and not Claim("x", 0.5, high=0.4).holds
    assert Claim("x", 0.5, 0.4, 0.7).margin == pytest.approx(0.1)


@pytest.mark.parametrize("claim", [Claim("x", math.nan), Claim("x", math.nan, 0, 1), Claim("x", math.inf, high=3.0)])
def test_nothing_is_claimed_of_what_is_no_number(claim):
    assert not claim.holds
    with pytest.raises(ClaimError):
        _result(claim).check()


def test_a_broken_claim_says_which_and_by_how_much():
    kept, low, high = Claim("the kept", 1.0, low=0.0), Claim("the low", 0.25, low=0.5), Claim("the high", 3.0, 0.0, 1.0)
    with pytest.raises(ClaimError) as caught:
        _result(kept, low, high).check()
    said = str(caught.value)
    assert "example: the numbers do not bear out 2 of 3 claims" in said and "the kept" not in said
    assert "the low is 0.25, claimed at least 0.5: missed by 0.25" in said
    assert "the high is 3, claimed at least 0 and at most 1: missed by 2" in said
    assert isinstance(caught.value, GraphnetError) and isinstance(caught.value, AssertionError)


def test_numbers_that_overflowed_are_null_in_json_and_the_rest_is_exact(tmp_path):
    pytest.importorskip("matplotlib")
    rows = [{"part": "a", "value": 0.1 + 0.2}, {"part": "b", "value": math.nan, "more": 2}]
    _result(Claim("x", 1.0, low=0.0), rows=rows).write(tmp_path)
    content = json.loads((tmp_path / "example.json").read_text())
    assert content["rows"] == [{"part": "a", "value": 0.1 + 0.2}, {"part": "b", "value": None, "more": 2}]
    assert content["claims"] == [{"text": "x", "value": 1.0, "low": 0.0, "high": None, "holds": True}]
    assert (tmp_path / "example.csv").read_text() == f"part,value,more\na,{0.1 + 0.2!r},\nb,nan,2\n"


def test_pick_takes_the_rows_that_have_all_that_is_asked():
    rows = [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}, {"b": "x"}, {"a": 3, "b": "x", "c": 0.0}]
    assert pick(rows, "a", b="x") == [1, 3]
    assert pick(rows, "a") == [1, 2, 3]
    assert pick(rows, "a", b="x", c=0.0) == [3]
    assert pick(rows, "a", b="z") == []
