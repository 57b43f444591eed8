"""The causes of a bad clone: each is planted and must come out as the one that is found; a good clone has none."""

import json
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from journeyman.algorithms import bc
from journeyman.collect import Demonstrate, play
from journeyman.diagnose import CloneDiagnosis, clone
from journeyman.diagnose._refits import Arm, _spread, assigned, crossed, leaving_out, remembering
from journeyman.episodes import Episodes, concatenate
from journeyman.experts import PolicyExpert
from journeyman.parts import JourneymanError
from journeyman.policies import DensityPolicy, policy
from journeyman.training import Learner, fit
from journeyman.worlds import ErrorChain, LinearQuadratic

Act = Callable[[np.random.Generator, np.ndarray], np.ndarray]
ENOUGH = bc(1e-2, epochs=60, batch_size=32)


def world(size: int = 1) -> LinearQuadratic:
    return LinearQuadratic(np.eye(size), np.ones((size, 1)), np.eye(size), 1.0, horizon=8, start_std=0.5, noise=0.1)


def shown(act: Act, episodes: int = 24, size: int = 1, steps: int = 8, rewards: np.ndarray | None = None) -> Episodes:
    """States drawn afresh, and what `act` does there."""
    random, found = np.random.default_rng(0), []
    for i in range(episodes):
        seen = random.normal(size=(steps + 1, size)).astype(np.float32)
        done = act(random, seen)[:steps].astype(np.float32)
        found.append(Episodes.episode(seen, done, None if rewards is None else np.full(steps, rewards[i])))
    return concatenate(found)


def fresh(size: int = 1, hidden: tuple[int, ...] = (8,)) -> DensityPolicy:
    return policy(world(size), jax.random.key(0), hidden=hidden)


def diagnosed(learner: Learner, data: Episodes, start: DensityPolicy, size: int = 1, **more) -> CloneDiagnosis:
    passes = learner.epochs
    fitted = fit(learner, start, data, log_every=passes, checkpoint_every=passes).policy
    options = {"folds": 2, "seeds": 2, "episodes": 8} | more
    return clone(fitted, learner, data, world(size), fresh=start, **options)


def linear(r: np.random.Generator, o: np.ndarray) -> np.ndarray:
    return -0.5 * o[:, :1] + 0.1 * r.normal(size=(len(o), 1))


def test_what_is_done_always_is_the_mean_and_of_choices_the_commonest() -> None:
    chain = ErrorChain(signs=4, horizon=20)

    def spread(actions: list[int]) -> float:
        seen = np.zeros(len(actions) + 1, np.int32)
        episode = Episodes.episode(seen, np.asarray(actions, np.int32))
        value, said = _spread(Arm(None, None, [episode]), chain)
        assert said == "the commonest"
        return value

    assert spread([1] * 18 + [0] * 2) == pytest.approx(0.1)
    assert spread([0, 2] * 10) == pytest.approx(0.5)  # the mean of the two is a third action
    assert spread([1] * 20) == 0
    value, said = _spread(Arm(None, None, [shown(lambda r, o: np.sign(o[:, :1]), 1)]), world())
    assert said == "the mean"
    assert 0 < value <= 1


@pytest.mark.slow
def test_a_good_clone_has_no_cause() -> None:
    found = diagnosed(ENOUGH, shown(linear), fresh())
    assert found.found == ()
    assert found.finding.startswith("No cause was found among 3 that were compared, and 3 could not be asked about")
    assert found.cause("memory").verdict in ("no detectable difference", "the other way round")
    assert found.cause("compounding error").sentence.endswith("there is no expert to label the policy's own states.")
    assert [one.name for one in found.causes if one.verdict == "cannot tell"] == [
        "mode averaging",
        "compounding error",
        "bad demonstrations",
    ]
    assert len(found.cannot_tell) == 5
    assert "- compounding error: there is no expert" in found.table()
    assert "returns of refits" in found.table()
    json.dumps(found.numbers(), allow_nan=False)
    noise = 0.1 * (2 / np.pi) ** 0.5  # E |N(0, .1²)|: no clone errs less
    assert found.error.mean == pytest.approx(noise, rel=0.2)
    assert "equal" not in found.table()


def test_a_demonstrator_with_memory() -> None:
    def remembers(r: np.random.Generator, o: np.ndarray) -> np.ndarray:
        return -np.concatenate([np.zeros((1, 1)), o[:-1]]) + 0.1 * r.normal(size=(len(o), 1))

    found = diagnosed(ENOUGH, shown(remembers), fresh())
    assert found.found == ("memory",)
    cause = found.cause("memory")
    assert cause.difference.low > 0.3
    assert cause.p < 0.01
    assert cause.smallest < cause.difference.mean
    assert found.finding.startswith("Found: memory (24 episodes, 2 training seeds)")


@pytest.mark.slow
def test_a_fit_that_was_too_short() -> None:
    found = diagnosed(bc(1e-3, epochs=10, batch_size=32), shown(linear), fresh())
    assert found.found == ("underfitting",)
    assert found.training_error.mean == pytest.approx(found.error.mean, rel=0.2), "not for want of data"


@pytest.mark.slow
def test_too_few_demonstrations() -> None:
    """Eight numbers decide, and a fold leaves 24 of 48 steps: half of them hardly tell."""
    weight = np.linspace(-1, 1, 8)[:, None]

    def wide(r: np.random.Generator, o: np.ndarray) -> np.ndarray:
        return o @ weight + 0.3 * r.normal(size=(len(o), 1))

    data = shown(wide, episodes=48, size=8, steps=1)
    found = diagnosed(bc(3e-2, epochs=150, batch_size=32), data, fresh(8, ()), size=8, seeds=4)
    assert "too little data" in found.found
    assert found.found == ("too little data",)
    assert found.curve["quarter"].mean > found.curve["half"].mean > found.curve["all"].mean


@pytest.mark.slow
def test_bad_demonstrations() -> None:
    """Every fourth pushes the other way and harder, and earns less. One step each: nothing before it tells which."""
    kind = np.arange(64) % 4 == 0
    signs = iter(np.where(kind, 4.0, -1.0))

    def mixed(r: np.random.Generator, o: np.ndarray) -> np.ndarray:
        return next(signs) * o + 0.1 * r.normal(size=o.shape)

    data = shown(mixed, episodes=64, steps=1, rewards=np.where(kind, 0.0, 1.0))
    learner = bc(1e-2, epochs=100, batch_size=32)
    found = diagnosed(learner, data, fresh(hidden=()), seeds=4)
    assert found.found == ("bad demonstrations",), found.table()
    assert found.demonstrated.mean == pytest.approx(0.75)


@pytest.mark.slow
def test_averaged_modes() -> None:
    def two(r: np.random.Generator, o: np.ndarray) -> np.ndarray:
        return r.choice([-2, 2], (len(o), 1)) + 0.4 * r.normal(size=(len(o), 1))

    found = diagnosed(bc(1e-2, epochs=20, batch_size=64), shown(two, episodes=60), fresh())
    assert found.found == ("mode averaging",)
    cause = found.cause("mode averaging")
    assert cause.difference.high < 0.5, "half of the demonstrations should be in the policy's middle half"
    assert cause.p < 0.05


@pytest.mark.slow
def test_compounding_errors() -> None:
    """A clone that runs away, beside a recipe that would not."""

    def gain(value: float) -> DensityPolicy:
        start = fresh(hidden=())
        return eqx.tree_at(lambda p: p.network.weights[0], start, jnp.full_like(start.network.weights[0], value))

    expert = PolicyExpert(gain(-0.5))
    line = world()
    data = play(line, Demonstrate(expert), episodes=12, seed=3)
    found = clone(gain(0.3), ENOUGH, data, line, fresh=fresh(), expert=expert, folds=2, seeds=2, episodes=16)
    assert found.found == ("compounding error",)
    assert found.errors.compounds
    assert found.cause("compounding error").difference.low > 0
    assert found.cause("memory").verdict != "found"


# -- the parts ---------------------------------------------------------------------------------------------


def test_who_remembers_is_shown_the_step_before_it() -> None:
    data = shown(linear, episodes=1, steps=3)
    arm = remembering(Arm(fresh(), ENOUGH, list(data.unpack())))
    seen, done = np.asarray(data.observation)[0], np.asarray(data.action)[0]
    wanted = [[seen[0, 0], 0, 0, 0], [seen[1, 0], seen[0, 0], done[0, 0], 1], [seen[2, 0], seen[1, 0], done[1, 0], 1]]
    np.testing.assert_allclose(np.asarray(arm.episodes[0].observation)[:3], wanted, rtol=1e-6)
    assert arm.fresh.network.weights[0].shape == (4, 8)


def test_each_episode_is_judged_by_fits_that_have_not_seen_it() -> None:
    """A recipe that learns by heart errs on what it has not seen, and hardly on what it has."""
    data = shown(lambda r, o: r.normal(size=(len(o), 1)), episodes=8, size=8, steps=1)
    pieces = list(data.unpack())
    learner = bc(3e-2, epochs=300, batch_size=8)
    found = crossed(Arm(fresh(8, (32,)), learner, pieces), world(8), assigned(8, 2, 0), [0])
    assert found.training.mean() < 0.2 * found.held_out.mean()


def test_the_worst_and_as_many_at_random_are_left_out() -> None:
    arm = Arm(fresh(), ENOUGH, [])
    random = np.random.default_rng(0)
    score = np.arange(12.0)
    assert leaving_out(arm, 0.25, score).choose(np.arange(12), random).tolist() == list(range(3, 12))
    assert len(leaving_out(arm, 0.25, None).choose(np.arange(12), random)) == 9


def test_what_is_wrong_is_told_at_once() -> None:
    data = shown(linear, episodes=3)
    with pytest.raises(JourneymanError, match=r"(?s)there are 3 of at least 6.*1 folds.*1 training seed.*`returns`"):
        clone(fresh(), ENOUGH, data, world(), folds=1, seeds=1, returns=np.ones(2))
