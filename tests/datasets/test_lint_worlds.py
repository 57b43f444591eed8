"""What a world says about a recording: rows that stand off by one, ends that are none, tasks that are not solved."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from journeyman import datasets
from journeyman.corrections import thin
from journeyman.datasets._alignment import _tail, judge
from journeyman.parts import JourneymanError
from journeyman.worlds import AbstractWorld, LinearQuadratic, Pendulum, Successors, replay, successors, timed, world

Content = dict[str, np.ndarray]


def linted(folder: Path, content: Content, made: AbstractWorld) -> datasets.Lint:
    np.savez(folder / "demos.npz", **content)  # type: ignore[arg-type]
    return datasets.lint(folder / "demos.npz", world=made)


def told(found: datasets.Lint, check: str) -> list[tuple[bool, str]]:
    return [(remark.problem, remark.sentence) for remark in found.remarks if remark.check == check]


def flat(observations: list[np.ndarray], actions: list[np.ndarray], rewards: list[np.ndarray], **more) -> Content:
    ends = np.cumsum([len(action) for action in actions])
    arrays = {"observation": observations, "action": actions, "reward": rewards}
    return {name: np.concatenate(parts).astype(np.float32) for name, parts in arrays.items()} | {
        "episode_end": ends,
        **more,
    }


def shifted(content: Content, by: int) -> Content:
    """Actions moved by `by` rows inside each episode; what falls out at one end comes in at the other."""
    parts = np.split(content["action"], content["episode_end"][:-1])
    return {**content, "action": np.concatenate([np.roll(part, by, axis=0) for part in parts])}


def played(made: AbstractWorld, policy: Callable, episodes: int, steps: int) -> Content:
    """Episodes of a pure world under `policy(observation, random)`."""
    random = np.random.default_rng(0)
    seen, chosen, paid = [], [], []
    step, observe = jax.jit(made.step), jax.jit(made.observe)
    for key in jax.random.split(jax.random.key(0), episodes):
        state = made.reset(key)
        row, actions, rewards = [np.asarray(observe(state))], [], []
        for each in jax.random.split(key, steps):
            actions.append(np.float32(policy(row[-1], random)))
            state, outcome = step(state, jnp.asarray(actions[-1]), each)
            row.append(np.asarray(observe(state)))
            rewards.append(float(outcome.reward))
        seen.append(np.stack(row))
        chosen.append(np.stack(actions))
        paid.append(np.asarray(rewards))
    return flat(seen, chosen, paid)


@pytest.fixture(scope="module")
def pendulum() -> tuple[AbstractWorld, Content]:
    made = Pendulum()
    return made, played(made, lambda seen, random: random.uniform(-2, 2, 1), 6, 40)


@pytest.fixture(scope="module")
def hopper() -> tuple[AbstractWorld, Content]:
    """Short falls of Hopper-v5, whose observation leaves out where it is."""
    gymnasium = pytest.importorskip("gymnasium", reason="needs gymnasium to record with")
    pytest.importorskip("mujoco", reason="needs mujoco to record with")
    env, random = gymnasium.make("Hopper-v5"), np.random.default_rng(0)
    seen, chosen, paid, ended = [], [], [], []
    for seed in range(12):
        observation, _ = env.reset(seed=seed)
        row, actions, rewards, terminated = [observation], [], [], False
        while not terminated:
            actions.append(random.uniform(-1, 1, 3).astype(np.float32))
            observation, reward, terminated, *_ = env.step(actions[-1])
            row.append(observation)
            rewards.append(reward)
        seen.append(np.stack(row))
        chosen.append(np.stack(actions))
        paid.append(np.asarray(rewards))
        ended.append(np.arange(len(rewards)) == len(rewards) - 1)
    env.close()
    return world("gymnasium:Hopper-v5", num_envs=1), flat(seen, chosen, paid, terminated=np.concatenate(ended))


# -- off by one -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["pendulum", "hopper"])
def test_actions_in_their_rows_and_one_off(tmp_path: Path, name: str, request: pytest.FixtureRequest) -> None:
    made, content = request.getfixturevalue(name)
    right = linted(tmp_path, content, made)
    assert told(right, "off by one") == []
    assert right.measured["off by one"]["verdict"] == "aligned"
    assert right.measured["off by one"]["median_error"]["0"] < 1e-3
    for by, word, other in ((1, "late", "after"), (-1, "early", "before")):
        found = linted(tmp_path, shifted(content, by), made)
        ((problem, sentence),) = told(found, "off by one")
        assert problem
        assert f"Actions stand one row too {word}" in sentence
        assert f"with the action of the row {other} it" in sentence
        assert found.measured["off by one"]["shift"] == by


def test_one_number_a_step_is_an_action_of_a_box_of_one(
    tmp_path: Path, pendulum: tuple[AbstractWorld, Content]
) -> None:
    world, content = pendulum
    assert content["action"].shape[1:] == (1,)
    bare = {**content, "action": content["action"][:, 0]}
    wide, narrow = (linted(tmp_path, one, world).measured["off by one"] for one in (content, bare))
    assert wide == narrow
    assert wide["verdict"] == "aligned"


def test_a_linear_world_with_noise_is_judged_by_its_mean(tmp_path: Path) -> None:
    made = LinearQuadratic(horizon=40, noise=0.05)
    content = played(made, lambda seen, random: -0.5 * seen[:1] + random.normal(0, 0.5, 1), 6, 40)
    assert linted(tmp_path, content, made).measured["off by one"]["verdict"] == "aligned"
    assert linted(tmp_path, shifted(content, 1), made).measured["off by one"]["shift"] == 1


def test_actions_that_do_not_change_and_other_worlds_are_not_judged(
    tmp_path: Path, pendulum: tuple[AbstractWorld, Content]
) -> None:
    made, content = pendulum
    still = played(made, lambda seen, random: np.full(1, 0.5), 6, 40)
    ((problem, sentence),) = told(linted(tmp_path, still, made), "off by one")
    assert not problem
    assert "the action of the row before and that of the row after it fits about as well as its own" in sentence
    random = np.random.default_rng(1)
    invented = {**content, "observation": random.normal(size=content["observation"].shape).astype(np.float32)}
    angle = random.uniform(-np.pi, np.pi, len(invented["observation"]))
    invented["observation"][:, 0], invented["observation"][:, 1] = np.cos(angle), np.sin(angle)
    ((problem, sentence),) = told(linted(tmp_path, invented, made), "off by one")
    assert not problem
    assert "another world (or version), or the observation hides too much" in sentence


def test_chance_hardly_ever_shifts_rows() -> None:
    """Errors without any order among shifts: no verdict of a shift in 2000 draws."""
    random = np.random.default_rng(0)
    draws = random.exponential(size=(2000, 3, 200))
    verdicts = [judge(dict(zip((-1, 0, 1), errors, strict=True))).verdict for errors in draws]
    assert verdicts.count("shifted") == 0


def test_the_sign_test_is_exact() -> None:
    assert _tail(0, 9) == 1
    assert _tail(9, 9) == 2**-9
    assert _tail(7, 10) == pytest.approx((math.comb(10, 7) + math.comb(10, 8) + 10 + 1) / 1024, rel=1e-15)
    assert _tail(0, 0) == 1


def test_a_world_that_cannot_be_put_into_a_state_is_told(tmp_path: Path) -> None:
    pytest.importorskip("gymnasium", reason="needs gymnasium")
    made = world("gymnasium:CartPole-v1", num_envs=1)
    random = np.random.default_rng(0)
    content = flat([random.normal(size=(9, 4)) * 0.01], [np.arange(8) % 2], [np.ones(8)])
    ((problem, sentence),) = told(linted(tmp_path, content, made), "off by one")
    assert not problem
    assert "cannot be put into a given state" in sentence


# -- successors -------------------------------------------------------------------------------------------


def test_successors_of_a_pure_world_are_its_steps(pendulum: tuple[AbstractWorld, Content]) -> None:
    made, content = pendulum
    seen, action = content["observation"][:40], content["action"][:40]
    found = successors(made, seen, action)
    np.testing.assert_allclose(found.shown, seen, atol=1e-5)
    np.testing.assert_allclose(found.observation, content["observation"][1:41], atol=1e-4)
    assert not found.terminated.any()


def test_successors_of_a_walker_do_not_need_to_know_where_it_is(hopper: tuple[AbstractWorld, Content]) -> None:
    made, content = hopper
    last = content["episode_end"] - 1
    at = last + np.arange(len(last))  # each episode has one observation more
    found = successors(made, content["observation"][at], content["action"][last])
    assert isinstance(found, Successors)
    free = (np.abs(content["observation"][at]) < 10).all(axis=1)  # velocities are clipped to 10
    assert free.sum() >= 6
    np.testing.assert_allclose(found.shown[free], content["observation"][at][free], atol=1e-5)
    np.testing.assert_allclose(found.observation[free], content["observation"][at + 1][free], atol=1e-3)
    assert found.terminated[free].all()


def test_a_world_whose_observation_is_not_its_state_is_refused() -> None:
    pytest.importorskip("mujoco", reason="needs mujoco")
    made = world("gymnasium:Reacher-v5", num_envs=1)
    with pytest.raises(JourneymanError, match="an observation alone often leaves some out"):
        successors(made, np.zeros((2, 10)), np.zeros((2, 2)))


# -- ends -------------------------------------------------------------------------------------------------


def test_ends_that_are_none(tmp_path: Path, hopper: tuple[AbstractWorld, Content]) -> None:
    made, content = hopper
    real = linted(tmp_path, content, made)
    assert told(real, "cut as termination") == []
    assert real.measured["cut as termination"]["agreed"] == real.measured["cut as termination"]["asked"] >= 6
    parts, seen, start_row = [], [], 0
    for episode, stop in enumerate(content["episode_end"]):
        keep = np.arange(start_row, stop - 4)  # stopped four steps before the fall, and called a fall
        parts.append(keep)
        seen.append(np.arange(start_row + episode, stop - 4 + episode + 1))
        start_row = stop
    cut = {name: content[name][np.concatenate(parts)] for name in ("action", "reward")}
    cut["observation"] = content["observation"][np.concatenate(seen)]
    cut["terminated"] = np.isin(np.arange(len(cut["action"])), np.cumsum([len(part) for part in parts]) - 1)
    ((problem, sentence),) = told(linted(tmp_path, cut, made), "cut as termination")
    assert problem
    assert "'gymnasium:Hopper-v5' itself ends in 0: the others were cut" in sentence


def test_the_time_limit_of_the_world_and_a_world_that_ends_with_it(
    tmp_path: Path, pendulum: tuple[AbstractWorld, Content]
) -> None:
    _, content = pendulum
    last = np.isin(np.arange(len(content["action"])), content["episode_end"] - 1)
    wrong = {**content, "terminated": last}
    ((problem, sentence),) = told(linted(tmp_path, wrong, Pendulum(horizon=40)), "time limit as termination")
    assert problem
    assert "6 of 6 terminated episodes end at the time limit of the world, 40 steps" in sentence
    assert (
        told(linted(tmp_path, {**content, "truncated": last}, Pendulum(horizon=40)), "time limit as termination") == []
    )
    assert told(linted(tmp_path, wrong, timed(Pendulum(horizon=40))), "time limit as termination") == []


# -- solved -----------------------------------------------------------------------------------------------


def test_demonstrations_below_the_return_from_which_the_world_counts_as_solved(
    tmp_path: Path, hopper: tuple[AbstractWorld, Content]
) -> None:
    made, content = hopper
    ((problem, sentence),) = told(linted(tmp_path, content, made), "not solved")
    assert problem
    assert "Gymnasium counts 'gymnasium:Hopper-v5' as solved from 3800 on, which 0 of 12 reach" in sentence
    rich = {**content, "reward": content["reward"] + 1000}
    assert told(linted(tmp_path, rich, made), "not solved") == []


@pytest.fixture(scope="module")
def pushed() -> tuple[AbstractWorld, Content]:
    """The block already lies on its goal, or far from it: the first succeeds with its first step, the second never."""
    pytest.importorskip("gym_pusht", reason="needs gym_pusht to replay in")
    made = world("gymnasium:gym_pusht/PushT-v0", num_envs=1)
    seen, chosen = [], []
    for block in ((256, 256, math.pi / 4), (100, 400, 0.0)):
        begin = np.asarray([60, 60, *block], float)
        actions = np.linspace([60, 60], [90, 70], 12)
        seen.append(np.asarray(replay(made, begin, actions).observation))
        chosen.append(actions)
    return made, flat(seen, chosen, [np.zeros(12), np.zeros(12)])


def test_demonstrations_that_do_not_succeed_by_the_word_of_the_world(
    tmp_path: Path, pushed: tuple[AbstractWorld, Content]
) -> None:
    made, content = pushed
    found = linted(tmp_path, content, made)
    assert found.measured["not solved"] == {"replayed": 2, "succeeded": 1}
    ((problem, sentence),) = told(found, "not solved")
    assert problem
    assert "1 of 2 replayed demonstrations do not solve the task by the rule of" in sentence
    good = {name: value[: 13 if name == "observation" else 12] for name, value in content.items()}
    assert told(linted(tmp_path, {**good, "episode_end": np.asarray([12])}, made), "not solved") == []


def test_which_demonstrations_succeed_by_the_word_of_the_world(
    tmp_path: Path, pushed: tuple[AbstractWorld, Content]
) -> None:
    made, content = pushed
    np.savez(tmp_path / "pushed.npz", **content)
    data = datasets.read(tmp_path / "pushed.npz")
    assert datasets.demonstration_success(data, made).tolist() == [True, False]
    # Recordings that no replay follows: nobody has said that they succeed.
    moved = dataclasses.replace(data.episodes, observation=data.episodes.observation + np.linspace(0, 300, 13)[:, None])
    assert datasets.demonstration_success(moved, made) is None
    assert datasets.demonstration_success(data, Pendulum(horizon=12)) is None
    assert datasets.demonstration_success(thin(data.episodes, steps_per_episode=3), made) is None


def test_a_world_that_says_nothing_of_success_is_not_asked(pendulum: tuple[AbstractWorld, Content]) -> None:
    gymnasium = pytest.importorskip("gymnasium", reason="needs gymnasium")
    pytest.importorskip("mujoco", reason="needs mujoco")
    del gymnasium, pendulum
    found = replay(world("gymnasium:InvertedPendulum-v5", num_envs=1), np.zeros(4), np.zeros((3, 1)))
    assert not found.judged


# -- real data --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "threshold"), [("hopper", 3800), ("halfcheetah", 4800)])
def test_the_published_experts(shared_data: Path, name: str, threshold: float) -> None:
    pytest.importorskip("mujoco", reason="needs mujoco")
    made = world({"hopper": "gymnasium:Hopper-v5", "halfcheetah": "gymnasium:HalfCheetah-v5"}[name], num_envs=1)
    found = datasets.lint(shared_data / "mujoco_experts" / f"{name}_demos.npz", world=made)
    assert found.measured["off by one"]["verdict"] == "aligned"
    assert found.measured["not solved"]["threshold"] == threshold
    assert [remark.check for remark in found.remarks if remark.problem] == ["not solved"]


def test_human_push_t_has_nothing_wrong_without_its_world(shared_data: Path) -> None:
    found = datasets.lint(shared_data / "pusht_human" / "demos.npz")
    assert found.problems == []
    assert told(found, "angle that wraps")[0][1].startswith("Observation column 4 looks like an angle")
    assert int(found.lengths.sum()) == 19135
