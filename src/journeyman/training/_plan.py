"""How long a run is, in what portions, and what is looked at on the way."""

import math

from journeyman.parts import LAST_SEED, AbstractPart, not_whole
from journeyman.training._learner import Learner
from journeyman.worlds import AbstractWorld


class Plan(AbstractPart):
    """How long, in what portions, and what is looked at on the way; see `improve`.

    All environments take the same number of steps in a batch: one of `batch` = 127 steps from 64 environments has 64.
    Batches are taken until there are at least `steps` steps.
    """

    steps: int
    batch: int
    seed: int = 0
    minimum_std: float | None = None
    evaluation_episodes: int = 0
    evaluate_every: int = 10
    checkpoint_every: int | None = None
    staggered: bool = True

    def taken(self, world: AbstractWorld) -> int:
        """How many steps a batch has: as many whole steps of all environments as fit into `batch`."""
        return self.batch // world.num_envs * world.num_envs

    def problems(self, world: AbstractWorld, *learners: Learner) -> list[str]:
        """What is wrong with these numbers in a world and for some learners, in sentences."""
        found = not_whole("`seed`", self.seed, most=LAST_SEED)
        if not 1 <= self.steps < math.inf:
            found.append(f"There is nothing to do in {self.steps} steps; ask for at least one batch of {self.batch}.")
        if not world.num_envs <= self.batch < math.inf:
            found.append(
                f"A batch of {self.batch} steps is less than one for each of {world.num_envs} environments; raise the"
                " batch or lower num_envs."
            )
        least = max((one.weight.least_steps for one in learners), default=1)
        if world.num_envs <= self.batch and self.taken(world) < least:
            found.append(
                f"A batch of {self.taken(world)} step is too small: {type(learners[0].weight).__name__} subtracts the"
                f" batch's mean, which leaves nothing of fewer than {least}; raise the batch (some thousand steps are"
                " usual), or take scaling=Unscaled()."
            )
        every = (self.evaluate_every, *(() if self.checkpoint_every is None else (self.checkpoint_every,)))
        if min(every) < 1 or self.evaluation_episodes < 0:
            found.append("Evaluations and checkpoints come every 1 or more iterations; use positive numbers.")
        if self.minimum_std is not None and not self.minimum_std > 0:
            found.append(f"A floor under the standard deviation is positive, not {self.minimum_std}; 0.1 is usual.")
        return found
