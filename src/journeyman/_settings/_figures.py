"""Options of drawing figures."""

import dataclasses
from pathlib import Path
from typing import Literal

from journeyman._settings._numbers import positive, seeded

SetName = Literal["policy-gradient", "imitation"]


@dataclasses.dataclass(frozen=True)
class FiguresSettings:
    """Draw the figures of a lecture from runs: SVG and PNG, light and dark, captions, numbers and a page."""

    of: SetName
    """Which set."""
    out: Path
    """The folder to make."""
    only: tuple[str, ...] | None = None
    """Names of the figures that are wanted, for instance geometry baselines; all of them by default."""
    humanoid: int | None = None
    """Environment steps a seed of one more figure, REINFORCE, natural gradient, TRPO and PPO on Humanoid-v5; 10,000,000
    take hours. With it only this one is drawn, unless `--only` names others."""
    comparison_world: str = "Humanoid-v5"
    """Another world for that figure."""
    runs: Path | None = None
    """Keep its runs in this folder, and go on with those that are there: hours of them can be done in parts, and parts
    side by side, by commands that differ in --seed, --seeds and --out."""
    seeds: int = 5
    """Runs of each of its learners."""
    alternatives: Path | None = None
    """One more figure, of what `python -m benchmarks.alternatives --json` printed into this file."""
    seed: int = 0
    """The first of them, and the seed of all samples."""
    scale: float = 1.0
    """A fraction of the samples and iterations, for a quick look."""
    overwrite: bool = False
    """Replace figures that stand in the folder already."""

    def problems(self) -> list[str]:
        """What is wrong with these numbers, in sentences."""
        steps = 1 if self.humanoid is None else self.humanoid
        found = positive(seeds=self.seeds, scale=self.scale, humanoid=steps) + seeded(self.seed)
        if self.only == ():
            found.append("--only names no figure; write the names after it, or leave it out to have all.")
        if self.humanoid is None and self.comparison_world != "Humanoid-v5":
            found.append(
                f"--comparison-world {self.comparison_world} is of no use without its number of steps; add"
                " --humanoid STEPS."
            )
        if self.humanoid is None and self.runs is not None:
            found.append(
                f"--runs {self.runs} keeps the runs of --humanoid, which is not asked for; add --humanoid STEPS."
            )
        if self.of != "policy-gradient" and (self.humanoid is not None or self.alternatives is not None):
            found.append(
                f"--humanoid and --alternatives add to the policy-gradient figures, not to those of {self.of}; leave"
                " them out, or ask for policy-gradient."
            )
        return found
