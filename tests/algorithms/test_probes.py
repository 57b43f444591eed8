"""Each recipe learns the five probe worlds, value and action, and a planted mistake loses the probe made for it."""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from journeyman.algorithms import natural_gradient, reinforce
from journeyman.episodes import Episodes
from journeyman.policies import policy
from journeyman.training import Learner, Plan, Recorder
from journeyman.training._loop import Loop
from journeyman.weights import AbstractWeight, Advantage, ConstantBaseline, NetworkBaseline
from journeyman.worlds import PROBES, AbstractTabular, ActionReward, DelayedReward, MatchingReward

DISCOUNT = 0.9
BASELINE = NetworkBaseline(hidden=(), epochs=5, batch_size=512, learning_rate=0.05)
RECIPES = {
    "reinforce": reinforce(0.2, discount=DISCOUNT, baseline=BASELINE),
    "natural_gradient": natural_gradient(0.01, discount=DISCOUNT, baseline=BASELINE, damping=0.1),
}
STATES = np.arange(4, dtype=np.int32)


def practise(learner: Learner, world: AbstractTabular, iterations: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """V(s) of the learner's baseline `(4,)` and π(a | s) `(4, 2)`, after batches of 64 × 8 steps."""
    # The loop of `improve`, for what `improve` does not give back: the baseline.
    plan, one = Plan(steps=iterations * 512, batch=512, seed=2), policy(world, jax.random.key(0), hidden=())
    loop = Loop(learner, world, plan, Recorder())
    state = loop.run(loop.begin([one])).running.learner
    seen = Episodes.episode(STATES, np.zeros(len(STATES) - 1, np.int32))
    value = learner.weight.baseline.value(state.weight, seen, jnp.zeros(len(STATES) - 1))  # type: ignore[attr-defined]
    return np.asarray(value), np.asarray(jax.nn.softmax(state.policy.parameters(STATES)))


@functools.cache
def practised(name: str, probe: Any) -> tuple[np.ndarray, np.ndarray]:
    return practise(RECIPES[name], probe())


def faults(probe: Any, value: np.ndarray, chosen: np.ndarray) -> list[str]:
    """What is wrong: a value more than .15 off, or a right action less likely than .9."""
    answer = probe().answer(DISCOUNT)
    found = [
        f"V({s}) = {value[s]:.3f}, not {right:.3f}"
        for s, right in enumerate(answer.value)
        if abs(value[s] - right) > 0.15
    ]
    return found + [
        f"π({a} | {s}) = {chosen[s, a]:.3f}" for s, a in enumerate(answer.action) if a >= 0 and not chosen[s, a] > 0.9
    ]


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.__name__)
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_learns_every_probe(name: str, probe: Any) -> None:
    assert not faults(probe, *practised(name, probe))


class _Planted(AbstractWeight):
    """`reinforce`'s advantage with one mistake."""

    inner: Advantage
    mistake: str = eqx.field(static=True)

    @property
    def baseline(self) -> Any:
        return self.inner.baseline

    @property
    def learns(self) -> bool:
        return True

    def init(self, encoder: Any, key: Any) -> Any:
        return self.inner.init(encoder, key)

    def fit(self, state: Any, *arguments: Any) -> Any:
        return self.inner.fit(state, *arguments)

    def __call__(self, state: Any, episodes: Any) -> Any:
        if self.mistake == "an end is taken for a cut":
            ends = (episodes.truncated, episodes.terminated)
            episodes = eqx.tree_at(lambda e: (e.terminated, e.truncated), episodes, ends)
        weighed = self.inner(state, episodes)
        if self.mistake == "only the immediate reward":
            return weighed._replace(weight=episodes.reward - episodes.reward.mean())
        if self.mistake == "another environment's advantage":
            return weighed._replace(weight=jnp.roll(weighed.weight, 1, axis=0))
        return weighed


def planted(mistake: str) -> Learner:
    right = RECIPES["reinforce"]
    return eqx.tree_at(lambda learner: learner.weight, right, _Planted(right.weight, mistake))  # type: ignore[arg-type]


def test_the_constant_probe_is_lost_when_an_end_is_taken_for_a_cut() -> None:
    value, _ = practise(planted("an end is taken for a cut"), PROBES[0]())
    assert value[0] > 1.3  # on its way to 1/(1−γ) = 10


def test_the_observation_probe_is_lost_to_a_baseline_that_does_not_see() -> None:
    value, chosen = practise(reinforce(0.1, discount=DISCOUNT, baseline=ConstantBaseline()), PROBES[1]())
    assert [fault[:4] for fault in faults(PROBES[1], value, chosen)] == ["V(0)", "V(2)"]


def test_the_delayed_probe_is_lost_to_the_immediate_reward_and_to_another_discount() -> None:
    _, chosen = practise(planted("only the immediate reward"), DelayedReward())
    assert chosen[0, 1] < 0.1
    _, chosen = practise(reinforce(0.2, discount=0.6, baseline=BASELINE), DelayedReward())
    assert chosen[0, 0] > 0.9  # .6² < .5: to take what there is is right
    assert DelayedReward().answer(0.6).action[0] == 0


def test_the_action_probe_is_lost_when_advantages_go_to_other_environments() -> None:
    _, chosen = practise(planted("another environment's advantage"), ActionReward())
    assert faults(ActionReward, np.ones(4), chosen)


class _Blind(AbstractTabular):
    """The matching probe, seen through a curtain."""

    horizon: int | None = None
    num_envs: int = 64
    seed: int = 0

    def tables(self) -> Any:
        return MatchingReward().tables()

    def observe(self, state: Any) -> Any:
        return jnp.zeros_like(state.place)


def test_the_matching_probe_is_lost_to_a_policy_that_does_not_see() -> None:
    _, chosen = practise(RECIPES["reinforce"], _Blind())
    blind = np.broadcast_to(chosen[0], (4, 2))
    assert MatchingReward().expected_return(blind / blind.sum(-1, keepdims=True)) < 0.5  # the best constant gets 1/3
    assert MatchingReward().expected_return(practised("reinforce", MatchingReward)[1]) > 0.8
