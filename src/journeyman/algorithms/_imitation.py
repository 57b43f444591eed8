"""Recipes that copy."""

from journeyman.collect import (
    AbstractNoise,
    AbstractQuery,
    AbstractShare,
    Aggregate,
    Constant,
    Everywhere,
    Inject,
    LearnedNoise,
)
from journeyman.experts import AbstractExpert
from journeyman.geometry import Euclidean
from journeyman.objectives import Divergence, WeightedLogLikelihood
from journeyman.policies import AbstractDensityPolicy
from journeyman.training import Adam, Learner
from journeyman.weights import AbstractDivergence, ForwardKL, Uniform


def bc(learning_rate: float = 1e-3, *, epochs: int = 100, batch_size: int = 256, weight_decay: float = 0.0) -> Learner:
    """Behaviour cloning: make the demonstrated actions likely.

        θ* = argmax_θ E_{(o, a*) ~ D} [log π_θ(a* | o)]

    Minimises the forward KL from the demonstrator to the policy on the demonstrator's own states. It averages modes
    when the distribution is too poor, and its errors compound: where each step errs with probability ε, the cost grows
    like εH² (Ross and Bagnell 2010). `learning_rate` is Adam's; `epochs` passes over the data; `weight_decay` per
    step, decoupled.

    Composition: `Uniform` × `WeightedLogLikelihood` × `Euclidean` × `Adam`.

    Deviations: 1. The deviation of the Gaussian is fitted too, not the mean alone.
    2. Inputs are standardised by statistics of the training episodes alone; outputs are
    in half widths of the action box.
    """
    return Learner(
        weight=Uniform(),
        objective=WeightedLogLikelihood(),
        geometry=Euclidean(),
        step=Adam(learning_rate, weight_decay=weight_decay),
        epochs=epochs,
        batch_size=batch_size,
    )


def distill(
    expert: AbstractDensityPolicy,
    divergence: AbstractDivergence = ForwardKL(),
    *,
    draws: int = 16,
    learning_rate: float = 1e-3,
    epochs: int = 100,
    batch_size: int = 256,
    weight_decay: float = 0.0,
) -> Learner:
    """Cloning under any f-divergence, from an expert whose density is known: `fit(distill(expert, f), policy, states)`.

        θ* = argmin_θ E_{o ~ D} [D_f(π*(· | o) ‖ π_θ(· | o))]

    `ForwardKL` recovers behaviour cloning without the noise of sampled actions, `ReverseKL` seeks one mode where the
    policy is too poor to hold all, `JensenShannon`, `TotalVariation`, `ChiSquared` and `Alpha` lie between and beyond
    (Ke et al. 2020). Only the observations of the data count; `draws` actions are drawn at each in every step.

    Composition: `bc` with `objective = Divergence(expert, divergence)`.

    Deviations: those of `bc`.
    """
    return Learner(
        weight=Uniform(),
        objective=Divergence(expert, divergence, draws),
        geometry=Euclidean(),
        step=Adam(learning_rate, weight_decay=weight_decay),
        epochs=epochs,
        batch_size=batch_size,
    )


def dagger(
    expert: AbstractExpert,
    *,
    beta: AbstractShare = Constant(),
    query: AbstractQuery = Everywhere(),
    budget: int | None = None,
    refit: bool = False,
    learning_rate: float = 1e-3,
    epochs: int = 20,
    batch_size: int = 256,
    weight_decay: float = 0.0,
) -> Learner:
    """Dataset aggregation: let the learner act, let the expert label, clone everything gathered so far.

        D ← D ∪ {(o, π*(o)) : o ~ p_{π_i}},   π_{i+1} = argmax_π E_D [log π(π*(o) | o)]

    The cost grows like εH where the expert can recover (Ross, Gordon and Bagnell 2011, algorithm 3.1). `beta` is the
    schedule of β_i, the probability that the expert acts at a step of round i: `Constant(0)` (the default, the version
    without a parameter), `FirstRound`, `Linear`, `Exponential`. `query` chooses the steps that are labels
    (`Evenly(10)`: one in ten; `Uncertain()`, `Disagree()`: where the learner is in doubt), and no more than `budget`
    are taken in all. Each round makes `epochs` passes over all data, from the last policy on or, with `refit`, from
    fresh weights.

    Composition: `bc` with `collect = Aggregate(expert)`. Run it with `improve(dagger(expert), clone, world,
    demonstrations=...)`.

    Deviations: 1. β mixes per step and environment, as in the paper, not per episode. 2. The learner acts by its mode.
    3. The policy is warm-started unless `refit`; the paper refits.
    """
    return Learner(
        weight=Uniform(),
        objective=WeightedLogLikelihood(),
        geometry=Euclidean(),
        step=Adam(learning_rate, weight_decay=weight_decay),
        collect=Aggregate(expert, beta=beta, query=query, budget=budget, refit=refit),
        epochs=epochs,
        batch_size=batch_size,
    )


def dart(
    expert: AbstractExpert,
    *,
    noise: AbstractNoise = LearnedNoise(),
    query: AbstractQuery = Everywhere(),
    budget: int | None = None,
    refit: bool = False,
    learning_rate: float = 1e-3,
    epochs: int = 20,
    batch_size: int = 256,
    weight_decay: float = 0.0,
) -> Learner:
    """Noise injection: disturb the expert as the learner will err, and store what it intended.

        o ~ p(π* + N(0, Σ_i)),   D ← D ∪ {(o, π*(o))},   Σ_{i+1} = E [d dᵀ],  d = π*(o) − π_i(o)

    The demonstrations then cover the states that the learner's errors lead to, and the expert shows how to come back;
    the learner never acts (Laskey et al. 2017, algorithm 1). The controls are other `noise`: `Undisturbed` (only more
    demonstrations), `Isotropic`, `RandomCovariance`. In the log, `return` is what the disturbed expert earns: beside
    round 0, where Σ = 0, it is what the disturbance costs.

    Composition: `bc` with `collect = Inject(expert)`. Run it with `improve(dart(expert), clone, world,
    demonstrations=...)`.

    Deviations: 1. Σ is estimated in every round, from the states of the newest round, by the policy that has not yet
    learned from them; the reference keeps a part of each trajectory back, uses the last five and updates at listed
    rounds. 2. d is between actions clipped to the box. 3. Σ is not rescaled to an expected final error; the reference's
    code does not do it either. 4. The policy is warm-started unless `refit`.
    """
    return Learner(
        weight=Uniform(),
        objective=WeightedLogLikelihood(),
        geometry=Euclidean(),
        step=Adam(learning_rate, weight_decay=weight_decay),
        collect=Inject(expert, noise=noise, query=query, budget=budget, refit=refit),
        epochs=epochs,
        batch_size=batch_size,
    )
