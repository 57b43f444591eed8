"""A behaviour as its numbers and the rest, so that one program serves all that differ in numbers alone."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np

from journeyman.collect._behaviour import AbstractBehaviour


class Form(NamedTuple):
    """A behaviour without its numbers: hashable, so that programs can be kept by it."""

    structure: Any
    static: tuple
    static_structure: Any

    def behaviour(self, leaves: Sequence[Any]) -> AbstractBehaviour:
        """The behaviour with these numbers."""
        static = jax.tree.unflatten(self.static_structure, self.static)
        return eqx.combine(jax.tree.unflatten(self.structure, leaves), static)


def taken_apart(behaviour: AbstractBehaviour) -> tuple[list[Any], Form]:
    """The numbers of a behaviour, and the rest."""
    arrays, static = eqx.partition(behaviour, lambda leaf: isinstance(leaf, (jax.Array, np.ndarray)))
    leaves, structure = jax.tree.flatten(arrays)
    static_leaves, static_structure = jax.tree.flatten(static)
    return leaves, Form(structure, tuple(static_leaves), static_structure)
