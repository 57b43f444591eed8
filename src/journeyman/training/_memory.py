"""The data of all rounds, in arrays of one fixed size, so that nothing is compiled again as it grows."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from journeyman.objectives import Samples
from journeyman.parts import JourneymanError


class Memory(eqx.Module):
    """Room for `capacity` samples, of which the first `count` are filled. Lives on the host."""

    samples: Samples
    count: np.ndarray

    @classmethod
    def of(cls, like: Samples, capacity: int) -> "Memory":
        """Empty room for samples shaped as `like`."""
        room = lambda leaf: np.zeros((capacity, *leaf.shape[1:]), leaf.dtype)  # noqa: E731
        samples = Samples(
            jax.tree.map(room, like.observation),
            jax.tree.map(room, like.target),
            room(like.weight),
            room(like.valid),
            np.ones((), like.weight.dtype),
            room(like.log_prob),
        )
        return cls(samples, np.zeros((), np.int64))

    def add(self, more: Samples) -> "Memory":
        """The same arrays with the valid ones among `more` behind what is there (written in place)."""
        chosen = np.flatnonzero(np.asarray(more.valid) > 0)
        begin, end = int(self.count), int(self.count) + len(chosen)
        if end > len(self.samples.valid):
            raise JourneymanError(
                f"The memory holds {len(self.samples.valid)} samples, not {end}; ask for fewer steps or more room."
            )
        names = ("observation", "target", "weight", "valid", "log_prob")
        for name in names:
            mine, theirs = getattr(self.samples, name), getattr(more, name)
            jax.tree.map(lambda room, new: room.__setitem__(slice(begin, end), np.asarray(new)[chosen]), mine, theirs)
        return Memory(self.samples, np.asarray(end, np.int64))

    def on_device(self) -> Samples:
        """All the room, with `valid` 0 where it is empty."""
        return jax.tree.map(jnp.asarray, self.samples)
