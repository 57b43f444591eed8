"""Options of the quickstart."""

import dataclasses
from pathlib import Path

from journeyman._refusals import beyond_the_last
from journeyman._settings._numbers import positive, seeded

DEMONSTRATED = 10_000
"""By how much the seed of the demonstrations is larger than the run's."""
CORRECTED_IN = 4
"""Environments, few, so that ten rounds of 1,000 labels reach the end of Hopper's 1,000 steps twice."""
BATCH = 4096
"""Steps of practice an iteration."""


@dataclasses.dataclass(frozen=True)
class QuickstartSettings:
    """Clone an expert from few demonstrations, watch the clone fail, mend it, improve it, and write a report."""

    out: Path = Path("quickstart")
    """The folder to make."""
    seed: int = 0
    demonstrations: int = 4
    """Episodes of the expert."""
    kept_steps: int = 100
    """Steps that are kept of each, evenly spread: few enough for cloning to fail."""
    labels: int = 10_000
    """How many labels DAgger may ask of the expert."""
    steps: int = 400_000
    """Environment steps of practice for the clone."""
    episodes: int = 50
    """How many episodes every policy is evaluated on."""
    overwrite: bool = False
    """Replace an earlier quickstart in the folder."""

    def problems(self) -> list[str]:
        """What is wrong with these numbers, in sentences."""
        numbers = ("demonstrations", "kept_steps", "labels", "steps", "episodes")
        found = positive(**{name: getattr(self, name) for name in numbers})
        if 0 < self.labels < CORRECTED_IN:
            found.append(
                f"--labels {self.labels} is less than one for each of the {CORRECTED_IN} environments in which the"
                " clone is corrected; ask for more."
            )
        if 0 < self.steps <= BATCH:
            found.append(
                f"--steps {self.steps} is no more than the first batch of {BATCH:,} steps, which only fits the"
                f" baseline, so that nothing would be learned; ask for more than {BATCH:,} steps."
            )
        return found + seeded(self.seed) + beyond_the_last(self.seed, DEMONSTRATED + 1)
