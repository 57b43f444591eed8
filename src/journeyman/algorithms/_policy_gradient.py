"""Recipes that practise."""

from journeyman.geometry import Euclidean, Fisher
from journeyman.objectives import WeightedLogLikelihood
from journeyman.training import Adam, KLRadius, Learner
from journeyman.weights import AbstractBaseline, AbstractScaling, Advantage, NetworkBaseline, Standardized


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
    discount: float = 0.995,
    lambda_: float = 0.95,
    baseline: AbstractBaseline = NetworkBaseline(),
    scaling: AbstractScaling = Standardized(),
    damping: float = 1e-3,
    iterations: int = 10,
) -> Learner:
    """Natural policy gradient: the steepest step among those that change the policy by `kl` nats.

        θ ← θ + √(2 kl / dᵀFd) · d,   F d = g,   g = ∇J,   F = E_o[∇²_θ' KL(π_θ(· | o) ‖ π_θ'(· | o))]

    (Kakade 2001; Rajeswaran et al. 2017, equation 4.) The step does not depend on how the policy is parameterised.
    `damping` is added to F's diagonal, `iterations` bounds the conjugate gradients. `scaling` changes the step only
    through what is subtracted: the radius fixes its length.

    Composition: `Advantage` × `WeightedLogLikelihood` × `Fisher` × `KLRadius`, one step a batch.

    Deviations from mjrl's NPG: 1. `kl` is the KL itself, not twice it. 2. The step divides by dᵀFd without damping, so
    that the predicted KL is exact whatever the damping and the residual. 3. The baseline bootstraps at truncations.
    """
    return Learner(
        weight=Advantage(discount=discount, lambda_=lambda_, baseline=baseline, scaling=scaling),
        objective=WeightedLogLikelihood(),
        geometry=Fisher(damping=damping, iterations=iterations),
        step=KLRadius(kl),
    )
