"""Where data lies: the regions and the clouds against what they are made of, and their drawing."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from journeyman.collect import Demonstrate, play
from journeyman.figures import Computed, Effort, chosen, drawn, style
from journeyman.figures import _clouds as clouds
from journeyman.figures._clouds_drawn import draw_labels

LABELS, NOISE = chosen(("labels", "noise"), "imitation")


def labels(kept: int, count: int = 40, tolerance: float = 0.1) -> Computed:
    random = np.random.default_rng(0)
    bound = np.geomspace(0.01, 1, count)
    arrays = {
        "shown": random.uniform(-3, 3, (count, 2)),
        "label": random.uniform(-3, 3, (count, 2)),
        "anchor": np.arange(count),
        "kept": np.arange(count) < kept,
        "bound": np.where(np.arange(count) == count - 1, np.inf, bound),  # a solver that ran away
        "landing": bound * random.uniform(0, 1, count),
        "reach": np.maximum(random.uniform(-0.1, 0.3, (count, 2)), 0),
    }
    return Computed(arrays, {"tolerance": tolerance}, "caption", "seeds")


@pytest.mark.parametrize("tolerance", [1e-3, 0.1, 20.0])
def test_the_tolerance_is_on_the_figure_however_far_from_every_bound(tolerance: float) -> None:
    """Where no label is kept all bounds lie beyond it: its line was off the axes, and its name between the panels."""
    drawing = pytest.importorskip("matplotlib.figure").Figure()
    draw_labels(drawing, style("light"), labels(0, tolerance=tolerance))
    low, high = drawing.axes[1].get_xlim()
    assert low < tolerance < high


@pytest.mark.parametrize("kept", [0, 17, 40])
def test_labels_are_drawn_whether_some_all_or_none_were_kept(kept: int) -> None:
    for shade in ("light", "dark"):
        assert drawn(LABELS, labels(kept), shade, "png").startswith(b"\x89PNG")


def test_a_cloud_is_drawn_however_small() -> None:
    random = np.random.default_rng(0)
    arrays = {
        name: np.stack([random.uniform(0, 6, count), random.normal(0, width, count)], axis=1)
        for name, count, width in zip(clouds.CLOUDS, (900, 900, 3), (0.01, 0.03, 0.2), strict=True)
    }
    for shade in ("light", "dark"):
        assert drawn(NOISE, Computed(arrays, {}, "caption", "seeds"), shade, "png").startswith(b"\x89PNG")


def test_the_swing_comes_up_and_stays() -> None:
    world = clouds.Pendulum(num_envs=16)  # type: ignore[attr-defined,call-arg]
    played = play(world, Demonstrate(clouds.Swing()), episodes=16, seed=0)
    last = np.asarray(played.observation)[:, -2]
    np.testing.assert_allclose(last, np.tile([1.0, 0.0, 0.0], (16, 1)), atol=1e-3)
    still = clouds.Swing().label(jnp.asarray([[1.0, 0.0, 0.0]]), jax.random.key(0))
    np.testing.assert_array_equal(still, [[0.0]])


@pytest.mark.slow
def test_what_is_kept_lies_in_the_region_around_its_step_and_lands_within_its_bound() -> None:
    found = clouds.judged_labels(0)
    assert 0 < found.kept.sum() < len(found.kept)
    np.testing.assert_array_equal(found.kept, found.bound <= found.tolerance)
    assert (found.landing[found.kept] <= found.bound[found.kept] * (1 + 1e-5)).mean() > 0.95
    assert (found.reach[found.kept] > 0).all()
    # In the plane the region is an ellipse; to first order a label is in it exactly where it is kept.
    away = found.label - found.shown[found.anchor]
    away[:, 0] = (away[:, 0] + np.pi) % (2 * np.pi) - np.pi
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = (np.square(away / found.reach).sum(1) <= 1) & (found.reach > 0).all(1)
    assert (inside == found.kept).mean() > 0.95
    assert json.dumps(clouds.labels(Effort(scale=0.2, seeds=1)).numbers, allow_nan=False)


@pytest.mark.slow
def test_a_disturbed_expert_shows_what_the_clone_meets_first() -> None:
    found = clouds.noise(Effort(seeds=1))
    json.dumps(found.numbers, allow_nan=False)
    reach, fallen = found.numbers["reach"], found.numbers["fallen"]
    assert reach["expert"] < reach["disturbed expert"] < reach["clone"]
    assert fallen["expert"] == fallen["disturbed expert"] == 0 < fallen["clone"]
    assert fallen["clone of the disturbed expert"] < fallen["clone"]
    deviation = found.numbers["deviation"]["expert"]
    # y′ = .7 y + gusts · w stands at gusts / √(1 − .49), but for what steepness adds.
    assert deviation == pytest.approx(clouds.RIDGE.gusts / np.sqrt(1 - 0.49), rel=0.05)
    assert f"{fallen['clone']} of {found.numbers['episodes']}" in found.caption
