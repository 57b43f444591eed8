"""Nothing but the states that somebody showed: where actions are compared with actions."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from journeyman.episodes import Episodes
from journeyman.parts import JourneymanError
from journeyman.worlds._base import AbstractPureWorld, Outcome
from journeyman.worlds._spaces import AbstractSpace, Box


class Demonstrated(AbstractPureWorld):
    """One-step episodes that begin in the demonstrated states, drawn alike: nothing is paid and nothing follows.

    A weight that compares with demonstrations (`journeyman.weights.Occupancy`) compares the actions alone here, given
    the demonstrator's states: cloning under an f-divergence, from samples and without a simulator.
    """

    shown: PyTree
    seen: Any
    actions: AbstractSpace
    num_envs: int = 64
    seed: int = 0

    @classmethod
    def of(
        cls, demonstrations: Episodes, actions: AbstractSpace, *, seen: Any = None, num_envs: int = 64, seed: int = 0
    ) -> "Demonstrated":
        """From the valid steps of `demonstrations`; `seen` is the observation space, by default all real arrays."""
        valid = np.asarray(demonstrations.valid)
        if not valid.any():
            raise JourneymanError("The demonstrations hold no valid step, so no state was shown; pass at least one.")
        shown = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)[valid]), demonstrations.now)
        if seen is None:
            seen = jax.tree.map(lambda leaf: Box.unbounded(*leaf.shape[1:]), shown)
        return cls(shown, seen, actions, num_envs, seed)  # type: ignore[call-arg]

    @property
    def name(self) -> str:  # type: ignore[override]
        """Empty: it cannot be made again without the demonstrations."""
        return ""

    @property
    def horizon(self) -> int:  # type: ignore[override]
        """One step; it ends by termination."""
        return 1

    @property
    def observation_space(self) -> Any:  # type: ignore[override]
        """What was said of it."""
        return self.seen

    @property
    def action_space(self) -> AbstractSpace:  # type: ignore[override]
        """What was said of it."""
        return self.actions

    def reset(self, key: Array) -> Array:
        """The number of one of the states."""
        return jax.random.randint(key, (), 0, jax.tree.leaves(self.shown)[0].shape[0])

    def step(self, state: Array, action: Array, key: Array) -> tuple[Array, Outcome]:
        """The end."""
        del action, key
        return state, Outcome(jnp.zeros((), jnp.float32), jnp.ones((), bool), jnp.zeros((), bool))

    def observe(self, state: Array) -> PyTree:
        """What was seen there."""
        return jax.tree.map(lambda leaf: leaf[state], self.shown)
