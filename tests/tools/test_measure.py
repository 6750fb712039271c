"""Rivals take turns, and what slows one round slows both sides of its ratio."""

from graphnet.cli.measuring import Times
from tools.measure import in_turns, ratio, shown


def test_rivals_take_turns_after_warming_up():
    calls = []
    times = in_turns({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=3, warm_up=1)
    assert calls == ["a", "b"] * 4
    assert [len(times[name].seconds) for name in "ab"] == [3, 3]


def test_a_ratio_compares_within_rounds():
    times = {"slow": Times((2.0, 20.0, 2.0)), "fast": Times((1.0, 10.0, 1.0))}
    assert ratio(times, "slow", "fast") == 2.0


def test_times_print_median_and_quartiles():
    assert shown(Times((0.001, 0.002, 0.003))) == "    2.000 ms  (half of them in 1.500 to 2.500)"
