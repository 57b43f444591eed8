"""The diagnosis of gradient estimators: variances are those of the closed forms, and it says what it cannot tell."""

import functools
import json
import math
from types import SimpleNamespace
from typing import Any

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, PyTree

from journeyman.diagnose import GradientQuality, Interval, gradient, standard_estimators
from journeyman.diagnose._gradient_wording import bias_note
from journeyman.diagnose._resampled import Moments
from journeyman.diagnose._trajectories import gradients, trajectories, trajectory_gradients, without_horizon
from journeyman.episodes import Episodes
from journeyman.parts import JourneymanError
from journeyman.policies import Encoder, policy
from journeyman.verify import chain_policy, linear_policy
from journeyman.weights import (
    AbstractBaseline,
    AbstractWeight,
    Advantage,
    ConstantBaseline,
    LeaveOneOutBaseline,
    Return,
    RewardToGo,
    Standardized,
    Uniform,
    Unscaled,
    Weighed,
)
from journeyman.worlds import GeometricChain, LinearQuadratic

CHAIN, STAY = GeometricChain(), 0.5


def minus(baseline: AbstractBaseline, lambda_: float = 1.0) -> Advantage:
    return Advantage(1.0, lambda_, baseline, Unscaled())


class _Scaled(AbstractWeight):
    """A reward-to-go times a number: an estimator that is wrong on purpose."""

    factor: float = eqx.field(static=True)

    def __call__(self, state: PyTree, episodes: Episodes) -> Weighed:
        found = RewardToGo(1.0)((), episodes)
        return Weighed(self.factor * found.weight, found.target, {})


# -- the geometric chain: 192, 88, 48 -------------------------------------------------------------------

ROWS = {
    "full return": Return(1.0),
    "reward-to-go": RewardToGo(1.0),
    "reward-to-go minus value": minus(ConstantBaseline()),
    "four fifths": _Scaled(0.8),
}


@functools.cache
def chain() -> GradientQuality:
    states = {"reward-to-go minus value": jnp.asarray(STAY / (1 - STAY))}
    return gradient(chain_policy(STAY), CHAIN, ROWS, episodes=12_000, states=states, seed=1, chunk=2000)


def per_stay(variance: Interval) -> Interval:
    """From the trace over the four leaves (two logits, each as a weight and as a bias, all of them ±s) to dθ."""
    factor = 1 / (4 * (STAY * (1 - STAY)) ** 2)
    return Interval(factor * variance.mean, factor * variance.low, factor * variance.high, variance.n)


def covers(found: Interval, truth: float) -> bool:
    """Within 2.5 times the reach of the 95 % interval, which is about 5 standard errors."""
    below, above = 2.5 * (found.mean - found.low), 2.5 * (found.high - found.mean)
    return found.mean - below < truth < found.mean + above


@pytest.mark.parametrize("name", list(ROWS)[:3])
def test_the_variances_of_the_geometric_chain(name: str) -> None:
    found = per_stay(chain().estimators[name].variance)
    assert covers(found, CHAIN.variance(STAY, name))
    for other in list(ROWS)[:3]:
        variance = CHAIN.variance(STAY, other)
        assert other == name or not found.low < variance < found.high, "the 95 % interval tells them apart"


def test_the_causes_of_the_geometric_chain() -> None:
    found = chain()
    assert found.roles == {"full": "full return", "to go": "reward-to-go", "centred": "reward-to-go minus value"}
    coupling, scale, remaining = (per_stay(x) for x in (found.coupling, found.scale, found.remaining))  # type: ignore[arg-type]
    assert covers(coupling, 192 - 88)
    assert covers(scale, 88 - 48)
    assert covers(remaining, 48)
    whole = per_stay(found.estimators["full return"].variance).mean
    assert coupling.mean + scale.mean + remaining.mean == pytest.approx(whole, rel=1e-9)
    # Paired: the difference is known better than the two variances that it is the difference of.
    both = [per_stay(found.estimators[name].variance) for name in ("full return", "reward-to-go")]
    assert coupling.high - coupling.low < sum(one.high - one.low for one in both)


def test_the_batch_for_a_ratio_is_that_of_the_closed_form() -> None:
    found = chain()
    for name in list(ROWS)[:3]:
        batch = CHAIN.variance(STAY, name) / CHAIN.gradient(STAY) ** 2
        assert covers(found.estimators[name].batch, batch)
        assert covers(found.estimators[name].ratio, 1 / math.sqrt(batch))
    once, twice = (
        gradient(chain_policy(STAY), CHAIN, {"to go": RewardToGo(1.0, True)}, episodes=500, ratio=ratio).estimators
        for ratio in (1.0, 2.0)
    )
    assert twice["to go"].batch.mean == pytest.approx(4 * once["to go"].batch.mean)
    assert "reward-to-go minus value" in found.finding.split(";")[0], "the one that needs fewest comes first"


def test_a_bias_is_found_and_its_absence_too() -> None:
    found = chain().estimators
    assert found["reward-to-go"].bias is None
    assert found["reward-to-go"].biased is None
    for name in ("full return", "reward-to-go minus value"):
        assert not found[name].biased
        assert covers(found[name].along, 0.0)  # type: ignore[arg-type]
    wrong = found["four fifths"]
    assert wrong.biased
    assert wrong.along is not None
    assert wrong.bias is not None
    assert wrong.along.mean == pytest.approx(-0.2, abs=1e-3), "it is exactly a fifth short, whatever was drawn"
    assert wrong.bias.mean == pytest.approx(0.2, abs=1e-3)
    assert any(
        "'four fifths' is biased against 'reward-to-go'" in note and "−20 % along" in note for note in chain().notes
    )


def test_a_few_lucky_trajectories_carry_the_variance() -> None:
    # The chain's gradients have a heavy tail: a return of l has probability 2^−(l+1) and weighs like l⁴.
    one = chain().estimators["full return"]
    assert one.lucky.mean > 0.5
    assert one.effective.mean < 0.1
    # One Gaussian step under w = 1: the score of the mean is normal, so its square's top 5 % carry
    # .05 + 2 · 1.96 φ(1.96) = .279 of it, and 1/E[z⁴] = 1/3 of the sample counts.
    world = LinearQuadratic(start=0.0, horizon=1)
    plain = linear_policy(world, 0.0, 0.5)
    held = eqx.tree_at(lambda p: p.head.log_std, plain, jnp.full(1, 100.0))  # at the ceiling: no slope in σ
    found = gradient(held, world, {"uniform": Uniform()}, episodes=4000, chunk=4000).estimators["uniform"]
    assert covers(found.lucky, 0.279)
    assert covers(found.effective, 1 / 3)


def test_where_there_is_no_gradient_it_cannot_tell() -> None:
    # E Σ ∇log π = 0: the truth is 0, and |ḡ|² alone would call the noise a signal.
    found = gradient(chain_policy(STAY), CHAIN, {"uniform": Uniform()}, episodes=2000, seed=3, chunk=2000)
    one = found.estimators["uniform"]
    assert covers(one.signal, 0.0)
    assert one.batch.high == math.inf
    squared = float(np.square(jax.flatten_util.ravel_pytree(one.gradient)[0]).sum())
    assert squared > one.signal.mean, "what the correction takes away"
    if one.signal.mean <= 0:
        assert "Cannot tell" in found.finding


# -- the scalar linear-quadratic world: 6244, 3043, 701, 443 --------------------------------------------

GAIN, STD, HORIZON = -0.3, 0.3, 20


class _Known(AbstractBaseline):
    """b = −(p_t x² + c_t): `state` is `(time+1, 2)`."""

    def init(self, encoder: Encoder, key: Array) -> PyTree:
        return None

    def value(self, state: PyTree, episodes: Episodes, returns: Array) -> Array:
        square = jnp.square(jnp.asarray(episodes.observation)[..., 0])
        return -(jnp.broadcast_to(state[:, 0], square.shape) * square + jnp.broadcast_to(state[:, 1], square.shape))

    def fit(self, state: PyTree, episodes: Episodes, target: Array, key: Array, regress: Any) -> PyTree:
        return state


def values() -> tuple[np.ndarray, np.ndarray]:
    """V_t(x) = −(p_t x² + c_t) by recursion from the horizon, and E V_t(x_t)."""
    table = np.zeros((HORIZON + 1, 2))
    for t in reversed(range(HORIZON)):
        p, c = table[t + 1]
        table[t] = 1 + GAIN**2 + (1 + GAIN) ** 2 * p, STD**2 * (1 + p) + c
    square, squares = 1.0, []
    for _ in range(HORIZON + 1):
        squares.append(square)
        square = (1 + GAIN) ** 2 * square + STD**2
    return table, np.stack([np.zeros(HORIZON + 1), table[:, 0] * squares + table[:, 1]], 1)


SCALAR = {"full return": 6244.2, "reward-to-go": 3042.8, "of time": 701.2, "of state and time": 443.3}


def test_the_variances_of_the_scalar_linear_quadratic_world() -> None:
    world = LinearQuadratic(horizon=HORIZON)
    table, expected = values()
    rows = dict(zip(SCALAR, (Return(1.0), RewardToGo(1.0), minus(_Known()), minus(_Known())), strict=True))
    states = {"of time": jnp.asarray(expected, jnp.float32), "of state and time": jnp.asarray(table, jnp.float32)}
    found = gradient(linear_policy(world, GAIN, STD), world, rows, episodes=10_000, states=states, seed=2, chunk=2000)
    truth = float(world.gradient(GAIN, STD)[0][0, 0])
    for name, variance in SCALAR.items():
        one = found.estimators[name]
        own = float(one.variances.network.weights[0][0, 0])
        # 10 000 trajectories: the kurtosis of the gradient is about 20, so a variance is known to √(19/10⁴) = 4 %.
        assert own == pytest.approx(variance, rel=0.16)
        assert [n for n, v in SCALAR.items() if own == pytest.approx(v, rel=0.16)] == [name]
        mean = float(one.gradient.network.weights[0][0, 0])
        assert abs(mean - truth) < 4 * math.sqrt(variance / found.episodes)
        assert one.biased in (False, None)
    assert found.roles["centred"] == "of state and time", "of two centred ones, the one with the least variance"
    assert found.steps == HORIZON


# -- who stands for what --------------------------------------------------------------------------------

PLAIN: dict[str, AbstractWeight] = {"whole": Return(), "to go": RewardToGo(), "centred": minus(ConstantBaseline())}


def roles(estimators: dict[str, AbstractWeight]) -> tuple[dict[str, str], GradientQuality]:
    found = gradient(chain_policy(STAY), CHAIN, estimators, episodes=16, rounds=1)
    return found.roles, found


def test_the_variance_is_split_among_estimators_of_one_gradient_in_one_unit() -> None:
    """A scaled estimator's variance is in another unit, and would be "the scale of returns" for being divided."""
    others = {
        "scaled return": Return(scaling=Standardized()),
        "centred return": Return(baseline=LeaveOneOutBaseline()),
        "scaled": Advantage(1.0, 1.0, ConstantBaseline()),
        "other discount": RewardToGo(0.9),
        "other states": Advantage(0.9, 1.0, ConstantBaseline(), Unscaled(), discounted_states=True),
    }
    found, whole = roles(others | PLAIN)
    assert found == {"full": "whole", "to go": "to go", "centred": "centred"}
    assert not any("not split" in note for note in whole.notes)
    assert whole.estimators["scaled"].variance.mean < whole.estimators["centred"].variance.mean, "it would have won"


def test_where_no_estimator_fits_the_variance_is_not_split_and_it_says_why() -> None:
    found, whole = roles({"whole": Return(0.9), "to go": RewardToGo(0.9)})  # one of them discounts the states
    assert found == {"full": "whole"}
    assert whole.coupling is whole.scale is whole.remaining is None
    assert "Of the variance" not in whole.finding
    assert whole.notes[-1] == (
        "The variance is not split into all of its causes: of one discount and one `discounted_states` there is no"
        " RewardToGo and no unscaled Advantage with λ = 1 and a baseline."
    )
    found, whole = roles({"whole": Return(0.9), "to go": RewardToGo(0.9, discounted_states=True)})
    assert found == {"full": "whole", "to go": "to go"}
    assert whole.coupling is not None


@pytest.mark.parametrize(
    ("size", "along", "said"),
    [
        ((0.5, 0.1, 0.7), (-0.5, -0.7, -0.3), "'a' is biased against 'b': its mean is off by 50 %"),
        ((0.5, 0.0, 0.7), (-0.5, -0.7, -0.3), "'a' is biased along the gradient of 'b': −50 % along it"),
        ((0.5, 0.0, 0.7), (-0.5, -0.7, 0.3), "'a' has no detectable bias against 'b': 50 %"),
    ],
)
def test_the_words_on_a_bias_agree_with_both_of_its_intervals(size: Any, along: Any, said: str) -> None:
    """It said "no detectable bias … −54 % along it (95 % interval −68 % to −29 %)"."""
    one = SimpleNamespace(bias=Interval(*size, 9), along=Interval(*along, 9), biased=size[1] > 0)
    assert bias_note("a", one, "b").startswith(said)


def test_an_estimator_is_biased_where_the_interval_that_is_shown_lies_above_0() -> None:
    """On these 40 trajectories that of |bias|² reaches below 0, that of |bias|/|g| does not."""
    rows: dict[str, AbstractWeight] = {"to go": RewardToGo(), "scaled": Advantage(1.0, 1.0, ConstantBaseline())}
    states = {"scaled": jnp.asarray(1.0)}
    found = gradient(chain_policy(STAY), CHAIN, rows, episodes=40, states=states, seed=11).estimators["scaled"]
    assert found.bias is not None
    assert found.bias.low > 0.05
    assert found.biased


# -- the mechanism --------------------------------------------------------------------------------------


def test_chunks_change_nothing() -> None:
    world = LinearQuadratic(horizon=4, start_std=1.0)
    one = policy(world, jax.random.key(0), hidden=(3,))
    whole, parts = (
        gradient(one, world, {"a": RewardToGo(1.0), "b": Return(1.0)}, episodes=13, chunk=c) for c in (13, 4)
    )
    np.testing.assert_allclose(
        *(jax.flatten_util.ravel_pytree(found.estimators["b"].gradient)[0] for found in (whole, parts)), rtol=1e-4
    )
    assert whole.estimators["a"].variance.mean == pytest.approx(parts.estimators["a"].variance.mean, rel=1e-4)
    assert whole.estimators["b"].lucky.mean == pytest.approx(parts.estimators["b"].lucky.mean, rel=1e-3)


def test_the_variance_falls_as_one_over_the_number_of_trajectories() -> None:
    one = chain_policy(STAY)
    rows = trajectories(_played(4096))
    (_, found) = next(trajectory_gradients(one, rows, RewardToGo(1.0)((), rows).weight[None], chunk=4096))
    single = np.asarray(found[0, :, 0], np.float64)
    counts = np.array([1, 4, 16, 64])
    variances = [single.reshape(-1, n).mean(1).var() for n in counts]
    # 64 means of 64: the last variance is known to about 18 %, the slope to about .05.
    assert np.polyfit(np.log(counts), np.log(variances), 1)[0] == pytest.approx(-1.0, abs=0.15)
    copied = np.repeat(single[::64], 64)  # the control: copies are not more data
    stuck = [copied.reshape(-1, n).mean(1).var() for n in counts]
    assert np.polyfit(np.log(counts), np.log(stuck), 1)[0] == pytest.approx(0.0, abs=0.01)


@functools.cache
def _played(episodes: int) -> Episodes:
    from journeyman.collect import Sample, play

    return play(CHAIN, Sample(chain_policy(STAY)), episodes=episodes, seed=0)


def test_streams_become_one_row_an_episode() -> None:
    packed = _played(300)
    rows = trajectories(packed)
    apart = list(packed.unpack())
    assert rows.batch_shape == (300,)
    for i in (0, 1, 17, 299):
        length = len(apart[i].valid)
        assert int(np.asarray(rows.valid)[i].sum()) == length
        for name in ("reward", "action", "terminated", "elapsed"):
            np.testing.assert_array_equal(getattr(rows, name)[i, :length], getattr(apart[i], name))
        np.testing.assert_array_equal(rows.observation[i, : length + 1], apart[i].observation)
    with pytest.raises(JourneymanError, match="There is no trajectory: no step is valid"):
        trajectories(eqx.tree_at(lambda e: (e.valid, e.terminated), packed, (packed.valid & False,) * 2))


def test_the_horizon_ends_the_game_where_it_is_told_so() -> None:
    world = LinearQuadratic(horizon=3)
    from journeyman.collect import Sample, play

    cut = play(world, Sample(policy(world, jax.random.key(0), hidden=())), episodes=2, seed=0)
    over = without_horizon(cut)
    np.testing.assert_array_equal(over.terminated, cut.truncated)
    assert not over.truncated.any()


def test_resamples_of_the_signal_are_not_shifted() -> None:
    # Pairs of a trajectory with itself would raise the resamples' |g|² by tr Σ/N, here twice the signal itself.
    one = chain_policy(STAY)
    rows = jax.tree.map(lambda x: x[:64], trajectories(_played(4096)))
    moments = Moments.of(one, rows, Uniform()((), rows).weight[None], 0, chunk=64, seed=0)
    signal = moments.signal()[0]
    error = signal[1:].std() / math.sqrt(len(signal) - 1)
    assert abs(signal[1:].mean() - signal[0]) < 5 * error
    naive = np.square(moments.total[0]).sum(-1) / 64**2
    assert not abs(naive[1:].mean() - naive[0]) < 5 * error


def test_the_gradient_of_a_row_is_the_weighted_sum_of_its_scores() -> None:
    one, rows = chain_policy(STAY), jax.tree.map(lambda x: x[:3], trajectories(_played(4096)))
    weight = jnp.asarray(np.random.default_rng(0).normal(size=rows.valid.shape) * rows.valid, jnp.float32)
    found = gradients(one, jax.tree.map(jnp.asarray, rows), weight[None])
    # d log π(a)/d logit₁ = a − ½: + ½ for staying, − ½ for leaving.
    by_hand = (np.asarray(weight) * (np.asarray(rows.action) - 0.5)).sum(1)
    flat = jax.flatten_util.ravel_pytree(eqx.filter(one, eqx.is_inexact_array).network.biases)[0]
    assert flat.shape == (2,)
    assert any(np.allclose(found[0, :, i], by_hand, rtol=1e-5) for i in range(found.shape[-1]))


def test_numbers_are_plain_json() -> None:
    told = json.loads(json.dumps(chain().numbers()))
    assert told["estimators"]["reward-to-go"]["variance"]["n"] == 12_000
    assert told["wanted"] == 1.0
    assert "gradient" not in told["estimators"]["reward-to-go"]
    lines = chain().table().splitlines()
    assert len(lines) == 1 + len(ROWS)
    assert len({len(line) for line in lines}) == 1, "columns are aligned"


def test_the_standard_estimators_have_names_and_a_lambda() -> None:
    assert list(standard_estimators(0.9, 0.5)) == [
        "full return",
        "reward-to-go",
        "minus a constant",
        "minus one of time",
        "minus V",
        "GAE λ = 0.5",
    ]


# -- refusals -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"episodes": 1}, "A variance takes at least two episodes, not 1"),
        ({"ratio": 0.0}, "The wanted signal-to-noise ratio is a positive number, not 0.0"),
        ({"reference": "reward to go"}, "No estimator is called 'reward to go'. Did you mean 'reward-to-go'?"),
        ({"estimators": {}}, "There is no estimator to judge"),
        ({"chunk": 0}, "gradients taken one by one at least, not in 10 and by 0"),
        ({"estimators": {"broken": _Scaled(math.nan)}}, "The estimator 'broken' gives weights that are not finite"),
    ],
)
def test_refusals(options: dict[str, Any], message: str) -> None:
    with pytest.raises(JourneymanError) as refused:
        gradient(chain_policy(STAY), CHAIN, **{"estimators": ROWS, "episodes": 4, **options})
    assert message in str(refused.value)


def test_a_policy_of_another_world() -> None:
    with pytest.raises(JourneymanError, match="does not fit 'GeometricChain'"):
        gradient(policy(LinearQuadratic(np.eye(2), np.eye(2, 1), np.eye(2), 1.0), jax.random.key(0)), CHAIN, episodes=4)


def test_where_nothing_is_paid_there_is_no_gradient_and_it_says_so() -> None:
    """It used to divide by a variance of 0."""
    found = gradient(chain_policy(STAY), _Unpaid(), episodes=8, rounds=1)
    assert found.finding.startswith("There is no gradient: on 8 trajectories every weight of 'reward-to-go' is 0")
    assert "Of the variance" not in found.finding
    json.dumps(found.numbers(), allow_nan=False)


class _Unpaid(GeometricChain):
    """The chain, and nobody pays."""

    def step(self, state: Any, action: Array, key: Array) -> Any:
        state, outcome = super().step(state, action, key)
        return state, outcome._replace(reward=jnp.zeros_like(outcome.reward))
