"""How long a run is, in what portions, and what is looked at on the way."""

from journeyman.parts import LAST_SEED, AbstractPart, mistaken, not_whole
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

    def _mistaken(self) -> list[str]:
        """What is no number, and no yes or no, of the kind that it has to be, in whatever world."""
        found = not_whole("`seed`", self.seed, most=LAST_SEED)
        for name in ("steps", "batch", "evaluate_every"):
            found += not_whole(f"`{name}`", getattr(self, name), least=1)
        found += not_whole("`evaluation_episodes`", self.evaluation_episodes)
        if self.checkpoint_every is not None:
            found += not_whole("`checkpoint_every`", self.checkpoint_every, least=1)
        if self.minimum_std is not None and not self.minimum_std > 0:
            found.append(f"A floor under the standard deviation is positive, not {self.minimum_std}; 0.1 is usual.")
        return found + mistaken("`staggered`", self.staggered, bool, "pass True or False")

    def problems(self, world: AbstractWorld, *learners: Learner) -> list[str]:
        """What is wrong with these numbers in a world and for some learners, in sentences."""
        found = self._mistaken()
        if not_whole("`batch`", self.batch, least=1):
            return found
        if self.batch < world.num_envs:
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
        return found
