"""The text form of a graph: what it says, and that it never changes without notice."""

import graphnet as gn
from graphnet.graph import provenance
from graphnet.graph.text import graph_text

GOLDEN = """\
%0 = input('x') : float32[N, 3]
%1 = stored('layer.weight') : float32[2, 3]
%2 = transpose(%1, axes=(1, 0)) : float32[3, 2]
%3 = matmul(%0, %2) : float32[N, 2]
%4 = constant(0.5) : float32[]
%5 = multiply(%3, %4) : float32[N, 2]
%6 = reshape(%5, target=(N*2,)) : float32[N*2]
%7 = sum(%6, axes=(0,), keepdims=False) : float32[]
return %7, %5
"""


def declared():
    x = gn.input("x", ("N", 3))
    weight = gn.parameter([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], "layer.weight")
    scaled = gn.matmul(x, weight.T) * 0.5
    return [scaled.reshape(-1).sum(), scaled]


def test_a_graph_reads_as_its_golden_text():
    assert graph_text(declared(), provenance=False) == GOLDEN


def test_the_text_is_the_same_for_the_same_declaration():
    assert graph_text(declared()) == graph_text(declared())


def test_each_line_says_where_the_node_came_from():
    with provenance.scope("block"), provenance.scope("act"):
        y = gn.input("placed", (2,)) + 1.0
    line = provenance.provenance(y).line
    assert f"# block.act graph/test_text.py:{line}" in graph_text([y]).splitlines()[-2]


def test_roles_and_rules_are_told():
    x = gn.input("x", (2,))
    (gradient,) = gn.gradients((x * x).sum(), [x])
    assert " backward" in graph_text([gradient])
    with provenance.deriving(x, rule="a_rule"):
        made = x * 3.0
    assert graph_text([made]).splitlines()[-2].endswith(", by a_rule")


def test_a_large_constant_is_told_by_its_type_only():
    text = graph_text([gn.constant(list(range(100)), "int32")], provenance=False)
    assert text == "%0 = constant(array(int32[100])) : int32[100]\nreturn %0\n"


def test_no_outputs_give_no_lines():
    assert graph_text([]) == "return \n"
