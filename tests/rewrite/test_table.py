"""Every rule has an equation, a row in which it fires, and rows enough that the lists cannot grow unnoticed."""

from __future__ import annotations

import pytest

from graphnet.rewrite.algebra import EXACT, FAST_MATH
from graphnet.rewrite.convolution import CONVOLUTION
from graphnet.rewrite.driver import Rule
from graphnet.rewrite.folding import FOLDING
from graphnet.rewrite.joining import JOINING
from graphnet.rewrite.merging import MERGING
from graphnet.rewrite.normalization import DECOMPOSE, FOLD_NORMALIZATION
from graphnet.rewrite.pipeline import PIPELINE
from graphnet.rewrite.pooling import POOLING
from graphnet.rewrite.products import PRODUCTS
from graphnet.rewrite.stabilize import STABILIZE
from tests.rewrite import (
    test_algebra,
    test_convolution,
    test_joining,
    test_merging,
    test_normalization,
    test_pooling,
    test_products,
    test_stabilize,
)

LISTS = [
    EXACT, FAST_MATH, MERGING, FOLDING, STABILIZE, DECOMPOSE, FOLD_NORMALIZATION, JOINING, POOLING, PRODUCTS,
    CONVOLUTION,
]  # fmt: skip
RULES: list[Rule] = [rule for rules in LISTS for rule in rules]
TABLES = [
    test_algebra, test_merging, test_stabilize, test_normalization, test_joining, test_pooling, test_products,
    test_convolution,
]  # fmt: skip


def test_every_rule_has_a_row_in_which_it_fires() -> None:
    shown = {row.rule.name for table in TABLES for row in table.ROWS if row.after is not None}
    missing = [rule.name for rule in RULES if rule.name not in shown]
    assert not missing, f"rules in no row of tests/rewrite: {missing}"


def test_the_pipeline_holds_no_other_rules() -> None:
    in_pipeline = {rule.name for _, rules in PIPELINE for rule in rules}
    assert in_pipeline <= {rule.name for rule in RULES}


def test_names_are_unique() -> None:
    names = [rule.name for rule in RULES]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_is_an_equation(rule: Rule) -> None:
    left, arrow, right = rule.equation.partition("-->")
    assert arrow and left.strip() and right.strip(), f"{rule.name} says {rule.equation!r}, not left  -->  right"
