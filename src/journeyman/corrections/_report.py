"""What became of the candidates: how many were kept, where they lie, and how wrong they are."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class LabelReport:
    """One entry a candidate, `(candidates,)`, all in deviations of the data (`Scales`).

    `bound` is how far from its destination a label may land; its parts are `residual`, what the label misses by the
    dynamics' own word, `error`, what the dynamics gets wrong near the demonstrated step, and `growth`, what that may
    grow to over the distance. `distance` is from the label's state to the demonstrated state it was made from,
    `nearest` to the nearest of all demonstrated states. `landing` is where it truly lands, as the distance from its
    destination; `None` where nobody knows the true dynamics. `kept` says which are labels; `anchor` which demonstrated
    step each was made from, counted over those that could be used. `unknown` steps could not: their observation does
    not say what the state is. `median_step` is the median distance between successive demonstrated states.
    """

    bound: np.ndarray
    residual: np.ndarray
    error: np.ndarray
    growth: np.ndarray
    distance: np.ndarray
    nearest: np.ndarray
    landing: np.ndarray | None
    kept: np.ndarray
    anchor: np.ndarray
    unknown: int
    median_step: float

    def keep(self, kept: np.ndarray) -> "LabelReport":
        """The same with `kept`."""
        return dataclasses.replace(self, kept=kept)

    @property
    def tried(self) -> int:
        """How many candidates there were."""
        return len(self.kept)

    @property
    def count(self) -> int:
        """How many were kept."""
        return int(self.kept.sum())

    @property
    def violations(self) -> int | None:
        """How many kept labels truly land farther off than their bound; `None` where nobody knows."""
        if self.landing is None:
            return None
        slack = 1e-9 + 1e-5 * self.bound  # rounding, where the dynamics is computed in single precision
        return int((self.kept & (self.landing > self.bound + slack)).sum())

    def sentences(self) -> list[str]:
        """The report in words."""
        told = [f"{self.count} of {self.tried} labels were kept."]
        if self.unknown:
            told.append(f"{self.unknown} demonstrated steps could not be used: what they show does not fix the state.")
        if not self.count:
            return told
        far, bound = (_quantiles(column[self.kept]) for column in (self.nearest, self.bound))
        told.append(
            f"They lie {far} deviations from the nearest demonstrated state (median, 90 %, most; a demonstrated step is"
            f" {self.median_step:.3g}), and are bound to land within {bound} of theirs."
        )
        if self.landing is not None:
            landing = _quantiles(self.landing[self.kept])
            told.append(f"Truly they land within {landing}; {self.violations} of them beyond their bound.")
        return told

    def __str__(self) -> str:
        return " ".join(self.sentences())


def _quantiles(column: np.ndarray) -> str:
    return ", ".join(f"{value:.3g}" for value in np.quantile(column, [0.5, 0.9, 1.0]))
