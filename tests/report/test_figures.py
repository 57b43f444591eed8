"""Figures: what shares one, that gaps stay gaps, and that Plotly itself accepts them."""

import itertools
import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest

from journeyman.report import Band, CompoundingFigure, CostFigure, Curve, Reference
from journeyman.report._cost import cost_drawing
from journeyman.report._figures import compounding_drawing, curve_drawings
from journeyman.report._traces import band_and_line, largest, roles, thin

nan = float("nan")
STEPS = Curve("improved", [0, 1, 2], Band([1.0, 2.0, 3.0], [0.5, 1.5, 2.5], [1.5, 2.5, 3.5]), "steps", "return")


def compounding(points: int = 6) -> CompoundingFigure:
    line = np.linspace(0.1, 1.0, points)
    own = Band(line, line * 0.5, line * 2)
    flat = Band(np.full(points, 0.1), np.full(points, 0.05), np.full(points, 0.2))
    alive = np.arange(points, 0, -1)
    return CompoundingFigure(
        "clone",
        np.arange(points),
        flat,
        own,
        alive,
        points,
        distance=own,
        distance_within=0.3,
        references={"ε·t": 0.1 * line},
    )


def drawn(*curves: Curve) -> list:
    return curve_drawings(curves, roles([curve.name for curve in curves]))


def test_curves_with_the_same_axes_share_a_figure() -> None:
    other = replace(STEPS, name="baseline")
    labels = replace(STEPS, name="corrected", x_label="labels")
    first, second = drawn(STEPS, labels, other)
    assert [key.name for key in first.keys] == ["improved", "baseline"]
    assert [key.name for key in second.keys] == ["corrected"]
    assert (first.anchor, second.anchor) == ("learning-1", "learning-2")


def test_a_name_keeps_its_colour_and_strangers_differ() -> None:
    found = roles(["mine", "clone", "yours", "expert", "mine"])
    assert found["clone"] == "clone"
    assert found["expert"] == "expert"
    assert found["mine"] != found["yours"]
    assert roles(["clone"])["clone"] == found["clone"]


def test_a_gap_splits_the_band_and_the_line() -> None:
    band = Band([1, 2, nan, 4, 5], [0, 1, nan, 3, 4], [2, 3, nan, 5, 6])
    outline, line = band_and_line("a", [0, 1, 2, 3, 4], band, "clone")
    # up the high side and back along the low one, once for each stretch
    assert outline["x"] == [0, 1, 1, 0, None, 3, 4, 4, 3]
    assert outline["y"] == [2, 3, 1, 0, None, 5, 6, 4, 3]
    assert line["y"] == [1, 2, None, 4, 5]


def test_a_band_of_nothing_but_nan_is_drawn_empty() -> None:
    figure = drawn(replace(STEPS, y=Band([nan] * 3, [nan] * 3, [nan] * 3)))[0].figure
    json.dumps(figure, allow_nan=False)
    assert all(math.isfinite(end) for end in figure["layout"]["yaxis"]["range"])
    assert largest([nan]) == 0.0


def test_long_curves_are_thinned_and_say_so() -> None:
    x = np.arange(4000)
    drawing = drawn(Curve("improved", x, Band(x * 1.0), "steps", "return"))[0]
    assert len(thin(x)) == 800
    assert drawing.figure["data"][0]["x"][:2] == [0, 5]
    assert "Every 5th point is drawn." in drawing.caption
    assert "point is drawn" not in drawn(STEPS)[0].caption


def test_a_reference_is_named_where_the_curve_is_far_from_it() -> None:
    rising = replace(STEPS, y=Band([0.0, 50.0, 99.0]), references=(Reference("expert", 100), Reference("clone", 1)))
    clone, expert = drawn(rising)[0].figure["layout"]["annotations"]
    assert (clone["text"], clone["xanchor"]) == ("clone 1", "right")
    assert (expert["text"], expert["xanchor"]) == ("expert 100", "left")


def test_names_of_near_references_go_to_either_side() -> None:
    near = replace(STEPS, references=(Reference("expert", 3.0), Reference("demonstrations", 3.05)))
    anchors = [note["yanchor"] for note in drawn(near)[0].figure["layout"]["annotations"]]
    assert anchors == ["top", "bottom"]
    assert all(shape["line"]["color"].startswith("var(--") for shape in drawn(near)[0].figure["layout"]["shapes"])


def test_names_cannot_carry_markup_into_plotly() -> None:
    evil = replace(STEPS, name="<a href='x'>", x_label="<b>x</b>", references=(Reference("<i>r</i>", 1.0),))
    assert "<" not in json.dumps(drawn(evil)[0].figure)


def test_the_table_holds_the_first_and_the_last_point() -> None:
    drawing = drawn(STEPS)[0]
    assert drawing.rows[0] == ["improved", "0", "1", "0.500 to 1.50"]
    assert drawing.rows[-1] == ["improved", "2", "3", "2.50 to 3.50"]


def test_compounding_has_three_panels_on_the_same_steps() -> None:
    drawing = compounding_drawing(compounding(), roles(["clone", "expert"]))
    layout = drawing.figure["layout"]
    domains = [layout[name]["domain"] for name in ("yaxis", "yaxis2", "yaxis3")]
    assert all(lower[1] < upper[0] for upper, lower in itertools.pairwise(domains))
    assert {trace["yaxis"] for trace in drawing.figure["data"]} == {"y", "y2", "y3"}
    assert "6 episodes" in drawing.caption
    assert drawing.header[-2] == "distance from the demonstrations"


def test_compounding_without_distance_has_two_panels() -> None:
    bare = replace(compounding(), distance=None, distance_within=None, references={})
    drawing = compounding_drawing(bare, roles(["clone", "expert"]))
    assert {trace["yaxis"] for trace in drawing.figure["data"]} == {"y", "y2"}
    assert "yaxis3" not in drawing.figure["layout"]


def costly(mean: list[float], low: list[float]) -> CompoundingFigure:
    high = [2 * abs(one) + 1 for one in mean]
    cost = CostFigure(
        [1, 2, 4], Band(mean, low, high), [False, True, True], {"εH²/2": [0.5, 2.0, 8.0], "εH": [1.0, 2.0, 4.0]}
    )
    return replace(compounding(), cost=cost)


def test_the_cost_by_horizon_is_drawn_with_its_bounds_on_axes_of_logarithms() -> None:
    drawing = cost_drawing(costly([0.4, 2.0, 9.0], [0.1, 1.0, 7.0]), roles(["clone", "expert"]))
    assert drawing is not None
    layout = drawing.figure["layout"]
    assert layout["xaxis"]["type"] == layout["yaxis"]["type"] == "log"
    lines = {trace["name"]: trace for trace in drawing.figure["data"] if "name" in trace}
    assert set(lines) == {"cost of the clone", "εH²/2", "εH"}
    assert lines["cost of the clone"]["y"] == [0.4, 2.0, 9.0]
    assert lines["εH²/2"]["y"] == [0.5, 2.0, 8.0]
    assert [key.name for key in drawing.keys] == ["the clone", "εH²/2", "εH"]
    assert len({key.dash for key in drawing.keys}) == 3, "told apart without colours"
    assert drawing.rows[1] == ["2", "2", "1 to 5", "2", "2", "yes"]
    low, high = layout["yaxis"]["range"]
    assert 10**low < 0.1
    assert 10**high > 19
    assert layout["yaxis"]["dtick"] == 1
    short = cost_drawing(costly([2.0, 3.0, 9.0], [1.5, 2.0, 7.0]), roles(["clone", "expert"]))
    assert short is not None
    assert short.figure["layout"]["yaxis"]["dtick"] == "D2", "2 and 5 are named too where there are few powers of ten"


def test_a_cost_that_is_not_above_0_is_a_gap_and_said_and_a_figure_of_none_is_none() -> None:
    drawing = cost_drawing(costly([-0.4, 2.0, 9.0], [-1.0, -1.0, 7.0]), roles(["clone", "expert"]))
    assert drawing is not None
    line = next(trace for trace in drawing.figure["data"] if trace.get("name") == "cost of the clone")
    assert line["y"] == [None, 2.0, 9.0]
    assert "1 of 3 means are not above 0 and not drawn" in drawing.caption
    band = [value for value in drawing.figure["data"][0]["y"] if value is not None]
    assert min(band) > 0
    assert drawing.rows[0][1:3] == ["−0.400", "−1 to 1.80"]
    assert cost_drawing(costly([-0.4, 0.0, -1.0], [-1.0, -1.0, -2.0]), roles(["clone", "expert"])) is None
    assert cost_drawing(compounding(), roles(["clone", "expert"])) is None


@pytest.mark.parametrize("which", ["learning", "compounding", "cost"])
def test_plotly_accepts_the_figure(which: str) -> None:
    objects = pytest.importorskip("plotly.graph_objects", reason="needs the extra 'report'")
    if which == "learning":
        figure = drawn(replace(STEPS, references=(Reference("expert", 3.0),)))[0].figure
    elif which == "cost":
        drawing = cost_drawing(costly([0.4, 2.0, 9.0], [0.1, 1.0, 7.0]), roles(["clone", "expert"]))
        assert drawing is not None
        figure = drawing.figure
    else:
        figure = compounding_drawing(compounding(), roles(["clone", "expert"])).figure
    # Plotly's Python validators know numbers and names of settings, but not the page's variables for colours.
    text = json.dumps(figure)
    plain = json.loads(re.sub(r"var\(--[\w-]+\)", "black", text))
    assert len(objects.Figure(plain).data) == len(figure["data"])
