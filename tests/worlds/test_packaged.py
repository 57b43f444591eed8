"""Other packages' pure worlds: true resets, ends told apart, options, resuming. What is not installed is skipped."""

import functools
import importlib.metadata
import importlib.util
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from journeyman.algorithms import reinforce
from journeyman.collect import Sample, play
from journeyman.parts import JourneymanError, fingerprint
from journeyman.policies import policy
from journeyman.training import Plan, improve
from journeyman.training._checkpoint import Checkpoints
from journeyman.training._recorder import Recorder
from journeyman.worlds import AbstractPureWorld, Box, Discrete, list_worlds, world, world_config, zeros_like_space
from journeyman.worlds._packaged import undisturbed

MODULES = {"gymnax": "gymnax", "brax": "brax", "playground": "mujoco_playground"}


def needs(package):
    """Skips where the package is not installed, saying so; found without importing it, for it warns when imported."""
    missing = importlib.util.find_spec(MODULES[package]) is None
    return pytest.mark.skipif(missing, reason=f"{package} is not installed")


def gymnax_names():
    if importlib.util.find_spec("gymnax") is None:
        return []
    return [name for name, _ in list_worlds("gymnax:") if "MNIST" not in name]  # which downloads its pictures


def forms(tree):
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)


@functools.cache
def cartpole_episodes():
    """Forty episodes of CartPole under a limit of 12 steps, by a random policy."""
    made = world("gymnax:CartPole-v1", num_envs=8, max_steps_in_episode=12)
    return play(made, Sample(policy(made, jax.random.key(0), hidden=())), episodes=40, seed=3, width=8)


# -- every world -------------------------------------------------------------------------------------------------


@needs("gymnax")
@pytest.mark.parametrize("name", gymnax_names())
def test_every_gymnax_world_shows_and_takes_what_its_spaces_say(name):
    """Traced, not run: the shapes and types of all parts, and a state that can be carried through a scan."""
    made = world(name, num_envs=2)
    key, action = jax.random.key(0), jnp.asarray(zeros_like_space(made.action_space))
    state = jax.eval_shape(made.reset, key)
    after, outcome = jax.eval_shape(made.step, state, action, key)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert forms(after) == forms(state)
    assert forms(outcome) == (((), np.float32), ((), np.bool_), ((), np.bool_))
    shown = jax.eval_shape(made.observe, state)
    assert forms(shown) == forms(jnp.asarray(zeros_like_space(made.observation_space)))
    assert isinstance(made.action_space, Discrete) or made.action_space.bounded


@needs("gymnax")
@pytest.mark.slow
@pytest.mark.parametrize("name", gymnax_names())
def test_no_gymnax_world_terminates_because_its_time_is_up(name):
    """The same state, early and long past gymnax's own limit, ends the same way under the same action and key."""
    made = world(name, num_envs=2)
    limit = made.horizon

    @jax.jit
    def ends(time, key):
        state = made.reset(key)
        inner, seen = state.simulator
        late = eqx.tree_at(lambda s: s.simulator, state, (inner.replace(time=time.astype(inner.time.dtype)), seen))
        return made.step(late, jnp.asarray(zeros_like_space(made.action_space)), key)[1].terminated

    for seed in range(4):
        key = jax.random.key(seed)
        assert bool(ends(jnp.asarray(limit + 7), key)) == bool(ends(jnp.asarray(1), key))


# -- ends --------------------------------------------------------------------------------------------------------


@needs("gymnax")
def test_cartpole_terminates_where_it_falls_and_is_cut_where_its_time_is_up():
    """Both flags against the recorded observations; the third assertion is the control: both happened."""
    e = cartpole_episodes()
    seen, valid = np.asarray(e.next), np.asarray(e.valid)
    fallen = (np.abs(seen[..., 0]) > 2.4) | (np.abs(seen[..., 2]) > 12 * 2 * np.pi / 360)
    np.testing.assert_array_equal(np.asarray(e.terminated)[valid], fallen[valid])
    np.testing.assert_array_equal(np.asarray(e.truncated)[valid], (~fallen & (np.asarray(e.elapsed) == 11))[valid])
    assert 0 < np.asarray(e.truncated).sum() < 40


@needs("gymnax")
def test_gymnax_itself_ends_both_alike():
    """The must-fail control: gymnax's own `step` gives a new episode's observation at the limit, in the same step."""
    made = world("gymnax:CartPole-v1", max_steps_in_episode=1)
    state = made.reset(jax.random.key(0))
    after, outcome = made.step(state, jnp.asarray(0), jax.random.key(1))
    assert bool(outcome.truncated)
    assert not bool(outcome.terminated)
    with undisturbed():
        seen, *_ = made.packaged.environment.step(jax.random.key(1), state.simulator[0], 0, made.parameters)
    assert (np.abs(np.asarray(seen)) <= 0.05).all(), "a start state of CartPole"
    assert (np.abs(np.asarray(made.observe(after))) > 0.05).any(), "the true last observation"


# -- true resets -------------------------------------------------------------------------------------------------


class OneStart(AbstractPureWorld):
    """CartPole whose every episode starts from the same kept state: what a caching wrapper makes of a world."""

    inner: AbstractPureWorld
    num_envs: int = 8
    seed: int = 0
    name: str = ""

    @property
    def horizon(self):
        return self.inner.horizon

    @property
    def observation_space(self):
        return self.inner.observation_space

    @property
    def action_space(self):
        return self.inner.action_space

    def reset(self, key):
        return self.inner.reset(jax.random.key(0))

    def step(self, state, action, key):
        return self.inner.step(state, action, key)

    def observe(self, state):
        return self.inner.observe(state)


@needs("gymnax")
def test_every_episode_starts_from_a_state_of_its_own_and_one_kept_state_is_seen_as_one():
    assert cartpole_episodes().distinct_starts() == 40
    kept = OneStart(world("gymnax:CartPole-v1", max_steps_in_episode=12))
    played = play(kept, Sample(policy(kept, jax.random.key(0), hidden=())), episodes=20, seed=3, width=8)
    assert played.distinct_starts() == 1


@needs("brax")
def test_brax_resets_truly():
    made = world("brax:inverted_pendulum", backend="spring")
    first = jax.jit(jax.vmap(lambda key: made.observe(made.reset(key))))(jax.random.split(jax.random.key(0), 8))
    assert len(np.unique(np.asarray(first), axis=0)) == 8


@needs("playground")
def test_playground_resets_truly_and_its_state_survives_a_checkpoint(tmp_path):
    made = world("playground:CartpoleBalance")
    state = jax.jit(jax.vmap(made.reset))(jax.random.split(jax.random.key(0), 8))
    first = jax.vmap(made.observe)(state)
    assert len(np.unique(np.asarray(first), axis=0)) == 8
    Checkpoints(tmp_path).save(1, state)
    again, _ = Checkpoints(tmp_path).restore(jax.tree.map(jnp.zeros_like, state))
    assert fingerprint(again) == fingerprint(state)
    assert jax.tree.structure(again) == jax.tree.structure(state)


# -- options -----------------------------------------------------------------------------------------------------


@needs("gymnax")
def test_options_go_to_the_parameters_or_to_the_constructor():
    light, heavy = (world("gymnax:Pendulum-v1", g=g) for g in (0.0, 10.0))
    state = light.reset(jax.random.key(0))
    pushed = [np.asarray(one.observe(one.step(state, jnp.zeros(1), jax.random.key(1))[0])) for one in (light, heavy)]
    assert pushed[0][2] == pytest.approx(float(light.observe(state)[2]))
    assert abs(pushed[1][2] - pushed[0][2]) > 1e-3
    sea = world("gymnax:DeepSea-bsuite", size=4)
    assert (sea.observation_space.shape, sea.horizon) == ((4, 4), 4)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("gymnax:CartPole-v2", {}, "gymnax has no world 'CartPole-v2'. Did you mean 'CartPole-v1'?"),
        ("gymnax:CartPole-v1", {"gravty": 1.0}, "no option 'gravty'. Did you mean 'gravity'?"),
        ("gymnax:CartPole-v1", {"gravity": "low"}, "'gravity' of 'CartPole-v1' is 'low', but it takes a number."),
        ("gymnax:CartPole-v1", {"gravity": float("nan")}, "is nan, but it takes a number."),
        ("gymnax:CartPole-v1", {"max_steps_in_episode": 0}, "an episode needs at least one step"),
        ("brax:ants", {}, "Brax has no world 'ants'. Did you mean 'ant'?"),
        ("brax:fast", {"episode_lenth": 1}, "no option 'episode_lenth'. Did you mean 'episode_length'?"),
        ("brax:ant", {"backend": "bullet"}, "Brax cannot make 'ant' with options"),
        ("playground:CartpoleBalanc", {}, "Playground has no world 'CartpoleBalanc'. Did you mean 'CartpoleBalance'?"),
        ("playground:CartpoleBalance", {"sim_td": 0.1}, "no option 'sim_td'. Did you mean 'sim_dt'?"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(name, options, said):
    module = MODULES[name.split(":")[0]]
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    with pytest.raises(JourneymanError) as caught:
        world(name, **options)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("package", MODULES)
def test_a_missing_package_is_told_with_the_line_that_installs_it(monkeypatch, package):
    root = MODULES[package]
    for name in {root, *(name for name in sys.modules if name.split(".")[0] == root)}:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(JourneymanError, match=rf'pip install "journeyman\[{package}\]"'):
        world(f"{package}:anything")


@needs("gymnax")
def test_a_gymnax_that_does_not_tell_ends_apart_is_refused(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.0.9")
    with pytest.raises(JourneymanError, match=r"gymnax 0\.0\.9 .* as if it had terminated"):
        world("gymnax:CartPole-v1")


NAMES = {
    "gymnax:Pendulum-v1": {"g": 9.0, "max_steps_in_episode": 20},
    "brax:fast": {"episode_length": 20},
    "playground:CartpoleBalance": {"episode_length": 20},
}


@pytest.mark.parametrize("name", NAMES)
def test_every_name_rebuilds_its_world(name):
    module = MODULES[name.split(":")[0]]
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    made = world(name, num_envs=2, seed=5, **NAMES[name])
    config = world_config(made)
    assert config == {"name": name, "num_envs": 2, "seed": 5, "options": NAMES[name]}
    again = world(config["name"], num_envs=config["num_envs"], seed=config["seed"], **config["options"])
    assert world_config(again) == config
    assert (again.horizon, made.remake(seed=1, num_envs=3).num_envs, made.remake(seed=1).seed) == (20, 3, 1)
    assert made.remake(seed=1).packaged is made.packaged, "the same program: nothing is compiled anew"
    assert (name, name.split(":")[0]) in list_worlds(name)


# -- derivatives -------------------------------------------------------------------------------------------------


@needs("gymnax")
def test_the_derivatives_that_are_declared_are_those_of_the_step():
    made = world("gymnax:Pendulum-v1")
    assert "differentiable dynamics" in made.provides()
    assert "differentiable dynamics" not in world("gymnax:CartPole-v1").provides()
    key, state = jax.random.key(1), made.reset(jax.random.key(0))
    after = lambda u: made.observe(made.step(state, u, key)[0])  # noqa: E731
    slope = jax.jacfwd(after)(jnp.zeros(1))[:, 0]
    differences = (after(jnp.full(1, 0.5)) - after(jnp.full(1, -0.5))) / 1.0
    assert float(slope[2]) == pytest.approx(3.0 * 0.05)  # 3 dt / (m l²)
    np.testing.assert_allclose(slope, differences, rtol=1e-3, atol=1e-5)


# -- Brax and Playground, without their physics ------------------------------------------------------------------


@needs("brax")
def test_the_time_limit_of_brax_is_a_truncation_and_its_state_survives_a_checkpoint(tmp_path):
    """`fast` does nothing but count, and starts from one state, which is seen."""
    made = world("brax:fast", episode_length=5, num_envs=2)
    played = play(made, Sample(policy(made, jax.random.key(0), hidden=())), episodes=4, seed=0, width=2)
    assert np.asarray(played.truncated).sum() == 4
    assert not np.asarray(played.terminated).any()
    assert (np.asarray(played.elapsed)[np.asarray(played.truncated)] == 4).all()
    assert played.distinct_starts() == 1
    state = jax.vmap(made.reset)(jax.random.split(jax.random.key(0), 2))
    Checkpoints(tmp_path).save(1, state)
    assert fingerprint(Checkpoints(tmp_path).restore(state)[0]) == fingerprint(state)


@needs("brax")
@pytest.mark.slow
@pytest.mark.parametrize("id", ["ant", "halfcheetah", "hopper", "humanoid", "pusher", "reacher", "swimmer", "walker2d"])
def test_brax_takes_actions_between_minus_one_and_one(id):
    """Where the environment does not stretch them itself, its actuators take just these."""
    environment = world(f"brax:{id}").packaged.environment
    if id not in ("humanoid", "pusher"):
        np.testing.assert_array_equal(environment.sys.actuator.ctrl_range, [[-1, 1]] * environment.action_size)


@needs("brax")
@pytest.mark.slow
def test_a_fallen_pole_terminates_in_brax():
    made = world("brax:inverted_pendulum", backend="spring", num_envs=8, episode_length=40)
    played = play(made, Sample(policy(made, jax.random.key(0), hidden=())), episodes=8, seed=0, width=8)
    valid = np.asarray(played.valid)
    fallen = np.abs(np.asarray(played.next)[..., 1]) > 0.2
    np.testing.assert_array_equal(np.asarray(played.terminated)[valid], fallen[valid])
    assert np.asarray(played.terminated).any()
    assert played.distinct_starts() == 8


@needs("playground")
def test_a_policy_sees_the_state_entry_and_everything_on_request():
    from ml_collections import config_dict

    state, suite = _counting_environment()
    suite.register_environment("Counting", state, lambda: config_dict.create(ctrl_dt=0.1, sim_dt=0.1, episode_length=3))
    made, whole = world("playground:Counting", num_envs=2), world("playground:Counting", privileged=True)
    assert (made.observation_space.shape, made.horizon) == ((2,), 3)
    assert {key: box.shape for key, box in whole.observation_space.items()} == {"state": (2,), "privileged_state": (5,)}
    assert isinstance(made.action_space, Box)
    np.testing.assert_array_equal(made.action_space.high, np.ones(4))
    flags = []
    now, advance = made.reset(jax.random.key(0)), jax.jit(made.step)
    for _ in range(3):
        now, outcome = advance(now, jnp.zeros(4), jax.random.key(0))
        flags.append((bool(outcome.terminated), bool(outcome.truncated)))
    assert flags == [(False, False), (False, False), (False, True)]
    assert made.observe(now).tolist() == [3.0, 3.0]


def _counting_environment():
    """A Playground environment with a dictionary of observations and no physics."""
    with undisturbed():
        from mujoco_playground import State, dm_control_suite

    def seen(count):
        return {"state": jnp.full(2, count), "privileged_state": jnp.full(5, count)}

    class Counting:
        action_size = 4

        def __init__(self, config, config_overrides):
            del config, config_overrides

        def reset(self, rng):
            zero = jnp.zeros(())
            return State(zero, seen(zero), zero, zero, {}, {"rng": rng})

        def step(self, state, action):
            del action
            return state.replace(data=state.data + 1, obs=seen(state.data + 1), reward=jnp.ones(()))

    return Counting, dm_control_suite


# -- resuming ----------------------------------------------------------------------------------------------------


class Stopped(Exception):
    """Ends a run from outside."""


@needs("gymnax")
def test_a_run_on_gymnax_stopped_and_resumed_ends_as_if_it_had_not_been(tmp_path):
    made = world("gymnax:CartPole-v1", num_envs=4)
    plan = Plan(steps=4 * 32, batch=32, checkpoint_every=2)

    def run(recorder):
        return improve(reinforce(), policy(made, jax.random.key(0), hidden=()), made, plan, record=recorder)

    def stop(row):
        if row["iteration"] == 3:
            raise Stopped

    whole = run(Recorder(tmp_path / "whole"))
    with pytest.raises(Stopped):
        run(Recorder(tmp_path / "stopped", listen=stop))
    assert Checkpoints(tmp_path / "stopped" / "checkpoints").latest() == 2
    assert fingerprint(run(Recorder(tmp_path / "stopped", resume=True)).policy) == fingerprint(whole.policy)
