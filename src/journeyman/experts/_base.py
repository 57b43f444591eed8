"""Who can label an observation with the action that should have been taken there."""

import abc
from importlib import resources
from typing import ClassVar

from jaxtyping import Array, PyTree

from journeyman.parts import AbstractPart, JourneymanError, did_you_mean
from journeyman.policies import AbstractDensityPolicy, DensityPolicy, load


class AbstractExpert(AbstractPart):
    """Answers every observation with an action, in the world's units, from the raw observation.

    `label` is compiled together with what asks it, so it is written in jax.numpy; what cannot be (a controller of
    another library) is called by `jax.pure_callback`.
    """

    gives: ClassVar[frozenset[str]] = frozenset({"expert"})

    @abc.abstractmethod
    def label(self, observation: PyTree, key: Array) -> Array:
        """The action for each leading batch element: `(count, ...)` for `count` observations."""


class PolicyExpert(AbstractExpert):
    """A policy asked for its mode."""

    policy: AbstractDensityPolicy

    def label(self, observation: PyTree, key: Array) -> Array:
        """The policy's likeliest action."""
        return self.policy.mode(observation)


def shipped(world: str) -> DensityPolicy:
    """The expert policy that comes with the package for a world id, e.g. `shipped("Hopper-v5")`."""
    shelf = resources.files("journeyman.experts") / "shipped"
    known = sorted(item.name for item in shelf.iterdir() if item.is_dir()) if shelf.is_dir() else []
    if world not in known:
        raise JourneymanError(
            f"No expert for '{world}' comes with the package.{did_you_mean(world, known)} There is: {', '.join(known)};"
            " train one with `journeyman improve`."
        )
    with resources.as_file(shelf / world) as folder:
        return load(folder)
