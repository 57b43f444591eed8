"""Options of the diagnoses."""

import dataclasses
from pathlib import Path

from journeyman._refusals import EVALUATION_SEED


@dataclasses.dataclass(frozen=True)
class DiagnoseGradientSettings:
    """How good the gradient is: estimators side by side, the batch they need, and where their variance comes from."""

    policy: Path
    """A run folder or an artefact."""
    world: str
    """Where, for instance Hopper-v5."""
    options: tuple[str, ...] = ()
    """Options of the world, as NAME=VALUE, for instance max_episode_steps=200."""
    episodes: int = 512
    """Trajectories; as many again are played to fit the baselines."""
    ratio: float = 1.0
    """The signal-to-noise ratio that a batch should have."""
    discount: float = 1.0
    lambda_: float = 0.95
    """Of the generalised advantages."""
    seed: int = EVALUATION_SEED
    json: bool = False
    """Print JSON."""
    out: Path | None = None
    """A folder for diagnosis.json and report.html."""
    overwrite: bool = False
    """Replace a diagnosis that stands in the folder already."""


@dataclasses.dataclass(frozen=True)
class DiagnoseStepSettings:
    """What one step does: covariant or not, realised against predicted KL, the return along the direction."""

    policy: Path
    """A run folder or an artefact."""
    world: str
    """Where, for instance Hopper-v5."""
    options: tuple[str, ...] = ()
    """Options of the world, as NAME=VALUE, for instance max_episode_steps=200."""
    kl: float = 0.01
    """The step's predicted KL, in nats."""
    episodes: int = 64
    """Of the batch whose gradient is followed."""
    evaluation_episodes: int = 64
    """Played at each length of the step."""
    discount: float = 0.99
    lambda_: float = 0.95
    damping: float = 1e-3
    """Of the natural direction."""
    seed: int = EVALUATION_SEED
    json: bool = False
    """Print JSON."""
    out: Path | None = None
    """A folder for diagnosis.json and report.html."""
    overwrite: bool = False
    """Replace a diagnosis that stands in the folder already."""


@dataclasses.dataclass(frozen=True)
class DiagnoseCompoundingSettings:
    """What a clone's errors cost: its error on the expert's states and on its own, by step number and by horizon."""

    policy: Path
    """A run folder or an artefact: the clone."""
    expert: str
    """A run folder or an artefact, or the word shipped: the expert that comes with the package for this world."""
    world: str
    """Where, for instance Hopper-v5."""
    options: tuple[str, ...] = ()
    """Options of the world, as NAME=VALUE, for instance max_episode_steps=200."""
    episodes: int = 100
    """Of the clone and of the expert each; where an error is rare, thousands are needed."""
    horizons: tuple[int, ...] = ()
    """Numbers of steps whose cost is told and fitted; 8 from an eighth of the longest episode on by default."""
    bins: int = 10
    """Of step numbers, in the table by step."""
    seed: int = EVALUATION_SEED
    json: bool = False
    """Print JSON."""
    out: Path | None = None
    """A folder for diagnosis.json and report.html."""
    overwrite: bool = False
    """Replace a diagnosis that stands in the folder already."""


@dataclasses.dataclass(frozen=True)
class DiagnoseCloneSettings:
    """Why a clone is bad: the causes side by side, from refits of its recipe, and what cannot be told."""

    run: Path
    """The run folder of `journeyman fit`."""
    expert: str | None = None
    """A run folder or an artefact, or the word shipped; without an expert nobody can tell whether errors compound."""
    least_return: float | None = None
    """Demonstrations that return less do not count as successes, where the world does not say which are."""
    folds: int = 3
    """Parts of the demonstrations, each left out of the refits in turn."""
    seeds: int = 3
    """Training seeds of the refits."""
    episodes: int = 50
    """How many are played."""
    seed: int = EVALUATION_SEED
    json: bool = False
    """Print JSON."""
    out: Path | None = None
    """A folder for diagnosis.json and report.html."""
    overwrite: bool = False
    """Replace a diagnosis that stands in the folder already."""
