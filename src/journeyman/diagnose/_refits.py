"""The recipe fitted again, in several ways: each episode is judged by fits that have not seen it."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import numpy as np

from journeyman.diagnose._error import actions_of, constant_action, errors
from journeyman.diagnose._paired import Paired, paired
from journeyman.episodes import Episodes, concatenate
from journeyman.policies import MLP, DensityPolicy, Encoder, Normalizer
from journeyman.training import Learner, fit
from journeyman.worlds import AbstractWorld

WORST = 0.25
"""The share of the demonstrations that counts as the worst."""

Choose = Callable[[np.ndarray, np.random.Generator], np.ndarray]


class Arm(NamedTuple):
    """One way to train: a policy to begin with, a recipe, the episodes as it sees them, and which of those that it may
    use it does use."""

    fresh: DensityPolicy
    learner: Learner
    episodes: Sequence[Episodes]
    choose: Choose = lambda training, random: training


class Crossed(NamedTuple):
    """The error on each episode by the fits that have not seen it, `(seeds, episodes)`, and on those that each fit was
    made from, `(seeds, folds)`."""

    held_out: np.ndarray
    training: np.ndarray


def crossed(arm: Arm, world: AbstractWorld, folds: np.ndarray, seeds: Sequence[int]) -> Crossed:
    """Fit the arm without each fold in turn, once a seed; `folds` (episodes,) says which fold an episode is in."""
    count = int(folds.max()) + 1
    held_out, training = np.empty((len(seeds), len(folds))), np.empty((len(seeds), count))
    for row, seed in enumerate(seeds):
        for fold in range(count):
            # Every arm draws from the same seed, and begins with the same fold's random numbers.
            random = np.random.default_rng([seed, fold])
            used = arm.choose(np.flatnonzero(folds != fold), random)
            out = np.flatnonzero(folds == fold)
            shown = concatenate([arm.episodes[i] for i in used.tolist()])
            start = redrawn(arm.fresh, seed)
            passes = arm.learner.epochs
            acts = fit(arm.learner, start, shown, seed=seed, log_every=passes, checkpoint_every=passes).policy
            held_out[row, out] = by_episode(acts, world, [arm.episodes[i] for i in out.tolist()])
            training[row, fold] = by_episode(acts, world, [arm.episodes[i] for i in used.tolist()]).mean()
    return Crossed(held_out, training)


def by_episode(acts: DensityPolicy, world: AbstractWorld, episodes: Sequence[Episodes]) -> np.ndarray:
    """The mean error of each episode, in the order given."""
    joined = concatenate(episodes)
    totals = errors(actions_of(joined, acts), world, joined).totals()
    return totals.numerator / totals.denominator


def redrawn(fresh: DensityPolicy, seed: int) -> DensityPolicy:
    """The policy with fresh weights and nothing seen."""
    network = fresh.network.redrawn(jax.random.key(seed))
    normalizer = Normalizer.fresh(fresh.encoder.size)
    return eqx.tree_at(lambda p: (p.network, p.normalizer), fresh, (network, normalizer))


def assigned(count: int, folds: int, seed: int) -> np.ndarray:
    """A fold for each episode, as even as can be."""
    return np.random.default_rng(seed).permutation(np.arange(count) % folds)


# -- the arms ------------------------------------------------------------------------------------------------


def fraction(arm: Arm, share: float) -> Arm:
    """A random `share` of the episodes, with as many gradient steps."""

    def choose(training: np.ndarray, random: np.random.Generator) -> np.ndarray:
        return np.sort(random.permutation(training)[: max(round(share * len(training)), 1)])

    return arm._replace(learner=_times(arm.learner, 1 / share), choose=choose)


def larger(arm: Arm) -> Arm:
    """Three times the passes, and twice the width where the network is an MLP with hidden layers."""
    fresh = arm.fresh
    if isinstance(fresh.network, MLP):
        inputs, *hidden, outputs = _sizes(fresh.network)
        network = MLP.make(
            [inputs, *(2 * width for width in hidden), outputs],
            jax.random.key(0),
            activation=fresh.network.activation,
        )
        fresh = eqx.tree_at(lambda p: p.network, fresh, network)
    return arm._replace(fresh=fresh, learner=_times(arm.learner, 3))


def remembering(arm: Arm) -> Arm | None:
    """The same with the observation and the action of the step before, and whether there was one; `None` where the
    network is no MLP and cannot be made wider at its input."""
    fresh = arm.fresh
    if not isinstance(fresh.network, MLP):
        return None
    told = [_with_past(one, fresh.encoder) for one in arm.episodes]
    inputs = told[0].observation.shape[-1]
    _, *hidden, outputs = _sizes(fresh.network)
    network = MLP.make([inputs, *hidden, outputs], jax.random.key(0), activation=fresh.network.activation)
    encoder = Encoder(((inputs,),), (0,))
    return arm._replace(
        fresh=DensityPolicy(encoder, Normalizer.fresh(inputs), network, fresh.head),
        episodes=told,
    )


def leaving_out(arm: Arm, share: float, score: np.ndarray | None) -> Arm:
    """Without the `share` of the episodes whose `score` is worst, or, without a score, without as many at random."""

    def choose(training: np.ndarray, random: np.random.Generator) -> np.ndarray:
        keep = len(training) - round(share * len(training))
        drawn = random.permutation(training)
        if score is not None:
            drawn = drawn[np.argsort(-score[drawn], kind="stable")]
        return np.sort(drawn[:keep])

    return arm._replace(choose=choose)


def _with_past(episode: Episodes, encoder: Encoder) -> Episodes:
    """One episode whose observation is (o_t, o_{t−1}, a_{t−1}, whether there is a step before)."""
    seen = np.asarray(encoder(episode.observation), np.float32)
    steps = len(episode.valid)
    done = np.asarray(episode.action, np.float32).reshape(steps, -1)
    before = np.concatenate([np.zeros_like(seen[:1]), seen[:-1]])
    acted = np.concatenate([np.zeros_like(done[:1]), done])
    there = (np.arange(steps + 1) > 0).astype(np.float32)[:, None]
    return dataclasses.replace(episode, observation=np.concatenate([seen, before, acted, there], axis=1))


def _times(learner: Learner, factor: float) -> Learner:
    return dataclasses.replace(learner, epochs=max(round(factor * learner.epochs), 1))


def _sizes(network: MLP) -> list[int]:
    return [weight.shape[0] for weight in network.weights] + [network.weights[-1].shape[1]]


class Refits(NamedTuple):
    """All arms, crossed with folds and seeds.

    `arms` by name; `spread` is the error of doing always the same, and `constant` says what: the mean of what was done,
    of choices the commonest; `good` (episodes,) bool marks those that are not among the worst, `None` where nobody says
    which are.
    """

    arms: dict[str, Crossed]
    spread: float
    constant: str
    good: np.ndarray | None

    def compared(self) -> dict[str, Paired]:
        """The paired comparison of each cause that refits can speak of."""
        held_out = {name: one.held_out for name, one in self.arms.items()}
        pairs = {
            "too little data": ("half", "all"),
            "underfitting": ("all", "larger"),
            "memory": ("all", "remembering"),
        }
        found = {
            name: paired(held_out[more] - held_out[less]) for name, (more, less) in pairs.items() if less in held_out
        }
        if self.good is not None:
            away = held_out["without some at random"] - held_out["without the worst"]
            found["bad demonstrations"] = paired(away[:, self.good])
        return found


def refitted(arm: Arm, world: AbstractWorld, score: np.ndarray | None, folds: int, seeds: int, seed: int) -> Refits:
    """Every way of training, on the same folds and seeds. `score` (episodes,): the larger, the better."""
    arms = {"all": arm, "half": fraction(arm, 0.5), "quarter": fraction(arm, 0.25), "larger": larger(arm)}
    past = remembering(arm)
    arms |= {} if past is None else {"remembering": past}
    good = None
    if score is not None:
        arms |= {
            "without some at random": leaving_out(arm, WORST, None),
            "without the worst": leaving_out(arm, WORST, score),
        }
        good = np.ones(len(score), bool)
        good[np.argsort(score, kind="stable")[: round(WORST * len(score))]] = False
    places, trainings = assigned(len(arm.episodes), folds, seed), range(seed, seed + seeds)
    found = {name: crossed(one, world, places, trainings) for name, one in arms.items()}
    return Refits(found, *_spread(arm, world), good)


def _spread(arm: Arm, world: AbstractWorld) -> tuple[float, str]:
    joined = concatenate(arm.episodes)
    always, said = constant_action(world, joined)
    return errors(np.broadcast_to(always, np.shape(joined.target)), world, joined).totals().estimate, said
