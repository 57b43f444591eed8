"""Recipes that practise."""

from journeyman.geometry import Euclidean, Fisher
from journeyman.objectives import ClippedSurrogate, Surrogate, WeightedLogLikelihood
from journeyman.training import Adam, KLRadius, Learner, LineSearch
from journeyman.weights import (
    AbstractBaseline,
    AbstractScaling,
    Advantage,
    LifetimeDiscount,
    NetworkBaseline,
    Standardized,
    Unscaled,
)


def reinforce(
    learning_rate: float = 1e-3,
    *,
    discount: float = 0.99,
    lambda_: float = 1.0,
    baseline: AbstractBaseline = NetworkBaseline(),
    scaling: AbstractScaling = Standardized(),
) -> Learner:
    """REINFORCE with reward-to-go and a baseline: make actions likelier by how well they turned out.

        ∇J = E_τ [Σ_t ∇ log π_θ(a_t | o_t) (Σ_{k≥t} γ^{k−t} r_k − b(o_t))]

    (Williams 1992; Sutton et al. 2000.) `baseline = NoBaseline()` recovers plain reward-to-go; `lambda_` < 1 trades
    variance for the baseline's bias. `scaling` is what is done to a batch's advantages.

    Composition: `Advantage` × `WeightedLogLikelihood` × `Euclidean` × `Adam`, one step a batch.

    Deviations: 1. Advantages are standardised over the batch (`scaling = Unscaled()` leaves them). 2. Steps of all
    times count alike: γᵗ does not weigh the states. 3. Z counts steps, not episodes; Adam does not see the difference.
    """
    return Learner(
        weight=Advantage(discount=discount, lambda_=lambda_, baseline=baseline, scaling=scaling),
        objective=WeightedLogLikelihood(),
        geometry=Euclidean(),
        step=Adam(learning_rate),
    )


def natural_gradient(
    kl: float = 0.02,
    *,
    discount: float | None = None,
    lambda_: float = 0.95,
    baseline: AbstractBaseline = NetworkBaseline(epochs=10, learning_rate=1e-3),
    scaling: AbstractScaling = Standardized(),
    damping: float = 1e-3,
    iterations: int = 10,
) -> Learner:
    """Natural policy gradient: the steepest step among those that change the policy by `kl` nats.

        θ ← θ + √(2 kl / dᵀFd) · d,   F d = g,   g = ∇J,   F = E_o[∇²_θ' KL(π_θ(· | o) ‖ π_θ'(· | o))]

    (Kakade 2001; Rajeswaran et al. 2017, equation 4.) The step does not depend on how the policy is parameterised.
    `damping` is added to F's diagonal, `iterations` bounds the conjugate gradients. `scaling` changes the step only
    through what is subtracted: the radius fixes its length. The baseline is fitted by ten passes of minibatches of 128
    at 1e-3. `discount` = `None` looks half a life of the episodes so far ahead, between 200 steps and
    1000 (`LifetimeDiscount`); a number is γ.

    Composition: `LifetimeDiscount(Advantage)` × `WeightedLogLikelihood` × `Fisher` × `KLRadius`, one step a batch.

    Deviations from mjrl's NPG: 1. `kl` is the KL itself, not twice it. 2. The step divides by dᵀFd without damping, so
    that the predicted KL is exact whatever the damping and the residual. 3. The baseline bootstraps at truncations.
    As there, steps of all times count alike: γᵗ does not weigh the states (`discounted_states` of `Advantage` lets it).
    """
    known = 0.999 if discount is None else discount
    weight = Advantage(discount=known, lambda_=lambda_, baseline=baseline, scaling=scaling)
    return Learner(
        weight=LifetimeDiscount(weight) if discount is None else weight,
        objective=WeightedLogLikelihood(),
        geometry=Fisher(damping=damping, iterations=iterations),
        step=KLRadius(kl),
    )


def trpo(
    kl: float = 0.01,
    *,
    discount: float = 0.99,
    lambda_: float = 0.95,
    baseline: AbstractBaseline = NetworkBaseline(epochs=10, learning_rate=3e-4),
    damping: float = 0.1,
    iterations: int = 15,
    shrink: float = 0.8,
    tries: int = 10,
) -> Learner:
    """Trust region policy optimisation: the natural gradient, with a step that is looked at before it is taken.

        maximise_θ' E [ρ A],  ρ = π_θ'(a | o) / π_θ(a | o),   subject to   E_o[KL(π_θ(· | o) ‖ π_θ'(· | o))] ≤ kl

    The direction solves (F + damping · I) d = ∇J; of the lengths √(2 kl / dᵀFd) · shrinkʲ, j < `tries`, the first is
    taken whose measured KL is at most `kl` and whose surrogate E[ρA] rises (Schulman et al. 2015). The defaults are
    those of sb3-contrib but for the baseline's learning rate; `natural_gradient` takes the first length unseen.

    Composition: `Advantage` × `Surrogate` × `Fisher` × `LineSearch`, one step a batch.

    Deviations from sb3-contrib's TRPO: 1. The first length divides by dᵀFd without damping, so the search begins at the
    edge of the ball and not inside it. 2. KL(old ‖ new), not KL(new ‖ old). 3. Conjugate gradients start at 0, not at
    noise. 4. F is seen on at most 4096 samples of a batch. 5. The baseline's target and input are
    standardised, so its learning rate is 3e-4 and not 1e-3, and its Adam begins anew with each batch.
    """
    return Learner(
        weight=Advantage(discount=discount, lambda_=lambda_, baseline=baseline),
        objective=Surrogate(),
        geometry=Fisher(damping=damping, iterations=iterations),
        step=LineSearch(kl, shrink=shrink, tries=tries),
    )


def ppo(
    learning_rate: float = 3e-4,
    *,
    discount: float = 0.99,
    lambda_: float = 0.95,
    baseline: AbstractBaseline | None = None,
    clip: float = 0.2,
    entropy: float = 0.0,
    epochs: int = 10,
    batch_size: int = 64,
    clip_norm: float | None = 0.5,
    target_kl: float | None = None,
) -> Learner:
    """Proximal policy optimisation: many small steps on one batch, and nothing gained by leaving the neighbourhood.

        maximise_θ E [min(ρ A, clip(ρ, 1 − ε, 1 + ε) A)] + entropy · E_o[H(π_θ(· | o))],   ρ = π_θ(a | o) / π(a | o)

    with π the policy that collected the batch (Schulman et al. 2017, equation 7). `epochs` passes over minibatches of
    `batch_size`, ε = `clip`, `clip_norm` bounds the gradient's norm; with `target_kl` the passes end once the
    approximate KL of a minibatch is above 1.5 times it. The defaults are those of Stable-Baselines3. `baseline` =
    `None` is a network of 64 × 64 that is fitted with the same `epochs`, `batch_size` and `learning_rate`.

    Composition: `Advantage` × `ClippedSurrogate` × `Euclidean` × `Adam`, in minibatches.

    Deviations from Stable-Baselines3's PPO: 1. The policy and the baseline have an Adam of their own each, the
    baseline's begins anew with each batch, and the bound on the norm is the policy's alone: there they share both.
    2. The baseline is fitted after the policy has stepped; its targets and inputs are standardised. 3. Observations are
    standardised by running statistics that never change the policy's function. 4. A reset step of the simulators takes
    a place of the batch and is in no minibatch. 5. The standard deviation is in half widths of the action box, softly
    bounded, and starts at e^(−1/2), not at 1; the network's last layer starts with gain 0.01 for policy and baseline
    (there 0.01 and 1).
    """
    if baseline is None:
        baseline = NetworkBaseline(epochs=epochs, batch_size=batch_size, learning_rate=learning_rate)
    return Learner(
        weight=Advantage(discount=discount, lambda_=lambda_, baseline=baseline, scaling=Unscaled()),
        objective=ClippedSurrogate(clip, entropy=entropy),
        geometry=Euclidean(),
        step=Adam(learning_rate, clip_norm=clip_norm, epsilon=1e-5),
        epochs=epochs,
        batch_size=batch_size,
        target_kl=target_kl,
    )
