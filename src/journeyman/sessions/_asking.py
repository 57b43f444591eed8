"""How an expert is asked (DAgger) or disturbed (DART), as a user sets it."""

import dataclasses
import math
from typing import Any, Literal

from journeyman.algorithms import dagger, dart
from journeyman.collect import (
    AbstractNoise,
    AbstractQuery,
    AbstractShare,
    Constant,
    Disagree,
    Evenly,
    Everywhere,
    Exponential,
    FirstRound,
    Isotropic,
    LearnedNoise,
    Linear,
    RandomCovariance,
    Uncertain,
    Undisturbed,
)
from journeyman.experts import AbstractExpert
from journeyman.sessions._refusals import flag, not_negative
from journeyman.sessions._unread import Rule, chosen, usually
from journeyman.training import Learner


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
        if self.beta is not None and self._schedule == "constant" and not 0 <= self.beta <= 1:
            found.append(f"--asking.beta must lie in [0, 1], not at {self.beta}; 0 is usual.")
        elif self.beta is not None and self._schedule == "exponential" and not 0 < self.beta < 1:
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
    def _schedule(self) -> str:
        return self.schedule or "constant"

    @property
    def _noise(self) -> str:
        return self.noise or "learned"

    @property
    def _where(self) -> str:
        return self.where or "everywhere"

    def rules(self) -> list[Rule]:
        """Which of these, as `asking.NAME`, are read beside what else is chosen here."""
        return [
            chosen("asking.schedule", self._schedule, ("constant", "exponential"), "asking.beta"),
            chosen("asking.schedule", self._schedule, ("linear",), "asking.rounds"),
            chosen("asking.noise", self._noise, ("isotropic",), "asking.std"),
            chosen("asking.noise", self._noise, ("random",), "asking.trace"),
            chosen("asking.where", self._where, ("everywhere",), "asking.every"),
            chosen("asking.where", self._where, ("uncertain", "disagree"), "asking.share", "asking.above"),
            chosen("asking.where", self._where, ("disagree",), "asking.members"),
        ]

    def query(self) -> AbstractQuery:
        """Which of the visited states are labels."""
        share = usually(self.share, 0.1)
        if self._where == "uncertain":
            return Uncertain(share, self.above)
        if self._where == "disagree":
            return Disagree(share, self.above, usually(self.members, 4))
        return Evenly(self.every) if self.every is not None and self.every > 1 else Everywhere()

    def mixing(self) -> AbstractShare:
        """β's schedule."""
        if self._schedule == "constant":
            return Constant(usually(self.beta, 0.0))
        if self._schedule == "exponential":
            return Exponential(usually(self.beta, 0.5))
        return FirstRound() if self._schedule == "first-round" else Linear(usually(self.rounds, 10))

    def disturbance(self, seed: int) -> AbstractNoise:
        """DART's noise; `seed` draws the directions of a random one."""
        if self._noise == "isotropic":
            return Isotropic(usually(self.std, 0.1))
        if self._noise == "random":
            return RandomCovariance(usually(self.trace, 0.1), seed)
        return LearnedNoise() if self._noise == "learned" else Undisturbed()

    def learner(self, algorithm: str, expert: AbstractExpert, seed: int, rate: dict[str, float]) -> Learner:
        """The recipe with these numbers."""
        passes = {"epochs": self.epochs, "batch_size": self.batch_size}
        given = {name: value for name, value in passes.items() if value is not None}
        common: dict[str, Any] = {"query": self.query(), "budget": self.budget, "refit": self.refit, **given, **rate}
        if algorithm == "dart":
            return dart(expert, noise=self.disturbance(seed), **common)
        return dagger(expert, beta=self.mixing(), **common)
