"""Files that `draw` writes: formats, escaping, what happens without the `dot` program; and that nothing overlaps."""

import re
import shutil
import xml.etree.ElementTree as ElementTree
from itertools import combinations

import numpy as np
import pytest

import graphnet as gn
from graphnet.viz import draw, draw_memory, draw_program
from graphnet.viz.diagram import TIMES, diagram
from graphnet.viz.layered import place, scale_on_page
from graphnet.viz.routes import best_layout, route
from models import lenet
from tests.viz.nets import Residual, small_net, training

needs_dot = pytest.mark.skipif(shutil.which("dot") is None, reason="the program dot of Graphviz is not installed")


@pytest.fixture(scope="module")
def step():
    return training(small_net(), (1, 8, 8))


@pytest.fixture
def no_dot(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))


def texts(path):
    """What an SVG file shows, its pieces of text joined."""
    root = ElementTree.fromstring(path.read_text(encoding="utf-8"))
    return "\n".join("".join(element.itertext()) for element in root.iter() if element.tag.endswith(("text", "title")))


@needs_dot
@pytest.mark.parametrize(
    ("suffix", "start"), [("svg", b"<svg"), ("png", b"\x89PNG"), ("pdf", b"%PDF"), ("dot", b"digraph")]
)
def test_the_suffix_decides_the_format(step, tmp_path, suffix, start):
    _, loss, updates = step
    path = draw({"loss": loss}, tmp_path / f"net.{suffix}", updates=updates)
    assert path.read_bytes().startswith(start)


@needs_dot
def test_the_dot_file_is_one_that_graphviz_accepts(step, tmp_path):
    import graphviz

    _, loss, updates = step
    path = draw({"loss": loss}, tmp_path / "net.dot", updates=updates)
    assert b"0:Conv2d" in graphviz.Source(path.read_text(encoding="utf-8")).pipe(format="svg", quiet=True)


@pytest.mark.usefixtures("no_dot")
def test_without_dot_an_svg_still_comes_out(step, tmp_path):
    _, loss, updates = step
    shown = texts(draw({"loss": loss}, tmp_path / "net.svg", updates=updates, title="my net"))
    for word in (
        "my net",
        "0:Conv2d",
        "conv2d",
        f"float32 N{TIMES}1{TIMES}8{TIMES}8",
        "backward (∇, dashed)",
        "update weight",
        "loss",
    ):
        assert word in shown
    assert draw({"loss": loss}, tmp_path / "net.dot").exists()


@pytest.mark.usefixtures("no_dot")
@pytest.mark.parametrize("suffix", ["png", "pdf"])
def test_without_dot_other_formats_say_what_is_missing(step, tmp_path, suffix):
    with pytest.raises(gn.ArgumentError, match=r"needs the program 'dot' of Graphviz.*\.svg and \.dot can be written"):
        draw(step[1], tmp_path / f"net.{suffix}")
    assert not list(tmp_path.iterdir())


def test_the_same_graph_gives_the_same_bytes(tmp_path):
    contents = set()
    for name in ("a", "b"):
        _, loss, updates = training(small_net(), (1, 8, 8))
        contents.add(draw({"loss": loss}, tmp_path / f"{name}.svg", updates=updates, title="t").read_bytes())
    assert len(contents) == 1


NAMES = ['<b> & "é"', "a]]>b", "back\\slash\\N", "&amp;", "tab\tbell\x07"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("detail", ["layers", "ops", "nodes"])
def test_names_of_users_are_escaped_in_svg(tmp_path, name, detail):
    _, loss, updates = training(Residual(name), (4,))
    shown = texts(draw({name: loss}, tmp_path / "net.svg", updates=updates, title=name, detail=detail))
    expected = "".join(c if c.isprintable() else "�" for c in name)
    assert expected in shown


@needs_dot
@pytest.mark.parametrize("name", NAMES)
def test_names_of_users_are_escaped_in_dot(tmp_path, name):
    import graphviz

    _, loss, updates = training(Residual(name), (4,))
    expected = "".join(c if c.isprintable() else "�" for c in name)
    source = draw({name: loss}, tmp_path / "net.dot", updates=updates, title=name).read_text(encoding="utf-8")
    (tmp_path / "by_dot.svg").write_bytes(graphviz.Source(source).pipe(format="svg", quiet=True))
    assert expected in texts(tmp_path / "by_dot.svg").replace("\xa0", " ")
    assert draw({name: loss}, tmp_path / "net.png", updates=updates, title=name).stat().st_size > 1000


@pytest.mark.parametrize("path", ["net.jpg", "net", "missing/net.svg"])
def test_a_file_that_cannot_be_written_is_refused(step, tmp_path, path):
    with pytest.raises(gn.ArgumentError, match=r"must end in \.svg, \.png, \.pdf, \.dot|there is no folder"):
        draw(step[1], tmp_path / path)


def test_a_picture_of_too_many_boxes_is_refused(tmp_path):
    y = gn.input("x", (2,))
    for _ in range(3100):
        y = y + 1.0
    with pytest.raises(gn.ArgumentError, match='use detail="layers"'):
        draw(y, tmp_path / "deep.svg", detail="ops")
    assert "shown by layers" in texts(draw(y, tmp_path / "deep.svg"))


@pytest.mark.parametrize("detail", ["layers", "ops"])
@pytest.mark.parametrize("columns", [1, 2, 3, 6])
def test_boxes_never_overlap_and_stay_on_the_page(step, detail, columns):
    _, loss, updates = step
    picture = diagram({"loss": loss}, updates, detail=detail)
    layout = place(picture, columns)
    route(picture, layout)
    items = list(layout.boxes.values())
    assert len(items) == len(picture.boxes)
    for a, b in combinations(items, 2):
        apart = abs(a.x - b.x) * 2 >= a.width + b.width or abs(a.y - b.y) * 2 >= a.height + b.height
        assert apart, (a.box, b.box)
    for item in items:
        assert item.width / 2 <= item.x <= layout.width - item.width / 2
        assert item.height / 2 <= item.y <= layout.height - item.height / 2
    assert len(layout.paths) == len(picture.arrows)


def test_bands_of_layers_never_overlap(step):
    _, loss, updates = step
    layout = best_layout(diagram({"loss": loss}, updates))
    assert len(layout.bands) == 5
    for a, b in combinations(layout.bands, 2):
        assert a.x + a.width <= b.x or b.x + b.width <= a.x or a.y + a.height <= b.y or b.y + b.height <= a.y


@pytest.mark.parametrize("detail", ["layers", "ops"])
def test_lenet_is_legible_on_one_page(detail):
    _, loss, updates = training(lenet.build(), lenet.INPUT_SHAPE, prefix="A3 ")
    layout = best_layout(diagram({"loss": loss}, updates, detail=detail))
    assert 8.5 * min(scale_on_page(layout), 1.0) >= 6  # the smallest text, in points, on a sheet of A3


def test_a_layer_called_twice_is_drawn(tmp_path):
    _, loss, updates = training(Residual(), (4,))
    for detail in ("layers", "ops", "nodes"):
        assert "last" in texts(draw({"loss": loss}, tmp_path / "net.svg", updates=updates, detail=detail))


def test_a_parameter_or_constant_alone_can_be_drawn(tmp_path):
    for node in (gn.parameter(np.ones(3), "w"), gn.constant(2.0)):
        assert "output" in texts(draw(node, tmp_path / "one.svg"))


def test_a_compiled_step_shows_bytes_and_times(step, tmp_path):
    inputs, loss, updates = step
    compiled = gn.compile(inputs, loss, updates)
    rng = np.random.default_rng(0)
    profile = compiled.profile(rng.random((4, 1, 8, 8), dtype=np.float32), rng.integers(0, 3, 4), repeats=2)
    shown = texts(draw_program(compiled.program, tmp_path / "a.svg", profile=profile, names=["loss"]))
    assert re.search(r"of arena, [\d.]+ µs", shown)
    assert f"float32 4{TIMES}1{TIMES}6{TIMES}6" not in shown
    assert f"arena {compiled.plan.peak_bytes / 1024:.1f} KiB" in shown
    assert compiled.draw(tmp_path / "b.svg").exists()


def test_the_memory_chart_has_a_rectangle_for_each_slot(step, tmp_path):
    inputs, loss, updates = step
    plan = gn.compile(inputs, loss, updates).specialize(N=4).plan
    path = draw_memory(plan, tmp_path / "memory.svg", title="<bytes>")
    root = ElementTree.fromstring(path.read_text(encoding="utf-8"))
    slots = len(plan.slots) + sum(map(len, plan.scratch.values()))
    assert sum(1 for element in root.iter() if element.tag.endswith("}title")) == slots
    with pytest.raises(gn.ArgumentError, match=r"must end in \.svg"):
        draw_memory(plan, tmp_path / "memory.png")
