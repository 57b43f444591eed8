"""What errors cost by horizon: policies with a known ε, and clones and their corrections with whatever ε they have."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from journeyman.algorithms import bc, dagger
from journeyman.collect import Demonstrate, play
from journeyman.diagnose import CostByHorizon, Interval, cost_by_horizon, exponent_over_learners, interval
from journeyman.episodes import Episodes
from journeyman.experts import exact
from journeyman.figures._model import Computed, Effort, told
from journeyman.parts import counted
from journeyman.policies import DensityPolicy, policy
from journeyman.training import EVALUATION_SEED, Plan, fit, improve
from journeyman.verify import erring_policy
from journeyman.worlds import AbstractPureWorld, ErrorChain, Ridge

CHAIN = ErrorChain(signs=2000, ways=8, horizon=128)  # type: ignore[call-arg]
RIDGE, DEMONSTRATED = Ridge(), 2  # type: ignore[call-arg]
KNOWN = 1 / 1000
"""ε of the policies whose errors are put in by hand."""

EPISODES = 4000
"""Played for each curve, by the policy and by the expert each."""


CHAIN_RUNS = {"clone, never back": "never", "clone, back by itself": "itself", "DAgger, turning back": "back"}
RIDGE_RUNS = ("clone", "DAgger")


class Learned(NamedTuple):
    """A clone, and a policy that has some of its labels, or more of them, on states of its own."""

    clone: DensityPolicy
    corrected: DensityPolicy


def on_chain(recovery: str) -> ErrorChain:
    """The chain of the figure; what its expert shows is the same whatever the recovery."""
    return ErrorChain(recovery, CHAIN.signs, CHAIN.ways, horizon=CHAIN.horizon)  # type: ignore[call-arg]


def learned_on_chain(seed: int) -> Learned:
    """12,032 labels each: 94 demonstrations, or 62 and then 4,096 labels of DAgger where one can turn back.

    A table of logits (a linear policy of the sign). Some signs are never shown, and there it guesses: that is its ε.
    """
    world = on_chain("back")
    learner, start = bc(0.05, epochs=20, batch_size=512), policy(world, jax.random.key(seed), hidden=())
    few, many = (play(world, Demonstrate(exact(world)), episodes=n, seed=seed) for n in (62, 94))
    clone, less = (_fitted(learner, start, shown, seed) for shown in (many, few))
    mending = dagger(exact(world), learning_rate=0.05, epochs=20, batch_size=512)
    plan = Plan(steps=4096, batch=2048, seed=seed)
    return Learned(clone, improve(mending, less, world, plan, demonstrations=few).policy)


def learned_on_ridge(seed: int) -> Learned:
    """A small network from two demonstrations of 400 steps; 8,192 labels of DAgger on top."""
    shown = play(RIDGE, Demonstrate(exact(RIDGE)), episodes=DEMONSTRATED, seed=seed)
    clone = _fitted(bc(1e-3, epochs=200), policy(RIDGE, jax.random.key(seed), hidden=(32, 32)), shown, seed)
    plan = Plan(steps=8192, batch=1024, seed=seed)
    return Learned(clone, improve(dagger(exact(RIDGE)), clone, RIDGE, plan, demonstrations=shown).policy)


def _fitted(learner: Any, start: DensityPolicy, shown: Episodes, seed: int) -> DensityPolicy:
    passes = learner.epochs
    return fit(learner, start, shown, seed=seed, log_every=passes, checkpoint_every=passes).policy


def measured(
    acts: DensityPolicy, world: AbstractPureWorld, episodes: int, seed: int = EVALUATION_SEED
) -> CostByHorizon:
    """What its errors cost, against the expert that is known exactly."""
    return cost_by_horizon(acts, exact(world), world, episodes=episodes, seed=seed)


def with_known_errors(recovery: str, episodes: int, seed: int = EVALUATION_SEED) -> CostByHorizon:
    """The same of a policy that errs with probability `KNOWN`."""
    world = on_chain(recovery)
    return measured(erring_policy(world, round(KNOWN * world.signs)), world, episodes, seed)


def compounding(effort: Effort) -> Computed:
    """Cost by horizon on the chain and on the ridge, and the exponents."""
    episodes, arrays, numbers = effort.some(EPISODES, 50), {}, {}
    for label, recovery in (("never back", "never"), ("back by itself", "itself")):
        world, found = on_chain(recovery), with_known_errors(recovery, episodes)
        arrays |= {"horizon": found.horizon, f"known {label}": _rows(found)}
        arrays[f"exact {label}"] = [world.expected_cost(KNOWN, horizon=int(h)) for h in found.horizon]
        numbers[f"known, {label}"] = {"exponent": _told(found.exponent)}
    runs = [learned_runs(seed, episodes) for seed in range(effort.seed, effort.seed + effort.seeds)]
    for label in (*CHAIN_RUNS, *(f"ridge, {one}" for one in RIDGE_RUNS)):
        found = [run[label] for run in runs]
        arrays["ridge horizon" if label.startswith("ridge") else "horizon"] = found[0].horizon
        arrays[label] = over_seeds(found, of_error=label in CHAIN_RUNS)
        numbers[label] = summary(found)
    return Computed(arrays, numbers, _caption(numbers), _words(effort, episodes))


def learned_runs(seed: int, episodes: int) -> dict[str, CostByHorizon]:
    """Everything that is learned from one seed, and what it costs."""
    chain, ridge = learned_on_chain(seed), learned_on_ridge(seed)
    acts = {"never": chain.clone, "itself": chain.clone, "back": chain.corrected}
    found = {label: measured(acts[one], on_chain(one), episodes) for label, one in CHAIN_RUNS.items()}
    return found | {
        f"ridge, {one}": measured(acts, RIDGE, episodes) for one, acts in zip(RIDGE_RUNS, ridge, strict=True)
    }


def summary(found: Sequence[CostByHorizon]) -> dict[str, Any]:
    """The exponent of the mean cost over the seeds, those of the seeds that have bounds, ε, and the cost at the end."""
    return {
        "exponent": _told(exponent_over_learners(found)),
        "exponents": [None if (one := _told(each.exponent)) is None else one["mean"] for each in found],
        "seeds": len(found),
        "error": told(interval([one.error.mean for one in found])),
        "cost": told(interval([one.cost[-1].mean for one in found])),
    }


def _told(exponent: Interval | None) -> dict[str, Any] | None:
    """One that has a bound on both sides."""
    return told(exponent) if exponent is not None and exponent.known else None


def over_seeds(found: Sequence[CostByHorizon], of_error: bool) -> np.ndarray:
    """The mean cost (over ε, where it is a probability) with its interval over seeds, `(points, 3)`."""
    unit = [one.error.mean if of_error else 1.0 for one in found]
    cost = [[each.mean / by for each in one.cost] for one, by in zip(found, unit, strict=True) if by > 0]
    return np.asarray([(i.mean, i.low, i.high) for i in map(interval, zip(*cost, strict=True))])


def _rows(found: CostByHorizon) -> np.ndarray:
    return np.asarray([(one.mean, one.low, one.high) for one in found.cost])


def _caption(numbers: dict[str, Any]) -> str:
    never, itself, back = (numbers[label] for label in CHAIN_RUNS)
    clone, dagger = (numbers[f"ridge, {one}"] for one in RIDGE_RUNS)
    return (
        "What errors cost over the first H steps. Left: policies that err with probability .001 at every step of the"
        " error chain, off which a step costs 1; dots are played, crosses exact. Where one never comes back the cost"
        f" grows like H to the power {_power(numbers['known, never back'])}, along εH²/2; where the next step is on the"
        f" path again, {_power(numbers['known, back by itself'])}, along εH. Middle: learned policies on the same"
        f" chain, the cost over their own measured ε (mean {never['error']['mean']:.2g} for the clone and"
        f" {back['error']['mean']:.2g} for DAgger). The clone: {_power(never)}, and {_power(itself)} where it is put"
        " back. Where turning back helps, which no demonstration shows, it pays as if nothing did, and DAgger with as"
        f" many labels pays {_power(back)}. Right: on the ridge, where actions are real and a fall is for ever,"
        f" {_power(clone)} for the clone, which pays {clone['cost']['mean']:.2g} in the end, and {_power(dagger)} for"
        f" DAgger, which pays {dagger['cost']['mean']:.2g} (a bar down to the edge goes on to 0 and below)."
    )


def _power(found: dict[str, Any]) -> str:
    one = found["exponent"]
    if one is None:
        return "(no exponent with bounds)"
    return f"{one['mean']:.2f}" + ("" if one["low"] is None else f" ({one['low']:.2f} to {one['high']:.2f})")


def _words(effort: Effort, episodes: int) -> str:
    return (
        f"{episodes:,} episodes for each curve and as many of the expert, from the same seeds; left: 95 %"
        f" intervals over episodes; middle and right: {counted(effort.seeds, 'learner')} from seed {effort.seed}, 95 %"
        " intervals of the mean over them, exponents those of the mean cost"
    )
