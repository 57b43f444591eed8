"""How an expert is asked (DAgger) or disturbed (DART), as a user sets it."""

import dataclasses
import math
from typing import Literal

from journeyman._settings._numbers import flag, not_negative
from journeyman._settings._unread import Rule, chosen


@dataclasses.dataclass(frozen=True)
class Asking:
    """How the expert is asked (DAgger) or disturbed (DART)."""

    schedule: Literal["constant", "first-round", "linear", "exponential"] | None = None
    """DAgger: how β, the probability that the expert acts at a step, goes on from round to round (constant)."""
    beta: float | None = None
    """DAgger: β itself if constant (0), its factor from round to round if exponential (0.5)."""
    rounds: int | None = None
    """DAgger: after how many rounds a linear β is 0 (10)."""
    noise: Literal["learned", "none", "isotropic", "random"] | None = None
    """DART: the noise on the expert's actions, the learner's error or a control (learned)."""
    std: float | None = None
    """DART: the deviation of isotropic noise in each action, in units of the action (0.1)."""
    trace: float | None = None
    """DART: the trace of a random covariance, in units of the action squared (0.1)."""
    every: int | None = None
    """A label is taken from every so many steps of an episode (1)."""
    where: Literal["everywhere", "uncertain", "disagree"] | None = None
    """Ask only where the policy's own distribution is widest, or where a committee disagrees most (everywhere)."""
    share: float | None = None
    """Where the learner is in doubt: the share of a round's states that are asked for (0.1)."""
    above: float | None = None
    """Where the learner is in doubt: the least doubt that is asked for, in nats or in half widths of the action box."""
    members: int | None = None
    """Where a committee disagrees: how many policies it has (4)."""
    budget: int | None = None
    """Labels in all, after which no more are asked for."""
    refit: bool = False
    """Fit fresh weights to all data in each round."""
    epochs: int | None = None
    """Passes over all data in each round (20)."""
    batch_size: int | None = None
    """Labels a minibatch (256)."""

    def problems(self) -> list[str]:
        """What is wrong with these numbers, in sentences."""
        found = []
        if self.beta is not None and self.chosen_schedule == "constant" and not 0 <= self.beta <= 1:
            found.append(f"--asking.beta must lie in [0, 1], not at {self.beta}; 0 is usual.")
        elif self.beta is not None and self.chosen_schedule == "exponential" and not 0 < self.beta < 1:
            found.append(f"--asking.beta must lie between 0 and 1 to fall, not at {self.beta}; 0.5 is usual.")
        if self.share is not None and not 0 < self.share <= 1:
            found.append(f"--asking.share must lie in (0, 1], not at {self.share}; 0.1 is usual.")
        if self.members is not None and self.members < 2:
            found.append(f"--asking.members must be 2 or more to disagree, not {self.members}; 4 is usual.")
        if self.budget is not None and self.budget < 0:
            found.append(f"--asking.budget must be 0 labels or more, not {self.budget}; leave it out to set none.")
        for name in ("rounds", "every", "epochs", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                found.append(f"{flag('asking.' + name)} must be 1 or more, not {value}.")
        if self.above is not None and not math.isfinite(self.above):
            found.append(f"--asking.above must be a finite number, not {self.above}; leave it out to set none.")
        return found + not_negative("0.1 is usual", **{"asking.std": self.std, "asking.trace": self.trace})

    @property
    def chosen_schedule(self) -> str:
        """The schedule, also where none is given."""
        return self.schedule or "constant"

    @property
    def chosen_noise(self) -> str:
        """The noise, also where none is given."""
        return self.noise or "learned"

    @property
    def chosen_where(self) -> str:
        """Where, also where that is not given."""
        return self.where or "everywhere"

    def rules(self) -> list[Rule]:
        """Which of these, as `asking.NAME`, are read beside what else is chosen here."""
        return [
            chosen("asking.schedule", self.chosen_schedule, ("constant", "exponential"), "asking.beta"),
            chosen("asking.schedule", self.chosen_schedule, ("linear",), "asking.rounds"),
            chosen("asking.noise", self.chosen_noise, ("isotropic",), "asking.std"),
            chosen("asking.noise", self.chosen_noise, ("random",), "asking.trace"),
            chosen("asking.where", self.chosen_where, ("everywhere",), "asking.every"),
            chosen("asking.where", self.chosen_where, ("uncertain", "disagree"), "asking.share", "asking.above"),
            chosen("asking.where", self.chosen_where, ("disagree",), "asking.members"),
        ]
