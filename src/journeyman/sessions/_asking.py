"""How an expert is asked (DAgger) or disturbed (DART), as a user sets it."""

import dataclasses
from typing import Literal

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
from journeyman.training import Learner


@dataclasses.dataclass(frozen=True)
class Asking:
    """How the expert is asked (DAgger) or disturbed (DART)."""

    schedule: Literal["constant", "first-round", "linear", "exponential"] = "constant"
    """DAgger: how β, the probability that the expert acts at a step, goes on from round to round."""
    beta: float | None = None
    """DAgger: β itself if constant (0), its factor from round to round if exponential (0.5)."""
    rounds: int = 10
    """DAgger: after how many rounds a linear β is 0."""
    noise: Literal["learned", "none", "isotropic", "random"] = "learned"
    """DART: the noise on the expert's actions, the learner's error or a control."""
    std: float = 0.1
    """DART: the deviation of isotropic noise in each action, in units of the action."""
    trace: float = 0.1
    """DART: the trace of a random covariance, in units of the action squared."""
    every: int = 1
    """A label is taken from every so many steps of an episode."""
    where: Literal["everywhere", "uncertain", "disagree"] = "everywhere"
    """Ask only where the policy's own distribution is widest, or where a committee disagrees most."""
    share: float | None = None
    """Where the learner is in doubt: the share of a round's states that are asked for (0.1)."""
    above: float | None = None
    """Where the learner is in doubt: the least doubt that is asked for, in nats or in half widths of the action box."""
    members: int = 4
    """How many policies the committee has."""
    budget: int | None = None
    """Labels in all, after which no more are asked for."""
    refit: bool = False
    """Fit fresh weights to all data in each round."""
    epochs: int = 20
    """Passes over all data in each round."""
    batch_size: int = 256
    """Labels a minibatch."""

    def problems(self) -> list[str]:
        """What is wrong with these numbers, in sentences."""
        found = []
        if self.beta is not None and self.schedule in ("first-round", "linear"):
            found.append(f"--asking.beta is {self.beta}, and a {self.schedule} β has none to set; leave it out.")
        elif self.beta is not None and self.schedule == "constant" and not 0 <= self.beta <= 1:
            found.append(f"--asking.beta must lie in [0, 1], not at {self.beta}; 0 is usual.")
        elif self.beta is not None and self.schedule == "exponential" and not 0 < self.beta < 1:
            found.append(f"--asking.beta must lie between 0 and 1 to fall, not at {self.beta}; 0.5 is usual.")
        found += self._doubts()
        for name in ("rounds", "every", "epochs", "batch_size"):
            if getattr(self, name) < 1:
                found.append(f"--asking.{name.replace('_', '-')} must be 1 or more, not {getattr(self, name)}.")
        for name in ("std", "trace"):
            if not getattr(self, name) >= 0:
                found.append(f"--asking.{name} must be 0 or more, not {getattr(self, name)}; 0.1 is usual.")
        return found

    def _doubts(self) -> list[str]:
        """What is wrong with where the learner is asked, in sentences."""
        found = []
        if self.where == "everywhere":
            given = [name for name in ("share", "above") if getattr(self, name) is not None]
            found += [
                f"--asking.{name} is {getattr(self, name)}, and everywhere asks without doubt; add --asking.where"
                " uncertain or disagree, or leave it out."
                for name in given
            ]
        elif self.every != 1:
            found.append(
                f"--asking.where {self.where} and --asking.every {self.every} both choose the states; leave one out."
            )
        if self.share is not None and not 0 < self.share <= 1:
            found.append(f"--asking.share must lie in (0, 1], not at {self.share}; 0.1 is usual.")
        if self.members < 2:
            found.append(f"--asking.members must be 2 or more to disagree, not {self.members}; 4 is usual.")
        if self.budget is not None and self.budget < 0:
            found.append(f"--asking.budget must be 0 labels or more, not {self.budget}; leave it out to set none.")
        return found

    def query(self) -> AbstractQuery:
        """Which of the visited states are labels."""
        share = 0.1 if self.share is None else self.share
        if self.where == "uncertain":
            return Uncertain(share, self.above)
        if self.where == "disagree":
            return Disagree(share, self.above, self.members)
        return Evenly(self.every) if self.every > 1 else Everywhere()

    def mixing(self) -> AbstractShare:
        """β's schedule."""
        if self.schedule == "constant":
            return Constant(0.0 if self.beta is None else self.beta)
        if self.schedule == "exponential":
            return Exponential(0.5 if self.beta is None else self.beta)
        return FirstRound() if self.schedule == "first-round" else Linear(self.rounds)

    def disturbance(self, seed: int) -> AbstractNoise:
        """DART's noise; `seed` draws the directions of a random one."""
        if self.noise == "isotropic":
            return Isotropic(self.std)
        if self.noise == "random":
            return RandomCovariance(self.trace, seed)
        return LearnedNoise() if self.noise == "learned" else Undisturbed()

    def learner(self, algorithm: str, expert: AbstractExpert, seed: int, rate: dict[str, float]) -> Learner:
        """The recipe with these numbers."""
        passes = {"epochs": self.epochs, "batch_size": self.batch_size}
        common = {
            "query": self.query(),
            "budget": self.budget,
            "refit": self.refit,
            **passes,
            **rate,
        }
        if algorithm == "dart":
            return dart(expert, noise=self.disturbance(seed), **common)  # type: ignore[arg-type]
        return dagger(expert, beta=self.mixing(), **common)  # type: ignore[arg-type]
