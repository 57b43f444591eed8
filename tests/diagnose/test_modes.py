"""Mode averaging: how often it is claimed where there is one mode, how often it is found where there are two, and what
is said of the harm, against what is known exactly."""

import functools
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from journeyman.algorithms import bc
from journeyman.diagnose import mode_averaging, two_gaussians
from journeyman.diagnose._by_step import places
from journeyman.diagnose._dip import dip_p_value
from journeyman.diagnose._modes import _smallest_seen, asked
from journeyman.diagnose._paired import holm
from journeyman.diagnose._places import acted, split, told_apart, unrounded
from journeyman.episodes import EXPERT, Episodes
from journeyman.parts import JourneymanError
from journeyman.policies import DensityPolicy, FullGaussian, GaussianMixture, policy
from journeyman.report import modes_findings
from journeyman.training import fit
from journeyman.verify import chain_policy, linear_policy
from journeyman.worlds import Box, GeometricChain, LinearQuadratic

WORLD = LinearQuadratic(horizon=8)
PLANE = LinearQuadratic(np.eye(2), np.eye(2), np.eye(2), np.eye(2), horizon=8)
STEPS = 8
Draw = Callable[[np.random.Generator, np.ndarray], np.ndarray]


def shown(act: Draw, seed: int = 0, episodes: int = 60, size: int = 1) -> Episodes:
    """Episodes of states that are drawn afresh, and of what `act` does there."""
    random = np.random.default_rng(seed)
    seen = random.normal(size=(episodes, STEPS + 1, size)).astype(np.float32)
    done = np.stack([act(random, one[:-1]) for one in seen]).astype(np.float32)
    shape = (episodes, STEPS)
    last = np.broadcast_to(np.arange(STEPS) == STEPS - 1, shape)
    return Episodes(
        observation=seen,
        action=done,
        target=done,
        reward=np.zeros(shape, np.float32),
        log_prob=np.full(shape, np.nan, np.float32),
        terminated=np.zeros(shape, bool),
        truncated=last,
        valid=np.ones(shape, bool),
        elapsed=np.broadcast_to(np.arange(STEPS, dtype=np.int32), shape),
        source=np.full(shape, EXPERT, np.int8),
    )


@functools.cache
def still(size: int = 1) -> DensityPolicy:
    """N(0, 1) whatever is seen: a policy that has learned nothing of the mean."""
    if size == 1:
        return linear_policy(WORLD, 0.0, 1.0)
    one = policy(PLANE, jax.random.key(0), hidden=())
    return eqx.tree_at(lambda p: p.network.weights[0], one, jnp.zeros_like(one.network.weights[0]))


def two(apart: float, spread: float) -> Draw:
    """½ N(−m, s²) + ½ N(m, s²), chosen anew at each step."""
    return lambda r, o: r.choice([-apart, apart], (len(o), 1)) + spread * r.normal(size=(len(o), 1))


def elongated(r: np.random.Generator, o: np.ndarray) -> np.ndarray:
    """One Gaussian, ten times as long as wide, along the diagonal."""
    return r.normal(size=(len(o), 2)) @ np.asarray([[3.0, 3.0], [0.3, -0.3]])


NULLS: dict[str, tuple[Draw, int]] = {
    "gaussian": (lambda r, o: r.normal(size=(len(o), 1)), 1),
    "skewed": (lambda r, o: r.exponential(size=(len(o), 1)), 1),
    "heavy tails": (lambda r, o: r.standard_t(2, size=(len(o), 1)), 1),
    "spread by state": (lambda r, o: r.normal(size=(len(o), 1)) * np.exp(o), 1),
    "flat": (lambda r, o: r.random((len(o), 1)), 1),
    "own habit": (lambda r, o: r.normal() + 0.05 * r.normal(size=(len(o), 1)), 1),
    "curved": (lambda r, o: np.sin(2 * o) + 0.1 * r.normal(size=(len(o), 1)), 1),
    "elongated": (elongated, 2),
    "in coarse steps": (lambda r, o: 1.5 * np.round(r.normal(size=(len(o), 1)) / 1.5), 1),
}
"""One mode each; the policy that is held against them does not even know the mean."""


def alarms(name: str, cases: int) -> int:
    act, size = NULLS[name]
    some = [acted(still(size), shown(act, seed, size=size), np.ones(60, bool)) for seed in range(cases)]
    return sum(any(one.p < 0.05 for one in asked(found, seed)) for seed, found in enumerate(some))


# -- where there is one mode -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NULLS)
def test_one_mode_of_any_shape_is_hardly_ever_taken_for_two(name: str) -> None:
    """At level .05 one alarm is due in 20 cases; with 6 or more it would be broken (p < .0004)."""
    assert alarms(name, 20) < 6


@pytest.mark.slow
@pytest.mark.parametrize("name", NULLS)
def test_the_level_is_held_in_many_cases(name: str) -> None:
    """200 cases: 10 alarms are due at most, and 20 are three errors off."""
    assert alarms(name, 200) < 20


def silhouette(values: np.ndarray) -> float:
    """How much nearer each of two clusters is to itself than to the other, on average: 1 is apart, 0 is one."""
    along = values @ np.asarray([1.0, 1.0])
    side = along > split(along)
    if min(side.sum(), (~side).sum()) < 2:
        return 0.0
    away = np.sqrt(((values[:, None] - values[None]) ** 2).sum(-1))
    own = np.where(side, away[:, side].sum(1) / (side.sum() - 1), away[:, ~side].sum(1) / ((~side).sum() - 1))
    other = np.where(side, away[:, ~side].mean(1), away[:, side].mean(1))
    return float(((other - own) / np.maximum(own, other)).mean())


def test_only_steps_are_spread_and_no_farther_than_to_the_next() -> None:
    """Numbers that never come back and two values alone stay as they are."""
    random = np.random.default_rng(0)
    smooth = random.normal(size=(200, 1))
    assert (unrounded(smooth) == smooth).all()
    choice = random.choice([-1.0, 1.0], (200, 1))
    assert (unrounded(choice) == choice).all()
    keys = random.choice([-1.0, 0.0, 1.0, 5.0], (4000, 1))
    spread = unrounded(keys) - keys
    for key, room in ((-1, 1), (0, 1), (1, 1), (5, 4)):
        own = spread[keys == key]
        assert np.abs(own).max() <= room / 2
        assert own.std() == pytest.approx(room / 12**0.5, rel=0.05)


def test_two_clusters_of_one_elongated_gaussian_look_apart_and_are_not() -> None:
    """The control that must fail: a flag at .60 on how far two clusters are apart warns of one elongated Gaussian in
    more than a third of the cases. The test warns in none of them."""
    random = np.random.default_rng(0)
    found = [silhouette(elongated(random, np.zeros((12, 1)))) for _ in range(200)]
    assert np.mean(np.asarray(found) > 0.6) > 0.3
    assert alarms("elongated", 5) == 0


def test_steps_of_one_episode_are_not_counted_as_independent() -> None:
    """The control: three habits, of which each episode has one, or 12 episodes with an offset of their own. All steps
    taken as they come show many modes; one step an episode does not."""
    act, _ = NULLS["own habit"]
    found = shown(act, episodes=60)
    everything = np.asarray(found.target)[:8].reshape(-1)
    assert dip_p_value(everything) < 0.01
    assert mode_averaging(still(), found).modes == 1


def test_what_the_observation_tells_is_no_choice() -> None:
    """A demonstrator that switches sides by what it sees: the actions lie in two heaps, and the observation says in
    which."""
    random = np.random.default_rng(0)
    seen = random.normal(size=(60, 3))
    switching = np.sign(seen[:, 1]) + 0.1 * random.normal(size=60)
    assert dip_p_value(switching) < 0.01
    assert told_apart(seen, switching) < 0.01
    choosing = random.choice([-1, 1], 60) + 0.1 * random.normal(size=60)
    assert told_apart(seen, choosing) > 0.05
    found = mode_averaging(still(), shown(lambda r, o: 2 * np.sign(o) + 0.3 * r.normal(size=o.shape)))
    assert (found.modes, found.averages) == (1, False)


# -- where there are two -----------------------------------------------------------------------------------


def test_two_clear_modes_are_found_and_the_policy_between_them_is_told() -> None:
    hits = [mode_averaging(still(), shown(two(2.0, 0.4), seed), seed=seed) for seed in range(6)]
    assert sum(one.averages for one in hits) >= 5
    first = hits[0]
    assert first.modes == first.raw_modes == 2
    place = first.places[0]
    assert place.separation == pytest.approx(10, abs=2)
    assert place.position == pytest.approx(0.5, abs=0.1)
    assert place.centres == pytest.approx((-2, 2), abs=0.3)
    assert place.valley < 0.1
    assert place.covered.high < 0.5
    assert first.finding.startswith("The policy averages modes: around step")
    assert "lies between them" in first.finding
    assert "averages modes" in modes_findings(first)[0].sentence
    assert modes_findings(first)[0].severity == "warning"
    assert first.table().splitlines()[0].startswith("around step")
    assert first.numbers()["places"][0]["p"] == place.p


def test_a_choice_for_the_whole_episode_is_found_too() -> None:
    found = mode_averaging(still(), shown(lambda r, o: r.choice([-2, 2]) + 0.3 * r.normal(size=(len(o), 1))))
    assert found.averages


def test_two_long_heaps_side_by_side_are_found_across_them() -> None:
    """Neither axis shows them, and the longest direction does not either."""

    def side_by_side(r: np.random.Generator, o: np.ndarray) -> np.ndarray:
        along, across = 3 * r.normal(size=len(o)), r.choice([-1, 1], len(o)) + 0.1 * r.normal(size=len(o))
        return np.stack([along + across, along - across], axis=1)

    found = mode_averaging(still(2), shown(side_by_side, size=2))
    assert found.averages
    assert abs(found.places[0].direction @ np.asarray([1, -1])) / 2**0.5 == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("steps", [(-1, 1), (-1, 0, 1)])
def test_two_ways_in_steps_are_found_where_nobody_acts_between(steps: tuple[int, ...]) -> None:
    """Keys: of those that are ever pressed the middle one is rare; or there are but two."""
    shares = {2: (0.5, 0.5), 3: (0.48, 0.04, 0.48)}[len(steps)]
    found = mode_averaging(still(), shown(lambda r, o: r.choice(steps, (len(o), 1), p=shares)))
    assert found.averages


def test_who_follows_one_of_two_does_not_average() -> None:
    found = mode_averaging(linear_policy(WORLD, 0.0, 0.4, mean=2.0), shown(two(2.0, 0.4)))
    assert (found.modes, found.averages) == (2, False)
    assert "the policy does not act between them" in found.finding
    assert modes_findings(found)[0].severity == "note"


def test_a_mixture_that_holds_both_does_not_average() -> None:
    head = GaussianMixture.make(Box.unbounded(1), components=2, state_dependent=False)
    parts = head.components
    raw, at = parts.bounds.inverse(jnp.full(2, np.log(0.4))), jnp.asarray([-2.0, 2.0])
    parts = eqx.tree_at(lambda c: (c.scale.location, c.scale.scale, c.log_std), parts, (at, jnp.ones(2), raw))
    one = policy(WORLD, jax.random.key(0), hidden=(), head=eqx.tree_at(lambda h: h.components, head, parts))
    one = eqx.tree_at(lambda p: p.network.weights[0], one, jnp.zeros_like(one.network.weights[0]))
    found = mode_averaging(one, shown(two(2.0, 0.4)))
    assert (found.modes, found.averages) == (2, False)


# -- the harm, against exact.md ----------------------------------------------------------------------------


def test_the_forward_fit_puts_723_times_the_data_s_density_between_the_modes() -> None:
    """½N(−2, ½²) + ½N(2, ½²): the fit N(0, 2.0616²) has .1935 at 0, the data .00027."""
    many = np.random.default_rng(0).choice([-2.0, 2.0], 40_000) + 0.5 * np.random.default_rng(1).normal(size=40_000)
    truth = two_gaussians(many)
    data = float(truth.density(0.0))
    own = 1 / (2.0616 * np.sqrt(2 * np.pi))
    assert own == pytest.approx(0.1935, abs=5e-5)
    assert data == pytest.approx(0.00027, rel=0.15)
    assert own / data == pytest.approx(723, rel=0.15)


def test_a_clone_that_was_fitted_is_told_what_it_does() -> None:
    """`bc` on 100 demonstrations lands at √(m² + s²), and the place says how far above the data that is."""
    data = shown(two(2.0, 0.5), episodes=100)
    fresh = policy(WORLD, jax.random.key(0), hidden=())
    clone = fit(bc(1e-2, epochs=300), fresh, data, log_every=300, checkpoint_every=300).policy
    found = mode_averaging(clone, data)
    assert found.averages
    place = found.places[0]
    assert place.policy_density == pytest.approx(0.1935, rel=0.1)
    assert 723 / 20 < place.ratio < 723 * 20  # four deviations out, from 80 actions
    assert "A mixture holds both ways" in found.finding


# -- what counts -------------------------------------------------------------------------------------------


def test_modes_are_counted_over_those_that_succeed() -> None:
    """Half of the demonstrations go the other way and fail: two ways were shown, one of them does the task."""
    data = shown(lambda r, o: r.choice([-2, 2]) + 0.3 * r.normal(size=(len(o), 1)), episodes=100)
    success = np.asarray([np.mean(one.target) > 0 for one in data.unpack()])
    found = mode_averaging(still(), data, success=success)
    assert (found.modes, found.raw_modes, found.averages) == (1, 2, False)
    assert (found.valid, found.episodes) == (int(success.sum()), 100)
    assert "Over all demonstrations there are two: one way of acting fails" in found.finding
    assert found.notes == ()
    everybody = mode_averaging(still(), data)
    assert everybody.averages
    assert everybody.notes == ("Nobody says which demonstrations succeed, so modes are counted over all of them.",)
    numbers = modes_findings(found)[0].numbers
    assert numbers["valid demonstrations"] == found.valid
    assert numbers["modes over all demonstrations"] == 2


def test_too_few_demonstrations_and_choices_have_no_answer() -> None:
    few = mode_averaging(still(), shown(two(2.0, 0.4), episodes=8))
    assert (few.modes, few.averages, few.places) == (None, None, ())
    assert "cannot be told: with 8 valid demonstrations" in few.finding
    assert few.table() == "No place could be asked about."
    chosen = Episodes.episode(np.ones((5, 1), np.float32), np.zeros(4, np.int32))
    assert "The actions are choices" in mode_averaging(chain_policy(0.5), chosen).finding
    assert GeometricChain().name == "GeometricChain"


def test_what_could_have_been_seen_is_seen_four_times_in_five() -> None:
    smallest = _smallest_seen(30, 0.05 / 3)
    random = np.random.default_rng(5)

    def power(separation: float) -> float:
        samples = separation * random.choice([-0.5, 0.5], (100, 30)) + random.normal(size=(100, 30))
        return float(np.mean([dip_p_value(one) < 0.05 / 3 for one in samples]))

    assert power(smallest) > 0.65
    assert power(smallest - 2) < 0.75
    assert _smallest_seen(5, 0.05 / 3) == np.inf


def testholm() -> None:
    assert holm([0.01, 0.04, 0.03], 3) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.01], 3) == pytest.approx([0.03]), "places that were not found count as asked"


def test_padding_and_the_order_of_rows_change_nothing_but_chance() -> None:
    data = shown(two(2.0, 0.4))
    padded = mode_averaging(still(), data.pad(STEPS + 5))
    assert padded.numbers() == mode_averaging(still(), data).numbers()
    assert places(data)[2] == 60


def test_where_the_policy_does_what_was_done_there_is_no_place() -> None:
    found = mode_averaging(linear_policy(WORLD, 0.5, 1e-2), shown(lambda r, o: 0.5 * o))
    assert (found.modes, found.averages) == (1, False)


def test_what_is_wrong_is_told_at_once() -> None:
    data = shown(two(2.0, 0.4), episodes=3)
    with pytest.raises(JourneymanError, match=r"(?s)`success` has shape \(2,\).*The level of the test"):
        mode_averaging(still(), data, success=np.ones(2, bool), level=0.0)
    nothing = eqx.tree_at(lambda e: (e.valid, e.terminated, e.truncated), data, (data.valid & False,) * 3)
    with pytest.raises(JourneymanError, match="no valid step"):
        mode_averaging(still(), nothing)


def test_a_full_covariance_is_asked_like_any_other() -> None:
    one = policy(PLANE, jax.random.key(0), hidden=(), head=FullGaussian.make(Box.unbounded(2)))
    assert mode_averaging(one, shown(elongated, size=2, seed=1)).modes == 1
