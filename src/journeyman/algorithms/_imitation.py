"""Recipes that copy."""

from journeyman.collect import Aggregate
from journeyman.experts import AbstractExpert
from journeyman.geometry import Euclidean
from journeyman.objectives import WeightedLogLikelihood
from journeyman.training import Adam, Learner
from journeyman.weights import Uniform


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


def dagger(
    expert: AbstractExpert,
    *,
    beta: float = 0.0,
    decay: float = 0.0,
    learning_rate: float = 1e-3,
    epochs: int = 20,
    batch_size: int = 256,
    weight_decay: float = 0.0,
) -> Learner:
    """Dataset aggregation: let the learner act, let the expert label, clone everything gathered so far.

        D ← D ∪ {(o, π*(o)) : o ~ p_{π_i}},   π_{i+1} = argmax_π E_D [log π(π*(o) | o)]

    The cost grows like εH where the expert can recover (Ross, Gordon and Bagnell 2011, algorithm 3.1). β_i = `beta` ·
    `decay`^i is the probability that the expert acts; each round continues from the last policy with `epochs` passes
    over all data.

    Composition: `bc` with `collect = Aggregate(expert)`. Run it with `improve(dagger(expert), clone, world,
    demonstrations=...)`.

    Deviations: 1. β mixes per step and environment, as in the paper, not per episode. 2. The learner acts by its mode.
    3. The policy is warm-started, not refitted from scratch.
    """
    return Learner(
        weight=Uniform(),
        objective=WeightedLogLikelihood(),
        geometry=Euclidean(),
        step=Adam(learning_rate, weight_decay=weight_decay),
        collect=Aggregate(expert, beta=beta, decay=decay),
        epochs=epochs,
        batch_size=batch_size,
    )
