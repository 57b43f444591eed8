"""What the parts of a learner answer: held against what is needed while a program is traced, so that it costs no step.

A part may be somebody's own, and what JAX says of a wrong answer names neither the part nor what it should have given.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from journeyman.episodes import Episodes
from journeyman.geometry import AbstractGeometry, Direction
from journeyman.objectives import Samples
from journeyman.parts import AbstractPart, JourneymanError, form, walk
from journeyman.policies import DensityPolicy
from journeyman.training._steps import AbstractStep, Try
from journeyman.weights import AbstractWeight, Weighed


def weighed_by(weight: AbstractWeight, state: PyTree, episodes: Episodes) -> Weighed:
    """`weight(state, episodes)`, one real number a step. Raises `JourneymanError` for anything else."""
    given = _answer(weight, weight(state, episodes), Weighed)
    for name in ("weight", "target"):
        _same(weight, f"its `{name}`", getattr(given, name), jnp.zeros(jnp.shape(episodes.valid)))
    real = lambda leaf: leaf if jnp.issubdtype(leaf.dtype, jnp.floating) else jnp.asarray(leaf, float)  # noqa: E731
    _numbers(weight, given.metrics)
    return given._replace(weight=real(given.weight), target=real(given.target))


def directed_by(geometry: AbstractGeometry, policy: DensityPolicy, samples: Samples, gradient: PyTree) -> Direction:
    """`geometry(policy, samples, gradient)`, like the gradient. Raises `JourneymanError` for anything else."""
    given = _answer(geometry, geometry(policy, samples, gradient), Direction)
    _same(geometry, "its `value`", given.value, gradient)
    _numbers(geometry, given.metrics)
    return given


def stepped_by(
    step: AbstractStep, direction: Direction, state: PyTree, trained: PyTree, trial: Try
) -> tuple[PyTree, PyTree, dict[str, Array]]:
    """`step(...)`, an update like `trained` and a state like `state`. Raises `JourneymanError` for anything else."""
    given = step(direction, state, trained, trial)
    if not isinstance(given, tuple) or len(given) != 3:
        raise JourneymanError(
            f"{_called(step)} answers with {form(given)} where an update, a state and metrics are needed; return the"
            " three of them."
        )
    _same(step, "the update", given[0], trained)
    _numbers(step, given[2])
    return given[0], kept(step, given[1], state), given[2]


def logged(known: dict[str, Array], part: AbstractPart, metrics: dict[str, Array]) -> dict[str, Array]:
    """`known` and what a part tells. Raises `JourneymanError` where one name would stand for two numbers."""
    for name in known.keys() & metrics.keys():
        raise JourneymanError(f"{_called(part)} logs '{name}', which the learner itself logs; choose another name.")
    return known | metrics


def kept(part: AbstractPart, new: PyTree, old: PyTree) -> PyTree:
    """The state `new` of a part, of one form with the one before. Raises `JourneymanError` for another."""
    _same(part, "the new state", new, old)
    return new


def _answer(part: AbstractPart, given: Any, kind: type) -> Any:
    if not isinstance(given, kind):
        name = kind.__name__
        raise JourneymanError(f"{_called(part)} answers with {form(given)} where a {name} is needed; return a {name}.")
    return given


def _numbers(part: AbstractPart, metrics: Any) -> None:
    """Refuse metrics that are no numbers by name."""
    real = lambda one: hasattr(one, "dtype") or isinstance(one, int | float)  # noqa: E731
    if isinstance(metrics, dict) and all(isinstance(name, str) and real(one) for name, one in metrics.items()):
        return
    raise JourneymanError(
        f"{_called(part)} gives the metrics {metrics!r:.60}, and numbers by their names are needed; return a dict of"
        " them, {} for none."
    )


def _same(part: AbstractPart, what: str, given: PyTree, wanted: PyTree) -> None:
    """Refuse a tree of another structure, of other shapes or of a wider type, and a Python number that changes."""
    alike = jax.tree.structure(given) == jax.tree.structure(wanted)
    if alike and all(map(_fits, jax.tree.leaves(given), jax.tree.leaves(wanted))):
        return
    raise JourneymanError(
        f"{_called(part)} gives {what} as {form(given)} where {form(wanted)} is needed; keep its structure, shapes"
        " and types, and let what changes be an array."
    )


def _fits(given: Any, wanted: Any) -> bool:
    if not (hasattr(given, "dtype") and hasattr(wanted, "dtype")):
        return given is wanted or (type(given) is type(wanted) and not hasattr(given, "dtype") and given == wanted)
    if jnp.issubdtype(wanted.dtype, jax.dtypes.extended):
        return given.dtype == wanted.dtype and given.shape == wanted.shape
    with jax.numpy_dtype_promotion("standard"):
        wider = jax.dtypes.canonicalize_dtype(jnp.promote_types(given.dtype, wanted.dtype))
    return given.shape == wanted.shape and wider == wanted.dtype


def _called(part: AbstractPart) -> str:
    """The class of a part, and those of the parts inside it, of which one may be at fault."""
    first, *inside = (type(one).__name__ for one in walk(part))
    return f"{first} (with {', '.join(inside)})" if inside else first
