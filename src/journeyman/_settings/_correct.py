"""Options of making corrective labels, and of cloning with them."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Literal

from journeyman._settings._fit import PolicyShape, ScoreName
from journeyman._settings._numbers import not_negative, positive, seeded
from journeyman._settings._unread import Rule, chosen, unread


@dataclasses.dataclass(frozen=True)
class CorrectSettings:
    """Make corrective labels from demonstrations in a file, and clone with them, with noise, and with neither."""

    data: Path
    """Demonstrations: npz, HDF5, CSV, Minari, LeRobot or `imitation` (see docs/own-data.md)."""
    world: str | None = None
    """The world they come from, to clone and evaluate in, and to say how wrong the labels are."""
    options: tuple[str, ...] = ()
    """Options of the world, as NAME=VALUE, for instance max_episode_steps=200."""
    out: Path = Path("runs/corrected")
    """The folder to make."""
    dynamics: Literal["learned", "true"] = "learned"
    """What an action does: a model fitted to the demonstrations, or the world's own."""
    method: Literal["back-track", "root-finding", "disturbed-action", "steered"] = "back-track"
    """Where candidates come from (docs/algorithms/corrective_labels.md)."""
    std: float | None = None
    """Disturbed action: how far the action is moved; steered: the state. In deviations of the data (0.1)."""
    copies: int | None = None
    """Disturbed action and steered: candidates for each demonstrated step (1)."""
    iterations: int | None = None
    """Of root finding (30), of steering (5), and of solving for a disturbed action (0)."""
    tolerance: float | None = None
    """How far a label may be bound to land from its destination, in deviations; a median demonstrated step."""
    radius: float | None = None
    """The control: keep what lies within this many deviations, and ask nothing else."""
    members: int | None = None
    """Networks of the fitted model (4)."""
    steepness: float | None = None
    """How steep the fitted model may be before it is priced, in standardised units (1)."""
    noise: float = 0.05
    """Noisy cloning: the noise on what is seen, in deviations of the data."""
    noise_copies: int = 1
    """Noisy cloning: copies of each step."""
    gradient_steps: int | None = None
    """Of each clone, whatever the size of its data (4000)."""
    batch_size: int = 256
    learning_rate: float | None = None
    """Of each clone (1e-3)."""
    weight_decay: float | None = None
    """Of each clone (0)."""
    shape: PolicyShape = PolicyShape()
    score: ScoreName = "return"
    episodes: int | None = None
    """How many episodes each clone is evaluated on (50)."""
    seed: int = 0
    overwrite: bool = False

    def problems(self) -> list[str]:
        """What is wrong with these numbers or contradicts itself, in sentences."""
        found = positive(
            copies=self.copies,
            iterations=self.iterations,
            tolerance=self.tolerance,
            radius=self.radius,
            steepness=self.steepness,
            std=self.std,
            noise_copies=self.noise_copies,
            gradient_steps=self.gradient_steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            episodes=self.episodes,
        )
        found += not_negative("change it", noise=self.noise, weight_decay=self.weight_decay) + seeded(self.seed)
        if self.members is not None and self.members < 2:
            found.append(f"--members must be 2 or more, not {self.members}: each is judged on what it has not seen.")
        if self.dynamics == "true" and self.world is None:
            found.append("--dynamics true is that of a world, and none is given; add --world NAME.")
        if self.radius is not None and self.tolerance is not None:
            found.append("--radius and --tolerance both decide which labels are kept; leave one out.")
        return found + self.shape.problems() + unread(self, self.rules())

    def rules(self) -> list[Rule]:
        """Which settings are read beside what else is chosen."""
        by = partial(chosen, "method", self.method)
        shape = [f"shape.{field.name}" for field in dataclasses.fields(PolicyShape)]
        clones = ("options", "gradient_steps", "learning_rate", "weight_decay", *shape, "score", "episodes")
        why = "only the clones in a --world read it; leave it out, or add --world"
        return [
            by(("disturbed-action", "steered"), "std", "copies"),
            by(("root-finding", "disturbed-action", "steered"), "iterations"),
            chosen("dynamics", self.dynamics, ("learned",), "members", "steepness"),
            Rule(clones, self.world is not None, why),
        ]
