"""Which labels are believed."""

import abc

import numpy as np

from journeyman.corrections._report import LabelReport
from journeyman.parts import AbstractPart, JourneymanError


class AbstractRegion(AbstractPart):
    """Candidates with their numbers → which of them become labels."""

    @abc.abstractmethod
    def kept(self, report: LabelReport) -> np.ndarray:
        """`(candidates,)` bool."""

    @abc.abstractmethod
    def why_none(self, report: LabelReport) -> str:
        """What stood in the way of the best candidate, as the second half of a sentence, with the numbers."""


class TrustRegion(AbstractRegion):
    """Keep a label whose bound is within `tolerance`: by the bound it lands that near to a demonstrated state.

        bound = ‖step(s̃, ã) − s*‖ + error + 2 L_s ‖s̃ − s_t‖ + 2 L_a ‖ã − a_t‖ ≤ tolerance

    everything in deviations of the data: the label's own residual under the dynamics, the dynamics' held-out error, and
    what both the true residual and the model may change between the demonstrated step and the label, with the model's
    *local* Lipschitz constants L_s and L_a for either. So the radius around s_t in which an action's label is believed,
    (tolerance − residual − error) / 2L_s, shrinks where the model errs more or the dynamics is steeper. Under true
    dynamics error and slopes are 0 and the bound is what is missed.

    `tolerance` = `None` is the median length of a demonstrated step: no label may miss by more than the demonstrator
    moves in one. The bound holds where the true residual is no steeper than the model's steepest member says and the
    error at the demonstrated step no greater than its held-out quantile.
    """

    tolerance: float | None = None

    def __check_init__(self) -> None:
        if self.tolerance is not None and not self.tolerance > 0:
            raise JourneymanError(
                f"A label lands within a positive distance, not {self.tolerance} deviations; leave the tolerance out"
                " for the median step."
            )

    def allowed(self, report: LabelReport) -> float:
        """`tolerance`, or the median demonstrated step."""
        return report.median_step if self.tolerance is None else self.tolerance

    def kept(self, report: LabelReport) -> np.ndarray:
        """Where the bound is within the tolerance."""
        return report.bound <= self.allowed(report)

    def why_none(self, report: LabelReport) -> str:
        """The parts of the smallest bound."""
        best = int(np.argmin(report.bound))
        return (
            f"the smallest bound is {report.bound[best]:.3g} deviations of the data and {self.allowed(report):.3g} are"
            f" allowed; of it the dynamics' error is {report.error[best]:.3g}, its steepness over the distance"
            f" {report.growth[best]:.3g} and what the label itself misses {report.residual[best]:.3g}"
        )


class HandSetRadius(AbstractRegion):
    """Keep a label whose state is within `radius` of the demonstrated one: the control, as CCIL's released code has it.

    It asks neither what the model gets wrong nor how steep the dynamics is, so what it keeps may land anywhere. The
    bound is reported all the same. Deviation: the radius is in deviations of the data, there in the state's raw units.
    """

    radius: float = 1.0

    def __check_init__(self) -> None:
        if not self.radius > 0:
            raise JourneymanError(f"A radius is a positive number of deviations, not {self.radius}.")

    def kept(self, report: LabelReport) -> np.ndarray:
        """Where the distance is within the radius."""
        return report.distance <= self.radius

    def why_none(self, report: LabelReport) -> str:
        """The smallest distance."""
        return f"the nearest lies {report.distance.min():.3g} deviations away and {self.radius:.3g} are allowed"
