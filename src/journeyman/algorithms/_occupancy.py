"""Recipes that imitate by practice: the policy gradient on rewards that demonstrations make."""

import math
from typing import TypedDict, Unpack

from journeyman.geometry import Fisher
from journeyman.objectives import WeightedLogLikelihood
from journeyman.parts import Number
from journeyman.training import KLRadius, Learner
from journeyman.weights import (
    AbstractBaseline,
    AbstractDivergence,
    Advantage,
    Discriminator,
    ForwardKL,
    JensenShannon,
    NetworkBaseline,
    Occupancy,
    ReverseKL,
)


class _Options(TypedDict, total=False):
    """What `match_occupancy` takes beside the divergence; the recipes below change some of its defaults."""

    living: Number
    bound: Number
    discriminator: Discriminator
    kl: float
    discount: float
    lambda_: float
    baseline: AbstractBaseline


def match_occupancy(
    divergence: AbstractDivergence = JensenShannon(),
    *,
    living: Number = 0.0,
    bound: Number = 5.0,
    discriminator: Discriminator = Discriminator(),
    kl: float = 0.02,
    discount: float = 0.995,
    lambda_: float = 0.95,
    baseline: AbstractBaseline = NetworkBaseline(),
) -> Learner:
    """Imitation by practice: do what makes the steps one takes those that were demonstrated, under any f.

        θ* = argmin_θ D_f(p(o, a) ‖ q_θ(o, a)),   ∇D_f = −E_q [(u f'(u) − f(u)) ∇log q_θ(o, a)],   u = p/q

    p is the density of state and action in the demonstrations, q_θ that under the policy, and u comes from a
    `discriminator` that is fitted as the policy learns. So the errors that it minimises are those on the policy's own
    states, which cloning never sees; the price is practice in the world. No reward of the world's counts. `living` and
    `bound` are those of `Occupancy`; `gail`, `airl` and `fairl` are choices of f and `living`.

    Composition: `natural_gradient` with `weight = Occupancy(divergence, inner=Advantage(...))`. Run it with
    `improve(gail(), policy, world, plan, demonstrations=...)`; a fresh policy or a clone.

    Deviations: those of `Occupancy`; the learner is the natural gradient, in GAIL TRPO.
    """
    inner = Advantage(discount=discount, lambda_=lambda_, baseline=baseline)
    return Learner(
        weight=Occupancy(divergence, living, bound, discriminator, inner),
        objective=WeightedLogLikelihood(),
        geometry=Fisher(),
        step=KLRadius(kl),
    )


def gail(**options: Unpack[_Options]) -> Learner:
    """Generative adversarial imitation: `match_occupancy` under Jensen–Shannon, with a reward for staying alive.

        r = −½ log(1 − D(o, a)),   D = σ(l) the probability that a step was demonstrated

    (Ho and Ermon 2016.) r is positive, so an episode that goes on is worth more than one that ends: right for tasks in
    which falling ends it, wrong where reaching a goal does. `options` are those of `match_occupancy`.

    Composition: `match_occupancy(JensenShannon(), living=½ log 2)`.

    Deviations: those of `match_occupancy`; no causal entropy is added (nor in the paper, but for a variant on Reacher).
    """
    options.setdefault("living", 0.5 * math.log(2))
    return match_occupancy(JensenShannon(), **options)


def airl(**options: Unpack[_Options]) -> Learner:
    """Adversarial inverse reinforcement learning's objective: `match_occupancy` under reverse KL.

        r = log D(o, a) − log(1 − D(o, a)) = l(o, a)

    (Fu, Luo and Levine 2018; as a divergence Ghasemipour, Zemel and Gu 2019.) r has both signs: steps that nobody
    showed cost, and a policy far from the demonstrations may prefer to end its episodes. `options` are those of
    `match_occupancy`.

    Composition: `match_occupancy(ReverseKL())`.

    Deviations: those of `match_occupancy`; l is not split into a reward and a shaping term, so no reward that could be
    moved to other dynamics is recovered.
    """
    return match_occupancy(ReverseKL(), **options)


def fairl(**options: Unpack[_Options]) -> Learner:
    """Forward KL between occupancies: `match_occupancy` under the divergence of behaviour cloning, on one's own states.

        r = u = D/(1 − D),   log u cut at ± `bound`

    (Ghasemipour, Zemel and Gu 2019.) Covers all that was demonstrated. u is e^l, so a discriminator that is sure makes
    single steps count for all: `bound` is smaller than for the others. `options` are those of `match_occupancy`.

    Composition: `match_occupancy(ForwardKL(), living=1, bound=2)`.

    Deviations: those of `match_occupancy`; FAIRL's reward −u log u is −f(u), not the weight of the gradient
    (`Occupancy`).
    """
    options.setdefault("living", 1.0)
    options.setdefault("bound", 2.0)
    return match_occupancy(ForwardKL(), **options)
