"""What parts of somebody's own answer: of another kind or shape it is one sentence that names them."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

import journeyman as jm
from journeyman.algorithms import dagger
from journeyman.collect import AbstractQuery, Mean, play
from journeyman.experts import PolicyExpert
from journeyman.geometry import AbstractGeometry, Direction, Euclidean
from journeyman.objectives import AbstractObjective, WeightedLogLikelihood
from journeyman.parts import JourneymanError
from journeyman.training import AbstractStep, Adam, Learner
from journeyman.weights import AbstractScaling, AbstractWeight, Advantage, ConstantBaseline, NoBaseline, Weighed
from journeyman.worlds import LinearQuadratic

WORLD = LinearQuadratic(horizon=5, num_envs=2)
ACTOR = jm.policy(WORLD, jax.random.key(0), hidden=())
SHOWN = play(WORLD, Mean(ACTOR), episodes=2, seed=0)
PLAN = jm.Plan(steps=20, batch=10)


class OddWeight(AbstractWeight):
    answer: Callable[..., Any] = eqx.field(static=True)

    def __call__(self, state: Any, episodes: Any) -> Any:
        return self.answer(jnp.asarray(episodes.valid, float))


class OddScaling(AbstractScaling):
    def __call__(self, advantage: Any, valid: Any, returns: Any) -> Any:
        return advantage.sum()


class OddBaseline(ConstantBaseline):
    answer: Callable[..., Any] = eqx.field(static=True)

    def fit(self, state: Any, episodes: Any, target: Any, key: Any, regress: Any) -> Any:
        return self.answer(target)


class OddGeometry(AbstractGeometry):
    answer: Callable[..., Any] = eqx.field(static=True)

    def __call__(self, policy: Any, samples: Any, gradient: Any) -> Any:
        return self.answer(gradient)


class OddStep(AbstractStep):
    start: Any = eqx.field(static=True)
    answer: Callable[..., Any] = eqx.field(static=True)

    def init(self, trained: Any) -> Any:
        return jnp.zeros(()) if self.start is None else self.start

    def __call__(self, direction: Any, state: Any, trained: Any, trial: Any) -> Any:
        return self.answer(jax.tree.map(lambda d: -0.01 * d, direction.value), state)


class OddObjective(AbstractObjective):
    answer: Callable[..., Any] = eqx.field(static=True)

    def measure(self, policy: Any, samples: Any) -> Any:
        return self.answer(policy.log_prob(samples.observation, samples.target))


class OddQuery(AbstractQuery):
    answer: Callable[..., Any] = eqx.field(static=True)

    def __call__(self, episodes: Any, policy: Any, committee: Any, space: Any) -> Any:
        return self.answer(jnp.asarray(episodes.elapsed) % 2 == 0)


def _practised(weight: Any = None, geometry: Any = None, step: Any = None, size: int | None = None) -> None:
    weight = Advantage(baseline=NoBaseline()) if weight is None else weight
    parts = (WeightedLogLikelihood(), geometry or Euclidean(), step or Adam(1e-2))
    jm.improve(Learner(weight, *parts, batch_size=size), ACTOR, WORLD, PLAN)


def _direction(value: Any, metrics: Any = {}) -> Direction:  # noqa: B006
    return Direction(value, jnp.zeros(()), jnp.zeros(()), metrics)


ANSWERS: list[tuple[dict[str, Any], str]] = [
    (
        {"weight": lambda v: (v, v, {})},
        r"^OddWeight answers with \(float32\[2, 5\], float32\[2, 5\]\) where a Weig",
    ),
    ({"weight": lambda v: None}, r"^OddWeight answers with nothing where a Weighed is needed"),
    (
        {"weight": lambda v: Weighed(v.sum(), v, {})},
        r"gives its `weight` as float32\[\] where float32\[2, 5\] is needed",
    ),
    (
        {"weight": lambda v: Weighed(v, v[:, 1:], {})},
        r"gives its `target` as float32\[2, 4\] where float32\[2, 5\] is nee",
    ),
    (
        {"baseline": lambda t: jnp.zeros(3)},
        r"^Advantage \(with OddBaseline, .*new state as float32\[3\] where float",
    ),
    ({"baseline": lambda t: None}, r"^Advantage \(with OddBaseline, .*new state as nothing where float32\[\] is"),
    (
        {"baseline": lambda t: 0.0},
        r"the new state as 0\.0 where float32\[\] is needed; .* let what changes be an array",
    ),
    ({"geometry": lambda g: g}, r"^OddGeometry answers with \(float32\[1, 1\], .*\) where a Direction is needed"),
    (
        {"geometry": lambda g: g, "size": 4},
        r"^OddGeometry answers with \(float32\[1, 1\], .*\) where a Direction",
    ),
    (
        {"geometry": lambda g: _direction(jnp.zeros(3))},
        r"gives its `value` as float32\[3\] where \(float32\[1, 1\], flo",
    ),
    ({"step": lambda u, s: (u, s)}, r"^OddStep answers with .* where an update, a state and metrics are needed"),
    (
        {"step": lambda u, s: (u, jnp.zeros(3), {})},
        r"OddStep gives the new state as float32\[3\] where float32\[\]",
    ),
    ({"step": lambda u, s: (u, jnp.zeros(3), {}), "size": 4}, r"^OddStep gives the new state as float32\[3\]"),
    (
        {"step": lambda u, s: (u, s + 1, {}), "start": 0},
        r"the new state as 1 where 0 is needed; .* changes be an array",
    ),
    (
        {"step": lambda u, s: (jnp.zeros(3), s, {})},
        r"^OddStep gives the update as float32\[3\] where \(float32\[",
    ),
    ({"weight": lambda v: Weighed(v, v, None)}, r"^OddWeight gives the metrics None, and numbers by their names are"),
    (
        {"weight": lambda v: Weighed(v, v, {"spread": "wide"})},
        r"^OddWeight gives the metrics \{'spread': 'wide'\}, and",
    ),
    ({"geometry": lambda g: _direction(g, None)}, r"^OddGeometry gives the metrics None, and numbers"),
    (
        {"geometry": lambda g: _direction(g, {"loss": jnp.zeros(())})},
        r"^OddGeometry logs 'loss', which the learner its",
    ),
    (
        {"step": lambda u, s: (u, s, [0.0])},
        r"^OddStep gives the metrics \[0\.0\], and numbers by their names are needed",
    ),
]


@pytest.mark.usefixtures("unannotated")
@pytest.mark.parametrize(("given", "says"), ANSWERS)
def test_another_answer_is_a_sentence_that_names_the_part(given: dict[str, Any], says: str) -> None:
    parts: dict[str, Any] = {"size": given.get("size")}
    if "weight" in given:
        parts["weight"] = OddWeight(given["weight"])
    if "baseline" in given:
        parts["weight"] = Advantage(baseline=OddBaseline(given["baseline"]))
    if "geometry" in given:
        parts["geometry"] = OddGeometry(given["geometry"])
    if "step" in given:
        parts["step"] = OddStep(given.get("start"), given["step"])
    with pytest.raises(JourneymanError, match=says):
        _practised(**parts)


@pytest.mark.usefixtures("unannotated")
@pytest.mark.parametrize("size", [None, 4])
@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda p: p.mean(), r"`measure` of OddObjective gives float32\[\] where a loss and a dict are needed"),
        (lambda p: (p.mean(), None), r"`measure` of OddObjective gives .* where a loss and a dict are needed"),
        (
            lambda p: (p, {}),
            r"`measure` of OddObjective gives float32\[\d+\] where float32\[\] is needed.* take the mean",
        ),
        (lambda p: (0.0, {}), r"`measure` of OddObjective gives 0\.0 where float32\[\] is needed"),
        (
            lambda p: (p.mean(), {"spread": p}),
            r"OddObjective logs 'spread' as float32\[\d+\] where one number is needed",
        ),
        (
            lambda p: (p.mean(), {"gradient_norm": p.mean()}),
            r"^OddObjective logs 'gradient_norm', which the learner it",
        ),
    ],
)
def test_an_objective_answers_with_one_number(answer: Callable[..., Any], says: str, size: int | None) -> None:
    learner = Learner(Advantage(baseline=NoBaseline()), OddObjective(answer), Euclidean(), Adam(1e-2), batch_size=size)
    with pytest.raises(JourneymanError, match=says):
        jm.improve(learner, ACTOR, WORLD, PLAN)


@pytest.mark.usefixtures("unannotated")
@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (
            lambda asked: asked,
            r"of OddQuery gives bool\[2, 5\] where float32\[2, 5\] is needed; write jnp\.where\(asked",
        ),
        (lambda asked: 0.0, r"of OddQuery gives 0\.0 where"),
        (lambda asked: asked.sum(), r"of OddQuery gives int32\[\] where"),
    ],
)
def test_a_query_that_gives_a_mask_does_not_ask_for_all_labels(answer: Callable[..., Any], says: str) -> None:
    learner = dagger(PolicyExpert(ACTOR), query=OddQuery(answer), epochs=1)
    with pytest.raises(JourneymanError, match=says):
        jm.improve(learner, ACTOR, WORLD, PLAN, demonstrations=SHOWN)


@pytest.mark.usefixtures("unannotated")
def test_a_scaling_that_gives_one_number_for_all_steps_does_not_pass_for_one() -> None:
    with pytest.raises(JourneymanError, match=r"^The scaling OddScaling gives weights of shape \(\) where \(2, 5\)"):
        _practised(Advantage(baseline=NoBaseline(), scaling=OddScaling()))


@pytest.mark.usefixtures("unannotated")
def test_weights_in_whole_numbers_and_yes_and_no_are_numbers_in_minibatches_too() -> None:
    def learned(answer: Callable[..., Any]) -> Any:
        parts = (WeightedLogLikelihood(), Euclidean(), Adam(1e-2))
        return jm.fit(Learner(OddWeight(answer), *parts, batch_size=4), ACTOR, SHOWN).policy

    real = learned(lambda v: Weighed(v, v, {}))
    for kind in (int, bool):
        assert eqx.tree_equal(learned(lambda v, k=kind: Weighed(v.astype(k), v.astype(k), {})), real)
