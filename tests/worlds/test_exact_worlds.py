"""The exact worlds against the published truths, and their steps against their own formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from journeyman.parts import JourneymanError, describe, rebuild
from journeyman.worlds import GeometricChain, LinearQuadratic, world

SIGNIFICANCE = 4.5  # standard errors: a right program fails once in 150 000 runs


def roll(made, policy, steps, episodes, seed=0):
    """Rewards, actions and observations `(steps, episodes, ...)`; what follows an end is zeroed by `alive`."""

    def forward(carry, key):
        state, alive = carry
        act, move = jax.random.split(key)
        seen = jax.vmap(made.observe)(state)
        action = policy(seen, act)
        state, outcome = jax.vmap(made.step)(state, action, jax.random.split(move, episodes))
        after = alive & ~(outcome.terminated | outcome.truncated)
        return (state, after), (jnp.where(alive, outcome.reward, 0), action, alive)

    start, run = jax.random.split(jax.random.key(seed))
    state = jax.vmap(made.reset)(jax.random.split(start, episodes))
    scan = jax.jit(lambda state, keys: jax.lax.scan(forward, (state, jnp.ones(episodes, bool)), keys))
    _, found = scan(state, jax.random.split(run, steps))
    return [np.asarray(leaf) for leaf in found]


def close(samples, truth):
    error = samples.std() / np.sqrt(len(samples))
    assert abs(samples.mean() - truth) < SIGNIFICANCE * error, (samples.mean(), truth, error)


# -- linear-quadratic ------------------------------------------------------------------------------------


def test_the_scalar_lqg_row():
    lqg = LinearQuadratic(horizon=20)
    assert lqg.expected_return(-0.3, 0.3) == pytest.approx(-7.40715, abs=5e-6)
    by_gain, _ = lqg.gradient(-0.3, 0.3)
    assert by_gain.item() == pytest.approx(-11.27026, abs=5e-6)


def test_the_scalar_control_row():
    endless = LinearQuadratic()
    best = endless.optimal_gain(0.9)
    assert best.item() == pytest.approx(-0.588403, abs=5e-7)
    assert endless.cost_matrix(best, 0.9).item() == pytest.approx(1.588403, abs=5e-7)
    assert endless.expected_return(-0.2, 0.5, 0.9) == pytest.approx(-10.47170, abs=5e-6)
    by_gain, by_std = endless.gradient(-0.2, 0.5, 0.9)
    assert by_gain.item() == pytest.approx(-24.00765, abs=5e-6)
    assert by_std.item() == pytest.approx(-32.07547, abs=5e-6)


def test_the_plain_gradient_shrinks_the_deviation_first_and_the_natural_one_does_not():
    """The Fisher metric of u ~ N(kx, σ²) is diag(E[x²]/σ², 2/σ²) a step, E over discounted visits."""
    gain, std, gamma = -0.2, 0.5, 0.9
    by_gain, by_std = (slope.item() for slope in LinearQuadratic().gradient(gain, std, gamma))
    square = -(1 - gamma) * LinearQuadratic(action_cost=1e-12).expected_return(gain, std, gamma)
    assert square == pytest.approx((1 - gamma) * (1 + gamma * std**2 / (1 - gamma)) / (1 - gamma * (1 + gain) ** 2))
    natural = by_gain / (square / std**2), by_std / (2 / std**2)
    assert by_std / by_gain > 1.3  # both shrink, and σ faster
    assert natural[1] / natural[0] < 0.55  # and here more slowly than k moves


def test_the_three_dimensional_row():
    three = LinearQuadratic(np.eye(3), np.eye(3), np.diag([0.9, 0.1, 0.1]), np.diag([0.1, 0.9, 0.9]))
    want = -np.diag([0.89908343, 0.24025307, 0.24025307])  # u = Kx here, u = −Kx there
    np.testing.assert_allclose(three.optimal_gain(0.9), want, atol=5e-9)


def coupled(horizon):
    return LinearQuadratic(
        [[0.9, 0.2], [0.0, 0.8]],
        [[0.0], [1.0]],
        [[1.0, 0.1], [0.1, 0.5]],
        [[0.3]],
        noise=0.2,
        start=[1.0, -0.5],
        start_std=0.4,
        horizon=horizon,
    )


GAIN = [[-0.2, -0.5]]


def test_a_long_horizon_tends_to_the_endless_world():
    endless, long = coupled(None), coupled(400)
    assert long.expected_return(GAIN, 0.3, 0.9) == pytest.approx(endless.expected_return(GAIN, 0.3, 0.9), rel=1e-12)
    for a, b in zip(long.gradient(GAIN, 0.3, 0.9), endless.gradient(GAIN, 0.3, 0.9), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)


@pytest.mark.parametrize("horizon", [None, 15])
def test_the_gradient_is_the_derivative(horizon):
    made, step = coupled(horizon), 1e-5
    by_gain, by_std = made.gradient(GAIN, 0.3, 0.9)
    value = lambda gain, std: made.expected_return(gain, std, 0.9)  # noqa: E731
    bump = np.array([[step, 0.0]])
    slope = (value(np.array(GAIN) + bump, 0.3) - value(np.array(GAIN) - bump, 0.3)) / (2 * step)
    assert by_gain[0, 0] == pytest.approx(slope, rel=1e-7)
    assert by_std[0] == pytest.approx((value(GAIN, 0.3 + step) - value(GAIN, 0.3 - step)) / (2 * step), rel=1e-7)


def test_the_optimal_gain_leaves_nothing_to_gain():
    made = coupled(None)
    best = made.optimal_gain(0.9)
    by_gain, _ = made.gradient(best, 0.0, 0.9)
    assert np.abs(by_gain).max() < 1e-9
    assert np.abs(made.gradient(GAIN, 0.0, 0.9)[0]).max() > 0.1
    assert coupled(7).optimal_gain(0.9).shape == (7, 1, 2)
    assert np.abs(coupled(7).optimal_gain(0.9)[-1]).max() == 0  # the last action moves nothing that is paid for


@pytest.mark.parametrize(
    ("made", "gain", "std"), [(LinearQuadratic(horizon=20), [[-0.3]], 0.3), (coupled(15), GAIN, 0.3)]
)
def test_rolling_the_world_gives_its_expected_return(made, gain, std):
    k = jnp.asarray(gain, jnp.float32)

    def policy(x, key):
        return x @ k.T + jnp.float32(std) * jax.random.normal(key, (len(x), k.shape[0]), jnp.float32)

    rewards, _, alive = roll(made, policy, made.horizon + 3, 20_000)
    assert alive.sum(0).tolist() == [made.horizon] * 20_000  # cut by the time limit, on the very step
    close(rewards.sum(0), made.expected_return(gain, std))


def test_a_time_limit_truncates_and_never_terminates():
    made = LinearQuadratic(horizon=2)
    key = jax.random.key(0)
    state = made.reset(key)
    flags = []
    for _ in range(2):
        state, outcome = made.step(state, jnp.zeros(1), key)
        flags.append((bool(outcome.terminated), bool(outcome.truncated)))
    assert flags == [(False, False), (False, True)]


@pytest.mark.usefixtures("unannotated")
def test_what_does_not_fit_is_refused():
    with pytest.raises(JourneymanError, match=r"(?s)'control' has shape.*'state_cost' has shape"):
        LinearQuadratic(np.eye(2), np.eye(3), np.eye(3), np.eye(3))
    with pytest.raises(JourneymanError, match="'noise' is 'a', but it takes a number"):
        LinearQuadratic(noise="a")  # type: ignore[arg-type]
    with pytest.raises(JourneymanError, match=r"'start_std' is \[0.1, 0.2\], but it takes one number"):
        LinearQuadratic(start_std=[0.1, 0.2])  # type: ignore[arg-type]
    with pytest.raises(JourneymanError, match=r"action_cost.*smallest eigenvalue is -1"):
        LinearQuadratic(action_cost=-1.0)
    with pytest.raises(JourneymanError, match="not finite: the discount is 1"):
        LinearQuadratic().expected_return(-0.2, 0.1)
    with pytest.raises(JourneymanError, match="spectral radius"):
        LinearQuadratic().expected_return(0.2, 0.1, 0.9)
    with pytest.raises(JourneymanError, match=r"gain has shape \(1, 3\)"):
        coupled(5).expected_return([[1.0, 2.0, 3.0]])
    for discount in (-3.0, 0.0, 5.0, np.nan):
        for call in (coupled(5).optimal_gain, lambda x: LinearQuadratic(horizon=3).expected_return(0.1, 0.1, x)):
            with pytest.raises(JourneymanError, match=rf"discount must lie in \(0, 1\], not {discount}"):
                call(discount)


# -- geometric chain -------------------------------------------------------------------------------------


@pytest.mark.parametrize("theta", [0.2, 0.5, 0.8])
def test_the_variance_table_against_the_series(theta):
    """Σ_l θˡ(1−θ) g(l)², summed until nothing is left, with the estimators written out by hand."""
    chain = GeometricChain()
    length = np.arange(2000.0)
    weight = (1 - theta) * theta**length
    value = chain.expected_return(theta)
    stay, leave = 1 / theta, -1 / (1 - theta)
    to_go = stay * length * (length + 1) / 2
    estimators = {
        "full return": (stay * length + leave) * length,
        "reward-to-go": to_go,
        "reward-to-go minus value": to_go - stay * length * value - leave * value,
    }
    for name, estimate in estimators.items():
        mean = (weight * estimate).sum()
        assert mean == pytest.approx(chain.gradient(theta), rel=1e-9)
        assert (weight * estimate**2).sum() - mean**2 == pytest.approx(chain.variance(theta, name), rel=1e-9)


def test_the_published_numbers():
    chain = GeometricChain()
    names = ("full return", "reward-to-go", "reward-to-go minus value")
    assert [chain.variance(0.5, name) for name in names] == [192, 88, 48]
    assert (chain.expected_return(0.5), chain.gradient(0.5)) == (1, 4)


def test_rolling_the_chain_gives_its_return_gradient_and_variances():
    theta, episodes = 0.5, 100_000
    chain = GeometricChain()

    def policy(seen, key):
        return (jax.random.uniform(key, (len(seen),)) < theta).astype(jnp.int32)

    rewards, actions, alive = roll(chain, policy, 60, episodes)
    assert not alive[-1].any()  # all 100 000 have left: nothing is cut off
    close(rewards.sum(0), chain.expected_return(theta))
    score = np.where(actions == 1, 1 / theta, -1 / (1 - theta)) * alive
    to_go = rewards[::-1].cumsum(0)[::-1]
    for name, weight in {
        "full return": rewards.sum(0),
        "reward-to-go": to_go,
        "reward-to-go minus value": to_go - theta / (1 - theta),
    }.items():
        estimate = (score * weight).sum(0)
        close(estimate, chain.gradient(theta))
        close((estimate - chain.gradient(theta)) ** 2, chain.variance(theta, name))


def test_the_closed_forms_know_their_limits():
    with pytest.raises(JourneymanError, match="no horizon"):
        GeometricChain(horizon=5).gradient(0.5)
    with pytest.raises(JourneymanError, match="Did you mean 'reward-to-go'"):
        GeometricChain().variance(0.5, "reward to go")


def test_a_time_limit_truncates_who_stays_and_terminates_who_leaves():
    chain, key = GeometricChain(horizon=1), jax.random.key(0)
    flags = [chain.step(chain.reset(key), jnp.int32(a), key)[1] for a in (0, 1)]
    assert [(bool(f.terminated), bool(f.truncated)) for f in flags] == [(True, False), (False, True)]


# -- both are parts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("made", [coupled(9), GeometricChain(horizon=4, num_envs=3, seed=8)])
def test_a_pure_world_survives_its_description(made):
    tree, arrays = describe(made)
    assert rebuild(tree, arrays) == made
    assert not arrays
    other = made.remake(seed=4, num_envs=2)
    assert (other.seed, other.num_envs, other.config()["options"]) == (4, 2, made.config()["options"])


def test_options_make_them_by_name():
    made = world("LinearQuadratic", dynamics=0.7, noise=1.0, horizon=50, num_envs=5)
    assert (made.dynamics, made.noise, made.horizon, made.num_envs) == (((0.7,),), 1.0, 50, 5)
