"""What settings stand for: a fresh policy, its head, and the recipes."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax

from journeyman._settings import OF_PPO, Asking, FitSettings, ImproveSettings, PolicyShape, usually
from journeyman.algorithms import airl, bc, dagger, dart, fairl, gail, natural_gradient, ppo, reinforce, trpo
from journeyman.collect import (
    AbstractNoise,
    AbstractQuery,
    AbstractShare,
    Constant,
    Disagree,
    Evenly,
    Everywhere,
    Exponential,
    FirstRound,
    Isotropic,
    LearnedNoise,
    Linear,
    RandomCovariance,
    Uncertain,
    Undisturbed,
)
from journeyman.experts import AbstractExpert
from journeyman.parts import JourneymanError
from journeyman.policies import (
    AbstractHead,
    Beta,
    DensityPolicy,
    FullGaussian,
    Gaussian,
    GaussianMixture,
    SquashedGaussian,
    default_head,
    policy,
)
from journeyman.training import Learner
from journeyman.worlds import AbstractFinite, AbstractWorld, Box

_REAL_HEADS: dict[str, Callable[[Box], AbstractHead]] = {
    "gaussian": Gaussian.make,
    "state-dependent": partial(Gaussian.make, state_dependent=True),
    "full-covariance": FullGaussian.make,
    "mixture": GaussianMixture.make,
    "squashed": SquashedGaussian.make,
    "beta": Beta.make,
}


def shaped(shape: PolicyShape, world: AbstractWorld, seed: int, angles: tuple[int, ...] = ()) -> DensityPolicy:
    """A policy of this shape for a world, its weights drawn from `seed`."""
    return policy(
        world,
        jax.random.key(seed),
        hidden=shape.hidden,
        head=make_head(shape, world),
        angles=angles,
        activation=shape.activation,
        per_step=shape.per_step,
    )


def make_head(shape: PolicyShape, world: AbstractWorld) -> AbstractHead:
    """The head for a world's actions; refuses real actions for a finite set, and what the box cannot hold."""
    space = world.action_space
    if shape.head == "automatic":
        return default_head(space)
    if isinstance(space, Box):
        return _REAL_HEADS[shape.head](space)
    kind = f"{space.counts.tolist()} choices" if isinstance(space, AbstractFinite) else f"a {type(space).__name__}"
    raise JourneymanError(
        f"A {shape.head} policy needs real actions, but '{world.name}' has {kind}; use --shape.head automatic."
    )


def cloning(settings: FitSettings) -> Learner:
    """Behaviour cloning with these numbers."""
    return bc(
        settings.learning_rate,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        weight_decay=settings.weight_decay,
    )


def practising(settings: ImproveSettings, expert: AbstractExpert | None = None) -> Learner:
    """The recipe with these numbers."""
    given = partial(_given, settings)
    returns = given("discount", "lambda_")
    if settings.algorithm == "natural-gradient":
        return natural_gradient(**given("kl"), **returns)
    if settings.imitates:
        return {"gail": gail, "airl": airl, "fairl": fairl}[settings.algorithm](**given("kl"), **returns)
    if settings.algorithm == "trpo":
        return trpo(**given("kl"), **returns)
    rate = given("learning_rate")
    if settings.algorithm == "reinforce":
        return reinforce(**rate, **returns)
    if settings.algorithm == "ppo":
        return ppo(**rate, **returns, **given(*OF_PPO))
    assert expert is not None
    return _asking(settings, expert, rate)


def _given(settings: Any, *names: str) -> dict[str, Any]:
    """Those of these settings that are given, for a recipe that knows its own defaults."""
    return {name: getattr(settings, name) for name in names if getattr(settings, name) is not None}


def _asking(settings: ImproveSettings, expert: AbstractExpert, rate: dict[str, Any]) -> Learner:
    asking = settings.asking
    passes = _given(asking, "epochs", "batch_size")
    common: dict[str, Any] = {"query": query(asking), "budget": asking.budget, "refit": asking.refit, **passes, **rate}
    if settings.algorithm == "dart":
        return dart(expert, noise=_disturbance(asking, settings.seed), **common)
    return dagger(expert, beta=_mixing(asking), **common)


def query(asking: Asking) -> AbstractQuery:
    """Which of the visited states are labels."""
    share = usually(asking.share, 0.1)
    if asking.chosen_where == "uncertain":
        return Uncertain(share, asking.above)
    if asking.chosen_where == "disagree":
        return Disagree(share, asking.above, usually(asking.members, 4))
    return Evenly(asking.every) if asking.every is not None and asking.every > 1 else Everywhere()


def _mixing(asking: Asking) -> AbstractShare:
    """β's schedule."""
    if asking.chosen_schedule == "constant":
        return Constant(usually(asking.beta, 0.0))
    if asking.chosen_schedule == "exponential":
        return Exponential(usually(asking.beta, 0.5))
    return FirstRound() if asking.chosen_schedule == "first-round" else Linear(usually(asking.rounds, 10))


def _disturbance(asking: Asking, seed: int) -> AbstractNoise:
    """DART's noise; `seed` draws the directions of a random one."""
    if asking.chosen_noise == "isotropic":
        return Isotropic(usually(asking.std, 0.1))
    if asking.chosen_noise == "random":
        return RandomCovariance(usually(asking.trace, 0.1), seed)
    return LearnedNoise() if asking.chosen_noise == "learned" else Undisturbed()
