"""`sweep`: members are single runs, one program serves a run of any length, and a killed sweep goes on to the bit."""

import dataclasses
import functools
import gc
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

import journeyman.training._loop as loop_module
from journeyman.algorithms import dagger, ppo, reinforce
from journeyman.collect import Mean, play, play_each, start
from journeyman.experts import PolicyExpert
from journeyman.geometry import Direction, Euclidean
from journeyman.objectives import WeightedLogLikelihood
from journeyman.parts import JourneymanError, fingerprint
from journeyman.policies import DensityPolicy, load, policy
from journeyman.training import AbstractStep, Adam, Learner, Plan, Recorder, improve, read_metrics, sweep
from journeyman.training._iteration import ROOM, Running, named_key, several, strict, together
from journeyman.training._learner import initial
from journeyman.training._tally import Tally
from journeyman.weights import Advantage, NetworkBaseline
from journeyman.worlds import LinearQuadratic, Outcome

TRACES: list[str] = []


class _Traced(LinearQuadratic):
    """The same world; every trace of it leaves a mark."""

    def reset(self, key: Any) -> Any:
        TRACES.append("reset")
        return super().reset(key)

    def step(self, state: Any, action: Any, key: Any) -> tuple[Any, Outcome]:
        TRACES.append("step")
        return super().step(state, action, key)


WORLD = _Traced(0.9, horizon=5, start_std=1.0, num_envs=4)
BASELINE = NetworkBaseline(hidden=(4,), epochs=1, batch_size=20)
RATES = (1e-3, 3e-2)
PLAN = Plan(steps=7 * 40, batch=40, seed=3, evaluation_episodes=3, evaluate_every=3, checkpoint_every=2)


def recipe(rate: float) -> Learner:
    return reinforce(rate, baseline=BASELINE, lambda_=0.9)


def actors(count: int = 2) -> list[DensityPolicy]:
    return [policy(WORLD, jax.random.key(i), hidden=(4,)) for i in range(count)]


@functools.cache
def swept() -> tuple[Any, list[tuple[int, int]]]:
    """Two seeds with two rates, and how often the world had been traced at each row."""
    marks: list[tuple[int, int]] = []
    jax.clear_caches()  # or programs that another test compiled would not be traced here
    TRACES.clear()
    listen = Recorder(listen=lambda row: marks.append((TRACES.count("reset"), TRACES.count("step"))))
    return sweep([recipe(rate) for rate in RATES], actors(), WORLD, PLAN, record=listen), marks


@functools.cache
def single(member: int) -> Any:
    plan = dataclasses.replace(PLAN, seed=PLAN.seed + member)
    return improve(recipe(RATES[member]), actors()[member], WORLD, plan)


def leaves(one: DensityPolicy) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(eqx.filter(one, eqx.is_inexact_array))])


# -- members are single runs ----------------------------------------------------------------------------


@pytest.mark.parametrize("member", [0, 1])
def test_a_member_of_a_sweep_is_the_run_with_its_seed_and_its_numbers(member: int) -> None:
    found, alone = swept()[0], single(member)
    # A product with an axis of members in front adds in another order: rounding, carried through six updates.
    np.testing.assert_allclose(leaves(found.policies[member]), leaves(alone.policy), rtol=2e-4, atol=2e-5)
    assert len(found.rows) == len(alone.rows)
    for row, other in zip(found.rows, alone.rows, strict=True):
        assert (row["step"], row["iteration"]) == (other["step"], other["iteration"])
        assert set(row) == set(other)
        for name in set(row) - {"step", "iteration", "clock"}:
            np.testing.assert_allclose(row[name][member], other[name], rtol=2e-3, atol=2e-4, err_msg=name)
    # The control: the other member is another run.
    assert np.abs(leaves(found.policies[1 - member]) - leaves(alone.policy)).max() > 1e-2


def test_a_number_that_members_do_not_share_is_what_makes_them_differ() -> None:
    same = actors(1) * 2
    plan = dataclasses.replace(PLAN, steps=3 * 40, evaluation_episodes=0)
    one, other = sweep([recipe(rate) for rate in RATES], same, WORLD, plan).policies
    first, again = (
        improve(recipe(RATES[1]), same[0], WORLD, dataclasses.replace(plan, seed=PLAN.seed + 1)).policy,
        other,
    )
    np.testing.assert_allclose(leaves(again), leaves(first), rtol=2e-4, atol=2e-5)
    assert np.abs(leaves(one) - leaves(other)).max() > 1e-2


def test_ppo_is_swept_over_its_entropy_and_a_member_without_learns_as_it_does_alone() -> None:
    plan = dataclasses.replace(PLAN, steps=3 * 40, evaluation_episodes=0)
    recipes = [ppo(entropy=c, epochs=2, batch_size=20, baseline=BASELINE) for c in (0.0, 0.5)]
    found, actor = sweep(recipes, actors(1) * 2, WORLD, plan), actors(1)[0]
    for member, one in enumerate(recipes):
        alone = improve(one, actor, WORLD, dataclasses.replace(plan, seed=PLAN.seed + member))
        np.testing.assert_allclose(leaves(found.policies[member]), leaves(alone.policy), rtol=2e-4, atol=2e-5)
    swapped = improve(recipes[0], actor, WORLD, dataclasses.replace(plan, seed=PLAN.seed + 1))
    assert np.abs(leaves(found.policies[1]) - leaves(swapped.policy)).max() > 1e-3, "the bonus is there"


def test_behaviours_played_together_play_what_each_plays_alone() -> None:
    ones = actors()
    together = play_each(WORLD, Mean(jax.tree.map(lambda *x: jnp.stack(x), *ones)), members=2, episodes=3, seed=5)
    for one, found in zip(ones, together, strict=True):
        alone = play(WORLD, Mean(one), episodes=3, seed=5)
        np.testing.assert_allclose(found.reward, alone.reward, rtol=1e-5)
        np.testing.assert_array_equal(found.valid, alone.valid)


# -- one program ----------------------------------------------------------------------------------------


def test_nothing_is_traced_after_the_first_piece_and_its_evaluation() -> None:
    _, marks = swept()
    # Row 0 is the evaluation before, row 1 the first piece: everything is traced by then, once.
    assert marks[1] == marks[-1]
    assert marks[-1][1] == 2, "the step once in the loop and once in the evaluation"
    assert len(marks) == 8


@functools.cache
def begun() -> tuple[Learner, DensityPolicy, Running]:
    learner, actor = recipe(1e-2), actors(1)[0]
    state = initial(learner, actor, jax.random.key(1))
    return learner, actor, strict(Running(state, start(WORLD), Tally.fresh(4), jnp.zeros((), jnp.int32)))


def run(first: int, until: int, running: Running) -> tuple[Running, Any, int]:
    learner = begun()[0]
    ends = (jnp.asarray(i, jnp.int32) for i in (first, until))
    world, warm = WORLD.remake(seed=0), jnp.ones((), bool)
    found = several(learner, world, running, jax.random.key(0), *ends, warm, num_steps=10, group=None, staggered=True)
    return found[0], found[1], int(found[2])


def test_how_a_run_is_cut_into_pieces_changes_no_bit_and_compiles_nothing() -> None:
    running = begun()[2]
    whole, rows, reached = run(0, 9, running)
    assert reached == 9
    TRACES.clear()
    for first, until in ((0, 1), (1, 2), (2, 7), (7, 9)):
        running, piece, _ = run(first, until, running)
        np.testing.assert_array_equal(
            piece["counted"]["return"][: until - first], rows["counted"]["return"][first:until]
        )
    assert fingerprint(running) == fingerprint(whole)
    assert TRACES == []
    # The control: it is no still picture that is compared.
    assert fingerprint(run(0, 8, begun()[2])[0]) != fingerprint(whole)


def test_what_a_long_run_needs_is_set_aside_once() -> None:
    _, rows, _ = run(0, 2, begun()[2])
    _, more, _ = run(0, ROOM, begun()[2])
    sizes = [sum(leaf.nbytes for leaf in jax.tree.leaves(one)) for one in (rows, more)]
    assert sizes[0] == sizes[1]
    assert all(leaf.shape[0] == ROOM for leaf in jax.tree.leaves(more))


# -- killed, resumed, kept ------------------------------------------------------------------------------


class _Death(Exception):
    pass


def test_a_killed_sweep_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    learners = [recipe(rate) for rate in RATES]

    def die(row: dict[str, Any]) -> None:
        if row["iteration"] == 5:
            raise _Death

    whole = sweep(learners, actors(), WORLD, PLAN, record=Recorder(tmp_path / "whole"))
    with pytest.raises(_Death):
        sweep(learners, actors(), WORLD, PLAN, record=Recorder(tmp_path / "killed", listen=die))
    assert not (tmp_path / "killed" / "policies").exists()
    others = [recipe(2 * rate) for rate in RATES]
    with pytest.raises(JourneymanError, match=r"begun with other values in learner\.step\.learning_rate; resume with"):
        sweep(others, actors(), WORLD, PLAN, record=Recorder(tmp_path / "killed", resume=True))
    resumed = sweep(learners, actors(), WORLD, PLAN, record=Recorder(tmp_path / "killed", resume=True))
    rows = [read_metrics(tmp_path / name, clock=False) for name in ("whole", "killed")]
    assert rows[0] == rows[1]
    for number, (one, other) in enumerate(zip(whole.policies, resumed.policies, strict=True), PLAN.seed):
        kept = load(tmp_path / "killed" / "policies" / str(number))
        assert fingerprint(one) == fingerprint(other) == fingerprint(kept)
    # What is recorded is what was learned without a record.
    assert [fingerprint(one) for one in whole.policies] == [fingerprint(one) for one in swept()[0].policies]


# -- an update that is not finite -----------------------------------------------------------------------


class _Bursts(AbstractStep):
    """Goes nowhere, until the third step of the member with a number above 1."""

    number: Any

    def init(self, trained: Any) -> Any:
        return jnp.zeros(())

    def __call__(self, direction: Direction, state: Any, trained: Any, trial: Any) -> tuple[Any, Any, dict]:
        size = jnp.where((state >= 2) & (self.number > 1), jnp.inf, 0.0)
        return jax.tree.map(lambda leaf: jnp.full_like(leaf, 1) * size, trained), state + 1, {}


def test_a_burst_stops_all_members_and_names_the_seed(tmp_path: Path) -> None:
    parts = (Advantage(0.9, 1.0, BASELINE), WeightedLogLikelihood(), Euclidean())
    learners = [Learner(*parts, _Bursts(number)) for number in (1.0, 2.0)]
    plan = dataclasses.replace(PLAN, steps=30 * 40, evaluation_episodes=0, checkpoint_every=100)
    heard: list[dict] = []
    with pytest.raises(JourneymanError, match=r"The update at 4 made 'policy.network.weights\[0\]' of seed 4 not fin"):
        sweep(learners, actors(), WORLD, plan, record=Recorder(tmp_path / "run", listen=heard.append))
    assert heard[-1]["iteration"] == 4, "nothing is learned beyond it"
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == [f"{4:012d}"]
    assert sorted(path.name for path in (tmp_path / "run" / "policies").iterdir()) == ["3", "4"], "the last finite ones"


# -- refusals -------------------------------------------------------------------------------------------


def refused(*arguments: Any) -> str:
    with pytest.raises(JourneymanError) as found:
        sweep(*arguments)
    return str(found.value)


def test_what_cannot_be_swept_is_told_at_once() -> None:
    kept = dagger(PolicyExpert(actors(1)[0]))
    wide = policy(WORLD, jax.random.key(0), hidden=(5,))
    message = refused([kept], [actors(1)[0], wide], WORLD, PLAN)
    assert message.startswith("3 things are wrong")
    assert "There are 1 learners for 2 policies" in message
    assert "Aggregate keeps its data on the host" in message
    assert "must have one architecture" in message


def test_learners_may_differ_in_numbers_alone() -> None:
    message = refused([recipe(1e-2), dataclasses.replace(recipe(1e-2), epochs=2)], actors(), WORLD, PLAN)
    assert "Learner 1 differs from learner 0 in its parts, or in a number that decides shapes" in message
    assert "none; pass one a seed" in refused(recipe(1e-2), [], WORLD, PLAN)


def test_a_policy_that_has_seen_data_beside_a_fresh_one() -> None:
    fresh = actors()
    seen = eqx.tree_at(lambda p: p.normalizer.count, fresh[1], jnp.ones(()))
    assert "some are fresh" in refused(recipe(1e-2), [fresh[0], seen], WORLD, PLAN)


def test_the_numbers_of_each_member_are_checked() -> None:
    with pytest.raises(JourneymanError, match="positive learning rate"):
        Adam(jnp.asarray([1e-3, -1.0]))
    with pytest.raises(JourneymanError, match=r"discount must lie in \(0, 1\]"):
        Advantage(discount=jnp.asarray([0.9, 1.1]))
    assert "value baseline" in Advantage(lambda_=jnp.asarray([1.0, 0.9])).requires()
    assert "value baseline" not in Advantage(lambda_=jnp.asarray([1.0, 1.0])).requires()


def test_a_key_for_one_purpose_is_the_same_whoever_makes_it() -> None:
    made = [named_key(7, "learn", 3), named_key(jax.random.key(7), "learn", jnp.asarray(3, jnp.int32))]
    assert jax.random.key_data(made[0]).tolist() == jax.random.key_data(made[1]).tolist()
    assert jax.random.key_data(named_key(7, "refit", 3)).tolist() != jax.random.key_data(made[0]).tolist()


@pytest.mark.parametrize(("members", "at_once"), [(1, 1), (3, 3), (4, 4), (7, 7), (8, 4), (10, 5), (64, 4), (11, 4)])
def test_a_processor_computes_a_few_members_at_once(members: int, at_once: int) -> None:
    assert together(members) == at_once


@pytest.mark.slow
def test_how_members_are_grouped_changes_no_more_than_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five members in groups of two and a rest, and all at once."""
    plan, found = Plan(steps=4 * 40, batch=40), []
    for size in (2, 5):
        monkeypatch.setattr(loop_module, "together", lambda members, size=size: size)
        found.append(sweep(recipe(1e-2), actors(5), WORLD, plan).policies)
    for few, many in zip(*found, strict=True):
        np.testing.assert_allclose(leaves(few), leaves(many), rtol=1e-4, atol=1e-6)


def test_beginning_compiles_few_programs_and_collects_no_garbage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every program, however small, is traced, lowered and read again in every process, with a cache too."""
    compiled: list[str] = []
    collecting: list[bool] = []
    reset = LinearQuadratic.reset

    def seen(event: str, seconds: float, **told: Any) -> None:
        if event.endswith("backend_compile_duration"):
            compiled.append(told.get("fun_name", ""))

    def watched(world: LinearQuadratic, key: Array) -> Any:
        collecting.append(gc.isenabled())
        return reset(world, key)

    monkeypatch.setattr(LinearQuadratic, "reset", watched)
    jax.clear_caches()
    jax.monitoring.register_event_duration_secs_listener(seen)
    try:
        sweep(recipe(1e-2), actors(3), WORLD, dataclasses.replace(PLAN, steps=40))
    finally:
        jax.monitoring.unregister_event_duration_listener(seen)
    assert compiled.count("jit(several)") == 1
    assert compiled.count("jit(stage)") < 5, "what the host has is put there: an array made of it is a program a shape"
    assert len(compiled) < 50
    assert collecting, "the world was traced"
    assert not any(collecting), "tracing makes hardly any garbage"
