"""Search: spaces, two rounds, seeds, trials that diverge or fail, interrupts; tables and pictures."""

from __future__ import annotations

import csv
import json
import math
import sys

import numpy as np
import pytest

from graphnet.errors import ArgumentError, DataError, MissingExtraError
from graphnet.training import search
from graphnet.training.spaces import Choice, Integer, LogUniform, Uniform, parse_space

SPACES = {"lr": LogUniform(1e-5, 1.0), "width": Integer(1, 64), "kind": Choice(("a", "b"))}


def planted(settings, full):
    """Highest at lr = 0.01, width 32 and kind b; better on all of the data."""
    far = abs(math.log10(settings["lr"]) + 2) + abs(settings["width"] - 32) / 32 + (settings["kind"] == "a")
    return (1.0 if full else 0.8) - 0.1 * far


@pytest.mark.parametrize("sampler", ["random", "optuna"])
def test_it_finds_a_planted_optimum(sampler):
    if sampler == "optuna":
        pytest.importorskip("optuna")
    found = search(planted, SPACES, trials=60, finalists=3, sampler=sampler, seed=1)
    best = found.best
    assert best.full and 0.001 < best.settings["lr"] < 0.1 and best.settings["kind"] == "b"
    assert best.value > 0.9 and best.value == found.ranked(full=True)[0].value
    assert len(found.trials) == 63 and [trial.full for trial in found.trials] == [False] * 60 + [True] * 3
    ranked = found.ranked()
    assert [trial.number for trial in found.trials[60:]] == [trial.number for trial in ranked[:3]]
    again = search(planted, SPACES, trials=60, finalists=3, sampler=sampler, seed=1)
    assert again.table() == found.table()
    assert search(planted, SPACES, trials=60, finalists=3, sampler=sampler, seed=2).table() != found.table()


def test_optuna_learns_from_the_trials_before():
    pytest.importorskip("optuna")
    found = search(planted, SPACES, trials=60, finalists=0, sampler="optuna")
    values = [trial.value for trial in found.trials]
    assert np.mean(values[30:]) > np.mean(values[:10]) + 0.05


def test_a_loss_is_lowered():
    found = search(lambda settings, full: settings["x"], {"x": Uniform(2, 3)}, trials=9, finalists=0, mode="min")
    assert found.best.value == min(trial.value for trial in found.trials) and not found.best.full


def test_the_same_seed_gives_the_same_settings_however_long_the_search():
    short, long = (search(planted, SPACES, trials=n, finalists=0, seed=5) for n in (4, 9))
    assert [trial.settings for trial in short.trials] == [trial.settings for trial in long.trials[:4]]


def shaky(settings, full):
    if settings["lr"] > 0.1:
        return math.nan
    if settings["kind"] == "a":
        raise DataError("kind a does not work\nat all")
    return planted(settings, full)


@pytest.mark.parametrize("sampler", ["random", "optuna"])
def test_trials_that_diverge_or_fail_are_recorded_and_the_search_goes_on(sampler, tmp_path):
    if sampler == "optuna":
        pytest.importorskip("optuna")
    told = []
    found = search(shaky, SPACES, trials=20, finalists=2, sampler=sampler, tell=told.append)
    assert told == found.trials and len(found.trials) == 22
    states = {trial.state for trial in found.trials}
    assert states == {"finished", "diverged", "failed"}
    for trial in found.trials:
        assert math.isnan(trial.value) == (trial.state != "finished")
        assert trial.why == ("kind a does not work" if trial.state == "failed" else "")
    lines = found.table().splitlines()
    assert lines[0].split() == ["trial", "data", "lr", "width", "kind", "value"]
    assert lines[1].split()[1] == "all" and lines[3].split()[1] == "part"
    assert any(line.endswith("diverged") for line in lines) and any("failed: kind a" in line for line in lines)
    found.to_csv(tmp_path / "s.csv")
    with open(tmp_path / "s.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["state"] for row in rows] == [trial.state for trial in found.trials]
    assert all((row["value"] == "") == (row["state"] != "finished") for row in rows)
    found.to_json(tmp_path / "s.json")
    report = json.loads((tmp_path / "s.json").read_text(), parse_constant=lambda text: pytest.fail(text))
    assert report["best"]["value"] == found.best.value and len(report["trials"]) == 22


def test_where_all_fail_the_error_is_raised():
    def fails(settings, full):
        raise DataError("never")

    with pytest.raises(DataError, match="never"):
        search(fails, SPACES, trials=3)
    found = search(lambda settings, full: math.inf, SPACES, trials=3)
    assert [trial.state for trial in found.trials] == ["diverged"] * 3
    with pytest.raises(ArgumentError, match="no trial of the search finished"):
        found.best  # noqa: B018


def test_an_error_that_is_not_ours_is_not_swallowed():
    with pytest.raises(ZeroDivisionError):
        search(lambda settings, full: 1 / 0, SPACES, trials=3)


def test_an_interrupt_keeps_what_is_done(tmp_path):
    def interrupted(settings, full, calls=[]):  # noqa: B006
        calls.append(settings)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return planted(settings, full)

    found = search(interrupted, SPACES, trials=9)
    assert found.interrupted and len(found.trials) == 3
    found.to_json(tmp_path / "s.json")
    assert json.loads((tmp_path / "s.json").read_text())["interrupted"]


def test_the_picture(tmp_path):
    pytest.importorskip("matplotlib")
    found = search(shaky, SPACES, trials=20, finalists=2)
    found.draw(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ArgumentError, match="searches are drawn as svg, png, pdf"):
        found.draw(tmp_path / "a.txt")
    with pytest.raises(ArgumentError, match="nothing to draw: no trial of the search finished"):
        search(lambda settings, full: math.nan, SPACES, trials=2).draw(tmp_path / "c.svg")


def _draws(space, count=4000):
    rng = np.random.default_rng(0)
    return np.array([space.draw(rng) for _ in range(count)])


def test_spaces_draw_as_they_say():
    uniform, log = _draws(Uniform(-2, 6)), np.log10(_draws(LogUniform(1e-4, 1e0)))
    assert uniform.min() >= -2 and uniform.max() < 6 and uniform.mean() == pytest.approx(2, abs=0.1)
    assert log.min() >= -4 and log.max() < 0 and log.mean() == pytest.approx(-2, abs=0.1)
    counts = np.bincount(_draws(Integer(2, 5)))
    assert counts[:2].sum() == 0 and len(counts) == 6 and counts[2:].min() > 900
    orders = _draws(Integer(1, 1000, log=True))
    assert orders.min() == 1 and orders.max() <= 1000 and 0.25 < (orders <= 10).mean() < 0.5
    assert set(_draws(Choice((3, "x")), 50)) == {"3", "x"}


@pytest.mark.parametrize(
    ("text", "space"),
    [
        ("0:1", Uniform(0.0, 1.0)),
        ("1e-4:1e-1:log", LogUniform(1e-4, 1e-1)),
        ("8:64:int", Integer(8, 64)),
        ("8:64:int:log", Integer(8, 64, log=True)),
        ("16, 32,64", Choice((16, 32, 64))),
        ("adam,sgd", Choice(("adam", "sgd"))),
        ("true,False", Choice((True, False))),
        ("0.5", Choice((0.5,))),
    ],
)
def test_spaces_are_read_from_text(text, space):
    assert parse_space(text) == space


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected low:high, .* got ''"),
        ("1:", "got '1:'"),
        ("1:2:3", "got '1:2:3'"),
        ("1:2:log:int", "expected low:high"),
        ("a:b", "expected numbers on both sides of the colon, got 'a:b'"),
        ("1.5:3:int", "expected integers on both sides"),
        ("2:1", "Uniform: low must be below high, got 2.0 and 1.0"),
        ("0:1:log", "LogUniform: low must be above 0, got 0.0"),
        ("0:8:int:log", "Integer: low must be at least 1 where log is set"),
        ("0:inf", "Uniform: high must be a finite number, got inf"),
        ("nan,1", "expected finite numbers, got 'nan'"),
        ("1,,2", "expected low:high"),
        ("1,1", r"Choice: values must differ, got \(1, 1\)"),
    ],
)
def test_texts_that_are_no_space_are_told(text, message):
    with pytest.raises(ArgumentError, match=message):
        parse_space(text)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: search(planted, {}), "search: spaces must be a dict from names to spaces, at least one, got {}"),
        (lambda: search(planted, {"lr": 3}), "spaces must be a dict"),
        (lambda: search(3, SPACES), "objective must be a function of settings and whether on all, got 3"),
        (lambda: search(planted, SPACES, trials=0), "trials must be an integer >= 1, got 0"),
        (lambda: search(planted, SPACES, finalists=-1), "finalists must be an integer >= 0, got -1"),
        (lambda: search(planted, SPACES, mode="best"), "mode must be 'min' or 'max', got 'best'"),
        (lambda: search(planted, SPACES, sampler="grid"), "sampler must be one of random, optuna, got 'grid'"),
        (lambda: search(planted, SPACES, seed=-1), "seed must be an integer >= 0, got -1"),
        (lambda: Choice(()), r"Choice: values must be numbers or texts, at least one, got \(\)"),
        (lambda: Choice("abc"), "values must be numbers or texts"),
        (lambda: Uniform("a", 2), "Uniform: low must be a finite number, got 'a'"),
        (lambda: Integer(1, 2.5), "Integer: low and high must be integers, got 1 and 2.5"),
    ],
)
def test_arguments_are_checked(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


def test_without_optuna_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'graphnet\[search\]'"):
        search(planted, SPACES, sampler="optuna")
