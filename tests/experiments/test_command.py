"""`graphnet experiment`: the list, the files, and what fails."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from graphnet import experiments
from graphnet.cli import main
from graphnet.experiments import exactness
from graphnet.experiments.result import Claim

pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def measured():
    return exactness.run(seed=0, quick=True)


@pytest.fixture
def measured_before(measured, monkeypatch):
    """The command without the work, which is in test_experiments.py; what `run` was called with."""
    calls = []
    monkeypatch.setattr(exactness, "run", lambda seed, quick: calls.append((seed, quick)) or measured)
    return calls


def _failure(capsys, *arguments):
    try:
        code = main(list(arguments))
    except SystemExit as error:
        code = error.code
    captured = capsys.readouterr()
    assert code == 2 and captured.err.count("\n") == 1 and captured.err.startswith("graphnet experiment: error: ")
    return captured.err


def test_without_a_name_all_are_listed_with_a_line_each(capsys):
    assert main(["experiment"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(experiments.EXPERIMENTS)
    assert all(len(line.split()) > 6 for line in lines)


def test_it_writes_three_files_and_says_claims_and_sentences(measured, tmp_path, capsys):
    assert main(["experiment", "exactness", "--quick", "--seed", "0", "--out", str(tmp_path / "new" / "folder")]) == 0
    lines = capsys.readouterr().out.splitlines()
    count = len(measured.claims)
    assert lines[:count] == [f"holds: {claim}" for claim in measured.claims]
    assert tuple(lines[count : count + 2]) == measured.sentences
    files = [tmp_path / "new" / "folder" / f"exactness.{suffix}" for suffix in ("csv", "json", "png")]
    assert lines[count + 2 :] == [str(path) for path in files] and all(path.stat().st_size for path in files)


def test_defaults(measured_before, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["experiment", "exactness"]) == 0
    assert measured_before == [(0, False)]
    assert (tmp_path / "runs" / "experiments" / "exactness.png").stat().st_size > 0


def test_a_claim_that_fails_is_an_error_after_the_files_are_there(measured, monkeypatch, tmp_path, capsys):
    claims = (Claim("the moon's share of cheese", 0.0, low=0.25), *measured.claims)
    monkeypatch.setattr(exactness, "run", lambda seed, quick: replace(measured, claims=claims))
    said = _failure(capsys, "experiment", "exactness", "--out", str(tmp_path))
    assert f"exactness: the numbers do not bear out 1 of {len(claims)} claims" in said
    assert "the moon's share of cheese is 0, claimed at least 0.25: missed by 0.25" in said
    assert (tmp_path / "exactness.json").stat().st_size > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "there is no experiment 'nothing'; there are initialization, batch-size, norms, dropout"),
        (["--quick"], "name what to run, one of initialization"),
        (["--seed", "1"], "name what to run, one of initialization"),
        (["--out", "x"], "name what to run, one of initialization"),
        (["exactness", "--seed", "-1"], "expected an integer of at least 0, got '-1'"),
        (["exactness", "--out", __file__], "cannot be a folder: a file is in the way"),
        (["exactness", "norms"], "unrecognized arguments: norms"),
    ],
)
def test_what_is_wrong_is_told_in_a_line_and_no_folder_is_made(
    measured_before, arguments, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    try:
        code = main(["experiment", *arguments])
    except SystemExit as error:
        code = error.code
    captured = capsys.readouterr()
    assert code == 2 and message in captured.err and captured.err.count("\n") == 1
    assert not measured_before and not list(tmp_path.iterdir())


@pytest.mark.parametrize("module", ["matplotlib.figure", "sklearn.datasets"])
def test_a_missing_package_is_told_before_the_work(measured_before, module, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, module, None)
    said = _failure(capsys, "experiment", "exactness", "--out", str(tmp_path / "out"))
    assert "pip install 'graphnet[train]'" in said and not measured_before and not list(tmp_path.iterdir())
