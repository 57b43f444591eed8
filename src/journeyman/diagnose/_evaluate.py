"""What a policy scores: exactly n episodes, and how well their mean is known."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from journeyman.collect import AbstractBehaviour, Mean, Sample, misfits, play_to_the_end
from journeyman.diagnose._by_step import places
from journeyman.diagnose._interval import Interval, interval, share_interval
from journeyman.episodes import Episodes
from journeyman.parts import JourneymanError, mistaken, not_whole, refuse
from journeyman.policies import AbstractDensityPolicy, DensityPolicy
from journeyman.training import EVALUATION_SEED, world_problems
from journeyman.worlds import AbstractWorld

Score = Literal["return", "best reward"]
"""What an episode counts: the sum of its rewards, or its highest reward (as Push-T is scored)."""


@dataclasses.dataclass(frozen=True)
class Played:
    """What happened in n whole episodes, one entry each: `returns` and `best_rewards` in reward units, `lengths` in
    steps, all `(n,)`; how many different first observations they had; `success` `(n,)`, whether each succeeded, `None`
    where the world does not say; and how many steps broke: gave a reward or an observation that was not finite, which
    ended the episode."""

    returns: np.ndarray
    best_rewards: np.ndarray
    lengths: np.ndarray
    distinct_starts: int
    success: np.ndarray | None = None
    broken_steps: int = 0

    @classmethod
    def of(cls, episodes: Episodes, success: np.ndarray | None = None, broken_steps: int = 0) -> "Played":
        """Of any episodes, such as demonstrations with rewards; an unfinished one counts as far as it goes.

        Raises `JourneymanError` where no step is valid.
        """
        if not episodes.num_steps:
            raise JourneymanError("There is nothing to score: no step is valid; play or record at least one episode.")
        valid = np.asarray(episodes.valid)
        reward = np.asarray(episodes.reward, np.float64)[valid]
        episode, _, count = places(episodes)
        first = np.searchsorted(episode, np.arange(count))
        return cls(
            returns=np.add.reduceat(reward, first),
            best_rewards=np.maximum.reduceat(reward, first),
            lengths=np.bincount(episode, minlength=count),
            distinct_starts=episodes.distinct_starts(),
            success=success,
            broken_steps=broken_steps,
        )

    def scores(self, score: Score = "return") -> np.ndarray:
        """One number an episode: its return or its best reward."""
        return self.returns if score == "return" else self.best_rewards

    def interval(self, score: Score = "return", level: float = 0.95) -> Interval:
        """The mean of the scores with its bootstrap interval over episodes."""
        return interval(self.scores(score), level)


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """How a policy did in a world.

    `mean_action` and `sampled` hold the episodes played with the likeliest action and with draws from the policy
    (`None` where that was left out); both started from the same `seed`. Where the first's `distinct_starts` is far
    below `episodes`, the world hardly varies its starts, and the interval tells of less than it seems to. `success` is
    the share of successful episodes under the mean action, by the simulator's own word at any of their steps; `None`
    where it never says.
    """

    world: str
    episodes: int
    seed: int
    mean_action: Played
    sampled: Played | None = None
    success: Interval | None = None

    def score(self, score: Score = "return", *, sampled: bool = False) -> Interval:
        """The mean score with its 95 % interval. Raises `JourneymanError` for what was not played."""
        return self._played(sampled).interval(score)

    @property
    def broken_steps(self) -> int:
        """How many of the steps that were played gave a reward or an observation that was not finite."""
        return self.mean_action.broken_steps + (0 if self.sampled is None else self.sampled.broken_steps)

    def best(self, score: Score = "return") -> float:
        """The score of the single best episode under the mean action."""
        return float(self.mean_action.scores(score).max())

    def _played(self, sampled: bool) -> Played:
        if not sampled:
            return self.mean_action
        if self.sampled is None:
            raise JourneymanError(
                "This evaluation has no episodes with sampled actions; evaluate with `sampled=True` to have them."
            )
        return self.sampled


def evaluate(
    policy: AbstractDensityPolicy,
    world: AbstractWorld,
    *,
    episodes: int = 50,
    seed: int = EVALUATION_SEED,
    sampled: bool = True,
    num_envs: int = 64,
) -> Evaluation:
    """Play exactly `episodes` whole episodes with the mean action, and as many with sampled ones.

    The world is made afresh from `seed`, which lies apart from what training uses; `world` itself and the policy are
    not touched. Each of the `num_envs` environments has its share of the episodes beforehand: to take the first n that
    end would favour short ones. The numbers are a function of the arguments alone.

    Raises `JourneymanError` when the policy does not fit the world, for numbers that are not whole or too small, and
    when an episode never ends.
    """
    refuse(
        mistaken("`policy`", policy, AbstractDensityPolicy)
        + mistaken("`world`", world, AbstractWorld)
        + not_whole("`num_envs`", num_envs, least=1)
    )
    require_fit("policy", policy.mode, world)
    if isinstance(policy, DensityPolicy):
        refuse(world_problems(policy, world))

    def run(behaviour: AbstractBehaviour) -> Played:
        return Played.of(*play_to_the_end(world, behaviour, episodes=episodes, seed=seed, width=num_envs))

    by_mean = run(Mean(policy))
    success = None if by_mean.success is None else share_interval(by_mean.success)
    return Evaluation(world.name, int(episodes), int(seed), by_mean, run(Sample(policy)) if sampled else None, success)


def require_fit(who: str, act: Callable[..., Any], world: AbstractWorld, *extra: Any) -> None:
    """Refuse what does not answer the world's observations with the world's actions; nothing is computed."""
    refuse(misfits(who, act, world, *extra))
