"""A policy for a loop of one's own: an observation in, an action that an environment takes out."""

from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from journeyman.collect._behaviour import AbstractBehaviour, Mean, Sample
from journeyman.collect._decide import decider, drawn
from journeyman.collect._fits import Spaces, misfits, world_problems
from journeyman.parts import LAST_SEED, JourneymanError, mistaken, not_whole, refuse
from journeyman.policies import AbstractDensityPolicy, DensityPolicy
from journeyman.worlds import AbstractFinite, AbstractSpace, AbstractWorld, space_from_gymnasium, zeros_like_space
from journeyman.worlds._from_gymnasium import ActionBuffer, action_space_from_gymnasium
from journeyman.worlds._spaces import outside

_DRAWN = 256  # decisions whose noise is drawn at once: one small draw costs a hundred times a decision


class Actor:
    """`action = actor(observation)`; see `actor`. It remembers nothing but how many draws it has made."""

    def __init__(self, behaviour: AbstractBehaviour, where: Spaces, theirs: Any, seed: int) -> None:
        self._behaviour, self._where, self._theirs, self._key = behaviour, where, theirs, jax.random.key(seed)
        shown = zeros_like_space(where.observation_space, 1)
        self._leaves, self._structure = jax.tree.flatten(shown)
        self._spaces = jax.tree.leaves(where.observation_space, is_leaf=lambda item: isinstance(item, AbstractSpace))
        self._several: dict[int, tuple[_Decisions, ActionBuffer]] = {}
        self._plain = isinstance(where.action_space, AbstractFinite) and not where.action_space.shape

    def __call__(self, observation: PyTree) -> Any:
        """The action for one observation, or one for each of a batch that leads with `(count,)`.

        Raises `JourneymanError` for an observation of another form, one that is not finite, and an integer outside of
        the finite set that observations are from.
        """
        leaves, single = self._read(observation)
        count = len(leaves[0])
        if count not in self._several:
            seen = jax.tree.unflatten(self._structure, leaves)
            self._several[count] = (
                _Decisions(self._behaviour, self._key, seen, count),
                ActionBuffer(self._where.action_space, count, self._theirs.dtype, self._theirs),
            )
        decisions, send = self._several[count]
        action = send(decisions.next(leaves))
        if single and self._plain:
            return int(action[0])
        return (action[0] if single else action).copy()

    def _read(self, observation: PyTree) -> tuple[list[np.ndarray], bool]:
        """The leaves `(count, ...)` in the types of the spaces, and whether it was one observation alone."""
        alone = jax.tree_util.treedef_is_leaf(self._structure)
        found, structure = ([observation], self._structure) if alone else jax.tree.flatten(observation)
        leaves = [np.asarray(leaf) for leaf in found]
        shapes, wanted = [leaf.shape for leaf in leaves], [leaf.shape[1:] for leaf in self._leaves]
        single = shapes == wanted
        several = [shape[1:] for shape in shapes] == wanted and len({shape[:1] for shape in shapes}) == 1
        if structure != self._structure or not (single or several):
            raise JourneymanError(
                f"The observation has shape {jax.tree.map(np.shape, observation)}, and '{self._where.name}' shows"
                f" {jax.tree.unflatten(self._structure, wanted)}; pass one of those, or several along a leading axis."
            )
        for leaf, like, space in zip(leaves, self._leaves, self._spaces, strict=True):
            kinds = "iub" if like.dtype.kind == "i" else "iubf"
            if leaf.dtype.kind not in kinds or not np.isfinite(leaf).all():
                raise JourneymanError(
                    f"The observation {observation} has entries that are not finite numbers, or no integers where"
                    f" '{self._where.name}' shows some; look at what it comes from."
                )
            if isinstance(space, AbstractFinite) and outside(leaf, space.counts).any():
                raise JourneymanError(
                    f"The observation {observation} has integers that '{self._where.name}' does not show: its"
                    f" observation_space is {space}; look at what it comes from."
                )
        read = [leaf.astype(like.dtype, copy=False) for leaf, like in zip(leaves, self._leaves, strict=True)]
        return [leaf[None] for leaf in read] if single else read, single


class _Decisions:
    """Decisions for `count` observations at once; the t-th draws its noise from `fold_in(key, t)`."""

    def __init__(self, behaviour: AbstractBehaviour, key: jax.Array, seen: PyTree, count: int) -> None:
        self._behaviour, self._key, self._count, self._made = behaviour, key, count, 0
        first = self._draw()
        self._act = decider(behaviour, seen, jax.tree.map(lambda leaf: leaf[0], first)).act

    def next(self, leaves: list[np.ndarray]) -> Any:
        """The next action."""
        at = self._made % _DRAWN
        if at == 0 and self._made:
            self._draw()
        self._made += 1
        return self._act(leaves, [leaf[at] for leaf in self._noise])[0]

    def _draw(self) -> PyTree:
        key = jax.random.fold_in(self._key, self._made // _DRAWN)
        noise = jax.tree.map(np.asarray, drawn(self._behaviour, key, _DRAWN, self._count))
        self._noise = jax.tree.leaves(noise)
        return noise


def actor(policy: AbstractDensityPolicy, environment: Any, *, seed: int | None = None) -> Actor:
    """`policy` as a function for a loop of your own: `env.step(act(observation))` with `act = actor(policy, env)`.

    `environment` is what acts are for: a `gymnasium.Env`, a `VectorEnv`, a world, or anything with an
    `observation_space` and an `action_space` of Gymnasium's kind. Of one observation (NumPy, or a dictionary) it makes
    one action, of a batch `(count, ...)` a batch: NumPy of the space's type, clipped to its box as worlds clip it; for
    one observation and finitely many actions an `int`. The action is the likeliest one, as `evaluate` takes it; with
    `seed` it is drawn, each call anew, and the same calls give the same draws.

    Raises `JourneymanError` where the policy does not fit the environment, and for a seed that is none.
    """
    seeded = [] if seed is None else not_whole("`seed`", seed, most=LAST_SEED)
    refuse(mistaken("`policy`", policy, AbstractDensityPolicy) + seeded)
    where, theirs = _spaces(environment)
    known = isinstance(policy, DensityPolicy)
    refuse(world_problems(policy, where) if known else misfits("policy", policy.mode, where))
    return Actor(Mean(policy) if seed is None else Sample(policy), where, theirs, 0 if seed is None else seed)


def _spaces(environment: Any) -> tuple[Spaces, Any]:
    """The spaces of one environment, and its action space as it has it itself."""
    if isinstance(environment, AbstractWorld):
        space = environment.action_space
        return Spaces(environment.name, environment.observation_space, space), space
    spaces: list[Any] = []
    for kind in ("observation", "action"):  # a vector environment's own spaces are those of the batch
        spaces.append(getattr(environment, f"single_{kind}_space", getattr(environment, f"{kind}_space", None)))
    if any(space is None for space in spaces):
        raise JourneymanError(
            f"`environment` is {environment!r:.60}, which has no observation_space and action_space; pass the Gymnasium"
            " environment or the world that the policy is to act in."
        )
    name = getattr(getattr(environment, "spec", None), "id", None) or type(environment).__name__
    seen = space_from_gymnasium(spaces[0], f"observation of '{name}'")
    acted = action_space_from_gymnasium(spaces[1], f"action of '{name}'")
    return Spaces(name, seen, acted), spaces[1]
