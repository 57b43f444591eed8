"""Minibatches of a clipped surrogate: as a plain Python loop would do them, until the target KL."""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jaxtyping import Array

from journeyman.collect import Aggregate
from journeyman.episodes import Episodes
from journeyman.experts import PolicyExpert
from journeyman.geometry import Euclidean, Fisher
from journeyman.objectives import ClippedSurrogate, Samples, Surrogate, WeightedLogLikelihood
from journeyman.parts import JourneymanError
from journeyman.policies import DensityPolicy, partition, policy
from journeyman.training import Adam, Learner, LineSearch, fit
from journeyman.training._learner import Descended, descend
from journeyman.training._shuffle import shuffled
from journeyman.weights import Uniform
from journeyman.worlds import LinearQuadratic

PLANE = LinearQuadratic(np.eye(3), np.eye(3, 2), np.eye(3), np.eye(2))
COUNT, SIZE, EPOCHS, RATE = 44, 16, 3, 0.03
OBJECTIVE = ClippedSurrogate(0.1, entropy=0.01)
KEY = jax.random.key(5)


@functools.cache
def actor() -> DensityPolicy:
    return policy(PLANE, jax.random.key(0), hidden=(4,))


@functools.cache
def drawn() -> Samples:
    """44 steps, 40 of them valid: batches of 16, 16 and 8."""
    keys = jax.random.split(jax.random.key(1), 3)
    observation = jax.random.normal(keys[0], (COUNT, 3))
    action = actor().distribution(observation).sample(keys[1])
    valid = jnp.ones(COUNT).at[jnp.asarray([3, 17, 30, 43])].set(0.0)
    old = actor().log_prob(observation, action)
    return Samples(observation, action, jax.random.normal(keys[2], (COUNT,)), valid, jnp.ones(()), old).cleared()


def compiled(**options: Any) -> Descended:
    step = Adam(RATE, clip_norm=0.5, epsilon=1e-5)
    learner = Learner(Uniform(), OBJECTIVE, Euclidean(), step, epochs=EPOCHS, batch_size=SIZE, **options)
    state = step.init(partition(actor())[0])
    return eqx.filter_jit(lambda s: descend(learner, actor(), state, s, KEY))(drawn())


@functools.cache
def by_hand(limit: float = np.inf) -> tuple[DensityPolicy, int, list[dict[str, float]]]:
    """The policy, how many steps it took, and the metrics of each minibatch of the last pass."""
    some, (trained, fixed) = drawn(), partition(actor())
    adam = optax.chain(optax.clip_by_global_norm(0.5), optax.adam(RATE, eps=1e-5))
    state, taken = adam.init(trained), 0
    gradient = eqx.filter_jit(OBJECTIVE.measured_gradient)

    @eqx.filter_jit
    def stepped(slope: Any, state: Any, trained: Any) -> tuple[Any, Any]:
        update, state = adam.update(slope, state, trained)
        return jax.tree.map(jnp.add, trained, update), state

    rows: list[dict[str, float]] = []
    for epoch in range(EPOCHS):
        order = np.asarray(shuffled(some.valid, jax.random.fold_in(KEY, epoch)))
        order, rows = order[np.asarray(some.valid)[order] > 0], []
        for chosen in np.split(order, range(SIZE, len(order), SIZE)):
            (loss, metrics), slope = gradient(eqx.combine(trained, fixed), some.take(jnp.asarray(chosen)))
            rows.append({"size": len(chosen), "loss": float(loss), **{n: float(v) for n, v in metrics.items()}})
            if rows[-1]["approximate_kl"] > limit:
                return eqx.combine(trained, fixed), taken, rows
            (trained, state), taken = stepped(slope, state, trained), taken + 1
    return eqx.combine(trained, fixed), taken, rows


def agree(done: Descended, limit: float = np.inf) -> None:
    one, taken, rows = by_hand(limit)
    for a, b in zip(jax.tree.leaves(done.policy), jax.tree.leaves(one), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)
    assert int(done.metrics["gradient_steps"]) == taken
    sizes = [row["size"] for row in rows]
    for name in ("loss", "clip_share", "approximate_kl"):
        mean = np.average([row[name] for row in rows], weights=sizes)
        assert float(done.metrics[name]) == pytest.approx(mean, rel=1e-3, abs=1e-5), name


def test_the_compiled_passes_are_those_of_a_python_loop() -> None:
    done = compiled()
    agree(done)
    assert int(done.metrics["gradient_steps"]) == 3 * EPOCHS
    some = drawn()
    before, after = (p.parameters(some.observation) for p in (actor(), done.policy))
    share = some.valid / some.valid.sum()
    assert float(done.metrics["kl"]) == pytest.approx(float((share * actor().kl(before, after)).sum()), rel=1e-4)
    fell = OBJECTIVE(actor(), some) - OBJECTIVE(done.policy, some)
    assert float(done.metrics["gain"]) == pytest.approx(float(fell), rel=1e-4, abs=1e-6)
    assert float(done.metrics["entropy"]) == pytest.approx(float(actor().entropy(some.observation)[0]), rel=1e-5)


def test_a_minibatch_beyond_the_target_ends_the_passes_without_its_step() -> None:
    _, whole, rows = by_hand()
    target = rows[0]["approximate_kl"] / 3  # some minibatch before the last pass must exceed 1.5 times this
    done = compiled(target_kl=target)
    agree(done, 1.5 * target)
    assert 0 < int(done.metrics["gradient_steps"]) < whole
    far = compiled(target_kl=1e3)
    assert int(far.metrics["gradient_steps"]) == whole, "the control: a target that is never met changes nothing"
    agree(far)


def test_what_the_geometry_tells_of_minibatches_is_their_mean() -> None:
    """A step so short that every minibatch sees the same policy, one pass over each in an order that is known."""
    geometry = Fisher(1e-2, 3)
    learner = Learner(Uniform(), OBJECTIVE, geometry, Adam(1e-9), batch_size=SIZE)
    some = drawn()
    told = eqx.filter_jit(lambda s: descend(learner, actor(), learner.step.init(partition(actor())[0]), s, KEY))(some)
    order = np.asarray(shuffled(some.valid, jax.random.fold_in(KEY, 0)))
    order = order[np.asarray(some.valid)[order] > 0]
    pieces = [some.take(jnp.asarray(chosen)) for chosen in np.split(order, range(SIZE, len(order), SIZE))]
    seen = [geometry(actor(), piece, OBJECTIVE.measured_gradient(actor(), piece)[1]).metrics for piece in pieces]
    for name in ("curvature", "cg_residual", "damping"):
        mean = np.average([float(one[name]) for one in seen], weights=[16, 16, 8])
        assert float(told.metrics[name]) == pytest.approx(mean, rel=1e-3), name


def test_where_a_target_or_a_ratio_has_no_meaning() -> None:
    parts: tuple = (Uniform(), ClippedSurrogate(), Euclidean(), Adam())
    for options in ({"target_kl": 0.01}, {"target_kl": 0.0, "batch_size": 4}):
        with pytest.raises(JourneymanError, match="ends passes over minibatches of a ratio to the behaviour policy"):
            Learner(*parts, **options)
    with pytest.raises(JourneymanError, match=r"not 0\.1 with WeightedLogLikelihood and batch_size = 4"):
        Learner(Uniform(), WeightedLogLikelihood(), Euclidean(), Adam(), batch_size=4, target_kl=0.1)
    with pytest.raises(
        JourneymanError, match="Surrogate compares with the behaviour's likelihood, which the data that"
    ):
        Learner(Uniform(), Surrogate(), Euclidean(), Adam(), collect=Aggregate(PolicyExpert(actor())))


def test_demonstrations_of_unknown_likelihood_have_no_ratio() -> None:
    random = np.random.default_rng(0)
    recorded = Episodes.episode(random.normal(size=(6, 3)).astype(np.float32), np.ones((5, 2), np.float32))
    learner = Learner(Uniform(), Surrogate(), Euclidean(), Adam())
    with pytest.raises(JourneymanError, match="5 of 5 steps do not say how likely their action was"):
        fit(learner, actor(), recorded)


@pytest.mark.parametrize("kind", ["minibatches", "line search"])
def test_two_seeds_at_once_are_the_two_alone(kind: str) -> None:
    step = Adam(RATE, clip_norm=0.5, epsilon=1e-5)
    passes = {"epochs": EPOCHS, "batch_size": SIZE, "target_kl": 0.02}
    learner = {
        "minibatches": Learner(Uniform(), OBJECTIVE, Euclidean(), step, **passes),  # type: ignore[arg-type]
        "line search": Learner(Uniform(), Surrogate(), Fisher(1e-2, 5), LineSearch(1.0)),
    }[kind]
    state = learner.step.init(partition(actor())[0])

    def run(weight: Array, key: Array) -> tuple[list[Array], dict[str, Array]]:
        done = descend(learner, actor(), state, eqx.tree_at(lambda s: s.weight, drawn(), weight), key)
        return jax.tree.leaves(partition(done.policy)[0]), done.metrics

    weights = jnp.stack([drawn().weight, -2 * drawn().weight])
    keys = jax.random.split(KEY)
    together, alone = jax.jit(jax.vmap(run))(weights, keys), jax.jit(run)
    steps = set()
    for i in range(2):
        one = alone(weights[i], keys[i])
        for a, b in zip(jax.tree.leaves(together), jax.tree.leaves(one), strict=True):
            np.testing.assert_allclose(a[i], b, rtol=2e-3, atol=2e-5)
        steps.add(int(one[1].get("gradient_steps", one[1].get("tries"))))
    assert len(steps) == 2, "the control: the two did not stop at the same moment"


def test_every_order_is_as_likely_as_every_other() -> None:
    draws = 4800
    orders = jax.vmap(lambda key: shuffled(jnp.ones(4), key))(jax.random.split(KEY, draws))
    _, counts = np.unique(np.asarray(orders), axis=0, return_counts=True)
    assert len(counts) == 24
    expected = draws / 24
    assert ((counts - expected) ** 2 / expected).sum() < 60.0, "chi-square with 23 degrees of freedom, p = 4e-5"


@pytest.mark.parametrize("count", [100, 30_000, 70_000])  # one round, one, and two
def test_an_order_has_every_place_once_the_valid_first_and_forgets_where_they_were(count: int) -> None:
    valid = jnp.asarray(np.random.default_rng(0).random(count) < 0.9, jnp.float32)
    order = np.asarray(shuffled(valid, KEY))
    assert (np.sort(order) == np.arange(count)).all()
    inside = int(valid.sum())
    assert (np.asarray(valid)[order[:inside]] == 1).all()
    assert (np.asarray(valid)[order[inside:]] == 0).all()
    first = order[:inside]
    along, beside = (np.corrcoef(a, b)[0, 1] for a, b in ((first, np.arange(inside)), (first[1:], first[:-1])))
    assert max(abs(along), abs(beside)) < 5 / inside**0.5
