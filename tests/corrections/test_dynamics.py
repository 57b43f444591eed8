"""Dynamics that labels are made with: a world's own against closed forms, MuJoCo's against Gymnasium, and refusals."""

import importlib.util
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import journeyman as jm
from journeyman.corrections import MujocoDynamics, RootFinding, TrueDynamics, corrective_labels
from journeyman.episodes import Episodes
from journeyman.parts import JourneymanError
from journeyman.worlds import Gridworld, Harvest, LinearQuadratic, Pendulum, replay

A, B = np.asarray([[0.9, 0.2], [0.0, 0.8]]), np.asarray([[0.0], [1.0]])
LQ = LinearQuadratic(A, B, np.eye(2), [[1.0]], noise=0.3, horizon=20)
needs_mujoco = pytest.mark.skipif(importlib.util.find_spec("mujoco") is None, reason="MuJoCo is not installed")
random = np.random.default_rng(0)


def test_a_linear_world_moves_and_changes_as_its_matrices_say_and_without_its_noise() -> None:
    dynamics = TrueDynamics(LQ)
    state, action = random.normal(size=(700, 2)), random.normal(size=(700, 1))  # more than one chunk
    assert dynamics.sizes == (2, 1)
    np.testing.assert_allclose(dynamics.step(state, action), state @ A.T + action @ B.T, atol=1e-6)
    by_state, by_action = dynamics.jacobians(state, action)
    np.testing.assert_allclose(by_state, np.broadcast_to(A, (700, 2, 2)), atol=1e-7)
    np.testing.assert_allclose(by_action, np.broadcast_to(B, (700, 2, 1)), atol=1e-7)
    assert dynamics.step(state[:0], action[:0]).shape == (0, 2)


def test_a_pendulum_s_states_are_what_it_shows_on_the_circle() -> None:
    dynamics = TrueDynamics(Pendulum())
    angle, speed = random.uniform(-3, 3, 20), random.uniform(-2, 2, 20)
    seen = np.stack([np.cos(angle), np.sin(angle), speed], 1)
    # Gymnasium's equations by hand: semi-implicit Euler with dt .05, g 10, m = l = 1.
    after = speed + (15 * np.sin(angle) + 3 * 0.5) * 0.05
    found = dynamics.step(seen, np.full((20, 1), 0.5))
    np.testing.assert_allclose(found[:, 2], after, atol=1e-5)
    np.testing.assert_allclose(found[:, 0], np.cos(angle + 0.05 * after), atol=1e-5)
    moved = dynamics.nearest_state(seen * [1.3, 1.3, 1.0])
    np.testing.assert_allclose(moved, seen, atol=1e-6)


@pytest.mark.parametrize(
    ("world", "words"),
    [
        (Gridworld(), "observations of 'Gridworld' are not one real vector"),
        (Harvest(), "actions of 'Harvest' are not one real vector"),
    ],
)
def test_worlds_without_real_vectors_are_refused(world: object, words: str) -> None:
    with pytest.raises(JourneymanError, match=words):
        TrueDynamics(world)  # type: ignore[arg-type]


@needs_mujoco
def test_a_host_world_is_sent_to_the_right_door() -> None:
    with pytest.raises(JourneymanError, match="use MujocoDynamics for the MuJoCo worlds whose observation is"):
        TrueDynamics(jm.world("gymnasium:Hopper-v5", num_envs=1))


# -- MuJoCo --------------------------------------------------------------------------------------------------


def recorded(name: str, steps: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What Gymnasium's own environment does: observations, actions, and true next positions and velocities."""
    made = jm.world(f"gymnasium:{name}", num_envs=1)
    env = made.single()
    made.close()  # type: ignore[attr-defined]
    model, draw, rows = env.unwrapped.model, np.random.default_rng(1), []
    hidden = env.unwrapped.observation_space.shape[0] - model.nq - model.nv
    seen, _ = env.reset(seed=0)
    for _ in range(steps):
        action = draw.uniform(-1.2, 1.2, model.nu)  # outside of the controls' range too
        after, _, terminated, truncated, _ = env.step(np.clip(action, *model.actuator_ctrlrange.T))
        data = env.unwrapped.data
        rows.append((seen, action, np.concatenate([data.qpos[-hidden or None :], data.qvel])))
        seen = env.reset()[0] if terminated or truncated else after
    env.close()
    return tuple(np.asarray(column) for column in zip(*rows, strict=True))  # type: ignore[return-value]


@needs_mujoco
@pytest.mark.parametrize("name", ["Hopper-v5", "HalfCheetah-v5", "Walker2d-v5", "Swimmer-v5", "InvertedPendulum-v5"])
def test_a_step_from_an_observation_is_the_environment_s_own(name: str) -> None:
    """To the last bit but for the hidden position: the root is put to 0, and nothing depends on it."""
    seen, action, after = recorded(name)
    dynamics = MujocoDynamics(name)
    assert dynamics.sizes == (seen.shape[1], action.shape[1])
    known = dynamics.determined(seen)
    assert known.sum() > 10
    np.testing.assert_allclose(dynamics.step(seen, action)[known], after[known], atol=1e-9)


@needs_mujoco
def test_its_derivatives_leave_an_error_of_second_order() -> None:
    """step(x + hδ) − step(x) − hJδ falls like h²; without J it falls like h: the log–log slopes tell them apart."""
    dynamics = MujocoDynamics("InvertedPendulum-v5")
    state, action = random.normal(size=(8, 4)) * 0.1, random.normal(size=(8, 1))
    by_state, by_action = dynamics.jacobians(state, action)
    push, turn = random.normal(size=(8, 4)), random.normal(size=(8, 1))
    sizes, left, bare = np.asarray([1e-1, 1e-2, 1e-3]), [], []
    for h in sizes:
        moved = dynamics.step(state + h * push, action + h * turn) - dynamics.step(state, action)
        bare.append(np.linalg.norm(moved))
        linear = np.einsum("nij,nj->ni", by_state, push) + np.einsum("nij,nj->ni", by_action, turn)
        left.append(np.linalg.norm(moved - h * linear))
    assert np.polyfit(np.log(sizes), np.log(left), 1)[0] == pytest.approx(2, abs=0.1)
    assert np.polyfit(np.log(sizes), np.log(bare), 1)[0] == pytest.approx(1, abs=0.1)


@needs_mujoco
def test_where_the_simulation_runs_away_the_next_state_is_no_number_and_nothing_is_warned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """MuJoCo would begin anew and give its own initial state, print a line for each, and write MUJOCO_LOG.TXT."""
    monkeypatch.chdir(tmp_path)
    dynamics, state = MujocoDynamics("Hopper-v5"), np.zeros((8, 11))
    state[:, 0] = 1.2
    state[3, 5:] = 1e6 * np.asarray([1.0, -0.7, 0.4, 1.3, -2.0, 0.9])
    after = dynamics.step(state, np.zeros((8, 3)))
    assert np.isnan(after[3]).all()
    assert np.isfinite(np.delete(after, 3, axis=0)).all()
    seen = capfd.readouterr()
    assert "unstable" not in seen.out + seen.err
    assert not list(tmp_path.iterdir())


@needs_mujoco
def test_it_runs_away_where_mujoco_s_own_steps_warn() -> None:
    import mujoco

    made = jm.world("gymnasium:Hopper-v5", num_envs=1)
    env = made.single()
    made.close()  # type: ignore[attr-defined]
    model, draw = env.unwrapped.model, np.random.default_rng(0)
    state = np.zeros((100, 11))
    state[:, 0], state[:, 5:] = 1.2, draw.normal(size=(100, 6)) * 10.0 ** draw.uniform(0, 9, (100, 1))
    after = MujocoDynamics("Hopper-v5").step(state, np.zeros((100, 3)))
    before, warned = mujoco.get_mju_user_warning(), []
    mujoco.set_mju_user_warning(lambda message: None)
    try:
        for one in state:
            data = mujoco.MjData(model)
            data.qpos[1:], data.qvel[:] = one[:5], one[5:]
            for _ in range(env.unwrapped.frame_skip):
                mujoco.mj_step(model, data)
            warned.append(any(warning.number for warning in data.warning))
    finally:
        mujoco.set_mju_user_warning(before)
    env.close()
    assert 20 < sum(warned) < 80
    np.testing.assert_array_equal(np.isnan(after).all(axis=1), warned)
    np.testing.assert_array_equal(np.isnan(after).any(axis=1), warned)


@needs_mujoco
def test_a_velocity_at_its_clip_does_not_determine_the_state() -> None:
    dynamics = MujocoDynamics("Hopper-v5")
    seen = np.zeros((3, 11))
    seen[0, 7], seen[1, 10], seen[2, 10] = 10.0, -10.0, 9.99
    assert dynamics.determined(seen).tolist() == [False, False, True]
    assert MujocoDynamics("HalfCheetah-v5").determined(np.full((1, 17), 11.0)).all()


@needs_mujoco
def test_observations_that_are_not_the_state_are_refused() -> None:
    with pytest.raises(JourneymanError, match="An observation of 'Ant-v5' is not the state"):
        MujocoDynamics("Ant-v5")
    with pytest.raises(JourneymanError, match="Did you mean 'Hopper-v5'"):
        MujocoDynamics("Hoper-v5")
    world = jm.world("gymnasium:Hopper-v5", num_envs=1, exclude_current_positions_from_observation=False)
    with pytest.raises(JourneymanError, match="made with exclude_current_positions_from_observation"):
        MujocoDynamics(world)
    assert MujocoDynamics(jm.world("gymnasium:Hopper-v5", num_envs=1)).id == "Hopper-v5"


@needs_mujoco
def test_hopper_s_labels_land_in_gymnasium_where_they_say() -> None:
    """The oracle is the environment itself, put into each label's state and stepped once with its action."""
    name = "Hopper-v5"
    seen, action, _ = recorded(name, steps=12)
    data = Episodes.episode(seen[:11], action[:10])
    world = jm.world(f"gymnasium:{name}", num_envs=1)
    found = corrective_labels(data, MujocoDynamics(world), method=RootFinding())
    scale = np.asarray(data.now).std(0)
    chosen = np.argwhere(found.labels.valid)
    assert len(chosen) >= 5
    for row, step in chosen:
        state, goal = found.labels.observation[row, step], found.labels.observation[row, step + 1]
        played = replay(world, np.concatenate([[0.0], state]), found.labels.action[row, step][None])
        away = np.linalg.norm((played.observation[1] - goal) / scale)
        assert away <= found.bound[row, step] + 1e-4  # replay shows single precision, in units of a thousandth
    world.close()  # type: ignore[attr-defined]


def test_many_are_computed_as_one_is() -> None:
    dynamics = TrueDynamics(Pendulum())
    seen = np.asarray([[1.0, 0.0, 0.3]])
    one = jax.jit(dynamics.move)(jnp.asarray(seen[0], jnp.float32), jnp.zeros(1))
    np.testing.assert_allclose(dynamics.step(seen, np.zeros((1, 1)))[0], one, atol=1e-7)
    assert math.isfinite(float(one.sum()))
