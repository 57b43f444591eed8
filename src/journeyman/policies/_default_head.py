"""Which head an action space gets unless someone chooses."""

import functools

from journeyman.parts import JourneymanError
from journeyman.policies._discrete_heads import Bernoulli, Categorical, MultiCategorical
from journeyman.policies._gaussian_heads import Gaussian
from journeyman.policies._heads import AbstractHead
from journeyman.worlds import AbstractSpace, Box, Discrete, MultiBinary, MultiDiscrete


@functools.singledispatch
def default_head(space: AbstractSpace) -> AbstractHead:
    """A Gaussian of state-independent deviation for a box; for a finite set the one head that is over it.

    `default_head.register` adds a space of your own.
    """
    raise JourneymanError(
        f"No head is known for actions in a {type(space).__name__}; give one, or register it with"
        " policies.default_head.register."
    )


@default_head.register
def _(space: Box) -> AbstractHead:
    return Gaussian.make(space)


@default_head.register
def _(space: Discrete) -> AbstractHead:
    return Categorical(space.n)


@default_head.register
def _(space: MultiDiscrete) -> AbstractHead:
    return MultiCategorical(space.sizes)


@default_head.register
def _(space: MultiBinary) -> AbstractHead:
    return Bernoulli(space.n)
