"""Why a clone is bad: the causes side by side, each with its comparison, and what cannot be told."""

import dataclasses
from typing import Any

import numpy as np

from journeyman.corrections import lacks_steps
from journeyman.diagnose._causes import COMPARED, REASONS, Cause, compared, not_growing, of_modes, unknown
from journeyman.diagnose._clone_wording import clone_finding, clone_table
from journeyman.diagnose._compounding import Compounding, compounding, played
from journeyman.diagnose._error import actions_of, error_unit, errors
from journeyman.diagnose._evaluate import Played, evaluate, require_fit
from journeyman.diagnose._interval import Interval, interval
from journeyman.diagnose._modes import ModeAveraging, mode_averaging
from journeyman.diagnose._numbers import plain
from journeyman.diagnose._paired import Paired, holm, paired
from journeyman.diagnose._refits import Arm, Refits, refitted
from journeyman.episodes import Episodes
from journeyman.experts import AbstractExpert
from journeyman.parts import refuse
from journeyman.policies import DensityPolicy
from journeyman.training import EVALUATION_SEED, Learner
from journeyman.worlds import AbstractWorld

RELEVANT, NEGLIGIBLE = 0.1, 0.01
"""A cause explains at least so much of the error, and at least so much of the spread of what was done."""
LEAST_EPISODES = 6


@dataclasses.dataclass(frozen=True)
class CloneDiagnosis:
    """The causes of a bad clone, side by side.

    - `causes`: in a fixed order, not by size. `cannot_tell`: what is left open, and why.
    - `error`: on episodes that were held out; `training_error`: on those that were not; `spread`: that of a policy
      which always does the mean of what was done, of choices the commonest. All in `error_unit`.
    - `curve`: the held-out error from a quarter, half and all of the training episodes.
    - `score`: the return of the policy that was given; `demonstrated`: that of the demonstrations, `None` where it is
      not known.
    - `modes`, `errors`: the parts that are diagnoses of their own; the second `None` without an expert.
    - `finding`: it in words. `notes`: what to know beside it.
    """

    world: str
    episodes: int
    folds: int
    seeds: int
    error: Interval
    training_error: Interval
    spread: float
    error_unit: str
    curve: dict[str, Interval]
    score: Interval
    demonstrated: Interval | None
    causes: tuple[Cause, ...]
    modes: ModeAveraging
    errors: Compounding | None
    cannot_tell: tuple[str, ...]
    finding: str
    notes: tuple[str, ...]

    def cause(self, name: str) -> Cause:
        """The cause of that name."""
        return next(one for one in self.causes if one.name == name)

    @property
    def found(self) -> tuple[str, ...]:
        """The names of the causes that were found."""
        return tuple(one.name for one in self.causes if one.verdict == "found")

    def table(self) -> str:
        """One line a cause, as text."""
        return clone_table(self)

    def numbers(self) -> dict[str, Any]:
        """Everything as plain JSON; what is not finite becomes None."""
        return plain(self)


_NOTES = (
    "All but mode averaging and compounding error compare refits of the recipe, not this very policy; folds share"
    " training episodes, of which the intervals do not know.",
)
_NEVER_TOLD = (
    "returns of refits: they were held against demonstrated actions, not played, and a smaller error need not be a"
    " better return.",
    "causes outside this list, such as observations that lack what the demonstrator saw at that moment.",
)


def clone(
    policy: DensityPolicy,
    learner: Learner,
    demonstrations: Episodes,
    world: AbstractWorld,
    *,
    fresh: DensityPolicy | None = None,
    expert: AbstractExpert | None = None,
    success: np.ndarray | None = None,
    returns: np.ndarray | None = None,
    folds: int = 3,
    seeds: int = 3,
    episodes: int = 50,
    level: float = 0.05,
    seed: int = EVALUATION_SEED,
) -> CloneDiagnosis:
    """Put the causes of a bad clone side by side.

    The recipe is fitted again in several ways, without each fold of the episodes in turn and from each training seed,
    and the error is taken on the episodes that were left out. Each way is held against the recipe as it is, on the same
    episodes, folds and seeds (`paired`: an interval over seeds and episodes both, and an exact test over episodes):

    - *too little data*: half of the training episodes, with as many gradient steps, against all of them;
    - *underfitting*: three times the passes and twice the width;
    - *memory*: the observation and the action of the step before shown as well;
    - *bad demonstrations*: without the worst quarter, by return or else by success, against without as many at random,
      on the episodes that are not among the worst;
    - *mode averaging*: `mode_averaging` of the policy that was given;
    - *compounding error*: with an expert, the policy's error on its own states against that on the expert's, on
      episodes from the same seeds, where `compounding` says that it grows.

    A cause is found where Holm's p over the comparisons is below `level`, the interval lies above 0, and the difference
    is at least a tenth of the error and a hundredth of the spread of what was done. The causes do not exclude each
    other. Where no difference is detected there may be one below `smallest`.

    Args:
        policy: the clone.
        learner: how it was trained.
        demonstrations: all of them, held-out ones too.
        fresh: a policy of its form before training; `policy` with fresh weights by default.
        expert: labels the clone's own states; without one nobody can tell whether errors compound.
        success, returns: (episodes,), where they are known; by default returns are those of the rewards in the data.
        folds, seeds: of the refits. There are at most seven ways to train, each fitted folds × seeds times.
        episodes: how many are played.

    Raises `JourneymanError` for fewer than six episodes, for fewer than two folds or seeds, and for numbers of another
    length than the episodes.
    """
    pieces = list(demonstrations.unpack())
    _checked(len(pieces), folds, seeds, {"success": success, "returns": returns})
    require_fit("policy", policy.mode, world)
    earned = _returns(demonstrations) if returns is None else np.asarray(returns, np.float64)
    score = next((one for one in (earned, success) if one is not None and np.ptp(np.asarray(one, float)) > 0), None)
    refits = refitted(
        Arm(policy if fresh is None else fresh, learner, pieces),
        world,
        None if score is None else np.asarray(score, np.float64),
        folds,
        seeds,
        seed,
    )
    modes = mode_averaging(policy, demonstrations, success=success, level=level)
    own = None
    if expert is not None:
        own = compounding(policy, expert, world, demonstrations=demonstrations, episodes=episodes, seed=seed)
    tried = refits.compared()
    if expert is not None:
        tried["compounding error"] = _excess(policy, expert, world, demonstrations, episodes, seed)
    found = _Found(refits, tried, modes, own, level)
    scored = evaluate(policy, world, episodes=episodes, seed=seed, sampled=False).score()
    return found.told(world, scored, None if earned is None else interval(earned))


@dataclasses.dataclass(frozen=True)
class _Found:
    """Everything that was measured."""

    refits: Refits
    tried: dict[str, Paired]
    modes: ModeAveraging
    errors: Compounding | None
    level: float

    def told(self, world: AbstractWorld, score: Interval, demonstrated: Interval | None) -> CloneDiagnosis:
        arms, causes = self.refits.arms, self._causes()
        seeds, episodes = arms["all"].held_out.shape
        left = tuple(one.sentence for one in causes if one.verdict == "cannot tell")
        result = CloneDiagnosis(
            world=world.name,
            episodes=episodes,
            folds=arms["all"].training.shape[1],
            seeds=seeds,
            error=paired(arms["all"].held_out).difference,
            training_error=interval(arms["all"].training.ravel()),
            spread=self.refits.spread,
            error_unit=error_unit(world),
            curve={name: paired(arms[name].held_out).difference for name in ("quarter", "half", "all")},
            score=score,
            demonstrated=demonstrated,
            causes=causes,
            modes=self.modes,
            errors=self.errors,
            cannot_tell=(*left, *_NEVER_TOLD),
            finding="",
            notes=_NOTES,
        )
        return dataclasses.replace(result, finding=clone_finding(result, self.refits.constant))

    def _causes(self) -> tuple[Cause, ...]:
        adjusted = dict(zip(self.tried, holm([one.p for one in self.tried.values()]), strict=True))
        error = float(self.refits.arms["all"].held_out.mean())
        needed = max(RELEVANT * error, NEGLIGIBLE * self.refits.spread)
        found = {name: compared(name, one, adjusted[name], needed, self.level) for name, one in self.tried.items()}
        found |= {name: unknown(name) for name in REASONS if name not in self.tried}
        found["mode averaging"] = of_modes(self.modes)
        if self.errors is not None and not self.errors.compounds:
            found["compounding error"] = not_growing(found["compounding error"])
        return tuple(found[name] for name in COMPARED)


def _excess(
    policy: DensityPolicy,
    expert: AbstractExpert,
    world: AbstractWorld,
    demonstrations: Episodes,
    episodes: int,
    seed: int,
) -> Paired:
    """The mean error of each episode on the policy's own states, less that on the expert's from the same start."""
    own, shown, _ = played(policy, expert, world, demonstrations, episodes, seed)
    there, here = errors(np.asarray(own.action), world, own), errors(actions_of(shown, policy), world, shown)
    by_episode = [one.totals().numerator / one.totals().denominator for one in (there, here)]
    return paired(by_episode[0] - by_episode[1])


def _returns(demonstrations: Episodes) -> np.ndarray | None:
    """Of each episode, as recorded; `None` where no reward is known, or not all of them."""
    if not np.any(np.asarray(demonstrations.reward)) or any(map(lacks_steps, demonstrations.unpack())):
        return None
    return Played.of(demonstrations).returns


def _checked(count: int, folds: int, seeds: int, given: dict[str, Any]) -> None:
    found = []
    if count < LEAST_EPISODES:
        found.append(
            f"Episodes are compared with each other, and there {'is' if count == 1 else 'are'} {count} of at least"
            f" {LEAST_EPISODES}; record more."
        )
    if not 2 <= folds <= max(count, 2):
        found.append(f"There are {folds} folds for {count} episodes; take at least 2, such as 3.")
    if seeds < 2:
        found.append(f"{seeds} training seed says nothing of the spread over seeds; take at least 2, such as 3.")
    found += [
        f"`{name}` has shape {np.shape(values)} where there are {count} episodes; give one entry an episode."
        for name, values in given.items()
        if values is not None and np.shape(values) != (count,)
    ]
    refuse(found)
