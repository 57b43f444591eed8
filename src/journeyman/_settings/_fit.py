"""Options of cloning, and of a fresh policy."""

import dataclasses
from pathlib import Path
from typing import Literal

from journeyman._settings._numbers import not_negative, positive, seeded

HeadName = Literal["automatic", "gaussian", "state-dependent", "full-covariance", "mixture", "squashed", "beta"]
ScoreName = Literal["return", "best reward"]


@dataclasses.dataclass(frozen=True)
class PolicyShape:
    """How a fresh policy is built."""

    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers."""
    head: HeadName = "automatic"
    """The distribution over actions: automatic takes gaussian for boxes, for a finite set the one that fits."""
    activation: Literal["tanh", "relu", "gelu", "silu"] = "tanh"
    """What follows each hidden layer."""
    per_step: bool = False
    """Separate parameters for each step of an episode; needs a world that shows the time, as timed:NAME does."""

    def problems(self) -> list[str]:
        """What is wrong with these numbers, in sentences."""
        if all(width > 0 for width in self.hidden):
            return []
        return [f"--shape.hidden must be positive widths, not {list(self.hidden)}; 64 64 is usual."]


@dataclasses.dataclass(frozen=True)
class FitSettings:
    """Clone a policy from demonstrations in a file, evaluate it, and write a report."""

    data: Path
    """Demonstrations: npz, HDF5, CSV, Minari, LeRobot or `imitation` (see docs/own-data.md)."""
    world: str
    """The world they come from, for instance gymnasium:gym_pusht/PushT-v0."""
    options: tuple[str, ...] = ()
    """Options of the world, as NAME=VALUE, for instance max_episode_steps=200."""
    out: Path = Path("runs/clone")
    """The run folder to make."""
    epochs: int = 200
    """Passes over the training episodes."""
    batch_size: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    """Adam's decoupled decay; some is needed where a few demonstrations are passed over often."""
    held_out: float = 0.1
    """Share of the episodes that is kept from training and judged by its negative log-likelihood; 0 keeps none."""
    angles: Literal["automatic", "none"] = "automatic"
    """Whether observation columns that wrap become cosine and sine."""
    shape: PolicyShape = PolicyShape(hidden=(256, 256))
    score: ScoreName = "return"
    """What an episode counts in the report: the sum of its rewards or the highest one."""
    episodes: int = 50
    """How many episodes the clone is evaluated on."""
    seed: int = 0
    overwrite: bool = False
    """Replace a run that stands in the folder already."""

    def problems(self) -> list[str]:
        """What is wrong with these numbers, in sentences."""
        found = positive(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            episodes=self.episodes,
        )
        found += not_negative("0.01 is usual", weight_decay=self.weight_decay)
        if not 0 <= self.held_out < 1:
            found.append(f"--held-out must lie in [0, 1), not {self.held_out}; 0.1 is usual, and 0 keeps none.")
        return found + self.shape.problems() + seeded(self.seed)
