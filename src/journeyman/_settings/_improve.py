"""Options of practice, and of imitation in a world."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Literal

from journeyman._refusals import beyond_the_last
from journeyman._settings._asking import Asking
from journeyman._settings._fit import PolicyShape, ScoreName
from journeyman._settings._numbers import flag, not_negative, positive, seeded
from journeyman._settings._unread import Rule, chosen, unread

_GRADIENTS = ("natural-gradient", "trpo", "ppo", "reinforce")
_ASK = ("dagger", "dart")
_IMITATE = ("gail", "airl", "fairl")
OF_PPO = ("epochs", "batch_size", "clip", "entropy", "target_kl")


@dataclasses.dataclass(frozen=True)
class ImproveSettings:
    """Improve a policy in a world by policy gradients, or imitate in it (DAgger, DART, GAIL), and write a report."""

    world: str
    """The world to practise in, for instance Hopper-v5."""
    steps: int
    """Environment steps, rounded up to whole batches."""
    options: tuple[str, ...] = ()
    """Options of the world, as NAME=VALUE, for instance max_episode_steps=200."""
    policy: Path | None = None
    """The artefact or run to start from; without one, a fresh policy is made."""
    out: Path = Path("runs/improved")
    """The run folder to make."""
    algorithm: Literal["natural-gradient", "trpo", "ppo", "reinforce", "dagger", "dart", "gail", "airl", "fairl"] = (
        "natural-gradient"
    )
    kl: float | None = None
    """Natural gradient, GAIL, AIRL and FAIRL (0.02) and TRPO (0.01): how far a step may change the policy, in nats."""
    learning_rate: float | None = None
    """Adam's, of REINFORCE, DAgger and DART (1e-3) and of PPO (3e-4)."""
    epochs: int | None = None
    """PPO: passes over a batch (10)."""
    batch_size: int | None = None
    """PPO: steps a minibatch (64)."""
    clip: float | None = None
    """PPO: how far from 1 a ratio of probabilities is rewarded (0.2)."""
    entropy: float | None = None
    """PPO: the weight of the entropy in the objective (0)."""
    target_kl: float | None = None
    """PPO: ends the passes over a batch once a minibatch's approximate KL is above 1.5 times this."""
    discount: float | None = None
    """γ; the natural gradient looks half a life of its episodes ahead, GAIL, AIRL and FAIRL take 0.995, others 0.99."""
    lambda_: float | None = None
    """Generalised advantages' λ; 1 for REINFORCE, 0.95 for the others."""
    expert: Path | None = None
    """DAgger and DART: the artefact of the expert policy."""
    data: Path | None = None
    """The demonstrations that DAgger and DART begin with, and that GAIL, AIRL and FAIRL compare with."""
    asking: Asking = Asking()
    """DAgger and DART: how the expert is asked or disturbed."""
    num_envs: int = 32
    batch: int = 4096
    """Environment steps an iteration, over all environments."""
    minimum_std: float | None = None
    """A clone's standard deviation is raised to this at least, in half widths of the action box (0.1); not by DAgger
    and DART, whose clones act by themselves."""
    shape: PolicyShape = PolicyShape()
    """Of a fresh policy."""
    score: ScoreName = "return"
    episodes: int = 50
    """How many episodes the result is evaluated on."""
    evaluation_episodes: int = 20
    """How many the mean action is evaluated on along the way."""
    evaluate_every: int = 20
    """Iterations between those."""
    checkpoint_every: int | None = None
    """Iterations between checkpoints, where a simulator that cannot be stored is made afresh; by default 25, or its
    four episodes' worth."""
    staggered: bool = True
    """Put environments out of step with each other where a batch is shorter than an episode."""
    seed: int = 0
    seeds: int = 1
    """How many runs, with seeds from --seed on, are one program (worlds that are JAX programs only)."""
    overwrite: bool = False

    def rules(self) -> list[Rule]:
        """Which settings are read beside what else is chosen."""
        by = partial(chosen, "algorithm", self.algorithm)
        fresh = "only a fresh policy has a shape to choose, not that of --policy; leave one of them out"
        clone = "only a clone that is given with --policy has a spread to raise; leave it out, or add --policy"
        shape = [f"shape.{field.name}" for field in dataclasses.fields(PolicyShape)]
        asking = [f"asking.{field.name}" for field in dataclasses.fields(Asking)]
        return [
            by(("natural-gradient", "trpo", *_IMITATE), "kl"),
            by(("ppo", "reinforce", *_ASK), "learning_rate"),
            by(("ppo",), *OF_PPO),
            by((*_GRADIENTS, *_IMITATE), "discount", "lambda_", "minimum_std"),
            by(_ASK, "expert", *asking),
            by((*_ASK, *_IMITATE), "data"),
            by(("dagger",), "asking.schedule", "asking.beta", "asking.rounds"),
            by(("dart",), "asking.noise", "asking.std", "asking.trace"),
            *self.asking.rules(),
            Rule(tuple(shape), self.policy is None, fresh),
            Rule(("minimum_std",), self.policy is not None, clone),
        ]

    @property
    def asks(self) -> bool:
        """Whether an expert is asked."""
        return self.algorithm in _ASK

    @property
    def imitates(self) -> bool:
        """Whether the policy's steps are compared with demonstrations."""
        return self.algorithm in _IMITATE

    def problems(self) -> list[str]:
        """What is wrong with these numbers or contradicts itself, in sentences."""
        found = positive(
            steps=self.steps,
            batch=self.batch,
            num_envs=self.num_envs,
            learning_rate=self.learning_rate,
            kl=self.kl,
            target_kl=self.target_kl,
            epochs=self.epochs,
            batch_size=self.batch_size,
            clip=self.clip,
            minimum_std=self.minimum_std,
            episodes=self.episodes,
            evaluate_every=self.evaluate_every,
            checkpoint_every=self.checkpoint_every,
            seeds=self.seeds,
        )
        if self.seeds > 1 and self.asks:
            found.append(f"{self._titled} keeps its data on the host and runs one seed at a time; leave --seeds out.")
        if 0 < self.batch < self.num_envs:
            found.append(
                f"--batch {self.batch} is less than one step for each of --num-envs {self.num_envs}; raise the first or"
                " lower the second."
            )
        if self.evaluation_episodes < 0:
            found.append(f"--evaluation-episodes must be 0 or more, not {self.evaluation_episodes}; 20 is usual.")
        found += not_negative("0 is usual", entropy=self.entropy)
        if self.discount is not None and not 0 < self.discount <= 1:
            found.append(f"--discount must lie in (0, 1], not {self.discount}; 0.99 is usual.")
        if self.lambda_ is not None and not 0 <= self.lambda_ <= 1:
            found.append(f"--lambda must lie in [0, 1], not {self.lambda_}; 0.95 is usual.")
        found += self._missing() + self.asking.problems() + self.shape.problems()
        found += seeded(self.seed) + beyond_the_last(self.seed, self.seeds)
        return found + unread(self, self.rules())

    def vain(self) -> list[str]:
        """The numbers that change nothing beside others, in sentences; a run that was begun with such goes on."""
        found, steps = [], self.batch // max(self.num_envs, 1) * self.num_envs
        usual = next(one.default for one in dataclasses.fields(self) if one.name == "evaluate_every")
        if self.evaluation_episodes == 0 and self.evaluate_every != usual:
            found.append(
                f"--evaluate-every is {self.evaluate_every}, and with --evaluation-episodes 0 nothing is evaluated"
                " along the way; leave one of them out."
            )
        if self.algorithm == "ppo" and self.batch_size is not None and 0 < steps < self.batch_size:
            found.append(
                f"--batch-size is {self.batch_size}, and a batch has only {steps} steps to make minibatches of; lower"
                " it, or raise --batch."
            )
        return found

    @property
    def _titled(self) -> str:
        return {"dagger": "DAgger", "dart": "DART"}[self.algorithm]

    def _missing(self) -> list[str]:
        if self.imitates and self.data is None:
            return [f"{self.algorithm.upper()} compares with demonstrations, and none are given; add --data FILE."]
        missing = [flag(name) for name in ("expert", "data", "policy") if getattr(self, name) is None]
        if not self.asks or not missing:
            return []
        named = missing[0] if len(missing) == 1 else f"{', '.join(missing[:-1])} and {missing[-1]}"
        return [
            f"{self._titled} needs an expert to ask, demonstrations to add to and a clone to start from, and"
            f" {named} {'is' if len(missing) == 1 else 'are'} not given; add {'it' if len(missing) == 1 else 'them'}."
        ]
