"""Options of DAgger with an expert that is a file."""

import dataclasses
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class ExportSettings:
    """Let a policy act, and write the states that it visits, for somebody to say what should have been done there."""

    policy: Path
    """A run folder or an artefact."""
    world: str
    """Where, for instance Hopper-v5."""
    out: Path
    """The file to make: NAME.npz, NAME.h5 or NAME.csv."""
    options: tuple[str, ...] = ()
    """Options of the world, as NAME=VALUE, for instance max_episode_steps=200."""
    episodes: int = 5
    """How many whole episodes the policy plays, by its mean action."""
    seed: int = 0
    """Of the start states; another one in every round."""
    overwrite: bool = False


@dataclasses.dataclass(frozen=True)
class ImportSettings:
    """Read labels for visited states back, and write them with the demonstrations as one file to clone from."""

    visited: Path
    """What was exported."""
    labels: Path
    """The labels: one row each, `observation` as exported and `target_action` as it should have been."""
    out: Path
    """The file to make; `journeyman fit --data` reads it."""
    data: Path | None = None
    """Demonstrations, or the result of an earlier round, to add to."""
    partial: bool = False
    """Leave visited states without a label out, in place of refusing them."""
    overwrite: bool = False
