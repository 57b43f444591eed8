"""The metrics that are measured in nats: the Fisher matrix of the policy, and its estimate from the actions taken."""

import abc
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree

from journeyman.geometry._geometry import AbstractGeometry, Direction, dot
from journeyman.geometry._solve import Method, solve
from journeyman.objectives import Samples
from journeyman.parts import JourneymanError, Number, holds, matmul, not_whole
from journeyman.policies import AbstractDensityPolicy, partition


class Factor(NamedTuple):
    """F = JᵀMJ: `forward` is v ↦ Jv from the trained leaves, `metric` is u ↦ Mu with M symmetric."""

    forward: Callable[[PyTree], PyTree]
    metric: Callable[[PyTree], PyTree]


class AbstractMetric(AbstractGeometry):
    """d solves (F + damping · I) d = g for a matrix F of which only products are needed.

    `method` "conjugate gradients" makes `iterations` steps from zero and never builds F; "explicit" builds it and
    solves by Cholesky, for policies of up to a few thousand parameters. Of a batch with more than `subset` samples the
    solver sees one of every few, drawn once, about that many (Schulman et al. 2015, appendix C, take a tenth; `None`
    takes all). The curvature dᵀFd, without the damping, is always that of all samples, so that a step's length in nats
    does not suffer. Where the solution is not finite or dᵀFd or gᵀd is not positive, the damping grows tenfold, up to
    five times (from 0 to 1e-3 at first); what is not better then is for the step to refuse.

    Logged: `curvature` dᵀFd; `cg_residual` ‖(F + λ)d − g‖ / ‖g‖ of the system that was solved; `damping` λ, as it was
    in the end.
    """

    damping: eqx.AbstractVar[Number]
    iterations: eqx.AbstractVar[int]
    subset: eqx.AbstractVar[int | None]
    method: eqx.AbstractVar[Method]

    @abc.abstractmethod
    def factor(self, policy: AbstractDensityPolicy, samples: Samples) -> Factor:
        """F over the valid samples, in the two maps that its products are made of."""

    def __call__(self, policy: AbstractDensityPolicy, samples: Samples, gradient: PyTree) -> Direction:
        """Solve, and measure the curvature on all samples."""
        # On one flat vector: a tree of leaves would multiply every small operation of the solver, and what it takes
        # to compile them, by the number of leaves.
        flat, unflatten = ravel_pytree(gradient)
        some = _thinned(samples, self.subset)
        tree_product = _product(self.factor(policy, some), policy)
        found = solve(
            lambda vector: ravel_pytree(tree_product(unflatten(vector)))[0],
            flat,
            jnp.asarray(self.damping, flat.dtype),
            self.iterations,
            self.method,
        )
        value = unflatten(found.value)
        if some is samples:
            curvature = matmul(found.value, found.bent)
        else:
            forward, metric = self.factor(policy, samples)
            moved = forward(value)
            curvature = dot(moved, metric(moved))
        residual = jnp.linalg.norm(found.bent + found.damping * found.value - flat)
        size = jnp.linalg.norm(flat)
        # A solution that was given up is 0 and must not pass for that of a gradient of zeros.
        curvature = jnp.where((found.value == 0).all() & (size > 0), jnp.nan, curvature)
        metrics = {
            "curvature": curvature,
            "cg_residual": residual / jnp.maximum(size, 1e-30),
            "damping": found.damping,
        }
        return Direction(value, matmul(flat, found.value), curvature, metrics)


class Fisher(AbstractMetric):
    """F = E_o[Jᵀ I(o) J], the Fisher matrix of the policy's distributions on the batch's states.

    J is the Jacobian of the distribution's parameters in θ and I(o) its Fisher matrix in those parameters (the Hessian
    of KL(π ‖ ·) at π), so F is the Hessian of the mean KL and positive semidefinite by construction. The step of
    steepest descent per nat does not depend on the parameterisation (Amari 1998; Kakade 2001). The options are those of
    `AbstractMetric`.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"density"})
    gives: ClassVar[frozenset[str]] = frozenset({"metric"})
    citation: ClassVar[str] = """@inproceedings{kakade2001natural,
  title={A natural policy gradient}, author={Kakade, Sham M.},
  booktitle={Advances in Neural Information Processing Systems}, volume={14}, year={2001}}
@article{amari1998natural,
  title={Natural gradient works efficiently in learning}, author={Amari, Shun-ichi},
  journal={Neural Computation}, volume={10}, number={2}, pages={251--276}, year={1998}}"""

    damping: Number = 1e-3
    iterations: int = eqx.field(static=True, default=10)
    subset: int | None = eqx.field(static=True, default=4096)
    method: Method = eqx.field(static=True, default="conjugate gradients")

    def __check_init__(self) -> None:
        _check(self)

    def factor(self, policy: AbstractDensityPolicy, samples: Samples) -> Factor:
        """J from the trained leaves to the distribution's parameters, M the mean KL's Hessian in them."""
        trained, fixed = partition(policy)

        def outputs(leaves: PyTree) -> PyTree:
            return eqx.combine(leaves, fixed).parameters(samples.observation)  # type: ignore[attr-defined]

        here, forward = jax.linearize(outputs, trained)
        share = _share(samples)

        def slope(there: PyTree) -> PyTree:
            return jax.grad(lambda q: (share * policy.kl(jax.lax.stop_gradient(here), q)).sum())(there)

        _, metric = jax.linearize(slope, here)
        return Factor(forward, metric)


class EmpiricalFisher(AbstractMetric):
    """F = (1/N) Σ_i s_i s_iᵀ with the scores s_i = ∇ log π_θ(target_i | o_i) at the actions that were taken.

    The expectation over actions is replaced by the one action of each state: `Fisher` in the mean, where the targets
    are the policy's own draws, with an error of order 1/√N and a rank of at most N. It needs no KL and no second
    derivative. On targets of others (demonstrations) it is not a Fisher matrix (Kunstner, Balles and Hennig 2019).
    The options are those of `AbstractMetric`.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"density"})
    gives: ClassVar[frozenset[str]] = frozenset({"metric"})
    citation: ClassVar[str] = """@inproceedings{kunstner2019limitations,
  title={Limitations of the empirical {F}isher approximation for natural gradient descent},
  author={Kunstner, Frederik and Balles, Lukas and Hennig, Philipp},
  booktitle={Advances in Neural Information Processing Systems}, volume={32}, year={2019}}"""

    damping: Number = 1e-3
    iterations: int = eqx.field(static=True, default=10)
    subset: int | None = eqx.field(static=True, default=4096)
    method: Method = eqx.field(static=True, default="conjugate gradients")

    def __check_init__(self) -> None:
        _check(self)

    def factor(self, policy: AbstractDensityPolicy, samples: Samples) -> Factor:
        """J holds a score a row, M each sample's share."""
        trained, fixed = partition(policy)

        def log_prob(leaves: PyTree) -> Array:
            there = eqx.combine(leaves, fixed)
            return there.log_prob(samples.observation, samples.target)  # type: ignore[attr-defined]

        _, forward = jax.linearize(log_prob, trained)
        share = _share(samples)
        return Factor(forward, lambda scores: share * scores)


def fisher_vector_product(policy: AbstractDensityPolicy, samples: Samples) -> Callable[[PyTree], PyTree]:
    """v ↦ F v over the valid samples, where v and the result are like the trained leaves of `policy`.

    The network is linearised once; each product then costs one forward and one backward linear pass.
    """
    return _product(Fisher().factor(policy, samples), policy)


def _product(factor: Factor, policy: AbstractDensityPolicy) -> Callable[[PyTree], PyTree]:
    backward = jax.linear_transpose(factor.forward, partition(policy)[0])
    return lambda vector: backward(factor.metric(factor.forward(vector)))[0]


def _share(samples: Samples) -> Array:
    return jnp.asarray(samples.valid) / jnp.maximum(jnp.asarray(samples.valid).sum(), 1.0)


def _thinned(samples: Samples, subset: int | None) -> Samples:
    """One of every k samples, k such that about `subset` are left; which one is drawn once, the same in every call.

    Samples lie stream after stream. Every k-th of them would be the same step numbers of all episodes, or only the
    resets between them, wherever k and an episode's length have a factor in common.
    """
    count = samples.valid.shape[0]
    every = 1 if subset is None else -(-count // subset)
    if every == 1:
        return samples
    first = np.arange(0, count, every)
    offset = np.random.default_rng(0).integers(np.minimum(every, count - first))
    return samples.take(jnp.asarray(first + offset))


def _check(metric: Any) -> None:
    name = type(metric).__name__
    whole = (metric.iterations, *(() if metric.subset is None else (metric.subset,)))
    damped = holds(metric.damping >= 0, metric.damping < np.inf)
    if not damped or any(not_whole("", number, least=1) for number in whole):
        raise JourneymanError(
            f"{name} needs a finite damping ≥ 0, at least one whole iteration, not {metric.damping},"
            f" {metric.iterations}, and a subset of at least one whole sample, not {metric.subset}; 1e-3, 10 and 4096"
            " are usual."
        )
    if metric.method not in ("conjugate gradients", "explicit"):
        raise JourneymanError(
            f"{name} solves by 'conjugate gradients' or 'explicit', not by '{metric.method}'; choose one."
        )
