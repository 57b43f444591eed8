"""Whether what acts or labels fits where it is asked to: found by shapes, before anything is computed."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from journeyman.policies import AbstractHead, DensityPolicy, Encoder
from journeyman.worlds import (
    AbstractFinite,
    AbstractPureWorld,
    AbstractSpace,
    AbstractWorld,
    Outcome,
    zeros_like_space,
)

_COUNT = 3  # observations at once: an answer that forgets the leading axis, or the action's own, is seen


class Spaces(NamedTuple):
    """What shows observations and takes actions, where there is no world for it."""

    name: str
    observation_space: Any
    action_space: AbstractSpace

    @property
    def called(self) -> str:
        """`name`."""
        return self.name


def misfits(who: str, act: Callable[..., Any], where: AbstractWorld | Spaces, *extra: Any) -> list[str]:
    """Why `act(observation, *extra)` cannot answer the observations of `where` with its actions, in a sentence.

    `act` is traced on `(3, ...)` observations and has to give `(3, ...)` actions; nothing is computed.
    """
    seen = zeros_like_space(where.observation_space, _COUNT)
    misfit, wanted = f"The {who} does not fit '{where.called}'", where.action_space.shape
    try:
        answer = jax.eval_shape(act, seen, *extra)
    except jax.errors.JAXTypeError as error:
        return [
            f"The {who} cannot be compiled, because it asks for the numbers of an observation that is only traced"
            f" ({_first(error)}); write it in jax.numpy and jax.lax, or call what cannot be so by jax.pure_callback."
        ]
    except (TypeError, ValueError) as error:
        shapes = jax.tree.map(lambda leaf: leaf.shape[1:], seen)
        return [
            f"{misfit}: it cannot read observations of shape {shapes} ({_first(error)}); take the world that it was"
            " made for."
        ]
    shape = getattr(answer, "shape", None)
    if shape is None:
        return [f"{misfit}: it answers with a {type(answer).__name__} where an array of actions is needed; return one."]
    if shape != (_COUNT, *wanted):
        given = (
            f"its actions have shape {shape[1:]}" if shape[:1] == (_COUNT,) else f"it gives {shape} for {_COUNT} steps"
        )
        return [f"{misfit}: {given} where the world wants {wanted}; take the world that it was made for, or mend it."]
    if isinstance(where.action_space, AbstractFinite) and not jnp.issubdtype(answer.dtype, jnp.integer):
        return [f"{misfit}: its actions are {answer.dtype} where the world wants integers; convert them."]
    return []


def faults(world: AbstractPureWorld) -> list[str]:
    """What a pure world's `reset`, `step` and `observe` give that they must not, in sentences; by shapes alone."""
    key, name = jax.random.key(0), world.called
    before = jax.eval_shape(world.reset, key)
    stepped = jax.eval_shape(world.step, before, zeros_like_space(world.action_space), key)
    if not (isinstance(stepped, tuple) and len(stepped) == 2 and isinstance(stepped[1], Outcome)):
        return [
            f"`step` of '{name}' gives {_kinds(stepped)}, and a state and an Outcome are needed; return (state,"
            " Outcome(reward, terminated, truncated))."
        ]
    after, outcome = stepped
    shown, wanted = jax.eval_shape(world.observe, before), zeros_like_space(world.observation_space)
    found = []
    if _form(after) != _form(before):
        found.append(
            f"`step` of '{name}' gives the state {_form(after)}, and `reset` {_form(before)}; keep shapes and types"
            " from step to step."
        )
    if outcome.reward.shape:
        found.append(f"The reward of '{name}' is {_form(outcome.reward)}, and one number is needed; sum or index it.")
    for flag in ("terminated", "truncated"):
        if _form(getattr(outcome, flag)) != "bool[]":
            found.append(f"`{flag}` of '{name}' is {_form(getattr(outcome, flag))}, and one bool is needed; compare.")
    if _form(shown) != _form(wanted):
        found.append(
            f"`observe` of '{name}' gives {_form(shown)}, and its observation_space says {_form(wanted)}; make one fit"
            " the other."
        )
    return found


def _kinds(value: Any) -> str:
    """What is in a tuple, by its types; any other value's type."""
    if not isinstance(value, tuple):
        return f"a {type(value).__name__}"
    return (
        f"({', '.join(_form(one) if isinstance(one, jax.ShapeDtypeStruct) else type(one).__name__ for one in value)})"
    )


def _form(tree: PyTree) -> str:
    """Shapes and types, as in `(float32[1], int32[])`."""
    return str(jax.tree.map(lambda leaf: _Text(f"{jnp.result_type(leaf)}{list(jnp.shape(leaf))}"), tree))


class _Text(str):
    """A text that is printed without its quotes."""

    __repr__ = str.__str__


def world_problems(policy: DensityPolicy, world: AbstractWorld | Spaces) -> list[str]:
    """Where a policy and a world, or its two spaces, disagree about observations or actions, in sentences."""
    return _observation_problems(policy.encoder, world) + _action_problems(policy.head, world)


def _observation_problems(encoder: Encoder, world: AbstractWorld | Spaces) -> list[str]:
    shown = Encoder.of(world.observation_space)
    if encoder.horizon is not None and shown.horizon is None:
        return [
            f"The policy depends on the time of {encoder.horizon} steps, and '{world.called}' does not show it; use"
            f" 'timed:{world.name}' (journeyman.worlds.timed)."
        ]
    if not encoder.reads_as(shown):
        return [
            f"'{world.called}' shows observations of shapes {shown.shapes}, the policy reads {encoder.shapes};"
            " make the policy for this world."
        ]
    # A shorter world is one that the policy knows how to begin.
    return horizon_problems(encoder, shown.horizon, f"'{world.called}' goes on")


def _action_problems(head: AbstractHead, world: AbstractWorld | Spaces) -> list[str]:
    wanted, given = world.action_space, head.space()
    finite = isinstance(wanted, AbstractFinite)
    found = f"'{world.called}' takes {'one of finitely many' if finite else 'real'} actions of shape {wanted.shape}, a"
    found += f" {type(head).__name__} gives shape {given.shape}"
    if (wanted.shape, finite) != (given.shape, isinstance(given, AbstractFinite)):
        return [f"{found}; make the policy for this world."]
    if (
        isinstance(wanted, AbstractFinite)
        and isinstance(given, AbstractFinite)
        and (wanted.counts != given.counts).any()
    ):
        return [f"{found}, but with {given.counts} values in place of {wanted.counts}; make the policy for this world."]
    return []


def horizon_problems(encoder: Encoder, steps: int | None, who: str) -> list[str]:
    """Whether a time-dependent policy would have to act beyond its horizon."""
    if encoder.horizon is None or steps is None or steps <= encoder.horizon:
        return []
    return [
        f"The policy depends on the time and was made for {encoder.horizon} steps, but {who} for {steps}, and for those"
        " beyond its horizon it knows nothing; make the policy for the longer horizon, or shorten the other."
    ]


def _first(error: Exception) -> str:
    """The first line of an error, without its full stop."""
    return str(error).splitlines()[0].rstrip(".")
